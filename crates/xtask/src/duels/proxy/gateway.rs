//! Mainstay's gateway as a proxy: with its defaults, but for what the work needs.

use anyhow::{Context as _, Result};

use super::setup::{Front, Place, Policies, RATE_PER_S, TRIES, Up};
use crate::duels::mainstay;

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    let (listen, lines) = configuration(place);
    let program = mainstay::build()?;
    let up = mainstay::up(&program, place.folder, (&listen, &lines));
    let up = up.with_context(|| format!("start Mainstay with its gateway at {listen} and\n{lines}"))?;
    Ok(Up { server: up.server, version: up.version, settings: up.settings })
}

/// Where it listens, and the rest of its file.
pub(super) fn configuration(place: &Place<'_>) -> (String, String) {
    let (address, setup) = (place.address, place.setup);
    let tls = if setup.front == Front::Tls {
        format!(
            ", tls: {{ certificates: [{{ cert: \"{}\", key: \"${{file:{}}}\" }}] }}",
            place.certificate(),
            place.key()
        )
    } else {
        String::new()
    };
    let listen = format!("gateway: [{{ address: \"{address}\"{tls} }}]");
    let (log, policy, limit) = match setup.policies {
        Policies::Usual => ("", None, String::new()),
        Policies::None => {
            ("", Some("retry: false, breaker: false, bulkhead: false".to_owned()), String::new())
        }
        Policies::All => (
            ", access_log: { sample: 1.0 }",
            Some(format!("timeout: 30s, try_timeout: 10s, retry: {{ attempts: {TRIES} }}")),
            format!(", limit: [{{ key: \"client.address\", rate: {RATE_PER_S}/s, burst: {RATE_PER_S} }}]"),
        ),
    };
    let policy =
        policy.map(|policy| format!("policies: {{ default: {{ {policy} }} }}\n")).unwrap_or_default();
    let lines = format!(
        "gateway: {{ workers: 2{log} }}\n{policy}services: {{ origin: {{ endpoints: [\"{}\"] }} }}\n\
         routes: [{{ name: all, to: {{ service: origin }}{limit} }}]\n",
        setup.origin
    );
    (listen, lines)
}
