//! Requests for which what their route does cannot be done.

use mainstay_base::error::{Classify, Code};

use crate::routes::RenderError;

/// A request for which what its route does cannot be done. Nothing was sent to a service. Clients are told the field and what they can mend; the expression in it is told to
/// operators only, as the error's source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A text of the route cannot be made.
    #[error("`{field}` of the route cannot be made for this request: {}", outline(source))]
    Template {
        /// The field of the route.
        field: String,
        /// Why.
        source: RenderError,
    },
    /// The path that was made is too long together with the query.
    #[error("the path that `rewrite` makes is longer than {} bytes with its query: make the request's shorter", u16::MAX - 1)]
    TooLong,
    /// It is to be asked for over TLS again, and does not say of which host.
    #[error("the request has no host that it could be redirected to: send the header Host")]
    Host,
    /// A preflight by scripts of an origin that `cors` does not name.
    #[error("scripts of this origin may not use the route: add it to `cors.origins` if they shall")]
    Origin,
}

/// What a client is told: not what stands in the configuration.
fn outline(error: &RenderError) -> String {
    match error {
        RenderError::Failed { .. } | RenderError::Null { .. } => {
            "an expression in it has no result".to_owned()
        }
        RenderError::Path(_) | RenderError::Dots | RenderError::Host | RenderError::Control => {
            error.to_string()
        }
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Template { source, .. } => match source {
                // An expression is to be written so that it has a result for every request that its route takes.
                RenderError::Failed { .. } | RenderError::Null { .. } => Code::Internal,
                RenderError::Path(error) => error.code(),
                RenderError::Dots | RenderError::Host | RenderError::Control => Code::Malformed,
            },
            Self::TooLong => Code::UriTooLong,
            Self::Host => Code::Malformed,
            Self::Origin => Code::Forbidden,
        }
    }
}
