//! What is written is read back, whatever its pieces; whatever is changed is found.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

type Rows = Vec<(Bytes, Bytes)>;

fn header() -> Header {
    let taken = Timestamp::from_micros(1_700_000_000_000_000);
    let memo = Bytes::from_static(b"up to here");
    Header { shard: ShardId::new(3), shards: 16, timeline: 1, index: Index::new(9), taken, memo }
}

fn encode(header: &Header, rows: &[(Bytes, Bytes)]) -> Vec<u8> {
    let (mut encoder, head) = Encoder::new(header);
    let mut out = head.to_vec();
    for (key, value) in rows {
        out.extend(encoder.row(key, value).unwrap_or_default());
    }
    out.extend(encoder.finish());
    out
}

/// Reads a snapshot that comes in pieces of `piece` bytes.
fn decode(bytes: &[u8], piece: usize) -> Result<(Header, Rows), Damage> {
    let (mut decoder, mut header, mut all) = (Decoder::default(), None, Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.advance()? {
                Found::More | Found::End => break,
                Found::Header(found) => header = Some(found),
                Found::Rows(rows) => all.extend(rows),
            }
        }
    }
    decoder.finish()?;
    Ok((header.expect("it has ended"), all))
}

fn rows(count: u32) -> Rows {
    let row = |number: u32| (number.to_be_bytes().to_vec().into(), vec![b'v'; number as usize % 7].into());
    (0..count).map(row).collect()
}

#[test]
fn format_1_is_these_bytes() {
    let (taken, memo) = (Timestamp::from_micros(5), Bytes::from_static(b"ab"));
    let header = Header { shard: ShardId::new(1), shards: 2, timeline: 3, index: Index::new(4), taken, memo };
    let mut expected =
        b"mainsnap\x01\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x02\0ab".to_vec();
    let mut crc = crc32c::crc32c(&expected);
    expected.extend(crc.to_le_bytes());
    for part in [&b"\x08\0\0\0\x08\0\0\0\x01\0\x01\0\0\0kv"[..], b"\0\0\0\0\x01\0\0\0\0\0\0\0"] {
        crc = crc32c::crc32c_append(crc, part);
        expected.extend(part);
        expected.extend(crc.to_le_bytes());
    }
    let rows = [(Bytes::from_static(b"k"), Bytes::from_static(b"v"))];
    assert_eq!(encode(&header, &rows), expected);
    assert_eq!(decode(&expected, 1), Ok((header, rows.to_vec())));
}

#[test]
fn an_empty_shard_has_one_too() {
    assert_eq!(decode(&encode(&header(), &[]), 5), Ok((header(), Vec::new())));
}

#[test]
fn every_flipped_bit_and_every_missing_end_is_found() {
    let bytes = encode(&header(), &rows(40));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes, 64).is_err(), "bit {bit} of byte {at}");
        }
        let cut = decode(&bytes[..at], 64);
        assert_eq!(cut, Err(Damage::Cut { offset: at as u64 }), "cut at {at}");
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(decode(&longer, longer.len()).is_err());
}

#[test]
fn blocks_that_are_missing_doubled_or_in_another_order_are_found() {
    let (mut encoder, head) = Encoder::new(&header());
    let noise: Vec<_> = (0..3_u32).map(|key| (key.to_be_bytes(), vec![key as u8; BLOCK_BYTES])).collect();
    let blocks: Vec<_> = noise.iter().map(|(key, value)| encoder.row(key, value).expect("a block")).collect();
    let foot = encoder.finish();
    let of = |order: &[usize]| {
        let blocks: Vec<_> = order.iter().flat_map(|at| blocks[*at].iter().copied()).collect();
        decode(&[&head[..], &blocks, &foot].concat(), 4096)
    };
    assert_eq!(of(&[0, 1, 2]).expect("it is whole").1.len(), 3);
    for order in [&[0, 2][..], &[1, 2], &[0, 1], &[0, 0, 1, 2], &[0, 1, 1, 2], &[1, 0, 2], &[]] {
        assert!(of(order).is_err(), "{order:?}");
    }
}

#[test]
fn what_repeats_itself_takes_less_room() {
    let rows: Rows =
        (0..10_000_u32).map(|key| (key.to_be_bytes().to_vec().into(), vec![7; 100].into())).collect();
    let bytes = encode(&header(), &rows);
    assert!(bytes.len() < 10_000 * 104 / 4, "{}", bytes.len());
    assert_eq!(decode(&bytes, 10_000), Ok((header(), rows)));
}

#[test]
fn a_newer_format_and_rows_out_of_order_are_told() {
    let mut newer = encode(&header(), &[]);
    newer[8] = 2;
    assert_eq!(decode(&newer, 9), Err(Damage::Format { found: 2 }));
    let mut rows = rows(2);
    rows.reverse();
    let what = "its rows are not in the order of their keys";
    let error = decode(&encode(&header(), &rows), 100);
    assert!(matches!(error, Err(Damage::Bytes { what: found, .. }) if found == what), "{error:?}");
}

#[test]
fn a_length_that_no_block_has_takes_no_memory() {
    let (_, head) = Encoder::new(&header());
    let mut decoder = Decoder::default();
    decoder.push(&head);
    assert_eq!(decoder.advance(), Ok(Found::Header(header())));
    decoder.push(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(decoder.advance(), Err(Damage::Bytes { .. })));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rows in btree_map(vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..300), 0..100),
        piece in 1..20_000_usize,
    ) {
        let rows: Rows = rows.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        prop_assert_eq!(decode(&encode(&header(), &rows), piece), Ok((header(), rows)));
    }
}
