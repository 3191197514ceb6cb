//! Log lines: `tracing` to stderr, for people on a terminal and as JSON elsewhere, a level for each room.
//!
//! Levels change at run time in two ways: a reload brings those of the configuration, an [`Override`] holds
//! until it is taken back. The override wins. Nobody who logs waits for stderr: lines go through a [`queue`].

mod access;
mod queue;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer, Registry};

use self::access::WithAccess;
use self::queue::{Haste, Lines, Patient, Queue};
use crate::system::SystemClock;

/// What lines of the access log are for.
const ACCESS: &str = "mainstay::access";

/// The `telemetry.logs` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How lines are written. Needs a restart to change.
    pub format: Format,
    /// What is written: lines of this level and above.
    pub level: Level,
    /// Levels of single rooms that differ from `level`.
    pub rooms: Rooms,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Auto, level: Level::Info, rooms: Rooms::default() }
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
    /// One line for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing.
    Off,
    /// A person must act.
    Error,
    /// Unexpected, and continued.
    Warn,
    /// What an operator wants to know of a healthy node.
    Info,
    /// Every request and decision.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::OFF,
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Levels by room; a room without one has the common level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rooms {
    /// The access log: one line for each request that is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Level>,
    /// The API listener and its resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Level>,
    /// Loading and reloading the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Level>,
    /// The gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Level>,
    /// Starting, tasks, signals and stopping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<Level>,
    /// Libraries that Mainstay is built on. `warn` unless set here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Level>,
}

/// Levels that hold instead of the configured ones until they are taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// What is written: lines of this level and above.
    pub level: Level,
    /// Levels of single rooms that differ from `level`.
    #[serde(default)]
    pub rooms: Rooms,
}

/// The levels in force and where they come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Levels {
    /// The common level.
    pub level: Level,
    /// Levels of single rooms that differ.
    pub rooms: Rooms,
    /// Whether they hold instead of the configured ones.
    pub overridden: bool,
}

impl std::fmt::Display for Levels {
    /// As JSON, the way the API shows them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// The running log output.
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
    state: Mutex<State>,
    queue: Arc<Queue>,
    look: Look,
}

/// How lines look.
#[derive(Clone, Copy)]
struct Look {
    pretty: bool,
    /// Whether stderr is a terminal.
    terminal: bool,
}

struct State {
    configured: Override,
    over: Option<Override>,
}

impl Logs {
    /// Starts writing log lines. Only the first call in a process takes effect; later ones (in tests) change
    /// nothing that is written.
    ///
    /// # Panics
    /// If the system refuses the thread that writes.
    pub fn start(config: &Config) -> Self {
        let configured = Override { level: config.level, rooms: config.rooms.clone() };
        let (filter, handle) = reload::Layer::new(targets(&configured));
        let terminal = std::io::stderr().is_terminal();
        let pretty = config.format == Format::Pretty || (config.format == Format::Auto && terminal);
        let queue = Arc::new(Queue::new());
        // Complaints of the formatter itself would go to stderr directly, past the queue.
        let lines = tracing_subscriber::fmt::layer()
            .log_internal_errors(false)
            .with_writer(Writer(Arc::clone(&queue)));
        let lines = if pretty {
            lines.with_ansi(terminal && colours_wanted()).with_target(false).boxed()
        } else {
            let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            lines.map_event_format(|others| WithAccess { others, clock: SystemClock::new() }).boxed()
        };
        let subscriber = Registry::default().with(filter).with(lines);
        // An error means that a subscriber is set already, which the contract above allows.
        let _ = tracing::subscriber::set_global_default(subscriber);
        write(Arc::clone(&queue));
        let state = Mutex::new(State { configured, over: None });
        Self { filter: handle, state, queue, look: Look { pretty, terminal } }
    }

    /// Whether the lines are for a person at a terminal.
    pub fn for_person(&self) -> bool {
        self.look.pretty && self.look.terminal
    }

    /// Writes text as it is, in order with the lines.
    pub fn tell(&self, text: &str) {
        self.queue.push(text.as_bytes(), Haste::Now);
    }

    /// Counts the lines that were dropped, to be registered with the node's metrics.
    pub fn dropped(&self) -> IntCounter {
        self.queue.dropped().clone()
    }

    /// Writes what waits, but gives up after `within`: whoever reads stderr may have stopped reading. Lines that
    /// come later are dropped.
    pub fn finish(&self, within: Duration) {
        // Whether all was written cannot be said to anyone.
        let _ = self.queue.finish(within);
    }

