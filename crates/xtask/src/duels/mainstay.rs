//! Mainstay as a contestant: the release build of this checkout with its defaults, but for what the work needs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::duel::{Contestant, Load, Started, asking};
use mainstay_lab::fetch;
use mainstay_lab::load::{Expect, Http1};
use mainstay_lab::process::{Probe, Server, free_port};
use serde_json::Value;

use crate::binary::{self, Profile, repository};
use crate::shell;

/// What the liveness endpoint answers.
pub(super) const HEALTH_BODY: &str = "{\"status\":\"live\"}\n";

/// Mainstay asked for `path`, whose right answer has `body_bytes` bytes.
pub(super) fn answering(path: &'static str, body_bytes: usize) -> Result<Contestant> {
    let expect = Expect { status: Some(200), body_bytes: Some(body_bytes as u64) };
    contestant("", move |address| Ok(asking(Http1::get(address, path), expect)))
}

/// Mainstay with these lines in its file beside the address; `load` puts it under load there.
pub(super) fn contestant(
    lines: &'static str,
    load: impl Fn(SocketAddr) -> Result<Load> + 'static,
) -> Result<Contestant> {
    let program = build()?;
    let start = move |folder: &Path| {
        let Up { server, api, version, settings } = up(&program, folder, ("", lines))?;
        Ok(Started { servers: vec![server], version, settings, load: load(api)? })
    };
    Ok(Contestant { name: "mainstay".to_owned(), start: Box::new(start) })
}

/// The program, as it is released.
pub(super) fn build() -> Result<PathBuf> {
    println!("building mainstay ...");
    binary::mainstay(Profile::Release)
}

/// A node that is ready.
pub(super) struct Up {
    pub(super) server: Server,
    /// Where its API listens.
    pub(super) api: SocketAddr,
    pub(super) version: String,
    pub(super) settings: Vec<(String, String)>,
}

/// Starts a node with its data below `folder`: besides the address of its API it listens on what `listen` says, a line of that section, and has `lines` in its file.
pub(super) fn up(program: &Path, folder: &Path, (listen, lines): (&str, &str)) -> Result<Up> {
    let api = free_port()?;
    let file = folder.join("mainstay.yaml");
    let text = format!("listen:\n  api: \"{api}\"\n  {listen}\n{lines}");
    fs::write(&file, text).context("write mainstay.yaml")?;
    let mut command = Command::new(program);
    command.arg("up").arg(&file);
    let mut server = Server::spawn(command, &folder.join("log"))?;
    server.wait_ready(&Probe::Http(api, "/v1/health/ready".to_owned()), Duration::from_secs(10))?;
    let config = fetch::get(api, "/v1/config", Duration::from_secs(10))?.json()?;
    let settings = read_back(&config).context("/v1/config lists no settings")?;
    let shortened = |(name, value): (String, String)| (name, value.replace(&*folder.to_string_lossy(), "."));
    let settings = settings.into_iter().map(shortened).collect();
    Ok(Up { server, api, version: version(program)?, settings })
}

/// Its version and the commit it was built from, with a mark if files were changed since.
fn version(program: &Path) -> Result<String> {
    let version = shell::read(Command::new(program).arg("version"))?;
    Ok(checkout(version.lines().next().unwrap_or_default().trim()))
}

/// `version` with the commit of this checkout, with a mark if files were changed since.
pub(super) fn checkout(version: &str) -> String {
    let mut describe = Command::new("git");
    describe.args(["describe", "--always", "--dirty"]).current_dir(repository());
    // A copy of the sources without their history has no commit to name.
    shell::read(&mut describe)
        .map_or_else(|_| version.to_owned(), |commit| format!("{version}, commit {}", commit.trim()))
}

/// Every setting in force, as `/v1/config` lists them.
fn read_back(config: &Value) -> Option<Vec<(String, String)>> {
    let settings = config.get("settings")?.as_array()?;
    let pair = |setting: &Value| {
        let value = setting.get("value")?;
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        Some((setting.get("path")?.as_str()?.to_owned(), value))
    };
    settings.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_from_the_answer() {
        let config = serde_json::json!({ "settings": [
            { "path": "listen.api", "value": "127.0.0.1:7070", "origin": "default" },
            { "path": "api.hosts", "value": ["a"], "origin": "mainstay.yaml:1:1" },
        ]});
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read_back(&config),
            Some(vec![pair("listen.api", "127.0.0.1:7070"), pair("api.hosts", "[\"a\"]")])
        );
        assert_eq!(read_back(&serde_json::json!({ "settings": [{ "path": 1 }] })), None);
    }
}
