//! Damage is refused with its place, is never read as data, and is never taken for a torn end.

use mainstay_log::record;
use mainstay_log::{Damage, Place};

use super::files::Files;
use super::*;

/// The bytes of a group of one record in its block that mean something: head and body.
fn used(files: &Files, offset: usize) -> usize {
    let bytes = files.get(&segment(1));
    72 + u32::from_le_bytes(bytes[offset + 40..offset + 44].try_into().unwrap()) as usize
}

const SMALL_BYTES: usize = 24 << 10;

/// A log whose one segment has an opening, three groups and, if closed, a seal with a trim.
fn small(is_closed: bool) -> (Files, Options) {
    let files = Files::new();
    let options = Options { first_segment: Size::from_bytes(SMALL_BYTES as u64), ..options() };
    let (mut engine, _) = try_open(&files, &options).unwrap();
    append(&mut engine, SHARD, 1..=2);
    append(&mut engine, OTHER, 1..=1);
    if is_closed {
        engine.trim(OTHER, Index::new(2)).unwrap();
        engine.close().unwrap();
    }
    (files, options)
}

#[test]
fn no_flipped_bit_of_a_segment_is_read_as_data() {
    for is_closed in [false, true] {
        let (files, options) = small(is_closed);
        let groups = if is_closed { 5 } else { 4 };
        for byte in 0..SMALL_BYTES {
            let offset = byte / BLOCK * BLOCK;
            let is_group = offset / BLOCK < groups;
            let is_used = is_group && byte - offset < used(&files, offset);
            let bits = match (is_used, byte % 7) {
                (true, _) => 0..8,
                (false, 0) => byte % 8..byte % 8 + 1,
                (false, _) => continue,
            };
            for bit in bits {
                files.change(&segment(1), byte, |old| old ^ (1 << bit));
                check_flip(&files.copy(), &options, offset, is_used, is_closed);
                files.change(&segment(1), byte, |old| old ^ (1 << bit));
            }
        }
    }
}

/// What one flipped bit in the group at `offset` does: damage if the group was followed, a cut if it was the last, and
/// nothing in padding and in unwritten space.
fn check_flip(files: &Files, options: &Options, offset: usize, is_used: bool, is_closed: bool) {
    let last = if is_closed { 4 } else { 3 } * BLOCK;
    let outcome = try_open(files, options);
    if is_used && offset < last {
        let place = place(&outcome.map(drop).unwrap_err());
        assert_eq!(place, format!("log/{}, byte {offset}", segment(1)));
        return;
    }
    let (engine, recovery) = outcome.unwrap();
    assert_eq!(indexes(&engine, SHARD), [1, 2]);
    assert_eq!(recovery.cut.is_some(), is_used, "a cut is counted, at {offset}");
    assert_eq!(recovery.is_clean, is_closed && !is_used);
    match (is_closed, is_used) {
        (true, false) => assert_eq!(indexes(&engine, OTHER), [] as [u64; 0], "it was trimmed"),
        // Without the seal the trim is not known: it shows what was trimmed.
        (true, true) | (false, false) => assert_eq!(indexes(&engine, OTHER), [1]),
        (false, true) => assert_eq!(indexes(&engine, OTHER), [] as [u64; 0], "the last group is cut"),
    }
}

/// A log of three segments and two shards in turn.
fn large() -> Files {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    for index in 1..=16 {
        append(&mut engine, SHARD, index..=index);
        append(&mut engine, OTHER, index..=index);
    }
    drop(engine);
    assert_eq!(files.named("segment").len(), 3);
    files
}

