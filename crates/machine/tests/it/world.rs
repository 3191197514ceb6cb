//! A shard's rows, settings and definitions, and short ways to command them.

use bytes::Bytes;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{PartitionBy, slot};
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::batch::Batch;
use mainstay_machine::command::{Caller, Commit, Condition, Idempotency, ItemName, Operation, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::expression::Expression;
use mainstay_machine::item::{self, Item};
use mainstay_machine::json::Json;
use mainstay_machine::outcome::OperationResult;
use mainstay_machine::state::Memory;
use mainstay_machine::{
    Collection, Command, Context, Definitions, Evaluated, Input, Moment, Outcome, Overlay, Refusal, Settings,
    evaluate,
};

/// A shard without a log: commands are evaluated one by one, each in a batch of its own.
pub(crate) struct World {
    pub(crate) settings: Settings,
    /// Not rows here, so that what is left are those of commands.
    pub(crate) definitions: Definitions,
    pub(crate) state: Memory,
    pub(crate) now: HybridTime,
    pub(crate) timeline: u32,
}

impl World {
    /// With the collections `orders` and `carts` (by the first segment), `whole` (by the whole key) and `docs` (JSON only).
    pub(crate) fn new() -> Self {
        let json = Collection { content_type: Some(ContentType::JSON), ..Collection::default() };
        let whole = Collection { partition_by: PartitionBy::WholeKey, ..Collection::default() };
        let named = [
            ("orders", Collection::default()),
            ("carts", Collection::default()),
            ("whole", whole),
            ("docs", json),
        ];
        let named = named.map(|(name, collection)| (Tenant::DEFAULT, Name::from_static(name), collection));
        let definitions = Definitions::sample(named);
        let now = HybridTime::new(Timestamp::from_micros(1_767_225_600_000_000), 0);
        Self { settings: Settings::default(), definitions, state: Memory::default(), now, timeline: 1 }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { time: self.now, timeline: self.timeline }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { moment: self.moment(), settings: &self.settings, definitions: &self.definitions }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = HybridTime::new(self.now.wall().checked_add(time).unwrap(), 0);
    }

    /// Evaluates a command, and applies the batch with what it changed as it is read back from its bytes.
    pub(crate) fn run(&mut self, command: &Command) -> Evaluated {
        self.run_input(&command.clone().into())
    }

    pub(crate) fn run_input(&mut self, input: &Input) -> Evaluated {
        self.now = self.now.next();
        let mut overlay = Overlay::new(&self.state);
        let evaluated = evaluate(input, &mut overlay, &self.context()).unwrap();
        let mut batch = Batch::new(self.now);
        batch.push(input, evaluated.effects.clone(), evaluated.before.clone());
        let read = Batch::decode(&batch.encode()).unwrap();
        assert_eq!(read, batch);
        for entry in &read.entries {
            self.state.apply(&entry.mutations);
        }
        evaluated
    }

    pub(crate) fn commit(&mut self, conditions: Vec<Condition>, operations: Vec<Operation>) -> Outcome {
        self.run(&command("u7", conditions, operations)).outcome
    }

    #[track_caller]
    pub(crate) fn done(&mut self, operations: Vec<Operation>) -> Vec<OperationResult> {
        match self.commit(vec![], operations) {
            Outcome::Committed(results) => results,
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, conditions: Vec<Condition>, operations: Vec<Operation>) -> Refusal {
        let before = self.state.clone();
        let Outcome::Refused(refusal) = self.commit(conditions, operations) else {
            panic!("it was committed")
        };
        assert_eq!(self.state, before, "a refused commit changes nothing");
        *refusal
    }

    pub(crate) fn item(&self, name: &str) -> Option<Item> {
        let ItemName { collection, key } = named(name);
        let slot = slot(&Tenant::DEFAULT, &PartitionBy::FirstSegment.partition(&key));
        item::get(&self.state, slot, &Tenant::DEFAULT, &collection, &key).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.item(name).map(|item| String::from_utf8(item.bytes.to_vec()).unwrap())
    }
}

/// An item by `collection/key`.
pub(crate) fn named(name: &str) -> ItemName {
    let (collection, key) = name.split_once('/').unwrap();
    ItemName { collection: collection.parse().unwrap(), key: key.parse().unwrap() }
}

pub(crate) fn json(text: &str) -> Json {
    Json::new(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

pub(crate) fn put(name: &str, value: &str) -> Operation {
    Operation::Put { item: named(name), value: json(value).into(), ttl: None }
}

pub(crate) fn put_bytes(name: &str, content_type: &str, bytes: &'static [u8]) -> Operation {
    let value = Value::new(content_type.parse().unwrap(), Bytes::from_static(bytes)).unwrap();
    Operation::Put { item: named(name), value, ttl: None }
}

pub(crate) fn merge_patch(name: &str, patch: &str) -> Operation {
    Operation::MergePatch { item: named(name), patch: json(patch) }
}

pub(crate) fn delete(name: &str) -> Operation {
    Operation::Delete { item: named(name) }
}

pub(crate) fn increment(name: &str, path: &str, by: i64) -> Operation {
    bounded(name, path, by, None, None)
}

pub(crate) fn bounded(name: &str, path: &str, by: i64, min: Option<i64>, max: Option<i64>) -> Operation {
    Operation::Increment { item: named(name), path: path.parse().unwrap(), by, min, max }
}

pub(crate) fn check(name: &str, cel: &str) -> Condition {
    Condition::Check { item: named(name), cel: Expression::parse(cel).unwrap() }
}

pub(crate) fn absent(name: &str) -> Condition {
    Condition::Absent { item: named(name) }
}

pub(crate) fn present(name: &str) -> Condition {
    Condition::Present { item: named(name) }
}

pub(crate) fn command(partition: &str, conditions: Vec<Condition>, operations: Vec<Operation>) -> Command {
    Command {
        tenant: Tenant::DEFAULT,
        caller: Caller::ANONYMOUS,
        partition: PartitionBy::WholeKey.parse(partition).unwrap().into_owned(),
        idempotency: None,
        trace: None,
        request: Request::Commit(Commit { conditions, operations }),
    }
}

pub(crate) fn with_key(key: &str, mut command: Command) -> Command {
    let Command { tenant, caller, partition, request, .. } = &command;
    command.idempotency = Some(Idempotency::new(&key.parse().unwrap(), tenant, caller, partition, request));
    command
}
