//! A shop in one process, in memory: its pages, and the listings of Mainstay's API with its books. It can be slow, refuse, cut
//! connections and lie, and it remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use shop::audit::{Placed, Shown};
use shop::money::Currency;
use shop::orders::order::State as Standing;
use shop::payments::ledger::MERCHANT;
use shop::service::customer_of;

use crate::little_shop::LittleShop;

/// What is wrong with it. Of pages every so-manieth fails in a way; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// 503 and nothing done, with the form to try again.
    pub unavailable_every: usize,
    /// 429.
    pub limited_every: usize,
    /// It is done, and the connection is cut at the end of the answer, before that is said.
    pub cut_every: usize,
    /// So many first pages show products only, since the basket cannot be reached.
    pub without_basket: usize,
    /// Each page of an order is cut in this way.
    pub cut_orders: bool,
    /// A checkout is answered as if it were done, and is not.
    pub loses: bool,
    /// No order has its price in it: marks that cannot be read.
    pub garbles: bool,
    /// Orders are declined, one and all.
    pub declines: bool,
    /// How long a checkout takes before its answer.
    pub checkout_takes: Duration,
    /// Orders stay as they were placed until their page has been loaded so often.
    pub looks: u64,
    /// An order is shown as paid, and then fails.
    pub lies: bool,
    /// Somebody orders while the books are read, so often: between the transfers and the reservations.
    pub moves: u64,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub customer: String,
    /// Method and path.
    pub what: String,
    pub form: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Inner {
    little: LittleShop,
    customers: u64,
    pages: usize,
    baskets: BTreeMap<String, (String, BTreeMap<String, u64>)>,
    looked: BTreeMap<String, u64>,
    listed_open: u64,
    asked: Vec<Asked>,
    under_way: BTreeMap<String, usize>,
    most_under_way: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    inner: Mutex<Inner>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

/// The shop. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeShop {
    address: SocketAddr,
    shared: Arc<Shared>,
    socket: Mutex<Option<TcpSocket>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for FakeShop {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap().take() {
            task.abort();
        }
    }
}

impl FakeShop {
    pub fn start(faults: Faults) -> Self {
        let shop = Self::away(faults);
        shop.open();
        shop
    }

    /// One that has an address and does not listen yet.
    pub fn away(faults: Faults) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let little = LittleShop::new(&[
            ("tea", 450, 1_000_000),
            ("lamp", 7900, 1_000_000),
            ("desk", 31_000, 1_000_000),
        ]);
        let inner = Inner { little, ..Inner::default() };
        let shared = Shared { faults, inner: Mutex::new(inner) };
        Self {
            address: socket.local_addr().unwrap(),
            shared: Arc::new(shared),
            socket: Mutex::new(Some(socket)),
            task: Mutex::new(None),
        }
    }

    /// Listens from now on.
    pub fn open(&self) {
        let socket = self.socket.lock().unwrap().take().expect("it is opened once");
        let listener: TcpListener = socket.listen(1024).unwrap();
        let routes = routes(Arc::clone(&self.shared));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        *self.task.lock().unwrap() = Some(task);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.inner().asked.clone()
    }

    /// What it has in its books.
    pub fn little(&self) -> LittleShop {
        self.shared.inner().little.clone()
    }

    /// Makes something of its books wrong.
    pub fn change(&self, change: impl FnOnce(&mut LittleShop)) {
        change(&mut self.shared.inner().little);
    }

    /// How often open orders were asked for.
    pub fn listed_open(&self) -> u64 {
        self.shared.inner().listed_open
    }

    /// How many checkouts of a basket were under way at once, by basket.
    pub fn most_under_way(&self) -> BTreeMap<String, usize> {
        self.shared.inner().most_under_way.clone()
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/basket", get(basket))
        .route("/basket/lines", post(add))
        .route("/checkout", post(checkout))
        .route("/orders", get(orders))
        .route("/orders/{order}", get(order))
        .route("/orders/{order}/events", get(events))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), faulty))
        .route("/v1/collections/{collection}/items", get(items))
        .with_state(shared)
}

/// Fails as it is told to, before or after the request is done.
async fn faulty(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (number, faults) = {
        let mut inner = shared.inner();
        inner.pages += 1;
        (inner.pages, shared.faults)
    };
    let is_turn = |every: usize| every > 0 && number % every == 0;
    if is_turn(faults.unavailable_every) {
        let page = Html(
            "<form method=post action=/checkout><input name=basket value=b><button>Try again</button></form>",
        );
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")], page).into_response();
    }
    if is_turn(faults.limited_every) {
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")]).into_response();
    }
    let is_order = request.uri().path().starts_with("/orders/");
    let answer = next.run(request).await;
    if is_turn(faults.cut_every) || (faults.cut_orders && is_order) {
        let (mut head, body) = answer.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        let begun = stream::iter([Ok(Bytes::from("<p data-order=\""))]);
        // What was sent before is on its way by then.
        let end = stream::once(async {
            tokio::task::yield_now().await;
            Err(axum::Error::new("cut"))
        });
        let cut = body.into_data_stream().chain(begun).chain(end);
        return Response::from_parts(head, Body::from_stream(cut));
    }
    answer
}

