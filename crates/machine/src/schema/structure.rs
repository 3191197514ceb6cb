//! The shape of a schema: where its subschemas are, what its references mean, and the bounds that it keeps.
//!
//! Bounds: how many subschemas and patterns there are, and what applies to one value, in number and in depth, with all
//! references followed. So a check goes down the document whenever it goes on for long, and documents have an end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::escape;
use super::{Error, Schema};

/// What is known of a schema beside its text.
pub(super) struct Structure {
    /// The pointer that each reference means.
    references: BTreeMap<String, String>,
    prices: Prices,
    has_defaults: bool,
}

/// What looks at a document cost beyond a step, because of what the schema makes of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prices {
    /// How many patterns a member's name may be held against in one look.
    pub(super) member_patterns: usize,
    /// Whether numbers are divided by fractions, which takes numbers of any length.
    pub(super) has_fractions: bool,
}

/// How a subschema applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applies {
    /// To the value itself.
    InPlace,
    /// To what is in the value.
    Below,
    /// To nothing unless it is referred to.
    Aside,
}

/// Keywords whose value is a schema.
const SINGLE: [(&str, Applies); 11] = [
    ("not", Applies::InPlace),
    ("if", Applies::InPlace),
    ("then", Applies::InPlace),
    ("else", Applies::InPlace),
    ("additionalProperties", Applies::Below),
    ("unevaluatedProperties", Applies::Below),
    ("propertyNames", Applies::Below),
    ("items", Applies::Below),
    ("unevaluatedItems", Applies::Below),
    ("contains", Applies::Below),
    ("contentSchema", Applies::Aside),
];

/// Keywords whose value is a list of schemas.
const LISTS: [(&str, Applies); 4] = [
    ("allOf", Applies::InPlace),
    ("anyOf", Applies::InPlace),
    ("oneOf", Applies::InPlace),
    ("prefixItems", Applies::Below),
];

/// Keywords whose value has a schema for each name.
const NAMED: [(&str, Applies); 5] = [
    ("dependentSchemas", Applies::InPlace),
    ("properties", Applies::Below),
    ("patternProperties", Applies::Below),
    ("$defs", Applies::Aside),
    ("definitions", Applies::Aside),
];

/// Keywords that are not taken, and what to write instead.
const REFUSED: [(&str, &str); 5] = [
    ("$dynamicRef", "write $ref"),
    ("$dynamicAnchor", "write $anchor"),
    ("$recursiveRef", "write $ref"),
    ("$recursiveAnchor", "write $anchor"),
    ("dependencies", "write dependentRequired or dependentSchemas"),
];

const SUBSCHEMAS_MAX: usize = 10_000;
const PATTERNS_MAX: usize = 100;

/// How many subschemas may apply to one value, all references followed.
const APPLIED_MAX: usize = 500;

/// How deep subschemas that apply to one value may be nested, all references followed.
const APPLIED_DEPTH_MAX: usize = 12;

impl Structure {
    /// Errors: what is wrong with the schema beside what its metaschema says.
    pub(super) fn of(schema: &Value) -> Result<Self, Error> {
        let mut walk = Walk::default();
        walk.check_dialect(schema)?;
        walk.visit(schema, String::new())?;
        let references = walk.resolve()?;
        let mut weights = Weights { places: &walk.places, references: &references, known: BTreeMap::new() };
        for pointer in walk.places.keys() {
            weights.weigh(pointer, 0)?;
        }
        Ok(Self { references, prices: walk.prices, has_defaults: walk.has_defaults })
    }

    pub(super) fn prices(&self) -> Prices {
        self.prices
    }

    /// Whether a subschema has a default.
    pub(super) fn has_defaults(&self) -> bool {
        self.has_defaults
    }

    /// The pointer to what a reference means. Panics for one that the schema does not have.
    pub(super) fn target(&self, reference: &str) -> &str {
        self.find(reference).expect("all references were resolved when the schema was parsed")
    }

