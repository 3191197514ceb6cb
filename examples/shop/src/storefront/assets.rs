//! What is the same for everybody: the style, the script of the order's page, the icon, and the drawings.
//!
//! Pages name each with the version of its bytes, so that a browser keeps it for as long as it likes and never has an old one.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Storefront;

/// A file with its version.
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    version: LazyLock<String>,
}

macro_rules! asset {
    ($file:literal, $content_type:literal) => {{
        const BYTES: &[u8] = include_bytes!($file);
        Asset {
            path: concat!("/", $file),
            content_type: $content_type,
            bytes: BYTES,
            version: LazyLock::new(|| version(BYTES)),
        }
    }};
}

/// How everything looks.
pub static STYLE: Asset = asset!("style.css", "text/css; charset=utf-8");
/// What makes the page of an order follow the order.
pub static LIVE: Asset = asset!("live.js", "text/javascript; charset=utf-8");
/// The shop's sign.
pub static ICON: Asset = asset!("icon.svg", "image/svg+xml");
/// The drawings, each a symbol with its name as id.
pub static PICTURES: Asset = asset!("pictures.svg", "image/svg+xml");

fn version(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Asset {
    /// Where pages find it.
    pub fn address(&self) -> String {
        format!("{}?v={}", self.path, *self.version)
    }

    fn answer(&self, query: Option<&str>, headers: &HeaderMap) -> Response {
        let etag = format!("\"{}\"", *self.version);
        let is_this_version = query.and_then(|query| query.strip_prefix("v=")) == Some(&*self.version);
        let keep = if is_this_version { "public, max-age=31536000, immutable" } else { "public, no-cache" };
        let head = [(CACHE_CONTROL, keep.to_owned()), (ETAG, etag.clone())];
        if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        (head, [(CONTENT_TYPE, self.content_type)], self.bytes).into_response()
    }
}

/// Where they are.
pub fn routes() -> Router<Storefront> {
    let route = |asset: &'static Asset| {
        get(async |RawQuery(query): RawQuery, headers: HeaderMap| asset.answer(query.as_deref(), &headers))
    };
    [&STYLE, &LIVE, &ICON, &PICTURES]
        .into_iter()
        .fold(Router::new(), |routes, asset| routes.route(asset.path, route(asset)))
}
