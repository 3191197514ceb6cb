//! Writes the figures of the pages under `docs/answers` anew from the reports under `docs/benchmarks`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mainstay_lab::answers::fill;
use mainstay_lab::duel::Results;
use mainstay_lab::report::Report;
use serde_json::Value;

/// Where the reports are, seen from a page.
const REPORTS: &str = "../benchmarks";

/// A page and what it would be with the figures of the reports that are there.
#[derive(Debug)]
pub struct Answer {
    /// The page's file.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// What should be.
    pub filled: String,
}

/// All pages of answers in a repository, in the order of their names. Errors: a block of one cannot be made.
pub fn all(root: &Path) -> Result<Vec<Answer>> {
    let folder = root.join("docs/answers");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("list {}", folder.display()))?.path());
    }
    // The list of pages explains blocks, and has none.
    paths.retain(|path| path.extension().is_some_and(|it| it == "md") && !path.ends_with("README.md"));
    paths.sort();
    paths.into_iter().map(|path| answer(&folder, path)).collect()
}

fn answer(folder: &Path, path: PathBuf) -> Result<Answer> {
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let report = |name: &str| read(&folder.join(REPORTS).join(format!("{name}.json")));
    let filled = fill(&text, REPORTS, report).with_context(|| path.display().to_string())?;
    Ok(Answer { path, text, filled })
}

/// The report of an experiment, or what a duel has to show.
fn read(path: &Path) -> Result<Report> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let document: Value =
        serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))?;
    let report = if document.get("contestants").is_some() {
        serde_json::from_value(document).map(|results: Results| results.report())
    } else {
        serde_json::from_value(document)
    };
    report.with_context(|| format!("understand {}", path.display()))
}

/// Writes the pages whose figures are not those of the reports; returns which.
///
/// Errors: as [`all`], before anything is written; a page cannot be written.
pub fn write(root: &Path) -> Result<Vec<PathBuf>> {
    let stale = all(root)?.into_iter().filter(|answer| answer.text != answer.filled);
    let write = |answer: Answer| {
        fs::write(&answer.path, &answer.filled)
            .with_context(|| format!("write {}", answer.path.display()))?;
        Ok(answer.path)
    };
    stale.map(write).collect()
}
