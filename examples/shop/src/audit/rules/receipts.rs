//! The rule of receipts: only what is shipped has one.

use super::view::View;
use super::{Checks, Rule};
use crate::orders::order::State;

pub(crate) fn check(view: &View<'_>, checks: &mut Checks) {
    for (customer, id) in &view.books.receipts {
        let placed = view.order(id).filter(|placed| placed.customer == *customer);
        checks.that(
            Rule::ReceiptOfShipped,
            placed.is_some_and(|placed| placed.order.state == State::Shipped),
            || format!("receipt {customer}/{id}"),
            || match placed {
                None => "the customer has no such order".to_owned(),
                Some(placed) => format!("its order is {}", placed.order.state.name()),
            },
        );
    }
}
