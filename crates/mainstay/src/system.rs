//! The machine's clock and randomness behind the ports of `mainstay-base`.
//!
//! The only place of the binary that asks the machine for time.

use std::cell::RefCell;
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
        let micros = u64::try_from(since.as_micros()).ok();
        micros.and_then(Timestamp::checked_from_micros).unwrap_or(Timestamp::MAX)
    }
}

/// The kernel's random number generator, asked for a block at a time by each thread: every request draws its id,
/// and a system call for ten bytes costs as much as the rest of the id's making.
#[derive(Debug, Default)]
pub struct SystemEntropy;

const BLOCK_BYTES: usize = 1024;

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK_BYTES], used: BLOCK_BYTES }) };
}

struct Block {
    bytes: [u8; BLOCK_BYTES],
    /// Bytes before this were given out and are never given again.
    used: usize,
}

impl Block {
    fn give(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.used == BLOCK_BYTES {
                fill_from_kernel(&mut self.bytes);
                self.used = 0;
            }
            let count = bytes.len().min(BLOCK_BYTES - self.used);
            let given = &mut self.bytes[self.used..self.used + count];
            let (now, rest) = bytes.split_at_mut(count);
            now.copy_from_slice(given);
            given.fill(0);
            self.used += count;
            bytes = rest;
        }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        BLOCK.with_borrow_mut(|block| block.give(bytes));
    }
}

fn fill_from_kernel(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let count = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += count.expect("the kernel gives random bytes once it has booted");
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
