//! Watches processes at an interval, on a thread of its own.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::proc::{MachineCpu, Pid, Usage, usage};
use crate::clock::Moment;

/// One look at the watched processes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When, since the sampler was started.
    pub at: Duration,
    /// What they used.
    pub usage: Usage,
    /// What the whole machine had used.
    pub machine: MachineCpu,
}

/// A running sampler. Dropping it ends its thread.
#[derive(Debug)]
pub struct Sampler {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl Sampler {
    /// Samples `roots` and their descendants now, every `interval`, and once more when it is stopped.
    ///
    /// Errors: no thread can be started.
    pub fn start(roots: Vec<Pid>, interval: Duration) -> Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let watch = move || {
            let started = Moment::now();
            let mut samples = Vec::new();
            loop {
                let at = Moment::now().since(started);
                let machine = MachineCpu::read().unwrap_or_default();
                samples.push(Sample { at, usage: usage(&roots), machine });
                let next = interval.saturating_sub(Moment::now().since(started.plus(at)));
                if stopped.recv_timeout(next) != Err(RecvTimeoutError::Timeout) {
                    let machine = MachineCpu::read().unwrap_or_default();
                    samples.push(Sample { at: Moment::now().since(started), usage: usage(&roots), machine });
                    return samples;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("lab-sampler".to_owned())
            .spawn(watch)
            .context("start a sampler")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends it and returns what it saw, oldest first, at least two samples.
    pub fn stop(mut self) -> Result<Vec<Sample>> {
        self.stop = None;
        let thread = self.thread.take().expect("only stop and drop take the thread");
        thread.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // What it saw is not wanted any more; a panic was already printed by the thread.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_sees_a_child_come_and_go() {
        let sampler = Sampler::start(vec![std::process::id()], Duration::from_millis(5)).unwrap();
        let mut child = std::process::Command::new("sleep").arg("0.5").spawn().unwrap();
        child.wait().unwrap();
        let samples = sampler.stop().unwrap();
        assert!(samples.len() >= 2);
        assert!(samples.is_sorted_by_key(|sample| sample.at));
        assert!(samples.iter().any(|sample| sample.usage.processes >= 2), "{samples:?}");
    }
}
