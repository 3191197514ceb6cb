//! Evaluation: what a command or a task makes of the state it finds.
//!
//! The order is fixed: a repetition is answered by what was kept; otherwise limits, conditions and operations are gone through
//! as they stand, the first that does not hold refuses the whole, and the outcome is kept. Whatever a refused command
//! changed is undone; what is left of it is the outcome, if it has an idempotency key.
//!
//! One transition per file: what an operation does to an item is a function of that item alone.

use std::sync::Arc;

use mainstay_base::hlc::HybridTime;
use mainstay_base::key::slot;

use crate::batch::Before;
use crate::command::{Command, Request};
use crate::definition::Definitions;
use crate::outcome::{OperationResult, Outcome, Refusal};
use crate::overlay::{Mutation, Overlay};
use crate::row::RowKey;
use crate::settings::Settings;
use crate::state;
use crate::task::{Input, Task};

mod adopt;
mod before;
mod commit;
mod condition;
mod define;
mod delete;
mod expiry;
mod hold;
mod idempotency;
mod increment;
mod index;
mod limits;
mod merge_patch;
mod place;
mod purge;
mod put;
mod reference;
mod removal;
mod valid;

pub use limits::check_limits;

/// What evaluation depends on beside the rows.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When.
    pub moment: Moment,
    /// Limits, and how long outcomes are kept.
    pub settings: &'a Settings,
    /// What the shard's rows define: [`Definitions::load`].
    pub definitions: &'a Definitions,
}

/// When a command is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of the batch, which never goes back.
    pub time: HybridTime,
    /// The line of history.
    pub timeline: u32,
}

/// What became of a command or a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The answer.
    pub outcome: Outcome,
    /// Whether the answer is the one that an earlier command with the same idempotency key was given.
    pub replayed: bool,
    /// The rows that change, each once, in the order of their first change. They are in the overlay already.
    pub effects: Vec<Mutation>,
    /// What some of these rows were before, for the feeds of collections that want it.
    pub before: Vec<Before>,
    /// What the rows define from now on, if that changes.
    pub definitions: Option<Arc<Definitions>>,
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

/// Evaluates a command or a task after all that are in the overlay, and leaves its changes there.
///
/// Errors: [`state::Error`] when a row cannot be read; then the overlay is as it was before.
pub fn evaluate(
    input: &Input,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Evaluated, state::Error> {
    overlay.begin();
    let evaluated = match input {
        Input::Command(command) => command_in(command, overlay, context),
        Input::Task(task) => task_in(task, overlay, context),
    };
    let evaluated = evaluated.and_then(|evaluated| defining(evaluated, overlay, context));
    if evaluated.is_err() {
        overlay.rollback();
    }
    evaluated
}

fn command_in(
    command: &Command,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Evaluated, state::Error> {
    let slot = slot(&command.tenant, &command.partition);
    let unchanged = |outcome, replayed| Evaluated {
        outcome,
        replayed,
        effects: Vec::new(),
        before: Vec::new(),
        definitions: None,
    };
    let kept = match &command.idempotency {
        None => None,
        Some(idempotency) => {
            let (moment, retention) = (context.moment, &context.settings.retention);
            let book = idempotency::Book { slot, tenant: &command.tenant, moment, retention };
            match idempotency::look_up(&book, idempotency, overlay)? {
                idempotency::Found::Replay(outcome) => return Ok(unchanged(outcome, true)),
                idempotency::Found::Mismatch(refusal) => return Ok(unchanged(refusal.into(), false)),
                idempotency::Found::Nothing { stale } => Some((book, idempotency, stale)),
            }
        }
    };
    let results = match &command.request {
        Request::Commit(commit) => commit::evaluate(command, commit, slot, overlay, context),
        Request::Define(define) => {
            define::define((&command.tenant, &command.caller), define, overlay, context)
        }
    };
    let outcome = outcome(results, overlay)?;
    if let Some((book, idempotency, stale)) = kept {
        idempotency::keep(&book, idempotency, stale, &outcome, overlay)?;
    }
    let effects = overlay.changed();
    let before = before::before(&effects, overlay, context.definitions)?;
    Ok(Evaluated { outcome, replayed: false, effects, before, definitions: None })
}

fn task_in(task: &Task, overlay: &mut Overlay<'_>, context: &Context<'_>) -> Result<Evaluated, state::Error> {
    let results = match task {
        Task::Declare(declare) => define::declare(declare, overlay, context),
        Task::Adopt(adopt) => adopt::adopt(adopt, overlay),
        Task::Fill(fill) => index::fill(fill, overlay, context),
        Task::Clear(clear) => index::clear(clear, overlay, context),
        Task::Reap(reap) => expiry::reap(reap, overlay, context),
        Task::StartPurge(start) => purge::start(start, overlay, context),
        Task::Remove(remove) => purge::remove(remove, overlay, context),
    };
    let outcome = outcome(results, overlay)?;
    let effects = overlay.changed();
    // A feed does not tell that an item was brought to its schema.
    let before = match task {
        Task::Fill(_) => Vec::new(),
        _ => before::before(&effects, overlay, context.definitions)?,
    };
    Ok(Evaluated { outcome, replayed: false, effects, before, definitions: None })
}

/// Reads what the rows define, if the row that says so has changed.
fn defining(
    mut evaluated: Evaluated,
    overlay: &Overlay<'_>,
    context: &Context<'_>,
) -> Result<Evaluated, state::Error> {
    let row = RowKey::shard();
    if evaluated.effects.iter().any(|mutation| mutation.key() == row.bytes()) {
        let definitions = context.definitions.changed_by(&evaluated.effects, overlay)?;
        evaluated.definitions = Some(Arc::new(definitions));
    }
    Ok(evaluated)
}

/// What becomes of it; a refusal leaves no change.
fn outcome(
    results: Result<Vec<OperationResult>, Stop>,
    overlay: &mut Overlay<'_>,
) -> Result<Outcome, state::Error> {
    match results {
        Ok(results) => Ok(Outcome::Committed(results)),
        Err(Stop::Refused(refusal)) => {
            overlay.rollback();
            overlay.begin();
            Ok(Outcome::Refused(refusal))
        }
        Err(Stop::State(error)) => Err(error),
    }
}
