//! What a service's answer says of its health, and whether the request may be sent again.

use std::str::FromStr;

use http::header::RETRY_AFTER;
use http::{HeaderName, Response, StatusCode, Version};
use mainstay_base::error::{Classify, Fault, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::Verdict;

use crate::error::Error;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const AGAIN_IF_SAFE: Verdict = Verdict::Failure(Retry::WithIdempotencyKey);

/// The verdict on an answer.
///
/// A status of the class 5xx is a failure. 502 and 504 tell of a hop behind the service, and 503 that it does not take requests now: those are sent again if that is safe, and where it says when to come back, not before. A 500 would mostly be one again.
///
/// A failure of gRPC has the status 200. It is seen where it comes with the head, as that of a call without messages does, and means what the like status of HTTP does.
pub(crate) fn judge<B>(answer: Result<&Response<B>, &Error>) -> Verdict {
    match answer {
        Ok(answer) if answer.version() == Version::HTTP_2 && answer.status() == StatusCode::OK => {
            grpc(answer)
        }
        Ok(answer) if !answer.status().is_server_error() => Verdict::Success,
        Ok(answer) => match answer.status() {
            StatusCode::SERVICE_UNAVAILABLE => retry_after(answer).map_or(AGAIN_IF_SAFE, Verdict::Busy),
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => AGAIN_IF_SAFE,
            _ => Verdict::Failure(Retry::Never),
        },
        // Nothing was asked.
        Err(Error::BodySpent | Error::NoEndpoint { .. }) => Verdict::Neutral,
        Err(error) if error.fault() == Fault::Caller => Verdict::Neutral,
        Err(error) => Verdict::Failure(error.retry()),
    }
}

fn grpc<B>(answer: &Response<B>) -> Verdict {
    let number = |name: &HeaderName| answer.headers().get(name)?.to_str().ok()?.parse::<i64>().ok();
    match number(&GRPC_STATUS) {
        // UNAVAILABLE. What it says to wait below zero is never to come again (gRFC A6).
        Some(14) => match number(&GRPC_PUSHBACK).map(u64::try_from) {
            None => AGAIN_IF_SAFE,
            Some(Ok(millis)) => Verdict::Busy(Duration::from_millis(millis)),
            Some(Err(_)) => Verdict::Failure(Retry::Never),
        },
        // DEADLINE_EXCEEDED
        Some(4) => AGAIN_IF_SAFE,
        // UNKNOWN, INTERNAL, DATA_LOSS
        Some(2 | 13 | 15) => Verdict::Failure(Retry::Never),
        _ => Verdict::Success,
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
            assert_eq!(verdict(status, None), AGAIN_IF_SAFE, "{status}");
        }
        assert_eq!(verdict(503, Some("3")), Verdict::Busy(Duration::from_secs(3)));
        let date = Some("Sun, 29 Nov 2026 10:00:00 GMT");
        assert_eq!(verdict(503, date), AGAIN_IF_SAFE);
    }

    #[test]
    fn a_failure_of_grpc_is_one_though_its_status_is_200() {
        let verdict = |headers: &[(&str, &str)]| {
            let mut answer = Response::builder().version(Version::HTTP_2);
            for (name, value) in headers {
                answer = answer.header(*name, *value);
            }
            judge(Ok(&answer.body(()).expect("an answer")))
        };
        assert_eq!(verdict(&[]), Verdict::Success);
        for status in ["0", "1", "3", "5", "7", "8", "12", "16", "what"] {
            assert_eq!(verdict(&[("grpc-status", status)]), Verdict::Success, "{status}");
        }
        for status in ["2", "13", "15"] {
            assert_eq!(verdict(&[("grpc-status", status)]), Verdict::Failure(Retry::Never), "{status}");
        }
        for status in ["4", "14"] {
            assert_eq!(verdict(&[("grpc-status", status)]), AGAIN_IF_SAFE, "{status}");
        }
        let told = |millis| verdict(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", millis)]);
        assert_eq!(told("30"), Verdict::Busy(Duration::from_millis(30)));
        assert_eq!(told("-1"), Verdict::Failure(Retry::Never));
    }
}
