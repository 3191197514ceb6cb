//! The demonstration: a minute of customers while services are killed, slowed and made to fail, and Mainstay is killed twice; then the
//! audit, and a report.

pub mod drill;
pub mod node;
mod report;
pub mod watch;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mainstay_lab::clock::sleep;
use mainstay_lab::fetch;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::watch::channel;

use crate::audit::cli::duration;
use crate::audit::{audit, read_at_rest};
use crate::customers::cli::rate;
use crate::customers::{self, Plan, Progress};
use crate::mainstay::Mainstay;
use drill::{Planned, Trouble};
use node::{Node, Setup};
use report::Result as Ran;
use watch::Watch;

/// How long Mainstay is away when it was killed.
const AWAY: Duration = Duration::from_secs(1);

/// How long a fault may take to be put or taken back.
const ASK: Duration = Duration::from_secs(5);

/// How long orders that are still open are waited for.
const SETTLE: Duration = Duration::from_secs(60);

/// What `shop demo` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkouts that are offered in a second, on average
    #[arg(long, default_value_t = 25.0, value_parser = rate)]
    rate: f64,
    /// How long customers come
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// What fixes who comes when and what goes wrong when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder for the report and Mainstay's log, and for Mainstay's data if the verdict does not hold
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// The folder with the shop's `mainstay.yaml`
    #[arg(long, default_value = "examples/shop")]
    shop: PathBuf,
    /// Nothing goes wrong: what the shop does by itself
    #[arg(long)]
    quiet: bool,
}

/// Runs it all, writes the report, and tells where it is. The exit code is 0 only if the report's verdict holds; if not, the data that
/// Mainstay had is kept beside the report. Blocks, within a runtime.
pub fn main(args: &Args) -> Result<ExitCode> {
    let plan = Plan { rate: args.rate, duration: args.duration, seed: args.seed, ..Plan::new("") };
    plan.check()?;
    let programs = node::programs()?;
    let out = out(&args.out)?;
    let folder =
        tempfile::Builder::new().prefix("data-").tempdir_in(&out).context("make a folder for data")?;
    let setup = Setup {
        programs,
        shop: args.shop.clone(),
        folder: folder.path().to_owned(),
        environment: Some("demo"),
    };
    let holds = ran_and_told(args, &setup, plan, &out);
    if !matches!(holds, Ok(true)) {
        tell(&format!("what Mainstay kept is in {}", folder.keep().display()))?;
    }
    Ok(if holds? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder for what is left of it, from the root on: Mainstay is started in another folder.
fn out(folder: &Path) -> Result<PathBuf> {
    let make = || format!("make the folder {}", folder.display());
    std::fs::create_dir_all(folder).with_context(make)?;
    std::path::absolute(folder).with_context(make)
}

/// Runs it, and writes and tells the report. Returns whether its verdict holds.
fn ran_and_told(args: &Args, setup: &Setup, plan: Plan, out: &Path) -> Result<bool> {
    let data = setup.folder.clone();
    let ran = run(args, setup, plan);
    // With it, or without: it is what tells why something failed.
    let log = out.join("mainstay.log");
    let copied = std::fs::copy(data.join("mainstay.log"), &log);
    let ran = ran?;
    copied.with_context(|| format!("write {}", log.display()))?;
    let report = report::of(&ran, &jiff::Timestamp::now().strftime("%Y-%m-%d").to_string())?;
    report.write(out)?;
    let path = report.write_page(out)?;
    for check in &report.verdict.0 {
        tell(&format!("{} {}: {}", if check.holds { "yes" } else { "NO " }, check.claim, check.measured))?;
    }
    if !ran.audit.is_clean() {
        tell(&ran.audit.to_string())?;
    }
    let holds = report.verdict.holds();
    let verdict = if holds { "it holds" } else { "it does NOT hold" };
    tell(&format!("{verdict}; the report is {}", path.display()))?;
    Ok(holds)
}

fn run(args: &Args, setup: &Setup, plan: Plan) -> Result<Ran> {
    tell("starting Mainstay with the shop")?;
    let mut node = Node::start(setup)?;
    let api = Mainstay::new(&format!("http://{}", node.api));
    let plan = Plan { shop: format!("http://{}", node.public), ..plan };
    let planned = if args.quiet { Vec::new() } else { drill::plan(args.seed, args.duration) };
    let runtime = Handle::current();
    let start = Instant::now();
    let watch = Watch::start(node.api, start)?;
    let (progress, seen) = channel(Progress::default());
    let shopping = {
        let plan = plan.clone();
        runtime.spawn(async move { customers::run(&plan, &progress, std::future::pending()).await })
    };
    let mut troubles = Vec::new();
    for next in planned {
        sleep(next.at.saturating_sub(start.elapsed()));
        let letter = letter(troubles.len());
        tell(&format!("{}  {letter}: {}", *seen.borrow(), next.trouble.text()))?;
        troubles.push(report::Had { letter, ..had(&mut node, next, start)? });
    }
    let outcome = runtime.block_on(shopping).context("customers")??;
    tell(&format!("{}  the last customer has left", *seen.borrow()))?;
    let books = runtime.block_on(read_at_rest(&api, SETTLE));
    let breakers = watch.stop();
    let audit = audit(&books.context("read the books")?, &outcome.told);
    // What did not end by itself is told by its log.
    let stopped = node.stop();
    Ok(Ran { plan, outcome, audit, troubles, breakers, stopped })
}

/// Has something go wrong for its time. Returns what it was and when it was over.
fn had(node: &mut Node, planned: Planned, start: Instant) -> Result<report::Had> {
    let from = start.elapsed().as_secs_f64();
    let happened = match &planned.trouble {
        Trouble::Kill(service) => {
            let is_killed = node.kill_one_of(service)?;
            if is_killed {
                sleep(planned.lasts);
            } else {
                tell(&format!(
                    "no instance of {service} runs: what it takes to run it is told by Mainstay's log"
                ))?;
            }
            is_killed
        }
        Trouble::KillMainstay => {
            node.kill_and_restart(AWAY)?;
            true
        }
        Trouble::Fault { service, fault, ratio } => {
            let name = format!("/v1/faults/drill-{service}");
            let fault = json!({"service": service, "fault": fault, "ratio": ratio});
            ask(node, http::Method::PUT, &name, &fault.to_string())?;
            sleep(planned.lasts);
            ask(node, http::Method::DELETE, &name, "")?;
            true
        }
    };
    let until = start.elapsed().as_secs_f64();
    Ok(report::Had { letter: String::new(), trouble: planned.trouble, happened, from, until })
}

fn ask(node: &Node, method: http::Method, path: &str, body: &str) -> Result<()> {
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let answer = fetch::send(node.api, request.body(Bytes::from(body.to_owned()))?, ASK)?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!((200..300).contains(&answer.status), "{path} is answered {}: {text}", answer.status);
    Ok(())
}

/// `A`, `B`, ...
fn letter(nth: usize) -> String {
    char::from(b'A' + u8::try_from(nth % 26).expect("below 26")).to_string()
}

fn tell(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("write to the terminal")
}
