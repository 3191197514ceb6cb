//! A process that works on a local log and tells what it does, for tests that end it or take things away from it.
//!
//! The test binary starts itself: the one test in here, run by its name with a job in its environment, is the process.
//! It tells what it asks for before it asks, and what is acknowledged after that, one JSON object a line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdout, Command, ExitStatus, Stdio};
use std::task::Poll;
use std::{env, io, thread};

use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Entropy, ManualClock, SeededEntropy};
use mainstay_base::units::{Duration, Size};
use mainstay_log::faulty::Random;
use mainstay_log::local::{Local, Options, Recovery};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use mainstay_log::{Appended, Error, Log};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

/// Where the job of the process is.
const JOB: &str = "MAINSTAY_TEST_JOB";

const THREADS: u32 = 4;
const SHARDS_PER_THREAD: u32 = 2;

/// How many records of a shard are asked for at once, at most.
const WINDOW: u64 = 4;

/// How many records of a shard a trim leaves, at most.
const KEPT_MAX: u64 = 40;

/// What the process is to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    pub directory: PathBuf,
    /// What payloads and choices come from.
    pub seed: u64,
    /// Counts the processes in this directory from 1; the epoch of its records.
    pub run: u64,
    /// Whether it trims now and then.
    pub trims: bool,
    /// How often each thread appends until it stops by itself.
    pub turns: u64,
}

/// What the process tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It opens the log now.
    Opening,
    /// It found the shard like this.
    Opened { shard: u32, begins: u64, next: u64 },
    /// It appends now, up to this index.
    Sent { shard: u32, index: u64 },
    /// The append was acknowledged.
    Acknowledged { shard: u32, index: u64, checksum: u32 },
    /// It trims now.
    Trimming { shard: u32, to: u64 },
    /// The append was refused for lack of space, with this error.
    Full { shard: u32, error: String },
    /// The append was refused since the log does not work for now, with this error.
    Unavailable { shard: u32, error: String },
    /// The append has an unknown outcome.
    Unknown { shard: u32, index: u64 },
    /// The append was refused since the log is poisoned, and so is a trim.
    Poisoned { shard: u32, index: u64 },
    /// It has read every record of the shard, and each was as it was appended.
    ReadBack { shard: u32, begins: u64, next: u64 },
    /// It has closed the log.
    Closed { poisoned: bool },
}

/// Every shard that the process works on.
pub fn shards() -> std::ops::Range<u32> {
    0..THREADS * SHARDS_PER_THREAD
}

/// The only record that is ever appended at this index in this run.
pub fn record(seed: u64, run: u64, shard: u32, index: u64) -> Record {
    let entropy = SeededEntropy::new(seed ^ run << 48 ^ u64::from(shard) << 40 ^ index);
    let mut drawn = [0; 18];
    entropy.fill(&mut drawn);
    let [low, high, id @ ..] = drawn;
    let bytes = usize::from(u16::from_le_bytes([low, high]));
    // Most are small, some take several blocks.
    let mut payload = vec![0; if bytes.is_multiple_of(16) { bytes % 9000 } else { bytes % 600 }];
    entropy.fill(&mut payload);
    let (shard, index) = (ShardId::new(shard), Index::new(index));
    Draft::data(RecordId::new(id), Bytes::from(payload)).seal(shard, index, Epoch::new(run), Checksum::START)
}

/// Segments are small, so that they roll over, and are used again, all the time.
pub fn open(directory: &Path, clock: &ManualClock) -> Result<(Local, Recovery), Error> {
    let options = Options {
        segment: Size::from_kib(64),
        first_segment: Size::from_kib(64),
        record_max: Size::from_kib(12),
        group_max: Size::from_kib(16),
        ..Options::default()
    };
    let log = process::id();
    Local::open(directory, &options, Arc::new(clock.clone()), &SeededEntropy::new(u64::from(log)))
}

pub fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime can be made")
}

/// Reads every record of the shard and compares it with the one that `expected` gives for its index; where it begins and ends.
pub fn read_back(
    local: &Local,
    runtime: &Runtime,
    shard: u32,
    expected: impl Fn(u64) -> Record,
) -> (u64, u64) {
    let id = ShardId::new(shard);
    let tail = runtime.block_on(local.tail(id)).expect("a log tells its ends");
    let mut next = tail.begins;
    while next < tail.next {
        let read = runtime.block_on(local.read(id, next, 1 << 16)).expect("every record can be read");
        assert!(!read.is_empty(), "shard {shard} has a record at {next}: it ends at {}", tail.next);
        for record in read {
            assert_eq!(record, expected(next.get()), "shard {shard}, index {next}: the bytes of its writer");
            next = next.next();
        }
    }
    assert_eq!(next, tail.next, "nothing is read beyond the end");
    (tail.begins.get(), next.get())
}

