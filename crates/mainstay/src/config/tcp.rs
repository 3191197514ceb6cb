//! Listeners whose connections are passed on as they are, and what is wrong among all listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use mainstay_base::id::Name;
use mainstay_base::units::Duration;
use mainstay_gateway::config::{Definitions, Misfit};
use mainstay_gateway::server::LISTENERS_MAX;
use mainstay_gateway::{access, census, proxy_protocol, tcp};

use super::Listen;
use super::value::Address;
use crate::tls;

/// A listener whose connections are passed on as they are, whatever they speak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its address. Port 0 lets the system choose; the log names the port.
    pub address: Address,
    /// The service that they go to, which has to be one of `services`. With `sni`, those whose client asks for no name or another one; by default those are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// Services by the name that a client asks for by TLS (SNI): a name, or `*.example.com` for those with one label in front. A name that is written out goes first. With `tls` the name is that
    /// of the client's handshake; without it the client's first message is read, and passed on with all that follows. By default no names are told apart, and a client need not speak TLS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "services_by_name")]
    pub sni: BTreeMap<String, Name>,
    /// TLS that is ended here: the service is sent what is within, in the clear. By default whatever a client speaks is passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<tls::Config>,
    /// The PROXY protocol, version 2, by which a balancer says whom a connection is from. By default the listener does not speak it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<proxy_protocol::Config>,
    /// Whether each connection to the service begins with a header of the PROXY protocol, version 2, which says whom it is from. By default not: a service that does not expect one takes it for what the client says.
    #[serde(default)]
    pub send_proxy_protocol: bool,
    /// How many connections of this listener may be open.
    #[serde(default)]
    pub connections: census::Config,
    /// How long a connection is kept on which nothing moves in either direction, from 1s. By default 1h: longer than most pools of connections keep an idle one, and short enough that those whose clients are gone without a
    /// word do not pile up.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Duration,
    /// Which connections are logged, at their end. By default as `gateway.access_log` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<access::Config>,
}

/// Without what names are like in general: what is said of the mapping is of more use.
fn services_by_name(generator: &mut SchemaGenerator) -> Schema {
    let mut name = Name::json_schema(generator);
    name.remove("description");
    json_schema!({ "type": "object", "additionalProperties": name })
}

const fn idle_timeout() -> Duration {
    tcp::Config::IDLE_TIMEOUT
}

impl Listener {
    fn config(&self) -> tcp::Config {
        tcp::Config {
            service: self.service.clone(),
            sni: self.sni.clone(),
            send_proxy_protocol: self.send_proxy_protocol,
            connections: self.connections,
            idle_timeout: self.idle_timeout,
            access_log: self.access_log,
        }
    }
}

/// A listener of either kind, as it is written.
pub struct Listening<'a> {
    /// Where it is written.
    pub section: &'static str,
    /// Its address.
    pub address: SocketAddr,
    /// Its name.
    pub name: Option<&'a Name>,
    /// TLS that is ended here.
    pub tls: Option<&'a tls::Config>,
    /// Who speaks the PROXY protocol to it.
    pub proxy_protocol: Option<&'a proxy_protocol::Config>,
    /// What becomes of its connections, if they are passed on as they are.
    pub tcp: Option<tcp::Config>,
}

impl Listen {
    /// The listeners of the gateway: for HTTP, then those whose connections are passed on as they are.
    pub fn all(&self) -> impl Iterator<Item = Listening<'_>> {
        let of_http = self.gateway.iter().map(|it| Listening {
            section: "listen.gateway",
            address: it.address.socket(),
            name: it.name.as_ref(),
            tls: it.tls.as_ref(),
            proxy_protocol: it.proxy_protocol.as_ref(),
            tcp: None,
        });
        let of_tcp = self.tcp.iter().map(|it| Listening {
            section: "listen.tcp",
            address: it.address.socket(),
            name: None,
            tls: it.tls.as_ref(),
            proxy_protocol: it.proxy_protocol.as_ref(),
            tcp: Some(it.config()),
        });
        of_http.chain(of_tcp)
    }

    /// The sections `tls` of all of them, each with the keys that lead to it.
    pub fn tls_mut(&mut self) -> impl Iterator<Item = (Vec<String>, &mut tls::Config)> {
        let of_http = self.gateway.iter_mut().map(|it| &mut it.tls);
        let of_tcp = self.tcp.iter_mut().map(|it| &mut it.tls);
        let all =
            of_http.enumerate().map(|it| ("gateway", it)).chain(of_tcp.enumerate().map(|it| ("tcp", it)));
        all.filter_map(|(key, (number, tls))| {
            let path = ["listen", key, &number.to_string(), "tls"].map(str::to_owned);
            Some((path.to_vec(), tls.as_mut()?))
        })
    }

    /// What the types cannot state of them, by what is defined beside them.
    pub fn misfits(&self, definitions: &Definitions) -> Vec<Misfit> {
        let mut found = Vec::new();
        for (number, listener) in self.tcp.iter().enumerate() {
            let at = ["listen", "tcp", &number.to_string()];
            found.extend(listener.config().check(&at, definitions));
        }
        let mut names = BTreeSet::new();
        for (number, name) in self.names() {
            if !names.insert(name) {
                let told = format!("`{name}` is the name of two listeners");
                let told = Misfit::new(&["listen", "gateway", &number.to_string(), "name"], told);
                found.push(told.help("give each its own"));
            }
        }
        let listeners = self.gateway.len() + self.tcp.len();
        if listeners > LISTENERS_MAX {
            let key = if self.tcp.is_empty() { "gateway" } else { "tcp" };
            let told = format!("there are {listeners} listeners, and at most {LISTENERS_MAX}");
            found.push(Misfit::new(&["listen", key], told).help("leave some of them out"));
        }
        let mut taken = vec![self.api.socket()];
        for (key, number, address) in self.addresses() {
            if address.port() != 0 && taken.contains(&address) {
                let told = format!("{address} is there twice");
                let told = Misfit::new(&["listen", key, &number.to_string(), "address"], told);
                found.push(told.help("leave one of them out"));
            }
            taken.push(address);
        }
        found
    }

    /// The names that listeners have, with their places.
    pub fn names(&self) -> impl Iterator<Item = (usize, &Name)> {
        let names = self.gateway.iter().map(|it| it.name.as_ref()).enumerate();
        names.filter_map(|(number, name)| Some((number, name?)))
    }

    fn addresses(&self) -> impl Iterator<Item = (&'static str, usize, SocketAddr)> {
        let of_http = self.gateway.iter().map(|it| it.address.socket()).enumerate();
        let of_tcp = self.tcp.iter().map(|it| it.address.socket()).enumerate();
        let of_http = of_http.map(|(number, address)| ("gateway", number, address));
        of_http.chain(of_tcp.map(|(number, address)| ("tcp", number, address)))
    }
}
