//! One call at an endpoint, from its choice to the end of its answer.

use std::io::ErrorKind;
use std::sync::Arc;

use http::Response;
use mainstay_base::time::Instant;
use mainstay_resilience::bulkhead::Held;
use mainstay_resilience::{Facts, Verdict};

use crate::body::AnswerBody;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::judge::judge;
use crate::roster::Outcome;
use crate::worker::Of;

/// A call that runs at an endpoint: counted there until it is dropped.
#[derive(Debug)]
pub struct Running {
    endpoint: Arc<Endpoint>,
    /// The room that it takes of the service, where that is bounded. Given back after it is counted no more.
    room: Option<Held>,
}

impl Running {
    /// From now on.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.load().begin();
        Self { endpoint, room: None }
    }

    /// The same in room of the service, if fewer than so many run there. Errors: the room, when as many do.
    pub(crate) fn in_room(endpoint: Arc<Endpoint>, max: u32, room: Held) -> Result<Self, Held> {
        if endpoint.load().begin_below(max) {
            return Ok(Self { endpoint, room: Some(room) });
        }
        Err(room)
    }

    /// Where it runs.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.endpoint.load().end();
        drop(self.room.take());
    }
}

/// A call whose answer is waited for. Dropped before that is there, it may have been the endpoint that took too long, or whoever called may have gone.
#[derive(Debug)]
pub(crate) struct Ticket {
    of: Arc<Of>,
    begun: Instant,
    /// From when on it is the endpoint that took too long.
    late: Instant,
    /// None once it has ended.
    running: Option<Running>,
}

impl Ticket {
    pub(crate) fn new(of: Arc<Of>, running: Running, facts: &Facts) -> Self {
        let begun = facts.now;
        // A deadline that comes earlier is its caller's, and says nothing of the endpoint.
        let late = begun.saturating_add(of.patience());
        Self { of, begun, late, running: Some(running) }
    }

    /// The answer is there, or there will be none. A call that has its answer runs on until that is read.
    pub(crate) fn end(
        mut self,
        result: Result<Response<AnswerBody>, Error>,
    ) -> Result<Response<AnswerBody>, Error> {
        let Some(running) = self.running.take() else { return result };
        let now = self.of.now();
        let took = now.saturating_since(self.begun);
        let ended = |outcome| self.of.roster().ended(running.endpoint(), outcome, now);
        match (judge(result.as_ref()), &result) {
            (_, Err(error @ Error::Connect { source, .. })) if is_of_endpoint(source.kind()) => {
                ended(Outcome::Unreachable(&error.why()));
            }
            // This machine has no ports or files left.
            (_, Err(Error::Connect { .. })) => {}
            (_, Err(error @ (Error::ConnectTimeout { .. } | Error::Handshake { .. }))) => {
                ended(Outcome::Unreachable(&error.why()));
            }
            // A connection that was idle for too long says nothing of the endpoint, nor does a body that did not come.
            (
                _,
                Err(
                    Error::NotSent { .. }
                    | Error::Busy { .. }
                    | Error::Body
                    | Error::BodySpent
                    | Error::NoEndpoint { .. },
                ),
            ) => {}
            (Verdict::Success | Verdict::Neutral, _) => ended(Outcome::Success(took)),
            (Verdict::Failure(_) | Verdict::Busy(_), _) => ended(Outcome::Failure(took)),
        }
        result.map(|answer| answer.map(|body| body.of(running)))
    }
}

/// Whether it is the endpoint that cannot be connected to, and not this machine that cannot connect.
pub(crate) const fn is_of_endpoint(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let now = self.of.now();
        if now >= self.late {
            self.of.roster().ended(
                running.endpoint(),
                Outcome::Failure(now.saturating_since(self.begun)),
                now,
            );
        }
    }
}
