//! etcd's key-value service over gRPC, without a framework: HTTP/2 frames by `h2`, two messages by hand.
//!
//! HTTP/2 carries many requests at once, so the clients of a load thread share connections, as the clients within one
//! program do with etcd's own library.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Uri};
use mainstay_lab::items::{Hand, Operation, Work};
use mainstay_lab::load::{Answer, Client, Failure, Target};

use super::proto;
use super::talk::bare;
use crate::duels::http2::{Connection, Share, next, shares};

/// Clients of an etcd server.
pub(super) struct Grpc {
    address: SocketAddr,
    uri: Uri,
    work: Work,
}

impl Grpc {
    pub(super) fn new(address: SocketAddr, work: Work) -> Self {
        let method = match work.operation() {
            Operation::Get => "Range",
            Operation::Put => "Put",
        };
        let uri = format!("http://{address}/etcdserverpb.KV/{method}");
        Self { address, uri: uri.parse().expect("an address makes a URI"), work }
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        request
    }
}

impl Target for Grpc {
    type Client = GrpcClient;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<GrpcClient> {
        let client = |line| GrpcClient { target: Arc::clone(self), line, hand: self.work.hand() };
        shares(count, super::SHARE).map(client).collect()
    }
}

/// One client of a [`Grpc`] target.
pub(super) struct GrpcClient {
    target: Arc<Grpc>,
    line: Share,
    hand: Hand,
}

impl Client for GrpcClient {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.line.connect(self.target.address).await
    }

    fn is_open(&self) -> bool {
        self.line.is_open()
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        let connection = self.line.connection().ok_or(Failure::Unsent)?;
        let fate = self.exchange(&connection).await;
        connection.judge(&fate);
        fate
    }
}

impl GrpcClient {
    async fn exchange(&mut self, connection: &Connection) -> Result<Answer, Failure> {
        let Self { target, hand, .. } = self;
        let mut sender = connection.sender().await?;
        let key = target.work.next(hand);
        let message = match target.work.operation() {
            Operation::Get => proto::range(&key),
            Operation::Put => proto::put(&key, target.work.value(hand)),
        };
        let (answer, mut body) = sender.send_request(target.request(), false).map_err(|_| Failure::Unsent)?;
        body.send_data(message.into(), true).map_err(|_| Failure::Closed)?;
        let (head, mut body) = answer.await.map_err(|_| Failure::Closed)?.into_parts();
        let mut message = Vec::new();
        while let Some(part) = next(&mut body).await? {
            message.extend_from_slice(&part);
        }
        let trailers = body.trailers().await.map_err(|_| Failure::Truncated)?;
        let succeeded = is_ok(&trailers.unwrap_or(head.headers)).ok_or(Failure::Malformed)?;
        match target.work.operation() {
            _ if !succeeded => Ok(bare(500)),
            Operation::Put => Ok(bare(200)),
            Operation::Get => {
                let value = proto::value(&message).ok_or(Failure::Malformed)?;
                Ok(value.map_or(bare(404), |value| hand.shown(value)))
            }
        }
    }
}

/// Whether the call succeeded; none if that is not told.
fn is_ok(trailers: &HeaderMap) -> Option<bool> {
    trailers.get("grpc-status").map(|status| status == "0")
}
