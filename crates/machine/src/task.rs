//! What a shard is given by its node, for which no caller waits.

use std::collections::BTreeMap;

use mainstay_base::id::{Name, Tenant};

use crate::collection::Collection;
use crate::command::{Command, TraceContext};
use crate::definition::{Definition, Definitions, Source};

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
}

/// All that configuration files define. What they defined before and do not any more is retired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declare {
    /// The collections of all tenants, and where each is written.
    pub collections: BTreeMap<(Tenant, Name), (Collection, Source)>,
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
            Self::Task(Task::Declare(_) | Task::Adopt(_)) => const { &Tenant::DEFAULT },
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
            Self::Task(Task::Declare(Declare { collections })) => PART_BYTES * (1 + collections.len()),
            Self::Task(Task::Adopt(Adopt { changed, .. })) => PART_BYTES * (1 + changed.len()),
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
