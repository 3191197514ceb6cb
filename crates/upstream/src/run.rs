//! Programs that Mainstay starts as endpoints of a service, looks after, and ends with itself.
//!
//! Which are started and which end is decided by the [`Fleet`](fleet::Fleet) of a service, and how many there should be by its [`Rule`](scaling::Rule) if it has one; here it is done. Each instance is the leader of a process group of its own, so that what it starts ends with it.

pub mod fleet;
mod leftovers;
mod lifeline;
mod limits;
mod looks;
mod output;
mod process;
mod scale;
pub mod scaling;
mod supervisor;
mod usage;
mod warm_up;
mod watching;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_resilience::Env;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::service::Service;
pub use leftovers::{Known, end_leftovers};
use lifeline::Lifeline;
use limits::Divided;
pub use scale::{By, Last, Scale, View};
use supervisor::Supervisor;

/// The URL of the gateway as it is by now: of the listener with this name, or of the one that is told where none is named. None if it does not listen there.
pub type GatewayUrl = dyn Fn(Option<&Name>) -> Option<String> + Send + Sync;

/// What programs are told of the node, and what the node is told of them.
#[derive(Clone)]
pub struct Home {
    /// The URL of the API.
    pub api: String,
    /// Where the gateway listens.
    pub gateway: Arc<GatewayUrl>,
    /// What all programs that this process starts have in their environment.
    pub marker: String,
    /// A command that ends all programs with the marker, and those whose numbers it has read, when what it reads ends: Mainstay has ended then, however that was.
    pub lifeline: Vec<OsString>,
    /// Told of each service whose program takes calls, or need not.
    pub is_up: Arc<dyn Fn(&Name) + Send + Sync>,
}

/// Runs the programs of the services that are told, until it is told to close; then it ends them all, each with the time that its service gives it.
pub async fn supervise(
    mut services: watch::Receiver<Vec<Arc<Service>>>,
    home: Home,
    env: Env,
    closing: CancellationToken,
) {
    let lifeline = Arc::new(Lifeline::new(home.lifeline.clone()));
    let shared = Shared { home, env, lifeline: Arc::clone(&lifeline), division: Arc::default() };
    let mut supervisors = Supervisors { shared, told: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let told = services.borrow_and_update().clone();
        supervisors.tell(&told);
        tokio::select! {
            changed = services.changed() => if changed.is_err() { break },
            Some(ended) = supervisors.tasks.join_next() => supervisors.ended(ended),
            () = closing.cancelled() => break,
        }
    }
    supervisors.tell(&[]);
    while let Some(ended) = supervisors.tasks.join_next().await {
        supervisors.ended(ended);
    }
    let _ = tokio::task::spawn_blocking(move || lifeline.end()).await;
}

/// What all programs of this process share.
#[derive(Clone)]
struct Shared {
    home: Home,
    env: Env,
    lifeline: Arc<Lifeline>,
    /// The control group of this process, which the first program divides that needs it.
    division: Arc<Divided>,
}

struct Supervisors {
    shared: Shared,
    /// What those that run are told: their service, or that it has no program any more.
    told: BTreeMap<Name, watch::Sender<Option<Arc<Service>>>>,
    tasks: JoinSet<Name>,
}

impl Supervisors {
    /// These are all services.
    fn tell(&mut self, services: &[Arc<Service>]) {
        let with_program = |service: &&Arc<Service>| service.config().run.is_some();
        for (name, tell) in &self.told {
            let service = services.iter().filter(with_program).find(|service| service.name() == name);
            tell.send_if_modified(|known| {
                let is_same = match (&known, service) {
                    (Some(known), Some(service)) => Arc::ptr_eq(known, service),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                *known = service.cloned();
                !is_same
            });
        }
        for service in services.iter().filter(with_program) {
            if !self.told.contains_key(service.name()) {
                self.start(Arc::clone(service));
            }
        }
    }

    fn start(&mut self, service: Arc<Service>) {
        let (tell, hear) = watch::channel(Some(Arc::clone(&service)));
        let name = service.name().clone();
        self.told.insert(name.clone(), tell);
        let supervisor = Supervisor::new(service, self.shared.clone());
        self.tasks.spawn(async move {
            supervisor.run(hear).await;
            name
        });
    }

    /// One has ended its programs and itself. It may have been told of another one meanwhile.
    fn ended(&mut self, ended: Result<Name, tokio::task::JoinError>) {
        let name = match ended {
            Ok(name) => name,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        let told = self.told.remove(&name).and_then(|tell| tell.borrow().clone());
        if let Some(service) = told {
            self.start(service);
        }
    }
}
