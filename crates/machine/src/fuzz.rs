//! What holds for any bytes: the bodies of the fuzz targets, which ordinary tests run as well.
//!
//! Each function panics when it does not hold.

use bytes::Bytes;
use mainstay_base::key::{Key, PartitionBy};

use crate::batch::Batch;
use crate::content::Value;
use crate::expression::{Expression, Item as Subject};
use crate::index::{self, Index};
use crate::item::Item;
use crate::json::{self, Json, Pointer};
use crate::position::{EventId, Position};
use crate::row::{Kept, Parts, SlotMeta, TenantMeta};
use crate::schema::{Compatibility, Evolution, Schema, Step, compatible, upgrade};

/// The bytes as everything that is stored: whatever can be read is written again as it was.
pub fn stored(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = Parts::of(&bytes);
    if let Ok(batch) = Batch::decode(&bytes) {
        assert_eq!(batch.encode(), bytes);
        assert!(batch.encoded_bytes_max() >= bytes.len());
    }
    if let Ok(item) = Item::decode(&bytes) {
        // What an earlier program wrote with an end alone is written with flags now.
        assert!(item.encode() == bytes || bytes[0] == 2);
        assert_eq!(Item::decode(&item.encode()).as_ref(), Ok(&item));
        on_json(&item.bytes);
    }
    if let Ok(meta) = SlotMeta::decode(&bytes) {
        assert_eq!(meta.encode(), bytes);
    }
    if let Ok(meta) = TenantMeta::decode(&bytes) {
        assert_eq!(meta.encode(), bytes);
    }
    if let Ok(kept) = Kept::decode(&bytes) {
        // Facts are JSON, which may be spaced otherwise; what they say stays.
        assert_eq!(Kept::decode(&kept.encode()).as_ref(), Ok(&kept));
    }
}

/// The bytes as JSON, and as a target of what is done to JSON.
pub fn json(bytes: &[u8]) {
    on_json(bytes);
    let (target, patch) = bytes.split_at(bytes.len() / 2);
    let Ok(patch) = Json::new(Bytes::copy_from_slice(patch)) else { return };
    let merged = json::merge_patch(Some(target), &patch);
    if json::check(target).is_ok() {
        let merged = merged.expect("the target is JSON");
        assert_eq!(json::check(&merged), Ok(()), "what is merged of JSON is JSON");
        assert!(merged.len() <= target.len() + patch.bytes().len(), "merging makes nothing longer");
        assert_eq!(
            json::merge_patch(Some(&merged), &patch).as_deref(),
            Some(&merged[..]),
            "merging twice is merging once"
        );
    }
}

fn on_json(bytes: &[u8]) {
    let path: Pointer = "/a/0".parse().expect("this is a pointer");
    let incremented = json::increment(Some(bytes), &path, 1);
    if json::check(bytes).is_ok() {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok(), "others read it too");
        assert_ne!(incremented, Err(json::IncrementError::Malformed));
        if let Ok(incremented) = incremented {
            assert_eq!(json::check(&incremented.text), Ok(()));
        }
        let json = Json::new(Bytes::copy_from_slice(bytes)).expect("it was just checked");
        assert_eq!(Value::from(json).bytes(), bytes);
    }
}

/// The bytes as an expression and the JSON that it is about, with a line feed between them: it ends within its steps, and
/// twice in the same way.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (source, value) = text.rsplit_once('\n').unwrap_or((text, "{\"a\":[1,{\"b\":\"c\"}]}"));
    let Ok(expression) = Expression::parse(source) else { return };
    let item = Subject { value: Some(value), version: Some("1-2"), exists: true };
    let evaluate = || {
        let mut steps = 10_000;
        (expression.holds(&item, &mut steps), steps)
    };
    assert_eq!(evaluate(), evaluate());
}

