//! What was answered to idempotency keys.

use mainstay_base::id::Name;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::Version;
use serde::{Deserialize, Serialize};

use super::{Change, Kind};

/// The answer to a change that had a key. A refusal is not kept: nothing happened, and the same request is judged anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    kind: Kind,
    name: Name,
    key: String,
    fingerprint: String,
    pub(super) version: Version,
    pub(super) is_new: bool,
    at: Timestamp,
}

/// What a key means for a change.
pub(super) enum Found<'k> {
    /// It is new, or as good as new.
    Nothing,
    /// It was used for another request.
    Mismatch,
    /// It was used for this request, which was answered so.
    Replay(&'k Kept),
}

/// Answers are kept at most for so many keys; the oldest go first.
const KEPT_MAX: usize = 1_000;

impl Kept {
    pub(super) fn of(change: &Change, key: &str, (version, is_new): (Version, bool), at: Timestamp) -> Self {
        let (kind, name, fingerprint) = (change.kind, change.name.clone(), change.fingerprint());
        Self { kind, name, key: key.to_owned(), fingerprint, version, is_new, at }
    }

    pub(super) fn find<'k>(
        all: &'k [Self],
        change: &Change,
        key: &str,
        (now, keep): (Timestamp, Duration),
    ) -> Found<'k> {
        let is_same = |it: &&Self| it.key == key && it.kind == change.kind && it.name == change.name;
        match all.iter().rev().find(|it| is_same(it) && it.counts(now, keep)) {
            None => Found::Nothing,
            Some(kept) if kept.fingerprint == change.fingerprint() => Found::Replay(kept),
            Some(_) => Found::Mismatch,
        }
    }

    pub(super) fn keep(all: &mut Vec<Self>, kept: Self, (now, keep): (Timestamp, Duration)) {
        all.retain(|it| it.counts(now, keep));
        all.push(kept);
        let beyond = all.len().saturating_sub(KEPT_MAX);
        all.drain(..beyond);
    }

    fn counts(&self, now: Timestamp, keep: Duration) -> bool {
        let passed_us = now.as_micros().saturating_sub(self.at.as_micros());
        u128::from(passed_us) < keep.as_std().as_micros()
    }
}
