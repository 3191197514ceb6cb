//! The local engine on the simulated disk, with an account of what it has promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::{Duration, Size};
use mainstay_log::faulty::{Random, SimDisk};
use mainstay_log::local::{Engine, Options, Reader, Recovery};
use mainstay_log::record::{Checksum, Draft, HEADER_BYTES, Record};
use mainstay_log::{Appended, Durability, Error, Tail};

/// More bytes than any shard has.
const ALL: usize = 1 << 30;

/// Small enough that a short workload rolls over and recycles.
pub fn options(durability: Durability) -> Options {
    Options {
        durability,
        segment: Size::from_kib(40),
        first_segment: Size::from_kib(16),
        record_max: Size::from_bytes(RECORD_BYTES_MAX as u64),
        group_max: Size::from_kib(8),
        ..Options::default()
    }
}

const RECORD_BYTES_MAX: usize = 4096;

/// What the log must hold.
#[derive(Default)]
struct Shard {
    /// Acknowledged, or seen after a recovery: index 1 first, also those that were trimmed.
    records: Vec<Record>,
    /// The records above whose outcome is unknown.
    maybe: Vec<Record>,
    /// How many of the records no crash of the machine may take.
    durable: usize,
    /// The highest index that it was asked to begin at.
    trimmed: u64,
    /// Where the engine has shown it to begin since it was opened.
    begins: u64,
    epoch: u64,
}

/// What a run has met, so that a run in which nothing happens is noticed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub acknowledged: usize,
    /// Unacknowledged records that were there after a crash, and that were not.
    pub kept: usize,
    pub lost: usize,
    pub cuts: usize,
    pub rewritten: usize,
    pub clean: usize,
    pub poisoned: usize,
    pub full: usize,
    pub recoveries: usize,
    /// The most segments that were there at once, and the number of the last.
    pub segments: usize,
    pub trims: usize,
}

pub struct World {
    pub disk: SimDisk,
    pub seen: Seen,
    random: Random,
    options: Options,
    clock: ManualClock,
    entropy: SeededEntropy,
    engine: Option<Engine>,
    shards: BTreeMap<ShardId, Shard>,
    /// The records of the group that was being written when the engine failed.
    group: Vec<(ShardId, Index)>,
    /// Whether the engine has to refuse appends until it is opened again.
    is_poisoned: bool,
}

impl World {
    /// An open log on an empty disk. `workload` is what is done, and `luck` what crashes keep.
    pub fn new(workload: u64, luck: u64, durability: Durability) -> Self {
        Self {
            disk: SimDisk::new(luck),
            seen: Seen::default(),
            random: Random::new(workload),
            options: options(durability),
            clock: ManualClock::default(),
            entropy: SeededEntropy::new(workload ^ luck),
            engine: None,
            shards: BTreeMap::new(),
            group: Vec::new(),
            is_poisoned: false,
        }
    }

