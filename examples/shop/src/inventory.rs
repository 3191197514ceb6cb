//! Inventory: what there is of each product, and for whom it is set aside.

pub mod stock;

use anyhow::Result;
use axum::Router;

use crate::service::Home;

/// Serves inventory until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    home.serve(Router::new()).await
}
