//! The port over rows in memory: every command is evaluated at once, in a batch of its own.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use mainstay_api::Settings;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::slot;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Instant, ManualClock, Timestamp};
use mainstay_base::units::Duration;
use mainstay_machine::batch::Batch;
use mainstay_machine::definition::{self, Source};
use mainstay_machine::feed::{Changes, Events, EventsBuilder, Follow};
use mainstay_machine::index::State as IndexState;
use mainstay_machine::item::{self, Item};
use mainstay_machine::position::Place;
use mainstay_machine::purge::{self, Purging, Stock};
use mainstay_machine::query::{self, Failed, Plan, Standing};
use mainstay_machine::row::{IndexName, RowKey};
use mainstay_machine::sample::Sample;
use mainstay_machine::shards::{
    Active, Answer, BoxFuture, Consistency, Durability, Error, Get, List, Page, PageBuilder, Reading,
    Rehearsed, Shards,
};
use mainstay_machine::state::Memory;
use mainstay_machine::task::{Declare, StartPurge};
use mainstay_machine::usage::{Flow, HotKey, Ledger, Usage};
use mainstay_machine::{
    Collection, Command, Context, Definition, Definitions, Evaluated, Input, Moment, Mutation, Outcome,
    Overlay, Position, Task, evaluate,
};
use tokio::sync::Notify;

const SHARD: ShardId = ShardId::new(3);
const TIMELINE: u32 = 1;

/// One shard in memory that remembers what it was asked.
pub(crate) struct Mem {
    settings: Arc<ArcSwap<Settings>>,
    clock: Arc<ManualClock>,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    state: Memory,
    index: u64,
    commands: Vec<(Command, Option<Instant>)>,
    lists: Vec<List>,
    follows: Vec<Follow>,
    /// What was changed, record by record.
    records: Vec<Changes>,
    /// What the next requests fail with.
    failures: VecDeque<Error>,
    /// What the next rehearsal finds.
    sample: Option<Sample>,
    /// How many shards have what is defined; none: all.
    behind: Option<u32>,
    /// What the next readings claim to be, and how old.
    freshness: Option<(Consistency, Duration)>,
}

impl Mem {
    pub(crate) fn new(settings: Arc<ArcSwap<Settings>>, clock: Arc<ManualClock>) -> Self {
        Self { settings, clock, inner: Mutex::default(), changed: Notify::new() }
    }

    /// Has these collections from now on, as if files named them.
    pub(crate) fn declare(&self, collections: impl IntoIterator<Item = (Name, Collection)>) {
        let source = Source { file: "mainstay.yaml".to_owned(), line: Some(3) };
        let named = collections
            .into_iter()
            .map(|(name, collection)| ((Tenant::DEFAULT, name), (collection, source.clone())));
        let declare = Declare { collections: named.collect(), settled: BTreeMap::new() };
        let mut inner = self.inner.lock().unwrap();
        let outcome = self.evaluate(&mut inner, &Task::Declare(declare).into()).outcome;
        // As if it were another shard's log.
        inner.index -= 1;
        inner.records.pop();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }

    /// How many shards are said to have what is defined.
    pub(crate) fn activate(&self, shards: u32) {
        self.inner.lock().unwrap().behind = Some(shards);
    }

    fn evaluate(&self, inner: &mut Inner, input: &Input) -> Evaluated {
        inner.index += 1;
        let wall = Inner::now(inner.index);
        let moment = Moment { time: HybridTime::new(wall, 0), timeline: TIMELINE };
        let (state, settings) = (inner.state.clone(), self.settings.load());
        let definitions = Definitions::load(&state).unwrap();
        let context = Context { moment, settings: &settings.machine, definitions: &definitions };
        let evaluated = evaluate(input, &mut Overlay::new(&state), &context).unwrap();
        inner.state.apply(&evaluated.effects);
        if let Some(definitions) = &evaluated.definitions {
            inner.build(definitions);
        }
        let mut batch = Batch::new(moment.time);
        batch.push(input, evaluated.effects.clone(), evaluated.before.clone());
        let place = Place { timeline: TIMELINE, index: Index::new(inner.index) };
        inner.records.push(Changes::of(place, &batch));
        self.changed.notify_waiters();
        evaluated
    }

