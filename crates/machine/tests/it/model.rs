//! Random commands in random batches against a map: what they answer and what they leave does not depend on how they were cut
//! into batches, and is what a few lines on trees say.

use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use mainstay_machine::batch::Batch;
use mainstay_machine::command::{Condition, Operation};
use mainstay_machine::row::Parts;
use mainstay_machine::state::Memory;
use mainstay_machine::{Command, Evaluated, Mutation, Outcome, Overlay, Version, evaluate};
use proptest::prelude::*;
use serde_json::Value;

use crate::world::*;

/// What a map says of commits: the items by name, with their sequence.
#[derive(Default, Clone)]
struct Model {
    items: BTreeMap<String, (u64, Value)>,
    sequences: BTreeMap<String, u64>,
    kept: BTreeMap<String, (Told, Answer)>,
}

/// What is told, in the words of the model.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    partition: usize,
    key: Option<usize>,
    conditions: Vec<(usize, Kind)>,
    operations: Vec<(usize, Act)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Absent,
    Present,
    Version(u64),
    Check(i64),
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    Put(Value),
    MergePatch(Value),
    Delete,
    Increment { by: i64, max: i64 },
    Elsewhere,
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Committed(Vec<(Option<u64>, bool)>),
    Refused(Code),
}

const PARTITIONS: [&str; 2] = ["p1", "p2"];

fn name(partition: usize, key: usize) -> String {
    format!("orders/{}/k{key}", PARTITIONS[partition])
}

impl Model {
    /// The answer, and whether it was given before.
    fn run(&mut self, told: &Told) -> (Answer, bool) {
        let scope = told.key.map(|key| format!("{} {key}", told.partition));
        if let Some((first, answer)) = scope.as_ref().and_then(|scope| self.kept.get(scope)) {
            return if first == told {
                (answer.clone(), true)
            } else {
                (Answer::Refused(Code::IdempotencyMismatch), false)
            };
        }
        let mut changed = self.clone();
        let answer = match changed.commit(told) {
            Ok(results) => {
                *self = changed;
                Answer::Committed(results)
            }
            Err(code) => Answer::Refused(code),
        };
        if let Some(scope) = scope {
            self.kept.insert(scope, (told.clone(), answer.clone()));
        }
        (answer, false)
    }

    fn commit(&mut self, told: &Told) -> Result<Vec<(Option<u64>, bool)>, Code> {
        for (key, kind) in &told.conditions {
            let item = self.items.get(&name(told.partition, *key));
            let holds = match (kind, item) {
                (Kind::Absent, item) => item.is_none(),
                (Kind::Present, item) => item.is_some(),
                (Kind::Version(is), item) => item.is_some_and(|(sequence, _)| sequence == is),
                (Kind::Check(_), None) => return Err(Code::Invalid),
                (Kind::Check(below), Some((_, value))) => match value.get("n").map(Value::as_i64) {
                    Some(Some(n)) => n < *below,
                    _ => return Err(Code::Invalid),
                },
            };
            if !holds {
                return Err(Code::ConditionFailed);
            }
        }
        let sequence = 1 + self.sequences.get(PARTITIONS[told.partition]).copied().unwrap_or(0);
        let mut results = Vec::new();
        for (key, act) in &told.operations {
            let name = name(told.partition, *key);
            let before = self.items.get(&name).map(|(_, value)| value.clone());
            let existed = before.is_some();
            let value = match act {
                Act::Put(value) => value.clone(),
                Act::MergePatch(patch) => merge_trees(before, patch),
                Act::Increment { by, max } => incremented(before, *by, *max)?,
                Act::Elsewhere => return Err(Code::PartitionMismatch),
                Act::Delete => {
                    if self.items.remove(&name).is_some() {
                        self.sequences.insert(PARTITIONS[told.partition].into(), sequence);
                    }
                    results.push((None, existed));
                    continue;
                }
            };
            self.items.insert(name, (sequence, value));
            self.sequences.insert(PARTITIONS[told.partition].into(), sequence);
            results.push((Some(sequence), existed));
        }
        Ok(results)
    }
}

fn incremented(before: Option<Value>, by: i64, max: i64) -> Result<Value, Code> {
    let mut value = before.unwrap_or_else(|| serde_json::json!({}));
    let members = value.as_object_mut().ok_or(Code::Invalid)?;
    let number = members.get("n").map_or(Some(0), Value::as_i64).ok_or(Code::Invalid)?;
    let sum = number.checked_add(by).ok_or(Code::Invalid)?;
    if sum > max {
        return Err(Code::ConditionFailed);
    }
    members.insert("n".into(), sum.into());
    Ok(value)
}

