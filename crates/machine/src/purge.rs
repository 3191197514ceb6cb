//! Purges: the items of a retired collection are removed for good, page by page beside the traffic, all but those that are held.
//!
//! How far a purge is in a shard is a row, so that a new owner goes on. It stays when all is done, until the collection is served
//! again; that ends a purge too.

use bytes::Bytes;
use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Slot;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::definition::Definitions;
use crate::index::state::Reached;
use crate::item::{self, Item};
use crate::outcome::Refusal;
use crate::row::{self, FORMAT, RowKey, RowRange};
use crate::state::{self, State, Walk};

/// How far a purge is in a shard. Encoded as the format and a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// The last item that was gone through; none before the first.
    pub at: Option<Reached>,
    /// How many were removed.
    pub removed: u64,
    /// How many are held, and stay.
    pub held: u64,
    /// Whether all were gone through.
    pub is_done: bool,
}

/// What a purge of a collection would find. Items whose end has come count until they are removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// How many items there are.
    pub items: u64,
    /// How many of them are held.
    pub held: u64,
}

/// How far a purge is, over several shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purging {
    /// Shards that it has begun in.
    pub begun: u32,
    /// Shards in which all items were gone through.
    pub done: u32,
    /// All shards.
    pub of: u32,
    /// Items that were removed.
    pub removed: u64,
    /// Items that are held, and stay.
    pub held: u64,
}

impl Purge {
    /// The value of the row.
    pub fn encode(&self) -> Bytes {
        codec::as_json(FORMAT, self)
    }

    /// Reads the value of the row. Errors: [`row::Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, row::Error> {
        codec::of_json("how far a purge is", value, FORMAT)
    }
}

impl Purging {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        if self.done == self.of { "purged" } else { "purging" }
    }
}

/// Checks that a collection can be purged. Errors: it was never defined, or is served.
pub fn check(definitions: &Definitions, tenant: &Tenant, collection: &Name) -> Result<(), Refusal> {
    let name = collection.as_str();
    let (code, why) = match definitions.get(tenant, collection) {
        Some(definition) if definition.is_retired => return Ok(()),
        Some(_) => (Code::Conflict, "is served, and only a retired one is purged: retire it first"),
        None => (Code::NotFound, "was never defined"),
    };
    Err(Refusal::new(code, format!("the collection {name:?} {why}")).fact("collection", name))
}

/// Checks that nothing would be left. Errors: items are held.
pub fn check_stock(collection: &Name, stock: &Stock) -> Result<(), Refusal> {
    if stock.held == 0 {
        return Ok(());
    }
    let (name, held) = (collection.as_str(), stock.held);
    let detail = format!(
        "items of the collection {name:?} are held ({held}): define it again, release them, retire it, and purge it then"
    );
    Err(Refusal::new(Code::Conflict, detail).fact("collection", name).fact("held", held))
}

/// What a purge would find in a shard. Cost: one pass over the collection. Errors: [`state::Error`].
pub fn stock(state: &dyn Walk, tenant: &Tenant, collection: &Name) -> Result<Stock, state::Error> {
    let mut stock = Stock::default();
    let mut from = Some(Slot::FIRST);
    while let Some(start) = from {
        let slots = (start, Slot::LAST);
        let Some(slot) = item::next_slot(state, slots, (tenant, collection, ""))? else { break };
        for row in state.walk(&RowRange::items(slot, tenant, collection, ""), false) {
            let (row, value) = row?;
            let item = Item::decode(&value).map_err(|error| state::Error::damaged(&row, &error))?;
            stock.items += 1;
            stock.held += u64::from(!item.holds.is_empty());
        }
        from = slot.next();
    }
    Ok(stock)
}

/// How far the purge of a collection is in these shards; none if there is none in any. Errors: [`state::Error`].
pub fn purging(
    states: &[&dyn State],
    tenant: &Tenant,
    collection: &Name,
) -> Result<Option<Purging>, state::Error> {
    let mut all = Purging::default();
    for state in states {
        all.of += 1;
        if let Some(purge) = of(*state, tenant, collection)? {
            all.begun += 1;
            all.done += u32::from(purge.is_done);
            all.removed += purge.removed;
            all.held += purge.held;
        }
    }
    Ok((all.begun > 0).then_some(all))
}

/// How far it is in a shard. Errors: [`state::Error`].
pub(crate) fn of<S: State + ?Sized>(
    state: &S,
    tenant: &Tenant,
    collection: &Name,
) -> Result<Option<Purge>, state::Error> {
    state::read(state, &RowKey::purge(tenant, collection), Purge::decode)
}
