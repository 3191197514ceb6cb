//! The writer: groups of records, one write and one sync each, and the life of segments. No thread of its own.
//!
//! One group is in flight, and nothing of it is shown before it is as durable as the options say. A group is
//! begun only when there is a place for it, so that once a record is taken into it, it is written or the engine
//! is poisoned.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy};

use super::catalogue::Catalogue;
use super::disk::Disk;
use super::group::{self, At, Draft, Ends, Home, Kind, Opening, padded};
use super::names;
use super::options::Bounds;
use super::preflight;
use super::read::Reader;
use super::recover::{self, Found, Listing};
use super::segment::{End, Opened, Places, Segment};
use super::spares::{self, Failure, Preparer, Spares, Taken};
use super::{Options, Recovery};
use crate::error::Act;
use crate::record::Record;
use crate::rules::{Rule, holds};
use crate::{Appended, Durability, Error, Guarantees};

/// The local engine without threads: what the writing thread drives, and what a simulation drives in line.
///
/// Dropped, it stops as in a crash; [`Engine::close`] stops it cleanly.
pub struct Engine {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    durability: Durability,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) spares: Arc<Spares>,
    /// With what is in the group in the making.
    shards: BTreeMap<ShardId, Ends>,
    /// Trims that no group has carried yet.
    trims: BTreeMap<ShardId, Index>,
    current: Current,
    draft: Draft,
    poisoned: Option<String>,
}

/// The segment that is written.
struct Current {
    segment: Arc<Segment>,
    opened: Arc<Opened>,
    /// Where the next group goes.
    end: u64,
    /// Everything before this is synced.
    synced: u64,
    /// The CRC of the last head.
    follows: u32,
    is_sealed: bool,
}

/// The records of the group in the making, and those that it has an answer for.
struct Waiting<T> {
    appended: Vec<(T, ShardId, Index)>,
    /// Refused because of records in the group: true only if that is written.
    refused: Vec<(T, Error)>,
    given: u64,
}

