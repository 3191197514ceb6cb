//! A change that a caller asks for.

use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::Version;
use mainstay_machine::command::Expected;
use mainstay_machine::definition::Origin;
use serde_json::{Map, Value};

use super::kept::{Found, Kept};
use super::{Book, Error, Kind, Record, Said, TIMELINE};

/// A change of one definition, as a caller asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is defined.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// What becomes of it.
    pub what: What,
    /// What must hold before.
    pub expected: Expected,
    /// Who asks.
    pub caller: String,
    /// Makes it safe to send again.
    pub idempotency_key: Option<String>,
}

/// What becomes of a definition.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// It says this from now on.
    Put(Said),
    /// It is not in force any more.
    Retire,
    /// It says what it said as of this version, in force or not.
    Rollback(Version),
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The book after it.
    pub book: Book,
    /// The definition after it.
    pub record: Arc<Record>,
    /// Whether there was none in force before.
    pub is_new: bool,
    /// Whether anything about it is another than before.
    pub is_change: bool,
    /// Whether that was answered before, to a request with the same key.
    pub is_replayed: bool,
}

impl Change {
    /// The longest definition, in bytes of JSON.
    pub const DEFINITION_BYTES_MAX: usize = 64 << 10;
    /// How many of a kind the API may have in force.
    pub const NAMES_MAX: usize = 1_024;

    /// What tells whether two requests with one idempotency key are the same request.
    pub(super) fn fingerprint(&self) -> String {
        let what = match &self.what {
            What::Put(said) => Value::Object(said.written()),
            What::Retire => Value::from("retire"),
            What::Rollback(to) => Value::from(format!("rollback {to}")),
        };
        let expected = match &self.expected {
            Expected::Anything => String::new(),
            Expected::Absent => "absent".to_owned(),
            Expected::Present => "present".to_owned(),
            Expected::Version(version) => version.to_string(),
            Expected::Impossible => "impossible".to_owned(),
        };
        let text = serde_json::json!([what, expected]).to_string();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Book {
    /// What a change comes to, judged by this book alone: whether definitions go together is for whoever puts them in force. What was answered to a key is answered again for `keep`. Errors:
    /// [`Error`].
    pub fn change(&self, change: &Change, now: Timestamp, keep: Duration) -> Result<Changed, Error> {
        let Change { kind, name, .. } = change;
        let current = self.get(*kind, name);
        if let Some(key) = &change.idempotency_key {
            match Kept::find(&self.kept, change, key, (now, keep)) {
                Found::Nothing => {}
                Found::Mismatch => return Err(Error::Mismatch),
                Found::Replay(kept) => {
                    let versions = self.history(*kind, name).iter();
                    let then = versions.rev().find(|record| record.version <= kept.version).or(current);
                    let record = then.cloned().ok_or_else(|| Error::missing(change, None))?;
                    let (book, is_new) = (self.clone(), kept.is_new);
                    return Ok(Changed { book, record, is_new, is_change: false, is_replayed: true });
                }
            }
        }
        let served = current.filter(|record| !record.retired);
        expect(change, served)?;
        if let Some(Record { origin: Origin::File(source), .. }) = served.map(AsRef::as_ref) {
            return Err(Error::OwnedByFile { kind: *kind, name: name.clone(), written: source.clone() });
        }
        let next = self.next(change)?;
        let (mut book, is_change) = (self.clone(), next.as_ref() != served.map(|it| &it.definition));
        if is_change {
            book.push(self.record(change, next, now)?);
            book.trim();
        }
        let record = book.get(*kind, name).cloned().ok_or_else(|| Error::missing(change, None))?;
        if served.is_none() && record.retired {
            return Err(Error::missing(change, Some(&record)));
        }
        let is_new = served.is_none();
        if let Some(key) = &change.idempotency_key {
            Kept::keep(&mut book.kept, Kept::of(change, key, (record.version, is_new), now), (now, keep));
        }
        Ok(Changed { book, record, is_new, is_change, is_replayed: false })
    }

    /// What it would say; nothing if it would be retired.
    fn next(&self, change: &Change) -> Result<Option<Map<String, Value>>, Error> {
        let Change { kind, name, what, .. } = change;
        match what {
            What::Put(said) => Ok(Some(said.written())),
            What::Retire => Ok(None),
            What::Rollback(to) => {
                let found = self.history(*kind, name).iter().find(|record| record.version == *to);
                let missing = || Error::NoVersion { kind: *kind, name: name.clone(), version: *to };
                let found = found.ok_or_else(missing)?;
                Ok((!found.retired).then(|| found.definition.clone()))
            }
        }
    }

    fn record(
        &self,
        change: &Change,
        next: Option<Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Record, Error> {
        let (kind, name) = (change.kind, change.name.clone());
        let version = Version { timeline: TIMELINE, sequence: self.sequence + 1 };
        let origin = Origin::Api { caller: change.caller.clone() };
        let retired = next.is_none();
        let last = || self.get(kind, &name).map(|record| record.definition.clone());
        let definition = next.or_else(last).ok_or_else(|| Error::missing(change, None))?;
        let record = Record { kind, name, version, changed: now, origin, retired, definition };
        if retired {
            return Ok(record);
        }
        let bytes = Value::Object(record.definition.clone()).to_string().len();
        if bytes > Change::DEFINITION_BYTES_MAX {
            return Err(Error::TooLarge { kind, name: record.name, bytes });
        }
        let others = self.in_force(kind).filter(|other| other.is_of_api() && other.name != record.name);
        if others.count() >= Change::NAMES_MAX {
            return Err(Error::Full { kind });
        }
        Ok(record)
    }
}

fn expect(change: &Change, served: Option<&Arc<Record>>) -> Result<(), Error> {
    let found = served.map(|record| record.version);
    let why = match (change.expected, found) {
        (Expected::Anything, _) | (Expected::Absent, None) | (Expected::Present, Some(_)) => return Ok(()),
        (Expected::Version(wanted), Some(found)) if wanted == found => return Ok(()),
        (Expected::Version(wanted), Some(found)) => format!("has version {found}, not {wanted}"),
        (Expected::Impossible, _) => "cannot be both there and not".to_owned(),
        (Expected::Absent, Some(_)) => "is there".to_owned(),
        (Expected::Present | Expected::Version(_), None) => "is not there".to_owned(),
    };
    Err(Error::Condition { kind: change.kind, name: change.name.clone(), why, found })
}
