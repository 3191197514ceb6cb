//! Several writers who all believe that they own a shard, on an engine that is as weak as the contract allows.
//!
//! Appends and answers are delayed, dropped, doubled, reordered and lost; what was appended can be read before it is
//! durable, and a crash of the engine loses any part of that; the engine is unavailable, full or paused; writers
//! pause, die, and come back from a snapshot; the log is trimmed. After every step the log is read from the start
//! and compared with what was promised. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_log::accept::{Acceptance, Cursor, Verdict};
use mainstay_log::faulty::{self, Faulty, Random};
use mainstay_log::memory::Memory;
use mainstay_log::record::{Checksum, Draft, Kind, Record};
use mainstay_log::writer::{Step, Stop, Writer};
use mainstay_log::{Appended, BoxFuture, Error, Log};

const SHARD: ShardId = ShardId::new(3);
const WRITERS: usize = 3;
const STEPS: u32 = 1_000;

type Value = u64;

/// What nobody asked for, and so must never count.
const STRAY: Value = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Open,
    Committed,
    /// The caller was told that nothing was done.
    NotDone,
    /// The caller was told that nobody knows.
    Unknown,
}

/// How rarely something happens in a run, besides the engine's faults: drawn from the seed, so that runs differ
/// in kind.
struct Odds {
    claim: u64,
    time_out: u64,
    die: u64,
    stray: u64,
}

impl Odds {
    fn draw(random: &Random) -> Self {
        Self {
            claim: random.between(1, 120),
            time_out: random.between(10, 80),
            die: random.between(4, 80),
            stray: random.between(2, 40),
        }
    }

    const CALM: Self = Self { claim: 1, time_out: 200, die: 0, stray: 0 };
}

fn draw_faults(random: &Random) -> faulty::Odds {
    let sometimes = |low, high| if random.one_in(4) { 0 } else { random.between(low, high) };
    faulty::Odds {
        delay_steps: random.between(1, 4),
        late: sometimes(4, 40),
        drop: sometimes(4, 40),
        double: sometimes(2, 12),
        lose: sometimes(2, 20),
        sync: random.between(1, 12),
        crash_process: sometimes(30, 300),
        crash_machine: sometimes(4, 40),
        unavailable: sometimes(20, 200),
        full: sometimes(20, 200),
        pause: sometimes(50, 500),
    }
}

