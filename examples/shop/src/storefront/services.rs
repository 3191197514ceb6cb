//! The services behind the pages, by the gateway: what each is asked, and what becomes of its answers.
//!
//! Everything here may be asked again: it reads, or it sets what it names. The gateway does so while there is time.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{Answer, Call, Client, Deadline, encoded};
use crate::inventory::stock::Listed;
use crate::orders::order::{Answered, Basket};

use super::visit::Visit;

/// Why there is nothing to show.
#[derive(Debug)]
pub enum Error {
    /// The service does not do it; nothing has changed.
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem's code, such as `no_basket`.
        code: String,
        /// What is wrong.
        detail: String,
    },
    /// There is no answer that says anything. Whatever was asked for may have happened.
    NoAnswer,
}

impl Error {
    /// Whether it was refused with this status.
    pub fn is(&self, refused: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == refused)
    }
}

/// The services that the pages are made from.
#[derive(Debug, Clone)]
pub struct Services {
    gateway: Client,
}

impl Services {
    /// Those behind this gateway.
    pub const fn new(gateway: Client) -> Self {
        Self { gateway }
    }

    /// All products.
    pub async fn products(&self, visit: &Visit) -> Result<Vec<Listed>, Error> {
        #[derive(Deserialize)]
        struct Products {
            products: Vec<Listed>,
        }
        let found: Products = self.ask(Call::new(Method::GET, "/inventory/products"), visit.deadline).await?;
        Ok(found.products)
    }

    /// A customer's basket. There always is one; an empty one may not be kept anywhere yet.
    pub async fn basket(&self, visit: &Visit) -> Result<Basket, Error> {
        self.ask(Call::new(Method::GET, format!("/orders/{}/basket", visit.customer)), visit.deadline).await
    }

    /// Sets how many of a product are in a basket; 0 takes it out. One that begins by this is in the visit's currency.
    pub async fn set_line(
        &self,
        visit: &Visit,
        basket: &str,
        sku: &str,
        quantity: u64,
    ) -> Result<Basket, Error> {
        let path = format!("/orders/{}/basket/lines/{}", visit.customer, encoded(sku));
        let line = json!({"basket": basket, "quantity": quantity, "currency": visit.currency});
        self.ask(Call::new(Method::PUT, path).json(&line), visit.deadline).await
    }

    /// Makes an order of a basket, which has its id, if it costs what was shown; the same order if it was made before.
    pub async fn place(&self, visit: &Visit, order: &str, total: Option<u64>) -> Result<Answered, Error> {
        let total = total.map(|total| format!("?total={total}")).unwrap_or_default();
        let path = format!("/orders/{}/placed/{}{total}", visit.customer, encoded(order));
        self.ask(Call::new(Method::PUT, path), visit.deadline).await
    }

    /// An order of a customer's.
    pub async fn order(&self, visit: &Visit, order: &str) -> Result<Answered, Error> {
        let path = format!("/orders/{}/placed/{}", visit.customer, encoded(order));
        self.ask(Call::new(Method::GET, path), visit.deadline).await
    }

    /// All orders of a customer's, the newest first.
    pub async fn orders(&self, visit: &Visit) -> Result<Vec<Answered>, Error> {
        #[derive(Deserialize)]
        struct Placed {
            orders: Vec<Answered>,
        }
        let path = format!("/orders/{}/placed", visit.customer);
        let found: Placed = self.ask(Call::new(Method::GET, path), visit.deadline).await?;
        Ok(found.orders)
    }

    /// The receipt of an order, a text; none if there is none yet, or nobody who has it.
    pub async fn receipt(&self, visit: &Visit, order: &str) -> Option<String> {
        let path = format!("/receipts/{}/{}", visit.customer, encoded(order));
        let answer = self.gateway.send(Call::new(Method::GET, path), visit.deadline).await.ok()?;
        let text = (answer.status == StatusCode::OK).then(|| String::from_utf8(answer.body.to_vec()));
        text?.ok()
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call, deadline: Deadline) -> Result<T, Error> {
        let answer = self.gateway.send(call, deadline).await.map_err(|_| Error::NoAnswer)?;
        judged(&answer)
    }
}

/// A document, a refusal, or nothing that says anything.
fn judged<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    if answer.status.is_success() {
        return answer.json().ok_or(Error::NoAnswer);
    }
    if !answer.status.is_client_error() {
        return Err(Error::NoAnswer);
    }
    let problem: Value = answer.json().unwrap_or_default();
    let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
    Err(Error::Refused { status: answer.status, code: text("code"), detail: text("detail") })
}
