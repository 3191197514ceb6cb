//! Connections over HTTP/2 that clients of a load thread share, as the clients within one program do. One task for each moves its frames.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Uri};
use mainstay_lab::load::{Answer, Client, Failure, Target};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A connection's place for each of so many clients, of whom `share` have the same one.
pub(super) fn shares(count: usize, share: usize) -> impl Iterator<Item = Share> {
    let places: Vec<Rc<Place>> = (0..count.div_ceil(share)).map(|_| Rc::default()).collect();
    (0..count).map(move |number| Share { place: Rc::clone(&places[number % places.len()]), open: None })
}

/// Where a connection stands that several clients share.
#[derive(Default)]
struct Place(RefCell<Option<Rc<Connection>>>);

impl Place {
    fn standing(&self) -> Option<Rc<Connection>> {
        self.0.borrow().clone().filter(|connection| !connection.is_broken.get())
    }

    fn stand(&self, opened: Connection) -> Rc<Connection> {
        let connection = Rc::new(opened);
        *self.0.borrow_mut() = Some(Rc::clone(&connection));
        connection
    }
}

/// What one client has of a shared connection.
pub(super) struct Share {
    place: Rc<Place>,
    open: Option<Rc<Connection>>,
}

impl Share {
    /// Opens the connection, unless another client has.
    pub(super) async fn connect(&mut self, address: SocketAddr) -> Result<(), Failure> {
        self.open = self.place.standing();
        if self.open.is_none() {
            let opened = open(address).await?;
            // Another client may have been first.
            self.open = Some(self.place.standing().unwrap_or_else(|| self.place.stand(opened)));
        }
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|connection| !connection.is_broken.get())
    }

    pub(super) fn connection(&self) -> Option<Rc<Connection>> {
        self.open.clone()
    }
}

/// An open connection; dropping the last share closes it.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// Set by the first client that finds it broken.
    is_broken: Cell<bool>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// What sends the next request, when there is room for it.
    pub(super) async fn sender(&self) -> Result<SendRequest<Bytes>, Failure> {
        self.sender.clone().ready().await.map_err(|_| Failure::Unsent)
    }

    /// After a failure nobody uses it any more.
    pub(super) fn judge(&self, fate: &Result<Answer, Failure>) {
        if fate.is_err() {
            self.is_broken.set(true);
        }
    }
}

async fn open(address: SocketAddr) -> Result<Connection, Failure> {
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

/// The next part of a body, for which the server may send as much again.
pub(super) async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, Failure> {
    let Some(part) = body.data().await else { return Ok(None) };
    let part = part.map_err(|_| Failure::Truncated)?;
    body.flow_control().release_capacity(part.len()).map_err(|_| Failure::Truncated)?;
    Ok(Some(part))
}

/// One `GET` over and over, with prior knowledge that the server speaks HTTP/2.
pub(crate) struct Get {
    address: SocketAddr,
    uri: Uri,
    share: usize,
}

impl Get {
    /// `GET path` at an address; as many clients as `share` have one connection.
    pub(crate) fn new(address: SocketAddr, path: &str, share: usize) -> Self {
        let uri = format!("http://{address}{path}").parse().expect("an address and a path make a URI");
        Self { address, uri, share }
    }
}

impl Target for Get {
    type Client = GetClient;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<GetClient> {
        shares(count, self.share).map(|share| GetClient { target: Arc::clone(self), share }).collect()
    }
}

/// One client of a [`Get`] target.
pub(crate) struct GetClient {
    target: Arc<Get>,
    share: Share,
}

impl Client for GetClient {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.share.connect(self.target.address).await
    }

    fn is_open(&self) -> bool {
        self.share.is_open()
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        let connection = self.share.connection().ok_or(Failure::Unsent)?;
        let fate = self.exchange(&connection).await;
        connection.judge(&fate);
        fate
    }
}

impl GetClient {
    async fn exchange(&self, connection: &Connection) -> Result<Answer, Failure> {
        let mut request = Request::new(());
        *request.uri_mut() = self.target.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        let mut sender = connection.sender().await?;
        let (answer, _) = sender.send_request(request, true).map_err(|_| Failure::Unsent)?;
        let (head, mut body) = answer.await.map_err(|_| Failure::Closed)?.into_parts();
        let mut body_bytes = 0;
        while let Some(part) = next(&mut body).await? {
            body_bytes += part.len() as u64;
        }
        Ok(Answer { status: head.status.as_u16(), body_bytes })
    }
}
