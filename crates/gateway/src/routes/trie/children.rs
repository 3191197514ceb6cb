//! What follows nodes by a text: a hash table with open addressing, made once.
//!
//! The texts in it are those of a configuration, and it is half empty, so that a look-up ends after few places whatever is looked for.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Children {
    /// A power of two of them, or none.
    slots: Box<[Slot]>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    mixed: u64,
    parent: u32,
    /// 0 where there is none.
    child: u32,
    text: Box<str>,
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of a text: FNV-1a with 64 bits. <http://www.isthe.com/chongo/tech/comp/fnv/>
pub(super) fn hash(text: &[u8]) -> u64 {
    text.iter().fold(START, |hash, byte| grown(hash, *byte))
}

/// The hash of no text, to be grown.
pub(super) const fn hash_start() -> u64 {
    START
}

/// The hash of a text that is one byte longer.
pub(super) fn grown(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// A hash that depends on the parent in all of its bits: the same few segments follow many nodes.
fn mixed(parent: u32, hash: u64) -> u64 {
    let product = (hash ^ u64::from(parent)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl Children {
    pub(super) fn new(entries: BTreeMap<(u32, Box<str>), u32>) -> Self {
        if entries.is_empty() {
            return Self { slots: Box::default() };
        }
        let mut slots = vec![Slot::default(); (entries.len() * 2).next_power_of_two()];
        let mask = slots.len() - 1;
        for ((parent, text), child) in entries {
            let mixed = mixed(parent, hash(text.as_bytes()));
            let mut place = mixed as usize & mask;
            while slots[place].child > 0 {
                place = (place + 1) & mask;
            }
            slots[place] = Slot { mixed, parent, child, text };
        }
        Self { slots: slots.into() }
    }

    pub(super) fn find(&self, parent: u32, hash: u64, text: &str) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mixed = mixed(parent, hash);
        let mut place = mixed as usize & mask;
        loop {
            let slot = &self.slots[place];
            if slot.child == 0 {
                return None;
            }
            if slot.mixed == mixed && slot.parent == parent && *slot.text == *text {
                return Some(slot.child);
            }
            place = (place + 1) & mask;
        }
    }
}
