//! Orders behind a real node, with the services that they call, also where commits and answers get lost.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shop::audit::{self, Told};
use shop::http::{Answer, Call, Client, Deadline};
use shop::mainstay::{Mainstay, put};
use shop::orders::order::{ORDERS, Order, State as Stage};
use shop::orders::{self, Process};
use shop::payments::ledger::Account;
use shop::{inventory, payments};
use tower::ServiceExt as _;

use crate::lossy::{ALL, Lossy};
use crate::node::{Node, PATIENCE, serve};

const MUG: &str = "enamel-mug";

/// The shop's services in this process: the gateway that orders has, and two instances of orders.
struct Shop {
    api: Mainstay,
    inside: Client,
    processes: [Arc<Process>; 2],
    orders: [Client; 2],
}

impl Shop {
    /// The services of `node`, which reach it by `by`. Nothing says how likely an order is fraud.
    async fn open(node: &Node, by: &Mainstay) -> Self {
        let prepared = (
            payments::prepare(&node.api(), deadline()).await,
            inventory::prepare(&node.api(), deadline()).await,
        );
        assert!(prepared.0.is_ok() && prepared.1.is_ok(), "{prepared:?}");
        // Each by its paths, as the gateway has them.
        let services = (payments::routes(by.clone()), inventory::routes(by.clone()));
        let inside = async move |State((payments, inventory)): State<(Router, Router)>, request: Request| {
            let service = if request.uri().path().starts_with("/payments") { payments } else { inventory };
            service.oneshot(request).await
        };
        let gateway = serve(Router::new().fallback(inside).with_state(services)).await;
        let processes = [(); 2].map(|()| Process::new(by.clone(), gateway.clone()));
        let [one, two] = processes.clone().map(|process| serve(orders::routes(process)));
        Self { api: node.api(), inside: gateway, processes, orders: [one.await, two.await] }
    }

    async fn fill(&self, customer: &str, order: &str, quantity: u64) {
        let body = json!({"basket": order, "quantity": quantity, "currency": "eur"});
        let path = format!("/orders/{customer}/basket/lines/{MUG}");
        let until = deadline();
        loop {
            let answer =
                self.orders[0].send(Call::new(Method::PUT, &path).json(&body), deadline()).await.unwrap();
            if answer.status.is_success() {
                return;
            }
            assert!(answer.status.is_server_error() && !until.is_over(), "{}", text(&answer));
        }
    }

    async fn place(&self, instance: usize, customer: &str, order: &str) -> Answer {
        let path = format!("/orders/{customer}/placed/{order}");
        self.orders[instance].send(Call::new(Method::PUT, path), deadline()).await.unwrap()
    }

    /// Waits until no order is open, while an instance repairs.
    async fn settled(&self) {
        let repair = Arc::clone(&self.processes[0]).repair();
        tokio::select! {
            left = audit::settle(&self.api, PATIENCE) => assert_eq!(left.unwrap(), 0),
            never = repair => match never {},
        }
    }

    /// Does what a process has done before an order of one mug is in this state.
    async fn did_before(&self, state: Stage, customer: &str, id: &str) {
        let pay = format!("{id}-pay");
        let pending = json!({"kind": "pending", "debit": customer, "credit": "merchant", "amount": 1250});
        let welcome = json!({"kind": "transfer", "debit": "bank", "credit": customer, "amount": 50_000});
        let steps = [
            (Stage::Reserved, format!("/inventory/reservations/{MUG}/{id}"), json!({"quantity": 1})),
            (Stage::Charging, format!("/payments/eur/accounts/{customer}"), json!({"may_overdraw": false})),
            (Stage::Charging, format!("/payments/eur/transfers/{customer}-welcome"), welcome),
            (Stage::Charging, format!("/payments/eur/transfers/{pay}"), pending),
            (
                Stage::Paid,
                format!("/payments/eur/transfers/{id}-post"),
                json!({"kind": "post", "pending": pay}),
            ),
        ];
        for (_, path, body) in steps.iter().filter(|(since, ..)| *since <= state && state != Stage::Failing) {
            let answer = self.inside.send(Call::new(Method::PUT, path).json(body), deadline()).await.unwrap();
            assert!(answer.status.is_success(), "{path}: {}", text(&answer));
        }
    }

    async fn order(&self, customer: &str, order: &str) -> Order {
        let key = format!("{customer}/{order}");
        self.api.get::<Order>(ORDERS, &key, deadline()).await.unwrap().expect("an order").value
    }

    async fn audited(&self) {
        let audit = audit::audit(&audit::read(&self.api).await.unwrap(), &Told::default());
        assert!(audit.is_clean(), "{audit}");
    }
}

fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}

fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_becomes_one_order_however_often_it_is_placed() {
    let node = Node::start().await;
    let shop = Shop::open(&node, &node.api()).await;
    shop.fill("ada", "ada.1", 2).await;
    let shown = shop.place(0, "ada", "ada.1?total=1250").await;
    assert_eq!(code(&shown), (409, "changed".to_owned()), "a page of before showed one mug");
    let both = tokio::join!(shop.place(0, "ada", "ada.1?total=2500"), shop.place(1, "ada", "ada.1"));
    let again = shop.place(0, "ada", "ada.1").await;
    for answer in [both.0, both.1, again] {
        let order: Value = answer.json().expect("an order");
        assert_eq!(
            (order["id"].as_str(), order["state"].as_str()),
            (Some("ada.1"), Some("shipped")),
            "{order}"
        );
    }
    assert_eq!(code(&shop.place(0, "ada", "ada.2").await), (409, "no_basket".to_owned()));
    let list = shop.orders[0].send(Call::new(Method::GET, "/orders/ada/placed"), deadline()).await.unwrap();
    assert_eq!(
        list.json::<Value>().expect("a list")["orders"].as_array().map(Vec::len),
        Some(1),
        "{}",
        text(&list)
    );
    shop.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_ends_once_while_requests_and_answers_are_lost_and_late() {
    let node = Node::start().await;
    let lossy = Lossy::before(&node, 5, &ALL).await;
    let shop = Shop::open(&node, &lossy.api()).await;
    let customers: Vec<String> = (0..30).map(|nth| format!("c-{nth}")).collect();
    let shop = &shop;
    join_all(customers.iter().map(|customer| async move {
        let order = format!("{customer}.1");
        shop.fill(customer, &order, 1).await;
        // Two instances, as for a double click; what is not answered is placed again.
        let until = deadline();
        loop {
            let (one, two) = tokio::join!(shop.place(0, customer, &order), shop.place(1, customer, &order));
            if one.status.is_success() || two.status.is_success() {
                return;
            }
            assert!(!until.is_over(), "{} {}", text(&one), text(&two));
        }
    }))
    .await;
    shop.settled().await;
    lossy.settle().await;
    for customer in &customers {
        let order = shop.order(customer, &format!("{customer}.1")).await;
        assert_eq!((order.state, order.reason), (Stage::Shipped, None), "{customer}");
    }
    shop.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_its_welcome_is_not_too_little() {
    let node = Node::start().await;
    let shop = Shop::open(&node, &node.api()).await;
    // What is left when the process dies between the two.
    let account = put("accounts", "eur/accounts/ada", &Account::default());
    shop.api.commit("eur", &[], &[account], deadline()).await.unwrap();
    shop.fill("ada", "ada.1", 1).await;
    shop.place(0, "ada", "ada.1").await;
    shop.settled().await;
    assert_eq!(shop.order("ada", "ada.1").await.state, Stage::Shipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_taken_up_wherever_it_was_left() {
    let node = Node::start().await;
    let shop = Shop::open(&node, &node.api()).await;
    // A process that dies leaves no more than what is committed: the order in its state, with effects that may or may not be there.
    for (nth, state) in Stage::ALL.into_iter().filter(|state| !state.is_final()).enumerate() {
        let (customer, id) = (format!("c-{nth}"), format!("c-{nth}.1"));
        let line = json!({"sku": MUG, "name": "Enamel mug", "quantity": 1, "price": 1250});
        let order = json!({"customer": customer, "state": state, "currency": "eur", "lines": [line], "total": 1250,
                           "placed_at": shop::service::now_ms(), "changed_at": 1, "open": true});
        shop.api
            .commit(&customer, &[], &[put(ORDERS, &format!("{customer}/{id}"), &order)], deadline())
            .await
            .unwrap();
        shop.did_before(state, &customer, &id).await;
    }
    shop.settled().await;
    for (nth, state) in Stage::ALL.into_iter().filter(|state| !state.is_final()).enumerate() {
        let expected = if state == Stage::Failing { Stage::Failed } else { Stage::Shipped };
        assert_eq!(shop.order(&format!("c-{nth}"), &format!("c-{nth}.1")).await.state, expected, "{state:?}");
    }
    shop.audited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_places_an_order_by_the_id_of_somebody_else() {
    let node = Node::start().await;
    let shop = Shop::open(&node, &node.api()).await;
    let body = json!({"basket": "eve.1", "quantity": 1, "currency": "usd"});
    for customer in ["ada", "eve.1"] {
        let call = Call::new(Method::PUT, format!("/orders/{customer}/basket/lines/{MUG}")).json(&body);
        let answer = shop.orders[0].send(call, deadline()).await.unwrap();
        assert_eq!(code(&answer), (422, "invalid".to_owned()), "{}", text(&answer));
    }
    let long = format!("eve.{}", "x".repeat(61));
    assert_eq!(code(&shop.place(0, "eve", &long).await), (422, "invalid".to_owned()));
}
