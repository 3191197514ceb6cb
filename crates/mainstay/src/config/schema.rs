//! The JSON Schema of the configuration: generated from the types, used for checking, published as it is.
//!
//! References are inlined so that a path in a configuration leads straight to the schema of its value. `null`
//! never appears: a null means "not set" and is gone before anything is checked.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value as Json, json};

/// A schema and its compiled validator.
pub struct Schema {
    root: Json,
    validator: jsonschema::Validator,
}

impl Schema {
    /// The schema of `T`.
    ///
    /// # Panics
    /// If the types generate a schema that is not valid: a bug, found by any test.
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        RecursiveTransform(without_null).transform(&mut schema);
        RecursiveTransform(with_free_keys).transform(&mut schema);
        let root = schema.to_value();
        let validator = jsonschema::validator_for(&root).expect("the generated schema is valid");
        Self { root, validator }
    }

    /// The schema document.
    pub fn root(&self) -> &Json {
        &self.root
    }

    /// Every violation in `instance`.
    pub fn violations<'a>(
        &'a self,
        instance: &'a Json,
    ) -> impl Iterator<Item = jsonschema::ValidationError<'a>> {
        self.validator.iter_errors(instance)
    }

    /// The schema of the value at `path`, if the path can exist.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Json> {
        path.into_iter().try_fold(&self.root, |schema, segment| child(schema, segment))
    }
}

/// The schema of one member or item of the values that `schema` describes.
pub fn child<'a>(schema: &'a Json, segment: &str) -> Option<&'a Json> {
    if let Some(property) = schema.get("properties").and_then(|it| it.get(segment)) {
        return Some(property);
    }
    if let Some(items) = schema.get("items")
        && segment.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(items);
    }
    let named = schema.get("additionalProperties").filter(|it| it.is_object());
    named.or_else(|| branches(schema).iter().find_map(|branch| child(branch, segment)))
}

/// What a value may be, one or the other.
pub fn branches(schema: &Json) -> &[Json] {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
    branches.map_or(&[], Vec::as_slice)
}

/// Whether a mapping has to have this member.
pub fn is_required(schema: &Json, name: &str) -> bool {
    schema.get("required").and_then(Json::as_array).is_some_and(|it| it.iter().any(|it| it == name))
}

/// Whether the value is a secret, which may be written by reference only.
pub fn is_secret(schema: &Json) -> bool {
    schema.get("title").is_some_and(|it| it == "Secret")
}

/// Whether a value is kept as it is written, nulls included.
pub fn is_verbatim(schema: &Json) -> bool {
    schema.get("title").is_some_and(|it| it == "JSON Schema")
}

/// Whether a secret lies somewhere below.
pub fn holds_secret(schema: &Json) -> bool {
    let named = property_names(schema).into_iter().filter_map(|name| child(schema, name));
    named.chain(each(schema)).any(|inner| is_secret(inner) || holds_secret(inner))
}

/// The schema of every item of a list, or of every value of a mapping whose keys are free.
pub fn each(schema: &Json) -> Option<&Json> {
    [schema.get("items"), schema.get("additionalProperties")].into_iter().flatten().find(|it| it.is_object())
}

/// Stands for a key that users choose, in paths that are shown.
pub const FREE: &str = "<name>";

/// Whether users choose this key of a mapping.
pub fn is_free(schema: &Json, key: &str) -> bool {
    let is_fixed = schema.get("properties").is_some_and(|it| it.get(key).is_some());
    !is_fixed && schema.get("additionalProperties").is_some_and(Json::is_object)
}

/// What a mapping has by its schema, in order: its fixed keys, and [`FREE`] for those that users choose.
pub fn members(schema: &Json) -> Vec<(&str, &Json)> {
    let fixed = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    let free = schema.get("additionalProperties").filter(|it| it.is_object());
    fixed.map(|(key, value)| (key.as_str(), value)).chain(free.map(|it| (FREE, it))).collect()
}

