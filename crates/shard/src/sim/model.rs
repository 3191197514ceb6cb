//! What clients do to a partition, and what a partition is: four items that change all together or not at all.
//!
//! Two accounts between which money moves, a register, and a counter. Every commit that changes something has the next number.

use std::collections::BTreeSet;

use bytes::Bytes;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, PartitionBy, slot};
use mainstay_log::faulty::Random;
use mainstay_machine::batch::{Batch, Entry};
use mainstay_machine::command::{Caller, Commit, Condition, Idempotency, ItemName, Operation, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::json::Pointer;
use mainstay_machine::row::RowKey;
use mainstay_machine::{Command, Mutation, Outcome, State, Version, item};

/// What both accounts have together.
pub(super) const MONEY: i64 = 100;

pub(super) const ITEMS: usize = 4;
const NAMES: [&str; ITEMS] = ["left", "right", "register", "counter"];
pub(super) const COLLECTION: Name = Name::from_static("things");

/// An item: the number of the commit that wrote it, and its value.
type Item = Option<(u64, i64)>;

/// A partition as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Shape {
    sequence: u64,
    items: [Item; ITEMS],
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// Puts money into both accounts, once.
    Open,
    /// Moves money from left to right, or back if it is negative; not what is not there.
    Move(i64),
    /// Writes the register.
    Write(i64),
    /// Writes the register if it was written last by this commit.
    Replace { version: u64, value: i64 },
    /// Removes the register.
    Remove,
    /// Adds one to the counter.
    Count,
    /// Asks whether the register was written last by this commit, and changes nothing.
    Check { version: u64 },
    /// Looks at everything.
    Look,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Result {
    /// It was committed with this number.
    Committed(u64),
    /// It was committed, and the item is gone; it may have been before.
    Removed { existed: bool },
    /// What it asked for holds.
    Holds,
    /// It was refused.
    Refused,
    /// Everything was this.
    Seen([Item; ITEMS]),
}

/// What was asked, and what came of it as far as anyone knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) result: Option<Result>,
}

impl Ask {
    /// Anything. `value` is written by nobody else; `seen` is a version that the client has seen.
    pub(super) fn draw(random: &Random, value: i64, seen: Option<u64>) -> Self {
        match random.below(20) {
            0 => Self::Open,
            1..=3 => Self::Move(random.below(60) as i64 - 30),
            4..=5 => Self::Write(value),
            6..=7 => Self::Replace { version: seen.unwrap_or(1), value },
            8 => Self::Remove,
            9..=11 => Self::Count,
            12..=15 => Self::Check { version: seen.unwrap_or(1) },
            _ => Self::Look,
        }
    }

    /// Whether it changes nothing, whatever it finds.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Check { .. } | Self::Look)
    }

    /// The commit; none for a look.
    fn commit(&self, partition: &str) -> Option<Commit> {
        let name = |item| item_name(partition, item);
        let put = |item, number: i64| Operation::Put { item: name(item), value: json(number), ttl: None };
        let add = |item, by, min| Operation::Increment {
            item: name(item),
            path: "".parse::<Pointer>().expect("the empty pointer is one"),
            by,
            min,
            max: None,
        };
        let (conditions, operations) = match self {
            Self::Open => {
                (vec![Condition::Absent { item: name(0) }], vec![put(0, MONEY / 2), put(1, MONEY / 2)])
            }
            Self::Move(amount) => {
                let operations = vec![add(0, -amount, Some(0)), add(1, *amount, Some(0))];
                (vec![Condition::Present { item: name(0) }], operations)
            }
            Self::Write(value) => (Vec::new(), vec![put(2, *value)]),
            Self::Replace { version, value } => {
                let is = Version { timeline: 1, sequence: *version };
                (vec![Condition::Version { item: name(2), is }], vec![put(2, *value)])
            }
            Self::Check { version } => {
                let is = Version { timeline: 1, sequence: *version };
                (vec![Condition::Version { item: name(2), is }], Vec::new())
            }
            Self::Remove => (Vec::new(), vec![Operation::Delete { item: name(2) }]),
            Self::Count => (Vec::new(), vec![add(3, 1, None)]),
            Self::Look => return None,
        };
        Some(Commit { conditions, operations })
    }

    /// The command; none for a look.
    pub(super) fn command(&self, tenant: &Tenant, partition: &str, key: Option<u64>) -> Option<Command> {
        let request = Request::Commit(self.commit(partition)?);
        let place = partition_of(partition);
        let idempotency = key.map(|key| {
            let key = format!("op-{key}").parse().expect("it is visible ASCII");
            Idempotency::new(&key, tenant, &Caller::ANONYMOUS, &place, &request)
        });
        let (caller, trace) = (Caller::ANONYMOUS, None);
        Some(Command { tenant: tenant.clone(), caller, partition: place, idempotency, trace, request })
    }
}

