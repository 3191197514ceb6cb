//! Before a contestant is measured: every item is stored once, so that every contestant has the same items and every read
//! finds one.

use anyhow::Result;
use mainstay_lab::bench::Stop;
use mainstay_lab::duel::{Load, asking};
use mainstay_lab::items::{self, Operation, Task, Work};
use mainstay_lab::load::{Expect, Target};

/// Stores every item by way of `target`, then returns the load of the task.
pub(super) fn then<T: Target>(task: Task, target: impl Fn(Work) -> T) -> Result<Load> {
    items::fill(target(Work::in_turn(task)), task.items, &Stop::default())?;
    let expect = match task.operation {
        Operation::Put => Expect::default(),
        Operation::Get => Expect { status: Some(200), body_bytes: Some(task.value_bytes as u64) },
    };
    Ok(asking(target(Work::at_random(task)), expect))
}
