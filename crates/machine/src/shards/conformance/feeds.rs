//! Feeds: every change of an item once and in its order, from wherever a reader goes on.

use futures_util::future::join;
use mainstay_base::id::Tenant;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use super::{
    ITEMS, LISTED, command, committed, delete, increment, list, list_within, listed, partition, put, put_in,
    refused, text_of,
};
use crate::command::Condition;
use crate::expression::Expression;
use crate::feed::{Event, Events, Follow};
use crate::position::{EventId, Position};
use crate::shards::{Consistency, Error, Shards};

/// All changes after a place, in one page.
fn follow(after: impl Into<Option<EventId>>) -> Follow {
    Follow {
        tenant: Tenant::DEFAULT,
        collection: ITEMS,
        partition: None,
        prefix: String::new(),
        filter: None,
        after: after.into(),
        limit: usize::MAX,
        bytes_max: usize::MAX,
        wait: Duration::ZERO,
    }
}

/// Those below a partition.
fn follow_within(name: &str, after: impl Into<Option<EventId>>) -> Follow {
    Follow { partition: Some(partition(name)), prefix: format!("{name}/"), ..follow(after) }
}

async fn page(shards: &dyn Shards, follow: Follow) -> Events {
    let page = shards.changes(follow, None).await;
    page.unwrap_or_else(|error| panic!("changes are followed, not {error}"))
}

/// Pages until there is nothing more, of at most so many events.
async fn pages(shards: &dyn Shards, mut follow: Follow, limit: usize) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let page = page(shards, Follow { limit, ..follow.clone() }).await;
        assert!(page.events.len() <= limit, "a page has at most {limit} events");
        let is_end = page.events.is_empty();
        all.extend(page.events);
        follow.after = Some(page.next);
        if is_end {
            return all;
        }
    }
}

fn shown(event: &Event) -> String {
    let value = event.item.as_ref().map_or_else(|| "-".to_owned(), text_of);
    format!("{}={value}", event.key)
}

fn all_shown(events: &[Event]) -> Vec<String> {
    events.iter().map(shown).collect()
}

/// Where a partition stands.
async fn stands(shards: &dyn Shards, name: &str) -> EventId {
    listed(shards, list_within(name, Consistency::Linearizable)).await.position.into()
}

/// Changes of one partition, and how a feed tells them.
async fn change(shards: &dyn Shards, name: &str) -> Vec<String> {
    let key = |last: &str| format!("{name}/{last}");
    committed(shards, command(name, vec![], vec![put(&key("a"), "1"), put(&key("b"), "2")])).await;
    committed(
        shards,
        command(name, vec![], vec![increment(&key("a"), 1), delete(&key("b")), put(&key("c"), "5")]),
    )
    .await;
    let present = Condition::Absent { item: super::item(&key("a")) };
    refused(shards, command(name, vec![present], vec![put(&key("d"), "1")])).await;
    committed(shards, command(name, vec![], vec![delete(&key("none"))])).await;
    committed(shards, command(name, vec![], vec![put_in(&LISTED, &key("a"), "1"), increment(&key("a"), 1)]))
        .await;
    let changes = ["a=1", "b=2", "a=2", "b=-", "c=5", "a=3"];
    changes.iter().map(|change| format!("{name}/{change}")).collect()
}

pub(super) async fn changes_are_told_once_and_in_order(shards: &dyn Shards) {
    let before = stands(shards, "feed").await;
    let expected = change(shards, "feed").await;
    for limit in [1, 2, 3, 5, usize::MAX] {
        let events = pages(shards, follow_within("feed", before.clone()), limit).await;
        assert_eq!(
            all_shown(&events),
            expected,
            "every change is told once and in its order, {limit} at once"
        );
    }
    let events = pages(shards, follow_within("feed", before), usize::MAX).await;
    for (place, event) in events.iter().enumerate() {
        let rest = page(shards, follow_within("feed", event.id.clone())).await.events;
        assert_eq!(
            rest,
            events[place + 1..],
            "who goes on after {} misses nothing and sees nothing twice",
            event.id
        );
        let item = event.item.as_ref();
        assert!(
            item.is_none_or(|item| event.version == Some(item.version)),
            "an event has its item's version"
        );
    }
    let versions: Vec<_> = events.iter().filter_map(|event| event.version).collect();
    assert!(
        versions.is_sorted() && versions.len() == events.len(),
        "versions of a partition grow: {versions:?}"
    );
}

pub(super) async fn all_partitions_are_followed_as_one(shards: &dyn Shards) {
    let before: EventId = listed(shards, list(&ITEMS, "", Consistency::Linearizable)).await.position.into();
    let mut expected = Vec::new();
    for number in 0..8 {
        expected.push(change(shards, &format!("all{number}")).await);
    }
    for limit in [1, 4, usize::MAX] {
        let events = all_shown(&pages(shards, follow(before.clone()), limit).await);
        let count: usize = expected.iter().map(Vec::len).sum();
        assert_eq!(events.len(), count, "every change is told once, {limit} at once");
        for partition in &expected {
            let (name, _) = partition[0].split_once('/').expect("it has a partition");
            let of_partition: Vec<_> =
                events.iter().filter(|event| event.split('/').next() == Some(name)).cloned().collect();
            assert_eq!(of_partition, *partition, "changes of a partition are told in their order");
        }
    }
    let below = Follow { prefix: "all3/a".to_owned(), ..follow(before) };
    let events = all_shown(&pages(shards, below, 2).await);
    assert_eq!(events, ["all3/a=1", "all3/a=2", "all3/a=3"], "only keys with the prefix are told");
}

pub(super) async fn a_filter_leaves_out_what_does_not_match(shards: &dyn Shards) {
    let before = stands(shards, "filter").await;
    change(shards, "filter").await;
    let filter = Expression::parse("value > 1").expect("an expression");
    let follow = Follow { filter: Some(filter), ..follow_within("filter", before) };
    for limit in [1, usize::MAX] {
        let events = all_shown(&pages(shards, follow.clone(), limit).await);
        let expected = ["filter/b=2", "filter/a=2", "filter/b=-", "filter/c=5", "filter/a=3"];
        assert_eq!(events, expected, "what the filter does not hold for is left out, and nothing else");
    }
}

pub(super) async fn a_feed_begins_now_and_waits(shards: &dyn Shards) {
    change(shards, "wait").await;
    let begun = page(shards, follow_within("wait", None)).await;
    assert_eq!(begun.events, [], "a feed without a place begins with what is committed next");
    let waiting = Follow { wait: Duration::from_secs(3600), ..follow_within("wait", begun.next) };
    let write = committed(shards, command("wait", vec![], vec![put("wait/z", "1")]));
    let (page, (answer, _)) = join(page(shards, waiting), write).await;
    assert_eq!(all_shown(&page.events), ["wait/z=1"], "who waits is told");
    let is_after = super::covers(page.next.position(), &answer.position);
    assert!(is_after, "who reads where the page ends sees what it has told");
    let late = shards.changes(follow_within("wait", None), Some(Instant::from_nanos(0))).await;
    assert_eq!(late, Err(Error::Deadline), "changes after their deadline");
}

pub(super) async fn a_feed_of_an_ended_history_is_gone(shards: &dyn Shards, ended: Position) {
    let page = shards.changes(follow_within("feed", EventId::from(ended)), None).await;
    assert!(matches!(page, Err(Error::Trimmed { .. })), "changes of an ended history are gone, not {page:?}");
}
