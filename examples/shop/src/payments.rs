//! Payments: a double-entry ledger for each currency. Callers choose the ids of transfers, so that a transfer can be asked for any
//! number of times and happens once.

pub mod ledger;

use anyhow::Result;
use axum::Router;

use crate::service::Home;

/// Serves payments until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    home.serve(Router::new()).await
}
