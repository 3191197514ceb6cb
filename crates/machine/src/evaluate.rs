//! Evaluation: what a command makes of the state it finds.
//!
//! The order is fixed: a repetition is answered by what was kept; otherwise limits, conditions and operations are gone through
//! as they stand, the first that does not hold refuses the whole, and the outcome is kept. Whatever a refused command
//! changed is undone; what is left of it is the outcome, if it has an idempotency key.
//!
//! One transition per file: what an operation does to an item is a function of that item alone.

use mainstay_base::hlc::HybridTime;
use mainstay_base::key::slot;

use crate::command::{Command, Request};
use crate::outcome::{Outcome, Refusal};
use crate::overlay::{Mutation, Overlay};
use crate::settings::Settings;
use crate::state;

mod commit;
mod condition;
mod delete;
mod idempotency;
mod increment;
mod limits;
mod merge_patch;
mod place;
mod put;

pub use limits::check_limits;

/// When a command is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of the batch, which never goes back.
    pub time: HybridTime,
    /// The line of history.
    pub timeline: u32,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The answer.
    pub outcome: Outcome,
    /// Whether the answer is the one that an earlier command with the same idempotency key was given.
    pub replayed: bool,
    /// The rows that change, each once, in the order of their first change. They are in the overlay already.
    pub effects: Vec<Mutation>,
}

/// Why a command goes no further.
enum Stop {
    Refused(Box<Refusal>),
    State(state::Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<state::Error> for Stop {
    fn from(error: state::Error) -> Self {
        Self::State(error)
    }
}

/// Evaluates a command after all that are in the overlay, and leaves its changes there.
///
/// Errors: [`state::Error`] when a row cannot be read; then the overlay is as it was before.
pub fn evaluate(
    command: &Command,
    overlay: &mut Overlay<'_>,
    moment: Moment,
    settings: &Settings,
) -> Result<Evaluated, state::Error> {
    overlay.begin();
    let evaluated = evaluate_in(command, overlay, moment, settings);
    if evaluated.is_err() {
        overlay.rollback();
    }
    evaluated
}

fn evaluate_in(
    command: &Command,
    overlay: &mut Overlay<'_>,
    moment: Moment,
    settings: &Settings,
) -> Result<Evaluated, state::Error> {
    let slot = slot(&command.tenant, &command.partition);
    let unchanged = |outcome, replayed| Evaluated { outcome, replayed, effects: Vec::new() };
    let kept = match &command.idempotency {
        None => None,
        Some(idempotency) => {
            let book =
                idempotency::Book { slot, tenant: &command.tenant, moment, retention: &settings.retention };
            match idempotency::look_up(&book, idempotency, overlay)? {
                idempotency::Found::Replay(outcome) => return Ok(unchanged(outcome, true)),
                idempotency::Found::Mismatch(refusal) => return Ok(unchanged(refusal.into(), false)),
                idempotency::Found::Nothing { stale } => Some((book, idempotency, stale)),
            }
        }
    };
    let outcome = match &command.request {
        Request::Commit(_) => commit::evaluate(command, slot, overlay, moment, settings),
    };
    let outcome = match outcome {
        Ok(results) => Outcome::Committed(results),
        Err(Stop::Refused(refusal)) => {
            overlay.rollback();
            overlay.begin();
            Outcome::Refused(refusal)
        }
        Err(Stop::State(error)) => return Err(error),
    };
    if let Some((book, idempotency, stale)) = kept {
        idempotency::keep(&book, idempotency, stale, &outcome, overlay)?;
    }
    Ok(Evaluated { outcome, replayed: false, effects: overlay.changed() })
}
