//! `mainstay services endpoints NAME --watch`: what becomes of the endpoints of a service, as the API tells it.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::http::Request;
use axum::http::header::ACCEPT;
use mainstay_api::streams::events::EVENT_STREAM;
use mainstay_base::problem::Problem;
use serde_json::{Value, json};

use super::changes::Named;
use super::told;
use crate::cli::ask::{Node, typed};
use crate::cli::{FAILED, OK, Output, USAGE, failed, output};

/// A node gives a sign of life every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// What is read of a stream.
struct Reader<'a> {
    of: &'a Named,
    /// Of the event that is read.
    kind: String,
}

/// A line that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write what was told: {0}")]
struct Unwritten(io::Error);

/// Prints until the stream ends, and returns the exit code. The error is that of writing.
pub fn run(of: &Named) -> io::Result<u8> {
    let Ok(config) = of.source.clone().load() else { return Ok(USAGE) };
    let mut reader = Reader { of, kind: String::new() };
    let request = Request::get(format!("/v1/services/{}/endpoints", of.name)).header(ACCEPT, EVENT_STREAM);
    let followed =
        Node::find(&config).and_then(|node| node.follow(request, SILENCE, |line| reader.line(line)));
    match followed {
        Ok(()) => {
            output::note("the node has ended the stream, since it stops");
            Ok(FAILED)
        }
        Err(error) => match error.downcast::<Unwritten>() {
            // Whoever closed the pipe has read enough.
            Ok(Unwritten(error)) => output::unless_closed(Err(error)).map(|()| OK),
            Err(error) => Ok(failed(&error)),
        },
    }
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<ControlFlow<()>> {
        if let Some(kind) = line.strip_prefix("event: ") {
            kind.clone_into(&mut self.kind);
        } else if let Some(data) = line.strip_prefix("data: ") {
            self.event(serde_json::from_str(data)?)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn event(&self, mut data: Value) -> Result<()> {
        let kind = self.kind.as_str();
        match kind {
            "heartbeat" => Ok(()),
            "gone" => bail!("{}", typed::<Problem>(data)?.detail()),
            "endpoints" => {
                let all: Vec<Value> = typed(data["endpoints"].take())?;
                if all.is_empty() && self.of.output.output == Output::Human {
                    return write(&format!("{} has no endpoints\n", self.of.name));
                }
                all.into_iter().try_for_each(|endpoint| self.tell("there", endpoint))
            }
            kind => self.tell(kind, data),
        }
    }

    fn tell(&self, what: &str, endpoint: Value) -> Result<()> {
        if self.of.output.output == Output::Json {
            return write(&format!("{}\n", json!({ "event": what, "endpoint": endpoint })));
        }
        match what {
            "removed" => write(&format!("removed {}\n", endpoint["address"].as_str().unwrap_or_default())),
            what => write(&told::became(what, &typed(endpoint)?)),
        }
    }
}

/// At once, so that whoever reads sees it.
fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritten)?)
}
