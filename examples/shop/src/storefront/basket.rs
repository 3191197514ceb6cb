//! The basket: what is in it, and the form that sets how many there are of a product.

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use crate::orders::order::Basket;
use crate::service;

use super::services::Error;
use super::trouble::{self, Trouble};
use super::visit::Visit;
use super::{Storefront, views};

/// Shows the basket.
pub async fn show(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    page: Uri,
) -> Result<Response, Trouble> {
    let services = &storefront.services;
    let (products, basket) = tokio::join!(services.products(&visit), services.basket(&visit));
    let trouble = |error: Error| trouble::of_reading(&error, "your basket", &page);
    let (products, basket) = (products.map_err(trouble)?, basket.map_err(trouble)?);
    Ok(Html(views::basket(&basket, &products).into_string()).into_response())
}

/// The form of a product, and of a line of the basket. It says how many there are to be, so sending it twice changes nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub sku: String,
    pub quantity: u64,
    /// The basket that the page has shown.
    pub basket: String,
    /// Which page it is on.
    #[serde(default)]
    pub from: From,
}

/// The pages with forms of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// All products.
    #[default]
    Shop,
    /// The basket.
    Basket,
}

impl From {
    /// As it stands in the form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Basket => "basket",
        }
    }
}

/// Sets a line, and goes back to where the form was.
pub async fn set_line(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    form: Result<Form<Line>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(line) = form.map_err(|error| Trouble::wrong_form(error.body_text()))?;
    for (what, id) in [("product", &line.sku), ("basket", &line.basket)] {
        service::id(what, id).map_err(|_| Trouble::wrong_form(format!("{id:?} is no {what}")))?;
    }
    let back = match line.from {
        From::Shop => format!("/#p-{}", line.sku),
        From::Basket => "/basket".to_owned(),
    };
    match set(&storefront, &visit, &line).await {
        Ok(_) => Ok(Redirect::to(&back).into_response()),
        // An old page of a basket: the person sees what there is now.
        Err(error) if error.is(StatusCode::CONFLICT) && line.from == From::Basket => {
            Ok(Redirect::to(&back).into_response())
        }
        Err(Error::Refused { status, detail, .. }) => Err(Trouble::refused(status, &detail)),
        Err(Error::NoAnswer) => Err(Trouble::basket_not_confirmed(&views::line_fields(
            &line.sku,
            &line.basket,
            line.from,
            Some(line.quantity),
        ))),
    }
}

/// Sets the line. From an old page of the shop it goes into the basket that is open now.
async fn set(storefront: &Storefront, visit: &Visit, line: &Line) -> Result<Basket, Error> {
    let services = &storefront.services;
    let conflict = match services.set_line(visit, &line.basket, &line.sku, line.quantity).await {
        Err(error) if error.is(StatusCode::CONFLICT) && line.from == From::Shop => error,
        result => return result,
    };
    let open = services.basket(visit).await?;
    if open.id == line.basket {
        return Err(conflict);
    }
    services.set_line(visit, &open.id, &line.sku, line.quantity).await
}
