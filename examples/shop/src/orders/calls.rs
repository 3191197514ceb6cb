//! What orders asks of the other services, by the gateway: each call has an id or key by which doing it again is doing it once, and
//! a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::order::{Fraud, Line, Order};
use crate::http::{Answer, Call, Client, Deadline, IDEMPOTENCY_KEY};
use crate::inventory::stock::Listed;
use crate::payments::ledger::{BANK, MERCHANT};

/// How long orders waits for one answer of another service.
const CALL: Duration = Duration::from_millis(1500);

/// How long it waits for a score that it can do without.
const SCORE: Duration = Duration::from_millis(250);

/// What a new customer finds in the wallet, in minor units.
pub const WELCOME: u64 = 50_000;

/// How a call ended that may not be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is decided against: why, for the customer.
    Against(String),
    /// It is not known, or not possible now: it can be done again.
    Later(String),
}

/// The other services. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Services {
    gateway: Client,
}

impl Services {
    /// Those behind this gateway.
    #[must_use]
    pub const fn new(gateway: Client) -> Self {
        Self { gateway }
    }

    /// Sets one line aside.
    pub async fn reserve(&self, order: &str, line: &Line) -> Result<(), Failed> {
        let call = Call::new(Method::PUT, reservation(order, line)).json(&json!({"quantity": line.quantity}));
        let answer = self.call(call).await?;
        match answer.code().as_str() {
            "sold_out" => Err(Failed::Against(format!("{} is sold out", line.name))),
            "no_product" => Err(Failed::Against(format!("{} is not sold any more", line.name))),
            _ => done(&answer),
        }
    }

    /// Says that a line went out.
    pub async fn ship(&self, order: &str, line: &Line) -> Result<(), Failed> {
        done(&self.call(finish(order, line, "ship")).await?)
    }

    /// Frees a line, also one that was never set aside.
    pub async fn release(&self, order: &str, line: &Line) -> Result<(), Failed> {
        done(&self.call(finish(order, line, "release")).await?)
    }

    /// What the fraud service says of it; that it was not asked, if it is not there or slow.
    pub async fn score(&self, (customer, id): (&str, &str), order: &Order) -> Fraud {
        let body =
            json!({"order": id, "customer": customer, "currency": order.currency, "total": order.total});
        let call = Call::new(Method::POST, "/fraud/score").json(&body);
        let answer = self.gateway.send(call, Deadline::after(SCORE)).await;
        let scored = answer.ok().filter(|answer| answer.status == StatusCode::OK);
        let score = scored.and_then(|answer| answer.json::<Value>()).and_then(|body| body["score"].as_u64());
        score.map_or(Fraud::Unchecked, Fraud::Score)
    }

    /// Sets the money aside. A customer without an account gets one, with a welcome. One with too little may have got the account and, since something
    /// went wrong in between, not the welcome: both are made again before it is too little.
    pub async fn authorize(&self, (customer, id): (&str, &str), order: &Order) -> Result<(), Failed> {
        let body = json!({"kind": "pending", "debit": customer, "credit": MERCHANT, "amount": order.total});
        let ledger = order.currency.code();
        let mut answer = self.transfer(ledger, &format!("{id}-pay"), &body).await?;
        if matches!(answer.code().as_str(), "no_account" | "insufficient_funds") {
            let account = Call::new(Method::PUT, format!("/payments/{ledger}/accounts/{customer}"));
            done(&self.call(account.json(&json!({"may_overdraw": false}))).await?)?;
            let welcome = json!({"kind": "transfer", "debit": BANK, "credit": customer, "amount": WELCOME});
            done(&self.transfer(ledger, &format!("{customer}-welcome"), &welcome).await?)?;
            answer = self.transfer(ledger, &format!("{id}-pay"), &body).await?;
        }
        match answer.code().as_str() {
            "insufficient_funds" => Err(Failed::Against("there is not enough in your wallet".to_owned())),
            _ => done(&answer),
        }
    }

    /// Moves what was set aside.
    pub async fn post(&self, id: &str, order: &Order) -> Result<(), Failed> {
        let body = json!({"kind": "post", "pending": format!("{id}-pay")});
        done(&self.transfer(order.currency.code(), &format!("{id}-post"), &body).await?)
    }

    /// Frees what was set aside, and keeps what may still be on its way from being set aside.
    pub async fn void(&self, id: &str, order: &Order) -> Result<(), Failed> {
        let body = json!({"kind": "void", "pending": format!("{id}-pay")});
        done(&self.transfer(order.currency.code(), &format!("{id}-void"), &body).await?)
    }

    async fn transfer(&self, ledger: &str, id: &str, body: &Value) -> Result<Answer, Failed> {
        self.call(Call::new(Method::PUT, format!("/payments/{ledger}/transfers/{id}")).json(body)).await
    }

    /// All products, by SKU. Errors: why they cannot be read.
    pub async fn products(&self, deadline: Deadline) -> Result<BTreeMap<String, Listed>, String> {
        #[derive(Deserialize)]
        struct Products {
            products: Vec<Listed>,
        }
        let answer = self.gateway.send(Call::new(Method::GET, "/inventory/products"), deadline).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let Products { products } =
            answer.json().ok_or_else(|| format!("inventory answers {}", answer.status))?;
        Ok(products.into_iter().map(|listed| (listed.sku.clone(), listed)).collect())
    }

    /// The answer, if it says something of the state.
    async fn call(&self, call: Call) -> Result<Answer, Failed> {
        let answer = self.gateway.send(call, Deadline::after(CALL)).await;
        let answer = answer.map_err(|error| Failed::Later(error.to_string()))?;
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(later(&answer));
        }
        Ok(answer)
    }
}

/// What is refused without being decided against was overtaken: by another process of the same order, which has gone on.
fn done(answer: &Answer) -> Result<(), Failed> {
    if answer.status.is_success() { Ok(()) } else { Err(later(answer)) }
}

fn later(answer: &Answer) -> Failed {
    let detail = answer.json::<Value>().and_then(|problem| problem["detail"].as_str().map(str::to_owned));
    Failed::Later(format!("{}: {}", answer.status, detail.unwrap_or_default()))
}

fn reservation(order: &str, line: &Line) -> String {
    format!("/inventory/reservations/{}/{order}", line.sku)
}

/// The gateway sends a POST again only if it has a key.
fn finish(order: &str, line: &Line, what: &str) -> Call {
    let key = format!("\"{what}-{}-{order}\"", line.sku);
    Call::new(Method::POST, format!("{}/{what}", reservation(order, line))).header(IDEMPOTENCY_KEY, &key)
}
