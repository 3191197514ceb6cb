//! Looking a name up: who is asked, and what their answers say.
//!
//! Names are whole, so that an answer to another one never counts; what the machine's hosts file has is not asked for elsewhere. Nothing is kept of answers: their TTLs count as they come.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::StreamExt as _;
use futures_util::stream;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};
use mainstay_base::units::Duration;
use mainstay_resilience::Env;

use super::known::{Answer, ENDPOINTS_MAX, Family, Part, Place, Wanted, parts};
use crate::config::Server;

/// How long one try at a server may take: a packet that is lost is sent again after that.
const TRY: Duration = Duration::from_secs(2);

/// The most names that are asked for at a time, for one lookup.
const AT_A_TIME: usize = 32;

/// Of how many sets of servers is kept how they are asked. Beyond that it is made anew.
const SETS_MAX: usize = 64;

/// Who is asked for names: one resolver for each set of servers.
#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    made: Mutex<Made>,
    files: Files,
    /// The API of this node, to which no name leads.
    api: Option<SocketAddr>,
}

/// By servers, with the times of the files that it was made of if they are the machine's own.
type Made = HashMap<Vec<Server>, (Stamps, Arc<Resolver>)>;

/// When files were changed last.
type Stamps = [Option<SystemTime>; 2];

/// The files that say how this machine looks names up.
#[derive(Debug)]
struct Files {
    resolvers: PathBuf,
    hosts: PathBuf,
}

#[derive(Debug)]
struct Resolver {
    hosts: Hosts,
    /// Or why there is none.
    dns: Result<TokioResolver, String>,
}

/// What is found of one part, and its lowest TTL.
type Found = Result<(Vec<IpAddr>, Option<u32>), String>;

