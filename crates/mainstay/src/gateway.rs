//! The gateway of this node: its addresses taken, its workers started and stopped, its definitions put in force.

pub mod faults;
mod in_force;
mod metrics;
mod scaled;
pub mod store;
mod view;
mod written;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_base::time::{Clock, Entropy};
use mainstay_base::units::Duration;
use mainstay_gateway::book::{Change, Changed, Kind};
use mainstay_gateway::config::Misfit;
use mainstay_gateway::listener::{Bound, Greeting, Listener};
use mainstay_gateway::meters::Meters;
use mainstay_gateway::server::{Server, Shared};
use mainstay_gateway::snapshot::{Maker, Snapshot};
use mainstay_gateway::tcp::{self, Passage};

use mainstay_resilience::fault::{self, Faults, InstallError};
use mainstay_upstream::Service;
use mainstay_upstream::run::{Home, supervise};
use mainstay_upstream::tend::tend;

use crate::config::{self, Config, Loaded};
use crate::life::Unfinished;
use crate::system::SystemClock;
use crate::telemetry::metrics::{LATENCY_SECONDS, Metrics};
use crate::tls;
use faults::{Injected, Injections};
pub use in_force::{Finding, InForce, Refused};
pub use scaled::Scaled;
use store::{Staged, Store};
pub use view::{Bulkhead, Defined, Dns, Endpoint, Guarding};
pub use written::Written;
use written::{definitions, rules, wrong_faults};

/// What is wrong with the faults that routes inject.
fn misfits_of_faults(config: &Config) -> Vec<Misfit> {
    if config.faults == Faults::Refused {
        let help = "set `faults: allowed` at the top of the file, or leave these out";
        return wrong_faults(&config.routes, |_| true, ("faults are refused", help));
    }
    let all = fault::Config { faults: config.faults, rules: rules(config) };
    all.check().err().map(|wrong| Misfit::new(&["faults"], wrong)).into_iter().collect()
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
    found.extend(misfits_of_faults(config));
    found.extend(config.listen.misfits(&definitions(config)));
    found
}

/// Reads the files of listeners and services with TLS, whose keys are loaded. Returns what is wrong with them, and what is odd.
pub fn read_certificates(config: &mut Config) -> (Vec<Misfit>, Vec<Misfit>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    for (path, section) in config.listen.tls_mut() {
        let place = |found: tls::Found| {
            let path = path.iter().cloned().chain(found.path).collect();
            Misfit { path, message: found.message, help: Some(found.help) }
        };
        let unread = section.read();
        if !unread.is_empty() {
            wrong.extend(unread.into_iter().map(place));
            continue;
        }
        match section.tls(None, &clock) {
            Ok(tls) => odd.extend(tls.warnings().iter().cloned().map(|it| place(it.into()))),
            Err(found) => wrong.extend(found.into_iter().map(place)),
        }
    }
    for (name, service) in &mut config.services {
        let Switch::On(section) = &mut service.tls else { continue };
        wrong.extend(tls::read_of_service(section).into_iter().map(|found| {
            let path = ["services", name.as_str(), "tls"].map(str::to_owned);
            let path = path.into_iter().chain(found.path).collect();
            Misfit { path, message: found.message, help: Some(found.help) }
        }));
    }
    (wrong, odd)
}

/// Why the gateway could not start, or be configured anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of its addresses.
    #[error(
        "cannot listen on {address} for the gateway: {source}; choose another address in `{section}`, or port 0"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Where it is configured.
        section: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The threads.
    #[error("cannot start the gateway's workers: {0}")]
    Workers(std::io::Error),
    /// Faults that are injected.
    #[error(transparent)]
    Faults(InstallError),
    /// What the configuration and the API define does not go together.
    #[error(transparent)]
    Definitions(#[from] Refused),
    /// What the API has defined.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The certificates of a listener.
    #[error("TLS of the listener on {address}: {reasons}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// What is wrong with them.
        reasons: String,
    },
}

impl Error {
    /// Why, one by one.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Definitions(Refused::Misfits(findings)) => {
                findings.iter().map(ToString::to_string).collect()
            }
            other => vec![other.to_string()],
        }
    }
}

/// The gateway of a node. Clones are the same one.
#[derive(Clone)]
pub struct NodeGateway(Arc<Parts>);

