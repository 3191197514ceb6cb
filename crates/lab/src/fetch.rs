//! One HTTP request, for probes and questions between measurements. Load is made by [`crate::load`].

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Fetched {
    /// The body as JSON. Errors: the status is not 200, or the body is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        ensure!(self.status == 200, "status {} instead of 200", self.status);
        serde_json::from_slice(&self.body).context("read an answer's JSON")
    }
}

/// `GET http://address/path` on a connection of its own. Blocks; not for use within a runtime.
///
/// Errors: no whole answer within `timeout`.
pub fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<Fetched> {
    send(address, Request::get(path).body(Bytes::new()).context("build the request")?, timeout)
}

/// `POST` of a JSON document. Blocks; not for use within a runtime.
///
/// Errors: no whole answer within `timeout`.
pub fn post(
    address: SocketAddr,
    path: &str,
    document: &serde_json::Value,
    timeout: Duration,
) -> Result<Fetched> {
    let body = serde_json::to_vec(document).context("write the document")?;
    let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(body.into());
    send(address, request.context("build the request")?, timeout)
}

/// Any request, whose target is a path, on a connection of its own. Blocks; not for use within a runtime.
///
/// Errors: no whole answer within `timeout`.
pub fn send(address: SocketAddr, request: Request<Bytes>, timeout: Duration) -> Result<Fetched> {
    let act = format!("{} http://{address}{}", request.method(), request.uri());
    whole(address, request, timeout).context(act)
}

fn whole(address: SocketAddr, request: Request<Bytes>, timeout: Duration) -> Result<Fetched> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    let fetch = async { tokio::time::timeout(timeout, exchange(address, request)).await };
    runtime.block_on(fetch).with_context(|| format!("no answer within {timeout:?}"))?
}

async fn exchange(address: SocketAddr, request: Request<Bytes>) -> Result<Fetched> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.context("open the connection")?;
    let mut request = request.map(Full::new);
    let host = HeaderValue::try_from(address.to_string()).expect("an address is visible ASCII");
    request.headers_mut().extend([(HOST, host), (CONNECTION, HeaderValue::from_static("close"))]);
    let answer = async {
        let (head, body) = sender.send_request(request).await.context("read the answer")?.into_parts();
        let body = body.collect().await.context("read the answer's body")?.to_bytes();
        Ok(Fetched { status: head.status.as_u16(), body })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may end just after it delivered everything.
        _ = connection => answer.await,
    }
}
