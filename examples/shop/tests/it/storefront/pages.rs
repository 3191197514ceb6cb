//! Pages when all is well: their marks, their forms, their cookies, and that nothing in them is taken for HTML.

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::json;
use shop::http::{Answer, Call, Deadline};
use shop::inventory::goods;
use shop::service::customer_of;

use super::{Played, Visitor, text};
use crate::feed_node::{PATIENCE, order};

/// Where an answer sends the browser.
#[track_caller]
fn sent_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(answer));
    answer.header("location").unwrap()
}

/// The value of the first hidden field `basket`.
fn basket_in(page: &str) -> String {
    let mark = r#"<input type="hidden" name="basket" value=""#;
    let (_, rest) = page.split_once(mark).expect("there is a form");
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn products_carry_their_marks_and_what_they_say_is_no_html() {
    let played = Played::start().await;
    let page = text(&Visitor::new(&played.shop).get("/").await);
    assert!(page.contains(r#"data-sku="mug" data-price="1800" data-available="1000000""#), "{page}");
    assert!(page.contains(r#"data-sku="clock" data-price="3400" data-available="0""#));
    assert!(page.contains("Only 3 left") && page.contains("Sold out") && page.contains("€18.00"));
    assert!(
        page.contains("A &lt;b&gt;fine&lt;/b&gt; thing &amp; more")
            && page.contains("Clock &quot;Loud&quot;")
    );
    assert!(!page.contains("<b>fine"));
    assert_eq!(page.matches("Add to basket").count(), 2, "what is sold out cannot be added");
    assert!(basket_in(&page).starts_with("o-new-"));
}

/// The drawings that a page shows: the address of the sheet, and the name of each drawing.
fn drawings(page: &str) -> (&str, Vec<&str>) {
    let uses: Vec<_> =
        page.split("<use href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    let parts: Vec<_> = uses.iter().map(|address| address.split_once('#').expect("a name")).collect();
    let sheet = parts.first().expect("there is a drawing").0;
    assert!(parts.iter().all(|part| part.0 == sheet), "one sheet: {uses:?}");
    (sheet, parts.into_iter().map(|part| part.1).collect())
}

#[tokio::test]
async fn each_of_the_goods_has_its_drawing_and_what_has_none_comes_in_a_parcel() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let page = text(&visitor.get("/").await);
    assert_eq!(drawings(&page).1, ["parcel"; 3]);
    assert_eq!(page.matches("aria-hidden=\"true\"><svg").count(), 4, "they and the sign are not read aloud");

    let listed = goods::ALL.iter().map(|goods| {
        let mut listed = json!(goods.product());
        listed["sku"] = json!(goods.sku);
        listed["available"] = json!(1);
        listed
    });
    played.kept.lock().unwrap().products = listed.collect();
    let page = text(&visitor.get("/").await);
    let (sheet, names) = drawings(&page);
    assert_eq!(names, goods::ALL.map(|goods| goods.sku));

    let answer = visitor.get(sheet).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("image/svg+xml")));
    let drawn = text(&answer);
    let basket = text(&visitor.get("/basket").await);
    let orders = text(&visitor.get("/orders").await);
    let nothing = text(&visitor.get("/nothing").await);
    let others = [&basket, &orders, &nothing].map(|page| drawings(page).1[0]);
    assert_eq!(others, ["willow-basket", "parcel", "lifebuoy"]);
    for name in names.iter().chain(&others) {
        assert_eq!(drawn.matches(&format!("<symbol id=\"{name}\" ")).count(), 1, "{name}");
    }
    let pages = [page, basket, orders, nothing].concat();
    assert!(!pages.contains(|letter| letter >= '\u{2600}'), "no picture is left to fonts");
}

#[tokio::test]
async fn who_comes_without_a_cookie_becomes_a_customer_and_stays_one() {
    let played = Played::start().await;
    let first = played.shop.send(Call::new(Method::GET, "/"), Deadline::after(PATIENCE)).await.unwrap();
    let cookie = first.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    let cookie = pair.strip_prefix("customer=").unwrap();
    assert_eq!((cookie.len(), first.header("cache-control")), (32, Some("no-store")));
    assert!(played.asked().contains(&format!("GET /orders/{}/basket", customer_of(cookie))));
    assert!(played.asked().iter().all(|call| !call.contains(cookie)), "a cookie is nobody's business");

    let visitor = Visitor::new(&played.shop);
    assert_eq!(visitor.get("/").await.header("set-cookie"), None);
    let named = |cookie| Call::new(Method::GET, "/").header(HeaderName::from_static("cookie"), cookie);
    for not_ours in ["customer=c-1", "customer=../../x", "customer="] {
        let answer = visitor.send(named(not_ours)).await;
        assert!(answer.header("set-cookie").unwrap().starts_with("customer="), "{not_ours}");
    }
}

#[tokio::test]
async fn a_line_is_set_by_a_form_that_can_be_sent_twice() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let basket = basket_in(&text(&visitor.get("/").await));
    for _ in 0..2 {
        let form = format!("sku=mug&basket={basket}&from=shop&quantity=2");
        assert_eq!(sent_to(&visitor.post("/basket/lines", &form).await), "/#p-mug");
    }
    assert_eq!(played.lines(&visitor.customer), json!({"mug": 2}));

    let page = text(&visitor.get("/basket").await);
    assert_eq!(basket_in(&page), basket);
    assert!(page.contains(r#"data-sku="mug" data-price="1800" data-available="1000000" data-quantity="2""#));
    assert!(page.contains("€36.00") && page.contains(r#"action="/checkout""#));
    let front = text(&visitor.get("/").await);
    assert!(
        front.contains(r#"value="1" aria-label="One less""#)
            && front.contains(r#"value="3" aria-label="One more""#)
    );

    let form = format!("sku=mug&basket={basket}&from=basket&quantity=0");
    assert_eq!(sent_to(&visitor.post("/basket/lines", &form).await), "/basket");
    assert!(text(&visitor.get("/basket").await).contains("Your basket is empty"));
}

#[tokio::test]
async fn an_old_page_of_the_shop_adds_to_the_open_basket_and_an_old_basket_changes_nothing() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let old = basket_in(&text(&visitor.get("/").await));
    visitor
        .post(
            "/basket/lines",
            &format!("sku=radio&basket={}&quantity=1", basket_in(&text(&visitor.get("/").await))),
        )
        .await;

    sent_to(&visitor.post("/basket/lines", &format!("sku=mug&basket={old}&quantity=1")).await);
    assert_eq!(played.lines(&visitor.customer), json!({"mug": 1, "radio": 1}));
    let form = format!("sku=mug&basket={old}&from=basket&quantity=7");
    assert_eq!(sent_to(&visitor.post("/basket/lines", &form).await), "/basket");
    assert_eq!(played.lines(&visitor.customer), json!({"mug": 1, "radio": 1}));
}

#[tokio::test]
async fn the_currency_can_be_chosen_until_something_is_in_the_basket() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let chosen = visitor.post("/currency", "currency=usd").await;
    assert_eq!(sent_to(&chosen), "/");
    assert!(chosen.header("set-cookie").unwrap().starts_with("currency=usd; Path=/; "));

    let visitor = Visitor::new(&played.shop).with_cookie("currency=usd");
    let page = text(&visitor.get("/").await);
    assert!(page.contains(r#"data-sku="mug" data-price="1950""#) && page.contains("$19.50"));
    assert!(page.contains(r#"action="/currency""#));
    visitor.post("/basket/lines", &format!("sku=mug&basket={}&quantity=1", basket_in(&page))).await;

    let too_late = visitor.post("/currency", "currency=eur").await;
    assert_eq!((sent_to(&too_late), too_late.header("set-cookie")), ("/", None));

    // The basket was begun in dollars, whatever the cookie says now.
    let cookies = format!("{}; currency=eur", visitor.cookies);
    let call = Call::new(Method::GET, "/").header(HeaderName::from_static("cookie"), &cookies);
    let page = text(&visitor.send(call).await);
    assert!(page.contains("$19.50") && !page.contains(r#"action="/currency""#));
}

#[tokio::test]
async fn checking_out_goes_to_the_page_of_the_order_however_often_it_is_done() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let basket = basket_in(&text(&visitor.get("/").await));
    visitor.post("/basket/lines", &format!("sku=mug&basket={basket}&quantity=2")).await;
    for _ in 0..2 {
        let answer = visitor.post("/checkout", &format!("basket={basket}")).await;
        assert_eq!(sent_to(&answer), format!("/orders/{basket}"));
    }
    let mark = format!(r#"data-order="{basket}" data-state="placed" data-total="3600" data-currency="eur""#);
    let page = text(&visitor.get(&format!("/orders/{basket}")).await);
    assert_eq!(page.matches(&mark).count(), 1, "{page}");
    assert!(text(&visitor.get("/orders").await).contains(&mark));
    assert!(text(&Visitor::new(&played.shop).get("/orders").await).contains("No orders yet"));
}

#[tokio::test]
async fn the_page_of_an_order_says_how_far_it_is_and_what_was_charged() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    for (state, says, is_open) in [
        ("placed", "Nothing is paid yet", true),
        ("reserved", "Next comes the payment of €36.00", true),
        ("charging", "taken from your wallet, once", true),
        ("paid", "You have paid €36.00", true),
        ("shipped", "You have paid €36.00", false),
        ("failing", "You are not charged", true),
        ("failed", "You were not charged", false),
    ] {
        let mut order = order(state);
        if state.starts_with("fail") {
            order["reason"] = json!("the <mug> is sold out");
        }
        played.order(&visitor.customer, "o-1", order);
        let page = text(&visitor.get("/orders/o-1").await);
        assert!(
            page.contains(&format!(r#"data-order="o-1" data-state="{state}" data-total="3600""#)),
            "{page}"
        );
        assert!(page.contains(says), "{state}: {page}");
        // Without JavaScript the page comes again, as long as there is something to come for.
        assert_eq!(page.contains(r#"<noscript><meta http-equiv="refresh" content="2"></noscript>"#), is_open);
        assert_eq!(page.contains(r#"data-follow="order""#), is_open);
        assert_eq!(page.contains("The &lt;mug&gt; is sold out."), state.starts_with("fail"));
        assert!(page.contains(r#"aria-live="polite""#));
    }
}

#[tokio::test]
async fn an_order_is_shown_to_its_customer_alone() {
    let played = Played::start().await;
    let (owner, other) = (Visitor::new(&played.shop), Visitor::new(&played.shop));
    played.order(&owner.customer, "o-1", order("placed"));
    assert_eq!(owner.get("/orders/o-1").await.status, StatusCode::OK);
    for path in ["/orders/o-1".to_owned(), format!("/orders/..%2F..%2F{}%2Fplaced%2Fo-1", owner.customer)] {
        let answer = other.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(!text(&answer).contains("data-order"));
    }
}

#[tokio::test]
async fn a_shipped_order_shows_its_receipt_or_that_it_follows() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    let key = (visitor.customer.clone(), "o-1".to_owned());
    let asked_for_a_receipt = || played.asked().iter().any(|it| it.contains("/receipts/"));
    played.order(&visitor.customer, "o-1", order("paid"));
    visitor.get("/orders/o-1").await;
    assert!(!asked_for_a_receipt(), "there is none before it has shipped");

    played.order(&visitor.customer, "o-1", order("shipped"));
    for services in [&[][..], &["receipts"]] {
        played.away(services);
        let page = text(&visitor.get("/orders/o-1").await);
        assert!(page.contains("The receipt follows") && page.contains(r#"data-follow="receipt""#), "{page}");
    }
    played.away(&[]);
    played.kept.lock().unwrap().receipts.insert(key, "RECEIPT\n\nMug <2>  €36.00\n".to_owned());
    let page = text(&visitor.get("/orders/o-1").await);
    assert!(page.contains("RECEIPT\n\nMug &lt;2&gt;  €36.00\n") && !page.contains("data-follow"), "{page}");
}

#[tokio::test]
async fn styles_and_scripts_are_files_that_browsers_keep() {
    let played = Played::start().await;
    let visitor = Visitor::new(&played.shop);
    played.order(&visitor.customer, "o-1", order("placed"));
    let page = text(&visitor.get("/orders/o-1").await);
    for (name, content_type) in [
        ("style.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let (_, rest) = page.split_once(&format!("\"/{name}?v=")).expect("the page names it");
        let address = format!("/{name}?v={}", rest.split_once('"').unwrap().0);
        let answer = visitor.get(&address).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some(content_type)));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(answer.header("set-cookie"), None);
        let etag = answer.header("etag").unwrap();
        let plain = visitor.call(Method::GET, &format!("/{name}"));
        assert_eq!(visitor.send(plain.clone()).await.header("cache-control"), Some("public, no-cache"));
        let known = visitor.send(plain.header(HeaderName::from_static("if-none-match"), etag)).await;
        assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    // The gateway lets pages have nothing inline.
    for inline in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
}
