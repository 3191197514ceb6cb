//! Several writers who all believe that they own a shard, on an engine that is as weak as the contract allows.
//!
//! Appends and answers are delayed, doubled, reordered and lost; what was appended can be read before it is
//! durable, and a crash of the engine loses any part of that; writers pause, die, and come back from a
//! snapshot; the log is trimmed. After every step the log is read from the start and compared with what was
//! promised. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::catch_unwind;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Entropy, SeededEntropy};
use mainstay_log::accept::{Acceptance, Cursor, Verdict};
use mainstay_log::record::{Checksum, Draft, Kind, Record, RecordId};
use mainstay_log::writer::{Step, Stop, Writer};
use mainstay_log::{Appended, Durability, Error};

const SHARD: ShardId = ShardId::new(3);
const WRITERS: usize = 3;
const STEPS: u32 = 600;

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

struct Random(SeededEntropy);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn one_in(&self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    fn pick<T>(&self, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(self.below(from.len() as u64) as usize))
    }

    fn id(&self) -> RecordId {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        RecordId::new(bytes)
    }
}

/// How rarely something happens in a run: drawn from the seed, so that runs differ in kind.
struct Odds {
    claim: u64,
    time_out: u64,
    double: u64,
    lose: u64,
    crash: u64,
    die: u64,
    stray: u64,
}

impl Odds {
    fn draw(random: &Random) -> Self {
        let between = |low, high| low + random.below(high - low);
        Self {
            claim: between(1, 60),
            time_out: between(2, 40),
            double: between(2, 12),
            lose: between(2, 20),
            crash: between(2, 12),
            die: between(4, 40),
            stray: between(2, 40),
        }
    }

    const CALM: Self = Self {
        claim: 1,
        time_out: 40,
        double: u64::MAX,
        lose: u64::MAX,
        crash: u64::MAX,
        die: u64::MAX,
        stray: u64::MAX,
    };
}

/// The log as an engine with a volatile end: everything can be read, `durable` records survive a crash.
#[derive(Default)]
struct Engine {
    records: Vec<Record>,
    durable: usize,
    trimmed: usize,
    waiting: Vec<Answer>,
}

#[derive(Debug, Clone)]
struct Request {
    writer: usize,
    attempt: u64,
    record: Record,
}

#[derive(Debug, Clone)]
struct Answer {
    writer: usize,
    attempt: u64,
    index: Index,
    outcome: Result<(), Error>,
}

impl Engine {
    fn next(&self) -> Index {
        Index::new(self.records.len() as u64 + 1)
    }

    fn append(&mut self, request: Request) -> Option<Answer> {
        let Request { writer, attempt, record } = request;
        let (index, next) = (record.head().index, self.next());
        let answer = |outcome| Answer { writer, attempt, index, outcome };
        if index != next {
            return Some(answer(Err(Error::Refused { shard: SHARD, index, next })));
        }
        self.records.push(record);
        self.waiting.push(answer(Ok(())));
        None
    }

    fn sync(&mut self) -> Vec<Answer> {
        self.durable = self.records.len();
        std::mem::take(&mut self.waiting)
    }

    fn crash(&mut self, random: &Random) {
        let volatile = (self.records.len() - self.durable) as u64;
        self.records.truncate(self.durable + random.below(volatile + 1) as usize);
        // What the crash left is what recovery syncs before anyone sees it.
        self.durable = self.records.len();
        self.waiting.clear();
    }

    fn read(&self, index: Index) -> Result<Option<Record>, Error> {
        let place = index.get() as usize - 1;
        if place < self.trimmed {
            let begins = Index::new(self.trimmed as u64 + 1);
            return Err(Error::Trimmed { shard: SHARD, index, begins });
        }
        Ok(self.records.get(place).cloned())
    }
}

/// What an owner has made of the log: the values, each with the index it came from.
type State = Vec<(Index, Value)>;

