//! `/v1/commits`: conditions and operations on one partition, all or nothing.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};

use mainstay_machine::content::ContentType;

use crate::answer::{self, Failure};
use crate::call::{Call, wrong_type};
use crate::target::Query;
use crate::wire::{CommitAnswer, CommitBody};
use crate::{Api, body};

/// `POST /v1/commits`.
pub(crate) async fn create(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let content_type = call.content_type()?;
    if content_type != ContentType::JSON {
        return Err(wrong_type(content_type.as_str(), "application/json"));
    }
    let bytes = call.read(body).await?;
    let (partition, commit) = body::json::<CommitBody<'_>>(&bytes)?.into_commit(&bytes)?;
    let done = call.commit(partition, commit).await?;
    let results = done.results.into_iter().map(Into::into).collect();
    let mut response = answer::json(&CommitAnswer { position: done.answer.position, results });
    response.headers_mut().extend(done.headers);
    Ok(response)
}
