//! A process that outlives Mainstay by the moment that it takes to end its programs.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fleet::Number;

/// Watches over the programs of this process: it reads from us, and when that ends, however we have ended, it ends them.
#[derive(Debug)]
pub(super) struct Lifeline {
    command: Vec<OsString>,
    /// With its standard input.
    child: Mutex<Option<Child>>,
}

/// How often it is looked whether it has ended, and how often in all.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 500;

impl Lifeline {
    /// One that is started when it is needed.
    pub(super) const fn new(command: Vec<OsString>) -> Self {
        Self { command, child: Mutex::new(None) }
    }

    /// Sees to it that it is there.
    pub(super) fn hold(&self) {
        let mut child = self.child();
        if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return;
        }
        let [program, arguments @ ..] = self.command.as_slice() else { return };
        let mut command = Command::new(program);
        // In a group of its own, which a terminal's Ctrl-C does not reach.
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        // It is no program of a node that runs this one.
        command.env_remove("MAINSTAY_INSTANCE");
        match command.spawn() {
            Ok(started) => *child = Some(started),
            Err(error) => {
                tracing::warn!(target: "mainstay::upstream", %error, "programs would outlive this process if it was killed: their lifeline does not start");
            }
        }
    }

    /// Tells it of a program, which may hide what it was started with.
    pub(super) fn tell(&self, instance: Number, pid: i32) {
        let mut child = self.child();
        let Some(stdin) = child.as_mut().and_then(|child| child.stdin.as_mut()) else { return };
        // A few bytes, which a pipe takes as long as it is read at all.
        if let Err(error) = writeln!(stdin, "{pid}") {
            tracing::debug!(target: "mainstay::upstream", instance = instance.0, %error, "the lifeline has gone");
        }
    }

    /// Lets it go, when there are no programs any more. Blocks until it has ended, for some seconds at most.
    pub(super) fn end(&self) {
        let Some(mut child) = self.child().take() else { return };
        drop(child.stdin.take());
        for _ in 0..LOOKS_MAX {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "it blocks, and says so")]
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        // A child is there or not at any time.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
