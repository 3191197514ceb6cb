//! Delete: the item is no more. To delete what is not there succeeds and changes nothing.

use super::commit::Change;

pub(super) fn delete() -> Change {
    Change::Gone
}
