//! The gateway as foreign clients and second parsers see it, in front of services that are not ours.

use std::net::SocketAddr;
use std::process::Command;

use mainstay_lab::process::free_port;
use xtask::binary::{self, Profile};

use super::{Node, passes};

/// A node with a gateway, in front of services that a script has yet to start.
struct Gateway {
    node: Node,
    /// Where it listens.
    plain: String,
    /// Where it listens with TLS.
    secure: String,
    /// Who has signed its certificate.
    authority: String,
    /// The ports of its services: of the one for everything, the one that speaks HTTP/2, and the one for what is below `/ws/`.
    ports: [String; 3],
}

impl Gateway {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more lines in its configuration.
    fn start_with(more: &str) -> Self {
        let free = || free_port().expect("a port is free");
        let (plain, secure) = (free(), free());
        let services: [SocketAddr; 3] = [free(), free(), free()];
        let folder = tempfile::tempdir().expect("a folder can be made");
        let certs = folder.path().join("certs");
        let mut dev = Command::new(binary::mainstay(Profile::Dev).expect("mainstay builds"));
        let made = dev.args(["certs", "dev", "localhost", "--out"]).arg(&certs).output().expect("it runs");
        assert!(made.status.success(), "{made:?}");
        let listeners = format!(
            "gateway: [{{ address: \"{plain}\" }}, {{ address: \"{secure}\", tls: {{ certificates: \
             [{{ cert: \"{0}/dev.pem\", key: \"${{file:{0}/dev.key}}\" }}] }} }}]",
            certs.display()
        );
        let node = Node::start_in(folder, &listeners, &(lines(&services) + more));
        Self {
            node,
            plain: plain.to_string(),
            secure: secure.to_string(),
            authority: certs.join("ca.pem").display().to_string(),
            ports: services.map(|service| service.port().to_string()),
        }
    }

    /// Runs a script, and stops.
    #[track_caller]
    fn passes(self, script: &str, arguments: impl Fn(&Self) -> Vec<&str>) {
        passes("python3", &format!("gateway/{script}"), &arguments(&self));
        self.node.stop();
    }
}

/// Nothing listens at port 1.
fn lines([all, rpc, sockets]: &[SocketAddr; 3]) -> String {
    format!(
        r#"
services:
  all: {{ endpoints: ["{all}"] }}
  rpc: {{ endpoints: ["{rpc}"], protocol: http2 }}
  gone: {{ endpoints: ["127.0.0.1:1"], protocol: http2 }}
  sockets: {{ endpoints: ["{sockets}"] }}
routes:
  - {{ name: rpc, match: {{ path: "/shop.Shop/{{rest...}}" }}, to: {{ service: rpc }} }}
  - {{ name: gone, match: {{ path: "/gone.Gone/{{rest...}}" }}, to: {{ service: gone }} }}
  - {{ name: limited, match: {{ path: "/limited.Limited/{{rest...}}" }}, to: {{ service: gone }}, limit: [{{ rate: 1/h, burst: 1 }}] }}
  - {{ name: sockets, match: {{ path: "/ws/{{rest...}}" }}, to: {{ service: sockets }} }}
  - {{ name: all, to: {{ service: all }} }}
"#
    )
}

/// The others of `cargo xtask readers` are no packages of Python, or read as one of these does.
#[test]
fn what_reaches_a_service_is_read_alike_by_others() {
    Gateway::start()
        .passes("strictness.py", |it| vec![&it.plain, &it.ports[0], "caddy=caddy", "envoy=envoy"]);
}

#[test]
fn frames_that_are_forbidden_or_too_many_reach_no_service() {
    Gateway::start().passes("frames.py", |it| vec![&it.plain, &it.ports[0], &it.node.address]);
}

#[test]
fn grpc_is_as_it_is_without_the_gateway() {
    Gateway::start().passes("rpc.py", |it| vec![&it.plain, &it.ports[1], &it.secure, &it.authority]);
}

#[test]
fn curl_and_web_sockets_are_as_they_are_without_the_gateway() {
    Gateway::start()
        .passes("clients.py", |it| vec![&it.plain, &it.ports[0], &it.secure, &it.authority, &it.ports[2]]);
}

/// The service fails all the time, and is to be asked all the same.
#[test]
fn bodies_are_bounded_and_what_is_cut_does_not_look_whole() {
    Gateway::start_with("policies: { default: { breaker: false } }\n")
        .passes("streams.py", |it| vec![&it.plain, &it.ports[0], &it.node.address]);
}

#[test]
fn clients_that_are_slow_on_purpose_are_got_rid_of() {
    Gateway::start_with("gateway: { patience: 2s, body_rate_min: 1KiB, idle_timeout: 3s }\n")
        .passes("patience.py", |it| vec![&it.plain, &it.ports[0], &it.secure]);
}
