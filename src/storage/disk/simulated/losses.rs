//! What else a disk may lose: pages that count as written and are not, names that count as synced and are not. And what
//! it may keep before anybody asks: pages that are written back early.

use std::path::Path;

use super::{Choice, SimulatedDisk};

/// What the process reads of pages that were lost while power was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The new content, as if nothing had happened.
    Kept,
    /// What is on the disk.
    Dropped,
}

impl SimulatedDisk {
    /// Power fails now.
    pub(crate) fn cut_power(&self) {
        self.state.lock().is_off = true;
    }

    /// How many changes of names are not on the disk.
    pub(crate) fn unsynced_names(&self) -> usize {
        self.state.lock().unsynced_names.len()
    }

    /// The unsynced pages of a file count as clean from now on: no sync will write them.
    pub(crate) fn lose_pages(&self, path: &Path, cache: Cache) {
        let mut state = self.state.lock();
        let file = state.names[path];
        let content = &mut state.files[file];
        content.dirty.clear();
        if cache == Cache::Dropped {
            content.cache = content.disk.clone();
        }
    }

    /// The unsynced names count as synced from now on.
    pub(crate) fn lose_names(&self) {
        self.state.lock().unsynced_names.clear();
    }

    /// The system writes some pages back although nobody asked: `choice` says which.
    pub(crate) fn write_back(&self, choice: Choice<'_>) {
        let mut state = self.state.lock();
        for content in &mut state.files {
            for page in content.dirty_pages() {
                if choice(2) == 1 {
                    content.sync_page(page);
                }
            }
        }
    }
}
