//! What processes have told about a log, and what must therefore be in it.

use std::collections::BTreeMap;
use std::path::Path;

use mainstay_base::time::ManualClock;
use mainstay_log::local::{LogEnd, inspect};

use super::child::{self, Job, Report};

/// The log in one directory through the processes that worked on it, one after another.
pub struct History {
    job: Job,
    shards: BTreeMap<u32, Shard>,
    /// How many records were acknowledged, in all runs.
    pub acknowledged: u64,
    /// How many records were there at the end of a run without an acknowledgement.
    pub unacknowledged: u64,
}

#[derive(Default)]
struct Shard {
    /// The run that each record is of, from index 1 on.
    runs: Vec<u64>,
    /// Where it begins at least: a seal has said so.
    begins: u64,
    /// The highest index that was asked for, was acknowledged, and was trimmed to.
    sent: u64,
    acknowledged: u64,
    trimmed: u64,
}

impl History {
    /// Of no process yet, in this directory.
    pub fn new(directory: &Path, seed: u64) -> Self {
        let directory = directory.to_owned();
        let shards = child::shards().map(|shard| (shard, Shard::default())).collect();
        let job = Job { directory, seed, run: 0, trims: true, turns: u64::MAX };
        Self { job, shards, acknowledged: 0, unacknowledged: 0 }
    }

    /// The job of the next process.
    pub fn next_job(&mut self) -> Job {
        self.job.run += 1;
        self.job.clone()
    }

    /// The records of the shard that are known to be in the log.
    pub fn next(&self, shard: u32) -> u64 {
        self.shards[&shard].runs.len() as u64 + 1
    }

    /// Believes what the process has told, as far as that can be.
    pub fn note(&mut self, report: &Report) {
        let Job { seed, run, .. } = self.job;
        match *report {
            Report::Opened { shard, begins, next } => {
                assert_eq!(next, self.next(shard), "shard {shard}: a start shows what the one before showed");
                self.shards[&shard].check_begins(shard, begins);
            }
            Report::Sent { shard, index } => self.shard(shard).sent = index,
            Report::Acknowledged { shard, index, checksum } => {
                let expected = child::record(seed, run, shard, index).checksum().get();
                assert_eq!(checksum, expected, "shard {shard}, index {index}");
                let shard = self.shard(shard);
                shard.acknowledged = shard.acknowledged.max(index);
                self.acknowledged += 1;
            }
            Report::Trimming { shard, to } => {
                let shard = self.shard(shard);
                shard.trimmed = shard.trimmed.max(to);
            }
            Report::ReadBack { shard, begins, .. } => self.shards[&shard].check_begins(shard, begins),
            Report::Opening
            | Report::Full { .. }
            | Report::Unavailable { .. }
            | Report::Unknown { .. }
            | Report::Poisoned { .. }
            | Report::Closed { .. } => {}
        }
    }

    /// The process has ended: opens the log, which must hold what was acknowledged, each record once, in order and byte for
    /// byte, and nothing that nobody had sent. Closes it, or leaves it as a crash would.
    /// Returns how the log had ended.
    pub fn check(&mut self, closes: bool) -> LogEnd {
        let Job { directory, seed, run, .. } = self.job.clone();
        let found = inspect(&directory).expect("the directory can be read");
        assert_eq!(found.damage, [], "run {run}: no kill damages the log");
        let (local, _) = child::open(&directory, &ManualClock::default()).expect("the log opens");
        let runtime = child::runtime();
        let mut seen = BTreeMap::new();
        for (id, shard) in &mut self.shards {
            let known = shard.runs.len() as u64;
            let (begins, next) = child::read_back(&local, &runtime, *id, |index| {
                let of = usize::try_from(index - 1).expect("a test's log is short");
                child::record(seed, shard.runs.get(of).copied().unwrap_or(run), *id, index)
            });
            let last = next - 1;
            let acknowledged = shard.acknowledged.max(known);
            assert!(
                last >= acknowledged,
                "run {run}, shard {id}: {acknowledged} is lost, {last} is the last"
            );
            assert!(last <= shard.sent.max(known), "run {run}, shard {id}: nobody has sent {last}");
            shard.check_begins(*id, begins);
            self.unacknowledged += last - acknowledged;
            shard.sent = last;
            shard.runs.resize(usize::try_from(last).expect("a test's log is short"), run);
            seen.insert(*id, begins);
        }
        if closes {
            runtime.block_on(local.close()).expect("the log closes");
            assert_eq!(inspect(&directory).expect("it can be read").end, LogEnd::Sealed);
            seen.into_iter().for_each(|(id, begins)| self.shard(id).begins = begins);
        }
        found.end
    }

    fn shard(&mut self, shard: u32) -> &mut Shard {
        self.shards.get_mut(&shard).expect("the processes know these shards only")
    }
}

impl Shard {
    fn check_begins(&self, shard: u32, begins: u64) {
        let (low, high) = (self.begins, self.trimmed.max(1));
        assert!(begins <= high, "shard {shard} begins at {begins}, and was trimmed to {high} at most");
        assert!(begins >= low, "shard {shard} begins at {begins}, and was sealed when it began at {low}");
    }
}
