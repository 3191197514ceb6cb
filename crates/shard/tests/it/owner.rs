//! What an owner does, event by event, on a log and a store that do exactly as they are told.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::error::{Classify, Code};
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, PartitionBy};
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Instant, SeededEntropy, Timestamp};
use mainstay_base::units::{Duration, Size};
use mainstay_log::record::{Checksum, Context, Draft, Extensions, Kind, Record, RecordId, Timeline};
use mainstay_log::{Act, Appended, Durability, Error as LogError, Guarantees, Limits, Tail};
use mainstay_machine::batch::Batch;
use mainstay_machine::command::{Caller, Commit, Condition, Idempotency, ItemName, Operation, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::position::Place;
use mainstay_machine::row::RowRange;
use mainstay_machine::shards::{self, Answer, Error};
use mainstay_machine::state::{self, Memory};
use mainstay_machine::{Collection, Command, Definitions, Outcome, Position, State};
use mainstay_shard::owner::{
    Action, Applied, Attempt, Config, Env, Event, Options, Owner, Read, Stop, Ticket, Work,
};

const SHARD: ShardId = ShardId::new(7);
const WALL: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
const COLLECTION: Name = Name::from_static("things");

/// An owner with a log and a store in memory.
struct Desk {
    owner: Owner,
    rows: Memory,
    applied: Applied,
    log: Vec<Record>,
    now: Instant,
    wall: Timestamp,
    /// What was said and is not done.
    todo: VecDeque<Action>,
    /// What was said to those who wait, and of the owner itself.
    said: Vec<Action>,
    /// How often a record was appended.
    appends: usize,
}

fn config(is_exclusive: bool) -> Config {
    Config {
        shard: SHARD,
        limits: Limits { record_bytes_max: 1 << 20 },
        guarantees: Guarantees { durability: Durability::Memory, fences_epochs: false },
        is_exclusive,
        options: Options::default(),
    }
}

/// The rows that every shard here begins with.
fn rows() -> Memory {
    let mut rows = Memory::default();
    rows.apply(&Definitions::sample([(Tenant::DEFAULT, COLLECTION, Collection::default())]).rows());
    rows
}

fn owner(config: Config, applied: &Applied) -> Owner {
    Owner::new(config, Arc::default(), Arc::new(SeededEntropy::new(1)), applied)
}

fn partition() -> Partition<'static> {
    PartitionBy::FirstSegment.parse("p").expect("it is a partition").into_owned()
}

fn item(key: &str) -> ItemName {
    ItemName { collection: COLLECTION, key: format!("p/{key}").parse::<Key>().expect("it is a key") }
}

fn command(commit: Commit, idempotency_key: Option<&str>) -> Command {
    let request = Request::Commit(commit);
    let idempotency = idempotency_key.map(|key| {
        let key = key.parse().expect("it is an idempotency key");
        Idempotency::new(&key, &Tenant::DEFAULT, &Caller::ANONYMOUS, &partition(), &request)
    });
    let (tenant, caller) = (Tenant::DEFAULT, Caller::ANONYMOUS);
    Command { tenant, caller, partition: partition(), idempotency, trace: None, request }
}

fn put(key: &str, bytes: usize) -> Command {
    let value =
        Value::new(ContentType::JSON, format!("\"{}\"", "x".repeat(bytes)).into()).expect("it is JSON");
    let operations = vec![Operation::Put { item: item(key), value, ttl: None }];
    command(Commit { conditions: Vec::new(), operations }, None)
}

fn put_once(key: &str, idempotency_key: &str) -> Command {
    let value = Value::new(ContentType::JSON, "1".into()).expect("it is JSON");
    let operations = vec![Operation::Put { item: item(key), value, ttl: None }];
    command(Commit { conditions: Vec::new(), operations }, Some(idempotency_key))
}

/// A command that is refused.
fn impossible() -> Command {
    let conditions = vec![Condition::Present { item: item("nothing") }];
    command(Commit { conditions, operations: Vec::new() }, None)
}

fn work(ticket: u64, command: Command) -> Work {
    Work { ticket: Ticket(ticket), input: command.into(), deadline: None }
}

