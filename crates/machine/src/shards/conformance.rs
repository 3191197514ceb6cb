//! What every implementation of the port must pass: its promises as one function that panics with the broken one.
//!
//! Runtime-neutral: it only awaits what the port returns, and does at once what is to be done at once in one task. What
//! evaluation makes of a commit is not its business; that a shard is one line of history is.

use bytes::Bytes;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Partition, PartitionBy};

use super::{Answer, Consistency, Get, List, Page, Reading, Search, Shards};
use crate::collection::Collection;
use crate::command::{Caller, Command, Commit, Condition, Idempotency, ItemName, Operation, Request};
use crate::item::Item;
use crate::json::Json;
use crate::outcome::{OperationResult, Outcome, Refusal};
use crate::position::Position;

mod changes;
mod definitions;
mod feeds;
mod listings;
mod readings;
mod repetitions;

/// Partitioned by the first segment of keys.
const ITEMS: Name = Name::from_static("conformance-items");
/// The same, for listings only.
const LISTED: Name = Name::from_static("conformance-listed");
/// Partitioned by whole keys.
const WHOLE: Name = Name::from_static("conformance-whole");

/// The collections that the suite needs, of the default tenant.
pub fn collections() -> [(Name, Collection); 3] {
    let collections = [
        (ITEMS, PartitionBy::FirstSegment),
        (LISTED, PartitionBy::FirstSegment),
        (WHOLE, PartitionBy::WholeKey),
    ];
    collections.map(|(name, partition_by)| (name, Collection { partition_by, ..Collection::default() }))
}

/// Runs every case, one after another, on shards that have the [`collections`] with nothing in them, and whose limits and
/// retention are at least the default ones.
///
/// `ended` is a position of a history that a restore has ended, in every shard; without one that case is left out.
pub async fn all(shards: &dyn Shards, ended: Option<Position>) {
    readings::a_write_is_read_at_every_level(shards).await;
    readings::positions_grow(shards).await;
    readings::a_position_of_several_partitions_holds_in_each(shards).await;
    if let Some(ended) = ended {
        readings::an_ended_history_is_gone(shards, ended.clone()).await;
        feeds::a_feed_of_an_ended_history_is_gone(shards, ended).await;
    }
    changes::a_commit_happens_whole_or_not_at_all(shards).await;
    changes::commits_at_once_happen_one_after_another(shards).await;
    changes::readings_between_commits_see_them_whole(shards).await;
    changes::what_comes_too_late_is_not_done(shards).await;
    repetitions::a_repetition_is_answered_and_not_done(shards).await;
    repetitions::a_key_belongs_to_its_request(shards).await;
    repetitions::a_refusal_is_kept(shards).await;
    repetitions::repetitions_at_once_happen_once(shards).await;
    listings::pages_hold_everything_once_and_in_order(shards).await;
    listings::a_listing_goes_on_after_an_item_that_is_gone(shards).await;
    listings::whole_keys_are_listed_across_partitions(shards).await;
    feeds::changes_are_told_once_and_in_order(shards).await;
    feeds::all_partitions_are_followed_as_one(shards).await;
    feeds::a_filter_leaves_out_what_does_not_match(shards).await;
    feeds::a_feed_begins_now_and_waits(shards).await;
    definitions::a_definition_holds_once_it_is_answered(shards).await;
    definitions::a_rehearsal_changes_nothing(shards).await;
}

fn item(key: &str) -> ItemName {
    item_in(&ITEMS, key)
}

fn item_in(collection: &Name, key: &str) -> ItemName {
    ItemName { collection: collection.clone(), key: key.parse().expect("a key") }
}

fn put(key: &str, text: &str) -> Operation {
    put_in(&ITEMS, key, text)
}

fn put_in(collection: &Name, key: &str, text: &str) -> Operation {
    let value = Json::new(Bytes::copy_from_slice(text.as_bytes())).expect("JSON");
    Operation::Put { item: item_in(collection, key), value: value.into(), ttl: None }
}

fn delete(key: &str) -> Operation {
    Operation::Delete { item: item(key) }
}

/// Of an item that is a number and nothing else.
fn increment(key: &str, by: i64) -> Operation {
    Operation::Increment { item: item(key), path: "".parse().expect("a pointer"), by, min: None, max: None }
}

fn absent(key: &str) -> Condition {
    Condition::Absent { item: item(key) }
}

fn partition(name: &str) -> Partition<'static> {
    PartitionBy::WholeKey.parse(name).expect("a partition").into_owned()
}

