//! What the documents of a collection must be, and what becomes of those that were written under another version of it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Compatibility, Evolution, Schema};

/// What the documents of a collection must be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// A file with the JSON Schema, in JSON or YAML. Only in configuration files and in files that the command line sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", title = "Path")]
    pub file: Option<PathBuf>,
    /// The JSON Schema 2020-12 that every document must be valid under when it is written. At most 256 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Schema>,
    /// What a new version of the schema owes the last one. One that breaks it is refused with the places.
    pub compatibility: Compatibility,
    /// What becomes of documents of earlier versions.
    pub evolution: Evolution,
}

impl Documents {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.file, &self.json_schema) {
            (Some(file), _) => Err(format!(
                "has a `schema.file`, {}, which is read only where a configuration file or the command line names it: send its \
                 content as `schema.json_schema`",
                file.display()
            )),
            (None, None) => {
                Err("has a `schema` without `json_schema`: add it, or leave `schema` out".to_owned())
            }
            (None, Some(_)) => Ok(()),
        }
    }

    /// The schema. There is one in everything that was checked.
    pub fn schema(&self) -> Option<&Schema> {
        self.json_schema.as_ref()
    }
}
