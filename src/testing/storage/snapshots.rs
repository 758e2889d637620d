//! Snapshots at rest: written, listed, read back, given away, pruned.

use std::io::{Read, Write};
use std::thread;

use super::scene::{MAIN, OTHER, at, content, file_of, listed, membership, read_snapshot, write_snapshot};
use super::{Clause, Make};
use crate::storage::{SnapshotStore, StorageError};
use crate::types::{LogIndex, SnapshotId};

pub(super) const CLAUSES: &[Clause] = &[
    ("A snapshot of any length is read back as it was written, also after a restart.", round_trip),
    ("A snapshot that is not finished was never there.", unfinished),
    ("Snapshots are listed newest position first, and each group has its own.", listing),
    ("A snapshot that is not kept is not opened, and no piece of it is given.", strangers),
    (
        "Pieces of a snapshot's file, cut anywhere, are the file; fewer bytes than asked for come only at its end.",
        pieces,
    ),
    ("Several handles on the snapshots may be used at once, from several threads.", handles),
    (
        "Pruning removes what is older than the newest and before the log, and keeps the newest and the oldest that the log reaches back to.",
        pruning,
    ),
    ("What somebody is writing survives pruning.", pruning_beside_a_sink),
    (
        "A pruned snapshot stays readable to those who read it, and to whom it is being given away.",
        reading_what_is_pruned,
    ),
];

fn round_trip(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let lengths = [0, 1, 100, 4095, 4096, 4097, 70_000, 300_000, (1 << 20) - 1, (1 << 20) + 1, 3_000_000];
    let mut metas = Vec::new();
    for (bytes, index) in lengths.into_iter().zip(1..) {
        let meta = write_snapshot(&mut *store, at(1, index), &content(bytes, index));
        assert_eq!((meta.position, &meta.membership), (at(1, index), &membership()));
        assert_eq!(listed(&mut *store).first(), Some(&meta), "it is listed once it is finished");
        metas.push(meta);
    }
    drop((store, log));

    let log = place.open();
    let mut store = log.snapshots();
    for (meta, bytes) in metas.iter().zip(lengths) {
        let read = read_snapshot(&mut *store, meta);
        assert!(read == content(bytes, meta.position.index.0), "the content of {bytes} bytes is another one");
    }
    metas.reverse();
    assert_eq!(listed(&mut *store), metas);
}

fn unfinished(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut sink = store.create(MAIN, at(1, 5), &membership()).expect("a snapshot is begun");
    sink.write_all(&content(3_000_000, 1)).expect("its content is written");
    assert_eq!(listed(&mut *log.snapshots()), [], "while it is written");
    drop(sink);

    assert_eq!(listed(&mut *store), [], "when it was given up");
    drop((store, log));
    assert_eq!(listed(&mut *place.open().snapshots()), [], "after a restart");
}

fn listing(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let old = write_snapshot(&mut *store, at(1, 5), b"old");
    let new = write_snapshot(&mut *store, at(2, 9), b"new");
    let middle = write_snapshot(&mut *store, at(2, 7), b"middle");
    let mut other = store.create(OTHER, at(1, 6), &membership()).expect("a snapshot is begun");
    other.write_all(b"other").expect("its content is written");
    let other = other.finish().expect("it is finished");

    assert_eq!(listed(&mut *store), [new.clone(), middle.clone(), old.clone()]);
    assert_eq!(store.list(OTHER).expect("listed"), std::slice::from_ref(&other));
    let mut ids = [old.id, new.id, middle.id, other.id];
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "two snapshots have one id: {ids:?}");
    assert_eq!(read_snapshot(&mut *store, &old), b"old");
}

fn strangers(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let ours = write_snapshot(&mut *store, at(1, 5), b"ours");
    let nobodys = SnapshotId(ours.id.0 ^ 1);
    for (group, id) in [(MAIN, nobodys), (OTHER, ours.id)] {
        let opened = store.open(group, id).map(|_| ());
        assert!(
            matches!(opened, Err(StorageError::NoSuchSnapshot { id: named }) if named == id),
            "it is opened: {opened:?}"
        );
        let piece = store.piece(group, id, 0, 100);
        assert!(matches!(piece, Ok(None)), "a piece of it is {piece:?}");
    }
}

