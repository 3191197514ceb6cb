//! `mainstay faults`: faults that a node that is up injects into the gateway's requests, over its API.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use axum::http::Request;
use clap::{Args, Subcommand};
use mainstay_base::id::Name;
use mainstay_resilience::fault::Schedule;
use serde_json::{Value, json};

use super::ask::{Node, answer_timeout, typed};
use super::{OutputArg, Source, USAGE, output, told};
use crate::config::{Config, document, explain};
use crate::gateway::faults::{Injected, Shown};

/// The commands under `faults`.
#[derive(Debug, Subcommand)]
pub enum Faults {
    /// List the faults, those of the configuration too
    List(Target),
    /// Inject a fault until it is deleted or the node stops, or another one by that name
    Put(Put),
    /// Inject a fault no longer
    Delete(Named),
}

/// Which node is asked, and how its answer is printed.
#[derive(Debug, Clone, Args)]
pub struct Target {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: OutputArg,
}

/// One fault.
#[derive(Debug, Args)]
pub struct Named {
    /// The fault
    #[arg(value_name = "NAME")]
    name: Name,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `faults put`.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    of: Named,
    /// The fault, as YAML or JSON; `-` is what another program writes
    #[arg(long, value_name = "DOCUMENT")]
    definition: PathBuf,
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(faults: &Faults) -> io::Result<u8> {
    let target = match faults {
        Faults::List(target) => target,
        Faults::Put(Put { of, .. }) | Faults::Delete(of) => &of.target,
    };
    let Ok(config) = target.source.clone().load() else { return Ok(USAGE) };
    let injected = match faults {
        Faults::Put(put) => match document::of(&put.definition) {
            Ok(injected) => Some(injected),
            Err(findings) => {
                output::findings(&findings);
                output::note("the fault is not valid, nothing was done");
                return Ok(USAGE);
            }
        },
        Faults::List(_) | Faults::Delete(_) => None,
    };
    target.output.answer(answer(faults, injected.as_ref(), &config))
}

/// What a command prints, as a document and for people.
fn answer(faults: &Faults, injected: Option<&Injected>, config: &Config) -> Result<(Value, String)> {
    let (node, timeout) = (Node::find(config)?, answer_timeout(config));
    let path = |name: &Name| format!("/v1/faults/{name}");
    match faults {
        Faults::List(_) => {
            let document = node.send(Request::get("/v1/faults"), None, timeout)?;
            let text = listed(&typed::<Vec<Shown>>(document["faults"].clone())?);
            Ok((document, text))
        }
        Faults::Put(Put { of: Named { name, .. }, .. }) => {
            let document = node.send(Request::put(path(name)), Some(&json!(injected)), timeout)?;
            Ok((document, format!("the fault {name} is injected until it is deleted or the node stops\n")))
        }
        Faults::Delete(Named { name, .. }) => {
            node.send(Request::delete(path(name)), None, timeout)?;
            let document = json!({ "name": name, "is_injected": false });
            Ok((document, format!("the fault {name} is injected no longer\n")))
        }
    }
}

fn listed(all: &[Shown]) -> String {
    if all.is_empty() {
        return "there are no faults\n".to_owned();
    }
    let head = ["NAME", "OF", "FAULT", "RATIO", "WHEN", "ORIGIN"].map(str::to_owned);
    let rows = all.iter().map(|Shown { name, origin, file, line, injected }| {
        let Injected { route, service, fault, ratio, schedule } = injected;
        let of = match (route, service) {
            (Some(route), _) => format!("route {route}"),
            (None, Some(service)) => format!("service {service}"),
            (None, None) => "-".to_owned(),
        };
        let origin = match (file, line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => origin.clone(),
        };
        [name.clone(), of, flat(&json!(fault)), json!(ratio).to_string(), when(schedule), origin]
    });
    told::columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// A value on one line: a word, or the paths in it.
fn flat(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        value => explain::flat(value).join(", "),
    }
}

fn when(schedule: &Schedule) -> String {
    if *schedule == Schedule::default() {
        return "always".to_owned();
    }
    let Value::Object(mut members) = json!(schedule) else { return flat(&json!(schedule)) };
    members.retain(|_, value| !value.is_null());
    flat(&members.into())
}
