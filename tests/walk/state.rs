//! A state machine that remembers everything: two that hold the same have applied the same, in the same order.

use quorate::types::{EntryMeta, LogPosition};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) through: LogPosition,
    digest: u64,
}

impl State {
    pub(crate) fn after(self, entry: &EntryMeta) -> Self {
        assert_eq!(entry.position.index, self.through.index.next(), "an index is applied twice or skipped");
        let words = [entry.position.term.0, entry.position.index.0, u64::from(entry.bytes)];
        let mix = |digest: u64, word: u64| (digest.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { through: entry.position, digest: words.into_iter().fold(self.digest, mix) }
    }
}
