//! Snapshots' files that somebody else has written, at rest and on the way.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;

use super::files::lay_out;
use super::input::Input;
use super::log::{identity, open, put};
use crate::storage::disk::reseal::reseal_snapshot;
use crate::storage::disk::simulated::SimulatedDisk;
use crate::storage::{SnapshotIntake, SnapshotStore, Storage, StorageError};
use crate::types::{GroupId, LogIndex, LogPosition, Membership, NodeId, SnapshotId, SnapshotMeta, Term};

const FILE_BYTES_MAX: usize = 800 << 10;

/// A file of anything: a store passes over it or lists it, and gives the same content whenever it is read; what it would
/// send is received by another store in whatever pieces. Damage is refused in whatever pieces too.
///
/// One byte: bit 0, whether checksums are made right; bit 1, whether the file is offered as what its head says it is; the
/// file, described as in `files.rs`; one byte, by how much the offer lies about its length; then the lengths of pieces.
pub fn snapshot_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.u8();
    let mut file = lay_out(&mut input, FILE_BYTES_MAX);
    if flags & 1 != 0 {
        reseal_snapshot(&mut file);
    }
    let mut offer = SnapshotMeta { bytes: file.len() as u64, ..usual() };
    let named = if flags & 2 != 0 { named_by_head(&file) } else { None };
    (offer.id, offer.position.index) = named.unwrap_or((offer.id, offer.position.index));

    let content = at_rest(&file, &offer).map(|(listed, content)| {
        offer = listed;
        content
    });
    if content.is_none() {
        offer.bytes = input.near(offer.bytes).min(FILE_BYTES_MAX as u64 * 2);
    }
    let whole = received(&file, &offer, |_| usize::MAX);
    let mut lengths = Input::new(input.rest());
    let in_pieces = received(&file, &offer, |_| usize::from(lengths.u16()) << (lengths.u8() % 8));
    assert!(whole == in_pieces, "what is received depends on the pieces it came in");
    if let Some(content) = content {
        assert!(whole == Some(content), "what one store reads, another one does not receive");
    }
}

/// The snapshot that offers speak of, unless a file says otherwise: that of the seeds.
pub(super) fn usual() -> SnapshotMeta {
    let member = |id: u64| (NodeId::new(id).expect("not zero"), format!("host:{id}"));
    SnapshotMeta {
        id: SnapshotId(9),
        position: LogPosition::new(Term(1), LogIndex(7)),
        membership: Arc::new(Membership::founding((1..=3).map(member)).expect("three members")),
        bytes: 0,
    }
}

fn named_by_head(file: &[u8]) -> Option<(SnapshotId, LogIndex)> {
    let mut head = Input::new(file.get(40..64)?);
    let (id, _term, index) = (head.u64(), head.u64(), head.u64());
    Some((SnapshotId(id), LogIndex(index)))
}

/// What a store makes of the file that lies in its directory: the snapshot and its content, if it is good.
fn at_rest(file: &[u8], offer: &SnapshotMeta) -> Option<(SnapshotMeta, Vec<u8>)> {
    let disk = founded();
    let name = format!("{:010}-{:020}-{}.snapshot", GroupId::MAIN.0, offer.position.index.0, offer.id);
    put(&disk, &Path::new("/data").join(name), file);
    let log = open(&disk).ok()?;
    let mut store = log.snapshots();
    let meta = store.list(GroupId::MAIN).expect("damage of one is no reason to refuse the rest").pop()?;
    assert_eq!((meta.id, meta.position.index), (offer.id, offer.position.index), "listed under another name");
    assert_eq!(meta.bytes, file.len() as u64);
    let content = content_of(&mut *store, &meta);
    let sent = sent_by(&mut *store, &meta);
    assert_eq!(content.is_some(), sent.is_ok(), "what is read is not what is sent");
    let content = content?;
    assert!(content.len() < file.len(), "more content than there is file");
    assert!(sent.is_ok_and(|sent| sent == file), "something else is sent than lies there");
    Some((meta, content))
}

fn content_of(store: &mut dyn SnapshotStore, meta: &SnapshotMeta) -> Option<Vec<u8>> {
    let mut source = store.open(GroupId::MAIN, meta.id).expect("what is listed is opened");
    let mut content = Vec::new();
    let is_read = source.read_to_end(&mut content).is_ok();
    assert_eq!(source.error().is_none(), is_read, "a read fails without a reason");
    is_read.then_some(content)
}

fn sent_by(store: &mut dyn SnapshotStore, meta: &SnapshotMeta) -> Result<Vec<u8>, StorageError> {
    let mut sent = Vec::new();
    while (sent.len() as u64) < meta.bytes {
        let piece = store.piece(GroupId::MAIN, meta.id, sent.len() as u64, 100_000)?.expect("it is held");
        assert!(!piece.is_empty(), "a piece of nothing");
        sent.extend_from_slice(&piece);
    }
    Ok(sent)
}

/// The content of the snapshot that a store received in pieces of those lengths, if it took it. Without any length it
/// begins anew behind what is good.
fn received(file: &[u8], offer: &SnapshotMeta, mut length: impl FnMut(u64) -> usize) -> Option<Vec<u8>> {
    let log = open(&founded()).expect("a good log");
    let mut store = log.snapshots();
    let mut intake = store.receive(GroupId::MAIN, offer).ok()?;
    let mut restarts = 0;
    while intake.offset() < offer.bytes.min(file.len() as u64) {
        let offset = intake.offset();
        let rest = &file[offset as usize..];
        let count = length(offset).min(rest.len());
        if count == 0 && restarts < 3 {
            restarts += 1;
            drop(intake);
            intake = store.receive(GroupId::MAIN, offer).expect("it was begun before");
            assert!(intake.offset() <= offset, "more is there than was received");
            continue;
        }
        let count = if count == 0 { rest.len() } else { count };
        intake.write(&rest[..count]).ok()?;
        assert_eq!(intake.offset(), offset + count as u64, "what was taken is not counted");
    }
    require_end(intake, file, offer)?;
    assert_eq!(store.list(GroupId::MAIN).expect("a good disk"), std::slice::from_ref(offer));
    Some(content_of(&mut *store, offer).expect("all of it was judged before it was taken"))
}

/// What is behind the announced end is refused.
fn require_end(mut intake: Box<dyn SnapshotIntake>, file: &[u8], offer: &SnapshotMeta) -> Option<()> {
    if let Some(behind @ [_, ..]) = file.get(offer.bytes as usize..) {
        assert!(intake.write(behind).is_err(), "more is taken than was announced");
        return None;
    }
    let finished = intake.finish().ok()?;
    assert_eq!(&finished, offer);
    Some(())
}

fn founded() -> SimulatedDisk {
    static FOUNDED: OnceLock<SimulatedDisk> = OnceLock::new();
    let founded = FOUNDED.get_or_init(|| {
        let disk = SimulatedDisk::default();
        open(&disk).and_then(|mut log| log.found(identity(), &[])).expect("a blank disk");
        disk
    });
    founded.fork()
}
