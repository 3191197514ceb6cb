//! What travels, what is visible, and what happens at each step.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::task::{Poll, Waker};

use mainstay_base::position::{Index, ShardId};

use super::Odds;
use crate::block_on::block_on;
use crate::faulty::random::Random;
use crate::log::{Appended, Log, Tail};
use crate::record::Record;
use crate::{Act, Error};

/// So many events are told in a failure's message.
const HISTORY_MAX: usize = 400;

type Outcome = Result<Appended, Error>;

pub(super) struct State {
    inner: Arc<dyn Log>,
    odds: Odds,
    random: Random,
    pub(super) now: u64,
    /// Appends on their way to the engine.
    requests: Vec<Request>,
    /// Answers on their way back.
    answers: Vec<Answer>,
    /// Who waits for an answer, by the number of the append.
    callers: BTreeMap<u64, Caller>,
    sent: u64,
    /// What can be read and is not in the engine inside, directly above what is.
    unsynced: BTreeMap<ShardId, Vec<Unsynced>>,
    unavailable_until: u64,
    full_until: u64,
    paused_until: u64,
    wakers: Vec<Waker>,
    history: VecDeque<Event>,
}

struct Request {
    due: u64,
    /// The append that it belongs to; none for a record that nobody waits for.
    number: Option<u64>,
    /// Whether the same append travels a second time, so that what becomes of one copy says nothing of the other.
    is_doubled: bool,
    record: Record,
}

struct Answer {
    due: u64,
    number: u64,
    outcome: Outcome,
}

#[derive(Default)]
struct Caller {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

struct Unsynced {
    number: Option<u64>,
    record: Record,
}

struct Event {
    step: u64,
    what: &'static str,
    /// The shard and index of the record that it happened to.
    place: Option<(ShardId, Index)>,
}

impl State {
    pub(super) fn new(inner: Arc<dyn Log>, odds: Odds, seed: u64) -> Self {
        Self {
            inner,
            odds,
            random: Random::new(seed),
            now: 0,
            requests: Vec::new(),
            answers: Vec::new(),
            callers: BTreeMap::new(),
            sent: 0,
            unsynced: BTreeMap::new(),
            unavailable_until: 0,
            full_until: 0,
            paused_until: 0,
            wakers: Vec::new(),
            history: VecDeque::new(),
        }
    }

    pub(super) fn is_faultless(&self) -> bool {
        self.odds == Odds::NONE
    }

    pub(super) fn set_odds(&mut self, odds: Odds) {
        self.odds = odds;
        if self.is_faultless() {
            (self.unavailable_until, self.full_until, self.paused_until) = (0, 0, 0);
            self.sync();
        }
    }

    /// One step of time; returns who is to look again.
    pub(super) fn step(&mut self) -> Vec<Waker> {
        self.now += 1;
        self.begin_outages();
        if self.now >= self.paused_until {
            let mut due: Vec<_> = self.requests.extract_if(.., |request| request.due <= self.now).collect();
            while let Some(request) = self.random.pick(&mut due) {
                self.arrive(request);
            }
            if self.odds.sync == 0 || self.random.one_in(self.odds.sync) {
                self.sync();
            }
        }
        if self.random.one_in(self.odds.crash_process) {
            self.crash_process();
        }
        if self.random.one_in(self.odds.crash_machine) {
            self.crash_machine();
        }
        self.deliver();
        self.take_wakers()
    }

    fn begin_outages(&mut self) {
        if self.random.one_in(self.odds.unavailable) {
            self.unavailable_until = self.now + self.random.between(1, 8);
            self.note("unavailable", None);
        }
        if self.random.one_in(self.odds.full) {
            self.full_until = self.now + self.random.between(1, 8);
            self.note("full", None);
        }
        if self.random.one_in(self.odds.pause) {
            self.paused_until = self.now + self.random.between(1, 32);
            self.note("paused", None);
        }
    }

    /// Answers that are due reach whoever still waits.
    fn deliver(&mut self) {
        let mut due: Vec<_> = self.answers.extract_if(.., |answer| answer.due <= self.now).collect();
        while let Some(Answer { number, outcome, .. }) = self.random.pick(&mut due) {
            if self.random.one_in(self.odds.lose) {
                self.note("an answer is lost", None);
            } else if let Some(caller) = self.callers.get_mut(&number) {
                caller.outcome.get_or_insert(outcome);
                self.wakers.extend(caller.waker.take());
            }
        }
    }

