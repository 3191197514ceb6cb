//! Request bodies: within the limit, and JSON that says where it is wrong.

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::units::Size;

use super::Config;

/// Reads a body within the limits of size and time as a `T`, which is an object: serde would take a list of its
/// members' values as well.
pub async fn json<T: DeserializeOwned>(body: Body, settings: &Config) -> Result<T, Problem> {
    let bytes = read(body, settings).await?;
    if bytes.trim_ascii_start().first().is_some_and(|first| b"[\"0123456789-tfn".contains(first)) {
        return Err(Problem::new(Code::Invalid, "the body must be a JSON object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let code = if error.is_data() { Code::Invalid } else { Code::Malformed };
        let what = if error.is_data() { "does not fit" } else { "is not JSON" };
        Problem::new(code, format!("the body {what}: {error}"))
            .fact("line", error.line())
            .fact("column", error.column())
    })
}

async fn read(body: Body, settings: &Config) -> Result<bytes::Bytes, Problem> {
    let (limit, timeout) = (settings.body_max, settings.body_timeout);
    let limit_bytes = usize::try_from(limit.bytes()).unwrap_or(usize::MAX);
    let whole = Limited::new(body, limit_bytes).collect();
    let Ok(whole) = tokio::time::timeout(timeout.as_std(), whole).await else {
        let detail = format!("the body did not arrive within {timeout}, the limit `api.body_timeout`");
        return Err(Problem::new(Code::RequestTimeout, detail));
    };
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(error) => Err(Problem::new(Code::Malformed, format!("the body broke off: {error}"))),
    }
}

/// The problem of a body over the limit.
pub fn too_large(limit: Size) -> Problem {
    let detail = format!("the body is over {limit}, the limit `api.body_max`; send less or raise the limit");
    Problem::new(Code::TooLarge, detail).fact("limit_bytes", limit.bytes())
}