/// The bytes as an index on pointers with spaces between them, a document, and an expression that searches for it, each on a
/// line: a document has entries that say where they end, or a reason to have none, and what holds for it finds it.
pub fn index(bytes: &[u8]) {
    for fields in 0..=Index::FIELDS_MAX {
        if let Some((tuple, key)) = index::split(bytes, fields) {
            assert_eq!([tuple, key].concat(), bytes);
        }
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let (on, document) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(on) = on.split(' ').map(str::parse).collect::<Result<Vec<Pointer>, _>>() else { return };
    let Ok(index) = Index::new(on, false) else { return };
    let entries = index::entries(&index, Some(document));
    if json::check(document.as_bytes()).is_err() {
        return;
    }
    assert_ne!(entries, Err(index::Error::Malformed));
    let Ok(entries) = entries else { return };
    assert!(entries.is_sorted_by(|one, other| one < other), "in their order, each once");
    assert!((1..=Index::ENTRIES_MAX).contains(&entries.len()));
    for entry in &entries {
        assert_eq!(index::split(entry, index.on.len()), Some((&entry[..], &b""[..])));
    }
    let Ok(expression) = Expression::parse(lines.next().unwrap_or("true")) else { return };
    let item = Subject { value: Some(document), version: None, exists: true };
    if expression.holds(&item, &mut 10_000) == Ok(true) {
        let spans = index::narrow(&index, &expression.constraints()).spans;
        assert!(spans.iter().any(|span| entries.iter().any(|entry| span.contains(entry))), "it is found");
    }
}

/// The bytes as the texts that callers name things by: what can be read says the same when it is written.
pub fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.as_str(), text);
        for by in [PartitionBy::FirstSegment, PartitionBy::WholeKey] {
            let partition = by.partition(&key).into_owned();
            assert_eq!(by.parse(partition.as_str()).expect("it is one"), partition);
            assert!(text.starts_with(partition.as_str()));
        }
    }
    if let Ok(pointer) = text.parse::<Pointer>() {
        assert_eq!(pointer.as_str(), text);
        let steps = pointer.steps().iter().map(String::as_str);
        assert_eq!(Pointer::of_steps(steps).as_ref(), Ok(&pointer));
        // It leads to what its last step names.
        let document = pointer.steps().iter().rev().fold("7".to_owned(), |inner, step| {
            format!("{{{}:{inner}}}", serde_json::Value::from(step.as_str()))
        });
        assert_eq!(pointer.raw(&document), (json::check(document.as_bytes()).is_ok()).then_some("7"));
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse::<Position>().as_ref(), Ok(&position));
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string().parse::<EventId>().as_ref(), Ok(&id));
    }
}

/// The bytes as two schemas and a document, each on a line: a document that is valid under a schema is valid under one that goes with it,
/// and what brings a document up ends.
pub fn schema(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let (Ok(old), Ok(new)) =
        (Schema::parse(lines.next().unwrap_or("")), Schema::parse(lines.next().unwrap_or("")))
    else {
        return;
    };
    let document = lines.next().unwrap_or("{}").as_bytes();
    if json::check(document).is_err() {
        return;
    }
    if old.check(document).is_ok() && compatible(&old, &new, Compatibility::Backward).is_ok() {
        assert!(new.check(document).is_ok() || is_dear(&new, document), "it goes with the last one");
    }
    let step = [Step::up(1, false, &Evolution::default(), &new)];
    let upgraded = upgrade(&step, 0, document).into_owned();
    assert_eq!(json::check(&upgraded), Ok(()), "what is brought up is JSON");
    assert_eq!(upgrade(&step, 0, &upgraded), &upgraded[..], "twice is once");
}

/// Whether a check was given up for its cost.
fn is_dear(schema: &Schema, document: &[u8]) -> bool {
    schema.check(document).is_err_and(|invalid| !invalid.is_complete)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SCHEMAS: [&str; 8] = [
        "true",
        "{}",
        r#"{"type":"object","properties":{"a":{"type":"integer","default":1}},"required":["a"]}"#,
        r#"{"properties":{"a":{"minimum":0},"b":{"default":{"c":[]}}},"additionalProperties":false}"#,
        r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":["array","null"],"items":{"$ref":"#/$defs/n"}}}}"##,
        r#"{"anyOf":[{"type":"string","maxLength":3},{"enum":[1,2,null]}]}"#,
        r#"{"type":"number","multipleOf":0.5,"exclusiveMaximum":7}"#,
        r#"{"not":{"const":7},"uniqueItems":true,"maxItems":2}"#,
    ];

    proptest! {
        #[test]
        fn names_say_the_same_when_they_are_written(text in "[a-z0-9/~._é -]{0,24}", bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            super::names(text.as_bytes());
            super::names(format!("/{text}").as_bytes());
            super::names(&bytes);
        }

        #[test]
        fn schemas_keep_what_they_promise(old in 0..8_usize, new in 0..8_usize, json in "[\\[\\]{}:,\"ab17. ]{0,16}") {
            let (old, new) = (SCHEMAS[old], SCHEMAS[new]);
            super::schema(format!("{old}\n{new}\n{json}").as_bytes());
            super::schema(format!("{old}\n{new}\n{{\"a\":{json}}}").as_bytes());
            super::schema(format!("{old}\n{new}\n[{json}]").as_bytes());
            super::schema(format!("{json}\n{new}\n{{}}").as_bytes());
        }
    }
}
