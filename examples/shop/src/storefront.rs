//! The storefront: the pages that people see, rendered on the server.
//!
//! It keeps nothing: who somebody is stands in a cookie, everything else is asked of the services behind it. All of it works
//! without JavaScript; with it, the page of an order follows the order. What cannot be confirmed is said to be so, with a button
//! that sends the same again.

mod assets;
mod basket;
mod catalogue;
mod events;
mod orders;
mod services;
mod trouble;
mod views;
mod visit;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::mainstay::Mainstay;
use crate::service::Home;

use services::Services;
use trouble::Trouble;

/// How many orders an instance has followed at once. One more is answered 503, and its page asks from time to time instead.
const FOLLOWED_MAX: usize = 256;

/// The forms of the shop have a few short fields.
const FORM_BYTES_MAX: usize = 16 << 10;

/// What the pages are made from. Clones share it.
#[derive(Debug, Clone)]
struct Storefront {
    /// The services behind it.
    services: Services,
    /// Where the changes of an order are told.
    api: Mainstay,
    /// A place for each order that is followed.
    places: Arc<Semaphore>,
}

/// Serves the storefront until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    home.serve(routes(&home)).await
}

/// All pages, with what they need.
pub fn routes(home: &Home) -> Router {
    let storefront = Storefront {
        services: Services::new(home.gateway.clone()),
        api: home.api.clone(),
        places: Arc::new(Semaphore::new(FOLLOWED_MAX)),
    };
    Router::new()
        .route("/", get(catalogue::show))
        .route("/currency", post(catalogue::choose_currency))
        .route("/basket", get(basket::show))
        .route("/basket/lines", post(basket::set_line))
        .route("/checkout", post(orders::check_out))
        .route("/orders", get(orders::list))
        .route("/orders/{order}", get(orders::show))
        .route("/orders/{order}/events", get(events::follow))
        .fallback(async || Trouble::no_page())
        .method_not_allowed_fallback(async || Trouble::wrong_method())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn(visit::begin))
        // Before that layer's cookies: these are the same for everybody.
        .merge(assets::routes())
        .with_state(storefront)
}
