//! `/v1/collections/{collection}/holds/{hold}/items/{key}`: a hold of an item, set and released.
//!
//! The hold stands before the key, since a key may have any segments.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use mainstay_machine::command::Operation;

use super::change;
use crate::Api;
use crate::answer::Failure;
use crate::call::Call;
use crate::target;

/// `PUT /v1/collections/{collection}/holds/{hold}/items/{key}`.
pub(crate) async fn hold(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let (name, item) = target::held(&call.parts.uri)?;
    change(&call, Operation::Hold { item, name }).await
}

/// `DELETE /v1/collections/{collection}/holds/{hold}/items/{key}`.
pub(crate) async fn release(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let (name, item) = target::held(&call.parts.uri)?;
    change(&call, Operation::Release { item, name }).await
}
