//! The pages of the storefront, as a browser or a program sees them: over HTTP, with services that are played.

mod pages;
mod played;
mod relay;
mod troubles;

use axum::http::{HeaderName, Method};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use shop::http::{Answer, Call, Client, Deadline};
use shop::mainstay::Mainstay;
use shop::service::{Home, customer_of};
use tokio::net::TcpListener;

use crate::feed_node::PATIENCE;

pub use played::Played;

/// Serves routes on a free port; the address is a URL.
async fn listen(routes: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
    address
}

/// A storefront with this API and this gateway.
pub async fn serve(api: &str, gateway: &str) -> Client {
    let home = Home { port: 0, api: Mainstay::new(api), gateway: Client::new(gateway) };
    Client::new(&listen(shop::storefront::routes(&home)).await)
}

/// Somebody with a browser, who has been here before.
pub struct Visitor {
    shop: Client,
    pub customer: String,
    pub cookies: String,
}

impl Visitor {
    pub fn new(shop: &Client) -> Self {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let cookie = format!("{count:032x}");
        Self { shop: shop.clone(), cookies: format!("customer={cookie}"), customer: customer_of(&cookie) }
    }

    /// With one more cookie.
    pub fn with_cookie(mut self, cookie: &str) -> Self {
        self.cookies.push_str("; ");
        self.cookies.push_str(cookie);
        self
    }

    pub fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, path).header(HeaderName::from_static("cookie"), &self.cookies)
    }

    pub async fn send(&self, call: Call) -> Answer {
        self.shop.send(call, Deadline::after(PATIENCE)).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.call(Method::GET, path)).await
    }

    /// Sends a form, and does not go where it is told to go then.
    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(form_of(self.call(Method::POST, path), form)).await
    }
}

pub fn form_of(call: Call, form: &str) -> Call {
    call.bytes("application/x-www-form-urlencoded", form.to_owned())
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// A stream of events as a browser reads it.
pub struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    pub async fn open(visitor: &Visitor, order: &str) -> Self {
        let call = visitor.call(Method::GET, &format!("/orders/{order}/events"));
        let answer = visitor.shop.open(call, Deadline::after(PATIENCE)).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The lines of the next event; none when the stream has ended.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return Some(event);
            }
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("it is told something");
            let data = frame?.expect("it does not break off").into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next order that is told.
    pub async fn order(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            if event.lines().any(|line| line == "event: order") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}
