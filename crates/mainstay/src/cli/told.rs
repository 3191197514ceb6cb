//! What commands tell alike: columns, and what is different between two definitions. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::explain;

/// Rows whose cells stand below each other.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The values that are only in one of two definitions, by their paths, that of the first before that of the second.
pub fn difference(before: Option<&Value>, after: &Value) -> Vec<String> {
    let before: BTreeSet<_> = before.map(explain::flat).unwrap_or_default().into_iter().collect();
    let after: BTreeSet<_> = explain::flat(after).into_iter().collect();
    let gone = before.difference(&after).map(|line| (line, '-'));
    let new = after.difference(&before).map(|line| (line, '+'));
    let mut all: Vec<_> = gone.chain(new).map(|(line, sign)| (line.split(": ").next(), sign, line)).collect();
    all.sort_by_key(|(path, sign, _)| (*path, *sign == '+'));
    all.into_iter().map(|(_, sign, line)| format!("{sign} {line}")).collect()
}

/// Lines, each behind an indent.
pub fn below(indent: &str, lines: Vec<String>) -> String {
    lines.into_iter().map(|line| format!("{indent}{line}\n")).collect()
}
