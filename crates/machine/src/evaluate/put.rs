//! Put: the item has the given value from now on.

use super::commit::Change;
use crate::content::Value;

pub(super) fn put(value: &Value) -> Change {
    Change::Value(value.clone())
}
