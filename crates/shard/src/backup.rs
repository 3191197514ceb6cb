//! Backups: all shards of a node as of one hybrid time, and their way back into an empty data directory.
//!
//! A cut goes through all shards at one time: what was committed up to it is in the backup, what comes later has a later time. So
//! nothing is in it without what caused it. The document that names the snapshots is written last; without it there is no backup.
//! A restore begins a new line of history, in which every log begins at its first record; the rows wait as snapshots until the
//! node's next start fills its stores with them.

use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::hlc::HybridTime;
use mainstay_base::key::Slot;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy, Timestamp};
use mainstay_base::units::{Duration, Size};
use mainstay_log::record::Timeline;
use mainstay_machine::shards;
use serde::{Deserialize, Serialize};

use crate::owner::Applied;
use crate::snapshot::copy::{self, Reader, Saved};
use crate::snapshot::format::{Encoder, Header};
use crate::snapshot::location::{self, Location, Name};
use crate::space::manifest::{self, Manifest};
use crate::space::{Space, shard_ids};

/// The document that makes a folder of snapshots a backup.
const DOCUMENT: &str = "backup.json";
const FORMAT: u32 = 1;

/// How far the cut is ahead of the wall clock: as long as it may take to reach every shard.
const AHEAD: Duration = Duration::from_millis(50);

/// How often a cut is tried that came too late for a shard.
const CUTS_MAX: u32 = 20;

/// A backup that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    format: u32,
    /// When it was taken, by the wall clock.
    pub taken: Timestamp,
    /// Everything that was committed up to this time is in it, and nothing else.
    pub cut: Cut,
    /// The number of the line of history that it is of.
    pub timeline: u32,
    /// Each shard's part: that of `system`, then those with slots in their order.
    pub shards: Vec<Part>,
}

/// A hybrid time, as text and as the number that it is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Its wall time.
    pub time: Timestamp,
    bits: u64,
}

/// A shard's part of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which shard.
    pub shard: ShardId,
    /// The last record of its log that is in it.
    pub index: Index,
    /// How many rows it has.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

/// What a restore has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub backup: Backup,
    /// The line of history that begins with it.
    pub timeline: Timeline,
}

/// A backup that was not taken, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The location.
    #[error(transparent)]
    Location(#[from] location::Error),
    /// A snapshot.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// A shard that is not served.
    #[error("a shard cannot be backed up: {0}")]
    Shard(#[from] shards::Error),
    /// An ownership ended while the backup was taken.
    #[error("the shards changed owners while the backup was taken: take it again")]
    Moved,
    /// There is one of this name.
    #[error("there is a backup of this name already: choose another")]
    Exists,
    /// There is no such backup.
    #[error("there is no backup: its document {DOCUMENT} is missing, and without it the rest is of no use")]
    Missing,
    /// Its document cannot be read.
    #[error("the backup's document {DOCUMENT} cannot be read: {0}")]
    Document(String),
    /// Its parts are not what the document says.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// It is not restored over data.
    #[error(
        "the data directory {0} is not empty: a backup is restored into a new one, so that nothing is lost"
    )]
    NotEmpty(String),
    /// The data directory.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
}

