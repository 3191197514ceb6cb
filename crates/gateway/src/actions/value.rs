//! Values of headers: ready, or made of a request.

use http::HeaderValue;

use super::error::Error;
use super::mistake::Mistakes;
use crate::routes::{Found, Match, Place, Seen, Template};

/// The value of a header.
#[derive(Debug)]
pub(super) enum Value {
    Constant(HeaderValue),
    Made(Template),
}

impl Value {
    /// A mistake if it is no template.
    pub(super) fn build(
        text: &str,
        (route, place): (&Match, Place),
        field: &[&str],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let template = mistakes.keep(field, Template::parse(text, route, place))?;
        Some(match template.constant() {
            Some(text) => Self::Constant(text.parse().expect("templates are checked to be visible ASCII")),
            None => Self::Made(template),
        })
    }

    /// The value for a request. Errors: it cannot be made, with the field.
    pub(super) fn make(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
        field: impl FnOnce() -> String,
    ) -> Result<HeaderValue, Error> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Made(template) => template
                .render_header(request, found)
                .map_err(|source| Error::Template { field: field(), source }),
        }
    }
}
