//! The `mainstay` executable of this checkout, built when it is asked for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// How it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, slow to run.
    Dev,
    /// As it is released.
    Release,
}

/// The repository's root folder.
#[must_use]
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the root")
}

/// Builds `mainstay` and returns where it is. Errors: it does not build; cargo has printed why.
pub fn mainstay(profile: Profile) -> Result<PathBuf> {
    let mut build = Command::new("cargo");
    build.args([
        "build",
        "--quiet",
        "--package",
        "mainstay",
        "--bin",
        "mainstay",
        "--message-format",
        "json",
    ]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    let build = build.current_dir(repository()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = build.output().context("start cargo")?;
    ensure!(output.status.success(), "mainstay does not build");
    let messages = String::from_utf8(output.stdout).context("read cargo's messages")?;
    let mut executables = messages.lines().filter_map(executable);
    executables.next().context("cargo names no executable of mainstay")
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_mainstay = message.pointer("/target/name")? == "mainstay";
    message.get("executable")?.as_str().filter(|_| is_mainstay).map(PathBuf::from)
}
