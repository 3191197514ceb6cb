//! `mainstay collections`: the definitions of a node that is up, read and changed over its API.
//!
//! As JSON, what the node answers; for people, [`told`].

mod told;
mod usage;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use axum::http::Request;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Builder;
use clap::{Args, Subcommand};
use mainstay_base::id::Name;
use mainstay_machine::{Collection, Version};
use serde_json::{Value, json};

use super::ask::{Node, answer_timeout, found, typed};
use super::{DryRun, OutputArg, Source, USAGE, output};
use crate::config::{Config, Findings};
use crate::config::{document, schemas};
use told::{Defined, History, Rehearsal};

/// The commands under `collections`.
#[derive(Debug, Subcommand)]
pub enum Collections {
    /// List the collections that are served
    List(Target),
    /// Print a collection's definition, as `put` takes it
    Show(Named),
    /// Define a collection, or change its definition
    Put(Put),
    /// Serve a collection no longer; its items stay, and are there again when it is defined again
    Retire(Retire),
    /// Remove the items of a retired collection for good; again: tell how far that is
    Purge(Purge),
    /// Print what changed from version to version, the latest first
    History(Named),
    /// Print what a collection takes, what was written for it, and its keys that are used most
    Usage(Named),
    /// Go back to an earlier version
    Rollback(Rollback),
}

/// Which node is asked, and how its answer is printed.
#[derive(Debug, Clone, Args)]
pub struct Target {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: OutputArg,
}

