//! What is off, or on with what there is to say of it.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// Something that is off, or on with its settings: `false`, `true` for all defaults, or the settings. Off is said where a route is not to have what the gateway has by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch<T> {
    /// Not done.
    Off,
    /// Done like this.
    On(T),
}

impl<T> Switch<T> {
    /// The settings, if it is on.
    pub const fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(settings) => Some(settings),
        }
    }

    /// The settings themselves, if it is on.
    pub fn into_on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(settings) => Some(settings),
        }
    }
}

impl<T: Serialize> Serialize for Switch<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => to.serialize_bool(false),
            Self::On(settings) => settings.serialize(to),
        }
    }
}

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Default + Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or settings")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<Switch<T>, E> {
        Ok(if is_on { Switch::On(T::default()) } else { Switch::Off })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Switch<T>, E> {
        T::deserialize(text.into_deserializer()).map(Switch::On)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Switch_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<T>();
        json_schema!({
            "description": "`true` for all defaults, `false` for not at all, or the settings.",
            "anyOf": [{ "type": "boolean" }, settings],
        })
    }
}
