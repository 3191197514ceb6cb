//! Snapshots of a node: taken when due, kept, the log trimmed for them, and stores made again from them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use mainstay_base::position::Index;
use mainstay_base::units::Size;
use mainstay_shard::snapshot::keeper::{Keeper, Rules};
use mainstay_shard::snapshot::location::Name as Snapshot;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;

/// A keeper at work.
pub(super) struct Keeping {
    task: JoinSet<()>,
    closing: oneshot::Sender<()>,
    is_pinned: Arc<AtomicBool>,
}

impl Keeping {
    fn begin(world: &World, running: &Running, every: Size, keep: usize, rate: Option<Size>) -> Self {
        let is_pinned = Arc::new(AtomicBool::new(false));
        let pinned = Arc::clone(&is_pinned);
        let rules = Rules { every, keep: NonZeroUsize::new(keep).unwrap(), rate };
        let keeper = Keeper {
            space: running.space.clone(),
            shards: world.shards,
            log: running.log.clone(),
            pinned: Box::new(move || if pinned.load(Ordering::Relaxed) { vec![SHARD] } else { Vec::new() }),
            location: world.snapshots.clone(),
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            clock: world.clock.clone(),
        };
        let (closing, closed) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(keeper.run(async {
            // Whoever drops the other end closes it as well.
            let _ = closed.await;
        }));
        Self { task, closing, is_pinned }
    }

    pub(super) async fn end(mut self) {
        drop(self.closing);
        while let Some(ended) = self.task.join_next().await {
            ended.expect("it does not panic");
        }
    }
}

pub(super) fn two(world: &World, running: &Running) -> Keeping {
    Keeping::begin(world, running, Size::from_kib(4), 2, None)
}

pub(super) async fn snapshots(world: &World) -> Vec<Snapshot> {
    world.snapshots.list(SHARD).await.expect("they are listed")
}

pub(super) async fn begins(running: &Running) -> Index {
    running.log.tail(SHARD).await.expect("it tells its ends").begins
}

/// Commits more than a snapshot is due for, and waits for it.
pub(super) async fn snapshot_with(running: &Running, text: &str) {
    let before = counts(&running.space).snapshots;
    let large = put("a/large", &"x".repeat(5_000));
    let _ = done(&running.space, commit(vec![put(&format!("a/{text}"), text), large])).await;
    until(|| counts(&running.space).snapshots > before).await;
}

/// Waits until the keeper has nothing to do but to look again.
pub(super) async fn settled() {
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
}

fn file_of(world: &World, name: &Snapshot) -> PathBuf {
    world.snapshots_of(SHARD.get()).join(name.to_string())
}

