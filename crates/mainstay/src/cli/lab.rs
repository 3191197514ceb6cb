//! `mainstay lab`: experiments that measure a trade-off on this machine.

use std::io;
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
    #[command(flatten)]
    output: OutputArg,
}

/// Runs a command, and returns the exit code; a verdict that does not hold is a failure. The error is that of
/// writing the result.
pub fn run(lab: Lab) -> io::Result<u8> {
    match lab {
        Lab::List { output } => list(output.output).map(|()| OK),
        Lab::Run(run) => match experiment::find(&run.name) {
            Some(found) => measure(found, &run),
            None => Ok(unknown(&run.name)),
        },
    }
}

fn list(form: Output) -> io::Result<()> {
    if form == Output::Json {
        let all: Vec<_> = experiment::ALL.iter().map(|it| describe(*it)).collect();
        return output::json(&all);
    }
    let width = experiment::ALL.iter().map(|it| it.name().len()).max().unwrap_or(0);
    let line = |it: &&dyn Experiment| format!("{:width$}  {:4} {}\n", it.name(), it.question(), it.about());
    output::text(&experiment::ALL.iter().map(line).collect::<String>())
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

fn measure(found: &dyn Experiment, run: &Run) -> io::Result<u8> {
    output::note(&format!("{}: {} ...", found.name(), found.about()));
    let (report, page) = match report(found, run) {
        Ok(measured) => measured,
        Err(error) => {
            output::note(&format!("error: the experiment could not measure: {error:#}"));
            return Ok(FAILED);
        }
    };
    match run.output.output {
        Output::Json => output::json(&report)?,
        Output::Human => output::text(&format!("{}report: {}\n", verdict(&report), page.display()))?,
    }
    Ok(if report.verdict.holds() { OK } else { FAILED })
}

fn report(found: &dyn Experiment, run: &Run) -> Result<(Report, PathBuf)> {
    let exe = std::env::current_exe().context("find this binary")?;
    let date = SystemClock::new().wall().to_string();
    let date = date.split('T').next().unwrap_or_default().to_owned();
    experiment::run(found, &Context { exe, out_dir: run.out.clone(), date })
}

fn verdict(report: &Report) -> String {
    let mark = |holds| if holds { "holds" } else { "FAILS" };
    let checks = report.verdict.0.iter();
    checks.map(|it| format!("{}  {}: {}\n", mark(it.holds), it.claim, it.measured)).collect()
}
