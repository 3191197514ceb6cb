//! Every bit of what a group is made of is flipped, and many of the others: none is ever read as data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::Size;
use mainstay_log::faulty::{Random, SimDisk};
use mainstay_log::local::{Engine, Options, Recovery};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use mainstay_log::{Durability, Error, Place};

use super::world;

const BLOCK: usize = 4096;
const HEAD_BYTES: usize = 72;
const SEGMENT: &str = "segment-0000000000000001";
const SHARDS: [ShardId; 2] = [ShardId::new(1), ShardId::new(2)];

/// Of the bits of bodies, padding and unwritten space, so many are flipped in each.
const SAMPLES: u64 = 60;

/// A group's places in its segment.
#[derive(Debug, Clone)]
struct Group {
    head: Range<usize>,
    body: Range<usize>,
    padding: Range<usize>,
}

/// How a log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The process ended.
    Unfollowed,
    /// It was closed.
    Sealed,
    /// It went on in another segment.
    Continued,
}

struct Sample {
    disk: SimDisk,
    left: Left,
    records: BTreeMap<ShardId, Vec<Record>>,
    groups: Vec<Group>,
}

fn open(disk: &SimDisk) -> Result<(Engine, Recovery), Error> {
    open_as(disk, 7)
}

/// Opens the log, or makes one with an id drawn from the seed.
fn open_as(disk: &SimDisk, seed: u64) -> Result<(Engine, Recovery), Error> {
    let clock = Arc::new(ManualClock::default());
    let options = Options { first_segment: Size::from_kib(28), ..world::options(Durability::Synced) };
    Engine::open(disk.mount(), &options, clock, &SeededEntropy::new(seed))
}

/// The groups of a segment, by the lengths that their heads tell.
fn groups(bytes: &[u8]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut at = 0;
    while bytes.get(at..at + 7) == Some(b"msgroup") {
        let length = bytes[at + 40..at + 44].try_into().expect("four bytes");
        let body = at + HEAD_BYTES..at + HEAD_BYTES + u32::from_le_bytes(length) as usize;
        let end = body.end.next_multiple_of(BLOCK);
        groups.push(Group { head: at..at + HEAD_BYTES, padding: body.end..end, body });
        at = end;
    }
    groups
}

impl Sample {
    /// Two groups of records, one of them longer than a block, for both shards.
    fn new(left: Left) -> Self {
        let random = Random::new(11);
        let disk = SimDisk::new(1);
        let mut records: BTreeMap<ShardId, Vec<Record>> = BTreeMap::new();
        let mut draw = |shard, bytes| {
            let of_shard: &mut Vec<Record> = records.entry(shard).or_default();
            let index = Index::new(of_shard.len() as u64 + 1);
            let draft = Draft::data(random.id(), Bytes::from(random.bytes(bytes)));
            of_shard.push(draft.seal(shard, index, Epoch::new(1), Checksum::START));
            of_shard[of_shard.len() - 1].clone()
        };
        let (mut engine, _) = open(&disk).expect("an empty disk takes a log");
        let mut batches = vec![vec![draw(SHARDS[0], 100), draw(SHARDS[1], 3000), draw(SHARDS[0], 2500)]];
        batches.push(vec![draw(SHARDS[1], 50), draw(SHARDS[0], 300)]);
        if left == Left::Continued {
            batches.push(vec![draw(SHARDS[1], 4000), draw(SHARDS[0], 3000)]);
        }
        for batch in batches {
            assert!(engine.commit(batch).iter().all(Result::is_ok));
        }
        engine.trim(SHARDS[0], Index::new(2)).expect("the log can be trimmed");
        match left {
            Left::Sealed => engine.close().expect("the log can be closed"),
            Left::Unfollowed | Left::Continued => drop(engine),
        }
        disk.crash_process();
        let groups = groups(&disk.contents(SEGMENT));
        assert_eq!(
            groups.len(),
            if left == Left::Sealed { 4 } else { 3 },
            "opening, two of records, perhaps a seal"
        );
        assert_eq!(
            disk.names().iter().filter(|name| name.starts_with("segment")).count(),
            if left == Left::Continued { 2 } else { 1 }
        );
        Self { disk, left, records, groups }
    }

    /// Whether anything proves that the group was synced.
    fn is_proven(&self, group: usize) -> bool {
        self.left == Left::Continued || group + 1 < self.groups.len()
    }

    /// Opens a changed copy. Whatever happens, nothing is read that was not appended; returns the recovery,
    /// or the place of the damage, found when it is opened or read.
    fn open(&self, change: impl FnOnce(&SimDisk)) -> Result<(Recovery, usize), String> {
        let disk = self.disk.fork(2);
        change(&disk);
        let place = |error| match error {
            Error::Damaged { place: Place::Storage(place), .. } => place,
            error => panic!("it is damage, with its place, and not: {error}"),
        };
        let (engine, recovery) = open(&disk).map_err(place)?;
        let reader = engine.reader();
        let mut count = 0;
        for (shard, records) in &self.records {
            let tail = reader.tail(*shard).expect("the log is open");
            let mut next = tail.begins;
            while next < tail.next {
                let read = reader.read(*shard, next, 1).map_err(place)?;
                assert_eq!(
                    read[0],
                    records[next.get() as usize - 1],
                    "other bytes are read than were written"
                );
                next = next.next();
            }
            count += next.get() as usize - 1;
        }
        Ok((recovery, count))
    }

