//! The disk of a state machine that keeps its state itself: what each batch stored with it, as far as it may still be lost.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::machine::State;
use crate::machine::Held;
use crate::types::LogPosition;

/// So many batches may be lost when power fails.
const NOT_DURABLE_MAX: usize = 3;

/// What a machine stored last, and before that what it stored when power could still take all that came later.
#[derive(Debug)]
pub(super) struct Shelf {
    /// The oldest of them is durable. Never empty.
    batches: VecDeque<(State, Held)>,
}

pub(super) type SharedShelf = Arc<Mutex<Shelf>>;

impl Default for Shelf {
    fn default() -> Self {
        let nothing = Held { position: LogPosition::ZERO, sidecar: Vec::new() };
        Self { batches: VecDeque::from([(State::default(), nothing)]) }
    }
}

impl Shelf {
    pub(super) fn store(&mut self, state: State, held: Held) {
        self.batches.push_back((state, held));
        if self.batches.len() > NOT_DURABLE_MAX + 1 {
            self.batches.pop_front();
        }
    }

    /// The state that is found when it is opened now, and what was stored with it.
    pub(super) fn newest(&self) -> &(State, Held) {
        self.batches.back().expect("a shelf holds something")
    }

    /// What power cannot take.
    pub(super) fn durable(&self) -> LogPosition {
        self.batches.front().expect("a shelf holds something").1.position
    }

    /// Power has failed: some of the newest batches are gone.
    pub(super) fn lose(&mut self, below: &mut dyn FnMut(usize) -> usize) {
        let kept = 1 + below(self.batches.len());
        self.batches.truncate(kept);
    }
}
