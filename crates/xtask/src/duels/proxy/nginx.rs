//! nginx as a proxy.

use anyhow::Result;

use super::setup::{Front, Place, Policies, RATE_PER_S, TRIES, Up};

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    let configuration = configuration(place);
    let file = place.write("nginx.conf", &configuration)?;
    place.up("nginx", &configuration, |command| {
        command.arg("-p").arg(place.folder).arg("-c").arg(file).arg("-e").arg(place.folder.join("error.log"));
    })
}

pub(super) fn configuration(place: &Place<'_>) -> String {
    let (folder, address, setup) = (place.folder.display(), place.address, place.setup);
    let (origin, metrics) = (setup.origin, place.metrics);
    let listen = match setup.front {
        Front::Http1 => "",
        Front::Tls => " ssl",
        Front::Http2 => " http2",
    };
    let (tls, Added { log, zone, policies }) = (tls(place), Added::to(place));
    let connections = setup.connections_max;
    format!(
        "daemon off;
pid {folder}/nginx.pid;
worker_processes 2;
worker_rlimit_nofile 65536;
events {{
    worker_connections {connections};
}}
http {{
    access_log {log};
    {zone}
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream origin {{
        server {origin};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 50s;
    }}
    server {{
        listen {address}{listen} reuseport backlog=4096;
        {tls}
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            {policies}
        }}
    }}
    server {{
        listen {metrics};
        location / {{
            stub_status;
        }}
    }}
}}
"
    )
}

fn tls(place: &Place<'_>) -> String {
    if place.setup.front != Front::Tls {
        return String::new();
    }
    format!(
        "ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        ssl_session_cache shared:tls:16m;
        ssl_buffer_size 4k;",
        place.certificate(),
        place.key()
    )
}

/// What policies are at three places.
struct Added {
    log: String,
    zone: String,
    policies: String,
}

impl Added {
    fn to(place: &Place<'_>) -> Self {
        if place.setup.policies != Policies::All {
            return Self { log: "off".to_owned(), zone: String::new(), policies: String::new() };
        }
        let policies = format!(
            "limit_req zone=clients burst={RATE_PER_S} nodelay;
            proxy_connect_timeout 1s;
            proxy_send_timeout 10s;
            proxy_read_timeout 10s;
            proxy_next_upstream error timeout http_502 http_503 http_504;
            proxy_next_upstream_tries {TRIES};
            proxy_next_upstream_timeout 30s;"
        );
        Self {
            log: format!("{} combined buffer=64k flush=1s", place.path("access.log")),
            zone: format!("limit_req_zone $binary_remote_addr zone=clients:16m rate={RATE_PER_S}r/s;"),
            policies,
        }
    }
}
