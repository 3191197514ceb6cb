//! The front page: all products, each with what is in the basket of it.

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::Uri;
use axum::http::header::SET_COOKIE;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use crate::money::Currency;

use super::trouble::{self, Trouble};
use super::visit::{Visit, set_cookie};
use super::{Storefront, views};

/// Shows all products. Without the basket they can still be looked at.
pub async fn show(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    page: Uri,
) -> Result<Response, Trouble> {
    let services = &storefront.services;
    let (products, basket) = tokio::join!(services.products(&visit), services.basket(&visit));
    let products = products.map_err(|error| trouble::of_reading(&error, "what we have", &page))?;
    let view = views::catalogue(&products, basket.ok().as_ref(), visit.currency);
    Ok(Html(view.into_string()).into_response())
}

/// The form of the currency's switch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    currency: Currency,
}

/// Remembers which currency the next basket begins in. One that has something in it stays in its own, and the choice with it.
pub async fn choose_currency(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    form: Result<Form<Choice>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(choice) = form.map_err(|error| Trouble::wrong_form(error.body_text()))?;
    let basket = storefront.services.basket(&visit).await;
    let front = Uri::from_static("/");
    let basket = basket.map_err(|error| trouble::of_reading(&error, "your basket", &front))?;
    if !basket.lines.is_empty() {
        return Ok(Redirect::to("/").into_response());
    }
    let cookie = set_cookie("currency", choice.currency.code());
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}
