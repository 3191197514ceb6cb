//! What a proxy is started with, whoever made it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use mainstay_lab::process::Server;

use super::certificate;
use crate::peers::{self, Installed};

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::duels) enum Front {
    /// HTTP/1.1 over TCP.
    Http1,
    /// HTTP/1.1 over TLS 1.3.
    Tls,
    /// HTTP/2 over TCP from the first byte on.
    Http2,
}

/// What guards the origin, and what is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::duels) enum Policies {
    /// What the proxy has where nothing is said of it.
    Usual,
    /// None that can be done without.
    None,
    /// Timeouts, retries, a rate limit for each client that nobody reaches, and an access log.
    All,
}

/// What a proxy is to do.
#[derive(Debug)]
pub(in crate::duels) struct Setup {
    pub(in crate::duels) front: Front,
    pub(in crate::duels) policies: Policies,
    /// How many clients it has to have room for.
    pub(in crate::duels) connections_max: usize,
    /// What it stands in front of.
    pub(in crate::duels) origin: SocketAddr,
}

/// Where one is started.
pub(in crate::duels) struct Place<'a> {
    /// Its own folder, with the certificate in it.
    pub(in crate::duels) folder: &'a Path,
    /// Where it listens for clients.
    pub(in crate::duels) address: SocketAddr,
    /// Where it tells its metrics.
    pub(in crate::duels) metrics: SocketAddr,
    pub(in crate::duels) setup: &'a Setup,
}

/// Starts a proxy.
pub(in crate::duels) type Start = fn(&Place<'_>) -> Result<Up>;

/// A proxy that was started and may not be ready yet.
pub(in crate::duels) struct Up {
    pub(in crate::duels) server: Server,
    pub(in crate::duels) version: String,
    pub(in crate::duels) settings: Vec<(String, String)>,
}

/// How often a request may be tried, its first time among them.
pub(super) const TRIES: u32 = 4;

/// Requests per second that a client may make; no load here makes as many.
pub(super) const RATE_PER_S: u32 = 1_000_000;

impl Place<'_> {
    /// Writes a file below the folder.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(super) fn certificate(&self) -> String {
        self.path(certificate::CERTIFICATE)
    }

    pub(super) fn key(&self) -> String {
        self.path(certificate::KEY)
    }

    pub(super) fn both(&self) -> String {
        self.path(certificate::BOTH)
    }

    /// A peer's program, started with what is to follow its name.
    pub(super) fn up(
        &self,
        peer: &str,
        configuration: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Up> {
        let Installed { program, version } = peers::named(peer)?.require()?;
        let mut command = Command::new(program);
        command.current_dir(self.folder);
        arguments(&mut command);
        let server = Server::spawn(command, &self.folder.join("log"))?;
        Ok(Up { server, version, settings: self.settings(configuration) })
    }

    /// Every line of a configuration that gives a name a value, as it was started with.
    fn settings(&self, configuration: &str) -> Vec<(String, String)> {
        let folder = self.folder.display().to_string();
        let source = ("source".to_owned(), "the lines of its configuration file".to_owned());
        let pairs = pairs(configuration).map(|(name, value)| (name.to_owned(), value.replace(&folder, ".")));
        std::iter::once(source).chain(pairs).collect()
    }
}

/// The lines with a name and a value, in any of the languages that proxies are configured in.
fn pairs(configuration: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = configuration.lines().map(|line| line.trim().trim_start_matches("- "));
    let lines = lines.filter(|line| !line.starts_with('#') && !line.ends_with(['{', ':']));
    lines.filter_map(|line| {
        let (name, value) = line.trim_end_matches(';').split_once([' ', '\t'])?;
        Some((name.trim_end_matches(':'), value.trim()))
    })
}

#[test]
fn settings_are_the_lines_that_give_a_name_a_value() {
    let text = "# none\nworker_processes 2;\nhttp {\n  keepalive_timeout 75s;\n}\nlisteners:\n- name: in\n  timeout: 1s\n}\n";
    let expected =
        [("worker_processes", "2"), ("keepalive_timeout", "75s"), ("name", "in"), ("timeout", "1s")];
    assert_eq!(pairs(text).collect::<Vec<_>>(), expected);
}
