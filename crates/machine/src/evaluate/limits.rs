//! The limits that a commit keeps or breaks by itself, whatever the state.

use mainstay_base::error::Code;
use mainstay_base::units::Size;

use super::place::Place;
use crate::command::{Command, Commit, Condition, Operation, Request};
use crate::outcome::Refusal;
use crate::settings::Limits;

/// Checks the limits that a command keeps or breaks by itself. Errors: the refusal that evaluation would answer with.
///
/// To check before submitting keeps what is too large out of a shard's queue, and its refusal out of what is kept for
/// idempotency keys.
pub fn check_limits(command: &Command, limits: &Limits) -> Result<(), Box<Refusal>> {
    match &command.request {
        Request::Commit(commit) => check(commit, limits).map_err(Box::new),
        Request::Define(_) => Ok(()),
    }
}

pub(super) fn check(commit: &Commit, limits: &Limits) -> Result<(), Refusal> {
    check_count("conditions", commit.conditions.len(), limits.conditions_max)?;
    check_count("operations", commit.operations.len(), limits.operations_max)?;
    let mut bytes = 0;
    for (index, condition) in commit.conditions.iter().enumerate() {
        let place = Place::Condition(index, condition);
        check_key(place, limits)?;
        bytes += condition.item().key.as_str().len();
        if let Condition::Check { cel, .. } = condition {
            bytes += cel.source().len();
        }
        check_commit(place, bytes, limits)?;
    }
    for (index, operation) in commit.operations.iter().enumerate() {
        let place = Place::Operation(index, operation);
        check_key(place, limits)?;
        let value = match operation {
            Operation::Put { value, .. } => value.bytes().len(),
            Operation::MergePatch { patch, .. } => patch.bytes().len(),
            Operation::Delete { .. }
            | Operation::Increment { .. }
            | Operation::Hold { .. }
            | Operation::Release { .. } => 0,
        };
        check_value(place, value, limits)?;
        bytes += operation.item().key.as_str().len() + value;
        check_commit(place, bytes, limits)?;
    }
    Ok(())
}

fn check_count(what: &str, count: usize, max: u32) -> Result<(), Refusal> {
    if count as u64 <= max.into() {
        return Ok(());
    }
    let detail =
        format!("the commit has {count} {what}, and at most {max} are allowed: send several commits");
    Err(Refusal::new(Code::TooLarge, detail)
        .fact("limit", format!("{what}_max"))
        .fact("max", max)
        .fact("found", count))
}

fn check_key(place: Place<'_>, limits: &Limits) -> Result<(), Refusal> {
    let (bytes, max) = (place.item().key.as_str().len(), limits.key_bytes_max);
    if bytes as u64 <= max.into() {
        return Ok(());
    }
    let detail = format!("has a key of {bytes} bytes, and at most {max} are allowed: shorten the key");
    Err(too_large(place, &detail, "key_bytes_max", bytes).fact("max", max))
}

/// Checks the length of a value that comes in or is to be stored.
pub(super) fn check_value(place: Place<'_>, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    let max = limits.value_size_max;
    if bytes as u64 <= max.bytes() {
        return Ok(());
    }
    let detail = format!(
        "has or leaves a value of {bytes} bytes, and at most {max} are allowed: divide it among several items"
    );
    Err(too_large(place, &detail, "value_size_max", bytes).fact("max", max.bytes()))
}

/// Checks how many bytes a commit has brought in, or written, up to this place.
pub(super) fn check_commit(place: Place<'_>, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    let max = limits.commit_size_max;
    if bytes as u64 <= max.bytes() {
        return Ok(());
    }
    let detail = format!(
        "brings the keys and values of the commit to {}, and at most {max} are allowed: send several commits",
        Size::from_bytes(bytes as u64)
    );
    Err(too_large(place, &detail, "commit_size_max", bytes).fact("max", max.bytes()))
}

/// Checks how many bytes of items a commit has looked at up to this place.
pub(super) fn check_read(place: Place<'_>, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    let max = limits.read_size_max;
    if bytes as u64 <= max.bytes() {
        return Ok(());
    }
    let detail = format!(
        "brings the items that the commit looks at to {}, and at most {max} are allowed: send several commits",
        Size::from_bytes(bytes as u64)
    );
    Err(too_large(place, &detail, "read_size_max", bytes).fact("max", max.bytes()))
}

fn too_large(place: Place<'_>, detail: &str, limit: &str, found: usize) -> Refusal {
    place.refuse(Code::TooLarge, detail).fact("limit", limit).fact("found", found)
}