/// What was asked of the engine and is not answered.
enum Asked {
    Nothing,
    Append(BoxFuture<'static, Result<Appended, Error>>),
    Read(Index, BoxFuture<'static, Result<Vec<Record>, Error>>),
}

/// What the engine has answered; nothing to a step that asks nothing.
enum Answer {
    Append(Result<Appended, Error>),
    Read(Result<Option<Record>, Error>),
    None,
}

/// One look at whether it is answered.
fn poll<T>(future: &mut BoxFuture<'static, T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What an owner has made of the log: the values, each with the index it came from.
type State = Vec<(Index, Value)>;

struct Owner {
    phase: Phase,
    asked: Asked,
    state: State,
    /// The value that a caller waits for, and the highest index that was acknowledged when it was given.
    value: Option<(Value, Index)>,
}

#[expect(clippy::large_enum_variant, reason = "there are three of them")]
enum Phase {
    Following(Acceptance),
    Writing(Writer, Step),
}

struct World {
    random: Random,
    engine: Faulty,
    /// Every record as the engine shows it, with those that were trimmed.
    records: Vec<Record>,
    /// The first index that a crash of the engine can take.
    durable: Index,
    owners: Vec<Owner>,
    trims: Vec<BoxFuture<'static, Result<(), Error>>>,
    snapshot: (Cursor, State),
    promises: BTreeMap<Value, Promise>,
    acknowledged: u32,
    /// The highest index of an acknowledged value.
    highest: Index,
    claims: u32,
    stale: u64,
    orphans: u64,
    unknown: u32,
    rejected: u32,
    odds: Odds,
    candidates: usize,
}

fn value_of(record: &Record) -> Option<Value> {
    let bytes = <[u8; 8]>::try_from(&record.payload()[..]).ok()?;
    (record.head().kind == Kind::Data).then(|| Value::from_le_bytes(bytes))
}

fn apply(state: &mut State, record: &Record) {
    state.extend(value_of(record).map(|value| (record.head().index, value)));
}

impl World {
    fn new(seed: u64) -> Self {
        let follow = || Owner {
            phase: Phase::Following(Acceptance::new(SHARD)),
            asked: Asked::Nothing,
            state: State::new(),
            value: None,
        };
        let random = Random::new(seed);
        Self {
            odds: Odds::draw(&random),
            candidates: WRITERS,
            engine: Faulty::new(Arc::new(Memory::default()), draw_faults(&random), random.number()),
            random,
            records: Vec::new(),
            durable: Index::FIRST,
            owners: (0..WRITERS).map(|_| follow()).collect(),
            trims: Vec::new(),
            snapshot: (Cursor::START, State::new()),
            promises: BTreeMap::new(),
            acknowledged: 0,
            highest: Index::new(0),
            claims: 0,
            stale: 0,
            orphans: 0,
            unknown: 0,
            rejected: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(14) {
            0..=6 => {
                let owner = self.random.below(self.candidates as u64) as usize;
                self.act(owner);
            }
            7..=11 => self.engine.step(),
            12 if self.random.one_in(self.odds.die) => {
                let owner = self.random.below(WRITERS as u64) as usize;
                self.depose(owner, true);
                self.follow_snapshot(owner);
            }
            13 if self.random.one_in(self.odds.stray) => self.stray(),
            _ => {}
        }
        self.trims.retain_mut(|trim| poll(trim).is_none());
        self.look();
        self.check();
    }

    /// Reads what the engine shows now; what was durable can't have changed.
    fn look(&mut self) {
        let (records, durable) = self.engine.peek(SHARD, self.durable).expect("the engine inside works");
        assert!(durable >= self.durable, "the engine has lost what was durable");
        self.records.truncate(self.durable.get() as usize - 1);
        self.records.extend(records);
        self.durable = durable;
    }

    fn next(&self) -> Index {
        Index::new(self.records.len() as u64 + 1)
    }

    /// A writer that is not the owner any more, and does not keep to the contract, appends at the end unread.
    fn stray(&mut self) {
        let (_, acceptance) = self.read_all(self.durable);
        let epoch = acceptance.cursor().epoch.get();
        if epoch > 1 {
            let draft = Draft::data(self.random.id(), Bytes::copy_from_slice(&STRAY.to_le_bytes()));
            let prev = Checksum::new(self.random.below(1 << 32) as u32);
            let _ = self.engine.put(draft.seal(SHARD, self.next(), Epoch::new(epoch - 1), prev));
        }
    }

    /// The record at an index, once the engine has answered.
    fn read(&mut self, at: usize, index: Index) -> Option<Result<Option<Record>, Error>> {
        let asked = &mut self.owners[at].asked;
        if !matches!(asked, Asked::Read(of, _) if *of == index) {
            let engine = self.engine.clone();
            *asked = Asked::Read(index, Box::pin(async move { engine.read(SHARD, index, 1).await }));
        }
        let Asked::Read(_, future) = asked else { unreachable!("it was just asked") };
        let outcome = poll(future)?;
        *asked = Asked::Nothing;
        Some(outcome.map(|records| records.into_iter().next()))
    }

    /// What became of an append, once the engine has answered or the owner has waited long enough.
    fn append(&mut self, at: usize, record: &Record) -> Option<Result<Appended, Error>> {
        let asked = &mut self.owners[at].asked;
        if matches!(asked, Asked::Nothing) {
            let (engine, record) = (self.engine.clone(), record.clone());
            *asked = Asked::Append(Box::pin(async move { engine.append(record).await }));
        }
        let Asked::Append(future) = asked else { unreachable!("one thing is asked at a time") };
        let timeout = || {
            let index = record.head().index;
            let unknown = Error::OutcomeUnknown { shard: SHARD, index, reason: "timeout".into() };
            self.random.one_in(self.odds.time_out).then_some(Err(unknown))
        };
        let outcome = poll(future).or_else(timeout)?;
        *asked = Asked::Nothing;
        Some(outcome)
    }

    fn act(&mut self, at: usize) {
        match &mut self.owners[at].phase {
            Phase::Following(_) => self.follow(at),
            Phase::Writing(..) => self.write(at),
        }
    }

    /// Reads one record, or claims the shard at the end of the log.
    fn follow(&mut self, at: usize) {
        let Phase::Following(acceptance) = &self.owners[at].phase else { unreachable!() };
        let next = acceptance.cursor().next;
        let Some(outcome) = self.read(at, next) else { return };
        let owner = &mut self.owners[at];
        let Phase::Following(acceptance) = &mut owner.phase else { unreachable!() };
        match outcome {
            Err(Error::Trimmed { .. }) => self.follow_snapshot(at),
            Err(Error::Unavailable { .. }) => {}
            Err(error) => panic!("the log can be read, and not: {error}"),
            Ok(Some(record)) => match acceptance.offer(&record) {
                Verdict::Accepted => apply(&mut owner.state, &record),
                Verdict::Skipped(_) => {}
                // What it had read may be gone: believed only if it is still so from settled ground.
                Verdict::Damaged { .. } => self.follow_settled(at),
            },
            Ok(None) if self.random.one_in(self.odds.claim) => {
                let epoch = acceptance.epoch_seen().get() + 1 + self.random.below(2);
                let (writer, step) =
                    Writer::claim(acceptance.clone(), Epoch::new(epoch), &Draft::epoch(self.random.id()));
                owner.phase = Phase::Writing(writer, step);
            }
            Ok(None) => {}
        }
    }

    fn write(&mut self, at: usize) {
        let Phase::Writing(_, step) = &self.owners[at].phase else { unreachable!() };
        let step = step.clone();
        let answer = match &step {
            Step::Append(record) => self.append(at, record).map(Answer::Append),
            Step::Read(index) => self.read(at, *index).map(Answer::Read),
            _ => Some(Answer::None),
        };
        let Some(answer) = answer else { return };
        let owner = &mut self.owners[at];
        let Phase::Writing(writer, next) = &mut owner.phase else { unreachable!() };
        *next = match (step, answer) {
            (_, Answer::Append(outcome)) => writer.on_append(outcome),
            (_, Answer::Read(outcome)) => writer.on_read(outcome),
            (Step::Apply(record), _) => {
                apply(&mut owner.state, &record);
                writer.applied()
            }
            (Step::Barrier, _) => writer.append(&Draft::barrier(self.random.id())),
            (Step::Committed(_), _) => return self.submit(at),
            (Step::Rejected(_), _) => {
                let is_owner = writer.is_ready();
                self.rejected += 1;
                self.depose(at, false);
                return if is_owner { self.submit(at) } else { self.follow_settled(at) };
            }
            (Step::Stopped { stop, in_doubt }, _) => {
                assert!(!matches!(stop, Stop::Damaged { .. } | Stop::Failed(_)), "{stop}");
                self.depose(at, in_doubt);
                return self.follow_settled(at);
            }
            (Step::Append(_) | Step::Read(_), Answer::None) => unreachable!("these wait for an answer"),
        };
        self.after(at);
    }

    /// A new value, a barrier, or a trim.
    fn submit(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        let Phase::Writing(writer, step) = &mut owner.phase else { unreachable!() };
        if self.random.one_in(16) {
            let settled = writer.acceptance().settled();
            let below = |(index, _): &(Index, Value)| *index < settled.next;
            if settled.next > self.snapshot.0.next {
                self.snapshot = (settled, owner.state.iter().copied().filter(below).collect());
                let (engine, to) = (self.engine.clone(), settled.next);
                self.trims.push(Box::pin(async move { engine.trim(SHARD, to).await }));
            }
        }
        *step = if self.random.one_in(5) {
            writer.append(&Draft::barrier(self.random.id()))
        } else {
            let value = self.promises.len() as Value;
            self.promises.insert(value, Promise::Open);
            owner.value = Some((value, self.highest));
            writer.append(&Draft::data(self.random.id(), Bytes::copy_from_slice(&value.to_le_bytes())))
        };
        self.after(at);
    }

    fn after(&mut self, at: usize) {
        self.look();
        let owner = &mut self.owners[at];
        let Phase::Writing(writer, Step::Committed(record)) = &owner.phase else { return };
        assert_eq!(writer.acceptance().settled(), writer.acceptance().cursor());
        match record.head().kind {
            Kind::Epoch => self.claims += 1,
            Kind::Barrier => {}
            Kind::Data => {
                apply(&mut owner.state, record);
                let value = value_of(record).expect("data carries a value");
                let (asked, highest_before) = owner.value.take().expect("a caller waits");
                assert_eq!(asked, value, "what was asked for is what is committed");
                let index = record.head().index;
                assert!(index > highest_before, "{index} comes after {highest_before} was acknowledged");
                self.promises.insert(value, Promise::Committed);
                self.highest = self.highest.max(index);
                self.acknowledged += 1;
            }
        }
        // An owner serves from what it has applied: all that counts, and nothing else.
        let end = writer.acceptance().cursor().next;
        let (accepted, _) = self.read_all(end);
        assert_eq!(self.owners[at].state, accepted, "the owner has applied what the log says");
    }

    fn depose(&mut self, at: usize, in_doubt: bool) {
        if let Some((value, _)) = self.owners[at].value.take() {
            self.unknown += u32::from(in_doubt);
            self.promises.insert(value, if in_doubt { Promise::Unknown } else { Promise::NotDone });
        }
    }

    fn follow_settled(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        owner.asked = Asked::Nothing;
        let settled = match &owner.phase {
            Phase::Following(acceptance) => acceptance.settled(),
            Phase::Writing(writer, _) => writer.acceptance().settled(),
        };
        owner.state.retain(|(index, _)| *index < settled.next);
        owner.phase = Phase::Following(Acceptance::resume(SHARD, settled));
    }

    fn follow_snapshot(&mut self, at: usize) {
        let (cursor, state) = self.snapshot.clone();
        let owner = &mut self.owners[at];
        (owner.asked, owner.state) = (Asked::Nothing, state);
        owner.phase = Phase::Following(Acceptance::resume(SHARD, cursor));
    }

    /// Everything that was promised holds in the log as it is.
    fn check(&mut self) {
        let (accepted, acceptance) = self.read_all(self.next());
        let counts = acceptance.counts();
        (self.stale, self.orphans) = (self.stale.max(counts.stale), self.orphans.max(counts.orphans));
        let values: BTreeSet<Value> = accepted.iter().map(|(_, value)| *value).collect();
        assert_eq!(values.len(), accepted.len(), "a value counts twice: {accepted:?}");
        assert!(!values.contains(&STRAY), "what nobody asked for counts");
        for (value, promise) in &self.promises {
            match promise {
                Promise::Committed => {
                    assert!(values.contains(value), "the acknowledged value {value} is lost");
                }
                Promise::NotDone => assert!(!values.contains(value), "{value} was not done, and counts"),
                Promise::Open | Promise::Unknown => {}
            }
        }
        for owner in &self.owners {
            let acceptance = match &owner.phase {
                Phase::Following(acceptance) => acceptance,
                Phase::Writing(writer, _) => writer.acceptance(),
            };
            self.check_settled(acceptance);
        }
    }

    /// What a reader calls settled is durable, and is what anyone else reads.
    fn check_settled(&self, reader: &Acceptance) {
        let settled = reader.settled();
        assert!(settled.next <= self.durable, "settled, and not durable: {settled:?}");
        if settled.next >= self.snapshot.0.next {
            let mut again = Acceptance::resume(SHARD, self.snapshot.0);
            while again.cursor().next < settled.next {
                let _ = again.offer(self.record(again.cursor().next));
            }
            assert_eq!(again.cursor(), settled, "settled, and read otherwise by another");
        }
    }

    /// A record below the end.
    fn record(&self, index: Index) -> &Record {
        &self.records[index.get() as usize - 1]
    }

    /// The history up to an index, as anyone reads it who comes now.
    fn read_all(&self, end: Index) -> (State, Acceptance) {
        let (cursor, mut state) = self.snapshot.clone();
        let mut acceptance = Acceptance::resume(SHARD, cursor);
        while acceptance.cursor().next < end {
            let record = self.record(acceptance.cursor().next);
            match acceptance.offer(record) {
                Verdict::Accepted => apply(&mut state, record),
                Verdict::Skipped(_) => {}
                Verdict::Damaged { place, damage } => panic!("damaged at {place}: {damage}"),
            }
        }
        // Who learns late that it was acknowledged is behind the snapshot.
        state.retain(|(index, _)| *index < end);
        (state, acceptance)
    }
}

/// Runs one seed; when it fails, tells how to replay it and what the engine did.
fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    if catch_unwind(AssertUnwindSafe(|| drive(&mut world))).is_err() {
        let history = world.engine.history();
        panic!(
            "{history}seed {seed} fails; replay: MAINSTAY_SEED={seed} cargo test -p mainstay-log simulation"
        );
    }
    world
}

/// Faults for a while, then calm, in which a value must get through.
fn drive(world: &mut World) {
    for _ in 0..STEPS {
        world.step();
    }
    // Candidates who go on deposing one another get nothing done: in calm there is one.
    (world.odds, world.candidates) = (Odds::CALM, 1);
    world.engine.set_odds(faulty::Odds::NONE);
    let before = world.acknowledged;
    let mut calm = 0;
    while world.acknowledged == before {
        world.step();
        calm += 1;
        assert!(calm < 20_000, "nothing gets through in calm");
    }
    let (kept, _) =
        world.engine.peek(SHARD, world.snapshot.0.next).expect("the snapshot goes up to where it begins");
    assert!(world.records.ends_with(&kept), "the log is what it was seen to become");
}

/// Runs these seeds, or the one that is to be replayed; a simulation in which nothing happens proves nothing.
fn run_all(seeds: Range<u64>) {
    #[expect(clippy::disallowed_methods, reason = "how a person names the seed to replay")]
    if let Ok(seed) = std::env::var("MAINSTAY_SEED") {
        run(seed.parse().expect("MAINSTAY_SEED is a number"));
        return;
    }
    let count = seeds.end - seeds.start;
    let [mut acknowledged, mut claims, mut unknown, mut rejected, mut stale, mut orphans] = [0_u64; 6];
    for seed in seeds {
        let world = run(seed);
        acknowledged += u64::from(world.acknowledged);
        claims += u64::from(world.claims);
        unknown += u64::from(world.unknown);
        rejected += u64::from(world.rejected);
        stale += world.stale;
        orphans += world.orphans;
    }
    let seen = format!(
        "{acknowledged} acknowledged, {claims} claims, {unknown} unknown, {rejected} rejected, {stale} stale, \
         {orphans} orphans"
    );
    let is_busy = acknowledged > 2 * count && claims > count && unknown > count / 2 && rejected > count / 8;
    assert!(is_busy && stale > count && orphans > count / 100, "{seen}");
}

#[test]
fn what_is_acknowledged_counts_once_and_in_order() {
    run_all(0..1_000);
}

#[test]
#[ignore = "takes minutes"]
fn what_is_acknowledged_counts_once_and_in_order_for_long() {
    run_all(1_000..100_000);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let log = |seed| run(seed).records.iter().map(Record::checksum).collect::<Vec<_>>();
    assert_eq!(log(5), log(5));
    assert_ne!(log(5), log(6));
}