struct Owner {
    phase: Phase,
    /// The number of the append that an answer must carry to be heard.
    attempt: u64,
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
    engine: Engine,
    owners: Vec<Owner>,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    snapshot: (Cursor, State),
    promises: BTreeMap<Value, Promise>,
    acknowledged: u32,
    /// The highest index of an acknowledged value.
    highest: Index,
    claims: u32,
    stale: u64,
    orphans: u64,
    unknown: u32,
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
            attempt: 0,
            state: State::new(),
            value: None,
        };
        let random = Random(SeededEntropy::new(seed));
        Self {
            odds: Odds::draw(&random),
            candidates: WRITERS,
            random,
            engine: Engine::default(),
            owners: (0..WRITERS).map(|_| follow()).collect(),
            requests: Vec::new(),
            answers: Vec::new(),
            snapshot: (Cursor::START, State::new()),
            promises: BTreeMap::new(),
            acknowledged: 0,
            highest: Index::new(0),
            claims: 0,
            stale: 0,
            orphans: 0,
            unknown: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(17) {
            0..=5 => {
                let owner = self.random.below(self.candidates as u64) as usize;
                self.act(owner);
            }
            6..=8 => {
                if let Some(request) = self.random.pick(&mut self.requests) {
                    if self.random.one_in(self.odds.double) {
                        self.requests.push(request.clone());
                    }
                    let refusal = self.engine.append(request);
                    self.answers.extend(refusal);
                }
            }
            9 | 10 => {
                let answers = self.engine.sync();
                self.answers.extend(answers);
            }
            11..=13 => {
                if let Some(answer) = self.random.pick(&mut self.answers)
                    && !self.random.one_in(self.odds.lose)
                {
                    self.deliver(answer);
                }
            }
            14 if self.random.one_in(self.odds.crash) => self.engine.crash(&self.random),
            15 if self.random.one_in(self.odds.die) => {
                let owner = self.random.below(WRITERS as u64) as usize;
                self.depose(owner, true);
                self.follow_snapshot(owner);
            }
            16 if self.random.one_in(self.odds.stray) => self.stray(),
            _ => {}
        }
        self.check();
    }

    /// A writer that is not the owner any more, and does not keep to the contract, appends at the end unread.
    fn stray(&mut self) {
        let durable = Index::new(self.engine.durable as u64 + 1);
        let (_, acceptance) = read_all(&self.engine, &self.snapshot, durable);
        let epoch = acceptance.cursor().epoch.get();
        if epoch > 1 {
            let draft = Draft::data(self.random.id(), Bytes::copy_from_slice(&STRAY.to_le_bytes()));
            let prev = Checksum::new(self.random.below(1 << 32) as u32);
            self.engine.records.push(draft.seal(SHARD, self.engine.next(), Epoch::new(epoch - 1), prev));
        }
    }

    fn act(&mut self, at: usize) {
        match &mut self.owners[at].phase {
            Phase::Following(_) => self.follow(at),
            Phase::Writing(..) => self.write(at),
        }
    }

    /// Reads one record, or claims the shard at the end of the log.
    fn follow(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        let Phase::Following(acceptance) = &mut owner.phase else { unreachable!() };
        match self.engine.read(acceptance.cursor().next) {
            Err(_) => self.follow_snapshot(at),
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
                self.start(at);
            }
            Ok(None) => {}
        }
    }

    /// Sends what a step wants to be sent; everything else waits for the owner's turn.
    fn start(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        if let Phase::Writing(_, Step::Append(record)) = &owner.phase {
            owner.attempt += 1;
            self.requests.push(Request { writer: at, attempt: owner.attempt, record: record.clone() });
        }
    }

    fn write(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        let Phase::Writing(writer, step) = &mut owner.phase else { unreachable!() };
        let next = match step.clone() {
            Step::Append(record) => {
                if !self.random.one_in(self.odds.time_out) {
                    return;
                }
                let index = record.head().index;
                writer.on_append(Err(Error::OutcomeUnknown { shard: SHARD, index, reason: "timeout".into() }))
            }
            Step::Read(index) => writer.on_read(self.engine.read(index)),
            Step::Apply(record) => {
                apply(&mut owner.state, &record);
                writer.applied()
            }
            Step::Barrier => writer.append(&Draft::barrier(self.random.id())),
            Step::Committed(_) => return self.submit(at),
            Step::Rejected(_) => unreachable!("this engine rejects nothing"),
            Step::Stopped { stop, in_doubt } => {
                assert!(!matches!(stop, Stop::Damaged { .. }), "{stop}");
                self.depose(at, in_doubt);
                return self.follow_settled(at);
            }
        };
        *step = next;
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
                self.engine.trimmed = settled.next.get() as usize - 1;
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

    fn deliver(&mut self, answer: Answer) {
        let owner = &mut self.owners[answer.writer];
        let Phase::Writing(writer, step) = &mut owner.phase else { return };
        if !matches!(step, Step::Append(_)) || owner.attempt != answer.attempt {
            return;
        }
        let durability = Durability::Memory;
        *step = writer.on_append(answer.outcome.map(|()| Appended { index: answer.index, durability }));
        self.after(answer.writer);
    }

    fn after(&mut self, at: usize) {
        self.start(at);
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
        let (accepted, _) = read_all(&self.engine, &self.snapshot, writer.acceptance().cursor().next);
        assert_eq!(owner.state, accepted, "the owner has applied what the log says");
    }

    fn depose(&mut self, at: usize, in_doubt: bool) {
        if let Some((value, _)) = self.owners[at].value.take() {
            self.unknown += u32::from(in_doubt);
            self.promises.insert(value, if in_doubt { Promise::Unknown } else { Promise::NotDone });
        }
    }

    fn follow_settled(&mut self, at: usize) {
        let owner = &mut self.owners[at];
        let settled = match &owner.phase {
            Phase::Following(acceptance) => acceptance.settled(),
            Phase::Writing(writer, _) => writer.acceptance().settled(),
        };
        owner.state.retain(|(index, _)| *index < settled.next);
        owner.phase = Phase::Following(Acceptance::resume(SHARD, settled));
    }

    fn follow_snapshot(&mut self, at: usize) {
        let (cursor, state) = self.snapshot.clone();
        self.owners[at].state = state;
        self.owners[at].phase = Phase::Following(Acceptance::resume(SHARD, cursor));
    }

    /// Everything that was promised holds in the log as it is.
    fn check(&mut self) {
        let (accepted, acceptance) = read_all(&self.engine, &self.snapshot, self.engine.next());
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
        assert!(
            settled.next.get() as usize - 1 <= self.engine.durable,
            "settled, and not durable: {settled:?}"
        );
        if settled.next >= self.snapshot.0.next {
            let mut again = Acceptance::resume(SHARD, self.snapshot.0);
            while again.cursor().next < settled.next {
                let record = self.engine.read(again.cursor().next);
                let _ = again.offer(&record.expect("not trimmed").expect("below the end"));
            }
            assert_eq!(again.cursor(), settled, "settled, and read otherwise by another");
        }
    }
}

