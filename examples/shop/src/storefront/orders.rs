//! Checking out, and the pages of orders.

use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use crate::orders::order::State as OrderState;
use crate::service;

use super::services::Error;
use super::trouble::{self, Trouble};
use super::visit::Visit;
use super::{Storefront, views};

/// The form that orders a basket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkout {
    basket: String,
    /// What the page said that it costs.
    total: Option<u64>,
}

/// Makes an order of the basket and goes to its page. The order has the basket's id, so the form can be sent any number of times.
pub async fn check_out(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    form: Result<Form<Checkout>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(Checkout { basket, total }) = form.map_err(|error| Trouble::wrong_form(error.body_text()))?;
    service::id("basket", &basket).map_err(|_| Trouble::wrong_form(format!("{basket:?} is no basket")))?;
    match storefront.services.place(&visit, &basket, total).await {
        Ok(order) => Ok(Redirect::to(&format!("/orders/{}", order.id)).into_response()),
        Err(Error::NoAnswer) => Err(Trouble::order_not_confirmed(&basket, total)),
        Err(Error::Refused { status: status @ StatusCode::CONFLICT, code, .. }) => {
            Err(Trouble::no_basket(status, &code))
        }
        Err(Error::Refused { status, detail, .. }) => Err(Trouble::refused(status, &detail)),
    }
}

/// Shows all orders of the customer's.
pub async fn list(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    page: Uri,
) -> Result<Response, Trouble> {
    let services = &storefront.services;
    let (orders, basket) = tokio::join!(services.orders(&visit), services.basket(&visit));
    let orders = orders.map_err(|error| trouble::of_reading(&error, "your orders", &page))?;
    Ok(Html(views::orders(&orders, basket.ok().as_ref()).into_string()).into_response())
}

/// Shows one order, with its receipt once it has one.
pub async fn show(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    order: Result<Path<String>, PathRejection>,
    page: Uri,
) -> Result<Response, Trouble> {
    let Path(order) = order.map_err(|_| Trouble::no_order())?;
    service::id("order", &order).map_err(|_| Trouble::no_order())?;
    let services = &storefront.services;
    let (order, basket) = tokio::join!(services.order(&visit, &order), services.basket(&visit));
    let order = match order {
        Ok(order) => order,
        Err(error) if error.is(StatusCode::NOT_FOUND) => return Err(Trouble::no_order()),
        Err(error) => return Err(trouble::of_reading(&error, "this order", &page)),
    };
    let receipt = match order.order.state {
        OrderState::Shipped => services.receipt(&visit, &order.id).await,
        _ => None,
    };
    let view = views::order(&order, receipt.as_deref(), basket.ok().as_ref());
    Ok(Html(view.into_string()).into_response())
}