struct Parts {
    maker: Maker,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// The services that are looked after beside the traffic.
    tended: watch::Sender<Vec<Arc<Service>>>,
    /// What the snapshot was made of.
    in_force: ArcSwap<InForce>,
    /// Held by whoever changes that, from the first look until it is in force.
    changing: Arc<tokio::sync::Mutex<()>>,
    store: Arc<Store>,
    server: Server,
    faults: fault::Handle,
    /// Whether there may be any.
    allowed: Faults,
    /// Those of `faults` that were put over the API. Held while rules are exchanged.
    injections: Mutex<Injections>,
    /// With the addresses as they are configured.
    listeners: Mutex<Vec<(SocketAddr, Listener)>>,
    clock: Arc<dyn Clock>,
}

/// What a configuration wants, beside what is kept: nothing of it can fail any more but the start of threads and a failing disk. Until it is put in force or dropped, nothing else changes.
pub struct Prepared {
    listeners: Vec<Wanted>,
    next: InForce,
    /// The book, if it is another than the one that is kept.
    staged: Option<Staged>,
    _changing: OwnedMutexGuard<()>,
}

/// A listener that a configuration wants.
struct Wanted {
    /// As it is configured.
    address: SocketAddr,
    name: Option<Name>,
    place: Place,
    greeting: Greeting,
    /// What becomes of connections that are passed on as they are.
    tcp: Option<tcp::Config>,
}

impl Wanted {
    /// Whether it goes on with this listener.
    fn keeps(&self, known: &Listener) -> bool {
        matches!(&self.place, Place::Kept(listener) if listener.is(known))
    }
}

enum Place {
    Kept(Listener),
    New(Bound),
}

