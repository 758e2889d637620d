//! Segments that are missing, exchanged, shortened or somebody else's; and what becomes of those that are released.

use std::fs;
use std::path::PathBuf;

use quorate::storage::disk::{DiskConfig, DiskLog, SegmentState, inspect, inspect_records};
use quorate::storage::{Identity, Storage, StorageError};
use quorate::types::{GroupId, Incarnation};

use crate::fixtures::{
    Scene, alter, append, at, batches, founding_entry, identity, last_index, membership, node, vote,
};

/// Forty entries of 6,000 bytes in four or more segments.
fn many_segments() -> Scene {
    let writes: Vec<_> = (2..=40).map(|index| append(1, index, index, 6000)).collect();
    let scene = Scene::with(&writes);
    assert!(scene.segments().len() >= 4, "{:?}", scene.segments());
    scene
}

fn refused_segment(scene: &Scene) -> (PathBuf, String) {
    match scene.open().err().expect("it must not start") {
        StorageError::Corrupt { segment, reason, .. } => (segment, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn a_log_of_many_segments_comes_back() {
    let scene = many_segments();

    assert_eq!(last_index(&scene.recover().unwrap()), 40);

    let report = inspect(scene.path()).unwrap();
    let (newest, older) = report.segments.split_last().unwrap();
    assert!(older.iter().all(|segment| segment.state == SegmentState::Sealed), "{report}");
    assert_eq!(newest.state, SegmentState::Open);
}

#[test]
fn a_missing_segment_is_refused_by_its_name() {
    let scene = many_segments();
    let whole = scene.content();
    let numbers = scene.segments();
    let newest = *numbers.last().unwrap();

    fs::remove_file(scene.segment(2)).unwrap();
    assert_eq!(refused_segment(&scene), (scene.segment(2), "the segment is missing".to_owned()));

    scene.restore(&whole);
    fs::remove_file(scene.segment(newest)).unwrap();
    let (segment, reason) = refused_segment(&scene);
    assert_eq!(segment, scene.segment(newest - 1));
    assert_eq!(reason, format!("segment {newest}, which follows it, is missing"));

    scene.restore(&whole);
    fs::remove_file(scene.segment(1)).unwrap();
    let (segment, reason) = refused_segment(&scene);
    assert_eq!(segment, scene.segment(2));
    assert!(reason.starts_with("entries 1 to "), "{reason}");

    scene.restore(&whole);
    for number in numbers {
        fs::remove_file(scene.segment(number)).unwrap();
    }
    assert_eq!(refused_segment(&scene), (scene.segment(1), "the segment is missing".to_owned()));
}

#[test]
fn segments_under_each_others_names_are_refused() {
    let scene = many_segments();
    let swap = scene.path().join("swap");
    fs::rename(scene.segment(2), &swap).unwrap();
    fs::rename(scene.segment(3), scene.segment(2)).unwrap();
    fs::rename(&swap, scene.segment(3)).unwrap();

    let (segment, reason) = refused_segment(&scene);

    assert_eq!((segment, &*reason), (scene.segment(2), "it holds segment 3 under this name"));
}

#[test]
fn a_segment_copied_to_the_end_is_refused() {
    let scene = many_segments();
    let next = scene.segments().last().unwrap() + 1;
    fs::copy(scene.segment(2), scene.segment(next)).unwrap();

    assert_eq!(refused_segment(&scene).0, scene.segment(next));
}

#[test]
fn a_segment_of_another_length_than_it_was_made_with_is_refused() {
    let scene = many_segments();
    let whole = scene.content();
    let newest = *scene.segments().last().unwrap();
    let length = fs::metadata(scene.segment(1)).unwrap().len();
    for number in [1, 2, newest] {
        for shortened in [0, 100, 4096, 5000, length - 1, length + 1, length + 9000] {
            scene.restore(&whole);
            alter(&scene.segment(number), |bytes| bytes.resize(shortened as usize, 0xaa));

            assert_eq!(refused_segment(&scene).0, scene.segment(number), "{shortened} bytes");
        }
    }
}

#[test]
fn a_segment_of_another_node_is_refused() {
    let scene = many_segments();
    let stranger = tempfile::tempdir().unwrap();
    let config = DiskConfig::new(stranger.path(), node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    let mut log = DiskLog::open(config).unwrap();
    let wiped = Identity { incarnation: Incarnation(1), ..identity() };
    log.found(wiped, &[(GroupId::MAIN, Some(founding_entry()))]).unwrap();
    fs::copy(stranger.path().join("0000000001.log"), scene.segment(1)).unwrap();

    let (segment, reason) = refused_segment(&scene);

    assert_eq!(segment, scene.segment(1));
    assert!(reason.starts_with("it belongs to node 1 of cluster"), "{reason}");
}

#[test]
fn released_segments_become_spares_and_then_segments_again() {
    let scene = Scene::with(&[vote(1, 1)]);
    let mut log = scene.open().unwrap();
    let mut upkeep = log.upkeep().unwrap();
    assert!(log.upkeep().is_none(), "there is one upkeep");
    for index in 2..=200 {
        log.write(&[append(1, index, index, 6000)]).unwrap();
        log.release(GroupId::MAIN, at(1, index), &membership()).unwrap();
        while upkeep.turn().unwrap() {}
    }
    let files = scene.content().len();
    assert!(files <= 7, "{files} files: the log must not grow when nothing is kept");
    drop((log, upkeep));

    let recovered = scene.recover().unwrap();

    assert_eq!((recovered.starts_after, recovered.entries.len()), (at(1, 200), 0));
    assert!(scene.segments()[0] > 10, "the first segments are gone: {:?}", scene.segments());
}

#[test]
fn a_reader_holds_what_it_reads_while_the_log_is_released_and_written() {
    let scene = Scene::with(&[]);
    let mut log = scene.open().unwrap();
    let mut reader = log.reader();
    let mut upkeep = log.upkeep().unwrap();
    let reading = std::thread::spawn(move || {
        let mut seen = 0;
        for index in (2..=400).cycle() {
            match reader.read(
                GroupId::MAIN,
                quorate::types::LogIndex(index),
                quorate::types::LogIndex(400),
                1 << 20,
            ) {
                Ok(entries) => {
                    let first = &entries[0];
                    assert_eq!(*first, crate::fixtures::command(1, index, 3000));
                    seen = seen.max(entries.last().unwrap().position.index.0);
                }
                Err(StorageError::NoSuchEntry { .. }) => {}
                Err(other) => panic!("{other}"),
            }
            if seen == 400 {
                return;
            }
        }
    });
    for index in 2..=400 {
        log.write(&[append(1, index, index, 3000)]).unwrap();
        if index % 10 == 0 {
            log.release(GroupId::MAIN, at(1, index - 9), &membership()).unwrap();
        }
        while upkeep.turn().unwrap() {}
    }
    reading.join().unwrap();
}

#[test]
fn every_record_can_be_listed() {
    let scene = Scene::with(&[vote(3, 2), append(3, 2, 3, 5)]);
    scene.open().unwrap().settle().unwrap();
    let mut lines = Vec::new();

    let report = inspect_records(scene.path(), &mut |record| lines.push(record.what)).unwrap();

    assert_eq!(
        lines,
        [
            "restated: term 0, no vote, starts after 0@0, ends with 0@0",
            "entry 1@0: membership of 3 nodes",
            "witness",
            "term 3, vote for 2",
            "entry 2@3: command of 5 bytes",
            "entry 3@3: command of 5 bytes",
            "witness",
        ]
    );
    assert_eq!(report.groups[0].to_string(), "1: term 3, vote for 2, entries 1 to 3 (the last of term 3)");
}

#[test]
fn a_report_says_how_each_segment_ends_and_where_each_record_stands() {
    let scene = many_segments();
    let newest = *scene.segments().last().unwrap();
    let mut lines = Vec::new();

    let report = inspect_records(scene.path(), &mut |record| lines.push(record.to_string())).unwrap();

    let report = report.to_string();
    assert!(report.contains("segment    1: sealed, "), "{report}");
    assert!(report.contains(&format!("segment    {newest}: open, ")), "{report}");
    assert!(report.ends_with("end        clean, not settled"), "{report}");
    assert!(lines[0].starts_with("1:4132 group 1: restated: "), "{}", lines[0]);

    let blank = inspect(Scene::blank().path()).unwrap().to_string();
    assert!(blank.contains("it was never founded"), "{blank}");
}

/// Power may fail between the header of the next segment and the seal of this one.
#[test]
fn a_segment_without_its_seal_ends_where_the_next_one_says() {
    let scene = many_segments();
    alter(&scene.segment(1), |bytes| {
        let seal = *batches(bytes).last().unwrap();
        bytes[seal..].fill(0);
    });

    let report = inspect(scene.path()).unwrap();

    assert_eq!(report.segments[0].state, SegmentState::Cut);
    assert!(report.to_string().contains("segment    1: cut, "), "{report}");
    assert_eq!(last_index(&scene.recover().unwrap()), 40);
}