/// The history up to an index, as anyone reads it who comes now.
fn read_all(engine: &Engine, snapshot: &(Cursor, State), end: Index) -> (State, Acceptance) {
    let (cursor, mut state) = snapshot.clone();
    let mut acceptance = Acceptance::resume(SHARD, cursor);
    while acceptance.cursor().next < end {
        let record = engine.read(acceptance.cursor().next).expect("not trimmed").expect("below the end");
        match acceptance.offer(&record) {
            Verdict::Accepted => apply(&mut state, &record),
            Verdict::Skipped(_) => {}
            Verdict::Damaged { place, damage } => panic!("damaged at {place}: {damage}"),
        }
    }
    (state, acceptance)
}

/// Runs one seed: faults for a while, then calm, in which a value must get through.
fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    // Candidates who go on deposing one another get nothing done: in calm there is one.
    (world.odds, world.candidates) = (Odds::CALM, 1);
    let before = world.acknowledged;
    let mut calm = 0;
    while world.acknowledged == before {
        world.step();
        calm += 1;
        assert!(calm < 20_000, "nothing gets through in calm");
    }
    world
}

/// Runs these seeds, or the one that is to be replayed; a simulation in which nothing happens proves nothing.
fn run_all(seeds: Range<u64>) {
    #[expect(clippy::disallowed_methods, reason = "how a person names the seed to replay")]
    if let Ok(seed) = std::env::var("MAINSTAY_SEED") {
        run(seed.parse().expect("MAINSTAY_SEED is a number"));
        return;
    }
    let count = seeds.end - seeds.start;
    let [mut acknowledged, mut claims, mut unknown, mut stale, mut orphans] = [0_u64; 5];
    for seed in seeds {
        let Ok(world) = catch_unwind(|| run(seed)) else {
            panic!("seed {seed} fails; replay: MAINSTAY_SEED={seed} cargo test -p mainstay-log simulation");
        };
        acknowledged += u64::from(world.acknowledged);
        claims += u64::from(world.claims);
        unknown += u64::from(world.unknown);
        stale += world.stale;
        orphans += world.orphans;
    }
    let seen = format!(
        "{acknowledged} acknowledged, {claims} claims, {unknown} unknown, {stale} stale, {orphans} orphans"
    );
    let is_busy = acknowledged > 2 * count && claims > count && unknown > count;
    assert!(is_busy && stale > count && orphans > count / 100, "{seen}");
}

#[test]
fn what_is_acknowledged_counts_once_and_in_order() {
    run_all(0..2_000);
}

#[test]
#[ignore = "takes minutes"]
fn what_is_acknowledged_counts_once_and_in_order_for_long() {
    run_all(2_000..100_000);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let log = |seed| run(seed).engine.records.iter().map(Record::checksum).collect::<Vec<_>>();
    assert_eq!(log(5), log(5));
    assert_ne!(log(5), log(6));
}
