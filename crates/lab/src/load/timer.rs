//! A timer that fires at an absolute moment with the kernel's high-resolution timers.
//!
//! The runtime's own timers tick once per millisecond, which is longer than most of the latencies measured here.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;

use crate::clock::Moment;

/// One kernel timer, registered with the current runtime.
#[derive(Debug)]
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Errors: no file descriptor is left. Must be called within a runtime.
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).context("create a timer")?;
        Ok(Self(register(fd).context("register a timer")?))
    }

    /// Waits until `moment`, or not at all if it has passed. Cancel-safe: the next call sets the timer anew.
    pub(super) async fn until(&mut self, moment: Moment) -> Result<()> {
        // Setting the timer also forgets an earlier expiry, so nothing needs to be read from it.
        rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once_at(moment))
            .context("set a timer")?;
        while Moment::now() < moment {
            self.0.readable().await.context("wait for a timer")?.clear_ready();
        }
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "an OwnedFd stays one open file, which is all that the unsafe successor asks for"
)]
fn register(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

fn once_at(moment: Moment) -> Itimerspec {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Zero would disarm the timer; a moment of the monotonic clock is later than that.
    let (seconds, rest) = (moment.ns() / 1_000_000_000, moment.ns() % 1_000_000_000);
    Itimerspec {
        it_interval: zero,
        it_value: Timespec { tv_sec: seconds.cast_signed(), tv_nsec: rest.cast_signed() },
    }
}
