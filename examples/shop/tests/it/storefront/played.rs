//! The services behind the storefront, played: they keep in memory what the contract says, and can be away.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use shop::http::{Client, TIMEOUT};

use super::{listen, serve};

/// What the services keep, by customer.
#[derive(Default)]
pub struct Kept {
    pub products: Vec<Value>,
    pub baskets: HashMap<String, Value>,
    pub orders: BTreeMap<(String, String), Value>,
    pub receipts: HashMap<(String, String), String>,
    /// The first segments of paths at which nobody is.
    pub away: HashSet<&'static str>,
    /// Those at which nobody ever answers.
    pub silent: HashSet<&'static str>,
    /// What was asked for: `GET /orders/...`.
    pub asked: Vec<String>,
    /// How long each of these was told to take at most, in milliseconds.
    pub told: Vec<u64>,
    /// How many ids were made.
    made: u64,
}

/// A storefront with played services.
pub struct Played {
    pub shop: Client,
    pub kept: Shared,
}

type Shared = Arc<Mutex<Kept>>;

impl Played {
    pub async fn start() -> Self {
        let product = |sku: &str, name: &str, eur: u64, usd: u64, available: u64| {
            json!({"sku": sku, "name": name, "about": "A <b>fine</b> thing & more",
                   "prices": {"eur": eur, "usd": usd}, "available": available})
        };
        let products = vec![
            product("mug", "Stoneware mug", 1800, 1950, 1_000_000),
            product("radio", "Radio", 8900, 9700, 3),
            product("clock", "Clock \"Loud\"", 3400, 3700, 0),
        ];
        let kept = Shared::new(Mutex::new(Kept { products, ..Kept::default() }));
        let gateway = listen(gateway(kept.clone())).await;
        Self { shop: serve("http://127.0.0.1:1", &gateway).await, kept }
    }

    pub fn away(&self, services: &[&'static str]) {
        self.kept.lock().unwrap().away = services.iter().copied().collect();
    }

    /// Puts an order of a customer's.
    pub fn order(&self, customer: &str, id: &str, mut order: Value) {
        order["id"] = json!(id);
        self.kept.lock().unwrap().orders.insert((customer.to_owned(), id.to_owned()), order);
    }

    pub fn lines(&self, customer: &str) -> Value {
        self.kept.lock().unwrap().baskets.get(customer).map_or(Value::Null, |basket| basket["lines"].clone())
    }

    /// Forgets what was asked for, and says what it was.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.lock().unwrap().asked)
    }
}

fn gateway(kept: Shared) -> Router {
    Router::new()
        .route("/inventory/products", get(products))
        .route("/orders/{customer}/basket", get(basket))
        .route("/orders/{customer}/basket/lines/{sku}", put(set_line))
        .route("/orders/{customer}/placed", get(orders))
        .route("/orders/{customer}/placed/{order}", get(order).put(place))
        .route("/receipts/{customer}/{order}", get(receipt))
        .layer(from_fn_with_state(kept.clone(), reach))
        .with_state(kept)
}

async fn reach(State(kept): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let service = path.split('/').nth(1).unwrap().to_owned();
    let (is_away, is_silent) = {
        let mut kept = kept.lock().unwrap();
        kept.asked.push(format!("{} {path}", request.method()));
        let told = request.headers()[TIMEOUT].to_str().unwrap().strip_suffix("ms").unwrap();
        kept.told.push(told.parse().unwrap());
        (kept.away.contains(&*service), kept.silent.contains(&*service))
    };
    if is_silent {
        std::future::pending::<()>().await;
    }
    if is_away {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    }
    next.run(request).await
}

fn problem(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"status": status.as_u16(), "code": code, "detail": format!("it is <{code}>")})))
        .into_response()
}

async fn products(State(kept): State<Shared>) -> Json<Value> {
    Json(json!({"products": kept.lock().unwrap().products}))
}

async fn basket(State(kept): State<Shared>, Path(customer): Path<String>) -> Json<Value> {
    let mut kept = kept.lock().unwrap();
    kept.made += 1;
    let new = json!({"id": format!("o-new-{}", kept.made), "currency": "eur", "lines": {}});
    Json(kept.baskets.get(&customer).cloned().unwrap_or(new))
}

async fn set_line(
    State(kept): State<Shared>,
    Path((customer, sku)): Path<(String, String)>,
    Json(line): Json<Value>,
) -> Response {
    let mut kept = kept.lock().unwrap();
    if !kept.products.iter().any(|product| product["sku"] == sku) {
        return problem(StatusCode::NOT_FOUND, "not_found");
    }
    let new = json!({"id": line["basket"], "currency": line["currency"], "lines": {}});
    let basket = kept.baskets.entry(customer).or_insert(new);
    if basket["id"] != line["basket"] {
        return problem(StatusCode::CONFLICT, "different");
    }
    let lines = basket["lines"].as_object_mut().unwrap();
    if line["quantity"] == 0 {
        lines.remove(&sku);
    } else {
        lines.insert(sku, line["quantity"].clone());
    }
    Json(basket.clone()).into_response()
}

async fn orders(State(kept): State<Shared>, Path(customer): Path<String>) -> Json<Value> {
    let kept = kept.lock().unwrap();
    let orders: Vec<_> =
        kept.orders.iter().filter(|((owner, _), _)| *owner == customer).map(|it| it.1).collect();
    Json(json!({"orders": orders}))
}

async fn order(State(kept): State<Shared>, Path(key): Path<(String, String)>) -> Response {
    match kept.lock().unwrap().orders.get(&key) {
        Some(order) => Json(order).into_response(),
        None => problem(StatusCode::NOT_FOUND, "not_found"),
    }
}

async fn place(State(kept): State<Shared>, Path(key): Path<(String, String)>) -> Response {
    let mut kept = kept.lock().unwrap();
    if let Some(order) = kept.orders.get(&key) {
        return Json(order).into_response();
    }
    let Some(basket) = kept.baskets.get(&key.0).filter(|basket| basket["id"] == key.1) else {
        return problem(StatusCode::CONFLICT, "no_basket");
    };
    if basket["lines"].as_object().unwrap().is_empty() {
        return problem(StatusCode::CONFLICT, "empty");
    }
    let mut order = crate::feed_node::order("placed");
    order["id"] = json!(key.1);
    kept.baskets.remove(&key.0);
    kept.orders.insert(key, order.clone());
    (StatusCode::ACCEPTED, Json(order)).into_response()
}

async fn receipt(State(kept): State<Shared>, Path(key): Path<(String, String)>) -> Response {
    match kept.lock().unwrap().receipts.get(&key) {
        Some(text) => text.clone().into_response(),
        None => problem(StatusCode::NOT_FOUND, "not_found"),
    }
}
