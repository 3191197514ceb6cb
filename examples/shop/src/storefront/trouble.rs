//! What a customer is told when something is not as it should be: what it means for the order and the money, and what to do now.

use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use super::services::Error;
use super::views::{self, Drawing, Here};

/// A page that says what is wrong.
#[derive(Debug)]
pub struct Trouble {
    status: StatusCode,
    title: &'static str,
    /// What it means, and what to do.
    text: String,
    /// Buttons and links that do it.
    ways_on: Markup,
}

impl Trouble {
    fn new(status: StatusCode, title: &'static str, text: impl Into<String>, ways_on: Markup) -> Self {
        Self { status, title, text: text.into(), ways_on }
    }

    /// No such page.
    pub fn no_page() -> Self {
        let text = "There is no such page in this shop. Perhaps the address has a slip in it.";
        Self::new(StatusCode::NOT_FOUND, "Nothing here", text, to_the_shop())
    }

    /// No such order of this customer's.
    pub fn no_order() -> Self {
        let text =
            "You have no order with this number. Orders are shown in the browser that they were placed in.";
        Self::new(StatusCode::NOT_FOUND, "No such order", text, to_the_orders())
    }

    /// A form sent by a link, or a page asked for by a form.
    pub fn wrong_method() -> Self {
        let text = "This address is not one that can be visited in this way.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Not like this", text, to_the_shop())
    }

    /// Sent by another site's page.
    pub fn from_elsewhere() -> Self {
        let text =
            "This came from a page of another site, so we have done nothing. If it was you, do it here.";
        Self::new(StatusCode::FORBIDDEN, "Not from this shop", text, to_the_shop())
    }

    /// A form whose fields are not those of the page.
    pub fn wrong_form(detail: impl std::fmt::Display) -> Self {
        let text = format!("We could not read what was sent, and have done nothing: {detail}.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "That did not work", text, to_the_shop())
    }

    /// Something that can only be read, by a service that does not answer.
    pub fn not_shown(what: &str, page: &Uri) -> Self {
        let text =
            format!("We cannot show {what} just now. Nothing of it is lost: try again in a few seconds.");
        let again = html! { a.button.primary href=(page.path()) { "Try again" } };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "One moment, please", text, again)
    }

    /// A basket that may have changed or not.
    pub fn basket_not_confirmed(fields: &Markup) -> Self {
        let text = "We could not confirm the change to your basket. Press again: it sets the same number, it never adds twice.";
        let again = html! {
            form method="post" action="/basket/lines" {
                (fields)
                button.button.primary { "Try again" }
            }
            a.button href="/basket" { "See the basket" }
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Your basket is not confirmed", text, again)
    }

    /// An order that may have been placed or not. It has the id of its basket.
    pub fn order_not_confirmed(basket: &str, total: Option<u64>) -> Self {
        let text = "We could not confirm your order. Press again: it is the same order, you are never charged twice.";
        let again = html! {
            form method="post" action="/checkout" {
                input type="hidden" name="basket" value=(basket);
                @if let Some(total) = total {
                    input type="hidden" name="total" value=(total);
                }
                button.button.primary { "Confirm the order" }
            }
            a.button href={ "/orders/" (basket) } { "See whether it is there" }
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Your order is not confirmed yet", text, again)
    }

    /// A basket that cannot be checked out, as it is empty, is not what was shown, or another one is open.
    pub fn no_basket(status: StatusCode, code: &str) -> Self {
        let (title, text) = match code {
            "empty" => ("Your basket is empty", "There is nothing in it to order. You were not charged."),
            "changed" => {
                let text = "What is in it costs something else now, perhaps since it was changed in another window. You were not charged.";
                ("Your basket has changed", text)
            }
            _ => {
                let text = "This basket was emptied or ordered already, perhaps in another window. You were not charged by this.";
                ("This basket is not open any more", text)
            }
        };
        let ways_on = html! {
            a.button.primary href="/basket" { "See the basket" }
            a.button href="/orders" { "See your orders" }
        };
        Self::new(status, title, text, ways_on)
    }

    /// What a service does not do, by its own words.
    pub fn refused(status: StatusCode, detail: &str) -> Self {
        let text = format!("That is not possible, and nothing has changed: {detail}.");
        Self::new(status, "That did not work", text, to_the_shop())
    }
}

/// What a service answered to something that only reads.
pub fn of_reading(error: &Error, what: &str, page: &Uri) -> Trouble {
    match error {
        Error::NoAnswer => Trouble::not_shown(what, page),
        Error::Refused { status, detail, .. } => Trouble::refused(*status, detail),
    }
}

fn to_the_shop() -> Markup {
    html! { a.button.primary href="/" { "To the shop" } }
}

fn to_the_orders() -> Markup {
    html! { a.button.primary href="/orders" { "Your orders" } }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let main = html! {
            section.nothing {
                div.picture aria-hidden="true" { (Drawing::LIFEBUOY) }
                h1 { (self.title) }
                p { (self.text) }
                div.ways-on { (self.ways_on) }
            }
        };
        let page = views::page(self.title, Here::Elsewhere, None, &html! {}, &main);
        let mut answer = (self.status, Html(page.into_string())).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Longer than the gateway would wait: the person is told now, and asks again when they like.
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }
}
