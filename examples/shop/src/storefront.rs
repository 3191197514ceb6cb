//! The storefront: the pages that people see, rendered on the server.

use anyhow::Result;
use axum::Router;

use crate::service::Home;

/// Serves the storefront until it is told to end.
pub async fn serve(home: Home) -> Result<()> {
    home.serve(Router::new()).await
}