    /// The pointer to what a text refers to, if it is a reference of the schema.
    pub(super) fn find(&self, reference: &str) -> Option<&str> {
        self.references.get(reference).map(String::as_str)
    }
}

/// What is found on the way through a schema.
#[derive(Default)]
struct Walk<'a> {
    places: BTreeMap<String, &'a Value>,
    /// The anchors with their places.
    anchors: BTreeMap<&'a str, String>,
    /// The references with one place of each.
    references: BTreeMap<&'a str, String>,
    patterns: usize,
    prices: Prices,
    has_defaults: bool,
}

impl<'a> Walk<'a> {
    fn check_dialect(&self, schema: &Value) -> Result<(), Error> {
        match schema.get("$schema") {
            None => Ok(()),
            Some(Value::String(dialect)) if dialect.trim_end_matches('#') == Schema::DIALECT => Ok(()),
            Some(dialect) => {
                let dialect = dialect.as_str().map_or_else(|| dialect.to_string(), str::to_owned);
                Err(Error::Dialect { dialect })
            }
        }
    }

    fn visit(&mut self, schema: &'a Value, pointer: String) -> Result<(), Error> {
        match schema {
            Value::Bool(_) => {}
            Value::Object(object) => {
                self.check_keywords(object, &pointer)?;
                for (step, subschema, _) in subschemas(object) {
                    self.visit(subschema, format!("{pointer}/{step}"))?;
                }
            }
            _ => return Err(invalid(&pointer, "a schema is an object, true or false")),
        }
        self.places.insert(pointer, schema);
        if self.places.len() > SUBSCHEMAS_MAX {
            return Err(invalid(
                "",
                &format!("it has more than {SUBSCHEMAS_MAX} subschemas: make it smaller"),
            ));
        }
        Ok(())
    }

    fn check_keywords(&mut self, object: &'a Map<String, Value>, pointer: &str) -> Result<(), Error> {
        if let Some((keyword, instead)) = REFUSED.iter().find(|(keyword, _)| object.contains_key(*keyword)) {
            return Err(invalid(pointer, &format!("{keyword} is not taken: {instead}")));
        }
        if !pointer.is_empty() && (object.contains_key("$id") || object.contains_key("$schema")) {
            return Err(invalid(
                pointer,
                "only the schema as a whole has $id and $schema: leave them out here",
            ));
        }
        if let Some(Value::String(anchor)) = object.get("$anchor")
            && self.anchors.insert(anchor, pointer.to_owned()).is_some()
        {
            return Err(invalid(pointer, "the $anchor is there twice: give it another name"));
        }
        if let Some(Value::String(reference)) = object.get("$ref") {
            self.references.entry(reference).or_insert_with(|| pointer.to_owned());
        }
        self.has_defaults |= object.contains_key("default");
        self.count_patterns(object, pointer)
    }

    fn count_patterns(&mut self, object: &Map<String, Value>, pointer: &str) -> Result<(), Error> {
        let named = object.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        self.patterns += named + usize::from(object.contains_key("pattern"));
        if self.patterns > PATTERNS_MAX {
            return Err(invalid(pointer, &format!("there are more than {PATTERNS_MAX} patterns: use fewer")));
        }
        let at_once = match object {
            _ if object.contains_key("unevaluatedProperties") => PATTERNS_MAX,
            _ if object.contains_key("additionalProperties") => named,
            _ => 0,
        };
        self.prices.member_patterns = self.prices.member_patterns.max(at_once);
        let divisor = object.get("multipleOf").and_then(Value::as_f64);
        self.prices.has_fractions |= divisor.is_some_and(|divisor| divisor.fract() != 0.0);
        Ok(())
    }