fn merge_trees(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = target.and_then(|target| target.as_object().cloned()).unwrap_or_default();
    for (name, value) in patch {
        let before = target.remove(name);
        if !value.is_null() {
            target.insert(name.clone(), merge_trees(before, value));
        }
    }
    Value::Object(target)
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3i64..5).prop_map(|n| serde_json::json!({ "n": n })),
        1 => Just(serde_json::json!({ "n": i64::MAX, "m": { "a": 1 } })),
        1 => Just(serde_json::json!({ "n": null, "m": { "a": null, "b": [1] } })),
        1 => Just(serde_json::json!([1, 2])),
        1 => Just(serde_json::json!({ "n": "x" })),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let kind = prop_oneof![
        2 => Just(Kind::Absent),
        2 => Just(Kind::Present),
        1 => (0u64..6).prop_map(Kind::Version),
        1 => (0i64..5).prop_map(Kind::Check),
    ];
    let act = prop_oneof![
        4 => values().prop_map(Act::Put),
        3 => values().prop_map(Act::MergePatch),
        2 => Just(Act::Delete),
        4 => (-2i64..4, 0i64..6).prop_map(|(by, max)| Act::Increment { by, max }),
        1 => Just(Act::Elsewhere),
    ];
    let conditions = proptest::collection::vec((0usize..3, kind), 0..2);
    let operations = proptest::collection::vec((0usize..3, act), 0..4);
    let key = proptest::option::of(0usize..6);
    (0usize..2, key, conditions, operations).prop_map(|(partition, key, conditions, operations)| Told {
        partition,
        key,
        conditions,
        operations,
    })
}

fn command_of(told: &Told) -> Command {
    let conditions = told.conditions.iter().map(|(key, kind)| {
        let name = name(told.partition, *key);
        match kind {
            Kind::Absent => absent(&name),
            Kind::Present => present(&name),
            Kind::Version(sequence) => {
                Condition::Version { item: named(&name), is: Version { timeline: 1, sequence: *sequence } }
            }
            Kind::Check(below) => check(&name, &format!("value.n < {below}")),
        }
    });
    let operations = told.operations.iter().map(|(key, act)| {
        let name = name(told.partition, *key);
        match act {
            Act::Put(value) => put(&name, &value.to_string()),
            Act::MergePatch(patch) => merge_patch(&name, &patch.to_string()),
            Act::Delete => delete(&name),
            Act::Increment { by, max } => bounded(&name, "/n", *by, None, Some(*max)),
            Act::Elsewhere => Operation::Delete { item: named(&format!("orders/p3/k{key}")) },
        }
    });
    let command = command(PARTITIONS[told.partition], conditions.collect(), operations.collect());
    match told.key {
        Some(key) => with_key(&format!("key-{key}"), command),
        None => command,
    }
}

fn answer_of(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Committed(results) => Answer::Committed(
            results
                .iter()
                .map(|result| (result.version.map(|version| version.sequence), result.existed))
                .collect(),
        ),
        Outcome::Refused(refusal) => Answer::Refused(refusal.code()),
    }
}

/// Evaluates commands in batches of these lengths, repeated; each batch is applied as it is read back from its bytes.
fn run(commands: &[Command], cuts: &[usize]) -> (Vec<Evaluated>, Memory) {
    let world = World::new();
    let (mut state, mut evaluated, mut rest) = (Memory::default(), Vec::new(), commands);
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        rest = later;
        let mut overlay = Overlay::new(&state);
        let mut batch = Batch::new(world.now);
        for command in now {
            // The time stays the same, so that the rows do not depend on the cuts.
            let input = command.clone().into();
            let result = evaluate(&input, &mut overlay, &world.context()).unwrap();
            batch.push(&input, result.effects.clone(), result.before.clone());
            evaluated.push(result);
        }
        let read = Batch::decode(&batch.encode()).unwrap();
        let rows = read.rows().into_iter().map(|(key, value)| match value {
            Some(value) => Mutation::Put { key: key.clone(), value: value.clone() },
            None => Mutation::Delete { key: key.clone() },
        });
        let rows: Vec<_> = rows.collect();
        let mut one_by_one = state.clone();
        read.entries.iter().for_each(|entry| one_by_one.apply(&entry.mutations));
        state.apply(&rows);
        assert_eq!(state, one_by_one, "the last change of each row is what all changes come to");
        state.apply(&rows);
        assert_eq!(state, one_by_one, "applied twice is applied once");
    }
    (evaluated, state)
}

/// The items of a state, as the model has them.
fn items(state: &Memory) -> BTreeMap<String, (u64, Value)> {
    let items = state.rows().filter_map(|(key, value)| match Parts::of(key).unwrap() {
        Parts::Item { collection, key, .. } => {
            let item = mainstay_machine::item::Item::decode(value).unwrap();
            let tree = serde_json::from_slice(&item.bytes).unwrap();
            Some((format!("{collection}/{key}"), (item.version.sequence, tree)))
        }
        _ => None,
    });
    items.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn batches_do_not_matter_and_a_map_agrees(
        told in proptest::collection::vec(told(), 1..40),
        cuts in proptest::collection::vec(1usize..12, 1..4),
    ) {
        let commands: Vec<_> = told.iter().map(command_of).collect();
        let (evaluated, state) = run(&commands, &cuts);
        let (alone, state_alone) = run(&commands, &[1]);
        prop_assert_eq!(&evaluated, &alone);
        prop_assert_eq!(&state, &state_alone);

        let mut model = Model::default();
        for (told, evaluated) in told.iter().zip(&evaluated) {
            let (answer, replayed) = model.run(told);
            prop_assert_eq!((answer_of(&evaluated.outcome), evaluated.replayed), (answer, replayed), "{:?}", told);
            if let Outcome::Refused(_) = &evaluated.outcome {
                let is_item = |mutation: &Mutation| matches!(Parts::of(mutation.key()), Ok(Parts::Item { .. } | Parts::Slot { .. }));
                prop_assert!(!evaluated.effects.iter().any(is_item), "a refused commit leaves its outcome only");
            }
        }
        prop_assert_eq!(items(&state), model.items);
    }
}
