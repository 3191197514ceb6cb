//! Whether what an operation leaves is as its collection's schema has it.

use mainstay_base::error::Code;
use serde_json::Value;

use super::Refusal;
use super::place::Place;
use crate::definition::Definition;
use crate::item::Item;
use crate::schema::{Invalid, Violation};

/// Checks an item that is to be written. Errors: the refusal, with every violation that is told one by one.
pub(super) fn check(place: Place<'_>, definition: &Definition, item: &Item) -> Result<(), Refusal> {
    let Some(schema) = definition.collection.json_schema() else { return Ok(()) };
    if !item.content_type.is_json() {
        let found = &item.content_type;
        let detail = format!(
            "has the content type {found}, and the collection has a schema, which only JSON is checked by"
        );
        let refusal = place.refuse(Code::UnsupportedMediaType, &detail);
        return Err(refusal
            .fact("content_type", found.as_str())
            .fact("accepted", vec![crate::content::ContentType::JSON.as_str()]));
    }
    schema.check(&item.bytes).map_err(|invalid| refuse(place, definition, &invalid))
}

fn refuse(place: Place<'_>, definition: &Definition, invalid: &Invalid) -> Refusal {
    let first = &invalid.violations[0];
    let others = match invalid.violations.len() - 1 + invalid.more {
        0 => String::new(),
        others => format!(", and has {others} other violations"),
    };
    let detail = format!("leaves a document that is not valid: {first}{others}");
    let violations: Vec<Value> = invalid.violations.iter().map(told).collect();
    let refusal = place.refuse(Code::Invalid, &detail).fact("schema", definition.schema);
    let refusal = refusal.fact("violations", violations);
    if invalid.more == 0 { refusal } else { refusal.fact("more_violations", invalid.more) }
}

fn told(violation: &Violation) -> Value {
    let Violation { pointer, schema_pointer, keyword, message } = violation;
    serde_json::json!({
        "pointer": pointer, "schema_pointer": schema_pointer, "keyword": keyword, "message": message,
    })
}
