//! Opening a log that is there: what it holds, whether it is whole, and what has to be written again.
//!
//! [`find`] only reads. It tells a torn end from damage: a group that is not whole is damage if anything proves that it was
//! synced (a later group, the next segment's opening, what the caller knows), else it was being written
//! when the process or the power ended. [`Found::mend`] then writes the unproven end again and wipes what is cut,
//! before any of it is shown: bytes that can be read may be in the page cache alone, and a sync alone would not
//! write them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use mainstay_base::position::{Index, ShardId};

use super::disk::{Disk, File};
use super::group::{BLOCK, BLOCK_BYTES, Decoded, Ends, HEAD_BYTES, Head, Home, Kind, Opening};
use super::names::{self, Named};
use super::options::SEGMENT_BYTES_MIN;
use super::scan::{self, Ahead, Group, Invalid};
use super::segment::{End, Opened, Places, Segment};
use super::{Cut, Recovery};
use crate::Error;
use crate::error::{Act, Damage, Place};
use crate::rules::{Rule, holds};

/// How much of the unproven end is written again at once.
const REWRITE_BYTES: u64 = 1 << 20;

/// The files of a log's directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Lengths by numbers.
    segments: BTreeMap<u64, u64>,
    /// Numbers and lengths.
    spares: Vec<(u64, u64)>,
    /// Names of files that serve nothing.
    litter: Vec<String>,
    foreign: Vec<String>,
}

/// What there is.
pub(crate) struct Found {
    /// The last one is the one to go on with; its file is open.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    pub(crate) opened: Arc<Opened>,
    pub(crate) shards: BTreeMap<ShardId, Ends>,
    /// Where the next group goes.
    pub(crate) end: u64,
    /// The CRC of the last head.
    pub(crate) follows: u32,
    pub(crate) is_sealed: bool,
    /// Everything of the last segment before this is proven to be synced.
    proven: u64,
    /// Blocks to overwrite with zeros.
    wipe: Vec<u64>,
    /// Trims that are not in the log yet: of records that were given up.
    pub(crate) forgotten: BTreeMap<ShardId, Index>,
    /// Older segments that nothing needs, which may stay behind when several are let go at once.
    pub(crate) leftovers: Vec<String>,
    pub(crate) recovery: Recovery,
}

/// A segment's first group.
pub(crate) struct Begun {
    pub(crate) file: Box<dyn File>,
    pub(crate) home: Home,
    bytes: u64,
    pub(crate) group: Group,
    pub(crate) opening: Opening,
}

impl Listing {
    /// Errors: [`Error::Unavailable`].
    pub(crate) fn read(disk: &dyn Disk) -> Result<Self, Error> {
        let mut listing = Self::default();
        let mut entries = disk.list().map_err(|error| unavailable(&disk.place(), &error))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            match names::parse(&entry.name) {
                Named::Segment(number) => {
                    listing.segments.insert(number, entry.bytes);
                }
                Named::Spare(number) => listing.spares.push((number, entry.bytes)),
                Named::Scratch => listing.litter.push(entry.name),
                Named::Foreign => listing.foreign.push(entry.name),
                Named::Lock => {}
            }
        }
        Ok(listing)
    }

    /// The spares of this length, and the number above all of them. The others are unfinished, or of
    /// another length, and become litter.
    pub(crate) fn take_spares(&mut self, bytes: u64) -> (Vec<String>, u64) {
        let next = self.spares.iter().map(|(number, _)| number.saturating_add(1)).max().unwrap_or(0);
        let (ready, unfinished): (Vec<_>, Vec<_>) = self.spares.drain(..).partition(|(_, has)| *has == bytes);
        self.litter.extend(unfinished.into_iter().map(|(number, _)| names::spare(number)));
        (ready.into_iter().map(|(number, _)| names::spare(number)).collect(), next)
    }

    /// The segments' lengths by their numbers.
    pub(crate) fn segments(&self) -> &BTreeMap<u64, u64> {
        &self.segments
    }

    /// How many spares there are.
    pub(crate) fn spares(&self) -> usize {
        self.spares.len()
    }

    /// The files that are not the log's.
    pub(crate) fn take_foreign(&mut self) -> Vec<String> {
        std::mem::take(&mut self.foreign)
    }

    /// Removes what serves nothing; must be durable before a segment's number is used.
    pub(crate) fn clean(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        for name in std::mem::take(&mut self.litter) {
            disk.remove(&name).map_err(|error| unavailable(&format!("{}/{name}", disk.place()), &error))?;
        }
        disk.sync().map_err(|error| unavailable(&disk.place(), &error))
    }
}

