//! Damaged stores: set aside, or refused by name; never trusted, and never half.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use redb::ReadableTable;

use super::subject::{NOW, Subject, event, order, position};
use crate::event_store::tables::{EventsRow, Table, archived_event_key, position_key};
use crate::event_store::{Append, EventMachine, MachineOptions, OpenError, Position, Response, StoreError};
use crate::machine::StateMachine;
use crate::types::LogPosition;

fn open(dir: &Path) -> Result<EventMachine, OpenError> {
    EventMachine::open(&MachineOptions::new(dir))
}

fn held(machine: &EventMachine) -> LogPosition {
    machine.applied().unwrap().position
}

/// A store of so many aggregates with a large event each, on the disk.
fn stored(count: u64) -> tempfile::TempDir {
    let mut subject = Subject::new();
    for number in 0..count {
        let large = event(&"large".repeat(20));
        subject.append(Append::to(&order(number), 0).events(vec![large; 10]).status("placed")).unwrap();
    }
    subject.crash().0
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Changes what redb holds, behind the store's back.
fn change_database(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(dir.join("events.redb")).unwrap();
    let store = database.begin_write().unwrap();
    change(&store);
    store.commit().unwrap();
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_the_store_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    for garbage in [&b"this is no database"[..], &[0; 5000]] {
        fs::write(dir.path().join("events.redb"), garbage).unwrap();

        let machine = open(dir.path()).unwrap();

        assert_eq!(
            held(&machine),
            LogPosition::ZERO,
            "the log is applied from its start, or a snapshot restored"
        );
        assert_eq!(fs::read(dir.path().join("events.redb.damaged")).unwrap(), garbage);
    }
}

#[test]
fn a_store_that_lost_its_end_or_its_head_is_set_aside() {
    for damage in [
        &(|path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(9000).unwrap())
            as &dyn Fn(&Path),
        &|path| overwrite(path, 0, &[0xAA; 4096]),
    ] {
        let dir = stored(200);
        damage(&dir.path().join("events.redb"));

        let machine = EventMachine::open(&MachineOptions { verify: true, ..MachineOptions::new(dir.path()) });

        assert_eq!(held(&machine.unwrap()), LogPosition::ZERO);
        assert!(dir.path().join("events.redb.damaged").exists());
    }
}

#[test]
fn rot_that_is_met_stops_the_machine_and_the_next_start_looks_through_everything() {
    let dir = stored(200);
    let path = dir.path().join("events.redb");
    let length = fs::metadata(&path).unwrap().len();
    // Whatever page holds what is asked for.
    (2..length / 4096).for_each(|page| overwrite(&path, page * 4096 + 50, &[0x5A; 3000]));

    let mut met = false;
    if let Ok(mut machine) = open(dir.path()) {
        met = held(&machine) == LogPosition::ZERO;
        for number in 0..200 {
            let append = Append::to(&order(number), 10).events([event("e")]).into_command(NOW).unwrap();
            let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let response = machine.apply(position(201 + number), append);
                let fails = matches!(response, Response::Failed { .. });
                assert!(
                    !fails || machine.end_batch(position(201 + number), &[]).is_err(),
                    "the node would go on"
                );
                fails
            }));
            met |= asked.unwrap_or(true);
        }
    }
    assert!(met, "all pages are rotten, and nothing was met");

    let machine = open(dir.path()).unwrap();
    assert_eq!(held(&machine), LogPosition::ZERO);
    assert!(dir.path().join("events.redb.damaged").exists());
    assert!(!dir.path().join("suspect").exists());
}

#[test]
fn a_store_under_suspicion_that_is_whole_is_kept() {
    let dir = stored(20);
    fs::write(dir.path().join("suspect"), "").unwrap();

    assert_eq!(held(&open(dir.path()).unwrap()), position(20));

    assert!(!dir.path().join("suspect").exists());
    assert!(!dir.path().join("events.redb.damaged").exists());
}

#[test]
fn pages_that_are_whole_and_hold_no_rows_are_found_when_they_are_looked_for() {
    let dir = stored(3);
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("aggregates");
    change_database(dir.path(), |store| {
        store.open_table(table).unwrap().insert(order(1).as_key(), &b"no row"[..]).unwrap();
    });

    let machine = open(dir.path()).unwrap();
    assert_eq!(held(&machine), position(3), "who does not look does not see");
    let asked = machine.view().aggregate(&order(1));
    assert!(matches!(asked, Err(StoreError::Damaged { .. })));
    assert!(dir.path().join("suspect").exists());
    drop(machine);

    assert_eq!(held(&open(dir.path()).unwrap()), LogPosition::ZERO);
}

