//! An index as it is written: a list of pointers, or an object when there is more to say.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Index;
use crate::json::Pointer;

/// The longer form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    on: Cow<'a, [Pointer]>,
    #[serde(default)]
    unique: bool,
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.unique {
            Object { on: Cow::Borrowed(&self.on), unique: true }.serialize(to)
        } else {
            self.on.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(IndexVisitor)
    }
}

struct IndexVisitor;

impl<'de> Visitor<'de> for IndexVisitor {
    type Value = Index;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a list of JSON Pointers such as [\"/state\"], or an object with on and unique")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Index, A::Error> {
        let on = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Index::new(on, false).map_err(Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Index, A::Error> {
        let Object { on, unique } = Object::deserialize(MapAccessDeserializer::new(object))?;
        Index::new(on.into_owned(), unique).map_err(Error::custom)
    }
}

impl JsonSchema for Index {
    fn schema_name() -> Cow<'static, str> {
        "Index".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let on = json_schema!({
            "description": "Where the fields are, in the order in which they are compared.",
            "type": "array",
            "items": schemas.subschema_for::<Pointer>(),
            "minItems": 1,
            "maxItems": Self::FIELDS_MAX,
            "uniqueItems": true,
        });
        json_schema!({
            "title": "Index",
            "description": "The fields of documents by which their items are found.",
            "anyOf": [
                on,
                {
                    "type": "object",
                    "properties": {
                        "on": on,
                        "unique": {
                            "description": "Whether no two items of one partition may have the same values in these fields. An item that lacks one of them may.",
                            "type": "boolean",
                            "default": false,
                        },
                    },
                    "required": ["on"],
                    "additionalProperties": false,
                },
            ],
            "examples": [["/state", "/total"], { "on": ["/email"], "unique": true }],
        })
    }
}