fn millis(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn unknown(index: Index) -> LogError {
    LogError::OutcomeUnknown { shard: SHARD, index, reason: "a test".into() }
}

fn full() -> LogError {
    LogError::Full { bytes: 1, reason: "a test".into() }
}

fn unavailable() -> LogError {
    LogError::Unavailable { act: Act::Append, reason: "a test".into() }
}

impl Desk {
    /// An owner of an empty log, at work.
    fn owning(config: Config) -> Self {
        let mut desk = Self::over(config, Vec::new(), Applied::START);
        desk.begin();
        assert!(
            matches!(desk.said.as_slice(), [Action::Owned { epoch }] if epoch.get() == 1),
            "{:?}",
            desk.said
        );
        desk.said.clear();
        desk
    }

    fn over(config: Config, log: Vec<Record>, applied: Applied) -> Self {
        Self {
            owner: owner(config, &applied),
            rows: rows(),
            applied,
            log,
            now: millis(1_000),
            wall: WALL,
            todo: VecDeque::new(),
            said: Vec::new(),
            appends: 0,
        }
    }

    fn begin(&mut self) {
        self.on(Event::Tick);
        self.work_off();
    }

    fn on(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.owner.on(event, &Env { now: self.now, wall: self.wall, state: &self.rows }, &mut actions);
        self.todo.extend(actions);
    }

    /// Gives work, and does nothing yet.
    fn give(&mut self, work: Vec<Work>) {
        assert!(self.owner.wants_work().is_some());
        self.on(Event::Work(work));
    }

    fn advance_to(&mut self, now: Instant) {
        self.now = now;
        self.on(Event::Tick);
    }

    /// Does all that is to be done.
    fn work_off(&mut self) {
        while let Some(action) = self.next_action() {
            self.execute(action);
        }
    }

    /// What is to be done next. Where reads wait, no work is given if there is no other.
    fn next_action(&mut self) -> Option<Action> {
        if self.todo.is_empty() && self.owner.wants_work().is_some() && self.owner.has_waiting_reads() {
            self.on(Event::Work(Vec::new()));
        }
        self.todo.pop_front()
    }

    /// Does what comes before the next append, which is returned.
    fn next_append(&mut self) -> (Attempt, Record) {
        loop {
            match self.next_action().expect("there is an append") {
                Action::Append { attempt, record } => return (attempt, record),
                action => self.execute(action),
            }
        }
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Tail { attempt } => {
                let next = Index::new(self.log.len() as u64 + 1);
                self.on(Event::Tail(attempt, Ok(Tail { begins: Index::FIRST, next })));
            }
            Action::ReadLog { attempt, from, .. } => {
                let records = self.log.get(from.get() as usize - 1..).unwrap_or_default().to_vec();
                self.on(Event::Records(attempt, Ok(records)));
            }
            Action::Append { attempt, record } => self.append(attempt, record),
            Action::Apply { index, mutations, applied, .. } => {
                assert!(index > self.applied.index(), "what is applied goes on");
                self.rows.apply(&mutations);
                self.applied = Applied::decode(&applied).expect("an owner encoded it");
                assert_eq!(self.applied.index(), index);
                self.on(Event::Applied(Ok(index)));
            }
            said => self.said.push(said),
        }
    }

    fn append(&mut self, attempt: Attempt, record: Record) {
        self.appends += 1;
        let (index, next) = (record.head().index, Index::new(self.log.len() as u64 + 1));
        let outcome = if index == next {
            self.log.push(record);
            Ok(Appended { index, durability: Durability::Synced })
        } else {
            Err(LogError::Refused { shard: SHARD, index, next })
        };
        self.on(Event::Appended(attempt, outcome));
    }

    fn answers(&self) -> Vec<(u64, Result<&Answer, &Error>)> {
        let answer = |action: &'_ Action| matches!(action, Action::Answer { .. });
        let answers = self.said.iter().filter(|action| answer(action));
        answers
            .map(|action| match action {
                Action::Answer { ticket, answer } => (ticket.0, answer.as_ref()),
                _ => unreachable!(),
            })
            .collect()
    }

    fn codes(&self) -> Vec<(u64, Option<Code>)> {
        let code = |answer: Result<&Answer, &Error>| answer.err().map(Classify::code);
        self.answers().into_iter().map(|(ticket, answer)| (ticket, code(answer))).collect()
    }

    fn looks(&self) -> Vec<(u64, Option<Code>)> {
        let look = |action: &Action| match action {
            Action::Look { ticket, position } => {
                Some((ticket.0, position.as_ref().err().map(Classify::code)))
            }
            _ => None,
        };
        self.said.iter().filter_map(look).collect()
    }

    fn stop(&self) -> &Stop {
        match self.said.last() {
            Some(Action::Stopped(stop)) => stop,
            other => panic!("it has not stopped, but {other:?}"),
        }
    }

    fn has(&self, key: &str) -> bool {
        let slot = mainstay_base::key::slot(&Tenant::DEFAULT, &partition());
        let item = item(key);
        mainstay_machine::item::get(&self.rows, slot, &Tenant::DEFAULT, &COLLECTION, &item.key)
            .expect("rows in memory can be read")
            .is_some()
    }
}

