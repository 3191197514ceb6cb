//! Rules of orders by themselves: each is final, or it is said what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use super::{Checks, Rule};
use crate::audit::Placed;
use crate::orders::order::{Order, State};

pub(crate) fn check(view: &View<'_>, checks: &mut Checks) {
    let books = view.books;
    let read = books.orders.len()
        + books.accounts.len()
        + books.transfers.len()
        + books.products.len()
        + books.stock.len()
        + books.reservations.len()
        + books.receipts.len();
    checks.follow(Rule::Readable, read as u64);
    for strange in &books.strange {
        let (item, what) = strange.split_once(": ").unwrap_or((strange, "it cannot be read"));
        checks.that(Rule::Readable, false, || item.to_owned(), || what.to_owned());
    }
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for placed in &books.orders {
        owners.entry(&placed.id).or_default().push(&placed.customer);
        of_order(&placed.id, &placed.order, checks);
        prices(view, placed, checks);
    }
    for (id, owners) in owners {
        let explanation = || format!("it is there for each of {}", owners.join(", "));
        checks.that(Rule::OrderOfOne, owners.len() == 1, || format!("order {id}"), explanation);
    }
}

fn of_order(id: &str, order: &Order, checks: &mut Checks) {
    let subject = || format!("order {id}");
    let (state, is_final) = (order.state.name(), order.state.is_final());
    checks.that(Rule::Final, is_final, subject, || {
        format!("it is {state} since {}: {}", order.changed_at, waits_for(order.state))
    });
    let is_open = order.open == Some(true);
    checks.that(Rule::OpenMarked, is_open != is_final, subject, || {
        format!("it is {state}, and its `open` is {:?}", order.open)
    });
    let skus: BTreeSet<_> = order.lines.iter().map(|line| &line.sku).collect();
    let sum: u128 = order.lines.iter().map(|line| u128::from(line.quantity) * u128::from(line.price)).sum();
    let are_fine = !order.lines.is_empty()
        && skus.len() == order.lines.len()
        && order.lines.iter().all(|line| line.quantity > 0);
    checks.that(Rule::TotalAddsUp, are_fine && sum == u128::from(order.total), subject, || {
        format!(
            "its total is {}, and its {} lines of {} products come to {sum}",
            order.total,
            order.lines.len(),
            skus.len()
        )
    });
}

/// Prices do not change in this shop, so what a line cost is what its product costs.
fn prices(view: &View<'_>, placed: &Placed, checks: &mut Checks) {
    let currency = placed.order.currency;
    for line in &placed.order.lines {
        let product = view.books.products.get(&line.sku);
        let price = product.and_then(|product| product.prices.get(&currency)).copied();
        checks.that(
            Rule::PriceOfProduct,
            price == Some(line.price),
            || format!("order {}", placed.id),
            || {
                let costs = price.map_or_else(|| "is not sold".to_owned(), |price| format!("costs {price}"));
                format!("one of {} is {} in it, and {costs} in {currency}", line.sku, line.price)
            },
        );
    }
}

const fn waits_for(state: State) -> &'static str {
    match state {
        State::Placed => "every line is to be set aside, or the order to fail",
        State::Reserved => "its money is to be set aside, or the order to fail",
        State::Charging => "its money is to be posted",
        State::Paid => "its goods are to go out",
        State::Failing => "what was set aside is to be freed",
        State::Shipped | State::Failed => "nothing",
    }
}
