//! `shop customers`: shoppers, then the audit, then a verdict that is the exit code.

use std::convert::Infallible;
use std::future::pending;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::signal::ctrl_c;
use tokio::sync::watch;

use super::{Outcome, Plan, Progress, run};
use crate::audit::cli::{Output, duration};
use crate::audit::{Audit, audit, read_at_rest};
use crate::mainstay::Mainstay;

/// What `shop customers` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkouts that are offered in a second, on average
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// How long shoppers arrive
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// What fixes who comes when and wants what
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long a shopper thinks before each step, on average
    #[arg(long, default_value = "500ms", value_parser = duration)]
    think: Duration,
    /// How long after its click a shopper waits for the end of the order
    #[arg(long, default_value = "30s", value_parser = duration)]
    patience: Duration,
    /// How long to wait for orders that are still open when all shoppers have left
    #[arg(long, default_value = "60s", value_parser = duration)]
    settle: Duration,
    /// Shoppers in the shop at once; more are not sent in, and counted
    #[arg(long, default_value_t = 20_000)]
    at_once: usize,
    /// The shop
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    shop: String,
    /// Mainstay's API, for the audit
    #[arg(long, default_value = "http://127.0.0.1:7070")]
    api: String,
    /// How to tell what became of it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Checkouts a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=10_000.0).contains(rate));
    rate.ok_or_else(|| format!("{text:?} is no rate: use a number from 0.01 to 10000"))
}

/// All of it, for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    passed: bool,
    plan: &'a Plan,
    outcome: &'a Outcome,
    /// None if the books could not be read.
    audit: Option<&'a Audit>,
}

/// Sends shoppers in, audits, and tells. The exit code is 0 only if no rule is violated, every mark could be read, and at least half of
/// the checkouts that were not meant to be declined were shipped. The first Ctrl-C ends arrivals; the second one ends everything.
pub async fn main(args: &Args) -> Result<ExitCode> {
    let plan = Plan {
        rate: args.rate,
        duration: args.duration,
        seed: args.seed,
        think: args.think,
        patience: args.patience,
        at_once: args.at_once,
        ..Plan::new(&args.shop)
    };
    tokio::select! {
        done = shop_and_audit(args, &plan) => done,
        () = second_ctrl_c() => bail!("ended by a second Ctrl-C: nothing was audited"),
    }
}

async fn shop_and_audit(args: &Args, plan: &Plan) -> Result<ExitCode> {
    let outcome = with_progress(plan).await?;
    if args.output == Output::Text {
        writeln!(std::io::stdout(), "{outcome}")?;
    }
    let audit = audited(args, &outcome).await;
    let known = audit.as_ref().ok();
    let passed = outcome.is_enough() && outcome.unreadable() == 0 && known.is_some_and(Audit::is_clean);
    if args.output == Output::Json {
        let report = Report { passed, plan, outcome: &outcome, audit: known };
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    }
    let audit = audit?;
    if args.output == Output::Text {
        writeln!(std::io::stdout(), "{audit}\n{}", if passed { "passed" } else { "FAILED" })?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn audited(args: &Args, outcome: &Outcome) -> Result<Audit> {
    let api = Mainstay::new(&args.api);
    let cannot = || format!("the books cannot be read by {}: is Mainstay running there?", args.api);
    let books = read_at_rest(&api, args.settle).await.with_context(cannot)?;
    Ok(audit(&books, &outcome.told))
}

/// Runs, and tells how it is going: on a terminal in one line every second, elsewhere in a line every five.
async fn with_progress(plan: &Plan) -> Result<Outcome> {
    let (sender, receiver) = watch::channel(Progress::default());
    let tells = tell(receiver);
    tokio::select! {
        outcome = run(plan, &sender, first_ctrl_c()) => {
            let last = *sender.borrow();
            tell_line(last, if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" }, "\n");
            outcome
        }
        never = tells => match never {},
    }
}

async fn tell(progress: watch::Receiver<Progress>) -> Infallible {
    let is_terminal = std::io::stderr().is_terminal();
    let (every, before, after) = if is_terminal { (1, "\r\x1b[K", "") } else { (5, "", "\n") };
    let mut ticks = tokio::time::interval(Duration::from_secs(every));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        tell_line(*progress.borrow(), before, after);
    }
}

fn tell_line(progress: Progress, before: &str, after: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody reads it any more; the run goes on.
    let _ = write!(stderr, "{before}{progress}{after}").and_then(|()| stderr.flush());
}

async fn first_ctrl_c() {
    // Without a way to hear of it nobody is stopped by it.
    if ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

async fn second_ctrl_c() {
    first_ctrl_c().await;
    first_ctrl_c().await;
}