    /// One look at what is to be followed.
    fn look(&self, follow: &Follow) -> Result<Events, Error> {
        let inner = self.inner.lock().unwrap();
        let after = follow.after.clone().unwrap_or_else(|| inner.position().into());
        if after.position().get(SHARD).is_some_and(|place| place.timeline < TIMELINE) {
            return Err(Error::Trimmed { reason: "a restore has ended it".to_owned() });
        }
        let mut page =
            EventsBuilder::new(follow, &after, self.settings.load().machine.limits.check_steps_max);
        let seen = page.seen(SHARD);
        for changes in inner.records.iter().filter(|changes| changes.place.index > seen) {
            if page.read(SHARD, changes).unwrap().is_break() {
                break;
            }
        }
        page.reach(SHARD, Place { timeline: TIMELINE, index: Index::new(inner.index) });
        Ok(page.finish())
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

    /// The next rehearsal finds this.
    pub(crate) fn find(&self, sample: Sample) {
        self.inner.lock().unwrap().sample = Some(sample);
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

    pub(crate) fn last_follow(&self) -> Follow {
        self.inner.lock().unwrap().follows.last().expect("a feed").clone()
    }

    pub(crate) fn last_list(&self) -> List {
        self.inner.lock().unwrap().lists.last().expect("a listing").clone()
    }
}

impl Inner {
    /// Every change is a second after the one before.
    fn now(index: u64) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + index * 1_000_000)
    }

    fn position(&self) -> Position {
        Position::of(SHARD, Place { timeline: TIMELINE, index: Index::new(self.index) })
    }

    /// Indexes are there at once: nothing is in a collection before it is defined here.
    fn build(&mut self, definitions: &Definitions) {
        for (tenant, collection, definition) in definitions.all() {
            let indexes = definition.indexes().map(|(_, number, _)| number);
            let references = definition.references().map(|(_, number, _)| number);
            for number in indexes.chain(references).chain([IndexName::DOCUMENTS]) {
                let key = RowKey::index_state(IndexName { tenant, collection, number }).into_bytes();
                self.state.apply(&[Mutation::Put { key, value: IndexState::Ready.encode() }]);
            }
        }
    }

