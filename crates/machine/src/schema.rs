//! JSON Schema 2020-12 for the documents of a collection: what they must be, and how that may change.
//!
//! Whoever writes a schema makes others pay for its checks, so a schema is bounded when it is parsed: its length, what
//! of it applies to one value with all references followed, its patterns, which match in linear time. A check of a
//! document takes steps, of which there are as many as the document's length gives; one that needs more is refused. References
//! stay within the schema: nothing is ever fetched.
//!
//! `format`, `contentEncoding` and `contentMediaType` are annotations, as the dialect has them by default: they refuse
//! nothing. Numbers that are whole and have 64 bits are compared exactly, all others as the nearest double: a
//! document keeps its digits, and a bound does not see those beyond the sixteenth. A number beyond the range of doubles, such as
//! `1e400`, is a violation.
//!
//! Sources: <https://json-schema.org/draft/2020-12/json-schema-core>,
//! <https://json-schema.org/draft/2020-12/json-schema-validation>.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use mainstay_base::error::{Classify, Code};
use serde_json::Value;

use crate::json;
use crate::text::shown;

mod carried;
mod compatible;
mod defaults;
mod document;
mod evolution;
mod metered;

mod step;
mod structure;
mod violation;
mod written;

pub use compatible::{Compatibility, Direction, Finding, Incompatible, compatible, follows};
pub use evolution::{Evolution, EvolutionError, Renames};
pub use step::Step;
pub use violation::{Invalid, Violation};

pub(crate) use step::upgrade;

use defaults::Defaults;
use document::Tree;
use metered::{Meter, Metered, Node};
use structure::Structure;

/// A JSON Schema that was checked and compiled. Cloning shares it.
///
/// Two are equal when their texts are as JSON: the order of members and the space between them do not matter.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    source: Value,
    structure: Structure,
    defaults: Defaults,
    validator: Validator<Metered>,
}

/// A text that is not a schema, or one that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is too long.
    #[error("the schema has {bytes} bytes, and at most {} are allowed: make it smaller", Schema::BYTES_MAX)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON.
    #[error("the schema is not taken as JSON: {0}")]
    Json(#[from] json::Error),
    /// It is JSON that cannot be a schema's: a number is out of range, or it is nested as deep as a document may be.
    #[error("the schema cannot be read: {reason}")]
    Unreadable {
        /// What is wrong.
        reason: String,
    },
    /// It is of another dialect.
    #[error(
        "the schema has the dialect {}: write it for {}, and leave $schema out or say so there",
        shown(.dialect),
        Schema::DIALECT
    )]
    Dialect {
        /// What `$schema` says.
        dialect: String,
    },
    /// A reference leads elsewhere.
    #[error(
        "the schema refers to {} at {pointer:?}: only references within the schema are followed, such as \
         \"#/$defs/address\", so put what it refers to under $defs",
        shown(.reference)
    )]
    Reference {
        /// The place in the schema.
        pointer: String,
        /// The reference.
        reference: String,
    },
    /// A part of it is wrong.
    #[error("the schema is wrong at {pointer:?}: {reason}")]
    Invalid {
        /// The place in the schema, as a JSON Pointer.
        pointer: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Schema {
    /// The longest schema, in bytes.
    pub const BYTES_MAX: usize = 256 << 10;

    /// What `$schema` says, if anything.
    pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

    /// How many bytes a pattern may take when it is compiled.
    const PATTERN_BYTES_MAX: usize = 1 << 20;

    /// Parses and compiles a schema. Errors: [`Error`]. Cost: some microseconds for each subschema.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > Self::BYTES_MAX {
            return Err(Error::TooLong { bytes: text.len() });
        }
        json::check(text.as_bytes())?;
        let source: Value =
            serde_json::from_str(text).map_err(|error| Error::Unreadable { reason: error.to_string() })?;
        let structure = Structure::of(&source)?;
        let validator = compile(&source)?;
        let defaults = Defaults::of(&source, &structure)?;
        Ok(Self(Arc::new(Compiled { source, structure, defaults, validator })))
    }

    /// The schema as it was written, as JSON.
    pub fn source(&self) -> &Value {
        &self.0.source
    }

    /// Checks a document. Errors: [`Invalid`], with the first violations.
    ///
    /// The document must have been checked by [`json::check`]. Cost: at most 200,000 steps and 32 for each byte of
    /// the document, a step taking some tens of nanoseconds; twice as many when the document is not valid.
    pub fn check(&self, document: &[u8]) -> Result<(), Invalid> {
        let tree = Tree::read(document).map_err(Invalid::from)?;
        let meter = Meter::new(document.len(), self.0.structure.prices());
        let root = Node::new(&tree, &meter);
        let is_valid = self.0.validator.is_valid(root);
        if meter.is_spent() {
            return Err(Violation::too_dear().into());
        }
        if is_valid {
            return Ok(());
        }
        meter.refill();
        Err(Invalid::collect(self.0.validator.iter_errors(root), &meter))
    }
}

fn compile(source: &Value) -> Result<Validator<Metered>, Error> {
    let patterns = PatternOptions::regex()
        .size_limit(Schema::PATTERN_BYTES_MAX)
        .dfa_size_limit(Schema::PATTERN_BYTES_MAX);
    let options = jsonschema::options_for::<Metered>()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(false)
        .with_pattern_options(patterns)
        .offline();
    options.build(source).map_err(|error| Error::Invalid {
        pointer: error.instance_path().to_string(),
        reason: violation::reason(error.kind()),
    })
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Schema {}

impl Debug for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.0.source).finish()
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::TooLong { .. } => Code::TooLarge,
            Self::Json(error) => error.code(),
            _ => Code::Invalid,
        }
    }
}

#[cfg(test)]
mod tests;
