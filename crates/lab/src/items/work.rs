//! What is asked for: which item, with which value, and whether what came back is its own. Pure, but for the numbers that
//! clients draw from a shared counter.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::load::Answer;

/// Bytes of a key: a letter and a number.
pub const KEY_BYTES: usize = 8;

/// Bytes of a value, where nothing else is asked for.
pub const VALUE_BYTES: usize = 256;

/// Places in the bytes of chance at which a value begins: no compression finds anything in them.
const NOISE_PLACES: usize = 1 << 16;

/// A key.
pub type Key = [u8; KEY_BYTES];

/// What is done to items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Store a new value.
    Put,
    /// Read the value.
    Get,
}

/// An operation on so many items.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// What is done.
    pub operation: Operation,
    /// How many there are, at most 10,000,000: keys have seven digits.
    pub items: u32,
    /// Bytes of each value: its key, as far as there is room, then noise.
    pub value_bytes: usize,
}

/// What all clients of a target do.
#[derive(Debug)]
pub struct Work {
    task: Task,
    /// If set, items come in turn from here; else each is as likely as any other.
    turn: Option<AtomicU64>,
    clients: AtomicU64,
    noise: Vec<u8>,
}

/// What one client keeps: its chance, and what it asked for last.
#[derive(Debug)]
pub struct Hand {
    /// Which client it is, from 0.
    pub client: u64,
    random: u64,
    key: Key,
    value: Vec<u8>,
}

impl Work {
    /// The task on items drawn at random.
    #[must_use]
    pub fn at_random(task: Task) -> Self {
        let mut random = 1;
        let bytes = NOISE_PLACES + task.value_bytes;
        let mut noise = Vec::with_capacity(bytes + 8);
        while noise.len() < bytes {
            noise.extend_from_slice(&next(&mut random).to_le_bytes());
        }
        Self { task, turn: None, clients: AtomicU64::new(0), noise }
    }

    /// Stores each of the task's items in turn.
    #[must_use]
    pub fn in_turn(task: Task) -> Self {
        let task = Task { operation: Operation::Put, ..task };
        Self { turn: Some(AtomicU64::new(0)), ..Self::at_random(task) }
    }

    /// What is done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.task.operation
    }

    /// Bytes of each value.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.task.value_bytes
    }

    /// That of the next client.
    pub fn hand(&self) -> Hand {
        let client = self.clients.fetch_add(1, Ordering::Relaxed);
        // Far apart in the generator's sequence: neighbours would draw the same numbers one step later.
        let mut place = client;
        Hand { client, random: next(&mut place), key: key(0), value: Vec::new() }
    }

    /// The key of the next request.
    pub fn next(&self, hand: &mut Hand) -> Key {
        let items = u64::from(self.task.items);
        let number = match &self.turn {
            Some(turn) => turn.fetch_add(1, Ordering::Relaxed) % items,
            None => next(&mut hand.random) % items,
        };
        hand.key = key(number);
        hand.key
    }

    /// A new value for the key of the request.
    pub fn value<'a>(&self, hand: &'a mut Hand) -> &'a [u8] {
        let at = usize::try_from(next(&mut hand.random) % NOISE_PLACES as u64).expect("it is below 65,536");
        let Hand { key, value, .. } = hand;
        value.clear();
        value.extend_from_slice(&self.noise[at..at + self.task.value_bytes]);
        let told = KEY_BYTES.min(value.len());
        value[..told].copy_from_slice(&key[..told]);
        value
    }
}

impl Hand {
    /// The answer to a read that showed `value`; 409 if it is another item's.
    #[must_use]
    pub fn shown(&self, value: &[u8]) -> Answer {
        let told = &self.key[..KEY_BYTES.min(value.len())];
        let status = if !value.is_empty() && value.starts_with(told) { 200 } else { 409 };
        Answer { status, body_bytes: value.len() as u64 }
    }
}

fn key(mut number: u64) -> Key {
    let mut key = *b"k0000000";
    for digit in key[1..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    key
}

/// The next number of a SplitMix64 generator (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators").
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const READS: Task = Task { operation: Operation::Get, items: 100, value_bytes: VALUE_BYTES };

    #[test]
    fn every_item_is_as_likely_as_any_other() {
        let work = Work::at_random(READS);
        let mut drawn: BTreeMap<Key, u32> = BTreeMap::new();
        for _ in 0..10 {
            let mut hand = work.hand();
            for _ in 0..1_000 {
                *drawn.entry(work.next(&mut hand)).or_default() += 1;
            }
        }
        assert_eq!(drawn.len(), 100);
        // 100 each on average, with a deviation of 10.
        assert!(drawn.values().all(|count| (50..150).contains(count)), "{drawn:?}");
    }

    #[test]
    fn clients_draw_different_items_and_values() {
        let work = Work::at_random(Task { items: 10_000_000, ..READS });
        let (mut one, mut two) = (work.hand(), work.hand());
        let drawn = |hand: &mut Hand| (0..100).map(|_| work.next(hand)).collect::<Vec<Key>>();
        let (first, second) = (drawn(&mut one), drawn(&mut two));
        assert!(first.iter().all(|key| !second.contains(key)));
        let value = work.value(&mut one).to_vec();
        assert_ne!(value, work.value(&mut one));
    }

    #[test]
    fn items_in_turn_are_all_there_is() {
        let work = Work::in_turn(Task { items: 3, ..READS });
        let (mut one, mut two) = (work.hand(), work.hand());
        let keys = [work.next(&mut one), work.next(&mut two), work.next(&mut one), work.next(&mut two)];
        assert_eq!(keys.map(|key| key[7]), *b"0120");
        assert_eq!(work.operation(), Operation::Put);
    }

    #[test]
    fn a_value_is_known_by_its_key() {
        let work = Work::at_random(READS);
        let (mut asked, mut other) = (work.hand(), work.hand());
        let key = work.next(&mut asked);
        let value = work.value(&mut asked).to_vec();
        assert!(value.starts_with(&key));
        assert_eq!(asked.shown(&value), Answer { status: 200, body_bytes: 256 });
        while work.next(&mut other) == key {}
        assert_eq!(other.shown(&value).status, 409);
        assert_eq!(asked.shown(b"").status, 409);
    }

    #[test]
    fn values_have_any_length() {
        for value_bytes in [1, 8, 100_000] {
            let work = Work::at_random(Task { value_bytes, ..READS });
            let mut hand = work.hand();
            work.next(&mut hand);
            let value = work.value(&mut hand).to_vec();
            assert_eq!(hand.shown(&value), Answer { status: 200, body_bytes: value_bytes as u64 });
        }
    }

    #[test]
    fn keys_are_numbers_of_one_length() {
        assert_eq!(&key(0), b"k0000000");
        assert_eq!(&key(1_234_567), b"k1234567");
    }
}
