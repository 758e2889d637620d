//! What a node is put together from.

use std::fs;
use std::io::ErrorKind;
use std::mem::take;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::bootstrap::random;
use super::config::Judged;
use super::{Config, StartError};
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::storage::disk::{DiskConfig, DiskLog};
use crate::transport::{Guests, Listen, TcpConfig, TcpTransport, Transport};

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
    pub(super) fn on_disk_and_tcp(config: &mut Config, judged: &Judged) -> Result<Self, StartError> {
        Self::listening(config, judged, None).map(|(parts, _)| parts)
    }

    /// The same, with somebody to whom clients are handed over; and where it listens.
    pub(super) fn listening(
        config: &mut Config,
        judged: &Judged,
        guests: Option<Box<dyn Guests>>,
    ) -> Result<(Self, SocketAddr), StartError> {
        let limits = &judged.limits;
        if judged.founders.is_none() && !judged.joins && is_blank(&config.dir) {
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
        tcp.silence = limits.silence;
        tcp.queue_bytes_max = limits.queue_bytes_max;
        tcp.bulk_queue_bytes_max = limits.pieces_bytes_max;
        tcp.metrics = Arc::clone(&metrics.net);
        let mut transport = TcpTransport::bind(tcp)?;
        if let Some(guests) = guests {
            transport.serve(guests);
        }
        let address = transport.local_addr();
        let mut disk = DiskConfig::new(&config.dir, judged.id);
        disk.segment_bytes = config.segment_bytes;
        disk.entry_bytes_max = limits.log_entry_bytes_max;
        let storage = DiskLog::open(disk)?;
        metrics.storage = storage.metrics();
        Ok((Self { storage: Box::new(storage), transport: Box::new(transport), metrics }, address))
    }
}

/// Whether nothing at all is kept there. What cannot be looked at is judged by whoever opens it.
fn is_blank(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}
