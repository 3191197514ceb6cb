//! `mainstay check`: everything that can be known about a configuration without starting.

use std::io;

use clap::Args;
use serde_json::json;

use super::{OK, Output, OutputArg, Source, USAGE, output};
use crate::config::{self, Findings, Loaded, explain};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    source: Source,
    /// Print the effective configuration with the origin of every value
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// Checks, and returns the exit code. The error is that of writing the result.
pub fn run(check: Check) -> io::Result<u8> {
    let loaded = config::load(&check.source.request());
    let findings = match &loaded {
        Ok(loaded) => &loaded.findings,
        Err(findings) => findings,
    };
    match check.output.output {
        Output::Json => machine(loaded.as_ref().ok(), findings, check.explain)?,
        Output::Human => {
            output::findings(findings);
            human(loaded.as_ref().ok(), findings, check.explain)?;
        }
    }
    Ok(if loaded.is_ok() { OK } else { USAGE })
}

fn machine(loaded: Option<&Loaded>, findings: &Findings, explained: bool) -> io::Result<()> {
    let mut document =
        json!({ "ok": loaded.is_some(), "problems": findings.records(), "omitted": findings.omitted() });
    if let Some(loaded) = loaded {
        document["files"] = json!(loaded.files);
    }
    if let (Some(loaded), true) = (loaded, explained) {
        document["settings"] = json!(explain::settings(loaded));
    }
    output::json(&document)
}

fn human(loaded: Option<&Loaded>, findings: &Findings, explained: bool) -> io::Result<()> {
    match loaded {
        Some(loaded) if explained => output::text(&explain::yaml(loaded)),
        Some(loaded) => output::text(&format!("the configuration is valid ({})\n", sources(loaded))),
        None => {
            output::note(&format!("{}, nothing was started", counted(findings.errors())));
            Ok(())
        }
    }
}

/// What a valid configuration was read from, and how many warnings it has.
fn sources(loaded: &Loaded) -> String {
    let files: Vec<_> = loaded.files.iter().map(|it| it.display().to_string()).collect();
    let files = if files.is_empty() { "defaults, no file was read".to_owned() } else { files.join(", ") };
    match loaded.findings.warnings() {
        0 => files,
        1 => format!("{files}; 1 warning"),
        count => format!("{files}; {count} warnings"),
    }
}

fn counted(errors: usize) -> String {
    if errors == 1 { "1 mistake".into() } else { format!("{errors} mistakes") }
}
