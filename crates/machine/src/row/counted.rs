//! Which rows are counted, and for which collection.

use super::beside::{END, INDEX_ENTRY};
use super::{HELD, ITEM, split_at_nul};
use crate::usage::Part;
use mainstay_base::key::Slot;

/// A row that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Whose.
    pub tenant: &'a [u8],
    /// For which collection.
    pub collection: &'a [u8],
    /// As what.
    pub part: Part,
    /// What its key has beside that: of an item's row, the item's key.
    pub rest: &'a [u8],
}

/// What a row is counted as, by its key; none for those of slots, tenants, kept outcomes and the shard itself.
///
/// Looks at no more than it needs, and checks no text.
pub fn counted(row: &[u8]) -> Option<Counted<'_>> {
    let (area, rest) = row.split_first_chunk()?;
    let area = u16::from_be_bytes(*area);
    let numbered = |rest: &'_ [u8]| {
        let (number, _) = rest.split_first_chunk()?;
        Some(u32::from_be_bytes(*number))
    };
    if Slot::new(area).is_some() {
        let (tenant, rest) = split_at_nul(rest)?;
        let (kind, rest) = rest.split_first()?;
        if tenant.is_empty() || (*kind != ITEM && *kind != HELD) {
            return None;
        }
        let (collection, rest) = split_at_nul(rest)?;
        let part = if *kind == ITEM { Part::Items } else { Part::Held(numbered(rest)?) };
        return Some(Counted { tenant, collection, part, rest });
    }
    let rest = match area {
        END => rest.get(8..)?,
        INDEX_ENTRY => rest,
        _ => return None,
    };
    let (tenant, rest) = split_at_nul(rest)?;
    let (collection, rest) = split_at_nul(rest)?;
    let part = if area == END { Part::Ends } else { Part::Entries(numbered(rest)?) };
    Some(Counted { tenant, collection, part, rest })
}
