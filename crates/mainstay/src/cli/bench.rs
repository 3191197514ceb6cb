//! `mainstay bench`: what this machine can do.

mod embedded;
mod items;
mod log;
mod recovery;
mod report;
mod served;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use mainstay_base::time::Clock;
use mainstay_base::units::Size;
use mainstay_lab::bench::{Place, Stop};
use mainstay_lab::items::Operation;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::life::signals::Signals;
use crate::system::SystemClock;

/// The commands under `bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Measure durable appends to the log, beside what the bare disk can do
    Log(log::Log),
    /// Measure durable commits: clients put items, each drawn at random
    Commits(items::Items),
    /// Measure linearizable reads: clients get items, each drawn at random, all of which were stored before
    Reads(items::Items),
    /// Measure how long a start takes that has to make its stores again from the log
    Recovery(recovery::Recovery),
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(bench: Bench) -> io::Result<u8> {
    match bench {
        Bench::Log(log) => log::run(&log),
        Bench::Commits(items) => items::run(&items, Operation::Put),
        Bench::Reads(items) => items::run(&items, Operation::Get),
        Bench::Recovery(recovery) => recovery::run(&recovery),
    }
}

/// Makes the folder of a measurement, which is removed with what is in it.
fn folder_in(dir: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(".mainstay-bench-").tempdir_in(dir);
    folder.with_context(|| format!("make a folder in {}", dir.display()))
}

/// Writes the configuration of a node with one collection, its data below `folder`, and these lines; returns the file.
fn configure(folder: &Path, shards: u32, lines: &str) -> Result<PathBuf> {
    let data = serde_json::Value::from(folder.join("data").to_string_lossy());
    let text = format!(
        "data: {data}\nshards: {shards}\ncollections: {{ kv: {{}} }}\ntelemetry: {{ logs: {{ level: warn, format: json }} }}\n{lines}"
    );
    let file = folder.join("mainstay.yaml");
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// Errors: there is too little space, with how much is missing.
fn check_space(place: &Place, needed: Size, dir: &Path) -> Result<()> {
    ensure!(
        place.available >= needed,
        "{} has {} MiB free, and this needs {} MiB for a while: free some, or name a folder on another disk with --dir",
        dir.display(),
        place.available.bytes() >> 20,
        needed.bytes().div_ceil(1 << 20),
    );
    Ok(())
}

/// Does the work on this thread; a signal to stop asks it to end.
fn until_signal<T>(work: impl FnOnce(&Stop) -> Result<T>) -> Result<T> {
    let stop = Stop::default();
    let (done, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("build a runtime for signals")?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen().context("listen for signals")?
    };
    thread::scope(|scope| {
        let asked = stop.clone();
        let watch = thread::Builder::new().name("signals".to_owned()).spawn_scoped(scope, move || {
            runtime.block_on(async {
                tokio::select! {
                    () = signals.stop() => asked.ask(),
                    _ = ended => {}
                }
            });
        });
        watch.context("start the thread for signals")?;
        let worked = work(&stop);
        // Gone already if a signal came.
        let _ = done.send(());
        worked
    })
}

fn today() -> String {
    let now = SystemClock::new().wall().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_refused_with_what_to_do() {
        let place = Place {
            file_system: "ext4".to_owned(),
            source: "/dev/sda1".to_owned(),
            available: Size::from_mib(100),
        };
        assert!(check_space(&place, Size::from_mib(100), Path::new("here")).is_ok());
        let error = check_space(&place, Size::from_mib(101), Path::new("here")).unwrap_err().to_string();
        assert_eq!(
            error,
            "here has 100 MiB free, and this needs 101 MiB for a while: free some, or name a folder on another disk \
             with --dir"
        );
    }

    #[test]
    fn work_returns_its_outcome_without_a_signal() {
        assert_eq!(until_signal(|_| Ok(7)).unwrap(), 7);
    }
}