/// Which of those that are served each wanted one goes on with: one at its address; where several are configured for it, as with port 0, one of its kind and name first, and then in their order.
fn kept(
    mut served: Vec<(SocketAddr, Listener)>,
    wanted: &[config::tcp::Listening<'_>],
) -> Vec<Option<Listener>> {
    let mut kept = vec![None; wanted.len()];
    for is_same in [true, false] {
        for (kept, wanted) in kept.iter_mut().zip(wanted).filter(|(kept, _)| kept.is_none()) {
            let is_alike = |listener: &Listener| {
                listener.name().as_ref() == wanted.name
                    && listener.greeting().tcp.is_some() == wanted.tcp.is_some()
            };
            let place = served.iter().position(|(address, listener)| {
                *address == wanted.address && (!is_same || is_alike(listener))
            });
            *kept = place.map(|place| served.remove(place).1);
        }
    }
    kept
}

impl NodeGateway {
    /// What a configuration and the API have defined, which is served by nobody yet. Errors: what is kept cannot be read.
    pub fn new(
        loaded: &Loaded,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let (config, written) = (&loaded.config, Written::of(loaded));
        let store = Store::new(config.data.as_path());
        let book = store.read()?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.gateway.workers.map_or_else(cores, |workers| workers.get() as usize);
        let meters = Meters::new(&LATENCY_SECONDS);
        meters.collectors().into_iter().for_each(|collector| metrics.collect_boxed(collector));
        let zone = config.node.zone.clone();
        let maker = Maker { clock: Arc::clone(clock), entropy: Arc::clone(entropy), meters, zone };
        let snapshot = maker.snapshot(&written.definitions, written.settings.clone(), None);
        let tended = watch::Sender::new(snapshot.services().to_vec());
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        metrics.collect(metrics::Endpoints::new(&snapshot));
        let faults = fault::Handle::new(config.faults, maker.env_of("gateway"));
        let shared = Shared::new(&maker, Arc::clone(&snapshot), faults.clone());
        let definitions = written.definitions.clone();
        Ok(Self(Arc::new(Parts {
            maker,
            snapshot,
            tended,
            in_force: ArcSwap::from_pointee(InForce { written, book, definitions }),
            changing: Arc::default(),
            store: Arc::new(store),
            server: Server::new(workers, shared),
            faults,
            allowed: config.faults,
            injections: Mutex::default(),
            listeners: Mutex::default(),
            clock: Arc::clone(clock),
        })))
    }

    /// Takes what addresses a configuration wants and are not served yet, makes TLS of its certificates, and keeps what it defines beside what the API does. Errors: nothing is served
    /// otherwise than before.
    pub async fn prepare(&self, loaded: &Loaded) -> Result<Prepared, Error> {
        let changing = Arc::clone(&self.0.changing).lock_owned().await;
        let listeners = self.wanted(&loaded.config)?;
        let (now, written) = (self.0.in_force.load_full(), Written::of(loaded));
        let declared = now.book.declare(&written.declared(), self.0.clock.wall());
        let next = InForce::new(written, declared.as_ref().unwrap_or(&now.book).clone())?;
        self.injections().rules(&next.written).map_err(Error::Faults)?;
        let staged = match declared {
            None => None,
            Some(book) => {
                let store = Arc::clone(&self.0.store);
                let staging = tokio::task::spawn_blocking(move || store.stage(&book));
                Some(staging.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?)
            }
        };
        Ok(Prepared { listeners, next, staged, _changing: changing })
    }

    fn wanted(&self, config: &Config) -> Result<Vec<Wanted>, Error> {
        let written: Vec<_> = config.listen.all().collect();
        let kept = kept(self.listeners().clone(), &written);
        let prepare = |(written, kept): (config::tcp::Listening<'_>, Option<Listener>)| {
            let (address, name) = (written.address, written.name.cloned());
            let greeting = self.greeting(&written, kept.as_ref())?;
            let place = match kept {
                Some(listener) => Place::Kept(listener),
                None => {
                    let bound = Bound::bind(address, self.0.server.workers());
                    let section = written.section;
                    Place::New(bound.map_err(|source| Error::Listen { address, section, source })?)
                }
            };
            Ok(Wanted { address, name, place, greeting, tcp: written.tcp })
        };
        written.into_iter().zip(kept).map(prepare).collect()
    }

    fn greeting(
        &self,
        wanted: &config::tcp::Listening<'_>,
        kept: Option<&Listener>,
    ) -> Result<Greeting, Error> {
        let previous = kept.and_then(|listener| listener.greeting().tls.clone());
        let tls = wanted.tls.map(|section| {
            section.tls(previous.as_deref(), &self.0.clock).map_err(|found| {
                let reasons: Vec<_> =
                    found.into_iter().map(|it| format!("{}; {}", it.message, it.help)).collect();
                Error::Tls { address: wanted.address, reasons: reasons.join("; ") }
            })
        });
        // Which protocol is spoken over it is agreed on for HTTP alone.
        let is_http = wanted.tcp.is_none();
        let tls = tls.transpose()?.map(|tls| Arc::new(if is_http { tls } else { tls.of_anything() }));
        Ok(Greeting { tls, proxy_protocol: wanted.proxy_protocol.cloned(), tcp: None })
    }

    /// Puts in force what was prepared, and serves it. Requests that have begun go on as they began; listeners that stay never close, and
    /// those that go answer what they have. Errors: the system has no threads, or the disk fails. May block.
    pub fn configure(&self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { listeners: wanted, next, staged, _changing } = prepared;
        let Parts { faults, .. } = &*self.0;
        staged.map_or(Ok(()), Staged::commit)?;
        // Held until they are those that are wanted: a program that starts meanwhile is told of these.
        let mut listeners = self.listeners();
        {
            // As they are by now: some may have been put or taken out since it was prepared.
            let injections = self.injections();
            let rules = injections.rules(&next.written).map_err(Error::Faults)?;
            if faults.rules() != rules {
                faults.install(rules).map_err(Error::Faults)?;
            }
            self.put_in_force(next, &wanted, &listeners);
        }
        let mut served = Vec::new();
        let result = self.serve(wanted, &mut served);
        let stays = |known: &Listener| served.iter().any(|(_, listener): &(_, Listener)| listener.is(known));
        let mut left: Vec<_> = listeners.drain(..).filter(|(_, listener)| !stays(listener)).collect();
        if result.is_ok() {
            left.drain(..).for_each(|(_, gone)| gone.close());
        }
        // Where it did not come to an end, those that are left are served as before, and are known to be.
        served.append(&mut left);
        *listeners = served;
        result
    }

    /// Serves what is wanted, in this order. Errors: the system has no threads; those before it are served.
    fn serve(&self, wanted: Vec<Wanted>, served: &mut Vec<(SocketAddr, Listener)>) -> Result<(), Error> {
        for Wanted { address, name, place, greeting, tcp } in wanted {
            let listener = match place {
                Place::Kept(listener) => {
                    listener.greet(self.passing(greeting, tcp, (listener.address(), Some(&listener))));
                    listener
                }
                Place::New(bound) => {
                    let greeting = self.passing(greeting, tcp, (bound.address(), None));
                    self.0.server.listen(bound, name, greeting).map_err(Error::Workers)?
                }
            };
            served.push((address, listener));
        }
        Ok(())
    }

    /// With what becomes of connections that are passed on, by the services that are in force now.
    fn passing(
        &self,
        greeting: Greeting,
        tcp: Option<tcp::Config>,
        (address, kept): (SocketAddr, Option<&Listener>),
    ) -> Greeting {
        let Parts { maker, snapshot, .. } = &*self.0;
        let previous = kept.and_then(|listener| listener.greeting().tcp.clone());
        let passage = |config| {
            Arc::new(Passage::new(config, &snapshot.load(), (address, &maker.meters), previous.as_deref()))
        };
        Greeting { tcp: tcp.map(passage), ..greeting }
    }

    /// With it listeners that stay are called as is wanted of them. Those that go are called nothing, while their connections drain: what they were called may be another one's by now.
    fn put_in_force(&self, next: InForce, wanted: &[Wanted], served: &[(SocketAddr, Listener)]) {
        let Parts { maker, snapshot, in_force, tended, .. } = &*self.0;
        let made = maker.snapshot(&next.definitions, next.written.settings.clone(), Some(&snapshot.load()));
        for (_, listener) in served {
            let name = wanted.iter().find(|it| it.keeps(listener)).and_then(|it| it.name.clone());
            listener.call(name, made.generation());
        }
        tended.send_replace(made.services().to_vec());
        snapshot.store(Arc::new(made));
        in_force.store(Arc::new(next));
    }

    /// Changes a definition, once it is kept and in one step for all requests, or tells what that would come to. Waits for a change that is under way until the deadline. Errors: nothing
    /// has changed. To drop the future once it was polled is an unknown outcome.
    pub async fn change(
        &self,
        change: Change,
        is_dry_run: bool,
        left: Option<Duration>,
    ) -> Result<Changed, Refused> {
        let changing = Arc::clone(&self.0.changing).lock_owned();
        let changing = match left {
            Some(left) => {
                tokio::time::timeout(left.as_std(), changing).await.map_err(|_| Refused::Deadline)?
            }
            None => changing.await,
        };
        let this = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _changing = changing;
            this.change_now(&change, is_dry_run)
        });
        work.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// The same by whoever may change what is in force. Blocks on the disk.
    fn change_now(&self, change: &Change, is_dry_run: bool) -> Result<Changed, Refused> {
        let now = self.0.in_force.load_full();
        let changed = now.book.change(change, self.0.clock.wall(), now.written.keep)?;
        let next = InForce::new(now.written.clone(), changed.book.clone())?;
        if !is_dry_run && changed.book != now.book {
            self.0.store.write(&changed.book)?;
            self.put_in_force(next, &[], &[]);
        }
        Ok(changed)
    }

    /// A service that is in force.
    pub fn service(&self, name: &Name) -> Option<Arc<Service>> {
        self.0.snapshot.load().services().iter().find(|service| service.name() == name).cloned()
    }

    /// How the endpoints of a service are.
    pub fn endpoints(&self, name: &Name) -> Vec<Endpoint> {
        view::endpoints(&self.0.snapshot.load(), name, self.0.clock.now())
    }

    /// The same of a service that is there.
    pub fn endpoints_of(&self, service: &Service) -> Vec<Endpoint> {
        view::endpoints_of(service, self.0.clock.now())
    }

    /// The services that are in force, for whoever waits for a change of them.
    pub fn services(&self) -> watch::Receiver<Vec<Arc<Service>>> {
        self.0.tended.subscribe()
    }

    /// The services whose programs have to take calls before the node is ready.
    pub fn programs(&self) -> BTreeSet<Name> {
        let snapshot = self.0.snapshot.load();
        let services = snapshot.services().iter();
        let needed =
            services.filter(|service| service.config().run.as_ref().is_some_and(|run| !run.optional));
        needed.map(|service| service.name().clone()).collect()
    }

    /// Runs the programs of services, until it is told to close and all have ended.
    pub fn supervise(
        &self,
        home: Home,
        closing: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        supervise(self.0.tended.subscribe(), home, self.0.maker.env_of("none"), closing)
    }

    /// Where clients find the listener with this name, if there is one; without a name, the first without TLS if there is one, else the first.
    pub fn base_url(&self, name: Option<&Name>) -> Option<String> {
        let listeners = self.listeners();
        let is_it = |listener: &Listener| name.is_none_or(|name| listener.name().as_ref() == Some(name));
        let of_http = listeners.iter().filter(|(_, it)| it.greeting().tcp.is_none() && is_it(it));
        let urls = of_http.map(|(_, listener)| (listener.greeting().tls.is_some(), listener.address()));
        let (is_tls, address) = urls.min_by_key(|(is_tls, _)| *is_tls)?;
        Some(format!("{}://{address}", if is_tls { "https" } else { "http" }))
    }

    /// How one of the endpoints of a service is; none if there is none at this address.
    pub fn endpoint(&self, service: &Service, address: SocketAddr) -> Option<Endpoint> {
        view::endpoint(service, address, self.0.clock.now())
    }

    /// Looks after the services: looks up their endpoints, checks them, and tries again what could not be reached. No name leads to the API. Runs as long as the gateway is there.
    pub fn tend(&self, api: SocketAddr) -> impl Future<Output = ()> + Send + 'static {
        tend(self.0.tended.subscribe(), Some(api), self.0.maker.env_of("none"))
    }

    /// What is in force.
    pub fn in_force(&self) -> Arc<InForce> {
        self.0.in_force.load_full()
    }

    /// What is in force of a kind, by name; of services also what guards them at the moment.
    pub fn all(&self, kind: Kind) -> Vec<Defined> {
        self.0.in_force.load().all(kind, &self.0.snapshot.load(), self.0.clock.now())
    }

    /// The faults that are injected.
    pub fn faults(&self) -> Vec<faults::Shown> {
        self.injections().shown(&self.0.in_force.load().written)
    }

    /// Injects a fault until it is taken out or the process ends, or another one by that name, whose schedule begins anew. Returns whether there was none. Errors, with the faults as they
    /// were: faults are refused here, or it cannot work.
    pub fn inject(&self, name: &Name, injected: Injected) -> Result<bool, faults::Error> {
        if self.0.allowed == Faults::Refused {
            return Err(InstallError::Refused.into());
        }
        let (mut current, now) = (self.injections(), self.0.in_force.load());
        let next = current.with(name, injected, &now.definitions)?;
        self.0.faults.install(next.rules(&now.written)?)?;
        let is_new = !current.has(name);
        *current = next;
        Ok(is_new)
    }

    /// Takes a fault out. Errors: it is not there, or is the configuration's.
    pub fn heal(&self, name: &str) -> Result<(), faults::Error> {
        let (mut current, now) = (self.injections(), self.0.in_force.load());
        let next = current.without(name, &now.written)?;
        self.0.faults.install(next.rules(&now.written)?)?;
        *current = next;
        Ok(())
    }

    fn injections(&self) -> MutexGuard<'_, Injections> {
        // What is in it is what was installed before it.
        self.0.injections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens: for HTTP, and for connections that are passed on as they are.
    pub fn addresses(&self) -> [Vec<SocketAddr>; 2] {
        let of = |is_tcp: bool| {
            let listeners = self.listeners();
            let listeners = listeners.iter().map(|(_, listener)| listener);
            let of_kind = listeners.filter(|listener| listener.greeting().tcp.is_some() == is_tcp);
            of_kind.map(Listener::address).collect()
        };
        [of(false), of(true)]
    }

    /// Stops the workers, as a part of a node's stop.
    pub async fn drain(&self, deadline: Instant, linger: std::time::Duration) -> Result<(), Unfinished> {
        match self.0.server.drain(deadline, linger).await {
            0 => Ok(()),
            cut => Err(Unfinished { part: "gateway".into(), unfinished: vec![format!("{cut} connections")] }),
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(SocketAddr, Listener)>> {
        // Each listener in it is one that is served.
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
