//! Cursors as text: opaque to callers, and strict in what is read back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use mainstay_base::error::Code;
use mainstay_base::key::{Key, Slot};
use mainstay_base::problem::Problem;
use mainstay_machine::shards::Cursor;

/// The first byte of a place among keys.
const KEY: u8 = 1;
/// The first byte of a place in an index that is gone through forwards, and backwards.
const ENTRY: u8 = 2;
const ENTRY_BACK: u8 = 3;

/// In base64 for addresses (RFC 4648, section 5): the form, and of a key the slot (2 bytes) and the key, of an entry the index's
/// number (4 bytes) and the entry. The higher bytes come first.
pub(crate) fn text(cursor: &Cursor) -> String {
    let bytes = match cursor {
        Cursor::Key { slot, key } => {
            [&[KEY], &slot.get().to_be_bytes()[..], key.as_str().as_bytes()].concat()
        }
        Cursor::Entry { number, is_back, entry } => {
            let form = if *is_back { ENTRY_BACK } else { ENTRY };
            [&[form], &number.to_be_bytes()[..], entry].concat()
        }
    };
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor. Errors: [`Code::Invalid`].
pub(crate) fn read(text: &str) -> Result<Cursor, Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        match &bytes[..] {
            [KEY, rest @ ..] => {
                let (slot, key) = rest.split_first_chunk()?;
                let slot = Slot::new(u16::from_be_bytes(*slot))?;
                let key: Key = str::from_utf8(key).ok()?.parse().ok()?;
                Some(Cursor::Key { slot, key })
            }
            [form @ (ENTRY | ENTRY_BACK), rest @ ..] => {
                let (number, entry) = rest.split_first_chunk()?;
                let number = u32::from_be_bytes(*number);
                Some(Cursor::Entry { number, is_back: *form == ENTRY_BACK, entry: entry.to_vec().into() })
            }
            _ => None,
        }
    };
    read().ok_or_else(|| {
        let detail = "the cursor is not one: send it as it was answered in `next`";
        Problem::new(Code::Invalid, detail).fact("parameter", "cursor")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_cursor_that_comes_back_or_none(text in "[A-Za-z0-9_=+ -]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            crate::fuzz::cursor(text.as_bytes());
            crate::fuzz::cursor(URL_SAFE_NO_PAD.encode([&[KEY, 0][..], &bytes].concat()).as_bytes());
            crate::fuzz::cursor(URL_SAFE_NO_PAD.encode([&[ENTRY][..], &bytes].concat()).as_bytes());
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let key = Cursor::Key { slot: Slot::new(4095).unwrap(), key: "u7/é".parse().unwrap() };
        let entry = |is_back| Cursor::Entry { number: 7, is_back, entry: vec![0x50, 0, 255].into() };
        for cursor in [key, entry(false), entry(true)] {
            assert_eq!(read(&text(&cursor)).unwrap(), cursor);
        }
    }
}
