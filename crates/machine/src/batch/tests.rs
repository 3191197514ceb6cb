//! The golden bytes of a batch, and what reading refuses.

use proptest::prelude::*;

use super::*;
use crate::command::Command;

fn sample() -> Batch {
    let put = |key: &'static [u8], value: &'static [u8]| Mutation::Put {
        key: Bytes::from_static(key),
        value: Bytes::from_static(value),
    };
    let trace = TraceContext { trace_id: [0xaa; 16], span_id: [0xbb; 8], flags: 1 };
    let delete = Mutation::Delete { key: Bytes::from_static(b"k1") };
    Batch {
        time: HybridTime::from_bits(0x0102),
        entries: vec![
            Entry {
                tenant: Tenant::DEFAULT,
                trace: None,
                mutations: vec![put(b"k1", b"v1"), put(b"k2", b"")],
                before: vec![],
            },
            Entry {
                tenant: "t1".parse().unwrap(),
                trace: Some(trace),
                mutations: vec![delete],
                before: vec![],
            },
        ],
    }
}

fn golden() -> Vec<u8> {
    let first = b"\x01\x02\x01\0\0\0\0\0\0\x02\0\x07default\x02\0\x02k1\x02v1\0\x02k2\0\0";
    [&first[..], b"\x01\x02t1", &[0xaa; 16], &[0xbb; 8], b"\x01\x01\x01\x02k1\0"].concat()
}

#[test]
fn golden_bytes() {
    assert_eq!(sample().encode(), golden());
    let read = Batch::decode(&golden().into()).unwrap();
    assert_eq!(read, sample());
    assert!(sample().encoded_bytes_max() >= golden().len());
}

fn with_before() -> Batch {
    let mut batch = sample();
    let before = |mutation, value| Before { mutation, value: Bytes::from_static(value) };
    batch.entries[0].before = vec![before(0, b"v0"), before(1, b"")];
    batch
}

fn golden_with_before() -> Vec<u8> {
    let first =
        b"\x01\x02\x01\0\0\0\0\0\0\x02\0\x07default\x02\0\x02k1\x02v1\0\x02k2\0\x02\x01\0\x02v0\x01\x01\0";
    [&first[..], b"\x01\x02t1", &[0xaa; 16], &[0xbb; 8], b"\x01\x01\x01\x02k1\0"].concat()
}

#[test]
fn golden_bytes_of_what_was_before() {
    assert_eq!(with_before().encode(), golden_with_before());
    assert_eq!(Batch::decode(&golden_with_before().into()).unwrap(), with_before());
    assert!(with_before().encoded_bytes_max() >= golden_with_before().len());
    let place = 9 + 1 + 1 + 8 + 1 + 7 + 5;
    let with = |at: usize, byte: u8| {
        let mut bytes = golden_with_before();
        bytes[place + at] = byte;
        Batch::decode(&bytes.into()).unwrap_err().to_string()
    };
    assert!(with(1, 2).contains("a newer program"), "{}", with(1, 2));
    assert!(with(2, 1).contains("in their order"), "{}", with(2, 1));
    assert!(with(7, 2).contains("in their order"), "{}", with(7, 2));
}

#[test]
fn the_last_change_of_a_row_counts() {
    let batch = sample();
    let rows: Vec<_> =
        batch.rows().into_iter().map(|(key, value)| (&key[..], value.map(|v| &v[..]))).collect();
    assert_eq!(rows, [(&b"k1"[..], None), (b"k2", Some(&b""[..]))]);
}

#[test]
fn what_was_not_written_is_refused() {
    let decode = |bytes: Vec<u8>| Batch::decode(&bytes.into());
    for end in 0..golden().len() {
        assert!(decode(golden()[..end].to_vec()).is_err(), "{end}");
    }
    let with = |place: usize, byte: u8| {
        let mut bytes = golden();
        bytes[place] = byte;
        bytes
    };
    assert_eq!(decode(with(0, 2)), Err(Error::Format { what: "a batch", found: 2, newest: 1 }));
    assert!(decode([golden(), vec![0]].concat()).is_err());
    assert!(decode(with(10, 2)).unwrap_err().to_string().contains("unknown flags"));
    assert!(decode(with(9, 0x7f)).is_err(), "a number of entries that cannot be there");
    assert!(decode(with(20, 2)).unwrap_err().to_string().contains("no such mutation"));
    assert!(decode(with(12, b'D')).unwrap_err().to_string().contains("not a name"));
    let last = golden().len() - 1;
    assert!(decode(with(last, 1)).is_err(), "an event that is not there");
    let endless = [&b"\x01\0\0\0\0\0\0\0\0"[..], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    assert!(decode(endless).is_err(), "no room is made for what a length only claims");
}

#[test]
fn a_command_without_effects_leaves_no_entry() {
    let mut batch = Batch::new(HybridTime::from_bits(7));
    let command = Command {
        tenant: Tenant::DEFAULT,
        caller: crate::command::Caller::ANONYMOUS,
        partition: mainstay_base::key::PartitionBy::WholeKey.parse("p").unwrap(),
        idempotency: None,
        trace: None,
        request: crate::command::Request::Commit(crate::command::Commit::default()),
    };
    let input = Input::from(command);
    batch.push(&input, Vec::new(), Vec::new());
    assert_eq!(batch.entries, []);
    batch.push(&input, sample().entries.remove(0).mutations, Vec::new());
    assert_eq!(batch.entries.len(), 1);
}

proptest! {
    #[test]
    fn damage_is_an_error_or_another_batch_and_never_a_panic(place in 0usize..100, byte: u8) {
        let mut bytes = golden();
        let place = place % bytes.len();
        bytes[place] = byte;
        crate::fuzz::stored(&bytes);
    }

    #[test]
    fn no_bytes_are_read_wrongly(bytes in proptest::collection::vec(any::<u8>(), 0..80), format in 0u8..3) {
        crate::fuzz::stored(&bytes);
        crate::fuzz::stored(&[&[format], &bytes[..]].concat());
        crate::fuzz::json(&bytes);
    }

    #[test]
    fn no_json_is_treated_wrongly(text in "[\\[\\]{}:,\"a1\\\\u0nl .e-]{0,24}") {
        crate::fuzz::json(text.as_bytes());
        crate::fuzz::json(format!("{{\"a\":{text}}}{{\"a\":{text}}}").as_bytes());
    }
}
