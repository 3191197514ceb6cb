//! The programs of services, as a part of a node: run after those are ended that were left, awaited at the start, and ended at the stop.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_base::id::Name;
use mainstay_base::time::Entropy;
use mainstay_upstream::run::{Home, end_leftovers};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::config::Config;
use crate::gateway::NodeGateway;
use crate::life::ready::Readiness;
use crate::life::{Scope, Started, Unfinished};

/// How long programs that were left may take to end before they are killed.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(3);

/// What tells the programs of this data directory from those of others: drawn once, and kept in it.
const MARKER_FILE: &str = "programs";

/// The programs of services, before they run.
pub struct Programs {
    closing: CancellationToken,
    ended: CancellationToken,
    /// Told when each takes calls that has to.
    up: CancellationToken,
}

/// What programs need of the node.
pub struct Node<'a> {
    /// Its configuration, whose data directory does not change.
    pub config: &'a Arc<ArcSwap<Config>>,
    /// Where its API listens.
    pub api: SocketAddr,
    /// Whose services they are.
    pub gateway: &'a NodeGateway,
    /// Where it is told that they are up.
    pub readiness: &'a Readiness,
    /// Chance.
    pub entropy: &'a dyn Entropy,
}

impl Programs {
    /// None that run. They are ended at their place in the stop.
    pub fn new(started: &mut Started) -> Self {
        let [closing, ended, up] = [(); 3].map(|()| CancellationToken::new());
        let (close, all_ended) = (closing.clone(), ended.clone());
        started.push("programs", move |deadline| async move {
            close.cancel();
            let ended = tokio::time::timeout_at(deadline, all_ended.cancelled()).await;
            let unfinished = vec!["programs of services, which are told to end now".to_owned()];
            ended.map_err(|_| Unfinished { part: "programs".into(), unfinished })
        });
        Self { closing, ended, up }
    }

    /// Runs them, after those are ended that were left by a node that was killed, and from `defined` on: what the configuration defines is there for them. Returns what is told once each takes calls that has to. Errors: the data directory fails.
    pub async fn run(
        self,
        node: Node<'_>,
        defined: CancellationToken,
        scope: &Scope,
    ) -> io::Result<CancellationToken> {
        let Self { closing, ended, up } = self;
        let ended = ended.drop_guard();
        let (of_data, of_start) =
            (marker(node.config.load().data.as_path(), node.entropy)?, drawn(node.entropy));
        end_those_of(of_data.clone()).await;
        let awaited = Arc::new(Mutex::new(node.gateway.programs()));
        let tell = {
            let (readiness, up) = (node.readiness.clone(), up.clone());
            move |awaited: &BTreeSet<Name>| {
                if awaited.is_empty() && !up.is_cancelled() {
                    readiness.up("programs");
                    up.cancel();
                }
            }
        };
        tell(&awaited.lock().unwrap_or_else(PoisonError::into_inner));
        let is_up = move |service: &Name| {
            let mut awaited = awaited.lock().unwrap_or_else(PoisonError::into_inner);
            if awaited.remove(service) {
                tell(&awaited);
            }
        };
        let marker = format!("{of_data}/{of_start}");
        let program = std::env::current_exe().unwrap_or_else(|_| "mainstay".into());
        let lifeline = vec![program.into(), "lifeline".into(), marker.clone().into()];
        let (api, listening) = (api::base_url(node.api), node.gateway.clone());
        let gateway = Arc::new(move |name: Option<&Name>| listening.base_url(name));
        let stopping = closing.clone();
        let work =
            node.gateway.supervise(Home { api, gateway, marker, lifeline, is_up: Arc::new(is_up) }, closing);
        scope.spawn("programs", async move {
            let _ended = ended;
            stopping.run_until_cancelled(defined.cancelled()).await;
            work.await;
        });
        Ok(up)
    }
}

async fn end_those_of(marker: String) {
    let ending = tokio::task::spawn_blocking(move || end_leftovers(&marker, &[], LEFTOVERS_PATIENCE));
    match ending.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
        Ok(0) => {}
        Ok(groups) => {
            tracing::warn!(target: "mainstay::life", groups, "programs were left by a node that was killed, and are ended");
        }
        Err(error) => {
            tracing::warn!(target: "mainstay::life", %error, "cannot look for programs that were left");
        }
    }
}

/// The marker that is kept in a data directory; a new one if there is none.
fn marker(data: &Path, entropy: &dyn Entropy) -> io::Result<String> {
    let path = data.join(MARKER_FILE);
    match std::fs::read_to_string(&path) {
        Ok(known) if !known.is_empty() && known.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(known),
        Ok(_) => write(&path, drawn(entropy)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(&path, drawn(entropy)),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, marker: String) -> io::Result<String> {
    std::fs::write(path, &marker)?;
    Ok(marker)
}

fn drawn(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    format!("{:016x}", u64::from_le_bytes(bytes))
}