#[test]
fn damage_in_an_older_segment_is_found_by_who_reads_it_and_hides_nothing_else() {
    let files = large();
    for group in 1..13 {
        for at in [0, 8, 16, 24, 32, 40, 44, 48, 52, 56, 64, 68, 72, 80, 100, 130] {
            let copy = files.copy();
            copy.change(&segment(1), group * BLOCK + at, |byte| byte ^ 0x10);
            let (engine, _) = open(&copy);
            let reader = engine.reader();
            for shard in [SHARD, OTHER] {
                for index in 1..=16 {
                    let read = reader.read(shard, Index::new(index), 1);
                    let is_hit = group as u64 == 2 * index - u64::from(shard == SHARD);
                    match read {
                        Ok(records) => {
                            assert_eq!(records, [record(shard, index)]);
                            assert!(!is_hit, "group {group}, byte {at}");
                        }
                        Err(error) => {
                            assert!(is_hit, "group {group}, byte {at}, shard {shard}, {index}: {error}");
                            let expected = format!("log/{}, byte {}", segment(1), group * BLOCK);
                            assert_eq!(place(&error), expected);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_read_stops_before_damage() {
    let files = large();
    files.change(&segment(1), 5 * BLOCK + 90, |byte| byte ^ 1);
    let (engine, _) = open(&files);
    let reader = engine.reader();
    let read = reader.read(SHARD, Index::FIRST, ALL).unwrap();
    assert_eq!(read, [record(SHARD, 1), record(SHARD, 2)]);
    let error = reader.read(SHARD, Index::new(3), ALL).unwrap_err();
    assert_eq!(place(&error), format!("log/{}, byte {}", segment(1), 5 * BLOCK));
    assert_eq!(reader.read(SHARD, Index::new(4), ALL).unwrap().len(), 13, "what lies behind it is there");
}

#[test]
fn damage_of_the_segment_that_is_written_is_found_too() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=5);
    files.change(&segment(1), 3 * BLOCK + 90, |byte| byte ^ 1);
    let reader = engine.reader();
    assert_eq!(reader.read(SHARD, Index::FIRST, ALL).unwrap().len(), 2);
    assert!(place(&reader.read(SHARD, Index::new(3), ALL).unwrap_err()).ends_with(", byte 12288"));
}

#[test]
fn a_damaged_opening_is_refused() {
    for number in 1..=3 {
        for at in [0, 16, 30, 70, 73, 90] {
            let files = large();
            files.change(&segment(number), at, |byte| byte ^ 4);
            let error = try_open(&files, &options()).map(drop).unwrap_err();
            assert_eq!(place(&error), format!("log/{}, byte 0", segment(number)), "{error}");
        }
    }
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    for number in [1, 2] {
        let files = Files::new();
        large()
            .names()
            .iter()
            .filter(|name| **name != segment(number))
            .for_each(|name| files.put(name, &large().get(name)));
        let error = try_open(&files, &options()).map(drop).unwrap_err();
        assert_eq!(place(&error), format!("log/{}, byte 0", segment(number)));
        assert!(error.to_string().contains("the file is missing"), "{error}");
    }
}

#[test]
fn a_log_that_ends_before_what_is_known_is_damage_and_stays_as_it_is() {
    let files = large();
    let last = files.copy();
    // The last segment is gone: what is left is whole, and only other knowledge tells.
    let shorter = Files::new();
    (1..=2).for_each(|number| shorter.put(&segment(number), &files.get(&segment(number))));
    // The last group is torn.
    let torn = files.copy();
    let end = (0..16).rev().find(|at| torn.get(&segment(3))[at * BLOCK] != 0).unwrap();
    torn.change(&segment(3), end * BLOCK + 80, |byte| byte ^ 1);
    for files in [shorter, torn, Files::new()] {
        files.take_calls();
        let error = try_open(&files, &known(OTHER, 17)).map(drop).unwrap_err();
        let Error::Damaged { place: Place::Record { shard: OTHER, .. }, damage: Damage::Storage(what) } =
            error
        else {
            panic!("it is damage of the shard, and not: {error}");
        };
        assert!(what.contains("below index 17"), "{what}");
        assert_eq!(files.take_calls(), [""; 0], "nothing is written");
    }
    let (engine, _) = try_open(&last, &known(OTHER, 17)).unwrap();
    assert_eq!(indexes(&engine, OTHER), up_to(16));
}

#[test]
fn a_refused_log_stays_as_it_is() {
    let files = large();
    files.put("spare-0000000000000000", &[0; 100]);
    files.change(&segment(3), BLOCK + 80, |byte| byte ^ 1);
    let names = files.names();
    files.take_calls();
    assert!(try_open(&files, &options()).is_err());
    assert_eq!((files.take_calls(), files.names()), (Vec::new(), names));
}

#[test]
fn a_file_of_another_length_than_it_was_made_with_is_damage() {
    for (number, bytes) in [(1, 60 << 10), (1, 68 << 10), (3, 32 << 10), (3, 100), (3, 0)] {
        let files = large();
        let mut content = files.get(&segment(number));
        content.resize(bytes, 0);
        files.put(&segment(number), &content);
        let error = try_open(&files, &options()).map(drop).unwrap_err();
        assert!(place(&error).starts_with(&format!("log/{}", segment(number))), "{error}");
        assert!(error.to_string().contains(&format!("{bytes} bytes")), "{error}");
    }
}

#[test]
fn a_segment_of_another_log_is_damage() {
    let other = Files::new();
    let entropy = SeededEntropy::new(10);
    let clock = Arc::new(ManualClock::default());
    let (mut engine, _) = Engine::open(Arc::new(other.clone()), &options(), clock, &entropy).unwrap();
    for index in 1..=16 {
        append(&mut engine, SHARD, index..=index);
        append(&mut engine, OTHER, index..=index);
    }
    for number in 1..=3 {
        let files = large();
        files.put(&segment(number), &other.get(&segment(number)));
        let error = try_open(&files, &options()).map(drop).unwrap_err();
        assert!(error.to_string().contains("another log"), "{error}");
    }
    // Under another number.
    let files = large();
    files.put(&segment(4), &files.get(&segment(2)));
    let (engine, _) = open(&files);
    assert_eq!(indexes(&engine, SHARD), up_to(16));
}

#[test]
fn files_that_are_not_the_logs_are_left_alone_and_told() {
    let files = large();
    files.put("notes.txt", b"mine");
    files.put("segment-1", b"mine too");
    files.put("LOCK", b"1");
    files.put("preflight", b"left behind");
    files.put("spare-0000000000000009", &[0; 100]);
    let (engine, recovery) = open(&files);
    assert_eq!(recovery.foreign, ["notes.txt", "segment-1"]);
    assert_eq!(indexes(&engine, SHARD), up_to(16));
    assert_eq!(files.get("notes.txt"), b"mine");
    assert!(!files.names().contains(&"preflight".into()), "it serves nothing");
    assert!(!files.names().contains(&"spare-0000000000000009".into()), "it was not finished");
}

/// Replaces bytes of a group's head and makes its CRC right again.
fn forge(files: &Files, offset: usize, at: usize, to: &[u8]) {
    let mut bytes = files.get(&segment(1));
    bytes[offset + at..offset + at + to.len()].copy_from_slice(to);
    let crc = crc32c::crc32c(&bytes[offset..offset + 68]);
    bytes[offset + 68..offset + 72].copy_from_slice(&crc.to_le_bytes());
    files.put(&segment(1), &bytes);
}

#[test]
fn a_newer_format_is_refused_by_name() {
    for offset in (0..4).map(|block| block * BLOCK) {
        let (files, options) = small(false);
        forge(&files, offset, 7, &[2]);
        let error = try_open(&files, &options).map(drop).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        assert!(error.to_string().contains("use a newer one"), "{error}");
        assert_eq!(place(&error), format!("log/{}, byte {offset}", segment(1)));
    }
}

#[test]
fn a_newer_group_behind_a_bad_one_is_not_cut_off() {
    let (files, options) = small(false);
    files.change(&segment(1), 2 * BLOCK + 75, |byte| byte ^ 1);
    forge(&files, 3 * BLOCK, 7, &[2]);
    let error = try_open(&files, &options).map(drop).unwrap_err();
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn a_record_of_a_newer_format_is_refused_by_name() {
    let (files, options) = small(false);
    let mut bytes = files.get(&segment(1));
    let (group, record) = (3 * BLOCK, 3 * BLOCK + 72);
    let body = used(&files, group) - 72;
    bytes[record + 8] = 2;
    let crc = crc32c::crc32c(&bytes[record + 4..record + body]);
    bytes[record..record + 4].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[record..record + body]);
    files.put(&segment(1), &bytes);
    forge(&files, group, 44, &crc.to_le_bytes());
    let error = try_open(&files, &options).map(drop).unwrap_err();
    let Error::Damaged { damage: Damage::Record(record::Error::Format { found: 2 }), .. } = error else {
        panic!("the format is named, and not: {error}");
    };
}

#[test]
fn a_group_that_does_not_follow_the_one_before_it_is_no_group() {
    // Behind the last group that follows, with no proof that it was synced: cut.
    let (files, options) = small(false);
    forge(&files, 3 * BLOCK, 64, &[1, 2, 3, 4]);
    let (engine, recovery) = try_open(&files, &options).unwrap();
    assert!(recovery.cut.is_some());
    assert_eq!((indexes(&engine, SHARD), indexes(&engine, OTHER)), (vec![1, 2], vec![]));
    // Before others: damage.
    let (files, options) = small(false);
    forge(&files, 2 * BLOCK, 64, &[1, 2, 3, 4]);
    let error = try_open(&files, &options).map(drop).unwrap_err();
    assert_eq!(place(&error), format!("log/{}, byte {}", segment(1), 2 * BLOCK));
    // The last one of a segment that has a successor, which knows its head.
    let files = large();
    let last = 13 * BLOCK;
    let mut durable_to = files.get(&segment(1))[last + 32..last + 40].to_vec();
    durable_to[1] = 0;
    forge(&files, last, 32, &durable_to);
    let (engine, _) = open(&files);
    let error = engine.reader().read(SHARD, Index::new(7), 1).unwrap_err();
    assert_eq!(place(&error), format!("log/{}, byte {last}", segment(1)));
}

#[test]
fn openings_that_contradict_one_another_are_damage() {
    let files = large();
    let mut bytes = files.get(&segment(3));
    // The next index of the first shard of the table.
    bytes[72 + 24 + 12..][..8].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
    let body = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
    let crc = crc32c::crc32c(&bytes[72..72 + body]);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..68]);
    bytes[68..72].copy_from_slice(&crc.to_le_bytes());
    files.put(&segment(3), &bytes);
    let error = try_open(&files, &options()).map(drop).unwrap_err();
    assert!(error.to_string().contains("lower next index"), "{error}");
}

#[test]
fn a_group_that_breaks_the_order_of_its_shard_is_damage() {
    let (files, options) = small(false);
    let mut bytes = files.get(&segment(1));
    // The second group carries the first one's record again.
    let body = used(&files, BLOCK) - 72;
    let again = bytes[BLOCK + 72..BLOCK + 72 + body].to_vec();
    bytes[2 * BLOCK + 72..2 * BLOCK + 72 + body].copy_from_slice(&again);
    files.put(&segment(1), &bytes);
    let crc = crc32c::crc32c(&again);
    forge(&files, 2 * BLOCK, 44, &crc.to_le_bytes());
    let error = try_open(&files, &options).map(drop).unwrap_err();
    assert!(matches!(error, Error::Damaged { damage: Damage::Index { found: Index::FIRST }, .. }), "{error}");
}