/// The value of a cookie; empty without it.
fn cookie(headers: &HeaderMap, name: &str) -> String {
    let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.filter(|(is, _)| *is == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}

fn note(inner: &mut Inner, headers: &HeaderMap, what: String, form: BTreeMap<String, String>) -> String {
    let cookie = cookie(headers, "customer");
    let customer = if cookie.is_empty() { cookie } else { customer_of(&cookie) };
    inner.asked.push(Asked { customer: customer.clone(), what, form });
    customer
}

fn basket_of<'a>(inner: &'a mut Inner, customer: &str) -> &'a mut (String, BTreeMap<String, u64>) {
    let id = format!("b-{customer}-{}", inner.little.books.orders.len());
    inner.baskets.entry(customer.to_owned()).or_insert_with(|| (id, BTreeMap::new()))
}

async fn front(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut inner = shared.inner();
    let mut customer = note(&mut inner, &headers, "GET /".to_owned(), BTreeMap::new());
    let mut secret = cookie(&headers, "customer");
    if customer.is_empty() {
        inner.customers += 1;
        secret = format!("{:032x}", inner.customers);
        customer = customer_of(&secret);
    }
    let basket = basket_of(&mut inner, &customer).0.clone();
    let is_reached =
        inner.asked.iter().filter(|asked| asked.what == "GET /").count() > shared.faults.without_basket;
    let currency: Currency = cookie(&headers, "currency").parse().unwrap();
    let mut page = String::from("<!doctype html><title>Shop</title>");
    for (sku, product) in &inner.little.books.products {
        let (price, available) = (product.prices[&currency], inner.little.books.stock[sku].available);
        page += &format!("<article data-sku=\"{sku}\" data-price={price} data-available='{available}'>");
        if is_reached {
            page += &format!("<form><input type=hidden name=basket value=\"{basket}\"></form></article>");
        }
    }
    ([(header::SET_COOKIE, format!("customer={secret}; Path=/"))], Html(page)).into_response()
}

async fn basket(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut inner = shared.inner();
    let customer = note(&mut inner, &headers, "GET /basket".to_owned(), BTreeMap::new());
    let id = basket_of(&mut inner, &customer).0.clone();
    Html(format!("<form method=post action=/checkout><input type=hidden name=basket value=\"{id}\"></form>"))
        .into_response()
}

async fn add(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let mut inner = shared.inner();
    let customer = note(&mut inner, &headers, "POST /basket/lines".to_owned(), form.clone());
    let (id, lines) = basket_of(&mut inner, &customer);
    if form["basket"] != *id {
        return StatusCode::CONFLICT.into_response();
    }
    lines.insert(form["sku"].clone(), form["quantity"].parse().unwrap());
    see_other("/basket".to_owned())
}

fn see_other(location: String) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// A checkout that counts as under way until it is dropped.
struct UnderWay(Arc<Shared>, String);

impl UnderWay {
    fn new(shared: &Arc<Shared>, basket: &str) -> Self {
        let mut inner = shared.inner();
        let now = inner.under_way.entry(basket.to_owned()).or_default();
        *now += 1;
        let now = *now;
        let most = inner.most_under_way.entry(basket.to_owned()).or_default();
        *most = now.max(*most);
        drop(inner);
        Self(Arc::clone(shared), basket.to_owned())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.inner().under_way.get_mut(&self.1).unwrap() -= 1;
    }
}

async fn checkout(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let id = form["basket"].clone();
    let _under_way = UnderWay::new(&shared, &id);
    let currency: Currency = cookie(&headers, "currency").parse().unwrap();
    let is_placed = {
        let mut inner = shared.inner();
        let customer = note(&mut inner, &headers, "POST /checkout".to_owned(), form);
        let is_placed = inner.little.books.orders.iter().any(|placed| placed.id == id);
        if shared.faults.loses {
            true
        } else if !is_placed && let Some((_, lines)) = inner.baskets.remove(&customer) {
            inner.little.place(&customer, &id, currency, &lines);
            true
        } else {
            is_placed
        }
    };
    tokio::time::sleep(shared.faults.checkout_takes).await;
    if is_placed { see_other(format!("/orders/{id}")) } else { StatusCode::CONFLICT.into_response() }
}

fn mark(placed: &Placed, state: Standing) -> String {
    let Placed { id, order, .. } = placed;
    format!(
        "<p data-order=\"{id}\" data-state={} data-total=\"{}\" data-currency='{}'>",
        state.name(),
        order.total,
        order.currency.code()
    )
}

