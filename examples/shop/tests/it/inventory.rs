//! Inventory: nothing is sold that is not there, and nothing is lost, whoever asks for it how often and whatever gets lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};
use shop::customers::dice::Dice;
use shop::http::{Answer, Call, Client, Deadline, TIMEOUT};
use shop::inventory;
use shop::inventory::stock::{PRODUCTS, RESERVATIONS, Reservation, STOCK, Standing, Stock};
use shop::mainstay::{Mainstay, put};
use shop::money::Currency;
use tokio::task::JoinSet;

use crate::lossy::{self, Fault, Lossy};
use crate::node::{self, Node, PATIENCE, body, get, insist, problem, send};

/// Of these there are 40.
const CHAIR: &str = "ash-chair";

/// Inventory before a node, with its goods.
async fn inventory(api: Mainstay) -> Client {
    inventory::prepare(&api, Deadline::after(PATIENCE)).await.expect("the goods");
    node::serve(inventory::routes(api)).await
}

fn reserve_call(sku: &str, order: &str, quantity: u64) -> Call {
    let path = format!("/inventory/reservations/{sku}/{order}");
    Call::new(Method::PUT, path).json(&json!({"quantity": quantity}))
}

fn end_call(sku: &str, order: &str, how: &str) -> Call {
    Call::new(Method::POST, format!("/inventory/reservations/{sku}/{order}/{how}"))
}

async fn reserve(client: &Client, sku: &str, order: &str, quantity: u64) -> Answer {
    send(client, reserve_call(sku, order, quantity)).await
}

async fn ship(client: &Client, sku: &str, order: &str) -> Answer {
    send(client, end_call(sku, order, "ship")).await
}

async fn release(client: &Client, sku: &str, order: &str) -> Answer {
    send(client, end_call(sku, order, "release")).await
}

async fn stock(node: &Node, sku: &str) -> Stock {
    let found = node.api().get::<Stock>(STOCK, sku, Deadline::after(PATIENCE)).await.expect("an answer");
    found.expect("it is there").value
}

async fn available(client: &Client, sku: &str) -> u64 {
    let product = body(&get(client, &format!("/inventory/products/{sku}")).await, 200);
    product["available"].as_u64().expect("a count")
}

#[tokio::test]
async fn the_goods_come_in_once() {
    let node = Node::start().await;
    let client = inventory(node.api()).await;
    body(&reserve(&client, CHAIR, "o-1", 3).await, 201);
    inventory::prepare(&node.api(), Deadline::after(PATIENCE)).await.expect("they are there");
    assert_eq!(stock(&node, CHAIR).await, Stock { received: 40, available: 37, reserved: 3, shipped: 0 });

    let listed = body(&get(&client, "/inventory/products").await, 200);
    let listed = listed["products"].as_array().expect("a list").clone();
    let skus: BTreeSet<_> = listed.iter().map(|product| product["sku"].as_str().expect("a SKU")).collect();
    assert_eq!((listed.len(), skus.len()), (16, 16));
    let scarce = listed.iter().filter(|product| product["available"].as_u64() < Some(1000));
    let scarce: Vec<_> = scarce.map(|product| product["available"].as_u64()).collect();
    assert!(scarce == [Some(37), Some(150)] || scarce == [Some(150), Some(37)], "{scarce:?}");
    for product in &listed {
        let single = get(&client, &format!("/inventory/products/{}", product["sku"].as_str().unwrap())).await;
        assert_eq!(body(&single, 200), *product);
        for currency in Currency::ALL {
            let price = product["prices"][currency.code()].as_u64();
            assert!(price.is_some_and(|price| (250..=18_000).contains(&price)), "{product}");
        }
        for text in ["name", "about"] {
            assert!(product[text].as_str().is_some_and(|text| !text.is_empty()), "{product}");
        }
    }
    problem(&get(&client, "/inventory/products/moon").await, 404, "no_product");
}

