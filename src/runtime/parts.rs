//! What a node is put together from.

use std::fs;
use std::io::ErrorKind;
use std::mem::take;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::bootstrap::random;
use super::{Config, StartError};
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::storage::disk::{DiskConfig, DiskLog};
use crate::transport::{Listen, TcpConfig, TcpTransport, Transport};
use crate::types::NodeId;

/// However short elections are, a busy machine may keep a healthy peer silent for a while.
const SILENCE_MIN: Duration = Duration::from_secs(2);

/// A storage and a transport, for [`Node::start_with`](super::Node::start_with).
pub struct Parts {
    pub(super) storage: Box<dyn Storage>,
    pub(super) transport: Box<dyn Transport>,
    pub(super) metrics: Metrics,
}

impl Parts {
    /// A node's parts when you bring your own.
    pub fn new(storage: Box<dyn Storage>, transport: Box<dyn Transport>) -> Self {
        Self { storage, transport, metrics: Metrics::default() }
    }

    /// The parts of a node as most people run it. The address is bound before the directory is touched.
    pub(super) fn on_disk_and_tcp(config: &mut Config, id: NodeId) -> Result<Self, StartError> {
        if config.founders.is_none() && is_blank(&config.dir) {
            return Err(StartError::NoCluster);
        }
        let mut metrics = Metrics::default();
        let listen = match config.listener.take() {
            Some(socket) => Listen::Socket(socket),
            None => Listen::Address(config.listen.clone()),
        };
        let mut tcp = TcpConfig::new(listen, config.advertised());
        tcp.token = take(&mut config.token);
        tcp.seed = random()?;
        tcp.silence = (config.election_timeout * 4).max(SILENCE_MIN);
        tcp.metrics = Arc::clone(&metrics.net);
        let transport = TcpTransport::bind(tcp)?;
        let mut disk = DiskConfig::new(&config.dir, id);
        disk.segment_bytes = config.segment_bytes;
        // What a leader took, a follower takes: its own limit may not be raised yet. That segments hold at least four of
        // its own largest entries is judged before.
        disk.entry_bytes_max = u32::try_from(config.segment_bytes / 4).unwrap_or(u32::MAX);
        let storage = DiskLog::open(disk)?;
        metrics.storage = storage.metrics();
        Ok(Self { storage: Box::new(storage), transport: Box::new(transport), metrics })
    }
}

/// Whether nothing at all is kept there. What cannot be looked at is judged by whoever opens it.
fn is_blank(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}