fn refusal(answer: Result<&Answer, &Error>) -> Code {
    match &answer.expect("it has an outcome").outcome {
        Outcome::Refused(refusal) => refusal.code(),
        committed @ Outcome::Committed(_) => panic!("it was not refused, but {committed:?}"),
    }
}

/// The log that an owner of epoch 1 leaves: its epoch record, and a record for each key.
fn log_of(keys: &[&str]) -> Vec<Record> {
    let mut desk = Desk::owning(config(true));
    for key in keys {
        desk.give(vec![work(1, put(key, 1))]);
        desk.work_off();
    }
    desk.log
}

#[test]
fn a_batch_is_one_record_and_is_answered_after_it_was_appended_and_applied() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1)), work(2, put("b", 1))]);
    let (attempt, record) = desk.next_append();
    assert_eq!(Batch::decode(record.payload()).unwrap().entries.len(), 2);
    assert!(desk.todo.is_empty() && desk.said.is_empty() && desk.owner.wants_work().is_none());

    desk.append(attempt, record);
    assert!(matches!(desk.todo.make_contiguous(), [Action::Apply { index, .. }] if index.get() == 2));
    desk.work_off();
    assert!(desk.has("a") && desk.has("b") && desk.owner.wants_work().is_some());
    let position = Position::of(SHARD, Place { timeline: 1, index: Index::new(2) });
    for (ticket, (answered, answer)) in [1, 2].into_iter().zip(desk.answers()) {
        let answer = answer.unwrap();
        assert_eq!((answered, &answer.position, answer.replayed), (ticket, &position, false));
        assert_eq!(answer.durability, shards::Durability::Synced, "as the acknowledgement says");
    }
}

#[test]
fn what_is_past_its_deadline_is_not_evaluated() {
    let mut desk = Desk::owning(config(false));
    let late = Work { deadline: Some(desk.now), ..work(1, put("a", 1)) };
    desk.give(vec![late, work(2, put("b", 1))]);
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::Deadline)), (2, None)]);
    assert!(!desk.has("a") && desk.has("b"));
}

#[test]
fn a_deadline_during_an_append_is_an_unknown_outcome_and_a_repetition_finds_what_happened() {
    let mut desk = Desk::owning(config(false));
    let with_deadline = Work { deadline: Some(millis(1_500)), ..work(1, put_once("a", "k")) };
    desk.give(vec![with_deadline, work(2, put("b", 1))]);
    let (attempt, record) = desk.next_append();
    assert_eq!(desk.owner.wake_at(), Some(millis(1_500)));
    desk.advance_to(millis(1_500));
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::OutcomeUnknown))]);

    desk.append(attempt, record);
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::OutcomeUnknown)), (2, None)], "the batch went on");
    desk.give(vec![work(3, put_once("a", "k"))]);
    desk.work_off();
    let (ticket, answer) = desk.answers().pop().unwrap();
    assert_eq!((ticket, answer.unwrap().replayed, desk.appends), (3, true, 2), "told without an append");
}

