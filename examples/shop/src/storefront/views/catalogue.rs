//! The front page.

use maud::{Markup, html};

use crate::inventory::stock::Listed;
use crate::money::Currency;
use crate::orders::order::Basket;

use super::super::basket::From;
use super::picture::of_product;
use super::{Here, line_fields, page, things};

/// From how many on people are told how many are left.
const FEW: u64 = 20;

/// All products. Without a basket, since it cannot be reached, they can be looked at only.
pub fn catalogue(products: &[Listed], basket: Option<&Basket>, chosen: Currency) -> Markup {
    let begun = basket.filter(|basket| !basket.lines.is_empty());
    let currency = begun.map_or(chosen, |basket| basket.currency);
    let main = html! {
        section.intro {
            div {
                h1 { "Good things for every day" }
                p { "A small shop for home and desk. What is in stock ships as soon as it is paid." }
            }
            (currencies(currency, begun.is_some()))
        }
        @if basket.is_none() {
            p.notice role="status" {
                "Your basket cannot be reached just now. It is kept: look around, and come back to it in a moment."
            }
        }
        ul.products {
            @for product in products {
                li { (card(product, basket, currency)) }
            }
        }
        @if products.is_empty() {
            p.notice { "The shelves are empty today. Come back soon." }
        }
    };
    page("Good things for every day", Here::Shop, basket.map(things), &html! {}, &main)
}

/// The switch between currencies. A basket with something in it stays in the one that it was begun in.
fn currencies(current: Currency, is_fixed: bool) -> Markup {
    let label = |currency: Currency| match currency {
        Currency::Eur => "€ EUR",
        Currency::Usd => "$ USD",
    };
    if is_fixed {
        return html! {
            p.currency { "Prices in " strong { (label(current)) } ", as your basket was begun" }
        };
    }
    html! {
        form.currency method="post" action="/currency" {
            fieldset {
                legend.unseen { "Prices in" }
                @for currency in Currency::ALL {
                    button name="currency" value=(currency) aria-pressed=(currency == current) {
                        (label(currency))
                    }
                }
            }
        }
    }
}

fn card(listed: &Listed, basket: Option<&Basket>, currency: Currency) -> Markup {
    let Listed { sku, product, available } = listed;
    let price = product.prices.get(&currency).copied();
    let chosen = basket.and_then(|basket| basket.lines.get(sku)).copied().unwrap_or(0);
    let is_sold_out = *available == 0;
    html! {
        article.product.sold-out[is_sold_out] id={ "p-" (sku) } data-sku=(sku) data-price=[price] data-available=(available) {
            (of_product(sku))
            div.about {
                h2 { (product.name) }
                p { (product.about) }
            }
            div.buy {
                @match price {
                    Some(price) => p.price { (currency.show(price)) },
                    None => p.price.quiet { "Not sold in " (currency.code().to_uppercase()) },
                }
                @if is_sold_out && chosen > 0 {
                    p.stock.none { "Sold out" }
                } @else if !is_sold_out && *available <= FEW {
                    p.stock.few { "Only " (available) " left" }
                }
                @if is_sold_out && chosen == 0 {
                    p.button.off { "Sold out" }
                } @else if let Some(basket) = basket && price.is_some() {
                    (choice(listed, basket, chosen))
                }
            }
        }
    }
}

/// Buttons that say how many there are to be: pressed twice they do the same.
fn choice(listed: &Listed, basket: &Basket, chosen: u64) -> Markup {
    let Listed { sku, product, available } = listed;
    let has_more = chosen < *available;
    html! {
        form method="post" action="/basket/lines" {
            (line_fields(sku, &basket.id, From::Shop, None))
            @if chosen == 0 {
                button.button.soft name="quantity" value="1" {
                    "Add to basket" span.unseen { ": " (product.name) }
                }
            } @else {
                div.stepper role="group" aria-label={ (product.name) " in your basket" } {
                    button name="quantity" value=(chosen - 1) aria-label="One less" { "−" }
                    span.number { (chosen) span.unseen { " in your basket" } }
                    button name="quantity" value=(chosen + 1) aria-label="One more" disabled[!has_more] { "+" }
                }
            }
        }
    }
}
