//! What a service's answer says of its health, and whether the request may be sent again.

use std::str::FromStr;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use mainstay_base::error::{Classify, Fault, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::Verdict;

use crate::error::Error;

/// The verdict on an answer.
///
/// A status of the class 5xx is a failure. 502 and 504 tell of a hop behind the service, and 503 that it does not take requests now: those are sent again if that is safe, and one that says when to come back is so after that time. A 500 would mostly be one again.
pub(crate) fn judge<B>(answer: Result<&Response<B>, &Error>) -> Verdict {
    match answer {
        Ok(answer) if !answer.status().is_server_error() => Verdict::Success,
        Ok(answer) => Verdict::Failure(match answer.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                retry_after(answer).map_or(Retry::WithIdempotencyKey, Retry::After)
            }
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Retry::WithIdempotencyKey,
            _ => Retry::Never,
        }),
        Err(error) if error.fault() == Fault::Caller => Verdict::Neutral,
        Err(error) => Verdict::Failure(error.retry()),
    }
}

/// In seconds; dates are not taken, since clocks of two machines differ by as much as they say.
fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    u64::from_str(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
        let mut answer = Response::builder().status(status);
        if let Some(value) = retry_after {
            answer = answer.header(RETRY_AFTER, value);
        }
        judge(Ok(&answer.body(()).expect("an answer")))
    }

    #[test]
    fn a_status_says_how_the_service_is_and_what_may_be_sent_again() {
        for status in [101, 200, 204, 301, 400, 404, 409, 429] {
            assert_eq!(verdict(status, Some("1")), Verdict::Success, "{status}");
        }
        assert_eq!(verdict(500, Some("1")), Verdict::Failure(Retry::Never));
        assert_eq!(verdict(501, None), Verdict::Failure(Retry::Never));
        for status in [502, 503, 504] {
            assert_eq!(verdict(status, None), Verdict::Failure(Retry::WithIdempotencyKey), "{status}");
        }
        assert_eq!(verdict(503, Some("3")), Verdict::Failure(Retry::After(Duration::from_secs(3))));
        let date = Some("Sun, 29 Nov 2026 10:00:00 GMT");
        assert_eq!(verdict(503, date), Verdict::Failure(Retry::WithIdempotencyKey));
    }
}
