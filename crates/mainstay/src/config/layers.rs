//! The layers of a configuration, later wins: defaults, the file, the file of the environment, variables, `--set`.

use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::names;
use super::schema::{self, Schema};
use super::source::{Kind, Origin, Source, Sources};
use super::tree::{Entry, Node, Value};
use super::yaml;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "mainstay.yaml";
/// Chooses the environment when `--env` does not.
pub const ENV_VARIABLE: &str = "MAINSTAY_ENV";
/// Starts the name of every variable that sets a value.
pub const VARIABLE_PREFIX: &str = "MAINSTAY__";
/// Variables that have their own meaning.
const OWN_VARIABLES: [&str; 1] = [ENV_VARIABLE];
/// A configuration is written by people; a larger file is a mistake.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a configuration is loaded from. Holds everything that the outside contributes, so that a load is a
/// function of this and of the files it names.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The file; `None` reads `mainstay.yaml` if there is one.
    pub file: Option<PathBuf>,
    /// The environment; `None` leaves it to `MAINSTAY_ENV`.
    pub env: Option<String>,
    /// `a.b=value` assignments, in order.
    pub sets: Vec<String>,
    /// The process's environment variables.
    pub variables: Vec<(String, String)>,
    /// The directory that relative paths start from; files keep their own.
    pub directory: PathBuf,
}

impl Request {
    /// A request for `file` with this process's environment and working directory.
    pub fn from_process(file: Option<PathBuf>, env: Option<String>, sets: Vec<String>) -> Self {
        let text = |it: std::ffi::OsString| it.into_string().ok();
        let mut variables: Vec<_> =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        // One order whatever the system's, so that the same variables always mean the same.
        variables.sort();
        Self { file, env, sets, variables, directory: PathBuf::from(".") }
    }

    /// The value of an environment variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, it)| it.as_str())
    }
}

/// The trees of all layers above the defaults, each with its place in `sources`.
pub struct Layers {
    /// Lowest first.
    pub trees: Vec<Node>,
    /// The texts.
    pub sources: Sources,
    /// The environment that was chosen.
    pub env: Option<String>,
    /// What was wrong with the texts themselves.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every layer. Never fails: what could not be read is a diagnostic.
pub fn read(request: &Request, schema: &Schema) -> Layers {
    let file = request.file.clone().or_else(|| {
        let default = if request.directory == Path::new(".") {
            PathBuf::from(DEFAULT_FILE)
        } else {
            request.directory.join(DEFAULT_FILE)
        };
        default.exists().then_some(default)
    });
    let base = file.as_deref().map_or_else(|| request.directory.clone(), directory_of);
    let env = request.env.clone().or_else(|| request.variable(ENV_VARIABLE).map(str::to_owned));
    let mut layers =
        Layers { trees: Vec::new(), sources: Sources::new(&base), env: None, diagnostics: Vec::new() };
    if let Some(file) = &file {
        layers.file(file);
    }
    if let Some(env) = env {
        layers.environment(&env, file.as_deref().unwrap_or(&request.directory.join(DEFAULT_FILE)));
        layers.env = Some(env);
    }
    for (name, value) in &request.variables {
        layers.variable(name, value, &request.directory, schema);
    }
    for set in &request.sets {
        layers.argument(set, &request.directory, schema);
    }
    layers
}

impl Layers {
    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let mut source = Source { kind: Kind::File, name, text: String::new(), base: directory_of(path) };
        let problem = match read_text(path) {
            Ok(text) => {
                source.text = text;
                None
            }
            Err(problem) => Some(problem),
        };
        let source = self.sources.add(source);
        match problem {
            Some((message, help)) => {
                let origin = self.sources.origin(source, 0..0);
                let it = Diagnostic::error(origin, "", message);
                self.diagnostics.push(if help.is_empty() { it } else { it.help(help) });
            }
            None => self.tree(source, 0),
        }
    }

    fn tree(&mut self, source: usize, from: usize) {
        let (node, diagnostics) = yaml::parse(&self.sources, source, from);
        self.diagnostics.extend(diagnostics);
        if node.value != Value::Null {
            self.trees.push(node);
        }
    }

