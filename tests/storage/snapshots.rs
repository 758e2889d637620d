//! Snapshots at rest: written, listed, read back, pruned, damaged; on a disk and in memory alike.

use std::io::{Read, Write};

use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{SnapshotStore, Storage, StorageError};
use quorate::types::{GroupId, LogIndex, LogPosition, SnapshotId, SnapshotMeta};

use crate::fixtures::{alter, at, check, founded, membership, node};

/// What a block holds, and so where the next one begins.
pub(crate) const BLOCK_CONTENT_BYTES: usize = (256 << 10) - 8;

/// Content that is different everywhere.
pub(crate) fn content(bytes: usize, seed: u64) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9E37_79B9).wrapping_add(seed) >> 7) as u8).collect()
}

pub(crate) fn write_snapshot(
    store: &mut dyn SnapshotStore,
    position: LogPosition,
    content: &[u8],
) -> SnapshotMeta {
    let mut sink = store.create(GroupId::MAIN, position, &membership()).expect("create");
    sink.write_all(content).expect("write");
    sink.finish().expect("finish")
}

pub(crate) fn read_snapshot(store: &mut dyn SnapshotStore, id: SnapshotId) -> Result<Vec<u8>, StorageError> {
    let mut source = store.open(GroupId::MAIN, id)?;
    let mut read = Vec::new();
    match source.read_to_end(&mut read) {
        Ok(_) => Ok(read),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
            Err(source.error().expect("the source says why"))
        }
    }
}

/// The whole file, in pieces of `piece_bytes`.
pub(crate) fn file_of(store: &mut dyn SnapshotStore, meta: &SnapshotMeta, piece_bytes: u32) -> Vec<u8> {
    let mut file = Vec::new();
    while (file.len() as u64) < meta.bytes {
        let piece = store.piece(GroupId::MAIN, meta.id, file.len() as u64, piece_bytes).expect("piece");
        let piece = piece.expect("the snapshot is held");
        let left = meta.bytes - file.len() as u64;
        assert_eq!(piece.len() as u64, u64::from(piece_bytes).min(left), "fewer only at the end");
        file.extend_from_slice(&piece);
    }
    file
}

pub(crate) fn file_name(meta: &SnapshotMeta) -> String {
    format!("{:010}-{:020}-{}.snapshot", GroupId::MAIN.0, meta.position.index.0, meta.id)
}

fn listed(store: &mut dyn SnapshotStore) -> Vec<SnapshotMeta> {
    store.list(GroupId::MAIN).expect("list")
}

#[test]
fn a_snapshot_of_any_length_is_read_back_as_it_was_written() {
    check(|open| {
        let mut log = founded(open);
        let mut store = log.snapshots();
        let around = |bytes: usize| [bytes - 1, bytes, bytes + 1];
        let lengths = [0, 1, 100].into_iter().chain(around(BLOCK_CONTENT_BYTES));
        let lengths = lengths.chain(around(4 * BLOCK_CONTENT_BYTES)).chain(around(9 * BLOCK_CONTENT_BYTES));
        for (bytes, index) in lengths.zip(1..) {
            let meta = write_snapshot(&mut *store, at(1, index), &content(bytes, index));

            assert_eq!(listed(&mut *store)[0], meta);
            assert_eq!((meta.position, &meta.membership), (at(1, index), &membership()));
            assert!(read_snapshot(&mut *store, meta.id).unwrap() == content(bytes, index), "{bytes} bytes");
            assert_eq!(file_of(&mut *store, &meta, 300_000).len() as u64, meta.bytes);
        }
        drop((store, log));

        log = open();
        assert_eq!(listed(&mut *log.snapshots()).len(), 12, "they are there after a restart");
    });
}

