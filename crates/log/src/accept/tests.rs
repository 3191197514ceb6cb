//! Every rule of acceptance, and that readers agree wherever they begin.

use proptest::prelude::*;

use super::*;
use crate::record::{Draft, RecordId};

const SHARD: ShardId = ShardId::new(4);

fn draft(kind: Kind, number: u8) -> Draft {
    Draft { kind, ..Draft::barrier(RecordId::new([number; 16])) }
}

fn sealed(kind: Kind, index: u64, epoch: u64, prev: Checksum) -> Record {
    draft(kind, u8::try_from(index).unwrap()).seal(SHARD, Index::new(index), Epoch::new(epoch), prev)
}

/// An acceptance that has read an epoch record of epoch 2 and one data record.
fn begun() -> (Acceptance, Checksum) {
    let mut acceptance = Acceptance::new(SHARD);
    let first = sealed(Kind::Epoch, 1, 2, Checksum::START);
    let second = sealed(Kind::Data, 2, 2, first.checksum());
    assert_eq!(acceptance.offer(&first), Verdict::Accepted);
    assert_eq!(acceptance.offer(&second), Verdict::Accepted);
    (acceptance, second.checksum())
}

#[test]
fn r5_what_follows_is_accepted() {
    let (mut acceptance, prev) = begun();
    let third = sealed(Kind::Barrier, 3, 2, prev);
    let fourth = sealed(Kind::Epoch, 4, 9, third.checksum());
    let fifth = sealed(Kind::Data, 5, 9, fourth.checksum());
    for record in [&third, &fourth, &fifth] {
        assert_eq!(acceptance.offer(record), Verdict::Accepted);
    }
    let cursor = Cursor { next: Index::new(6), epoch: Epoch::new(9), prev: fifth.checksum() };
    assert_eq!(acceptance.cursor(), cursor);
    assert_eq!(acceptance.counts(), Counts { accepted: 5, stale: 0, orphans: 0 });
}

#[test]
fn r5_what_does_not_follow_is_damage_with_its_place_and_moves_nothing() {
    let (mut acceptance, prev) = begun();
    let before = acceptance.clone();
    let other = Checksum::new(1);
    let elsewhere = draft(Kind::Data, 3).seal(ShardId::new(5), Index::new(3), Epoch::new(2), prev);
    let chain = Damage::Chain { expected: prev, found: other };
    for (record, expected) in [
        (elsewhere, Damage::Shard { found: ShardId::new(5) }),
        (sealed(Kind::Data, 4, 2, prev), Damage::Index { found: Index::new(4) }),
        (sealed(Kind::Data, 2, 2, prev), Damage::Index { found: Index::new(2) }),
        (sealed(Kind::Data, 3, 2, other), chain.clone()),
        (sealed(Kind::Data, 3, 3, other), chain),
        (sealed(Kind::Data, 3, 3, prev), Damage::EpochUnannounced { found: Epoch::new(3) }),
        (sealed(Kind::Barrier, 3, 3, prev), Damage::EpochUnannounced { found: Epoch::new(3) }),
        (sealed(Kind::Epoch, 3, 2, prev), Damage::EpochRepeated { found: Epoch::new(2) }),
    ] {
        let place = Place::Record { shard: SHARD, index: Index::new(3) };
        assert_eq!(acceptance.offer(&record), Verdict::Damaged { place, damage: expected });
        assert_eq!(acceptance, before);
    }
}

#[test]
fn r6_a_lower_epoch_is_skipped_whatever_it_follows() {
    let (mut acceptance, prev) = begun();
    for (index, kind) in (3..).zip([Kind::Data, Kind::Epoch, Kind::Barrier]) {
        let prev = if index == 3 { prev } else { Checksum::new(7) };
        assert_eq!(acceptance.offer(&sealed(kind, index, 1, prev)), Verdict::Skipped(Skip::Stale));
    }
    assert_eq!(acceptance.counts(), Counts { accepted: 2, stale: 3, orphans: 0 });
    // The history goes on as if they were not there.
    assert_eq!(acceptance.offer(&sealed(Kind::Data, 6, 2, prev)), Verdict::Accepted);
}

#[test]
fn r7_epoch_records_and_barriers_on_lost_records_are_skipped() {
    let (mut acceptance, prev) = begun();
    let lost = Checksum::new(7);
    for (index, kind, epoch) in [(3, Kind::Epoch, 5), (4, Kind::Barrier, 5), (5, Kind::Barrier, 2)] {
        let verdict = acceptance.offer(&sealed(kind, index, epoch, lost));
        assert_eq!(verdict, Verdict::Skipped(Skip::Orphan), "{index}");
    }
    assert_eq!(acceptance.counts().orphans, 3);
    // Their epoch is no one's, but the next candidate goes above it.
    assert_eq!(acceptance.cursor().epoch, Epoch::new(2));
    assert_eq!(acceptance.epoch_seen(), Epoch::new(5));
    assert_eq!(acceptance.offer(&sealed(Kind::Data, 6, 2, prev)), Verdict::Accepted);
}

#[test]
fn r13_data_settles_what_is_below_it_and_nothing_else_does() {
    let mut acceptance = Acceptance::new(SHARD);
    let mut prev = Checksum::START;
    let mut settled = Vec::new();
    for (index, kind) in (1..).zip([Kind::Epoch, Kind::Barrier, Kind::Data, Kind::Barrier, Kind::Data]) {
        let record = sealed(kind, index, 1, prev);
        prev = record.checksum();
        assert_eq!(acceptance.offer(&record), Verdict::Accepted);
        settled.push(acceptance.settled().next.get());
    }
    assert_eq!(settled, [1, 1, 3, 3, 5]);
}

#[test]
fn a_cursor_is_kept_as_plain_fields() {
    let (acceptance, prev) = begun();
    let json = format!(r#"{{"next":3,"epoch":2,"prev":{}}}"#, prev.get());
    assert_eq!(serde_json::to_string(&acceptance.cursor()).unwrap(), json);
    assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), acceptance.cursor());
}

proptest! {
    /// Whatever is in the log: a reader that resumes decides as one that has read from the start.
    #[test]
    fn readers_agree_wherever_they_begin(
        shape in prop::collection::vec((0..3_u8, 1..4_u64, any::<bool>()), 0..40), from in 0..40_usize,
    ) {
        let mut whole = Acceptance::new(SHARD);
        let mut resumed = None;
        for (at, (kind, epoch, follows)) in shape.into_iter().enumerate() {
            if at == from {
                resumed = Some(Acceptance::resume(SHARD, whole.cursor()));
            }
            let kind = [Kind::Data, Kind::Epoch, Kind::Barrier][usize::from(kind)];
            let prev = if follows { whole.cursor().prev } else { Checksum::new(9) };
            let next = whole.cursor().next;
            let record = draft(kind, 0).seal(SHARD, next, Epoch::new(epoch), prev);
            let verdict = whole.offer(&record);
            if let Some(resumed) = &mut resumed {
                prop_assert_eq!(&verdict, &resumed.offer(&record));
                prop_assert_eq!(whole.cursor(), resumed.cursor());
            }
            prop_assert!(whole.settled().next <= whole.cursor().next);
        }
    }
}
