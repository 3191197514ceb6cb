//! Some shards with one collection, and what has to be done beside its traffic.

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, PartitionBy, Slot, slot};
use mainstay_base::time::Timestamp;
use mainstay_machine::command::{Commit, Condition, Operation, Request};
use mainstay_machine::index::State as IndexState;
use mainstay_machine::index::state::Reached;
use mainstay_machine::query::{self, Failed, Plan, Usable};
use mainstay_machine::row::{IndexName, RowRange};
use mainstay_machine::shards::{List, Page, PageBuilder};
use mainstay_machine::state::{State, Walk};
use mainstay_machine::task::{Adopt, Clear, Declare, Fill};
use mainstay_machine::{Collection, Command, Definition, Definitions, Input, Outcome, Refusal, Task};

use crate::world::*;

pub(crate) const DOCS: Name = Name::from_static("docs");
pub(crate) const SHARDS: usize = 3;
pub(crate) const NOW: Timestamp = Timestamp::from_micros(0);

/// Some shards with definitions of their own, as a node has them.
pub(crate) struct Space {
    pub(crate) system: World,
    pub(crate) shards: Vec<World>,
}

pub(crate) fn at(shards: usize, of: Slot) -> usize {
    usize::from(of.get()) * shards / usize::from(Slot::COUNT)
}

pub(crate) fn run(world: &mut World, input: impl Into<Input>) -> Outcome {
    let evaluated = world.run_input(&input.into());
    if let Some(definitions) = evaluated.definitions {
        world.definitions = Definitions::clone(&definitions);
    }
    evaluated.outcome
}

impl Space {
    pub(crate) fn new(collection: &Collection) -> Self {
        let mut space = Self::empty();
        space.define(collection);
        space
    }

    /// Shards in which nothing is defined.
    pub(crate) fn empty() -> Self {
        let empty = || World { definitions: Definitions::default(), ..World::new() };
        Self { system: empty(), shards: (0..SHARDS).map(|_| empty()).collect() }
    }

    /// Defines the collection, and brings the shards up without building anything.
    pub(crate) fn define(&mut self, collection: &Collection) {
        self.define_all(vec![(DOCS, collection.clone())]);
    }

    /// Defines these collections and no others, and brings the shards up without building anything.
    pub(crate) fn define_all(&mut self, collections: Vec<(Name, Collection)>) {
        let source = || mainstay_machine::definition::Source { file: "f".to_owned(), line: None };
        let all = collections.into_iter().map(|(name, it)| ((Tenant::DEFAULT, name), (it, source())));
        let declare = Declare { collections: all.collect(), ..Declare::default() };
        let outcome = run(&mut self.system, Task::from(declare));
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
        self.adopt();
    }

    /// Brings the shards up to what is defined.
    pub(crate) fn adopt(&mut self) {
        for shard in &mut self.shards {
            let adopt = Adopt::between(shard.definitions.revision(), &self.system.definitions);
            assert!(matches!(run(shard, Task::from(adopt)), Outcome::Committed(_)));
        }
    }

    pub(crate) fn definition(&self) -> &Definition {
        self.system.definitions.get(&Tenant::DEFAULT, &DOCS).unwrap()
    }

