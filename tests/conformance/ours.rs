//! What this crate brings passes, by its public names alone, with the power cut where that can be played.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use quorate::metrics::NetMetrics;
use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{Storage, StorageError};
use quorate::testing::storage::{NODE, Stand};
use quorate::testing::transport::Fabric;
use quorate::testing::{storage, transport};
use quorate::transport::{Listen, MemoryNetwork, TcpConfig, TcpTransport, Transport};
use quorate::types::NodeId;
use tempfile::TempDir;

/// The process is killed: its directory is as it was at that moment, whatever its threads do later.
struct Killed(TempDir);

impl Stand for Killed {
    fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
        let config = DiskConfig::new(self.0.path(), NODE).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
        Ok(Box::new(DiskLog::open(config)?))
    }

    fn crash(&mut self, storage: Box<dyn Storage>) {
        let left = copy_of(self.0.path());
        drop(storage);
        self.0 = left;
    }
}

fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for file in fs::read_dir(dir).expect("it is listed") {
        let file = file.expect("an entry");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("it is copied");
    }
    copy
}

#[test]
fn the_log_on_disk_keeps_its_contract_and_is_killed_at_will() {
    storage::check(|| Killed(tempfile::tempdir().expect("a temporary directory")));
}

/// The disk dies under the open log, and is opened again.
struct Died(MemoryDisk);

impl Stand for Died {
    fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
        Ok(Box::new(MemoryLog::open(&self.0)?))
    }

    fn crash(&mut self, storage: Box<dyn Storage>) {
        self.0.break_down();
        drop(storage);
    }
}

#[test]
fn the_log_in_memory_keeps_its_contract_and_its_disk_dies_at_will() {
    storage::check(|| Died(MemoryDisk::new()));
}

#[test]
fn the_network_in_memory_keeps_its_contract() {
    transport::check(MemoryNetwork::new);
}

/// Nodes 1 to 3 have a port each that the kernel chose; it stays theirs across restarts.
struct Loopback {
    addresses: Vec<SocketAddr>,
    reserved: Mutex<Vec<Option<TcpListener>>>,
    metrics: Arc<NetMetrics>,
}

impl Loopback {
    fn new(metrics: Arc<NetMetrics>) -> Self {
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        Self { addresses, reserved: Mutex::new(listeners.into_iter().map(Some).collect()), metrics }
    }
}

impl Fabric for Loopback {
    fn address(&self, id: NodeId) -> String {
        self.addresses[id.get() as usize - 1].to_string()
    }

    fn transport(&self, id: NodeId) -> Box<dyn Transport> {
        let listen = match self.reserved.lock()[id.get() as usize - 1].take() {
            Some(listener) => Listen::Socket(listener),
            None => Listen::Address(self.address(id)),
        };
        let mut config = TcpConfig::new(listen, self.address(id));
        (config.seed, config.queue_bytes_max) = (id.get(), self.queue_bytes_max());
        config.metrics = Arc::clone(&self.metrics);
        Box::new(TcpTransport::bind(config).expect("its socket is free"))
    }

    fn queue_bytes_max(&self) -> usize {
        4 << 20
    }
}

#[test]
fn tcp_keeps_its_contract_and_counts_what_it_received() {
    let metrics = Arc::new(NetMetrics::default());

    transport::check(|| Loopback::new(Arc::clone(&metrics)));

    assert!(metrics.messages_received.get() > 5000, "what the suite sent was received");
}
