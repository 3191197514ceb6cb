//! `/v1/collections/{collection}/purge`: the items of a retired collection are removed for good.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;

use super::{DRY_RUN, read_json};
use crate::answer::{self, Failure};
use crate::call::{Call, failed};
use crate::target::{self, Query};
use crate::wire::{PurgeBody, PurgingBody, StockBody};
use crate::{Api, body};

/// `POST /v1/collections/{collection}/purge`.
pub(crate) async fn purge(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    let query = Query::read(&call.parts.uri, &[DRY_RUN])?;
    let is_dry_run = target::flag(&query, DRY_RUN)?;
    let name = target::collection(&call.parts.uri)?;
    let bytes = read_json(&call, body).await?;
    let PurgeBody {} = body::json(&bytes)?;
    let of = (call.tenant(), name);
    if is_dry_run {
        let stock = api.shards.stock(of, call.terms.deadline).await.map_err(failed)?;
        return Ok(answer::json(&StockBody::from(stock)));
    }
    let purging = api.shards.purge(of, call.terms.deadline).await.map_err(failed)?;
    let mut response = answer::json(&PurgingBody::from(purging));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// `GET /v1/collections/{collection}/purge`.
pub(crate) async fn purging(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let name = target::collection(&call.parts.uri)?;
    let of = (call.tenant(), name.clone());
    match api.shards.purging(of, call.terms.deadline).await.map_err(failed)? {
        Some(purging) => Ok(answer::json(&PurgingBody::from(purging))),
        None => {
            let detail = format!(
                "there is no purge of the collection {:?}: retire it and post one, if its items are to go",
                name.as_str()
            );
            Err(Problem::new(Code::NotFound, detail).fact("collection", name.as_str()).into())
        }
    }
}
