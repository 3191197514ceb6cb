//! Buckets of object stores that speak S3, as places for snapshots and backups.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use rustls::crypto::ring;

use super::location::Location;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two pieces of an answer. There is none for the whole: snapshots are of any size.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request is tried again before it has failed. Whoever made it tries again later.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// An object store, and who uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The store's URL, such as `http://127.0.0.1:8333`; none is AWS in `region`.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// None: at an endpoint requests are not signed; at AWS the credentials of the machine's role are used.
    pub keys: Option<Keys>,
}

/// Credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// The access key itself.
    pub secret: String,
    /// The session that temporary keys belong to.
    pub session: Option<String>,
}

/// What was said of a store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<object_store::Error>);

impl Access {
    /// A prefix in a bucket, without a slash at either end. Asks nothing of the store. Errors: [`Error`].
    pub fn bucket(&self, bucket: &str, prefix: &str) -> Result<Location, Error> {
        // The client takes the provider of the process; it may be there already, and it is always this one.
        let _ = ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            .with_timeout_disabled();
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        // AWS names the bucket in the host; other stores take it in the path, and so does AWS when dots would break its certificate.
        let is_in_host = self.endpoint.is_none() && !bucket.contains('.');
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(is_in_host)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            let is_anonymous = self.keys.is_none();
            builder = builder.with_endpoint(endpoint).with_allow_http(true).with_skip_signature(is_anonymous);
        }
        if let Some(Keys { id, secret, session }) = &self.keys {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            if let Some(session) = session {
                builder = builder.with_token(session);
            }
        }
        let store = builder.build().map_err(|error| Error(Box::new(error)))?;
        Ok(Location::within(Arc::new(store), prefix))
    }
}

impl Debug for Keys {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}
