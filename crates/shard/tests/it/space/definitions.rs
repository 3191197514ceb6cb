//! Definitions: from which record on they hold, and that every shard comes to have them, whatever happens in between.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code};
use mainstay_base::key::PartitionBy;
use mainstay_log::faulty::SimDisk;
use mainstay_machine::Definitions;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::definition::{Definition, Origin};
use mainstay_machine::shards::Active;
use mainstay_shard::space::Undeclared;

use super::gate::Gated;
use super::world::Engine;
use super::*;

const LATER: Name = Name::from_static("later");

fn define(name: Name, change: Change) -> Command {
    let define = Define { name, change, expected: Expected::Anything, settled: 0 };
    let partition = define.partition();
    let (tenant, caller) = (Tenant::DEFAULT, Caller::ANONYMOUS);
    Command { tenant, caller, partition, idempotency: None, trace: None, request: Request::Define(define) }
}

fn put_definition(name: Name) -> Command {
    define(name, Change::Put(Box::default()))
}

fn put_later(key: &str) -> Command {
    let value = Value::new(ContentType::JSON, "1".into()).unwrap();
    let item = ItemName { collection: LATER, key: parse(key) };
    command(key, Commit { conditions: vec![], operations: vec![Operation::Put { item, value, ttl: None }] })
}

fn revision(answer: &Answer) -> u64 {
    match &answer.outcome {
        Outcome::Committed(results) => results[0].version.unwrap().sequence,
        Outcome::Refused(refusal) => panic!("{refusal}"),
    }
}

async fn is_committed(space: &Space, command: Command) -> bool {
    matches!(space.submit(command, None).await.unwrap().outcome, Outcome::Committed(_))
}

fn known(space: &Space) -> Arc<Definitions> {
    Shards::definitions(space)
}

#[tokio::test]
async fn a_definition_holds_everywhere_when_it_is_answered_and_is_there_in_the_next_life() {
    let world = World { shards: 5, ..World::new(Engine::Folder) };
    let running = world.start().await;
    let space = &*running.space;
    let keys: Vec<_> = (0..40).map(|number| format!("u{number}/a")).collect();
    assert!(!is_committed(space, put_later(&keys[0])).await);
    let answer = space.define(put_definition(LATER), None).await.unwrap();
    assert_eq!(space.active(revision(&answer)), Active { shards: 5, of: 5 });
    for key in &keys {
        assert!(is_committed(space, put_later(key)).await, "whichever shard it is of");
    }
    let retired = space.define(define(LATER, Change::Retire), None).await.unwrap();
    assert_eq!(revision(&retired), revision(&answer) + 1);
    assert!(!is_committed(space, put_later(&keys[0])).await);
    let before = known(space);
    running.stop().await;

    let running = world.start().await;
    assert_eq!(known(&running.space), before, "what the file says is what it said");
    let of = (Tenant::DEFAULT, LATER);
    let history = running.space.history(of, None).await.unwrap().value;
    let retired: Vec<_> = history.iter().map(|definition| definition.is_retired).collect();
    assert_eq!(retired, [true, false]);
    assert!(history.iter().all(|definition| matches!(definition.origin, Origin::Api { .. })));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_definition_counts_from_its_record_on() {
    let gate = Gated::new();
    let world = World::new(Engine::Shared(gate.clone()));
    let running = world.start().await;
    let space = &*running.space;
    gate.close();
    let mut defined = space.define(put_definition(LATER), None);
    assert!(begin(&mut defined).is_pending());
    gate.has_attempts(1).await;
    let before = sent(space, put_later("a/1"), None);
    gate.open();
    // Evaluated while `system` had it and the shard had not.
    let (refused, answer) = tokio::join!(before, defined);
    assert!(matches!(refused.unwrap().outcome, Outcome::Refused(_)));
    assert!(answer.is_ok());
    assert!(is_committed(space, put_later("a/1")).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_everywhere_by_the_deadline_is_told_and_goes_on() {
    let gate = Gated::new();
    let world = World { shards: 3, ..World::new(Engine::Shared(gate.clone())) };
    let running = world.start().await;
    let space = &*running.space;
    gate.close_for(2);
    let deadline = after(&*world.clock, 5_000);
    let answer = space.define(put_definition(LATER), deadline).await.unwrap();
    assert_eq!(space.active(revision(&answer)), Active { shards: 2, of: 3 });
    assert_eq!(space.active(revision(&answer)).to_string(), "2/3");
    gate.open();
    until(|| space.active(revision(&answer)).is_everywhere()).await;
}

#[tokio::test]
async fn a_shard_that_was_not_there_is_brought_up_before_its_node_is_ready() {
    let disk = SimDisk::new(1);
    let world = World { shards: 3, ..World::new(Engine::Disk(disk.clone())) };
    for life in 0..8 {
        let running = world.start().await;
        let revisions = known(&running.space).revision();
        assert!(running.space.active(revisions).is_everywhere());
        let name: Name = format!("c{life}").parse().unwrap();
        let mut defined = running.space.define(put_definition(name), None);
        let _ = begin(&mut defined);
        for _ in 0..life {
            tokio::task::yield_now().await;
        }
        drop(defined);
        running.crash().await;
        disk.crash_machine();
    }
    let running = world.start().await;
    let last = known(&running.space);
    assert!(running.space.active(last.revision()).is_everywhere());
    running.stop().await;
}

#[tokio::test]
async fn what_a_file_says_is_in_force_as_a_whole_or_refused() {
    let mut world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let before = known(&running.space);
    let mut wrong = collections(&[THINGS, LATER]);
    for ((_, name), (collection, _)) in &mut wrong.collections {
        if *name == THINGS {
            collection.partition_by = PartitionBy::WholeKey;
        }
    }
    let error = running.space.declare(wrong).await.unwrap_err();
    let Undeclared::Refused(refusal) = &error else { panic!("it is refused, and not: {error}") };
    assert_eq!(refusal.code(), Code::Conflict);
    assert!(error.to_string().contains("`partition_by: first_segment` for good"), "{error}");
    assert_eq!(known(&running.space), before);
    running.stop().await;

    world.declared = collections(&[LATER]);
    let running = world.start().await;
    let now = known(&running.space);
    let is_retired = |name| now.get(&Tenant::DEFAULT, name).is_none_or(|it: &Arc<Definition>| it.is_retired);
    assert_eq!((is_retired(&THINGS), is_retired(&LATER)), (true, false));
    assert!(is_committed(&running.space, put_later("a/1")).await);
    running.stop().await;
}

#[tokio::test]
async fn a_rehearsal_tells_what_would_be_and_changes_nothing() {
    let world = World::memory();
    let running = world.start().await;
    let space = &*running.space;
    let before = known(space);
    let told = space.rehearse(put_definition(LATER), None).await.unwrap();
    let Outcome::Committed(results) = told.value.outcome else { panic!("it would be done") };
    assert_eq!(results[0].version.unwrap().sequence, before.revision() + 1);
    let whole = Collection { partition_by: PartitionBy::WholeKey, ..Collection::default() };
    let told = space.rehearse(define(THINGS, Change::Put(Box::new(whole))), None).await.unwrap();
    let Outcome::Refused(refusal) = told.value.outcome else { panic!("it would be refused") };
    assert_eq!(refusal.code(), Code::OwnedByFile);
    assert_eq!(known(space), before);
    running.stop().await;
}