pub(crate) fn unavailable(place: &str, error: &io::Error) -> Error {
    Error::Unavailable { act: Act::Open, reason: format!("{place}: {error}") }
}

fn damaged(disk: &dyn Disk, segment: u64, offset: u64, damage: impl Into<Damage>) -> Error {
    let place = format!("{}/{}, byte {offset}", disk.place(), names::segment(segment));
    Error::Damaged { place: Place::Storage(place), damage: damage.into() }
}

fn storage(what: impl Into<String>) -> Damage {
    Damage::Storage(what.into())
}

fn not_a_group(invalid: Invalid) -> Damage {
    Damage::Storage(invalid.to_string())
}

/// Reads a log; none when there is none yet. Nothing is written.
pub(crate) fn find(disk: &dyn Disk, listing: &mut Listing) -> Result<Option<Found>, Error> {
    let found = find_part(disk, listing)?;
    found.iter().try_for_each(|found| check_oldest(disk, found))?;
    Ok(found)
}

/// The same for a log whose beginning may be missing.
pub(crate) fn find_part(disk: &dyn Disk, listing: &mut Listing) -> Result<Option<Found>, Error> {
    let Some(last) = find_last(disk, listing)? else { return Ok(None) };
    let (segments, leftovers) = find_older(disk, listing, &last)?;
    replay(disk, last, segments, leftovers).map(Some)
}

/// The last segment that was begun. A file that only got its name becomes litter.
fn find_last(disk: &dyn Disk, listing: &mut Listing) -> Result<Option<Begun>, Error> {
    let Some((&number, &bytes)) = listing.segments.last_key_value() else { return Ok(None) };
    let invalid = match opening(disk, number, bytes)? {
        Ok(begun) => return Ok(Some(begun)),
        Err(invalid) => invalid,
    };
    let before = match number - 1 {
        0 => None,
        previous => {
            let Some(&bytes) = listing.segments.get(&previous) else {
                return Err(damaged(disk, number, 0, not_a_group(invalid)));
            };
            let begun = opening(disk, previous, bytes)?;
            Some(begun.map_err(|invalid| damaged(disk, previous, 0, not_a_group(invalid)))?)
        }
    };
    // The opening is synced before anything else is written, so any other group proves that it was there.
    let log = before.as_ref().map(|before| before.home.log);
    let name = names::segment(number);
    let failed = |error: &io::Error| unavailable(&format!("{}/{name}", disk.place()), error);
    let file = disk.open(&name).map_err(|error| failed(&error))?;
    let mut is_begun = false;
    let look = |offset: u64, block: &[u8]| {
        let (home, at) = match Head::decode(block) {
            Decoded::Head(head, _) => (head.home, head.offset),
            Decoded::Newer { home, offset, .. } => (home, offset),
            Decoded::Not(_) => return ControlFlow::Continue(()),
        };
        if home.segment != number || at != offset || log.is_some_and(|log| log != home.log) {
            return ControlFlow::Continue(());
        }
        is_begun = true;
        ControlFlow::Break(())
    };
    scan::each_block(&*file, BLOCK, bytes, look).map_err(|error| failed(&error))?;
    if is_begun {
        return Err(damaged(disk, number, 0, not_a_group(invalid)));
    }
    listing.segments.remove(&number);
    listing.litter.push(name);
    Ok(before)
}

