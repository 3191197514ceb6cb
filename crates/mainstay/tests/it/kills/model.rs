//! What clients were told, and whether what is read back fits to it.
//!
//! One rule finds what is lost, doubled and torn: the items are what all acknowledged operations have made of them, and any
//! of the unanswered ones, each whole. Beside it versions and positions never go back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use mainstay_machine::{Position, Version};

/// The partition whose numbers have a constant sum.
pub const BANK: &str = "bank/";
/// What those numbers are at first.
pub const BALANCE: i64 = 1000;
/// How many there are.
pub const ACCOUNTS: u64 = 8;
/// The two items of a client that always have the same value.
pub const PAIR: [&str; 2] = ["left", "right"];

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Add(i64),
    Set(String),
}

/// What a client asks for, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its idempotency key.
    pub key: String,
    /// Items and what becomes of them.
    pub changes: Vec<(String, Change)>,
}

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// One for each change; none if it was refused.
    pub versions: Vec<Version>,
    pub position: Position,
    pub replayed: bool,
}

/// An item as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub value: String,
    pub version: Version,
}

/// All items as they were read back.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub items: BTreeMap<String, Seen>,
    /// Of the latest answer, which shows the whole collection.
    pub position: Position,
}

/// Everything that was acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Model {
    items: BTreeMap<String, Seen>,
    pub position: Position,
}

impl Operation {
    /// Whether only one client has its items, so that it shows whether it has happened.
    pub fn is_private(&self) -> bool {
        self.changes.iter().all(|(item, _)| !item.starts_with(BANK))
    }
}

fn changed(before: Option<&str>, change: &Change) -> String {
    match change {
        Change::Set(value) => value.clone(),
        Change::Add(by) => {
            let before: i64 = before.unwrap_or("0").parse().expect("it is a number");
            (before + by).to_string()
        }
    }
}

impl Model {
    /// Takes note of an acknowledgement. Those of one client come in their order.
    pub fn acknowledged(&mut self, operation: &Operation, told: &Told) {
        self.position.merge(&told.position);
        for ((item, change), version) in operation.changes.iter().zip(&told.versions) {
            let before = self.items.get(item);
            let value = changed(before.map(|seen| &*seen.value), change);
            let version = before.map_or(*version, |seen| seen.version.max(*version));
            self.items.insert(item.clone(), Seen { value, version });
        }
    }

    /// Whether what was read fits to what was told. Returns which of the unanswered operations have happened.
    pub fn check(&self, reading: &Reading, unanswered: &[&Operation]) -> Result<Vec<bool>, String> {
        for (shard, place) in self.position.places() {
            let seen = reading.position.get(shard);
            if seen.is_none_or(|seen| seen < place) {
                return Err(format!("a position went back: shard {shard} from {place:?} to {seen:?}"));
            }
        }
        conserved(&reading.items)?;
        whole(&reading.items)?;
        let touched: BTreeSet<&String> =
            unanswered.iter().flat_map(|it| &it.changes).map(|(item, _)| item).collect();
        let read: BTreeSet<&String> = reading.items.keys().collect();
        for item in read.union(&self.items.keys().collect()).filter(|item| !touched.contains(**item)) {
            let (seen, told) = (reading.items.get(*item), self.items.get(*item));
            if seen != told {
                return Err(format!("{item} is {}, and was told to be {}", shown(seen), shown(told)));
            }
        }
        let happened = (0..1_u32 << unanswered.len()).find_map(|subset| {
            let happened: Vec<_> = (0..unanswered.len()).map(|place| subset & (1 << place) != 0).collect();
            self.fits(reading, unanswered, &happened, &touched).then_some(happened)
        });
        happened.ok_or_else(|| {
            let lines = touched.iter().map(|item| {
                let (seen, told) = (reading.items.get(*item), self.items.get(*item));
                format!("\n  {item} is {}, and was told to be {}", shown(seen), shown(told))
            });
            let unanswered: Vec<_> = unanswered.iter().map(|it| format!("\n  {}", told_of(it))).collect();
            let (lines, unanswered): (String, String) = (lines.collect(), unanswered.concat());
            format!("no choice of what was unanswered explains{lines}\nunanswered:{unanswered}")
        })
    }

