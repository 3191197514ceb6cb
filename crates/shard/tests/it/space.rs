//! The shards of a node through the port, over real stores and logs: what was answered, whatever happens to them.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

use std::task::{Context, Poll, Waker};

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, PartitionBy, slot};
use mainstay_base::position::{Epoch, ShardId};
use mainstay_base::time::{Clock, Instant};
use mainstay_base::units::Duration;
use mainstay_machine::command::{Caller, Commit, Condition, Idempotency, ItemName, Operation, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::definition::Source;
use mainstay_machine::shards::{Answer, BoxFuture, Consistency, Error, Get, Reading, Shards};
use mainstay_machine::task::Declare;
use mainstay_machine::{Collection, Command, Outcome, Position};
use mainstay_shard::space::{Counts, ShardView, Space, State};

mod changes;
mod damage;
mod definitions;
mod expiry;
mod failing;
mod gate;
mod indexes;
mod listing;
mod lives;
mod overload;
mod owners;
mod purge;
mod reading;
mod references;
mod schemas;
mod snapshots;
mod transfers;
mod usage;
mod world;

use world::{Running, World};

/// The one shard of most tests.
const SHARD: ShardId = ShardId::new(1);

const THINGS: Name = Name::from_static("things");

/// What declares these collections, of several tenants.
fn collections(names: &[Name]) -> Declare {
    let tenants = [Tenant::DEFAULT, tenant("one"), tenant("other")];
    let place = Source { file: "test.yaml".to_owned(), line: None };
    let all = tenants.iter().flat_map(|tenant| names.iter().map(move |name| (tenant.clone(), name.clone())));
    let collections = all.map(|of| (of, (Collection::default(), place.clone()))).collect();
    Declare { collections, ..Declare::default() }
}

fn tenant(name: &str) -> Tenant {
    name.parse().expect("it is a tenant")
}

/// What of a key is its partition.
fn partition(key: &str) -> Partition<'static> {
    PartitionBy::FirstSegment.partition(&parse(key)).into_owned()
}

fn parse(key: &str) -> Key {
    key.parse().expect("it is a key")
}

fn item(key: &str) -> ItemName {
    ItemName { collection: THINGS, key: parse(key) }
}

fn put(key: &str, text: &str) -> Operation {
    let value = Value::new(ContentType::JSON, format!("\"{text}\"").into()).expect("it is JSON");
    Operation::Put { item: item(key), value, ttl: None }
}

/// Of an item that is a number and nothing else.
fn add(key: &str, by: i64) -> Operation {
    Operation::Increment { item: item(key), path: "".parse().expect("a pointer"), by, min: None, max: None }
}

/// A commit in the partition of the key of its first operation.
fn commit(operations: Vec<Operation>) -> Command {
    let key = operations[0].item().key.to_string();
    command(&key, Commit { conditions: Vec::new(), operations })
}

fn command(key: &str, commit: Commit) -> Command {
    Command {
        tenant: Tenant::DEFAULT,
        caller: Caller::ANONYMOUS,
        partition: partition(key),
        idempotency: None,
        trace: None,
        request: Request::Commit(commit),
    }
}

fn with_key(key: &str, mut command: Command) -> Command {
    let Command { tenant, caller, partition, request, .. } = &command;
    let key = key.parse().expect("it is an idempotency key");
    command.idempotency = Some(Idempotency::new(&key, tenant, caller, partition, request));
    command
}

fn of_tenant(name: &str, command: Command) -> Command {
    Command { tenant: tenant(name), ..command }
}

/// Submits a command that is to be committed.
async fn done(space: &Space, command: Command) -> Answer {
    let answer =
        space.submit(command, None).await.unwrap_or_else(|error| panic!("it is answered, not {error}"));
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "it is committed: {:?}", answer.outcome);
    answer
}

/// Reads an item.
async fn get(
    space: &Space,
    key: &str,
    consistency: Consistency,
    deadline: Option<Instant>,
) -> Result<Reading<Option<String>>, Error> {
    let get = Get { tenant: Tenant::DEFAULT, partition: partition(key), item: item(key), consistency };
    let Reading { value, position, consistency, age, durability } = space.get(get, deadline).await?;
    let value = value.map(|item| String::from_utf8(item.bytes.to_vec()).expect("JSON is UTF-8"));
    Ok(Reading { value, position, consistency, age, durability })
}

/// What an item is now; "" when it is not there. Texts have their quotes.
async fn now(space: &Space, key: &str) -> String {
    let reading = get(space, key, Consistency::Linearizable, None).await;
    reading.unwrap_or_else(|error| panic!("it is read, not {error}")).value.unwrap_or_default()
}

/// Polls a future once, so that it has begun.
fn begin<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Submits a command and leaves it to be awaited later.
fn sent(space: &Space, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
    let mut submitted = space.submit(command, deadline);
    assert!(begin(&mut submitted).is_pending(), "it is not answered at once");
    submitted
}

/// This long from now.
fn after(clock: &dyn Clock, millis: u64) -> Option<Instant> {
    clock.now().checked_add(Duration::from_millis(millis))
}

/// Waits for a condition, with whatever clock the runtime has.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        // If the clock is paused it goes on when everybody waits.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn state(space: &Space) -> State {
    view(space).state
}

fn view(space: &Space) -> ShardView {
    space.view().into_iter().find(|view| view.id == SHARD).expect("it is there")
}

/// What that shard has done.
fn counts(space: &Space) -> Counts {
    view(space).counts
}

fn epoch(space: &Space) -> Epoch {
    match state(space) {
        State::Serving { epoch } => epoch,
        state => panic!("it is served, not {state:?}"),
    }
}

fn covers(here: &Position, there: &Position) -> bool {
    there.places().all(|(shard, place)| here.get(shard).is_some_and(|found| found >= place))
}
