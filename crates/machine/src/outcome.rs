//! What became of a command: committed with a result for each operation, or refused with the reason.
//!
//! Both are kept for idempotency keys, so both have a stable encoding.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use mainstay_base::error::{Classify, Code};
use mainstay_base::problem::Problem;
use serde_json::Value;

use crate::codec::{Error, Reader, put_sized, put_varint};
use crate::version::Version;

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All of it happened: one result for each operation.
    Committed(Vec<OperationResult>),
    /// Nothing of it happened.
    Refused(Box<Refusal>),
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationResult {
    /// The version that it gave its item; none when it left none.
    pub version: Option<Version>,
    /// Whether the item was there before the operation.
    pub existed: bool,
}

/// Why nothing of a command happened.
///
/// Encoded as the code's word, the detail and the facts as a JSON object, each after its length.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    code: Code,
    detail: String,
    facts: BTreeMap<String, Value>,
}

const COMMITTED: u8 = 0;
const REFUSED: u8 = 1;

const HAS_VERSION: u8 = 1;
const EXISTED: u8 = 2;

impl Outcome {
    /// Committed: the tag 0, the timeline and the sequence of the commit (varints, 0 when no item was written),
    /// the number of results (varint) and a byte of flags for each. All items of a commit have the commit's version.
    ///
    /// Refused: the tag 1 and the refusal.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Committed(results) => {
                out.push(COMMITTED);
                let version = results.iter().find_map(|result| result.version);
                put_varint(out, version.map_or(0, |version| version.timeline.into()));
                put_varint(out, version.map_or(0, |version| version.sequence));
                put_varint(out, results.len() as u64);
                out.extend(results.iter().map(|result| {
                    assert!(
                        result.version.is_none() || result.version == version,
                        "a commit has one version"
                    );
                    let has_version = if result.version.is_some() { HAS_VERSION } else { 0 };
                    has_version | if result.existed { EXISTED } else { 0 }
                }));
            }
            Self::Refused(refusal) => {
                out.push(REFUSED);
                put_sized(out, refusal.code.as_str().as_bytes());
                put_sized(out, refusal.detail.as_bytes());
                let facts = serde_json::to_vec(&refusal.facts).expect("facts are JSON values");
                put_sized(out, &facts);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.u8()? {
            COMMITTED => {
                let timeline = reader.varint()?;
                let timeline =
                    u32::try_from(timeline).map_err(|_| reader.field("the timeline is too large"))?;
                let version = Version { timeline, sequence: reader.varint()? };
                let count = reader.varint()?;
                if count > reader.left() as u64 {
                    return Err(reader.field("there are more results than bytes"));
                }
                let results = (0..count).map(|_| {
                    let flags = reader.u8()?;
                    if flags & !(HAS_VERSION | EXISTED) != 0 {
                        return Err(reader.field("a result has unknown flags"));
                    }
                    let version = (flags & HAS_VERSION != 0).then_some(version);
                    Ok(OperationResult { version, existed: flags & EXISTED != 0 })
                });
                results.collect::<Result<_, _>>().map(Self::Committed)
            }
            REFUSED => {
                let word = reader.text()?;
                let code = Code::ALL.into_iter().find(|code| code.as_str() == word);
                let code = code.ok_or_else(|| reader.field("there is no such code"))?;
                let detail = reader.text()?.to_owned();
                let facts = serde_json::from_slice(&reader.sized()?)
                    .map_err(|_| reader.field("the facts are not a JSON object"))?;
                Ok(Self::Refused(Box::new(Refusal { code, detail, facts })))
            }
            _ => Err(reader.field("there is no such outcome")),
        }
    }
}

impl Refusal {
    /// A refusal without facts. The detail names the thing, the limit and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), facts: BTreeMap::new() }
    }

    /// Adds a fact for programs. Panics when a problem document has a member of this name: that is a defect.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        assert!(!Problem::STANDARD_MEMBERS.contains(&name), "a fact would overwrite the member {name:?}");
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The explanation for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The facts by name.
    pub fn facts(&self) -> &BTreeMap<String, Value> {
        &self.facts
    }
}

impl Classify for Refusal {
    fn code(&self) -> Code {
        self.code
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.code, refusal.detail);
        // Facts that were read back from a row might bear a name that a newer program gave them.
        let facts =
            refusal.facts.into_iter().filter(|(name, _)| !Self::STANDARD_MEMBERS.contains(&name.as_str()));
        facts.fold(problem, |problem, (name, value)| problem.fact(name, value))
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
