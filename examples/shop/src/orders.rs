//! Orders: baskets, and what becomes of those that are checked out.
//!
//! A request that places an order waits for its end, and no longer than its client. The order goes on in any case: by the
//! [process](process) that the request has begun, or when that dies by the [repair](process) of this or another instance.

pub mod basket;
pub mod calls;
pub mod order;
mod process;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::json;

use crate::http::{Deadline, encoded};
use crate::mainstay::Mainstay;
use crate::service::{self, Home, Problem, TIMEOUT};
use basket::{Change, NewLine};
use order::{Answered, Basket, ORDERS, Order, order_key};
use process::Process;

/// So long before a client gives up it is told how far its order is.
const MARGIN: Duration = Duration::from_millis(100);

/// The most orders that are listed.
const LISTED_MAX: usize = 50;

/// Serves orders until it is told to end, and repairs what was left behind.
pub async fn serve(home: Home) -> Result<()> {
    let process = Process::new(home.api.clone(), home.gateway.clone());
    let repairing = process.clone();
    let repair = tokio::spawn(async move { repairing.repair().await });
    let served = home.serve(routes(process)).await;
    repair.abort();
    served
}

/// The routes of the service.
pub fn routes(process: Arc<Process>) -> Router {
    Router::new()
        .route("/orders/{customer}/basket", get(show_basket))
        .route("/orders/{customer}/basket/lines/{sku}", put(put_line))
        .route("/orders/{customer}/placed", get(list))
        .route("/orders/{customer}/placed/{order}", get(show).put(place))
        .with_state(process)
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
    line: Result<Json<NewLine>, JsonRejection>,
) -> Result<Json<Basket>, Problem> {
    service::id("the customer", &customer)?;
    let Json(line) = line.map_err(|error| Problem::invalid(error.body_text()))?;
    let deadline = Deadline::of(&headers, TIMEOUT);
    if line.quantity > 0 && !process.products(deadline).await?.contains_key(&sku) {
        return Err(Problem::not_found(format!("there is no product {sku:?}")));
    }
    let change = Change { customer: &customer, sku: &sku, line };
    Ok(Json(basket::put_line(process.api(), &change, deadline).await?))
}

async fn place(
    Shared(process): Shared<Arc<Process>>,
    Path((customer, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    service::id("the customer", &customer)?;
    service::id("the order", &id)?;
    let deadline = Deadline::of(&headers, TIMEOUT);
    let products = process.products(deadline).await?;
    let is_new = basket::place(process.api(), (&customer, &id), &products, deadline).await?;
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
    let query = format!("prefix={}/", encoded(&customer));
    let items = process.api().all::<Order>(ORDERS, &query, Deadline::of(&headers, TIMEOUT)).await?;
    let id = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let mut orders: Vec<_> =
        items.into_iter().map(|item| Answered { id: id(&item.key), order: item.value }).collect();
    orders.sort_by_key(|answered| std::cmp::Reverse(answered.order.placed_at));
    orders.truncate(LISTED_MAX);
    Ok(Json(json!({"orders": orders})))
}

async fn found(api: &Mainstay, customer: &str, id: &str, deadline: Deadline) -> Result<Order, Problem> {
    let item = api.get::<Order>(ORDERS, &order_key(customer, id), deadline).await?;
    item.map(|item| item.value).ok_or_else(|| Problem::not_found(format!("there is no order {id:?}")))
}
