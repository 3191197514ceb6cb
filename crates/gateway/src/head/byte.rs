//! Which bytes may stand where, by one table, and the search for those that may stand in no value.

/// Bytes of methods and of names of headers (RFC 9110, section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// Bytes of tokens but `_`, which others read as a hyphen.
pub(super) const PLAIN: u8 = 1 << 1;
/// Bytes of a path: those of RFC 3986, section 3.3, and `[`, `]`, `^` and `|`, which browsers do not encode there.
pub(super) const PATH: u8 = 1 << 2;
/// Bytes of a query: those of a path, and what browsers do not encode there besides.
pub(super) const QUERY: u8 = 1 << 3;
/// Bytes of a host's name: letters, digits, `-`, `.` and `_`. What RFC 3986 allows besides is in no name that can be looked up.
pub(super) const NAME: u8 = 1 << 4;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut letters: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
    while let [byte, rest @ ..] = letters {
        classes[*byte as usize] = TOKEN | PLAIN | PATH | QUERY | NAME;
        letters = rest;
    }
    classes[b'_' as usize] &= !PLAIN;
    let groups: [(&[u8], u8); 3] =
        [(b"!#$%&'*+^`|~", TOKEN | PLAIN), (b"~!$&'()*+,;=:@%/[]^|", PATH | QUERY), (b"?`{}\\", QUERY)];
    let mut group = 0;
    while group < groups.len() {
        let (mut bytes, class) = groups[group];
        while let [byte, rest @ ..] = bytes {
            classes[*byte as usize] |= class;
            bytes = rest;
        }
        group += 1;
    }
    classes
}

/// What a byte is.
#[inline]
pub(super) fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// How many of the first bytes are of a class.
#[inline]
pub(super) fn run(bytes: &[u8], of: u8) -> usize {
    bytes.iter().position(|byte| class(*byte) & of == 0).unwrap_or(bytes.len())
}

/// Whether there is a byte that may stand in no value: a control byte other than HTAB. Bytes from 0x80 on may: RFC 9110, section 5.5, has them as `obs-text`, and
/// clients send names of files and cookies in UTF-8.
///
/// Blocks are looked at without a branch for each byte, which the compiler makes one instruction for many; the last block begins early enough to be whole.
#[inline]
pub(super) fn has_control(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.iter().copied().any(is_control);
    };
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    blocks.iter().any(block_has_control) || block_has_control(last)
}

const BLOCK: usize = 16;

#[inline(always)]
fn block_has_control(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, byte| found | is_control(*byte))
}

/// Whether a byte is a control byte other than HTAB.
#[inline]
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') | (byte == 0x7f)
}
