//! What pages name exists: paths, `make` targets, commands with their flags, and what links point to.
//!
//! Code spans and the lines of shell blocks are read. A decision record that is only proposed may name what is to come.

use std::collections::{BTreeMap, BTreeSet};

use clap::Command;

use crate::Finding;
use crate::invocation;
use crate::markdown::{self, Page};
use crate::repo::{self, SourceFile};

/// What there is to be named.
struct Known {
    /// Files and folders of the repository.
    paths: BTreeSet<String>,
    make_targets: BTreeSet<String>,
    mainstay: Command,
    xtask: Command,
}

/// A word with one of these endings and a `/` in it means a file of this repository.
const OUR_ENDINGS: [&str; 3] = [".rs", ".md", ".toml"];

fn check_code(file: &SourceFile, page: &Page, known: &Known) -> Vec<Finding> {
    if is_proposed(file) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for code in &page.code {
        let mut report = |what: String| findings.push(Finding::new(&file.path, code.line, what));
        for word in code.text.split_whitespace() {
            if let Some(path) = missing_path(word, &file.path, &known.paths) {
                report(format!("there is no `{path}` in the repository: name what exists"));
            }
        }
        for command in invocation::split(&code.text) {
            if let Err(what) = check_command(&command, known) {
                report(format!("`{}`: {what}", command.join(" ")));
            }
        }
    }
    findings
}

fn is_proposed(file: &SourceFile) -> bool {
    file.path.starts_with("docs/adr/")
        && file.text.lines().take(10).any(|line| {
            let line = line.to_lowercase().replace('*', "");
            line.trim_start_matches("- ").starts_with("status: proposed")
        })
}

fn check_command(words: &[String], known: &Known) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match words.as_slice() {
        ["make", targets @ ..] => check_make(targets, known),
        ["cargo", "xtask", rest @ ..] => invocation::check(&known.xtask, &owned(rest)),
        ["cargo", "run", rest @ ..] => match rest.iter().position(|word| *word == "--") {
            Some(end) if rest[..end].contains(&"mainstay") => {
                invocation::check(&known.mainstay, &owned(&rest[end + 1..]))
            }
            _ => Ok(()),
        },
        [program, rest @ ..] if program.rsplit('/').next() == Some("mainstay") => {
            invocation::check(&known.mainstay, &owned(rest))
        }
        [flag, ..] if flag.starts_with("--") && flag.len() > 2 => {
            let is_known =
                [&known.mainstay, &known.xtask].iter().any(|command| invocation::has_flag(command, flag));
            is_known
                .then_some(())
                .ok_or_else(|| "no command of ours has it; name the program before its flag".into())
        }
        _ => Ok(()),
    }
}

fn check_make(words: &[&str], known: &Known) -> Result<(), String> {
    let is_target =
        |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    match words.iter().filter(is_target).find(|target| !known.make_targets.contains(**target)) {
        Some(target) => Err(format!("the Makefile has no target `{target}`")),
        None => Ok(()),
    }
}

/// The path that this word of a page names, if it means one of this repository and that does not exist.
fn missing_path<'a>(word: &'a str, page: &str, paths: &BTreeSet<String>) -> Option<&'a str> {
    let word = word.trim_matches(|c| "()[],;'\"".contains(c)).trim_end_matches(['.', ':']);
    let path = word.split(['#', '?']).next().unwrap_or_default();
    let path =
        path.rsplit_once(':').filter(|(_, line)| line.parse::<u32>().is_ok()).map_or(path, |(path, _)| path);
    if path.contains("://") || path.starts_with(|c| "/~$<{-@%".contains(c)) {
        return None;
    }
    let bare = path.trim_start_matches("./");
    let (first, _) = bare.split_once('/').unwrap_or((bare, ""));
    let is_ours = if bare.contains('/') {
        paths.contains(first) || OUR_ENDINGS.iter().any(|ending| bare.ends_with(ending))
    } else {
        bare.len() > 3 && bare.ends_with(".md") && !bare.starts_with('*')
    };
    // A pattern names what lies before its first variable part.
    let fixed = match bare.find(['*', '<', '{', '[']) {
        Some(0) => return None,
        Some(at) => bare[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
        None => bare,
    };
    let exists = |path: &str| path.is_empty() || paths.contains(path);
    let fixed = fixed.trim_end_matches('/');
    (is_ours && !exists(fixed) && !resolve(page, fixed).is_some_and(|path| exists(&path))).then_some(path)
}

/// A relative link's path from the root; `None` if it leaves the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn check_links(pages: &BTreeMap<String, Page>, paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, page) in pages {
        for link in &page.links {
            if link.target.contains("://") || link.target.starts_with("mailto:") {
                continue;
            }
            let (target, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let path = if target.is_empty() { Some(name.clone()) } else { resolve(name, target) };
            let what = match path.filter(|path| path.is_empty() || paths.contains(path)) {
                None => format!("the link to `{target}` leads nowhere"),
                Some(path) => match pages.get(&path) {
                    Some(page) if !anchor.is_empty() && !page.anchors.contains(anchor) => {
                        format!("{path} has no heading for `#{anchor}`")
                    }
                    _ => continue,
                },
            };
            findings.push(Finding::new(name, link.line, what));
        }
    }
    findings
}

