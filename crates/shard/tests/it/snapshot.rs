//! Snapshots between stores and locations: what was saved is loaded, and what is damaged is passed over.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, ManualClock, Timestamp};
use mainstay_machine::Mutation;
use mainstay_shard::snapshot::copy::{Error, keep, load, load_latest, save};
use mainstay_shard::snapshot::format::Header;
use mainstay_shard::snapshot::location::Location;
use mainstay_shard::store::{Applied, Options, Pool, Store, every_row};
use tempfile::TempDir;

const SHARD: ShardId = ShardId::new(3);
const SHARDS: u32 = 16;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

struct World {
    folder: TempDir,
    pool: Pool,
    location: Location,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::folder(&folder.path().join("snapshots")).expect("a location");
        let pool = Pool::new(&Options::default(), clock()).expect("threads");
        Self { folder, pool, location }
    }

    fn store(&self, name: &str) -> Store {
        Store::open(&self.pool, &self.folder.path().join(name)).expect("a store")
    }

    /// A snapshot at this index: `rows` rows of this text.
    async fn save(&self, index: u64, rows: u32, text: &str) -> Header {
        let store = self.store(&format!("source-{index}"));
        let applied = Applied { index: Index::new(index), memo: Bytes::from_static(b"memo") };
        let put = |number: u32| Mutation::Put {
            key: Bytes::from(number.to_be_bytes().to_vec()),
            value: Bytes::from(text.to_owned()),
        };
        let mutations: Vec<_> = (0..rows).map(put).collect();
        store.apply(mutations.iter(), &applied).expect("it is applied");
        let (taken, memo) = (Timestamp::from_micros(5), applied.memo);
        let header = Header { shard: SHARD, shards: SHARDS, timeline: 1, index: applied.index, taken, memo };
        let saved = save(&self.location, &header, store.view(), None, &*clock()).await.expect("it is saved");
        assert_eq!((saved.name, saved.rows), (header.name(), rows.into()));
        assert_eq!(saved.bytes, std::fs::metadata(self.file(&header)).expect("a file").len());
        header
    }

    fn file(&self, header: &Header) -> std::path::PathBuf {
        self.folder.path().join("snapshots/shard-0000000003").join(header.name().to_string())
    }
}

fn rows(store: &Store) -> Vec<(Bytes, Bytes)> {
    store.view().rows(&every_row()).map(|row| row.expect("a row")).collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("a file");
}

#[tokio::test]
async fn what_was_saved_is_loaded_and_goes_on_where_it_was() {
    let world = World::new();
    let header = world.save(7, 20_000, &"text ".repeat(20)).await;
    let store = world.store("target");
    let loaded = load_latest(&world.location, SHARD, SHARDS, &store).await.unwrap();
    assert_eq!((loaded.header, loaded.passed.len()), (Some(header), 0));
    assert_eq!(rows(&store), expected(20_000, &"text ".repeat(20)));
    assert_eq!((store.applied(), store.durable_applied()), (Index::new(7), Index::new(7)));
    let memo = store.view().applied().unwrap().unwrap().memo;
    assert_eq!(memo, Bytes::from_static(b"memo"));
}

fn expected(count: u32, text: &str) -> Vec<(Bytes, Bytes)> {
    (0..count)
        .map(|number| (Bytes::from(number.to_be_bytes().to_vec()), Bytes::from(text.to_owned())))
        .collect()
}

#[tokio::test]
async fn a_damaged_one_is_passed_over_for_the_one_before() {
    let world = World::new();
    let older = world.save(5, 10, "older").await;
    let newer = world.save(9, 5_000, &"newer ".repeat(30)).await;
    let file = world.file(&newer);
    // In its last block, when much of it is read already.
    let at = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap() - 40;
    flip(&file, at);
    let store = world.store("target");
    let loaded = load_latest(&world.location, SHARD, SHARDS, &store).await.unwrap();
    assert_eq!(loaded.header, Some(older));
    assert!(matches!(loaded.passed[..], [Error::Damaged { .. }]), "{:?}", loaded.passed);
    assert_eq!(rows(&store), expected(10, "older"), "nothing of the damaged one is left");
}

#[tokio::test]
async fn without_any_that_can_be_used_the_store_stays_empty() {
    let world = World::new();
    let header = world.save(5, 10, "text").await;
    std::fs::write(world.file(&header), b"").unwrap();
    let store = world.store("target");
    let loaded = load_latest(&world.location, SHARD, SHARDS, &store).await.unwrap();
    assert_eq!((loaded.header, loaded.passed.len(), rows(&store)), (None, 1, Vec::new()));
}

#[tokio::test]
async fn a_snapshot_of_another_shard_or_among_others_is_refused() {
    let world = World::new();
    let header = world.save(5, 10, "text").await;
    let store = world.store("target");
    let error = load(&world.location, header.name(), 8, &store).await.unwrap_err();
    assert!(error.to_string().contains("among 16, and here are 8"), "{error}");
    let renamed = world.file(&header).with_file_name("0000000001-00000000000000000006.snapshot");
    std::fs::rename(world.file(&header), renamed).unwrap();
    let loaded = load_latest(&world.location, SHARD, SHARDS, &store).await.unwrap();
    assert!(matches!(loaded.passed[..], [Error::Foreign { .. }]), "{:?}", loaded.passed);
}

#[tokio::test]
async fn the_latest_are_kept() {
    let world = World::new();
    for index in [1, 2, 3] {
        world.save(index, 1, "text").await;
    }
    let two = NonZeroUsize::new(2).unwrap();
    let kept = keep(&world.location, SHARD, two).await.unwrap();
    assert_eq!(kept.iter().map(|name| name.index.get()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(world.location.list(SHARD).await.unwrap(), kept);
    assert_eq!(keep(&world.location, SHARD, two).await.unwrap(), kept, "and nothing else goes");
}
