//! Routes and services by name, as files and callers of the API have defined them, with what they were.
//!
//! A change makes another book, which counts once it is kept and in force; until then nothing has happened. A name belongs to whoever defined it: what a file says
//! is changed there, a file that says a name takes it over, and what is taken out of the file is retired. Pure: time comes with the change, and text in and out is somebody else's to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_base::time::Timestamp;
use mainstay_machine::Version;
use mainstay_machine::definition::{Origin, Source};
use mainstay_upstream::Config as Service;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{Definitions, Route, written_service};

mod change;
mod error;
mod kept;
mod text;

pub use change::{Change, Changed, What};
pub use error::Error;
pub use text::TextError;

use kept::Kept;

/// What is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A route.
    Route,
    /// A service.
    Service,
}

/// What a definition says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A route.
    Route(Box<Route>),
    /// A service; its name is beside it.
    Service(Box<Service>),
}

/// A definition as of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What is defined.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The version. All definitions count their changes together.
    pub version: Version,
    /// When it was given.
    pub changed: Timestamp,
    /// Where it was said.
    pub origin: Origin,
    /// It is not in force from this version on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// What it says beyond its name; what it said last if it is retired.
    pub definition: Map<String, Value>,
}

/// All definitions. Clones share what has not changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    /// The number of the last change.
    sequence: u64,
    /// The versions of each name, the latest last; never none.
    entries: BTreeMap<(Kind, Name), Vec<Arc<Record>>>,
    /// What was answered to idempotency keys, the latest last.
    kept: Vec<Kept>,
}

/// A definition of a file: what it is, its name, what it says, and where that is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What it says.
    pub definition: Map<String, Value>,
    /// Where.
    pub source: Source,
}

/// The versions of a name that are kept at most.
pub const HISTORY_MAX: usize = 100;
/// The bytes of earlier versions that are kept at most, of all names together; the oldest go first.
const HISTORY_BYTES_MAX: usize = 4 << 20;
/// The line of history that versions are of. There is no other: a book is not restored from backups.
const TIMELINE: u32 = 1;

impl Kind {
    /// The word for one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Service => "service",
        }
    }

    /// The word for several, as in paths and configurations.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Service => "services",
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Said {
    /// Reads what a definition says beyond its name. Errors: it is no definition of this kind.
    pub fn read(kind: Kind, name: &Name, members: Map<String, Value>) -> Result<Self, serde_json::Error> {
        match kind {
            Kind::Route => {
                let named = [("name".to_owned(), Value::from(name.as_str()))].into_iter().chain(members);
                serde_json::from_value(Value::Object(named.collect())).map(Self::Route)
            }
            Kind::Service => serde_json::from_value(Value::Object(members)).map(Self::Service),
        }
    }

    /// What it says beyond its name, without defaults.
    pub fn written(&self) -> Map<String, Value> {
        match self {
            Self::Route(route) => route.written(),
            Self::Service(service) => written_service(service),
        }
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Route(_) => Kind::Route,
            Self::Service(_) => Kind::Service,
        }
    }
}

impl Record {
    /// Whether a caller of the API said it.
    pub const fn is_of_api(&self) -> bool {
        matches!(self.origin, Origin::Api { .. })
    }

    /// How much it takes, about.
    fn bytes(&self) -> usize {
        /// What is around a value.
        const PART_BYTES: usize = 128;
        fn of(value: &Value) -> usize {
            match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => 8,
                Value::String(text) => text.len(),
                Value::Array(all) => all.iter().map(of).sum(),
                Value::Object(members) => members.iter().map(|(key, value)| key.len() + of(value)).sum(),
            }
        }
        PART_BYTES + self.definition.iter().map(|(key, value)| key.len() + of(value)).sum::<usize>()
    }
}

impl Book {
    /// The definition of this name as it is now; retired ones too.
    pub fn get(&self, kind: Kind, name: &Name) -> Option<&Arc<Record>> {
        self.history(kind, name).last()
    }

    /// All that are in force, by name.
    pub fn in_force(&self, kind: Kind) -> impl Iterator<Item = &Arc<Record>> {
        let of_kind = self.entries.iter().filter(move |((known, _), _)| *known == kind);
        of_kind.filter_map(|(_, versions)| versions.last()).filter(|record| !record.retired)
    }

