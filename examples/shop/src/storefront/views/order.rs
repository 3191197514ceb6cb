//! Orders: the list, and the page of one.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::orders::order::{Answered, Basket, Order, State};

use super::super::assets::LIVE;
use super::{Drawing, Here, counted, nothing, page, things};

/// The way of an order that goes well, as customers see it.
const STEPS: [&str; 4] = ["Placed", "Reserved", "Paid", "Shipped"];

/// All orders of a customer's.
pub fn orders(orders: &[Answered], basket: Option<&Basket>) -> Markup {
    let main = if orders.is_empty() {
        nothing(Drawing::PARCEL, "No orders yet", "When you have ordered something, it is here.")
    } else {
        html! {
            h1 { "Your orders" }
            ul.orders {
                @for answered in orders { li { (entry(answered)) } }
            }
        }
    };
    page("Orders", Here::Orders, basket.map(things), &html! {}, &main)
}

fn entry(answered: &Answered) -> Markup {
    let Answered { id, order } = answered;
    let count = order.lines.iter().map(|line| line.quantity).sum();
    html! {
        article.entry data-order=(id) data-state=(order.state.name()) data-total=(order.total) data-currency=(order.currency) {
            div.what {
                h2 { a href={ "/orders/" (id) } { (names(order)) } }
                p.quiet.facts { (date(order.placed_at)) span { (counted(count, "thing", "things")) } }
            }
            p.sum { (order.currency.show(order.total)) }
            p.chip { (word(order.state)) }
        }
    }
}

/// The first products of an order.
fn names(order: &Order) -> String {
    let names: Vec<_> = order.lines.iter().take(2).map(|line| line.name.as_str()).collect();
    let more = match order.lines.len().saturating_sub(2) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

/// One order, which the page follows until it is final.
pub fn order(answered: &Answered, receipt: Option<&str>, basket: Option<&Basket>) -> Markup {
    let Answered { id, order } = answered;
    let is_open = !order.state.is_final();
    let head = html! {
        @if is_open { noscript { meta http-equiv="refresh" content="2"; } }
        script src=(LIVE.address()) defer {}
    };
    let (title, explanation) = words(order);
    let awaits_receipt = order.state == State::Shipped && receipt.is_none();
    let main = html! {
        div #status.status role="status" aria-live="polite" {
            h1 { (title) }
            p { (explanation) }
        }
        div #order.order data-order=(id) data-state=(order.state.name()) data-total=(order.total) data-currency=(order.currency)
            data-follow=[is_open.then_some("order").or(awaits_receipt.then_some("receipt"))] {
            (progress(order))
            div.columns {
                (lines(id, order))
                (receipt_of(order, receipt))
            }
        }
    };
    page(title, Here::Orders, basket.map(things), &head, &main)
}

/// One word for a state.
const fn word(state: State) -> &'static str {
    match state {
        State::Placed => "Placed",
        State::Reserved => "Reserved",
        State::Charging => "Being paid",
        State::Paid => "Paid",
        State::Shipped => "Shipped",
        State::Failing => "Being cancelled",
        State::Failed => "Cancelled",
    }
}

/// A headline, and what it means for the goods and the money.
fn words(order: &Order) -> (&'static str, String) {
    let total = order.currency.show(order.total);
    let because = order.reason.as_deref().map_or_else(String::new, |reason| format!("{} ", sentence(reason)));
    match order.state {
        State::Placed => {
            ("We have your order", "Now everything is set aside for you. Nothing is paid yet.".to_owned())
        }
        State::Reserved => ("Everything is set aside for you", format!("Next comes the payment of {total}.")),
        State::Charging => {
            ("Your payment is on its way", format!("{total} is taken from your wallet, once."))
        }
        State::Paid => ("Paid, and being packed", format!("You have paid {total}. It ships in a moment.")),
        State::Shipped => ("Your order is on its way", format!("You have paid {total}. Thank you!")),
        State::Failing => (
            "This order cannot go ahead",
            format!("{because}What was set aside is being freed. You are not charged."),
        ),
        State::Failed => ("This order did not go ahead", format!("{because}You were not charged.")),
    }
}

/// With a capital and a full stop, whatever the service has written.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().trim_end_matches('.').chars();
    let first = letters.next().map(char::to_uppercase);
    format!("{}{}.", first.map(String::from_iter).unwrap_or_default(), letters.as_str())
}

/// How far it is, as a line of steps.
fn progress(order: &Order) -> Markup {
    let done = match order.state {
        State::Placed | State::Failing | State::Failed => 1,
        State::Reserved | State::Charging => 2,
        State::Paid => 3,
        State::Shipped => 4,
    };
    let has_failed = matches!(order.state, State::Failing | State::Failed);
    html! {
        ol.progress.failed[has_failed] aria-label="How far it is" {
            @for (place, step) in STEPS.into_iter().enumerate().take(if has_failed { 1 } else { STEPS.len() }) {
                @let is_next = place == done;
                li.done[place < done].next[is_next] aria-current=[is_next.then_some("step")] {
                    (step) @if place < done { span.unseen { ", done" } }
                }
            }
            @if has_failed {
                li.stopped aria-current="step" { (word(order.state)) }
            }
        }
    }
}

fn lines(id: &str, order: &Order) -> Markup {
    html! {
        section.bought aria-labelledby="bought" {
            h2 #bought { "What you ordered" }
            table {
                thead.unseen { tr { th { "Product" } th { "Quantity" } th { "Price" } } }
                tbody {
                    @for line in &order.lines {
                        tr {
                            th scope="row" { (line.name) }
                            td.quantity { (line.quantity) " × " (order.currency.show(line.price)) }
                            td.sum { (order.currency.show(line.quantity.saturating_mul(line.price))) }
                        }
                    }
                }
                tfoot {
                    tr { th scope="row" { "Total" } td {} td.sum { (order.currency.show(order.total)) } }
                }
            }
            p.quiet { "Order " code { (id) } br; "Placed on " (date(order.placed_at)) }
        }
    }
}

fn receipt_of(order: &Order, receipt: Option<&str>) -> Markup {
    let note = match (order.state, receipt) {
        (State::Failing | State::Failed, _) => "There is no receipt, since nothing was paid.",
        (State::Shipped, None) => "The receipt follows. Until it is here, this page serves as one.",
        _ => "The receipt follows when the order has shipped.",
    };
    html! {
        section.receipt aria-labelledby="receipt" {
            h2 #receipt { "Receipt" }
            @match receipt {
                Some(text) => pre tabindex="0" aria-labelledby="receipt" { (text) },
                None => p.quiet { (note) },
            }
        }
    }
}

/// `30 November 2026, 14:05 UTC`.
fn date(millis: u64) -> Markup {
    let moment = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    html! {
        @if let Some(moment) = moment {
            time datetime=(moment) { (moment.strftime("%-d %B %Y, %H:%M UTC")) }
        } @else {
            "a day unknown"
        }
    }
}
