//! What holds for any bytes: the bodies of the fuzz targets, which ordinary tests run as well.
//!
//! Each function panics when it does not hold.

use crate::items::cursor;

/// The bytes as a cursor: what can be read leads to the same place when it is written.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(cursor) = cursor::read(text) {
        assert_eq!(cursor::read(&cursor::text(&cursor)).ok(), Some(cursor));
    }
}
