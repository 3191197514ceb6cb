//! A page of a listing as it is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use mainstay_base::key::Key;
use mainstay_machine::Version;
use mainstay_machine::item::Listed;

use super::text;

/// Some of the items of a collection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Page")]
pub struct PageBody<'a> {
    /// The items. Those of one partition stand together, in the order of their keys' bytes.
    pub items: Vec<ItemBody<'a>>,
    /// The `cursor` of the next page; not there on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next: Option<String>,
}

/// An item of a listing: with `value`, or with `value_base64` if it is not JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Item")]
pub struct ItemBody<'a> {
    /// The item's key.
    key: &'a Key,
    /// The item's version; opaque.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    version: Version,
    /// What the value is; not there for `application/json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    content_type: Option<&'a str>,
    /// The value as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    value: Option<&'a RawValue>,
    /// The value as bytes: base64 with padding (RFC 4648, section 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("contentEncoding" = "base64"))]
    value_base64: Option<String>,
}

impl<'a> ItemBody<'a> {
    /// The item as it is listed. Errors: it claims to be JSON and is not.
    pub fn new(listed: &'a Listed) -> Result<Self, serde_json::Error> {
        let Listed { key, item } = listed;
        let is_json = item.content_type.is_json();
        Ok(Self {
            key,
            version: item.version,
            content_type: (item.content_type != mainstay_machine::content::ContentType::JSON)
                .then(|| item.content_type.as_str()),
            value: is_json.then(|| serde_json::from_slice(&item.bytes)).transpose()?,
            value_base64: (!is_json).then(|| STANDARD.encode(&item.bytes)),
        })
    }
}