/// Reads the first group of a segment.
pub(crate) fn opening(disk: &dyn Disk, number: u64, bytes: u64) -> Result<Result<Begun, Invalid>, Error> {
    let name = names::segment(number);
    let failed = |error: io::Error| unavailable(&format!("{}/{name}", disk.place()), &error);
    let file = disk.open(&name).map_err(failed)?;
    if bytes < SEGMENT_BYTES_MIN {
        // It got its name only when it had its length.
        let what = format!("the file has {bytes} bytes, and no segment is made so short");
        return Err(damaged(disk, number, bytes, storage(what)));
    }
    let mut head = [0; HEAD_BYTES];
    file.read_at(&mut head, 0).map_err(failed)?;
    let home = match Head::decode(&head) {
        Decoded::Head(head, _) => head.home,
        Decoded::Newer { format, home, offset: 0 } if home.segment == number => {
            return Err(damaged(disk, number, 0, not_a_group(Invalid::Newer(format))));
        }
        Decoded::Newer { .. } => return Ok(Err(Invalid::Elsewhere)),
        Decoded::Not(why) => return Ok(Err(Invalid::Head(why))),
    };
    if home.segment != number {
        return Ok(Err(Invalid::Elsewhere));
    }
    let group = match scan::group(&*file, home, 0, bytes).map_err(failed)? {
        Ok(group) if group.head.kind == Kind::Opening => group,
        Ok(_) => return Ok(Err(Invalid::Body)),
        Err(invalid) => return Ok(Err(invalid)),
    };
    let Some(opening) = Opening::decode(group.body()) else { return Ok(Err(Invalid::Body)) };
    if opening.bytes != bytes {
        let what = format!("the file has {bytes} bytes, and was made with {}", opening.bytes);
        return Err(damaged(disk, number, bytes.min(opening.bytes), storage(what)));
    }
    if opening.previous != number - 1 {
        let what = format!("the segment follows number {}, and not the one before it", opening.previous);
        return Err(damaged(disk, number, 0, storage(what)));
    }
    Ok(Ok(Begun { file, home, bytes, group, opening }))
}

