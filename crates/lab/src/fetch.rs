//! One HTTP request, for probes and questions between measurements. Load is made by [`crate::load`].

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http::request::Builder;
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
    whole(address, Request::get(path), Bytes::new(), timeout)
        .with_context(|| format!("GET http://{address}{path}"))
}

fn whole(address: SocketAddr, request: Builder, body: Bytes, timeout: Duration) -> Result<Fetched> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    let fetch = async { tokio::time::timeout(timeout, exchange(address, request, body)).await };
    runtime.block_on(fetch).with_context(|| format!("no answer within {timeout:?}"))?
}

/// `POST` of a JSON document, with a bearer token if there is one. Blocks; not for use within a runtime.
///
/// Errors: no whole answer within `timeout`.
pub fn post(
    address: SocketAddr,
    path: &str,
    document: &serde_json::Value,
    token: Option<&str>,
    timeout: Duration,
) -> Result<Fetched> {
    let mut request = Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = serde_json::to_vec(document).context("write the document")?;
    whole(address, request, body.into(), timeout).with_context(|| format!("POST http://{address}{path}"))
}

async fn exchange(address: SocketAddr, request: Builder, body: Bytes) -> Result<Fetched> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.context("open the connection")?;
    let request = request
        .header(http::header::HOST, address.to_string())
        .header(http::header::CONNECTION, "close")
        .body(Full::new(body))
        .context("build the request")?;
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
