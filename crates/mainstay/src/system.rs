//! The machine's clock and randomness behind the ports of `mainstay-base`.
//!
//! The only place of the binary that asks the machine for time.

use std::time::{Instant as StdInstant, SystemTime};

use mainstay_base::time::{Clock, Entropy, Instant, Timestamp};

/// The machine's clocks. Monotonic time starts when this is made.
#[derive(Debug)]
pub struct SystemClock {
    origin: StdInstant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let origin = StdInstant::now();
        Self { origin }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).expect("a process lives under 584 years");
        Instant::from_nanos(nanos)
    }

    fn wall(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let now = SystemTime::now();
        // A clock before 1970 is a machine without one; the epoch is as good an answer as any.
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The kernel's random number generator.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            let count = rustix::rand::getrandom(&mut bytes[filled..], flags);
            filled += count.expect("the kernel gives random bytes once it has booted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_keeps_the_contract_of_the_ports() {
        mainstay_base::time::conformance::clock(&SystemClock::new());
        mainstay_base::time::conformance::entropy(&SystemEntropy);
    }
}
