//! Routes, services and explanations as people read them.
//!
//! Pure: from what is defined, or a node has answered, to text.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use mainstay_base::id::Name;
use mainstay_gateway::book::Kind;
use mainstay_gateway::config::Route;
use mainstay_gateway::explanation::{Explanation, Taken, To};
use mainstay_machine::Version;
use mainstay_upstream::Config as Service;
use mainstay_upstream::config::Protocol;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cli::told::{below, columns, difference};
use crate::config::explain;
use crate::gateway::{Bulkhead, Defined, Dns, Endpoint, Guarding, Scaled};

/// Routes, one a line.
pub fn routes(all: &[Defined]) -> Result<String> {
    if all.is_empty() {
        return Ok("there are no routes\n".to_owned());
    }
    let head = ["NAME", "MATCH", "TO", "POLICY", "ORIGIN"].map(str::to_owned);
    let row = |defined: &Defined| {
        let name = ("name".to_owned(), defined.name.to_string().into());
        let members = defined.definition.clone().into_iter().chain([name]).collect();
        let route: Route = definition(defined, members)?;
        let policy = route.policy.as_ref().map_or("-", Name::as_str).to_owned();
        Ok([route.name.to_string(), matching(&route), to(&route), policy, origin(defined)])
    };
    let rows = all.iter().map(row).collect::<Result<Vec<_>>>()?;
    Ok(columns(&[vec![head], rows].concat()))
}

/// Services, one a line; of those of a node that is up, what guards them, one a line.
pub fn services(all: &[Defined], is_live: bool) -> Result<String> {
    if all.is_empty() {
        return Ok("there are no services\n".to_owned());
    }
    let mut rows = vec![
        ["NAME", "PROTOCOL", "POLICY", "ENDPOINTS", "BREAKER", "RUNNING", "WAITING", "ORIGIN"]
            .map(str::to_owned),
    ];
    for defined in all {
        let service: Service = definition(defined, defined.definition.clone())?;
        let protocol = match service.protocol {
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
        };
        let policy = service.policy.as_ref().map_or("default", Name::as_str);
        let (name, own) = (defined.name.to_string(), defined.guards.iter().find(|it| it.route.is_none()));
        let [breaker, running, waiting] = guarding(own);
        let endpoints = addresses(&service, &defined.endpoints);
        let (protocol, policy, origin) = (protocol.to_owned(), policy.to_owned(), origin(defined));
        rows.push([name, protocol, policy, endpoints, breaker, running, waiting, origin]);
        for guard in &defined.guards {
            let Some(route) = &guard.route else { continue };
            let ([breaker, running, waiting], none) = (guarding(Some(guard)), String::new);
            rows.push([format!("  by {route}"), none(), none(), none(), breaker, running, waiting, none()]);
        }
    }
    if is_live {
        return Ok(columns(&rows));
    }
    let plain = rows.into_iter().map(|[name, protocol, policy, endpoints, _, _, _, origin]| {
        [name, protocol, policy, endpoints, origin]
    });
    Ok(columns(&plain.collect::<Vec<_>>()))
}

/// How it is with the instances of a service's program.
pub fn scaled(name: &Name, scaled: &Scaled) -> String {
    let Scaled { wanted, by, ready, starting, warm, leaving, failures, last, .. } = scaled;
    let by = match by.as_str() {
        "request" => "as was asked for",
        "rule" => "by its rule",
        _ => "by its definition",
    };
    let mut text = format!(
        "{wanted} of {name} are to take calls, {by}; `mainstay services endpoints {name}` has them\n"
    );
    let head = ["READY", "STARTING", "WARM", "LEAVING", "FAILURES"].map(str::to_owned);
    let counts = [ready, starting, warm, leaving].map(ToString::to_string);
    let row = [counts.as_slice(), &[failures.to_string()]].concat();
    let row = <[String; 5]>::try_from(row).unwrap_or_default();
    text.push_str(&columns(&[head, row]));
    if let Some(last) = last {
        let _ = writeln!(text, "scaled last at {}: {}", last.at, last.why);
    }
    text
}

/// Where a service is, and how much of it is healthy if not all is.
fn addresses(service: &Service, live: &[Endpoint]) -> String {
    const SHOWN_MAX: usize = 3;
    let all: Vec<_> = match live {
        [] => {
            let defined = service.endpoints.iter().map(|it| it.0.address.0.to_string());
            defined.chain(service.looked_up()).collect()
        }
        live => live.iter().map(|it| it.address.to_string()).collect(),
    };
    let mut told = all.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN_MAX {
        write!(told, " and {} more", all.len() - SHOWN_MAX).expect("a String takes it");
    }
    let healthy = live.iter().filter(|it| it.state == "healthy").count();
    if healthy < live.len() {
        write!(told, " ({healthy} of {} healthy)", live.len()).expect("a String takes it");
    }
    if told.is_empty() { "-".to_owned() } else { told }
}

