//! What a log's directory holds, read and never written: for a person who wants to know, and before a repair.
//!
//! Every group of every segment is read and checked, also those that opening the log would trust. Reading goes on behind a
//! bad place, so that it can be said what lies there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use mainstay_base::position::{Epoch, Index, ShardId};
use serde::Serialize;

use super::Cut;
use super::disk::{Disk, ReadOnly};
use super::group::{BLOCK, Ends, Kind};
use super::names;
use super::recover::{self, Begun, Listing, unavailable};
use super::scan::{self, Group, Invalid};
use crate::{Error, record};

/// How often a log with damage is looked at again at most, until two looks agree.
const LOOKS_MAX: usize = 20;

/// What a log's directory holds. JSON: an object with these members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The directory.
    pub directory: String,
    /// How the log ends.
    pub end: LogEnd,
    /// Where it is damaged, in the order of the log; none when it is whole.
    pub damage: Vec<Bad>,
    /// Some of that is no damage, but written by a newer program; it is not for this one to repair.
    pub is_newer: bool,
    /// The shards in the order of their numbers.
    pub shards: Vec<ShardFound>,
    /// The segments in the order of their numbers.
    pub segments: Vec<SegmentFound>,
    /// Files that are ready to become a segment.
    pub spares: u64,
    /// Files that are not the log's.
    pub foreign: Vec<String>,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEnd {
    /// There is no log.
    None,
    /// It was closed cleanly.
    Sealed,
    /// It is in use, or its process ended without closing it: the next start makes the end durable.
    Open,
    /// The last group is not whole, and nothing proves that it ever was: the next start cuts it off.
    Torn(Cut),
    /// Where it ends cannot be told, since its last segment is damaged.
    Unknown,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// The number of the segment.
    pub segment: u64,
    /// The place in its file, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What cutting the log off there loses: everything from there on.
    pub lost_by_cut: Vec<Range>,
    /// What forgetting everything up to there loses; none when nothing can be kept behind it.
    pub lost_by_forget: Option<Vec<Range>>,
}

/// Consecutive records of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The shard.
    pub shard: ShardId,
    /// The first index.
    pub first: Index,
    /// The last index.
    pub last: Index,
}

/// A shard of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShardFound {
    /// The shard.
    pub shard: ShardId,
    /// The lowest index that is not trimmed.
    pub begins: Index,
    /// One above the highest index.
    pub next: Index,
    /// The highest epoch.
    pub epoch: Epoch,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentFound {
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// The bytes of it that hold groups.
    pub used_bytes: u64,
    /// Its whole groups, with opening and seal.
    pub groups: u64,
    /// Its whole records.
    pub records: u64,
    /// The records of each shard that it has.
    pub shards: Vec<Range>,
}

impl Inspection {
    /// Where [`Choice::Cut`](super::Choice::Cut) cuts: the first damaged place that is not before every file that is there.
    pub fn cut_at(&self) -> Option<&Bad> {
        let oldest = self.segments.first()?.number;
        self.damage.iter().find(|bad| bad.segment >= oldest)
    }

    /// What [`Choice::Forget`](super::Choice::Forget) forgets ends behind the segment of this place: the last damaged one.
    pub fn forget_to(&self) -> Option<&Bad> {
        self.damage.last()
    }

    fn has_same_damage(&self, other: &Self) -> bool {
        // With the words: of a log that cannot be opened the place is its beginning, whatever file is to blame.
        let damage = |found: &Self| -> Vec<_> {
            found.damage.iter().map(|bad| (bad.segment, bad.offset, bad.what.clone())).collect()
        };
        damage(self) == damage(other)
    }
}

/// Reads the log in this directory, also while it is in use; then its end may look torn. Blocks; reads every byte of it,
/// and again when something is wrong. Errors: [`Error::Unavailable`].
pub fn inspect(directory: &Path) -> Result<Inspection, Error> {
    let disk = ReadOnly::new(directory);
    let mut found = inspect_on(&disk);
    // Whoever writes it meanwhile goes on: only what is still wrong in the same place is no race with them.
    for _ in 0..LOOKS_MAX {
        if found.as_ref().is_ok_and(|found| found.damage.is_empty()) {
            break;
        }
        let before = std::mem::replace(&mut found, inspect_on(&disk));
        let is_same = match (&before, &found) {
            (Ok(before), Ok(found)) => before.has_same_damage(found),
            (before, found) => before == found,
        };
        if is_same {
            break;
        }
    }
    found
}

