//! What a run is like, drawn from its seed: what fails in it, and how seldom.
//!
//! Each seed leaves some faults out altogether, since some mistakes show only where others do not hide them.

use mainstay_base::units::{Duration, Size};
use mainstay_log::faulty::{self, Random};
use mainstay_log::{Limits, Log};

use super::SHARD;
use crate::owner::{Config, Options};

/// How seldom what happens, once in so many; never for 0.
pub(super) struct Odds {
    pub(super) take_over: u64,
    pub(super) crash: u64,
    pub(super) end: u64,
    pub(super) jump: u64,
    pub(super) flush: u64,
    pub(super) trim: u64,
    pub(super) stray: u64,
    pub(super) pause: u64,
    pub(super) fail_store: u64,
    pub(super) lose_answer: u64,
    pub(super) lose_log_answer: u64,
    /// The longest deadline in milliseconds; 0 for none.
    pub(super) deadline_ms: u64,
    /// How many steps a client waits.
    pub(super) patience: u64,
}

impl Odds {
    pub(super) const CALM: Self = Self {
        take_over: 1,
        crash: 0,
        end: 0,
        jump: 0,
        flush: 0,
        trim: 0,
        stray: 0,
        pause: 0,
        fail_store: 0,
        lose_answer: 0,
        lose_log_answer: 0,
        deadline_ms: 0,
        patience: 4_000,
    };

    pub(super) fn draw(random: &Random) -> Self {
        let sometimes = |low, high| if random.one_in(3) { 0 } else { random.between(low, high) };
        Self {
            take_over: random.between(2, 100),
            crash: sometimes(4, 60),
            end: sometimes(8, 60),
            jump: sometimes(2, 20),
            flush: sometimes(1, 20),
            trim: sometimes(2, 20),
            stray: sometimes(2, 20),
            pause: sometimes(1, 10),
            fail_store: sometimes(20, 200),
            lose_answer: sometimes(4, 40),
            lose_log_answer: sometimes(8, 60),
            deadline_ms: sometimes(40, 1_500),
            patience: random.between(50, 800),
        }
    }
}

pub(super) fn draw_config(random: &Random, inner: &dyn Log) -> Config {
    let announced = inner.limits().record_bytes_max;
    // Seldom the engine takes less than it has said.
    let record_bytes_max = if random.one_in(8) { announced + 2_000 } else { announced };
    Config {
        shard: SHARD,
        limits: Limits { record_bytes_max },
        guarantees: inner.guarantees(),
        is_exclusive: random.one_in(4),
        options: Options {
            batch_commands_max: random.between(1, 9) as usize,
            batch_size_max: Size::from_kib(8),
            read_size: Size::from_bytes(random.between(1, 4_096)),
            reads_max: random.between(1, 9) as usize,
            log_timeout: Duration::from_millis(random.between(30, 400)),
            retry_delay_min: Duration::from_millis(random.between(1, 10)),
            retry_delay_max: Duration::from_millis(100),
            clock_offset_max: Duration::from_millis(500),
        },
    }
}

pub(super) fn draw_faults(random: &Random) -> faulty::Odds {
    let sometimes = |low, high| if random.one_in(3) { 0 } else { random.between(low, high) };
    faulty::Odds {
        delay_steps: random.between(1, 4),
        late: sometimes(4, 40),
        drop: sometimes(4, 40),
        double: sometimes(2, 12),
        lose: sometimes(2, 20),
        sync: random.between(1, 8),
        crash_process: sometimes(30, 300),
        crash_machine: sometimes(8, 80),
        unavailable: sometimes(20, 200),
        full: sometimes(20, 200),
        pause: sometimes(50, 500),
    }
}