async fn order(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let mut inner = shared.inner();
    note(&mut inner, &headers, "GET /orders/{order}".to_owned(), BTreeMap::new());
    if !inner.little.books.orders.iter().any(|placed| placed.id == id) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let looked = inner.looked.entry(id.clone()).or_default();
    *looked += 1;
    let looked = *looked;
    if shared.faults.lies || shared.faults.declines {
        fail_late(&mut inner.little, &id);
    } else if looked > shared.faults.looks {
        inner.little.go_on_to(&id, Standing::Shipped);
    }
    let placed = inner.little.order(&id).clone();
    if shared.faults.garbles {
        return Html(
            format!("<p data-order=\"{id}\" data-state=shipped>") + &mark(&placed, placed.order.state),
        )
        .into_response();
    }
    let is_lie = shared.faults.lies && looked == 1;
    Html(mark(&placed, if is_lie { Standing::Paid } else { placed.order.state })).into_response()
}

/// Fails an order of which everything was set aside.
fn fail_late(little: &mut LittleShop, id: &str) {
    little.go_on_to(id, Standing::Reserved);
    let Placed { customer, order, .. } = little.order(id).clone();
    if order.state == Standing::Reserved {
        little.pending(order.currency.code(), &format!("{id}-pay"), (&customer, MERCHANT), order.total);
        little.becomes(id, Standing::Failing);
        little.step(id);
    }
}

async fn orders(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut inner = shared.inner();
    let customer = note(&mut inner, &headers, "GET /orders".to_owned(), BTreeMap::new());
    let of = inner.little.books.orders.iter().filter(|placed| placed.customer == customer);
    Html(of.map(|placed| mark(placed, placed.order.state)).collect::<String>()).into_response()
}

/// Each step of an order to its end, cut into pieces that are no events.
async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let mut inner = shared.inner();
    note(&mut inner, &headers, "GET /orders/{order}/events".to_owned(), BTreeMap::new());
    let mut text = String::from(": welcome\n\nevent: heartbeat\ndata: {}\n\n");
    loop {
        let Placed { order, .. } = inner.little.order(&id).clone();
        let (state, total) = (order.state, order.total);
        let data = json!({"id": id, "state": state, "total": total, "currency": order.currency});
        text += &format!("event: order\ndata: {data}\n\n");
        if state.is_final() {
            break;
        }
        inner.little.step(&id);
    }
    let pieces: Vec<_> =
        text.into_bytes().chunks(11).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
    let body = Body::from_stream(stream::iter(pieces));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// A listing as Mainstay answers it, in pages of seven.
async fn items(
    State(shared): State<Arc<Shared>>,
    Path(collection): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if collection == "reservations" {
        move_on(&mut shared.inner(), shared.faults.moves);
    }
    let is_open = query.get("filter").is_some_and(|filter| filter == "value.open==true");
    shared.inner().listed_open += u64::from(is_open);
    let mut all = listing(&shared.inner().little, &collection);
    all.retain(|(_, value)| !is_open || value["open"] == true);
    let from: usize =
        query.get("cursor").map_or(0, |cursor| cursor.strip_prefix("from/").unwrap().parse().unwrap());
    let item = |(key, value): &(String, Value)| match collection.as_str() {
        // As Mainstay lists what is no JSON.
        "receipts" => {
            json!({"key": key, "version": "1-1", "content_type": "text/plain", "value_base64": "eA=="})
        }
        _ => json!({"key": key, "version": "1-1", "value": value}),
    };
    let items: Vec<_> = all.iter().skip(from).take(7).map(item).collect();
    let next = (all.len() > from + 7).then(|| format!("from/{}", from + 7));
    Json(json!({"items": items, "next": next})).into_response()
}

/// Orders something, if that is not done often enough.
fn move_on(inner: &mut Inner, moves: u64) {
    if inner.customers < moves {
        inner.customers += 1;
        let id = format!("mover-{}", inner.customers);
        inner.little.place(&id, &id, Currency::Eur, &BTreeMap::from([("tea".to_owned(), 1)]));
        inner.little.go_on_to(&id, Standing::Shipped);
    }
}

fn listing(little: &LittleShop, collection: &str) -> Vec<(String, Value)> {
    fn told<K>(map: &BTreeMap<K, impl Serialize>, key: impl Fn(&K) -> String) -> Vec<(String, Value)> {
        map.iter().map(|(at, value)| (key(at), serde_json::to_value(value).unwrap())).collect()
    }
    let books = &little.books;
    match collection {
        "accounts" => told(&books.accounts, |(ledger, id)| format!("{ledger}/accounts/{id}")),
        "transfers" => told(&books.transfers, |(ledger, id)| format!("{ledger}/transfers/{id}")),
        "products" => told(&books.products, Clone::clone),
        "stock" => told(&books.stock, Clone::clone),
        "reservations" => told(&books.reservations, |(sku, order)| format!("{sku}/{order}")),
        "receipts" => {
            books.receipts.iter().map(|(customer, id)| (format!("{customer}/{id}"), Value::Null)).collect()
        }
        "orders" => {
            let of = books.orders.iter();
            of.map(|placed| {
                (format!("{}/{}", placed.customer, placed.id), serde_json::to_value(&placed.order).unwrap())
            })
            .collect()
        }
        other => panic!("{other} is not listed"),
    }
}

/// What a customer was shown of an order, without when.
pub fn states(shown: &[Shown], order: &str) -> Vec<Standing> {
    shown.iter().filter(|shown| shown.order == order).map(|shown| shown.state).collect()
}
