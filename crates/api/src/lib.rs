//! REST resources and problems: what is sent over HTTP, to and from commands.
//!
//! Owns the resources ([`routes()`]), their JSON, the headers that all of them share, the documents of answers
//! ([`answer`]) and their description in OpenAPI ([`openapi`]). It reaches what is
//! committed by the port [`Shards`] alone, and never knows shards, logs, sockets or the runtime's tasks.
//!
//! What goes for all requests is for the listener before it: who may call, ids, metrics, and problem documents, which
//! it makes of the problem that a response carries ([`answer::Carried`]).
//!
//! # Mounting
//! A listener that counts by route takes the routes one by one:
//!
//! ```text
//! for (path, methods) in mainstay_api::routes() {
//!     router = router.route(path, measured(path, methods.with_state(api.clone())));
//! }
//! ```
//!
//! Each change says itself which content types it takes, so its guard lets all of them through. None that takes a `POST` takes
//! a type that a form can send.

pub mod answer;
pub mod body;
mod call;
mod changes;
mod collections;
mod commits;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod items;
pub mod openapi;
pub mod preconditions;
mod resources;
pub mod stamp;
pub mod streams;
pub mod target;
pub mod terms;
mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::MethodRouter;

use mainstay_base::time::Clock;
use mainstay_base::units::Duration;
use mainstay_machine::shards::Shards;

use streams::Streams;

/// What the resources work with. Cloning is cheap.
#[derive(Clone)]
pub struct Api {
    /// What is committed.
    pub shards: Arc<dyn Shards>,
    /// The settings in force; a reload replaces them as one.
    pub settings: Arc<ArcSwap<Settings>>,
    /// The clock that deadlines are readings of; the same as that of `shards`.
    pub clock: Arc<dyn Clock>,
    /// The streams that are open.
    pub streams: Streams,
}

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Those of evaluation: a request that is too large by itself is refused before it waits.
    pub machine: mainstay_machine::Settings,
    /// How large request bodies may be, and how long they may take.
    pub body: body::Limits,
    /// How long a request may take whose caller does not say, which the configuration knows as `api.timeout`.
    pub timeout: Duration,
    /// How many streams there may be, and how often they give a sign of life.
    pub streams: streams::Limits,
}

/// Every route, with its methods. Methods that a route does not have are answered by [`answer::wrong_method`].
pub fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    let resources = resources::all().into_iter();
    resources.map(|resource| (resource.path, resource.methods().fallback(answer::wrong_method))).collect()
}

/// All routes as one. Paths without a route are answered by [`answer::unknown`].
pub fn router(api: Api) -> Router {
    let routes = routes().into_iter();
    routes
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(answer::unknown)
        .with_state(api)
}
