//! Instructions of a call, or of a request through the gateway, which do not depend on how busy a machine is, held below what is kept.
//!
//! Each subject is done in a process of its own under callgrind, so many times and twice as often. The difference divided by the times is its instructions: start, warm-up
//! and what is allocated once are in both. What is found is compared with the figures that are kept in the report under `docs/benchmarks`.

mod callgrind;
mod driven;
mod ratchet;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::report::Report;
use tokio::runtime::Runtime;

use crate::binary::repository;
use crate::shell;
use crate::subjects::{self, Paced, Subject};
use ratchet::{Figure, Kept};

pub(crate) use driven::{GATEWAY, gateway};

/// What a process is asked for by that does a subject over and over.
pub(crate) const REPEAT: &str = "repeat";

/// How often a subject of this process is done: more often than there are callers of a rate limit, so that all are known by then, and a whole number of times that latencies are
/// learned from.
const TIMES: u64 = 16_384;

const NAME: &str = "instructions";

const TITLE: &str = "Instructions of policies and of the gateway";

const QUESTION: &str = "How many instructions does one call take, and one request through the gateway, and is it more than is kept? Counted by callgrind, which a busy machine does not disturb.";

/// What a reader must know of all figures.
const NOTES: [&str; 4] = [
    "An instruction is no time: it says nothing of caches, branches and locks that others hold. What takes fewer is not always quicker.",
    "What the kernel does is not counted. A reading of the clock is a system call under callgrind and none without it, so that it costs more than its figure says.",
    "By the clock that policies are given, 10 us pass from each reading to the next, so that windows turn and latencies are learned alike on every machine.",
    "Figures belong to a compiler and a C library, and change a little with what else is in the program. When one of these has changed and the code has not, `--update` keeps them anew.",
];

/// Something whose instructions are counted.
struct Counted {
    name: String,
    /// Done so often, and twice as often.
    times: u64,
    /// The instructions of a process that does it so many times, from its start to its end. For a server: it is started under callgrind, driven and stopped.
    count: Box<dyn Fn(u64) -> Result<u64>>,
}

impl Counted {
    /// Instructions of each time, without what is done once.
    fn per_call(&self) -> Result<f64> {
        let of = |times| (self.count)(times).with_context(|| format!("count {:?}", self.name));
        let (once, twice) = (of(self.times)?, of(2 * self.times)?);
        let more = twice.checked_sub(once);
        let more =
            more.with_context(|| format!("{:?} takes less when it is done twice as often", self.name))?;
        Ok(more as f64 / self.times as f64)
    }
}

/// Counts the subjects whose names hold one of these words, or all if there are none, and compares them with what is kept. `update` keeps what is counted from now on.
///
/// What was counted of all, or is to be kept, is written under `docs/benchmarks`. Errors: one takes more than is kept; nothing has such a name; callgrind is missing.
pub(crate) fn run(names: &[String], update: bool) -> Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "what is counted would not be what is released; run `cargo xtask`, which builds for release"
    );
    let counted = all()?;
    let chosen = select(&counted, names)?;
    let folder = repository().join("docs/benchmarks");
    let kept = kept(&folder)?;
    let mut found = BTreeMap::new();
    for subject in chosen {
        let instructions = subject.per_call()?;
        println!("{}: {instructions:.1}", subject.name);
        found.insert(subject.name.as_str(), instructions);
    }
    let names: Vec<&str> = counted.iter().map(|subject| subject.name.as_str()).collect();
    let figures = ratchet::merge(&names, &kept, &found, update);
    let shown: Vec<Figure> =
        figures.iter().filter(|figure| found.contains_key(figure.name.as_str())).cloned().collect();
    let shown = report(&shown)?;
    println!("\n{}", shown.markdown());
    if update || found.len() == counted.len() {
        println!("written to {}", report(&figures)?.write(&folder)?.display());
    }
    ensure!(shown.verdict.holds(), "more instructions than are kept, or none are kept");
    Ok(())
}

/// Prints what can be counted.
pub(crate) fn list() -> Result<()> {
    for subject in all()? {
        println!("{}", subject.name);
    }
    Ok(())
}

/// Does a subject so many times, in this process.
pub(crate) fn repeat(name: &str, times: u64) -> Result<()> {
    let runtime = runtime()?;
    let subject = own(&runtime).into_iter().find(|subject| subject.name == name);
    let subject = subject.with_context(|| format!("nothing has the name {name:?}"))?;
    (subject.run)(times);
    Ok(())
}

