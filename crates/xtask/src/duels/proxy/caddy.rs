//! Caddy as a proxy.

use anyhow::{Result, ensure};

use super::certificate::NAME;
use super::setup::{Front, Place, Policies, Up};

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    ensure!(place.setup.policies != Policies::All, "Caddy has no rate limit without a plugin");
    let configuration = configuration(place);
    let file = place.write("Caddyfile", &configuration)?;
    place.up("caddy", &configuration, |command| {
        // What it would keep at home.
        command.env("XDG_DATA_HOME", place.folder).env("XDG_CONFIG_HOME", place.folder);
        command.env("GOMAXPROCS", "2");
        command.arg("run").arg("--config").arg(file).args(["--adapter", "caddyfile"]);
    })
}

pub(super) fn configuration(place: &Place<'_>) -> String {
    let (ip, port, setup) = (place.address.ip(), place.address.port(), place.setup);
    let (origin, metrics) = (setup.origin, place.metrics);
    let (scheme, host, protocols) = match setup.front {
        Front::Http1 => ("http", "", "h1"),
        Front::Tls => ("https", NAME, "h1"),
        Front::Http2 => ("http", "", "h1 h2c"),
    };
    let tls = if setup.front == Front::Tls {
        format!(
            "tls {} {} {{
        protocols tls1.3 tls1.3
        curves x25519
        alpn http/1.1
    }}",
            place.certificate(),
            place.key()
        )
    } else {
        String::new()
    };
    format!(
        "{{
    admin off
    auto_https off
    persist_config off
    metrics
    log {{
        level WARN
    }}
    servers {{
        protocols {protocols}
        timeouts {{
            idle 75s
        }}
    }}
}}
{scheme}://{host}:{port} {{
    bind {ip}
    {tls}
    reverse_proxy {origin} {{
        transport http {{
            versions 1.1
            compression off
            keepalive 50s
            keepalive_idle_conns 1024
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
http://:{metrics_port} {{
    bind {ip}
    metrics
}}
",
        metrics_port = metrics.port(),
    )
}
