//! Orders: baskets, and what becomes of those that are checked out.

pub mod order;

use anyhow::Result;
use axum::Router;

use crate::service::Home;

/// Serves orders until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    home.serve(Router::new()).await
}
