//! Commits: whole, one after another, and in time.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use mainstay_base::error::{Classify, Code};
use mainstay_base::time::Instant;

use super::{
    absent, command, committed, get, increment, list_within, listed, put, refused, text, text_of, with_key,
};
use crate::shards::{Consistency, Error, Shards};

/// Has passed, whatever the clock shows.
const PAST: Instant = Instant::from_nanos(0);

pub(super) async fn a_commit_happens_whole_or_not_at_all(shards: &dyn Shards) {
    let operations = vec![put("whole/a", "1"), put("whole/b", "1"), increment("whole/c", 1)];
    let (_, results) = committed(shards, command("whole", vec![], operations)).await;
    let versions: BTreeSet<_> = results.iter().map(|result| result.version).collect();
    assert_eq!(
        (results.len(), versions.len()),
        (3, 1),
        "a commit has a result for each operation and one version"
    );
    let not_a_number = [put("whole/a", "2"), put("whole/b", "\"text\""), increment("whole/b", 1)];
    let (_, refusal) = refused(shards, command("whole", vec![], not_a_number.to_vec())).await;
    assert_eq!(refusal.facts().get("operation"), Some(&2.into()), "a refusal names the operation");
    let condition = vec![absent("whole/d"), absent("whole/c")];
    let (_, refusal) = refused(shards, command("whole", condition, vec![put("whole/d", "1")])).await;
    assert_eq!(refusal.code(), Code::ConditionFailed);
    for (key, expected) in [("whole/a", Some("1")), ("whole/b", Some("1")), ("whole/d", None)] {
        let found = text(shards, key).await;
        assert_eq!(found.as_deref(), expected, "nothing of a refused commit happens, also not to {key}");
    }
}

pub(super) async fn commits_at_once_happen_one_after_another(shards: &dyn Shards) {
    const COMMITS: usize = 64;
    let commits =
        (0..COMMITS).map(|_| committed(shards, command("count", vec![], vec![increment("count/n", 1)])));
    let done = join_all(commits).await;
    let versions: BTreeSet<_> = done.iter().map(|(_, results)| results[0].version).collect();
    assert_eq!(versions.len(), COMMITS, "every commit has a version of its own");
    let news = done.iter().filter(|(_, results)| !results[0].existed).count();
    assert_eq!(news, 1, "one of them found no item");
    let found = text(shards, "count/n").await;
    assert_eq!(found, Some(COMMITS.to_string()), "each of the commits counts, and counts once");
}

pub(super) async fn readings_between_commits_see_them_whole(shards: &dyn Shards) {
    let transfer = |by: i64| command("move", vec![], vec![increment("move/a", -by), increment("move/b", by)]);
    committed(shards, transfer(0)).await;
    let both = (1..=32).map(|by| {
        let page = listed(shards, list_within("move", Consistency::Linearizable));
        join(committed(shards, transfer(by)), page)
    });
    for (_, page) in join_all(both).await {
        let items = page.value.items.iter();
        let values: Vec<i64> = items.map(|it| text_of(&it.item).parse().expect("a number")).collect();
        assert_eq!((values.len(), values.iter().sum()), (2, 0), "a page shows commits whole: {values:?}");
    }
}

pub(super) async fn what_comes_too_late_is_not_done(shards: &dyn Shards) {
    let change = || with_key("late", command("late", vec![], vec![increment("late/n", 1)]));
    assert_eq!(
        shards.submit(change(), Some(PAST)).await,
        Err(Error::Deadline),
        "a command after its deadline"
    );
    assert_eq!(text(shards, "late/n").await, None, "what came too late is not done");
    let reading = shards.get(get("late/n", Consistency::Linearizable), Some(PAST)).await;
    assert_eq!(reading, Err(Error::Deadline), "a reading after its deadline");
    let page = shards.list(list_within("late", Consistency::Linearizable), Some(PAST)).await;
    assert_eq!(page, Err(Error::Deadline), "a listing after its deadline");
    let (answer, _) = committed(shards, change()).await;
    assert!(!answer.replayed, "what came too late is not kept for its key either");
    assert_eq!(text(shards, "late/n").await.as_deref(), Some("1"));
}
