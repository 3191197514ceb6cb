//! Schemas of documents that are named by their files: read, checked and put where a definition has them.

use std::path::Path;

use mainstay_machine::Collection;
use mainstay_machine::schema::Schema;

use super::document;

/// Puts the schema of a file that the collection names into it. A relative path starts from `base`.
///
/// Errors: what is wrong, and what to do.
pub fn read(collection: &mut Collection, base: &Path) -> Result<(), (String, String)> {
    let Some(documents) = &mut collection.schema else { return Ok(()) };
    let Some(file) = documents.file.take() else { return Ok(()) };
    if documents.json_schema.is_some() {
        let message = "the schema is named by `file` and written in `json_schema`".to_owned();
        return Err((message, "leave one of them out".to_owned()));
    }
    let path = base.join(&file);
    match document::of_file::<Schema>(&path) {
        Ok(schema) => {
            documents.json_schema = Some(schema);
            Ok(())
        }
        Err(findings) => {
            let message = format!("the schema in {} is not taken", path.display());
            Err((message, findings.lines().join("; ")))
        }
    }
}
