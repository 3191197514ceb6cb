//! The demonstration: a minute of customers while services are killed, slowed and made to fail, and Mainstay is killed twice; then the
//! audit, and a report.

pub mod drill;
pub mod node;
mod report;
pub mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mainstay_lab::fetch;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::watch::channel;

use crate::audit::cli::duration;
use crate::audit::{audit, read, settle};
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
    #[arg(long, default_value_t = 25.0)]
    rate: f64,
    /// How long customers come
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// What fixes who comes when and what goes wrong when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder for the report and Mainstay's log
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// The folder with the shop's `mainstay.yaml`
    #[arg(long, default_value = "examples/shop")]
    shop: PathBuf,
    /// Nothing goes wrong: what the shop does by itself
    #[arg(long)]
    quiet: bool,
}

/// Runs it all, writes the report, and tells where it is. The exit code is 0 only if the report's verdict holds. Blocks, within a runtime.
pub fn main(args: &Args) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("make a folder for data")?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("make the folder {}", args.out.display()))?;
    let setup = Setup {
        programs: node::programs()?,
        shop: args.shop.clone(),
        folder: folder.path().to_owned(),
        environment: Some("demo"),
    };
    let ran = run(args, setup);
    // With it, or without: it is what tells why something failed.
    let log = args.out.join("mainstay.log");
    let copied = std::fs::copy(folder.path().join("mainstay.log"), &log);
    let ran = ran?;
    copied.with_context(|| format!("write {}", log.display()))?;
    let report = report::of(&ran, &jiff::Timestamp::now().strftime("%Y-%m-%d").to_string())?;
    report.write(&args.out)?;
    let path = report.write_page(&args.out)?;
    for check in &report.verdict.0 {
        tell(&format!("{} {}: {}", if check.holds { "yes" } else { "NO " }, check.claim, check.measured))?;
    }
    if !ran.audit.is_clean() {
        tell(&ran.audit.to_string())?;
    }
    let holds = report.verdict.holds();
    tell(&format!(
        "{}; the report is {}",
        if holds { "it holds" } else { "it does NOT hold" },
        path.display()
    ))?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(args: &Args, setup: Setup) -> Result<Ran> {
    tell("starting Mainstay with the shop")?;
    let mut node = Node::start(setup)?;
    let api = Mainstay::new(&format!("http://{}", node.api));
    let plan = Plan {
        rate: args.rate,
        duration: args.duration,
        seed: args.seed,
        ..Plan::new(&format!("http://{}", node.public))
    };
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
        node::wait(next.at.saturating_sub(start.elapsed()));
        let letter = letter(troubles.len());
        tell(&format!("{}  {letter}: {}", *seen.borrow(), next.trouble.text()))?;
        troubles.push(report::Had { letter, ..had(&mut node, next, start)? });
    }
    let outcome = runtime.block_on(shopping).context("customers")??;
    tell(&format!("{}  the last customer has left", *seen.borrow()))?;
    let audited = runtime.block_on(async {
        settle(&api, SETTLE).await?;
        Ok::<_, crate::mainstay::Error>(audit(&read(&api).await?, &outcome.shown))
    });
    let breakers = watch.stop();
    let audit = audited.context("read the books")?;
    // What did not end by itself would be told by its log.
    node.stop().context("stop Mainstay")?;
    Ok(Ran { plan, outcome, audit, troubles, breakers })
}

/// Has something go wrong for its time. Returns what it was and when it was over.
fn had(node: &mut Node, planned: Planned, start: Instant) -> Result<report::Had> {
    let from = start.elapsed().as_secs_f64();
    match &planned.trouble {
        Trouble::Kill(service) => {
            if node.kill_one_of(service)? {
                node::wait(planned.lasts);
            } else {
                tell(&format!(
                    "no instance of {service} runs: what it takes to run it is told by Mainstay's log"
                ))?;
            }
        }
        Trouble::KillMainstay => node.kill_and_restart(AWAY)?,
        Trouble::Fault { service, fault, ratio } => {
            let name = format!("/v1/faults/drill-{service}");
            let fault = json!({"service": service, "fault": fault, "ratio": ratio});
            ask(node, http::Method::PUT, &name, &fault.to_string())?;
            node::wait(planned.lasts);
            ask(node, http::Method::DELETE, &name, "")?;
        }
    }
    let until = start.elapsed().as_secs_f64();
    Ok(report::Had { letter: String::new(), trouble: planned.trouble, from, until })
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