fn damage(world: &World, name: &Snapshot) {
    let file = file_of(world, name);
    let mut bytes = std::fs::read(&file).expect("it is there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("it is there");
}

/// A node with three snapshots taken, two kept, and a commit since. It was stopped.
async fn with_snapshots() -> (World, Vec<Snapshot>) {
    let world = World::memory();
    let running = world.start().await;
    let keeping = two(&world, &running);
    for text in ["one", "two", "three"] {
        snapshot_with(&running, text).await;
    }
    let _ = done(&running.space, commit(vec![put("a/since", "since")])).await;
    settled().await;
    keeping.end().await;
    running.stop().await;
    let names = snapshots(&world).await;
    (world, names)
}

async fn shows_all(space: &Space) {
    for text in ["one", "two", "three", "since"] {
        assert_eq!(now(space, &format!("a/{text}")).await, format!("\"{text}\""));
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_taken_when_due_and_the_log_is_trimmed_to_the_oldest_kept() {
    let world = World::memory();
    let running = world.start().await;
    let keeping = two(&world, &running);
    let _ = done(&running.space, commit(vec![put("a/small", "1")])).await;
    settled().await;
    assert_eq!((snapshots(&world).await, begins(&running).await), (vec![], Index::FIRST), "none is due");
    snapshot_with(&running, "one").await;
    settled().await;
    let first = snapshots(&world).await;
    assert_eq!((first.len(), begins(&running).await), (1, Index::FIRST), "as long as it may be gone");
    for text in ["two", "three", "four"] {
        snapshot_with(&running, text).await;
        settled().await;
        let names = snapshots(&world).await;
        assert_eq!(names.len(), 2);
        assert!(names[0] > names[1] && names[1] >= first[0]);
        assert_eq!(begins(&running).await, names[1].index.next(), "after {text}");
        let view = view(&running.space);
        assert_eq!(view.snapshot, Some(names[0].index));
    }
    let counts = counts(&running.space);
    assert_eq!((counts.snapshots, counts.snapshots_failed), (4, 0), "none without need");
    keeping.end().await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_holds_back_the_log_lets_go_of_all_but_what_is_proven() {
    let world = World::memory();
    let running = world.start().await;
    let keeping = two(&world, &running);
    let _ = done(&running.space, commit(vec![put("a/small", "1")])).await;
    keeping.is_pinned.store(true, Ordering::Relaxed);
    settled().await;
    let names = snapshots(&world).await;
    assert_eq!((names.len(), begins(&running).await), (1, names[0].index.next()), "it is due at once");

    keeping.is_pinned.store(false, Ordering::Relaxed);
    snapshot_with(&running, "one").await;
    settled().await;
    let before = begins(&running).await;
    damage(&world, &snapshots(&world).await[0]);
    keeping.is_pinned.store(true, Ordering::Relaxed);
    settled().await;
    assert_eq!(begins(&running).await, before, "not for one that cannot be read");
    assert!(counts(&running.space).snapshots_failed > 0);
    keeping.end().await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_is_made_again_from_the_newest_and_the_log() {
    let (world, names) = with_snapshots().await;
    assert_eq!(names.len(), 2);
    std::fs::remove_dir_all(world.stores()).unwrap();
    let running = world.start().await;
    shows_all(&running.space).await;
    assert_eq!(counts(&running.space).batches, 1, "only what came since is read from the log");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_one_before_serves_when_the_newest_is_damaged() {
    let (world, names) = with_snapshots().await;
    std::fs::remove_dir_all(world.stores()).unwrap();
    damage(&world, &names[0]);
    let running = world.start().await;
    shows_all(&running.space).await;
    assert_eq!(counts(&running.space).batches, 2, "what came since the older one is read from the log");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_any_that_can_be_read_nothing_is_served() {
    let (world, names) = with_snapshots().await;
    std::fs::remove_dir_all(world.stores()).unwrap();
    names.iter().for_each(|name| damage(&world, name));
    let running = world.begin().await.unwrap();
    let reason = running.space.ready().await.unwrap_err();
    assert!(reason.contains("load a snapshot") && reason.contains("or restore a backup"), "{reason}");
    assert_eq!(state(&running.space), State::Failed { reason });
    let read = get(&running.space, "a/one", Consistency::Eventual, None).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "not as if it were empty: {read:?}");
    let write = running.space.submit(commit(vec![put("a/one", "new")]), None).await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "{write:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lacks_what_the_log_forgot_is_made_again_or_kept() {
    let world = World::memory();
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/old", "old")])).await;
    running.stop().await;
    // The node goes on elsewhere, and comes back to its old store.
    let kept = world.folder.path().join("kept");
    std::fs::rename(world.stores(), &kept).unwrap();
    let running = world.start().await;
    let keeping = two(&world, &running);
    for text in ["one", "two", "three"] {
        snapshot_with(&running, text).await;
    }
    settled().await;
    assert!(begins(&running).await > Index::new(5));
    keeping.end().await;
    running.stop().await;
    std::fs::remove_dir_all(world.stores()).unwrap();
    std::fs::rename(&kept, world.stores()).unwrap();

    let away = world.folder.path().join("away");
    std::fs::rename(world.snapshots_of(1), &away).unwrap();
    let running = world.begin().await.unwrap();
    let reason = running.space.ready().await.unwrap_err();
    assert!(reason.contains("the store has the log up to index 3, and the log begins at"), "{reason}");
    running.stop().await;

    let _ = std::fs::remove_dir_all(world.snapshots_of(1));
    std::fs::rename(&away, world.snapshots_of(1)).unwrap();
    let running = world.start().await;
    for text in ["old", "one", "two", "three"] {
        assert_eq!(now(&running.space, &format!("a/{text}")).await, format!("\"{text}\""));
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_still_read_is_made_again_when_it_is_not() {
    let world = World::memory();
    let rival = World { snapshots: world.snapshots.clone(), ..world.rival() };
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/old", &"x".repeat(300_000))])).await;
    // A snapshot that takes very long holds the store.
    let keeping = Keeping::begin(&world, &running, Size::from_kib(4), 2, Some(Size::from_bytes(1)));
    settled().await;
    let other = rival.start().await;
    let others = two(&rival, &other);
    for text in ["one", "two", "three"] {
        snapshot_with(&other, text).await;
    }
    settled().await;
    assert!(begins(&other).await > Index::new(3));
    let _ = get(&running.space, "a/one", Consistency::Linearizable, None).await.unwrap_err();
    until(|| matches!(state(&running.space), State::Waiting { reason } if reason.contains("in use"))).await;
    keeping.end().await;
    running.space.ready().await.expect("it is tried again");
    assert_eq!(now(&running.space, "a/three").await, "\"three\"");
    others.end().await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_given_up_leaves_nothing_and_holds_up_nobody() {
    let world = World::memory();
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/old", &"x".repeat(300_000))])).await;
    let keeping = Keeping::begin(&world, &running, Size::from_kib(4), 2, Some(Size::from_bytes(1)));
    settled().await;
    let begun = world.clock.now();
    keeping.end().await;
    running.stop().await;
    assert!(world.clock.now().saturating_since(begun) < Duration::from_secs(1), "at once");
    assert_eq!((snapshots(&world).await, counts(&world.start().await.space).batches), (vec![], 0));
}
