//! How many entries and items queries read for each item that they return, as the API itself explains.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::node::Node;
use crate::fetch;
use crate::items::GROUP_ITEMS;
use crate::report::{Report, Table};

/// Of entries and of items each, for an item returned.
const READS_MAX_RATIO: f64 = 1.5;

/// Items of one page.
const LIMITS: [u64; 3] = [10, 100, 1_000];

/// How many pages of a query are read at most.
const PAGES_MAX: usize = 20;

const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// The indexes that the queries go through.
pub(super) fn indexes() -> Map<String, Value> {
    let indexes = [
        ("by_number", json!(["/number"])),
        ("by_group", json!(["/group", "/number"])),
        ("by_tag", json!(["/tags"])),
    ];
    indexes.into_iter().map(|(name, on)| (name.to_owned(), on)).collect()
}

/// What is asked: a name, and the query in the address without limit and cursor.
fn queries(items: u64) -> Vec<(&'static str, String)> {
    let group = items / GROUP_ITEMS / 2;
    let number = group * GROUP_ITEMS;
    let filter = |text: String| format!("filter={}", encoded(&text));
    let in_group = format!("value.group=={group}");
    vec![
        ("equality", filter(in_group.clone())),
        ("range", filter(format!("value.number>={number}&&value.number<{}", number + 5_000))),
        ("order, upwards", "order=/number".to_owned()),
        ("order, downwards", "order=-/number".to_owned()),
        ("compound, prefix and range", filter(format!("{in_group}&&value.number>={}", number + 100))),
        ("compound, prefix and order downwards", format!("{}&order=-/number", filter(in_group))),
        ("element of an array", filter("'t7'in value.tags".to_owned())),
    ]
}

/// What pages of one query took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reads {
    pages: u64,
    entries: u64,
    items: u64,
    returned: u64,
}

impl Reads {
    /// Adds a page. Errors: it does not explain itself.
    fn add(&mut self, page: &Value) -> Result<()> {
        let explain = &page["explain"];
        let number = |name: &str| explain[name].as_u64().with_context(|| format!("no `{name}` in {explain}"));
        ensure!(explain["index"].is_string(), "the query goes through no index: {explain}");
        self.pages += 1;
        self.entries += number("entries_read")?;
        self.items += number("items_read")?;
        self.returned += number("items_returned")?;
        Ok(())
    }

    /// Entries and items for each item returned.
    fn ratios(self) -> (f64, f64) {
        let returned = self.returned.max(1) as f64;
        (self.entries as f64 / returned, self.items as f64 / returned)
    }
}

/// Asks all queries with all limits, and adds the table and what is claimed of it.
pub(super) fn count(node: &Node, collection: &str, items: u64, report: &mut Report) -> Result<()> {
    let columns = ["query", "limit", "pages", "returned", "entries/returned", "items/returned"];
    let mut table = Table::new("What queries read across 16 shards", &columns);
    let mut worst = LIMITS.map(|limit| (limit, 0.0_f64));
    for (name, query) in queries(items) {
        for (limit, worst) in &mut worst {
            let reads = pages(node, &format!("/v1/collections/{collection}/items?{query}"), *limit)?;
            ensure!(reads.returned > 0, "the query `{query}` finds nothing");
            let (entries, read) = reads.ratios();
            *worst = worst.max(entries).max(read);
            table.row(vec![
                name.to_owned(),
                limit.to_string(),
                reads.pages.to_string(),
                reads.returned.to_string(),
                format!("{entries:.2}"),
                format!("{read:.2}"),
            ]);
        }
    }
    report.tables.push(table);
    for (limit, worst) in worst {
        report.verdict.check(
            format!(
                "queries with a limit of {limit} read at most {READS_MAX_RATIO} entries and items for each returned"
            ),
            format!("{worst:.2} in the worst case"),
            worst <= READS_MAX_RATIO,
        );
    }
    report.notes.push(NOTE.to_owned());
    Ok(())
}

const NOTE: &str = "A page across shards merges one walk of each, and each is an entry ahead when the page is full: 16 entries beside those \
                    of the items, whatever the limit.";

fn pages(node: &Node, path: &str, limit: u64) -> Result<Reads> {
    let mut reads = Reads::default();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let after = cursor.map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("{path}&limit={limit}&fields=/number&explain=true{after}");
        let answer = fetch::get(node.api, &path, ANSWER_DEADLINE)?;
        let page = answer.json().with_context(|| String::from_utf8_lossy(&answer.body).into_owned())?;
        reads.add(&page)?;
        cursor = page["next"].as_str().map(encoded);
        if cursor.is_none() {
            break;
        }
    }
    Ok(reads)
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_pages_add_up() {
        let page = |entries: u64, items: u64, returned: u64| {
            json!({"items": [], "explain": {
                "index": "by_tag", "entries_read": entries, "items_read": items, "items_returned": returned}})
        };
        let mut reads = Reads::default();
        reads.add(&page(26, 10, 10)).unwrap();
        reads.add(&page(14, 10, 10)).unwrap();
        assert_eq!(reads, Reads { pages: 2, entries: 40, items: 20, returned: 20 });
        assert_eq!(reads.ratios(), (2.0, 1.0));
        assert!(reads.add(&json!({"items": []})).is_err());
        assert!(reads.add(&json!({"explain": {"entries_read": 1}})).is_err(), "by keys is not by index");
    }

    #[test]
    fn queries_are_addresses() {
        for (name, query) in queries(1_000_000) {
            let address: Result<http::Uri, _> = format!("/items?{query}").parse();
            assert!(address.is_ok(), "{name}: {query}");
        }
    }

    #[test]
    fn cursors_are_encoded() {
        assert_eq!(encoded("a-Z_9.~/+="), "a-Z_9.~%2F%2B%3D");
    }
}
