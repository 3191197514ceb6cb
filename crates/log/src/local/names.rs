//! The names of the files in a log's directory.

/// The lock that one process holds while it has the log open.
pub(crate) const LOCK: &str = "LOCK";

/// What preflight writes and removes.
pub(crate) const SCRATCH: &str = "preflight";

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// A segment with its number, from 1.
    Segment(u64),
    /// A file that becomes a segment, with a number that says nothing.
    Spare(u64),
    /// The lock.
    Lock,
    /// What preflight left behind.
    Scratch,
    /// Not the log's.
    Foreign,
}

/// The name of a segment.
pub(crate) fn segment(number: u64) -> String {
    format!("segment-{number:016x}")
}

/// The name of a spare.
pub(crate) fn spare(number: u64) -> String {
    format!("spare-{number:016x}")
}

/// What a name says.
pub(crate) fn parse(name: &str) -> Named {
    let number = |prefix| {
        let digits = name.strip_prefix(prefix)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (format!("{number:016x}") == digits).then_some(number)
    };
    match name {
        LOCK => Named::Lock,
        SCRATCH => Named::Scratch,
        _ => match (number("segment-"), number("spare-")) {
            (Some(0), _) | (None, None) => Named::Foreign,
            (Some(number), _) => Named::Segment(number),
            (None, Some(number)) => Named::Spare(number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else_is_ours() {
        for number in [1, 0xab, u64::MAX] {
            assert_eq!(parse(&segment(number)), Named::Segment(number));
            assert_eq!(parse(&spare(number)), Named::Spare(number));
        }
        assert_eq!(segment(0xab), "segment-00000000000000ab");
        assert_eq!((parse(LOCK), parse(SCRATCH)), (Named::Lock, Named::Scratch));
        for name in [
            "segment-0000000000000000",
            "segment-00000000000000AB",
            "segment-1",
            "segment-+000000000000001",
            "segment-00000000000000001",
            "spare-",
            "notes.txt",
            "",
        ] {
            assert_eq!(parse(name), Named::Foreign, "{name}");
        }
    }
}
