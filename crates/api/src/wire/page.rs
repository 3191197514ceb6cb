//! A page of a listing as it is answered.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use mainstay_base::id::Name;
use mainstay_base::key::Key;
use mainstay_base::time::Timestamp;
use mainstay_machine::Version;
use mainstay_machine::item::Listed;
use mainstay_machine::json::Pointer;
use mainstay_machine::shards::{Page, Work};

use super::text;

/// Some of the items of a collection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Page")]
pub struct PageBody<'a> {
    /// The items, in the order that was asked for. Without one, and unless an index is gone through, those of one partition stand
    /// together, in the order of their keys' bytes.
    pub items: Vec<ItemBody<'a>>,
    /// The `cursor` of the next page; not there on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next: Option<String>,
    /// What it took to find them, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExplainBody")]
    pub explain: Option<ExplainBody>,
}

/// What it took to find the items of a page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explain")]
pub struct ExplainBody {
    /// The index that was gone through; not there when items were gone through by their keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    index: Option<Name>,
    /// Entries of the index that were read, those that were only read ahead too.
    entries_read: u64,
    /// Items that were read.
    items_read: u64,
    /// Items that are on the page.
    items_returned: usize,
}

impl ExplainBody {
    /// What a page took.
    pub fn new(page: &Page) -> Self {
        let Work { index, entries, items } = page.work.clone();
        Self { index, entries_read: entries, items_read: items, items_returned: page.items.len() }
    }
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
    /// From when on the item is absent, unless it is held; not there for one without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    expires: Option<Timestamp>,
    /// The holds that keep it as it is, in the order of their bytes; not there when there are none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    holds: &'a BTreeSet<Name>,
    /// The value as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    value: Option<&'a RawValue>,
    /// Of the value as JSON, what is at each of the fields that were asked for, by their JSON Pointers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    fields: Option<BTreeMap<&'a str, &'a RawValue>>,
    /// The value as bytes: base64 with padding (RFC 4648, section 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("contentEncoding" = "base64"))]
    value_base64: Option<String>,
}

impl<'a> ItemBody<'a> {
    /// The item as it is listed. Errors: it claims to be JSON and is not.
    ///
    /// With `fields` it shows these instead of the value.
    pub fn new(listed: &'a Listed, fields: Option<&'a [Pointer]>) -> Result<Self, serde_json::Error> {
        let Listed { key, item } = listed;
        let is_json = item.content_type.is_json();
        let is_whole = fields.is_none();
        let at = |pointer: &'a Pointer| {
            let raw =
                str::from_utf8(&item.bytes).ok().filter(|_| is_json).and_then(|text| pointer.raw(text))?;
            Some(serde_json::from_str(raw).map(|raw| (pointer.as_str(), raw)))
        };
        let fields = fields.map(|fields| fields.iter().filter_map(at).collect()).transpose()?;
        Ok(Self {
            fields,
            key,
            version: item.version,
            content_type: (item.content_type != mainstay_machine::content::ContentType::JSON)
                .then(|| item.content_type.as_str()),
            expires: item.expires,
            holds: &item.holds,
            value: (is_json && is_whole).then(|| serde_json::from_slice(&item.bytes)).transpose()?,
            value_base64: (!is_json && is_whole).then(|| STANDARD.encode(&item.bytes)),
        })
    }
}
