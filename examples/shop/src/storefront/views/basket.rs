//! The basket.

use maud::{Markup, html};

use crate::inventory::stock::Listed;
use crate::orders::order::Basket;

use super::super::basket::From;
use super::picture::of_product;
use super::{Drawing, Here, counted, nothing, page, things};

/// The hidden fields of a form that sets a line.
pub fn line_fields(sku: &str, basket: &str, from: From, quantity: Option<u64>) -> Markup {
    html! {
        input type="hidden" name="sku" value=(sku);
        input type="hidden" name="basket" value=(basket);
        input type="hidden" name="from" value=(from.name());
        @if let Some(quantity) = quantity {
            input type="hidden" name="quantity" value=(quantity);
        }
    }
}

/// What is in the basket, with the button that orders it.
pub fn basket(basket: &Basket, products: &[Listed]) -> Markup {
    if basket.lines.is_empty() {
        let main = nothing(Drawing::BASKET, "Your basket is empty", "What you put in waits here for a week.");
        return page("Basket", Here::Basket, Some(0), &html! {}, &main);
    }
    let lines: Vec<_> =
        basket.lines.iter().map(|(sku, quantity)| Shown::of(sku, *quantity, products)).collect();
    let total: u64 = lines.iter().filter_map(|line| line.sum(basket)).sum();
    let count = things(basket);
    let main = html! {
        h1 { "Your basket" }
        div.columns {
            ul.lines {
                @for shown in &lines { li { (line(shown, basket)) } }
            }
            section.summary aria-labelledby="summary" {
                h2 #summary { "Summary" }
                dl {
                    div { dt { (counted(count, "thing", "things")) } dd { (basket.currency.show(total)) } }
                    div { dt { "Shipping" } dd { "Free" } }
                    div.total { dt { "Total" } dd { (basket.currency.show(total)) } }
                }
                form method="post" action="/checkout" {
                    input type="hidden" name="basket" value=(basket.id);
                    input type="hidden" name="total" value=(total);
                    button.button.primary.wide { "Place order" }
                }
                p.quiet {
                    "Paid from your wallet, once and only if everything is in stock."
                }
            }
        }
    };
    page("Basket", Here::Basket, Some(count), &html! {}, &main)
}

/// A line with the product that it is of, if that is still sold.
struct Shown<'a> {
    sku: &'a str,
    quantity: u64,
    listed: Option<&'a Listed>,
}

impl<'a> Shown<'a> {
    fn of(sku: &'a str, quantity: u64, products: &'a [Listed]) -> Self {
        Self { sku, quantity, listed: products.iter().find(|listed| listed.sku == sku) }
    }

    fn price(&self, basket: &Basket) -> Option<u64> {
        self.listed?.product.prices.get(&basket.currency).copied()
    }

    fn sum(&self, basket: &Basket) -> Option<u64> {
        self.price(basket)?.checked_mul(self.quantity)
    }
}

fn line(shown: &Shown<'_>, basket: &Basket) -> Markup {
    let Shown { sku, quantity, listed } = *shown;
    let name = listed.map_or(sku, |listed| &listed.product.name);
    let (price, available) = (shown.price(basket), listed.map(|listed| listed.available));
    let field = format!("quantity-{sku}");
    html! {
        article.line data-sku=(sku) data-price=[price] data-available=[available] data-quantity=(quantity) {
            (of_product(sku))
            div.what {
                h2 { a href={ "/#p-" (sku) } { (name) } }
                @if let Some(price) = price { p.quiet { (basket.currency.show(price)) " each" } }
                @match available {
                    None => p.stock.none { "Not sold any more" },
                    Some(0) => p.stock.none { "Sold out" },
                    Some(left) if left < quantity => p.stock.few { "Only " (left) " left" },
                    Some(_) => {},
                }
            }
            form.amount method="post" action="/basket/lines" {
                (line_fields(sku, &basket.id, From::Basket, None))
                label.unseen for=(field) { "How many: " (name) }
                input id=(field) name="quantity" type="number" inputmode="numeric" min="1" max="100" required
                    value=(quantity);
                button.button { "Update" span.unseen { ": " (name) } }
            }
            p.sum { @if let Some(sum) = shown.sum(basket) { (basket.currency.show(sum)) } }
            form.remove method="post" action="/basket/lines" {
                (line_fields(sku, &basket.id, From::Basket, Some(0)))
                button.link { "Remove" span.unseen { ": " (name) } }
            }
        }
    }
}
