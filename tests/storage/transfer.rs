//! Snapshots on their way from one node to another: whole, in pieces of any size, broken off, resumed, and never spliced.

use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{Identity, SnapshotIntake, SnapshotStore, Storage, StorageError};
use quorate::types::{ClusterId, GroupId, LogIndex, SnapshotId, SnapshotMeta};

use crate::fixtures::{at, check, founded, identity};
use crate::snapshots::{BLOCK_CONTENT_BYTES, content, file_of, read_snapshot, write_snapshot};

/// What a leader offers, and the bytes of its file.
struct Offer {
    meta: SnapshotMeta,
    file: Vec<u8>,
}

impl Offer {
    /// From another node of the same cluster.
    fn new(index: u64, bytes: usize) -> Self {
        Self::from_cluster(identity().cluster, index, bytes)
    }

    fn from_cluster(cluster: ClusterId, index: u64, bytes: usize) -> Self {
        let mut leader = MemoryLog::new();
        leader.found(Identity { cluster, ..identity() }, &[]).expect("found");
        let mut store = leader.snapshots();
        let meta = write_snapshot(&mut *store, at(4, index), &content(bytes, index));
        let file = file_of(&mut *store, &meta, 1 << 20);
        Self { meta, file }
    }

    fn begin(&self, store: &mut dyn SnapshotStore) -> Box<dyn SnapshotIntake> {
        store.receive(GroupId::MAIN, &self.meta).expect("receive")
    }

    /// Hands over the file from where the intake expects it up to `end`, in chunks of those sizes in turn.
    fn send(&self, intake: &mut dyn SnapshotIntake, end: usize, chunks: &[usize]) {
        let mut sizes = chunks.iter().cycle();
        while (intake.offset() as usize) < end {
            let from = intake.offset() as usize;
            let to = end.min(from + sizes.next().expect("a size"));
            intake.write(&self.file[from..to]).expect("good bytes");
            assert_eq!(intake.offset() as usize, to, "the next bytes are expected behind these");
        }
    }

    fn require_received(&self, store: &mut dyn SnapshotStore) {
        assert_eq!(store.list(GroupId::MAIN).expect("list"), std::slice::from_ref(&self.meta));
        let read = read_snapshot(store, self.meta.id).expect("read");
        assert!(read == content(read.len(), self.meta.position.index.0), "the content is another one");
        assert!(file_of(store, &self.meta, 70_000) == self.file, "the same bytes are sent on");
    }
}

/// The error with which these bytes are refused; after it nothing was received.
fn refused(store: &mut dyn SnapshotStore, meta: &SnapshotMeta, bytes: &[u8]) -> StorageError {
    store.prune(GroupId::MAIN, LogIndex(0)).expect("prune");
    let mut intake = match store.receive(GroupId::MAIN, meta) {
        Ok(intake) => intake,
        Err(error) => return error,
    };
    assert_eq!(intake.offset(), 0, "nothing of a former try is left");
    let error = match intake.write(bytes) {
        Err(error) => {
            assert!(intake.write(&[0]).is_err(), "nothing more is taken");
            error
        }
        Ok(()) => intake.finish().expect_err("they must be refused"),
    };
    assert_eq!(store.list(GroupId::MAIN).expect("list"), [], "{error}");
    error
}

fn is_bad(error: &StorageError) -> bool {
    matches!(error, StorageError::BadSnapshot { .. })
}

#[test]
fn a_snapshot_arrives_as_it_was_in_chunks_of_any_size() {
    for chunks in [&[1 << 20][..], &[1000], &[4096, 1, 256 << 10, 77], &[300_000], &[5 << 20]] {
        let offer = Offer::new(9, 5 * BLOCK_CONTENT_BYTES + 123);
        check(|open| {
            let log = founded(open);
            let mut store = log.snapshots();
            let mut intake = offer.begin(&mut *store);
            offer.send(&mut *intake, offer.file.len(), chunks);
            assert_eq!(store.list(GroupId::MAIN).unwrap(), [], "it is not there before it is finished");

            assert_eq!(intake.finish().unwrap(), offer.meta);

            offer.require_received(&mut *store);
            drop((store, log));
            offer.require_received(&mut *open().snapshots());
        });
    }
}

