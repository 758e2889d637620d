//! Snapshots on a disk that fails: the snapshot is lost, the log is not.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::files::Files;
use super::simulated::SimulatedDisk;
use super::simulated::faulty::{Fault, FaultyDisk, What};
use super::{DiskConfig, DiskLog};
use crate::storage::memory::MemoryLog;
use crate::storage::{GroupWrite, Identity, SnapshotIntake, SnapshotStore, Storage, StorageError};
use crate::types::{
    ClusterId, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId, SnapshotMeta, Term,
};

fn node() -> NodeId {
    NodeId::new(1).expect("not zero")
}

fn identity() -> Identity {
    Identity { node: node(), cluster: ClusterId(5), incarnation: Incarnation(6), joined: false }
}

fn open_on(files: impl Files + 'static) -> DiskLog {
    let config = DiskConfig::new("/data", node()).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    DiskLog::open_on(Arc::new(files), config).expect("open")
}

fn founded(disk: &SimulatedDisk) -> DiskLog {
    let mut log = open_on(disk.clone());
    log.found(identity(), &[]).expect("found");
    log
}

/// A membership as large as one can be: the head of its snapshots takes several units.
fn large_membership() -> Arc<Membership> {
    let members = (1..=Membership::MEMBERS_MAX as u64).map(|id| {
        let address = format!("{}:{id:05}", "x".repeat(Membership::ADDRESS_BYTES_MAX - 6));
        (NodeId::new(id).expect("not zero"), address)
    });
    Arc::new(Membership::founding(members).expect("many members"))
}

fn write_snapshot(store: &mut dyn SnapshotStore, index: u64) -> Result<SnapshotMeta, StorageError> {
    write_bytes(store, index, 9 << 20)
}

fn write_bytes(
    store: &mut dyn SnapshotStore,
    index: u64,
    bytes: usize,
) -> Result<SnapshotMeta, StorageError> {
    let position = LogPosition::new(Term(1), LogIndex(index));
    let mut sink = store.create(GroupId::MAIN, position, &large_membership())?;
    sink.write_all(&vec![7; bytes]).map_err(StorageError::io("write", "a snapshot".as_ref()))?;
    sink.finish()
}

/// What another node offers, and its file.
fn offer() -> (SnapshotMeta, Vec<u8>) {
    offer_of(9 << 20)
}

fn offer_of(bytes: usize) -> (SnapshotMeta, Vec<u8>) {
    let mut leader = MemoryLog::new();
    leader.found(identity(), &[]).expect("found");
    let mut store = leader.snapshots();
    let meta = write_bytes(&mut *store, 9, bytes).expect("write");
    let mut file = Vec::new();
    while (file.len() as u64) < meta.bytes {
        let piece = store.piece(GroupId::MAIN, meta.id, file.len() as u64, 1 << 20).expect("piece");
        file.extend_from_slice(&piece.expect("it is held"));
    }
    (meta, file)
}

fn require_log_goes_on(log: &mut DiskLog, term: u64) {
    let state = HardState { term: Term(term), voted_for: None };
    let write =
        GroupWrite { group: GroupId::MAIN, hard_state: Some(state), restart: None, entries: Vec::new() };
    log.write(&[write]).expect("the log is as it was");
}

#[test]
fn a_refused_sync_is_the_end_of_a_snapshot_and_not_of_the_log() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk);
    let mut store = log.snapshots();
    let mut refused = 0;
    loop {
        disk.refuse_sync_after(refused);
        let written = write_snapshot(&mut *store, 9);
        let listed = store.list(GroupId::MAIN).expect("list");
        if let Ok(written) = written {
            assert_eq!(listed, [written]);
            break;
        }
        assert_eq!(listed, [], "sync {refused} was refused");
        require_log_goes_on(&mut log, refused + 1);
        refused += 1;
    }
    assert_eq!(refused, 11, "one for each mebibyte on the way, one for the content, and one for the name");
}

