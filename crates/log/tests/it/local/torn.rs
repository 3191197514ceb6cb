//! A torn end is cut, counted, and never comes back.

use mainstay_log::Durability;
use mainstay_log::local::Cut;

use super::files::Files;
use super::*;

/// A log of three groups, the last of which has several blocks, and what it was before that one.
fn before_and_after() -> (Files, Files) {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=2);
    let before = files.copy();
    let payload: Vec<u8> = (0..11_000_u32).map(|at| at.to_le_bytes()[0] | 1).collect();
    let _ = append_one(&mut engine, record_of(SHARD, 3, 1, &payload)).unwrap();
    drop(engine);
    (before, files)
}

const END: usize = 3 * BLOCK;
const LAST_BLOCKS: usize = 3;

#[test]
fn a_group_torn_at_any_block_is_wholly_absent_and_a_whole_one_is_there() {
    let (before, after) = before_and_after();
    let (old, new) = (before.get(&segment(1)), after.get(&segment(1)));
    for kept in 0..1 << LAST_BLOCKS {
        let mut bytes = old.clone();
        for block in (0..LAST_BLOCKS).filter(|block| kept & (1 << block) != 0) {
            let at = END + block * BLOCK..END + (block + 1) * BLOCK;
            bytes[at.clone()].copy_from_slice(&new[at]);
        }
        let files = Files::new();
        files.put(&segment(1), &bytes);
        let (mut engine, recovery) = open(&files);
        if kept == (1 << LAST_BLOCKS) - 1 {
            assert_eq!(read_all(&engine, SHARD).unwrap().len(), 3);
            assert_eq!((recovery.cut, recovery.records), (None, 3));
            continue;
        }
        assert_eq!(indexes(&engine, SHARD), up_to(2), "blocks {kept:03b}");
        let bytes = (LAST_BLOCKS * BLOCK) as u64;
        let cut = (kept & 1 != 0).then_some(Cut { segment: 1, offset: END as u64, bytes });
        assert_eq!(recovery.cut, cut, "blocks {kept:03b}");
        append(&mut engine, SHARD, 3..=4);
        drop(engine);
        let (engine, recovery) = open(&files);
        assert_eq!(indexes(&engine, SHARD), up_to(4), "blocks {kept:03b}");
        assert_eq!(recovery.cut, None, "it is cut once");
    }
}

#[test]
fn a_group_torn_within_any_sector_is_wholly_absent() {
    let (before, after) = before_and_after();
    let (old, new) = (before.get(&segment(1)), after.get(&segment(1)));
    for sectors in 0..LAST_BLOCKS * 8 - 2 {
        let mut bytes = old.clone();
        let torn = END..END + sectors * 512;
        bytes[torn.clone()].copy_from_slice(&new[torn]);
        let files = Files::new();
        files.put(&segment(1), &bytes);
        let (engine, _) = open(&files);
        assert_eq!(indexes(&engine, SHARD), up_to(2), "{sectors} sectors");
    }
}

#[test]
fn of_groups_that_were_never_synced_those_behind_a_torn_one_are_cut_for_good() {
    let options = Options { durability: Durability::Written, ..options() };
    let files = Files::new();
    let (mut engine, _) = try_open(&files, &options).unwrap();
    append(&mut engine, SHARD, 1..=2);
    drop(engine);
    let (mut engine, _) = try_open(&files, &options).unwrap();
    append(&mut engine, SHARD, 3..=5);
    drop(engine);
    // The third of five groups did not reach the disk.
    let mut bytes = files.get(&segment(1));
    bytes[3 * BLOCK..4 * BLOCK].fill(0);
    files.put(&segment(1), &bytes);
    let (mut engine, recovery) = try_open(&files, &options).unwrap();
    let cut = Cut { segment: 1, offset: 3 * BLOCK as u64, bytes: 3 * BLOCK as u64 };
    assert_eq!(recovery.cut, Some(cut));
    assert_eq!(indexes(&engine, SHARD), up_to(2));
    // The very same group as before does not make those that followed it valid again.
    append(&mut engine, SHARD, 3..=3);
    drop(engine);
    let (engine, recovery) = try_open(&files, &options).unwrap();
    assert_eq!(indexes(&engine, SHARD), up_to(3));
    assert_eq!(recovery.cut, None);
}

#[test]
fn a_segment_that_only_got_its_name_is_made_again() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=12);
    drop(engine);
    let before = files.copy();
    before.put(&segment(2), &vec![0; 64 << 10]);
    // Recycled from another segment: its groups say so.
    let recycled = files.copy();
    recycled.put(&segment(2), &files.get(&segment(1)));
    // Its opening did not get through.
    let torn = files.copy();
    let mut bytes = vec![0; 64 << 10];
    bytes[..100].fill(0x5a);
    torn.put(&segment(2), &bytes);
    for files in [before, recycled, torn] {
        let (mut engine, _) = open(&files);
        assert_eq!(files.named("segment"), [segment(1)]);
        append(&mut engine, SHARD, 13..=30);
        drop(engine);
        let (engine, _) = open(&files);
        assert_eq!(indexes(&engine, SHARD), up_to(30));
    }
}

#[test]
fn a_first_segment_that_only_got_its_name_is_a_new_log() {
    let files = Files::new();
    files.put(&segment(1), &vec![0; 64 << 10]);
    let (mut engine, recovery) = open(&files);
    assert!(recovery.is_new);
    append(&mut engine, SHARD, 1..=3);
    drop(engine);
    let (engine, recovery) = open(&files);
    assert!(!recovery.is_new);
    assert_eq!(indexes(&engine, SHARD), up_to(3));
}

#[test]
fn a_clean_stop_is_told_and_a_crash_is_too() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=3);
    engine.close().unwrap();
    let (engine, recovery) = open(&files);
    assert!(recovery.is_clean && !recovery.is_new);
    assert_eq!((recovery.records, recovery.segments), (3, 1));
    engine.close().unwrap();
    let (mut engine, recovery) = open(&files);
    assert!(recovery.is_clean, "closing what nothing was written to keeps the seal");
    append(&mut engine, SHARD, 4..=4);
    drop(engine);
    let (engine, recovery) = open(&files);
    assert!(!recovery.is_clean && recovery.cut.is_none());
    assert_eq!(indexes(&engine, SHARD), up_to(4));
}

#[test]
fn opening_and_closing_for_ever_takes_no_space() {
    let files = Files::new();
    for _ in 0..50 {
        let (engine, recovery) = open(&files);
        assert!(recovery.is_clean);
        engine.close().unwrap();
    }
    assert_eq!(files.named("segment").len(), 1);
}
