//! What clients of gRPC are told instead of an answer. They read a status of gRPC, and take whatever else comes for a service that is broken.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use mainstay_base::problem::Problem;

use crate::body::Body;
use crate::path;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// After how many milliseconds a client may try again (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const KIND: &str = "application/grpc";

/// Whether this is a call of gRPC.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(KIND.as_bytes()))
}

/// Has an answer that tells a problem tell it as gRPC does: without messages, with the status in the head, which is what gRPC calls Trailers-Only. Other answers stay as
/// they are.
pub(crate) fn tell(answer: &mut Response<Body>) {
    let Some(problem) = answer.extensions_mut().remove::<Problem>() else { return };
    *answer.body_mut() = Body::whole("");
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
    headers.insert(STATUS, status(problem.status()).into());
    let message =
        HeaderValue::try_from(escaped(problem.detail())).expect("what is no visible ASCII is escaped");
    headers.insert(MESSAGE, message);
    if let Some(after) = problem.retry().after() {
        headers.insert(PUSHBACK, after.as_millis().into());
    }
}

/// The code of gRPC that means what a status of HTTP does.
const fn status(http: u16) -> u16 {
    match http {
        // DEADLINE_EXCEEDED
        408 | 504 => 4,
        // PERMISSION_DENIED
        403 => 7,
        // RESOURCE_EXHAUSTED
        413 | 429 | 507 => 8,
        // FAILED_PRECONDITION
        412 | 423 | 428 => 9,
        // ABORTED
        409 => 10,
        // UNIMPLEMENTED: there is no such method here.
        404 | 405 => 12,
        // UNAUTHENTICATED
        401 => 16,
        // INVALID_ARGUMENT
        400..=499 => 3,
        // UNAVAILABLE
        502 | 503 => 14,
        // INTERNAL
        _ => 13,
    }
}

/// Percent-encoded, but for what is visible ASCII and no `%`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(byte.into()),
            _ => path::push_encoded(&mut escaped, byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use mainstay_base::error::Code;

    use super::*;
    use crate::forward;

    fn told(problem: &Problem) -> Response<Body> {
        let mut answer = forward::told(problem);
        tell(&mut answer);
        answer
    }

    #[test]
    fn a_problem_is_told_as_grpc_tells_it() {
        let answer = told(&Problem::new(Code::NotFound, "no route takes /a%b for the host `ä`"));
        assert_eq!(answer.status(), 200);
        let of = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(of("grpc-status"), Some("12"));
        assert_eq!(of("grpc-message"), Some("no route takes /a%25b for the host `%C3%A4`"));
        assert_eq!(of("content-type"), Some("application/grpc"));
        assert!(http_body::Body::is_end_stream(answer.body()));
    }

    #[test]
    fn each_problem_has_a_status_that_means_it() {
        for (code, status) in [
            (Code::Malformed, 3),
            (Code::Deadline, 4),
            (Code::TooLarge, 8),
            (Code::RateLimited, 8),
            (Code::MethodNotAllowed, 12),
            (Code::LoopDetected, 13),
            (Code::Internal, 13),
            (Code::BadGateway, 14),
            (Code::Unavailable, 14),
            (Code::Overloaded, 14),
        ] {
            let answer = told(&Problem::new(code, "why"));
            assert_eq!(answer.headers()["grpc-status"], status.to_string(), "{code:?}");
        }
    }

    #[test]
    fn an_answer_that_is_no_problem_stays_as_it_is() {
        let mut answer = Response::new(Body::whole("ok"));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        tell(&mut answer);
        assert_eq!((answer.status(), answer.headers().len()), (StatusCode::NOT_FOUND, 0));
    }
}
