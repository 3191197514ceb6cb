//! What a TCP listener is told, and whether it can be.

use std::collections::BTreeMap;

use mainstay_base::id::Name;
use mainstay_base::units::Duration;

use crate::config::{Definitions, Misfit};
use crate::routes::Host;
use crate::{access, census};

/// What a TCP listener is told of the connections that it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where they go, if no name in `sni` is theirs; they are closed if there is none.
    pub service: Option<Name>,
    /// Where those go whose client asks for a name by TLS: names, or `*.` in front of one for those with one label more.
    pub sni: BTreeMap<String, Name>,
    /// Whether each begins, towards the service, with a header of the PROXY protocol, version 2.
    pub send_proxy_protocol: bool,
    /// How many may be open.
    pub connections: census::Config,
    /// How long one is kept on which nothing moves.
    pub idle_timeout: Duration,
    /// Which are logged, if it is not said by the gateway.
    pub access_log: Option<access::Config>,
}

impl Config {
    /// How long a connection on which nothing moves is kept, if it is not said.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

    /// What the types cannot state, and services that are not there. Paths begin with the keys `at`.
    pub fn check(&self, at: &[&str], definitions: &Definitions) -> Vec<Misfit> {
        let path = |keys: &[&str]| [at, keys].concat().into_iter().map(str::to_owned).collect();
        let misfit = |keys: &[&str], message: String, help: &str| Misfit {
            path: path(keys),
            message,
            help: Some(help.to_owned()),
        };
        let mut found = Vec::new();
        if self.service.is_none() && self.sni.is_empty() {
            let help = "name a `service`, or services by name in `sni`";
            found.push(misfit(&[], "its connections have nowhere to go".into(), help));
        }
        if self.idle_timeout < Duration::from_secs(1) {
            let told = format!("{} is shorter than 1s", self.idle_timeout);
            found.push(misfit(&["idle_timeout"], told, "make it longer"));
        }
        if let Some(unknown) = self.service.as_ref().and_then(|it| definitions.unknown(it)) {
            found.push(Misfit { path: path(&["service"]), ..unknown });
        }
        for (name, service) in &self.sni {
            let keys = ["sni", name.as_str()];
            let is_twice = || self.sni.keys().any(|other| other < name && other.eq_ignore_ascii_case(name));
            match pattern(name) {
                Err(wrong) => found.push(misfit(&keys, wrong, "write a name, or `*.` and a name")),
                Ok(_) if is_twice() => found.push(misfit(
                    &keys,
                    "is there twice: names are the same in upper and lower case".into(),
                    "leave one of them out",
                )),
                Ok(_) => {}
            }
            if let Some(unknown) = definitions.unknown(service) {
                found.push(Misfit { path: path(&keys), ..unknown });
            }
        }
        found
    }
}

/// A name that clients ask for, in lower case, and whether it stands for those with one label more. Errors: it is none.
pub(super) fn pattern(name: &str) -> Result<(String, bool), String> {
    let host = Host::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let last = host.name().rsplit('.').next().unwrap_or_default();
    if host.name().starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is an address, and clients ask for names alone".to_owned());
    }
    Ok((host.name().to_owned(), host.is_wildcard()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(service: Option<&str>, sni: &[(&str, &str)]) -> Config {
        let name = |name: &str| name.parse::<Name>().expect("a name");
        Config {
            service: service.map(name),
            sni: sni.iter().map(|(host, service)| ((*host).to_owned(), name(service))).collect(),
            send_proxy_protocol: false,
            connections: census::Config::default(),
            idle_timeout: Config::IDLE_TIMEOUT,
            access_log: None,
        }
    }

    fn found(config: &Config) -> Vec<(String, String)> {
        let service = serde_json::from_str(r#"{"endpoints": ["127.0.0.1:1"]}"#).expect("a service");
        let services = BTreeMap::from([("db".parse().expect("a name"), service)]);
        let definitions = Definitions { services, ..Definitions::default() };
        let found = config.check(&["listen", "tcp", "0"], &definitions);
        found.into_iter().map(|it| (it.path.join("/"), it.message)).collect()
    }

    #[test]
    fn a_listener_has_somewhere_to_go() {
        assert_eq!(found(&config(Some("db"), &[])), []);
        assert_eq!(found(&config(None, &[("db.example.com", "db"), ("*.example.com", "db")])), []);
        let nowhere = found(&config(None, &[]));
        assert_eq!(nowhere, [("listen/tcp/0".into(), "its connections have nowhere to go".into())]);
        let gone = found(&config(Some("a"), &[("b.c", "b")]));
        let there = |name: &str| format!("there is no service `{name}`");
        let paths = ["listen/tcp/0/service", "listen/tcp/0/sni/b.c"];
        assert_eq!(gone, [(paths[0].into(), there("a")), (paths[1].into(), there("b"))]);
    }

    #[test]
    fn names_that_no_client_asks_for_are_mistakes() {
        for (name, part) in [
            ("", "labels"),
            ("*", "stands only in front"),
            ("*.*.example.com", "stands only in front"),
            ("db*.example.com", "stands only in front"),
            ("db.example.com:443", "leave out scheme, port and path"),
            ("db..example.com", "single dots"),
            ("192.0.2.7", "an address"),
            ("[::1]", "an address"),
        ] {
            let found = found(&config(Some("db"), &[(name, "db")]));
            assert!(found.len() == 1 && found[0].1.contains(part), "{name}: {found:?}");
        }
        let twice = found(&config(None, &[("DB.example.com", "db"), ("db.example.com", "db")]));
        assert!(twice.len() == 1 && twice[0].1.contains("is there twice"), "{twice:?}");
        let quick = Config { idle_timeout: Duration::from_millis(999), ..config(Some("db"), &[]) };
        assert_eq!(found(&quick), [("listen/tcp/0/idle_timeout".into(), "999ms is shorter than 1s".into())]);
    }
}
