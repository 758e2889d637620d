//! How far long work is, in the log of the process: by bytes, so that no clock is asked.

/// Work on large states says how far it is each time it has done so much.
const LOGGED_EVERY_BYTES: u64 = 256 << 20;

/// Counts the bytes of one piece of work.
pub(super) struct Progress {
    /// What is being done: "snapshot of entry 7 is being written".
    what: String,
    bytes: u64,
}

impl Progress {
    /// `bytes` of it are done.
    pub(super) fn new(what: String, bytes: u64) -> Self {
        Self { what, bytes }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        let before = self.bytes;
        self.bytes += bytes;
        if before / LOGGED_EVERY_BYTES != self.bytes / LOGGED_EVERY_BYTES {
            log::info!("{}: {} MiB so far", self.what, self.bytes >> 20);
        }
    }
}