/// A shop that was begun earlier may keep more of its products than is read now, such as a `picture`.
#[tokio::test]
async fn a_product_with_a_member_that_nobody_knows_is_listed() {
    let node = Node::start().await;
    let old =
        json!({"name": "Lantern", "about": "Bright.", "picture": "*", "prices": {"eur": 900, "usd": 990}});
    let (deadline, operations) = (Deadline::after(PATIENCE), [put(PRODUCTS, "lantern", &old)]);
    node.api().commit("lantern", &[], &operations, deadline).await.expect("it is put");
    let client = inventory(node.api()).await;
    let listed = body(&get(&client, "/inventory/products").await, 200);
    let lantern = json!({"sku": "lantern", "name": "Lantern", "about": "Bright.", "prices": old["prices"], "available": 0});
    assert!(listed["products"].as_array().expect("a list").contains(&lantern), "{listed}");
    assert_eq!(body(&get(&client, "/inventory/products/lantern").await, 200), lantern);
}

#[tokio::test]
async fn some_are_set_aside_once_and_go_out_once() {
    let node = Node::start().await;
    let client = inventory(node.api()).await;
    let reserved = json!({"quantity": 3, "standing": "reserved"});
    assert_eq!(body(&reserve(&client, CHAIR, "o-1", 3).await, 201), reserved);
    assert_eq!(body(&reserve(&client, CHAIR, "o-1", 3).await, 200), reserved);
    problem(&reserve(&client, CHAIR, "o-1", 4).await, 409, "different");
    assert_eq!(stock(&node, CHAIR).await, Stock { received: 40, available: 37, reserved: 3, shipped: 0 });

    let sold_out = problem(&reserve(&client, CHAIR, "o-2", 38).await, 409, "sold_out");
    assert_eq!(sold_out["available"], 37);
    body(&reserve(&client, CHAIR, "o-2", 37).await, 201);
    assert_eq!(available(&client, CHAIR).await, 0, "to the last one");

    let shipped = json!({"quantity": 3, "standing": "shipped"});
    for _ in 0..2 {
        assert_eq!(body(&ship(&client, CHAIR, "o-1").await, 200), shipped);
    }
    assert_eq!(body(&reserve(&client, CHAIR, "o-1", 3).await, 200), shipped, "it was reserved");
    problem(&release(&client, CHAIR, "o-1").await, 409, "shipped");
    assert_eq!(stock(&node, CHAIR).await, Stock { received: 40, available: 0, reserved: 37, shipped: 3 });

    let released = json!({"quantity": 37, "standing": "released"});
    for _ in 0..2 {
        assert_eq!(body(&release(&client, CHAIR, "o-2").await, 200), released);
    }
    problem(&reserve(&client, CHAIR, "o-2", 37).await, 409, "released");
    problem(&ship(&client, CHAIR, "o-2").await, 409, "released");
    problem(&ship(&client, CHAIR, "o-3").await, 404, "not_reserved");
    assert_eq!(stock(&node, CHAIR).await, Stock { received: 40, available: 37, reserved: 0, shipped: 3 });

    for quantity in [0, 101] {
        problem(&reserve(&client, CHAIR, "o-4", quantity).await, 422, "invalid");
    }
    let unknown =
        Call::new(Method::PUT, "/inventory/reservations/ash-chair/o-4").json(&json!({"quantity": 1, "x": 1}));
    problem(&send(&client, unknown).await, 422, "invalid");
    problem(&reserve(&client, "moon", "o-4", 1).await, 404, "no_product");
    problem(&get(&client, "/inventory").await, 404, "not_found");
}

#[tokio::test]
async fn a_release_that_comes_first_keeps_the_reservation_from_coming() {
    let node = Node::start().await;
    let client = inventory(node.api()).await;
    let released = json!({"quantity": 0, "standing": "released"});
    for _ in 0..2 {
        assert_eq!(body(&release(&client, CHAIR, "o-1").await, 200), released);
    }
    problem(&reserve(&client, CHAIR, "o-1", 1).await, 409, "released");
    problem(&ship(&client, CHAIR, "o-1").await, 409, "released");
    // An order must end also when its product is gone.
    assert_eq!(body(&release(&client, "moon", "o-1").await, 200), released);
    assert_eq!(stock(&node, CHAIR).await, Stock { received: 40, available: 40, reserved: 0, shipped: 0 });
}

