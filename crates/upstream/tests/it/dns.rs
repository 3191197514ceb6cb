//! Endpoints that are looked up by a name, at a server of DNS whose records change.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use http::Method;
use mainstay_base::brief::Brief;
use mainstay_base::units::Duration;
use mainstay_upstream::config::{Dns, Server};
use mainstay_upstream::dns::Counts;
use mainstay_upstream::{Config, Payload};
use tokio::net::UdpSocket;

use crate::world::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn ok() -> &'static str {
    OK
}

/// A server of DNS. It has what it was told to have, with a TTL that is longer than any test.
struct Names {
    socket: UdpSocket,
    records: Mutex<HashMap<(Name, RecordType), Vec<RData>>>,
    is_silent: AtomicBool,
}

impl Names {
    async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        Self { socket, records: Mutex::default(), is_silent: AtomicBool::new(false) }
    }

    fn has(&self, text: &str, of: RecordType, records: Vec<RData>) {
        self.records.lock().expect("nobody panics").insert((name(text), of), records);
    }

    /// The addresses of a name are these, none of them of another family than IPv4.
    fn has_addresses(&self, text: &str, addresses: &[SocketAddr]) {
        let records = addresses.iter().map(|address| RData::from(address.ip()));
        self.has(text, RecordType::A, records.collect());
        self.has(text, RecordType::AAAA, Vec::new());
    }

    fn forget(&self) {
        self.records.lock().expect("nobody panics").clear();
    }

    async fn serve(&self) {
        let mut packet = [0; 4096];
        loop {
            let (length, from) = self.socket.recv_from(&mut packet).await.expect("a packet");
            let mut message = Message::from_vec(&packet[..length]).expect("a question").into_response();
            if self.is_silent.load(Ordering::Relaxed) {
                continue;
            }
            let question = message.queries[0].clone();
            let mut asked = question.name().clone();
            asked.set_fqdn(true);
            let records = self.records.lock().expect("nobody panics").clone();
            let found = records.get(&(asked.clone(), question.query_type()));
            let is_there = records.keys().any(|(name, _)| *name == asked);
            if !is_there {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            let found = found.into_iter().flatten();
            message.add_answers(found.map(|data| Record::from_rdata(asked.clone(), TTL_SECS, data.clone())));
            self.socket.send_to(&message.to_vec().expect("it is an answer"), from).await.expect("it is sent");
        }
    }

    /// A service whose endpoints are looked up here.
    fn service(&self, name: &str, port: Option<u16>, hold: Duration) -> Config {
        let dns = Dns {
            name: name.to_owned(),
            servers: vec![Server(self.socket.local_addr().expect("it is bound"))],
            ttl_min: Duration::from_millis(10),
            ttl_max: Duration::from_millis(20),
            hold,
            timeout: Duration::from_millis(200),
        };
        let port = port.map(|port| port.try_into().expect("a port"));
        Config { dns: Some(Brief(dns)), port, ..at(&[]) }
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

/// So many services that listen on one port of addresses of their own.
async fn on_one_port(count: u8) -> Vec<Script> {
    loop {
        let mut scripts = vec![Script::new().await];
        let port = scripts[0].address().port();
        for number in 2..=count {
            // Somebody else may have it.
            scripts.extend(Script::at(([127, 0, 0, number], port).into()).await.ok());
        }
        if scripts.len() == usize::from(count) {
            return scripts;
        }
    }
}

fn endpoints(world: &World) -> Vec<(SocketAddr, u32)> {
    let all = world.service.roster().view(world.env.now()).into_iter();
    all.map(|view| (view.instance.address, view.instance.weight)).collect()
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn counts(world: &World) -> Counts {
    world.service.discovery().counts()
}

/// Of all records.
const TTL_SECS: u32 = 3600;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn calls_follow_a_name_to_its_new_addresses_without_one_failing() {
    let (scripts, names) = (on_one_port(2).await, Names::new().await);
    let [old, new] = [0, 1].map(|place: usize| scripts[place].address());
    names.has_addresses("legacy.internal", &[old]);
    let world = World::with(names.service("legacy.internal", Some(old.port()), HOUR), r#"{"retry": false}"#);
    assert!(world.get().await.is_err_and(|error| error.contains("has no endpoints")), "nobody has asked yet");
    let goes_on = async {
        let serve = async { drop(join_all(scripts.iter().map(|script| script.serve(ok))).await) };
        tokio::join!(serve, names.serve(), world.tend());
    };
    let call = async {
        until(|| endpoints(&world) == [(old, 1)]).await;
        assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        names.has_addresses("legacy.internal", &[new]);
        while endpoints(&world) != [(new, 1)] {
            assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        }
        assert_eq!(world.endpoint(new).ended, 20);
        names.has_addresses("legacy.internal", &[new, old]);
        until(|| endpoints(&world) == [(old, 1), (new, 1)]).await;
        assert_eq!(world.endpoint(new).ended, 20, "what is known of those that stay is kept");
        let view = world.service.discovery().view(world.env.now()).expect("it has a name");
        assert_eq!((&*view.name, view.error), ("legacy.internal", None));
        assert_eq!(view.port.map(u16::from), Some(old.port()));
        assert!(view.resolved.is_some());
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn an_endpoint_that_goes_finishes_what_it_has() {
    let (scripts, names) = (on_one_port(2).await, Names::new().await);
    let [old, new] = [0, 1].map(|place: usize| scripts[place].address());
    names.has_addresses("legacy.internal", &[old]);
    let world = World::with(names.service("legacy.internal", Some(old.port()), HOUR), r#"{"retry": false}"#);
    let goes_on = async {
        tokio::join!(names.serve(), world.tend());
    };
    let call = async {
        until(|| !endpoints(&world).is_empty()).await;
        let serve = async {
            let mut connection = scripts[0].accept().await;
            connection.until("\r\n\r\n").await;
            names.has_addresses("legacy.internal", &[new]);
            until(|| endpoints(&world) == [(new, 1)]).await;
            connection.say(OK).await;
        };
        let (answer, ()) = tokio::join!(world.get(), serve);
        assert_eq!(answer.map(|answer| answer.0), Ok(200));
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn records_of_services_say_ports_and_weights_and_only_the_first_priority_counts() {
    let (scripts, names) = ([Script::new().await, Script::new().await], Names::new().await);
    let [one, two] = [0, 1].map(|place: usize| scripts[place].address());
    let service = |priority, weight, port, target| RData::SRV(SRV::new(priority, weight, port, name(target)));
    let records = vec![
        service(20, 100, 9, "spare.internal"),
        service(10, 3, one.port(), "a.internal"),
        service(10, 0, two.port(), "B.internal"),
    ];
    names.has("_payments._tcp.internal", RecordType::SRV, records);
    for target in ["a.internal", "b.internal", "spare.internal"] {
        names.has_addresses(target, &[one]);
    }
    let world = World::with(names.service("_payments._tcp.internal", None, HOUR), r#"{"retry": false}"#);
    let goes_on = async {
        let serve = async { drop(join_all(scripts.iter().map(|script| script.serve(ok))).await) };
        tokio::join!(serve, names.serve(), world.tend());
    };
    let call = async {
        until(|| !endpoints(&world).is_empty()).await;
        let mut all = vec![(one, 3), (two, 1)];
        all.sort();
        assert_eq!(endpoints(&world), all);
        for _ in 0..20 {
            assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        }
        // The root as a place says that the service is not there.
        names.has("_payments._tcp.internal", RecordType::SRV, vec![service(0, 0, 0, ".")]);
        until(|| counts(&world).empty > 0).await;
        assert_eq!(endpoints(&world), all, "they are held");
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn a_name_that_is_gone_keeps_its_endpoints_as_long_as_they_are_held() {
    let (script, names) = (Script::new().await, Names::new().await);
    let address = script.address();
    names.has_addresses("legacy.internal", &[address]);
    let config = |hold| names.service("legacy.internal", Some(address.port()), hold);
    let [held, dropped] = [HOUR, Duration::ZERO].map(|hold| World::with(config(hold), r#"{"retry": false}"#));
    let goes_on = async {
        tokio::join!(script.serve(ok), names.serve(), held.tend(), dropped.tend());
    };
    let call = async {
        until(|| !endpoints(&held).is_empty() && !endpoints(&dropped).is_empty()).await;
        names.forget();
        until(|| counts(&held).empty > 0 && endpoints(&dropped).is_empty()).await;
        assert_eq!(held.get().await.map(|answer| answer.0), Ok(200));
        let error = dropped.call(Method::GET, Payload::Empty).await.expect_err("there are none");
        assert_eq!(error.to_string(), "the service `test` has no endpoints");
        let view = held.service.discovery().view(held.env.now()).expect("it has a name");
        assert_eq!(view.error.as_deref(), Some("the name has no addresses"));
        names.has_addresses("legacy.internal", &[address]);
        let found = counts(&held).found;
        until(|| counts(&held).found > found && !endpoints(&dropped).is_empty()).await;
        assert_eq!(dropped.get().await.map(|answer| answer.0), Ok(200));
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn a_server_that_is_silent_changes_nothing() {
    let (script, names) = (Script::new().await, Names::new().await);
    let address = script.address();
    names.has_addresses("legacy.internal", &[address]);
    let config = names.service("legacy.internal", Some(address.port()), Duration::ZERO);
    let world = World::with(config, r#"{"retry": false}"#);
    let goes_on = async {
        tokio::join!(script.serve(ok), names.serve(), world.tend());
    };
    let call = async {
        until(|| !endpoints(&world).is_empty()).await;
        names.is_silent.store(true, Ordering::Relaxed);
        names.forget();
        until(|| counts(&world).failed > 1).await;
        assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        let view = world.service.discovery().view(world.env.now()).expect("it has a name");
        assert_eq!(view.error.as_deref(), Some("no answer within 200ms"));
        names.has_addresses("legacy.internal", &[address]);
        names.is_silent.store(false, Ordering::Relaxed);
        let found = counts(&world).found;
        until(|| counts(&world).found > found).await;
        assert_eq!(world.service.discovery().view(world.env.now()).and_then(|view| view.error), None);
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn another_definition_keeps_what_is_known_of_the_name_and_goes_on_asking() {
    let (script, names) = (Script::new().await, Names::new().await);
    let address = script.address();
    names.has_addresses("legacy.internal", &[address]);
    names.has_addresses("other.internal", &[address]);
    let config = |name| names.service(name, Some(address.port()), HOUR);
    let world = World::with(config("legacy.internal"), r#"{"retry": false}"#);
    let goes_on = async {
        tokio::join!(script.serve(ok), names.serve(), world.tend());
    };
    let call = async {
        until(|| !endpoints(&world).is_empty()).await;
        assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        let connect_timeout = Duration::from_secs(2);
        let changed = world.change(Config { connect_timeout, ..config("legacy.internal") });
        assert_eq!(endpoints(&world), [(address, 1)]);
        let found = changed.discovery().counts().found;
        until(|| counts(&world).found > found + 1).await;
        world.change(config("other.internal"));
        assert_eq!(endpoints(&world), [(address, 1)]);
        let view = || world.service.discovery().view(world.env.now()).expect("it has a name");
        until(|| view().resolved.is_some()).await;
        assert_eq!(world.endpoint(address).ended, 1, "it is the same endpoint");
        world.change(at(&[address]));
        let sources: Vec<_> = world.service.roster().view(world.env.now());
        assert_eq!(sources[0].source.as_str(), "defined");
        world.change(Config { dns: None, port: None, ..config("other.internal") });
        assert!(endpoints(&world).is_empty() && world.service.discovery().view(world.env.now()).is_none());
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn names_of_this_machine_are_looked_up_without_a_server() {
    let script = Script::new().await;
    let address = script.address();
    let dns: Brief<Dns> = serde_json::from_str("\"localhost\"").expect("a name");
    let port = Some(address.port().try_into().expect("a port"));
    let world = World::with(Config { dns: Some(dns), port, ..at(&[]) }, "{}");
    let goes_on = async {
        tokio::join!(script.serve(ok), world.tend());
    };
    let call = async {
        until(|| endpoints(&world).contains(&(address, 1))).await;
        assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
    };
    during(goes_on, call).await;
}
