//! A proxy before the node that commits get lost at, in all ways in which they do on a network and in a node that stops.
//!
//! Every so many commits one meets the next [`Fault`]. Everything else is passed on as it is.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use shop::http::{Answer, Call, Client, Deadline};
use shop::mainstay::Mainstay;
use tokio::net::TcpListener;

use crate::node::{Node, PATIENCE};

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is lost with its connection.
    RequestLost,
    /// It is told to be in doubt, and comes to the node right after the next commit.
    Late,
    /// It is refused, since the node is busy.
    Busy,
}

/// The faults that commits meet in turn.
pub const ALL: [Fault; 4] = [Fault::AnswerLost, Fault::Late, Fault::RequestLost, Fault::Busy];

/// A proxy before a node. It ends with the test.
pub struct Lossy {
    base: String,
    road: Arc<Road>,
}

struct Road {
    node: Client,
    every: usize,
    faults: Vec<Fault>,
    commits: AtomicUsize,
    listings: AtomicUsize,
    late: Mutex<Vec<Call>>,
}

impl Lossy {
    /// Before `node`, a proxy at which every `every`th commit meets one of `faults`, in turn.
    pub async fn before(node: &Node, every: usize, faults: &[Fault]) -> Self {
        let road = Arc::new(Road {
            node: node.client(),
            every,
            faults: faults.to_vec(),
            commits: AtomicUsize::new(0),
            listings: AtomicUsize::new(0),
            late: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::clone(&road);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let road = Arc::clone(&shared);
                let service = service_fn(move |request| pass(Arc::clone(&road), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { base, road }
    }

    pub fn api(&self) -> Mainstay {
        Mainstay::new(&self.base)
    }

    /// How many listings were asked for.
    pub fn listings(&self) -> usize {
        self.road.listings.load(Ordering::SeqCst)
    }

    /// Lets everything that is late arrive. Returns how many commits met a fault.
    pub async fn settle(&self) -> usize {
        self.road.arrive().await;
        self.road.commits.load(Ordering::SeqCst) / self.road.every
    }
}

/// Passes a request on. An error breaks the connection.
async fn pass(road: Arc<Road>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let mut call = Call::new(head.method.clone(), &*path).bytes("application/json", body);
    if let Some(none_match) = head.headers.get("if-none-match") {
        call = call.header("if-none-match".parse().expect("a name"), none_match.to_str().expect("text"));
    }
    if path.contains("/items?") {
        road.listings.fetch_add(1, Ordering::SeqCst);
    }
    if head.method != Method::POST || path != "/v1/commits" {
        return Ok(whole(road.forward(call).await));
    }
    match road.fault() {
        None => {
            let answer = road.forward(call).await;
            road.arrive().await;
            Ok(whole(answer))
        }
        Some(Fault::AnswerLost) => {
            road.forward(call).await;
            Err("lost".to_owned())
        }
        Some(Fault::RequestLost) => Err("lost".to_owned()),
        Some(Fault::Late) => {
            road.late.lock().expect("no panic").push(call);
            Ok(refusal(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"))
        }
        Some(Fault::Busy) => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "overloaded")),
    }
}

impl Road {
    /// What the next commit meets.
    fn fault(&self) -> Option<Fault> {
        let count = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let is_hit = count.is_multiple_of(self.every);
        is_hit.then(|| self.faults[(count / self.every - 1) % self.faults.len()])
    }

    async fn arrive(&self) {
        let late = std::mem::take(&mut *self.late.lock().expect("no panic"));
        for call in late {
            self.forward(call).await;
        }
    }

    async fn forward(&self, call: Call) -> Answer {
        self.node.send(call, Deadline::after(PATIENCE)).await.expect("the node answers")
    }
}

fn whole(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    for name in ["etag", "content-type"] {
        if let Some(value) = answer.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn refusal(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(json!({"code": code}).to_string().into()));
    *response.status_mut() = status;
    response
}
