//! Snapshots on their way from one node to another: whole, broken off, gone on with, damaged.

use super::scene::{MAIN, Offer, at, listed};
use super::{Clause, Make};
use crate::storage::{SnapshotStore, StorageError};
use crate::types::{LogIndex, SnapshotId, SnapshotMeta};

pub(super) const CLAUSES: &[Clause] = &[
    ("A snapshot that is received is the one that was sent, and is sent on as it came.", arriving),
    ("A snapshot that is being received is listed only once it is finished.", listing),
    ("A transfer that was broken off goes on where its intake says.", going_on),
    ("A snapshot that is there already is received again, and stays one.", arriving_twice),
    ("What was received of another snapshot is removed.", taking_another),
    ("Pruning removes what nobody goes on receiving, and nothing that somebody does.", pruning),
    ("No byte changes on the way: a damaged file is refused.", damaged),
    ("A file that is not the snapshot announced, or ends too early or too late, is refused.", another),
];

fn arriving(make: Make<'_>) {
    for (bytes, chunk_bytes) in
        [(0, 1), (1000, 7), (700_000, 1000), (1_300_000, 1 << 20), (2_500_000, 300_000)]
    {
        let offer = Offer::new(make(), 9, bytes);
        let mut place = make();
        let log = place.founded();
        let mut store = log.snapshots();
        let mut intake = offer.begin(&mut *store);
        offer.send(&mut *intake, offer.file.len(), chunk_bytes);
        assert_eq!(intake.finish().expect("it is whole"), offer.meta);
        offer.require_received(&mut *store);
        drop((store, log));
        offer.require_received(&mut *place.open().snapshots());
    }
}

fn listing(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 300_000);
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut intake = offer.begin(&mut *store);
    offer.send(&mut *intake, offer.file.len(), 100_000);
    assert_eq!(listed(&mut *log.snapshots()), [], "all of its bytes are there, and it is not finished");
    drop((intake, store, log));

    assert_eq!(listed(&mut *place.open().snapshots()), [], "after a restart");
}

fn going_on(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 1_100_000);
    for broken_off in [0, 1, 5000, 600_000, offer.file.len() - 1, offer.file.len()] {
        let mut place = make();
        let log = place.founded();
        let mut store = log.snapshots();
        let mut intake = offer.begin(&mut *store);
        offer.send(&mut *intake, broken_off, 100_000);
        drop(intake);
        let kept = offer.begin(&mut *store).offset();
        assert!(kept <= broken_off as u64, "of {broken_off} bytes {kept} are kept");
        drop((store, log));

        let log = place.open();
        let mut store = log.snapshots();
        let intake = offer.begin(&mut *store);
        assert!(intake.offset() <= broken_off as u64, "of {broken_off} bytes {} are kept", intake.offset());
        offer.finish(intake);
        offer.require_received(&mut *store);
    }
}

fn arriving_twice(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 600_000);
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    for _ in 0..2 {
        offer.finish(offer.begin(&mut *store));
        offer.require_received(&mut *store);
    }
}

fn taking_another(make: Make<'_>) {
    let (first, second) = (Offer::new(make(), 9, 900_000), Offer::new(make(), 12, 900_000));
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut intake = first.begin(&mut *store);
    first.send(&mut *intake, 600_000, 100_000);
    drop(intake);

    second.finish(second.begin(&mut *store));

    second.require_received(&mut *store);
    assert_eq!(first.begin(&mut *store).offset(), 0, "something is left of the first");
}

fn pruning(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 900_000);
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut intake = offer.begin(&mut *store);
    offer.send(&mut *intake, 600_000, 100_000);
    log.snapshots().prune(MAIN, LogIndex(5)).expect("pruned");
    offer.finish(intake);
    offer.require_received(&mut *store);

    let next = Offer::new(make(), 12, 900_000);
    let mut intake = next.begin(&mut *store);
    next.send(&mut *intake, 600_000, 100_000);
    drop(intake);
    store.prune(MAIN, LogIndex(9)).expect("pruned");
    assert_eq!(next.begin(&mut *store).offset(), 0, "something is left that nobody went on with");
}

fn damaged(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 500);
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let length = offer.file.len();
    let everywhere = (0..length).filter(|at| length < 400 || *at < 100 || length - at < 100 || at % 61 == 0);
    for at in everywhere {
        let mut changed = offer.file.clone();
        changed[at] ^= 1 << (at % 8);
        require_refused(&mut *store, &offer.meta, &changed, &format!("byte {at} of {length} has changed"));
    }
    store.prune(MAIN, LogIndex(0)).expect("pruned");
    offer.finish(offer.begin(&mut *store));
    offer.require_received(&mut *store);
}

fn another(make: Make<'_>) {
    let (offer, other) = (Offer::new(make(), 9, 5000), Offer::new(make(), 9, 5000));
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut refused = |meta: &SnapshotMeta, file: &[u8], what: &str| {
        require_refused(&mut *store, meta, file, what);
    };
    let SnapshotMeta { bytes, .. } = offer.meta;
    for (meta, what) in [
        (
            SnapshotMeta { id: SnapshotId(offer.meta.id.0 ^ 1), ..offer.meta.clone() },
            "another id is announced",
        ),
        (SnapshotMeta { position: at(4, 10), ..offer.meta.clone() }, "another index is announced"),
        (SnapshotMeta { position: at(5, 9), ..offer.meta.clone() }, "another term is announced"),
        (SnapshotMeta { bytes: bytes - 1, ..offer.meta.clone() }, "a byte less is announced"),
        (SnapshotMeta { bytes: bytes + 1, ..offer.meta.clone() }, "a byte more is announced"),
        (SnapshotMeta { bytes: 0, ..offer.meta.clone() }, "no byte is announced"),
    ] {
        refused(&meta, &offer.file, what);
    }
    refused(&offer.meta, &other.file, "it is the file of another snapshot");
    refused(&offer.meta, &[&offer.file[..], &[0]].concat(), "a byte more is sent");
    for missing in [1, 1000, offer.file.len()] {
        refused(&offer.meta, &offer.file[..offer.file.len() - missing], "its end is missing");
    }
    for bytes in [u64::MAX, 1 << 60] {
        let meta = SnapshotMeta { bytes, ..offer.meta.clone() };
        store.prune(MAIN, LogIndex(0)).expect("pruned");
        let error = take(&mut *store, &meta, &offer.file).expect_err("no disk has so many bytes");
        assert_eq!(listed(&mut *store), [], "{error}");
    }
}

fn require_refused(store: &mut dyn SnapshotStore, meta: &SnapshotMeta, bytes: &[u8], what: &str) {
    store.prune(MAIN, LogIndex(0)).expect("pruned");
    let error = take(store, meta, bytes).err().unwrap_or_else(|| panic!("{what}, and it is taken"));
    assert!(!error.is_recoverable(), "{what}, and it may be tried again: {error}");
    assert_eq!(listed(store), [], "{what}, and it is listed");
}

fn take(
    store: &mut dyn SnapshotStore,
    meta: &SnapshotMeta,
    bytes: &[u8],
) -> Result<SnapshotMeta, StorageError> {
    let mut intake = store.receive(MAIN, meta)?;
    assert_eq!(intake.offset(), 0, "something of a former try is left");
    intake.write(bytes)?;
    intake.finish()
}
