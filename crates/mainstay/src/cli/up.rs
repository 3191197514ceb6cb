//! `mainstay up`: runs a node.
//!
//! Once log lines are written, everything on stderr goes their way, and nothing waits for whoever reads it.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::{FAILED, OK, Source, USAGE, output};
use crate::api;
use crate::config::{self, Config, Findings};
use crate::life::scope;
use crate::life::signals::Signals;
use crate::node::{self, End, Parts};
use crate::reload;
use crate::telemetry::logs::Logs;

/// For log lines that wait when the node has ended. Who reads them at all is faster.
const FLUSH: Duration = Duration::from_secs(1);

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    source: Source,
}

/// Runs a node to its end, and returns the exit code.
pub fn run(up: Up) -> u8 {
    let request = up.source.request();
    // First of all, so that a signal that comes early is not answered by the system's default.
    let (runtime, signals) = match runtime() {
        Ok(both) => both,
        Err(error) => {
            output::note(&format!("error: cannot start threads or listen to signals: {error}"));
            return FAILED;
        }
    };
    let loaded = match config::load(&request) {
        Ok(loaded) => loaded,
        Err(findings) => {
            output::findings(&findings);
            output::note("the configuration is not valid, nothing was started");
            return USAGE;
        }
    };
    let logs = Arc::new(Logs::start(&loaded.config.telemetry.logs));
    scope::log_panics();
    warn(&logs, &loaded.findings);
    // A panic is logged by the hook above, and its line is to be written too.
    let parts = Parts { loaded, logs: Arc::clone(&logs), signals };
    let code = catch_unwind(AssertUnwindSafe(|| serve(runtime, parts, &logs))).unwrap_or(FAILED);
    logs.finish(FLUSH);
    code
}

fn runtime() -> io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let signals = runtime.block_on(async { Signals::listen() })?;
    Ok((runtime, signals))
}

fn serve(runtime: Runtime, parts: Parts, logs: &Logs) -> u8 {
    let ended = runtime.block_on(Box::pin(node::run(parts, welcome)));
    // A second signal must not wait for what the first could not finish.
    runtime.shutdown_background();
    match ended {
        Ok(End::Stopped) => OK,
        Ok(End::Failed) => FAILED,
        Err(error) => failed(logs, &error.to_string()),
    }
}

/// Tells what is odd in a configuration that can be used.
fn warn(logs: &Logs, findings: &Findings) {
    if logs.for_person() {
        logs.tell(&output::rendered(findings));
        return;
    }
    reload::log_warnings(findings);
}

fn failed(logs: &Logs, error: &str) -> u8 {
    if logs.for_person() {
        logs.tell(&format!("error: {error}\n"));
    } else {
        tracing::error!(target: "mainstay::life", error, "the node ended with an error");
    }
    FAILED
}

/// Tells a person what to open. Programs read the log.
fn welcome(config: &Config, api: SocketAddr) {
    if !output::to_person() {
        return;
    }
    let mut text = format!("\nMainstay is ready (node {}). Open:\n", config.node.id);
    for (what, link) in api::links(api) {
        text.push_str(&format!("  {what:<14} {link}\n"));
    }
    text.push_str("Ctrl-C stops it in order, SIGHUP reloads the configuration.\n\n");
    // A terminal that is held (Ctrl-S) must not hold the node; a person who misses the text has the log.
    tokio::task::spawn_blocking(move || output::text(&text));
}
