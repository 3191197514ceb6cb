//! Rules of orders that are there: what was acknowledged is kept, and what was known of once is not missing later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::view::View;
use super::{Checks, Rule};
use crate::audit::{Acknowledged, Looked, Sight, Told};
use crate::orders::LISTED_MAX;

/// When each customer first knew of each order.
type Known<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Duration>>;

pub(crate) fn check(view: &View<'_>, told: &Told, checks: &mut Checks) {
    for acknowledged in &told.acknowledged {
        exists(view, acknowledged, checks);
    }
    let known = known(told);
    for looked in &told.looked {
        stays(&known, looked, checks);
    }
}

fn exists(view: &View<'_>, acknowledged: &Acknowledged, checks: &mut Checks) {
    let Acknowledged { customer, order, ended, .. } = acknowledged;
    let placed = view.order(order);
    checks.that(
        Rule::AcknowledgedExists,
        placed.is_some_and(|placed| placed.customer == *customer),
        || format!("order {order}"),
        || {
            let is = placed.map_or_else(
                || "there is no such order".to_owned(),
                |placed| format!("it is of {}", placed.customer),
            );
            let at = ended.as_secs_f64();
            format!("a checkout of customer {customer} was answered by it at {at:.3} s, and {is}")
        },
    );
}

fn known(told: &Told) -> Known<'_> {
    let acknowledged = told.acknowledged.iter().map(|one| (&one.customer, &one.order, one.ended));
    let shown = told.shown.iter().map(|one| (&one.customer, &one.order, one.ended));
    let mut known = Known::new();
    for (customer, order, ended) in acknowledged.chain(shown) {
        let first = known.entry(customer).or_default().entry(order).or_insert(ended);
        *first = ended.min(*first);
    }
    known
}

fn stays(known: &Known<'_>, looked: &Looked, checks: &mut Checks) {
    let Looked { customer, sight, began, ended, .. } = looked;
    let before = known.get(customer.as_str()).into_iter().flatten().filter(|(_, at)| *at < began);
    let (missing, by) = match sight {
        Sight::Missing(order) => (before.map(|(id, _)| *id).find(|id| id == order), "its page"),
        // What is left out of a full list may be older.
        Sight::Listed(orders) if orders.len() >= LISTED_MAX => (None, ""),
        Sight::Listed(orders) => {
            let listed: BTreeSet<&str> = orders.iter().map(String::as_str).collect();
            (before.map(|(id, _)| *id).find(|id| !listed.contains(id)), "the list of orders")
        }
    };
    checks.that(
        Rule::ShownStays,
        missing.is_none(),
        || format!("order {}", missing.unwrap_or_default()),
        || {
            let (began, ended) = (began.as_secs_f64(), ended.as_secs_f64());
            format!(
                "customer {customer} knew of it, and by {by} it was not there in what was asked for at {began:.3} s and answered at {ended:.3} s"
            )
        },
    );
}
