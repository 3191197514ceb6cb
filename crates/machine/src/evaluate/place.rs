//! Which condition or operation of a commit is meant: the beginning of every refusal, and its facts.

use mainstay_base::error::Code;

use crate::command::{Condition, ItemName, Operation};
use crate::outcome::Refusal;

/// A condition or an operation of a commit, which count from 0.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Condition(usize, &'a Condition),
    Operation(usize, &'a Operation),
}

impl<'a> Place<'a> {
    pub(super) fn item(self) -> &'a ItemName {
        match self {
            Self::Condition(_, condition) => condition.item(),
            Self::Operation(_, operation) => operation.item(),
        }
    }

    /// A refusal on its account. The detail goes on after the name of the place.
    pub(super) fn refuse(self, code: Code, detail: &str) -> Refusal {
        let item = self.item();
        let (word, index, kind) = match self {
            Self::Condition(index, condition) => ("condition", index, condition.kind()),
            Self::Operation(index, operation) => ("operation", index, operation.kind()),
        };
        Refusal::new(code, format!("{word} {index} ({kind} {item}) {detail}"))
            .fact(word, index)
            .fact("collection", item.collection.as_str())
            .fact("key", item.key.as_str())
    }
}
