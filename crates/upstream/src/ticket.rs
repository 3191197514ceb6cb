//! One call at an endpoint, from its choice to the end of its answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use http::Response;
use mainstay_base::time::Instant;
use mainstay_resilience::{Facts, Verdict};
use rustix::io::Errno;

use crate::body::AnswerBody;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::judge::judge;
use crate::room::Placed;
use crate::roster::Outcome;
use crate::worker::Of;

/// A call that runs at an endpoint: counted there until it is dropped.
#[derive(Debug)]
pub struct Running {
    endpoint: Arc<Endpoint>,
    /// The room that it has, where that is bounded.
    _placed: Option<Placed>,
}

impl Running {
    /// From now on.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.load().begin();
        Self { endpoint, _placed: None }
    }

    /// The same, with room there.
    pub(crate) fn in_room(endpoint: Arc<Endpoint>, placed: Placed) -> Self {
        endpoint.load().begin();
        Self { endpoint, _placed: Some(placed) }
    }

    /// Where it runs.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.endpoint.load().end();
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
            (_, Err(error @ Error::Connect { source, endpoint })) if is_of_endpoint(source, *endpoint) => {
                ended(Outcome::Unreachable(&error.why()));
            }
            // This machine has no ports or files left.
            (_, Err(Error::Connect { .. })) => {}
            (_, Err(error @ (Error::ConnectTimeout { .. } | Error::Handshake { .. }))) => {
                ended(Outcome::Unreachable(&error.why()));
            }
            // A connection that was idle for too long says nothing of the endpoint, nor does a body that did not come.
            (_, Err(Error::NotSent { .. } | Error::Body | Error::BodySpent | Error::NoEndpoint { .. })) => {}
            (Verdict::Success | Verdict::Neutral, _) => ended(Outcome::Success(took)),
            (Verdict::Failure(_) | Verdict::Busy(_), _) => ended(Outcome::Failure(took)),
        }
        result.map(|answer| answer.map(|body| body.of(running)))
    }
}

/// Whether it is the endpoint that cannot be connected to, and not this machine that has no ports or files left. Where that has no address of the endpoint's family it never can.
pub(crate) fn is_of_endpoint(error: &io::Error, endpoint: SocketAddr) -> bool {
    if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) {
        return true;
    }
    if error.kind() == ErrorKind::AddrNotAvailable {
        return endpoint.is_ipv6();
    }
    matches!(
        error.kind(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_this_machine_that_has_no_ports_and_the_endpoint_whose_family_it_has_not() {
        let [v4, v6] = ["10.0.0.1:80", "[fd00::1]:80"].map(|text| text.parse().expect("an address"));
        let of = |errno: Errno, at| is_of_endpoint(&io::Error::from(errno), at);
        assert!(of(Errno::CONNREFUSED, v4) && of(Errno::HOSTUNREACH, v6) && of(Errno::TIMEDOUT, v4));
        assert!(!of(Errno::ADDRNOTAVAIL, v4) && of(Errno::ADDRNOTAVAIL, v6) && of(Errno::AFNOSUPPORT, v6));
        assert!(!of(Errno::MFILE, v4) && !of(Errno::MFILE, v6));
    }
}
