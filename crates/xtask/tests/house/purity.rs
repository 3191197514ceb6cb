//! What the sources of a pure room must not name: the parts of other crates that do I/O, or know the time.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::Finding;
use crate::repo::SourceFile;

const IMPURE: [&str; 7] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// Findings in what the crate itself does; its tests, and the suites that it offers to the tests of others, may.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let is_for_tests = file.path.contains("/tests/")
        || ["/tests.rs", "/conformance.rs"].iter().any(|ending| file.path.ends_with(ending));
    if is_for_tests {
        return Vec::new();
    }
    let Ok(syntax) = syn::parse_file(&file.text) else {
        return vec![Finding::new(&file.path, 1, "does not parse")];
    };
    let mut uses = Uses::default();
    uses.visit_file(&syntax);
    let mut paths = Paths {
        file,
        names: uses.names,
        findings: uses.paths.iter().filter_map(|(line, path)| finding(file, *line, path)).collect(),
    };
    paths.visit_file(&syntax);
    paths.findings
}

fn finding(file: &SourceFile, line: usize, path: &str) -> Option<Finding> {
    let is_below =
        |above: &str| path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let impure = IMPURE.into_iter().find(|impure| is_below(impure))?;
    Some(Finding::new(
        &file.path,
        line,
        format!("a pure room must not use `{impure}`: take it through a port"),
    ))
}

/// Every `use`, and what the names that it brings stand for.
#[derive(Default)]
struct Uses {
    names: BTreeMap<String, String>,
    /// With their lines.
    paths: Vec<(usize, String)>,
}

impl Uses {
    fn add(&mut self, above: &str, tree: &syn::UseTree) {
        let below = |name: &syn::Ident| match name.to_string() {
            name if name == "self" => above.to_owned(),
            name if above.is_empty() => name,
            name => format!("{above}::{name}"),
        };
        let (name, path) = match tree {
            syn::UseTree::Path(path) => return self.add(&below(&path.ident), &path.tree),
            syn::UseTree::Group(group) => return group.items.iter().for_each(|tree| self.add(above, tree)),
            syn::UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                return self.paths.push((line, above.to_owned()));
            }
            syn::UseTree::Name(name) => (&name.ident, below(&name.ident)),
            syn::UseTree::Rename(rename) => (&rename.rename, below(&rename.ident)),
        };
        self.paths.push((name.span().start().line, path.clone()));
        let name = if name == "self" {
            path.rsplit("::").next().unwrap_or(&path).to_owned()
        } else {
            name.to_string()
        };
        self.names.insert(name, path);
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_only(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add("", &item.tree);
    }
}

/// Every path in types, expressions and the arguments of macros.
struct Paths<'a> {
    file: &'a SourceFile,
    /// What a path's first name stands for.
    names: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_only(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [first, rest @ ..] = names.as_slice() {
            let first = self.names.get(first).unwrap_or(first).clone();
            let whole = [&[first], rest].concat().join("::");
            let line = path.segments[0].ident.span().start().line;
            // A short name of what a `use` brought in has been found there.
            let is_new = names.len() > 1 || path.leading_colon.is_some();
            self.findings.extend(finding(self.file, line, &whole).filter(|_| is_new));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let line = call.path.segments[0].ident.span().start().line;
        let tokens = call.tokens.to_string().replace(' ', "");
        let named = IMPURE.into_iter().filter(|impure| tokens.contains(impure));
        self.findings.extend(named.filter_map(|impure| finding(self.file, line, impure)));
        visit::visit_macro(self, call);
    }
}

/// Under `#[test]`, or a `#[cfg]` that needs a test or the suites' feature.
fn is_test_only(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && ["test", "any (test , feature = \"conformance\")"].contains(&condition.as_str())
    })
}

#[test]
fn impure_names_are_found() {
    let found = |text: &str| {
        let file = SourceFile { path: "crates/base/src/x.rs".into(), text: text.into() };
        check(&file)
            .iter()
            .map(|finding| format!("{}: {}", finding.line, finding.what.split('`').nth(1).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("use std::{fmt, fs::{self, File}};\nuse std::env::*;\n"),
        ["1: std::fs", "1: std::fs", "2: std::env"]
    );
    assert_eq!(
        found("fn a() {\n    ::std::thread::sleep(b);\n    dbg!(std::process::id());\n}\n"),
        ["2: std::thread", "3: std::process"]
    );
    assert_eq!(
        found("use jiff::{Timestamp as T, Zoned};\nfn a() {\n    T::now();\n    Zoned::now();\n}\n"),
        ["3: jiff::Timestamp::now", "4: jiff::Zoned::now"]
    );
    assert_eq!(found("use std as s;\nfn a(_: s::net::IpAddr) {}\n"), ["2: std::net"]);
    assert_eq!(found("fn a() {\n    use std::net::TcpStream;\n}\n"), ["2: std::net"]);
}

#[test]
fn pure_names_and_tests_are_left_alone() {
    let found = |path: &str, text: &str| check(&SourceFile { path: path.into(), text: text.into() }).len();
    let text = "use std::thread;\n";
    assert_eq!(found("crates/base/src/a.rs", text), 1);
    assert_eq!(found("crates/base/src/a/tests.rs", text), 0);
    assert_eq!(found("crates/base/src/conformance.rs", text), 0);
    for pure in [
        "use std::sync::Arc;\nuse jiff::Timestamp;\nfn a(fs: Timestamp) -> Clock { self::now(fs); Clock::now() }\n",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        "#[test]\nfn a() {\n    std::thread::yield_now();\n}\n",
        "#[cfg(any(test, feature = \"conformance\"))]\npub mod suite {\n    use std::thread;\n}\n",
    ] {
        assert_eq!(found("crates/base/src/a.rs", pure), 0, "{pure}");
    }
    assert_eq!(found("crates/base/src/a.rs", "#[cfg(not(test))]\nuse std::fs;\n"), 1);
}