/// The same on any disk.
pub(crate) fn inspect_on(disk: &dyn Disk) -> Result<Inspection, Error> {
    let mut listing = Listing::read(disk)?;
    let mut reading = Reading::default();
    let mut numbers: Vec<_> = listing.segments().iter().map(|(number, bytes)| (*number, *bytes)).collect();
    let verdict = recover::find(disk, &mut listing);
    // Files that only got a name, and those that a release left behind, are no part of the log.
    numbers.retain(|(number, _)| listing.segments().contains_key(number));
    if let Ok(Some(found)) = &verdict {
        let first = found.segments.front().expect("there is a segment").home.segment;
        numbers.retain(|(number, _)| *number >= first);
    }
    for (at, segment) in numbers.iter().enumerate() {
        let next = numbers.get(at + 1).copied().filter(|(next, _)| *next == segment.0 + 1);
        reading.segment(disk, *segment, next)?;
    }
    reading.oldest();
    if let Err(error @ Error::Unavailable { .. }) = verdict {
        return Err(error);
    }
    if let Err(error) = &verdict
        && reading.bad.is_empty()
    {
        let (number, _) = numbers.first().copied().unwrap_or((1, 0));
        reading.note(number, 0, error.to_string());
    }
    let spares = listing.spares() as u64;
    Ok(reading.finish(disk.place(), spares, listing.take_foreign()))
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    segments: Vec<SegmentFound>,
    /// With the opening's table of the segment that it lies in and what follows up to there.
    bad: Vec<(Bad, BTreeMap<ShardId, Ends>)>,
    /// The state at the end of what was read last.
    ends: BTreeMap<ShardId, Ends>,
    /// The next indexes when each segment began.
    nexts: BTreeMap<u64, BTreeMap<ShardId, Index>>,
    is_newer: bool,
    end: Option<LogEnd>,
    previous_end: Option<(u64, u64)>,
}

impl Reading {
    fn note(&mut self, segment: u64, offset: u64, what: String) {
        let bad = Bad { segment, offset, what, lost_by_cut: Vec::new(), lost_by_forget: None };
        self.bad.push((bad, self.ends.clone()));
    }

    /// Notes, before everything else, that records which nobody has trimmed were in files before the oldest one.
    fn oldest(&mut self) {
        let Some(oldest) = self.segments.first().map(|segment| segment.number) else { return };
        let Some(nexts) = self.nexts.get(&oldest) else { return };
        let begins = |shard| self.ends.get(shard).map_or(Index::FIRST, |ends| ends.begins);
        let missing = nexts.iter().find(|(shard, first)| begins(shard) < **first);
        let Some(what) = missing.map(|(shard, first)| recover::missing(*shard, begins(shard), *first)) else {
            return;
        };
        self.note(oldest - 1, 0, what);
        self.bad.rotate_right(1);
        self.bad[0].1.clear();
    }

    fn segment(
        &mut self,
        disk: &dyn Disk,
        (number, bytes): (u64, u64),
        next: Option<(u64, u64)>,
    ) -> Result<(), Error> {
        let begun = match recover::opening(disk, number, bytes) {
            Ok(Ok(begun)) => begun,
            Ok(Err(invalid)) => return self.unopened((number, bytes), invalid.to_string()),
            Err(Error::Damaged { damage, .. }) => {
                self.is_newer |= recover::is_newer(disk, number)?;
                return self.unopened((number, bytes), damage.to_string());
            }
            Err(error) => return Err(error),
        };
        if let Some((before, _)) = self.previous_end
            && before + 1 != number
        {
            self.note(before + 1, 0, "the file is missing".into());
        }
        self.ends = begun.opening.shards.iter().copied().collect();
        let nexts = self.ends.iter().map(|(shard, ends)| (*shard, ends.next)).collect();
        self.nexts.insert(number, nexts);
        let mut found = SegmentFound {
            number,
            bytes,
            used_bytes: begun.group.head.end(),
            groups: 1,
            records: 0,
            shards: Vec::new(),
        };
        let limit = match next {
            Some((next, length)) => recover::end_before(disk, next, length)?.unwrap_or(bytes),
            None => bytes,
        };
        let name = names::segment(number);
        self.groups(&begun, next.is_some(), limit, &mut found)
            .map_err(|error| unavailable(&format!("{}/{name}", disk.place()), &error))?;
        self.previous_end = Some((number, found.used_bytes));
        self.segments.push(found);
        Ok(())
    }

    fn unopened(&mut self, (number, bytes): (u64, u64), what: String) -> Result<(), Error> {
        self.note(number, 0, what);
        self.previous_end = Some((number, 0));
        self.end = Some(LogEnd::Unknown);
        let empty = SegmentFound { number, bytes, used_bytes: 0, groups: 0, records: 0, shards: Vec::new() };
        self.segments.push(empty);
        Ok(())
    }

