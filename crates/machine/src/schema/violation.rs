//! What is wrong with a document, for people: the place, the keyword, and what would be right.
//!
//! Messages do not repeat values of the document, and are cut when the schema's own are long.

use std::fmt::{self, Display, Formatter};

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use mainstay_base::error::{Classify, Code};

use super::metered::Meter;
use crate::text::shown;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The place in the document, as a JSON Pointer; empty for all of it. Cut after [`Violation::POINTER_CHARS_MAX`] characters.
    pub pointer: String,
    /// The place of the keyword in the schema, as a JSON Pointer; cut likewise.
    pub schema_pointer: String,
    /// The keyword, such as `required`.
    pub keyword: String,
    /// What is wrong, in at most [`Violation::MESSAGE_CHARS_MAX`] characters.
    pub message: String,
}

/// A document that is not valid: some violations, sorted by their pointers, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// At least one, and at most [`Invalid::VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// How many more were found.
    pub more: usize,
    /// Whether all were found: a check ends when it has found some thousand, or takes too many steps.
    pub is_complete: bool,
}

impl Violation {
    /// The longest message, in characters.
    pub const MESSAGE_CHARS_MAX: usize = 200;

    /// The longest pointer, in characters: names in documents can be long.
    pub const POINTER_CHARS_MAX: usize = 1000;

    /// A violation by the document as such.
    pub(super) fn whole(message: String) -> Self {
        Self { pointer: String::new(), schema_pointer: String::new(), keyword: String::new(), message }
    }

    /// The check takes too many steps.
    pub(super) fn too_dear() -> Self {
        Self::whole(
            "takes more steps to check than its length allows: make the schema's alternatives fewer, or tell them apart by type"
                .to_owned(),
        )
    }

    /// A number is beyond the range of doubles.
    pub(super) fn out_of_range(pointer: String) -> Self {
        let message =
            "is a number out of the range of doubles, which no schema can judge: write it as a string";
        Self { pointer: cut(pointer, Self::POINTER_CHARS_MAX), ..Self::whole(message.to_owned()) }
    }

    fn of(error: &ValidationError<'_>) -> Self {
        let schema_pointer = error.schema_path().to_string();
        let (_, last) = schema_pointer.rsplit_once('/').unwrap_or_default();
        let (keyword, message) = match error.kind() {
            Kind::FalseSchema if last == "additionalProperties" => {
                (last.to_owned(), "has members that are not allowed: none is".to_owned())
            }
            kind => (kind.keyword().to_owned(), reason(kind)),
        };
        let pointer = cut(error.instance_path().to_string(), Self::POINTER_CHARS_MAX);
        let schema_pointer = cut(schema_pointer, Self::POINTER_CHARS_MAX);
        Self { pointer, schema_pointer, keyword, message }
    }
}

impl Invalid {
    /// The most violations that are told one by one.
    pub const VIOLATIONS_MAX: usize = 32;

    pub(super) fn collect<'i>(errors: impl Iterator<Item = ValidationError<'i>>, meter: &Meter) -> Self {
        let is_complete = !meter.is_spent();
        let found = errors.filter(|error| error.instance().as_bool() != Some(true));
        let mut violations: Vec<Violation> = found.map(|error| Violation::of(&error)).collect();
        if violations.is_empty() {
            return Self { is_complete: false, ..Violation::too_dear().into() };
        }
        violations.sort();
        let more = violations.len().saturating_sub(Self::VIOLATIONS_MAX);
        violations.truncate(Self::VIOLATIONS_MAX);
        Self { violations, more, is_complete }
    }
}

impl From<Violation> for Invalid {
    fn from(violation: Violation) -> Self {
        Self { violations: vec![violation], more: 0, is_complete: true }
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place} {}", self.message)
    }
}

impl Display for Invalid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations.iter().enumerate() {
            write!(f, "{}{violation}", if index == 0 { "" } else { "; " })?;
        }
        match (self.more, self.is_complete) {
            (0, true) => Ok(()),
            (0, false) => f.write_str("; and perhaps more"),
            (more, true) => write!(f, "; and {more} more"),
            (more, false) => write!(f, "; and {more} more at least"),
        }
    }
}

impl Classify for Invalid {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

/// What is wrong, without the value that it is wrong with.
pub(super) fn reason(kind: &Kind) -> String {
    let reason = match kind {
        Kind::Type { kind: TypeKind::Single(one) } => format!("must be of type {one}"),
        Kind::Type { kind: TypeKind::Multiple(types) } => {
            let types: Vec<String> = types.iter().map(|one| one.to_string()).collect();
            format!("must be of type {}", types.join(" or "))
        }
        Kind::Required { property } => {
            format!("lacks the member {}", shown(property.as_str().unwrap_or_default()))
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<String> = unexpected.iter().take(8).map(|name| shown(name)).collect();
            format!("has members that are not allowed, {} in all: {}", unexpected.len(), names.join(", "))
        }
        Kind::AdditionalItems { limit } => format!("must have at most {limit} elements"),
        Kind::UnevaluatedItems { .. } => "has elements that are not allowed".to_owned(),
        Kind::Enum { options } => format!("must be one of {options}"),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be above {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be below {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have {limit} characters or more"),
        Kind::MaxLength { limit } => format!("must have {limit} characters or fewer"),
        Kind::Pattern { pattern } => format!("must match the pattern {}", shown(pattern)),
        Kind::MinItems { limit } => format!("must have {limit} elements or more"),
        Kind::MaxItems { limit } => format!("must have {limit} elements or fewer"),
        Kind::UniqueItems => "must not have an element twice".to_owned(),
        Kind::Contains => "has too few or too many of the elements that contains describes".to_owned(),
        Kind::MinProperties { limit } => format!("must have {limit} members or more"),
        Kind::MaxProperties { limit } => format!("must have {limit} members or fewer"),
        Kind::PropertyNames { error } => format!("has a member whose name {}", reason(error.kind())),
        Kind::AnyOf { context } => format!("must be valid under one of {} alternatives, and is under none", context.len()),
        Kind::OneOfNotValid { context } => {
            format!("must be valid under exactly one of {} alternatives, and is under none", context.len())
        }
        Kind::OneOfMultipleValid { context } => {
            format!("must be valid under exactly one of {} alternatives, and is under several", context.len())
        }
        Kind::Not { .. } => "must not be what the schema under not describes".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::Format { format } if format == "regex" => {
            "must be a regular expression that matches in linear time, without look-around and back-references, and takes at most 1 MiB when it is compiled".to_owned()
        }
        Kind::Format { format } => format!("must have the format {}", shown(format)),
        Kind::Referencing(error) => error.to_string(),
        Kind::Custom { message, .. } | Kind::RegexEngineFailure { message } => message.clone(),
        Kind::BacktrackLimitExceeded { error } => error.to_string(),
        Kind::ContentEncoding { .. } | Kind::ContentMediaType { .. } | Kind::FromUtf8 { .. } => {
            "must have the content that the schema names".to_owned()
        }
    };
    cut(reason, Violation::MESSAGE_CHARS_MAX)
}

/// The text, cut so that it has so many characters at most.
fn cut(mut text: String, chars_max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(chars_max - 1)
        && text[end..].chars().nth(1).is_some()
    {
        text.truncate(end);
        text.push('…');
    }
    text
}