#[test]
fn what_was_rejected_was_not_done() {
    for (error, code) in [(full(), Code::StorageFull), (unavailable(), Code::Unavailable)] {
        let mut desk = Desk::owning(config(false));
        desk.give(vec![work(1, put("a", 1)), work(2, impossible())]);
        let (attempt, _) = desk.next_append();
        desk.on(Event::Appended(attempt, Err(error)));
        desk.work_off();
        assert_eq!(desk.codes(), [(1, Some(code)), (2, Some(code))]);
        desk.give(vec![work(3, put("b", 1))]);
        desk.work_off();
        assert!(!desk.has("a") && desk.has("b"));
    }
}

#[test]
fn what_may_have_been_done_is_tried_again_until_it_is_known() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (first, record) = desk.next_append();
    desk.on(Event::Appended(first, Err(unknown(record.head().index))));
    assert!(desk.todo.is_empty(), "not at once");
    let due = desk.owner.wake_at().unwrap();
    assert_eq!(due, millis(1_005));
    desk.advance_to(due);
    let (second, again) = desk.next_append();
    assert!(first != second && record == again);

    // A full log says nothing of the first attempt.
    desk.on(Event::Appended(second, Err(full())));
    assert_eq!(desk.owner.wake_at(), Some(millis(1_015)), "twice as long");
    desk.advance_to(millis(1_015));
    let (third, again) = desk.next_append();
    desk.append(third, again);
    desk.work_off();
    assert_eq!(desk.codes(), [(1, None)]);
}

#[test]
fn an_append_without_an_answer_is_given_up_and_sent_again() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (first, record) = desk.next_append();
    assert_eq!(desk.owner.wake_at(), Some(millis(11_000)));
    desk.advance_to(millis(11_000));
    desk.advance_to(millis(11_005));
    // The first has happened, and its answer comes too late to count.
    desk.append(first, record);
    let (second, again) = desk.next_append();
    desk.append(second, again);
    desk.work_off();
    // Refused, found by reading, proven by a barrier above.
    assert_eq!(desk.codes(), [(1, None)]);
    let kinds: Vec<Kind> = desk.log.iter().map(|record| record.head().kind).collect();
    assert_eq!(kinds, [Kind::Epoch, Kind::Data, Kind::Barrier]);
    assert_eq!(desk.applied.cursor.next, Index::new(4), "the store goes on behind the barrier");
}

#[test]
fn a_batch_is_cut_where_a_record_is_full() {
    let limits = Limits { record_bytes_max: 1_000 };
    let mut desk = Desk::owning(Config { limits, ..config(false) });
    desk.give(vec![
        work(1, put("a", 300)),
        work(2, put("b", 300)),
        work(3, put("c", 300)),
        work(4, put("d", 2_000)),
    ]);
    desk.work_off();
    let answers = desk.answers();
    assert_eq!(answers.len(), 4);
    assert_eq!(refusal(answers[3].1), Code::TooLarge);
    assert!(desk.has("a") && desk.has("b") && desk.has("c") && !desk.has("d"));
    assert!(desk.log.iter().all(|record| record.encoded_bytes() <= 1_000));
    assert!(desk.log.len() > 2, "it took more than one record");
}

#[test]
fn a_command_that_is_too_large_leaves_nothing_to_those_behind_it() {
    let limits = Limits { record_bytes_max: 1_000 };
    let mut desk = Desk::owning(Config { limits, ..config(false) });
    let value = Value::new(ContentType::JSON, "1".into()).unwrap();
    let conditions = vec![Condition::Absent { item: item("a") }];
    let operations = vec![Operation::Put { item: item("b"), value, ttl: None }];
    let behind = command(Commit { conditions, operations }, None);
    desk.give(vec![work(1, put("a", 2_000)), work(2, behind)]);
    desk.work_off();
    assert_eq!(refusal(desk.answers()[0].1), Code::TooLarge);
    assert!(desk.has("b") && !desk.has("a"));
}

#[test]
fn an_engine_that_takes_less_than_it_announced_gets_smaller_batches() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 300)), work(2, put("b", 300)), work(3, put("c", 3_000))]);
    while let Some(action) = desk.todo.pop_front() {
        match action {
            Action::Append { attempt, record } if record.encoded_bytes() > 700 => {
                let error =
                    LogError::TooLarge { shard: SHARD, bytes: record.encoded_bytes(), bytes_max: 700 };
                desk.on(Event::Appended(attempt, Err(error)));
            }
            action => desk.execute(action),
        }
    }
    let answers = desk.answers();
    assert_eq!(refusal(answers[2].1), Code::TooLarge);
    assert!(desk.has("a") && desk.has("b") && !desk.has("c"));
}

