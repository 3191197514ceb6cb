//! The part of an index that a search has to look at.

use super::{Constraint, Index, Span, What};
use crate::json::Pointer;

/// The part of an index in which all items are that are searched for. The more fields are bound, the narrower it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// Where they are: at most [`Narrowed::SPANS_MAX`], in order and apart from each other. None if there can be no such items.
    pub spans: Vec<Span>,
    /// How many leading fields have one value each in all spans.
    pub equal_fields: usize,
    /// How many leading fields the spans say anything of: those, or one more.
    pub bound_fields: usize,
}

impl Narrowed {
    /// The most spans. Where there would be more, neighbours are taken together with what is between them.
    pub const SPANS_MAX: usize = 64;
}

/// The narrowest part of an index for documents of which all these constraints hold: every such document has an entry in one of the
/// spans. Leading fields of one value each, and then at most one field of which something else is known, narrow it.
pub fn narrow(index: &Index, constraints: &[Constraint<'_>]) -> Narrowed {
    let mut values = Vec::new();
    let mut equal_fields = 0;
    for pointer in &index.on {
        let Some(spans) = on_field(pointer, constraints) else { break };
        if let [span] = &spans[..]
            && let Some(value) = span.one_value()
        {
            values.extend_from_slice(value);
            equal_fields += 1;
            continue;
        }
        let spans = bounded(spans).iter().map(|span| span.behind(&values)).collect();
        return Narrowed { spans, equal_fields, bound_fields: equal_fields + 1 };
    }
    Narrowed { spans: vec![Span::all().behind(&values)], equal_fields, bound_fields: equal_fields }
}

/// Where a field can be; none if nothing is known of it.
fn on_field(pointer: &Pointer, constraints: &[Constraint<'_>]) -> Option<Vec<Span>> {
    let of_field = || constraints.iter().filter(|constraint| constraint.path == *pointer).map(|it| &it.what);
    let is_of_elements = |what: &&What<'_>| matches!(what, What::Contains(_));
    // What holds for a single value holds for the only entry of the field, so all of it together does. What holds for elements may
    // hold for different ones: any one of it has an entry, and both together may have none.
    let of_value = of_field().filter(|what| !is_of_elements(what)).map(What::spans);
    of_value
        .reduce(|one, other| common(&one, &other))
        .or_else(|| of_field().find(is_of_elements).map(What::spans))
}

/// What is in spans of both lists, each in order and apart from each other.
fn common(one: &[Span], other: &[Span]) -> Vec<Span> {
    one.iter().flat_map(|span| other.iter().filter_map(|other| span.common(other))).collect()
}

fn bounded(spans: Vec<Span>) -> Vec<Span> {
    if spans.len() <= Narrowed::SPANS_MAX {
        return spans;
    }
    let group = spans.len().div_ceil(Narrowed::SPANS_MAX);
    let covers = spans
        .chunks(group)
        .map(|group| Span { start: group[0].start.clone(), end: group[group.len() - 1].end.clone() });
    covers.collect()
}