#[test]
fn pruning_keeps_the_newest_and_those_that_the_log_reaches_back_to() {
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        let metas: Vec<_> =
            [10, 20, 30, 40].map(|index| write_snapshot(&mut *store, at(1, index), b"x")).into();
        let mut indexes = |log_starts_after| {
            store.prune(GroupId::MAIN, LogIndex(log_starts_after)).unwrap();
            listed(&mut *store).iter().map(|meta| meta.position.index.0).collect::<Vec<_>>()
        };

        assert_eq!(indexes(0), [40, 30, 20, 10]);
        assert_eq!(indexes(20), [40, 30, 20]);
        assert_eq!(indexes(21), [40, 30]);
        assert_eq!(indexes(99), [40], "the newest stays whatever the log says");
        assert!(store.piece(GroupId::MAIN, metas[0].id, 0, 100).unwrap().is_none());
        drop((store, log));
        assert_eq!(listed(&mut *open().snapshots()), metas[3..]);
    });
}

#[test]
fn a_log_that_reaches_far_back_keeps_the_oldest_snapshot_and_a_few_of_the_newest() {
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        for index in 1..=9 {
            write_snapshot(&mut *store, at(1, index * 10), b"x");
            store.prune(GroupId::MAIN, LogIndex(20)).unwrap();
        }

        let indexes: Vec<_> = listed(&mut *store).iter().map(|meta| meta.position.index.0).collect();
        assert_eq!(indexes, [90, 80, 70, 60, 20], "somebody may be fetching the oldest");
    });
}

#[test]
fn a_pruned_snapshot_stays_readable_to_those_who_read_it() {
    check(|open| {
        let log = founded(open);
        let (mut writing, mut serving) = (log.snapshots(), log.snapshots());
        let bytes = content(1_000_000, 3);
        let old = write_snapshot(&mut *writing, at(1, 5), &bytes);
        let mut source = writing.open(GroupId::MAIN, old.id).unwrap();
        let mut begin = vec![0; 1000];
        source.read_exact(&mut begin).unwrap();
        let first = serving.piece(GroupId::MAIN, old.id, 0, 1000).unwrap().unwrap();
        write_snapshot(&mut *writing, at(1, 6), b"new");

        writing.prune(GroupId::MAIN, LogIndex(6)).unwrap();

        let mut rest = Vec::new();
        source.read_to_end(&mut rest).unwrap();
        assert!(begin == bytes[..1000] && rest == bytes[1000..]);
        let file = file_of(&mut *serving, &old, 100_000);
        assert_eq!((file.len() as u64, &file[..1000]), (old.bytes, &first[..]));
        assert!(writing.piece(GroupId::MAIN, old.id, 0, 10).unwrap().is_none(), "nobody begins with it");
        assert!(serving.piece(GroupId::MAIN, old.id, 0, 10).unwrap().is_none(), "nor does who had all of it");
    });
}

