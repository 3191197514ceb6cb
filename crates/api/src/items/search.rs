//! What is searched for, as the parameters of a listing say it.

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_machine::expression::Expression;
use mainstay_machine::json::Pointer;
use mainstay_machine::shards::Search;

use crate::target::{self, Query};

/// The most fields of an order, or of what is shown of each item.
const FIELDS_MAX: usize = 32;

/// Reads what is searched for, which may look at so much for a page. Errors: [`Code::Invalid`] with the parameter.
pub(super) fn read(query: &Query<'_>, reads_max: u64) -> Result<Search, Problem> {
    let filter = query.get("filter").map(|text| {
        Expression::parse(text).map_err(|error| {
            wrong("filter", &format!("the filter cannot be read: {error}")).fact("at", error.at)
        })
    });
    let (is_descending, order) = match query.get("order").map(|order| order.strip_prefix('-').ok_or(order)) {
        None => (false, Vec::new()),
        Some(Ok(order)) => (true, pointers("order", order)?),
        Some(Err(order)) => (false, pointers("order", order)?),
    };
    let index = query
        .get("index")
        .map(|name| name.parse().map_err(|error| wrong("index", &format!("the index {error}"))));
    Ok(Search {
        filter: filter.transpose()?,
        order,
        is_descending,
        index: index.transpose()?,
        reads_max,
        may_scan: target::flag(query, "scan")?,
    })
}

/// The fields that are shown of each item; none: its value.
pub(super) fn fields(query: &Query<'_>) -> Result<Option<Vec<Pointer>>, Problem> {
    query.get("fields").map(|fields| pointers("fields", fields)).transpose()
}

/// Pointers with commas between them.
fn pointers(parameter: &'static str, text: &str) -> Result<Vec<Pointer>, Problem> {
    let all = text.split(',').map(|pointer| {
        let parsed = pointer.parse::<Pointer>().map_err(|error| error.to_string());
        parsed.and_then(|pointer| {
            if pointer.steps().is_empty() { Err("a field is named".to_owned()) } else { Ok(pointer) }
        })
    });
    let all: Result<Vec<_>, String> = all.collect();
    let all =
        all.map_err(|why| wrong(parameter, &format!("the parameter {parameter:?} names no fields: {why}")))?;
    if all.len() > FIELDS_MAX {
        return Err(wrong(
            parameter,
            &format!("the parameter {parameter:?} names more than {FIELDS_MAX} fields"),
        ));
    }
    Ok(all)
}

fn wrong(parameter: &'static str, detail: &str) -> Problem {
    Problem::new(Code::Invalid, detail).fact("parameter", parameter)
}
