//! Which index a query goes through, if any, and which part of it.

use mainstay_base::error::Code;
use mainstay_base::id::Name;

use super::{Usable, shown, wanted};
use crate::expression::Expression;
use crate::index::{Index, Narrowed, Span, narrow};
use crate::json::Pointer;
use crate::outcome::Refusal;
use crate::shards::{Cursor, List};

/// How the items of a page are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// By their keys.
    Keys,
    /// Through an index.
    Index(Through),
}

/// A way through an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// The index's name.
    pub name: Name,
    /// Its number.
    pub number: u32,
    /// What it is on.
    pub index: Index,
    /// The parts of it that have all that is searched for, in order.
    pub spans: Vec<Span>,
    /// Whether it is gone through backwards.
    pub is_back: bool,
}

/// How good an index is for a query: the greater the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    bound_fields: usize,
    equal_fields: usize,
    /// Fewer fields are shorter entries.
    fewer_fields: usize,
}

/// Plans a page. Errors: the refusal of a query that no index can serve as it asks.
///
/// An index is used if an order is asked for or the filter says something of its first field. Where keys confine the search to one
/// partition, they are gone through unless an index is asked for: those of an index are of all partitions.
pub fn plan(list: &List, usable: &[Usable]) -> Result<Plan, Box<Refusal>> {
    let constraints = list.search.filter.as_ref().map(Expression::constraints).unwrap_or_default();
    let narrowed = |usable: &Usable| narrow(&usable.index, &constraints);
    match &list.after {
        Some(Cursor::Key { .. }) => return Ok(Plan::Keys),
        Some(Cursor::Entry { number, is_back, .. }) => {
            let found = usable.iter().find(|usable| usable.number == *number && usable.is_ready);
            let found = found.ok_or_else(|| Box::new(gone()))?;
            return Ok(through(found, narrowed(found), *is_back));
        }
        None => {}
    }
    let is_back = list.search.is_descending;
    if let Some(name) = &list.search.index {
        let found = named(name, usable)?;
        let narrowed = narrowed(found);
        if !serves_order(&found.index, &narrowed, &list.search.order) {
            return Err(Box::new(unordered(list)));
        }
        return Ok(through(found, narrowed, is_back));
    }
    let is_ordered = !list.search.order.is_empty();
    if !is_ordered && list.partition.is_some() {
        return Ok(Plan::Keys);
    }
    let candidates = usable.iter().filter(|usable| usable.is_ready).map(|usable| (usable, narrowed(usable)));
    let fitting = candidates.filter(|(usable, narrowed)| {
        let helps = is_ordered || narrowed.bound_fields > 0;
        helps && serves_order(&usable.index, narrowed, &list.search.order)
    });
    match fitting.max_by_key(|(usable, narrowed)| merit(&usable.index, narrowed)) {
        Some((usable, narrowed)) => Ok(through(usable, narrowed, is_back)),
        None if is_ordered => Err(Box::new(unordered(list))),
        None => Ok(Plan::Keys),
    }
}

fn through(usable: &Usable, narrowed: Narrowed, is_back: bool) -> Plan {
    let Usable { name, number, index, .. } = usable.clone();
    Plan::Index(Through { name, number, index, spans: narrowed.spans, is_back })
}

fn merit(index: &Index, narrowed: &Narrowed) -> Merit {
    Merit {
        bound_fields: narrowed.bound_fields,
        equal_fields: narrowed.equal_fields,
        fewer_fields: Index::FIELDS_MAX - index.on.len().min(Index::FIELDS_MAX),
    }
}

/// Whether the entries of the spans are in this order: fields that have one value in all of them do not matter.
fn serves_order(index: &Index, narrowed: &Narrowed, order: &[Pointer]) -> bool {
    let equal = &index.on[..narrowed.equal_fields];
    let order: Vec<_> = order.iter().filter(|pointer| !equal.contains(pointer)).collect();
    let rest = &index.on[narrowed.equal_fields..];
    order.len() <= rest.len() && order.iter().zip(rest).all(|(wanted, found)| **wanted == *found)
}

fn named<'u>(name: &Name, usable: &'u [Usable]) -> Result<&'u Usable, Box<Refusal>> {
    let found = usable.iter().find(|usable| usable.name == *name);
    let (why, is_there) = match found {
        Some(found) if found.is_ready => return Ok(found),
        Some(_) => ("does not have all items yet, or cannot: look at the collection's definition", true),
        None => ("is not one of the collection's: define it, or leave `index` out", false),
    };
    let refusal = Refusal::new(Code::Invalid, format!("the index {:?} {why}", name.as_str()));
    Err(Box::new(refusal.fact("index", name.as_str()).fact("is_defined", is_there)))
}

fn unordered(list: &List) -> Refusal {
    let wanted = wanted(list);
    let detail = format!(
        "no index that has all items gives this order: define one on {}, or leave the order out",
        shown(&wanted)
    );
    let fields: Vec<_> = wanted.iter().map(Pointer::as_str).collect();
    Refusal::new(Code::Invalid, detail).fact("parameter", "order").fact("index_needed", fields)
}

fn gone() -> Refusal {
    let detail =
        "the index that the cursor goes through is not there any more: begin anew without the cursor";
    Refusal::new(Code::Gone, detail)
}
