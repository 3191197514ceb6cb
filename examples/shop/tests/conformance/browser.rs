//! The storefront in a browser: somebody buys, and watches the order complete; on a phone, and without scripts.

use crate::shop_in;
use crate::webdriver::Browser;

/// Buys one of something; the browser is then on the order's page. Returns the order's id.
fn buy(browser: &Browser, shop: &str) -> String {
    browser.go(shop);
    browser.click("[data-sku=\"enamel-mug\"] form button");
    // The form leads back here: only then is it in the basket.
    browser.wait_for("[data-sku=\"enamel-mug\"] .stepper");
    browser.go(&format!("{shop}/basket"));
    let basket =
        browser.attribute("form[action=\"/checkout\"] input[name=basket]", "value").expect("a basket");
    browser.click("form[action=\"/checkout\"] button");
    let order = browser.attribute("[data-order]", "data-order").expect("an order");
    assert_eq!(order, basket, "the basket became the order");
    assert!(browser.url().ends_with(&format!("/orders/{order}")), "{}", browser.url());
    order
}

#[test]
fn somebody_buys_on_a_phone_and_sees_the_order_complete() {
    let folder = tempfile::tempdir().unwrap();
    let node = shop_in(folder.path(), None);
    let shop = format!("http://{}", node.public);
    let browser = Browser::open(folder.path(), (390, 844), true);
    browser.go(&shop);
    assert!(browser.overflow() <= 0, "the catalogue is wider than a phone");
    let order = buy(&browser, &shop);
    browser.wait_for("[data-state=shipped]");
    assert!(browser.overflow() <= 0, "an order is wider than a phone");
    assert!(browser.text("main").contains("€"), "{}", browser.text("main"));
    browser.go(&format!("{shop}/orders"));
    browser.wait_for(&format!("[data-order=\"{order}\"][data-state=shipped]"));
    if let Some(shots) = std::env::var_os("SHOP_SHOTS") {
        let path = std::path::Path::new(&shots).join("orders.png");
        std::fs::write(path, browser.screenshot()).unwrap();
    }
    browser.close();
    node.stop().expect("the shop ends in order");
}

#[test]
fn somebody_without_scripts_buys_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let node = shop_in(folder.path(), None);
    let browser = Browser::open(folder.path(), (1280, 900), false);
    buy(&browser, &format!("http://{}", node.public));
    // The page loads itself again as long as the order is open.
    browser.wait_for("[data-state=shipped]");
    browser.close();
    node.stop().expect("the shop ends in order");
}
