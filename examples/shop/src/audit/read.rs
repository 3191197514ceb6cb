//! Reads the books by Mainstay's API, page by page, once the shop is at rest.
//!
//! A collection is read after another, so the books are of one moment only if nothing moves meanwhile. That is checked by what
//! every movement changes, accounts and stock: if they are not as before when all is read, it is read anew. Each page has a time of its
//! own, since books have no bound that a time for all of them could be taken from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::books::{Books, Placed};
use crate::http::{Deadline, encoded};
use crate::inventory::stock::{PRODUCTS, RESERVATIONS, STOCK};
use crate::mainstay::{Error, Mainstay};
use crate::orders::order::ORDERS;
use crate::payments::ledger::{ACCOUNTS, TRANSFERS};

/// The collection of receipts: `<customer>/<order>`.
const RECEIPTS: &str = "receipts";

/// How long a page is asked for: the node may be starting.
const PAGE_TIME: Duration = Duration::from_secs(15);

/// How often everything is read before it is taken as it is, in a shop that never rests.
pub(super) const READINGS_MAX: u32 = 5;

/// The pause between two looks at what is open.
const LOOK: Duration = Duration::from_millis(250);

/// Waits until no order is open, but no longer than `wait`; tells how many still are, or 1000 if more.
pub async fn settle(api: &Mainstay, wait: Duration) -> Result<usize, Error> {
    let end = Deadline::after(wait);
    let query = format!("limit=1000&filter={}", encoded("value.open==true"));
    loop {
        let open = api.page::<Value>(ORDERS, &query, Deadline::after(PAGE_TIME)).await?.items.len();
        if open == 0 || end.is_over() {
            return Ok(open);
        }
        tokio::time::sleep(LOOK.min(end.left())).await;
    }
}

/// Waits until no order is open, but no longer than `wait`, and reads all that the services keep.
pub async fn read_at_rest(api: &Mainstay, wait: Duration) -> Result<Books, Error> {
    let open = settle(api, wait).await?;
    Ok(Books { open, ..read(api).await? })
}

/// Reads all that the services keep. What is not of the shape of its collection is told in [`Books::strange`], and that it did not
/// rest in [`Books::is_moving`].
pub async fn read(api: &Mainstay) -> Result<Books, Error> {
    let mut books = Books::default();
    for _ in 0..READINGS_MAX {
        books = whole(api).await?;
        let mut after = Books::default();
        moving(api, &mut after).await?;
        if (&after.accounts, &after.stock) == (&books.accounts, &books.stock) {
            return Ok(books);
        }
    }
    Ok(Books { is_moving: true, ..books })
}

async fn whole(api: &Mainstay) -> Result<Books, Error> {
    let mut books = Books::default();
    moving(api, &mut books).await?;
    let strange = &mut books.strange;
    books.transfers = collection(api, TRANSFERS, ledgers("transfers"), strange).await?;
    books.products = collection(api, PRODUCTS, alone, strange).await?;
    books.reservations = collection(api, RESERVATIONS, pair, strange).await?;
    // Before the orders, which are shipped before their receipts are written.
    books.receipts = collection::<_, IgnoredAny>(api, RECEIPTS, pair, strange).await?.into_keys().collect();
    let orders = collection(api, ORDERS, pair, strange).await?;
    let placed = |((customer, id), order)| Placed { customer, id, order };
    books.orders = orders.into_iter().map(placed).collect();
    Ok(books)
}

/// What every movement of money or goods changes.
async fn moving(api: &Mainstay, books: &mut Books) -> Result<(), Error> {
    books.accounts = collection(api, ACCOUNTS, ledgers("accounts"), &mut books.strange).await?;
    books.stock = collection(api, STOCK, alone, &mut books.strange).await?;
    Ok(())
}

/// All items of a collection, by what their keys say. What is no JSON is listed without a value, and read as null.
async fn collection<K: Ord, T: DeserializeOwned>(
    api: &Mainstay,
    name: &str,
    parts: impl Fn(&str) -> Option<K>,
    strange: &mut Vec<String>,
) -> Result<BTreeMap<K, T>, Error> {
    let (mut items, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let query = format!("limit=1000{cursor}");
        let page = api.page::<Option<Value>>(name, &query, Deadline::after(PAGE_TIME)).await?;
        for item in page.items {
            match (parts(&item.key), serde_json::from_value(item.value.unwrap_or_default())) {
                (Some(key), Ok(value)) => {
                    items.insert(key, value);
                }
                (None, _) => strange.push(format!("{name} {}: its key is none of this collection", item.key)),
                (_, Err(error)) => strange.push(format!("{name} {}: {error}", item.key)),
            }
        }
        let Some(next) = page.next else { return Ok(items) };
        cursor = format!("&cursor={}", encoded(&next));
    }
}

/// `<a>`
fn alone(key: &str) -> Option<String> {
    (!key.is_empty() && !key.contains('/')).then(|| key.to_owned())
}

/// `<a>/<b>`
fn pair(key: &str) -> Option<(String, String)> {
    let (first, second) = key.split_once('/')?;
    Some((alone(first)?, alone(second)?))
}

/// `<ledger>/<what>/<id>`
fn ledgers(what: &'static str) -> impl Fn(&str) -> Option<(String, String)> {
    move |key| {
        let (ledger, rest) = key.split_once('/')?;
        let id = rest.strip_prefix(what)?.strip_prefix('/')?;
        Some((alone(ledger)?, alone(id)?))
    }
}
