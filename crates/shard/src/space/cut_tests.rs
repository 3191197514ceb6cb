//! Cuts through a shard's history: all that was committed up to a time, and nothing else.

use std::sync::Arc;
use std::task::{Context, Waker};

use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Partition, PartitionBy};
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::Duration;
use mainstay_log::faulty::{Act, SimDisk};
use mainstay_log::local::{self, Local};
use mainstay_log::memory::Memory;
use mainstay_machine::Collection;
use mainstay_machine::command::{Caller, Commit, ItemName, Operation, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::definition::Source;
use mainstay_machine::shards::Consistency;
use mainstay_machine::task::Declare;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::store::{self, Pool, View};

const THINGS: Name = Name::from_static("things");

/// One shard that is served.
struct World {
    space: Arc<Space>,
    clock: ManualClock,
    _drivers: JoinSet<()>,
    _pool: Arc<Pool>,
    _folder: TempDir,
}

impl World {
    async fn new(log: Arc<dyn Log>, is_exclusive: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::default();
        let ports: Arc<dyn Clock> = Arc::new(clock.clone());
        let options =
            store::Options { cache: mainstay_base::units::Size::from_mib(1), ..store::Options::default() };
        let pool = Arc::new(Pool::new(&options, Arc::clone(&ports)).unwrap());
        let (stores, _) = open(&pool, &folder.path().join("stores"), 1, 1).unwrap();
        let parts = Parts {
            log,
            is_exclusive,
            settings: Arc::default(),
            inbox: Bounds::default(),
            owner: Options::default(),
            feed: feed::Options::default(),
            snapshots: Location::folder(&folder.path().join("snapshots")).unwrap(),
            clock: ports,
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let (space, drivers) = Space::new(stores, &parts);
        let mut running = JoinSet::new();
        drivers.into_iter().for_each(|driver| drop(running.spawn(driver.run())));
        let rolled = Arc::clone(&space);
        running.spawn(async move { rolled.roll_out().await });
        space.ready().await.unwrap();
        let place = Source { file: "test.yaml".to_owned(), line: None };
        let things = ((Tenant::DEFAULT, THINGS), (Collection::default(), place));
        space.declare(Declare { collections: [things].into(), ..Declare::default() }).await.unwrap();
        Self { space, clock, _drivers: running, _pool: pool, _folder: folder }
    }

    /// This long from now by the wall clock.
    fn in_millis(&self, millis: u64) -> HybridTime {
        HybridTime::new(self.clock.wall().checked_add(Duration::from_millis(millis)).unwrap(), 0)
    }

    fn put(&self, key: &str) -> BoxFuture<'_, Result<Answer, Error>> {
        let value = Value::new(ContentType::JSON, "1".into()).unwrap();
        let operations = vec![Operation::Put { item: name(key), value, ttl: None }];
        let command = Command {
            tenant: Tenant::DEFAULT,
            caller: Caller::ANONYMOUS,
            partition: partition(),
            idempotency: None,
            trace: None,
            request: Request::Commit(Commit { conditions: Vec::new(), operations }),
        };
        self.space.submit(command, None)
    }

    async fn updated(&self, key: &str) -> HybridTime {
        let (item, consistency) = (name(key), Consistency::Linearizable);
        let get = Get { tenant: Tenant::DEFAULT, partition: partition(), item, consistency };
        self.space.get(get, None).await.unwrap().value.unwrap().updated
    }
}

fn partition() -> Partition<'static> {
    PartitionBy::FirstSegment.parse("p").unwrap().into_owned()
}

fn name(key: &str) -> ItemName {
    ItemName { collection: THINGS, key: format!("p/{key}").parse().unwrap() }
}

fn shows(view: &View, key: &str) -> bool {
    let found =
        item::get(view, slot(&Tenant::DEFAULT, &partition()), &Tenant::DEFAULT, &THINGS, &name(key).key);
    found.unwrap().is_some()
}

#[tokio::test]
async fn a_cut_shows_what_is_before_its_time_and_what_comes_is_after_it() {
    for is_exclusive in [false, true] {
        let world = World::new(Arc::new(Memory::default()), is_exclusive).await;
        world.put("before").await.unwrap();
        let at = world.in_millis(400);
        let (view, last) = world.space.shards[0].cut(at).await.unwrap();
        assert_eq!(last, world.updated("before").await, "the last time in it");
        assert!(last <= at);
        world.put("later").await.unwrap();
        assert!(shows(&view, "before") && !shows(&view, "later"));
        assert!(world.updated("later").await > at, "also when the clock does not show that time yet");
        let past = world.space.shards[0].cut(last).await.map(|_| ()).unwrap_err();
        assert!(matches!(&past, Error::Unavailable { reason } if reason.contains("after the cut")), "{past}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_waits_for_what_is_under_way() {
    for is_exclusive in [false, true] {
        let disk = SimDisk::new(1);
        let (entropy, clock) = (SeededEntropy::new(2), Arc::new(ManualClock::default()));
        let log = Local::open_on(disk.mount(), &local::Options::default(), clock, &entropy).unwrap().0;
        let world = World::new(Arc::new(log), is_exclusive).await;
        disk.hold(Act::Sync);
        let context = &mut Context::from_waker(Waker::noop());
        let mut under_way = world.put("under-way");
        assert!(under_way.as_mut().poll(context).is_pending());
        let shard = &world.space.shards[0];
        while shard.waiting().0 > 0 {
            tokio::task::yield_now().await;
        }
        let mut cut = Box::pin(shard.cut(world.in_millis(400)));
        assert!(cut.as_mut().poll(context).is_pending());
        let held = disk.clone();
        tokio::task::spawn_blocking(move || held.wait_until_held()).await.unwrap();
        while !is_exclusive && shard.has_cuts() {
            tokio::task::yield_now().await;
        }
        assert!(
            cut.as_mut().poll(context).is_pending(),
            "what is under way may be committed before its time"
        );
        disk.release();
        assert!(shows(&cut.await.unwrap().0, "under-way"));
        under_way.await.unwrap();
    }
}

#[tokio::test]
async fn whoever_waits_for_a_cut_of_a_shard_that_ends_is_told() {
    let world = World::new(Arc::new(Memory::default()), false).await;
    world.space.close();
    let cut = world.space.shards[0].cut(world.in_millis(400)).await.map(|_| ());
    assert!(matches!(cut, Err(Error::Unavailable { .. })), "{cut:?}");
}