    fn resolve(&self) -> Result<BTreeMap<String, String>, Error> {
        let resolve = |(reference, place): (&&str, &String)| {
            let Some(fragment) = reference.strip_prefix('#') else {
                return Err(Error::Reference { pointer: place.clone(), reference: (*reference).to_owned() });
            };
            let target = match percent_decoded(fragment) {
                Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => Some(pointer.into_owned()),
                Some(anchor) => self.anchors.get(anchor.as_ref()).cloned(),
                None => None,
            };
            match target.filter(|target| self.places.contains_key(target)) {
                Some(target) => Ok(((*reference).to_owned(), target)),
                None => {
                    let reference = crate::text::shown(reference);
                    let reason = format!(
                        "the reference {reference} leads to no subschema: put what it means under $defs"
                    );
                    Err(invalid(place, &reason))
                }
            }
        };
        self.references.iter().map(resolve).collect()
    }
}

/// The subschemas right below, each with its steps from here.
fn subschemas(object: &Map<String, Value>) -> impl Iterator<Item = (String, &Value, Applies)> {
    let single = SINGLE
        .iter()
        .filter_map(|(keyword, applies)| Some(((*keyword).to_owned(), object.get(*keyword)?, *applies)));
    let lists = LISTS.iter().flat_map(|(keyword, applies)| {
        let list = object.get(*keyword).and_then(Value::as_array).into_iter().flatten();
        list.enumerate().map(move |(place, value)| (format!("{keyword}/{place}"), value, *applies))
    });
    let named = NAMED.iter().flat_map(|(keyword, applies)| {
        let named = object.get(*keyword).and_then(Value::as_object).into_iter().flatten();
        named.map(move |(name, value)| (format!("{keyword}/{}", escape(name)), value, *applies))
    });
    single.chain(lists).chain(named)
}

/// What of the schema applies to one value.
#[derive(Clone, Copy)]
struct Weight {
    applied: usize,
    depth: usize,
}

struct Weights<'a> {
    places: &'a BTreeMap<String, &'a Value>,
    references: &'a BTreeMap<String, String>,
    known: BTreeMap<String, Weight>,
}

impl Weights<'_> {
    fn weigh(&mut self, pointer: &str, above: usize) -> Result<Weight, Error> {
        let too_deep = || {
            let reason = format!(
                "it refers to itself without going into the value, or more than {APPLIED_DEPTH_MAX} schemas are nested there that apply to one value: make it flatter"
            );
            Err(invalid(pointer, &reason))
        };
        if above > APPLIED_DEPTH_MAX {
            return too_deep();
        }
        if let Some(weight) = self.known.get(pointer) {
            return Ok(*weight);
        }
        let mut weight = Weight { applied: 1, depth: 1 };
        for part in self.in_place(pointer) {
            let part = self.weigh(&part, above + 1)?;
            weight.applied = weight.applied.saturating_add(part.applied);
            weight.depth = weight.depth.max(1 + part.depth);
        }
        if weight.depth > APPLIED_DEPTH_MAX {
            return too_deep();
        }
        if weight.applied > APPLIED_MAX {
            let reason = format!(
                "more than {APPLIED_MAX} schemas apply to one value there, all references followed: use fewer alternatives"
            );
            return Err(invalid(pointer, &reason));
        }
        self.known.insert(pointer.to_owned(), weight);
        Ok(weight)
    }

    /// The places of what applies to the same value.
    fn in_place(&self, pointer: &str) -> Vec<String> {
        let Some(object) = self.places.get(pointer).and_then(|schema| schema.as_object()) else {
            return Vec::new();
        };
        let below = subschemas(object).filter(|(_, _, applies)| *applies == Applies::InPlace);
        let reference = object.get("$ref").and_then(Value::as_str);
        let target = reference.map(|reference| self.references[reference].clone());
        below.map(|(step, _, _)| format!("{pointer}/{step}")).chain(target).collect()
    }
}

fn invalid(pointer: &str, reason: &str) -> Error {
    Error::Invalid { pointer: pointer.to_owned(), reason: reason.to_owned() }
}

/// A fragment of a URI (RFC 3986, section 2.1) as it is meant.
fn percent_decoded(fragment: &str) -> Option<Cow<'_, str>> {
    if !fragment.contains('%') {
        return Some(Cow::Borrowed(fragment));
    }
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut parts = fragment.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
