//! HTTP/1.1 over TCP, one request after the other on kept-alive connections.
//!
//! A connection and the request on it are driven by one task: no wake-ups between tasks, so the generator costs
//! little on a machine that it shares with the server.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Answer, Client, Failure, Target};

/// One request, prepared once and sent many times.
#[derive(Debug, Clone)]
pub struct Http1 {
    target: SocketAddr,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Http1 {
    /// `GET path` with a `Host` of the address. Panics if `path` is not a valid request target.
    #[must_use]
    pub fn get(target: SocketAddr, path: &str) -> Self {
        let uri = path.parse().expect("a request path written by the experiment's author");
        let host = HeaderValue::from_str(&target.to_string()).expect("an address is a valid header value");
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        Self { target, method: Method::GET, uri, headers, body: Bytes::new() }
    }

    /// The same with a method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The same with a header, replacing one of that name (also `Host`). Errors: name or value is not valid.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let name = name.parse::<HeaderName>().with_context(|| format!("header name {name:?}"))?;
        let value = HeaderValue::from_str(value).with_context(|| format!("value of header {name}"))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The same with a body; its length is sent as `Content-Length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Target for Http1 {
    type Client = Http1Client;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<Http1Client> {
        (0..count).map(|_| Http1Client { target: Arc::clone(self), open: None }).collect()
    }
}

/// One connection to an [`Http1`] target.
#[derive(Debug)]
pub struct Http1Client {
    target: Arc<Http1>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended: it must not be polled again.
    connection: Option<Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

impl Client for Http1Client {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.open = None;
        let stream = TcpStream::connect(self.target.target).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            _ => Failure::NotConnected,
        })?;
        stream.set_nodelay(true).map_err(|_| Failure::NotConnected)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| Failure::NotConnected)?;
        self.open = Some(Open { sender, connection: Some(connection) });
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.connection.is_some() && !open.sender.is_closed())
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        // Taken out, so that a call that fails or is dropped takes its connection along.
        let Some(mut open) = self.open.take() else { return Err(Failure::Unsent) };
        let request = self.target.request();
        let Open { sender, connection } = &mut open;
        let answer = drive(connection, exchange(sender, request)).await?;
        self.open = Some(open);
        Ok(answer)
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    sender.ready().await.map_err(|_| Failure::Unsent)?;
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(error) if error.message().is_some() => return Err(Failure::Unsent),
        Err(error) => return Err(broken(error.error(), Failure::Closed)),
    };
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error, Failure::Truncated))?;
        body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(Answer { status, body_bytes })
}

fn broken(error: &hyper::Error, closed: Failure) -> Failure {
    if error.is_parse() { Failure::Malformed } else { closed }
}

/// Polls `work` and, between, the connection that carries it.
async fn drive<C, W>(connection: &mut Option<C>, work: W) -> W::Output
where
    C: Future + Unpin,
    W: Future,
{
    let mut work = pin!(work);
    poll_fn(|context| {
        // The first turn writes the request or reads what came; the second takes a body that arrived with its head.
        for _ in 0..2 {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            if let Some(running) = connection
                && Pin::new(running).poll(context).is_ready()
            {
                *connection = None;
            }
        }
        work.as_mut().poll(context)
    })
    .await
}
