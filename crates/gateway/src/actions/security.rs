//! Headers by which browsers protect users, and headers that tell strangers what a service is made of.
//!
//! The values are those that OWASP's Secure Headers Project recommends (<https://owasp.org/www-project-secure-headers/>), but for those that would take away from an application
//! something that it does to nobody else; there it is the strongest that does not. What the service says itself stays.

use std::borrow::Cow;
use std::fmt;

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::headers;
use super::mistake::Mistakes;
use crate::routes::FieldName;

/// What is said for the protection of users. Each key is `true` for its default, `false` for nothing, or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `Strict-Transport-Security`, said over TLS only (RFC 6797, section 7.2): browsers ask this host for nothing without TLS any more. By default `max-age=31536000`, a year.
    /// OWASP adds `includeSubDomains`, which binds names that a route knows nothing of.
    pub strict_transport_security: Setting,
    /// `X-Content-Type-Options`: what answers say they are is believed. By default `nosniff`.
    pub content_type_options: Setting,
    /// `X-Frame-Options`: who may show a page in a frame. By default `SAMEORIGIN`. OWASP has `DENY`, with which an application cannot frame its own pages.
    pub frame_options: Setting,
    /// `Referrer-Policy`: what other sites learn of a link's page. By default `strict-origin-when-cross-origin`. OWASP has `no-referrer`, with which forms are sent with
    /// `Origin: null`, and services that look at it refuse them.
    pub referrer_policy: Setting,
    /// `Cross-Origin-Opener-Policy`: which windows have a hold on a page. By default `same-origin-allow-popups`. OWASP has `same-origin`, with which a login in a window of its
    /// own cannot tell its result.
    pub cross_origin_opener_policy: Setting,
    /// `Cross-Origin-Resource-Policy`: who may embed what is answered without asking. By default `same-origin`; `cross-origin` for pictures and scripts that others embed.
    pub cross_origin_resource_policy: Setting,
    /// `Cross-Origin-Embedder-Policy`. By default `false`; `true` is `require-corp`, with which nothing is shown of other sites that do not say so.
    pub cross_origin_embedder_policy: Setting,
    /// `Content-Security-Policy`: what a page may load and run. By default `false`: only who knows the page can write it.
    pub content_security_policy: Setting,
    /// `Permissions-Policy`: which abilities of the browser a page may use. By default `false`: likewise.
    pub permissions_policy: Setting,
    /// Headers that are removed from answers, up to 64. By default `server` and `x-powered-by`.
    pub hide: Vec<FieldName>,
}

/// `true` for a default, `false` for nothing, or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `true` for the default, `false` for nothing, or the header's value")]
pub enum Setting {
    /// The default, or nothing.
    Is(bool),
    /// This value.
    Value(String),
}

/// `true` for the defaults of [`Config`], `false` for none of it, or a [`Config`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityHeaders(Option<Config>);

/// The most headers that are hidden.
const HIDDEN_MAX: usize = 64;

impl Default for Config {
    fn default() -> Self {
        let name = |text: &str| FieldName::try_from(text.to_owned()).expect("it is the name of a header");
        Self {
            strict_transport_security: Setting::Is(true),
            content_type_options: Setting::Is(true),
            frame_options: Setting::Is(true),
            referrer_policy: Setting::Is(true),
            cross_origin_opener_policy: Setting::Is(true),
            cross_origin_resource_policy: Setting::Is(true),
            cross_origin_embedder_policy: Setting::Is(false),
            content_security_policy: Setting::Is(false),
            permissions_policy: Setting::Is(false),
            hide: vec![name("server"), name("x-powered-by")],
        }
    }
}

impl SecurityHeaders {
    /// What is said; none if nothing is.
    pub fn get(&self) -> Option<&Config> {
        self.0.as_ref()
    }
}

impl From<Option<Config>> for SecurityHeaders {
    fn from(config: Option<Config>) -> Self {
        Self(config)
    }
}

/// The same, ready.
#[derive(Debug)]
pub(super) struct Security {
    /// Said over TLS only.
    transport: Option<HeaderValue>,
    said: Box<[(HeaderName, HeaderValue)]>,
    hidden: Box<[HeaderName]>,
}

const TRANSPORT: &str = "strict_transport_security";

