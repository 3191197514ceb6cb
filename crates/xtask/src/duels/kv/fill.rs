//! Before a contestant is measured: every item is stored once, the way clients do it, so that every contestant has the same
//! items and every read finds one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::duel::{Load, asking};
use mainstay_lab::load::{Client, Expect, Target};
use tokio::task::{JoinSet, LocalSet};

use super::work::{Operation, Task, VALUE_BYTES, Work};

/// So many at once: what makes most contestants fast.
const CLIENTS: usize = 64;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Stores every item by way of `target`, then returns the load of the task.
pub(super) fn then<T: Target>(task: Task, target: impl Fn(Work) -> T) -> Result<Load> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    let storing = target(Work::in_turn(task.items));
    let filled = LocalSet::new().block_on(&runtime, async {
        let filling = fill(Arc::new(storing), task.items);
        tokio::time::timeout(TIMEOUT, filling).await.context("it takes too long")?
    });
    filled.context("store the items")?;
    Ok(asking(target(Work::at_random(task)), expected(task.operation)))
}

fn expected(operation: Operation) -> Expect {
    match operation {
        Operation::Put => Expect::default(),
        Operation::Get => Expect { status: Some(200), body_bytes: Some(VALUE_BYTES as u64) },
    }
}

async fn fill<T: Target>(target: Arc<T>, items: u32) -> Result<()> {
    let calls = items.div_ceil(CLIENTS as u32);
    let mut tasks = JoinSet::new();
    for mut client in target.clients(CLIENTS) {
        tasks.spawn_local(async move {
            client.connect().await.map_err(|failure| anyhow::anyhow!("connect: {failure}"))?;
            for _ in 0..calls {
                let answer = client.call().await.map_err(|failure| anyhow::anyhow!("{failure}"))?;
                ensure!(expected(Operation::Put).accepts(&answer), "status {}", answer.status);
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a client failed")??;
    }
    Ok(())
}
