//! Changes of items as they are told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use mainstay_base::id::Name;
use mainstay_base::key::Key;
use mainstay_machine::Version;
use mainstay_machine::content::ContentType;
use mainstay_machine::feed::Event;
use mainstay_machine::item::Item;
use mainstay_machine::position::EventId;

use super::text;
use crate::changes::Values;

/// Some of the changes of a collection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Events")]
pub struct EventsBody<'a> {
    /// The events. Those of one partition are in the order in which they were committed.
    pub events: Vec<EventBody<'a>>,
    /// Where to go on: `after` of the next page.
    pub next: String,
}

/// A change of an item.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventBody<'a> {
    /// Where to go on after it; a position too.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    id: &'a EventId,
    /// The item's collection.
    collection: &'a Name,
    /// The item's key.
    key: &'a Key,
    /// The version that the item has now, or that of the commit which deleted it; opaque.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text_if_there")]
    #[schemars(with = "String")]
    version: Option<Version>,
    /// What became of it: `put`, `deleted`, or `expired` when its end had come.
    kind: &'static str,
    /// The item as it is now.
    #[serde(flatten)]
    value: ValueBody<'a>,
    /// The item as it was before the commit; not there if it is new, or the collection does not keep old values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BeforeBody<'_>")]
    before: Option<BeforeBody<'a>>,
}

/// What an item was.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Before")]
struct BeforeBody<'a> {
    /// The version that it had; opaque.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    version: Version,
    #[serde(flatten)]
    value: ValueBody<'a>,
}

/// A value: with `value`, or with `value_base64` if it is not JSON.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct ValueBody<'a> {
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

impl<'a> EventBody<'a> {
    /// The event with the values that were asked for. Errors: one claims to be JSON and is not.
    pub(crate) fn new(
        collection: &'a Name,
        event: &'a Event,
        values: Values,
    ) -> Result<Self, serde_json::Error> {
        let Event { id, key, version, item, before } = event;
        let kind = match (item, version) {
            (Some(_), _) => "put",
            (None, Some(_)) => "deleted",
            (None, None) => "expired",
        };
        let item = item.as_ref().filter(|_| values != Values::None);
        let value = item.map(ValueBody::new).transpose()?.unwrap_or_default();
        let before = before.as_ref().filter(|_| values == Values::Both);
        let before = before.map(|before| {
            Ok::<_, serde_json::Error>(BeforeBody { version: before.version, value: ValueBody::new(before)? })
        });
        let before = before.transpose()?;
        Ok(Self { id, collection, key, version: *version, kind, value, before })
    }

    /// What became of the item.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }
}

impl<'a> ValueBody<'a> {
    fn new(item: &'a Item) -> Result<Self, serde_json::Error> {
        let is_json = item.content_type.is_json();
        Ok(Self {
            content_type: (item.content_type != ContentType::JSON).then(|| item.content_type.as_str()),
            value: is_json.then(|| serde_json::from_slice(&item.bytes)).transpose()?,
            value_base64: (!is_json).then(|| STANDARD.encode(&item.bytes)),
        })
    }
}

fn text_if_there<S: Serializer>(version: &Option<Version>, to: S) -> Result<S::Ok, S::Error> {
    match version {
        Some(version) => text(version, to),
        None => to.serialize_none(),
    }
}
