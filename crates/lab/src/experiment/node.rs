//! One node of Mainstay under an experiment's control.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::fetch;
use crate::process::{Device, Probe, Server, free_port};

/// Answered 200 while the process works, also while it drains.
pub(super) const LIVE: &str = "/v1/health/live";
const READY: &str = "/v1/health/ready";

/// Long enough for a slow machine; a start that takes longer is a failed one.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// How long one question may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// A running node with a configuration file and data of its own.
pub(super) struct Node {
    pub(super) server: Server,
    pub(super) api: SocketAddr,
    /// From the start of the process until it was ready.
    pub(super) ready_after: Duration,
    /// What its data is on.
    pub(super) device: Device,
    exe: PathBuf,
    file: PathBuf,
    folder: PathBuf,
    /// Further sections of its configuration.
    sections: String,
}

impl Node {
    /// Starts `exe` with its files in `folder` and waits until it is ready.
    pub(super) fn start(exe: &Path, folder: &Path) -> Result<Self> {
        Self::start_with(exe, folder, "")
    }

    /// The same with further keys of the section `listen`, indented by two spaces, and further sections of the configuration, as lines of YAML.
    pub(super) fn start_with(exe: &Path, folder: &Path, sections: &str) -> Result<Self> {
        let api = free_port()?;
        let file = folder.join("mainstay.yaml");
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let text = configuration(folder, api, "info", sections);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let (server, ready_after) = spawned(exe, &file, folder, api)?;
        let (device, exe, sections) = (Device::below(folder), exe.to_owned(), sections.to_owned());
        Ok(Self { server, api, ready_after, device, exe, file, folder: folder.to_owned(), sections })
    }

    /// Starts it again, once its process has ended, and waits until it is ready.
    pub(super) fn restart(&mut self) -> Result<()> {
        (self.server, self.ready_after) = spawned(&self.exe, &self.file, &self.folder, self.api)?;
        Ok(())
    }

    /// Replaces the configuration file by a valid one with another log level.
    pub(super) fn configure(&self, level: &str) -> Result<()> {
        self.write(&configuration(&self.folder, self.api, level, &self.sections))
    }

    /// Replaces the configuration file by any text.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.file, text).with_context(|| format!("write {}", self.file.display()))
    }

    /// What the node says about its configuration.
    pub(super) fn config(&self) -> Result<serde_json::Value> {
        fetch::get(self.api, "/v1/config", ANSWER_DEADLINE)?.json()
    }
}

fn spawned(exe: &Path, file: &Path, folder: &Path, api: SocketAddr) -> Result<(Server, Duration)> {
    let mut command = Command::new(exe);
    command.arg("up").arg(file);
    let mut server = Server::spawn(command, &folder.join("log"))?;
    let ready_after = server.wait_ready(&Probe::Http(api, READY.to_owned()), READY_DEADLINE)?;
    Ok((server, ready_after))
}

fn configuration(folder: &Path, api: SocketAddr, level: &str, sections: &str) -> String {
    format!(
        "data: \"{}\"\nshutdown: {{ drain: 30s }}\n\
         telemetry: {{ logs: {{ level: {level}, format: json }} }}\nlisten:\n  api: \"{api}\"\n{sections}",
        folder.join("data").display(),
    )
}

/// The binary's version, as it prints it.
pub(super) fn version(exe: &Path) -> Result<String> {
    let output =
        Command::new(exe).arg("version").output().with_context(|| format!("start {}", exe.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
