//! The generated references are the ones that are published.

use std::path::Path;

use mainstay::config;

#[test]
fn the_published_references_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let schema = config::schema();
    let mut document = serde_json::to_string_pretty(schema.root()).expect("a schema is plain data");
    document.push('\n');
    let generated =
        [("configuration.md", config::reference::markdown(&schema)), ("configuration.schema.json", document)];
    for (name, text) in generated {
        let published = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(published == text, "docs/reference/{name} is not current; run `make docs`");
    }
}
