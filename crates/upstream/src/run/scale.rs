//! How many instances of a service's program run: what was asked for, and what there is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Timestamp;
use tokio::sync::watch;

use super::fleet::Counts;
use crate::config::Run;

/// How many instances of a service's program somebody has asked for, whatever its definition says, and how many there are.
#[derive(Debug)]
pub struct Scale {
    asked: watch::Sender<Option<u32>>,
    seen: Mutex<Option<Seen>>,
}

/// Who says how many instances are to take calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The definition of the service.
    Definition,
    /// Somebody over the API.
    Request,
    /// The rule of the definition.
    Rule,
}

/// The last time that a rule had another number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// When that was.
    pub at: Timestamp,
    /// How many were to take calls before, and since.
    pub instances: (u32, u32),
    /// Why, for people.
    pub why: String,
}

/// How it is with the instances of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// How many were asked for, if somebody has.
    pub asked: Option<u32>,
    /// How many are to take calls.
    pub wanted: u32,
    /// Who says so.
    pub by: By,
    /// How they are.
    pub counts: Counts,
    /// How many have ended by themselves, did not begin in time, or took more than they may.
    pub failed: u64,
    /// How often the rule had more, and how often fewer.
    pub scaled: (u64, u64),
    /// The last time that it did.
    pub last: Option<Last>,
}

/// What whoever runs the program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) wanted: u32,
    pub(super) counts: Counts,
    pub(super) failed: u64,
    pub(super) scaled: (u64, u64),
    pub(super) last: Option<Last>,
}

impl By {
    /// The word, as the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Request => "request",
            Self::Rule => "rule",
        }
    }
}

impl Scale {
    pub(crate) fn new() -> Self {
        Self { asked: watch::Sender::new(None), seen: Mutex::default() }
    }

    /// As many, until none are asked for any more, the definition says other numbers than before, or Mainstay starts again. None leaves it to the definition.
    pub fn set(&self, instances: Option<u32>) {
        self.asked.send_replace(instances);
    }

    /// What was asked for.
    pub fn get(&self) -> Option<u32> {
        *self.asked.borrow()
    }

    /// How it is, with a service that is defined so.
    pub fn view(&self, run: &Run) -> View {
        let (asked, seen) = (self.get(), self.seen().clone());
        let by = match (asked, &run.scale) {
            (Some(_), _) => By::Request,
            (None, Some(_)) => By::Rule,
            (None, None) => By::Definition,
        };
        let first =
            Seen { wanted: run.first(), counts: Counts::default(), failed: 0, scaled: (0, 0), last: None };
        let Seen { wanted, counts, failed, scaled, last } = seen.unwrap_or(first);
        // What was just asked for is not seen yet.
        let wanted = match by {
            By::Request => asked.unwrap_or(wanted),
            By::Rule => wanted,
            By::Definition => run.first(),
        };
        View { asked, wanted, by, counts, failed, scaled, last }
    }

    pub(super) fn asked(&self) -> watch::Receiver<Option<u32>> {
        self.asked.subscribe()
    }

    pub(super) fn see(&self, seen: Seen) {
        *self.seen() = Some(seen);
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        // It is exchanged as a whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
