//! The bytes of format 1, and that nothing else is taken for them.

use bytes::Bytes;

use super::*;
use crate::record::{Checksum, RecordId};

const HOME: Home = Home { log: 0x1122_3344_5566_7788, segment: 3 };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record() -> Record {
    let draft = crate::record::Draft::data(RecordId::new([7; 16]), Bytes::from_static(b"payload"));
    draft.seal(ShardId::new(5), Index::new(9), Epoch::new(2), Checksum::START)
}

fn head() -> Head {
    Head {
        home: HOME,
        offset: 0x5000,
        durable_to: 0x4000,
        body_bytes: 0x47,
        body_crc: 0xaabb_ccdd,
        trims: 1,
        records: 2,
        kind: Kind::Seal,
        follows: 0x0102_0304,
    }
}

#[test]
fn a_group_of_format_1_is_these_bytes() {
    let mut draft = Draft::default();
    draft.begin([(&ShardId::new(1), &Index::new(8))]);
    draft.push(&record());
    let (bytes, crc) = draft
        .finish(Kind::Records, At { home: HOME, offset: 0x2000, durable_to: 0x1000, follows: 0xdead_beef });
    assert_eq!(bytes.len(), BLOCK_BYTES);
    assert_eq!(
        hex(&bytes[..HEAD_BYTES]),
        concat!(
            "6d7367726f757001",
            "8877665544332211",
            "0300000000000000",
            "0020000000000000",
            "0010000000000000",
            "47000000ac9b1595",
            "0100000001000000",
            "0200000000000000",
            "efbeadde1b6cae12",
        )
    );
    assert_eq!(crc, crc32c::crc32c(&bytes[..68]));
    assert_eq!(hex(&bytes[72..84]), "010000000800000000000000", "the trim");
    assert_eq!(bytes[84..143], record().encode());
    assert!(bytes[143..].iter().all(|byte| *byte == 0), "the padding");
    assert_eq!(crc32c::crc32c(bytes), 0xf4c0dc95, "all of it");
}

#[test]
fn an_opening_of_format_1_is_these_bytes() {
    let ends = Ends { begins: Index::new(2), next: Index::new(9), epoch: Epoch::new(4) };
    let opening =
        Opening { bytes: 0x10000, previous: 2, previous_end: 0xf000, shards: vec![(ShardId::new(6), ends)] };
    let mut draft = Draft::default();
    let (bytes, _) = draft.opening(&opening, HOME, 1);
    assert_eq!(
        hex(&bytes[72..72 + Opening::body_bytes(1)]),
        concat!(
            "0000010000000000",
            "0200000000000000",
            "00f0000000000000",
            "06000000",
            "0200000000000000",
            "0900000000000000",
            "0400000000000000",
        )
    );
    assert_eq!(crc32c::crc32c(bytes), 0x9124dfa0, "all of it");
    assert_eq!(Opening::decode(&bytes[72..72 + Opening::body_bytes(1)]), Some(opening));
}

#[test]
fn a_head_comes_back_and_no_flipped_bit_of_it_passes() {
    let (bytes, crc) = head().encode();
    assert_eq!(Head::decode(&bytes), Decoded::Head(head(), crc));
    for bit in 0..HEAD_BYTES * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Head::decode(&flipped), Decoded::Not(NotHead::Crc), "bit {bit}");
        assert!(Head::is_trace(&flipped, HOME, 0x5000), "bit {bit} hides that a group was there");
    }
}

#[test]
fn a_whole_head_of_another_place_is_no_trace() {
    let (bytes, _) = head().encode();
    assert!(Head::is_trace(&bytes, HOME, 0x5000));
    for (home, offset) in
        [(Home { segment: 4, ..HOME }, 0x5000), (Home { log: 0, ..HOME }, 0x5000), (HOME, 0x6000)]
    {
        assert!(!Head::is_trace(&bytes, home, offset), "{home:?} {offset}");
    }
    assert!(!Head::is_trace(&[0; HEAD_BYTES], Home { log: 0, segment: 0 }, 1));
}

/// A head with some bytes changed and the right CRC.
fn forged(at: usize, to: &[u8]) -> [u8; HEAD_BYTES] {
    let (mut bytes, _) = head().encode();
    bytes[at..at + to.len()].copy_from_slice(to);
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_newer_format_is_told_by_name_and_a_field_that_cannot_be_is_told_too() {
    let newer = Decoded::Newer { format: 2, home: HOME, offset: 0x5000 };
    assert_eq!(Head::decode(&forged(7, &[2])), newer);
    for (at, to, field) in [
        (7, &[0][..], "format"),
        (56, &[4], "kind"),
        (56, &[0], "kind"),
        (63, &[1], "reserved bytes"),
        (32, &[0, 0x60], "durable_to"),
    ] {
        assert_eq!(Head::decode(&forged(at, to)), Decoded::Not(NotHead::Field(field)), "{field}");
    }
}

#[test]
fn openings_that_cannot_be_are_none() {
    let ends = |begins, next| Ends { begins: Index::new(begins), next: Index::new(next), epoch: Epoch::NONE };
    for shards in [
        vec![(ShardId::new(2), ends(1, 1)), (ShardId::new(2), ends(1, 1))],
        vec![(ShardId::new(2), ends(1, 1)), (ShardId::new(1), ends(1, 1))],
        vec![(ShardId::new(2), ends(0, 1))],
        vec![(ShardId::new(2), ends(3, 2))],
    ] {
        let mut bytes = Vec::new();
        Opening { bytes: 1, previous: 0, previous_end: 0, shards }.encode_into(&mut bytes);
        assert_eq!(Opening::decode(&bytes), None, "{bytes:?}");
    }
    for bytes in [0, 23, 25, 51] {
        assert_eq!(Opening::decode(&vec![1; bytes]), None, "{bytes} bytes");
    }
}

#[test]
fn trims_that_are_not_all_there_are_none() {
    assert_eq!(split_trims(&[0; 23], 2), None);
    assert_eq!(split_trims(&[0; 23], u32::MAX), None);
    let (trims, records) = split_trims(&[0; 26], 2).unwrap();
    assert_eq!((trims.len(), records.len()), (2, 2));
}
