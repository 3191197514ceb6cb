//! What runs leave in a folder, at times of our choosing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mainstay_base::units::Duration;
use tempfile::TempDir;
use x509_parser::pem::parse_x509_pem;

use super::*;

/// 2026-01-01T00:00:00Z
const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn later(days: u64) -> Timestamp {
    NOW.checked_add(Duration::from_secs(days * 24 * 60 * 60)).expect("it is in range")
}

fn run_at(folder: &TempDir, names: &[&str], now: Timestamp) -> Result<Made> {
    let names = names.iter().map(|name| name.parse().expect("it is a name")).collect();
    make(&folder.path().join("certs"), names, now, &SystemEntropy)
}

#[track_caller]
fn refused(folder: &TempDir, now: Timestamp, words: &str) {
    let error = run_at(folder, &["localhost"], now).expect_err("it is refused");
    assert!(format!("{error:#}").contains(words), "{error:#}");
}

fn made() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    run_at(&folder, &["localhost"], NOW).expect("it is made");
    folder
}

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join("certs").join(name)).expect("a file")
}

/// The names, the days from the first to the last moment, and the serial number of a certificate.
fn read(pem: &str) -> (Vec<String>, i64, String) {
    let (_, block) = parse_x509_pem(pem.as_bytes()).expect("PEM");
    let read = block.parse_x509().expect("a certificate");
    let names = read.subject_alternative_name().expect("an extension").expect("there are names");
    let names = names.value.general_names.iter().map(ToString::to_string).collect();
    let seconds = read.validity().not_after.timestamp() - read.validity().not_before.timestamp();
    (names, seconds / (24 * 60 * 60), read.raw_serial_as_string())
}

#[test]
fn the_authority_and_the_keys_stay_and_the_certificate_is_renewed() {
    let folder = made();
    let before = ["ca.pem", "ca.key", "dev.key", "dev.pem"].map(|name| text(&folder, name));
    let made =
        run_at(&folder, &["shop.localhost", "::1", "shop.localhost"], later(300)).expect("it is renewed");
    assert!(!made.authority_is_new);
    let after = ["ca.pem", "ca.key", "dev.key", "dev.pem"].map(|name| text(&folder, name));
    assert_eq!(before[..3], after[..3]);
    let (old, new) = (read(&before[3]), read(&after[3]));
    assert_eq!((old.0.len(), old.1), (1, 397));
    assert_eq!((new.0.len(), new.1), (2, 397));
    assert_ne!(old.2, new.2, "no number is used twice");
    assert_eq!(made.until, later(300 + 396));
}

#[test]
fn keys_are_for_their_owner_alone() {
    let folder = made();
    let mode = |name: &str| {
        let path = folder.path().join("certs").join(name);
        path.metadata().expect("a file").permissions().mode() & 0o777
    };
    assert_eq!(["ca.key", "dev.key", "ca.pem", "dev.pem"].map(mode), [0o600, 0o600, 0o644, 0o644]);
    let key = folder.path().join("certs/ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    run_at(&folder, &["localhost"], NOW).expect("it is renewed");
    assert_eq!(mode("ca.key"), 0o600);
}

#[test]
fn a_certificate_ends_with_its_authority_at_the_latest() {
    let folder = made();
    let end = later(3650);
    assert_eq!(run_at(&folder, &["localhost"], later(3600)).expect("it is renewed").until, end);
    refused(&folder, end, "ca.pem has expired: remove it and its key");
}

#[test]
fn what_was_made_by_others_stays_as_it_is() {
    let other = made();
    for (name, put, words) in [
        ("dev.pem", Some(text(&other, "dev.pem")), "dev.pem is there and was not made by this command"),
        ("dev.pem", Some("mine".to_owned()), "dev.pem is there and was not made by this command"),
        ("dev.pem", None, "dev.key is there and was not made by this command"),
        ("dev.key", Some(text(&other, "dev.key")), "dev.pem is there and was not made by this command"),
        ("dev.key", None, "dev.pem is there and was not made by this command"),
        ("ca.pem", Some(text(&other, "ca.pem")), "ca.pem was not made by this command"),
        ("ca.pem", Some(text(&other, "dev.pem")), "ca.pem was not made by this command"),
        ("ca.pem", Some("mine".to_owned()), "ca.pem was not made by this command"),
        ("ca.pem", None, "ca.key is there without"),
        ("ca.key", Some(text(&other, "ca.key")), "ca.pem was not made by this command"),
        ("ca.key", Some("mine".to_owned()), "ca.key was not made by this command"),
        ("ca.key", None, "ca.pem is there without"),
    ] {
        let folder = made();
        let path = folder.path().join("certs").join(name);
        match put {
            Some(text) => fs::write(&path, text).expect("a file"),
            None => fs::remove_file(&path).expect("a file"),
        }
        let all = || {
            let entries = fs::read_dir(folder.path().join("certs")).expect("a folder");
            let mut all: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
            all.sort();
            all.into_iter().map(|path| (fs::read(&path).expect("a file"), path)).collect::<Vec<_>>()
        };
        let before = all();
        refused(&folder, NOW, words);
        assert_eq!(before, all(), "{name}");
    }
}

#[test]
fn a_certificate_of_another_authority_stays_with_its_key() {
    let (folder, other) = (made(), made());
    for name in ["dev.pem", "dev.key"] {
        fs::write(folder.path().join("certs").join(name), text(&other, name)).expect("a file");
    }
    refused(&folder, NOW, "dev.pem is there and was not made by this command");
    assert_eq!(text(&folder, "dev.pem"), text(&other, "dev.pem"));
}

#[test]
fn a_folder_that_cannot_be_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("certs"), "").expect("a file");
    refused(&folder, NOW, "cannot make the folder");
}
