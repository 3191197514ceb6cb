//! Purges as they are asked for and answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_machine::purge::{Purging, Stock};

/// What a purge needs to know: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPurge")]
pub struct PurgeBody {}

/// What a purge would come to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PurgeDryRun")]
pub struct StockBody {
    /// Always `true`: nothing was changed.
    dry_run: bool,
    /// How many items there are, those past their end that are not removed yet too.
    items: u64,
    /// How many of them are held, and refuse the purge.
    held: u64,
}

/// How far a purge is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Purge")]
pub struct PurgingBody {
    /// `purging`, or `purged` when all shards have gone through all items.
    state: &'static str,
    /// How many of the shards have, such as `3/16`.
    done: String,
    /// How many items were removed.
    removed: u64,
    /// How many are held, and stay.
    held: u64,
}

impl From<Stock> for StockBody {
    fn from(Stock { items, held }: Stock) -> Self {
        Self { dry_run: true, items, held }
    }
}

impl From<Purging> for PurgingBody {
    fn from(purging: Purging) -> Self {
        let Purging { done, of, removed, held, .. } = purging;
        Self { state: purging.as_str(), done: format!("{done}/{of}"), removed, held }
    }
}
