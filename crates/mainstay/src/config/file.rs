//! Files that people name in a configuration: read whole, within a bound, never waited for.

use std::fs::{FileType, Metadata};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use mainstay_base::units::Size;

/// Why a file was not read, completing "the file ...".
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The system refused it.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] Error),
    /// Reading it might never end, or would act on a device.
    #[error("is {0}, not a regular file")]
    Kind(&'static str),
    /// It is larger than what it is for.
    #[error("is over {0}")]
    TooLarge(Size),
    /// It is no text; the byte is the first that cannot be read.
    #[error("is not UTF-8: byte {0} cannot be read")]
    NotText(usize),
}

/// Whether a file of this name is there. A link to nothing is there: what it should lead to is missed.
pub fn exists(path: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// The text of a regular file that is not larger than `max`.
pub fn read(path: &Path, max: Size) -> Result<String, Problem> {
    // Asked before opening, because opening some devices acts on them, and again on what was opened, because
    // another file may have taken the name. Opening never waits for the other end of a pipe.
    regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(Error::from)?);
    regular(&file.metadata()?)?;
    read_to_end(file, max)
}

/// The text of a stream that is not larger than `max`, once it has ended.
pub fn read_to_end(stream: impl Read, max: Size) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    stream.take(max.bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max.bytes() {
        return Err(Problem::TooLarge(max));
    }
    String::from_utf8(bytes).map_err(|error| Problem::NotText(error.utf8_error().valid_up_to()))
}

fn regular(metadata: &Metadata) -> Result<(), Problem> {
    let kind = metadata.file_type();
    if kind.is_file() { Ok(()) } else { Err(Problem::Kind(name(kind))) }
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_bound_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("text"), "12345").expect("a file");
        std::fs::write(at("bytes"), b"12\xff").expect("a file");
        std::os::unix::fs::symlink(at("text"), at("link")).expect("a link");
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).expect("a link");
        std::os::unix::fs::symlink(at("loop"), at("loop")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .expect("a pipe");
        let read = |path: &Path| read(path, Size::from_bytes(5)).map_err(|it| it.to_string());

        assert_eq!(read(&at("text")), Ok("12345".into()));
        assert_eq!(read(&at("link")), Ok("12345".into()));
        for (name, what) in [
            ("bytes", "byte 2"),
            ("pipe", "a pipe"),
            ("socket", "a socket"),
            (".", "a directory"),
            ("dangling", "No such file"),
            ("loop", "symbolic links"),
            ("text/below", "Not a directory"),
        ] {
            let error = read(&at(name)).expect_err(name);
            assert!(error.contains(what), "{name}: {error}");
        }
        std::fs::write(at("text"), "123456").expect("a file");
        assert_eq!(read(&at("text")), Err("is over 5B".into()));
        assert_eq!(read(Path::new("/dev/zero")), Err("is a device, not a regular file".into()));
        assert!(exists(&at("dangling")) && exists(&at("loop")) && !exists(&at("nothing")));
    }
}
