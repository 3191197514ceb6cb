//! How many instances of a service's program run: what was asked for, and what there is.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Timestamp;
use tokio::sync::watch;

use super::fleet::Counts;
use crate::config::{Run, Scaling};

/// How many instances of a service's program somebody has asked for, whatever its definition says, and how many there are.
#[derive(Debug)]
pub struct Scale {
    asked: watch::Sender<Option<Asked>>,
    seen: Mutex<Option<Seen>>,
}

/// How many were asked for, and what the definition said then: with other numbers it is nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) instances: u32,
    instead_of: Numbers,
}

/// What a definition says of numbers.
type Numbers = (NonZeroU32, Option<Scaling>);

fn numbers(run: &Run) -> Numbers {
    (run.instances, run.scale.clone())
}

impl Asked {
    /// Whether it was asked for with these numbers of a definition.
    pub(super) fn is_for(&self, run: &Run) -> bool {
        self.instead_of == numbers(run)
    }
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
    /// The program is missing, and need not be there.
    pub(super) is_missing: bool,
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

    /// As many, until none are asked for any more, the definition says other numbers than this one, or Mainstay starts again. None leaves it to the definition.
    pub fn set(&self, instances: Option<u32>, run: &Run) {
        self.asked.send_replace(instances.map(|instances| Asked { instances, instead_of: numbers(run) }));
    }

    /// A definition is over: what was asked for with its numbers, which this one does not have, is not asked for any more.
    pub(super) fn forget(&self, before: &Run, run: &Run) {
        self.asked.send_if_modified(|asked| {
            let is_over = asked.as_ref().is_some_and(|asked| asked.is_for(before) && !asked.is_for(run));
            if is_over {
                *asked = None;
            }
            is_over
        });
    }

    /// What was asked for with the numbers of this definition.
    fn get(&self, run: &Run) -> Option<u32> {
        self.asked.borrow().as_ref().filter(|asked| asked.is_for(run)).map(|asked| asked.instances)
    }

    /// How it is, with a service that is defined so.
    pub fn view(&self, run: &Run) -> View {
        let (asked, seen) = (self.get(run), self.seen().clone());
        let first = Seen {
            wanted: run.first(),
            counts: Counts::default(),
            failed: 0,
            scaled: (0, 0),
            last: None,
            is_missing: false,
        };
        let Seen { wanted, counts, failed, scaled, last, is_missing } = seen.unwrap_or(first);
        let by = match (asked, &run.scale) {
            // It is the definition that lets it be missing.
            _ if is_missing => By::Definition,
            (Some(_), _) => By::Request,
            (None, Some(_)) => By::Rule,
            (None, None) => By::Definition,
        };
        // What was just asked for is not seen yet.
        let wanted = match by {
            _ if is_missing => wanted,
            By::Request => asked.unwrap_or(wanted),
            By::Rule => wanted,
            By::Definition => run.first(),
        };
        View { asked, wanted, by, counts, failed, scaled, last }
    }

    pub(super) fn asked(&self) -> watch::Receiver<Option<Asked>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(instances: u32) -> Run {
        serde_json::from_str(&format!(r#"{{"command": ["x"], "instances": {instances}}}"#))
            .expect("a definition")
    }

    #[test]
    fn what_is_asked_for_holds_as_long_as_the_definition_says_the_same_numbers() {
        let scale = Scale::new();
        scale.set(Some(5), &run(2));
        let seen = |run: &Run| (scale.view(run).asked, scale.view(run).wanted, scale.view(run).by);
        assert_eq!(seen(&run(2)), (Some(5), 5, By::Request));
        assert_eq!(seen(&run(3)), (None, 3, By::Definition), "before anybody has done anything for it");
        scale.forget(&run(2), &run(2));
        assert_eq!(seen(&run(2)), (Some(5), 5, By::Request));
        scale.forget(&run(2), &run(3));
        assert_eq!(seen(&run(2)), (None, 2, By::Definition), "it does not come back");
    }

    #[test]
    fn what_is_asked_for_right_after_a_definition_stays_when_that_is_told() {
        let scale = Scale::new();
        scale.set(Some(5), &run(2));
        scale.set(Some(7), &run(3));
        scale.forget(&run(2), &run(3));
        assert_eq!(scale.view(&run(3)).asked, Some(7));
    }

    #[test]
    fn a_program_that_is_missing_and_may_be_is_wanted_by_nobody() {
        let scale = Scale::new();
        let seen = |is_missing, wanted| Seen {
            wanted,
            counts: Counts::default(),
            failed: 0,
            scaled: (0, 0),
            last: None,
            is_missing,
        };
        scale.see(seen(true, 0));
        scale.set(Some(3), &run(1));
        let View { asked, wanted, by, .. } = scale.view(&run(1));
        assert_eq!((asked, wanted, by), (Some(3), 0, By::Definition));
        scale.see(seen(false, 3));
        assert_eq!((scale.view(&run(1)).wanted, scale.view(&run(1)).by), (3, By::Request));
    }
}