#[test]
fn what_was_received_before_a_refused_sync_is_not_believed() {
    // Through the cache a sync comes after each mebibyte, past it after 64; then one for the content, one for the name.
    for (has_no_direct_way, bytes, syncs) in [(true, 9 << 20, 11), (false, 65 << 20, 3)] {
        let (meta, file) = offer_of(bytes);
        let disk = SimulatedDisk::default();
        disk.set_no_direct_way(has_no_direct_way);
        let mut log = founded(&disk);
        let mut store = log.snapshots();
        for refused in 0..syncs {
            let mut intake = store.receive(GroupId::MAIN, &meta).expect("receive");
            assert_eq!(intake.offset(), 0, "nothing of the try before is left");
            disk.refuse_sync_after(refused);
            let outcome = intake.write(&file).and_then(|()| intake.finish());
            let outcome = outcome.map(|_| "it is believed");
            assert!(
                matches!(outcome, Err(StorageError::Io { operation: "write" | "sync", .. })),
                "sync {refused}: {outcome:?}"
            );
            assert_eq!(store.list(GroupId::MAIN).expect("list"), []);
            require_log_goes_on(&mut log, refused + 1);
        }
        disk.refuse_sync_after(syncs);
        let intake = store.receive(GroupId::MAIN, &meta).expect("receive");
        receive_rest(intake, &file);
        assert_eq!(store.list(GroupId::MAIN).expect("list"), [meta]);
    }
}

fn receive_rest(mut intake: Box<dyn SnapshotIntake>, file: &[u8]) {
    intake.write(&file[intake.offset() as usize..]).expect("good bytes");
    intake.finish().expect("all of it is there");
}

/// Each chunk begins somewhere else in a page of memory, and in a page of the file.
#[test]
fn a_file_that_is_written_past_the_page_cache_is_the_one_that_was_sent() {
    let (meta, file) = offer_of((2 << 20) + 777);
    for chunk_bytes in [1 << 20, 100_001, 4097, 3 << 20] {
        let disk = SimulatedDisk::default();
        let past_the_cache = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&past_the_cache);
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            let is_of_pages = operation.bytes.is_multiple_of(4096);
            if operation.what == What::Write && operation.name.ends_with(".receiving") && is_of_pages {
                count.fetch_add(operation.bytes, Ordering::Relaxed);
            }
            None
        });
        let mut log = open_on(faulty);
        log.found(identity(), &[]).expect("found");
        let mut store = log.snapshots();

        let mut intake = store.receive(GroupId::MAIN, &meta).expect("receive");
        for chunk in file.chunks(chunk_bytes) {
            intake.write(chunk).expect("good bytes");
        }
        intake.finish().expect("finish");

        let mut name = disk.names().into_iter();
        let path =
            name.find(|path| path.extension().is_some_and(|is| is == "snapshot")).expect("it is there");
        assert!(disk.content(&path) == file, "in chunks of {chunk_bytes}");
        let written = past_the_cache.load(Ordering::Relaxed);
        assert!(written >= 2 << 20, "only {written} bytes in whole pages");
    }
}

/// It is not there: to bring it there costs more than to read it.
#[test]
fn what_was_received_past_the_page_cache_is_read_past_it() {
    let (meta, file) = offer_of((2 << 20) + 5000);
    for refuses in [false, true] {
        let disk = SimulatedDisk::default();
        let reads: Arc<Mutex<Vec<usize>>> = Arc::default();
        let seen = Arc::clone(&reads);
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            let is_read = operation.what == What::Read && operation.name.ends_with(".snapshot");
            let mut seen = seen.lock();
            is_read.then(|| seen.push(operation.bytes));
            let is_first_large = is_read && seen.iter().filter(|bytes| **bytes >= 1 << 20).count() == 1;
            (refuses && is_first_large).then_some(Fault::Refused(rustix::io::Errno::INVAL))
        });
        let mut log = open_on(faulty);
        log.found(identity(), &[]).expect("found");
        let mut store = log.snapshots();
        receive_rest(store.receive(GroupId::MAIN, &meta).expect("receive"), &file);

        reads.lock().clear();
        let (mut content, mut source) =
            (Vec::new(), store.open(GroupId::MAIN, meta.id).expect("it is there"));
        source.read_to_end(&mut content).expect("it is whole");

        assert!(content == vec![7; (2 << 20) + 5000]);
        // Behind the last whole page of the last block's 5072 bytes: those are read in the other way.
        assert!(reads.lock().contains(&(5072 - 4096)), "{:?}", reads.lock());
        assert_eq!(reads.lock().iter().filter(|bytes| **bytes == 1 << 20).count(), 2 + usize::from(refuses));
    }
}

