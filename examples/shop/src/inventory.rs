//! Inventory: what there is of each product, and for whom it is set aside.
//!
//! Reserving, shipping and releasing can each be asked for any number of times and happen once. That a product is sold out is true of
//! the moment, and a request that is still on its way may find some. Who must know that nothing is set aside for an order releases it:
//! that takes the reservation's place also where there is none.

pub mod catalogue;
pub mod goods;
pub mod reservations;
pub mod stock;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Deadline;
use crate::mainstay::Mainstay;
use crate::service::{self, Body, Home, Problem, TIMEOUT};
use catalogue::Catalogue;
use reservations::Place;
use stock::{Listed, Reservation, Standing};

/// How long it may take until the goods are there; then another start is tried.
const START: Duration = Duration::from_secs(20);

/// Serves inventory until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    prepare(&home.api, Deadline::after(START)).await?;
    home.serve(routes(home.api.clone())).await
}

/// Takes in the goods that the shop begins with, each unless it is there.
pub async fn prepare(api: &Mainstay, deadline: Deadline) -> Result<()> {
    for goods in &goods::ALL {
        let taken_in = catalogue::take_in(api, goods.sku, &goods.product(), goods.received, deadline).await;
        taken_in.with_context(|| format!("take in {}", goods.sku))?;
    }
    Ok(())
}

/// What inventory answers.
pub fn routes(api: Mainstay) -> Router {
    let reservation = "/inventory/reservations/{sku}/{order}";
    let routes = Router::new()
        .route(reservation, put(reserve))
        .route(&format!("{reservation}/ship"), post(ship))
        .route(&format!("{reservation}/release"), post(release))
        .route("/inventory/products/{sku}", get(product))
        .with_state(api.clone())
        .merge(
            Router::new()
                .route("/inventory/products", get(products))
                .with_state(Arc::new(Catalogue::new(api))),
        );
    service::with_problems(routes)
}

async fn products(
    State(catalogue): State<Arc<Catalogue>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let products = catalogue.list(Deadline::of(&headers, TIMEOUT)).await?;
    Ok(Json(json!({"products": *products})))
}

async fn product(
    State(api): State<Mainstay>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Listed>, Problem> {
    service::id("sku", &sku)?;
    Ok(Json(catalogue::product(&api, &sku, Deadline::of(&headers, TIMEOUT)).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    quantity: u64,
}

async fn reserve(
    State(api): State<Mainstay>,
    Path((sku, order)): Path<(String, String)>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Reservation>), Problem> {
    let place = Place::new(&api, &sku, &order, Deadline::of(&headers, TIMEOUT))?;
    let (made, reservation) = place.reserve(wanted.quantity).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(reservation)))
}

async fn ship(
    State(api): State<Mainstay>,
    Path((sku, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Reservation>, Problem> {
    let place = Place::new(&api, &sku, &order, Deadline::of(&headers, TIMEOUT))?;
    Ok(Json(place.end(Standing::Shipped).await?))
}

async fn release(
    State(api): State<Mainstay>,
    Path((sku, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Reservation>, Problem> {
    let place = Place::new(&api, &sku, &order, Deadline::of(&headers, TIMEOUT))?;
    Ok(Json(place.end(Standing::Released).await?))
}