    /// Reads the groups behind the opening, up to `limit`, which is where a segment with a successor ends.
    fn groups(
        &mut self,
        begun: &Begun,
        has_successor: bool,
        limit: u64,
        found: &mut SegmentFound,
    ) -> io::Result<()> {
        let (file, home) = (&*begun.file, begun.home);
        let mut ranges = BTreeMap::new();
        let (mut offset, mut follows) = (begun.group.head.end(), Some(begun.group.crc));
        let mut end = LogEnd::Open;
        while offset < limit {
            let invalid = match scan::group(file, home, offset, limit)? {
                Ok(group) if follows.is_none_or(|crc| crc == group.head.follows) => {
                    self.group(home.segment, &group, &mut ranges, found);
                    (offset, follows) = (group.head.end(), Some(group.crc));
                    found.used_bytes = offset;
                    end = if group.head.kind == Kind::Seal { LogEnd::Sealed } else { LogEnd::Open };
                    continue;
                }
                Ok(_) => Invalid::Follows,
                Err(invalid) => invalid,
            };
            if !has_successor {
                let ahead = scan::look_ahead(file, home, offset, limit)?;
                if ahead.proof.is_none() && ahead.newer.is_none() && !matches!(invalid, Invalid::Newer(_)) {
                    if !ahead.traces.is_empty() {
                        end = LogEnd::Torn(Cut { segment: home.segment, offset, bytes: ahead.end - offset });
                    }
                    break;
                }
                self.is_newer |= ahead.newer.is_some();
                end = LogEnd::Unknown;
            }
            self.is_newer |= matches!(invalid, Invalid::Newer(_));
            self.note(home.segment, offset, invalid.to_string());
            follows = None;
            offset = scan::next_head(file, home, offset + BLOCK, limit)?.unwrap_or(limit);
        }
        found.shards = ranges.into_values().collect();
        self.end = Some(end);
        Ok(())
    }

    fn group(
        &mut self,
        segment: u64,
        group: &Group,
        ranges: &mut BTreeMap<ShardId, Range>,
        found: &mut SegmentFound,
    ) {
        found.groups += 1;
        for (shard, to) in group.trims() {
            let ends = self.ends.entry(*shard).or_insert(Ends::START);
            ends.begins = ends.begins.max(*to);
        }
        for record in group.decoded() {
            let head = match &record {
                Ok(record) => record.head(),
                Err(error) => {
                    // What is not understood and yet whole was understood by who wrote it.
                    self.is_newer |= matches!(
                        error,
                        record::Error::Format { .. }
                            | record::Error::Kind { .. }
                            | record::Error::UnknownExtension { .. }
                    );
                    return self.note(segment, group.head.offset, error.to_string());
                }
            };
            let ends = self.ends.entry(head.shard).or_insert(Ends::START);
            let is_next = head.index == ends.next;
            let was_bad = self.bad.last().is_some_and(|(bad, _)| bad.segment == segment);
            if !is_next && !was_bad {
                let what =
                    format!("shard {} has index {} there, and not {}", head.shard, head.index, ends.next);
                self.note(segment, group.head.offset, what);
            }
            let ends = self.ends.entry(head.shard).or_insert(Ends::START);
            ends.next = ends.next.max(head.index.next());
            ends.epoch = ends.epoch.max(head.epoch);
            found.records += 1;
            let range = Range { shard: head.shard, first: head.index, last: head.index };
            ranges.entry(head.shard).or_insert(range).last = head.index;
        }
    }

    fn finish(self, directory: String, spares: u64, foreign: Vec<String>) -> Inspection {
        let (ends, nexts) = (self.ends, self.nexts);
        let lost = |bad: &Bad, before: &BTreeMap<ShardId, Ends>| {
            let next = |shard| before.get(shard).map_or(Index::FIRST, |ends| ends.next);
            let by_cut = ends
                .iter()
                .filter_map(|(shard, ends)| range(*shard, next(shard).max(ends.begins), ends.next));
            let by_forget = nexts.range(bad.segment + 1..).next().map(|(_, nexts)| {
                let begins = |shard| ends.get(shard).map_or(Index::FIRST, |ends| ends.begins);
                nexts.iter().filter_map(|(shard, next)| range(*shard, begins(shard), *next)).collect()
            });
            (by_cut.collect(), by_forget)
        };
        let damage = self.bad.into_iter().map(|(bad, before)| {
            let (lost_by_cut, lost_by_forget) = lost(&bad, &before);
            Bad { lost_by_cut, lost_by_forget, ..bad }
        });
        let damage = damage.collect();
        let shards = ends.iter().map(|(shard, ends)| {
            let Ends { begins, next, epoch } = *ends;
            ShardFound { shard: *shard, begins, next, epoch }
        });
        let end = self.end.unwrap_or(LogEnd::None);
        let shards = shards.collect();
        let (is_newer, segments) = (self.is_newer, self.segments);
        Inspection { directory, end, damage, is_newer, shards, segments, spares, foreign }
    }
}

/// The records from `first` to before `next`, if there are any.
fn range(shard: ShardId, first: Index, next: Index) -> Option<Range> {
    let last = next.get().checked_sub(1).map(Index::new)?;
    (first <= last).then_some(Range { shard, first, last })
}