    fn flip(&self, bit: usize) -> Result<(Recovery, usize), String> {
        self.open(|disk| disk.flip(SEGMENT, bit as u64))
    }

    /// What is flipped in a head or body is damage with its place if the group is proven, and else is cut.
    fn check_group_bit(&self, group: usize, bit: usize) {
        let at = self.groups[group].head.start;
        let found = self.flip(bit);
        if self.is_proven(group) {
            let place = format!("the simulated disk/{SEGMENT}, byte {at}");
            assert_eq!(found, Err(place), "{:?}: bit {bit} of group {group}", self.left);
            return;
        }
        let (recovery, count) = found.expect("what nothing proves is cut");
        let cut = recovery
            .cut
            .unwrap_or_else(|| panic!("{:?}: bit {bit} of group {group} is not counted", self.left));
        assert_eq!((cut.segment, cut.offset), (1, at as u64), "{:?}: bit {bit} of group {group}", self.left);
        let all: usize = self.records.values().map(Vec::len).sum();
        let lost = if self.left == Left::Sealed { 0 } else { 2 };
        assert_eq!(count, all - lost, "the rest is there");
    }

    /// What is flipped anywhere else changes nothing.
    fn check_other_bit(&self, bit: usize) {
        let unchanged = self.open(|_| {});
        assert_eq!(self.flip(bit), unchanged, "{:?}: bit {bit}, which is in no group", self.left);
    }
}

/// So many bits of the bytes, and the first and the last.
fn sampled(random: &Random, bytes: &Range<usize>) -> Vec<usize> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let any = |_| (bytes.start * 8) + random.up_to(bytes.len() * 8 - 1);
    (0..SAMPLES).map(any).chain([bytes.start * 8, bytes.end * 8 - 1]).collect()
}

pub fn flip_all(left: Left) {
    let sample = Sample::new(left);
    let random = Random::new(12);
    for (at, group) in sample.groups.iter().enumerate() {
        (group.head.start * 8..group.head.end * 8).for_each(|bit| sample.check_group_bit(at, bit));
        sampled(&random, &group.body).into_iter().for_each(|bit| sample.check_group_bit(at, bit));
        sampled(&random, &group.padding).into_iter().for_each(|bit| sample.check_other_bit(bit));
    }
    let end = sample.groups.last().expect("there are groups").padding.end;
    let unwritten = end..sample.disk.contents(SEGMENT).len();
    sampled(&random, &unwritten).into_iter().for_each(|bit| sample.check_other_bit(bit));
}

#[test]
fn a_flipped_bit_in_a_followed_group_is_damage_and_in_the_last_is_cut() {
    flip_all(Left::Unfollowed);
}

#[test]
fn a_flipped_bit_in_a_sealed_group_is_damage_with_its_place() {
    flip_all(Left::Sealed);
}

#[test]
fn a_flipped_bit_in_an_older_segment_is_damage_with_its_place() {
    flip_all(Left::Continued);
}

/// Blocks that were lost, or written to the wrong place.
#[test]
fn an_overwritten_block_is_never_read_as_data() {
    for left in [Left::Unfollowed, Left::Sealed, Left::Continued] {
        let sample = Sample::new(left);
        let contents = sample.disk.contents(SEGMENT);
        let last = sample.groups.last().expect("there are groups").head.start;
        for at in (0..contents.len()).step_by(BLOCK) {
            for from in (0..contents.len()).step_by(BLOCK).filter(|from| *from != at) {
                let found = sample.open(|disk| disk.overwrite(SEGMENT, at, &contents[from..from + BLOCK]));
                let is_lost = at < last || left == Left::Continued && at == last;
                assert_eq!(found.is_err(), is_lost, "{left:?}: block {from} at {at}: {found:?}");
            }
        }
    }
}

/// A torn group whose payload holds the head of another log's group, at the very place where that has it.
pub fn cut_behind_a_forged_head() {
    /// What comes before the payload at the front of a group.
    const BEFORE: usize = HEAD_BYTES + mainstay_log::record::HEADER_BYTES;
    let record = |index, payload: Vec<u8>| {
        let draft = Draft::data(RecordId::new([9; 16]), payload.into());
        draft.seal(SHARDS[0], Index::new(index), Epoch::new(1), Checksum::START)
    };
    let write = |seed, payloads: Vec<Vec<u8>>| {
        let disk = SimDisk::new(seed);
        let (mut engine, _) = open_as(&disk, seed).expect("an empty disk takes a log");
        for (index, payload) in (1..).zip(payloads) {
            assert!(engine.commit(vec![record(index, payload)])[0].is_ok());
        }
        disk
    };
    let other = write(1, vec![Vec::new(); 3]);
    let third = groups(&other.contents(SEGMENT))[3].head.clone();
    let mut payload = vec![0; BLOCK - BEFORE];
    payload.extend(&other.contents(SEGMENT)[third.clone()]);
    let disk = write(2, vec![Vec::new(), payload]);
    let last = groups(&disk.contents(SEGMENT))[2].head.start;
    assert_eq!(
        disk.contents(SEGMENT)[third.clone()],
        other.contents(SEGMENT)[third],
        "it lies where it says"
    );
    disk.crash_process();
    disk.overwrite(SEGMENT, last, &[0; 512]);
    let (engine, recovery) = open(&disk).expect("nothing proves that the group was synced");
    assert_eq!(recovery.cut, None, "nothing tells of a group whose head is gone");
    assert_eq!(engine.reader().tail(SHARDS[0]).expect("the log is open").next, Index::new(2));
}