    /// The layer of an environment. Its file must exist: a misspelt environment must not run as no environment.
    fn environment(&mut self, env: &str, file: &Path) {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = environments(&directory_of(file), &stem);
        let path = file.with_file_name(format!("{stem}.{env}.yaml"));
        if env.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) && path.exists() {
            self.file(&path);
            return;
        }
        let source = self.assignment("environment", env.to_owned(), Path::new("."));
        let origin = self.sources.origin(source, 0..env.len());
        let help = match known.as_slice() {
            [] => format!("create {} or leave the environment out", path.display()),
            known => format!("environments with a file here: {}", known.join(", ")),
        };
        let message = format!("no configuration file for the environment `{env}`");
        let it = Diagnostic::error(origin, "", message).expected(format!("the file {}", path.display()));
        let nearest = names::nearest(env, known.iter().map(String::as_str));
        self.diagnostics.push(it.nearest(nearest).help(help));
    }

    fn variable(&mut self, name: &str, value: &str, base: &Path, schema: &Schema) {
        let Some(path) = name.strip_prefix(VARIABLE_PREFIX) else {
            if name.starts_with("MAINSTAY_") && !OWN_VARIABLES.contains(&name) {
                self.stray_variable(name, value, base);
            }
            return;
        };
        let source = self.assignment(name, format!("{name}={value}"), base);
        let mut at = VARIABLE_PREFIX.len();
        let mut keys = Vec::new();
        for part in path.split("__") {
            keys.push((part.to_lowercase(), self.sources.origin(source, at..at + part.len())));
            at += part.len() + "__".len();
        }
        self.assign(source, &keys, name.len() + 1, schema);
    }

    fn stray_variable(&mut self, name: &str, value: &str, base: &Path) {
        let source = self.assignment(name, format!("{name}={value}"), base);
        let origin = self.sources.origin(source, 0..name.len());
        let rest = name.trim_start_matches("MAINSTAY_").replace('_', "__");
        let it = Diagnostic::error(origin, "", format!("the variable {name} means nothing to Mainstay"))
            .warning()
            .help(format!("a value is set with two underscores: {VARIABLE_PREFIX}{rest}"));
        self.diagnostics.push(it);
    }

    fn argument(&mut self, text: &str, base: &Path, schema: &Schema) {
        let source = self.assignment("--set", text.to_owned(), base);
        let Some((keys, value_at)) = self.argument_path(source, text) else {
            let origin = self.sources.origin(source, 0..text.len());
            let it = Diagnostic::error(origin, "", format!("`--set {text}` is not an assignment"));
            self.diagnostics.push(it.expected("`key.key=value`"));
            return;
        };
        self.assign(source, &keys, value_at, schema);
    }

    /// The keys of `a."b.c"=value` and where the value begins.
    fn argument_path(&self, source: usize, text: &str) -> Option<(Vec<(String, Origin)>, usize)> {
        let mut keys = Vec::new();
        let mut at = 0;
        loop {
            let rest = &text[at..];
            let (key, start, end) = if let Some(quoted) = rest.strip_prefix('"') {
                let length = quoted.find('"')?;
                (&quoted[..length], at + 1, at + length + 2)
            } else {
                let length = rest.find(['.', '='])?;
                (&rest[..length], at, at + length)
            };
            if key.is_empty() {
                return None;
            }
            keys.push((key.to_owned(), self.sources.origin(source, start..start + key.len())));
            match text[end..].bytes().next()? {
                b'=' => return Some((keys, end + 1)),
                b'.' => at = end + 1,
                _ => return None,
            }
        }
    }

    fn assignment(&mut self, name: &str, text: String, base: &Path) -> usize {
        let kind = if name == "--set" { Kind::Argument } else { Kind::Environment };
        self.sources.add(Source { kind, name: name.into(), text, base: base.into() })
    }

    /// Adds a layer that holds one value. Where the schema wants text, the value is text as written: a shell
    /// has no good way to write YAML's quotes.
    fn assign(&mut self, source: usize, keys: &[(String, Origin)], value_at: usize, schema: &Schema) {
        let (mut node, diagnostics) = yaml::parse(&self.sources, source, value_at);
        let whole = self.sources.origin(source, value_at..usize::MAX);
        let wanted = schema.at(keys.iter().map(|(key, _)| key.as_str()));
        let wants_text = wanted
            .is_some_and(|it| it.get("type").is_some_and(|it| it == "string") || schema::words(it).is_some());
        let text = self.sources.text(whole);
        if text.is_empty() {
            node = Node { value: Value::Null, origin: whole };
        } else if wants_text && !matches!(node.value, Value::String(_)) {
            node = Node { value: Value::String(text.to_owned()), origin: whole };
        } else {
            self.diagnostics.extend(diagnostics);
        }
        let tree = keys.iter().rev().fold(node, |node, (key, key_origin)| Node {
            value: Value::Map(vec![Entry { key: key.clone(), key_origin: *key_origin, node }]),
            origin: whole,
        });
        self.trees.push(tree);
    }
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

/// The environments that have a file beside `<stem>.yaml`, sorted.
fn environments(directory: &Path, stem: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| {
            Some(name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(".yaml")?.to_owned())
        })
        .filter(|env| !env.is_empty())
        .collect();
    found.sort();
    found
}

/// The text of a file, or what is wrong with it and what to do.
fn read_text(path: &Path) -> Result<String, (String, String)> {
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "name an existing file, or leave it out to run on the defaults",
            std::io::ErrorKind::PermissionDenied => "let the user that runs Mainstay read it",
            _ => "",
        };
        (format!("the file cannot be read: {error}"), help.to_owned())
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(("this is a directory, not a file".into(), String::new()));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err((format!("the file is over {} MiB", FILE_BYTES_MAX >> 20), String::new()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        (format!("the file is not UTF-8: byte {at} cannot be read"), "save it as UTF-8".to_owned())
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
