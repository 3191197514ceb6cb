//! What is wrong with routes.

use std::fmt::{self, Display, Formatter};

use mainstay_base::id::Name;

/// Why routes make no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The route.
    pub route: Name,
    /// The route that it does not go together with.
    pub other: Option<Name>,
    /// The field of the route's `match`.
    pub field: &'static str,
    /// What is wrong and what to do, without the names of route and field.
    pub reason: String,
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "route `{}`: `{}` {}", self.route, self.field, self.reason)
    }
}

impl std::error::Error for Mistake {}
