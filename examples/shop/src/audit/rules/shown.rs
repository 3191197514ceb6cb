//! Rules of what customers were shown: nobody was told what is not so in the end.

use std::collections::BTreeMap;

use super::view::View;
use super::{Checks, Rule};
use crate::audit::{Placed, Shown};
use crate::orders::order::State;

pub(crate) fn check(view: &View<'_>, shown: &[Shown], checks: &mut Checks) {
    let mut orders: BTreeMap<(&str, &str), Vec<&Shown>> = BTreeMap::new();
    for shown in shown {
        let placed = view.order(&shown.order);
        let own = placed.filter(|placed| placed.customer == shown.customer);
        checks.that(
            Rule::ShownExists,
            own.is_some(),
            || subject(shown),
            || match placed {
                None => format!("customer {} was shown {shown}, and there is no such order", shown.customer),
                Some(placed) => {
                    format!("customer {} was shown {shown}, and it is of {}", shown.customer, placed.customer)
                }
            },
        );
        if let Some(placed) = own {
            agrees(view, placed, shown, checks);
        }
        orders.entry((&shown.customer, &shown.order)).or_default().push(shown);
    }
    for shown in orders.into_values() {
        in_order(&shown, checks);
    }
}

fn subject(shown: &Shown) -> String {
    format!("order {}", shown.order)
}

fn agrees(view: &View<'_>, placed: &Placed, shown: &Shown, checks: &mut Checks) {
    let order = &placed.order;
    let became = order.state.name();
    let differs = || format!("customer {} was shown {shown}, and it is {became}", shown.customer);
    match shown.state {
        State::Placed => {}
        State::Reserved => reserved(view, placed, shown, checks),
        State::Charging | State::Paid | State::Shipped => {
            let holds = can_become(shown.state, order.state);
            checks.that(Rule::ShownPaid, holds, || subject(shown), differs);
            reserved(view, placed, shown, checks);
        }
        State::Failing | State::Failed => {
            let holds = can_become(shown.state, order.state);
            checks.that(Rule::ShownFailed, holds, || subject(shown), differs);
        }
    }
    let is_same = (shown.total, shown.currency) == (order.total, order.currency);
    checks.that(
        Rule::ShownTotal,
        is_same,
        || subject(shown),
        || {
            format!(
                "customer {} was shown {shown}, and it costs {}",
                shown.customer,
                order.currency.show(order.total)
            )
        },
    );
}

/// Once it is reserved, each line has been set aside: its reservation has a quantity, whatever became of it.
fn reserved(view: &View<'_>, placed: &Placed, shown: &Shown, checks: &mut Checks) {
    let missing = placed.order.lines.iter().find(|line| {
        let key = (line.sku.clone(), placed.id.clone());
        view.books.reservations.get(&key).is_none_or(|reservation| reservation.quantity == 0)
    });
    let holds = missing.is_none() && placed.order.state != State::Placed;
    checks.that(
        Rule::ShownReserved,
        holds,
        || subject(shown),
        || {
            let what = missing.map_or("the order is only placed".to_owned(), |line| {
                format!("{} was never set aside", line.sku)
            });
            format!("customer {} was shown {shown}, and {what}", shown.customer)
        },
    );
}

/// Each is compared with the furthest ones that had come before it was asked for, and with the one before it in its stream.
fn in_order(shown: &[&Shown], checks: &mut Checks) {
    for (place, later) in shown.iter().enumerate() {
        let in_stream = shown[..place].iter().rev().find(|earlier| earlier.request == later.request);
        let before = shown.iter().filter(|earlier| earlier.ended < later.began).chain(in_stream);
        let beyond = before.into_iter().find(|earlier| !can_become(earlier.state, later.state));
        checks.that(
            Rule::ShownInOrder,
            beyond.is_none(),
            || subject(later),
            || {
                let earlier = beyond.map_or_else(String::new, ToString::to_string);
                format!("customer {} was shown {earlier}, and then {later}", later.customer)
            },
        );
    }
}

/// Whether an order can be in the second state after it was in the first.
fn can_become(first: State, second: State) -> bool {
    let fails = matches!(second, State::Failing | State::Failed);
    match first {
        State::Placed | State::Reserved => fails || first <= second,
        State::Charging | State::Paid | State::Shipped => !fails && first <= second,
        State::Failing | State::Failed => fails && first <= second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_goes_forward_and_fails_only_before_it_is_decided() {
        use State::{Charging, Failed, Failing, Paid, Placed, Reserved, Shipped};
        let chains: [&[State]; 3] = [
            &[Placed, Reserved, Charging, Paid, Shipped],
            &[Placed, Reserved, Failing, Failed],
            &[Placed, Failing, Failed],
        ];
        for first in State::ALL {
            for second in State::ALL {
                let goes = chains.iter().any(|chain| {
                    let place = |state| chain.iter().position(|one| *one == state);
                    place(first).zip(place(second)).is_some_and(|(first, second)| first <= second)
                });
                assert_eq!(can_become(first, second), goes, "{first:?} to {second:?}");
            }
        }
    }
}
