//! What the scenes write, where, and how they look at what is there.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::{NODE, Stand};
use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotIntake, SnapshotStore, Storage, StorageError,
};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, SnapshotMeta, Term,
};

pub(super) const MAIN: GroupId = GroupId::MAIN;
pub(super) const OTHER: GroupId = GroupId(7);

/// Where a storage is opened, closed, and lost.
pub(super) struct Place {
    stand: Box<dyn Stand>,
}

impl Place {
    pub(super) fn new(stand: Box<dyn Stand>) -> Self {
        Self { stand }
    }

    pub(super) fn open(&mut self) -> Box<dyn Storage> {
        self.stand.open().unwrap_or_else(|error| panic!("it does not open: {error}"))
    }

    /// Opens a blank one and founds it, with two groups.
    pub(super) fn founded(&mut self) -> Box<dyn Storage> {
        let mut log = self.open();
        let groups = [(MAIN, Some(founding_entry())), (OTHER, Some(founding_entry()))];
        log.found(identity(), &groups).expect("a blank storage is founded");
        log
    }

    pub(super) fn crash(&mut self, storage: Box<dyn Storage>) {
        self.stand.crash(storage);
    }
}

pub(super) fn identity() -> Identity {
    Identity { node: NODE, cluster: ClusterId(77), incarnation: Incarnation(99), joined: false }
}

pub(super) fn membership() -> Arc<Membership> {
    let members = [1, 2, 3].map(|id| (NodeId::new(id).expect("not zero"), format!("host-{id}:7001")));
    Arc::new(Membership::founding(members).expect("three members"))
}

pub(super) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), LogIndex(index))
}

/// Entry 1 of every group.
pub(super) fn founding_entry() -> Entry {
    Entry { position: at(0, 1), payload: Payload::Membership(membership()) }
}

pub(super) fn command(term: u64, index: u64, bytes: usize) -> Entry {
    let command = Bytes::from(content(bytes, term << 32 | index));
    Entry { position: at(term, index), payload: Payload::Normal { origin: None, command } }
}

/// Entries `first..=last` of one term, as one run.
pub(super) fn run(term: u64, first: u64, last: u64, bytes: usize) -> EntryRun {
    EntryRun::new((first..=last).map(|index| command(term, index, bytes)).collect()).expect("not empty")
}

pub(super) fn append(term: u64, first: u64, last: u64, bytes: usize) -> GroupWrite {
    GroupWrite { entries: vec![run(term, first, last, bytes)], ..nothing() }
}

pub(super) fn vote(term: u64, voted_for: u64) -> GroupWrite {
    GroupWrite { hard_state: Some(hard_state(term, voted_for)), ..nothing() }
}

pub(super) fn hard_state(term: u64, voted_for: u64) -> HardState {
    HardState { term: Term(term), voted_for: NodeId::new(voted_for) }
}

/// The log of the main group begins anew after `position`.
pub(super) fn restart(position: LogPosition) -> GroupWrite {
    GroupWrite { restart: Some((position, membership())), ..nothing() }
}

fn nothing() -> GroupWrite {
    GroupWrite { group: MAIN, hard_state: None, restart: None, entries: Vec::new() }
}

pub(super) fn write(log: &mut dyn Storage, writes: &[GroupWrite]) {
    log.write(writes).unwrap_or_else(|error| panic!("a write fails: {error}"));
}

pub(super) fn release(log: &mut dyn Storage, group: GroupId, through: LogPosition) {
    let released = log.release(group, through, &membership());
    released.unwrap_or_else(|error| panic!("a release fails: {error}"));
}

/// What the main group recovers.
pub(super) fn main_group(log: &mut dyn Storage) -> Recovered {
    log.recovered().remove(&MAIN).expect("the main group is recovered")
}

pub(super) fn positions(recovered: &Recovered) -> Vec<LogPosition> {
    recovered.entries.iter().map(|entry| entry.position).collect()
}

/// Entries `first..=last` of the main group, as a reader gives them.
pub(super) fn read(reader: &mut dyn LogReader, first: u64, last: u64) -> Vec<Entry> {
    let read = reader.read(MAIN, LogIndex(first), LogIndex(last), u64::MAX);
    read.unwrap_or_else(|error| panic!("entries {first} to {last} cannot be read: {error}"))
}