    /// Sends an append on its way; none when it goes straight to the engine inside.
    pub(super) fn send(&mut self, record: &Record) -> Option<u64> {
        if self.is_faultless() {
            return None;
        }
        let number = self.sent;
        self.sent += 1;
        self.callers.insert(number, Caller::default());
        let is_doubled = self.random.one_in(self.odds.double);
        for _ in 0..1 + u64::from(is_doubled) {
            if self.random.one_in(self.odds.drop) {
                self.note("an append is dropped", Some(record));
            } else {
                let due = self.draw_arrival();
                self.requests.push(Request { due, number: Some(number), is_doubled, record: record.clone() });
            }
        }
        Some(number)
    }

    pub(super) fn poll_answer(&mut self, number: u64, waker: &Waker) -> Poll<Outcome> {
        let caller = self.callers.get_mut(&number).expect("a caller is there until it is forgotten");
        match caller.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                caller.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.callers.remove(&number);
    }

    /// The step at which something arrives that sets out now.
    pub(super) fn draw_arrival(&mut self) -> u64 {
        if self.odds.delay_steps == 0 {
            return self.now;
        }
        let is_late = self.random.one_in(self.odds.late);
        let bound = if is_late { self.odds.delay_steps * 64 } else { self.odds.delay_steps };
        self.now + self.random.below(bound)
    }

    pub(super) fn is_reached(&self, step: u64) -> bool {
        self.now >= step && self.now >= self.paused_until
    }

    pub(super) fn wake_at_step(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    pub(super) fn check_available(&self, act: Act) -> Result<(), Error> {
        if self.now < self.unavailable_until {
            return Err(Error::Unavailable { act, reason: "a simulated outage".into() });
        }
        Ok(())
    }

    /// An append reaches the engine, which shows it or refuses it.
    fn arrive(&mut self, request: Request) {
        let Request { number, is_doubled, record, .. } = request;
        match self.check(&record) {
            Ok(()) => {
                self.note("visible", Some(&record));
                self.unsynced.entry(record.head().shard).or_default().push(Unsynced { number, record });
            }
            Err(error) => {
                self.note("not appended", Some(&record));
                let is_final = matches!(error, Error::Refused { .. } | Error::TooLarge { .. });
                let outcome =
                    if is_doubled && !is_final { unknown(&record, error.to_string()) } else { Err(error) };
                self.answer(number, outcome);
            }
        }
    }

    /// Whether the record may be appended now.
    fn check(&mut self, record: &Record) -> Result<(), Error> {
        self.check_available(Act::Append)?;
        let (head, bytes) = (record.head(), record.encoded_bytes());
        let bytes_max = self.inner.limits().record_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { shard: head.shard, bytes, bytes_max });
        }
        let next = self.tail(head.shard)?.next;
        if head.index != next {
            return Err(Error::Refused { shard: head.shard, index: head.index, next });
        }
        if self.now < self.full_until {
            return Err(Error::Full { bytes, reason: "a simulated disk".into() });
        }
        Ok(())
    }

    pub(super) fn put(&mut self, record: Record) -> bool {
        let is_next = self.check(&record).is_ok();
        if is_next {
            self.arrive(Request { due: self.now, number: None, is_doubled: false, record });
        }
        is_next
    }

    fn answer(&mut self, number: Option<u64>, outcome: Outcome) {
        if let Some(number) = number {
            let due = self.draw_arrival();
            self.answers.push(Answer { due, number, outcome });
        }
    }

    /// What is visible goes into the engine inside, and is acknowledged.
    fn sync(&mut self) {
        for (shard, records) in std::mem::take(&mut self.unsynced) {
            self.sync_shard(shard, records);
        }
    }

