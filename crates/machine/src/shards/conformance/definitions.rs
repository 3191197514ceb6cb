//! Definitions: they hold for commands once they are answered, and what they were is kept.

use mainstay_base::id::{Name, Tenant};

use super::{answered, command};
use crate::collection::Collection;
use crate::command::{Caller, Change, Command, Commit, Define, Expected, ItemName, Operation, Request};
use crate::content::ContentType;
use crate::json::Json;
use crate::outcome::Outcome;
use crate::shards::Shards;

/// Defined by the suite itself.
const MADE: Name = Name::from_static("conformance-made");

fn define(change: Change) -> Command {
    let define = Define { name: MADE, change, expected: Expected::Anything, settled: 0 };
    let partition = define.partition();
    let (tenant, caller) = (Tenant::DEFAULT, Caller::ANONYMOUS);
    Command { tenant, caller, partition, idempotency: None, trace: None, request: Request::Define(define) }
}

fn of_type(content_type: &str) -> Change {
    let content_type: ContentType = content_type.parse().expect("a content type");
    Change::Put(Box::new(Collection { content_type: Some(content_type), ..Collection::default() }))
}

fn put_json() -> Command {
    let value = Json::new(bytes::Bytes::from_static(b"1")).expect("JSON");
    let item = ItemName { collection: MADE, key: "p/1".parse().expect("a key") };
    let commit = Commit {
        conditions: vec![],
        operations: vec![Operation::Put { item, value: value.into(), ttl: None }],
    };
    Command { request: Request::Commit(commit), ..command("p", vec![], vec![]) }
}

async fn takes_json(shards: &dyn Shards) -> bool {
    matches!(answered(shards, put_json()).await.outcome, Outcome::Committed(_))
}

/// Changes a definition; returns its version.
async fn changed(shards: &dyn Shards, change: Change) -> u64 {
    let answer = shards.define(define(change), None).await;
    let answer = answer.unwrap_or_else(|error| panic!("a definition is answered, not {error}"));
    match &answer.outcome {
        Outcome::Committed(results) => results[0].version.expect("what is defined has a version").sequence,
        Outcome::Refused(refusal) => panic!("a definition without conditions is made: {refusal}"),
    }
}

pub(super) async fn a_definition_holds_once_it_is_answered(shards: &dyn Shards) {
    assert!(!takes_json(shards).await, "what is not defined takes nothing");
    let mut versions = Vec::new();
    for (content_type, takes) in
        [("application/json", true), ("text/plain", false), ("application/json", true)]
    {
        let version = changed(shards, of_type(content_type)).await;
        assert!(shards.active(version).is_everywhere(), "a definition is answered when every shard has it");
        assert_eq!(takes_json(shards).await, takes, "commands are evaluated under what is defined");
        let known = shards.definitions();
        let collection = known.collection(&Tenant::DEFAULT, &MADE).expect("what is defined is known");
        assert_eq!(of_type(content_type), Change::Put(Box::new(collection.clone())));
        versions.push(version);
    }
    assert!(versions.is_sorted_by(|one, other| one < other), "revisions grow");
    let retired = changed(shards, Change::Retire).await;
    assert!(!takes_json(shards).await, "what is retired takes nothing");
    versions.push(retired);
    let history = shards.history((Tenant::DEFAULT, MADE), None).await;
    let history = history.unwrap_or_else(|error| panic!("a history is read, not {error}")).value;
    let mut kept: Vec<_> = history.iter().map(crate::definition::Definition::revision).collect();
    kept.reverse();
    assert_eq!(kept, versions, "a history has every version, the latest first");
}

pub(super) async fn a_rehearsal_changes_nothing(shards: &dyn Shards) {
    let before = shards.definitions();
    let told = shards.rehearse(define(of_type("application/json")), None).await;
    let told = told.unwrap_or_else(|error| panic!("a rehearsal is answered, not {error}")).value;
    assert!(matches!(told.outcome, Outcome::Committed(_)), "what would be done is told: {told:?}");
    assert_eq!(*shards.definitions(), *before, "a rehearsal changes no definition");
    assert!(!takes_json(shards).await, "and holds for nobody");
}