impl Engine {
    /// Opens the log in the directory, or makes one. Everything that it shows afterwards is durable.
    ///
    /// `entropy` names a new log, and should be unpredictable; `clock` times syncs and spaces out attempts
    /// to make a segment. Errors: [`Error::Damaged`], with nothing written; [`Error::Unavailable`];
    /// [`Error::Unproven`] for options that do not fit.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: &Options,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), Error> {
        Self::open_found(disk, options, clock, entropy, recover::find)
    }

    /// Opens a log whose beginning may be missing, and forgets what is not there, durably. Errors: those of
    /// [`Engine::open`]; also [`Error::Unavailable`] if there is no room to write down what is forgotten.
    pub(crate) fn open_forgetting(
        disk: Arc<dyn Disk>,
        options: &Options,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let (mut engine, _) = Self::open_found(disk, options, clock, entropy, |disk, listing| {
            let mut found = recover::find_part(disk, listing)?;
            if let Some(found) = &mut found {
                found.forgotten = found.forget_missing();
            }
            Ok(found)
        })?;
        match engine.carry() {
            Ok(()) => Ok(engine),
            Err(Failure::Full(reason) | Failure::Broken(reason)) => {
                Err(Error::Unavailable { act: Act::Repair, reason })
            }
        }
    }

    fn open_found(
        disk: Arc<dyn Disk>,
        options: &Options,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        find: impl FnOnce(&dyn Disk, &mut Listing) -> Result<Option<Found>, Error>,
    ) -> Result<(Self, Recovery), Error> {
        let bounds = options.check()?;
        let mut listing = Listing::read(&*disk)?;
        let spares = listing.take_spares(bounds.segment);
        let found = find(&*disk, &mut listing)?;
        let empty = BTreeMap::new();
        recover::check_known(&options.known, found.as_ref().map_or(&empty, |found| &found.shards))?;
        check_shards(&bounds, found.as_ref().map_or(0, |found| found.shards.len()))?;
        listing.clean(&*disk)?;
        let spares =
            Spares::new(Arc::clone(&disk), Arc::clone(&clock), (bounds.segment, bounds.spares_max), spares);
        let mut found = match found {
            Some(mut found) => {
                found.mend(&*disk)?;
                found
            }
            None => create(&*disk, &spares, &bounds, entropy)?,
        };
        spares.condemn(std::mem::take(&mut found.leftovers));
        let foreign = listing.take_foreign();
        let recovery = Recovery { foreign, segments: found.segments.len() as u64, ..found.recovery };
        let shards = found.shards.iter().map(|(shard, ends)| (*shard, *ends));
        let catalogue = Catalogue::new(Arc::clone(&disk), found.segments.clone(), shards, found.end);
        let segment = found.segments.pop_back().expect("there is a last segment");
        segment.set_opened(Arc::clone(&found.opened));
        let current = Current {
            segment,
            opened: found.opened,
            end: found.end,
            synced: found.end,
            follows: found.follows,
            is_sealed: found.is_sealed,
        };
        let mut engine = Self {
            disk,
            clock,
            bounds,
            durability: options.durability,
            catalogue: Arc::new(catalogue),
            spares: Arc::new(spares),
            shards: found.shards,
            trims: found.forgotten,
            current,
            draft: Draft::default(),
            poisoned: None,
        };
        drop(found.segments);
        engine.free()?;
        Ok((engine, recovery))
    }

    /// Appends the records, in their order and in as few groups as fit, each of which is one write and one
    /// sync. The answers are in the order of the records.
    pub fn commit(&mut self, records: Vec<Record>) -> Vec<Result<Appended, Error>> {
        let mut answers: Vec<_> = records.iter().map(|_| None).collect();
        let records = records.into_iter().enumerate().map(|(at, record)| (record, at));
        self.commit_each(records, &mut |at, answer| answers[at] = Some(answer));
        answers.into_iter().map(|answer| answer.expect("every record is answered")).collect()
    }

    /// The same, with each answer as soon as it is known.
    pub(crate) fn commit_each<T>(
        &mut self,
        records: impl IntoIterator<Item = (Record, T)>,
        answer: &mut impl FnMut(T, Result<Appended, Error>),
    ) {
        let mut waiting = Waiting { appended: Vec::new(), refused: Vec::new(), given: 0 };
        self.draft.begin(&self.trims);
        for (record, tag) in records {
            if let Err(error) = self.check(&record) {
                if waiting.appended.is_empty() {
                    answer(tag, Err(error));
                } else {
                    waiting.refused.push((tag, error));
                }
                continue;
            }
            if let Err(error) = self.make_room(&record, &mut waiting, answer) {
                answer(tag, Err(error));
                continue;
            }
            let head = record.head();
            let ends = self.shards.entry(head.shard).or_insert(Ends::START);
            (ends.next, ends.epoch) = (head.index.next(), head.epoch);
            self.draft.push(&record);
            // Readers ask for it when it is shown, and not before.
            self.current.opened.places().note(head.shard, head.index, self.current.end);
            waiting.given += record.encoded_bytes() as u64;
            waiting.appended.push((tag, head.shard, head.index));
            if self.draft.body_bytes() >= self.bounds.group_max {
                self.flush(&mut waiting, answer);
            }
        }
        self.flush(&mut waiting, answer);
        self.draft.shrink(4 * self.bounds.group_max);
    }

    /// Forgets every record of the shard below `to`, as [`Log::trim`](crate::Log::trim) says. Visible at once, carried by the next group;
    /// if segments can be let go, it is synced first.
    pub fn trim(&mut self, shard: ShardId, to: Index) -> Result<(), Error> {
        self.check_poison()?;
        let ends = self.shards.get(&shard).copied().unwrap_or(Ends::START);
        if to > ends.next {
            return Err(Error::TrimBeyondEnd { shard, to, next: ends.next });
        }
        if to <= ends.begins {
            return Ok(());
        }
        self.shards.insert(shard, Ends { begins: to, ..ends });
        self.trims.insert(shard, to);
        self.catalogue.trim(shard, to);
        self.free()
    }

    /// Removes files that are not needed any more, and makes a spare if there is none.
    pub fn prepare(&mut self) {
        self.spares.prepare();
    }

    /// Does the same from another thread.
    pub fn preparer(&self) -> Preparer {
        Preparer::new(Arc::clone(&self.spares))
    }

    /// Reads the log while it is written; ends with the engine.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.catalogue))
    }

    /// What the engine promises.
    pub fn guarantees(&self) -> Guarantees {
        Guarantees { durability: self.durability, fences_epochs: true }
    }

    /// Writes and syncs a scratch file, and looks at the file system. Errors: [`Error::Unproven`],
    /// [`Error::Unavailable`].
    pub fn preflight(&self) -> Result<Guarantees, Error> {
        preflight::prove(&*self.disk, self.bounds.is_synced)?;
        Ok(self.guarantees())
    }

    /// Writes what is pending and a seal, so that the next start has nothing to mend. A poisoned engine writes nothing.
    /// Errors: [`Error::Poisoned`], [`Error::Unavailable`]; the log is closed all the same.
    pub fn close(mut self) -> Result<(), Error> {
        self.check_poison()?;
        self.seal().map_err(|reason| Error::Poisoned { reason })
    }

    fn check_poison(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(reason) => Err(Error::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// What refuses a record whatever else happens.
    fn check(&self, record: &Record) -> Result<(), Error> {
        let (head, bytes) = (record.head(), record.encoded_bytes());
        let bytes_max = self.bounds.record_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { shard: head.shard, bytes, bytes_max });
        }
        self.check_poison()?;
        let Some(ends) = self.shards.get(&head.shard) else {
            return self.check_new(record);
        };
        if head.index != ends.next {
            return Err(Error::Refused { shard: head.shard, index: head.index, next: ends.next });
        }
        if head.epoch < ends.epoch {
            return Err(Error::Fenced { shard: head.shard, epoch: head.epoch, highest: ends.epoch });
        }
        Ok(())
    }

    fn check_new(&self, record: &Record) -> Result<(), Error> {
        let head = record.head();
        if head.index != Index::FIRST {
            return Err(Error::Refused { shard: head.shard, index: head.index, next: Index::FIRST });
        }
        if self.shards.len() >= self.bounds.shards_max {
            let reason = format!(
                "it has {} shards, and segments of this length keep no more: use larger ones",
                self.shards.len()
            );
            return Err(Error::Unavailable { act: Act::Append, reason });
        }
        Ok(())
    }

    /// Whether a body of so many bytes has its place in the current segment.
    fn has_room(&self, body_bytes: usize) -> bool {
        let Current { segment, end, .. } = &self.current;
        // One shard more: the record may be the first of its own.
        let reserve = self.bounds.reserve(segment.bytes, self.shards.len() + 1);
        end + padded(body_bytes) + reserve <= segment.bytes
    }

    /// Sees to it that the record has its place in the group.
    fn make_room<T>(
        &mut self,
        record: &Record,
        waiting: &mut Waiting<T>,
        answer: &mut impl FnMut(T, Result<Appended, Error>),
    ) -> Result<(), Error> {
        let bytes = record.encoded_bytes();
        if self.has_room(self.draft.body_bytes() + bytes) {
            return Ok(());
        }
        self.flush(waiting, answer);
        self.check_poison()?;
        if self.has_room(self.draft.body_bytes() + bytes) {
            return Ok(());
        }
        let rolled = self.roll_over();
        self.draft.begin(&self.trims);
        match rolled {
            Ok(()) => {
                assert!(self.has_room(self.draft.body_bytes() + bytes), "a new segment takes any record");
                Ok(())
            }
            Err(Failure::Full(reason)) => Err(Error::Full { bytes, reason }),
            Err(Failure::Broken(reason)) => {
                self.check_poison()?;
                Err(Error::Unavailable { act: Act::Append, reason })
            }
        }
    }

    /// Writes the group in the making, if it has a record, answers for it, and begins the next one.
    fn flush<T>(&mut self, waiting: &mut Waiting<T>, answer: &mut impl FnMut(T, Result<Appended, Error>)) {
        if waiting.appended.is_empty() {
            return;
        }
        let records = u64::from(self.draft.records());
        if !holds(Rule::SyncBeforeShowing) {
            self.show(waiting);
        }
        let outcome = self.write_group(Kind::Records);
        if outcome.is_ok() {
            let counters = &self.catalogue.counters;
            counters.records.fetch_add(records, Relaxed);
            counters.bytes_given.fetch_add(std::mem::take(&mut waiting.given), Relaxed);
            counters.group_records.add(records);
            self.show(waiting);
        }
        for (tag, shard, index) in waiting.appended.drain(..) {
            answer(
                tag,
                match &outcome {
                    Ok(()) => Ok(Appended { index, durability: self.durability }),
                    Err(reason) => Err(Error::OutcomeUnknown { shard, index, reason: reason.clone() }),
                },
            );
        }
        for (tag, error) in waiting.refused.drain(..) {
            answer(
                tag,
                Err(match &outcome {
                    Ok(()) => error,
                    Err(reason) => Error::Poisoned { reason: reason.clone() },
                }),
            );
        }
        self.draft.begin(&self.trims);
    }

    /// Lets readers see the records up to the end of the last group.
    fn show<T>(&self, waiting: &Waiting<T>) {
        let nexts = waiting.appended.iter().map(|(_, shard, index)| (*shard, index.next()));
        self.catalogue.publish(nexts, self.current.end);
    }

    /// Writes the group in the making, and syncs it if the options or the kind say so. The trims that it carries are
    /// not pending any more. A failure poisons the engine, and is why.
    fn write_group(&mut self, kind: Kind) -> Result<(), String> {
        let current = &mut self.current;
        let (durable_to, follows) = (current.synced, current.follows);
        let at = At { home: current.segment.home, offset: current.end, durable_to, follows };
        let (bytes, crc) = self.draft.finish(kind, at);
        let written = current.opened.file.write_at(bytes, current.end);
        let bytes = bytes.len() as u64;
        written.map_err(|error| self.poison("writing", &error))?;
        let current = &mut self.current;
        current.end += bytes;
        current.follows = crc;
        current.is_sealed = kind == Kind::Seal;
        self.trims.clear();
        self.catalogue.counters.groups.fetch_add(1, Relaxed);
        self.catalogue.counters.bytes_written.fetch_add(bytes, Relaxed);
        let is_synced = self.bounds.is_synced && holds(Rule::SyncBeforeAcknowledging);
        if is_synced || kind == Kind::Seal { self.sync() } else { Ok(()) }
    }

    /// Syncs the current segment. A failure poisons the engine, and is why.
    fn sync(&mut self) -> Result<(), String> {
        let begun = self.clock.now();
        let synced = self.current.opened.file.sync();
        let took = self.clock.now().saturating_since(begun).as_std().as_micros();
        synced.map_err(|error| self.poison("syncing", &error))?;
        self.current.synced = self.current.end;
        let counters = &self.catalogue.counters;
        counters.syncs.fetch_add(1, Relaxed);
        counters.sync_micros.add(u64::try_from(took).unwrap_or(u64::MAX));
        Ok(())
    }

    /// After this nothing is written any more: nobody knows what of the last write is on the disk.
    fn poison(&mut self, act: &str, error: &io::Error) -> String {
        let reason = format!("{act} {}/{}: {error}", self.disk.place(), self.current.segment.name());
        if !holds(Rule::PoisonAfterFailure) {
            return reason;
        }
        self.catalogue.poison(&reason);
        self.poisoned.get_or_insert(reason).clone()
    }

    /// Goes on in a new segment, whose opening carries the pending trims. [`Failure::Full`] and other failures
    /// before anything was changed leave the engine as it was; the rest poison it.
    fn roll_over(&mut self) -> Result<(), Failure> {
        let taken = self.spares.take();
        self.catalogue.counters.full.store(matches!(taken, Err(Failure::Full(_))), Relaxed);
        let taken = taken?;
        if self.current.synced < self.current.end {
            self.sync().map_err(Failure::Broken)?;
        }
        let Home { log, segment: number } = self.current.segment.home;
        let name = names::segment(number + 1);
        if let Err(error) = self.disk.rename(&taken.name, &name) {
            if spares::is_full(&error) {
                self.catalogue.counters.full.store(true, Relaxed);
                self.spares.give_back(taken.name);
                return Err(Failure::new(&self.disk.place(), &error));
            }
            return Err(Failure::Broken(self.poison("naming the segment after", &error)));
        }
        let named = if holds(Rule::SyncNamesBeforeUse) { self.disk.sync() } else { Ok(()) };
        named.map_err(|error| Failure::Broken(self.poison("naming the segment after", &error)))?;
        let opening = Opening {
            bytes: taken.bytes,
            previous: number,
            previous_end: self.current.end,
            shards: self.shards.iter().map(|(shard, ends)| (*shard, *ends)).filter(is_carried).collect(),
        };
        let home = Home { log, segment: number + 1 };
        let begun = begin(&mut self.draft, taken, home, &opening, self.current.follows);
        let current =
            begun.map_err(|error| Failure::Broken(self.poison("opening the segment after", &error)))?;
        self.catalogue.counters.groups.fetch_add(1, Relaxed);
        self.catalogue.counters.bytes_written.fetch_add(current.end, Relaxed);
        let ended = End { offset: self.current.end, crc: self.current.follows };
        self.current.segment.ended.set(ended).expect("a segment ends once");
        self.catalogue.begin(Arc::clone(&current.segment));
        self.current = current;
        self.trims.clear();
        self.release();
        Ok(())
    }

    /// Lets go of the oldest segments if nothing in them is needed: the trims that say so are synced first.
    fn free(&mut self) -> Result<(), Error> {
        if self.catalogue.freeable() == 0 {
            return Ok(());
        }
        if holds(Rule::SyncTrimsBeforeFreeing) && self.carry().is_err() {
            // What cannot be written now is carried by a later group.
            return self.check_poison();
        }
        if self.current.synced < self.current.end {
            self.sync().map_err(|reason| Error::Poisoned { reason })?;
        }
        self.release();
        Ok(())
    }

    /// Writes the pending trims: at the end of the segment, or else in the opening of the next.
    fn carry(&mut self) -> Result<(), Failure> {
        if self.trims.is_empty() {
            return Ok(());
        }
        self.draft.begin(&self.trims);
        let end = self.current.end + padded(self.draft.body_bytes());
        // The seal's block is left.
        if end + group::BLOCK > self.current.segment.bytes {
            return self.roll_over();
        }
        self.write_group(Kind::Records).map_err(Failure::Broken)?;
        self.catalogue.publish([], self.current.end);
        Ok(())
    }

    /// Lets go of the oldest segments that only hold trimmed records; every trim is synced.
    fn release(&mut self) {
        let count = self.catalogue.freeable();
        for segment in self.catalogue.free(count) {
            self.spares.recycle(segment);
        }
    }

    fn seal(&mut self) -> Result<(), String> {
        let Current { is_sealed, synced, end, .. } = self.current;
        if is_sealed && synced == end && self.trims.is_empty() {
            return Ok(());
        }
        let has_place = |draft: &Draft| end + padded(draft.body_bytes()) <= self.current.segment.bytes;
        self.draft.begin(&self.trims);
        if !has_place(&self.draft) {
            self.draft.begin([]);
        }
        if has_place(&self.draft) { self.write_group(Kind::Seal) } else { self.sync() }
    }
}