    fn sync_shard(&mut self, shard: ShardId, records: Vec<Unsynced>) {
        let mut records = records.into_iter();
        for Unsynced { number, record } in records.by_ref() {
            let outcome = block_on(self.inner.append(record.clone()));
            let is_synced = outcome.is_ok();
            self.note(if is_synced { "synced" } else { "not synced" }, Some(&record));
            self.answer(number, outcome);
            if !is_synced {
                break;
            }
        }
        // What is above a record that the engine did not take is gone with it.
        for Unsynced { number, record } in records {
            let next = self.durable(shard).map_or(record.head().index, |tail| tail.next);
            self.answer(number, Err(Error::Refused { shard, index: record.head().index, next }));
        }
    }

    pub(super) fn crash_process(&mut self) {
        self.note("the process ends", None);
        let Self { random, answers, unsynced, .. } = self;
        // Of the answers on their way some still arrive. Some callers see that the connection is gone, others
        // hear nothing.
        answers.retain(|_| random.one_in(2));
        let mut broken = Vec::new();
        for Unsynced { number, record } in unsynced.values_mut().flatten() {
            let number = number.take();
            if random.one_in(2) {
                broken.push((number, unknown(record, "the engine ended".into())));
            }
        }
        broken.into_iter().for_each(|(number, outcome)| self.answer(number, outcome));
    }

    pub(super) fn crash_machine(&mut self) {
        self.crash_process();
        self.note("the machine ends", None);
        for records in self.unsynced.values_mut() {
            records.truncate(self.random.up_to(records.len()));
        }
        // What the crash left is what recovery syncs before anyone sees it.
        self.sync();
    }

    pub(super) fn durable(&self, shard: ShardId) -> Result<Tail, Error> {
        block_on(self.inner.tail(shard))
    }

    pub(super) fn tail(&mut self, shard: ShardId) -> Result<Tail, Error> {
        let durable = self.durable(shard)?;
        let unsynced = self.unsynced.get(&shard).map_or(0, Vec::len);
        let next = durable.next.checked_add(unsynced as u64).expect("indexes stay below 2^64");
        Ok(Tail { next, ..durable })
    }

    pub(super) fn is_visible(&mut self, shard: ShardId, index: Index) -> bool {
        self.tail(shard).is_ok_and(|tail| tail.next > index)
    }

    pub(super) fn read(
        &mut self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> Result<Vec<Record>, Error> {
        let durable = self.durable(shard)?;
        let mut records = block_on(self.inner.read(shard, from, bytes_max))?;
        let mut bytes: usize = records.iter().map(Record::encoded_bytes).sum();
        let next = records.last().map_or(from, |last| last.head().index.next());
        if next >= durable.next {
            for Unsynced { record, .. } in self.unsynced.get(&shard).into_iter().flatten() {
                if record.head().index < next {
                    continue;
                }
                if !records.is_empty() && bytes >= bytes_max {
                    break;
                }
                bytes += record.encoded_bytes();
                records.push(record.clone());
            }
        }
        Ok(records)
    }

    pub(super) fn trim(&mut self, shard: ShardId, to: Index) -> Result<(), Error> {
        let next = self.tail(shard)?.next;
        if to > next {
            return Err(Error::TrimBeyondEnd { shard, to, next });
        }
        if to > self.durable(shard)?.next {
            let records = self.unsynced.remove(&shard).unwrap_or_default();
            self.sync_shard(shard, records);
        }
        block_on(self.inner.trim(shard, to))?;
        if self.random.one_in(self.odds.lose) {
            return Err(Error::Unavailable { act: Act::Trim, reason: "the answer was lost".into() });
        }
        Ok(())
    }

    fn note(&mut self, what: &'static str, record: Option<&Record>) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let place = record.map(|record| (record.head().shard, record.head().index));
        self.history.push_back(Event { step: self.now, what, place });
    }

    pub(super) fn history(&self) -> String {
        self.history.iter().fold(String::new(), |mut text, Event { step, what, place }| {
            let _ = match place {
                Some((shard, index)) => writeln!(text, "step {step}: {what}: index {index} of shard {shard}"),
                None => writeln!(text, "step {step}: {what}"),
            };
            text
        })
    }
}

fn unknown(record: &Record, reason: String) -> Outcome {
    let (shard, index) = (record.head().shard, record.head().index);
    Err(Error::OutcomeUnknown { shard, index, reason })
}
