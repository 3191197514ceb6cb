//! One call at an endpoint, from its choice to the end of its answer.

use std::io::ErrorKind;
use std::sync::Arc;

use http::Response;
use mainstay_base::time::Instant;
use mainstay_resilience::{Facts, Verdict};

use crate::body::AnswerBody;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::judge::judge;
use crate::roster::Outcome;
use crate::worker::Of;

/// A call that runs at an endpoint: counted there until it is dropped.
#[derive(Debug)]
pub struct Running(Arc<Endpoint>);

impl Running {
    /// From now on.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.load().begin();
        Self(endpoint)
    }

    /// Where it runs.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.load().end();
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
    pub(crate) fn new(of: Arc<Of>, endpoint: Arc<Endpoint>, facts: &Facts) -> Self {
        let begun = facts.now;
        // A deadline that comes earlier is its caller's, and says nothing of the endpoint.
        let late = begun.saturating_add(of.patience());
        Self { of, begun, late, running: Some(Running::new(endpoint)) }
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
            (_, Err(Error::Connect { source, .. })) if is_of_endpoint(source.kind()) => {
                ended(Outcome::Unreachable(&source.to_string()));
            }
            // This machine has no ports or files left.
            (_, Err(Error::Connect { .. })) => {}
            (_, Err(error @ Error::ConnectTimeout { .. })) => ended(Outcome::Unreachable(&error.to_string())),
            // A connection that was idle for too long says nothing of the endpoint, nor does a body that did not come.
            (_, Err(Error::NotSent { .. } | Error::Body | Error::BodySpent | Error::NoEndpoint { .. })) => {}
            (Verdict::Success | Verdict::Neutral, _) => ended(Outcome::Success(took)),
            (Verdict::Failure(_) | Verdict::Busy(_), _) => ended(Outcome::Failure(took)),
        }
        result.map(|answer| answer.map(|body| body.of(running)))
    }
}

/// Whether it is the endpoint that cannot be connected to, and not this machine that cannot connect.
const fn is_of_endpoint(kind: ErrorKind) -> bool {
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
