//! Reading records of one shard: from a known place on, group by group, each checked before it is used.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_base::position::{Index, ShardId};

use super::catalogue::{Catalogue, Hint, Look};
use super::scan::{self, Group};
use super::segment::{Opened, Places};
use crate::error::{Act, Damage, Place};
use crate::record::Record;
use crate::rules::{Rule, holds};
use crate::{Error, Tail};

/// How many groups are kept in memory: followers of many shards read the same ones.
const GROUPS_MAX: usize = 8;

/// Larger groups are not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Reads a log while it is written. Clones share a small cache; all end with the engine.
#[derive(Clone)]
pub struct Reader {
    catalogue: Arc<Catalogue>,
    groups: Arc<Mutex<VecDeque<Kept>>>,
}

struct Kept {
    segment: u64,
    offset: u64,
    group: Arc<Group>,
}

fn unreadable(look: &Look, error: &io::Error) -> Error {
    let reason = format!("{}/{}: {error}", look.disk.place(), look.segment.name());
    Error::Unavailable { act: Act::Read, reason }
}

/// What a read has so far.
struct Taken {
    shard: ShardId,
    records: Vec<Record>,
    bytes: usize,
    bytes_max: usize,
    next: Index,
}

impl Reader {
    pub(crate) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, groups: Arc::default() }
    }

    /// Reads as [`Log::read`](crate::Log::read) does; blocks while it reads from the disk.
    pub fn read(&self, shard: ShardId, from: Index, bytes_max: usize) -> Result<Vec<Record>, Error> {
        let mut taken = Taken { shard, records: Vec::new(), bytes: 0, bytes_max, next: from };
        loop {
            match self.read_on(&mut taken) {
                Ok(true) => {}
                Ok(false) => return Ok(taken.records),
                Err(_) if !taken.records.is_empty() => return Ok(taken.records),
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the shard begins and ends; does not block.
    pub fn tail(&self, shard: ShardId) -> Result<Tail, Error> {
        self.catalogue.tail(shard)
    }

    /// What needs no disk: an error, or nothing at and beyond the end. None when the record has to be read.
    pub(crate) fn read_at_once(&self, shard: ShardId, from: Index) -> Option<Result<Vec<Record>, Error>> {
        match self.catalogue.look(shard, from) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(Vec::new())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Takes what the next segment has. Returns whether there may be more to take.
    fn read_on(&self, taken: &mut Taken) -> Result<bool, Error> {
        let Some(look) = self.catalogue.look(taken.shard, taken.next)? else { return Ok(false) };
        if let Some(opened) = look.segment.opened() {
            return self.read_segment(&look, &opened, taken);
        }
        if look.hint.is_some() {
            // More segments are read in turn than stay open: whoever goes on where a read ended needs no other place.
            let file = self.open(&look, taken, look.disk.open(&look.segment.name()))?;
            let opened = Opened::new(file, Places::default());
            if let Ok(has_more) = self.read_segment(&look, &opened, taken) {
                return Ok(has_more);
            }
        }
        let opened = self.open(&look, taken, look.segment.open(&*look.disk))?;
        look.segment.set_opened(Arc::clone(&opened));
        self.catalogue.remember(Arc::clone(&look.segment));
        self.read_segment(&look, &opened, taken)
    }

    /// What was opened; when it is not there, whether it was trimmed a moment ago, or else the file is gone.
    fn open<T>(&self, look: &Look, taken: &Taken, opened: io::Result<T>) -> Result<T, Error> {
        opened.or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                self.catalogue.look(taken.shard, taken.next)?;
            }
            Err(unreadable(look, &error))
        })
    }

    fn read_segment(&self, look: &Look, opened: &Opened, taken: &mut Taken) -> Result<bool, Error> {
        let damaged = |offset: u64, damage| Error::Damaged {
            place: Place::Storage(format!("{}/{}, byte {offset}", look.disk.place(), look.segment.name())),
            damage,
        };
        let find = |index| opened.places().find(taken.shard, index);
        let hint = look.hint.map_or(look.segment.begins_at, |hint| hint.offset);
        let mut offset = find(taken.next).unwrap_or(0).max(hint);
        let mut before: Option<(u64, u32)> = None;
        let mut is_full = false;
        while taken.next < look.upto && !is_full {
            let group = match self.group(look, opened, offset).map_err(|error| unreadable(look, &error))? {
                Ok(group) => group,
                Err(invalid) => return Err(damaged(offset, Damage::Storage(invalid.to_string()))),
            };
            let end = group.head.end();
            let is_last =
                look.segment.ended.get().is_some_and(|last| last.offset == end && last.crc != group.crc);
            let is_other = before.is_some_and(|(at, crc)| at == offset && crc != group.head.follows);
            if is_last || is_other && holds(Rule::Follows) {
                return Err(damaged(offset, Damage::Storage(scan::Invalid::Follows.to_string())));
            }
            is_full = taken.take(&group).map_err(|damage| damaged(offset, damage))?;
            if !is_full {
                before = Some((end, group.crc));
                offset = opened.places().find(taken.shard, taken.next).unwrap_or(0).max(end);
            }
        }
        let hint = Hint { segment: look.segment.home.segment, index: taken.next, offset };
        self.catalogue.set_hint(taken.shard, hint);
        Ok(!is_full)
    }

    fn group(
        &self,
        look: &Look,
        opened: &Opened,
        offset: u64,
    ) -> io::Result<Result<Arc<Group>, scan::Invalid>> {
        let segment = look.segment.home.segment;
        let groups = || self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = groups().iter().find(|kept| kept.segment == segment && kept.offset == offset) {
            return Ok(Ok(Arc::clone(&kept.group)));
        }
        let group = match scan::group(&*opened.file, look.segment.home, offset, look.end)? {
            Ok(group) => Arc::new(group),
            Err(invalid) => return Ok(Err(invalid)),
        };
        if group.body().len() <= KEPT_BYTES_MAX {
            let mut groups = groups();
            if groups.len() == GROUPS_MAX {
                groups.pop_front();
            }
            groups.push_back(Kept { segment, offset, group: Arc::clone(&group) });
        }
        Ok(Ok(group))
    }
}

impl Taken {
    /// Takes what it wants of a group. Returns whether it has enough.
    fn take(&mut self, group: &Group) -> Result<bool, Damage> {
        for bytes in group.records() {
            let bytes = bytes?;
            if scan::shard_of(bytes).is_some_and(|shard| shard != self.shard) {
                continue;
            }
            let record = Record::decode_copied(bytes)?;
            let head = record.head();
            if head.shard != self.shard || head.index < self.next {
                continue;
            }
            if head.index > self.next {
                return Err(Damage::Index { found: head.index });
            }
            self.next = self.next.next();
            self.bytes += bytes.len();
            self.records.push(record);
            if self.bytes >= self.bytes_max {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