#[tokio::test]
async fn the_schemas_refuse_what_no_stock_has() {
    let node = Node::start().await;
    let wrong = [
        ("stock", "s", json!({"received": 1, "available": -1, "reserved": 2, "shipped": 0})),
        ("stock", "s", json!({"received": 1, "available": 1})),
        ("reservations", "s/o", json!({"quantity": 0, "standing": "reserved"})),
        ("reservations", "s/o", json!({"quantity": 101, "standing": "released"})),
        ("reservations", "s/o", json!({"quantity": 1, "standing": "lost"})),
    ];
    for (collection, key, document) in wrong {
        let path = format!("/v1/collections/{collection}/items/{key}");
        let refused = send(&node.client(), Call::new(Method::PUT, path).json(&document)).await;
        let violations = problem(&refused, 422, "invalid")["violations"].clone();
        assert!(violations.as_array().is_some_and(|list| !list.is_empty()), "{document}: {violations}");
    }
}

/// Checks the stock of a product as its reservations say, and as it was after each commit. Returns the reservations by order.
async fn audit(node: &Node, sku: &str) -> BTreeMap<String, Reservation> {
    let query = format!("prefix={sku}/");
    let items = node.api().all::<Reservation>(RESERVATIONS, &query, Deadline::after(PATIENCE)).await;
    let items = items.expect("a list").into_iter();
    let reservations: BTreeMap<_, _> =
        items.map(|item| (item.key.rsplit('/').next().expect("an order").to_owned(), item.value)).collect();
    let of = |standing| {
        reservations.values().filter(|it| it.standing == standing).map(|it| it.quantity).sum::<u64>()
    };
    let (reserved, shipped) = (of(Standing::Reserved), of(Standing::Shipped));
    let expected = Stock { received: 40, available: 40 - reserved - shipped, reserved, shipped };
    assert_eq!(stock(node, sku).await, expected, "as its reservations say");
    for (key, value) in node.history(STOCK).await {
        let it: Stock = serde_json::from_value(value).expect("stock");
        assert_eq!(it.received, it.available + it.reserved + it.shipped, "{key} at every moment");
    }
    reservations
}

/// All that is asked for an order: its reservation and how it may end, several times, in an order of chance.
fn requests(dice: &mut Dice) -> Vec<(String, Call)> {
    let mut requests = Vec::new();
    for number in 0..60 {
        let order = format!("o-{number}");
        let quantity = 1 + dice.below(4);
        let ends = ["ship", "release"];
        for _ in 0..3 {
            requests.push((order.clone(), reserve_call(CHAIR, &order, quantity)));
            let end = ends[usize::try_from(dice.below(2)).expect("small")];
            requests.push((order.clone(), end_call(CHAIR, &order, end)));
        }
        requests.push((order.clone(), reserve_call(CHAIR, &order, quantity + 1)));
    }
    dice.shuffle(&mut requests);
    requests
}

async fn a_storm_of_orders(node: &Node, apis: [Mainstay; 2], seed: u64) {
    let [one, two] = apis;
    let clients = [inventory(one).await, inventory(two).await];
    let plan = requests(&mut Dice::new(seed, 0));
    let mut tasks = JoinSet::new();
    for (place, share) in plan.chunks(plan.len().div_ceil(12)).enumerate() {
        let (client, share) = (clients[place % clients.len()].clone(), share.to_vec());
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for (order, call) in share {
                answers.push((order, insist(&client, call).await));
            }
            answers
        });
    }
    let mut answers = Vec::new();
    while let Some(share) = tasks.join_next().await {
        answers.extend(share.expect("no panic"));
    }
    check_answers(&answers, &audit(node, CHAIR).await);
}

