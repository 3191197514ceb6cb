//! Backups of the node's shards: where they are kept, what they are called, and that one is taken at a time.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::id::Name;
use mainstay_base::time::{Clock, Timestamp};
use mainstay_base::units::Size;
use mainstay_shard::backup::{self, Backup};
use mainstay_shard::snapshot::location::Location;
use mainstay_shard::space::Space;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::config::Config;
use crate::shards;

/// The backups of a node that is up.
pub struct Backups {
    to: Location,
    place: String,
    rate: Size,
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    /// Held while one is taken.
    taking: Mutex<()>,
}

/// A backup and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name below the place of all backups.
    pub name: String,
    /// The place of all backups.
    pub place: String,
    /// What it is.
    pub backup: Backup,
}

/// A backup that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another one is.
    #[error("a backup is being taken: wait until it is done")]
    Busy,
    /// It failed.
    #[error(transparent)]
    Backup(#[from] backup::Error),
}

impl Backups {
    /// The backups at the place that is configured. Errors: it cannot be used.
    pub fn new(config: &Config, space: &Arc<Space>, clock: &Arc<dyn Clock>) -> Result<Self, shards::Error> {
        let place = config.backups_to();
        Ok(Self {
            to: shards::location("backups.to", &place, config)?,
            place: place.to_string(),
            rate: config.snapshots.rate_max,
            space: Arc::clone(space),
            clock: Arc::clone(clock),
            taking: Mutex::new(()),
        })
    }

    /// Takes one; without a name it is called by the time. Errors: [`Error`].
    pub async fn take(&self, name: Option<Name>) -> Result<Named, Error> {
        let _taking = self.taking.try_lock().map_err(|_| Error::Busy)?;
        let name = name.map_or_else(|| by_time(self.clock.wall()), |name| name.as_str().to_owned());
        let to = self.to.below(&name);
        let backup = backup::take(&self.space, &to, Some(self.rate), &*self.clock).await?;
        tracing::info!(target: "mainstay::shard", name, place = self.place, cut = %backup.cut.time, "backup taken");
        Ok(Named { name, place: self.place.clone(), backup })
    }

    /// All of them, by name. Errors: [`Error`].
    pub async fn list(&self) -> Result<Vec<Named>, Error> {
        let all = backup::list(&self.to).await?.into_iter();
        Ok(all.map(|(name, backup)| Named { name, place: self.place.clone(), backup }).collect())
    }
}

/// Such as `2026-11-28t06-30-00z`: names have no colons and no capitals.
fn by_time(now: Timestamp) -> String {
    let text = now.to_string().to_lowercase().replace(':', "-");
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}z"),
        None => text,
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Busy => Code::Conflict,
            Self::Backup(error) => error.code(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Busy => Code::Unavailable.retry(),
            Self::Backup(error) => error.retry(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_called_by_its_second() {
        for micros in [1_767_225_600_000_000, 1_767_225_600_250_000] {
            let name = by_time(Timestamp::from_micros(micros));
            assert_eq!(name, "2026-01-01t00-00-00z");
            assert!(name.parse::<Name>().is_ok());
        }
    }
}
