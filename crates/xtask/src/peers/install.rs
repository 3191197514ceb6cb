//! Installing a peer with the ordinary client of its registry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Peer, Source};
use crate::shell;

/// What package scripts ask before they start a service; 101 forbids it.
const START_POLICY: &str = "/usr/sbin/policy-rc.d";

pub(super) fn install(peer: &Peer) -> Result<()> {
    println!("installing {} ...", peer.name);
    let folder = peer.folder()?;
    match peer.source {
        Source::Pip { package } => {
            shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            shell::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", package]))
        }
        Source::Npm { package } => {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
            let arguments = ["install", "--silent", "--no-audit", "--no-fund", package];
            shell::run(Command::new("npm").arg("--prefix").arg(&folder).args(arguments))
        }
        Source::Apt { package, services } => apt(package, services),
    }
}

/// Installs a Debian package and leaves none of its services running or enabled.
fn apt(package: &str, services: &[&str]) -> Result<()> {
    let is_root = shell::read(Command::new("id").arg("-u"))?.trim() == "0";
    ensure!(is_root, "only root may install {package}: run `apt-get install {package}`, then this again");
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(apt_get().args(["update", "--quiet=2"]))?;
    without_starting_services(|| {
        let arguments = ["install", "--quiet=2", "--yes", "--no-install-recommends", package];
        shell::run(apt_get().args(arguments))
    })?;
    services.iter().try_for_each(|service| stop_and_disable(service))
}

/// Forbids package scripts to start services while `act` runs, unless the machine has a policy of its own.
fn without_starting_services(act: impl FnOnce() -> Result<()>) -> Result<()> {
    let policy = Path::new(START_POLICY);
    if policy.exists() {
        return act();
    }
    fs::write(policy, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {START_POLICY}"))?;
    let done = fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {START_POLICY} executable"))
        .and_then(|()| act());
    // What was done counts more than that this file stays; it would be seen at the next installation.
    let removed = fs::remove_file(policy).with_context(|| format!("remove {START_POLICY}"));
    done.and(removed)
}

/// The package was not there before, so what runs under its name was started by its installation.
fn stop_and_disable(service: &str) -> Result<()> {
    if shell::succeeds(Command::new("service").args([service, "status"])) {
        shell::run(Command::new("service").args([service, "stop"]))?;
    }
    // Works without a running systemd too, and takes the links of older start scripts along.
    if Path::new("/usr/bin/systemctl").exists() {
        shell::run(Command::new("systemctl").args(["disable", "--quiet", service]))
    } else if Path::new("/etc/init.d").join(service).exists() {
        shell::run(Command::new("update-rc.d").args([service, "disable"]))
    } else {
        Ok(())
    }
}
