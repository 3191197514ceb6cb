//! One HTTP request, for probes and questions between measurements, or for an answer that goes on. Load is made by [`crate::load`].

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
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

/// The longest line of an answer that goes on.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A request whose answer goes on: gives each line of it to `each` as it comes, until the answer ends or `each` says that it is enough. Returns the answer as a whole instead if its status is not 200.
/// Blocks; not for use within a runtime.
///
/// Errors: nothing came for as long as `silence`, or the connection broke.
pub fn lines(
    address: SocketAddr,
    request: Request<Bytes>,
    silence: Duration,
    each: impl FnMut(&str) -> Result<ControlFlow<()>>,
) -> Result<Option<Fetched>> {
    let act = format!("{} http://{address}{}", request.method(), request.uri());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    runtime.block_on(follow(address, request, silence, each)).context(act)
}

async fn follow(
    address: SocketAddr,
    request: Request<Bytes>,
    silence: Duration,
    mut each: impl FnMut(&str) -> Result<ControlFlow<()>>,
) -> Result<Option<Fetched>> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.context("open the connection")?;
    let answer = async {
        let answer = tokio::time::timeout(silence, sender.send_request(closing(address, request))).await;
        let answer = answer.with_context(|| format!("no answer within {silence:?}"))?;
        let (head, mut body) = answer.context("read the answer")?.into_parts();
        let status = head.status.as_u16();
        if status != 200 {
            let body = tokio::time::timeout(silence, body.collect()).await;
            let body = body.with_context(|| format!("no whole answer within {silence:?}"))?;
            let body = body.context("read the answer's body")?.to_bytes();
            return Ok(Some(Fetched { status, body }));
        }
        let mut read = BytesMut::new();
        while let Some(frame) = tokio::time::timeout(silence, body.frame())
            .await
            .with_context(|| format!("nothing came for {silence:?}"))?
        {
            read.extend_from_slice(&frame.context("read the answer's body")?.into_data().unwrap_or_default());
            while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line = read.split_to(end + 1);
                let line = std::str::from_utf8(&line[..end]).context("the answer is no text")?;
                if each(line)?.is_break() {
                    return Ok(None);
                }
            }
            ensure!(read.len() <= LINE_BYTES_MAX, "a line has more than {LINE_BYTES_MAX} bytes");
        }
        Ok(None)
    };
    driven(answer, connection).await
}

async fn exchange(address: SocketAddr, request: Request<Bytes>) -> Result<Fetched> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.context("open the connection")?;
    let answer = async {
        let answer = sender.send_request(closing(address, request)).await;
        let (head, body) = answer.context("read the answer")?.into_parts();
        let body = body.collect().await.context("read the answer's body")?.to_bytes();
        Ok(Fetched { status: head.status.as_u16(), body })
    };
    driven(answer, connection).await
}

/// A request that is the only one of its connection.
fn closing(address: SocketAddr, request: Request<Bytes>) -> Request<Full<Bytes>> {
    let mut request = request.map(Full::new);
    let host = HeaderValue::try_from(address.to_string()).expect("an address is visible ASCII");
    request.headers_mut().extend([(HOST, host), (CONNECTION, HeaderValue::from_static("close"))]);
    request
}

/// What comes of an answer while its connection is driven.
async fn driven<T>(answer: impl Future<Output = T>, connection: impl Future) -> T {
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may end just after it delivered everything.
        _ = connection => answer.await,
    }
}