/// One small snapshot, in memory and on a disk, whose file can be altered.
fn check_altered(
    scene: impl Fn(&SnapshotMeta, &dyn Fn(&mut dyn FnMut(&mut Vec<u8>)), &mut dyn SnapshotStore),
) {
    let disk = MemoryDisk::new();
    let log = founded(&|| Box::new(MemoryLog::open(&disk).expect("open")));
    let mut store = log.snapshots();
    let meta = write_snapshot(&mut *store, at(3, 7), b"small");
    let change = |change: &mut dyn FnMut(&mut Vec<u8>)| assert!(disk.alter(&file_name(&meta), change));
    scene(&meta, &change, &mut *store);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = DiskConfig::new(dir.path(), node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    let log = founded(&|| Box::new(DiskLog::open(config.clone()).expect("open")));
    let mut store = log.snapshots();
    let meta = write_snapshot(&mut *store, at(3, 7), b"small");
    let path = dir.path().join(file_name(&meta));
    scene(&meta, &|change| alter(&path, change), &mut *store);
}

/// A damaged snapshot is passed over, or refused when it is read; and no byte of it is sent.
fn require_refused(store: &mut dyn SnapshotStore, meta: &SnapshotMeta, what: &str) {
    let is_listed = listed(store).contains(meta);
    match read_snapshot(store, meta.id) {
        Err(StorageError::BadSnapshot { .. } | StorageError::NewerFormat { .. }) => {}
        other => panic!("{what}, listed: {is_listed}: {other:?}"),
    }
    for offset in 0..meta.bytes.div_ceil(1000) {
        let piece = store.piece(GroupId::MAIN, meta.id, offset * 1000, 1000);
        if let Ok(Some(piece)) = piece {
            let (end, file_end) = (offset * 1000 + piece.len() as u64, meta.bytes);
            assert!(piece.is_empty() || end <= file_end, "{what}: more is sent than was written");
        }
    }
}

#[test]
fn a_snapshot_with_any_byte_changed_is_passed_over_or_refused() {
    check_altered(|meta, change, store| {
        let whole = file_of(store, meta, 1000);
        for at in 0..whole.len() {
            change(&mut |bytes| bytes[at] ^= 1 << (at % 8));
            match store.list(GroupId::MAIN) {
                Ok(_) => require_refused(store, meta, &format!("byte {at}")),
                // A higher format number is what a newer version would write.
                Err(error) => {
                    assert!(matches!(error, StorageError::NewerFormat { .. }), "byte {at}: {error}");
                }
            }
            change(&mut |bytes| bytes.clone_from(&whole));
        }
        assert_eq!(read_snapshot(store, meta.id).unwrap(), b"small");
    });
}

#[test]
fn a_snapshot_cut_at_any_byte_or_lengthened_is_passed_over() {
    check_altered(|meta, change, store| {
        let whole = file_of(store, meta, 1000);
        for length in (0..whole.len()).chain([whole.len() + 1, whole.len() + 4096]) {
            change(&mut |bytes| bytes.resize(length, 0));
            assert_eq!(listed(store), [], "{length} bytes");
            assert!(matches!(
                store.open(GroupId::MAIN, meta.id).err(),
                Some(StorageError::BadSnapshot { .. })
            ));
            change(&mut |bytes| bytes.clone_from(&whole));
        }
        assert_eq!(listed(store), std::slice::from_ref(meta));
    });
}

#[test]
fn a_rotten_snapshot_is_passed_over_for_an_older_one_and_never_sent() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = DiskConfig::new(dir.path(), node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    let log = founded(&|| Box::new(DiskLog::open(config.clone()).expect("open")));
    let mut store = log.snapshots();
    let old = write_snapshot(&mut *store, at(1, 5), b"old");
    let new = write_snapshot(&mut *store, at(1, 9), &content(2_000_000, 1));
    let rotten = 4096 + 2 * (256 << 10) + 1000;
    alter(&dir.path().join(file_name(&new)), |bytes| bytes[rotten] ^= 1);

    let refused = read_snapshot(&mut *store, new.id).unwrap_err();

    assert!(
        matches!(&refused, StorageError::BadSnapshot { path, offset, .. }
            if path.ends_with(file_name(&new)) && *offset == 4096 + 2 * (256 << 10)),
        "{refused}"
    );
    assert!(store.piece(GroupId::MAIN, new.id, 0, 100_000).unwrap().is_some());
    let sent = store.piece(GroupId::MAIN, new.id, rotten as u64 - 500, 100);
    assert!(matches!(sent, Err(StorageError::BadSnapshot { .. })), "not even the good bytes of its block");
    assert_eq!(read_snapshot(&mut *store, old.id).unwrap(), b"old");
    drop((store, log));

    alter(&dir.path().join(file_name(&new)), |bytes| bytes[30] ^= 1);
    let mut store = DiskLog::open(config).expect("damage is no reason to refuse the log").snapshots();
    assert_eq!(listed(&mut *store), [old]);
}

#[test]
fn a_small_piece_does_not_keep_the_blocks_in_memory_that_were_read_for_it() {
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        let meta = write_snapshot(&mut *store, at(4, 9), &content(3 * BLOCK_CONTENT_BYTES, 9));
        let mut piece = |offset, bytes| store.piece(GroupId::MAIN, meta.id, offset, bytes).unwrap().unwrap();
        let pieces: Vec<_> = (0..3).map(|block| piece(4096 + block * (256 << 10), 4096)).collect();
        drop((store, log));

        for piece in pieces {
            assert_eq!(piece.len(), 4096);
            let memory = piece.try_into_mut().expect("nobody else holds it");
            assert!(memory.capacity() < 5 * 4096, "it holds {} bytes", memory.capacity());
        }
    });
}