    /// Takes the levels of a newly loaded configuration. An override stays.
    pub fn configure(&self, config: &Config) {
        self.change(|state| {
            state.configured = Override { level: config.level, rooms: config.rooms.clone() };
        });
    }

    /// Sets or, with `None`, takes back an override.
    pub fn set_override(&self, over: Option<Override>) -> Levels {
        self.change(|state| state.over = over)
    }

    /// The levels in force.
    pub fn levels(&self) -> Levels {
        self.change(|_| {})
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Levels {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.effective().clone();
        change(&mut state);
        let now = state.effective().clone();
        if now != before {
            // An error means that the subscriber is gone: nothing is written any more.
            let _ = self.filter.reload(targets(&now));
        }
        Levels { level: now.level, rooms: now.rooms, overridden: state.over.is_some() }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Gives each line to the queue.
struct Writer(Arc<Queue>);

impl<'w> MakeWriter<'w> for Writer {
    type Writer = Lines<'w>;

    fn make_writer(&'w self) -> Lines<'w> {
        Lines { queue: &self.0, haste: Haste::Now }
    }

    fn make_writer_for(&'w self, of: &Metadata<'_>) -> Lines<'w> {
        let haste = if of.target() == ACCESS { Haste::Soon } else { Haste::Now };
        Lines { queue: &self.0, haste }
    }
}

/// Starts the thread that writes to stderr. It is not joined: it may be stuck for as long as nobody reads.
fn write(queue: Arc<Queue>) {
    let lost = |lines| tracing::warn!(target: "mainstay::telemetry", lines, "log lines dropped");
    let work = move || queue.write_to(&mut Patient(std::io::stderr()), lost);
    std::thread::Builder::new().name("logs".into()).spawn(work).expect("the system gives a thread");
}

impl State {
    fn effective(&self) -> &Override {
        self.over.as_ref().unwrap_or(&self.configured)
    }
}

fn colours_wanted() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

fn targets(levels: &Override) -> Targets {
    let rooms = &levels.rooms;
    let mut targets = Targets::new()
        .with_default(rooms.dependencies.unwrap_or(Level::Warn.min(levels.level)))
        // What it warns of, clients do, as often as they like; the gateway counts it.
        .with_target("h2", rooms.dependencies.unwrap_or(Level::Error.min(levels.level)))
        .with_target("mainstay", levels.level);
    let named = [
        ("access", rooms.access),
        ("api", rooms.api),
        ("config", rooms.config),
        ("gateway", rooms.gateway),
        ("life", rooms.life),
    ];
    for (room, level) in named {
        if let Some(level) = level {
            targets = targets.with_target(format!("mainstay::{room}"), level);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use tracing::Level as Of;

    use super::*;

    fn at(level: Level) -> Override {
        Override { level, rooms: Rooms::default() }
    }

    #[test]
    fn a_room_may_differ_from_the_common_level() {
        let rooms = Rooms { api: Some(Level::Trace), ..Rooms::default() };
        let targets = targets(&Override { level: Level::Warn, rooms });
        assert!(targets.would_enable("mainstay::api::serve", &Of::TRACE));
        assert!(!targets.would_enable("mainstay::life", &Of::INFO));
        assert!(targets.would_enable("mainstay::life", &Of::WARN));
    }

    #[test]
    fn libraries_stay_quiet_unless_named() {
        assert!(!targets(&at(Level::Trace)).would_enable("hyper::proto", &Of::INFO));
        assert!(!targets(&at(Level::Off)).would_enable("hyper::proto", &Of::ERROR));
        for (level, is_shown) in [(Level::Trace, true), (Level::Off, false)] {
            assert!(!targets(&at(level)).would_enable("h2::proto", &Of::WARN));
            assert_eq!(targets(&at(level)).would_enable("h2::proto", &Of::ERROR), is_shown);
        }
        let rooms = Rooms { dependencies: Some(Level::Debug), ..Rooms::default() };
        let loud = Override { level: Level::Info, rooms };
        assert!(targets(&loud).would_enable("hyper::proto", &Of::DEBUG));
    }

    #[test]
    fn an_override_wins_over_the_configuration_until_taken_back() {
        let logs = Logs::start(&Config::default());
        assert!(logs.set_override(Some(at(Level::Debug))).overridden);
        logs.configure(&Config { level: Level::Error, ..Config::default() });
        assert_eq!(logs.levels().level, Level::Debug);
        let back = logs.set_override(None);
        assert_eq!((back.level, back.overridden), (Level::Error, false));
    }
}
