//! Where snapshots are kept: a folder, or a bucket of an object store.
//!
//! One object for each snapshot, named by shard, timeline and index, so that their order can be read from a listing. An object
//! is there as a whole or not at all, and durable once it was written: for a folder files and names are synced.

use std::fmt::{self, Display, Formatter};
use std::path::Path as Folder;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::position::{Index, ShardId};
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};

/// Above the 5 MiB that parts of an object must have at some stores.
const PART_BYTES: usize = 8 << 20;

/// Parts that are under way at once: as many are in memory.
const PARTS_MAX: usize = 2;

const SUFFIX: &str = ".snapshot";

/// Where the snapshots of all shards are.
#[derive(Debug, Clone)]
pub struct Location {
    store: Arc<dyn ObjectStore>,
    above: Path,
}

/// Which snapshot: a later one is greater, of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Whose rows.
    pub shard: ShardId,
    /// The number of the line of history.
    pub timeline: u32,
    /// The last record that is in it.
    pub index: Index,
}

/// The location does not do what it was asked to. Whatever it has stays as it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {name} in {location}: {source}")]
pub struct Error {
    act: &'static str,
    name: String,
    location: String,
    source: Box<object_store::Error>,
}

impl Location {
    /// A folder, made if it is not there. Errors: it cannot be made.
    pub fn folder(folder: &Folder) -> Result<Self, std::io::Error> {
        std::fs::create_dir_all(folder)?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(std::io::Error::from)?;
        // Without, a name could outlive its bytes, and the log be trimmed for a snapshot that is empty.
        Ok(Self::within(Arc::new(store.with_fsync(true)), ""))
    }

    /// A prefix in an object store, without a slash at either end.
    pub fn within(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, above: Path::from(prefix) }
    }

    /// The snapshots of a shard, the latest first; objects with other names are not looked at. Errors: [`Error`].
    pub async fn list(&self, shard: ShardId) -> Result<Vec<Name>, Error> {
        let folder = self.of_shard(shard);
        let listed: Result<Vec<_>, _> = self.store.list(Some(&folder)).try_collect().await;
        let objects = listed.map_err(|error| self.error("list", &folder, error))?;
        let mut names: Vec<_> =
            objects.iter().filter_map(|object| Name::parse(shard, object.location.filename()?)).collect();
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    }

    /// Begins to write a snapshot. It is not there before [`Upload::finish`]. Errors: [`Error`].
    pub async fn write(&self, name: Name) -> Result<Upload<'_>, Error> {
        let path = self.path(name);
        let upload = self.store.put_multipart(&path).await;
        let upload = upload.map_err(|error| self.error("begin to write", &path, error))?;
        let writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        Ok(Upload { location: self, path, writer })
    }

    /// Reads a snapshot from its beginning. Errors: [`Error`], here and in the stream.
    pub async fn read(&self, name: Name) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let path = self.path(name);
        let found = self.store.get(&path).await.map_err(|error| self.error("read", &path, error))?;
        let location = self.clone();
        let failed = move |error| location.error("read", &path, error);
        Ok(Box::pin(found.into_stream().map_err(failed)))
    }

    /// The same place, further down.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        Self { store: Arc::clone(&self.store), above: self.above.clone().join(PathPart::from(folder)) }
    }

    /// The folders right below it, in the order of their names. Errors: [`Error`].
    pub async fn folders(&self) -> Result<Vec<String>, Error> {
        let listed = self.store.list_with_delimiter(Some(&self.above)).await;
        let listed = listed.map_err(|error| self.error("list", &self.above, error))?;
        let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Reads a small document; none when it is not there. Errors: [`Error`].
    pub async fn document(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let path = self.above.clone().join(PathPart::from(name));
        let read = async { self.store.get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", &path, error)),
        }
    }

    /// Writes a small document, as a whole and durably. Errors: [`Error`].
    pub async fn write_document(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = self.above.clone().join(PathPart::from(name));
        let written = self.store.put(&path, bytes.into()).await;
        written.map(drop).map_err(|error| self.error("write", &path, error))
    }

    /// Removes a snapshot, if it is there. Errors: [`Error`].
    pub async fn remove(&self, name: Name) -> Result<(), Error> {
        let path = self.path(name);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("remove", &path, error)),
        }
    }

    fn of_shard(&self, shard: ShardId) -> Path {
        self.above.clone().join(PathPart::from(format!("shard-{shard:010}", shard = shard.get())))
    }

    fn path(&self, name: Name) -> Path {
        self.of_shard(name.shard).join(PathPart::from(name.to_string()))
    }

    fn error(&self, act: &'static str, path: &Path, source: object_store::Error) -> Error {
        let source = Box::new(source);
        Error { act, name: path.to_string(), location: self.store.to_string(), source }
    }
}

