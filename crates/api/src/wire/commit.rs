//! A commit as it is sent, and as it is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::key::{Key, Partition, PartitionBy};
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;
use mainstay_machine::command::{Commit, Condition, ItemName, Operation};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::expression::Expression;
use mainstay_machine::json::{Json, Pointer};
use mainstay_machine::outcome::OperationResult;
use mainstay_machine::{Position, Version};

use super::kind::{Kinds, One};
use super::{Text, parsed, parsed_if_there, text};
use crate::body::Object;

/// Conditions and operations on one partition, all or nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Commit")]
pub struct CommitBody<'a> {
    /// What the keys of all its items share: by default what stands before the first slash.
    #[serde(deserialize_with = "partition")]
    #[schemars(with = "Key")]
    partition: Partition<'static>,
    /// What must hold for the state before the commit.
    #[serde(rename = "if", default)]
    conditions: Vec<One<ConditionBody>>,
    /// What to do, in this order. Operations see what those before them did.
    #[serde(borrow, rename = "do", default)]
    operations: Vec<One<OperationBody<'a>>>,
}

/// Something that must hold for a commit to happen.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Condition")]
enum ConditionBody {
    /// The item is there and has this version.
    Version(Object<VersionBody>),
    /// The item is not there.
    Absent(Object<ItemNameBody>),
    /// The item is there.
    Present(Object<ItemNameBody>),
    /// The expression holds for the item, which may be absent.
    Check(Object<CheckBody>),
}

/// The name of an item.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ItemName")]
struct ItemNameBody {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
}

/// An item and its version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VersionCondition")]
struct VersionBody {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// The version, as it was answered.
    #[serde(deserialize_with = "parsed")]
    #[schemars(
        with = "String",
        example = "1-2f",
        regex(pattern = "^(0|[1-9a-f][0-9a-f]{0,7})-(0|[1-9a-f][0-9a-f]{0,15})$")
    )]
    is: Version,
}

/// An item and an expression about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CheckCondition")]
struct CheckBody {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// An expression in CEL over `value`, `version` and `exists`; at most 2048 bytes.
    #[serde(deserialize_with = "expression")]
    #[schemars(with = "String", length(min = 1, max = 2048), example = "value.open_orders < 3")]
    cel: Expression,
}

/// A change of one item.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Operation")]
enum OperationBody<'a> {
    /// Gives the item this value, whether it is there or not.
    Put(Object<PutBody<'a>>),
    /// Merges a patch into the item's JSON (RFC 7396).
    MergePatch(Object<MergePatchBody<'a>>),
    /// Removes the item, if it is there.
    Delete(Object<ItemNameBody>),
    /// Adds to a whole number in the item's JSON.
    Increment(Object<IncrementBody>),
    /// Keeps the item as it is until all of its holds are released; it must be there.
    Hold(Object<HoldBody>),
    /// Releases a hold, if the item has it.
    Release(Object<HoldBody>),
}

/// An item and its new value: exactly one of `value`, and `value_base64` with `content_type`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Put", transform = one_value)]
struct PutBody<'a> {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// The value as JSON; its bytes are kept as they are sent.
    #[serde(borrow, default, deserialize_with = "raw_if_there")]
    #[schemars(with = "serde_json::Value")]
    value: Option<&'a RawValue>,
    /// The value as bytes: base64 with padding (RFC 4648, section 4).
    #[serde(borrow, default)]
    #[schemars(
        with = "String",
        extend("contentEncoding" = "base64"),
        regex(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$")
    )]
    value_base64: Option<Text<'a>>,
    /// What the bytes are; for `value` a type of JSON, by default `application/json`.
    #[serde(default, deserialize_with = "parsed_if_there")]
    #[schemars(
        with = "String",
        length(min = 3, max = 255),
        example = "image/png",
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+( *;[ -~]*)?$")
    )]
    content_type: Option<ContentType>,
    /// How long the item is there, such as `30m`; without it, as long as its collection says.
    #[serde(default, deserialize_with = "parsed_if_there")]
    #[schemars(with = "Duration")]
    ttl: Option<Duration>,
}

/// Says that a value comes in one of two ways, and that none of its members is absent by being null.
fn one_value(schema: &mut schemars::Schema) {
    const JSON: &str = "^(application/|[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+\\+)[jJ][sS][oO][nN]( *;[ -~]*)?$";
    schema.insert(
        "oneOf".into(),
        serde_json::json!([
            { "required": ["value"], "properties": { "content_type": { "pattern": JSON } } },
            { "required": ["value_base64", "content_type"] },
        ]),
    );
    for member in ["value", "value_base64", "content_type", "ttl"] {
        let pointer = format!("/properties/{member}");
        schema.pointer_mut(&pointer).and_then(|it| it.as_object_mut()).map(|it| it.remove("default"));
    }
}

