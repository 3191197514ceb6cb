//! The port over rows in memory: every command is evaluated at once, in a batch of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use mainstay_api::Settings;
use mainstay_base::hlc::HybridTime;
use mainstay_base::key::slot;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Instant, ManualClock, Timestamp};
use mainstay_base::units::Duration;
use mainstay_machine::item::{self, Item};
use mainstay_machine::position::Place;
use mainstay_machine::shards::{
    Answer, BoxFuture, Consistency, Durability, Error, Get, List, Page, PageBuilder, Reading, Shards,
};
use mainstay_machine::state::Memory;
use mainstay_machine::{Command, Moment, Overlay, Position, evaluate};

const SHARD: ShardId = ShardId::new(3);
const TIMELINE: u32 = 1;

/// One shard in memory that remembers what it was asked.
pub(crate) struct Mem {
    settings: Arc<ArcSwap<Settings>>,
    clock: Arc<ManualClock>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Memory,
    index: u64,
    commands: Vec<(Command, Option<Instant>)>,
    lists: Vec<List>,
    /// What the next requests fail with.
    failures: VecDeque<Error>,
    /// What the next readings claim to be, and how old.
    freshness: Option<(Consistency, Duration)>,
}

impl Mem {
    pub(crate) fn new(settings: Arc<ArcSwap<Settings>>, clock: Arc<ManualClock>) -> Self {
        Self { settings, clock, inner: Mutex::default() }
    }

    /// A position of a history that a restore has ended.
    pub(crate) fn ended() -> Position {
        Position::of(SHARD, Place { timeline: TIMELINE - 1, index: Index::new(1) })
    }

    /// Fails as the next request is to fail, or because it comes too late.
    fn begin(&self, inner: &mut Inner, deadline: Option<Instant>) -> Result<(), Error> {
        if let Some(error) = inner.failures.pop_front() {
            return Err(error);
        }
        let is_late = deadline.is_some_and(|deadline| deadline <= self.clock.now());
        if is_late { Err(Error::Deadline) } else { Ok(()) }
    }

    pub(crate) fn fail(&self, error: Error) {
        self.inner.lock().unwrap().failures.push_back(error);
    }

    pub(crate) fn answer_as(&self, consistency: Consistency, age: Duration) {
        self.inner.lock().unwrap().freshness = Some((consistency, age));
    }

    /// The last command, and its deadline.
    pub(crate) fn last(&self) -> (Command, Option<Instant>) {
        self.inner.lock().unwrap().commands.last().expect("a command").clone()
    }

    pub(crate) fn submitted(&self) -> usize {
        self.inner.lock().unwrap().commands.len()
    }

    pub(crate) fn last_list(&self) -> List {
        self.inner.lock().unwrap().lists.last().expect("a listing").clone()
    }
}

impl Inner {
    fn position(&self) -> Position {
        Position::of(SHARD, Place { timeline: TIMELINE, index: Index::new(self.index) })
    }

    fn reading<T>(&mut self, value: T, asked: Consistency) -> Result<Reading<T>, Error> {
        if let Consistency::Session(position) = &asked
            && position.get(SHARD).is_some_and(|place| place.timeline < TIMELINE)
        {
            return Err(Error::Gone);
        }
        let (consistency, age) = self.freshness.take().unwrap_or((asked, Duration::ZERO));
        Ok(Reading { value, position: self.position(), consistency, age, durability: Durability::Synced })
    }
}

impl Shards for Mem {
    fn submit(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            inner.commands.push((command.clone(), deadline));
            self.begin(&mut inner, deadline)?;
            inner.index += 1;
            let wall = Timestamp::from_micros(1_767_225_600_000_000 + inner.index);
            let moment = Moment { time: HybridTime::new(wall, 0), timeline: TIMELINE };
            let state = inner.state.clone();
            let mut overlay = Overlay::new(&state);
            let settings = self.settings.load();
            let evaluated = evaluate(&command, &mut overlay, moment, &settings.machine).unwrap();
            inner.state.apply(&evaluated.effects);
            Ok(Answer {
                outcome: evaluated.outcome,
                replayed: evaluated.replayed,
                position: inner.position(),
                durability: Durability::Synced,
            })
        })
    }

    fn get(
        &self,
        get: Get,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Option<Item>>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            self.begin(&mut inner, deadline)?;
            let slot = slot(&get.tenant, &get.partition);
            let item =
                item::get(&inner.state, slot, &get.tenant, &get.item.collection, &get.item.key).unwrap();
            inner.reading(item, get.consistency)
        })
    }

    fn list(&self, list: List, deadline: Option<Instant>) -> BoxFuture<'_, Result<Reading<Page>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            inner.lists.push(list.clone());
            self.begin(&mut inner, deadline)?;
            let mut page = PageBuilder::new(&list);
            for slot in list.slots() {
                if page.read(&inner.state, slot).unwrap().is_break() {
                    break;
                }
            }
            let page = page.finish();
            inner.reading(page, list.consistency)
        })
    }
}
