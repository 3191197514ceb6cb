//! Between a store and a location: snapshots are taken, loaded, and let go.
//!
//! Rows are read and written on a thread for blocking work, objects by the runtime; between them are a few blocks at most.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Timestamp};
use mainstay_base::units::Size;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::format::{Damage, Decoder, Encoder, Found, Header};
use super::location::{self, Location, Name};
use crate::owner;
use crate::store::{self, Applied, Store, View, every_row};

/// Blocks between the two sides.
const BLOCKS_MAX: usize = 4;

/// What a snapshot took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub name: Name,
    /// Its length.
    pub bytes: u64,
    /// How many rows are in it.
    pub rows: u64,
}

/// A snapshot that was not taken, or not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The location does not answer, or refuses.
    #[error(transparent)]
    Location(#[from] location::Error),
    /// The store cannot be read, or not be filled.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It cannot be read.
    #[error("the snapshot {name} of shard {} cannot be used: {damage}", name.shard)]
    Damaged {
        /// Which.
        name: Name,
        /// What is wrong with it.
        damage: Damage,
    },
    /// It is another's.
    #[error("the snapshot {name} of shard {} cannot be used: it is {found}", name.shard)]
    Foreign {
        /// Which.
        name: Name,
        /// What it is.
        found: String,
    },
    /// What the store says of the log cannot be read.
    #[error(transparent)]
    Applied(#[from] owner::DecodeError),
    /// The thread that copied rows has panicked.
    #[error("a defect has ended the copying of rows: {0}")]
    Panicked(#[from] JoinError),
}

/// The snapshot that a store was filled from, and those that could not be used.
#[derive(Debug)]
pub struct Loaded {
    /// What it is of; none when there is none that can be used.
    pub header: Option<Header>,
    /// Later ones, and why they were passed over.
    pub passed: Vec<Error>,
}

impl Header {
    /// The header of a snapshot of this view. Errors: where the view stands cannot be read.
    pub fn of(view: &View, shard: ShardId, shards: u32, taken: Timestamp) -> Result<Self, Error> {
        let (index, memo) = match view.applied()? {
            Some(Applied { index, memo }) => (index, memo),
            None => (Index::new(0), owner::Applied::START.encode()),
        };
        let applied = owner::Applied::decode(&memo)?;
        let timeline = u32::try_from(applied.timeline.number).expect("decoding has checked it");
        Ok(Self { shard, shards, timeline, index, taken, memo })
    }

    /// Where the snapshot is kept.
    pub fn name(&self) -> Name {
        Name { shard: self.shard, timeline: self.timeline, index: self.index }
    }
}

/// Takes a snapshot of what the view shows, no faster than so many bytes a second; none: as fast as it goes.
///
/// Errors: [`Error`]; then there is none of this name, unless it is not known. Dropped, it gives up; the view is let go of a
/// moment later.
pub async fn save(
    location: &Location,
    header: &Header,
    view: View,
    rate: Option<Size>,
    clock: &dyn Clock,
) -> Result<Saved, Error> {
    let name = header.name();
    let mut upload = location.write(name).await?;
    let (sender, mut blocks) = mpsc::channel(BLOCKS_MAX);
    let (encoder, head) = Encoder::new(header);
    let reading = spawn_blocking(move || encode(encoder, head, &view, &sender));
    let (begun, mut bytes) = (clock.now(), 0);
    while let Some(block) = blocks.recv().await {
        bytes += block.len() as u64;
        upload.put(block).await?;
        let early = early(bytes, rate, clock.now().saturating_since(begun).as_std());
        if !early.is_zero() {
            sleep(early).await;
        }
    }
    match reading.await? {
        Ok(rows) => {
            upload.finish().await?;
            Ok(Saved { name, bytes, rows })
        }
        Err(error) => {
            upload.abort().await?;
            Err(error.into())
        }
    }
}

/// By how much so many bytes in that time are ahead of the rate in bytes a second.
fn early(bytes: u64, rate: Option<Size>, took: Duration) -> Duration {
    let Some(rate) = rate else { return Duration::ZERO };
    let due = Duration::try_from_secs_f64(bytes as f64 / rate.bytes() as f64);
    due.unwrap_or(Duration::MAX).saturating_sub(took)
}

/// Ends early when nobody takes the blocks any more.
fn encode(
    mut encoder: Encoder,
    head: Bytes,
    view: &View,
    blocks: &Sender<Bytes>,
) -> Result<u64, store::Error> {
    let (mut rows, mut block) = (0, Some(head));
    for row in view.rows(&every_row()) {
        if block.take().is_some_and(|block| blocks.blocking_send(block).is_err()) {
            return Ok(rows);
        }
        let (key, value) = row?;
        block = encoder.row(&key, &value);
        rows += 1;
    }
    for block in block.into_iter().chain([encoder.finish()]) {
        // Whoever waited for it has given up.
        let _ = blocks.blocking_send(block);
    }
    Ok(rows)
}

/// Fills an empty store from the latest snapshot of the shard that can be used.
///
/// Damaged and foreign ones are passed over. Errors: [`Error`]; the store's directory is then to be removed.
pub async fn load_latest(
    location: &Location,
    shard: ShardId,
    shards: u32,
    store: &Store,
) -> Result<Loaded, Error> {
    let mut passed = Vec::new();
    for name in location.list(shard).await? {
        match load(location, name, shards, store).await {
            Ok(header) => return Ok(Loaded { header: Some(header), passed }),
            Err(error @ (Error::Damaged { .. } | Error::Foreign { .. })) => passed.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(Loaded { header: None, passed })
}

/// Fills an empty store from a snapshot, which it has wholly or not at all. Errors: [`Error`].
pub async fn load(location: &Location, name: Name, shards: u32, store: &Store) -> Result<Header, Error> {
    let mut stream = location.read(name).await?;
    let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
    let store = store.clone();
    let writing = spawn_blocking(move || fill(&store, name, shards, blocks));
    let mut failed = None;
    while let Some(piece) = stream.next().await {
        let is_taken = match piece {
            // If the other side has failed, it says why.
            Ok(piece) => sender.send(piece).await.is_ok(),
            Err(error) => {
                failed = Some(error);
                false
            }
        };
        if !is_taken {
            break;
        }
    }
    // What is cut off here is not taken there.
    drop(sender);
    let filled = writing.await?;
    failed.map_or(filled, |error| Err(error.into()))
}

/// Reads what a snapshot is of, and nothing more of it. Errors: [`Error`].
pub async fn header(location: &Location, name: Name, shards: u32) -> Result<Header, Error> {
    let mut stream = location.read(name).await?;
    let mut reader = Reader::new(name, shards);
    while let Some(piece) = stream.next().await {
        reader.push(&piece?);
        if let Some(Part::Header(header)) = reader.advance()? {
            return Ok(header);
        }
    }
    reader.finish()
}

/// Reads a snapshot through, and looks whether it could be loaded. Errors: [`Error`].
pub async fn verify(location: &Location, name: Name, shards: u32) -> Result<Header, Error> {
    let mut stream = location.read(name).await?;
    let mut reader = Reader::new(name, shards);
    while let Some(piece) = stream.next().await {
        reader.push(&piece?);
        while reader.advance()?.is_some() {}
        // Decoding is work, and others have some too.
        tokio::task::yield_now().await;
    }
    reader.finish()
}

fn fill(store: &Store, name: Name, shards: u32, mut pieces: Receiver<Bytes>) -> Result<Header, Error> {
    let (mut reader, mut loader) = (Reader::new(name, shards), store.load()?);
    while let Some(piece) = pieces.blocking_recv() {
        reader.push(&piece);
        while let Some(part) = reader.advance()? {
            if let Part::Rows(rows) = part {
                for (key, value) in rows {
                    loader.write(&key, &value)?;
                }
            }
        }
    }
    let header = reader.finish()?;
    loader.finish(&Applied { index: header.index, memo: header.memo.clone() })?;
    Ok(header)
}

/// Reads the pieces of a snapshot, and sees that it is whole, the one of its name, and of a shard among so many.
pub(crate) struct Reader {
    decoder: Decoder,
    name: Name,
    shards: u32,
    header: Option<Header>,
}

/// What a reader has come to.
pub(crate) enum Part {
    /// The beginning: what it is of.
    Header(Header),
    /// The next rows, in the order of their keys.
    Rows(Vec<(Bytes, Bytes)>),
}

impl Reader {
    pub(crate) fn new(name: Name, shards: u32) -> Self {
        Self { decoder: Decoder::default(), name, shards, header: None }
    }

    /// Adds the bytes that follow.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.decoder.push(piece);
    }

    /// The next part; none before more bytes are there. The first one is the header. Errors: [`Error::Damaged`],
    /// [`Error::Foreign`].
    pub(crate) fn advance(&mut self) -> Result<Option<Part>, Error> {
        let damaged = |damage| Error::Damaged { name: self.name, damage };
        match self.decoder.advance().map_err(damaged)? {
            Found::More | Found::End => Ok(None),
            Found::Header(found) => {
                let header = check(found, self.name, self.shards)?;
                self.header = Some(header.clone());
                Ok(Some(Part::Header(header)))
            }
            Found::Rows(rows) => Ok(Some(Part::Rows(rows))),
        }
    }

    /// There are no more bytes. Errors: [`Error::Damaged`] unless it was read to its end.
    pub(crate) fn finish(self) -> Result<Header, Error> {
        self.decoder.finish().map_err(|damage| Error::Damaged { name: self.name, damage })?;
        Ok(self.header.expect("a snapshot that has ended has begun"))
    }
}

fn check(header: Header, name: Name, shards: u32) -> Result<Header, Error> {
    if header.name() != name {
        let found = format!("that of shard {}, {}", header.shard, header.name());
        return Err(Error::Foreign { name, found });
    }
    if header.shards != shards {
        let found = format!("of a shard among {}, and here are {shards}", header.shards);
        return Err(Error::Foreign { name, found });
    }
    Ok(header)
}

/// Removes all but the latest snapshots of a shard. Returns those that are left, the latest first. Errors: [`Error`].
pub async fn keep(location: &Location, shard: ShardId, count: NonZeroUsize) -> Result<Vec<Name>, Error> {
    let mut names = location.list(shard).await?;
    for name in names.split_off(count.get().min(names.len())) {
        location.remove(name).await?;
    }
    Ok(names)
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Location(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Damaged { .. } | Self::Foreign { .. } | Self::Applied(_) | Self::Panicked(_) => {
                Code::Internal
            }
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Location(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Damaged { .. } | Self::Foreign { .. } | Self::Applied(_) | Self::Panicked(_) => {
                Retry::Never
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_the_whole_snapshot() {
        let (rate, seconds) = (Some(Size::from_mib(1)), Duration::from_secs);
        assert_eq!(early(10 << 20, rate, seconds(4)), seconds(6));
        assert_eq!(early(10 << 20, rate, seconds(11)), seconds(0), "what was lost is made up for");
        assert_eq!(early(10 << 20, None, seconds(0)), seconds(0));
        assert!(early(u64::MAX, Some(Size::from_bytes(0)), seconds(0)) > seconds(1 << 40));
    }
}
