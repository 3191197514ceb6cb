//! Answers: JSON documents and problems.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;

/// A problem on its way to the caller. The pipeline adds the request's id and writes the document.
#[derive(Debug)]
pub struct Failure(pub Box<Problem>);

impl Failure {
    /// A problem with the code's own retry.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Failure {
    /// Status and the problem itself as an extension; the pipeline makes the document of it.
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(Carried(std::sync::Arc::new(*self.0)));
        response
    }
}

/// The problem inside a response that the pipeline has not finished yet.
#[derive(Clone)]
pub struct Carried(pub std::sync::Arc<Problem>);

/// 200 with a JSON document.
pub fn json(document: &impl Serialize) -> Response<Body> {
    let mut text = serde_json::to_vec(document).expect("an answer is plain data");
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The problem document.
pub fn problem(problem: &Problem) -> Response<Body> {
    let mut text = serde_json::to_vec(problem).expect("a problem is plain data");
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status(problem);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
    if let Some(after) = problem.retry().after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_up()));
    }
    if problem.code() == Code::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer realm=\"mainstay\"");
        headers.insert(axum::http::header::WWW_AUTHENTICATE, scheme);
    }
    response
}

fn status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status()).expect("the codes map to valid status codes")
}