/// The fixed names a mapping may have by its schema, in order.
pub fn property_names(schema: &Json) -> Vec<&str> {
    let members = schema.get("properties").and_then(Json::as_object);
    members.map(|it| it.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// The fixed words a value may be, for an enumeration.
pub fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(options) = schema.get("enum").and_then(Json::as_array) {
        return options.iter().map(Json::as_str).collect();
    }
    let branches = branches(schema);
    if branches.is_empty() {
        return None;
    }
    branches.iter().map(|branch| branch.get("const").and_then(Json::as_str)).collect()
}

/// What a value must be, completing "expected ...".
pub fn expectation(schema: &Json) -> String {
    if let Some(words) = words(schema) {
        let quoted: Vec<_> = words.iter().map(|it| format!("`{it}`")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    if let Some(word) = schema.get("const") {
        return format!("`{}`", bare(word));
    }
    let text = |key: &str| schema.get(key).and_then(Json::as_str);
    let examples = schema.get("examples").and_then(Json::as_array).map(|it| {
        let shown: Vec<_> = it.iter().map(|one| format!("`{}`", bare(one))).collect();
        format!(" such as {}", shown.join(" or "))
    });
    let examples = examples.unwrap_or_default();
    match (text("title"), text("type")) {
        (Some("Address"), _) => format!("an IP address and port{examples}"),
        (Some("Path"), _) => format!("a path{examples}"),
        (Some("JSON Schema"), _) => "a JSON Schema".into(),
        (Some("Place"), _) => format!("a folder{examples}"),
        (Some("Secret"), _) => format!("a reference to a secret{examples}"),
        (Some(title), Some("string")) => format!("a {}{examples}", title.to_lowercase()),
        (_, Some("string")) => format!("text{examples}"),
        (_, Some("boolean")) => "`true` or `false`".into(),
        (_, Some("integer")) => format!("a whole number{}{examples}", bounds(schema)),
        (_, Some("number")) => format!("a number{}{examples}", bounds(schema)),
        (_, Some("array")) => "a list".into(),
        (_, Some("object")) => format!("a mapping{}", keys(schema)),
        _ if branches(schema).is_empty() => "any value".into(),
        _ => {
            let kinds: Vec<_> = branches(schema).iter().map(expectation).collect();
            format!("{}{examples}", kinds.join(", or "))
        }
    }
}

fn keys(schema: &Json) -> String {
    let names = property_names(schema);
    if names.is_empty() {
        let free = schema.get("additionalProperties").filter(|it| it.is_object());
        return free.map(|it| format!(" from names to {}", expectation(it))).unwrap_or_default();
    }
    let quoted: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    format!(" with {}", quoted.join(", "))
}

fn bounds(schema: &Json) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(low), Some(high)) => format!(" from {low} to {high}"),
        (Some(low), None) => format!(" of at least {low}"),
        (None, Some(high)) => format!(" of at most {high}"),
        (None, None) => String::new(),
    }
}

/// A JSON value without the quotes of a string.
pub fn bare(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// States a mapping whose keys follow a pattern so that a key that does not is a wrong name rather than an unknown key.
fn with_free_keys(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("properties") || object.get("additionalProperties") != Some(&json!(false)) {
        return;
    }
    let Some(Json::Object(patterns)) = object.get("patternProperties") else { return };
    let mut patterns = patterns.iter();
    let (Some((pattern, value)), None) = (patterns.next(), patterns.next()) else { return };
    let (pattern, value) = (json!({ "pattern": pattern }), value.clone());
    object.remove("patternProperties");
    object.insert("propertyNames".into(), pattern);
    object.insert("additionalProperties".into(), value);
}

/// Removes the `null` alternative that optional fields bring.
fn without_null(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    let null = json!({"type": "null"});
    let Some(Json::Array(branches)) = object.get_mut("anyOf") else { return };
    branches.retain(|it| *it != null);
    if let [Json::Object(only)] = branches.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
    if object.get("default") == Some(&Json::Null) {
        object.remove("default");
    }
}
