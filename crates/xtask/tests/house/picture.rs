//! The picture of the architecture is drawn from its text as it is: the drawing carries the checksum of that text.
//!
//! To check that takes no program that draws. The checksum is that of POSIX `cksum`, since that is what a script has at hand.

use crate::Finding;
use crate::repo;

const TEXT: &str = "docs/architecture.dot";
const PICTURE: &str = "docs/architecture.svg";

/// The generator of POSIX `cksum`: that of CRC-32 in Ethernet, the highest bit first.
const POLYNOMIAL: u32 = 0x04C1_1DB7;

/// As `cksum` has it: the CRC of the bytes and of their number, lowest byte first, inverted.
fn cksum(bytes: &[u8]) -> u32 {
    let length = bytes.len().to_le_bytes();
    let significant = length.len() - length.iter().rev().take_while(|byte| **byte == 0).count();
    let all = bytes.iter().chain(&length[..significant]);
    !all.fold(0, |crc, byte| {
        let crc = crc ^ (u32::from(*byte) << 24);
        (0..8).fold(crc, |crc: u32, _| (crc << 1) ^ if crc >> 31 == 1 { POLYNOMIAL } else { 0 })
    })
}

fn check(text: &[u8], picture: &str) -> Option<Finding> {
    let stamp = format!("<!-- drawn from {TEXT}: cksum {} {} -->", cksum(text), text.len());
    (!picture.contains(&stamp)).then(|| {
        Finding::new(PICTURE, 1, format!("it is not drawn from {TEXT} as that is now: run `make picture`"))
    })
}

#[test]
fn the_picture_is_drawn_from_its_text() {
    let read = |path: &str| std::fs::read(repo::root().join(path)).unwrap_or_default();
    let picture = String::from_utf8_lossy(&read(PICTURE)).into_owned();
    crate::finding::assert_none(check(&read(TEXT), &picture).into_iter().collect());
}

#[test]
fn a_picture_of_another_text_is_found() {
    // What `cksum` prints for these.
    assert_eq!((cksum(b""), cksum(b"123456789")), (4_294_967_295, 930_766_865));
    let picture = "<svg/>\n<!-- drawn from docs/architecture.dot: cksum 930766865 9 -->\n";
    assert_eq!(check(b"123456789", picture), None);
    let found = check(b"123456780", picture).expect("the text has changed");
    assert!(found.to_string().contains("run `make picture`"), "{found}");
    assert!(check(b"123456789", "<svg/>").is_some(), "nobody says what it was drawn from");
}
