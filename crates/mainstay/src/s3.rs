//! The `s3` section: the object store that places such as `s3://bucket/prefix` are in.

use mainstay_base::id::Name;
use mainstay_shard::snapshot::bucket::{Access, Keys};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Broken;
use crate::config::value::{Secret, Url};

/// The `s3` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where a store other than AWS is reached. `http://` sends what is stored in the clear. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// The region of the buckets; stores without regions take any. Needs a restart to change.
    pub region: Name,
    /// The access key's id. Without one, requests to AWS have the credentials of the machine's role (instance metadata), which
    /// are renewed by themselves, and those to an `endpoint` have none. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Secret>,
    /// The access key itself. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// The session of temporary keys, which end with it: a node that lives longer is better off with a role or with keys of
    /// its own. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".parse().expect("a valid name"),
            access_key: None,
            secret_key: None,
            session_token: None,
        }
    }
}

impl Config {
    /// The rules that the types cannot state.
    pub fn broken_rules(&self) -> Option<Broken> {
        let (path, lacks): (&'static [&'static str], _) =
            match (&self.access_key, &self.secret_key, &self.session_token) {
                (Some(_), None, _) => (&["s3", "access_key"], "secret_key"),
                (None, Some(_), _) => (&["s3", "secret_key"], "access_key"),
                (None, None, Some(_)) => (&["s3", "session_token"], "access_key"),
                _ => return None,
            };
        let message = format!("it is of no use without `s3.{lacks}`");
        Some(Broken { path, message, help: "set all keys, or none for the role of the machine".into() })
    }

    /// How the store is reached, in a configuration that was checked.
    pub fn access(&self) -> Access {
        let exposed = |secret: &Secret| secret.expose().to_owned();
        let keys = self.access_key.as_ref().zip(self.secret_key.as_ref());
        Access {
            endpoint: self.endpoint.as_ref().map(|url| url.as_str().to_owned()),
            region: self.region.as_str().to_owned(),
            keys: keys.map(|(id, secret)| Keys {
                id: exposed(id),
                secret: exposed(secret),
                session: self.session_token.as_ref().map(exposed),
            }),
        }
    }

    /// The keys with their values as text.
    pub fn options(&self) -> [(&'static str, String); 5] {
        fn shown(value: Option<&impl ToString>) -> String {
            value.map_or_else(|| "not set".to_owned(), ToString::to_string)
        }
        [
            ("endpoint", shown(self.endpoint.as_ref())),
            ("region", self.region.to_string()),
            ("access_key", shown(self.access_key.as_ref())),
            ("secret_key", shown(self.secret_key.as_ref())),
            ("session_token", shown(self.session_token.as_ref())),
        ]
    }
}
