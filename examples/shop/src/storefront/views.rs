//! How pages look: functions from what is shown to HTML. Nothing is asked for here.
//!
//! Templates are compiled (maud), and every value in them is escaped; there is no way round that in these files. What programs read
//! of a page stands in `data-` attributes: of an order `data-order`, `data-state`, `data-total`, `data-currency`; of a product
//! `data-sku`, `data-price`, `data-available`.

mod basket;
mod catalogue;
mod order;
mod picture;

use maud::{DOCTYPE, Markup, html};

use crate::orders::order::Basket;

use super::assets::{ICON, STYLE};

pub use basket::{basket, line_fields};
pub use catalogue::catalogue;
pub use order::{order, orders};
pub use picture::Drawing;

/// The part of the shop that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// All products.
    Shop,
    /// The basket.
    Basket,
    /// The orders.
    Orders,
    /// None of them.
    Elsewhere,
}

/// A whole page. How many things are in the basket is left out where it is not known.
pub fn page(title: &str, here: Here, in_basket: Option<u64>, head: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Halyard" }
                link rel="icon" type="image/svg+xml" href=(ICON.address());
                link rel="stylesheet" href=(STYLE.address());
                (head)
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (header(here, in_basket))
                main #main.wrap { (main) }
                footer.wrap {
                    p { "Halyard is an example: nothing in it is sold, and no money is real." }
                }
            }
        }
    }
}

fn header(here: Here, in_basket: Option<u64>) -> Markup {
    let link = |there: Here, address: &str, label: Markup| {
        let current = (here == there).then_some("page");
        html! { a href=(address) aria-current=[current] { (label) } }
    };
    let count = html! {
        "Basket"
        @if let Some(count @ 1..) = in_basket {
            " " span.count { (count) span.unseen { @if count == 1 { " thing" } @else { " things" } } }
        }
    };
    html! {
        header.top {
            div.wrap {
                a.brand href="/" { span aria-hidden="true" { (sign()) } "Halyard" }
                nav aria-label="Shop" {
                    (link(Here::Shop, "/", html! { "Shop" }))
                    (link(Here::Orders, "/orders", html! { "Orders" }))
                    (link(Here::Basket, "/basket", count))
                }
            }
        }
    }
}

/// The shop's sign, in the colour of the text around it.
fn sign() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" stroke-width="2"
            stroke-linecap="round" stroke-linejoin="round" {
            path d="M12 3v15M12 4 5 15h7M12 7l6 8h-6M3 18c3 3 15 3 18 0" {}
        }
    }
}

/// How many things are in a basket.
fn things(basket: &Basket) -> u64 {
    basket.lines.values().sum()
}

/// `1 thing`, `3 things`.
fn counted(count: u64, one: &str, more: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
}

/// What stands where there is nothing to show.
fn nothing(picture: Drawing, title: &str, text: &str) -> Markup {
    html! {
        section.nothing {
            div.picture aria-hidden="true" { (picture) }
            h1 { (title) }
            p { (text) }
            div.ways-on { a.button.primary href="/" { "To the shop" } }
        }
    }
}
