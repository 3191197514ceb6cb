//! A segment as readers know it, and where in it each shard's records are.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mainstay_base::position::{Index, ShardId};

use super::disk::{Disk, File};
use super::group::{BLOCK, Home};
use super::names;
use super::scan;

/// How far apart two remembered places of one shard are at least.
const CHECKPOINT_BYTES: u64 = 64 << 10;

/// A file of the log, from its opening on.
pub(crate) struct Segment {
    pub(crate) home: Home,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// Where the opening ends.
    pub(crate) begins_at: u64,
    /// The next index of every shard when the segment began; 1 for others.
    nexts: HashMap<ShardId, Index>,
    /// Where the last group ends, and the CRC of its head; set when the next segment has begun.
    pub(crate) ended: OnceLock<End>,
    /// Always there while it is the last segment; else as long as it is read now and then.
    opened: Mutex<Option<Arc<Opened>>>,
}

/// The end of a segment that has a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) crc: u32,
}

/// An open file, and where its records are.
pub(crate) struct Opened {
    pub(crate) file: Box<dyn File>,
    places: Mutex<Places>,
}

/// For each shard in ascending order: an index, and the offset of a group that lies before or at its record and
/// behind or at the record before it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    shards: HashMap<ShardId, Vec<(Index, u64)>>,
    /// Places before this are not good enough for records behind it: there is damage in between.
    gap: u64,
}

impl Segment {
    pub(crate) fn new(home: Home, bytes: u64, begins_at: u64, nexts: HashMap<ShardId, Index>) -> Self {
        Self { home, bytes, begins_at, nexts, ended: OnceLock::new(), opened: Mutex::new(None) }
    }

    /// The file's name.
    pub(crate) fn name(&self) -> String {
        names::segment(self.home.segment)
    }

    /// The first index of the shard that this segment or a later one has.
    pub(crate) fn first(&self, shard: ShardId) -> Index {
        self.nexts.get(&shard).copied().unwrap_or(Index::FIRST)
    }

    /// The shards that had a record before this segment, with their next index.
    pub(crate) fn nexts(&self) -> &HashMap<ShardId, Index> {
        &self.nexts
    }

    /// Keeps the file open.
    pub(crate) fn set_opened(&self, opened: Arc<Opened>) {
        *self.lock() = Some(opened);
    }

    /// Lets go of the file and the places; the next reader opens it again.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// The open file, if it is kept open.
    pub(crate) fn opened(&self) -> Option<Arc<Opened>> {
        self.lock().clone()
    }

    /// Opens the file and finds the records: the whole segment is read and checked. Only for a segment that
    /// has ended.
    pub(crate) fn open(&self, disk: &dyn Disk) -> io::Result<Arc<Opened>> {
        let end = self.ended.get().expect("a segment without a successor is kept open");
        let file = disk.open(&self.name())?;
        let mut places = Places::default();
        let mut offset = self.begins_at;
        while offset < end.offset {
            match scan::group(&*file, self.home, offset, end.offset)? {
                Ok(group) => {
                    for record in group.decoded().map_while(Result::ok) {
                        places.note(record.head().shard, record.head().index, offset);
                    }
                    offset = group.head.end();
                }
                Err(_) => {
                    // Records behind the damage can still be read; what is at it, the reader finds there.
                    let next = scan::next_head(&*file, self.home, offset + BLOCK, end.offset)?;
                    offset = next.unwrap_or(end.offset);
                    places.gap = offset;
                }
            }
        }
        Ok(Arc::new(Opened::new(file, places)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        // It is only ever assigned whole.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    pub(crate) fn new(file: Box<dyn File>, places: Places) -> Self {
        Self { file, places: Mutex::new(places) }
    }

    /// The places, to add to or to look up in.
    pub(crate) fn places(&self) -> MutexGuard<'_, Places> {
        // A panic between two pushes leaves fewer places, each of them right.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Says that the record is in the group at `offset`. Records come in the order of the file.
    pub(crate) fn note(&mut self, shard: ShardId, index: Index, offset: u64) {
        let places = self.shards.entry(shard).or_default();
        let is_near =
            places.last().is_some_and(|(_, last)| *last >= self.gap && offset - last < CHECKPOINT_BYTES);
        if !is_near {
            places.push((index, offset));
        }
    }

    /// A group from which on to look for the record.
    pub(crate) fn find(&self, shard: ShardId, index: Index) -> Option<u64> {
        let places = self.shards.get(&shard)?;
        let behind = places.partition_point(|(first, _)| *first <= index);
        Some(places[behind.checked_sub(1)?].1)
    }
}