/// An item and a patch for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MergePatch")]
struct MergePatchBody<'a> {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// A JSON Merge Patch; an absent item begins as nothing.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value")]
    patch: &'a RawValue,
}

/// A number in an item, and what to add to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Increment")]
struct IncrementBody {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// Where the number is, as a JSON Pointer (RFC 6901); by default the whole item.
    #[serde(default, deserialize_with = "parsed")]
    #[schemars(
        with = "String",
        length(max = 1024),
        example = "/open_orders",
        regex(pattern = "^(/([^~/]|~[01])*)*$")
    )]
    path: Pointer,
    /// What to add.
    by: i64,
    /// What the number must not fall below.
    #[serde(default)]
    min: Option<i64>,
    /// What the number must not rise above.
    #[serde(default)]
    max: Option<i64>,
}

/// A hold of an item.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hold")]
struct HoldBody {
    /// The collection.
    collection: Name,
    /// The item's key.
    key: Key,
    /// The hold.
    name: Name,
}

/// A commit that happened.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CommitAnswer")]
pub struct CommitAnswer {
    /// Who reads here or later sees the commit; opaque.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub position: Position,
    /// What became of each operation, in their order.
    pub results: Vec<OperationAnswer>,
}

/// What became of an operation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OperationAnswer")]
pub struct OperationAnswer {
    /// The version that it gave the item; not there when it gave none, since it removed it or is about a hold.
    #[serde(serialize_with = "text_of_some", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub version: Option<Version>,
    /// Whether the item was there before the operation.
    pub existed: bool,
}

impl<'de> Kinds<'de> for ConditionBody {
    const WHAT: &'static str = "a condition";
    const NAMES: &'static str = "`version`, `absent`, `present`, `check`";
    const PLANNED: &'static [&'static str] = &["fence"];

    fn read<A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(Some(match name {
            "version" => Self::Version(map.next_value()?),
            "absent" => Self::Absent(map.next_value()?),
            "present" => Self::Present(map.next_value()?),
            "check" => Self::Check(map.next_value()?),
            _ => return Ok(None),
        }))
    }
}

impl<'de: 'a, 'a> Kinds<'de> for OperationBody<'a> {
    const WHAT: &'static str = "an operation";
    const NAMES: &'static str = "`put`, `merge_patch`, `delete`, `increment`, `hold`, `release`";
    const PLANNED: &'static [&'static str] = &["publish", "ack", "start"];

    fn read<A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(Some(match name {
            "put" => Self::Put(map.next_value()?),
            "merge_patch" => Self::MergePatch(map.next_value()?),
            "delete" => Self::Delete(map.next_value()?),
            "increment" => Self::Increment(map.next_value()?),
            "hold" => Self::Hold(map.next_value()?),
            "release" => Self::Release(map.next_value()?),
            _ => return Ok(None),
        }))
    }
}

impl CommitBody<'_> {
    /// The partition and the commit that this asks for. `body` are the bytes that it was read from; values share them.
    ///
    /// Errors: [`Code::Invalid`] with the JSON Pointer of the value that cannot be stored.
    pub fn into_commit(self, body: &Bytes) -> Result<(Partition<'static>, Commit), Problem> {
        let conditions = self.conditions.into_iter().map(|One(condition)| condition.into()).collect();
        let operations = self.operations.into_iter().enumerate();
        let operations = operations.map(|(index, One(operation))| operation.into_operation(index, body));
        let operations = operations.collect::<Result<_, _>>()?;
        Ok((self.partition, Commit { conditions, operations }))
    }
}

impl From<ItemNameBody> for ItemName {
    fn from(ItemNameBody { collection, key }: ItemNameBody) -> Self {
        Self { collection, key }
    }
}

impl From<ConditionBody> for Condition {
    fn from(condition: ConditionBody) -> Self {
        match condition {
            ConditionBody::Version(Object(VersionBody { collection, key, is })) => {
                Self::Version { item: ItemName { collection, key }, is }
            }
            ConditionBody::Absent(Object(item)) => Self::Absent { item: item.into() },
            ConditionBody::Present(Object(item)) => Self::Present { item: item.into() },
            ConditionBody::Check(Object(CheckBody { collection, key, cel })) => {
                Self::Check { item: ItemName { collection, key }, cel }
            }
        }
    }
}

