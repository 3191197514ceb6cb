//! The simulated disk keeps, loses and fails what it says, and does the same for the same seed.

use super::image::SECTOR_BYTES;
use super::*;

const BYTES: usize = 16 * SECTOR_BYTES;

/// A file of zeros whose bytes and name are durable.
fn with_file(seed: u64) -> (SimDisk, Box<dyn File>) {
    let machine = SimDisk::new(seed);
    let disk = machine.mount();
    let file = disk.create("a").unwrap();
    file.write_at(&[0; BYTES], 0).unwrap();
    file.sync().unwrap();
    disk.sync().unwrap();
    (machine, file)
}

/// How many sectors of a file that was overwritten with ones are new, old, and neither.
fn sectors(machine: &SimDisk) -> [usize; 3] {
    let contents = machine.contents("a");
    let is = |sector: &[u8], byte| sector.iter().all(|found| *found == byte);
    let mut counts = [0; 3];
    for sector in contents.chunks(SECTOR_BYTES) {
        counts[if is(sector, 1) {
            0
        } else if is(sector, 0) {
            1
        } else {
            2
        }] += 1;
    }
    counts
}

#[test]
fn a_loss_of_power_keeps_what_was_synced_and_any_part_of_the_rest() {
    let mut seen = [0; 3];
    for seed in 0..200 {
        let (machine, file) = with_file(seed);
        file.write_at(&[1; BYTES], 0).unwrap();
        machine.crash_process();
        assert_eq!(sectors(&machine), [16, 0, 0], "the end of the process loses nothing");
        machine.crash_machine();
        let left = sectors(&machine);
        seen.iter_mut().zip(left).for_each(|(seen, left)| *seen += left);
        machine.crash_machine();
        assert_eq!(sectors(&machine), left, "what is left stays");
    }
    assert!(seen.iter().all(|count| *count > 100), "sectors are kept, lost and torn: {seen:?}");

    let (machine, file) = with_file(1);
    file.write_at(&[1; BYTES], 0).unwrap();
    file.sync().unwrap();
    machine.crash_machine();
    assert_eq!(sectors(&machine), [16, 0, 0]);
}

#[test]
fn names_are_durable_only_after_their_directory_is_synced() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (machine, _file) = with_file(seed);
        let disk = machine.mount();
        disk.create("b").unwrap();
        disk.rename("a", "c").unwrap();
        assert_eq!(machine.names(), ["b", "c"]);
        machine.crash_machine();
        seen.insert(machine.names().join(" "));
    }
    assert_eq!(seen, ["a", "a b", "b c", "c"].map(String::from).into(), "each is kept or undone");

    let (machine, _file) = with_file(1);
    let disk = machine.mount();
    disk.rename("a", "c").unwrap();
    disk.create("d").unwrap();
    disk.remove("d").unwrap();
    disk.sync().unwrap();
    machine.crash_machine();
    assert_eq!(machine.names(), ["c"]);
    assert_eq!(machine.contents("c").len(), BYTES);
}

#[test]
fn a_failed_sync_leaves_clean_what_it_did_not_write() {
    let mut lost = 0;
    for seed in 0..50 {
        let (machine, file) = with_file(seed);
        file.write_at(&[1; BYTES], 0).unwrap();
        machine.fault_next(Act::Sync, Fault::Error);
        assert!(file.sync().is_err());
        assert_eq!(sectors(&machine), [16, 0, 0], "it is still shown");
        file.sync().expect("a second sync finds nothing to write");
        machine.evict();
        let evicted = sectors(&machine);
        machine.crash_machine();
        assert_eq!(sectors(&machine), evicted, "what was not written is gone");
        lost += usize::from(evicted[1] > 0);
    }
    assert!(lost > 25, "most lose something: {lost}");
}

#[test]
fn what_was_not_written_becomes_durable_when_it_is_written_again() {
    for seed in 0..50 {
        let (machine, file) = with_file(seed);
        file.write_at(&[1; BYTES], 0).unwrap();
        machine.fault_next(Act::Sync, Fault::Error);
        assert!(file.sync().is_err());
        file.write_at(&machine.contents("a"), 0).unwrap();
        file.sync().unwrap();
        machine.crash_machine();
        assert_eq!(sectors(&machine), [16, 0, 0]);
    }
}

#[test]
fn the_machine_stops_at_an_operation_and_all_handles_die() {
    for when in [When::Before, When::During, When::After] {
        let (machine, file) = with_file(3);
        machine.fault_at(machine.operations() + 1, Fault::Stop(when));
        assert!(file.write_at(&[1; BYTES], 0).is_err());
        assert!(machine.is_stopped());
        assert!(machine.mount().list().is_err());
        machine.crash_process();
        let [new, old, torn] = sectors(&machine);
        match when {
            When::Before => assert_eq!(old, 16),
            When::During => assert!(torn <= 1 && new < 16, "a beginning is written"),
            When::After => assert_eq!(new, 16),
        }
        assert!(file.bytes().is_err() && file.sync().is_err(), "the handle stays dead");
        assert_eq!(machine.mount().open("a").unwrap().bytes().unwrap(), BYTES as u64);
    }
}

#[test]
fn a_full_disk_takes_part_of_a_write_and_then_nothing() {
    let (machine, file) = with_file(4);
    machine.set_capacity(BYTES as u64 + 100);
    assert_eq!(machine.mount().available().unwrap(), 100);
    file.write_at(&[1; BYTES], 0).expect("what is there may be overwritten");
    let error = file.write_at(&[2; 200], BYTES as u64).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(file.bytes().unwrap() <= BYTES as u64 + 100);
    machine.fault_next(Act::Create, Fault::Full);
    let Err(error) = machine.mount().create("b") else { panic!("a full disk makes no file") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(machine.names(), ["a"]);
}

#[test]
fn a_flipped_bit_is_shown_and_outlives_a_crash() {
    let (machine, _file) = with_file(5);
    machine.flip("a", 8 * 700 + 3);
    machine.overwrite("a", 1000, &[9; 4]);
    machine.crash_machine();
    let contents = machine.contents("a");
    assert_eq!((contents[700], &contents[999..1005]), (1 << 3, &[0, 9, 9, 9, 9, 0][..]));
}

#[test]
fn a_held_operation_waits_until_it_is_released() {
    let (machine, file) = with_file(6);
    machine.hold(Act::Sync);
    let before = machine.operations();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync());
        machine.wait_until_held();
        assert_eq!(machine.operations(), before);
        machine.release();
        sync.join().unwrap().unwrap();
    });
    assert_eq!(machine.operations(), before + 1);
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let (machine, file) = with_file(seed);
        file.write_at(&[1; BYTES], 77).unwrap();
        machine.mount().rename("a", "b").unwrap();
        machine.crash_machine();
        let names = machine.names();
        (machine.contents(&names[0]), names, machine.history())
    };
    assert_eq!(run(7), run(7));
    assert!((0..20).any(|seed| run(seed) != run(7)));
}

#[test]
fn a_failure_tells_what_was_done() {
    let (machine, file) = with_file(8);
    machine.fault_next(Act::Sync, Fault::Error);
    assert!(file.sync().is_err());
    let history = machine.history();
    let last: Vec<_> = history.lines().rev().take(2).collect();
    assert_eq!(last, ["5 Sync a: Error", "4 SyncNames "]);
}
