//! Payments: a double-entry ledger for each currency. Callers choose the ids of transfers, so that a transfer can be asked for any
//! number of times and happens once.
//!
//! A request without an answer can be sent again: it is done, or is done now. That there is no money or no account is true of the
//! moment, and a request that is still on its way may find both. Who must know that a pending transfer never happens voids it.

pub mod book;
pub mod entry;
pub mod ledger;

use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::put;
use axum::{Json, Router};
use serde::Deserialize;

use crate::http::Deadline;
use crate::mainstay::Mainstay;
use crate::money::Currency;
use crate::service::{self, Body, Home, Problem, TIMEOUT};
use book::Book;
use entry::Wanted;
use ledger::{AnsweredAccount, AnsweredTransfer, BANK, MERCHANT};

/// How long it may take until the accounts of the shop are there; then another start is tried.
const START: Duration = Duration::from_secs(20);

/// Serves payments until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    prepare(&home.api, Deadline::after(START)).await?;
    home.serve(routes(home.api.clone())).await
}

/// Makes the accounts of the shop in each ledger, unless they are there.
pub async fn prepare(api: &Mainstay, deadline: Deadline) -> Result<()> {
    for currency in Currency::ALL {
        let book = Book::new(api, currency, deadline);
        for (account, may_overdraw) in [(BANK, true), (MERCHANT, false)] {
            let opened = book.open(account, may_overdraw).await;
            opened.with_context(|| format!("open the account {account} in the ledger {currency}"))?;
        }
    }
    Ok(())
}

/// What payments answers.
pub fn routes(api: Mainstay) -> Router {
    let routes = Router::new()
        .route("/payments/{ledger}/accounts/{id}", put(put_account).get(get_account))
        .route("/payments/{ledger}/transfers/{id}", put(put_transfer).get(get_transfer))
        .with_state(api);
    service::with_problems(routes)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    #[serde(default)]
    may_overdraw: bool,
}

async fn put_account(
    State(api): State<Mainstay>,
    Path((ledger, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(setting): Body<Setting>,
) -> Result<(StatusCode, Json<AnsweredAccount>), Problem> {
    service::id("account", &id)?;
    let (made, account) = book(&api, &ledger, &headers)?.open(&id, setting.may_overdraw).await?;
    let available = account.available();
    Ok((status(made), Json(AnsweredAccount { id, account, available })))
}

async fn get_account(
    State(api): State<Mainstay>,
    Path((ledger, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<AnsweredAccount>, Problem> {
    service::id("account", &id)?;
    let account = book(&api, &ledger, &headers)?.account(&id).await?;
    let available = account.available();
    Ok(Json(AnsweredAccount { id, account, available }))
}

async fn put_transfer(
    State(api): State<Mainstay>,
    Path((ledger, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<AnsweredTransfer>), Problem> {
    let (made, transfer) = book(&api, &ledger, &headers)?.enter(&id, &wanted).await?;
    Ok((status(made), Json(AnsweredTransfer { id, transfer })))
}

async fn get_transfer(
    State(api): State<Mainstay>,
    Path((ledger, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<AnsweredTransfer>, Problem> {
    service::id("transfer", &id)?;
    let transfer = book(&api, &ledger, &headers)?.transfer(&id).await?;
    let transfer = transfer
        .ok_or_else(|| Problem::not_found(format!("there is no transfer {id} in the ledger {ledger}")))?;
    Ok(Json(AnsweredTransfer { id, transfer }))
}

fn book<'a>(api: &'a Mainstay, ledger: &str, headers: &HeaderMap) -> Result<Book<'a>, Problem> {
    let currency = ledger.parse().map_err(|error| Problem::not_found(format!("no ledger: {error}")))?;
    Ok(Book::new(api, currency, Deadline::of(headers, TIMEOUT)))
}

fn status(made: bool) -> StatusCode {
    if made { StatusCode::CREATED } else { StatusCode::OK }
}