fn command(partition: &str, conditions: Vec<Condition>, operations: Vec<Operation>) -> Command {
    Command {
        tenant: Tenant::DEFAULT,
        caller: Caller::ANONYMOUS,
        partition: self::partition(partition),
        idempotency: None,
        trace: None,
        request: Request::Commit(Commit { conditions, operations }),
    }
}

fn with_key(key: &str, mut command: Command) -> Command {
    let Command { tenant, caller, partition, request, .. } = &command;
    let key = key.parse().expect("an idempotency key");
    command.idempotency = Some(Idempotency::new(&key, tenant, caller, partition, request));
    command
}

async fn answered(shards: &dyn Shards, command: Command) -> Answer {
    shards.submit(command, None).await.unwrap_or_else(|error| panic!("a command is answered, not {error}"))
}

async fn committed(shards: &dyn Shards, command: Command) -> (Answer, Vec<OperationResult>) {
    let answer = answered(shards, command).await;
    match answer.outcome.clone() {
        Outcome::Committed(results) => (answer, results),
        Outcome::Refused(refusal) => {
            panic!("a commit without conditions happens, and was refused: {refusal}")
        }
    }
}

async fn refused(shards: &dyn Shards, command: Command) -> (Answer, Refusal) {
    let answer = answered(shards, command).await;
    match answer.outcome.clone() {
        Outcome::Refused(refusal) => (answer, *refusal),
        Outcome::Committed(_) => panic!("a commit whose condition fails was committed"),
    }
}

fn get(key: &str, consistency: Consistency) -> Get {
    let item = item(key);
    let partition = PartitionBy::FirstSegment.partition(&item.key).into_owned();
    Get { tenant: Tenant::DEFAULT, partition, item, consistency }
}

/// All of it, in one page.
fn list(collection: &Name, prefix: &str, consistency: Consistency) -> List {
    List {
        tenant: Tenant::DEFAULT,
        collection: collection.clone(),
        partition: None,
        prefix: prefix.to_owned(),
        after: None,
        limit: usize::MAX,
        bytes_max: usize::MAX,
        search: Search::default(),
        consistency,
    }
}

/// The items below a partition of [`ITEMS`], in one page.
fn list_within(name: &str, consistency: Consistency) -> List {
    List { partition: Some(partition(name)), ..list(&ITEMS, &format!("{name}/"), consistency) }
}

async fn read(shards: &dyn Shards, key: &str, consistency: Consistency) -> Reading<Option<Item>> {
    let reading = shards.get(get(key, consistency.clone()), None).await;
    let reading = reading.unwrap_or_else(|error| panic!("an item is read, not {error}"));
    assert_fresh(&reading, &consistency);
    reading
}

async fn listed(shards: &dyn Shards, list: List) -> Reading<Page> {
    let consistency = list.consistency.clone();
    let reading = shards.list(list, None).await;
    let reading = reading.unwrap_or_else(|error| panic!("items are listed, not {error}"));
    assert_fresh(&reading, &consistency);
    reading
}

fn assert_fresh<T>(reading: &Reading<T>, asked: &Consistency) {
    let given = &reading.consistency;
    let is_as_asked = match (given, asked) {
        (Consistency::Linearizable, _) | (_, Consistency::Eventual) => true,
        (Consistency::Session(given), Consistency::Session(asked)) => covers(given, asked),
        (Consistency::Bounded(given), Consistency::Bounded(asked)) => given <= asked,
        _ => false,
    };
    assert!(is_as_asked, "a reading is as fresh as was asked: {asked:?}, not {given:?}");
    if let Consistency::Session(asked) = asked {
        assert!(
            covers(&reading.position, asked),
            "a session shows its position: {asked}, not {}",
            reading.position
        );
    }
    if let Consistency::Bounded(asked) = asked {
        assert!(reading.age <= *asked, "a bounded reading is not older than {asked}: {}", reading.age);
    }
}

/// The item's text now.
async fn text(shards: &dyn Shards, key: &str) -> Option<String> {
    read(shards, key, Consistency::Linearizable).await.value.map(|item| text_of(&item))
}

fn text_of(item: &Item) -> String {
    String::from_utf8(item.bytes.to_vec()).expect("an item comes back as it was put")
}

/// Whether who reads here sees what is seen there.
fn covers(here: &Position, there: &Position) -> bool {
    there.places().all(|(shard, place)| here.get(shard).is_some_and(|found| found >= place))
}