pub(super) fn require_missing(reader: &mut dyn LogReader, index: u64) {
    let read = reader.read(MAIN, LogIndex(index), LogIndex(index), 1000);
    assert!(
        matches!(read, Err(StorageError::NoSuchEntry { index: LogIndex(named) }) if named == index),
        "entry {index} is not there, and reading it gives {read:?}"
    );
}

/// Content of which no two stretches are alike: each is stamped with its place.
pub(super) fn content(bytes: usize, seed: u64) -> Vec<u8> {
    let stamp = |at: u64| (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) ^ (seed << 7 | seed);
    let stretch: Vec<u8> = (0..63).flat_map(|at| stamp(at).to_le_bytes()).collect();
    let mut content = Vec::with_capacity(bytes + 512);
    while content.len() < bytes {
        content.extend_from_slice(&stamp(content.len() as u64 + 100).to_le_bytes());
        content.extend_from_slice(&stretch);
    }
    content.truncate(bytes);
    content
}

pub(super) fn write_snapshot(
    store: &mut dyn SnapshotStore,
    position: LogPosition,
    content: &[u8],
) -> SnapshotMeta {
    let mut sink = store.create(MAIN, position, &membership()).expect("a snapshot is begun");
    sink.write_all(content).expect("its content is written");
    sink.finish().expect("it is finished")
}

pub(super) fn read_snapshot(store: &mut dyn SnapshotStore, meta: &SnapshotMeta) -> Vec<u8> {
    let mut source = store.open(MAIN, meta.id).expect("a snapshot is opened");
    let mut content = Vec::new();
    source.read_to_end(&mut content).expect("its content is read");
    content
}

pub(super) fn listed(store: &mut dyn SnapshotStore) -> Vec<SnapshotMeta> {
    store.list(MAIN).expect("the snapshots are listed")
}

/// The whole file, in pieces of `piece_bytes`, at most 1 MiB.
pub(super) fn file_of(store: &mut dyn SnapshotStore, meta: &SnapshotMeta, piece_bytes: u32) -> Vec<u8> {
    let mut file = Vec::new();
    while (file.len() as u64) < meta.bytes {
        let piece = store.piece(MAIN, meta.id, file.len() as u64, piece_bytes).expect("a piece is given");
        let piece = piece.expect("the snapshot is held");
        let left = meta.bytes - file.len() as u64;
        assert_eq!(piece.len() as u64, u64::from(piece_bytes).min(left), "fewer bytes only at the end");
        file.extend_from_slice(&piece);
    }
    file
}

/// What a leader offers, and the bytes of its file.
pub(super) struct Offer {
    pub(super) meta: SnapshotMeta,
    pub(super) file: Vec<u8>,
    content: Vec<u8>,
}

impl Offer {
    /// From another node of the same cluster, whose storage is of the same make.
    pub(super) fn new(mut leader: Place, index: u64, bytes: usize) -> Self {
        let log = leader.founded();
        let mut store = log.snapshots();
        let content = content(bytes, index);
        let meta = write_snapshot(&mut *store, at(4, index), &content);
        let file = file_of(&mut *store, &meta, 1 << 20);
        Self { meta, file, content }
    }

    pub(super) fn begin(&self, store: &mut dyn SnapshotStore) -> Box<dyn SnapshotIntake> {
        store.receive(MAIN, &self.meta).expect("a snapshot is received")
    }

    /// Hands over the file from where the intake expects it up to `end`, in chunks of `chunk_bytes`.
    pub(super) fn send(&self, intake: &mut dyn SnapshotIntake, end: usize, chunk_bytes: usize) {
        while (intake.offset() as usize) < end {
            let from = intake.offset() as usize;
            let to = end.min(from + chunk_bytes);
            intake.write(&self.file[from..to]).expect("good bytes are taken");
            assert_eq!(intake.offset() as usize, to, "the next bytes are expected behind these");
        }
    }

    /// The whole transfer, or the rest of it.
    pub(super) fn finish(&self, mut intake: Box<dyn SnapshotIntake>) {
        self.send(&mut *intake, self.file.len(), 100_000);
        assert_eq!(intake.finish().expect("a whole file is a snapshot"), self.meta);
    }

    pub(super) fn require_received(&self, store: &mut dyn SnapshotStore) {
        assert_eq!(listed(store), std::slice::from_ref(&self.meta));
        assert!(read_snapshot(store, &self.meta) == self.content, "the content is another one");
        assert!(file_of(store, &self.meta, 70_000) == self.file, "other bytes are sent on than came in");
    }
}