    /// Whether the touched items are those of what was acknowledged and of those operations that are said to have happened.
    fn fits(
        &self,
        reading: &Reading,
        unanswered: &[&Operation],
        happened: &[bool],
        touched: &BTreeSet<&String>,
    ) -> bool {
        let values = touched.iter().filter_map(|item| Some((*item, self.items.get(*item)?.value.clone())));
        let mut values: BTreeMap<&String, String> = values.collect();
        let mut changing = BTreeSet::new();
        let done = unanswered.iter().zip(happened).filter(|(_, happened)| **happened);
        for (item, change) in done.flat_map(|(operation, _)| &operation.changes) {
            let value = changed(values.get(item).map(String::as_str), change);
            values.insert(item, value);
            changing.insert(item);
        }
        touched.iter().all(|item| {
            let (seen, told) = (reading.items.get(*item), self.items.get(*item));
            let is_value = seen.map(|seen| &seen.value) == values.get(*item);
            let versions = (seen.map(|seen| seen.version), told.map(|told| told.version));
            let is_version = match versions.0.cmp(&versions.1) {
                Ordering::Less => false,
                // Others may have been told of a later change of an account.
                Ordering::Equal => !changing.contains(*item) || item.starts_with(BANK),
                Ordering::Greater => changing.contains(*item),
            };
            is_value && is_version
        })
    }
}

/// Transfers conserve the sum.
pub fn conserved(items: &BTreeMap<String, Seen>) -> Result<(), String> {
    let accounts = items.iter().filter(|(item, _)| item.starts_with(BANK));
    let numbers: Option<Vec<i64>> = accounts.map(|(_, seen)| seen.value.parse().ok()).collect();
    let sum = numbers.as_deref().map(|numbers| numbers.iter().sum::<i64>());
    let wanted = BALANCE * i64::try_from(ACCOUNTS).expect("there are few");
    match (numbers.is_some_and(|it| it.is_empty()), sum) {
        (true, _) => Ok(()),
        (false, Some(sum)) if sum == wanted => Ok(()),
        _ => Err(format!("the sum of all accounts is {sum:?}, and was {wanted}")),
    }
}

/// Both items of a pair are there with one value and one version, or none is.
pub fn whole(items: &BTreeMap<String, Seen>) -> Result<(), String> {
    for (item, seen) in items {
        for (one, other) in [(PAIR[0], PAIR[1]), (PAIR[1], PAIR[0])] {
            let Some(owner) = item.strip_suffix(one) else { continue };
            let other = items.get(&format!("{owner}{other}"));
            if other != Some(seen) {
                return Err(format!(
                    "a torn pair: {item} is {}, the other {}",
                    shown(Some(seen)),
                    shown(other)
                ));
            }
        }
    }
    Ok(())
}

fn shown(seen: Option<&Seen>) -> String {
    seen.map_or("not there".into(), |seen| format!("{} of version {}", cut(&seen.value), seen.version))
}

fn cut(value: &str) -> String {
    if value.len() <= 40 { value.into() } else { format!("{}.. ({} bytes)", &value[..40], value.len()) }
}

fn told_of(Operation { key, changes }: &Operation) -> String {
    let changes = changes.iter().map(|(item, change)| match change {
        Change::Add(by) => format!(" {item} {by:+}"),
        Change::Set(value) => format!(" {item} = {}", cut(value)),
    });
    format!("{key}:{}", changes.collect::<String>())
}

/// The check is checked: each reading that must not be is found, and those that may be are not.
mod tests {
    use mainstay_base::position::{Index, ShardId};
    use mainstay_machine::position::Place;

    use super::*;

    fn version(sequence: u64) -> Version {
        Version { timeline: 1, sequence }
    }

    fn position(index: u64) -> Position {
        Position::of(ShardId::new(0), Place { timeline: 1, index: Index::new(index) })
    }

    fn operation(changes: &[(&str, Change)]) -> Operation {
        let changes = changes.iter().map(|(item, change)| ((*item).to_owned(), change.clone()));
        Operation { key: "k".into(), changes: changes.collect() }
    }

    fn pair(value: &str) -> Operation {
        let set = Change::Set(value.into());
        operation(&[("c0/left", set.clone()), ("c0/right", set)])
    }

    fn transfer(by: i64) -> Operation {
        operation(&[("bank/a0", Change::Add(-by)), ("bank/a1", Change::Add(by))])
    }

    /// All accounts, a counter at 12, a pair at `1`; and how that reads.
    fn world() -> (Model, Reading) {
        let mut model = Model::default();
        let opened = (0..ACCOUNTS).map(|it| (format!("{BANK}a{it}"), Change::Set(BALANCE.to_string())));
        let opened = Operation { key: "k".into(), changes: opened.collect() };
        let done = [
            opened,
            operation(&[("c0/count", Change::Add(5))]),
            operation(&[("c0/count", Change::Add(7))]),
            pair("1"),
            transfer(3),
        ];
        for (operation, at) in done.iter().zip(1..) {
            let versions = vec![version(at); operation.changes.len()];
            model.acknowledged(operation, &Told { versions, position: position(at), replayed: false });
        }
        let reading = Reading { items: model.items.clone(), position: position(5) };
        (model, reading)
    }