/// One collection.
#[derive(Debug, Args)]
pub struct Named {
    /// The collection
    #[arg(value_name = "NAME")]
    name: Name,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `collections put`.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    of: Named,
    /// The definition, as YAML or JSON; `-` is what another program writes. Without one, a new collection with the defaults
    #[arg(long, value_name = "DOCUMENT")]
    definition: Option<PathBuf>,
    /// Change nothing unless the collection has this version
    #[arg(long, value_name = "VERSION", requires = "definition")]
    if_version: Option<Version>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Arguments of `collections retire`.
#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    of: Named,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Arguments of `collections purge`.
#[derive(Debug, Args)]
pub struct Purge {
    #[command(flatten)]
    of: Named,
    /// Remove nothing, and tell how many items would be
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `collections rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    of: Named,
    /// A version of the collection's history
    #[arg(long, value_name = "VERSION")]
    to: Version,
    #[command(flatten)]
    dry_run: DryRun,
}

/// What a command prints, as a document and for people.
type Answer = (Value, String);

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(collections: &Collections) -> io::Result<u8> {
    let Target { source, output } = collections.target().clone();
    let Ok(config) = source.load() else { return Ok(USAGE) };
    let definition = match collections {
        Collections::Put(Put { definition: Some(path), .. }) => match read(path) {
            Ok(definition) => definition,
            Err(findings) => {
                output::findings(&findings);
                output::note("the definition is not valid, nothing was done");
                return Ok(USAGE);
            }
        },
        _ => Collection::default(),
    };
    output.answer(Definitions::find(&config).and_then(|them| them.answer(collections, &definition)))
}

fn read(path: &Path) -> Result<Collection, Findings> {
    let mut collection: Collection = document::of(path)?;
    let base = path.parent().filter(|_| !document::is_stream(path)).unwrap_or(Path::new(""));
    schemas::read(&mut collection, base)
        .map_err(|(message, help)| document::mistake("schema.file", message, help))?;
    Ok(collection)
}

impl Collections {
    fn target(&self) -> &Target {
        match self {
            Self::List(target) => target,
            Self::Show(of) | Self::History(of) | Self::Usage(of) => &of.target,
            Self::Put(Put { of, .. }) | Self::Retire(Retire { of, .. }) => &of.target,
            Self::Purge(Purge { of, .. }) | Self::Rollback(Rollback { of, .. }) => &of.target,
        }
    }
}

/// The definitions of a node that is up.
struct Definitions {
    node: Node,
    timeout: Duration,
}

/// A change of a definition, as it is asked for.
struct Change<'a> {
    name: &'a Name,
    request: Builder,
    document: Option<Value>,
    dry_run: DryRun,
}

impl Definitions {
    fn find(config: &Config) -> Result<Self> {
        Ok(Self { node: Node::find(config)?, timeout: answer_timeout(config) })
    }

    fn answer(&self, collections: &Collections, definition: &Collection) -> Result<Answer> {
        match collections {
            Collections::List(_) => self.list(),
            Collections::Show(Named { name, .. }) => self.show(name),
            Collections::Put(put) => self.put(put, definition),
            Collections::Retire(retire) => self.retire(retire),
            Collections::Purge(purge) => self.purge(purge),
            Collections::History(Named { name, .. }) => self.history(name),
            Collections::Usage(Named { name, .. }) => self.usage(name),
            Collections::Rollback(rollback) => self.roll_back(rollback),
        }
    }

    fn list(&self) -> Result<Answer> {
        let all = self.node.all("collections", self.timeout)?;
        let document = json!({ "collections": all });
        let text = told::listed(&typed::<Vec<Defined>>(all.into())?);
        Ok((document, text))
    }

    fn show(&self, name: &Name) -> Result<Answer> {
        let document = self.get(&path(name, ""))?;
        let text = told::shown(&typed(document.clone())?);
        Ok((document, text))
    }

    fn usage(&self, name: &Name) -> Result<Answer> {
        let document = self.get(&path(name, "/usage"))?;
        let text = usage::told(&typed(document.clone())?);
        Ok((document, text))
    }

    fn history(&self, name: &Name) -> Result<Answer> {
        let document = self.get(&path(name, "/history"))?;
        let text = told::history(&typed(document.clone())?);
        Ok((document, text))
    }

    fn put(&self, put: &Put, definition: &Collection) -> Result<Answer> {
        let (name, dry_run) = (&put.of.name, put.dry_run);
        let request = Request::put(path(name, dry_run.query()));
        let request = match put.if_version {
            Some(version) => request.header(IF_MATCH, format!("\"{version}\"")),
            // What was not written replaces nothing.
            None if put.definition.is_none() => request.header(IF_NONE_MATCH, "*"),
            None => request,
        };
        let document = json!(definition);
        let next = |_: &History| Some(document.clone());
        self.change(Change { name, request, document: Some(document.clone()), dry_run }, next)
    }

    fn retire(&self, Retire { of: Named { name, .. }, dry_run }: &Retire) -> Result<Answer> {
        let request = Request::delete(path(name, dry_run.query()));
        self.change(Change { name, request, document: None, dry_run: *dry_run }, |_| None)
    }

    fn purge(&self, Purge { of: Named { name, .. }, dry_run }: &Purge) -> Result<Answer> {
        let (path, nothing) = (path(name, "/purge"), json!({}));
        if *dry_run {
            let request = Request::post(format!("{path}?dry_run=true"));
            let document = self.node.send(request, Some(&nothing), self.timeout)?;
            let text = told::stock(name, &typed(document.clone())?);
            return Ok((document, text));
        }
        let document = self.node.send(Request::post(path), Some(&nothing), self.timeout)?;
        let text = told::purging(name, &typed(document.clone())?);
        Ok((document, text))
    }

    fn roll_back(&self, Rollback { of: Named { name, .. }, to, dry_run }: &Rollback) -> Result<Answer> {
        let request = Request::post(path(name, &format!("/rollback{}", dry_run.query())));
        let document = Some(json!({ "to": to }));
        let next = |history: &History| history.said(&to.to_string());
        self.change(Change { name, request, document, dry_run: *dry_run }, next)
    }

    /// Changes a definition, or tells what that would come to: what it would say is found by `next`, and is nothing for a
    /// collection that would be retired.
    fn change(&self, change: Change<'_>, next: impl Fn(&History) -> Option<Value>) -> Result<Answer> {
        let Change { name, request, document, dry_run } = change;
        let document = self.node.send(request, document.as_ref(), self.timeout)?;
        let text = if dry_run.dry_run {
            let history = found(self.get(&path(name, "/history")))?;
            let history = history.map(typed::<History>).transpose()?.unwrap_or_default();
            let rehearsal: Rehearsal = typed(document.clone())?;
            told::rehearsed(name, &rehearsal, history.now(), next(&history).as_ref())
        } else {
            told::changed(&typed(document.clone())?)
        };
        Ok((document, text))
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.node.send(Request::get(path), None, self.timeout)
    }
}

fn path(name: &Name, below: &str) -> String {
    format!("/v1/collections/{name}{below}")
}
