//! What holds for any bytes: the bodies of the fuzz targets, which ordinary tests run over the kept corpus.
//!
//! Each function panics when it does not hold.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy, Timestamp};
use mainstay_base::units::Size;

use crate::Error;
use crate::faulty::SimDisk;
use crate::local::{self, Engine, Options};
use crate::record::{Checksum, Draft, HEADER_BYTES, Record, RecordId, split_first};

/// The bytes of a group's head that its checksum covers.
const GROUP_HEAD_BYTES: usize = 68;

const BLOCK_BYTES: usize = 4096;

/// Records of each of the two shards in the log that is changed.
const RECORDS: u64 = 12;

/// The bytes as a record, as they are and with a checksum that fits them: whatever decodes is written again as it
/// was, and nothing else happens to what does not.
pub fn record(bytes: &[u8]) {
    one_record(bytes);
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let mut mended = bytes.to_vec();
    let length = u32::try_from(bytes.len()).expect("a fuzzer's input is small");
    mended[4..8].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&mended[4..]);
    mended[..4].copy_from_slice(&checksum.to_le_bytes());
    one_record(&mended);
}

fn one_record(bytes: &[u8]) {
    let shared = Bytes::copy_from_slice(bytes);
    let decoded = Record::decode(&shared);
    assert_eq!(decoded, Record::decode_copied(bytes), "both decoders say the same");
    if let Ok((first, rest)) = split_first(bytes) {
        assert_eq!([first, rest].concat(), bytes, "splitting loses nothing");
    }
    let Ok(record) = decoded else { return };
    assert_eq!(record.encode(), shared, "a record is written as it was read");
    let head = *record.head();
    let again = record.draft().seal(head.shard, head.index, head.epoch, head.prev);
    assert_eq!(again, record, "a record sealed again is the same");
    let _ = record.extensions().context();
}

/// A whole local log of two segments whose files are changed. Each five bytes are a change: the file in the lowest bit, the offset in
/// three bytes, and what is there then; the highest bit mends the checksum of the head in that block.
///
/// Nothing that opening, reading or inspecting does with it is a panic, and unless a head was forged, every record
/// that can be read is the one that was appended.
pub fn segments(changes: &[u8]) {
    let disk = whole_log().fork(0);
    let files: Vec<_> = disk.names().into_iter().filter(|name| name.starts_with("segment-")).collect();
    let mut is_forged = false;
    for change in changes.chunks_exact(5).take(64) {
        let name = &files[usize::from(change[0] & 1)];
        let mut bytes = disk.contents(name);
        let offset = usize::from(change[1]) << 16 | usize::from(change[2]) << 8 | usize::from(change[3]);
        let offset = offset % bytes.len();
        bytes[offset] = change[4];
        disk.overwrite(name, offset, &change[4..]);
        if change[0] & 0x80 != 0 {
            let crc_at = offset / BLOCK_BYTES * BLOCK_BYTES + GROUP_HEAD_BYTES;
            let crc = crc32c::crc32c(&bytes[crc_at - GROUP_HEAD_BYTES..crc_at]);
            disk.overwrite(name, crc_at, &crc.to_le_bytes());
            is_forged = true;
        }
    }
    let found = local::inspect_on(&*disk.mount()).expect("the disk can be read");
    match open(&disk) {
        Ok(engine) => read_all(&engine, is_forged),
        Err(Error::Damaged { .. }) => {
            assert!(!found.damage.is_empty(), "inspection finds what opening finds");
        }
        Err(error) => panic!("a log is opened or damaged: {error}"),
    }
}

fn read_all(engine: &Engine, is_forged: bool) {
    let reader = engine.reader();
    for shard in [0, 1].map(ShardId::new) {
        let tail = reader.tail(shard).expect("the log is open");
        let mut next = tail.begins;
        while let Ok(read) = reader.read(shard, next, 4096) {
            if read.is_empty() {
                break;
            }
            for record in read {
                assert!(is_forged || record == original(shard, next), "what is read is what was appended");
                next = next.next();
            }
        }
        assert!(is_forged || tail.next.get() <= RECORDS + 1, "nothing is read that was not appended");
    }
}

fn original(shard: ShardId, index: Index) -> Record {
    let payload = Bytes::from(vec![b'p'; 400 * (1 + shard.get() as usize)]);
    let id = RecordId::new(u128::from(index.get()).to_be_bytes());
    Draft::data(id, payload).seal(shard, index, Epoch::new(1), Checksum::START)
}

fn open(disk: &SimDisk) -> Result<Engine, Error> {
    let options = Options {
        segment: Size::from_kib(40),
        first_segment: Size::from_kib(40),
        record_max: Size::from_kib(4),
        ..Options::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    Ok(Engine::open(disk.mount(), &options, clock, &SeededEntropy::new(7))?.0)
}

fn whole_log() -> &'static SimDisk {
    static LOG: OnceLock<SimDisk> = OnceLock::new();
    LOG.get_or_init(|| {
        let disk = SimDisk::new(0);
        let mut engine = open(&disk).expect("a new log");
        for index in (1..=RECORDS).map(Index::new) {
            engine.prepare();
            let group = [0, 1].map(|shard| original(ShardId::new(shard), index));
            assert!(engine.commit(group.into()).iter().all(Result::is_ok), "there is room");
        }
        engine.close().expect("it closes");
        disk
    })
}