    fn set(reading: &mut Reading, item: &str, value: &str, sequence: u64) {
        reading.items.insert(item.into(), Seen { value: value.into(), version: version(sequence) });
    }

    #[track_caller]
    fn found(change: impl FnOnce(&mut Reading), unanswered: &[&Operation], word: &str) {
        let (model, mut reading) = world();
        change(&mut reading);
        let found = model.check(&reading, unanswered).expect_err("it is wrong");
        assert!(found.contains(word), "{word}: {found}");
    }

    #[test]
    fn what_was_told_is_what_is_read() {
        let (model, mut reading) = world();
        assert_eq!(reading.items["c0/count"].value, "12");
        assert_eq!(model.check(&reading, &[]), Ok(vec![]));
        let add = operation(&[("c0/count", Change::Add(4))]);
        assert_eq!(model.check(&reading, &[&add, &pair("2")]), Ok(vec![false, false]));
        set(&mut reading, "c0/count", "16", 6);
        assert_eq!(model.check(&reading, &[&pair("2"), &add]), Ok(vec![false, true]));
    }

    #[test]
    fn a_transfer_that_was_not_answered_may_be_older_than_one_that_was() {
        let (mut model, mut reading) = world();
        let later = operation(&[("bank/a0", Change::Add(-2)), ("bank/a2", Change::Add(2))]);
        let told = Told { versions: vec![version(7); 2], position: position(7), replayed: false };
        model.acknowledged(&later, &told);
        for (item, value, sequence) in [("a0", "986", 7), ("a1", "1012", 6), ("a2", "1002", 7)] {
            set(&mut reading, &format!("{BANK}{item}"), value, sequence);
        }
        reading.position = position(7);
        assert_eq!(model.check(&reading, &[&transfer(9)]), Ok(vec![true]));
        set(&mut reading, "bank/a0", "986", 6);
        model.check(&reading, &[&transfer(9)]).expect_err("a version went back");
    }

    #[test]
    fn a_lost_acknowledgement_is_found() {
        found(|it| set(it, "c0/count", "5", 2), &[], "c0/count is 5 of version 1-2, and was told to be 12");
        found(|it| drop(it.items.remove("c0/count")), &[], "c0/count is not there");
        let lost = |it: &mut Reading| {
            set(it, "bank/a0", "1000", 1);
            set(it, "bank/a1", "1000", 1);
        };
        found(lost, &[], "bank/a0 is 1000");
        found(lost, &[&transfer(9)], "no choice of what was unanswered explains");
    }

    #[test]
    fn a_doubled_effect_is_found() {
        let add = operation(&[("c0/count", Change::Add(4))]);
        found(|it| set(it, "c0/count", "19", 6), &[], "c0/count is 19");
        found(|it| set(it, "c0/count", "20", 7), &[&add], "no choice");
        let twice = |it: &mut Reading| {
            set(it, "bank/a0", "987", 7);
            set(it, "bank/a1", "1013", 7);
        };
        found(twice, &[&transfer(5)], "no choice");
    }

    #[test]
    fn what_is_torn_is_found() {
        found(|it| set(it, "c0/left", "2", 6), &[&pair("2")], "a torn pair: c0/left is 2");
        found(|it| drop(it.items.remove("c0/right")), &[], "a torn pair");
        found(|it| set(it, "bank/a0", "992", 6), &[&transfer(5)], "the sum of all accounts is Some(7995)");
        let crossed = operation(&[("c0/count", Change::Add(4)), ("c0/doc", Change::Set("x".into()))]);
        found(|it| set(it, "c0/count", "16", 6), &[&crossed], "no choice");
    }

    #[test]
    fn what_goes_back_is_found() {
        found(|it| it.position = position(4), &[], "a position went back");
        found(|it| it.position = Position::default(), &[], "a position went back");
        found(|it| set(it, "c0/count", "12", 2), &[], "version 1-2, and was told to be 12 of version 1-3");
        let add = operation(&[("c0/count", Change::Add(4))]);
        found(|it| set(it, "c0/count", "16", 3), &[&add], "no choice");
    }

    #[test]
    fn what_nobody_asked_for_is_found() {
        found(
            |it| set(it, "c9/count", "1", 6),
            &[],
            "c9/count is 1 of version 1-6, and was told to be not there",
        );
    }
}
