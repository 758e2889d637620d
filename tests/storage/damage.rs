//! Damage to the files of a log: refused by name, or harmless; never a log that quietly says something else.

use quorate::storage::disk::inspect;
use quorate::storage::{Storage, StorageError};
use quorate::types::LogIndex;

use crate::fixtures::{Scene, alter, append, batches, last_index, vote};

/// Entries 2 to 4, each in a batch of its own, then three more in one. Before them stand the batch that opens the
/// segment, the founding entry, and its witness.
fn four_batches() -> Scene {
    Scene::with(&[append(1, 2, 2, 60), append(1, 3, 3, 60), append(1, 4, 4, 60), append(2, 5, 7, 40)])
}

fn settled() -> Scene {
    let scene = four_batches();
    scene.open().expect("open").settle().expect("settle");
    scene
}

#[test]
fn a_log_that_ends_at_any_byte_of_its_last_batch_ends_before_that_batch() {
    let scene = four_batches();
    let whole = scene.content();
    let segment = std::fs::read(scene.segment(1)).unwrap();
    let last = *batches(&segment).last().unwrap();
    let length = u32::from_le_bytes(segment[last + 16..last + 20].try_into().unwrap()) as usize;
    assert_eq!(last_index(&scene.recover().unwrap()), 7);

    for cut in 0..length {
        scene.restore(&whole);
        alter(&scene.segment(1), |bytes| bytes[last + cut..].fill(0));
        assert_eq!(last_index(&scene.recover().unwrap()), 4, "cut at byte {cut}");
    }
}

#[test]
fn after_a_cut_the_log_goes_on_and_is_whole_at_the_next_start() {
    let scene = four_batches();
    alter(&scene.segment(1), |bytes| {
        let last = *batches(bytes).last().unwrap();
        bytes[last + 100..].fill(0);
    });

    for index in 5..9 {
        let mut log = scene.open().unwrap();
        log.write(&[append(3, index, index, 10)]).unwrap();
    }

    assert_eq!(last_index(&scene.recover().unwrap()), 8);
    assert_eq!(scene.segments(), [1, 2], "only the torn tail needed a new segment");
}

#[test]
fn a_flipped_bit_in_the_middle_refuses_to_start_and_says_where() {
    let scene = four_batches();
    let mut at = 0;
    alter(&scene.segment(1), |bytes| {
        at = batches(bytes)[4];
        bytes[at + 80] ^= 0x10;
    });
    let before = scene.content();

    let refused = scene.open().err().expect("entry 3 was acknowledged");

    assert!(
        matches!(&refused, StorageError::Corrupt { segment, offset, index: LogIndex(2), .. }
            if *segment == scene.segment(1) && *offset == at as u64),
        "{refused}"
    );
    assert_eq!(scene.content(), before, "a refused directory stays as it is");
}

#[test]
fn a_lost_page_in_the_middle_is_no_end_of_the_log() {
    for filling in [0x00, 0xff] {
        for bytes_lost in [512, 4096] {
            let scene = four_batches();
            alter(&scene.segment(1), |bytes| {
                let at = batches(bytes)[5];
                bytes[at..at + bytes_lost].fill(filling);
            });

            let refused = scene.open().err().expect("what is lost was acknowledged");

            assert!(matches!(refused, StorageError::Corrupt { index: LogIndex(3), .. }), "{refused}");
        }
    }
}

#[test]
fn a_settled_log_does_not_lose_its_last_batch_unnoticed() {
    let scene = settled();
    alter(&scene.segment(1), |bytes| {
        let last_but_witness = batches(bytes).into_iter().rev().nth(1).unwrap();
        bytes[last_but_witness..][..4096].fill(0);
    });

    let refused = scene.open().err().expect("the witness says that it was durable");

    assert!(matches!(refused, StorageError::Corrupt { index: LogIndex(4), .. }), "{refused}");
}

#[test]
fn a_batch_written_to_another_place_is_refused() {
    let scene = four_batches();
    alter(&scene.segment(1), |bytes| {
        let at = batches(bytes);
        bytes.copy_within(at[3]..at[3] + 4096, at[4]);
    });

    let refused = scene.open().err().expect("entry 3 is gone");

    assert!(matches!(refused, StorageError::Corrupt { .. }), "{refused}");
}

#[test]
fn a_write_that_never_reached_the_disk_is_refused_once_others_follow_it() {
    let scene = four_batches();
    let stale = std::fs::read(scene.segment(1)).unwrap();
    let mut log = scene.open().unwrap();
    log.write(&[vote(9, 1)]).unwrap();
    log.write(&[append(9, 8, 8, 10)]).unwrap();
    drop(log);
    alter(&scene.segment(1), |bytes| {
        let lost = batches(bytes).into_iter().rev().nth(1).unwrap();
        bytes[lost..lost + 4096].copy_from_slice(&stale[lost..lost + 4096]);
    });

    let refused = scene.open().err().expect("the vote was durable");

    assert!(matches!(refused, StorageError::Corrupt { index: LogIndex(7), .. }), "{refused}");
}

#[test]
fn the_report_names_torn_and_corrupt_ends_and_changes_nothing() {
    let scene = settled();
    assert!(inspect(scene.path()).unwrap().to_string().ends_with("end        clean, settled"));

    let scene = four_batches();
    alter(&scene.segment(1), |bytes| {
        let last = *batches(bytes).last().unwrap();
        bytes[last + 100..].fill(0);
    });
    let before = scene.content();
    let torn = inspect(scene.path()).unwrap();
    assert!(torn.to_string().contains("end        torn at byte"), "{torn}");
    assert_eq!(torn.groups[0].last.index, LogIndex(4));

    alter(&scene.segment(1), |bytes| {
        let at = batches(bytes)[4];
        bytes[at + 50] ^= 1;
    });
    let corrupt = inspect(scene.path()).unwrap();
    assert!(corrupt.to_string().contains("end        corrupt: "), "{corrupt}");
    assert_eq!(corrupt.groups[0].last.index, LogIndex(2), "up to there it is read");

    scene.restore(&before);
    assert_eq!(last_index(&scene.recover().unwrap()), 4);
}