/// A process that works.
pub struct Child {
    process: process::Child,
    lines: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it, in place of the last arguments of the program `wrapper` if there is one.
    pub fn start(job: &Job, wrapper: &[&OsStr]) -> Self {
        let name = module_path!().split_once("::").expect("it is a module of the binary").1;
        let mut command = this_test(wrapper, &format!("{name}::works"));
        let job = serde_json::to_string(job).expect("a job can be written");
        let command = command.arg("--ignored").env(JOB, job).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the process starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, lines }
    }

    /// The next thing that it tells; none when it has ended.
    pub fn next(&mut self) -> Option<Report> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).expect("what it tells is text") == 0 {
                return None;
            }
            // The rest is what test binaries print.
            if line.starts_with('{') {
                return Some(serde_json::from_str(&line).expect("it tells what there is to tell"));
            }
        }
    }

    /// Ends it by SIGKILL, and returns what it still had told.
    pub fn kill(mut self) -> Vec<Report> {
        self.process.kill().expect("it is ours to kill");
        let rest = std::iter::from_fn(|| self.next()).collect();
        self.process.wait().expect("it has ended");
        rest
    }

    /// Everything that it tells until it ends by itself, and how it ends.
    pub fn finish(mut self) -> (Vec<Report>, ExitStatus) {
        let reports = std::iter::from_fn(|| self.next()).collect();
        (reports, self.process.wait().expect("it has ended"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A test that failed; if it has ended already there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This test binary, to run the one test of this name, by way of the program `wrapper` if there is one.
pub fn this_test(wrapper: &[&OsStr], name: &str) -> Command {
    let binary = env::current_exe().expect("a test knows where it is");
    let mut words = wrapper.iter().copied().chain([binary.as_os_str()]);
    let mut command = Command::new(words.next().expect("there is the binary at least"));
    command.args(words).args([name, "--exact", "--nocapture"]);
    command
}

fn report(report: &Report) {
    let mut line = serde_json::to_string(report).expect("a report can be written");
    line.push('\n');
    // One write, so that nothing tears it. When nobody listens any more, the process ends.
    io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
}

#[test]
#[ignore = "is the process that other tests start; by itself it does nothing"]
fn works() {
    #[expect(clippy::disallowed_methods, reason = "how the process gets its job")]
    let Ok(job) = env::var(JOB) else { return };
    // What the test binary has printed may lack its end of line.
    io::stdout().lock().write_all(b"\n").expect("somebody listens");
    serde_json::from_str::<Job>(&job).expect("it is a job").run();
}

impl Job {
    fn run(&self) {
        let clock = ManualClock::default();
        report(&Report::Opening);
        let (local, _) = open(&self.directory, &clock).expect("the log opens");
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (local, clock) = (&local, clock.clone());
                scope.spawn(move || Worker::new(self, local, clock, thread).run());
            }
        });
        let closed = runtime().block_on(local.close());
        report(&Report::Closed { poisoned: closed.is_err() });
    }
}

/// One of the threads, the only user of its shards.
struct Worker<'a> {
    job: &'a Job,
    local: &'a Local,
    clock: ManualClock,
    random: Random,
    runtime: Runtime,
    /// The next index of each of its shards, and the one of this run's first record.
    shards: BTreeMap<u32, (u64, u64)>,
    is_poisoned: bool,
}

impl<'a> Worker<'a> {
    fn new(job: &'a Job, local: &'a Local, clock: ManualClock, thread: u32) -> Self {
        let random = Random::new(job.seed ^ job.run << 8 ^ u64::from(thread));
        let runtime = runtime();
        let of = thread * SHARDS_PER_THREAD..(thread + 1) * SHARDS_PER_THREAD;
        let opened = of.map(|shard| {
            let tail = runtime.block_on(local.tail(ShardId::new(shard))).expect("a log tells its ends");
            let (begins, next) = (tail.begins.get(), tail.next.get());
            report(&Report::Opened { shard, begins, next });
            (shard, (next, next))
        });
        let shards = opened.collect();
        Self { job, local, clock, random, runtime, shards, is_poisoned: false }
    }

    fn run(mut self) {
        let shards: Vec<_> = self.shards.keys().copied().collect();
        for _ in 0..self.job.turns {
            let shard = shards[self.random.up_to(shards.len() - 1)];
            if !self.append(shard) {
                break;
            }
            if self.job.trims && self.random.one_in(6) {
                self.trim(shard);
            }
        }
        if self.is_poisoned {
            shards.into_iter().for_each(|shard| self.is_dead_but_readable(shard));
        }
    }

