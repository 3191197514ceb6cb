//! One document beside the configuration, such as a definition: read as the configuration is, each mistake with its place.
//!
//! YAML, of which JSON is a part. There are no layers: what is not written is at its default.

use std::io::Read;
use std::path::Path;

use mainstay_base::units::Size;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::diagnostic::{Diagnostic, Findings};
use super::file::{self, Problem};
use super::schema::Schema;
use super::source::{Kind, Source, Sources};
use super::tree::Value;
use super::{check, yaml};

/// A document is written by people; a larger one is a mistake.
const SIZE_MAX: Size = Size::from_mib(1);

/// The document of a file, or that of stdin if its name is `-`. Errors: every mistake in it.
pub fn of<T: JsonSchema + DeserializeOwned>(path: &Path) -> Result<T, Findings> {
    if is_stream(path) { of_stream(std::io::stdin().lock()) } else { of_file(path) }
}

/// Whether a name is that of stdin.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// The document of a file. Errors: every mistake in it.
pub fn of_file<T: JsonSchema + DeserializeOwned>(path: &Path) -> Result<T, Findings> {
    typed(&path.display().to_string(), file::read(path, SIZE_MAX))
}

/// The document that another program writes to this one. Errors: every mistake in it.
pub fn of_stream<T: JsonSchema + DeserializeOwned>(stream: impl Read) -> Result<T, Findings> {
    typed("stdin", file::read_to_end(stream, SIZE_MAX))
}

/// A mistake in what a document names.
pub fn mistake(path: &str, message: String, help: String) -> Findings {
    let mut sources = Sources::new(Path::new("."));
    let source = sources.add(Source::new(Kind::File, "the definition", "", Path::new(".")));
    let start = sources.origin(source, 0..0);
    Findings::new(sources, vec![Diagnostic::error(start, path, message).help(help)])
}

fn typed<T: JsonSchema + DeserializeOwned>(name: &str, read: Result<String, Problem>) -> Result<T, Findings> {
    let mut sources = Sources::new(Path::new("."));
    let text = read.as_deref().unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = sources.add(Source::new(Kind::File, name, text, Path::new(".")));
    let start = sources.origin(source, 0..0);
    if let Err(problem) = read {
        let it = Diagnostic::error(start, "", format!("the document {problem}"));
        return Err(Findings::new(sources, vec![it]));
    }
    let parsed = yaml::parse(&sources, source, 0);
    let mut found = parsed.diagnostics;
    let Some(tree) = parsed.node.filter(|node| node.value != Value::Null) else {
        if found.is_empty() {
            let help = "write `{}` for one that is all defaults";
            found.push(Diagnostic::error(start, "", "nothing is written here").help(help));
        }
        return Err(Findings::new(sources, found));
    };
    found.extend(check::merged(&Schema::of::<T>(), &tree, &sources));
    if !found.is_empty() {
        return Err(Findings::new(sources, found));
    }
    super::deserialize(&tree).map_err(|found| Findings::new(sources, found))
}