fn make_targets(makefile: &str) -> BTreeSet<String> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let names = makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    names.filter(|name| is_name(name)).map(ToOwned::to_owned).collect()
}

#[test]
fn what_pages_name_exists() {
    let makefile = std::fs::read_to_string(repo::root().join("Makefile")).expect("there is a Makefile");
    let known = Known {
        paths: repo::paths(),
        make_targets: make_targets(&makefile),
        mainstay: mainstay::cli::command(),
        xtask: xtask::command(),
    };
    let files = repo::pages();
    let pages: BTreeMap<String, Page> =
        files.iter().map(|file| (file.path.clone(), markdown::read(&file.text))).collect();
    let mut findings = check_links(&pages, &known.paths);
    findings.extend(files.iter().flat_map(|file| check_code(file, &pages[&file.path], &known)));
    crate::finding::assert_none(findings);
}

#[cfg(test)]
mod tests {
    //! The checks on pages that name what does not exist.

    use super::*;

    fn known() -> Known {
        let paths =
            ["crates", "crates/base", "crates/base/src", "crates/base/src/lib.rs", "docs", "docs/adr"];
        let files = ["docs/adr/0001-names.md", "README.md", "Makefile"];
        Known {
            paths: paths.iter().chain(&files).map(|path| (*path).to_owned()).collect(),
            make_targets: make_targets(
                "CACHE := x\nexport A ?= b\nrun: ## Start\n\tx: y\ntest: tools\n.PHONY: run\n",
            ),
            mainstay: invocation::sample(),
            xtask: Command::new("xtask").subcommand(Command::new("duel")),
        }
    }

    fn found(text: &str) -> Vec<String> {
        found_in("docs/page.md", text)
    }

    fn found_in(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.into(), text: text.into() };
        check_code(&file, &markdown::read(text), &known()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn missing_paths_are_found() {
        let missing = |word: &str| missing_path(word, "docs/page.md", &known().paths).map(ToOwned::to_owned);
        for good in [
            "crates/base/src/lib.rs:12",
            "./docs/adr/",
            "crates/base/*",
            "crates/<room>/src",
            "docs/adr/*.md",
            "adr/0001-names.md",
            "README.md",
            "docs/adr/0001-names.md#why,",
            "/v1/health.md",
            "text/plain",
            "*.md",
            "https://example.org/a.md",
            "~/notes.md",
            "{name}.md",
            "mainstay.yaml",
        ] {
            assert_eq!(missing(good), None, "{good}");
        }
        for bad in [
            "crates/bass",
            "docs/adr/0002-none.md",
            "src/lib.rs",
            "NOTES.md",
            "crates/none/*.rs",
            "scripts/x.toml",
        ] {
            assert_eq!(missing(bad).as_deref(), Some(bad));
        }
    }

    #[test]
    fn missing_targets_commands_and_flags_are_found() {
        assert_eq!(
            found("`make run test`, `make`, `mainstay up --set a=b`, `--output json`, `cargo xtask duel`"),
            [""; 0]
        );
        assert_eq!(found("`mainstay-base` and `mainstay` are crates"), [""; 0]);
        assert_eq!(
            found(
                "`make walk`\n\n```sh\nA=1 mainstay down\n./target/release/mainstay up --fast\ncargo xtask dual\n```\n\n`--sets a`"
            ),
            [
                "docs/page.md:1: `make walk`: the Makefile has no target `walk`",
                "docs/page.md:4: `mainstay down`: unrecognized subcommand 'down'",
                "docs/page.md:5: `./target/release/mainstay up --fast`: unexpected argument '--fast' found",
                "docs/page.md:6: `cargo xtask dual`: unrecognized subcommand 'dual'",
                "docs/page.md:9: `--sets a`: no command of ours has it; name the program before its flag",
            ]
        );
    }

    #[test]
    fn only_a_proposed_decision_may_name_what_is_to_come() {
        let proposed = "# 9. Later\n\n- **Status:** proposed\n\n`mainstay down`, `crates/bass`";
        assert_eq!(found_in("docs/adr/0009-later.md", proposed), [""; 0]);
        assert_eq!(found_in("docs/page.md", proposed).len(), 2);
        assert_eq!(found_in("docs/adr/0009-later.md", &proposed.replace("proposed", "accepted")).len(), 2);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let page = |text: &str| markdown::read(text);
        let pages = BTreeMap::from([
            (
                "README.md".to_owned(),
                page("# Start here\n[a](#start-here) [b](docs/adr) [c](docs/none.md) [d](#gone)"),
            ),
            (
                "docs/adr/0001-names.md".to_owned(),
                page(
                    "[e](../../README.md#start-here) [f](../../README.md#nowhere) [g](../../../x) [h](https://x.org/y)",
                ),
            ),
        ]);
        let found: Vec<String> =
            check_links(&pages, &known().paths).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "README.md:2: the link to `docs/none.md` leads nowhere",
                "README.md:2: README.md has no heading for `#gone`",
                "docs/adr/0001-names.md:1: README.md has no heading for `#nowhere`",
                "docs/adr/0001-names.md:1: the link to `../../../x` leads nowhere",
            ]
        );
    }
}
