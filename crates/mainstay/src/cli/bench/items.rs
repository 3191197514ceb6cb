//! `mainstay bench commits` and `mainstay bench reads`: what this machine can do with items, as a closed loop of clients that
//! each wait for one answer before they ask again.
//!
//! A node of its own is started for it and asked over HTTP; or, with `--embedded`, its data are opened in this process, and
//! what HTTP costs is left out. What is watched meanwhile is the same.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use mainstay_base::units::Size;
use mainstay_lab::bench::{Place, Stop};
use mainstay_lab::clock::Moment;
use mainstay_lab::duel::Spent;
use mainstay_lab::items::{Operation, Task};
use mainstay_lab::load::Percentiles;
use mainstay_lab::process::{Pid, memory};
use mainstay_machine::settings::Limits;

use super::super::{FAILED, OK, Output, OutputArg, output};
use super::report::{Counted, Report};
use super::{check_space, configure, embedded, folder_in, served, until_signal};

/// The part of the load that is not measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Bytes that a row has beside its value, generously.
const ROW_BYTES: u64 = 256;

/// Arguments of `bench commits` and `bench reads`.
#[derive(Debug, Args)]
pub struct Items {
    /// The folder whose disk is used; files go into a folder of their own in it, which is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Clients, each of which waits for an answer before it asks again
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Bytes of each value, with a unit
    #[arg(long, value_name = "SIZE", default_value_t = Size::from_bytes(256))]
    value: Size,
    /// How many items there are
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    items: u32,
    /// How long it is measured, in seconds, after one of warm-up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The shards that the items are divided into
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    shards: u32,
    /// Open the data in this process instead of a node that is asked over HTTP
    #[arg(long)]
    embedded: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// What is to be done.
pub struct Plan {
    pub task: Task,
    pub clients: usize,
    pub shards: u32,
    pub warm_up: Duration,
    pub duration: Duration,
    pub embedded: bool,
}

/// What was seen of it.
pub struct Observed {
    /// Operations that ended well within the window.
    pub operations: u64,
    /// Of operations that began in the window.
    pub latency: Percentiles,
    /// What did not end well, also in the warm-up, by what became of it.
    pub errors: BTreeMap<String, u64>,
    pub watched: Watched,
}

/// What a window cost, from its begin to its end.
pub struct Watched {
    pub window: Duration,
    pub spent: Spent,
    pub counted: Counted,
    pub rss_bytes: u64,
}

/// Measures and tells; errors of single operations are told and a failure. The error is that of writing the result.
pub fn run(items: &Items, operation: Operation) -> io::Result<u8> {
    let report = match measure(items, operation) {
        Ok(report) => report,
        Err(error) => {
            let what = if operation == Operation::Put { "commits" } else { "reads" };
            output::note(&format!("error: {what} could not be measured: {error:#}"));
            return Ok(FAILED);
        }
    };
    match items.output.output {
        Output::Json => output::json(&report)?,
        Output::Human => output::text(&report.text())?,
    }
    Ok(if report.errors.is_empty() { OK } else { FAILED })
}

fn measure(items: &Items, operation: Operation) -> Result<Report> {
    let plan = plan(items, operation)?;
    let place = Place::look(&items.dir)?;
    check_space(&place, plan.space(), &items.dir)?;
    let folder = folder_in(&items.dir)?;
    let observed = until_signal(|stop| {
        output::note(&format!(
            "measuring in {}: {}; Ctrl-C ends it and removes the folder",
            folder.path().display(),
            plan.sentence(),
        ));
        // Where it is put on a command line or into a file it must not depend on where that is.
        let folder = folder.path().canonicalize().context("find the folder")?;
        let observed = if plan.embedded {
            embedded::measure(&plan, &folder, stop)
        } else {
            served::measure(&plan, &folder, stop)
        };
        // What an interrupt broke off is its failure, whatever it looks like.
        stop.check()?;
        observed
    });
    folder.close().context("remove the folder")?;
    let observed = observed?;
    ensure!(
        observed.operations > 0 || !observed.errors.is_empty(),
        "no operation ended in {:?}: measure for longer",
        plan.duration
    );
    Ok(Report::of(&plan, &place, &observed))
}

/// Errors: values of a size that nobody can store.
fn plan(items: &Items, operation: Operation) -> Result<Plan> {
    let max = Limits::default().value_size_max;
    ensure!(items.value > Size::ZERO, "a value of 0B cannot be told from another: use 1B or more");
    ensure!(
        items.value <= max,
        "a value of {} is more than an item has, which is {max} at most",
        items.value
    );
    let value_bytes = usize::try_from(items.value.bytes()).expect("it is below the limit");
    Ok(Plan {
        task: Task { operation, items: items.items, value_bytes },
        clients: items.clients as usize,
        shards: items.shards,
        warm_up: WARM_UP,
        duration: Duration::from_secs(items.seconds.into()),
        embedded: items.embedded,
    })
}

impl Plan {
    /// Room that it takes on the disk: the items in tables, in tables they are merged into and in three snapshots, and the log
    /// that is not trimmed yet.
    fn space(&self) -> Size {
        /// What nobody writes more of in a second, or the log keeps.
        const LOGGED_PER_S: u64 = 100 << 20;
        const LOG_MAX: u64 = 2 << 30;
        let rows = u64::from(self.task.items) * (self.task.value_bytes as u64 + ROW_BYTES);
        let logged = LOGGED_PER_S * (self.duration + self.warm_up).as_secs();
        Size::from_bytes(rows * 5 + logged.min(LOG_MAX))
    }