impl Drop for Engine {
    /// Ends readers and preparers, and unlocks the directory when they have ended. Nothing is written.
    fn drop(&mut self) {
        self.catalogue.close();
        self.spares.stop();
    }
}

/// Whether an opening carries the shard: every one, also without records.
fn is_carried((_, ends): &(ShardId, Ends)) -> bool {
    ends.begins < ends.next || holds(Rule::NextIndexInOpenings)
}

/// Writes the opening of a segment that has its name.
fn begin(
    draft: &mut Draft,
    taken: Taken,
    home: Home,
    opening: &Opening,
    follows: u32,
) -> io::Result<Current> {
    let (bytes, crc) = draft.opening(opening, home, follows);
    let end = bytes.len() as u64;
    taken.file.write_at(bytes, 0)?;
    if holds(Rule::SyncOpeningBeforeUse) {
        taken.file.sync()?;
    }
    let nexts = opening.shards.iter().map(|(shard, ends)| (*shard, ends.next)).collect();
    let segment = Arc::new(Segment::new(home, taken.bytes, end, nexts));
    let opened = Arc::new(Opened::new(taken.file, Places::default()));
    segment.set_opened(Arc::clone(&opened));
    Ok(Current { segment, opened, end, synced: end, follows: crc, is_sealed: false })
}

