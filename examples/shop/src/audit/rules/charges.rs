//! Rules between orders and money: who bought is charged, once and rightly, and nobody else is.

use super::view::{Charges, Entry, View, order_of};
use super::{Checks, Rule};
use crate::audit::Placed;
use crate::orders::order::State;
use crate::payments::ledger::{Kind, MERCHANT};

pub(crate) fn check(view: &View<'_>, checks: &mut Checks) {
    for entry in view.entries() {
        if let Kind::Transfer | Kind::Pending | Kind::Post = entry.transfer.kind
            && entry.transfer.credit.as_deref() == Some(MERCHANT)
        {
            has_order(view, entry, checks);
        }
    }
    let none = Charges::default();
    for placed in &view.books.orders {
        of_order(placed, view.charges(&placed.id).unwrap_or(&none), checks);
    }
}

fn has_order(view: &View<'_>, entry: Entry<'_>, checks: &mut Checks) {
    let order = order_of(entry.id, entry.transfer).filter(|_| entry.transfer.kind != Kind::Transfer);
    let holds = order.is_some_and(|order| view.order(order).is_some());
    let explanation = || {
        let from = entry.transfer.debit.as_deref().unwrap_or("nobody");
        format!(
            "it is of {} from {from} to {MERCHANT}, and there is no order that it is for",
            entry.transfer.amount
        )
    };
    checks.that(Rule::ChargeHasOrder, holds, || format!("transfer {}", entry.name()), explanation);
}

fn of_order(placed: &Placed, charges: &Charges<'_>, checks: &mut Checks) {
    let Placed { id, order, .. } = placed;
    let subject = || format!("order {id}");
    let state = order.state.name();
    let names = || charges.posted.iter().map(Entry::name).collect::<Vec<_>>().join(", ");
    let count = charges.posted.len();
    checks.that(Rule::NoDoubleCharge, count <= 1, subject, || {
        format!("it is charged {count} times: {}", names())
    });
    if let State::Paid | State::Shipped = order.state {
        checks.that(Rule::PaidIsCharged, count >= 1, subject, || {
            format!("it is {state}, and nothing was charged for it")
        });
    }
    if let State::Placed | State::Reserved | State::Failing | State::Failed = order.state {
        checks.that(Rule::FailedNotCharged, count == 0, subject, || {
            format!("it is {state}, and it was charged by {}", names())
        });
    }
    // With several charges at most one can fit; that there are several is what is wrong.
    if count <= 1 {
        for entry in charges.pending.iter().chain(&charges.posted) {
            fits(placed, *entry, checks);
        }
    }
}

fn fits(placed: &Placed, entry: Entry<'_>, checks: &mut Checks) {
    let (order, transfer) = (&placed.order, entry.transfer);
    let is = (entry.ledger, transfer.debit.as_deref(), transfer.credit.as_deref(), transfer.amount);
    let must = (order.currency.code(), Some(placed.customer.as_str()), Some(MERCHANT), order.total);
    let told = |(ledger, debit, credit, amount): (&str, Option<&str>, Option<&str>, u64)| {
        format!("{amount} {ledger} from {} to {}", debit.unwrap_or("nobody"), credit.unwrap_or("nobody"))
    };
    let explanation = || format!("it is of {}; order {} is of {}", told(is), placed.id, told(must));
    checks.that(Rule::ChargeFitsOrder, is == must, || format!("transfer {}", entry.name()), explanation);
}
