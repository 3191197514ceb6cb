//! A shopper's browser: cookies, forms and redirects over a pool of connections that all shoppers share.
//!
//! It sends what a browser sends and nothing that only programs know. Whatever comes back and tells of an order is noted before
//! anyone else sees it, also what came of a page that was cut off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::marks::{Marks, OrderMark};
use super::record::{Record, Trouble};
use crate::audit::{Acknowledged, Looked, Place, Shown, Sight};
use crate::http::encoded;
use crate::service::customer_of;

/// No page of the shop is longer.
const PAGE_MAX: usize = 1 << 20;

/// No event is.
const EVENT_MAX: usize = 64 << 10;

const REDIRECTS_MAX: usize = 5;

/// The cookie that says who somebody is.
const CUSTOMER: &str = "customer";

/// The way to the shop, which all browsers share.
#[derive(Debug)]
pub(super) struct Web {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    shop: String,
    record: Arc<Record>,
}

impl Web {
    /// To a shop such as `http://127.0.0.1:8080`. Errors: that is none.
    pub(super) fn new(shop: &str, record: Arc<Record>) -> Result<Self> {
        let shop = shop.trim_end_matches('/');
        let uri: Uri = shop.parse().with_context(|| format!("{shop:?} is no address"))?;
        let is_plain = uri.scheme_str() == Some("http") && uri.path() == "/";
        anyhow::ensure!(is_plain, "{shop:?} is no shop's address: use one such as `http://127.0.0.1:8080`");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(256)
            .build(connector);
        Ok(Self { client, shop: shop.to_owned(), record })
    }
}

/// What is asked for by a link or a form.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    path: String,
    form: Bytes,
}

impl Ask {
    pub(super) fn page(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), form: Bytes::new() }
    }

    pub(super) fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        Self { method: Method::POST, path: path.to_owned(), form: fields.join("&").into() }
    }

    fn is_checkout(&self) -> bool {
        self.method == Method::POST && self.path == "/checkout"
    }

    fn place(&self) -> Place {
        match self.path.as_str() {
            "/checkout" => Place::Checkout,
            "/orders" => Place::Orders,
            path if path.ends_with("/events") => Place::Events,
            path if path.starts_with("/orders/") => Place::Order,
            _ => Place::Other,
        }
    }

    /// The order whose page or events it asks for.
    fn order(&self) -> Option<&str> {
        if self.method == Method::GET { order_of(&self.path) } else { None }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// Where it is, after all redirects.
    pub(super) path: String,
    pub(super) marks: Marks,
    /// How long to wait if it is none that a person could read.
    pub(super) retry_after: Option<Duration>,
    /// When it was there as a whole.
    pub(super) ended: Duration,
    location: Option<String>,
}

impl Page {
    /// What is wrong with it, by its status.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self.status.as_u16() {
            200..=299 => None,
            503 => Some(Trouble::Unavailable),
            429 => Some(Trouble::Limited),
            500..=599 => Some(Trouble::ServerError),
            _ => Some(Trouble::Refused),
        }
    }
}

/// One shopper's browser.
#[derive(Debug)]
pub(super) struct Browser {
    web: Arc<Web>,
    cookies: Mutex<Vec<(String, String)>>,
}

impl Browser {
    /// A new one, which pays in this currency.
    pub(super) fn new(web: Arc<Web>, currency: &str) -> Self {
        Self { web, cookies: Mutex::new(vec![("currency".to_owned(), currency.to_owned())]) }
    }

    /// Asks, and follows redirects to a page, for so long. `ask` becomes the page that the browser was led to, so that the same again
    /// is what reloading is.
    pub(super) async fn load(&self, ask: &mut Ask, time: Duration) -> Result<Page, Trouble> {
        let end = Instant::now() + time;
        for _ in 0..=REDIRECTS_MAX {
            let mut page = self.exchange(ask, end).await?;
            let Some(location) = page.location.take() else { return Ok(page) };
            *ask = Ask::page(location);
        }
        Err(Trouble::Refused)
    }

