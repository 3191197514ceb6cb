//! The kept corpus of the fuzz targets, run as ordinary tests.

use std::fs;
use std::path::Path;

use mainstay_log::fuzz;

fn every_input(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is kept") {
        let path = entry.expect("an entry").path();
        check(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        inputs += 1;
    }
    assert!(inputs >= 20, "{} inputs in {}", inputs, folder.display());
}

#[test]
fn any_bytes_may_be_given_as_a_record() {
    every_input("record", fuzz::record);
}

#[test]
fn any_change_of_a_local_log_is_found_or_changes_nothing() {
    every_input("segments", fuzz::segments);
}
