//! What a data directory was made as, and what no later start may change: how many shards, and which line of history.
//!
//! One small file, replaced as a whole and synced. Without it a directory is new.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use mainstay_log::record::Timeline;
use serde::{Deserialize, Serialize};

const FILE: &str = "space.json";
const FORMAT: u32 = 1;

/// What a data directory was made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// How many shards its data are spread over.
    pub shards: u32,
    /// The line of history that its data begin in: a later one than the first after a restore.
    pub timeline: Timeline,
    /// A restore has begun here and not ended.
    pub is_restoring: bool,
}

/// A manifest that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system.
    #[error("cannot {act} {}: {source}", path.display())]
    File {
        /// What was to be done.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{} is damaged: {what}; it says how many shards the data have, so put it back from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer program wrote it.
    #[error("{} is of format {format}, and this program reads format {FORMAT}: use a newer one", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    shards: u32,
    timeline: u64,
    timeline_id: String,
    #[serde(default)]
    restoring: bool,
}

impl Manifest {
    /// Reads the manifest of a data directory; none when it is new. Errors: [`Error`].
    pub fn read(data: &Path) -> Result<Option<Self>, Error> {
        let path = data.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { act: "read", path, source }),
        };
        let damaged = |what: String| Error::Damaged { path: path.clone(), what };
        let written: Written = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if written.format != FORMAT {
            return Err(Error::Format { path, format: written.format });
        }
        let id = u128::from_str_radix(&written.timeline_id, 16);
        let id = id.map_err(|_| damaged("the timeline's id is not hexadecimal".into()))?;
        let is_good =
            (1..=4096).contains(&written.shards) && (1..=u64::from(u32::MAX)).contains(&written.timeline);
        if !is_good {
            return Err(damaged("a number is out of its range".into()));
        }
        let timeline = Timeline { number: written.timeline, id: id.to_be_bytes() };
        Ok(Some(Self { shards: written.shards, timeline, is_restoring: written.restoring }))
    }

    /// Writes it, durably and as a whole. Errors: [`Error::File`].
    pub fn write(&self, data: &Path) -> Result<(), Error> {
        let path = data.join(FILE);
        let next = path.with_extension("json.next");
        let written = Written {
            format: FORMAT,
            shards: self.shards,
            timeline: self.timeline.number,
            timeline_id: format!("{:032x}", u128::from_be_bytes(self.timeline.id)),
            restoring: self.is_restoring,
        };
        let mut text = serde_json::to_vec(&written).expect("it is plain data");
        text.push(b'\n');
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(data)?.sync_all()
        };
        write().map_err(|source| Error::File { act: "write", path: path.clone(), source })
    }

    /// The number of the line of history.
    pub fn timeline_number(&self) -> u32 {
        u32::try_from(self.timeline.number).expect("reading has checked it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), None);
        let manifest =
            Manifest { shards: 16, timeline: Timeline { number: 2, id: [7; 16] }, is_restoring: true };
        manifest.write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), Some(manifest));
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        for (from, to, says) in [
            ("\"format\":1", "\"format\":9", "is of format 9"),
            ("\"shards\":16", "\"shards\":0", "out of its range"),
            ("\"timeline\":2", "\"timeline\":0", "out of its range"),
            ("0707", "07x7", "not hexadecimal"),
            ("{", "", "is damaged"),
        ] {
            fs::write(folder.path().join(FILE), text.replacen(from, to, 1)).unwrap();
            let error = Manifest::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
