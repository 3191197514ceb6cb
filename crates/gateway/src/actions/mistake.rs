//! What is wrong with what a route shall do.

use std::fmt::{self, Display, Formatter};

/// Why a route's actions cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The keys that lead to it from the route: `["headers", "request", "set", "host"]`.
    pub field: Vec<String>,
    /// What is wrong and what to do, without the name of the field.
    pub message: String,
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field.join("."), self.message)
    }
}

impl std::error::Error for Mistake {}

/// All mistakes so far: what is right is made further, so that they are told at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, field: &[&str], message: impl Into<String>) {
        let field = field.iter().map(|key| (*key).to_owned()).collect();
        self.0.push(Mistake { field, message: message.into() });
    }

    /// What was made; none, and a mistake more, if it could not be.
    pub(super) fn keep<T>(&mut self, field: &[&str], made: Result<T, impl Display>) -> Option<T> {
        made.map_err(|error| self.add(field, format!("cannot be made: {error}"))).ok()
    }

    pub(super) fn into_result(self) -> Result<(), Vec<Mistake>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
