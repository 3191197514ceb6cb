//! A command line found in a page, tried on the command it names.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The commands of one line, each as its words: assignments before a command and comments after it are dropped.
pub(crate) fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    for word in words(line) {
        let current = commands.last_mut().expect("there is always one");
        match word.as_str() {
            "#" => break,
            "|" | "||" | "&&" | ";" | "&" => commands.push(Vec::new()),
            "$" if current.is_empty() => {}
            _ if current.is_empty() && is_assignment(&word) => {}
            _ => current.push(word),
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (';', None) => {
                words.extend(word.take());
                words.push(";".into());
            }
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// What `command` says against these arguments. Written with placeholders (`<NAME>`, `[FILE]`, `...`), or without what is
/// required, an invocation still names things that must exist.
pub(crate) fn check(command: &Command, arguments: &[String]) -> Result<(), String> {
    let arguments = arguments.iter().map(|word| word.trim_start_matches('[').trim_end_matches(']'));
    let arguments: Vec<&str> = arguments
        .take_while(|word| !word.starts_with('>') && !word.starts_with("2>"))
        .filter(|word| !matches!(*word, "..." | "…" | ""))
        .collect();
    let line = [command.get_name()].into_iter().chain(arguments);
    let Err(error) = command.clone().try_get_matches_from(line) else { return Ok(()) };
    match error.kind() {
        _ if offending_word(&error).is_some_and(is_placeholder) => Ok(()),
        ErrorKind::UnknownArgument
        | ErrorKind::InvalidSubcommand
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
        | ErrorKind::ArgumentConflict
        | ErrorKind::NoEquals
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues => {
            let message = error.render().to_string();
            let first = message.lines().next().unwrap_or_default();
            Err(first.strip_prefix("error: ").unwrap_or(first).to_owned())
        }
        _ => Ok(()),
    }
}

/// The word of the line that `error` is about.
fn offending_word(error: &clap::Error) -> Option<&str> {
    let context = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => ContextKind::InvalidValue,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    match error.get(context)? {
        ContextValue::String(word) => Some(word),
        _ => None,
    }
}

fn is_placeholder(word: &str) -> bool {
    let bare = word.trim_matches(|c| "<>{}".contains(c));
    bare.len() < word.len() || (!bare.is_empty() && bare.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Whether the command, or one below it, has this flag, written with its dashes.
pub(crate) fn has_flag(command: &Command, flag: &str) -> bool {
    let name = flag.trim_start_matches("--").split('=').next().unwrap_or_default();
    matches!(name, "help" | "version")
        || command.get_arguments().any(|argument| argument.get_long() == Some(name))
        || command.get_subcommands().any(|below| has_flag(below, flag))
}

#[cfg(test)]
pub(crate) fn sample() -> Command {
    use clap::{Arg, ArgAction};
    let set = Arg::new("set").long("set").action(ArgAction::Append);
    let output = Arg::new("output").long("output").global(true).value_parser(["text", "json"]);
    Command::new("sample")
        .arg(output)
        .subcommand_required(true)
        .subcommand(Command::new("up").arg(Arg::new("file")).arg(set))
        .subcommand(Command::new("lab").subcommand(Command::new("run").arg(Arg::new("name").required(true))))
}

#[test]
fn lines_are_split_as_a_shell_would() {
    let split = |line: &str| split(line).iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(split("$ A=1 B= mainstay up 'a b' # then wait"), ["mainstay up a b"]);
    assert_eq!(
        split("cd x && make test; make lint | tee log"),
        ["cd x", "make test", "make lint", "tee log"]
    );
    assert_eq!(split("# only a remark"), Vec::<String>::new());
}

#[test]
fn invocations_are_tried_on_the_command() {
    let verdict = |line: &str| check(&sample(), &split(line)[0][1..]).err();
    for good in [
        "s up",
        "s up a.yaml --set a=b",
        "s up [FILE]",
        "s lab run",
        "s lab run NAME",
        "s --output json up",
        "s <command> --help",
        "s up --output FORMAT",
        "s up > log",
        "s lab run ...",
    ] {
        assert_eq!(verdict(good), None, "{good}");
    }
    assert_eq!(verdict("s down").as_deref(), Some("unrecognized subcommand 'down'"));
    assert_eq!(verdict("s up --port 1").as_deref(), Some("unexpected argument '--port' found"));
    assert_eq!(verdict("s lab walk").as_deref(), Some("unrecognized subcommand 'walk'"));
    assert!(verdict("s up --output yaml").is_some());
    assert_eq!(
        verdict("s dwon FILE").as_deref(),
        Some("unrecognized subcommand 'dwon'"),
        "a placeholder excuses itself alone"
    );
    assert_eq!(verdict("s lab walk NAME").as_deref(), Some("unrecognized subcommand 'walk'"));
    assert!(verdict("s up --output yaml FILE").is_some());
    assert!(verdict("s up a.yaml b.yaml").is_some());
}

#[test]
fn flags_are_searched_in_every_command() {
    assert!(has_flag(&sample(), "--set=a.b=c"));
    assert!(has_flag(&sample(), "--output"));
    assert!(!has_flag(&sample(), "--sets"));
}