    pub(crate) fn commit(&mut self, operations: Vec<Operation>) -> Outcome {
        let partition = PartitionBy::FirstSegment.partition(&operations[0].item().key).into_owned();
        let of = slot(&Tenant::DEFAULT, &partition);
        let request = Request::Commit(Commit { conditions: Vec::<Condition>::new(), operations });
        let command = Command { partition, request, ..command("x", vec![], vec![]) };
        run(&mut self.shards[at(SHARDS, of)], command)
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> Outcome {
        self.commit(vec![put(&format!("docs/{key}"), value)])
    }

    /// Builds and drops what is to be built and dropped, `page` items and entries at a time. Returns whether it was all.
    pub(crate) fn tend(&mut self, page: usize, tasks_max: usize) -> bool {
        let mut left = tasks_max;
        for shard in &mut self.shards {
            while let Some(task) = task_of(shard, page) {
                if left == 0 {
                    return false;
                }
                left -= 1;
                assert!(matches!(run(shard, task), Outcome::Committed(_)));
            }
        }
        true
    }

    pub(crate) fn list(&self, list: &List) -> Result<Page, Box<Refusal>> {
        let definition = self.definition();
        let states: Vec<&dyn State> = self.shards.iter().map(|shard| &shard.state as &dyn State).collect();
        let usable: Vec<Usable> = query::usable(&states, &Tenant::DEFAULT, (&DOCS, definition)).unwrap();
        let made = match query::plan(list, &usable)? {
            Plan::Index(through) => {
                let walks: Vec<&dyn Walk> =
                    self.shards.iter().map(|shard| &shard.state as &dyn Walk).collect();
                query::search(&walks, &through, list, definition, NOW)
            }
            Plan::Keys => self.by_keys(list),
        };
        made.map_err(|failed| match failed {
            Failed::Refused(refusal) => refusal,
            Failed::State(error) => panic!("{error}"),
        })
    }

    pub(crate) fn by_keys(&self, list: &List) -> Result<Page, Failed> {
        let mut page = PageBuilder::new(list, Some(self.definition()), NOW);
        for slot in list.slots() {
            if page.read(&self.shards[at(SHARDS, slot)].state, slot)?.is_break() {
                break;
            }
        }
        Ok(page.finish())
    }

    /// All pages of a query; each with its work.
    pub(crate) fn all(&self, list: &List) -> Result<Vec<Page>, Box<Refusal>> {
        let (mut pages, mut list) = (Vec::new(), list.clone());
        loop {
            let page = self.list(&list)?;
            list.after.clone_from(&page.next);
            pages.push(page);
            if list.after.is_none() {
                return Ok(pages);
            }
        }
    }
}

/// What a shard has to do next for an index.
pub(crate) fn task_of(shard: &World, page: usize) -> Option<Task> {
    let states = shard.state.scan(&RowRange::index_states(), 100).unwrap();
    states.iter().find_map(|(row, value)| {
        let (tenant, collection, number) = mainstay_machine::row::index_of(row).unwrap();
        let of = IndexName { tenant: &tenant, collection: &collection, number };
        match IndexState::decode(value).unwrap() {
            IndexState::Building(building) => {
                let all =
                    shard.state.rows().filter_map(|(row, _)| match mainstay_machine::row::Parts::of(row) {
                        Ok(mainstay_machine::row::Parts::Item { slot, key, collection: of, .. })
                            if of == collection.as_str() =>
                        {
                            Some(Reached { slot: slot.get(), key: key.parse::<Key>().unwrap() })
                        }
                        _ => None,
                    });
                let rest: Vec<_> =
                    all.filter(|place| building.at.as_ref().is_none_or(|at| place > at)).collect();
                let items: Vec<_> = rest.iter().take(page).cloned().collect();
                let is_last = items.len() == rest.len();
                let from = building.at;
                Some(
                    Fill {
                        tenant: tenant.clone(),
                        collection: collection.clone(),
                        number,
                        from,
                        items,
                        is_last,
                    }
                    .into(),
                )
            }
            IndexState::Dropping { .. } => {
                let all =
                    shard.state.scan(&of.entries(&mainstay_machine::index::Span::of(&[])), page + 1).unwrap();
                let entries = all.iter().take(page).map(|(row, _)| of.entry(row)).collect();
                let is_last = all.len() <= page;
                Some(
                    Clear {
                        tenant: tenant.clone(),
                        collection: collection.clone(),
                        number,
                        entries,
                        is_last,
                    }
                    .into(),
                )
            }
            IndexState::DroppingReference { to, at } => {
                let from = at.as_ref().and_then(Reached::slot).unwrap_or(Slot::new(0).unwrap());
                let from = RowRange::referrers_from(from, &tenant, &to, at.as_ref().map(|at| &at.key)).start;
                let is_of_it = |row: &[u8]| {
                    matches!(mainstay_machine::row::Parts::of(row),
                        Ok(mainstay_machine::row::Parts::Referrer { collection: of, number: found, .. })
                            if of == collection.as_str() && found == number)
                };
                let all = shard.state.rows().map(|(row, _)| row).filter(|row| **row >= from && is_of_it(row));
                let all: Vec<_> = all.cloned().collect();
                let entries = all.iter().take(page).cloned().collect();
                let (tenant, collection, is_last) = (tenant.clone(), collection.clone(), all.len() <= page);
                Some(Clear { tenant, collection, number, entries, is_last }.into())
            }
            IndexState::Ready | IndexState::Invalid(_) => None,
        }
    })
}