/// The endpoints of a service, one a line; and how their name is looked up.
pub fn endpoints(defined: &Defined) -> String {
    let named = defined.dns.as_ref().map(looked_up).unwrap_or_default();
    if defined.endpoints.is_empty() {
        return format!("{} has no endpoints\n{named}", defined.name);
    }
    let head = [
        "ADDRESS",
        "STATE",
        "WEIGHT",
        "ZONE",
        "VERSION",
        "RUNNING",
        "CONNECTIONS",
        "LATENCY",
        "CALLS",
        "FAILED",
        "EJECTED",
        "SOURCE",
        "WHY",
    ];
    let none = || "-".to_owned();
    let row = |endpoint: &Endpoint| {
        [
            endpoint.address.to_string(),
            endpoint.state.clone(),
            endpoint.weight.to_string(),
            endpoint.zone.as_ref().map_or_else(none, ToString::to_string),
            endpoint.version.clone().unwrap_or_else(none),
            endpoint.running.to_string(),
            endpoint.connections.to_string(),
            endpoint.latency.map_or_else(none, |latency| latency.to_string()),
            endpoint.calls.to_string(),
            endpoint.failed.to_string(),
            endpoint.ejections.to_string(),
            endpoint.source.clone(),
            endpoint.why.clone().unwrap_or_else(none),
        ]
    };
    let rows = [head.map(str::to_owned)].into_iter().chain(defined.endpoints.iter().map(row));
    columns(&rows.collect::<Vec<_>>()) + &named
}

/// How a name is looked up.
fn looked_up(Dns { name, port, resolved, next, error }: &Dns) -> String {
    let name = port.map_or_else(|| format!("{name} (SRV)"), |port| format!("{name}:{port}"));
    let resolved = resolved.map_or_else(|| "not found yet".to_owned(), |ago| format!("found {ago} ago"));
    let error = error.as_ref().map_or_else(String::new, |error| format!("; {error}"));
    format!("by DNS: {name}, {resolved}, asked again in {next}{error}\n")
}

/// What becomes of an endpoint, as a line.
pub fn became(what: &str, endpoint: &Endpoint) -> String {
    let Endpoint { address, state, weight, source, .. } = endpoint;
    let zone = endpoint.zone.as_ref().map_or_else(String::new, |zone| format!(", zone {zone}"));
    let version = endpoint.version.as_ref().map_or_else(String::new, |it| format!(", version {it}"));
    let why = endpoint.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{what} {address}, {state}, weight {weight}{zone}{version}, {source}{why}\n")
}

fn guarding(guard: Option<&Guarding>) -> [String; 3] {
    let none = || "-".to_owned();
    let breaker = guard.and_then(|guard| guard.breaker.clone()).unwrap_or_else(none);
    match guard.and_then(|guard| guard.bulkhead) {
        Some(Bulkhead { running, waiting }) => [breaker, running.to_string(), waiting.to_string()],
        None => [breaker, none(), none()],
    }
}

fn definition<T: DeserializeOwned>(defined: &Defined, members: Map<String, Value>) -> Result<T> {
    let read = serde_json::from_value(Value::Object(members));
    read.with_context(|| format!("the definition of {} cannot be read", defined.name))
}

fn origin(Defined { origin, file, line, caller, .. }: &Defined) -> String {
    match (file, line, caller) {
        (Some(file), Some(line), _) => format!("{file}:{line}"),
        (Some(file), None, _) => file.clone(),
        (None, _, Some(caller)) => format!("{origin} ({caller})"),
        (None, _, None) => origin.clone(),
    }
}

/// What a definition was, the latest first.
#[derive(Debug, Default, Deserialize)]
pub struct History {
    versions: Vec<Defined>,
}

/// What a change would come to.
#[derive(Debug, Deserialize)]
pub struct Rehearsal {
    changes: bool,
    version: Option<Version>,
}

impl History {
    /// What it said as of a version, if it was in force.
    pub fn said(&self, version: Version) -> Option<Value> {
        let found = self.versions.iter().find(|it| it.version == Some(version));
        found.filter(|it| !it.retired).map(|it| it.definition.clone().into())
    }

    fn now(&self) -> Option<Value> {
        self.versions.first().filter(|it| !it.retired).map(|it| it.definition.clone().into())
    }
}

/// A definition that can be put again, below what there is to know of it.
pub fn shown(defined: &Defined) -> String {
    let head = format!(
        "# {}: version {} of {}, {}\n",
        defined.name,
        version(defined),
        changed_at(defined),
        origin(defined)
    );
    head + &below("", explain::lines(&defined.definition.clone().into()))
}

/// What a change has come to.
pub fn changed(kind: Kind, defined: &Defined) -> String {
    let (name, version) = (&defined.name, version(defined));
    if defined.retired {
        return format!("the {kind} {name} is retired as of version {version}\n");
    }
    format!("the {kind} {name} has version {version}\n")
}

/// What a change would come to, between what is in force and what would be.
pub fn rehearsed(
    (kind, name): (Kind, &Name),
    rehearsal: &Rehearsal,
    history: &History,
    next: Option<&Value>,
) -> String {
    match (rehearsal.changes, &rehearsal.version) {
        (true, Some(version)) => {
            let what = if next.is_some() { "have" } else { "be retired as of" };
            let head = format!("nothing was changed; the {kind} {name} would {what} version {version}\n");
            let lines = next.map(|next| difference(history.now().as_ref(), next)).unwrap_or_default();
            head + &below("", lines)
        }
        (_, Some(version)) => format!("the {kind} {name} has version {version}, and would keep it\n"),
        (_, None) => format!("the {kind} {name} is not in force, and would not be\n"),
    }
}

