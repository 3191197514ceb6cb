//! The command line: what a person types and reads.
//!
//! Results go to stdout, diagnostics and log lines to stderr. Exit codes: 0 done; 1 failed; 2 the command line
//! or the configuration is wrong.

mod ask;
mod backup;
mod bench;
mod certs;
mod check;
mod collections;
mod faults;
mod gateway;
mod inspect;
mod items;
mod lab;
mod lifeline;
mod output;
mod told;
mod up;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::Value;

use crate::config::{self, Config, Loaded, Request};

/// Everything went as asked.
pub const OK: u8 = 0;
/// It was tried and failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong; nothing was tried.
pub const USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong.
Start here: `mainstay up` in an empty folder, then open http://127.0.0.1:7070/.";

/// One binary that carries an application: gateway, durable state, queues, sagas, policies and a lab.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node and run it until SIGTERM or SIGINT; SIGHUP reloads the configuration
    Up(up::Up),
    /// Check a configuration without starting anything
    Check(check::Check),
    /// Print what a configuration may contain
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure what this machine can do
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Copy all data of a node, as of one time, to `backups.to`; the node may be up
    Backup(backup::Backup),
    /// Make a new data directory of a backup
    Restore(backup::Restore),
    /// Make certificates for a machine that is developed on
    #[command(subcommand)]
    Certs(certs::Certs),
    /// Read and change the definitions of collections, by the node that is up
    #[command(subcommand)]
    Collections(collections::Collections),
    /// Look at which requests go where, and change it on the node that is up
    #[command(subcommand)]
    Routes(gateway::Routes),
    /// Look at the services that requests go to, and change them on the node that is up
    #[command(subcommand)]
    Services(gateway::Services),
    /// Inject faults into requests of the node that is up, for drills and laboratories
    #[command(subcommand)]
    Faults(faults::Faults),
    /// Hold items of the node that is up, and release them
    #[command(subcommand)]
    Items(items::Items),
    /// Look at what a node has stored, without starting one
    #[command(subcommand)]
    Inspect(inspect::Inspect),
    /// Run experiments that measure a trade-off on this machine
    #[command(subcommand)]
    Lab(lab::Lab),
    /// End the programs of a node when what is read from it ends; started by `up`
    #[command(hide = true)]
    Lifeline(lifeline::Lifeline),
    /// Print the version
    Version {
        #[command(flatten)]
        output: OutputArg,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema, for editors and validators
    Schema,
    /// Print the reference page as Markdown
    Reference,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
struct Source {
    /// The configuration file; without one, `mainstay.yaml` here if it exists
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lay the file of this environment (`mainstay.<ENV>.yaml`) over it [env: MAINSTAY_ENV]
    #[arg(long, value_name = "ENV")]
    env: Option<String>,
    /// Set one value, such as `telemetry.logs.level=debug`; repeatable, the last one wins
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Source {
    fn request(self) -> Request {
        Request::from_process(self.file, self.env, self.set)
    }

    /// The configuration. What is wrong with it was told when there is none.
    fn load(self) -> Result<Config, ()> {
        self.loaded().map(|loaded| loaded.config)
    }

    /// The same, with where it was written.
    fn loaded(self) -> Result<Loaded, ()> {
        config::load(&self.request()).map_err(|findings| {
            output::findings(&findings);
            output::note("the configuration is not valid, nothing was done");
        })
    }
}

#[derive(Debug, Clone, Args)]
struct OutputArg {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

impl OutputArg {
    /// Prints what a command has found, as it is asked for.
    fn print(&self, document: &Value, text: &str) -> io::Result<()> {
        match self.output {
            Output::Json => output::json(document),
            Output::Human => output::text(text),
        }
    }

    /// Prints what a command has found, as a document and for people, or why it has not. Returns the exit code.
    fn answer(&self, answer: anyhow::Result<(Value, String)>) -> io::Result<u8> {
        match answer {
            Ok((document, text)) => self.print(&document, &text).map(|()| OK),
            Err(error) => Ok(failed(&error)),
        }
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, Args)]
struct DryRun {
    /// Change nothing, and tell what would change
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// As the query of a request.
    fn query(self) -> &'static str {
        if self.dry_run { "?dry_run=true" } else { "" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Human,
    /// One JSON document
    Json,
}

/// The command line's definition, for documentation and its checks.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(usage) => {
            let code = if usage.use_stderr() { USAGE } else { OK };
            output::unless_closed(usage.print()).map(|()| code)
        }
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        output::note(&format!("error: the result could not be written: {error}"));
        FAILED
    }))
}

/// Runs a command, and returns the exit code. The error is that of writing its result.
fn run(command: Command) -> io::Result<u8> {
    match command {
        Command::Up(up) => Ok(up::run(up)),
        Command::Check(check) => check::run(check),
        Command::Config(ConfigCommand::Schema) => output::json(config::schema().root()).map(|()| OK),
        Command::Config(ConfigCommand::Reference) => {
            output::text(&config::reference::markdown(&config::schema())).map(|()| OK)
        }
        Command::Backup(backup) => backup::backup(backup),
        Command::Restore(restore) => backup::restore(restore),
        Command::Certs(certs) => certs::run(certs),
        Command::Collections(collections) => collections::run(&collections),
        Command::Routes(routes) => gateway::routes(&routes),
        Command::Services(services) => gateway::services(&services),
        Command::Faults(faults) => faults::run(&faults),
        Command::Items(items) => items::run(&items),
        Command::Bench(bench) => bench::run(bench),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Lab(lab) => lab::run(lab),
        Command::Lifeline(lifeline) => lifeline::run(&lifeline),
        Command::Version { output } => version(output.output).map(|()| OK),
    }
}

/// Tells why a command has failed.
fn failed(error: &anyhow::Error) -> u8 {
    output::note(&format!("error: {error:#}"));
    FAILED
}

fn version(output: Output) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Output::Human => output::text(&format!("mainstay {version}\n")),
        Output::Json => output::json(&serde_json::json!({ "product": "mainstay", "version": version })),
    }
}