/// Checks that what was answered is what is there: what was told to be shipped is, and was told of one order only so.
fn check_answers(answers: &[(String, Answer)], reservations: &BTreeMap<String, Reservation>) {
    let mut seen = BTreeSet::new();
    let mut made = BTreeMap::<&str, usize>::new();
    for (order, answer) in answers {
        let told: Value = answer.json().expect("JSON");
        seen.insert(told["code"].as_str().or(told["standing"].as_str()).unwrap_or_default().to_owned());
        if !answer.status.is_success() {
            continue;
        }
        *made.entry(order).or_default() += usize::from(answer.status == 201);
        let there = &reservations[order];
        assert_eq!(told["quantity"], there.quantity, "{order}: {}", node::text(answer));
        if told["standing"] != "reserved" {
            assert_eq!(told["standing"], json!(there.standing), "{order} has ended so");
        }
    }
    assert!(made.values().all(|made| *made <= 1), "each is made once: {made:?}");
    for code in ["reserved", "shipped", "released", "sold_out", "not_reserved", "different"] {
        assert!(seen.contains(code), "the storm is wild enough for {code}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_orders_at_once_with_duplicates_never_sell_what_is_not_there() {
    let node = Node::start().await;
    a_storm_of_orders(&node, [node.api(), node.api()], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_while_requests_and_answers_are_lost_and_late() {
    let node = Node::start().await;
    let lossy = Lossy::before(&node, 3, &lossy::ALL).await;
    a_storm_of_orders(&node, [lossy.api(), lossy.api()], 2).await;
    assert!(lossy.settle().await > 40, "all faults were met many times");
    audit(&node, CHAIR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_shipping_and_releasing_at_the_same_time_exactly_one_wins() {
    let node = Node::start().await;
    let clients = [inventory(node.api()).await, inventory(node.api()).await];
    for round in 0..30 {
        let order = format!("o-{round}");
        body(&reserve(&clients[0], CHAIR, &order, 1).await, 201);
        let (shipped, released) = tokio::join!(
            ship(&clients[round % 2], CHAIR, &order),
            release(&clients[1 - round % 2], CHAIR, &order)
        );
        if shipped.status.is_success() {
            problem(&released, 409, "shipped");
        } else {
            problem(&shipped, 409, "released");
            assert_eq!(body(&released, 200)["standing"], "released");
        }
    }
    audit(&node, CHAIR).await;
}

#[tokio::test]
async fn an_answer_says_whether_nothing_was_done_or_it_is_not_known() {
    let node = Node::start().await;
    let calm = inventory(node.api()).await;
    let lossy = Lossy::before(&node, 1, &[Fault::AnswerLost]).await;
    let client = node::serve(inventory::routes(lossy.api())).await;
    let lost = send(&client, reserve_call(CHAIR, "o-1", 2).header(TIMEOUT, "500ms")).await;
    problem(&lost, 504, "outcome_unknown");
    assert_eq!(body(&reserve(&calm, CHAIR, "o-1", 2).await, 200)["standing"], "reserved");
    // It is read before and after: what has happened is seen, though no commit is ever answered.
    let shipped = send(&client, end_call(CHAIR, "o-1", "ship").header(TIMEOUT, "500ms")).await;
    problem(&shipped, 504, "outcome_unknown");
    assert_eq!(body(&ship(&client, CHAIR, "o-1").await, 200)["standing"], "shipped");

    let busy = Lossy::before(&node, 1, &[Fault::Busy]).await;
    let client = node::serve(inventory::routes(busy.api())).await;
    let refused = send(&client, reserve_call(CHAIR, "o-2", 2).header(TIMEOUT, "500ms")).await;
    problem(&refused, 503, "unavailable");
    problem(&ship(&calm, CHAIR, "o-2").await, 404, "not_reserved");
    audit(&node, CHAIR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_read_once_for_all_who_ask() {
    let node = Node::start().await;
    inventory(node.api()).await;
    let lossy = Lossy::before(&node, usize::MAX, &[]).await;
    let client = node::serve(inventory::routes(lossy.api())).await;
    let mut tasks = JoinSet::new();
    for _ in 0..60 {
        let client = client.clone();
        tasks.spawn(async move { body(&get(&client, "/inventory/products").await, 200) });
    }
    while let Some(list) = tasks.join_next().await {
        assert_eq!(list.expect("no panic")["products"].as_array().map(Vec::len), Some(16));
    }
    // Two listings for a reading; some more if the machine is so slow that the first is old.
    assert!(lossy.listings() < 20, "{} listings", lossy.listings());

    // Nobody sees for long what is not so any more.
    body(&reserve(&client, CHAIR, "o-1", 1).await, 201);
    let deadline = Deadline::after(PATIENCE);
    loop {
        let list = body(&get(&client, "/inventory/products").await, 200);
        let products = list["products"].as_array().expect("a list").clone();
        let chair = products.iter().find(|product| product["sku"] == CHAIR).expect("it is listed");
        if chair["available"] == 39 {
            return;
        }
        assert!(!deadline.is_over(), "{chair}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
