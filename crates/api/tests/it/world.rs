//! A router over shards in memory, and short ways to call it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use mainstay_api::answer::{self, Carried};
use mainstay_api::streams::{Limits, Streams};
use mainstay_api::{Api, Settings, body, router};
use mainstay_base::id::Name;
use mainstay_base::key::PartitionBy;
use mainstay_base::problem::Problem;
use mainstay_base::time::ManualClock;
use mainstay_base::units::{Duration, Size};
use mainstay_machine::Collection;
use mainstay_machine::content::ContentType;
use serde_json::Value;
use tower::ServiceExt;

use crate::shards::Mem;

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const PATCH: (&str, &str) = ("content-type", "application/merge-patch+json");

pub(crate) struct World {
    pub(crate) shards: Arc<Mem>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) streams: Streams,
    router: Router,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl World {
    /// With the collections `orders` and `carts` (by the first segment), `whole` (by the whole key) and `docs` (JSON only).
    pub(crate) fn new() -> Self {
        let machine = mainstay_machine::Settings::default();
        let whole = Collection { partition_by: PartitionBy::WholeKey, ..Collection::default() };
        let docs = Collection { content_type: Some(ContentType::JSON), ..Collection::default() };
        let declared = [
            ("orders", Collection::default()),
            ("carts", Collection::default()),
            ("whole", whole),
            ("docs", docs),
        ];
        let body = body::Limits { size_max: Size::from_mib(8), timeout: Duration::from_secs(30) };
        let timeout = Duration::from_secs(30);
        let settings =
            Arc::new(ArcSwap::from_pointee(Settings { machine, body, timeout, streams: Limits::default() }));
        let clock = Arc::new(ManualClock::default());
        clock.advance(Duration::from_secs(1000));
        let shards = Arc::new(Mem::new(Arc::clone(&settings), Arc::clone(&clock)));
        shards.declare(declared.map(|(name, collection)| (Name::from_static(name), collection)));
        let streams = Streams::default();
        let (shared, held) = (Arc::clone(&settings), streams.clone());
        let api = Api { shards: shards.clone(), settings: shared, clock: clock.clone(), streams: held };
        Self { shards, settings, clock, streams, router: router(api) }
    }

    pub(crate) fn set(&self, change: impl Fn(&mut Settings)) {
        self.settings.rcu(|settings| {
            let mut settings = Settings::clone(settings);
            change(&mut settings);
            settings
        });
    }

    /// The response as the listener gets it.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// An answer whose body is to be read bit by bit.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let request =
            headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.raw(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let mut response = self.raw(request).await;
        if let Some(Carried(problem)) = response.extensions_mut().remove() {
            response = answer::document(response, &problem);
        }
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, value: &'static str) -> Answer {
        self.call("PUT", path, &[JSON], value).await
    }

    pub(crate) async fn commit(&self, body: impl Into<Body>) -> Answer {
        self.call("POST", "/v1/commits", &[JSON], body).await
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{:?}", self.body);
        self
    }

    /// The problem, after checking that status, type and code agree.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.is(status).json();
        assert_eq!(self.header("content-type"), Some(Problem::CONTENT_TYPE));
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem:#}");
        let length = self.body.len().to_string();
        assert!(self.header("content-length").is_none_or(|said| said == length), "{:?}", self.headers);
        assert_eq!(self.header("retry-after").is_some(), problem["retry"] == "after", "{problem:#}");
        problem
    }
}