    /// Opens the events of an order.
    pub(super) async fn events(&self, order: &str, time: Duration) -> Result<Events<'_>, Trouble> {
        let ask = Ask::page(format!("/orders/{}/events", encoded(order)));
        let asked = Asked { request: self.web.record.request(), began: self.web.record.now() };
        let opened = tokio::time::timeout(time, self.send(&ask)).await;
        let answer = opened.unwrap_or(Err(Trouble::NoAnswer))?;
        let (head, body) = answer.into_parts();
        let page = page_of(head.status, &head.headers, &ask, Marks::default(), self.web.record.now());
        self.note_look(&ask, &page, asked);
        match page.trouble() {
            Some(trouble) => Err(trouble),
            None => Ok(Events { browser: self, asked, body, left: Vec::new() }),
        }
    }

    async fn exchange(&self, ask: &Ask, end: Instant) -> Result<Page, Trouble> {
        let record = &self.web.record;
        let asked = Asked { request: record.request(), began: record.now() };
        let sent = timeout_at(end, self.send(ask)).await.unwrap_or(Err(Trouble::NoAnswer));
        let (head, body) = sent?.into_parts();
        if ask.is_checkout()
            && let Some(location) = location(head.status, &head.headers)
        {
            self.note_acknowledged(&location, asked);
        }
        let (body, is_whole) = read(body, end).await;
        let ended = record.now();
        if is_whole && ask.is_checkout() {
            record.answered(asked.began, ended);
        }
        let marks = if is_html(&head.headers) {
            Marks::of(&String::from_utf8_lossy(&body))
        } else {
            Marks::default()
        };
        for _ in 0..marks.unreadable {
            record.trouble(Trouble::Unreadable);
        }
        self.note_shown(&marks.orders, asked, ask.place(), ended);
        if !is_whole {
            return Err(Trouble::NoAnswer);
        }
        let page = page_of(head.status, &head.headers, ask, marks, ended);
        self.note_look(ask, &page, asked);
        Ok(page)
    }

    async fn send(&self, ask: &Ask) -> Result<Response<Incoming>, Trouble> {
        let mut request = Request::new(Full::new(ask.form.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() =
            format!("{}{}", self.web.shop, ask.path).parse().map_err(|_| Trouble::Refused)?;
        let headers = request.headers_mut();
        let accept = if ask.place() == Place::Events { "text/event-stream" } else { "text/html" };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        if ask.method == Method::POST {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        if let Ok(cookies) = HeaderValue::from_str(&self.cookies()) {
            headers.insert(header::COOKIE, cookies);
        }
        let answer = self.web.client.request(request).await;
        let answer = answer
            .map_err(|error| if error.is_connect() { Trouble::NotReached } else { Trouble::NoAnswer })?;
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().unwrap_or_default());
        }
        Ok(answer)
    }

    fn note_shown(&self, orders: &[OrderMark], asked: Asked, place: Place, ended: Duration) {
        if orders.is_empty() {
            return;
        }
        let customer = self.customer();
        let shown = orders.iter().map(|mark| Shown {
            customer: customer.clone(),
            order: mark.order.clone(),
            state: mark.state,
            total: mark.total,
            currency: mark.currency,
            place,
            request: asked.request,
            began: asked.began,
            ended,
        });
        self.web.record.told(|told| told.shown.extend(shown));
    }

    /// Who this is in the books.
    fn customer(&self) -> String {
        customer_of(&self.cookie(CUSTOMER))
    }

    /// A checkout is answered by a redirect to its order.
    fn note_acknowledged(&self, location: &str, asked: Asked) {
        let Some(order) = order_of(location) else { return };
        let acknowledged = Acknowledged {
            customer: self.customer(),
            order: order.to_owned(),
            request: asked.request,
            began: asked.began,
            ended: self.web.record.now(),
        };
        self.web.record.told(|told| told.acknowledged.push(acknowledged));
    }

    /// An answer may say of an order that it is not there, or be the list of all.
    fn note_look(&self, ask: &Ask, page: &Page, asked: Asked) {
        let listed = || page.marks.orders.iter().map(|mark| mark.order.clone()).collect();
        let sight = match (ask.order(), ask.place()) {
            (Some(order), _) if page.status == StatusCode::NOT_FOUND => Sight::Missing(order.to_owned()),
            // With a mark that cannot be read it is not known which order is left out.
            (None, Place::Orders) if page.status == StatusCode::OK && page.marks.unreadable == 0 => {
                Sight::Listed(listed())
            }
            _ => return,
        };
        let Asked { request, began } = asked;
        let looked = Looked { customer: self.customer(), sight, request, began, ended: page.ended };
        self.web.record.told(|told| told.looked.push(looked));
    }

    fn cookies(&self) -> String {
        let cookies = self.cookies.lock().expect("nothing panics with cookies");
        let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        cookies.join("; ")
    }

    fn cookie(&self, name: &str) -> String {
        let cookies = self.cookies.lock().expect("nothing panics with cookies");
        cookies.iter().find(|(is, _)| is == name).map_or_else(String::new, |(_, value)| value.clone())
    }

    /// Keeps a cookie, or forgets it if its `Set-Cookie` says that its time is over.
    fn keep(&self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let is_over = parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
        let mut cookies = self.cookies.lock().expect("nothing panics with cookies");
        match cookies.iter_mut().find(|(is, _)| is == name) {
            Some(_) if is_over => cookies.retain(|(is, _)| is != name),
            Some(kept) => value.clone_into(&mut kept.1),
            None if is_over => {}
            None => cookies.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    request: u64,
    began: Duration,
}

fn page_of(status: StatusCode, headers: &HeaderMap, ask: &Ask, marks: Marks, ended: Duration) -> Page {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    Page {
        status,
        path: ask.path.clone(),
        marks,
        // Who is shown a page presses its button; only who is shown none keeps to the header.
        retry_after: seconds.filter(|_| !is_html(headers)).map(Duration::from_secs),
        ended,
        location: location(status, headers),
    }
}

/// Where a redirect leads to.
fn location(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(header::LOCATION).filter(|_| status.is_redirection())?;
    path_of(location.to_str().ok()?)
}

/// The order that a path is of: its page, or its events.
fn order_of(path: &str) -> Option<&str> {
    let order = path.strip_prefix("/orders/")?;
    let order = order.strip_suffix("/events").unwrap_or(order);
    (!order.is_empty() && !order.contains(['/', '?'])).then_some(order)
}

/// A body as far as it comes, and whether that is all of it: it may be cut off, take too long, or be longer than any page.
async fn read(mut body: Incoming, end: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while bytes.len() <= PAGE_MAX {
        match timeout_at(end, body.frame()).await {
            Ok(None) => return (bytes, true),
            Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Ok(Some(Err(_))) | Err(_) => break,
        }
    }
    (bytes, false)
}

/// The path of a place that a redirect names, with its query.
fn path_of(location: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    Some(uri.path_and_query()?.as_str().to_owned())
}

fn is_html(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| content_type.starts_with("text/html"))
}

/// The events of an order, as they come.
#[derive(Debug)]
pub(super) struct Events<'a> {
    browser: &'a Browser,
    asked: Asked,
    body: Incoming,
    left: Vec<u8>,
}

