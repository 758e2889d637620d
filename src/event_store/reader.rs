//! The part of the machine that other threads hold: pictures of the last batch, and the news that there is another one.
//!
//! The machine alone owns the database. When it goes, the database is closed under whoever still holds a picture: what they
//! read then may be [`StoreError::Closed`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::rows::{News, Shared};
use super::view::View;

/// Reads the store of this node, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The store as the last batch left it on this node: it may be behind others.
    pub fn view(&self) -> Result<View, StoreError> {
        if self.news().closed { Err(StoreError::Closed) } else { Ok(View::of(&self.shared)) }
    }

    /// What there is to know now.
    pub fn news(&self) -> News {
        self.shared.news()
    }

    /// Waits until something beyond log index `index` is applied, or the machine is gone; at most so long.
    pub fn wait_beyond(&self, index: u64, within: Duration) -> News {
        self.shared.wait_beyond(index, within)
    }

    /// As [`Reader::wait_beyond`], until `deadline` or until `is_over`: whoever makes it so calls [`Reader::wake`].
    pub(super) fn wait_beyond_until(
        &self,
        index: u64,
        deadline: Instant,
        is_over: impl Fn() -> bool,
    ) -> News {
        self.shared.wait_beyond_until(index, deadline, is_over)
    }

    /// Those who wait look again whether it is over.
    pub(super) fn wake(&self) {
        self.shared.wake();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("news", &self.news()).finish_non_exhaustive()
    }
}