/// A snapshot that is being written. Dropped, it never was; a folder may keep the unfinished file until it is removed by hand.
#[derive(Debug)]
pub struct Upload<'a> {
    location: &'a Location,
    path: Path,
    writer: WriteMultipart,
}

impl Upload<'_> {
    /// Adds bytes; waits while as many are under way as may be in memory. Errors: [`Error`]; it cannot go on then.
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), Error> {
        let has_capacity = self.writer.wait_for_capacity(PARTS_MAX).await;
        has_capacity.map_err(|error| self.location.error("write", &self.path, error))?;
        self.writer.put(bytes);
        Ok(())
    }

    /// Makes the snapshot be there, durably. Errors: [`Error`]; it is then not known whether it is.
    pub async fn finish(self) -> Result<(), Error> {
        let finished = self.writer.finish().await;
        finished.map(drop).map_err(|error| self.location.error("finish", &self.path, error))
    }

    /// Gives up, and frees what was stored. Errors: [`Error`]; it is not there all the same.
    pub async fn abort(self) -> Result<(), Error> {
        let aborted = self.writer.abort().await;
        aborted.map_err(|error| self.location.error("give up", &self.path, error))
    }
}

impl Name {
    fn parse(shard: ShardId, text: &str) -> Option<Self> {
        let (timeline, index) = text.strip_suffix(SUFFIX)?.split_once('-')?;
        let name = Self { shard, timeline: timeline.parse().ok()?, index: Index::new(index.parse().ok()?) };
        // Only the form that is written is read, so that each snapshot has one name.
        (name.to_string() == text).then_some(name)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:020}{SUFFIX}", self.timeline, self.index.get())
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Unavailable
    }

    fn retry(&self) -> Retry {
        Retry::Safe
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const SHARD: ShardId = ShardId::new(3);

    fn name(timeline: u32, index: u64) -> Name {
        Name { shard: SHARD, timeline, index: Index::new(index) }
    }

    async fn write(location: &Location, name: Name, bytes: &[u8]) {
        let mut upload = location.write(name).await.unwrap();
        for piece in bytes.chunks(1 << 20) {
            upload.put(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        upload.finish().await.unwrap();
    }

    async fn read(location: &Location, name: Name) -> Result<Vec<u8>, Error> {
        let pieces: Vec<_> = location.read(name).await?.try_collect().await?;
        Ok(pieces.concat())
    }

    async fn keeps_snapshots(location: &Location) {
        assert_eq!(location.list(SHARD).await.unwrap(), []);
        // More than a part, so that there are several.
        let long = vec![7; PART_BYTES + PART_BYTES / 2];
        write(location, name(1, 9), b"nine").await;
        write(location, name(2, 3), b"three, after a restore").await;
        write(location, name(1, 10), &long).await;
        write(location, Name { shard: ShardId::new(4), ..name(7, 7) }, b"of another shard").await;
        assert_eq!(location.list(SHARD).await.unwrap(), [name(2, 3), name(1, 10), name(1, 9)]);
        assert_eq!(read(location, name(1, 10)).await.unwrap(), long);
        location.remove(name(1, 10)).await.unwrap();
        location.remove(name(1, 10)).await.unwrap();
        assert_eq!(location.list(SHARD).await.unwrap(), [name(2, 3), name(1, 9)]);
        let error = read(location, name(1, 10)).await.unwrap_err().to_string();
        assert!(error.contains("shard-0000000003/0000000001-00000000000000000010.snapshot"), "{error}");
    }

    async fn has_nothing_of_an_upload_that_was_given_up(location: &Location) {
        let mut upload = location.write(name(1, 1)).await.unwrap();
        upload.put(Bytes::from(vec![1; PART_BYTES + 1])).await.unwrap();
        upload.abort().await.unwrap();
        drop(location.write(name(1, 2)).await.unwrap());
        assert_eq!(location.list(SHARD).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_folder_and_a_bucket_keep_snapshots() {
        let folder = tempfile::tempdir().unwrap();
        let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for location in
            [Location::folder(&folder.path().join("a/b")).unwrap(), Location::within(bucket, "a/b")]
        {
            has_nothing_of_an_upload_that_was_given_up(&location).await;
            keeps_snapshots(&location).await;
        }
    }

    #[test]
    fn a_snapshot_has_one_name() {
        for at in [name(1, 0), name(u32::MAX, u64::MAX)] {
            assert_eq!(Name::parse(SHARD, &at.to_string()), Some(at));
        }
        for other in ["1-2.snapshot", "0000000001-00000000000000000002", "notes.txt", "", "-.snapshot"] {
            assert_eq!(Name::parse(SHARD, other), None, "{other}");
        }
    }
}
