//! What is known of a value that the narrow schema allows: all schemas that apply to it, seen at once.
//!
//! To know less is safe: what is not used of a schema makes containment harder to show and never easier.

use serde_json::{Map, Value};

use super::super::Schema;
use super::super::document::{Number, escape};

/// A subschema at its place.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) owner: &'a Schema,
    pub(super) value: &'a Value,
    pub(super) pointer: String,
}

/// The types that a value may have; whole numbers and those with a fraction are two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

/// What is known of a value.
#[derive(Clone)]
pub(super) struct Facts<'a> {
    /// Each applies; the references and `allOf` of each are parts as well.
    pub(super) parts: Vec<At<'a>>,
    pub(super) types: Types,
    /// All values there may be, if they are known.
    pub(super) values: Option<Vec<&'a Value>>,
    /// Where the alternatives stood of which one is among the parts.
    pub(super) decided: Vec<String>,
}

impl<'a> At<'a> {
    pub(super) fn root(owner: &'a Schema) -> Self {
        Self { owner, value: owner.source(), pointer: String::new() }
    }

    pub(super) fn below(&self, step: &str, value: &'a Value) -> Self {
        Self { owner: self.owner, value, pointer: format!("{}/{step}", self.pointer) }
    }

    /// What a keyword has.
    pub(super) fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.value.get(keyword)
    }

    /// The subschema that a keyword has.
    pub(super) fn child(&self, keyword: &str) -> Option<Self> {
        Some(self.below(keyword, self.get(keyword)?))
    }

    /// The subschemas of a list.
    pub(super) fn list(&self, keyword: &str) -> Vec<Self> {
        let list = self.get(keyword).and_then(Value::as_array).into_iter().flatten();
        list.enumerate().map(|(place, value)| self.below(&format!("{keyword}/{place}"), value)).collect()
    }

    /// The subschema that a keyword has for a name.
    pub(super) fn named(&self, keyword: &str, name: &str) -> Option<Self> {
        let value = self.get(keyword)?.get(name)?;
        Some(self.below(&format!("{keyword}/{}", escape(name)), value))
    }

    /// The names that a keyword has subschemas for.
    pub(super) fn names(&self, keyword: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.object(keyword).into_iter().flat_map(|object| object.keys().map(String::as_str))
    }

    pub(super) fn object(&self, keyword: &str) -> Option<&'a Map<String, Value>> {
        self.get(keyword)?.as_object()
    }

    /// The subschema that the reference leads to.
    pub(super) fn target(&self) -> Option<Self> {
        let pointer = self.owner.0.structure.target(self.get("$ref")?.as_str()?);
        let value = self.owner.source().pointer(pointer).expect("references lead to subschemas");
        Some(Self { owner: self.owner, value, pointer: pointer.to_owned() })
    }
}

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const WHOLE: Self = Self(4);
    pub(super) const FRACTION: Self = Self(8);
    pub(super) const NUMBER: Self = Self(4 | 8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ALL: Self = Self(127);
    /// Those that have a few values only.
    pub(super) const BOUNDED: Self = Self(1 | 2);

    /// What the keyword `type` has.
    pub(super) fn of_keyword(value: &Value) -> Self {
        match value {
            Value::String(name) => Self::of_name(name),
            Value::Array(names) => {
                let names = names.iter().filter_map(Value::as_str).map(Self::of_name);
                names.fold(Self::NONE, |types, one| Self(types.0 | one.0))
            }
            _ => Self::ALL,
        }
    }

    fn of_name(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::WHOLE,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::ALL,
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if Number::of(number).is_whole() => Self::WHOLE,
            Value::Number(_) => Self::FRACTION,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn has_any(self, other: Self) -> bool {
        self.and(other) != Self::NONE
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// Each type alone.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        (0..7).map(|bit| Self(1 << bit)).filter(move |one| self.has_any(*one))
    }
}

impl<'a> Facts<'a> {
    /// Nothing is known but the types.
    pub(super) fn any(types: Types) -> Self {
        Self { parts: Vec::new(), types, values: None, decided: Vec::new() }
    }

    pub(super) fn of(schemas: impl IntoIterator<Item = At<'a>>) -> Self {
        let mut facts = Self::any(Types::ALL);
        for schema in schemas {
            facts.add(schema);
        }
        facts
    }

    pub(super) fn and(&self, schema: At<'a>) -> Self {
        let mut facts = self.clone();
        facts.add(schema);
        facts
    }

    pub(super) fn with_types(&self, types: Types) -> Self {
        let mut facts = self.clone();
        facts.narrow(types);
        facts
    }

    pub(super) fn with_value(&self, value: &'a Value) -> Self {
        let mut facts = self.clone();
        facts.add_values(vec![value]);
        facts
    }

    fn add(&mut self, schema: At<'a>) {
        match schema.value {
            Value::Bool(true) => return,
            Value::Bool(false) => self.narrow(Types::NONE),
            _ => {}
        }
        if let Some(types) = schema.get("type") {
            self.narrow(Types::of_keyword(types));
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            self.add_values(values.iter().collect());
        }
        if let Some(value) = schema.get("const") {
            self.add_values(vec![value]);
        }
        for part in schema.list("allOf").into_iter().chain(schema.target()) {
            self.add(part);
        }
        self.parts.push(schema);
    }

    fn add_values(&mut self, values: Vec<&'a Value>) {
        let known = self.values.take();
        let is_known = |value: &&Value| known.as_ref().is_none_or(|known| contains(known, value));
        self.values = Some(values.into_iter().filter(is_known).collect());
        self.narrow(self.types);
    }

    /// Keeps to types, and to the values that have them.
    fn narrow(&mut self, types: Types) {
        self.types = self.types.and(types);
        let Some(values) = &mut self.values else { return };
        values.retain(|value| Types::of_value(value).is_within(self.types));
        let found = values.iter().fold(Types::NONE, |types, value| Types(types.0 | Types::of_value(value).0));
        self.types = self.types.and(found);
    }

    /// Whether no value is left.
    pub(super) fn is_never(&self) -> bool {
        self.types == Types::NONE
    }

    /// What is known of a member that may be there.
    pub(super) fn member(&self, name: &str) -> Self {
        let known = self.parts.iter().filter_map(|part| {
            let is_additional = part.get("patternProperties").is_none();
            part.named("properties", name)
                .or_else(|| part.child("additionalProperties").filter(|_| is_additional))
        });
        Self::of(known)
    }

    /// What is known of an element that may be there.
    pub(super) fn element(&self, place: usize) -> Self {
        Self::of(self.parts.iter().filter_map(|part| {
            part.list("prefixItems").into_iter().nth(place).or_else(|| part.child("items"))
        }))
    }

    pub(super) fn is_required(&self, name: &str) -> bool {
        let has = |names: &Value| names.as_array().is_some_and(|names| names.iter().any(|one| one == name));
        self.parts.iter().filter_map(|part| part.get("required")).any(has)
    }

    /// The alternatives of which one applies, and where they stand.
    pub(super) fn alternatives(&self) -> Option<(String, Vec<At<'a>>)> {
        let all = self.parts.iter().flat_map(|part| {
            ["anyOf", "oneOf"].map(|keyword| (format!("{}/{keyword}", part.pointer), part.list(keyword)))
        });
        all.into_iter().find(|(place, list)| !list.is_empty() && !self.decided.contains(place))
    }

    /// What tells the facts from others of the same two schemas.
    pub(super) fn key(&self) -> String {
        let mut parts: Vec<&str> = self.parts.iter().map(|part| part.pointer.as_str()).collect();
        parts.sort_unstable();
        parts.dedup();
        let values = self.values.as_ref().map(|values| values.iter().map(ToString::to_string).collect());
        let values: Vec<String> = values.unwrap_or_default();
        format!("{parts:?} {} {values:?} {:?}", self.types.0, self.decided)
    }
}

/// Whether a value equals one of others, numbers by what they are.
pub(super) fn contains(values: &[&Value], value: &Value) -> bool {
    values.iter().any(|one| is_equal(one, value))
}

pub(super) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => Number::of(one).cmp(&Number::of(other)).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has =
                |(name, one): (&String, &Value)| other.get(name).is_some_and(|other| is_equal(one, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}
