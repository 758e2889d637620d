//! What may be set of an event store, beside the [`Config`](crate::Config) of its node.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::publisher::Publisher;
use super::{Event, Index, MachineOptions, StoreStartError, Timestamp};

pub(super) type Indexer = Arc<dyn Fn(&Event) -> Index + Send + Sync>;
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an event store is kept. All of it has a default.
///
/// ```
/// use quorate::event_store::{Event, Index, Options};
///
/// let options = Options::default()
///     .trim(true)
///     .archiving(true)
///     .indexer(|event: &Event| Index::new().status(&event.event_type))
///     .publisher(|events: &[Event]| println!("{events:?}"));
/// # let _ = options;
/// ```
pub struct Options {
    dir: Option<PathBuf>,
    cache_bytes: usize,
    layer_bytes: u64,
    verify: bool,
    pub(super) trims: bool,
    pub(super) archiving: bool,
    pub(super) indexer: Option<Indexer>,
    pub(super) publisher: Option<Box<dyn Publisher>>,
    pub(super) clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        let MachineOptions { cache_bytes, layer_bytes, verify, dir: _ } = MachineOptions::new("");
        Self {
            dir: None,
            cache_bytes,
            layer_bytes,
            verify,
            trims: false,
            archiving: false,
            indexer: None,
            publisher: None,
            clock: Arc::new(wall_clock),
        }
    }
}

impl Options {
    /// Where the store is: a directory of its own, not within the node's data directory. Default: beside that, under the
    /// same name with `.events` behind it.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How much memory the database uses for its pages, in bytes. Default: 64 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How many bytes of rows are collected in memory before they are brought to the disk. At most four times as much is in
    /// memory, and twice as much is applied again from the log after a crash. Default: 32 MiB.
    #[must_use]
    pub fn layer_bytes(mut self, bytes: u64) -> Self {
        self.layer_bytes = bytes;
        self
    }

    /// Whether to look through the whole store at the start, also if nothing is suspected. Default: no.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Whether a snapshot that this node saves takes the place of the events before it, which are removed. Default: no.
    #[must_use]
    pub fn trim(mut self, trims: bool) -> Self {
        self.trims = trims;
        self
    }

    /// Whether aggregates can be archived through this node. Default: no. Meant to be the same on all nodes: where it is off,
    /// an [`Executor`](super::Executor) takes it that an aggregate, once there, stays.
    #[must_use]
    pub fn archiving(mut self, archiving: bool) -> Self {
        self.archiving = archiving;
        self
    }

    /// What each event that is appended through this node says for the indexes. It is asked about every event of an append,
    /// in their order, before that is proposed; a later event counts more than an earlier one ([`Index::merge`]), and what
    /// the append itself says counts most. Default: nothing.
    #[must_use]
    pub fn indexer(mut self, indexer: impl Fn(&Event) -> Index + Send + Sync + 'static) -> Self {
        self.indexer = Some(Arc::new(indexer));
        self
    }

    /// Who is told of every event that is committed, on this node. Default: nobody.
    #[must_use]
    pub fn publisher(mut self, publisher: impl Publisher) -> Self {
        self.publisher = Some(Box::new(publisher));
        self
    }

    /// What time it is for events that are appended without one. Default: the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What the machine of the node whose data directory is `data` is opened with.
    pub(super) fn machine(&self, data: &Path) -> Result<MachineOptions, StoreStartError> {
        let beside = || {
            let mut name = data.file_name()?.to_owned();
            name.push(".events");
            Some(data.with_file_name(name))
        };
        let dir = self.dir.clone().or_else(beside).filter(|dir| !dir.starts_with(data));
        let dir = dir.ok_or_else(|| StoreStartError::Directory { data: data.to_owned() })?;
        let Self { cache_bytes, layer_bytes, verify, .. } = *self;
        Ok(MachineOptions { dir, cache_bytes, layer_bytes, verify })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("cache_bytes", &self.cache_bytes)
            .field("layer_bytes", &self.layer_bytes)
            .field("trims", &self.trims)
            .field("archiving", &self.archiving)
            .finish_non_exhaustive()
    }
}

/// Events are stamped for people: nothing in the store relies on it.
#[expect(clippy::disallowed_methods, reason = "an event happened when the clock on the wall says so")]
fn wall_clock() -> Timestamp {
    let nanoseconds = |since: std::time::Duration| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(nanoseconds(since)),
        Err(before) => Timestamp(-nanoseconds(before.duration())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_beside_the_data_directory_and_never_within_it() {
        let dir_of =
            |options: Options, data: &str| options.machine(Path::new(data)).map(|machine| machine.dir);

        assert_eq!(dir_of(Options::default(), "data/1/").unwrap(), Path::new("data/1.events"));
        assert_eq!(dir_of(Options::default().dir("elsewhere"), "data/1").unwrap(), Path::new("elsewhere"));
        for (options, data) in [
            (Options::default(), ".."),
            (Options::default().dir("data/1"), "data/1"),
            (Options::default().dir("data/1/events"), "data/1"),
        ] {
            assert!(matches!(dir_of(options, data), Err(StoreStartError::Directory { .. })), "{data}");
        }
    }
}
