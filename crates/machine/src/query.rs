//! Queries: how a page of items is found, by keys or through an index, and what of an index has to be looked at.
//!
//! What is looked at is planned from the definition and from which indexes are there ([`plan()`]), the same for every page: a cursor
//! says how the page before it was found. Whatever narrows the search, the filter decides.

use std::collections::BTreeMap;

use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};
use serde_json::Value;

use crate::definition::Definition;
use crate::index::state::{Building, Misfits};
use crate::index::{self, Index, State as IndexState, What};
use crate::json::Pointer;
use crate::outcome::Refusal;
use crate::row::IndexName;
use crate::shards::List;
use crate::state::{self, State};

mod filter;
mod plan;
mod search;

pub use plan::{Plan, Through, plan};
pub use search::{Failed, search};

pub(crate) use filter::Filter;

/// The indexes of a collection, and whether each has all items in all of these shards, as they are read. Errors: [`state::Error`].
///
/// Entries are those of items as they are stored. So an index on what a version of the schema renames or fills in has to wait until all
/// items are brought to that version.
pub fn usable(
    states: &[&dyn State],
    tenant: &Tenant,
    (name, definition): (&Name, &Definition),
) -> Result<Vec<Usable>, state::Error> {
    let documents = IndexName { tenant, collection: name, number: IndexName::DOCUMENTS };
    let mut is_brought = true;
    for state in states {
        is_brought &= index::state::of(*state, documents)?.is_none_or(|state| state.is_through());
    }
    let is_touched =
        |index: &Index| index.on.iter().any(|on| definition.steps.iter().any(|it| it.touches(on.steps())));
    let all = definition.indexes().map(|(index, number, on)| {
        let of = IndexName { tenant, collection: name, number };
        let mut is_ready = is_brought || !is_touched(on);
        for state in states {
            is_ready &= index::state::of(*state, of)? == Some(IndexState::Ready);
        }
        Ok(Usable { name: index.clone(), number, index: on.clone(), is_ready })
    });
    all.collect()
}

/// How far what is done beside the traffic of a collection is in these shards. Errors: [`state::Error`].
pub fn standing(
    states: &[&dyn State],
    tenant: &Tenant,
    (name, definition): (&Name, &Definition),
) -> Result<Standing, state::Error> {
    let progress = |number| {
        let of = IndexName { tenant, collection: name, number };
        let mut progress = Progress::default();
        for state in states {
            progress.add(index::state::of(*state, of)?);
        }
        Ok::<_, state::Error>(progress)
    };
    let indexes: Result<_, state::Error> =
        definition.indexes().map(|(index, number, _)| Ok((index.clone(), progress(number)?))).collect();
    let documents = match definition.schema {
        0 => None,
        _ => Some(progress(IndexName::DOCUMENTS)?),
    };
    let references = definition.references().map(|(reference, number, on)| {
        let mut progress = progress(number)?;
        // Rows are those of items as they are stored.
        let is_touched = definition.steps.iter().any(|step| step.touches(on.on.steps()));
        if let Some(documents) = documents.as_ref().filter(|it| is_touched && !it.is_invalid) {
            progress.ready = progress.ready.min(documents.ready);
        }
        Ok((reference.clone(), progress))
    });
    let references: Result<_, state::Error> = references.collect();
    Ok(Standing { references: references?, indexes: indexes?, documents })
}

/// How far what is done beside the traffic of a collection is, over several shards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The building of its indexes, by name.
    pub indexes: BTreeMap<Name, Progress>,
    /// The building of its references, by name.
    pub references: BTreeMap<Name, Progress>,
    /// The bringing of its documents to the version of their schema; none when it never had one.
    pub documents: Option<Progress>,
}

/// How far an index is, or the bringing of documents to the version of their schema, over several shards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Shards in which it has all items.
    pub ready: u32,
    /// All shards.
    pub of: u32,
    /// Items that were gone through in those that are not ready yet.
    pub items: u64,
    /// Items that it cannot take, of which the first is named.
    pub misfits: Option<Misfits>,
    /// Whether a shard has gone through all of them in vain.
    pub is_invalid: bool,
}

impl Progress {
    fn add(&mut self, state: Option<IndexState>) {
        self.of += 1;
        let misfits = match state {
            Some(IndexState::Ready) => {
                self.ready += 1;
                None
            }
            Some(IndexState::Building(Building { items, misfits, .. })) => {
                self.items += items;
                misfits
            }
            Some(IndexState::Invalid(misfits)) => {
                self.is_invalid = true;
                Some(misfits)
            }
            Some(IndexState::Dropping { .. } | IndexState::DroppingReference { .. }) | None => None,
        };
        match (&mut self.misfits, misfits) {
            (Some(all), Some(more)) => all.items += more.items,
            (all @ None, more) => *all = more,
            (Some(_), None) => {}
        }
    }

    /// Its word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self { is_invalid: true, .. } => "invalid",
            Self { ready, of, .. } if ready == of => "ready",
            _ => "building",
        }
    }
}

/// An index that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub number: u32,
    /// What it is on.
    pub index: Index,
    /// Whether it has all items.
    pub is_ready: bool,
}

/// What names the limit that such a refusal is about.
const READS_MAX: &str = "query_reads_max";

/// Whether a page was refused since too much would have to be looked at.
pub fn is_too_costly(refusal: &Refusal) -> bool {
    refusal.facts().get("limit").is_some_and(|limit| limit == READS_MAX)
}

/// The refusal of a page for which too much would have to be looked at.
pub(crate) fn too_costly(list: &List, read: u64) -> Refusal {
    let max = list.search.reads_max;
    let wanted = wanted(list);
    let help = if wanted.is_empty() {
        "ask for less".to_owned()
    } else {
        format!("define an index on {}", shown(&wanted))
    };
    let detail = format!(
        "the query has looked at {read} entries and items for a page, and at most {max} are allowed: {help}, or allow pages \
         with fewer items with `scan=true`"
    );
    let fields: Vec<Value> = wanted.iter().map(|pointer| pointer.as_str().into()).collect();
    Refusal::new(Code::Invalid, detail).fact("limit", READS_MAX).fact("max", max).fact("index_needed", fields)
}

/// The fields of an index that would serve a query best: those with one value, then those of its order, then one of the rest.
pub(crate) fn wanted(list: &List) -> Vec<Pointer> {
    let constraints = list.search.filter.as_ref().map(crate::expression::Expression::constraints);
    let constraints = constraints.unwrap_or_default();
    let is_equal = |what: &What<'_>| matches!(what, What::Equal(_));
    let equal = constraints.iter().filter(|constraint| is_equal(&constraint.what));
    let rest = constraints.iter().filter(|constraint| !is_equal(&constraint.what));
    let mut fields: Vec<Pointer> = Vec::new();
    let mut add = |pointer: &Pointer| {
        if !fields.contains(pointer) && !pointer.steps().is_empty() && fields.len() < Index::FIELDS_MAX {
            fields.push(pointer.clone());
        }
    };
    equal.for_each(|constraint| add(&constraint.path));
    list.search.order.iter().for_each(&mut add);
    if list.search.order.is_empty() {
        rest.take(1).for_each(|constraint| add(&constraint.path));
    }
    fields
}

fn shown(pointers: &[Pointer]) -> String {
    let all: Vec<_> = pointers.iter().map(|pointer| format!("`{pointer}`")).collect();
    all.join(", ")
}