/// The file system opens a file for it, and takes nothing: its pages are larger than ours, for one.
#[test]
fn a_file_system_that_takes_no_direct_write_is_written_through_its_cache() {
    let (meta, file) = offer();
    let disk = SimulatedDisk::default();
    let refusals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refusals);
    let faulty = FaultyDisk::new(&disk, move |operation, _| {
        let is_first = operation.what == What::Write && operation.name.ends_with(".receiving");
        (is_first && count.fetch_add(1, Ordering::Relaxed) == 0)
            .then_some(Fault::Refused(rustix::io::Errno::INVAL))
    });
    let mut log = open_on(faulty);
    log.found(identity(), &[]).expect("found");
    let mut store = log.snapshots();

    let intake = store.receive(GroupId::MAIN, &meta).expect("receive");
    receive_rest(intake, &file);

    assert_eq!(store.list(GroupId::MAIN).expect("list"), [meta]);
    assert!(refusals.load(Ordering::Relaxed) > 1, "it was tried, and tried in another way");
}

#[test]
fn what_was_received_is_not_pruned_while_somebody_begins_to_go_on_with_it() {
    let (meta, file) = offer();
    let disk = SimulatedDisk::default();
    let log = founded(&disk);
    let (mut store, mut other) = (log.snapshots(), log.snapshots());
    store.receive(GroupId::MAIN, &meta).and_then(|mut intake| intake.write(&file[..4 << 20])).expect("write");

    disk.after_next_open(move || other.prune(GroupId::MAIN, LogIndex::ZERO).expect("prune"));
    let mut intake = store.receive(GroupId::MAIN, &meta).expect("receive");
    let rest = intake.offset() as usize;
    assert!(rest > 3 << 20, "it goes on where it ended");
    intake.write(&file[rest..]).expect("good bytes");
    intake.finish().expect("it is still there");

    assert_eq!(store.list(GroupId::MAIN).expect("list"), [meta]);
}

#[test]
fn the_largest_membership_travels_with_its_snapshot() {
    let (meta, file) = offer();
    assert_eq!(meta.membership, large_membership());
    let disk = SimulatedDisk::default();
    let log = founded(&disk);
    let mut store = log.snapshots();

    let mut intake = store.receive(GroupId::MAIN, &meta).expect("receive");
    for chunk in file.chunks(1500) {
        intake.write(chunk).expect("good bytes");
    }
    intake.finish().expect("finish");

    assert_eq!(store.list(GroupId::MAIN).expect("list"), [meta]);
}

#[test]
fn a_snapshot_that_the_disk_does_not_give_back_costs_nothing_but_itself() {
    let disk = SimulatedDisk::default();
    let log = founded(&disk);
    let mut store = log.snapshots();
    let old = write_snapshot(&mut *store, 5).expect("write");
    let snapshots = |disk: &SimulatedDisk| {
        let is_one = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "snapshot");
        disk.names().into_iter().filter(is_one).collect::<Vec<_>>()
    };
    disk.lose_sectors(&snapshots(&disk)[0]);
    drop((store, log));

    let config = DiskConfig::new("/data", node()).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    let log = DiskLog::open_on(Arc::new(disk.clone()), config).expect("its log is whole");
    let mut store = log.snapshots();
    assert_eq!(store.list(GroupId::MAIN).expect("list"), []);
    let lost = store.open(GroupId::MAIN, old.id).err();
    assert!(matches!(lost, Some(StorageError::BadSnapshot { .. })), "{lost:?}");

    let new = write_snapshot(&mut *store, 9).expect("write");
    store.prune(GroupId::MAIN, LogIndex(9)).expect("prune");
    assert_eq!(store.list(GroupId::MAIN).expect("list"), [new]);
    assert_eq!(snapshots(&disk).len(), 1, "what was lost is no more in the way than what is old");
}

#[test]
fn a_directory_is_not_free_while_somebody_holds_its_snapshots() {
    let disk = SimulatedDisk::default();
    let log = founded(&disk);
    let store = log.snapshots();
    let open = || {
        let config = DiskConfig::new("/data", node()).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
        DiskLog::open_on(Arc::new(disk.clone()), config)
    };

    drop(log);
    assert!(matches!(open().err(), Some(StorageError::Locked { .. })));
    drop(store);

    open().expect("nobody reads or writes there any more");
}