/// Whether the segment begins with a group of a newer format.
pub(crate) fn is_newer(disk: &dyn Disk, number: u64) -> Result<bool, Error> {
    let name = names::segment(number);
    let mut head = [0; HEAD_BYTES];
    match disk.open(&name).and_then(|file| file.read_at(&mut head, 0)) {
        Ok(()) => {
            let decoded = Head::decode(&head);
            Ok(matches!(decoded, Decoded::Newer { home, offset: 0, .. } if home.segment == number))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(unavailable(&format!("{}/{name}", disk.place()), &error)),
    }
}

/// Where the segment before this one ended, if this one can tell.
pub(crate) fn end_before(disk: &dyn Disk, number: u64, bytes: u64) -> Result<Option<u64>, Error> {
    match opening(disk, number, bytes) {
        Ok(Ok(begun)) => Ok(Some(begun.opening.previous_end)),
        Ok(Err(_)) | Err(Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The segments before the last one, as far as they follow one another, and the names of those before.
fn find_older(
    disk: &dyn Disk,
    listing: &Listing,
    last: &Begun,
) -> Result<(VecDeque<Arc<Segment>>, Vec<String>), Error> {
    let mut segments = VecDeque::from([Arc::new(last.segment())]);
    let mut end = last.previous_end();
    let mut number = last.home.segment - 1;
    while let Some(&bytes) = listing.segments.get(&number) {
        let begun = opening(disk, number, bytes)?;
        let begun = begun.map_err(|invalid| damaged(disk, number, 0, not_a_group(invalid)))?;
        if begun.home.log != last.home.log {
            let what = "the segment belongs to another log than the one after it";
            return Err(damaged(disk, number, 0, storage(what)));
        }
        let segment = Arc::new(begun.segment());
        if end.offset > bytes || end.offset < segment.begins_at {
            let what = format!("the next segment says that this one ended there, and it has {bytes} bytes");
            return Err(damaged(disk, number, end.offset, storage(what)));
        }
        let after = segments.front().expect("there is the last segment");
        if let Some((shard, _)) =
            begun.opening.shards.iter().find(|(shard, ends)| after.first(*shard) < ends.next)
        {
            let what = format!("it gives shard {shard} a lower next index than the segment before it");
            return Err(damaged(disk, number + 1, 0, storage(what)));
        }
        segment.ended.set(end).expect("the segment is new");
        segments.push_front(segment);
        end = begun.previous_end();
        number -= 1;
    }
    let leftovers = listing.segments.range(..=number).map(|(number, _)| names::segment(*number)).collect();
    Ok((segments, leftovers))
}

impl Begun {
    fn segment(&self) -> Segment {
        let nexts = self.opening.shards.iter().map(|(shard, ends)| (*shard, ends.next)).collect();
        Segment::new(self.home, self.bytes, self.group.head.end(), nexts)
    }

    /// What it says about the segment before it.
    fn previous_end(&self) -> End {
        End { offset: self.opening.previous_end, crc: self.group.head.follows }
    }
}

/// Reads the last segment from its opening to its end.
fn replay(
    disk: &dyn Disk,
    last: Begun,
    segments: VecDeque<Arc<Segment>>,
    leftovers: Vec<String>,
) -> Result<Found, Error> {
    let (home, bytes) = (last.home, last.bytes);
    let failed =
        |error: io::Error| unavailable(&format!("{}/{}", disk.place(), names::segment(home.segment)), &error);
    let mut shards: BTreeMap<_, _> = last.opening.shards.into_iter().collect();
    let mut places = Places::default();
    let mut recovery = Recovery::default();
    let mut before = last.group;
    let invalid = loop {
        let offset = before.head.end();
        match scan::group(&*last.file, home, offset, bytes).map_err(failed)? {
            Ok(group) if group.head.follows != before.crc && holds(Rule::Follows) => break Invalid::Follows,
            Ok(group) if group.head.kind == Kind::Opening => break Invalid::Body,
            Ok(group) => {
                recovery.records += apply(&group, &mut shards, &mut places)
                    .map_err(|damage| damaged(disk, home.segment, offset, damage))?;
                before = group;
            }
            Err(Invalid::Newer(format)) => {
                return Err(damaged(disk, home.segment, offset, not_a_group(Invalid::Newer(format))));
            }
            Err(invalid) => break invalid,
        }
    };
    let end = before.head.end();
    let ahead = scan::look_ahead(&*last.file, home, end, bytes).map_err(failed)?;
    check_ahead(disk, home.segment, end, invalid, &ahead)?;
    let wipe = wipe(&*last.file, end, bytes, &ahead).map_err(failed)?;
    let is_sealed = before.head.kind == Kind::Seal;
    recovery.is_clean = is_sealed && ahead.traces.is_empty();
    if !ahead.traces.is_empty() {
        recovery.cut = Some(Cut { segment: home.segment, offset: end, bytes: ahead.end - end });
    }
    Ok(Found {
        segments,
        opened: Arc::new(Opened::new(last.file, places)),
        shards,
        end,
        follows: before.crc,
        is_sealed,
        proven: before.head.durable_to,
        wipe,
        forgotten: BTreeMap::new(),
        leftovers,
        recovery,
    })
}

/// Adds what a group says. Returns how many records it has.
fn apply(group: &Group, shards: &mut BTreeMap<ShardId, Ends>, places: &mut Places) -> Result<u64, Damage> {
    for (shard, to) in group.trims() {
        let ends = shards.entry(*shard).or_insert(Ends::START);
        if *to > ends.next {
            return Err(storage(format!(
                "shard {shard} is trimmed to {to}, and its next index is {}",
                ends.next
            )));
        }
        ends.begins = ends.begins.max(*to);
    }
    let mut records = 0;
    for record in group.decoded() {
        let record = record?;
        let head = record.head();
        let ends = shards.entry(head.shard).or_insert(Ends::START);
        if head.index != ends.next {
            return Err(Damage::Index { found: head.index });
        }
        ends.next = head.index.next();
        ends.epoch = ends.epoch.max(head.epoch);
        places.note(head.shard, head.index, group.head.offset);
        records += 1;
    }
    if records != u64::from(group.head.records) {
        return Err(storage(format!("the group has {records} records and says {}", group.head.records)));
    }
    Ok(records)
}

/// Whether something proves that the group at `end`, which is not whole, was.
fn check_ahead(
    disk: &dyn Disk,
    segment: u64,
    end: u64,
    invalid: Invalid,
    ahead: &Ahead,
) -> Result<(), Error> {
    if let Some(at) = ahead.proof.filter(|_| holds(Rule::LookAhead)) {
        let what = format!("{invalid}, and the group at byte {at} was written after it had been synced");
        return Err(damaged(disk, segment, end, storage(what)));
    }
    if let Some((at, format)) = ahead.newer {
        return Err(damaged(disk, segment, at, not_a_group(Invalid::Newer(format))));
    }
    Ok(())
}

/// The blocks that must not be mistaken for groups later: the one at the end, unless it is empty, and every
/// one that began a group of this segment.
fn wipe(file: &dyn File, end: u64, bytes: u64, ahead: &Ahead) -> io::Result<Vec<u64>> {
    let mut wipe = ahead.traces.clone();
    if end + BLOCK <= bytes && wipe.first() != Some(&end) {
        let mut block = vec![0; BLOCK_BYTES];
        file.read_at(&mut block, end)?;
        if block.iter().any(|byte| *byte != 0) {
            wipe.insert(0, end);
        }
    }
    Ok(wipe)
}

/// What is wrong with the file before the oldest one.
pub(crate) fn missing(shard: ShardId, begins: Index, first: Index) -> String {
    format!(
        "the file is missing, and the records of shard {shard} from index {begins} to below {first} \
         are in it or in one before"
    )
}

/// Whether the oldest segment is the oldest that is needed.
fn check_oldest(disk: &dyn Disk, found: &Found) -> Result<(), Error> {
    let oldest = &found.segments[0];
    for (shard, ends) in &found.shards {
        let first = oldest.first(*shard);
        if ends.begins < first {
            let what = missing(*shard, ends.begins, first);
            return Err(damaged(disk, oldest.home.segment - 1, 0, storage(what)));
        }
    }
    Ok(())
}

/// Whether the log goes as far as is known from elsewhere.
pub(crate) fn check_known(
    known: &BTreeMap<ShardId, Index>,
    shards: &BTreeMap<ShardId, Ends>,
) -> Result<(), Error> {
    for (shard, known) in known {
        let next = shards.get(shard).map_or(Index::FIRST, |ends| ends.next);
        if next < *known {
            let what = format!("the log ends there, and it is known to have gone on to below index {known}");
            return Err(Error::Damaged {
                place: Place::Record { shard: *shard, index: next },
                damage: storage(what),
            });
        }
    }
    Ok(())
}

impl Found {
    /// Forgets the records that are missing before the oldest segment. Returns the trims that say so.
    pub(crate) fn forget_missing(&mut self) -> BTreeMap<ShardId, Index> {
        let oldest = &self.segments[0];
        let mut trims = BTreeMap::new();
        for (shard, ends) in &mut self.shards {
            let first = oldest.first(*shard);
            if ends.begins < first {
                ends.begins = first;
                trims.insert(*shard, first);
            }
        }
        trims
    }

    /// A log that was just made, with one segment.
    pub(crate) fn created(segment: Arc<Segment>, opened: Arc<Opened>, end: u64, follows: u32) -> Self {
        Self {
            segments: VecDeque::from([segment]),
            opened,
            shards: BTreeMap::new(),
            end,
            follows,
            is_sealed: false,
            proven: end,
            wipe: Vec::new(),
            forgotten: BTreeMap::new(),
            leftovers: Vec::new(),
            recovery: Recovery { is_new: true, is_clean: true, ..Recovery::default() },
        }
    }

    /// Makes durable what is kept, and unreadable what is cut.
    pub(crate) fn mend(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let segment = self.segments.back().expect("there is a last segment");
        let failed = |error: io::Error| unavailable(&format!("{}/{}", disk.place(), segment.name()), &error);
        let file = &*self.opened.file;
        let mut buffer = Vec::new();
        let mut offset = if holds(Rule::RewriteAtRecovery) { self.proven } else { self.end };
        while offset < self.end {
            let count = (self.end - offset).min(REWRITE_BYTES);
            buffer.resize(usize::try_from(count).expect("no more than is written at once"), 0);
            file.read_at(&mut buffer, offset).map_err(failed)?;
            file.write_at(&buffer, offset).map_err(failed)?;
            offset += count;
        }
        for offset in self.wipe.iter().filter(|_| holds(Rule::WipeAtRecovery)) {
            file.write_at(&[0; BLOCK_BYTES], *offset).map_err(failed)?;
        }
        self.recovery.rewritten_bytes = self.end - self.proven;
        if holds(Rule::SyncAtRecovery) {
            file.sync().map_err(failed)?;
        }
        disk.sync().map_err(|error| unavailable(&disk.place(), &error))
    }
}