fn pieces(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    for (bytes, index) in [0, 10, 300_000, 2_500_000].into_iter().zip(1..) {
        let meta = write_snapshot(&mut *store, at(1, index), &content(bytes, index));
        let whole = file_of(&mut *store, &meta, 1 << 20);
        assert!(whole.len() >= bytes, "the file of {bytes} bytes is {} long", whole.len());
        for piece_bytes in [whole.len() as u32 / 7 + 1, 65_537, 1 << 18] {
            let again = file_of(&mut *log.snapshots(), &meta, piece_bytes);
            assert!(again == whole, "in pieces of {piece_bytes} bytes it is another file");
        }
        let large = store.piece(MAIN, meta.id, 0, 3 << 20).expect("a piece is given");
        let large = large.expect("the snapshot is held");
        assert!(!large.is_empty() && whole.starts_with(&large), "a large piece is another one");
        assert!(large.len() >= whole.len().min(1 << 20), "it may be short only beyond 1 MiB");
    }
}

fn handles(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let old = write_snapshot(&mut *log.snapshots(), at(1, 1), &content(500_000, 1));
    let begin = |index: u64| {
        let mut store = log.snapshots();
        move || write_snapshot(&mut *store, at(1, index), &content(500_000, index))
    };
    let (mut writing, mut serving) = ([begin(2), begin(3)], log.snapshots());

    thread::scope(|scope| {
        let writers = writing.each_mut().map(|write| scope.spawn(write));
        for _ in 0..5 {
            assert!(
                read_snapshot(&mut *serving, &old) == content(500_000, 1),
                "it is read beside the writers"
            );
        }
        for writer in writers {
            writer.join().expect("it is written beside the reader");
        }
    });
    let indexes: Vec<_> = listed(&mut *serving).iter().map(|meta| meta.position.index.0).collect();
    assert_eq!(indexes, [3, 2, 1]);
    for meta in listed(&mut *serving) {
        assert!(read_snapshot(&mut *serving, &meta) == content(500_000, meta.position.index.0));
    }
}

fn pruning(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    for index in [10, 20, 30, 40] {
        write_snapshot(&mut *store, at(1, index), b"x");
    }
    let indexes = |store: &mut dyn SnapshotStore, log_starts_after| {
        store.prune(MAIN, LogIndex(log_starts_after)).expect("pruned");
        listed(store).iter().map(|meta| meta.position.index.0).collect::<Vec<_>>()
    };

    for (log_starts_after, oldest) in [(0, 10), (20, 20), (21, 30), (99, 40)] {
        let left = indexes(&mut *store, log_starts_after);
        assert_eq!(
            (left.first(), left.last()),
            (Some(&40), Some(&oldest)),
            "the newest and the oldest where the log starts after {log_starts_after}"
        );
    }
    drop((store, log));
    let log = place.open();
    let left: Vec<_> = listed(&mut *log.snapshots()).iter().map(|meta| meta.position.index.0).collect();
    assert_eq!(left, [40], "after a restart");
}

fn pruning_beside_a_sink(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    write_snapshot(&mut *store, at(1, 5), b"old");
    let mut sink = store.create(MAIN, at(1, 9), &membership()).expect("a snapshot is begun");
    sink.write_all(&content(500_000, 1)).expect("its content is written");

    log.snapshots().prune(MAIN, LogIndex(5)).expect("pruned");

    sink.write_all(b"end").expect("it goes on");
    let meta = sink.finish().expect("it is finished");
    let expected = [&content(500_000, 1)[..], b"end"].concat();
    assert!(read_snapshot(&mut *store, &meta) == expected, "its content is another one");
}

fn reading_what_is_pruned(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let (mut writing, mut serving) = (log.snapshots(), log.snapshots());
    let bytes = content(1_000_000, 3);
    let old = write_snapshot(&mut *writing, at(1, 5), &bytes);
    let mut source = writing.open(MAIN, old.id).expect("it is opened");
    let mut begin = vec![0; 1000];
    source.read_exact(&mut begin).expect("it is read");
    let first = serving.piece(MAIN, old.id, 0, 1000).expect("a piece is given").expect("it is held");
    write_snapshot(&mut *writing, at(1, 6), b"new");

    writing.prune(MAIN, LogIndex(6)).expect("pruned");

    let mut rest = Vec::new();
    source.read_to_end(&mut rest).expect("who reads it reads on");
    assert!(begin == bytes[..1000] && rest == bytes[1000..], "the content is another one");
    let file = file_of(&mut *serving, &old, 100_000);
    assert_eq!((file.len() as u64, &file[..1000]), (old.bytes, &first[..]));
    let begun = writing.piece(MAIN, old.id, 0, 10);
    assert!(matches!(begun, Ok(None)), "nobody begins with it: {begun:?}");
}