#[test]
fn a_store_that_lost_rows_which_others_name_is_set_aside_once_that_is_met() {
    let dir = stored(3);
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("events");
    let at = position_key(Position { index: 1, offset: 0 });
    change_database(dir.path(), |store| {
        assert!(store.open_table(table).unwrap().remove(&at[..]).unwrap().is_some());
    });

    let mut machine = open(dir.path()).unwrap();
    let late = Append::to(&order(0), 3).events([event("e")]).into_command(NOW).unwrap();
    let response = machine.apply(position(4), late);
    assert!(matches!(response, Response::Failed { .. }), "{response:?}");
    assert!(machine.end_batch(position(4), &[]).is_err());
    drop(machine);
    assert!(dir.path().join("suspect").exists());

    let machine = open(dir.path()).unwrap();
    assert_eq!(held(&machine), LogPosition::ZERO, "the same entry would stop the node at every start");
    assert!(dir.path().join("events.redb.damaged").exists());
}

#[test]
fn a_store_that_lost_a_table_is_set_aside() {
    for lost in Table::ALL {
        let dir = stored(3);
        let table = redb::TableDefinition::<&[u8], &[u8]>::new(lost.name());
        change_database(dir.path(), |store| assert!(store.delete_table(table).unwrap()));

        let machine = open(dir.path()).unwrap();

        assert_eq!(held(&machine), LogPosition::ZERO, "{} is missing", lost.name());
        assert!(dir.path().join("events.redb.damaged").exists());
    }
}

#[test]
fn archived_events_of_another_aggregate_than_their_record_are_not_handed_out() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);
    subject.archive(&order(1));
    let dir = subject.crash().0;
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("archived_events");
    change_database(dir.path(), |store| {
        let mut events = store.open_table(table).unwrap();
        let key = archived_event_key(2, 0);
        let row = Bytes::copy_from_slice(events.get(&key[..]).unwrap().unwrap().value());
        let of_another = EventsRow { id: order(2), ..EventsRow::decode(&row).unwrap() };
        events.insert(&key[..], &*of_another.encoded()).unwrap();
    });

    let machine = open(dir.path()).unwrap();

    let asked = machine.view().archive(2, 0, usize::MAX);
    assert!(matches!(asked, Err(StoreError::Damaged { .. })), "{asked:?}");
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let dir = stored(3);
    let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
    change_database(dir.path(), |store| {
        store.open_table(table).unwrap().insert("format", &[0, 0, 0, 2][..]).unwrap();
    });

    let refused = open(dir.path()).unwrap_err();

    assert_eq!(refused, OpenError::Newer { dir: dir.path().to_owned(), found: 2, known: 1 });
    assert!(!dir.path().join("events.redb.damaged").exists());
}

#[test]
fn a_store_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let machine = open(dir.path()).unwrap();

    assert_eq!(open(dir.path()).unwrap_err(), OpenError::InUse { dir: dir.path().to_owned() });

    drop(machine);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();

    let refused = open(&dir.path().join("file/store")).unwrap_err();

    assert!(refused.to_string().contains("file/store"), "{refused}");
}

#[test]
fn a_snapshot_that_is_none_is_refused_and_what_was_there_is_still_seen() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);
    let mut snapshot = Vec::new();
    subject.machine().snapshot().unwrap()(&mut snapshot).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = snapshot.clone();
        bytes[at] = byte;
        bytes
    };
    let rows = "QuorateEvents".len() + 1;
    let bad = [
        vec![],
        b"QuorateEvents\x02".to_vec(),
        changed(3, b'?'),
        changed(rows, 99),
        changed(rows, 11),
        changed(rows + 1, 0xFF),
        changed(rows + 5, 0xFF),
        changed(snapshot.len() - 1, 77),
        [&snapshot[..], &[0]].concat(),
        snapshot[..snapshot.len() - 9].to_vec(),
    ];

    for bytes in bad {
        let refused = subject.machine().restore(&mut &*bytes).unwrap_err();
        assert!(!refused.reason.is_empty());
        assert_eq!(subject.events(&order(1), 0).events.len(), 1);
    }
    subject.machine().restore(&mut &*snapshot).unwrap();
    subject.end_batch();
    assert_eq!(subject.events(&order(1), 0).events.len(), 1);
}
