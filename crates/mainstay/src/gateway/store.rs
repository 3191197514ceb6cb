//! Where a node keeps the gateway's definitions: one file in its data directory, replaced as a whole.
//!
//! It is read before the gateway listens, and needs no shard: routes are there however the data is.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use mainstay_base::error::{Classify, Code};
use mainstay_gateway::book::{Book, TextError};

/// The file, within the data directory.
const FILE: &str = "gateway.jsonl";

/// The file of a node's definitions.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
}

/// Why definitions were not read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("cannot {act} the gateway's definitions in `{path}`: {source}", path = path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What is in it.
    #[error(
        "the gateway's definitions in `{path}` cannot be used: {source}; put a copy in its place, or take it away to go on with what the configuration defines alone",
        path = path.display()
    )]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TextError,
    },
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Io { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Code::StorageFull
            }
            Self::Io { .. } | Self::Text { .. } => Code::Internal,
        }
    }
}

impl Store {
    /// That of a data directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// What is kept; an empty book if there is no file. May block.
    pub fn read(&self) -> Result<Book, Error> {
        let path = self.path();
        match fs::read_to_string(&path) {
            Ok(text) => Book::of_text(&text).map_err(|source| Error::Text { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Book::default()),
            Err(source) => Err(Error::Io { act: "read", path, source }),
        }
    }

    /// Keeps a book instead of the one before: when this returns it survives the loss of power. Errors: the one before is kept. May block.
    pub fn write(&self, book: &Book) -> Result<(), Error> {
        self.stage(book)?.commit()
    }

    /// Writes a book beside the one that is kept, with all that may want of room. May block.
    pub fn stage(&self, book: &Book) -> Result<Staged, Error> {
        let path = self.path();
        let next = path.with_extension("jsonl.next");
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(book.to_text().as_bytes())?;
            file.sync_all()?;
            File::open(&self.directory)
        };
        let directory = write().map_err(|source| Error::Io { act: "write", path: path.clone(), source })?;
        Ok(Staged { next, path, directory })
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// A book that lies beside the one that is kept. Dropped, it is nothing.
#[derive(Debug)]
pub struct Staged {
    next: PathBuf,
    path: PathBuf,
    /// Open, so that it can be synced however many files are open by then.
    directory: File,
}

impl Staged {
    /// Keeps it instead of the one before. Errors: which of them is kept is known at the next start. May block.
    pub fn commit(self) -> Result<(), Error> {
        let Self { next, path, directory } = self;
        let kept = fs::rename(next, &path).and_then(|()| directory.sync_all());
        kept.map_err(|source| Error::Io { act: "write", path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_empty_and_what_cannot_be_used_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        assert_eq!(store.read().expect("nothing is there"), Book::default());
        store.write(&Book::default()).expect("there is room");
        assert_eq!(store.read().expect("it was written"), Book::default());
        fs::write(folder.path().join(FILE), "{\"format\":7,\"sequence\":0,\"lines\":0}\n").expect("a file");
        let told = store.read().expect_err("another format").to_string();
        assert!(told.contains("gateway.jsonl") && told.contains("take it away"), "{told}");
    }

    #[test]
    fn a_book_that_cannot_be_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        store.write(&Book::default()).expect("there is room");
        fs::create_dir(folder.path().join("gateway.jsonl.next")).expect("a folder in its way");
        let error = store.write(&Book::default()).expect_err("it is in the way");
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(store.read().expect("the one before"), Book::default());
    }
}
