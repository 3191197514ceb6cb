//! Definitions: how they change in the shard `system`, what is refused, and how other shards come to have them.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::PartitionBy;
use mainstay_machine::command::{Caller, Change, Define, Expected, Idempotency, Request};
use mainstay_machine::content::ContentType;
use mainstay_machine::definition::{self, HISTORY_MAX, Origin, Source};
use mainstay_machine::state::Memory;
use mainstay_machine::task::{Adopt, Declare};
use mainstay_machine::{Collection, Command, Definitions, Outcome, Refusal, Task, Version};
use proptest::prelude::*;

use crate::world::*;

const CARTS: Name = Name::from_static("carts");

/// A shard whose definitions are rows.
struct Shard(World);

impl Shard {
    fn new() -> Self {
        Self(World { definitions: Definitions::default(), ..World::new() })
    }

    fn task(&mut self, task: impl Into<Task>) -> Outcome {
        let evaluated = self.0.run_input(&task.into().into());
        self.reload(evaluated.definitions);
        evaluated.outcome
    }

    fn ask(&mut self, command: &Command) -> Outcome {
        let evaluated = self.0.run(command);
        self.reload(evaluated.definitions);
        evaluated.outcome
    }

    /// As an owner does it.
    fn reload(&mut self, changed: Option<Arc<Definitions>>) {
        if let Some(changed) = changed {
            self.0.definitions = Definitions::clone(&changed);
        }
        assert_eq!(self.0.definitions, Definitions::load(&self.0.state).unwrap());
    }

    fn define(&mut self, change: Change, expected: Expected) -> Outcome {
        self.ask(&asks(change, expected, None))
    }

    #[track_caller]
    fn put(&mut self, collection: &Collection) -> Version {
        version(&self.define(Change::Put(Box::new(collection.clone())), Expected::Anything)).unwrap()
    }

    #[track_caller]
    fn refused(&mut self, change: Change, expected: Expected) -> Refusal {
        refused(self.define(change, expected))
    }

    fn carts(&self) -> Option<&Collection> {
        self.0.definitions.collection(&Tenant::DEFAULT, &CARTS)
    }
}

fn asks(change: Change, expected: Expected, key: Option<&str>) -> Command {
    let define = Define { name: CARTS, change, expected, settled: 0 };
    let (tenant, caller, partition) = (Tenant::DEFAULT, Caller::ANONYMOUS, define.partition());
    let request = Request::Define(define);
    let idempotency =
        key.map(|key| Idempotency::new(&key.parse().unwrap(), &tenant, &caller, &partition, &request));
    Command { tenant, caller, partition, idempotency, trace: None, request }
}

#[track_caller]
fn version(outcome: &Outcome) -> Option<Version> {
    match outcome {
        Outcome::Committed(results) => results[0].version,
        Outcome::Refused(refusal) => panic!("{refusal}"),
    }
}

#[track_caller]
fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => *refusal,
        Outcome::Committed(results) => panic!("it was done: {results:?}"),
    }
}

fn of_type(content_type: &str) -> Collection {
    Collection { content_type: Some(content_type.parse().unwrap()), ..Collection::default() }
}

fn put_of(collection: Collection) -> Change {
    Change::Put(Box::new(collection))
}

fn at(line: u32) -> Source {
    Source { file: "mainstay.yaml".to_owned(), line: Some(line) }
}