impl Default for Files {
    fn default() -> Self {
        Self { resolvers: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

impl Resolvers {
    /// Those of a node with this API.
    pub(crate) fn of_node(api: Option<SocketAddr>) -> Self {
        Self { api, ..Self::default() }
    }

    /// What asks these servers, or those of this machine. Reads small files of `/etc` when they have changed.
    fn of(&self, servers: &[Server]) -> Arc<Resolver> {
        let stamps = if servers.is_empty() { self.files.stamps() } else { Stamps::default() };
        let mut made = self.made();
        if let Some((of, resolver)) = made.get(servers)
            && *of == stamps
        {
            return Arc::clone(resolver);
        }
        let resolver = if servers.is_empty() { self.files.resolver() } else { Resolver::asking(servers) };
        if made.len() >= SETS_MAX {
            made.clear();
        }
        let resolver = Arc::new(resolver);
        made.insert(servers.to_vec(), (stamps, Arc::clone(&resolver)));
        resolver
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        // What is in it was made before it was put there.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        [&self.resolvers, &self.hosts].map(|path| path.metadata().and_then(|it| it.modified()).ok())
    }

    fn resolver(&self) -> Resolver {
        let mut hosts = Hosts::default();
        // Without one, or as far as it can be read, there are just no such names.
        let _ = std::fs::File::open(&self.hosts).and_then(|file| hosts.read_hosts_conf(file));
        let dns = TokioResolver::builder_tokio().and_then(built);
        let dns = dns.map_err(|error| {
            format!("{} does not say who is asked for names: {error}", self.resolvers.display())
        });
        Resolver { hosts, dns }
    }
}

/// Errors: the system has no sockets.
fn built(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = options.timeout.min(TRY.as_std());
    builder.build()
}

impl Resolver {
    fn asking(servers: &[Server]) -> Self {
        let server = |Server(address): &Server| {
            let mut config = NameServerConfig::udp_and_tcp(address.ip());
            config.connections.iter_mut().for_each(|connection| connection.port = address.port());
            config
        };
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let dns = built(builder).map_err(|error| format!("nobody can be asked for names: {error}"));
        Self { hosts: Hosts::default(), dns }
    }

    /// The records of a name, none if it has none. Errors: nothing is known.
    async fn records(&self, name: Name, of: RecordType) -> Result<Option<Lookup>, String> {
        let dns = self.dns.as_ref().map_err(Clone::clone)?;
        match dns.lookup(name, of).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn addresses(&self, part: &Part) -> Found {
        let name = whole(&part.name)?;
        let of = |family| match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let known = |family| self.hosts.lookup_static_host(&Query::query(name.clone(), of(family)));
        let known = [Family::V4, Family::V6].map(|family| (family, known(family)));
        let is_known = known.iter().any(|(_, found)| found.is_some());
        let found = match known.into_iter().find(|(family, _)| *family == part.family) {
            Some((_, Some(found))) => Some(found),
            // The other family is all that the file has.
            _ if is_known => None,
            _ => self.records(name.clone(), of(part.family)).await?,
        };
        let records = found.as_ref().map(Lookup::answers).unwrap_or_default();
        let ttl = records.iter().map(|record| record.ttl).min();
        Ok((records.iter().filter_map(|record| record.data.ip_addr()).collect(), ttl))
    }

    /// Where SRV records say that a service is, as far as they are of the lowest priority value; with their lowest TTL.
    async fn places(&self, name: &str) -> Result<(Vec<Place>, Option<u32>), String> {
        let found = self.records(whole(name)?, RecordType::SRV).await?;
        let records = found.as_ref().map(Lookup::answers).unwrap_or_default();
        let services = || {
            records.iter().filter_map(|record| match &record.data {
                // A service that is decidedly not there has the root as its place (RFC 2782).
                RData::SRV(service) if !service.target.is_root() && service.port != 0 => Some(service),
                _ => None,
            })
        };
        let first = services().map(|service| service.priority).min();
        let first = services().filter(|service| Some(service.priority) == first).map(|service| Place {
            name: service.target.to_lowercase().to_ascii(),
            port: service.port,
            weight: service.weight.into(),
        });
        let mut first: Vec<_> = first.collect();
        // The same ones, in whatever order an answer has them; one more, so that it is known that some were left out.
        first.sort_by(|one, other| (&one.name, one.port).cmp(&(&other.name, other.port)));
        first.truncate(ENDPOINTS_MAX + 1);
        Ok((first, records.iter().map(|record| record.ttl).min()))
    }
}

fn whole(name: &str) -> Result<Name, String> {
    let mut whole = Name::from_ascii(name).map_err(|error| format!("{name} is no name: {error}"))?;
    whole.set_fqdn(true);
    Ok(whole)
}

/// Looks a name up. What is not answered within its `timeout` is not known. Errors: nothing of it is.
pub(super) async fn look_up(resolvers: &Resolvers, wanted: &Wanted, env: &Env) -> Result<Answer, String> {
    let (dns, began) = (&wanted.dns, env.now());
    let resolver = resolvers.of(&dns.servers);
    let late = || format!("no answer within {}", dns.timeout);
    let (places, mut ttl) = match wanted.port {
        Some(port) => (vec![Place { name: dns.name.clone(), port: port.get(), weight: 1 }], None),
        None => {
            let places = tokio::time::timeout(dns.timeout.as_std(), resolver.places(&dns.name)).await;
            places.unwrap_or_else(|_| Err(late()))?
        }
    };
    let parts = parts(&places);
    let mut addresses: BTreeMap<Part, _> = parts.iter().map(|part| (part.clone(), Err(late()))).collect();
    let resolver = &resolver;
    let asked = parts.into_iter().map(|part| async move {
        let found = resolver.addresses(&part).await;
        (part, found)
    });
    let mut asked = stream::iter(asked).buffer_unordered(AT_A_TIME);
    let spent = env.now().saturating_since(began);
    let left = tokio::time::sleep(dns.timeout.as_std().saturating_sub(spent.as_std()));
    tokio::pin!(left);
    loop {
        let (part, found) = tokio::select! {
            biased;
            next = asked.next() => match next {
                Some(found) => found,
                None => break,
            },
            () = &mut left => break,
        };
        let found = found.map(|(found, of)| {
            ttl = ttl.into_iter().chain(of).min();
            found
        });
        addresses.insert(part, found);
    }
    let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
    Ok(Answer { places, addresses, ttl, api: resolvers.api })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_servers_has_one_resolver_and_there_are_only_so_many() {
        let resolvers = Resolvers::default();
        let server = |port| Server(SocketAddr::from(([127, 0, 0, 1], port)));
        let first = resolvers.of(&[server(1)]);
        assert!(Arc::ptr_eq(&first, &resolvers.of(&[server(1)])));
        assert!(!Arc::ptr_eq(&first, &resolvers.of(&[server(1), server(2)])));
        for port in 1..=200 {
            resolvers.of(&[server(port)]);
        }
        assert!(resolvers.made().len() <= SETS_MAX);
    }

    #[tokio::test]
    async fn what_the_hosts_file_has_is_not_asked_for_elsewhere() {
        let mut hosts = Hosts::default();
        let file = "10.0.0.7 Legacy.internal legacy # old\n10.0.0.8 legacy.internal\n::7 six\n";
        hosts.read_hosts_conf(file.as_bytes()).expect("it is text");
        let resolver = Resolver { hosts, dns: Err("nobody is asked".to_owned()) };
        let part = |name: &str, family| Part { name: name.to_owned(), family };
        let found = async |name, family| resolver.addresses(&part(name, family)).await;
        let ips = |found: Found| found.expect("it is known").0.into_iter().map(|it| it.to_string());
        let v4: Vec<_> = ips(found("legacy.internal", Family::V4).await).collect();
        assert_eq!(v4, ["10.0.0.7", "10.0.0.8"]);
        assert_eq!(ips(found("LEGACY.internal.", Family::V6).await).count(), 0, "it has no such address");
        assert_eq!(ips(found("six", Family::V6).await).collect::<Vec<_>>(), ["::7"]);
        assert_eq!(found("seven", Family::V6).await, Err("nobody is asked".to_owned()));
    }
}
