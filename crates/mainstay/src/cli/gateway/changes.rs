//! `mainstay routes` and `mainstay services`: definitions of a node that is up, read and changed over its API, as those of collections are.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use axum::http::Request;
use axum::http::header::IF_MATCH;
use axum::http::request::Builder;
use clap::{Args, Subcommand};
use mainstay_base::id::Name;
use mainstay_gateway::book::Kind;
use mainstay_machine::Version;
use serde_json::{Map, Value, json};

use super::told::{self, History, Rehearsal};
use crate::cli::ask::{Node, answer_timeout, found, typed};
use crate::cli::{DryRun, OutputArg, Source, USAGE, output};
use crate::config::{Config, document};
use crate::gateway::Defined;

/// The commands that read and change one definition of a node that is up.
#[derive(Debug, Subcommand)]
pub enum Changes {
    /// Print a definition, as `put` takes it
    Show(Named),
    /// Define one, or change its definition
    Put(Put),
    /// Have one in force no longer; it can be rolled back to
    Retire(Retire),
    /// Print what changed from version to version, the latest first
    History(Named),
    /// Go back to an earlier version
    Rollback(Rollback),
}

/// One definition.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(super) name: Name,
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) output: OutputArg,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    of: Named,
    /// The definition without its name, as YAML or JSON; `-` is what another program writes
    #[arg(long, value_name = "DOCUMENT")]
    definition: PathBuf,
    /// Change nothing unless it has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<Version>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Arguments of `retire`.
#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    of: Named,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    of: Named,
    /// A version of its history
    #[arg(long, value_name = "VERSION")]
    to: Version,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(kind: Kind, changes: &Changes) -> io::Result<u8> {
    let of = changes.of();
    let Ok(config) = of.source.clone().load() else { return Ok(USAGE) };
    let definition = match changes {
        // What is in it is for the node to judge, which knows what it goes together with.
        Changes::Put(put) => match document::of(&put.definition) {
            Ok(definition) => definition,
            Err(findings) => {
                output::findings(&findings);
                output::note("the definition cannot be read, nothing was done");
                return Ok(USAGE);
            }
        },
        _ => Map::new(),
    };
    let answer = Asking::of(kind, of, &config).and_then(|asking| asking.answer(changes, &definition));
    of.output.answer(answer)
}

impl Changes {
    fn of(&self) -> &Named {
        match self {
            Self::Show(of) | Self::History(of) => of,
            Self::Put(Put { of, .. })
            | Self::Retire(Retire { of, .. })
            | Self::Rollback(Rollback { of, .. }) => of,
        }
    }
}

/// One definition of a node that is up.
struct Asking<'a> {
    kind: Kind,
    name: &'a Name,
    node: Node,
    timeout: Duration,
}

impl<'a> Asking<'a> {
    fn of(kind: Kind, of: &'a Named, config: &Config) -> Result<Self> {
        let (node, timeout) = (Node::find(config)?, answer_timeout(config));
        Ok(Self { kind, name: &of.name, node, timeout })
    }

    /// What a command prints, as a document and for people.
    fn answer(&self, changes: &Changes, definition: &Map<String, Value>) -> Result<(Value, String)> {
        match changes {
            Changes::Show(_) => {
                let document = self.get("")?;
                let text = told::shown(&typed(document.clone())?);
                Ok((document, text))
            }
            Changes::History(_) => {
                let document = self.get("/history")?;
                let text = told::history(&typed(document.clone())?);
                Ok((document, text))
            }
            Changes::Put(Put { if_version, dry_run, .. }) => {
                let request = Request::put(self.path(dry_run.query()));
                let request = match if_version {
                    Some(version) => request.header(IF_MATCH, format!("\"{version}\"")),
                    None => request,
                };
                let document = json!(definition);
                self.change(request, Some(&document), *dry_run, |_| Some(document.clone()))
            }
            Changes::Retire(Retire { dry_run, .. }) => {
                self.change(Request::delete(self.path(dry_run.query())), None, *dry_run, |_| None)
            }
            Changes::Rollback(Rollback { to, dry_run, .. }) => {
                let request = Request::post(self.path(&format!("/rollback{}", dry_run.query())));
                self.change(request, Some(&json!({ "to": to })), *dry_run, |history| history.said(*to))
            }
        }
    }

    /// Changes it, or tells what that would come to: what it would say is found by `next`, and is nothing if it would be retired.
    fn change(
        &self,
        request: Builder,
        document: Option<&Value>,
        dry_run: DryRun,
        next: impl FnOnce(&History) -> Option<Value>,
    ) -> Result<(Value, String)> {
        let answer = self.node.send(request, document, self.timeout)?;
        if !dry_run.dry_run {
            let text = told::changed(self.kind, &typed::<Defined>(answer.clone())?);
            return Ok((answer, text));
        }
        let rehearsal: Rehearsal = typed(answer.clone())?;
        // What never was has no history.
        let history = found(self.get("/history"))?.map(typed::<History>).transpose()?.unwrap_or_default();
        let text = told::rehearsed((self.kind, self.name), &rehearsal, &history, next(&history).as_ref());
        Ok((answer, text))
    }

    fn get(&self, below: &str) -> Result<Value> {
        self.node.send(Request::get(self.path(below)), None, self.timeout)
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/{}/{}{below}", self.kind.plural(), self.name)
    }
}
