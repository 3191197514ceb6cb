//! Asks endpoints whether they are well.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use mainstay_base::units::Duration;
use mainstay_resilience::{Call, Env, Facts};
use tokio::net::TcpStream;

use crate::body::{AnswerBody, Payload};
use crate::choice::Choice;
use crate::config::{By, Health, Idle, Protocol};
use crate::dial::Dial;
use crate::judge::GRPC_STATUS;
use crate::pool::Pool;
use crate::request::{Head, Request};
use crate::worker::send;

/// How the answer to a check may be at most: a few bytes are expected.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks an endpoint whether it is well, over a connection of its own. Errors: it is not, and why.
pub(crate) async fn check(
    endpoint: SocketAddr,
    health: &Health,
    dial: &Dial,
    env: Env,
) -> Result<(), String> {
    let asked = async {
        match health.by {
            By::Tcp => connect(endpoint, health.timeout).await,
            By::Http => http(endpoint, health, dial.clone(), env).await,
            By::Grpc => grpc(endpoint, health, Dial { protocol: Protocol::Http2, ..dial.clone() }, env).await,
        }
    };
    let asked = tokio::time::timeout(health.timeout.as_std(), asked).await;
    asked.unwrap_or_else(|_| Err(format!("the check took more than {}", health.timeout)))
}

/// Whether an endpoint takes a connection. Errors: it does not, and why.
pub(crate) async fn connect(endpoint: SocketAddr, limit: Duration) -> Result<(), String> {
    match tokio::time::timeout(limit.as_std(), TcpStream::connect(endpoint)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it took no connection within {limit}")),
    }
}

/// Gets a path of an endpoint, over a connection of its own, and reads the answer. Errors: there is none, and why.
pub(crate) async fn get(
    endpoint: SocketAddr,
    path: &str,
    dial: Dial,
    env: Env,
) -> Result<StatusCode, String> {
    let mut head = head(Method::GET, path, None, endpoint);
    head.headers.insert(USER_AGENT, HeaderValue::from_static("mainstay-warm-up"));
    let answer = ask(endpoint, head, Payload::Empty, dial, env).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| format!("its answer broke off: {error}"))?;
    }
    Ok(status)
}

async fn http(endpoint: SocketAddr, health: &Health, dial: Dial, env: Env) -> Result<(), String> {
    let head = head(Method::GET, &health.path, health.host.as_deref(), endpoint);
    let answer = ask(endpoint, head, Payload::Empty, dial, env).await?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("the check of {} was answered {status}", health.path))
    }
}

/// The protocol is `grpc.health.v1` (gRPC health checking protocol).
async fn grpc(endpoint: SocketAddr, health: &Health, dial: Dial, env: Env) -> Result<(), String> {
    let mut head = head(Method::POST, "/grpc.health.v1.Health/Check", health.host.as_deref(), endpoint);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(TE, HeaderValue::from_static("trailers"));
    let asked = message(health.service.as_deref().unwrap_or_default());
    let answer = ask(endpoint, head, Payload::Whole(asked), dial, env).await?;
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Err(format!("the check by gRPC was answered {}", parts.status));
    }
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| format!("the answer to the check by gRPC broke off: {error}"))?;
    let status = status(&parts.headers).or_else(|| body.trailers().and_then(status));
    match status.as_deref() {
        Some("0") => {}
        Some("12") => return Err("it does not have the service grpc.health.v1.Health".to_owned()),
        Some("5") => {
            return Err("its health service does not know the service that is asked about".to_owned());
        }
        status => return Err(format!("the check by gRPC ended with status {}", status.unwrap_or("none"))),
    }
    match serving(body.to_bytes()) {
        Some(1) => Ok(()),
        Some(2) => Err("its health service says NOT_SERVING".to_owned()),
        other => Err(format!(
            "its health service says {}",
            other.map_or("nothing".to_owned(), |it| it.to_string())
        )),
    }
}

fn status(headers: &HeaderMap) -> Option<String> {
    headers.get(GRPC_STATUS)?.to_str().ok().map(str::to_owned)
}

/// A `HealthCheckRequest { string service = 1; }` in a frame of gRPC.
fn message(service: &str) -> Bytes {
    // A name of up to 127 bytes has a length of one byte; longer ones are not taken by the configuration.
    let length = u8::try_from(service.len()).unwrap_or(0);
    let mut message = BytesMut::new();
    let bytes = if length == 0 { 0 } else { u32::from(length) + 2 };
    message.put_u8(0);
    message.put_u32(bytes);
    if length > 0 {
        message.put_slice(&[0x0a, length]);
        message.put_slice(service.as_bytes());
    }
    message.freeze()
}

/// The status of a `HealthCheckResponse { ServingStatus status = 1; }` in a frame of gRPC; one that is left out is 0.
fn serving(mut body: Bytes) -> Option<u8> {
    const FRAME_BYTES: usize = 5;
    if body.remaining() < FRAME_BYTES || body.get_u8() != 0 {
        return None;
    }
    let length = body.get_u32() as usize;
    match &body[..length.min(body.len())] {
        [] => Some(0),
        [0x08, status, ..] => Some(*status),
        _ => None,
    }
}

fn head(method: Method, path: &str, host: Option<&str>, endpoint: SocketAddr) -> Head {
    let host = host.map_or_else(|| endpoint.to_string(), str::to_owned);
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host.try_into().expect("it was checked"));
    headers.insert(USER_AGENT, HeaderValue::from_static("mainstay-health"));
    let uri: Uri = path.parse().expect("it was checked");
    Head { method, uri, headers, upgrade: None, choice: Choice::default() }
}

async fn ask(
    endpoint: SocketAddr,
    head: Head,
    payload: Payload,
    dial: Dial,
    env: Env,
) -> Result<Response<AnswerBody>, String> {
    let facts = Facts::new(env.now());
    let none_kept = Dial { idle: Idle { max: 0, ..Idle::default() }, ..dial };
    // What is counted of the endpoint is counted of calls.
    let pool = Arc::new(Pool::new(endpoint, Arc::default(), none_kept, env));
    let call = Call { request: Request { head: Arc::new(head), payload }, facts };
    send(pool, &call).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_grpc_are_as_protobuf_has_them() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("shop")[..], *b"\x00\x00\x00\x00\x06\x0a\x04shop");
        assert_eq!(serving(Bytes::from_static(b"\x00\x00\x00\x00\x02\x08\x01")), Some(1));
        assert_eq!(serving(Bytes::from_static(b"\x00\x00\x00\x00\x02\x08\x02")), Some(2));
        assert_eq!(serving(Bytes::from_static(b"\x00\x00\x00\x00\x00")), Some(0));
        for broken in
            [&b""[..], b"\x00\x00", b"\x01\x00\x00\x00\x02\x08\x01", b"\x00\x00\x00\x00\x02\x12\x01"]
        {
            assert_eq!(serving(Bytes::from_static(broken)), None);
        }
        assert_eq!(
            serving(Bytes::from_static(b"\x00\xff\xff\xff\xff\x08\x01")),
            Some(1),
            "a length beyond the end"
        );
    }
}
