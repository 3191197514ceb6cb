//! What is known of a connection from its beginning to its end: counted all the while, and a line in the access log then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_resilience::Env;
use prometheus::IntCounter;

use super::begin::Failed;
use super::meters::OfListener;
use super::relay::End;
use crate::{access, network};

/// A connection, which is told of when this is dropped.
pub(super) struct Record {
    env: Env,
    begun: Instant,
    meters: Arc<OfListener>,
    /// By chance; and whether it is if it ends badly.
    is_logged: bool,
    errors_are: bool,
    listener: SocketAddr,
    client: SocketAddr,
    name: Option<Box<str>>,
    service: Option<Name>,
    endpoint: Option<SocketAddr>,
    progress: Arc<Progress>,
    stands: Stands,
}

/// How it stands with a connection. One that is dropped before it has ended is cut off.
enum Stands {
    Begins,
    Relays,
    Ended { result: &'static str, error: Option<String>, is_error: bool, was_relayed: bool },
}

/// How many bytes have been passed on.
#[derive(Debug)]
pub(super) struct Progress {
    /// From the client, and to it.
    moved: [AtomicU64; 2],
    meters: [IntCounter; 2],
}

/// From the client to the service; and back.
pub(super) const IN: usize = 0;
pub(super) const OUT: usize = 1;

impl Progress {
    pub(super) fn new(meters: [IntCounter; 2]) -> Self {
        Self { moved: Default::default(), meters }
    }

    pub(super) fn count(&self) -> [u64; 2] {
        self.moved.each_ref().map(|moved| moved.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, direction: usize, bytes: usize) {
        self.moved[direction].fetch_add(bytes as u64, Ordering::Relaxed);
        self.meters[direction].inc_by(bytes as u64);
    }
}

impl Record {
    pub(super) fn new(
        env: &Env,
        meters: &Arc<OfListener>,
        access: access::Config,
        (listener, client): (SocketAddr, SocketAddr),
    ) -> Self {
        meters.beginning.inc();
        Self {
            begun: env.now(),
            is_logged: env.happens(access.sample),
            errors_are: access.errors,
            env: env.clone(),
            listener,
            client,
            name: None,
            service: None,
            endpoint: None,
            progress: Arc::new(Progress::new(meters.bytes.clone())),
            meters: Arc::clone(meters),
            stands: Stands::Begins,
        }
    }

    pub(super) const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub(super) fn is_from(&mut self, client: SocketAddr, name: Option<&str>) {
        self.client = client;
        self.name = name.map(Into::into);
    }

    pub(super) fn is_for(&mut self, service: &Name) {
        self.service = Some(service.clone());
    }

    pub(super) const fn goes_to(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
    }

    /// It is passed on from here on.
    pub(super) fn relays(&mut self) {
        self.meters.beginning.dec();
        self.meters.relaying.inc();
        self.stands = Stands::Relays;
    }

    /// It is not passed on.
    pub(super) fn fails(mut self, failed: &Failed) {
        self.end(failed.reason(), Some(failed.to_string()), failed.is_of_service());
    }

    /// It was passed on to its end.
    pub(super) fn ends(mut self, end: &End) {
        let error = match end {
            End::Client(error) | End::Service(error) => Some(error.to_string()),
            End::Over | End::Idle { .. } | End::Stopped { .. } => None,
        };
        self.end(end.as_str(), error, matches!(end, End::Service(_)));
    }

    fn end(&mut self, result: &'static str, error: Option<String>, is_error: bool) {
        let was_relayed = matches!(self.stands, Stands::Relays);
        let open = if was_relayed { &self.meters.relaying } else { &self.meters.beginning };
        open.dec();
        self.stands = Stands::Ended { result, error, is_error, was_relayed };
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !matches!(self.stands, Stands::Ended { .. }) {
            self.end("cut_off", None, true);
        }
        let Stands::Ended { result, error, is_error, was_relayed } = &self.stands else { return };
        let lasted = self.env.now().saturating_since(self.begun);
        if *was_relayed {
            self.meters.lasted(lasted);
        }
        self.meters.ended(result);
        let is_logged = self.is_logged || self.errors_are && *is_error;
        if !is_logged {
            return;
        }
        let [bytes_in, bytes_out] = self.progress.count();
        tracing::info!(
            target: "mainstay::access",
            client = %network::text(self.client.ip()),
            client_port = self.client.port(),
            listener = %self.listener,
            name = self.name.as_deref(),
            service = self.service.as_ref().map(Name::as_str),
            endpoint = self.endpoint.as_ref().map(tracing::field::display),
            bytes_in,
            bytes_out,
            ms = lasted.as_std().as_secs_f64() * 1e3,
            result,
            error = error.as_deref(),
            "connection"
        );
    }
}
