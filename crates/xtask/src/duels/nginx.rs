//! nginx as a contestant, set up as its manual advises for speed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::duel::{Contestant, Started, asking};
use mainstay_lab::load::{Expect, Http1};
use mainstay_lab::process::{Probe, Server, free_port, tree};

use crate::peers::{self, Installed};
use crate::shell;

/// The directives that decide its speed here.
const TELLING: [&str; 8] = [
    "worker_processes",
    "worker_connections",
    "listen",
    "keepalive_timeout",
    "keepalive_requests",
    "access_log",
    "default_type",
    "return",
];

/// The settings' first row: what the others are.
const SOURCE: [&str; 2] =
    ["source", "the configuration file as nginx parses it (`nginx -T`); the last row: the running processes"];

/// nginx that answers `GET path` with `body`, which has no quotes of the single kind.
pub(super) fn contestant(path: &'static str, body: &'static str) -> Result<Contestant> {
    let nginx = peers::named("nginx")?.require()?;
    Ok(Contestant {
        name: "nginx".to_owned(),
        start: Box::new(move |folder| start(&nginx, folder, path, body)),
    })
}

fn start(nginx: &Installed, folder: &Path, path: &str, body: &str) -> Result<Started> {
    let address = free_port()?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(folder, address, path, body)).context("write nginx.conf")?;
    let command = || {
        let mut command = Command::new(&nginx.program);
        command.arg("-p").arg(folder).arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
        command
    };
    let dump = shell::read(command().arg("-T"))?;
    let mut server = Server::spawn(command(), &folder.join("log"))?;
    server.wait_ready(&Probe::Http(address, path.to_owned()), Duration::from_secs(10))?;
    let mut settings = vec![SOURCE.map(ToOwned::to_owned).into()];
    settings.extend(read_back(&dump));
    // All but the master serve requests.
    let workers = tree(&[server.pid()]).len() - 1;
    settings.push(("worker processes found running".to_owned(), workers.to_string()));
    Ok(Started {
        servers: vec![server],
        version: nginx.version.clone(),
        settings,
        load: asking(
            Http1::get(address, path),
            Expect { status: Some(200), body_bytes: Some(body.len() as u64) },
        ),
    })
}

fn configuration(folder: &Path, address: SocketAddr, path: &str, body: &str) -> String {
    let folder = folder.display();
    let body = body.replace('\n', "\\n");
    // A worker a processor, each with its own accept queue; a connection is never closed for having served long.
    // nginx pays memory for connections in advance: on two processors it gets as many as Mainstay allows by default.
    format!(
        "daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 65536;
events {{
    worker_connections 2048;
}}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address} reuseport backlog=4096;
        location = {path} {{
            return 200 '{body}';
        }}
    }}
}}
"
    )
}

/// The telling directives in nginx's own dump of its configuration; no command prints what is in force in a running one.
fn read_back(dump: &str) -> Vec<(String, String)> {
    let directives = dump.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = directives.filter_map(|line| line.strip_suffix(';')?.split_once(char::is_whitespace));
    let telling = pairs.filter(|(name, _)| TELLING.contains(name));
    telling.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_from_the_dump() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let configuration = configuration(Path::new("/tmp/x"), address, "/health", "ok\n");
        let settings = read_back(&format!("# configuration file x:\n{configuration}"));
        let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
        for telling in TELLING {
            assert!(names.contains(&telling), "{telling} is not in {names:?}");
        }
        assert!(
            settings.contains(&("listen".to_owned(), "127.0.0.1:8080 reuseport backlog=4096".to_owned()))
        );
        assert!(settings.contains(&("return".to_owned(), "200 'ok\\n'".to_owned())));
    }
}