#[test]
fn where_nobody_else_can_own_the_shard_nothing_is_appended_to_read_or_to_refuse() {
    let mut desk = Desk::owning(config(true));
    let (log, appends) = (desk.log.len(), desk.appends);
    desk.on(Event::Read(Read { ticket: Ticket(1), deadline: None }));
    desk.give(vec![work(2, impossible())]);
    desk.work_off();
    assert_eq!((desk.log.len(), desk.appends), (log, appends));
    assert_eq!(desk.looks(), [(1, None)]);
    assert_eq!(refusal(desk.answers()[0].1), Code::ConditionFailed);
}

#[test]
fn elsewhere_reads_and_refusals_wait_for_an_append_that_was_begun_later() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, impossible())]);
    let (attempt, record) = desk.next_append();
    assert_eq!(record.head().kind, Kind::Barrier);
    // Too late for the append that is under way.
    desk.on(Event::Read(Read { ticket: Ticket(2), deadline: None }));
    assert!(desk.said.is_empty());
    desk.append(attempt, record);
    let (attempt, record) = desk.next_append();
    assert_eq!((desk.looks().len(), refusal(desk.answers()[0].1)), (0, Code::ConditionFailed));
    desk.append(attempt, record);
    desk.work_off();
    assert_eq!(desk.looks(), [(2, None)]);
}

#[test]
fn a_read_goes_with_the_next_batch_and_not_with_the_one_under_way() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (attempt, record) = desk.next_append();
    desk.on(Event::Read(Read { ticket: Ticket(2), deadline: Some(millis(1_200)) }));
    desk.on(Event::Read(Read { ticket: Ticket(3), deadline: None }));
    desk.advance_to(millis(1_200));
    desk.append(attempt, record);
    while !desk.todo.is_empty() {
        let action = desk.todo.pop_front().expect("it is not empty");
        desk.execute(action);
    }
    assert_eq!(desk.looks(), [(2, Some(Code::Deadline))]);
    desk.give(vec![work(4, put("b", 1))]);
    desk.work_off();
    assert_eq!(desk.looks(), [(2, Some(Code::Deadline)), (3, None)]);
    assert!(desk.log.iter().all(|record| record.head().kind != Kind::Barrier), "the batch has carried it");
}

#[test]
fn reads_that_wait_are_bounded() {
    let options = Options { reads_max: 1, ..Options::default() };
    let mut desk = Desk::over(Config { options, ..config(false) }, Vec::new(), Applied::START);
    for ticket in 1..=2 {
        desk.on(Event::Read(Read { ticket: Ticket(ticket), deadline: None }));
    }
    desk.begin();
    assert_eq!(desk.looks(), [(2, Some(Code::Overloaded)), (1, None)]);
}

#[test]
fn the_end_of_the_log_goes_into_the_store_when_the_claim_is_committed() {
    let mut desk = Desk::over(config(false), log_of(&["a", "b"]), Applied::START);
    desk.on(Event::Tick);
    let (attempt, record) = desk.next_append();
    assert_eq!((record.head().kind, record.head().epoch), (Kind::Epoch, Epoch::new(2)));
    assert!(desk.has("a") && !desk.has("b"), "the last record may vanish from the log");
    assert!(!desk.owner.is_serving());
    desk.append(attempt, record);
    desk.work_off();
    assert!(desk.has("b") && desk.owner.is_serving());
    assert_eq!(desk.applied.cursor.next, Index::new(5), "the claim is in the store, too");
}

#[test]
fn recovery_goes_on_where_the_store_stands() {
    let log = log_of(&["a", "b"]);
    let mut first = Desk::over(config(false), log, Applied::START);
    first.begin();
    let mut desk = Desk::over(config(false), first.log.clone(), first.applied);
    desk.begin();
    assert!(desk.owner.is_serving());
    assert_eq!(desk.rows, rows(), "nothing is applied a second time");
}