fn file(collections: &[(&'static str, Collection, u32)]) -> Task {
    let named = collections.iter().map(|(name, collection, line)| {
        ((Tenant::DEFAULT, Name::from_static(name)), (collection.clone(), at(*line)))
    });
    Declare { collections: named.collect(), ..Declare::default() }.into()
}

#[test]
fn each_change_has_the_next_revision_and_nothing_new_has_none() {
    let mut shard = Shard::new();
    assert_eq!(shard.carts(), None);
    let first = shard.put(&Collection::default());
    assert_eq!((first.sequence, shard.carts()), (1, Some(&Collection::default())));
    assert_eq!(shard.put(&Collection::default()), first, "it says what it said");
    let second = shard.put(&of_type("text/plain"));
    assert_eq!(second.sequence, 2);
    assert_eq!(version(&shard.define(Change::Retire, Expected::Anything)).unwrap().sequence, 3);
    assert_eq!(shard.carts(), None);
    assert_eq!(version(&shard.define(Change::Retire, Expected::Anything)), None, "it is retired already");
    assert_eq!(shard.put(&of_type("text/plain")).sequence, 4);
    assert_eq!(shard.0.definitions.revision(), 4);
}

#[test]
fn what_a_caller_expects_must_hold() {
    let mut shard = Shard::new();
    let (change, other) = (|| put_of(Collection::default()), || put_of(of_type("text/plain")));
    let never = Version { timeline: 1, sequence: 9 };
    for expected in [Expected::Present, Expected::Version(never)] {
        let refusal = shard.refused(change(), expected);
        assert_eq!((refusal.code(), refusal.facts()["version"].is_null()), (Code::ConditionFailed, true));
    }
    let made = version(&shard.define(change(), Expected::Absent)).unwrap();
    for expected in [Expected::Absent, Expected::Version(never)] {
        let refusal = shard.refused(other(), expected);
        assert_eq!(refusal.facts()["version"], made.to_string());
    }
    assert!(matches!(shard.define(other(), Expected::Version(made)), Outcome::Committed(_)));
    assert!(matches!(shard.define(Change::Retire, Expected::Present), Outcome::Committed(_)));
    assert!(
        matches!(shard.define(change(), Expected::Absent), Outcome::Committed(_)),
        "a retired one is absent"
    );
}

#[test]
fn a_repetition_is_answered_and_not_done() {
    let mut shard = Shard::new();
    let ask = asks(put_of(Collection::default()), Expected::Absent, Some("k1"));
    let first = shard.ask(&ask);
    shard.put(&of_type("text/plain"));
    assert_eq!(shard.ask(&ask), first);
    assert_eq!(shard.carts(), Some(&of_type("text/plain")));
    let other = asks(put_of(of_type("image/png")), Expected::Absent, Some("k1"));
    assert_eq!(refused(shard.ask(&other)).code(), Code::IdempotencyMismatch);
}

#[test]
fn how_keys_are_placed_never_changes() {
    let mut shard = Shard::new();
    let whole = Collection { partition_by: PartitionBy::WholeKey, ..Collection::default() };
    shard.put(&Collection::default());
    let says = "has `partition_by: first_segment` for good";
    assert!(shard.refused(put_of(whole.clone()), Expected::Anything).detail().contains(says));
    shard.define(Change::Retire, Expected::Anything);
    let refusal = shard.refused(put_of(whole.clone()), Expected::Anything);
    assert!(refusal.detail().contains(says), "its items are still there: {refusal}");
    let before = shard.0.state.clone();
    let declared = file(&[("orders", Collection::default(), 2), ("carts", whole, 3)]);
    let refusal = refused(shard.task(declared));
    assert_eq!((refusal.code(), &refusal.facts()["collection"]), (Code::Conflict, &"carts".into()));
    assert_eq!(shard.0.state, before, "a file is in force as a whole or not at all");
}

#[test]
fn what_a_file_defines_is_changed_there() {
    let mut shard = Shard::new();
    let declared = |collection: Collection, line| file(&[("carts", collection, line)]);
    assert_eq!(version(&shard.task(declared(Collection::default(), 7))).unwrap().sequence, 1);
    for change in [put_of(of_type("text/plain")), Change::Retire] {
        let refusal = shard.refused(change, Expected::Anything);
        assert_eq!(refusal.code(), Code::OwnedByFile);
        assert!(refusal.detail().contains("is defined in mainstay.yaml:7: change it there"), "{refusal}");
        assert_eq!(
            (&refusal.facts()["file"], &refusal.facts()["line"]),
            (&"mainstay.yaml".into(), &7.into())
        );
    }
    let moved = shard.task(declared(Collection::default(), 9));
    assert_eq!(version(&moved).unwrap().sequence, 1, "the same on another line is no change");
    let refusal = shard.refused(Change::Retire, Expected::Anything);
    assert_eq!(refusal.facts()["line"], 9, "but is where to look");
    assert_eq!(version(&shard.task(declared(of_type("text/plain"), 9))).unwrap().sequence, 2);
    assert_eq!(version(&shard.task(file(&[]))).unwrap().sequence, 3, "what is taken out is retired");
    assert_eq!(shard.carts(), None);
    assert_eq!(version(&shard.task(file(&[]))).unwrap().sequence, 3);
    shard.put(&of_type("text/plain"));
    assert_eq!(
        version(&shard.task(file(&[]))).unwrap().sequence,
        4,
        "what the API has defined is not the file's"
    );
    assert!(shard.carts().is_some());
    version(&shard.task(declared(of_type("text/plain"), 1)));
    let refusal = shard.refused(Change::Retire, Expected::Anything);
    assert_eq!(refusal.code(), Code::OwnedByFile, "a file takes over what it defines");
}

#[test]
fn a_definition_goes_back_to_what_its_history_has() {
    let mut shard = Shard::new();
    let first = shard.put(&Collection::default());
    shard.put(&of_type("text/plain"));
    let retired = version(&shard.define(Change::Retire, Expected::Anything)).unwrap();
    let back = version(&shard.define(Change::Rollback(first), Expected::Anything)).unwrap();
    assert_eq!((back.sequence, shard.carts()), (4, Some(&Collection::default())));
    shard.define(Change::Rollback(retired), Expected::Anything);
    assert_eq!(shard.carts(), None, "it was retired then");
    let missing = Version { timeline: 2, ..first };
    assert_eq!(shard.refused(Change::Rollback(missing), Expected::Anything).code(), Code::NotFound);
    for number in 0..HISTORY_MAX {
        shard.put(&of_type(if number % 2 == 0 { "text/plain" } else { "image/png" }));
    }
    let history = definition::history(&shard.0.state, &Tenant::DEFAULT, &CARTS).unwrap();
    let revisions: Vec<_> = history.iter().map(definition::Definition::revision).collect();
    let last = shard.0.definitions.revision();
    let expected: Vec<_> = (0..HISTORY_MAX as u64).map(|back| last - back).collect();
    assert_eq!(revisions, expected, "the latest first, and no more than are kept");
    assert!(matches!(&history[0].origin, Origin::Api { caller } if caller == "anonymous"));
    let refusal = shard.refused(Change::Rollback(first), Expected::Anything);
    assert!(refusal.detail().contains("keeps the last 64"), "{refusal}");
}

#[test]
fn a_shard_has_the_definitions_of_the_latest_revision_that_came() {
    let mut system = Shard::new();
    let mut at = vec![Definitions::default()];
    for collection in [Collection::default(), of_type("text/plain"), of_type("image/png")] {
        system.put(&collection);
        at.push(system.0.definitions.clone());
    }
    let mut shard = Shard::new();
    let refusal = refused(shard.task(Adopt::between(1, &at[3])));
    assert_eq!((refusal.code(), &refusal.facts()["revision"]), (Code::Conflict, &0.into()), "there is a gap");
    for (adopt, revision) in [
        (Adopt::between(0, &at[2]), 2),
        (Adopt::between(0, &at[1]), 2),
        (Adopt::between(1, &at[3]), 3),
        (Adopt::between(2, &at[3]), 3),
    ] {
        assert!(matches!(shard.task(adopt), Outcome::Committed(_)));
        assert_eq!(shard.0.definitions, at[revision]);
    }
}

#[test]
fn a_tenant_has_so_many_collections_and_no_more() {
    let mut shard = Shard::new();
    shard.0.settings.limits.collections_max = 2;
    version(&shard.task(file(&[("a", Collection::default(), 1), ("b", Collection::default(), 2)])));
    let refusal = shard.refused(put_of(Collection::default()), Expected::Anything);
    assert_eq!((refusal.code(), &refusal.facts()["limit"]), (Code::QuotaExceeded, &"collections_max".into()));
    let three =
        [("a", Collection::default(), 1), ("b", Collection::default(), 2), ("c", Collection::default(), 3)];
    assert_eq!(refused(shard.task(file(&three))).code(), Code::QuotaExceeded);
    version(&shard.task(file(&[("a", of_type("text/plain"), 1)])));
    let refusal = shard.refused(put_of(Collection::default()), Expected::Anything);
    assert!(refusal.detail().contains("retired ones count"), "a retired one has items: {refusal}");
}

#[test]
fn a_row_of_a_newer_program_is_refused_by_name() {
    let sample = Definitions::sample([(Tenant::DEFAULT, CARTS, of_type("text/plain"))]);
    let mut state = Memory::default();
    state.apply(&sample.rows());
    assert_eq!(Definitions::load(&state).unwrap(), sample);
    for (from, to, says) in [
        (&b"\x01{"[..], &b"\x02{"[..], "format 2"),
        (b"\"is_retired\"", b"\"is_paused\"", "not what this program writes"),
        (b"content_type", b"content_kind", "not what this program writes"),
    ] {
        let changed = sample.rows().into_iter().map(|row| {
            let value = row.value().unwrap().to_vec();
            let found = value.windows(from.len()).position(|part| part == from);
            let value = found
                .map_or(value.clone(), |place| [&value[..place], to, &value[place + from.len()..]].concat());
            mainstay_machine::Mutation::Put { key: row.key().clone(), value: value.into() }
        });
        let mut state = Memory::default();
        state.apply(&changed.collect::<Vec<_>>());
        let error = Definitions::load(&state).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[derive(Debug, Clone)]
enum Told {
    Put(u8),
    Retire,
    Rollback(u64),
    File(Option<u8>),
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        (0u8..3).prop_map(Told::Put),
        Just(Told::Retire),
        (1u64..12).prop_map(Told::Rollback),
        proptest::option::of(0u8..3).prop_map(Told::File),
    ]
}

fn numbered(number: u8) -> Collection {
    of_type(["text/plain", "image/png", "text/csv"][usize::from(number)])
}

proptest! {
    /// A model: what each revision said, and whose it is.
    #[test]
    fn definitions_are_what_a_list_of_changes_makes_of_them(all in proptest::collection::vec(told(), 1..30)) {
        let (mut system, mut shard) = (Shard::new(), Shard::new());
        let mut said: Vec<Option<u8>> = vec![None];
        let (mut now, mut is_of_file) = (None, false);
        for told in all {
            let wanted = match told {
                Told::Put(number) => (!is_of_file).then_some(Some(number)),
                Told::Retire => (!is_of_file).then_some(None),
                Told::Rollback(to) => said.get(to as usize).copied().filter(|_| !is_of_file),
                Told::File(None) => Some(if is_of_file { None } else { now }),
                Told::File(number) => Some(number),
            };
            let outcome = match told {
                Told::Put(number) => system.define(put_of(numbered(number)), Expected::Anything),
                Told::Retire => system.define(Change::Retire, Expected::Anything),
                Told::Rollback(to) => {
                    let to = Version { timeline: 1, sequence: to };
                    system.define(Change::Rollback(to), Expected::Anything)
                }
                Told::File(None) => system.task(file(&[])),
                Told::File(Some(number)) => system.task(file(&[("carts", numbered(number), 1)])),
            };
            prop_assert_eq!(matches!(outcome, Outcome::Committed(_)), wanted.is_some());
            if let Some(wanted) = wanted {
                if wanted != now {
                    said.push(wanted);
                }
                now = wanted;
                match told {
                    Told::File(number) => is_of_file = number.is_some(),
                    _ if now.is_none() => is_of_file = false,
                    _ => {}
                }
            }
            let expected = now.map(numbered);
            prop_assert_eq!(system.carts(), expected.as_ref());
            prop_assert_eq!(system.0.definitions.revision() as usize, said.len() - 1);
            shard.task(Adopt::between(shard.0.definitions.revision(), &system.0.definitions));
            prop_assert_eq!(shard.carts(), system.carts());
        }
    }
}

#[test]
fn a_definition_of_json_is_not_one_of_any_type() {
    let mut shard = Shard::new();
    shard.put(&of_type(ContentType::JSON.as_str()));
    assert_eq!(shard.carts().unwrap().content_type, Some(ContentType::JSON));
}
