//! `mainstay lab`: experiments that measure a trade-off on this machine.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use mainstay_base::time::Clock;
use mainstay_lab::experiment::{self, Context, Experiment};
use mainstay_lab::report::Report;
use serde_json::json;

use super::{FAILED, OK, Output, OutputArg, USAGE, output};
use crate::config::names;
use crate::system::SystemClock;

/// The commands under `lab`.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// List the experiments
    List {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Run one experiment and write its report; takes under three minutes
    Run(Run),
}

/// Arguments of `lab run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The experiment, as `mainstay lab list` names it
    name: String,
    /// The folder for the report and its plots
    #[arg(long, value_name = "DIR", default_value = "lab-out")]
    out: PathBuf,
    /// For everything that is drawn at random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs a command, and returns the exit code. A verdict that does not hold is a failure.
pub fn run(lab: Lab) -> u8 {
    match lab {
        Lab::List { output } => list(output.output),
        Lab::Run(run) => match experiment::find(&run.name) {
            Some(found) => measure(found, &run),
            None => unknown(&run.name),
        },
    }
}

fn list(form: Output) -> u8 {
    match form {
        Output::Json => {
            let all: Vec<_> = experiment::ALL.iter().map(|it| describe(*it)).collect();
            output::json(&all);
        }
        Output::Human => {
            let width = experiment::ALL.iter().map(|it| it.name().len()).max().unwrap_or(0);
            for it in experiment::ALL {
                output::text(&format!("{:width$}  {:4} {}\n", it.name(), it.question(), it.about()));
            }
        }
    }
    OK
}

fn describe(it: &dyn Experiment) -> serde_json::Value {
    json!({ "name": it.name(), "question": it.question(), "about": it.about() })
}

fn unknown(name: &str) -> u8 {
    let nearest = names::nearest(name, experiment::ALL.iter().map(|it| it.name()));
    let meant = nearest.map(|it| format!("did you mean `{it}`? ")).unwrap_or_default();
    output::note(&format!("error: there is no experiment `{name}`; {meant}`mainstay lab list` lists them"));
    USAGE
}

fn measure(found: &dyn Experiment, run: &Run) -> u8 {
    output::note(&format!("{}: {} ...", found.name(), found.about()));
    match report(found, run) {
        Ok((report, page)) => {
            match run.output.output {
                Output::Json => output::json(&report),
                Output::Human => {
                    output::text(&verdict(&report));
                    output::text(&format!("report: {}\n", page.display()));
                }
            }
            if report.verdict.holds() { OK } else { FAILED }
        }
        Err(error) => {
            output::note(&format!("error: the experiment could not measure: {error:#}"));
            FAILED
        }
    }
}

fn report(found: &dyn Experiment, run: &Run) -> Result<(Report, PathBuf)> {
    let exe = std::env::current_exe().context("find this binary")?;
    let date = SystemClock::new().wall().to_string();
    let date = date.split('T').next().unwrap_or_default().to_owned();
    experiment::run(found, &Context { exe, out_dir: run.out.clone(), seed: run.seed, date })
}

fn verdict(report: &Report) -> String {
    let mark = |holds| if holds { "holds" } else { "FAILS" };
    let checks = report.verdict.0.iter();
    checks.map(|it| format!("{}  {}: {}\n", mark(it.holds), it.claim, it.measured)).collect()
}