    fn find(&self, list: &List, now: Timestamp) -> Result<Page, Failed> {
        let definitions = Definitions::load(&self.state)?;
        let definition = definitions.get(&list.tenant, &list.collection).map(|found| &**found);
        if let Some(definition) = definition {
            let usable = query::usable(&[&self.state], &list.tenant, (&list.collection, definition))?;
            if let Plan::Index(through) = query::plan(list, &usable)? {
                return query::search(&[&self.state], &through, list, definition, now);
            }
        }
        let mut page = PageBuilder::new(list, definition, now);
        for slot in list.slots() {
            if page.read(&self.state, slot)?.is_break() {
                break;
            }
        }
        Ok(page.finish())
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
            let evaluated = self.evaluate(&mut inner, &command.into());
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
            let (tenant, name) = (&get.tenant, &get.item.collection);
            let item = item::get(&inner.state, slot, tenant, name, &get.item.key).unwrap();
            let definitions = Definitions::load(&inner.state).unwrap();
            let item = item.map(|item| match definitions.get(tenant, name) {
                Some(definition) => definition.upgraded(item),
                None => item,
            });
            let now = Inner::now(inner.index);
            inner.reading(item.filter(|item| !item.is_over(now)), get.consistency)
        })
    }

    fn list(&self, list: List, deadline: Option<Instant>) -> BoxFuture<'_, Result<Reading<Page>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            inner.lists.push(list.clone());
            self.begin(&mut inner, deadline)?;
            let made = inner.find(&list, Inner::now(inner.index)).map_err(|failed| match failed {
                Failed::Refused(refusal) => Error::Refused(refusal),
                Failed::State(error) => Error::Broken { reason: error.to_string() },
            });
            inner.reading(made?, list.consistency)
        })
    }

    fn changes(&self, mut follow: Follow, deadline: Option<Instant>) -> BoxFuture<'_, Result<Events, Error>> {
        Box::pin(async move {
            {
                let mut inner = self.inner.lock().unwrap();
                inner.follows.push(follow.clone());
                self.begin(&mut inner, deadline)?;
            }
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                let page = self.look(&follow)?;
                if !page.events.is_empty() || follow.wait == Duration::ZERO {
                    return Ok(page);
                }
                follow.after = Some(page.next);
                if tokio::time::timeout(follow.wait.as_std(), changed).await.is_err() {
                    follow.wait = Duration::ZERO;
                }
            }
        })
    }

    fn definitions(&self) -> Arc<Definitions> {
        Arc::new(Definitions::load(&self.inner.lock().unwrap().state).unwrap())
    }

    fn active(&self, _revision: u64) -> Active {
        Active { shards: self.inner.lock().unwrap().behind.unwrap_or(16), of: 16 }
    }

    fn define(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
        self.submit(command, deadline)
    }

    fn rehearse(
        &self,
        command: Command,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Rehearsed>, Error>> {
        Box::pin(async move {
            let before = self.inner.lock().unwrap().state.clone();
            let outcome = self.submit(command, deadline).await?.outcome;
            let mut inner = self.inner.lock().unwrap();
            inner.state = before;
            let sample = inner.sample.take();
            inner.reading(Rehearsed { outcome, sample }, Consistency::Linearizable)
        })
    }

    fn standing(
        &self,
        (tenant, name): (Tenant, Name),
        _deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Standing, Error>> {
        let inner = self.inner.lock().unwrap();
        let definitions = Definitions::load(&inner.state).unwrap();
        let definition = definitions.get(&tenant, &name).unwrap();
        let standing = query::standing(&[&inner.state], &tenant, (&name, definition)).unwrap();
        Box::pin(async move { Ok(standing) })
    }

    fn stock(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Stock, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            self.begin(&mut inner, deadline)?;
            let definitions = Definitions::load(&inner.state).unwrap();
            let checked = purge::check(&definitions, &tenant, &name);
            checked.map_err(|refusal| Error::Refused(Box::new(refusal)))?;
            Ok(purge::stock(&inner.state, &tenant, &name).unwrap())
        })
    }

    fn purge(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Purging, Error>> {
        Box::pin(async move {
            let stock = self.stock(of.clone(), deadline).await?;
            let checked = purge::check_stock(&of.1, &stock);
            checked.map_err(|refusal| Error::Refused(Box::new(refusal)))?;
            let mut inner = self.inner.lock().unwrap();
            let (tenant, collection) = of.clone();
            self.evaluate(&mut inner, &Task::from(StartPurge { tenant, collection }).into());
            Ok(purge::purging(&[&inner.state], &of.0, &of.1).unwrap().expect("it has begun"))
        })
    }

    fn purging(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Option<Purging>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            self.begin(&mut inner, deadline)?;
            Ok(purge::purging(&[&inner.state], &tenant, &name).unwrap())
        })
    }

    fn usage(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Usage>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            self.begin(&mut inner, deadline)?;
            let rows =
                inner.state.rows().map(|(key, value)| Ok::<_, Infallible>((key.clone(), value.clone())));
            let ledger = Ledger::count(rows).unwrap();
            let account = format!("{}\0{name}", tenant.name());
            let rows = ledger.accounts().find(|(it, _)| *it == account.as_bytes());
            let usage = Usage {
                rows: rows.map(|(_, rows)| rows.clone()).unwrap_or_default(),
                since: Timestamp::from_micros(7),
                flow: Flow { given: 10, logged: 15, flushed: 10, compacted: 0 },
                reads: vec![HotKey { key: "u7".to_owned(), count: 12.0, error: 0.5 }],
                writes: Vec::new(),
                half_life: Duration::from_secs(600),
            };
            inner.reading(usage, Consistency::Linearizable)
        })
    }

    fn history(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Vec<Definition>>, Error>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().unwrap();
            self.begin(&mut inner, deadline)?;
            let history = definition::history(&inner.state, &tenant, &name).unwrap();
            inner.reading(history, Consistency::Linearizable)
        })
    }
}
