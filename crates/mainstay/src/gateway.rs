//! The gateway of this node: its addresses taken, its workers started and stopped, its definitions put in force.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use mainstay_base::time::{Clock, Entropy};
use mainstay_gateway::config::{Definitions, Misfit};
use mainstay_gateway::meters::Meters;
use mainstay_gateway::server::{Bound, Server, Shared};
use mainstay_gateway::snapshot::{Maker, Snapshot};

use crate::config::Config;
use crate::life::Unfinished;
use crate::telemetry::metrics::{LATENCY_SECONDS, Metrics};

/// What the configuration defines.
pub fn definitions(config: &Config) -> Definitions {
    Definitions {
        policies: config.policies.clone(),
        services: config.services.clone(),
        routes: config.routes.clone(),
    }
}

/// What the types of the configuration cannot state.
pub fn misfits(config: &Config) -> Vec<Misfit> {
    let mut found = config.gateway.check();
    found.extend(definitions(config).check());
    if !config.routes.is_empty() && config.listen.gateway.is_empty() {
        found.push(Misfit {
            path: vec!["routes".into()],
            message: "there are routes, and nothing listens for their requests".into(),
            help: Some(
                "say where the gateway listens: `listen: { gateway: [{ address: 127.0.0.1:8080 }] }`".into(),
            ),
        });
    }
    let addresses: Vec<_> = config.listen.gateway.iter().map(|listener| listener.address.socket()).collect();
    for (number, address) in addresses.iter().enumerate() {
        if address.port() != 0 && addresses[..number].contains(address) {
            found.push(Misfit {
                path: ["listen", "gateway", &number.to_string(), "address"].map(str::to_owned).to_vec(),
                message: format!("{address} is there twice"),
                help: Some("leave one of them out".into()),
            });
        }
    }
    found
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of its addresses.
    #[error(
        "cannot listen on {address} for the gateway: {source}; choose another address in `listen.gateway`, or port 0"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The threads.
    #[error("cannot start the gateway's workers: {0}")]
    Workers(std::io::Error),
}

/// The gateway of a node. Clones are the same one.
#[derive(Clone)]
pub struct NodeGateway {
    maker: Maker,
    snapshot: Arc<ArcSwap<Snapshot>>,
    addresses: Vec<SocketAddr>,
}

impl NodeGateway {
    /// Takes the addresses and serves what the configuration defines.
    pub fn start(
        config: &Config,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
        metrics: &Metrics,
    ) -> Result<(Self, Server), Error> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.gateway.workers.map_or_else(cores, |workers| workers.get() as usize);
        let bind =
            |address| Bound::bind(address, workers).map_err(|source| Error::Listen { address, source });
        let listeners = config.listen.gateway.iter().map(|listener| listener.address.socket());
        let bound = listeners.map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = bound.iter().map(Bound::address).collect();
        let meters = Meters::new(&LATENCY_SECONDS);
        meters.collectors().into_iter().for_each(|collector| metrics.collect_boxed(collector));
        let maker = Maker { clock: Arc::clone(clock), entropy: Arc::clone(entropy), meters };
        let snapshot = maker.snapshot(&definitions(config), config.gateway.clone(), None);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let shared = Shared::new(&maker, Arc::clone(&snapshot));
        let server = Server::start(bound, workers, &shared).map_err(Error::Workers)?;
        Ok((Self { maker, snapshot, addresses }, server))
    }

    /// Puts in force what a configuration defines, which was checked. Requests that have begun go on as they began.
    pub fn configure(&self, next: &Config) {
        let snapshot =
            self.maker.snapshot(&definitions(next), next.gateway.clone(), Some(&self.snapshot.load()));
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Stops the workers, as a part of a node's stop.
pub async fn drain(server: Server, deadline: Instant, linger: std::time::Duration) -> Result<(), Unfinished> {
    match server.drain(deadline, linger).await {
        0 => Ok(()),
        cut => Err(Unfinished { part: "gateway".into(), unfinished: vec![format!("{cut} connections")] }),
    }
}