#[test]
fn a_store_and_a_log_that_do_not_belong_together_are_refused() {
    let mut first = Desk::over(config(false), log_of(&["a", "b"]), Applied::START);
    first.begin();
    let mut ahead = Desk::over(config(false), log_of(&[]), first.applied);
    ahead.begin();
    assert_eq!(*ahead.stop(), Stop::Ahead { applied: Index::new(4), next: Index::new(2) });

    let mut behind = Desk::over(config(false), Vec::new(), Applied::START);
    behind.on(Event::Tick);
    let Some(Action::Tail { attempt }) = behind.todo.pop_front() else {
        panic!("it looks at the ends first")
    };
    behind.on(Event::Tail(attempt, Ok(Tail { begins: Index::new(9), next: Index::new(12) })));
    behind.work_off();
    assert_eq!(*behind.stop(), Stop::Behind { applied: Index::new(0), begins: Index::new(9) });
}

#[test]
fn damage_at_the_end_of_the_log_is_believed_when_it_is_found_twice() {
    let good = log_of(&["a"]);
    let draft = Draft::data(RecordId::new([9; 16]), Bytes::new());
    let strange = draft.seal(SHARD, Index::new(3), Epoch::new(1), Checksum::new(1));
    let read = |second: Vec<Record>| {
        let mut second = Some(second);
        let log = [good.clone(), vec![strange.clone()]].concat();
        let mut desk = Desk::over(config(false), log, Applied::START);
        desk.on(Event::Tick);
        while let Some(action) = desk.todo.pop_front() {
            if matches!(&action, Action::ReadLog { from, .. } if from.get() == 2) {
                desk.log = second.take().unwrap_or(desk.log);
            }
            desk.execute(action);
        }
        desk
    };
    let still_there = read([good.clone(), vec![strange.clone()]].concat());
    assert!(matches!(still_there.stop(), Stop::Damaged { .. }));
    // It was on top of what is lost, and is lost as well.
    let gone = read(good.clone());
    assert!(gone.owner.is_serving() && gone.has("a"));
}

#[test]
fn a_clock_that_is_too_far_behind_does_not_own() {
    let log = log_of(&["a"]);
    let time = Batch::decode(log[1].payload()).unwrap().time;
    for (behind_micros, owns) in [(500_000, true), (500_001, false)] {
        let mut desk = Desk::over(config(false), log.clone(), Applied::START);
        desk.wall = Timestamp::from_micros(WALL.as_micros() - behind_micros);
        desk.begin();
        assert_eq!(desk.owner.is_serving(), owns);
        if owns {
            desk.give(vec![work(1, put("b", 1))]);
            desk.work_off();
            let batch = Batch::decode(desk.log.last().unwrap().payload()).unwrap();
            assert_eq!(batch.time, time.next(), "time goes on by counting");
        } else {
            let offset_max = Duration::from_millis(500);
            assert_eq!(*desk.stop(), Stop::ClockBehind { wall: desk.wall, log: time, offset_max });
        }
    }
}

#[test]
fn a_clock_beyond_what_can_be_stamped_is_taken_for_one_that_stands_still() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    desk.work_off();
    desk.wall = Timestamp::from_micros(HybridTime::WALL_MAX.as_micros() + 1);
    desk.give(vec![work(2, put("b", 1))]);
    desk.work_off();
    let time = |record: &Record| Batch::decode(record.payload()).unwrap().time;
    assert_eq!(time(&desk.log[2]), time(&desk.log[1]).next());
}

#[test]
fn an_owner_that_ends_tells_what_is_known() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (attempt, record) = desk.next_append();
    desk.on(Event::Read(Read { ticket: Ticket(2), deadline: None }));
    desk.on(Event::End);
    desk.on(Event::Appended(attempt, Err(unknown(record.head().index))));
    desk.on(Event::Tick);
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::OutcomeUnknown))]);
    assert_eq!(desk.looks(), [(2, Some(Code::Unavailable))]);
    assert_eq!(*desk.stop(), Stop::Ended);
    assert!(desk.owner.is_stopped() && desk.owner.wake_at().is_none());
}