impl Events<'_> {
    /// The next time that an order is told of, and when; none when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<(OrderMark, Duration)> {
        loop {
            while let Some(event) = self.event() {
                let Some(told) = event else { continue };
                let ended = self.browser.web.record.now();
                self.browser.note_shown(std::slice::from_ref(&told), self.asked, Place::Events, ended);
                return Some((told, ended));
            }
            let frame = self.body.frame().await?.ok()?;
            self.left.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if self.left.len() > EVENT_MAX {
                return None;
            }
        }
    }

    /// The first whole event of what has come: what it tells of an order, if it does.
    fn event(&mut self) -> Option<Option<OrderMark>> {
        let ends = [&b"\n\n"[..], b"\r\n\r\n"];
        let found = |end: &[u8]| Some((self.left.windows(end.len()).position(|at| at == end)?, end.len()));
        let (end, blank) = ends.into_iter().filter_map(found).min()?;
        let event: Vec<u8> = self.left.drain(..end + blank).collect();
        let told = told(&String::from_utf8_lossy(&event));
        if told == Some(None) {
            self.browser.web.record.trouble(Trouble::Unreadable);
        }
        Some(told.flatten())
    }
}

/// What an event tells of an order, if it is one of orders.
fn told(event: &str) -> Option<Option<OrderMark>> {
    let fields = |name: &'static str| {
        event.lines().filter_map(move |line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start()))
    };
    if fields("event").next_back() != Some("order") {
        return None;
    }
    let data = fields("data").collect::<Vec<_>>().join("\n");
    let data: serde_json::Value = serde_json::from_str(&data).unwrap_or_default();
    let mark = || {
        Some(OrderMark {
            order: data["id"].as_str()?.to_owned(),
            state: serde_json::from_value(data["state"].clone()).ok()?,
            total: data["total"].as_u64()?,
            currency: serde_json::from_value(data["currency"].clone()).ok()?,
        })
    };
    Some(mark())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::orders::order::State;

    fn browser() -> Browser {
        let web = Web::new("http://127.0.0.1:1", Arc::new(Record::start())).unwrap();
        Browser::new(Arc::new(web), "usd")
    }

    #[test]
    fn cookies_are_kept_changed_and_forgotten() {
        let browser = browser();
        browser.keep("customer=c-1; Path=/; HttpOnly");
        browser.keep("currency=eur");
        assert_eq!(browser.cookies(), "currency=eur; customer=c-1");
        browser.keep("currency=; Max-Age=0");
        assert_eq!((browser.cookies().as_str(), browser.cookie(CUSTOMER).as_str()), ("customer=c-1", "c-1"));
    }

    #[test]
    fn an_event_tells_of_an_order_or_of_nothing() {
        let event = "id: 7\r\nevent: order\r\ndata: {\"id\":\"o-1\",\"state\":\"paid\",\r\ndata:\"total\":5,\"currency\":\"usd\"}\r\n";
        let mark =
            OrderMark { order: "o-1".to_owned(), state: State::Paid, total: 5, currency: Currency::Usd };
        assert_eq!(told(event), Some(Some(mark)));
        assert_eq!(told("event: heartbeat\ndata: {}\n"), None);
        assert_eq!(told("event: order\ndata: <p>\n"), Some(None));
        assert_eq!(
            told("event: order\ndata: {\"id\":\"o-1\"}\n"),
            Some(None),
            "it cannot be read, and is counted"
        );
    }

    #[test]
    fn who_is_shown_a_page_does_not_wait_as_a_program_would() {
        let waits = |content_type| {
            let headers = [(header::CONTENT_TYPE, content_type), (header::RETRY_AFTER, "5")];
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let headers = HeaderMap::from_iter(headers);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            page_of(status, &headers, &Ask::page("/"), Marks::default(), Duration::ZERO).retry_after
        };
        assert_eq!(waits("text/html; charset=utf-8"), None);
        assert_eq!(waits("application/problem+json"), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_shop_is_an_address_over_http() {
        let record = Arc::new(Record::start());
        for wrong in ["", "127.0.0.1:8080", "https://shop", "http://shop/path", "http://a b"] {
            assert!(Web::new(wrong, Arc::clone(&record)).is_err(), "{wrong:?}");
        }
        assert!(Web::new("http://127.0.0.1:8080/", record).is_ok());
        assert_eq!(path_of("http://127.0.0.1:8080/orders/1?x=2").as_deref(), Some("/orders/1?x=2"));
        assert_eq!(path_of("/orders/1").as_deref(), Some("/orders/1"));
        assert_eq!((order_of("/orders/o-1"), order_of("/orders/o-1/events")), (Some("o-1"), Some("o-1")));
        assert_eq!((order_of("/orders"), order_of("/orders/"), order_of("/basket")), (None, None, None));
        assert_eq!(path_of("/#p-tea").as_deref(), Some("/"));
    }
}
