//! Golden bytes of format 1, and a decoder that takes any bytes and believes none.

use mainstay_base::id::{Name, Tenant};
use proptest::prelude::*;

use super::*;

/// Computed by another implementation of CRC32C from the table in the module's documentation.
const GOLDEN_EPOCH: &str = "b6efa9d53400000001020000050000000100000000000000\
    0100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf00000000";
const GOLDEN_DATA: &str = "dfa1ee5c7a00000001014100050000000200000000000000\
    0100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb6efa9d5\
    01070064656661756c74\
    0218000200000000000000\
    11111111111111111111111111111111\
    031900222222222222222222222222222222223333333333333333\
    0168656c6c6f";

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn golden() -> [Record; 2] {
    let id = RecordId::new(std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap()));
    let shard = ShardId::new(5);
    let epoch = Draft::epoch(id).seal(shard, Index::FIRST, Epoch::new(1), Checksum::START);
    let extensions = Extensions::new(&Context {
        tenant: Some(Tenant::DEFAULT),
        timeline: Some(Timeline { number: 2, id: [0x11; 16] }),
        trace: Some(TraceContext { trace_id: [0x22; 16], span_id: [0x33; 8], flags: 1 }),
    });
    let draft = Draft { kind: Kind::Data, id, extensions, payload: Bytes::from_static(b"hello") };
    let data = draft.seal(shard, Index::new(2), Epoch::new(1), epoch.checksum());
    [epoch, data]
}

#[test]
fn r17_format_1_is_these_bytes() {
    for (record, bytes) in golden().into_iter().zip([GOLDEN_EPOCH, GOLDEN_DATA].map(hex)) {
        assert_eq!(record.encode(), bytes);
        assert_eq!(record.encoded_bytes(), bytes.len());
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        assert_eq!(Record::decode_copied(&bytes).unwrap(), record);
    }
}

#[test]
fn a_record_shows_everything_but_its_payload() {
    let [_, data] = golden();
    let shown = format!("{data:?}");
    assert!(shown.contains("payload_bytes: 5") && shown.contains("5ceea1df"), "{shown}");
    assert!(shown.contains("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"), "{shown}");
    assert!(!shown.contains("hello"), "{shown}");
}

#[test]
fn decoding_shares_the_bytes_and_encoding_copies_them_once() {
    let bytes = hex(GOLDEN_DATA);
    let record = Record::decode(&bytes).unwrap();
    assert!(bytes.as_ptr_range().contains(&record.payload().as_ptr()));
    let draft = record.draft();
    assert_eq!(draft.payload.as_ptr(), record.payload().as_ptr());
    let mut buffer = [0; 200];
    record.encode_into(&mut &mut buffer[..]);
    assert_eq!(buffer[..bytes.len()], bytes);
}

