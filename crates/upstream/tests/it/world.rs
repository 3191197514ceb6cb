//! What tests have in common: services that answer with given bytes, and whoever calls them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::time::SeededEntropy;
use mainstay_resilience::fault::{Faults, Handle};
use mainstay_resilience::policy::Policy;
use mainstay_resilience::{Call, Counts, Env, Facts, TokioClock};
use mainstay_upstream::config::{Address, Endpoint, Protocol};
use mainstay_upstream::roster::View;
use mainstay_upstream::tend::tend;
use mainstay_upstream::{Answered, Caller, Choice, Config, Head, Payload, Request, Service, State, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A connection as a service sees it.
pub struct Conversation(pub TcpStream);

impl Conversation {
    /// Everything up to and with these bytes.
    pub async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let byte = self.0.read_u8().await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&read));
            });
            read.push(byte);
        }
        String::from_utf8(read).expect("requests of tests are text")
    }

    pub async fn say(&mut self, bytes: &str) {
        self.say_bytes(bytes.as_bytes()).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the gateway reads");
    }

    /// Answers each head, until there is none any more.
    pub async fn answer_all(&mut self, answer: impl Fn() -> &'static str) {
        let mut read = Vec::new();
        while let Ok(byte) = self.0.read_u8().await {
            read.push(byte);
            if read.ends_with(b"\r\n\r\n") {
                read.clear();
                if self.0.write_all(answer().as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Reads to the end, and says nothing.
    pub async fn swallow(&mut self) {
        // How it ends is not what it is about.
        let _ = tokio::io::copy(&mut self.0, &mut tokio::io::sink()).await;
    }
}

/// A service at an address of its own.
pub struct Script(TcpListener);

impl Script {
    pub async fn new() -> Self {
        Self::again("127.0.0.1:0".parse().expect("an address")).await
    }

    /// At an address where another one was.
    pub async fn again(address: SocketAddr) -> Self {
        Self::at(address).await.expect("a port")
    }

    /// At an address that somebody else may have.
    pub async fn at(address: SocketAddr) -> std::io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it listens")
    }

    pub async fn accept(&self) -> Conversation {
        Conversation(self.0.accept().await.expect("a connection").0)
    }

    /// Answers each head on each connection with these bytes, without end; closes the connection after it if it is told to.
    pub async fn repeat(&self, answer: &str, closes: bool) {
        loop {
            let mut connection = self.accept().await;
            loop {
                connection.until("\r\n\r\n").await;
                connection.say(answer).await;
                if closes {
                    break;
                }
            }
        }
    }

    /// Answers each head on all connections at a time, without end.
    pub async fn serve(&self, answer: impl Fn() -> &'static str) {
        let (mut serving, answer) = (FuturesUnordered::new(), &answer);
        loop {
            tokio::select! {
                mut connection = self.accept() => serving.push(async move { connection.answer_all(answer).await }),
                Some(()) = serving.next() => {}
            }
        }
    }
}

/// Whoever calls one service.
pub struct World {
    pub env: Env,
    pub caller: Caller,
    pub worker: Worker,
    pub service: Arc<Service>,
    services: watch::Sender<Vec<Arc<Service>>>,
}

/// A service with these endpoints, and defaults.
pub fn at(endpoints: &[SocketAddr]) -> Config {
    let endpoints = endpoints.iter().map(|address| Brief(Endpoint::expand(Address(*address)))).collect();
    Config { endpoints, ..Config::default() }
}

impl World {
    /// One that calls these, by a policy in JSON.
    pub fn new(endpoints: &[SocketAddr], policy: &str) -> Self {
        Self::speaking(endpoints, policy, Protocol::Http1)
    }

    /// The same, of a service that speaks this.
    pub fn speaking(endpoints: &[SocketAddr], policy: &str, protocol: Protocol) -> Self {
        Self::with(Config { protocol, ..at(endpoints) }, policy)
    }

    /// One that calls a service by its configuration.
    pub fn with(config: Config, policy: &str) -> Self {
        let env = Env::new(
            Arc::new(TokioClock::new()),
            Arc::new(SeededEntropy::new(1)),
            Arc::new(Counts::new("test")),
        );
        let policy: Policy = serde_json::from_str(policy).expect("it is a policy");
        config.check().expect("it can work");
        let name = "test".parse().expect("a name");
        let service = Arc::new(Service::new(name, config, policy, env.clone(), None));
        Self::of(service, env)
    }

    fn of(service: Arc<Service>, env: Env) -> Self {
        let faults = Handle::new(Faults::Allowed, env.clone());
        let worker = Worker::new(env.clone());
        let caller = worker.caller(Arc::clone(&service), service.guard(), &faults);
        let services = watch::Sender::new(vec![Arc::clone(&service)]);
        Self { env, caller, worker, service, services }
    }

    /// Another thread's callers of the same service.
    pub fn beside(&self) -> Self {
        Self::of(Arc::clone(&self.service), self.env.clone())
    }

    /// The same service by another definition, called by the same thread.
    pub fn changed(&self, config: Config) -> Self {
        config.check().expect("it can work");
        let policy: Policy = serde_json::from_str(r#"{"retry": false}"#).expect("it is a policy");
        let service = Arc::new(self.service.changed(config, policy, self.env.clone(), None));
        let faults = Handle::new(Faults::Allowed, self.env.clone());
        let worker = self.worker.clone();
        let caller = worker.caller(Arc::clone(&service), service.guard(), &faults);
        let services = watch::Sender::new(vec![Arc::clone(&service)]);
        Self { env: self.env.clone(), caller, worker, service, services }
    }

    /// Looks after the service, without end.
    pub async fn tend(&self) {
        tend(self.services.subscribe(), None, self.env.clone()).await;
    }

    /// Defines the service anew.
    pub fn change(&self, config: Config) -> Arc<Service> {
        let (policy, env) = (Policy::default(), self.env.clone());
        let changed = Arc::new(self.service.changed(config, policy, env, None));
        self.services.send_replace(vec![Arc::clone(&changed)]);
        changed
    }

    /// How the endpoint at an address is.
    pub fn endpoint(&self, address: SocketAddr) -> View {
        let all = self.service.roster().view(self.env.now());
        all.into_iter().find(|view| view.instance.address == address).expect("it is described")
    }

    /// Waits until the endpoint at an address is in a state.
    pub async fn until(&self, address: SocketAddr, state: State) -> View {
        loop {
            let view = self.endpoint(address);
            if view.state == state {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn call(&self, method: Method, payload: Payload) -> Answered {
        self.call_with(method, HeaderMap::new(), payload).await
    }

    pub async fn call_with(&self, method: Method, headers: HeaderMap, payload: Payload) -> Answered {
        let is_idempotent = method.is_idempotent();
        let uri = "/x?y=1".parse().expect("a target");
        let head = Head { method, uri, headers, upgrade: None, choice: Choice::default() };
        let facts = Facts { is_idempotent, ..Facts::new(self.env.now()) };
        self.caller.call(Call { request: Request { head: Arc::new(head), payload }, facts }).await
    }

    /// Status, body and trailers of the answer.
    pub async fn get(&self) -> Result<(u16, String, HeaderMap), String> {
        let answer = self.call(Method::GET, Payload::Empty).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok((status, text(&body.to_bytes()), trailers))
    }
}

pub fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("answers of tests are text")
}

/// Does this while that goes on, which does not end.
pub async fn during<T>(goes_on: impl Future<Output = ()>, done: impl Future<Output = T>) -> T {
    tokio::select! {
        () = goes_on => panic!("it goes on without end"),
        done = done => done,
    }
}
