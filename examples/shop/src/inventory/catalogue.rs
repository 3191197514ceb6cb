//! Products with what is available of them.
//!
//! Everybody looks at the list, and nobody minds if it is a moment old: a process reads it at most once a second, for all who ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::Mutex;

use super::stock::{Listed, PRODUCTS, Product, STOCK, Stock};
use crate::http::Deadline;
use crate::mainstay::{Error, Mainstay, absent, put};
use crate::service::Problem;

/// How old a list may be.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The list of products, kept for a moment.
#[derive(Debug)]
pub struct Catalogue {
    api: Mainstay,
    /// Locked while it is read anew: who comes meanwhile waits for that list, and no second one is read.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    products: Arc<Vec<Listed>>,
}

impl Catalogue {
    /// A list that is read when it is first asked for.
    #[must_use]
    pub fn new(api: Mainstay) -> Self {
        Self { api, kept: Mutex::new(None) }
    }

    /// All products, as they were at most [`KEPT_FOR`] ago.
    pub async fn list(&self, deadline: Deadline) -> Result<Arc<Vec<Listed>>, Error> {
        let late = |_| Error::Unavailable("the list of products was not read in time".to_owned());
        let mut kept = tokio::time::timeout(deadline.left(), self.kept.lock()).await.map_err(late)?;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.since.elapsed() < KEPT_FOR) {
            return Ok(Arc::clone(&kept.products));
        }
        let since = Instant::now();
        let products = Arc::new(all(&self.api, deadline).await?);
        *kept = Some(Kept { since, products: Arc::clone(&products) });
        Ok(products)
    }
}

async fn all(api: &Mainstay, deadline: Deadline) -> Result<Vec<Listed>, Error> {
    let products = api.all::<Product>(PRODUCTS, "", deadline).await?;
    let stock = api.all::<Stock>(STOCK, "", deadline).await?;
    let available: HashMap<_, _> = stock.into_iter().map(|item| (item.key, item.value.available)).collect();
    let listed = products.into_iter().map(|item| {
        let available = available.get(&item.key).copied().unwrap_or_default();
        Listed { sku: item.key, product: item.value, available }
    });
    let mut listed: Vec<_> = listed.collect();
    listed.sort_by(|one, other| one.product.name.cmp(&other.product.name));
    Ok(listed)
}

/// One product, as it is now.
pub async fn product(api: &Mainstay, sku: &str, deadline: Deadline) -> Result<Listed, Problem> {
    let product = api.get::<Product>(PRODUCTS, sku, deadline).await?.ok_or_else(|| no_product(sku))?;
    let available = available(api, sku, deadline).await?.unwrap_or_default();
    Ok(Listed { sku: sku.to_owned(), product: product.value, available })
}

/// How many of a product can be reserved now, if there is such a product.
pub async fn available(api: &Mainstay, sku: &str, deadline: Deadline) -> Result<Option<u64>, Error> {
    let stock = api.get::<Stock>(STOCK, sku, deadline).await?;
    Ok(stock.map(|stock| stock.value.available))
}

/// Makes a product with its stock, in one commit, unless it is there.
pub async fn take_in(
    api: &Mainstay,
    sku: &str,
    product: &Product,
    received: u64,
    deadline: Deadline,
) -> Result<(), Error> {
    let stock = Stock { received, available: received, ..Stock::default() };
    let operations = [put(PRODUCTS, sku, product), put(STOCK, sku, &stock)];
    let done = api.commit_until_known(sku, &[absent(PRODUCTS, sku)], &operations, deadline).await;
    match done {
        Err(error) if error.condition().is_some() => Ok(()),
        done => done,
    }
}

/// That there is no such product.
#[must_use]
pub fn no_product(sku: &str) -> Problem {
    // Not `not_found`, which a path that nobody serves is answered as well.
    let detail = format!("there is no product {sku}: /inventory/products lists what there is");
    Problem::new(StatusCode::NOT_FOUND, "no_product", detail)
}