/// Bytes with this change, and a checksum that fits them.
fn forged(bytes: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

/// The epoch record with these extensions.
fn extended(extensions: &[u8]) -> Bytes {
    forged(&hex(GOLDEN_EPOCH), |bytes| {
        bytes[10..12].copy_from_slice(&u16::try_from(extensions.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(extensions);
    })
}

#[test]
fn r17_what_format_1_does_not_have_is_refused_by_name() {
    let good = hex(GOLDEN_DATA);
    let refusal = |change: fn(&mut Vec<u8>)| Record::decode(&forged(&good, change)).unwrap_err();
    assert_eq!(refusal(|bytes| bytes[8] = 2), Error::Format { found: 2 });
    assert!(refusal(|bytes| bytes[8] = 2).to_string().contains("written in format 2"));
    assert_eq!(refusal(|bytes| bytes[8] = 0), Error::Format { found: 0 });
    assert_eq!(refusal(|bytes| bytes[9] = 4), Error::Kind { found: 4 });
    assert_eq!(refusal(|bytes| bytes[9] = 0), Error::Kind { found: 0 });
    assert_eq!(refusal(|bytes| bytes[16..24].fill(0)), Error::Zero { field: "index" });
    assert_eq!(refusal(|bytes| bytes[24..32].fill(0)), Error::Zero { field: "epoch" });
    assert_eq!(refusal(|bytes| bytes.truncate(51)), Error::Short { bytes: 51, needed: 52 });
    assert_eq!(refusal(|bytes| bytes.truncate(116)), Error::Short { bytes: 116, needed: 117 });
    // A newer format may be shorter than this one: it is refused for what it is.
    let newer = forged(&good, |bytes| {
        bytes.truncate(9);
        bytes[8] = 3;
    });
    assert_eq!(Record::decode(&newer), Err(Error::Format { found: 3 }));
}

#[test]
fn too_few_or_too_many_bytes_are_refused() {
    let good = hex(GOLDEN_DATA);
    for bytes in 0..good.len() {
        let error = Record::decode(&good.slice(..bytes)).unwrap_err();
        assert!(matches!(error, Error::Short { .. } | Error::Length { .. }), "{bytes} bytes: {error}");
    }
    let longer: Bytes = [&good[..], b"!"].concat().into();
    assert_eq!(Record::decode(&longer), Err(Error::Length { declared: 122, bytes: 123 }));
    for bytes in [0, 8, 9, 52, 4096] {
        assert!(Record::decode(&vec![0; bytes].into()).is_err(), "{bytes} zeros are a record");
    }
}

#[test]
fn r17_unknown_extensions_are_ignored_from_tag_128_on_and_kept() {
    let bytes = extended(&[1, 1, 0, b'a', 128, 2, 0, 7, 7, 255, 0, 0]);
    let record = Record::decode(&bytes).unwrap();
    let tenant = Some(Tenant::new(Name::from_static("a")));
    assert_eq!(record.extensions().context(), Context { tenant, ..Context::default() });
    assert_eq!(record.encode(), bytes);
    let moved = record.draft().seal(ShardId::new(5), Index::new(9), Epoch::new(1), Checksum::START);
    assert_eq!(moved.extensions(), record.extensions());
}

#[test]
fn r17_extensions_that_are_not_well_formed_are_refused() {
    for tag in [0, 4, 127] {
        assert_eq!(Record::decode(&extended(&[tag, 0, 0])), Err(Error::UnknownExtension { tag }));
    }
    let wrong = |extensions: &[u8], at, what| {
        assert_eq!(Record::decode(&extended(extensions)), Err(Error::Extensions { at, what }));
    };
    wrong(&[128], 0, "an extension is cut off");
    wrong(&[128, 0], 0, "an extension is cut off");
    wrong(&[128, 1, 0], 0, "an extension is cut off");
    wrong(&[128, 0xff, 0xff, 1], 0, "an extension is cut off");
    wrong(&[129, 0, 0, 128, 0, 0], 3, "tags do not ascend");
    wrong(&[128, 0, 0, 128, 0, 0], 3, "tags do not ascend");
    wrong(&[1, 0, 0], 0, "the tenant is not a name");
    wrong(&[1, 1, 0, b'A'], 0, "the tenant is not a name");
    wrong(&[1, 1, 0, 0xff], 0, "the tenant is not a name");
    wrong(&[2, 1, 0, 0], 0, "a timeline has 24 bytes");
    wrong(&[3, 1, 0, 0], 0, "a trace context has 25 bytes");
}

#[test]
fn records_one_after_another_are_cut_by_their_lengths() {
    let both = [hex(GOLDEN_EPOCH), hex(GOLDEN_DATA)].concat();
    let (first, rest) = split_first(&both).unwrap();
    let (second, rest) = split_first(rest).unwrap();
    assert_eq!([first, second].map(|bytes| Record::decode_copied(bytes).unwrap()), golden());
    assert_eq!(split_first(rest), Err(Error::Short { bytes: 0, needed: 9 }));
    assert_eq!(split_first(&both[..51]), Err(Error::Length { declared: 52, bytes: 51 }));
    assert_eq!(split_first(&[0; 64]), Err(Error::Length { declared: 0, bytes: 64 }));
}

fn drafts() -> impl Strategy<Value = Draft> {
    let context = (any::<bool>(), any::<Option<(u64, [u8; 16])>>(), any::<Option<([u8; 16], [u8; 8], u8)>>());
    let extensions = context.prop_map(|(tenant, timeline, trace)| {
        Extensions::new(&Context {
            tenant: tenant.then_some(Tenant::DEFAULT),
            timeline: timeline.map(|(number, id)| Timeline { number, id }),
            trace: trace.map(|(trace_id, span_id, flags)| TraceContext { trace_id, span_id, flags }),
        })
    });
    let kind = prop_oneof![Just(Kind::Data), Just(Kind::Epoch), Just(Kind::Barrier)];
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (kind, any::<[u8; 16]>(), extensions, payload).prop_map(|(kind, id, extensions, payload)| Draft {
        kind,
        id: RecordId::new(id),
        extensions,
        payload: payload.into(),
    })
}

fn records() -> impl Strategy<Value = Record> {
    (drafts(), any::<u32>(), 1_u64.., 1_u64.., any::<u32>()).prop_map(|(draft, shard, index, epoch, prev)| {
        draft.seal(ShardId::new(shard), Index::new(index), Epoch::new(epoch), Checksum::new(prev))
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(record in records()) {
        let bytes = record.encode();
        prop_assert_eq!(&Record::decode(&bytes).unwrap(), &record);
        prop_assert_eq!(&Record::decode_copied(&bytes).unwrap(), &record);
        prop_assert_eq!(Extensions::new(&record.extensions().context()), record.extensions().clone());
    }

    /// Never as another record, and never as one of a newer format.
    #[test]
    fn r3_every_flipped_bit_is_found(record in records()) {
        let good = record.encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Record::decode(&bytes.into()).unwrap_err();
            prop_assert!(
                matches!(error, Error::Checksum { .. } | Error::Length { .. }),
                "bit {} flipped: {}", bit, error
            );
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes.clone());
        }
        let _ = split_first(&bytes);
    }

    /// Behind a checksum that fits, the rest of the decoder meets anything; what it takes, it gives back.
    #[test]
    fn forged_bytes_are_decoded_to_the_same_bytes_or_refused(
        record in records(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in 0..80_usize,
    ) {
        let bytes = forged(&record.encode(), |bytes| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate((bytes.len() - cut.min(bytes.len())).max(ENVELOPE_BYTES));
        });
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
            let _ = record.extensions().context();
        }
    }
}
