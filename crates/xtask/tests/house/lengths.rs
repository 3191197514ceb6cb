//! Files hold at most 600 lines without their tests, functions at most 70.
//!
//! What is longer stands in `exceptions.txt` with its length. An entry that is larger than the truth, or that names
//! something short enough or gone, is itself a finding, and so is a list of another size than [`ALLOWED`]: it shrinks
//! with the code, and grows only by a change of that constant.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::Finding;
use crate::repo::{self, SourceFile};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const EXCEPTIONS: &str = "crates/xtask/tests/house/exceptions.txt";

/// What the list of exceptions holds, exactly. Lower it with the list; raising it is a decision, to be argued for.
const ALLOWED: Allowance = Allowance { entries: 0, lines: 0 };

/// The size of a list of exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    entries: usize,
    /// The sum of the lengths that the entries grant.
    lines: usize,
}

/// A measured file or function.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Length {
    line: usize,
    lines: usize,
    lines_max: usize,
}

/// Lengths by name: `path` for a file, `path::function` for a function (the longest of that name in the file).
type Lengths = BTreeMap<String, Length>;

fn measure(file: &SourceFile) -> Result<Lengths, Finding> {
    let syntax = syn::parse_file(&file.text).map_err(|error| {
        Finding::new(&file.path, error.span().start().line, format!("does not parse: {error}"))
    })?;
    let mut functions = Functions { path: &file.path, found: Lengths::new() };
    functions.visit_file(&syntax);
    let mut lengths = functions.found;
    if !is_test_file(&file.path) {
        let tests: usize = syntax.items.iter().map(test_lines).sum();
        let lines = file.text.lines().count() - tests;
        lengths.insert(file.path.clone(), Length { line: 1, lines, lines_max: FILE_LINES_MAX });
    }
    Ok(lengths)
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The lines of a `#[cfg(test)] mod name { ... }`, from its first attribute on.
fn test_lines(item: &syn::Item) -> usize {
    let syn::Item::Mod(module) = item else { return 0 };
    let Some((braces, _)) = &module.content else { return 0 };
    let is_for_tests = module.attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    });
    let first = module.attrs.first().map_or(module.mod_token.span, |attribute| attribute.pound_token.span);
    if is_for_tests { braces.span.close().end().line - first.start().line + 1 } else { 0 }
}

struct Functions<'a> {
    path: &'a str,
    found: Lengths,
}

