//! How a run is going, as a line.

use std::fmt;
use std::time::Duration;

/// How it is at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Checkouts that were due so far.
    pub offered: u64,
    /// Those of which the shopper was shown a final state.
    pub completed: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those that were given up.
    pub gave_up: u64,
    /// Those for whose shoppers there was no room.
    pub not_sent: u64,
    /// All others.
    pub in_flight: u64,
    /// Steps that were tried again.
    pub retries: u64,
    /// From the moment at which the click was due to the end: of half no longer.
    pub p50: Duration,
    /// Of 99 % no longer.
    pub p99: Duration,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, completed, failed, in_flight, gave_up, not_sent, retries, .. } = self;
        let (seconds, p50, p99) = (self.elapsed.as_secs(), self.p50.as_millis(), self.p99.as_millis());
        write!(
            f,
            "{seconds:>4} s  offered {offered}  completed {completed} ({failed} failed)  in flight {in_flight}  p50 {p50} ms  p99 {p99} ms  retries {retries}"
        )?;
        if *gave_up > 0 {
            write!(f, "  given up {gave_up}")?;
        }
        if *not_sent > 0 {
            write!(f, "  not sent {not_sent}")?;
        }
        Ok(())
    }
}