/// Makes a log where there is none.
fn create(disk: &dyn Disk, spares: &Spares, bounds: &Bounds, entropy: &dyn Entropy) -> Result<Found, Error> {
    let mut log = [0; 8];
    entropy.fill(&mut log);
    let home = Home { log: u64::from_le_bytes(log), segment: 1 };
    let taken = spares.make_first(bounds.first_segment).map_err(|failure| match failure {
        Failure::Full(reason) | Failure::Broken(reason) => Error::Unavailable { act: Act::Open, reason },
    })?;
    let opening = Opening { bytes: taken.bytes, previous: 0, previous_end: 0, shards: Vec::new() };
    let name = names::segment(1);
    let begun = disk
        .rename(&taken.name, &name)
        .and_then(|()| disk.sync())
        .and_then(|()| begin(&mut Draft::default(), taken, home, &opening, 0));
    let begun = begun.map_err(|error| recover::unavailable(&format!("{}/{name}", disk.place()), &error))?;
    Ok(Found::created(begun.segment, begun.opened, begun.end, begun.follows))
}

/// Whether the options' segments can open with every shard of the log.
fn check_shards(bounds: &Bounds, shards: usize) -> Result<(), Error> {
    if shards <= bounds.shards_max {
        return Ok(());
    }
    let max = bounds.shards_max;
    Err(Error::Unproven {
        guarantee: "its options fit together".into(),
        found: format!(
            "segments of {} bytes keep {max} shards, and the log has {shards}: use larger ones",
            bounds.segment
        ),
    })
}
