//! Idempotency keys: what was done is answered again and not done again.

use futures_util::future::join_all;
use mainstay_base::error::{Classify, Code};

use super::{
    absent, answered, command, committed, delete, increment, put, read, refused, text, text_of, with_key,
};
use crate::command::{Caller, Command};
use crate::shards::{Consistency, Shards};

fn change(key: &str, by: i64) -> Command {
    with_key(key, command("again", vec![], vec![increment("again/n", by)]))
}

pub(super) async fn a_repetition_is_answered_and_not_done(shards: &dyn Shards) {
    let (first, _) = committed(shards, change("again-1", 1)).await;
    let (other, _) = committed(shards, change("again-2", 1)).await;
    let (again, _) = committed(shards, change("again-1", 1)).await;
    assert_eq!(
        (first.replayed, other.replayed, again.replayed),
        (false, false, true),
        "what is a repetition"
    );
    assert_eq!(again.outcome, first.outcome, "a repetition is answered as the first was");
    let shown = read(shards, "again/n", Consistency::Session(again.position)).await.value;
    assert_eq!(
        shown.map(|item| text_of(&item)).as_deref(),
        Some("2"),
        "a repetition's position shows the first"
    );
}

pub(super) async fn a_key_belongs_to_its_request(shards: &dyn Shards) {
    let before = text(shards, "again/n").await;
    let (answer, refusal) = refused(shards, change("again-1", 2)).await;
    assert_eq!(refusal.code(), Code::IdempotencyMismatch, "a key of another request");
    assert!(!answer.replayed, "a refusal of the key was not answered before");
    assert_eq!(text(shards, "again/n").await, before, "what is refused for its key is not done");
    assert!(committed(shards, change("again-1", 1)).await.0.replayed, "the first outcome stays");
    let mut someone = command("again", vec![], vec![increment("again/n", 1)]);
    someone.caller = "someone".parse::<Caller>().expect("a caller");
    let (answer, _) = committed(shards, with_key("again-1", someone)).await;
    assert!(!answer.replayed, "another caller has its own keys");
    let elsewhere = with_key("again-1", command("again-2", vec![], vec![increment("again-2/n", 1)]));
    assert!(!committed(shards, elsewhere).await.0.replayed, "in another partition a key is another");
}

pub(super) async fn a_refusal_is_kept(shards: &dyn Shards) {
    committed(shards, command("kept", vec![], vec![put("kept/a", "1")])).await;
    let change = || with_key("kept", command("kept", vec![absent("kept/a")], vec![put("kept/a", "2")]));
    let (first, _) = refused(shards, change()).await;
    committed(shards, command("kept", vec![], vec![delete("kept/a")])).await;
    let (again, _) = refused(shards, change()).await;
    assert_eq!((first.replayed, again.replayed), (false, true), "what is a repetition of a refusal");
    assert_eq!(again.outcome, first.outcome, "a refusal is answered again, although its condition holds now");
    assert_eq!(text(shards, "kept/a").await, None, "what was refused is not done later");
}

pub(super) async fn repetitions_at_once_happen_once(shards: &dyn Shards) {
    let change = || with_key("at-once", command("at-once", vec![], vec![increment("at-once/n", 1)]));
    let answers = join_all((0..16).map(|_| answered(shards, change()))).await;
    assert!(answers.iter().all(|it| it.outcome == answers[0].outcome), "all have one outcome: {answers:?}");
    let firsts = answers.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(firsts, 1, "one is the first, and the others wait for its outcome");
    assert_eq!(text(shards, "at-once/n").await.as_deref(), Some("1"), "it happens once");
}
