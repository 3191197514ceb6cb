//! The messages of etcd's key-value service that are needed here, in Protocol Buffers' wire format and gRPC's frame around it.

/// Wire types: a number of variable length, and bytes with their length before them.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Bytes of a frame before its message: not compressed, and the message's length.
const FRAME_BYTES: usize = 5;

/// `PutRequest`: the key is field 1, the value field 2.
pub(super) fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    frame(|out| {
        field(out, 1, key);
        field(out, 2, value);
    })
}

/// `RangeRequest` of one key; that it is linearizable is the default.
pub(super) fn range(key: &[u8]) -> Vec<u8> {
    frame(|out| field(out, 1, key))
}

/// The value in a framed `RangeResponse`, if it has a `KeyValue` (field 2, with the value in its field 5). The outer `None`:
/// it is not such a message.
pub(super) fn value(framed: &[u8]) -> Option<Option<&[u8]>> {
    let (head, message) = framed.split_at_checked(FRAME_BYTES)?;
    let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
    if head[0] != 0 || length as usize != message.len() {
        return None;
    }
    match find(message, 2)? {
        None => Some(None),
        // A field that is not sent has its default, which is empty.
        Some(pair) => Some(Some(find(pair, 5)?.unwrap_or_default())),
    }
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(320);
    out.extend_from_slice(&[0; FRAME_BYTES]);
    write(&mut out);
    let length = (out.len() - FRAME_BYTES) as u32;
    out[1..FRAME_BYTES].copy_from_slice(&length.to_be_bytes());
    out
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The first field of bytes with this number. The outer `None`: the message has something that etcd's have not.
fn find(mut message: &[u8], wanted: u64) -> Option<Option<&[u8]>> {
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        match tag & 7 {
            VARINT => drop(read_varint(&mut message)?),
            BYTES => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                if tag >> 3 == wanted {
                    return Some(Some(bytes));
                }
                message = rest;
            }
            _ => return None,
        }
    }
    Some(None)
}

fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_framed_messages() {
        assert_eq!(range(b"k1"), b"\0\0\0\0\x04\x0a\x02k1");
        let put = put(b"k1", &[7; 256]);
        assert_eq!(&put[..12], b"\0\0\0\x01\x07\x0a\x02k1\x12\x80\x02");
        assert_eq!(&put[12..], [7; 256]);
    }

    /// A header (field 1), a pair (field 2: key, revisions, value), a count (field 4), as etcd sends them.
    fn response(pair: &[u8]) -> Vec<u8> {
        frame(|out| {
            field(out, 1, b"\x08\x81\x01\x18\x02");
            if !pair.is_empty() {
                field(out, 2, pair);
            }
            out.extend_from_slice(b"\x20\x01");
        })
    }

    #[test]
    fn values_are_found_past_other_fields() {
        let found = response(b"\x0a\x02k1\x10\x02\x18\xac\x02\x20\x01\x2a\x03abc");
        assert_eq!(value(&found), Some(Some(&b"abc"[..])));
        assert_eq!(value(&response(b"")), Some(None));
        assert_eq!(value(&response(b"\x0a\x02k1")), Some(Some(&b""[..])));
    }

    #[test]
    fn broken_messages_are_not_values() {
        let found = response(b"\x0a\x02k1\x2a\x03abc");
        assert_eq!(value(&found[..found.len() - 1]), None);
        assert_eq!(value(b"\0\0\0"), None);
        assert_eq!(value(&response(b"\x2a\x09abc")), None);
        assert_eq!(value(&frame(|out| out.extend_from_slice(b"\x15\0\0\0\0"))), None);
        assert_eq!(value(&frame(|out| out.extend_from_slice(&[0x80; 11]))), None);
    }
}