#[test]
fn a_transfer_goes_on_where_it_was_broken_off() {
    let offer = Offer::new(9, 4 * BLOCK_CONTENT_BYTES + 10);
    let block = 256 << 10;
    for broken_off in [0, 1, 4095, 4096, 5000, 4096 + block, 4096 + 3 * block + 7, offer.file.len() - 1] {
        check(|open| {
            let log = founded(open);
            let mut store = log.snapshots();
            let mut intake = offer.begin(&mut *store);
            offer.send(&mut *intake, broken_off, &[100_000]);
            drop((intake, store, log));

            let log = open();
            let mut store = log.snapshots();
            let mut intake = offer.begin(&mut *store);
            let kept = intake.offset() as usize;
            assert!(kept <= broken_off && broken_off - kept < block, "{kept} of {broken_off} bytes are kept");
            offer.send(&mut *intake, offer.file.len(), &[100_000]);
            intake.finish().unwrap();

            offer.require_received(&mut *store);
        });
    }
}

#[test]
fn a_snapshot_that_is_there_already_needs_no_byte_of_it_again() {
    let offer = Offer::new(9, 600_000);
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        let mut intake = offer.begin(&mut *store);
        offer.send(&mut *intake, offer.file.len(), &[100_000]);
        intake.finish().unwrap();

        let again = offer.begin(&mut *store);

        assert_eq!(again.offset(), offer.meta.bytes);
        assert_eq!(again.finish().unwrap(), offer.meta);
        offer.require_received(&mut *store);
    });
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let stranger = Offer::from_cluster(ClusterId(1234), 9, 1000);
    check(|open| {
        let log = founded(open);
        let error = refused(&mut *log.snapshots(), &stranger.meta, &stranger.file);
        assert!(error.to_string().contains("it belongs to cluster 00000000000004d2"), "{error}");
    });
}

#[test]
fn a_storage_that_nobody_has_founded_yet_refuses_a_snapshot_and_takes_it_later() {
    let offer = Offer::new(9, 100);
    check(|open| {
        let mut log = open();
        let mut store = log.snapshots();
        let refused =
            store.receive(GroupId::MAIN, &offer.meta).err().expect("nobody knows whose it would be");
        assert!(refused.to_string().contains("not founded"), "{refused}");

        log.found(identity(), &[]).expect("the refusal left the storage blank");
        let mut intake = offer.begin(&mut *store);
        offer.send(&mut *intake, offer.file.len(), &[1000]);
        intake.finish().unwrap();
        offer.require_received(&mut *store);
    });
}

#[test]
fn a_snapshot_that_is_not_the_one_announced_is_refused() {
    let offer = Offer::new(9, 1000);
    let bytes = offer.meta.bytes;
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        for meta in [
            SnapshotMeta { id: SnapshotId(1), ..offer.meta.clone() },
            SnapshotMeta { position: at(4, 10), ..offer.meta.clone() },
            SnapshotMeta { position: at(5, 9), ..offer.meta.clone() },
            SnapshotMeta { bytes: bytes - 1, ..offer.meta.clone() },
            SnapshotMeta { bytes: bytes + 1, ..offer.meta.clone() },
            SnapshotMeta { bytes: bytes + (1 << 20), ..offer.meta.clone() },
            SnapshotMeta { bytes: 0, ..offer.meta.clone() },
            SnapshotMeta { bytes: 4096, ..offer.meta.clone() },
        ] {
            let error = refused(&mut *store, &meta, &offer.file);
            assert!(is_bad(&error), "{meta:?}: {error}");
        }
        assert!(
            is_bad(&refused(&mut *store, &offer.meta, &[&offer.file[..], &[0]].concat())),
            "one byte more"
        );
        for missing in [1, 32, 33, 1000] {
            let short = &offer.file[..offer.file.len() - missing];
            assert!(is_bad(&refused(&mut *store, &offer.meta, short)), "{missing} bytes less");
        }
    });
}

