//! Directories that are not this node's to use: each refused by its own error, before anything is written.

use std::fs;
use std::path::PathBuf;

use quorate::storage::disk::{DiskConfig, DiskLog, LogEnd, SnapshotState, inspect};
use quorate::storage::{Identity, Storage, StorageError};
use quorate::types::{ClusterId, GroupId};

use crate::fixtures::{Scene, alter, append, at, identity, last_index, node};
use crate::snapshots::{content, file_name, write_snapshot};

fn refused(scene: &Scene) -> StorageError {
    let before = scene.content();
    let error = scene.open().err().expect("it must be refused");
    assert_eq!(scene.content(), before, "nothing is written to a directory that is refused");
    error
}

#[test]
fn a_directory_serves_one_log_at_a_time() {
    let scene = Scene::with(&[]);
    let log = scene.open().unwrap();

    assert!(matches!(scene.open(), Err(StorageError::Locked { .. })));
    assert!(matches!(inspect(scene.path()), Err(StorageError::Locked { .. })));
    drop(log);

    assert!(scene.open().is_ok());
}

#[test]
fn a_directory_is_made_if_it_is_missing() {
    let scene = Scene::blank();
    let dir = scene.path().join("a/b/c");

    DiskLog::open(DiskConfig::new(&dir, node(1))).unwrap();

    assert!(dir.is_dir());
}

#[test]
fn what_is_no_directory_is_an_error_that_names_it() {
    let scene = Scene::blank();
    let file = scene.path().join("file");
    fs::write(&file, "").unwrap();

    for path in [file.clone(), file.join("below")] {
        let refused = DiskLog::open(DiskConfig::new(&path, node(1))).err().expect("it is a file");
        assert!(
            matches!(&refused, StorageError::Io { operation: "create", path: named, .. } if *named == path)
        );
    }
}

#[test]
fn another_nodes_directory_is_refused() {
    let scene = Scene::with(&[append(1, 2, 2, 10)]);
    let before = scene.content();

    let refused = DiskLog::open(DiskConfig { node: node(2), ..scene.config() }).err();

    assert!(matches!(refused, Some(StorageError::WrongNode { expected, found, .. })
        if (expected, found) == (node(2), node(1))));
    assert_eq!(scene.content(), before);
}

#[test]
fn a_newer_format_is_refused_and_left_untouched() {
    let scene = Scene::with(&[]);
    let whole = scene.content();
    for file in [scene.path().join("identity"), scene.segment(1)] {
        scene.restore(&whole);
        alter(&file, |bytes| bytes[8..12].copy_from_slice(&2_u32.to_le_bytes()));

        let error = refused(&scene);

        assert!(matches!(&error, StorageError::NewerFormat { path, found: 2, known: 1 } if *path == file));
    }
}

#[test]
fn a_directory_that_holds_something_else_is_refused_by_its_name() {
    for name in ["notes.txt", "1.log", "00000000001.log", "0000000002.log.bak", "spare-1", ".hidden"] {
        let scene = Scene::blank();
        fs::write(scene.path().join(name), "").unwrap();

        let error = refused(&scene);

        assert!(matches!(&error, StorageError::Foreign { found, .. } if found == name), "{error}");
        assert!(!scene.path().join("lock").exists());
    }
}

#[test]
fn directories_and_links_under_our_names_are_not_ours() {
    let scene = Scene::with(&[]);
    fs::create_dir(scene.segment(2)).unwrap();
    assert!(matches!(scene.open(), Err(StorageError::Foreign { found, .. }) if found == "0000000002.log"));
    fs::remove_dir(scene.segment(2)).unwrap();

    std::os::unix::fs::symlink(scene.segment(1), scene.segment(2)).unwrap();
    assert!(matches!(scene.open(), Err(StorageError::Foreign { found, .. }) if found == "0000000002.log"));
}

#[test]
fn a_log_without_its_identity_is_refused() {
    let scene = Scene::with(&[]);
    let identity = scene.path().join("identity");
    fs::remove_file(&identity).unwrap();

    let error = refused(&scene);

    assert!(matches!(&error, StorageError::Corrupt { segment, .. } if *segment == identity), "{error}");
}