/// One without threads: what they do besides would count.
fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.context("start a runtime for timers")
}

fn all() -> Result<Vec<Counted>> {
    let runtime = runtime()?;
    let this = std::env::current_exe().context("find this program")?;
    let counted = |name: &'static str| {
        let this = this.clone();
        let count = move |times: u64| callgrind::count(&this, &[REPEAT, name, &times.to_string()]);
        Counted { name: name.to_owned(), times: TIMES, count: Box::new(count) }
    };
    let own = own(&runtime);
    Ok(own.iter().map(|subject| counted(subject.name)).chain(driven::all(&this)).collect())
}

/// What is counted of this process.
fn own(runtime: &Runtime) -> Vec<Subject> {
    subjects::all(&subjects::env(Paced::new()), runtime.handle())
}

fn select<'a>(counted: &'a [Counted], names: &[String]) -> Result<Vec<&'a Counted>> {
    let has = |subject: &Counted, name: &String| subject.name.contains(name.as_str());
    let unknown = names.iter().find(|name| !counted.iter().any(|subject| has(subject, name)));
    ensure!(
        unknown.is_none(),
        "nothing has a name with {:?}; `cargo xtask instructions --list` shows what there is",
        unknown.map_or("", String::as_str)
    );
    let is_chosen = |subject: &&Counted| names.is_empty() || names.iter().any(|name| has(subject, name));
    Ok(counted.iter().filter(is_chosen).collect())
}

/// What the report in a folder keeps; nothing if there is none.
fn kept(folder: &Path) -> Result<BTreeMap<String, Kept>> {
    let path = folder.join(format!("{NAME}.json"));
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let report: Report =
        serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))?;
    ratchet::kept(&report).with_context(|| format!("understand {}", path.display()))
}

fn report(figures: &[Figure]) -> Result<Report> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let mut report = Report::new(NAME, TITLE, QUESTION, &date);
    let version = |program| -> Result<String> {
        Ok(shell::read(Command::new(program).arg("--version"))?.trim().to_owned())
    };
    report.setting("compiler", version("rustc")?);
    report.setting("callgrind", version("valgrind")?);
    report.setting(
        "times",
        format!("{TIMES} and twice as often; of the gateway {} and twice as often", driven::TIMES),
    );
    report.notes.extend(NOTES.map(str::to_owned));
    ratchet::judge(&mut report, figures);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, count: impl Fn(u64) -> Result<u64> + 'static) -> Counted {
        Counted { name: name.to_owned(), times: 100, count: Box::new(count) }
    }

    #[test]
    fn what_is_done_once_does_not_count() {
        let per_call = |count: fn(u64) -> Result<u64>| counted("a", count).per_call();
        assert_eq!(per_call(|times| Ok(1_000_000 + 7 * times)).unwrap(), 7.0);
        assert_eq!(per_call(|times| Ok(1_000_000 + times / 4)).unwrap(), 0.25);
        assert!(per_call(|times| Ok(1_000_000 - times)).is_err());
    }

    #[test]
    fn those_are_counted_whose_names_hold_a_word() {
        let subjects = ["breaker, its core", "breaker, its layer", "limit"].map(|name| counted(name, Ok));
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let chosen = select(&subjects, &names)?;
            Ok::<_, anyhow::Error>(chosen.iter().map(|subject| subject.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), 3);
        assert_eq!(chosen(&["core", "limit"]).unwrap(), ["breaker, its core", "limit"]);
        assert_eq!(chosen(&["breaker"]).unwrap(), ["breaker, its core", "breaker, its layer"]);
        assert!(chosen(&["breaker", "hedge"]).unwrap_err().to_string().contains("hedge"));
    }

    #[test]
    fn figures_are_kept_of_all_subjects_that_there_are_and_they_hold() {
        let kept = kept(&repository().join("docs/benchmarks")).unwrap();
        let names: Vec<String> = all().unwrap().into_iter().map(|subject| subject.name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let figures = ratchet::merge(&names, &kept, &BTreeMap::new(), false);
        let committed: Vec<&String> = figures.iter().map(|figure| &figure.name).collect();
        assert_eq!(committed, names);
        assert_eq!(kept.len(), names.len(), "figures of what there is no more");
        let mut report = Report::new(NAME, TITLE, QUESTION, "2026-01-02");
        ratchet::judge(&mut report, &figures);
        assert!(report.verdict.holds(), "{}", report.markdown());
    }
}
