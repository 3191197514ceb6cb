//! What can be said in one word, or with settings.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, IntoDeserializer as _, MapAccess, Visitor,
};
use serde::{Serialize, Serializer};

/// Settings of which mostly one is given, and then alone: `balance: peak_ewma` beside `balance: { algorithm: peak_ewma, slow_start: 10s }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brief<T>(pub T);

/// What can be said by one of its settings.
pub trait Expand: Sized {
    /// That setting, written as a string.
    type Short: Serialize + DeserializeOwned + JsonSchema;

    /// What there is to say, for people: "an address, or settings".
    const EXPECTED: &str;

    /// The settings of which only this one is given.
    fn expand(short: Self::Short) -> Self;

    /// The one setting, if the others are as they are without being given.
    fn short(&self) -> Option<Self::Short>;
}

impl<T: Expand + Serialize> Serialize for Brief<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.short() {
            Some(short) => short.serialize(to),
            None => self.0.serialize(to),
        }
    }
}

impl<'de, T: Expand + Deserialize<'de>> Deserialize<'de> for Brief<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BriefVisitor(PhantomData))
    }
}

struct BriefVisitor<T>(PhantomData<T>);

impl<'de, T: Expand + Deserialize<'de>> Visitor<'de> for BriefVisitor<T> {
    type Value = Brief<T>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Brief<T>, E> {
        T::Short::deserialize(text.into_deserializer()).map(|short| Brief(T::expand(short)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Brief<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Brief)
    }
}

impl<T: Expand + JsonSchema> JsonSchema for Brief<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrShort", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, settings) = (generator.subschema_for::<T::Short>(), generator.subschema_for::<T>());
        json_schema!({ "description": T::EXPECTED, "anyOf": [short, settings] })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Place {
        city: String,
        #[serde(default)]
        zip: u32,
    }

    impl Expand for Place {
        type Short = String;
        const EXPECTED: &str = "a city, or settings";

        fn expand(city: String) -> Self {
            Self { city, zip: 0 }
        }

        fn short(&self) -> Option<String> {
            (self.zip == 0).then(|| self.city.clone())
        }
    }

    #[test]
    fn one_word_is_the_setting_and_settings_are_settings() {
        let read = |json: &str| serde_json::from_str::<Brief<Place>>(json).expect("it is a place").0;
        assert_eq!(read("\"Ulm\""), Place { city: "Ulm".into(), zip: 0 });
        assert_eq!(read(r#"{"city": "Ulm"}"#), read("\"Ulm\""));
        let long = read(r#"{"city": "Ulm", "zip": 89073}"#);
        assert_eq!(serde_json::to_string(&Brief(long)).expect("it is data"), r#"{"city":"Ulm","zip":89073}"#);
        assert_eq!(serde_json::to_string(&Brief(read("\"Ulm\""))).expect("it is data"), "\"Ulm\"");
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        let wrong =
            |json: &str| serde_json::from_str::<Brief<Place>>(json).expect_err("it is no place").to_string();
        assert!(wrong("7").contains("expected a city, or settings"), "{}", wrong("7"));
        assert!(wrong(r#"{"city": "Ulm", "street": "x"}"#).contains("unknown field `street`"));
    }
}
