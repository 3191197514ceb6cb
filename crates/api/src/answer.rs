//! Answers: JSON documents and problems.

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use serde::Serialize;

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;

/// A problem on its way to the caller. Whoever finishes the answer adds the request's id and writes the document
/// ([`document`]).
#[derive(Debug)]
pub struct Failure {
    problem: Box<Problem>,
    headers: HeaderMap,
}

impl Failure {
    /// A problem with the code's own retry.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// Adds the headers that the answer has beside those of every problem.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), headers: HeaderMap::new() }
    }
}

impl IntoResponse for Failure {
    /// Status, headers and the problem itself as an extension.
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.problem);
        *response.headers_mut() = self.headers;
        response.extensions_mut().insert(Carried(Arc::new(*self.problem)));
        response
    }
}

/// The problem inside a response whose document is not written yet.
#[derive(Debug, Clone)]
pub struct Carried(pub Arc<Problem>);

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
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mainstay\""));
    }
    response
}

/// The problem document, with what the response that carried the problem has in its headers, such as the `Allow` of a 405.
pub fn document(carrier: Response<Body>, problem: &Problem) -> Response<Body> {
    let mut response = self::problem(problem);
    let mut headers = carrier.into_parts().0.headers;
    // What describes the old body does not hold for the document.
    headers.remove(CONTENT_LENGTH);
    response.headers_mut().extend(headers);
    response
}

/// The value of a header. Panics when a header cannot hold what is displayed: that is a defect.
///
/// Written without a text in between, unless it is long.
pub fn header(value: impl Display) -> HeaderValue {
    const SHORT: usize = 64;
    let mut buffer = [0; SHORT];
    let mut rest = &mut buffer[..];
    let is_short = write!(rest, "{value}").is_ok();
    let written = SHORT - rest.len();
    let header = if is_short {
        HeaderValue::from_bytes(&buffer[..written])
    } else {
        HeaderValue::try_from(value.to_string())
    };
    header.expect("what goes into headers is without control characters")
}

/// The answer to a path without a resource.
pub async fn unknown(uri: Uri) -> Failure {
    let path = uri.path();
    Failure::new(Code::NotFound, format!("there is nothing at `{path}`; `/` lists what there is"))
}

/// The answer to a method that a resource does not have. The router adds `Allow`.
pub async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let path = uri.path();
    Failure::new(Code::MethodNotAllowed, format!("`{path}` has no {method}; `Allow` lists what it has"))
}

fn status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status()).expect("the codes map to valid status codes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_any_length_are_whole() {
        for length in [0, 1, 63, 64, 65, 10_000] {
            let text = "x".repeat(length);
            assert_eq!(header(&text), text);
        }
        assert_eq!(header(format_args!("\"{:x}\"", 47)), "\"2f\"");
    }
}