#[test]
fn a_damaged_identity_is_refused() {
    let scene = Scene::with(&[]);
    let whole = scene.content();
    let identity = scene.path().join("identity");
    for bit in 0..44 * 8 {
        scene.restore(&whole);
        alter(&identity, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(
            matches!(scene.open(), Err(StorageError::Corrupt { .. } | StorageError::NewerFormat { .. })),
            "bit {bit}"
        );
    }
    for length in [0, 7, 43, 45] {
        scene.restore(&whole);
        alter(&identity, |bytes| bytes.resize(length, 0));
        assert!(matches!(refused(&scene), StorageError::Corrupt { .. }), "{length} bytes");
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let scene = Scene::blank();
    let config =
        |segment_bytes, entry_bytes_max| DiskConfig { segment_bytes, entry_bytes_max, ..scene.config() };
    for bad in [config(4096, 1), config(100_000, 1), config(u64::MAX, 1), config(1 << 20, (1 << 18) + 1)] {
        let error = DiskLog::open(bad).err().expect("it must be refused");
        assert!(matches!(error, StorageError::Limits { .. }), "{error}");
    }
    assert!(scene.content().is_empty());
}

#[test]
fn a_blank_directory_is_reported_as_blank() {
    let scene = Scene::blank();
    scene.open().unwrap();

    let report = inspect(scene.path()).unwrap();

    assert!(matches!(report.end, LogEnd::Blank));
    assert_eq!(report.identity, None);
}

#[test]
fn segments_of_another_size_than_configured_are_read_as_they_are() {
    let scene = Scene::with(&[append(1, 2, 30, 6000)]);
    let wider = scene.config().segment_bytes(1 << 20);

    let mut log = DiskLog::open(wider).unwrap();
    log.write(&[append(1, 31, 60, 6000)]).unwrap();
    drop(log);

    assert_eq!(last_index(&scene.recover().unwrap()), 60);
}

/// A founded directory with a snapshot, and the file's path.
fn with_snapshot() -> (Scene, PathBuf) {
    let scene = Scene::with(&[]);
    let meta = write_snapshot(&mut *scene.open().expect("open").snapshots(), at(1, 5), &content(300_000, 1));
    let path = scene.path().join(file_name(&meta));
    assert!(path.is_file());
    (scene, path)
}

#[test]
fn a_snapshot_of_another_cluster_or_of_a_newer_format_is_refused_by_its_name() {
    let (scene, path) = with_snapshot();
    let whole = scene.content();
    let strangers = tempfile::tempdir().unwrap();
    let mut stranger = DiskLog::open(DiskConfig::new(strangers.path(), node(1))).unwrap();
    stranger.found(Identity { cluster: ClusterId(1234), ..identity() }, &[]).unwrap();
    let meta = write_snapshot(&mut *stranger.snapshots(), at(1, 9), b"strange");
    let strange = scene.path().join(file_name(&meta));
    fs::copy(strangers.path().join(file_name(&meta)), &strange).unwrap();

    let error = refused(&scene);
    assert!(matches!(&error, StorageError::BadSnapshot { path, .. } if *path == strange), "{error}");

    scene.restore(&whole);
    alter(&path, |bytes| bytes[8..12].copy_from_slice(&2_u32.to_le_bytes()));
    let error = refused(&scene);
    assert!(
        matches!(&error, StorageError::NewerFormat { path: named, found: 2, .. } if *named == path),
        "{error}"
    );
}

#[test]
fn snapshots_in_a_directory_that_nobody_founded_are_refused() {
    let (scene, path) = with_snapshot();
    fs::remove_file(scene.segment(1)).unwrap();
    fs::remove_file(scene.path().join("identity")).unwrap();

    let error = refused(&scene);

    assert!(matches!(&error, StorageError::BadSnapshot { path: named, .. } if *named == path), "{error}");
}

#[test]
fn what_was_being_written_is_removed_at_the_next_start_and_what_was_being_received_is_kept() {
    let (scene, path) = with_snapshot();
    let (writing, receiving) = (path.with_extension("writing"), path.with_extension("receiving"));
    fs::write(&writing, "half").unwrap();
    fs::write(&receiving, "half").unwrap();

    scene.open().unwrap();

    assert_eq!((path.exists(), writing.exists(), receiving.exists()), (true, false, true));
}

#[test]
fn inspecting_verifies_the_snapshots_and_says_who_joined() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = DiskLog::open(DiskConfig::new(dir.path(), node(1))).unwrap();
    log.found(Identity { joined: true, ..identity() }, &[(GroupId::MAIN, None)]).unwrap();
    let mut store = log.snapshots();
    let good = write_snapshot(&mut *store, at(2, 5), b"good");
    let rotten = write_snapshot(&mut *store, at(2, 9), &content(600_000, 1));
    fs::write(dir.path().join(file_name(&good)).with_extension("receiving"), "half").unwrap();
    alter(&dir.path().join(file_name(&rotten)), |bytes| bytes[400_000] ^= 1);
    drop((store, log));

    let report = inspect(dir.path()).unwrap();

    assert!(report.identity.is_some_and(|identity| identity.joined));
    let [first, second, third] = &report.snapshots[..] else { panic!("{report}") };
    assert!(matches!(first.state, SnapshotState::Whole { position, bytes }
            if (position, bytes, first.id) == (at(2, 5), good.bytes, good.id)));
    assert!(matches!(second.state, SnapshotState::Unfinished));
    assert!(matches!(third.state, SnapshotState::Damaged(StorageError::BadSnapshot { .. })));
    let text = report.to_string();
    assert!(text.contains(&format!("snapshot   {} of group 1 through 5@2: whole, 4", good.id)), "{text}");
    assert!(text.contains(", joined"), "{text}");
}

#[test]
fn an_identity_says_whether_its_node_founded_or_joined() {
    let scene = Scene::with(&[]);
    let stage = |dir: &std::path::Path| fs::read(dir.join("identity")).unwrap()[12];
    assert_eq!(stage(scene.path()), 2, "as every version has written it");
    let dir = tempfile::tempdir().unwrap();
    let mut log = DiskLog::open(DiskConfig::new(dir.path(), node(1))).unwrap();
    log.found(Identity { joined: true, ..identity() }, &[(GroupId::MAIN, None)]).unwrap();
    assert_eq!(stage(dir.path()), 4);
}
