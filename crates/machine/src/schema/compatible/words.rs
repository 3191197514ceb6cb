//! How findings are worded: what changed, and who is hurt by it.

use super::Direction;

/// What stands against a containment.
pub(super) enum Change<'t> {
    /// A limit or a set became narrower, going forward.
    Narrower { keyword: &'t str, limit: String },
    /// A keyword has something to say where nothing of the kind is known.
    Added { keyword: &'t str, limit: String },
    /// A member is required.
    Required,
    /// A member is required when another is there.
    RequiredWith { other: &'t str },
    /// A type is not allowed.
    Type,
    /// Values are not allowed.
    Values,
    /// Nothing is allowed here.
    Forbidden,
    /// A member that may be there may be anything.
    OpenMember,
    /// Members without a name in the schema may be anything.
    OpenMembers,
    /// None of the alternatives takes what was allowed.
    Alternatives { keyword: &'t str },
    /// It cannot be decided.
    Undecided { keyword: &'t str },
    /// There are too many comparisons.
    TooLarge,
}

impl Change<'_> {
    pub(super) fn reason(&self, direction: Direction) -> String {
        match direction {
            Direction::Backward => self.backward(),
            Direction::Forward => self.forward(),
        }
    }

    /// The wide schema is the new version.
    fn backward(&self) -> String {
        match self {
            Self::Narrower { keyword, limit } => {
                format!("{keyword} became {limit}, which is narrower, and documents written before may go beyond it")
            }
            Self::Added { keyword, limit } => {
                format!("{keyword} {limit} was added, and documents written before may not keep to it")
            }
            Self::Required => "became required, and documents written before may lack it".to_owned(),
            Self::RequiredWith { other } => {
                format!("became required beside {other:?}, and documents written before may lack it")
            }
            Self::Type => "a type is no longer allowed, and documents written before may have it".to_owned(),
            Self::Values => "a value is no longer allowed, and documents written before may have it".to_owned(),
            Self::Forbidden => "is no longer allowed, and documents written before may have it".to_owned(),
            Self::OpenMember => {
                "has a schema now, and documents written before may have anything there: the version before did not say what it is, nor additionalProperties: false".to_owned()
            }
            Self::OpenMembers => {
                "members without a name in the schema became restricted, and documents written before may have others".to_owned()
            }
            Self::Alternatives { keyword } => {
                format!("no alternative of {keyword} can be shown to take all that was allowed, and documents written before may have it")
            }
            Self::Undecided { keyword } => undecided(&format!("{keyword} changed"), "documents written before stay valid"),
            Self::TooLarge => undecided("the schemas take too many comparisons", "documents written before stay valid"),
        }
    }

    /// The wide schema is the last version.
    fn forward(&self) -> String {
        match self {
            Self::Narrower { keyword, limit } => {
                format!(
                    "{keyword} is wider than {limit} now, and readers of the version before refuse what goes beyond that"
                )
            }
            Self::Added { keyword, limit } => {
                format!(
                    "{keyword} {limit} was removed, and readers of the version before refuse what does not keep to it"
                )
            }
            Self::Required => "is no longer required, and readers of the version before need it".to_owned(),
            Self::RequiredWith { other } => {
                format!("is no longer required beside {other:?}, and readers of the version before need it")
            }
            Self::Type => "a type was added, and readers of the version before refuse it".to_owned(),
            Self::Values => "a value was added, and readers of the version before refuse it".to_owned(),
            Self::Forbidden => "is allowed now, and readers of the version before refuse it".to_owned(),
            Self::OpenMember => {
                "may be anything now, and readers of the version before have a schema for it".to_owned()
            }
            Self::OpenMembers => {
                "members without a name in the version before are allowed now, and its readers refuse them"
                    .to_owned()
            }
            Self::Alternatives { keyword } => {
                format!(
                    "no alternative of {keyword} can be shown to take all that is allowed now, and readers of the version before may refuse it"
                )
            }
            Self::Undecided { keyword } => {
                undecided(&format!("{keyword} changed"), "readers of the version before accept new documents")
            }
            Self::TooLarge => undecided(
                "the schemas take too many comparisons",
                "readers of the version before accept new documents",
            ),
        }
    }
}

fn undecided(what: &str, promise: &str) -> String {
    format!(
        "{what}, and it cannot be shown that {promise}: use compatibility none, or keep this part as it is"
    )
}
