//! Pages when something is wrong: what the customer is told, and that a form can be sent again.

use std::time::Duration;

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use shop::http::{Call, Deadline};

use super::{Played, Visitor, form_of, text};
use crate::feed_node::order;

const BASKET: &str = r#"{"id": "o-1", "currency": "eur", "lines": {"mug": 2}}"#;

/// A visitor with something in the basket `o-1`.
async fn with_basket() -> (Played, Visitor) {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let basket = serde_json::from_str(BASKET).unwrap();
    played.kept.lock().unwrap().baskets.insert(visitor.customer.clone(), basket);
    (played, visitor)
}

#[tokio::test]
async fn an_order_that_is_not_confirmed_can_be_sent_again() {
    let (played, visitor) = with_basket().await;
    played.away(&["orders"]);
    let answer = visitor.post("/checkout", "basket=o-1").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
    let page = text(&answer);
    assert!(page.contains("Press again: it is the same order, you are never charged twice."), "{page}");
    let again = r#"<form method="post" action="/checkout"><input type="hidden" name="basket" value="o-1">"#;
    assert!(page.contains(again), "{page}");
    assert!(!page.contains("data-order"), "nothing is known of an order");
    played.away(&[]);
    assert_eq!(visitor.post("/checkout", "basket=o-1").await.header("location"), Some("/orders/o-1"));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_not_waited_for_until_the_gateway_gives_up() {
    let (played, visitor) = with_basket().await;
    played.kept.lock().unwrap().silent.insert("orders");
    let call = form_of(visitor.call(Method::POST, "/checkout"), "basket=o-1");
    // If this test is too slow for that, then the page comes too late, and what counts was seen nonetheless.
    let page = visitor.shop.send(call, Deadline::after(Duration::from_secs(1))).await;
    assert!(page.is_err() || text(&page.unwrap()).contains("We could not confirm your order."));
    let told = played.kept.lock().unwrap().told[0];
    assert!(told <= 850, "nothing is left to say so: {told} ms");
    let page = text(&visitor.post("/checkout", "basket=o-1").await);
    assert!(page.contains("We could not confirm your order."), "{page}");
}

#[tokio::test]
async fn a_basket_that_cannot_be_ordered_says_why() {
    let (played, visitor) = with_basket().await;
    let answer = visitor.post("/checkout", "basket=o-2").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(text(&answer).contains("This basket is not open any more"));
    let empty = json!({"id": "o-3", "currency": "eur", "lines": {}});
    played.kept.lock().unwrap().baskets.insert(visitor.customer.clone(), empty);
    let answer = visitor.post("/checkout", "basket=o-3").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(text(&answer).contains("Your basket is empty"));
}

#[tokio::test]
async fn a_line_that_is_not_confirmed_can_be_sent_again() {
    let (played, visitor) = with_basket().await;
    played.away(&["orders"]);
    let answer = visitor.post("/basket/lines", "sku=mug&basket=o-1&from=basket&quantity=3").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let page = text(&answer);
    for (name, value) in [("sku", "mug"), ("basket", "o-1"), ("from", "basket"), ("quantity", "3")] {
        assert!(page.contains(&format!(r#"<input type="hidden" name="{name}" value="{value}">"#)), "{page}");
    }
    let refused = visitor.post("/basket/lines", "sku=gone&basket=o-1&quantity=3").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    played.away(&[]);
    let refused = visitor.post("/basket/lines", "sku=gone&basket=o-1&quantity=3").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert!(text(&refused).contains("nothing has changed: it is &lt;not_found&gt;."));
}

#[tokio::test]
async fn pages_say_that_what_they_would_show_is_not_lost() {
    let (played, visitor) = with_basket().await;
    played.order(&visitor.customer, "o-9", order("shipped"));
    played.away(&["orders"]);
    let front = visitor.get("/").await;
    assert_eq!(front.status, StatusCode::OK, "products can be looked at");
    assert!(
        text(&front).contains("Your basket cannot be reached") && !text(&front).contains("Add to basket")
    );
    for path in ["/basket", "/orders", "/orders/o-9"] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(text(&answer).contains("Nothing of it is lost"));
        assert!(text(&answer).contains(&format!(r#"href="{path}">Try again"#)));
    }
    played.away(&["inventory"]);
    assert_eq!(visitor.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(visitor.get("/orders/o-9").await.status, StatusCode::OK, "an order needs no products");
}

#[tokio::test]
async fn a_path_that_is_no_text_is_no_order() {
    let (_, visitor) = with_basket().await;
    let page = visitor.get("/orders/%FF").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(text(&page).contains("No such order"), "{}", text(&page));
    assert_eq!(visitor.get("/orders/%FF/events").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let (played, visitor) = with_basket().await;
    let header = |name: &'static str, value| (HeaderName::from_static(name), value);
    for (path, form) in [
        ("/checkout", "basket=o-1"),
        ("/basket/lines", "sku=mug&basket=o-1&quantity=9"),
        ("/currency", "currency=usd"),
    ] {
        for (name, value) in [
            header("sec-fetch-site", "cross-site"),
            header("sec-fetch-site", "same-site"),
            header("origin", "http://elsewhere.example"),
            header("origin", "null"),
        ] {
            let call = form_of(visitor.call(Method::POST, path), form).header(name, value);
            let answer = visitor.send(call).await;
            assert_eq!(
                (answer.status, answer.header("set-cookie")),
                (StatusCode::FORBIDDEN, None),
                "{path} {value}"
            );
        }
    }
    // A browser sends no cookie along: it must keep the one that it has.
    let without = form_of(Call::new(Method::POST, "/checkout"), "basket=o-1");
    let without = visitor.send(without.header(HeaderName::from_static("sec-fetch-site"), "cross-site")).await;
    assert_eq!((without.status, without.header("set-cookie")), (StatusCode::FORBIDDEN, None));
    assert_eq!(played.asked(), [""; 0]);
    assert_eq!(played.lines(&visitor.customer), json!({"mug": 2}));
    let call = form_of(visitor.call(Method::POST, "/checkout"), "basket=o-1");
    let answer = visitor.send(call.header(HeaderName::from_static("sec-fetch-site"), "same-origin")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    // A link from elsewhere may lead here.
    let call = visitor.call(Method::GET, "/").header(HeaderName::from_static("sec-fetch-site"), "cross-site");
    assert_eq!(visitor.send(call).await.status, StatusCode::OK);
}

#[tokio::test]
async fn forms_that_are_none_of_the_shops_are_told_so() {
    let (played, visitor) = with_basket().await;
    for (path, form) in [
        ("/checkout", ""),
        ("/checkout", "basket=o-1&more=1"),
        ("/checkout", "basket=..%2F..%2Fx"),
        ("/basket/lines", "sku=mug&basket=o-1&quantity=-1"),
        ("/basket/lines", "sku=mug&basket=o-1&quantity=two"),
        ("/basket/lines", "sku=a%2Fb&basket=o-1&quantity=1"),
        ("/basket/lines", "sku=mug&basket=o-1&quantity=1&from=%3Cscript%3E"),
        ("/currency", "currency=gbp"),
    ] {
        let answer = visitor.post(path, form).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {form}");
        assert!(text(&answer).contains("have done nothing") && !text(&answer).contains("<script>"), "{form}");
    }
    let large = visitor.post("/checkout", &format!("basket={}", "x".repeat(20_000))).await;
    assert!(large.status.is_client_error());
    assert_eq!(played.asked(), [""; 0]);
    assert_eq!(played.kept.lock().unwrap().orders.values().collect::<Vec<_>>(), [&Value::Null; 0]);
}

#[tokio::test]
async fn what_is_not_there_is_a_page_too() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    for (path, status) in [("/nothing", StatusCode::NOT_FOUND), ("/checkout", StatusCode::METHOD_NOT_ALLOWED)]
    {
        let answer = visitor.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")));
        assert!(text(&answer).starts_with("<!DOCTYPE html>"));
    }
}