impl OperationBody<'_> {
    fn into_operation(self, index: usize, body: &Bytes) -> Result<Operation, Problem> {
        Ok(match self {
            Self::Put(Object(put)) => put.into_operation(index, body)?,
            Self::MergePatch(Object(MergePatchBody { collection, key, patch })) => {
                let patch = Json::new(shared(body, patch))
                    .map_err(|error| wrong(&error, &format!("/do/{index}/merge_patch/patch")))?;
                Operation::MergePatch { item: ItemName { collection, key }, patch }
            }
            Self::Delete(Object(item)) => Operation::Delete { item: item.into() },
            Self::Increment(Object(IncrementBody { collection, key, path, by, min, max })) => {
                Operation::Increment { item: ItemName { collection, key }, path, by, min, max }
            }
            Self::Hold(Object(HoldBody { collection, key, name })) => {
                Operation::Hold { item: ItemName { collection, key }, name }
            }
            Self::Release(Object(HoldBody { collection, key, name })) => {
                Operation::Release { item: ItemName { collection, key }, name }
            }
        })
    }
}

impl PutBody<'_> {
    fn into_operation(self, index: usize, body: &Bytes) -> Result<Operation, Problem> {
        let at = |member: &str| format!("/do/{index}/put{member}");
        let refuse = |member: &str, what: &str| {
            let at = at(member);
            Problem::new(Code::Invalid, format!("the body does not fit at `{at}`: {what}"))
                .fact("pointer", at)
        };
        let (content_type, bytes, member) = match (self.value, self.value_base64, self.content_type) {
            (Some(value), None, content_type) => {
                let content_type = content_type.unwrap_or(ContentType::JSON);
                if !content_type.is_json() {
                    let what = "a value of this type cannot be written as JSON: send it as `value_base64`";
                    return Err(refuse("/content_type", what));
                }
                (content_type, shared(body, value), "/value")
            }
            (None, Some(Text(encoded)), Some(content_type)) => {
                let decoded = STANDARD.decode(encoded.as_bytes());
                let bytes = decoded.map_err(|error| {
                    refuse("/value_base64", &format!("it is not base64 with padding: {error}"))
                })?;
                (content_type, bytes.into(), "/value_base64")
            }
            (None, Some(_), None) => {
                return Err(refuse("", "`value_base64` needs `content_type`, such as \"image/png\""));
            }
            (Some(_), Some(_), _) => return Err(refuse("", "send `value` or `value_base64`, not both")),
            (None, None, _) => return Err(refuse("", "send `value`, or `value_base64` with `content_type`")),
        };
        let value = Value::new(content_type, bytes).map_err(|error| wrong(&error, &at(member)))?;
        let item = ItemName { collection: self.collection, key: self.key };
        Ok(Operation::Put { item, value, ttl: self.ttl })
    }
}

/// The bytes of a value, without copying them.
fn shared(body: &Bytes, value: &RawValue) -> Bytes {
    body.slice_ref(value.get().as_bytes())
}

/// The problem of a value that is not stored. Its place is within the value.
fn wrong(error: &(impl Classify + std::fmt::Display), pointer: &str) -> Problem {
    Problem::new(Code::Invalid, format!("the body does not fit at `{pointer}`: {error}"))
        .fact("pointer", pointer)
}

impl From<OperationResult> for OperationAnswer {
    fn from(OperationResult { version, existed }: OperationResult) -> Self {
        Self { version, existed }
    }
}

fn text_of_some<S: serde::Serializer>(version: &Option<Version>, to: S) -> Result<S::Ok, S::Error> {
    match version {
        Some(version) => text(version, to),
        None => to.serialize_none(),
    }
}

/// A partition is written as the keys in it begin, or as a whole key; which of both, its items know.
fn partition<'de, D: Deserializer<'de>>(from: D) -> Result<Partition<'static>, D::Error> {
    let Text(name) = Text::deserialize(from)?;
    PartitionBy::WholeKey.parse(&name).map(Partition::into_owned).map_err(D::Error::custom)
}

fn expression<'de, D: Deserializer<'de>>(from: D) -> Result<Expression, D::Error> {
    let Text(source) = Text::deserialize(from)?;
    Expression::parse(&source).map_err(D::Error::custom)
}

/// A member that is there, also as `null`.
fn raw_if_there<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}