    /// As in `commits over HTTP, 64 clients, values of 256B, 100000 items, 16 shards, 5 s after 1 s of warm-up`.
    pub fn sentence(&self) -> String {
        let what = if self.task.operation == Operation::Put { "commits" } else { "reads" };
        let how = if self.embedded { "in this process" } else { "over HTTP" };
        format!(
            "{what} {how}, {} clients, values of {}, {} items, {} shards, {} s after {} s of warm-up",
            self.clients,
            Size::from_bytes(self.task.value_bytes as u64),
            self.task.items,
            self.shards,
            self.duration.as_secs(),
            self.warm_up.as_secs(),
        )
    }

    /// Writes the configuration of the node below `folder`, its defaults but for what is needed; returns the file.
    pub fn configure(&self, folder: &Path, api: SocketAddr) -> Result<PathBuf> {
        // As many again are for whoever looks at it, and for a probe before its connection is gone.
        let connections = self.clients * 2 + 64;
        let lines = format!(
            "listen: {{ api: \"{api}\" }}\napi: {{ connections_max: {connections} }}\nlog: {{ durability: synced }}\n"
        );
        configure(folder, self.shards, &lines)
    }
}

/// Watches a window, in which `servers` do the work, or this process if there are none. `scrape` returns the metrics. Blocks until
/// its end. Errors: something cannot be read, or `stop` was asked for.
pub fn watch(
    (begin, end): (Moment, Moment),
    servers: &[Pid],
    scrape: impl Fn() -> Result<String>,
    stop: &Stop,
) -> Result<Watched> {
    let look = || -> Result<_> {
        stop.check()?;
        Ok((Moment::now(), Spent::now(servers)?, Counted::read(&scrape()?)?))
    };
    stop.sleep_until(begin);
    let before = look()?;
    stop.sleep_until(end);
    let after = look()?;
    let own = [std::process::id()];
    Ok(Watched {
        window: after.0.since(before.0),
        spent: after.1.since(before.1),
        counted: after.2.since(before.2),
        rss_bytes: memory(if servers.is_empty() { &own } else { servers }).rss_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_by_items_and_time() {
        let task = Task { operation: Operation::Put, items: 100_000, value_bytes: 256 };
        let duration = Duration::from_secs(5);
        let plan = Plan { task, clients: 64, shards: 16, warm_up: WARM_UP, duration, embedded: false };
        assert_eq!(plan.space(), Size::from_bytes(5 * 100_000 * 512 + (600 << 20)));
        let plan = Plan { duration: Duration::from_secs(600), ..plan };
        assert_eq!(plan.space(), Size::from_bytes(5 * 100_000 * 512 + (2 << 30)));
    }
}