#[test]
fn a_length_that_no_disk_has_is_refused_or_finds_the_disk_full() {
    let offer = Offer::new(9, 1000);
    check(|open| {
        let log = founded(open);
        for bytes in [u64::MAX, i64::MAX as u64, 1 << 60] {
            let meta = SnapshotMeta { bytes, ..offer.meta.clone() };
            let refused = match log.snapshots().receive(GroupId::MAIN, &meta) {
                Ok(mut intake) => match intake.write(&offer.file) {
                    Ok(()) => intake.finish().expect_err("most of it is missing"),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            assert!(is_bad(&refused) || refused.is_recoverable(), "{bytes}: {refused}");
        }
    });
}

#[test]
fn no_byte_may_change_on_the_way() {
    let offer = Offer::new(9, 5);
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        for at in 0..offer.file.len() {
            let mut changed = offer.file.clone();
            changed[at] ^= 1 << (at % 8);
            let error = refused(&mut *store, &offer.meta, &changed);
            let is_newer = matches!(error, StorageError::NewerFormat { .. });
            assert!(is_bad(&error) || (is_newer && (8..12).contains(&at)), "byte {at}: {error}");
        }
    });
}

#[test]
fn blocks_that_are_exchanged_repeated_lost_or_of_another_snapshot_are_refused() {
    let offer = Offer::new(9, 4 * BLOCK_CONTENT_BYTES);
    let other = Offer::new(9, 4 * BLOCK_CONTENT_BYTES);
    let block = |number: usize| 4096 + (number - 1) * (256 << 10)..4096 + number * (256 << 10);
    let with = |number: usize, bytes: &[u8]| {
        let mut file = offer.file.clone();
        file[block(number)].copy_from_slice(bytes);
        file
    };
    let exchanged = {
        let mut file = with(1, &offer.file[block(2)]);
        file[block(2)].copy_from_slice(&offer.file[block(1)]);
        file
    };
    let lost = [&offer.file[..block(2).start], &offer.file[block(2).end..]].concat();
    let spliced = [&offer.file[..block(3).start], &other.file[block(3).start..]].concat();
    check(|open| {
        let log = founded(open);
        let mut store = log.snapshots();
        for (what, file) in [
            ("exchanged", &exchanged),
            ("repeated", &with(3, &offer.file[block(2)])),
            ("lost", &lost),
            ("of another snapshot", &with(2, &other.file[block(2)])),
            ("with the end of another", &spliced),
        ] {
            let error = refused(&mut *store, &offer.meta, file);
            assert!(is_bad(&error), "{what}: {error}");
        }
        // What was good before stays.
        let mut intake = offer.begin(&mut *store);
        assert!(intake.offset() as usize >= block(1).end, "the good blocks were kept");
        offer.send(&mut *intake, offer.file.len(), &[1 << 20]);
        intake.finish().unwrap();
        offer.require_received(&mut *store);
    });
}

#[test]
fn a_full_disk_ends_the_transfer_and_has_its_space_back() {
    let offer = Offer::new(9, 2_000_000);
    let disk = MemoryDisk::new();
    let log = founded(&|| Box::new(MemoryLog::open(&disk).expect("open")));
    let mut store = log.snapshots();
    let mut intake = offer.begin(&mut *store);
    offer.send(&mut *intake, 1_000_000, &[100_000]);
    disk.set_full(true);
    let from = intake.offset() as usize;
    let error = intake.write(&offer.file[from..]).expect_err("there is no room");
    assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    assert!(store.receive(GroupId::MAIN, &offer.meta).err().is_some_and(|error| error.is_recoverable()));
    drop(intake);

    disk.set_full(false);
    let mut intake = offer.begin(&mut *store);
    assert_eq!(intake.offset(), 0, "what was received made room");
    offer.send(&mut *intake, offer.file.len(), &[1 << 20]);
    intake.finish().unwrap();
    offer.require_received(&mut *store);
}
