//! What becomes of the connections of a listener: which service each is for, and how many there may be.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_upstream::Service;

use super::Config;
use super::config::pattern;
use super::meters::OfListener;
use crate::census::{Census, Counted};
use crate::meters::Meters;
use crate::snapshot::Snapshot;

/// What becomes of the connections of a TCP listener. It never changes: a reload makes another one, and connections that are open go on.
#[derive(Debug)]
pub struct Passage {
    config: Config,
    names: Names<Arc<Service>>,
    census: Arc<Census>,
    meters: Arc<OfListener>,
}

impl Passage {
    /// What a listener at an address is told, which was checked, with the services that are in force; after what it was told before.
    ///
    /// # Panics
    /// If it names a service that is not in force.
    pub fn new(
        config: Config,
        snapshot: &Snapshot,
        (address, meters): (SocketAddr, &Meters),
        previous: Option<&Self>,
    ) -> Self {
        let service = |name: &Name| Arc::clone(snapshot.service(name).expect("it was checked"));
        let names = Names::new(&config, service);
        // What is open counts on.
        let census = previous.map_or_else(|| Arc::new(Census::new(None)), |it| Arc::clone(&it.census));
        let meters =
            previous.map_or_else(|| Arc::new(meters.tcp.of_listener(address)), |it| Arc::clone(&it.meters));
        Self { config, names, census, meters }
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) const fn meters(&self) -> &Arc<OfListener> {
        &self.meters
    }

    /// Whether it has to be known which name a client asks for.
    pub(super) fn tells_names_apart(&self) -> bool {
        !self.config.sni.is_empty()
    }

    /// Counts a connection, unless there are as many as may be.
    pub(super) fn count(&self) -> Option<Counted> {
        self.census.count(self.config.connections)
    }

    /// The service of connections whose client asks for a name or for none, as it is by now. None if they are for nobody.
    pub(super) fn service(&self, name: Option<&str>, now: &Snapshot) -> Option<Arc<Service>> {
        let service = self.names.of(name)?;
        // A reload puts its services in force first, then its listeners: for that moment what is known here serves on.
        Some(Arc::clone(now.service(service.name()).unwrap_or(service)))
    }
}

/// What is told apart by names.
#[derive(Debug)]
struct Names<T> {
    exact: HashMap<String, T>,
    /// Of names with one label more.
    below: HashMap<String, T>,
    other: Option<T>,
}

impl<T> Names<T> {
    fn new(config: &Config, of: impl Fn(&Name) -> T) -> Self {
        let other = config.service.as_ref().map(&of);
        let mut names = Self { exact: HashMap::new(), below: HashMap::new(), other };
        for (name, service) in &config.sni {
            let (name, is_wildcard) = pattern(name).expect("it was checked");
            let among = if is_wildcard { &mut names.below } else { &mut names.exact };
            among.insert(name, of(service));
        }
        names
    }

    /// What is for a name in lower case, or for none.
    fn of(&self, name: Option<&str>) -> Option<&T> {
        let below = |name: &str| self.below.get(name.split_once('.')?.1);
        let by_name = name.and_then(|name| self.exact.get(name).or_else(|| below(name)));
        by_name.or(self.other.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::units::Duration;

    use super::*;
    use crate::census;

    fn names(service: Option<&str>, sni: &[(&str, &str)]) -> Names<String> {
        let name = |name: &str| name.parse::<Name>().expect("a name");
        let config = Config {
            service: service.map(name),
            sni: sni.iter().map(|(host, service)| ((*host).to_owned(), name(service))).collect(),
            send_proxy_protocol: false,
            connections: census::Config::default(),
            idle_timeout: Duration::from_secs(1),
            access_log: None,
        };
        Names::new(&config, Name::to_string)
    }

    #[test]
    fn the_name_itself_goes_before_a_wildcard_and_that_before_the_rest() {
        let sni = [("DB.Example.com", "db"), ("*.example.com", "any"), ("*.eu.example.com", "eu")];
        let names = names(Some("rest"), &sni);
        for (name, service) in [
            (Some("db.example.com"), "db"),
            (Some("web.example.com"), "any"),
            (Some("eu.example.com"), "any"),
            (Some("db.eu.example.com"), "eu"),
            (Some("a.b.example.com"), "rest"),
            (Some("example.com"), "rest"),
            (Some("xexample.com"), "rest"),
            (Some("com"), "rest"),
            (None, "rest"),
        ] {
            assert_eq!(names.of(name).map(String::as_str), Some(service), "{name:?}");
        }
    }

    #[test]
    fn without_a_service_for_the_rest_there_is_none() {
        let names = names(None, &[("db.example.com", "db")]);
        assert_eq!(names.of(Some("db.example.com")).map(String::as_str), Some("db"));
        assert_eq!((names.of(Some("web.example.com")), names.of(None)), (None, None));
    }
}
