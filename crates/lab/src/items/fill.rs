//! Before reads are measured: every item is stored once, the way clients do it, so that every read finds one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::task::{JoinSet, LocalSet};

use crate::bench::Stop;
use crate::load::{Client, Expect, Target};

/// So many at once: what makes most servers fast.
const CLIENTS: u32 = 64;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Makes `calls` of the clients of `target`, or a few more, each of which stores one item. Blocks.
///
/// Errors: one of them is not answered with success, it takes too long, or `stop` was asked for.
pub fn fill<T: Target>(target: T, calls: u32, stop: &Stop) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    let filled = LocalSet::new().block_on(&runtime, async {
        let filling = store(Arc::new(target), calls, stop);
        tokio::time::timeout(TIMEOUT, filling).await.context("it takes too long")?
    });
    stop.check()?;
    filled.context("store the items")
}

async fn store<T: Target>(target: Arc<T>, calls: u32, stop: &Stop) -> Result<()> {
    let share = calls.div_ceil(CLIENTS);
    let mut tasks = JoinSet::new();
    for mut client in target.clients(CLIENTS as usize) {
        let stop = stop.clone();
        tasks.spawn_local(async move {
            client.connect().await.map_err(|failure| anyhow!("connect: {failure}"))?;
            for _ in 0..share {
                stop.check()?;
                let answer = client.call().await.map_err(|failure| anyhow!("{failure}"))?;
                ensure!(Expect::default().accepts(&answer), "status {}", answer.status);
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a client failed")??;
    }
    Ok(())
}
