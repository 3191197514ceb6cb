//! A node's shards from their folder to their end: opened in the order of a node's start, run by tasks that are owned here,
//! stopped or crashed, and started again on what is left.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mainstay_base::time::{Clock, Instant, SeededEntropy, Timestamp};
use mainstay_base::units::{Duration, Size};
use mainstay_log::Log;
use mainstay_log::faulty::SimDisk;
use mainstay_log::local::{self, Local};
use mainstay_log::memory::Memory;
use mainstay_machine::Settings;
use mainstay_shard::feed;
use mainstay_shard::inbox::Bounds;
use mainstay_shard::owner;
use mainstay_shard::snapshot::location::Location;
use mainstay_shard::space::{Parts, Rebuilt, Space, known, open};
use mainstay_shard::store::{self, Pool};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{Declare, THINGS, collections};

/// Where the records are.
#[derive(Clone)]
pub(super) enum Engine {
    /// In memory: it survives everything, and anybody may write.
    Memory(Memory),
    /// Any other log that anybody may write.
    Shared(Arc<dyn Log>),
    /// In the folder, with nobody else.
    Folder,
    /// On a simulated disk, with nobody else.
    Disk(SimDisk),
}

/// What outlives a process.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) engine: Engine,
    pub(super) shards: u32,
    pub(super) timeline_min: u32,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    /// What a start declares.
    pub(super) declared: Declare,
    pub(super) inbox: Bounds,
    pub(super) owner: owner::Options,
    pub(super) stores: store::Options,
    pub(super) feed: feed::Options,
    pub(super) snapshots: Location,
    pub(super) clock: Arc<TestClock>,
    pub(super) starts: AtomicU64,
}

/// A process.
pub(super) struct Running {
    pub(super) space: Arc<Space>,
    pub(super) log: Arc<dyn Log>,
    local: Option<Arc<Local>>,
    _pool: Arc<Pool>,
    pub(super) drivers: JoinSet<()>,
    pub(super) rebuilt: Vec<Rebuilt>,
}

/// The runtime's clock, and how often it was looked at.
pub(super) struct TestClock {
    origin: tokio::time::Instant,
    pub(super) looks: AtomicU64,
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(1_000_000_000 + u64::try_from(nanos).expect("a test is short"))
    }

    fn wall(&self) -> Timestamp {
        let begun = Timestamp::from_micros(1_767_225_600_000_000);
        begun.checked_add(Duration::from(self.origin.elapsed())).expect("it is in range")
    }
}

impl World {
    pub(super) fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
        let snapshots = Location::folder(&folder.path().join("snapshots")).expect("a directory can be made");
        Self {
            folder,
            engine,
            shards: 1,
            timeline_min: 1,
            settings: Arc::default(),
            declared: collections(&[THINGS]),
            inbox: Bounds::default(),
            owner: owner::Options::default(),
            stores: store::Options { cache: Size::from_mib(1), ..store::Options::default() },
            feed: feed::Options::default(),
            snapshots,
            clock: Arc::new(TestClock { origin: tokio::time::Instant::now(), looks: AtomicU64::new(0) }),
            starts: AtomicU64::new(1),
        }
    }

    pub(super) fn memory() -> Self {
        Self::new(Engine::Memory(Memory::default()))
    }

    /// A world of its own that shares this one's log and clock.
    pub(super) fn rival(&self) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            starts: AtomicU64::new(1_000),
            ..Self::new(self.engine.clone())
        }
    }

    pub(super) fn stores(&self) -> PathBuf {
        self.folder.path().join("stores")
    }

    /// The folder of a shard's snapshots.
    pub(super) fn snapshots_of(&self, shard: u32) -> PathBuf {
        self.folder.path().join(format!("snapshots/shard-{shard:010}"))
    }

    pub(super) fn store_of(&self, shard: u32) -> PathBuf {
        self.stores().join(format!("shard-{shard:04}"))
    }

    /// A process that serves all shards.
    pub(super) async fn start(&self) -> Running {
        let running = self.begin().await.unwrap_or_else(|error| panic!("it starts: {error}"));
        running.space.ready().await.unwrap_or_else(|error| panic!("it is ready: {error}"));
        let declared = running.space.declare(self.declared.clone()).await;
        declared.unwrap_or_else(|error| panic!("its collections are there: {error}"));
        running
    }

    /// A process that has just begun.
    pub(super) async fn begin(&self) -> Result<Running, mainstay_log::Error> {
        let clock = || -> Arc<dyn Clock> { Arc::clone(&self.clock) as _ };
        let pool = Arc::new(Pool::new(&self.stores, clock()).expect("threads can be started"));
        let (stores, rebuilt) =
            open(&pool, &self.stores(), self.shards, self.timeline_min).expect("stores can be opened");
        let (known, error) = known(&stores, &self.snapshots, self.timeline_min).await;
        assert!(error.is_none(), "{error:?}");
        let entropy = Arc::new(SeededEntropy::new(self.starts.fetch_add(1, Ordering::Relaxed)));
        let options = local::Options {
            known,
            segment: Size::from_kib(256),
            first_segment: Size::from_kib(256),
            record_max: Size::from_kib(64),
            group_max: Size::from_kib(64),
            ..local::Options::default()
        };
        let (log, local): (Arc<dyn Log>, _) = match &self.engine {
            Engine::Memory(memory) => (Arc::new(memory.clone()), None),
            Engine::Shared(log) => (Arc::clone(log), None),
            Engine::Folder | Engine::Disk(_) => {
                let opened = match &self.engine {
                    Engine::Disk(disk) => Local::open_on(disk.mount(), &options, clock(), &*entropy),
                    _ => Local::open(&self.folder.path().join("log"), &options, clock(), &*entropy),
                };
                let local = Arc::new(opened?.0);
                (Arc::clone(&local) as _, Some(local))
            }
        };
        let parts = Parts {
            log: Arc::clone(&log),
            is_exclusive: local.is_some(),
            settings: Arc::clone(&self.settings),
            inbox: self.inbox.clone(),
            owner: self.owner.clone(),
            feed: self.feed.clone(),
            snapshots: self.snapshots.clone(),
            clock: clock(),
            entropy,
        };
        let (space, all) = Space::new(stores, &parts);
        let mut drivers = JoinSet::new();
        all.into_iter().for_each(|driver| drop(drivers.spawn(driver.run())));
        let rolled = Arc::clone(&space);
        drivers.spawn(async move { rolled.roll_out().await });
        let tended = Arc::clone(&space);
        drivers.spawn(async move { tended.tend().await });
        Ok(Running { space, log, local, _pool: pool, drivers, rebuilt })
    }
}

impl Running {
    /// Ends it as an operator does.
    pub(super) async fn stop(mut self) {
        self.space.close();
        while let Some(ended) = self.drivers.join_next().await {
            ended.expect("a driver does not panic");
        }
        if let Some(local) = &self.local {
            // After a failure it says so.
            let _ = local.close().await;
        }
    }

    /// Ends it as a kill does: nothing is flushed.
    pub(super) async fn crash(mut self) {
        self.drivers.shutdown().await;
    }
}
