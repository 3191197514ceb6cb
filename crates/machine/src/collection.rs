//! What a collection of items is: what its definition says, as users write it.

use mainstay_base::key::PartitionBy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::ContentType;

/// What a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Collection {
    /// What of a key is its partition: items of one partition can change in one commit. By default those whose keys begin alike
    /// can, such as all of a user. Fixed from the collection's first definition on: by another rule its items would not be found.
    pub partition_by: PartitionBy,
    /// The only content type that its items may have; without one they may have any. Items that are there keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<ContentType>,
}