    pub fn is_open(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether the engine takes nothing until it is opened again.
    pub fn is_failed(&self) -> bool {
        self.is_poisoned
    }

    /// One thing that is done to a log, drawn from the workload's seed.
    pub fn step(&mut self) {
        self.clock.advance(Duration::from_millis(400));
        match self.random.below(20) {
            0..=10 => self.commit(),
            11..=14 => self.trim(),
            15 | 16 => self.engine().prepare(),
            17 => self.commit_refused(),
            18 => self.check_readable(),
            _ if self.random.one_in(3) => self.restart(),
            _ => self.commit_large(),
        }
    }

    /// Opens the log; `false` when the machine stops or a sync fails in between.
    pub fn open(&mut self) -> bool {
        match self.try_open() {
            Ok(_) if self.disk.is_stopped() => {
                self.engine = None;
                false
            }
            Ok(recovery) => {
                self.seen.recoveries += 1;
                self.seen.cuts += usize::from(recovery.cut.is_some());
                self.seen.clean += usize::from(recovery.is_clean);
                self.seen.rewritten += usize::from(recovery.rewritten_bytes > 0);
                self.seen.segments = self.seen.segments.max(recovery.segments as usize);
                self.check_recovered();
                true
            }
            Err(Error::Unavailable { .. } | Error::Full { .. }) => false,
            Err(error) => panic!("the log can't be opened: {error}"),
        }
    }

    fn try_open(&mut self) -> Result<Recovery, Error> {
        let clock = Arc::new(self.clock.clone());
        let (engine, recovery) = Engine::open(self.disk.mount(), &self.options, clock, &self.entropy)?;
        self.engine = Some(engine);
        self.is_poisoned = false;
        Ok(recovery)
    }

    /// Ends the process.
    pub fn crash_process(&mut self) {
        self.engine = None;
        self.disk.crash_process();
    }

    /// Ends the process, after which the page cache is short of room: what a failed sync has left is gone.
    pub fn crash_process_and_evict(&mut self) {
        self.crash_process();
        self.disk.evict();
        self.doubt_written();
    }

    /// Loses power.
    pub fn crash_machine(&mut self) {
        self.engine = None;
        self.disk.crash_machine();
        self.doubt_written();
    }

    /// What was acknowledged when it was only written may be gone.
    fn doubt_written(&mut self) {
        if self.options.durability == Durability::Written {
            for shard in self.shards.values_mut() {
                let written = shard.records.split_off(shard.durable);
                shard.maybe.splice(0..0, written);
            }
        }
    }

    /// Stops cleanly and starts again.
    pub fn restart(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        let closed = engine.close();
        let has_failed = self.is_poisoned || self.disk.is_stopped();
        match closed {
            Ok(()) => assert!(!has_failed, "a failed log is closed as if nothing had been"),
            Err(_) => self.is_poisoned = true,
        }
        if closed.is_ok() {
            for shard in self.shards.values_mut() {
                shard.durable = shard.records.len();
            }
        }
        self.disk.crash_process();
        if closed.is_err() {
            return;
        }
        let begins: Vec<_> = self.shards.values().map(|shard| shard.begins.max(1)).collect();
        let had_room = self.has_room_for_a_seal();
        if self.open() && had_room {
            let again: Vec<_> = self.shards.keys().map(|id| self.tail(*id).begins.get()).collect();
            assert_eq!(again, begins, "a clean stop keeps what is trimmed");
        }
    }

    /// Whether the last block of the last segment was never written: then there was a place for a seal and
    /// the trims in it.
    fn has_room_for_a_seal(&self) -> bool {
        let names = self.disk.names();
        let last = names.iter().rfind(|name| name.starts_with("segment")).expect("a log has a segment");
        self.disk.contents(last).iter().rev().take(4096).all(|byte| *byte == 0)
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("the log is open")
    }

    fn reader(&self) -> Reader {
        self.engine.as_ref().expect("the log is open").reader()
    }

    fn tail(&self, shard: ShardId) -> Tail {
        self.reader().tail(shard).expect("the log is open")
    }

    /// A record at the end of what the shard has with what is pending of the batch.
    fn draw_record(&mut self, pending: &[Record]) -> Record {
        let shard = ShardId::new(self.random.below(4) as u32);
        let bytes = match self.random.below(8) {
            0..=4 => self.random.up_to(200),
            5 | 6 => self.random.up_to(RECORD_BYTES_MAX - HEADER_BYTES),
            _ => 0,
        };
        let before = pending.iter().filter(|record| record.head().shard == shard).count();
        let payload = Bytes::from(self.random.bytes(bytes));
        let id = self.random.id();
        let has_new_epoch = self.random.one_in(10);
        let known = self.shards.entry(shard).or_default();
        known.epoch += u64::from(has_new_epoch || known.epoch == 0);
        let index = (known.records.len() + before + 1) as u64;
        Draft::data(id, payload).seal(shard, Index::new(index), Epoch::new(known.epoch), Checksum::START)
    }

    fn commit(&mut self) {
        let count = if self.random.one_in(3) { 1 } else { self.random.between(1, 8) };
        let mut batch: Vec<Record> = Vec::new();
        for _ in 0..count {
            let record = self.draw_record(&batch);
            batch.push(record);
        }
        self.commit_batch(batch);
    }

    /// Records of the largest length alone, so that segments are filled to their ends.
    fn commit_large(&mut self) {
        let shard = ShardId::new(9);
        let payload = Bytes::from(self.random.bytes(RECORD_BYTES_MAX - HEADER_BYTES));
        let known = &*self.shards.entry(shard).or_default();
        let index = |at: usize| Index::new((known.records.len() + at + 1) as u64);
        let seal = |at| {
            Draft::data(self.random.id(), payload.clone()).seal(
                shard,
                index(at),
                Epoch::new(1),
                Checksum::START,
            )
        };
        let batch = (0..5).map(seal).collect();
        self.commit_batch(batch);
    }

    /// Appends that must do nothing.
    fn commit_refused(&mut self) {
        let shard = ShardId::new(0);
        let next = self.shards.entry(shard).or_default().records.len() as u64 + 1;
        let wrong = if self.random.one_in(2) { next + 1 } else { next.saturating_sub(1).max(1) };
        if wrong == next {
            return;
        }
        let draft = Draft::barrier(self.random.id());
        let record = draft.seal(shard, Index::new(wrong), Epoch::new(1 << 40), Checksum::START);
        let answers = self.engine().commit(vec![record]);
        let refused = matches!(answers[0], Err(Error::Refused { next: told, .. }) if told.get() == next);
        assert!(refused || self.is_poisoned, "{wrong} is refused, the next is {next}: {answers:?}");
    }

    fn commit_batch(&mut self, batch: Vec<Record>) {
        let answers = self.engine().commit(batch.clone());
        assert_eq!(answers.len(), batch.len());
        let was_poisoned = self.is_poisoned;
        for (record, answer) in batch.into_iter().zip(answers) {
            let head = *record.head();
            let shard = self.shards.get_mut(&head.shard).expect("a drawn record has its shard");
            match answer {
                Ok(Appended { index, durability }) => {
                    assert!(!self.is_poisoned, "a failed log acknowledges");
                    assert_eq!((index, durability), (head.index, self.options.durability));
                    assert_eq!(index.get(), shard.records.len() as u64 + 1, "it is acknowledged in order");
                    shard.records.push(record);
                    if durability == Durability::Synced {
                        shard.durable = shard.records.len();
                    }
                    self.seen.acknowledged += 1;
                }
                Err(Error::OutcomeUnknown { .. }) => {
                    assert!(!was_poisoned, "a failed log tries again");
                    self.is_poisoned = true;
                    self.group.push((head.shard, head.index));
                    shard.maybe.push(record);
                }
                Err(Error::Poisoned { .. }) => {
                    self.is_poisoned = true;
                    self.seen.poisoned += 1;
                }
                Err(Error::Full { .. } | Error::Unavailable { .. }) => self.seen.full += 1,
                Err(Error::Refused { next, .. }) => {
                    assert_eq!(next.get(), shard.records.len() as u64 + 1, "{answer:?}");
                    assert!(
                        head.index > next,
                        "only what stood behind a record that was not taken is refused"
                    );
                }
                Err(error) => panic!("the append fails: {error}"),
            }
        }
        if self.disk.is_stopped() {
            self.is_poisoned = true;
        }
        for (id, shard) in &self.shards {
            let next = self.tail(*id).next.get();
            assert_eq!(
                next,
                shard.records.len() as u64 + 1,
                "shard {id}: what is acknowledged can be read, and no more"
            );
        }
    }

    fn trim(&mut self) {
        let shards = self.shards.len() as u64;
        if shards == 0 {
            return;
        }
        let (id, end) = {
            let at = self.random.below(shards) as usize;
            let (id, shard) = self.shards.iter().nth(at).expect("it is below their number");
            (*id, shard.records.len() as u64 + 1)
        };
        let to = if self.random.one_in(2) { end } else { self.random.between(1, end + 1) };
        let outcome = self.engine().trim(id, Index::new(to));
        let begins = self.tail(id).begins.get();
        let shard = self.shards.get_mut(&id).expect("it was just there");
        (shard.trimmed, shard.begins) = (shard.trimmed.max(to), begins);
        match outcome {
            Ok(()) => {
                assert!(begins >= to, "it is trimmed");
                self.seen.trims += 1;
            }
            Err(Error::Poisoned { .. } | Error::Unavailable { .. }) => {
                self.is_poisoned |= matches!(outcome, Err(Error::Poisoned { .. }));
            }
            Err(error) => panic!("the trim fails: {error}"),
        }
    }

    /// Compares what the engine shows after a crash with what it has promised, and takes it as promised.
    fn check_recovered(&mut self) {
        let reader = self.reader();
        for (id, shard) in &mut self.shards {
            let tail = reader.tail(*id).expect("the log is open");
            let next = tail.next.get() as usize;
            let (least, most) = (shard.records.len() + 1, shard.records.len() + shard.maybe.len() + 1);
            assert!(next >= least, "shard {id}: {least} is the next index, and it has gone back to {next}");
            assert!(
                next <= most,
                "shard {id}: {next} is the next index, and nothing was appended from {most} on"
            );
            self.seen.kept += next - least;
            self.seen.lost += most - next;
            shard.records.extend(shard.maybe.drain(..).take(next - least));
            assert!(
                tail.begins.get() <= shard.trimmed.max(1),
                "shard {id}: more is trimmed than was asked for"
            );
            shard.begins = tail.begins.get();
        }
        self.check_group();
        self.check_readable();
        for shard in self.shards.values_mut() {
            // Recovery shows nothing before it is synced.
            shard.durable = shard.records.len();
        }
    }

    /// What was written at once is there as a whole or not at all.
    fn check_group(&mut self) {
        let is_there =
            |(shard, index): &(ShardId, Index)| index.get() <= self.shards[shard].records.len() as u64;
        let there = self.group.iter().filter(|record| is_there(record)).count();
        assert!(
            there == 0 || there == self.group.len(),
            "{there} of the {} records of a group",
            self.group.len()
        );
        self.group.clear();
    }

    /// Every record that is not trimmed is there, once, in order, and byte for byte.
    pub fn check_readable(&mut self) {
        let reader = self.reader();
        for (id, shard) in &self.shards {
            let tail = reader.tail(*id).expect("the log is open");
            let begins = tail.begins.get() as usize;
            let expected = &shard.records[begins - 1..];
            let bytes_max = if self.random.one_in(2) { ALL } else { self.random.up_to(10_000) };
            let mut next = tail.begins;
            let mut read = Vec::new();
            while next < tail.next {
                let some = reader.read(*id, next, bytes_max);
                let some = some.unwrap_or_else(|error| panic!("shard {id} can't be read at {next}: {error}"));
                assert!(!some.is_empty(), "shard {id}: there is no record at {next}");
                next = next.checked_add(some.len() as u64).expect("indexes stay below 2^64");
                read.extend(some);
            }
            assert!(
                read == expected,
                "shard {id}: from {begins} on other records are read than were appended"
            );
            if begins > 1 {
                let below = reader.read(*id, Index::new(begins as u64 - 1), 1);
                assert!(matches!(below, Err(Error::Trimmed { .. })), "{below:?}");
            }
        }
    }
}
