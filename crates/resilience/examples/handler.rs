//! A handler of axum of which so many requests run and wait at a time, none of them for longer than its deadline.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_base::error::Classify as _;
use mainstay_base::switch::Switch;
use mainstay_base::time::SeededEntropy;
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::{Counts, Env, Error, Facts, TokioClock, Verdict};
use tower::{ServiceBuilder, ServiceExt};

/// Sends one request.
#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let (clock, entropy) = (Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(7)));
    let env = Env::new(clock, entropy, Arc::new(Counts::new("orders")));
    let guard = Guard::new(&Policy { breaker: Switch::Off, ..Policy::default() }, env.clone());
    let facts = move |_: &Request| Facts::new(env.now());
    let judge = |_: Result<&Response, &Infallible>| Verdict::Success;
    let guarded =
        ServiceBuilder::new().layer(HandleErrorLayer::new(told)).layer(guard.layer_once(facts, judge));
    let app: Router = Router::new().route("/orders", get(async || "all of them")).layer(guarded);
    let answer = app.oneshot(Request::get("/orders").body(Body::empty()).expect("it is a request")).await;
    assert_eq!(answer.expect("it always answers").status(), StatusCode::OK);
}

/// What whoever is turned away is told.
async fn told(error: Error<Infallible>) -> (StatusCode, String) {
    let status = StatusCode::from_u16(error.code().status()).expect("codes have statuses");
    (status, error.to_string())
}