/// Versions, each with what is different from the one before.
pub fn history(History { versions }: &History) -> String {
    let width = versions.iter().map(|it| version(it).len()).max().unwrap_or(0);
    let indent = " ".repeat(width + 2);
    let earlier = versions.iter().skip(1).map(Some).chain([None]);
    let told = versions.iter().zip(earlier).map(|(it, earlier)| {
        let said = Value::from(it.definition.clone());
        let before = earlier.map(|it| Value::from(it.definition.clone()));
        let (state, lines) = match (it.retired, earlier) {
            (true, _) => (", retired", Vec::new()),
            (false, None) => ("", explain::flat(&said)),
            (false, Some(earlier)) => {
                let again = if earlier.retired { ", in force again" } else { "" };
                (again, difference(before.as_ref(), &said))
            }
        };
        let (version, changed, origin) = (version(it), changed_at(it), origin(it));
        format!("{version:width$}  {changed}  {origin}{state}\n{}", below(&indent, lines))
    });
    told.collect()
}

fn version(defined: &Defined) -> String {
    defined.version.map(|version| version.to_string()).unwrap_or_default()
}

fn changed_at(defined: &Defined) -> String {
    defined.changed.map(|changed| changed.to_string()).unwrap_or_default()
}

/// Which requests a route takes, as short as it goes.
fn matching(route: &Route) -> String {
    let matching = &route.matching;
    let methods: Vec<_> = matching.methods.iter().map(ToString::to_string).collect();
    let hosts: Vec<_> = matching.host.iter().map(ToString::to_string).collect();
    let path = matching.path.as_ref().map_or_else(|| "/{rest...}".to_owned(), ToString::to_string);
    let place = format!("{}{path}", hosts.join("|"));
    let place = if methods.is_empty() { place } else { format!("{} {place}", methods.join("|")) };
    let listeners: Vec<_> = matching.listeners.iter().map(ToString::to_string).collect();
    let place = if listeners.is_empty() { place } else { format!("{place} on {}", listeners.join("|")) };
    match matching.headers.len() + matching.query.len() + usize::from(matching.when.is_some()) {
        0 => place,
        1 => format!("{place} (1 condition)"),
        count => format!("{place} ({count} conditions)"),
    }
}

fn to(route: &Route) -> String {
    let Some(to) = &route.to else { return "-".to_owned() };
    let split = to.split.iter().map(|share| format!("{} {}", share.service, share.weight));
    to.service.iter().map(ToString::to_string).chain(split).collect::<Vec<_>>().join(", ")
}

/// What would become of a request.
pub fn explained(explanation: &Explanation) -> String {
    let Explanation { method, host, path, listener, is_preflight, route, refused, others } = explanation;
    let mut text = String::new();
    match (route, refused) {
        (Some(route), _) => text.push_str(&format!("{} takes it\n", route.name)),
        (None, Some(refused)) => {
            text.push_str(&format!(
                "no route takes it: the answer is {}, {}\n",
                refused.status, refused.reason
            ));
        }
        (None, None) => text.push_str("no route takes it\n"),
    }
    let mut rows = vec![line("request", format!("{method} {host}{path}"))];
    rows.extend(listener.iter().map(|name| line("listener", name.as_str())));
    if *is_preflight {
        rows.push(line("preflight", "the gateway answers for the service"));
    }
    if let Some(route) = route {
        taken(route, &mut rows);
    }
    text.push_str(&columns(&rows));
    for other in others {
        writeln!(text, "{}: {}", other.route, other.why).expect("writing to a string does not fail");
    }
    text
}

fn taken(route: &Taken, rows: &mut Vec<[String; 2]>) {
    let Taken { params, to, sticky_by, criticality, limits, actions, .. } = route;
    let sum: u64 = to.iter().map(|to| u64::from(to.weight)).sum();
    for To { service, weight, endpoints, policy } in to {
        let share = if to.len() > 1 { format!(" ({weight} of {sum})") } else { String::new() };
        // Of a service whose endpoints come and go there are none in its definition.
        let at = if endpoints.is_empty() { String::new() } else { format!(" at {}", endpoints.join(", ")) };
        rows.push(line("to", format!("{service}{share}{at}, policy {policy}")));
    }
    if to.is_empty() {
        rows.push(line("to", "no service: the gateway answers"));
    }
    rows.extend(sticky_by.iter().map(|key| line("sticky by", key)));
    rows.extend(params.iter().map(|(name, value)| line(&format!("{{{name}}}"), value)));
    rows.push(line("criticality", criticality));
    rows.extend(limits.iter().map(|limit| line("limit", limit)));
    if !actions.is_empty() {
        rows.push(line("does", actions.join(", ")));
    }
}

fn line(name: &str, value: impl Into<String>) -> [String; 2] {
    [format!("  {name}"), value.into()]
}