impl Security {
    pub(super) fn build(config: &Config, mistakes: &mut Mistakes) -> Self {
        let new = HeaderName::from_static;
        let settings = [
            ("content_type_options", &config.content_type_options, X_CONTENT_TYPE_OPTIONS, Some("nosniff")),
            ("frame_options", &config.frame_options, X_FRAME_OPTIONS, Some("SAMEORIGIN")),
            (
                "referrer_policy",
                &config.referrer_policy,
                REFERRER_POLICY,
                Some("strict-origin-when-cross-origin"),
            ),
            (
                "cross_origin_opener_policy",
                &config.cross_origin_opener_policy,
                new("cross-origin-opener-policy"),
                Some("same-origin-allow-popups"),
            ),
            (
                "cross_origin_resource_policy",
                &config.cross_origin_resource_policy,
                new("cross-origin-resource-policy"),
                Some("same-origin"),
            ),
            (
                "cross_origin_embedder_policy",
                &config.cross_origin_embedder_policy,
                new("cross-origin-embedder-policy"),
                Some("require-corp"),
            ),
            ("content_security_policy", &config.content_security_policy, CONTENT_SECURITY_POLICY, None),
            ("permissions_policy", &config.permissions_policy, new("permissions-policy"), None),
        ];
        let mut said = Vec::new();
        for (key, setting, name, default) in settings {
            said.extend(value(setting, default, key, mistakes).map(|value| (name, value)));
        }
        let transport =
            value(&config.strict_transport_security, Some("max-age=31536000"), TRANSPORT, mistakes);
        if transport.as_ref().is_some_and(|value| !has_max_age(value)) {
            let what =
                "has no `max-age`, without which browsers ignore it: write one, such as max-age=31536000";
            mistakes.add(&["security_headers", TRANSPORT], what);
        }
        if config.hide.len() > HIDDEN_MAX {
            let what = format!("has {} headers, and there are at most {HIDDEN_MAX}", config.hide.len());
            mistakes.add(&["security_headers", "hide"], format!("{what}: leave some out"));
        }
        let mut hidden = Vec::with_capacity(config.hide.len());
        for field in &config.hide {
            hidden.extend(headers::name(field, &["security_headers", "hide", field.as_str()], mistakes));
        }
        Self { transport, said: said.into(), hidden: hidden.into() }
    }

    /// Removes what tells what a service is made of.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        for name in &self.hidden {
            headers.remove(name);
        }
    }

    /// Says what the answer does not say itself.
    pub(super) fn apply(&self, headers: &mut HeaderMap, is_secure: bool) {
        let transport = self.transport.iter().filter(|_| is_secure);
        let transport = transport.map(|value| (&STRICT_TRANSPORT_SECURITY, value));
        for (name, value) in self.said.iter().map(|(name, value)| (name, value)).chain(transport) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

fn value(
    setting: &Setting,
    default: Option<&'static str>,
    key: &str,
    mistakes: &mut Mistakes,
) -> Option<HeaderValue> {
    let at = ["security_headers", key];
    match (setting, default) {
        (Setting::Is(false), _) => None,
        (Setting::Is(true), Some(value)) => Some(HeaderValue::from_static(value)),
        (Setting::Is(true), None) => {
            mistakes.add(&at, "has no default: write the header's value, or `false`");
            None
        }
        (Setting::Value(text), _) => {
            let is_visible = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if !is_visible {
                mistakes.add(
                    &at,
                    "is no value of a header: write visible ASCII characters in one line, or `false`",
                );
            }
            text.parse().ok().filter(|_| is_visible)
        }
    }
}

fn has_max_age(value: &HeaderValue) -> bool {
    let mut directives = value.to_str().unwrap_or_default().split(';').map(str::trim);
    directives.any(|directive| {
        let seconds =
            directive.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
        seconds.is_some_and(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u64>().is_ok())
    })
}

impl Serialize for SecurityHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_bool(false),
            Some(config) => config.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SecurityHeaders {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SecurityHeadersVisitor)
    }
}

struct SecurityHeadersVisitor;

impl<'de> Visitor<'de> for SecurityHeadersVisitor {
    type Value = SecurityHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or a mapping of security headers")
    }

    fn visit_bool<E: Error>(self, is_said: bool) -> Result<SecurityHeaders, E> {
        Ok(SecurityHeaders(is_said.then(Config::default)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecurityHeaders, A::Error> {
        Config::deserialize(MapAccessDeserializer::new(map)).map(|config| SecurityHeaders(Some(config)))
    }
}

impl JsonSchema for SecurityHeaders {
    fn schema_name() -> Cow<'static, str> {
        "SecurityHeaders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let config = generator.subschema_for::<Config>();
        json_schema!({
            "description": "`true` for the defaults, `false` for none, or a mapping that changes them.",
            "anyOf": [{ "type": "boolean" }, config],
        })
    }
}
