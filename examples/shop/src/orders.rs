//! Orders: baskets, and what becomes of those that are checked out.
//!
//! A request that places an order waits for its end, and no longer than its client. The order goes on in any case: by the
//! [process] that the request has begun, or when that dies by the repair of this or another instance.

pub mod basket;
pub mod calls;
pub mod order;
mod process;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::http::{Deadline, encoded};
use crate::mainstay::{Item, Mainstay};
use crate::service::{self, Body, Home, Problem, TIMEOUT};
use basket::{Change, Checkout, NewLine};
use order::{Answered, Basket, ORDERS, Order, order_key};
pub use process::Process;

/// So long before a client gives up it is told how far its order is.
const MARGIN: Duration = Duration::from_millis(100);

/// How long an instance that is told to end goes on with the orders that it has. What is left then another one takes up.
const FINISH: Duration = Duration::from_secs(3);

/// The most orders that are listed.
pub const LISTED_MAX: usize = 50;

/// Serves orders until it is told to end, and repairs what was left behind.
pub async fn serve(home: Home) -> Result<()> {
    let process = Process::new(home.api.clone(), home.gateway.clone());
    // One is not without the other: an instance whose repair has ended is of no use, and is started again.
    let served = tokio::select! {
        served = home.serve(routes(Arc::clone(&process))) => served,
        never = Arc::clone(&process).repair() => match never {},
    };
    process.finish(FINISH).await;
    served
}

/// The routes of the service.
pub fn routes(process: Arc<Process>) -> Router {
    let routes = Router::new()
        .route("/orders/{customer}/basket", get(show_basket))
        .route("/orders/{customer}/basket/lines/{sku}", put(put_line))
        .route("/orders/{customer}/placed", get(list))
        .route("/orders/{customer}/placed/{order}", get(show).put(place));
    service::with_problems(routes.with_state(process))
}

async fn show_basket(
    Shared(process): Shared<Arc<Process>>,
    Path(customer): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Basket>, Problem> {
    service::id("the customer", &customer)?;
    let deadline = Deadline::of(&headers, TIMEOUT);
    Ok(Json(basket::of(process.api(), &customer, deadline).await?))
}

async fn put_line(
    Shared(process): Shared<Arc<Process>>,
    Path((customer, sku)): Path<(String, String)>,
    headers: HeaderMap,
    Body(line): Body<NewLine>,
) -> Result<Json<Basket>, Problem> {
    service::id("the customer", &customer)?;
    let deadline = Deadline::of(&headers, TIMEOUT);
    if line.quantity > 0 && !process.products(deadline).await?.contains_key(&sku) {
        return Err(Problem::not_found(format!("there is no product {sku:?}")));
    }
    let change = Change { customer: &customer, sku: &sku, line };
    Ok(Json(basket::put_line(process.api(), &change, deadline).await?))
}

/// What the customer was shown that it costs, in minor units; not compared if it is not said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    total: Option<u64>,
}

async fn place(
    Shared(process): Shared<Arc<Process>>,
    Path((customer, id)): Path<(String, String)>,
    Query(Shown { total }): Query<Shown>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    basket::id(&customer, &id)?;
    let deadline = Deadline::of(&headers, TIMEOUT);
    let products = process.products(deadline).await?;
    let checkout = Checkout { customer: &customer, id: &id, total };
    let is_new = basket::place(process.api(), &checkout, &products, deadline).await?;
    let mut ended = process.begin(&order_key(&customer, &id));
    // Its sender goes when the process ends, however that is.
    let _ = tokio::time::timeout(deadline.left().saturating_sub(MARGIN), ended.changed()).await;
    let order = found(process.api(), &customer, &id, deadline).await?;
    let status = match (order.state.is_final(), is_new) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::OK,
    };
    Ok((status, Json(Answered { id, order })).into_response())
}

async fn show(
    Shared(process): Shared<Arc<Process>>,
    Path((customer, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Answered>, Problem> {
    service::id("the customer", &customer)?;
    service::id("the order", &id)?;
    let order = found(process.api(), &customer, &id, Deadline::of(&headers, TIMEOUT)).await?;
    Ok(Json(Answered { id, order }))
}

async fn list(
    Shared(process): Shared<Arc<Process>>,
    Path(customer): Path<String>,
    headers: HeaderMap,
) -> Result<Json<serde_json::Value>, Problem> {
    service::id("the customer", &customer)?;
    // The index has the order: as much is read as is shown.
    let filter = encoded(&format!("value.customer=='{customer}'"));
    let query = format!("filter={filter}&order=-/placed_at&limit={LISTED_MAX}");
    let page = process.api().page::<Order>(ORDERS, &query, Deadline::of(&headers, TIMEOUT)).await?;
    let id = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let answered = |item: Item<Order>| Answered { id: id(&item.key), order: item.value };
    let orders: Vec<_> = page.items.into_iter().map(answered).collect();
    Ok(Json(json!({"orders": orders})))
}

async fn found(api: &Mainstay, customer: &str, id: &str, deadline: Deadline) -> Result<Order, Problem> {
    let item = api.get::<Order>(ORDERS, &order_key(customer, id), deadline).await?;
    item.map(|item| item.value).ok_or_else(|| Problem::not_found(format!("there is no order {id:?}")))
}
