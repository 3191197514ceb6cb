//! Rules of goods: every piece is somewhere, and goes out only to those who paid.
//!
//! Together they make the sums of the whole shop agree: what is shipped of a product is the sum of its shipped reservations
//! ([`Rule::StockAsReserved`]), and each of those is a line of a paid order and each line of a shipped order is one of those
//! ([`Rule::ReservationHasOrder`], [`Rule::GoodsFollowOrder`]).

use std::collections::HashMap;

use super::view::View;
use super::{Checks, Rule};
use crate::audit::Placed;
use crate::inventory::stock::{Reservation, Standing};
use crate::orders::order::{Line, State};

pub(crate) fn check(view: &View<'_>, checks: &mut Checks) {
    stock(view, checks);
    for ((sku, order), reservation) in &view.books.reservations {
        has_order(view.order(order), (sku, order), *reservation, checks);
    }
    for placed in &view.books.orders {
        for line in &placed.order.lines {
            let key = (line.sku.clone(), placed.id.clone());
            follows(placed, line, view.books.reservations.get(&key), checks);
        }
    }
}

fn stock(view: &View<'_>, checks: &mut Checks) {
    let books = view.books;
    for sku in books.products.keys() {
        let explanation = || "there is no stock of it, not even none".to_owned();
        let holds = books.stock.contains_key(sku);
        checks.that(Rule::ProductHasStock, holds, || format!("product {sku}"), explanation);
    }
    let mut sums: HashMap<&str, (u64, u64)> = HashMap::new();
    for ((sku, _), reservation) in &books.reservations {
        let (reserved, shipped) = sums.entry(sku).or_default();
        match reservation.standing {
            Standing::Reserved => *reserved += reservation.quantity,
            Standing::Shipped => *shipped += reservation.quantity,
            Standing::Released => {}
        }
    }
    for (sku, stock) in &books.stock {
        let subject = || format!("stock {sku}");
        checks.that(Rule::ProductHasStock, books.products.contains_key(sku), subject, || {
            "there is no product of this name".to_owned()
        });
        let parts = u128::from(stock.available) + u128::from(stock.reserved) + u128::from(stock.shipped);
        checks.that(Rule::StockAddsUp, parts == u128::from(stock.received), subject, || {
            format!(
                "{} were received; {} available, {} reserved and {} shipped are {parts}",
                stock.received, stock.available, stock.reserved, stock.shipped
            )
        });
        let should = sums.remove(sku.as_str()).unwrap_or_default();
        checks.that(Rule::StockAsReserved, (stock.reserved, stock.shipped) == should, subject, || {
            let (reserved, shipped) = should;
            format!(
                "it has {} reserved and {} shipped; its reservations say {reserved} and {shipped}",
                stock.reserved, stock.shipped
            )
        });
    }
    for (sku, (reserved, shipped)) in sums {
        checks.that(
            Rule::StockAsReserved,
            false,
            || format!("stock {sku}"),
            || format!("there is none, and reservations say {reserved} reserved and {shipped} shipped"),
        );
    }
}

/// What was released before it was made has no quantity.
fn has_order(
    placed: Option<&Placed>,
    (sku, order): (&str, &str),
    reservation: Reservation,
    checks: &mut Checks,
) {
    let Reservation { quantity, standing } = reservation;
    let line = placed.and_then(|placed| placed.order.lines.iter().find(|line| line.sku == sku));
    let never_made = standing == Standing::Released && quantity == 0;
    let holds = line.is_some_and(|line| line.quantity == quantity || never_made);
    checks.that(
        Rule::ReservationHasOrder,
        holds,
        || format!("reservation {sku}/{order}"),
        || match (placed, line) {
            (None, _) => format!("it is of {quantity}, and there is no such order"),
            (Some(_), None) => format!("it is of {quantity}, and the order has no such line"),
            (Some(_), Some(line)) => {
                format!("it is of {quantity}, and the order's line is of {}", line.quantity)
            }
        },
    );
}

fn follows(placed: &Placed, line: &Line, reservation: Option<&Reservation>, checks: &mut Checks) {
    let standing = reservation.map(|reservation| reservation.standing);
    let state = placed.order.state;
    let subject = || format!("order {}", placed.id);
    let explanation = || {
        let is = match standing {
            None => "was never reserved",
            Some(Standing::Reserved) => "is reserved",
            Some(Standing::Shipped) => "is shipped",
            Some(Standing::Released) => "is released",
        };
        format!("it is {}, and its line of {} {} {is}", state.name(), line.quantity, line.sku)
    };
    if state == State::Failed {
        let holds = !matches!(standing, Some(Standing::Reserved | Standing::Shipped));
        checks.that(Rule::FailedHoldsNothing, holds, subject, explanation);
        return;
    }
    let holds = match state {
        State::Placed | State::Failing => standing != Some(Standing::Shipped),
        State::Reserved | State::Charging => standing == Some(Standing::Reserved),
        State::Paid => matches!(standing, Some(Standing::Reserved | Standing::Shipped)),
        State::Shipped => standing == Some(Standing::Shipped),
        State::Failed => true,
    };
    checks.that(Rule::GoodsFollowOrder, holds, subject, explanation);
}
