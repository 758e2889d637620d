//! One file of the simulated disk: what the process sees, and what is on the disk.

use std::collections::BTreeSet;

use super::Choice;

const SECTOR_BYTES: usize = 512;
const PAGE_SECTORS: usize = 8;

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) cache: Vec<u8>,
    pub(super) disk: Vec<u8>,
    /// Sectors of the cache that are not on the disk.
    pub(super) dirty: BTreeSet<usize>,
    pub(super) is_unreadable: bool,
}

impl Content {
    pub(super) fn resize(&mut self, length: usize) {
        let old = self.cache.len();
        self.cache.resize(length, 0);
        self.dirty.extend(old / SECTOR_BYTES..length.div_ceil(SECTOR_BYTES));
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.resize(end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector);
        }
        self.disk.resize(self.cache.len(), 0);
    }

    /// One page alone is written, and is clean then.
    pub(super) fn sync_page(&mut self, page: usize) {
        for sector in page * PAGE_SECTORS..(page + 1) * PAGE_SECTORS {
            if self.dirty.remove(&sector) {
                self.persist(sector);
            }
        }
    }

    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.cache.len());
        if self.disk.len() < end {
            self.disk.resize(end, 0);
        }
        if start < end {
            self.disk[start..end].copy_from_slice(&self.cache[start..end]);
        }
    }

    pub(super) fn dirty_pages(&self) -> BTreeSet<usize> {
        self.dirty.iter().map(|sector| sector / PAGE_SECTORS).collect()
    }

    pub(super) fn crash(&mut self, choice: Choice<'_>) {
        for page in self.dirty_pages() {
            let first = page * PAGE_SECTORS;
            let kept = match choice(4) {
                0 | 1 => 0..0,
                2 => 0..PAGE_SECTORS,
                _ => {
                    let tear = choice(PAGE_SECTORS);
                    if choice(2) == 0 { 0..tear } else { tear..PAGE_SECTORS }
                }
            };
            for sector in kept.map(|sector| first + sector) {
                if self.dirty.contains(&sector) {
                    self.persist(sector);
                }
            }
        }
        self.dirty.clear();
        self.cache = self.disk.clone();
    }
}
