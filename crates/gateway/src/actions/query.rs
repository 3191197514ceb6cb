//! What becomes of the query where the path is exchanged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryHandling {
    /// It stays, byte for byte.
    #[default]
    Keep,
    /// It is left out.
    Drop,
}

impl QueryHandling {
    /// What stays of a query; an empty one is none.
    pub(super) fn of(self, query: Option<&str>) -> Option<&str> {
        query.filter(|query| self == Self::Keep && !query.is_empty())
    }
}
