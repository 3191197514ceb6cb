//! The layers of a configuration, later wins: defaults, the file, the file of the environment, variables, `--set`.

use std::path::{Path, PathBuf};

use mainstay_base::units::Size;

use super::assign;
use super::diagnostic::Diagnostic;
use super::file;
use super::mask;
use super::names;
use super::request::{Request, Variable};
use super::schema::Schema;
use super::source::{Kind, Source, Sources};
use super::tree::{Node, Value};
use super::yaml;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "mainstay.yaml";
/// Chooses the environment when `--env` does not.
pub const ENV_VARIABLE: &str = "MAINSTAY_ENV";
/// A configuration is written by people; a larger file is a mistake.
const FILE_MAX: Size = Size::from_mib(16);

/// The trees of all layers above the defaults, each with its place in `sources`.
pub struct Layers<'a> {
    /// What is read for.
    pub schema: &'a Schema,
    /// Lowest first.
    pub trees: Vec<Node>,
    /// The texts.
    pub sources: Sources,
    /// The file that was chosen, read or not.
    pub file: Option<PathBuf>,
    /// The environment that was chosen.
    pub env: Option<String>,
    /// The files that were read, lowest first.
    pub files: Vec<PathBuf>,
    /// What was wrong with the texts themselves.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every layer. Never fails: what could not be read is a diagnostic.
pub fn read<'a>(request: &Request, schema: &'a Schema) -> Layers<'a> {
    let default = if request.directory == Path::new(".") {
        PathBuf::from(DEFAULT_FILE)
    } else {
        request.directory.join(DEFAULT_FILE)
    };
    let file = request.file.clone().or_else(|| file::exists(&default).then(|| default.clone()));
    let base = file.as_deref().map_or_else(|| request.directory.clone(), directory_of);
    let mut layers = Layers {
        schema,
        trees: Vec::new(),
        sources: Sources::new(&base),
        file: None,
        env: None,
        files: Vec::new(),
        diagnostics: Vec::new(),
    };
    if let Some(file) = &file {
        layers.read_file(file);
    }
    let beside = file.as_deref().unwrap_or(&default);
    match (&request.env, request.variable(ENV_VARIABLE)) {
        (Some(env), _) => layers.environment("--env", env, beside),
        (None, Variable::Text(env)) => layers.environment(ENV_VARIABLE, env, beside),
        (None, Variable::NotText) => {
            let it = layers.about(ENV_VARIABLE, ENV_VARIABLE, "the value is not UTF-8");
            layers.diagnostics.push(it);
        }
        (None, Variable::NotSet | Variable::Empty) => {}
    }
    layers.file = file;
    assign::variables(&mut layers, request);
    for set in &request.sets {
        assign::argument(&mut layers, set, &request.directory);
    }
    assign::near_misses(&mut layers, request);
    layers
}

impl Layers<'_> {
    /// An error about something outside files, shown as `text`.
    pub fn about(&mut self, name: &str, text: &str, message: impl Into<String>) -> Diagnostic {
        let source = self.sources.add(Source::new(Kind::Environment, name, text, Path::new(".")));
        Diagnostic::error(self.sources.origin(source, 0..text.len()), "", message)
    }

    fn read_file(&mut self, path: &Path) {
        let read = file::read(path, FILE_MAX);
        let text = read.as_deref().unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let source = Source::new(Kind::File, path.display().to_string(), text.as_str(), &directory_of(path));
        let source = self.sources.add(source);
        if let Err(problem) = read {
            let it = Diagnostic::error(self.sources.origin(source, 0..0), "", format!("the file {problem}"));
            self.diagnostics.push(match unreadable_help(&problem) {
                Some(help) => it.help(help),
                None => it,
            });
            return;
        }
        self.files.push(path.into());
        let parsed = yaml::parse(&self.sources, source, 0);
        self.sources.hide(source, mask::hidden(self.schema, &text, 0, &parsed));
        self.diagnostics.extend(parsed.diagnostics);
        self.trees.extend(parsed.node.filter(|node| node.value != Value::Null));
    }

    /// The layer of an environment. Its file must exist: a misspelt environment must not run as no environment.
    fn environment(&mut self, name: &str, env: &str, file: &Path) {
        self.env = Some(env.to_owned());
        if !is_environment(env) {
            let it = self.about(name, env, "this cannot be the name of an environment");
            self.diagnostics.push(it.expected("letters, digits, `-` and `_`"));
            return;
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = file.with_file_name(format!("{stem}.{env}.yaml"));
        if file::exists(&path) {
            self.read_file(&path);
            return;
        }
        let known = environments(&directory_of(file), &stem);
        let help = match known.as_slice() {
            [] => format!("create {} or leave the environment out", path.display()),
            known => format!("environments with a file here: {}", known.join(", ")),
        };
        let it = self.about(name, env, format!("no configuration file for the environment `{env}`"));
        let nearest = names::nearest(env, known.iter().map(String::as_str));
        self.diagnostics
            .push(it.expected(format!("the file {}", path.display())).nearest(nearest).help(help));
    }
}

fn unreadable_help(problem: &file::Problem) -> Option<&'static str> {
    use std::io::ErrorKind;
    match problem {
        file::Problem::Unreadable(error) => match error.kind() {
            ErrorKind::NotFound => Some("name an existing file, or leave it out to run on the defaults"),
            ErrorKind::PermissionDenied => Some("let the user that runs Mainstay read it"),
            _ => None,
        },
        file::Problem::Kind("a directory") | file::Problem::TooLarge(_) => None,
        file::Problem::Kind(_) => Some("write the configuration to a file and name that"),
        file::Problem::NotText(_) => Some("save it as UTF-8"),
    }
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

fn is_environment(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The environments that have a file beside `<stem>.yaml`, sorted.
fn environments(directory: &Path, stem: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| {
            Some(name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(".yaml")?.to_owned())
        })
        .filter(|env| is_environment(env))
        .collect();
    found.sort();
    found
}