impl Shape {
    /// The partition after this; none if it would have had another result.
    pub(super) fn after(&self, asked: &Asked) -> Option<Self> {
        let mut next = self.clone();
        let result = next.make(&asked.ask);
        let fits = asked.result.as_ref().is_none_or(|seen| *seen == result);
        fits.then_some(next)
    }

    fn make(&mut self, ask: &Ask) -> Result {
        let number = self.sequence + 1;
        let value = |item: Item| item.map_or(0, |(_, value)| value);
        let [left, right, register, counter] = self.items;
        let changes: Vec<(usize, Option<i64>)> = match ask {
            Ask::Look => return Result::Seen(self.items),
            Ask::Open if left.is_none() => vec![(0, Some(MONEY / 2)), (1, Some(MONEY / 2))],
            Ask::Move(amount) if left.is_some() => {
                let (left, right) = (value(left) - amount, value(right) + amount);
                if left < 0 || right < 0 {
                    return Result::Refused;
                }
                vec![(0, Some(left)), (1, Some(right))]
            }
            Ask::Write(value) => vec![(2, Some(*value))],
            Ask::Replace { version, value } if register.is_some_and(|(is, _)| is == *version) => {
                vec![(2, Some(*value))]
            }
            Ask::Check { version } if register.is_some_and(|(is, _)| is == *version) => return Result::Holds,
            Ask::Remove if register.is_some() => vec![(2, None)],
            Ask::Remove => return Result::Removed { existed: false },
            Ask::Count => vec![(3, Some(value(counter) + 1))],
            Ask::Open | Ask::Move(_) | Ask::Replace { .. } | Ask::Check { .. } => return Result::Refused,
        };
        self.sequence = number;
        for (item, value) in changes {
            self.items[item] = value.map(|value| (number, value));
        }
        match ask {
            Ask::Remove => Result::Removed { existed: true },
            _ => Result::Committed(number),
        }
    }
}

/// The items of a partition as a store has them.
pub(super) fn look(state: &dyn State, tenant: &Tenant, partition: &str) -> [Item; ITEMS] {
    let slot = slot(tenant, &partition_of(partition));
    std::array::from_fn(|at| {
        let name = item_name(partition, at);
        let item = item::get(state, slot, tenant, &name.collection, &name.key);
        let item = item.expect("a store in memory can be read")?;
        let text = std::str::from_utf8(&item.bytes).expect("it was written as a number");
        Some((item.version.sequence, text.parse().expect("it was written as a number")))
    })
}

/// What came of a command.
pub(super) fn result(outcome: &Outcome) -> Result {
    match outcome {
        Outcome::Refused(_) => Result::Refused,
        Outcome::Committed(results) if results.is_empty() => Result::Holds,
        Outcome::Committed(results) => {
            let version = results.iter().find_map(|result| result.version);
            match version {
                Some(version) => Result::Committed(version.sequence),
                None => Result::Removed { existed: results.iter().any(|result| result.existed) },
            }
        }
    }
}

/// Changes that nobody asked for.
pub(super) fn stray(tenant: &Tenant, partition: &str, time: HybridTime) -> Batch {
    let slot = slot(tenant, &partition_of(partition));
    let ItemName { collection, key } = item_name(partition, 2);
    let version = Version { timeline: 1, sequence: 1_000_000 };
    let (content_type, bytes) = (ContentType::JSON, Bytes::from_static(b"-1"));
    let item = item::Item {
        version,
        created: time,
        updated: time,
        expires: None,
        holds: BTreeSet::new(),
        schema: 0,
        is_rewritten: false,
        content_type,
        bytes,
    };
    let key = RowKey::item(slot, tenant, &collection, &key).into_bytes();
    let mutations = vec![Mutation::Put { key, value: item.encode() }];
    Batch { time, entries: vec![Entry { tenant: tenant.clone(), trace: None, mutations, before: vec![] }] }
}

fn item_name(partition: &str, item: usize) -> ItemName {
    let key: Key = format!("{partition}/{}", NAMES[item]).parse().expect("it is a key");
    ItemName { collection: COLLECTION, key }
}

fn partition_of(partition: &str) -> Partition<'static> {
    PartitionBy::FirstSegment.parse(partition).expect("it is a segment").into_owned()
}

fn json(number: i64) -> Value {
    Value::new(ContentType::JSON, number.to_string().into()).expect("a number is JSON")
}