impl Backup {
    /// How many shards with slots it has.
    pub fn count(&self) -> u32 {
        u32::try_from(self.shards.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Errors: its parts are not those of all shards of a node.
    fn check(&self) -> Result<(), Error> {
        let is_slots = self.shards.len() <= usize::from(Slot::COUNT) + 1 && self.count() > 0;
        let is_each = self.shards.iter().map(|part| part.shard).eq(shard_ids(self.count()));
        if is_slots && is_each {
            return Ok(());
        }
        Err(Error::Damaged("its document does not name each shard once, in their order".into()))
    }
}

/// Takes a backup of all shards into an empty location, each part no faster than `rate` bytes a second. Errors: [`Error`].
///
/// Dropped or failed, it leaves parts behind that are no backup.
pub async fn take(
    space: &Space,
    to: &Location,
    rate: Option<Size>,
    clock: &dyn Clock,
) -> Result<Backup, Error> {
    if to.document(DOCUMENT).await?.is_some() {
        return Err(Error::Exists);
    }
    let owners = space.owners();
    let (cut, views) = cut(space, clock).await?;
    // Who owns later may not know of the cut; nobody may have begun to own before it was through all.
    if space.owners() != owners {
        return Err(Error::Moved);
    }
    let (count, taken, mut timeline) = (space.count(), clock.wall(), 1);
    let mut shards = Vec::new();
    for (shard, view) in views {
        let header = Header::of(&view, shard, count, taken)?;
        timeline = timeline.max(header.timeline);
        let Saved { name, bytes, rows } = copy::save(to, &header, view, rate, clock).await?;
        shards.push(Part { shard, index: name.index, rows, bytes });
    }
    let cut = Cut { time: cut.wall(), bits: cut.to_bits() };
    let backup = Backup { format: FORMAT, taken, cut, timeline, shards };
    let mut text = serde_json::to_vec_pretty(&backup).expect("it is plain data");
    text.push(b'\n');
    to.write_document(DOCUMENT, text.into()).await?;
    Ok(backup)
}

type Views = Vec<(ShardId, crate::store::View)>;

/// The rows of all shards as they are at one time, and that time.
async fn cut(space: &Space, clock: &dyn Clock) -> Result<(HybridTime, Views), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let wall = clock.wall().checked_add(AHEAD).unwrap_or(Timestamp::MAX).min(HybridTime::WALL_MAX);
        let at = HybridTime::new(wall, 0);
        let views = join_all(
            space.all().map(|shard| async { shard.cut(at).await.map(|(view, _)| (shard.id, view)) }),
        );
        let views: Result<Views, _> = views.await.into_iter().collect();
        match views {
            Ok(views) => return Ok((at, views)),
            // It came later than this time to a shard that goes on.
            Err(shards::Error::Unavailable { .. }) if tries < CUTS_MAX => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The backups below a location with their names, in the order of these. Errors: [`Error`].
pub async fn list(location: &Location) -> Result<Vec<(String, Backup)>, Error> {
    let mut all = Vec::new();
    for name in location.folders().await? {
        match read(&location.below(&name)).await {
            Ok(backup) => all.push((name, backup)),
            Err(Error::Missing) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Reads what a location says of the backup in it. Errors: [`Error`].
pub async fn read(from: &Location) -> Result<Backup, Error> {
    let text = from.document(DOCUMENT).await?.ok_or(Error::Missing)?;
    let document = |error: serde_json::Error| Error::Document(error.to_string());
    let format = serde_json::from_slice::<serde_json::Value>(&text).map_err(document)?;
    match format.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => serde_json::from_slice(&text).map_err(document),
        Some(format) => {
            let what =
                format!("it is of format {format}, and this program reads format {FORMAT}: use a newer one");
            Err(Error::Document(what))
        }
        None => Err(Error::Document("it has no format".into())),
    }
}

/// Restores a backup into a data directory that nobody uses and that has no data. Errors: [`Error`].
///
/// The next start of a node there fills its stores from `snapshots`. An interrupted restore leaves a directory in which no node
/// starts.
pub async fn restore(
    from: &Location,
    data: &Path,
    snapshots: &Location,
    entropy: &dyn Entropy,
) -> Result<Restored, Error> {
    let backup = read(from).await?;
    if Manifest::read(data)?.is_some() {
        return Err(Error::NotEmpty(data.display().to_string()));
    }
    backup.check()?;
    let last = || Error::Damaged("its line of history is the last that can be numbered".into());
    let number = backup.timeline.checked_add(1).ok_or_else(last)?;
    let mut id = [0; 16];
    entropy.fill(&mut id);
    let timeline = Timeline { number: number.into(), id };
    let mut manifest = Manifest { shards: backup.count(), timeline, is_restoring: true };
    manifest.write(data)?;
    for part in &backup.shards {
        move_part(from, snapshots, &backup, part, timeline).await?;
    }
    manifest.is_restoring = false;
    manifest.write(data)?;
    Ok(Restored { backup, timeline })
}

/// Copies a shard's rows under the header of the new line of history.
async fn move_part(
    from: &Location,
    to: &Location,
    backup: &Backup,
    part: &Part,
    timeline: Timeline,
) -> Result<(), Error> {
    let old = Name { shard: part.shard, timeline: backup.timeline, index: part.index };
    let mut reader = Reader::new(old, backup.count());
    let mut stream = from.read(old).await?;
    let mut moved: Option<(Encoder, location::Upload<'_>)> = None;
    let mut rows = 0;
    while let Some(piece) = stream.next().await {
        reader.push(&piece?);
        while let Some(found) = reader.advance()? {
            match found {
                copy::Part::Header(header) => {
                    let header = renewed(&header, timeline, backup.cut)?;
                    let (encoder, head) = Encoder::new(&header);
                    let mut upload = to.write(header.name()).await?;
                    upload.put(head).await?;
                    moved = Some((encoder, upload));
                }
                copy::Part::Rows(found) => {
                    let (encoder, upload) = moved.as_mut().expect("a header comes before rows");
                    for (key, value) in found {
                        rows += 1;
                        if let Some(block) = encoder.row(&key, &value) {
                            upload.put(block).await?;
                        }
                    }
                }
            }
        }
    }
    reader.finish()?;
    if rows != part.rows {
        let what = format!("shard {} has {rows} rows, and its document says {}", part.shard, part.rows);
        return Err(Error::Damaged(what));
    }
    let (encoder, mut upload) = moved.expect("a snapshot that has ended has begun");
    upload.put(encoder.finish()).await?;
    Ok(upload.finish().await?)
}

/// The header of the same rows before the first record of a new line of history.
fn renewed(header: &Header, timeline: Timeline, cut: Cut) -> Result<Header, Error> {
    let applied = Applied::decode(&header.memo).map_err(copy::Error::from)?;
    // No time in the new line of history is before the cut.
    let time = applied.time.max(HybridTime::from_bits(cut.bits));
    let memo: Bytes = Applied { time, timeline, ..Applied::START }.encode();
    let number = u32::try_from(timeline.number).expect("restoring has checked it");
    Ok(Header { timeline: number, index: Index::new(0), memo, ..header.clone() })
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Location(error) => error.code(),
            Self::Copy(error) => error.code(),
            Self::Shard(error) => error.code(),
            Self::Moved => Code::Unavailable,
            Self::Exists => Code::Conflict,
            Self::Missing => Code::NotFound,
            Self::NotEmpty(_) => Code::Conflict,
            Self::Document(_) | Self::Damaged(_) | Self::Manifest(_) => Code::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Location(error) => error.retry(),
            Self::Copy(error) => error.retry(),
            Self::Moved => Retry::Safe,
            Self::Shard(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::time::SeededEntropy;
    use object_store::memory::InMemory;
    use serde_json::{Value, json};

    use super::*;

    /// What becomes of a restore from a backup with this document and nothing else.
    async fn restored(document: &Value, data: &Path) -> Error {
        let from = Location::within(std::sync::Arc::new(InMemory::new()), "");
        from.write_document(DOCUMENT, document.to_string().into()).await.unwrap();
        restore(&from, data, &from.below("to"), &SeededEntropy::new(1)).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_document_that_says_what_no_node_has_is_refused_before_anything_is_written() {
        let data = tempfile::tempdir().unwrap();
        let part = |shard: u32| json!({ "shard": shard, "index": 1, "rows": 1, "bytes": 1 });
        let document = |timeline: u64, shards: Vec<Value>| {
            let (at, cut) = ("2026-01-01T00:00:00Z", json!({ "time": "2026-01-01T00:00:00Z", "bits": 0 }));
            json!({ "format": 1, "taken": at, "cut": cut, "timeline": timeline, "shards": shards })
        };
        for (document, says) in [
            (document(1, vec![]), "each shard once"),
            (document(1, vec![part(2)]), "each shard once"),
            (document(1, vec![part(0)]), "each shard once"),
            (document(1, vec![part(0), part(2)]), "each shard once"),
            (document(1, vec![part(1), part(2)]), "each shard once"),
            (document(1, vec![part(0), part(1), part(1)]), "each shard once"),
            (document(u32::MAX.into(), vec![part(0), part(1)]), "the last that can be numbered"),
            (document(u64::MAX, vec![part(0), part(1)]), "cannot be read"),
            (json!({ "format": 2 }), "use a newer one"),
            (json!({}), "it has no format"),
        ] {
            let error = restored(&document, data.path()).await.to_string();
            assert!(error.contains(says), "{error}");
            assert_eq!(data.path().read_dir().unwrap().count(), 0);
        }
    }
}