impl Functions<'_> {
    /// From the line with `fn` to the closing brace: attributes and documentation do not count.
    fn record(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.ident.span().start().line;
        let lines = block.brace_token.span.close().end().line - line + 1;
        let length = Length { line, lines, lines_max: FUNCTION_LINES_MAX };
        let name = format!("{}::{}", self.path, signature.ident);
        let longest = self.found.entry(name).or_insert_with(|| length.clone());
        if longest.lines < lines {
            *longest = length;
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.record(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.record(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.record(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The entries of a list with their line numbers: `name lines` on each, `#` begins a comment. `None` is no such entry.
fn entries(list: &str) -> impl Iterator<Item = (usize, Option<(&str, usize)>)> {
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    (1..).zip(lines).filter(|(_, entry)| !entry.is_empty()).map(|(number, entry)| {
        let (name, lines) = entry.split_once(' ').unwrap_or((entry, ""));
        (number, lines.trim().parse().ok().map(|lines| (name, lines)))
    })
}

fn check_size(list: &str, allowed: Allowance) -> Option<Finding> {
    let granted: Vec<usize> = entries(list).filter_map(|(_, entry)| Some(entry?.1)).collect();
    let size = Allowance { entries: granted.len(), lines: granted.iter().sum() };
    let has_grown = size.entries > allowed.entries || size.lines > allowed.lines;
    let what =
        if has_grown { "the list has grown: shorten the code" } else { "the list has shrunk: lower ALLOWED" };
    (size != allowed)
        .then(|| Finding::new(EXCEPTIONS, 1, format!("{what}; it holds {size:?}, not {allowed:?}")))
}

fn check(lengths: &Lengths, list: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut excepted = BTreeMap::new();
    for (number, entry) in entries(list) {
        let Some((name, granted)) = entry else {
            findings.push(Finding::new(EXCEPTIONS, number, "write `path lines` or `path::function lines`"));
            continue;
        };
        let what = match lengths.get(name) {
            None => Some(format!("remove this line: there is no {name}")),
            Some(length) if length.lines <= length.lines_max => {
                Some(format!("remove this line: {name} has {} lines, which is allowed", length.lines))
            }
            Some(length) if length.lines < granted => Some(format!("lower {granted} to {}", length.lines)),
            Some(_) => None,
        };
        findings.extend(what.map(|what| Finding::new(EXCEPTIONS, number, what)));
        excepted.insert(name.to_owned(), granted);
    }
    for (name, length) in lengths {
        let granted = excepted.get(name).copied().unwrap_or(length.lines_max);
        if length.lines > granted.max(length.lines_max) {
            let file = name.split("::").next().unwrap_or(name);
            let what = format!("{name} has {} lines, at most {granted}: split it along a noun", length.lines);
            findings.push(Finding::new(file, length.line, what));
        }
    }
    findings
}

#[test]
fn files_and_functions_are_short() {
    let mut lengths = Lengths::new();
    let mut findings = Vec::new();
    for file in repo::rust_files() {
        match measure(&file) {
            Ok(measured) => lengths.extend(measured),
            Err(finding) => findings.push(finding),
        }
    }
    let list =
        std::fs::read_to_string(repo::root().join(EXCEPTIONS)).expect("the list of exceptions is there");
    findings.extend(check(&lengths, &list));
    findings.extend(check_size(&list, ALLOWED));
    crate::finding::assert_none(findings);
}

#[test]
fn tests_documentation_and_attributes_do_not_count() {
    let text = "//! Purpose.\n\n/// Documented.\n#[inline]\nfn a() {\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    \
                fn c() {}\n}\n";
    let lengths = measure(&SourceFile { path: "crates/x/src/a.rs".into(), text: text.into() }).unwrap();
    assert_eq!(lengths["crates/x/src/a.rs"].lines, 8, "twelve lines, four of them tests");
    assert_eq!(lengths["crates/x/src/a.rs::a"], Length { line: 5, lines: 3, lines_max: FUNCTION_LINES_MAX });
    let tests = measure(&SourceFile { path: "crates/x/tests/it.rs".into(), text: text.into() }).unwrap();
    assert!(!tests.contains_key("crates/x/tests/it.rs"), "a file of tests may be long");
}

#[test]
fn what_is_too_long_is_found() {
    let long =
        format!("//! Long.\nimpl A {{\n    fn a(&self) {{\n{}    }}\n}}\n", "        b();\n".repeat(600));
    let lengths = measure(&SourceFile { path: "a.rs".into(), text: long }).unwrap();
    let found: Vec<String> = check(&lengths, "").iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "a.rs:1: a.rs has 605 lines, at most 600: split it along a noun",
            "a.rs:3: a.rs::a has 602 lines, at most 70: split it along a noun",
        ]
    );
    assert_eq!(check(&lengths, "# reasons\na.rs 605\na.rs::a 602 # a table\n"), []);
    assert!(measure(&SourceFile { path: "a.rs".into(), text: "fn".into() }).is_err());
}

#[test]
fn exceptions_that_grant_too_much_are_found() {
    let length = |lines, lines_max| Length { line: 1, lines, lines_max };
    let lengths =
        Lengths::from([("a.rs".to_owned(), length(650, 600)), ("b.rs::b".to_owned(), length(70, 70))]);
    let found: Vec<String> = check(&lengths, "a.rs 700\nb.rs::b 80\nc.rs 900\nnonsense\n")
        .iter()
        .map(ToString::to_string)
        .collect();
    let at = |line: usize, what: &str| format!("{EXCEPTIONS}:{line}: {what}");
    assert_eq!(
        found,
        [
            at(1, "lower 700 to 650"),
            at(2, "remove this line: b.rs::b has 70 lines, which is allowed"),
            at(3, "remove this line: there is no c.rs"),
            at(4, "write `path lines` or `path::function lines`"),
        ]
    );
    assert_eq!(check(&lengths, "a.rs 640\n").len(), 1, "an exception does not grow with its file");
}

#[test]
fn a_list_of_another_size_than_allowed_is_found() {
    let allowed = Allowance { entries: 1, lines: 650 };
    let found = |list: &str| check_size(list, allowed).map(|finding| finding.what);
    assert_eq!(found("# reasons\na.rs 650 # a table\n"), None);
    for grown in ["a.rs 651\n", "a.rs 325\nb.rs 325\n", "a.rs 10\nb.rs 10\n"] {
        assert!(found(grown).is_some_and(|what| what.starts_with("the list has grown")), "{grown}");
    }
    for shrunk in ["a.rs 649\n", ""] {
        assert!(found(shrunk).is_some_and(|what| what.starts_with("the list has shrunk")), "{shrunk}");
    }
}
