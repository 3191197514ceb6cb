//! etcd's key-value service over gRPC, without a framework: HTTP/2 frames by `h2`, two messages by hand.
//!
//! HTTP/2 carries many requests at once, so the clients of a load thread share connections, as the clients within one
//! program do with etcd's own library. One task for each connection moves its frames.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Uri};
use mainstay_lab::items::{Hand, Operation, Work};
use mainstay_lab::load::{Answer, Client, Failure, Target};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::proto;
use super::talk::bare;

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
        let lines: Vec<Rc<Line>> = (0..count.div_ceil(super::SHARE)).map(|_| Rc::default()).collect();
        let client = |number: usize| GrpcClient {
            target: Arc::clone(self),
            line: Rc::clone(&lines[number % lines.len()]),
            hand: self.work.hand(),
            open: None,
        };
        (0..count).map(client).collect()
    }
}

/// A place for a connection that clients of one thread share.
#[derive(Default)]
struct Line(RefCell<Option<Rc<Connection>>>);

impl Line {
    fn standing(&self) -> Option<Rc<Connection>> {
        self.0.borrow().clone().filter(|connection| !connection.is_broken.get())
    }

    fn stand(&self, opened: Connection) -> Rc<Connection> {
        let connection = Rc::new(opened);
        *self.0.borrow_mut() = Some(Rc::clone(&connection));
        connection
    }
}

/// An open connection; dropping the last share closes it.
struct Connection {
    sender: SendRequest<Bytes>,
    /// Set by the first client that finds it broken.
    is_broken: Cell<bool>,
    _driver: JoinSet<()>,
}

/// One client of a [`Grpc`] target.
pub(super) struct GrpcClient {
    target: Arc<Grpc>,
    line: Rc<Line>,
    hand: Hand,
    open: Option<Rc<Connection>>,
}

impl Client for GrpcClient {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.open = self.line.standing();
        if self.open.is_none() {
            let opened = connect(self.target.address).await?;
            // Another client may have been first.
            self.open = Some(self.line.standing().unwrap_or_else(|| self.line.stand(opened)));
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|connection| !connection.is_broken.get())
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        let Some(connection) = self.open.clone() else { return Err(Failure::Unsent) };
        let fate = self.exchange(&connection).await;
        if fate.is_err() {
            connection.is_broken.set(true);
        }
        fate
    }
}

impl GrpcClient {
    async fn exchange(&mut self, connection: &Connection) -> Result<Answer, Failure> {
        let Self { target, hand, .. } = self;
        let mut sender = connection.sender.clone().ready().await.map_err(|_| Failure::Unsent)?;
        let key = target.work.next(hand);
        let message = match target.work.operation() {
            Operation::Get => proto::range(&key),
            Operation::Put => proto::put(&key, target.work.value(hand)),
        };
        let (answer, mut body) = sender.send_request(target.request(), false).map_err(|_| Failure::Unsent)?;
        body.send_data(message.into(), true).map_err(|_| Failure::Closed)?;
        let (head, mut body) = answer.await.map_err(|_| Failure::Closed)?.into_parts();
        let mut message = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(|_| Failure::Truncated)?;
            body.flow_control().release_capacity(part.len()).map_err(|_| Failure::Truncated)?;
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

async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::NotConnected,
    })?;
    stream.set_nodelay(true).map_err(|_| Failure::NotConnected)?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|_| Failure::NotConnected)?;
    let mut driver = JoinSet::new();
    driver.spawn_local(async move {
        // Its clients see for themselves when it breaks.
        drop(connection.await);
    });
    Ok(Connection { sender, is_broken: Cell::new(false), _driver: driver })
}
