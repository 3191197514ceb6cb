//! Listings: everything once and in order, in pages of the asked size.

use mainstay_base::id::Tenant;
use mainstay_base::key::{PartitionBy, Slot, slot};

use super::{ITEMS, LISTED, WHOLE, command, committed, item_in, list, listed, partition, put_in};
use crate::command::Operation;
use crate::shards::{Consistency, Cursor, List, Shards};

/// An item as the listing should show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    slot: Slot,
    key: String,
    bytes: usize,
}

/// Puts items of several sizes into several partitions, one of which has an item of its own name.
async fn fill(shards: &dyn Shards) -> Vec<Expected> {
    let mut all = Vec::new();
    for user in 0..9 {
        let name = format!("u{user}");
        let orders = (0..5).map(|order| {
            (format!("{name}/o{order}"), format!("\"{:1$}\"", "", (user * 7 + order * 13) % 40))
        });
        let items: Vec<_> = orders.chain([(name.clone(), "1".to_owned())]).collect();
        let puts = items.iter().map(|(key, text)| put_in(&LISTED, key, text));
        // The same keys of another collection are not to be seen.
        let others = items.iter().map(|(key, _)| put_in(&ITEMS, key, "0"));
        committed(shards, command(&name, vec![], puts.chain(others).collect())).await;
        let slot = slot(&Tenant::DEFAULT, &partition(&name));
        all.extend(items.into_iter().map(|(key, text)| Expected {
            slot,
            bytes: key.len() + text.len(),
            key,
        }));
    }
    all.sort();
    all
}

/// The pages that these items make.
fn pages_of(all: &[Expected], limit: usize, bytes_max: usize) -> Vec<Vec<Expected>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for item in all {
        let page = pages.last_mut().expect("there is always one");
        let is_full = page.len() == limit || bytes + item.bytes > bytes_max;
        if is_full && !page.is_empty() {
            pages.push(vec![item.clone()]);
            bytes = item.bytes;
        } else {
            page.push(item.clone());
            bytes += item.bytes;
        }
    }
    pages
}

/// Every page of a listing.
async fn pages(shards: &dyn Shards, list: &List, by: PartitionBy) -> Vec<Vec<Expected>> {
    let mut pages = Vec::new();
    let mut list = list.clone();
    loop {
        let page = listed(shards, list.clone()).await.value;
        let items = page.items.iter().map(|it| Expected {
            slot: slot(&Tenant::DEFAULT, &by.partition(&it.key)),
            key: it.key.as_str().to_owned(),
            bytes: it.key.as_str().len() + it.item.bytes.len(),
        });
        pages.push(items.collect());
        assert!(pages.len() < 1000, "a listing ends");
        match page.next {
            Some(next) => list.after = Some(next),
            None => return pages,
        }
    }
}

pub(super) async fn pages_hold_everything_once_and_in_order(shards: &dyn Shards) {
    const ALL: usize = usize::MAX;
    let all = fill(shards).await;
    let count = all.len();
    for (prefix, only, limit, bytes_max) in [
        ("", None, ALL, ALL),
        ("", None, 1, ALL),
        ("", None, 7, ALL),
        ("", None, count - 1, ALL),
        ("", None, count, ALL),
        ("", None, ALL, 100),
        ("", None, ALL, 0),
        ("", None, 5, 120),
        ("u", None, 10, ALL),
        ("u3", None, ALL, ALL),
        ("u3/", None, 2, ALL),
        ("u3/", Some("u3"), 2, ALL),
        ("u3/", Some("u3"), ALL, 60),
        ("u3/o4", Some("u3"), ALL, ALL),
        ("v", None, 10, ALL),
        ("v/", Some("v"), 10, ALL),
    ] {
        let partition = only.map(partition);
        let list = List { partition, limit, bytes_max, ..list(&LISTED, prefix, Consistency::Linearizable) };
        let expected: Vec<_> = all.iter().filter(|it| it.key.starts_with(prefix)).cloned().collect();
        let expected = pages_of(&expected, limit, bytes_max);
        let found = pages(shards, &list, PartitionBy::FirstSegment).await;
        assert_eq!(found, expected, "{prefix:?} in {only:?} by {limit} items and {bytes_max} bytes");
    }
}

pub(super) async fn a_listing_goes_on_after_an_item_that_is_gone(shards: &dyn Shards) {
    let keys = ["gone/a", "gone/b", "gone/c"];
    let puts = keys.map(|key| put_in(&LISTED, key, "1"));
    committed(shards, command("gone", vec![], puts.to_vec())).await;
    let list = List { limit: 2, ..list(&LISTED, "gone/", Consistency::Linearizable) };
    let first = listed(shards, list.clone()).await.value;
    let slot = slot(&Tenant::DEFAULT, &partition("gone"));
    let next = Cursor::Key { slot, key: "gone/b".parse().expect("a key") };
    assert_eq!(first.next, Some(next.clone()), "a page ends at its last item");
    let delete = Operation::Delete { item: item_in(&LISTED, "gone/b") };
    committed(shards, command("gone", vec![], vec![delete])).await;
    let rest = listed(shards, List { after: Some(next), ..list }).await.value;
    let shown: Vec<_> = rest.items.iter().map(|it| it.key.as_str()).collect();
    assert_eq!((shown, rest.next), (vec!["gone/c"], None), "a listing goes on after an item that is gone");
}

pub(super) async fn whole_keys_are_listed_across_partitions(shards: &dyn Shards) {
    let by = PartitionBy::WholeKey;
    let mut all = Vec::new();
    for number in 0..9 {
        let key = format!("w/{number}");
        committed(shards, command(&key, vec![], vec![put_in(&WHOLE, &key, "1")])).await;
        let slot = slot(&Tenant::DEFAULT, &partition(&key));
        all.push(Expected { slot, bytes: key.len() + 1, key });
    }
    all.sort();
    let list = List { limit: 4, ..list(&WHOLE, "w/", Consistency::Linearizable) };
    assert_eq!(pages(shards, &list, by).await, pages_of(&all, 4, usize::MAX), "keys that are partitions");
}
