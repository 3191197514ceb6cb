//! Policies that keep a call, its caller and what it calls healthy: one stack for every call that Mainstay makes or takes.
//!
//! Each policy is two things. Its *core* is a function of its state, an event and a moment that is given to it: it reads no clock, does no I/O,
//! and allocates nothing on the common path. Its *layer* is a [`tower_layer::Layer`] that asks the core and does what it says, around any service
//! that takes a [`Call`]: a request with what policies must know of it. The same rooms stand in every policy: the core and its `Config` in the
//! policy's own file, `layer`, `service`, `future`.
//!
//! A stack begins with [`call::Layer`], which makes a [`Call`] of a request, and ends with [`call::Inner`], which gives the request to the service that is
//! guarded. All policies have one error, [`Error`]: the service's own, or the [`Rejection`] of a policy. What an answer means to them is told by a
//! [`Judge`].
//!
//! # A client
//!
//! Retries within a budget, a breaker, a bulkhead and deadlines before whatever is called, here a function of an address:
//!
//! ```
//! # use std::sync::Arc;
//! # use mainstay_base::{error::Code, time::SeededEntropy};
//! # use mainstay_resilience::{Classified, Counts, Env, Facts, TokioClock, policy::{Guard, Policy}};
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # #[derive(Debug)] struct Failed;
//! # impl mainstay_base::error::Classify for Failed { fn code(&self) -> Code { Code::BadGateway } }
//! # async fn fetch(address: String) -> Result<String, Failed> { Ok(format!("what is at {address}")) }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let env = Env::new(Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(7)), Arc::new(Counts::new("prices")));
//! let guard = Guard::new(&Policy::default(), env.clone());
//! let facts = move |_: &String| Facts { is_idempotent: true, ..Facts::new(env.now()) };
//! let client = ServiceBuilder::new().layer(guard.layer(facts, Classified)).service(service_fn(fetch));
//! let answer = client.oneshot("http://prices/7".to_owned()).await;
//! # assert_eq!(answer.unwrap(), "what is at http://prices/7");
//! # }
//! ```
//!
//! # A handler
//!
//! At most so many requests of a handler of axum run and wait at a time, none for longer than its deadline; what is turned away is told so:
//!
//! ```
//! # use std::{convert::Infallible, sync::Arc};
//! # use axum::{BoxError, Router, body::Body, error_handling::HandleErrorLayer, extract::Request, response::Response, routing::get};
//! # use mainstay_base::{error::Classify, time::SeededEntropy};
//! # use mainstay_resilience::{Counts, Env, Error, Facts, TokioClock, Verdict, policy::{Guard, Policy}};
//! # use tower::{ServiceBuilder, ServiceExt};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let env = Env::new(Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(7)), Arc::new(Counts::new("orders")));
//! let guard = Guard::new(&Policy { breaker: None, ..Policy::default() }, env.clone());
//! let facts = move |_: &Request| Facts::new(env.now());
//! let judge = |_: Result<&Response, &Infallible>| Verdict::Success;
//! let told = async |error: Error<Infallible>| {
//!     (http::StatusCode::from_u16(error.code().status()).unwrap(), error.to_string())
//! };
//! let guarded = ServiceBuilder::new().layer(HandleErrorLayer::new(told)).layer(guard.layer_once(facts, judge));
//! let app: Router = Router::new().route("/orders", get(async || "all of them")).layer(guarded);
//! # let answer = app.oneshot(Request::get("/orders").body(Body::empty()).unwrap()).await.unwrap();
//! # assert_eq!(answer.status(), 200);
//! # }
//! ```
//!
//! The crate knows neither HTTP nor shards: whoever uses it says where a deadline, a class or a key comes from.

pub mod adaptive;
pub mod breaker;
pub mod bulkhead;
pub mod call;
pub mod coalesce;
pub mod deadline;
pub mod fallback;
pub mod fault;
pub mod hedge;
pub mod limit;
pub mod policy;
pub mod retry;
pub mod shed;

mod chance;
mod env;
mod error;
mod judge;
mod watch;

pub use call::{Call, Criticality, Facts, Key};
pub use env::{Env, TokioClock};
pub use error::{Error, Rejection};
pub use judge::{Classified, Judge, Verdict};
pub use watch::{Counts, Decision, Watch};
