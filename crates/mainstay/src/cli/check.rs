//! `mainstay check`: everything that can be known about a configuration without starting.

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

/// Checks, and returns the exit code.
pub fn run(check: Check) -> u8 {
    let loaded = config::load(&check.source.request());
    let findings = match &loaded {
        Ok(loaded) => &loaded.findings,
        Err(findings) => findings,
    };
    match check.output.output {
        Output::Json => machine(loaded.as_ref().ok(), findings, check.explain),
        Output::Human => {
            output::findings(findings);
            human(loaded.as_ref().ok(), findings, check.explain);
        }
    }
    if loaded.is_ok() { OK } else { USAGE }
}

fn machine(loaded: Option<&Loaded>, findings: &Findings, explained: bool) {
    let mut document = json!({ "ok": loaded.is_some(), "problems": findings.records() });
    if let (Some(loaded), true) = (loaded, explained) {
        document["settings"] = json!(explain::settings(loaded));
    }
    output::json(&document);
}

fn human(loaded: Option<&Loaded>, findings: &Findings, explained: bool) {
    match loaded {
        Some(loaded) if explained => output::text(&explain::yaml(loaded)),
        Some(_) => {
            let warnings = match findings.warnings() {
                0 => String::new(),
                1 => " (1 warning)".to_owned(),
                count => format!(" ({count} warnings)"),
            };
            output::text(&format!("the configuration is valid{warnings}\n"));
        }
        None => output::note(&format!("{}, nothing was started", counted(findings.errors()))),
    }
}

fn counted(errors: usize) -> String {
    if errors == 1 { "1 mistake".into() } else { format!("{errors} mistakes") }
}
