//! Why a body is not taken.

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::Size;

use super::config::Coding;

/// Why a client's body is refused; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is longer than a body may be.
    #[error("the body is longer than {max}, the most that is taken here: send less, or in parts")]
    Long {
        /// The limit.
        max: Size,
    },
    /// It is longer than it may be when it is decoded.
    #[error(
        "the body is longer than {max} when it is decoded, the most that is taken here: send less, or in parts"
    )]
    Expanded {
        /// The limit.
        max: Size,
    },
    /// It is too many times as long when it is decoded.
    #[error(
        "the body is more than {max} times as long when it is decoded: send it with a weaker compression, or with none"
    )]
    Ratio {
        /// The limit.
        max: u32,
    },
    /// It has another coding than those that are undone, or several.
    #[error(
        "the body has the content coding {named:?}, which is not taken here: send it with one of {ACCEPTED}, or with none"
    )]
    Unsupported {
        /// What `Content-Encoding` says, as far as it is shown.
        named: Box<str>,
    },
    /// It is not what its coding says.
    #[error("the body is no valid {}: code it again", coding.as_str())]
    Corrupt {
        /// The coding.
        coding: Coding,
    },
    /// It ends before its coding does.
    #[error("the body ends before its {} does: send it whole", coding.as_str())]
    Truncated {
        /// The coding.
        coding: Coding,
    },
    /// Something follows what is coded.
    #[error("the body goes on after the end of its {} with what is none: leave it out", coding.as_str())]
    Trailing {
        /// The coding.
        coding: Coding,
    },
    /// It cannot be decoded in the memory that HTTP's use of zstd has (RFC 9659).
    #[error("the body's zstd has a window of more than 8MiB: code it with a smaller one")]
    Window,
}

/// What is taken, as `Accept-Encoding` lists it.
const ACCEPTED: &str = "zstd, br, gzip";

impl Refusal {
    /// What the answer's `Accept-Encoding` says where this is for the coding itself (RFC 9110, section 15.5.16).
    pub const fn accept_encoding(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { .. } => Some(ACCEPTED),
            _ => None,
        }
    }
}

impl Classify for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::Long { .. } | Self::Expanded { .. } | Self::Ratio { .. } => Code::TooLarge,
            Self::Unsupported { .. } => Code::UnsupportedMediaType,
            Self::Corrupt { .. } | Self::Truncated { .. } | Self::Trailing { .. } | Self::Window => {
                Code::Malformed
            }
        }
    }
}

/// What a client's body ends with instead of its end.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// What the inner body ended with.
    #[error(transparent)]
    Body(E),
    /// It is refused.
    #[error(transparent)]
    Refused(Refusal),
}

impl<E> Error<Error<E>> {
    /// Of a body within a body that are both of this module: the error of either.
    pub fn flatten(self) -> Error<E> {
        match self {
            Self::Body(inner) => inner,
            Self::Refused(refusal) => Error::Refused(refusal),
        }
    }
}

impl<E: Classify> Classify for Error<E> {
    fn code(&self) -> Code {
        match self {
            Self::Body(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Body(error) => error.retry(),
            Self::Refused(refusal) => refusal.retry(),
        }
    }
}