    /// What a definition was, all that is kept, the latest last; nothing if it never was.
    pub fn history(&self, kind: Kind, name: &Name) -> &[Arc<Record>] {
        self.entries.get(&(kind, name.clone())).map_or(&[], Vec::as_slice)
    }

    /// These definitions of a file with those of the API. Errors: the name of one that this program cannot read, and why.
    pub fn merged(&self, file: &Definitions) -> Result<Definitions, Error> {
        let mut merged = file.clone();
        for kind in [Kind::Service, Kind::Route] {
            for record in self.in_force(kind).filter(|record| record.is_of_api()) {
                let said = Said::read(kind, &record.name, record.definition.clone()).map_err(|error| {
                    Error::Unreadable { kind, name: record.name.clone(), reason: error.to_string() }
                })?;
                match said {
                    Said::Route(route) => merged.routes.push(*route),
                    Said::Service(service) => drop(merged.services.insert(record.name.clone(), *service)),
                }
            }
        }
        Ok(merged)
    }

    /// The book after what files say: what they say is theirs, and what they said and do not any more is retired. None if nothing has changed.
    pub fn declare(&self, said: &BTreeMap<(Kind, Name), Declared>, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let version = Version { timeline: TIMELINE, sequence: self.sequence + 1 };
        for ((kind, name), Declared { definition, source }) in said {
            let origin = Origin::File(source.clone());
            match self.get(*kind, name).filter(|record| !record.retired) {
                Some(served) if served.definition == *definition && served.origin == origin => {}
                Some(served) if served.definition == *definition => {
                    // The same in another place, which is no change to those who use it.
                    let moved = Record { origin, ..Record::clone(served) };
                    let versions = next.entries.get_mut(&(*kind, name.clone())).expect("it is served");
                    *versions.last_mut().expect("there is one") = Arc::new(moved);
                }
                _ => {
                    let (kind, name, definition) = (*kind, name.clone(), definition.clone());
                    next.push(Record {
                        kind,
                        name,
                        version,
                        changed: now,
                        origin,
                        retired: false,
                        definition,
                    });
                }
            }
        }
        let said: BTreeSet<_> = said.keys().collect();
        let unsaid = self.entries.iter().filter(|(key, _)| !said.contains(key));
        let unsaid = unsaid.filter_map(|(_, versions)| versions.last());
        for record in unsaid.filter(|record| !record.retired && !record.is_of_api()) {
            next.push(Record { version, changed: now, retired: true, ..Record::clone(record) });
        }
        next.trim();
        (next.entries != self.entries).then_some(next)
    }

    fn push(&mut self, record: Record) {
        self.sequence = record.version.sequence;
        let versions = self.entries.entry((record.kind, record.name.clone())).or_default();
        versions.push(Arc::new(record));
        let beyond = versions.len().saturating_sub(HISTORY_MAX);
        versions.drain(..beyond);
    }

    /// Forgets the oldest versions that are not in force, as far as all together take too much.
    fn trim(&mut self) {
        let is_past =
            |versions: &[Arc<Record>], place: usize| place + 1 < versions.len() || versions[place].retired;
        let all = self.entries.values().flat_map(|versions| {
            let past = versions.iter().enumerate().filter(|(place, _)| is_past(versions, *place));
            past.map(|(_, record)| (record.version, record.bytes()))
        });
        let mut past: Vec<_> = all.collect();
        let mut bytes: usize = past.iter().map(|(_, bytes)| bytes).sum();
        if bytes <= HISTORY_BYTES_MAX {
            return;
        }
        past.sort_unstable();
        let mut after = None;
        for (version, more) in past {
            if bytes <= HISTORY_BYTES_MAX {
                break;
            }
            bytes -= more;
            after = Some(version);
        }
        self.entries.retain(|_, versions| {
            let last = versions.len() - 1;
            let mut place = 0;
            versions.retain(|record| {
                let is_in_force = place == last && !record.retired;
                place += 1;
                is_in_force || Some(record.version) > after
            });
            !versions.is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
