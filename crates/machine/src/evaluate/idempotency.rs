//! Outcomes kept for idempotency keys: found again, kept, and retired.
//!
//! An outcome counts exactly as long as its retention says, by the time in its row. Retiring only frees the space, a few rows
//! with each command that keeps one, and in bursts: so that the search for the oldest is rare, and begins
//! where the last one ended instead of among deleted rows.

use mainstay_base::error::Code;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::Tenant;
use mainstay_base::key::Slot;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;

use super::{Moment, Refusal};
use crate::command::Idempotency;
use crate::outcome::Outcome;
use crate::overlay::Overlay;
use crate::row::{Error, FORMAT, Kept, Parts, RowKey, RowRange, TenantMeta};
use crate::settings::Retention;
use crate::state::{self, State};

/// How many outcomes one command retires at most.
const RETIRED_MAX: usize = 8;

/// Expired rows may stay for this part of the retention, so that they go in bursts.
const SLACK_PART: u32 = 64;

/// Where a tenant's outcomes are kept, and for how long.
pub(super) struct Book<'a> {
    pub(super) slot: Slot,
    pub(super) tenant: &'a Tenant,
    pub(super) moment: Moment,
    pub(super) retention: &'a Retention,
}

pub(super) enum Found {
    /// The same request was answered so before.
    Replay(Outcome),
    /// The key belongs to another request.
    Mismatch(Refusal),
    /// There is no outcome that counts; perhaps one from this time that does not count any more.
    Nothing { stale: Option<HybridTime> },
}

impl Book<'_> {
    /// Whether what was kept then counts no more, for at least this long.
    fn is_expired(&self, kept: HybridTime, for_at_least: Duration) -> bool {
        let last: Option<Timestamp> =
            kept.wall().checked_add(self.retention.keep).and_then(|last| last.checked_add(for_at_least));
        last.is_some_and(|last| last <= self.moment.time.wall())
    }

    fn slack(&self) -> Duration {
        Duration::from(self.retention.keep.as_std() / SLACK_PART)
    }
}

pub(super) fn look_up(
    book: &Book<'_>,
    idempotency: &Idempotency,
    overlay: &Overlay<'_>,
) -> Result<Found, state::Error> {
    let row = RowKey::kept(book.slot, book.tenant, idempotency.scope());
    let Some(kept) = state::read(overlay, &row, Kept::decode)? else {
        return Ok(Found::Nothing { stale: None });
    };
    if book.is_expired(kept.time, Duration::ZERO) {
        return Ok(Found::Nothing { stale: Some(kept.time) });
    }
    if kept.fingerprint != *idempotency.fingerprint() {
        let detail = "the idempotency key was used before, with another request: \
                      use a new key, or send the same request again";
        return Ok(Found::Mismatch(Refusal::new(Code::IdempotencyMismatch, detail)));
    }
    Ok(Found::Replay(kept.outcome))
}

/// Keeps an outcome, in place of the stale one of the same key.
pub(super) fn keep(
    book: &Book<'_>,
    idempotency: &Idempotency,
    stale: Option<HybridTime>,
    outcome: &Outcome,
    overlay: &mut Overlay<'_>,
) -> Result<(), state::Error> {
    let (slot, tenant, time, scope) = (book.slot, book.tenant, book.moment.time, idempotency.scope());
    let row = RowKey::tenant(slot, tenant);
    let meta = state::read(overlay, &row, TenantMeta::decode)?;
    let mut meta = meta.unwrap_or(TenantMeta { kept: 0, oldest: time });
    if let Some(stale) = stale {
        overlay.write(RowKey::kept_by_age(slot, tenant, stale, scope), None);
        meta.kept = meta.kept.saturating_sub(1);
    }
    retire(book, &mut meta, overlay)?;
    meta.kept = meta.kept.saturating_add(1);
    let kept = Kept { fingerprint: *idempotency.fingerprint(), time, outcome: outcome.clone() };
    overlay.write(RowKey::kept(slot, tenant, scope), Some(kept.encode()));
    overlay.write(RowKey::kept_by_age(slot, tenant, time, scope), Some(bytes::Bytes::from_static(&[FORMAT])));
    overlay.write(row, Some(meta.encode()));
    Ok(())
}

/// Deletes the oldest outcomes if there are too many, or if the oldest have been past their time for a while.
fn retire(book: &Book<'_>, meta: &mut TenantMeta, overlay: &mut Overlay<'_>) -> Result<(), state::Error> {
    let kept_max = u64::from(book.retention.outcomes_max.max(1));
    let has_too_many = meta.kept >= kept_max;
    if !has_too_many && !book.is_expired(meta.oldest, book.slack()) {
        return Ok(());
    }
    let range = RowRange::kept_by_age(book.slot, book.tenant, meta.oldest);
    let oldest = overlay.scan(&range, RETIRED_MAX + 1)?;
    // A burst also makes room for the commands to come, so that not each of them has to search.
    let burst = (kept_max / 8).clamp(1, RETIRED_MAX as u64);
    let kept_to_be = if has_too_many { kept_max - burst } else { kept_max };
    // Without a next one there is none left, and the one to be kept is the oldest.
    meta.oldest = book.moment.time;
    for (place, (row, _)) in oldest.iter().enumerate() {
        let Parts::KeptByAge { time, scope, .. } =
            Parts::of(row).map_err(|error| state::Error::damaged(row, &error))?
        else {
            let why = "a kept outcome was expected";
            let error = Error::Field { what: "a row's key", at: row.len(), why };
            return Err(state::Error::damaged(row, &error));
        };
        let goes = meta.kept > kept_to_be || book.is_expired(time, Duration::ZERO);
        if place == RETIRED_MAX || !goes {
            meta.oldest = time;
            break;
        }
        overlay.write(RowKey::kept(book.slot, book.tenant, &scope), None);
        overlay.write(RowKey::kept_by_age(book.slot, book.tenant, time, &scope), None);
        meta.kept = meta.kept.saturating_sub(1);
    }
    Ok(())
}
