//! `mainstay up`: runs a node.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use super::{FAILED, OK, Source, USAGE, output};
use crate::config::{self, Config};
use crate::life::scope;
use crate::node::{self, End, Parts};
use crate::telemetry::logs::Logs;
use crate::{api, node::Error};

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    source: Source,
}

/// Runs a node to its end, and returns the exit code.
pub fn run(up: Up) -> u8 {
    let request = up.source.request();
    let loaded = match config::load(&request) {
        Ok(loaded) => loaded,
        Err(findings) => {
            output::findings(&findings);
            output::note("the configuration is not valid, nothing was started");
            return USAGE;
        }
    };
    output::findings(&loaded.findings);
    let logs = Arc::new(Logs::start(&loaded.config.telemetry.logs));
    scope::log_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: cannot start threads: {error}"));
            return FAILED;
        }
    };
    let ended = runtime.block_on(Box::pin(node::run(Parts { loaded, request, logs }, welcome)));
    // A second signal must not wait for what the first could not finish.
    runtime.shutdown_background();
    match ended {
        Ok(End::Stopped) => OK,
        Ok(End::Failed) => FAILED,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> u8 {
    output::note(&format!("error: {error}"));
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
    output::text(&text);
}