    /// Appends some records to the shard; whether to go on.
    fn append(&mut self, shard: u32) -> bool {
        let (from, _) = self.shards[&shard];
        let to = from + self.random.below(WINDOW);
        report(&Report::Sent { shard, index: to });
        let append = |index| {
            let record = record(self.job.seed, self.job.run, shard, index);
            let checksum = record.checksum().get();
            (index, checksum, self.local.append(record))
        };
        let mut appends: Vec<_> = (from..=to).map(append).collect();
        let mut outcomes = Vec::new();
        self.runtime.block_on(poll_fn(|context| {
            appends.retain_mut(|(index, checksum, append)| {
                let Poll::Ready(outcome) = append.as_mut().poll(context) else { return true };
                if let Ok(Appended { index, .. }) = &outcome {
                    let (index, checksum) = (index.get(), *checksum);
                    report(&Report::Acknowledged { shard, index, checksum });
                }
                outcomes.push((*index, outcome));
                false
            });
            if appends.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        outcomes.sort_unstable_by_key(|(index, _)| *index);
        outcomes.into_iter().all(|(index, outcome)| self.note(shard, index, outcome))
    }

    /// Takes notice of the outcome; false when the log is poisoned.
    fn note(&mut self, shard: u32, index: u64, outcome: Result<Appended, Error>) -> bool {
        let (next, _) = self.shards.get_mut(&shard).expect("it is one of its own");
        match outcome {
            Ok(_) => {
                assert_eq!(*next, index, "what is acknowledged has no gap");
                *next += 1;
            }
            Err(Error::Refused { .. }) if *next < index => {}
            Err(Error::OutcomeUnknown { .. }) => {
                report(&Report::Unknown { shard, index });
                self.is_poisoned = true;
            }
            Err(Error::Poisoned { .. }) => self.is_poisoned = true,
            Err(error @ Error::Full { .. }) => {
                report(&Report::Full { shard, error: error.to_string() });
                self.rest(shard);
            }
            Err(error @ Error::Unavailable { .. }) => {
                report(&Report::Unavailable { shard, error: error.to_string() });
                self.rest(shard);
            }
            Err(error) => panic!("shard {shard}, index {index}: {error}"),
        }
        !self.is_poisoned
    }

    /// After nothing could be appended: reading works, trimming helps, and later is another time.
    fn rest(&mut self, shard: u32) {
        self.read_back(shard);
        if self.job.trims {
            self.trim(shard);
        }
        self.clock.advance(Duration::from_secs(1));
    }

    fn trim(&self, shard: u32) {
        let (next, _) = self.shards[&shard];
        let to = next.saturating_sub(self.random.below(KEPT_MAX)).max(1);
        report(&Report::Trimming { shard, to });
        self.runtime
            .block_on(self.local.trim(ShardId::new(shard), Index::new(to)))
            .or_else(|error| if matches!(error, Error::Poisoned { .. }) { Ok(()) } else { Err(error) })
            .expect("what is in the log can be trimmed");
    }

    /// Reads this run's records of the shard again.
    fn read_back(&self, shard: u32) {
        let (next, first) = self.shards[&shard];
        let id = ShardId::new(shard);
        let Job { seed, run, .. } = *self.job;
        let (begins, end) = read_back(self.local, &self.runtime, shard, |index| {
            if index >= first {
                return record(seed, run, shard, index);
            }
            // Of an earlier run, which its record tells.
            let read = self.runtime.block_on(self.local.read(id, Index::new(index), 1)).expect("it is there");
            record(seed, read[0].head().epoch.get(), shard, index)
        });
        assert_eq!(end, next, "shard {shard} shows what was acknowledged and nothing else");
        report(&Report::ReadBack { shard, begins, next });
    }

    fn is_dead_but_readable(&self, shard: u32) {
        let (index, _) = self.shards[&shard];
        let append = self.local.append(record(self.job.seed, self.job.run, shard, index));
        let appended = self.runtime.block_on(append);
        assert!(matches!(appended, Err(Error::Poisoned { .. })), "R16, append: {appended:?}");
        let trimmed = self.runtime.block_on(self.local.trim(ShardId::new(shard), Index::new(index)));
        assert!(matches!(trimmed, Err(Error::Poisoned { .. })), "R16, trim: {trimmed:?}");
        report(&Report::Poisoned { shard, index });
        self.read_back(shard);
    }
}
