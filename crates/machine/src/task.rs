//! What a shard is given by its node, for which no caller waits.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_base::id::{Name, Tenant};

use crate::collection::Collection;
use crate::command::{Command, TraceContext};
use crate::definition::{Definition, Definitions, Source};
use crate::index::state::Reached;
use crate::row::End;

/// What a shard evaluates.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What a caller asks.
    Command(Command),
    /// What the node asks.
    Task(Task),
}

/// What the node asks of one of its shards.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// To the shard `system`: what the configuration files define, all of it.
    Declare(Declare),
    /// To every other shard: to have the definitions of a later revision.
    Adopt(Adopt),
    /// To have items in an index that were there before it.
    Fill(Fill),
    /// To have entries of an index no more.
    Clear(Clear),
    /// To have items no more whose end has come.
    Reap(Reap),
    /// To begin having the items of a retired collection no more.
    StartPurge(StartPurge),
    /// To go on with that.
    Remove(Remove),
}

/// All that configuration files define. What they defined before and do not any more is retired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declare {
    /// The collections of all tenants, and where each is written.
    pub collections: BTreeMap<(Tenant, Name), (Collection, Source)>,
    /// The versions of schemas that all shards have brought all items to, as far as is known.
    pub settled: BTreeMap<(Tenant, Name), u32>,
}

/// The definitions that changed between two revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    /// The revision that the shard must have, or a later one.
    pub after: u64,
    /// The revision that it has then.
    pub to: u64,
    /// Every definition that changed in between, as it is at `to`.
    pub changed: Vec<(Tenant, Name, Definition)>,
}

/// The next items that were there before an index, or before a version of their schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Whose.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// The number of the index, or [`IndexName::DOCUMENTS`](crate::row::IndexName::DOCUMENTS).
    pub number: u32,
    /// How far it was when they were looked for. If it is not any more, nothing is done.
    pub from: Option<Reached>,
    /// The items behind that, in their order.
    pub items: Vec<Reached>,
    /// Whether there are no more.
    pub is_last: bool,
}

/// Entries of an index that is not defined any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clear {
    /// Whose.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// The number of the index.
    pub number: u32,
    /// The entries.
    pub entries: Vec<Bytes>,
    /// Whether there are no more.
    pub is_last: bool,
}

/// Items whose end may have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reap {
    /// The rows that found them.
    pub ends: Vec<End>,
}

/// A retired collection whose items are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPurge {
    /// Whose.
    pub tenant: Tenant,
    /// The collection.
    pub collection: Name,
}

/// The next items of a collection that is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// Whose.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// How far the purge was when they were looked for. If it is not any more, nothing is done.
    pub from: Option<Reached>,
    /// The items behind that, in their order.
    pub items: Vec<Reached>,
    /// Whether there are no more.
    pub is_last: bool,
}

impl Adopt {
    /// What brings a shard that has the definitions of `after` to those of `definitions`.
    pub fn between(after: u64, definitions: &Definitions) -> Self {
        let changed = definitions.changed_after(after);
        let changed = changed
            .map(|(tenant, name, definition)| (tenant.clone(), name.clone(), Definition::clone(definition)));
        Self { after, to: definitions.revision(), changed: changed.collect() }
    }
}

impl Input {
    /// Whose turn it is taken in, and whose change it is.
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Command(command) => &command.tenant,
            Self::Task(Task::Declare(_) | Task::Adopt(_) | Task::Reap(_)) => const { &Tenant::DEFAULT },
            Self::Task(
                Task::Fill(Fill { tenant, .. })
                | Task::Clear(Clear { tenant, .. })
                | Task::StartPurge(StartPurge { tenant, .. })
                | Task::Remove(Remove { tenant, .. }),
            ) => tenant,
        }
    }

    /// Where it stands in a distributed trace.
    pub fn trace(&self) -> Option<TraceContext> {
        match self {
            Self::Command(command) => command.trace,
            Self::Task(_) => None,
        }
    }

    /// How large it is, about: what it holds in memory beside a fixed part.
    pub fn bytes(&self) -> usize {
        const PART_BYTES: usize = 256;
        match self {
            Self::Command(command) => command.bytes(),
            Self::Task(Task::Declare(Declare { collections, .. })) => PART_BYTES * (1 + collections.len()),
            Self::Task(Task::Adopt(Adopt { changed, .. })) => PART_BYTES * (1 + changed.len()),
            Self::Task(Task::Fill(Fill { items, .. })) => PART_BYTES * (1 + items.len()),
            Self::Task(Task::Clear(Clear { entries, .. })) => PART_BYTES * (1 + entries.len()),
            Self::Task(Task::Reap(Reap { ends })) => PART_BYTES * (1 + ends.len()),
            Self::Task(Task::StartPurge(_)) => PART_BYTES,
            Self::Task(Task::Remove(Remove { items, .. })) => PART_BYTES * (1 + items.len()),
        }
    }
}

impl From<Declare> for Task {
    fn from(declare: Declare) -> Self {
        Self::Declare(declare)
    }
}

impl From<Adopt> for Task {
    fn from(adopt: Adopt) -> Self {
        Self::Adopt(adopt)
    }
}

impl From<Fill> for Task {
    fn from(fill: Fill) -> Self {
        Self::Fill(fill)
    }
}

impl From<Reap> for Task {
    fn from(reap: Reap) -> Self {
        Self::Reap(reap)
    }
}

impl From<StartPurge> for Task {
    fn from(start: StartPurge) -> Self {
        Self::StartPurge(start)
    }
}

impl From<Remove> for Task {
    fn from(remove: Remove) -> Self {
        Self::Remove(remove)
    }
}

impl From<Clear> for Task {
    fn from(clear: Clear) -> Self {
        Self::Clear(clear)
    }
}

impl From<Command> for Input {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<Task> for Input {
    fn from(task: Task) -> Self {
        Self::Task(task)
    }
}
