//! One file twice: as the operating system shows it, and as the platter has it.
//!
//! A sector is dirty when a sync would write it. A failed sync leaves sectors clean that were not written: they
//! are shown until they are evicted, no later sync writes them, and a loss of power takes them.

use std::collections::BTreeSet;

use super::super::random::Random;

/// What a disk writes as one: it can still be torn inside.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// The numbers of the sectors that the next sync writes.
    dirty: BTreeSet<usize>,
}

/// How much of what is not synced a crash keeps: drawn for each crash, so that crashes differ in kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Luck {
    /// Of eight unsynced things, so many are kept.
    kept_in_8: u64,
    /// Of eight kept sectors, so many are torn inside.
    torn_in_8: u64,
}

impl Luck {
    pub(super) fn draw(random: &Random) -> Self {
        let [all, most, half, few, none] = [8, 7, 4, 1, 0];
        let kept_in_8 = [none, none, all, most, half, half, few][random.up_to(6)];
        let torn_in_8 = [0, 0, 1, 4][random.up_to(3)];
        Self { kept_in_8, torn_in_8 }
    }

    pub(super) fn keeps(self, random: &Random) -> bool {
        random.below(8) < self.kept_in_8
    }

    fn tears(self, random: &Random) -> bool {
        random.below(8) < self.torn_in_8
    }
}

impl Image {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if bytes.is_empty() {
            return;
        }
        // A hole that the write leaves reads as zeros, and is written as such.
        let first = offset.min(self.cached.len());
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.extend(first / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = self.range(sector);
            self.durable[range.clone()].copy_from_slice(&self.cached[range]);
        }
    }

    /// A sync that the end of the machine interrupts: some sectors are written, and all stay dirty.
    pub(super) fn sync_in_part(&mut self, luck: Luck, random: &Random) {
        self.durable.resize(self.cached.len(), 0);
        for &sector in &self.dirty {
            if luck.keeps(random) {
                let range = self.range(sector);
                self.durable[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
    }

    /// A sync that fails: some sectors are written, and none is dirty any more.
    pub(super) fn fail_sync(&mut self, luck: Luck, random: &Random) {
        self.sync_in_part(luck, random);
        self.dirty.clear();
    }

    /// Reads what is clean from the platter the next time, as a cache that was short of room does.
    pub(super) fn evict(&mut self) {
        let mut cached = self.durable.clone();
        cached.resize(self.cached.len(), 0);
        for &sector in &self.dirty {
            let range = self.range(sector);
            cached[range.clone()].copy_from_slice(&self.cached[range]);
        }
        self.cached = cached;
    }

    /// Loses power: each dirty sector is kept, lost, or torn inside.
    pub(super) fn crash(&mut self, luck: Luck, random: &Random) {
        let grown = self.cached.len() - self.durable.len().min(self.cached.len());
        let kept = if luck.keeps(random) { grown } else { random.up_to(grown) / SECTOR_BYTES * SECTOR_BYTES };
        let kept = if luck.kept_in_8 == 0 { 0 } else { kept };
        let mut left = self.durable.clone();
        left.resize(self.durable.len() + kept, 0);
        for &sector in &self.dirty {
            let mut range = self.range(sector);
            range.end = range.end.min(left.len());
            if range.is_empty() || !luck.keeps(random) {
                continue;
            }
            if luck.tears(random) {
                let cut = range.start + random.up_to(range.len());
                if random.one_in(2) { range.start = cut } else { range.end = cut }
            }
            left[range.clone()].copy_from_slice(&self.cached[range]);
        }
        self.dirty.clear();
        self.cached.clone_from(&left);
        self.durable = left;
    }

    /// Changes what is stored, as failing hardware would.
    pub(super) fn damage(&mut self, offset: usize, change: impl Fn(&mut [u8]), bytes: usize) {
        for image in [&mut self.cached, &mut self.durable] {
            let end = image.len().min(offset + bytes);
            if offset < end {
                change(&mut image[offset..end]);
            }
        }
    }

    fn range(&self, sector: usize) -> std::ops::Range<usize> {
        sector * SECTOR_BYTES..self.cached.len().min((sector + 1) * SECTOR_BYTES)
    }
}