#[test]
fn a_deposed_owner_leaves_doubt_only_where_there_is_some() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (attempt, record) = desk.next_append();
    // Somebody else has claimed the place.
    let prev = desk.log.last().unwrap().checksum();
    let foreign = Draft::epoch(RecordId::new([8; 16])).seal(SHARD, record.head().index, Epoch::new(5), prev);
    desk.log.push(foreign);
    desk.append(attempt, record);
    desk.on(Event::Read(Read { ticket: Ticket(2), deadline: None }));
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::OutcomeUnknown))]);
    assert_eq!(desk.looks(), [(2, Some(Code::Unavailable))]);
    assert_eq!(desk.stop().code(), Code::Unavailable);
}

#[test]
fn a_store_that_fails_ends_the_owner_and_leaves_doubt() {
    let mut desk = Desk::owning(config(false));
    desk.give(vec![work(1, put("a", 1))]);
    let (attempt, record) = desk.next_append();
    desk.append(attempt, record);
    desk.on(Event::Applied(Err("a test".into())));
    desk.todo.retain(|action| !matches!(action, Action::Apply { .. }));
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::OutcomeUnknown))]);
    assert!(matches!(desk.stop(), Stop::Store { .. }));
}

#[test]
fn a_row_that_cannot_be_read_fails_its_command_alone() {
    struct Broken;
    impl State for Broken {
        fn get(&self, key: &[u8]) -> Result<Option<Bytes>, state::Error> {
            let bad = key.ends_with(b"p/bad");
            if bad { Err(state::Error::Unreadable { reason: "a test".into() }) } else { Ok(None) }
        }

        fn scan(&self, _: &RowRange, _: usize) -> Result<Vec<(Bytes, Bytes)>, state::Error> {
            Ok(Vec::new())
        }
    }
    let mut desk = Desk::owning(config(false));
    let mut actions = Vec::new();
    let work = vec![work(1, put("bad", 1)), work(2, put("good", 1))];
    let env = Env { now: desk.now, wall: desk.wall, state: &Broken };
    desk.owner.on(Event::Work(work), &env, &mut actions);
    desk.todo.extend(actions);
    desk.work_off();
    assert_eq!(desk.codes(), [(1, Some(Code::Internal)), (2, None)]);
    assert!(!desk.has("bad") && desk.has("good"));
}

#[test]
fn a_restored_timeline_goes_on_in_claims_versions_and_positions() {
    let timeline = Timeline { number: 2, id: [5; 16] };
    let applied = Applied { timeline, ..Applied::START };
    let mut desk = Desk::over(config(false), Vec::new(), applied);
    desk.begin();
    desk.give(vec![work(1, put("a", 1))]);
    desk.work_off();
    assert_eq!(desk.log[0].extensions().context().timeline, Some(timeline));
    assert_eq!(desk.applied.timeline, timeline);

    // Who reads the log anew learns of it from the claim.
    let mut desk = Desk::over(config(false), desk.log, Applied::START);
    desk.begin();
    desk.give(vec![work(1, put("a", 1))]);
    desk.work_off();
    let answer = desk.answers()[0].1.unwrap();
    assert_eq!(answer.position.get(SHARD).unwrap().timeline, 2);
    let Outcome::Committed(results) = &answer.outcome else { panic!("it was committed") };
    assert_eq!(results[0].version.unwrap().timeline, 2);
    let context = Context { timeline: Some(timeline), ..Context::default() };
    assert_eq!(*desk.log[2].extensions(), Extensions::new(&context));
}

#[test]
fn a_claim_that_is_refused_room_is_made_again() {
    let mut desk = Desk::over(config(false), Vec::new(), Applied::START);
    desk.on(Event::Tick);
    let (attempt, first) = desk.next_append();
    desk.on(Event::Appended(attempt, Err(full())));
    desk.advance_to(desk.owner.wake_at().unwrap());
    let (attempt, second) = desk.next_append();
    assert_eq!(first, second);
    desk.append(attempt, second);
    desk.work_off();
    assert!(desk.owner.is_serving());
}

#[test]
fn the_size_of_a_batch_is_bounded_by_what_is_configured() {
    let options = Options { batch_commands_max: 3, batch_size_max: Size::from_kib(4), ..Options::default() };
    let desk = Desk::owning(Config { options, ..config(false) });
    let take = desk.owner.wants_work().unwrap();
    assert_eq!((take.commands_max, take.bytes_max), (3, 4_096));
}
