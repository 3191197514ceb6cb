//! Second parsers: what reaches a service through the gateway is given to every other proxy of the [peers], which must read it as the gateway has.
//!
//! `make conformance` does the same with those that are packages of Python. All of them are for a machine that has Debian's besides, and minutes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::process::{Probe, Server, free_port};

use crate::binary::{self, Profile, repository};
use crate::{peers, shell};

/// The peers that read HTTP/1.1 before they send it on.
const READERS: [&str; 5] = ["caddy", "envoy", "haproxy", "nginx", "traefik"];

/// Installs what is missing, and has all of them read. Errors: one has read something otherwise, which was printed.
pub(crate) fn run() -> Result<()> {
    let mut programs = Vec::new();
    for name in READERS {
        let installed = peers::named(name)?.require()?;
        println!("{name} {}", installed.version);
        programs.push(format!("{name}={}", installed.program.display()));
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    let (api, gateway, service) = (free_port()?, free_port()?, free_port()?);
    let file = folder.path().join("mainstay.yaml");
    let text = format!(
        "listen: {{ api: \"{api}\", gateway: [{{ address: \"{gateway}\" }}] }}\n\
         services: {{ origin: {{ endpoints: [\"{service}\"] }} }}\n\
         routes: [{{ name: all, to: {{ service: origin }} }}]\n"
    );
    std::fs::write(&file, text).context("write a configuration")?;
    let mut node = Command::new(binary::mainstay(Profile::Dev)?);
    node.arg("up").arg(&file);
    let mut node = Server::spawn(node, &folder.path().join("log"))?;
    node.wait_ready(&Probe::Http(api, "/v1/health/ready".into()), Duration::from_secs(20))?;
    let script = repository().join("crates/xtask/tests/conformance/gateway/strictness.py");
    let mut compare = Command::new("python3");
    compare.arg(script).arg(gateway.to_string()).arg(service.port().to_string()).args(&programs);
    shell::run(&mut compare)
}
