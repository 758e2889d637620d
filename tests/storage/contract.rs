//! What every storage promises, whatever it stands on.

use std::sync::Arc;

use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{GroupWrite, Identity, LogReader, Recovered, Storage, StorageError};
use quorate::types::{Entry, GroupId, HardState, LogIndex, LogPosition, NodeId, Origin, Payload, Term};

use crate::fixtures::{append, at, command, founding_entry, identity, membership, node, restart, run, vote};

const OTHER: GroupId = GroupId(7);

/// Opens the same storage again and again.
pub(crate) type Open<'a> = &'a dyn Fn() -> Box<dyn Storage>;

pub(crate) fn check(scene: impl Fn(Open<'_>)) {
    let disk = MemoryDisk::new();
    scene(&|| Box::new(MemoryLog::open(&disk).expect("open")));

    for segment_bytes in [DiskConfig::SEGMENT_BYTES_MIN, 1 << 20] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = DiskConfig::new(dir.path(), node(1)).segment_bytes(segment_bytes);
        scene(&|| Box::new(DiskLog::open(config.clone()).expect("open")));
    }
}

pub(crate) fn founded(open: Open<'_>) -> Box<dyn Storage> {
    let mut log = open();
    let groups = [(GroupId::MAIN, Some(founding_entry())), (OTHER, Some(founding_entry()))];
    log.found(identity(), &groups).expect("found");
    log
}

fn main_group(log: &mut dyn Storage) -> Recovered {
    log.recovered().remove(&GroupId::MAIN).expect("the group is there")
}

fn positions(recovered: &Recovered) -> Vec<LogPosition> {
    recovered.entries.iter().map(|entry| entry.position).collect()
}

fn read(reader: &mut dyn LogReader, first: u64, last: u64) -> Vec<Entry> {
    reader.read(GroupId::MAIN, LogIndex(first), LogIndex(last), u64::MAX).expect("read")
}

#[test]
fn a_blank_storage_is_nobodys_and_a_founded_one_keeps_its_identity() {
    check(|open| {
        let mut blank = open();
        assert_eq!(blank.identity(), None);
        assert!(blank.recovered().is_empty());
        drop(blank);

        let log = founded(open);
        assert_eq!(log.identity(), Some(identity()));
        drop(log);

        let mut again = open();
        assert_eq!(again.identity(), Some(identity()));
        let group = main_group(&mut *again);
        assert_eq!(group.entries, [founding_entry().meta()]);
        assert_eq!((group.starts_after, group.membership), (LogPosition::ZERO, None));
        assert!(again.recovered().is_empty(), "it is taken once");
    });
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[vote(3, 2), append(3, 2, 40, 128)]).unwrap();
        log.write(&[append(3, 41, 41, 0)]).unwrap();
        drop(log);

        let group = main_group(&mut *open());

        assert_eq!(group.hard_state, HardState { term: Term(3), voted_for: NodeId::new(2) });
        assert_eq!(positions(&group)[1..], (2..=41).map(|index| at(3, index)).collect::<Vec<_>>());
        assert_eq!(group.entries[1], command(3, 2, 128).meta());
    });
}

#[test]
fn entries_written_again_replace_all_that_came_after_them() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[append(1, 2, 30, 50)]).unwrap();
        log.write(&[append(2, 10, 12, 50)]).unwrap();
        let expected: Vec<_> =
            (2..10).map(|index| at(1, index)).chain((10..=12).map(|index| at(2, index))).collect();

        let mut reader = log.reader();
        let read: Vec<_> = read(&mut *reader, 2, 99).into_iter().map(|entry| entry.position).collect();
        assert_eq!(read, expected);
        drop(log);
        assert_eq!(positions(&main_group(&mut *open()))[1..], expected);
    });
}

#[test]
fn a_write_may_replace_its_own_entries() {
    check(|open| {
        let mut log = founded(open);
        let entries = vec![run(1, 2, 9, 20), run(2, 5, 6, 20), run(3, 4, 7, 20)];
        log.write(&[GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries }]).unwrap();
        let expected = [command(1, 2, 20), command(1, 3, 20)]
            .into_iter()
            .chain((4..=7).map(|index| command(3, index, 20)))
            .collect::<Vec<_>>();

        assert_eq!(read(&mut *log.reader(), 2, 7), expected);
        assert_eq!(read(&mut *log.reader(), 5, 5), [command(3, 5, 20)]);
        drop(log);
        let mut again = open();
        assert_eq!(positions(&main_group(&mut *again))[1..].len(), 6);
        assert_eq!(read(&mut *again.reader(), 2, 7), expected);
    });
}

#[test]
fn groups_share_a_write_and_do_not_mix() {
    check(|open| {
        let mut log = founded(open);
        let other = GroupWrite { group: OTHER, ..append(5, 2, 4, 33) };
        let new = GroupWrite { group: GroupId(1000), ..append(6, 1, 2, 0) };
        log.write(&[append(1, 2, 3, 10), other, append(1, 4, 4, 10), new]).unwrap();
        drop(log);

        let mut log = open();
        let groups = log.recovered();

        assert_eq!(positions(&groups[&GroupId::MAIN])[1..], [at(1, 2), at(1, 3), at(1, 4)]);
        assert_eq!(positions(&groups[&OTHER])[1..], [at(5, 2), at(5, 3), at(5, 4)]);
        assert_eq!(positions(&groups[&GroupId(1000)]), [at(6, 1), at(6, 2)]);
        let read = log.reader().read(OTHER, LogIndex(3), LogIndex(4), u64::MAX).unwrap();
        assert_eq!(read, [command(5, 3, 33), command(5, 4, 33)]);
    });
}

#[test]
fn a_write_larger_than_a_segment_comes_back_whole() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[append(1, 2, 300, 1000), vote(2, 3)]).unwrap();
        drop(log);

        let mut log = open();
        let group = main_group(&mut *log);

        assert_eq!(group.entries.len(), 300);
        assert_eq!(group.hard_state.term, Term(2));
        let expected: Vec<_> = (2..=300).map(|index| command(1, index, 1000)).collect();
        assert_eq!(read(&mut *log.reader(), 2, 300), expected);
    });
}

#[test]
fn every_kind_of_payload_is_read_back_as_it_was() {
    check(|open| {
        let origin = Origin {
            node: node(2),
            incarnation: quorate::types::Incarnation(3),
            boot: quorate::types::Boot(4),
            request: 5,
        };
        let forwarded = Payload::Normal { origin: Some(Box::new(origin)), command: vec![1, 2, 3].into() };
        let payloads = [Payload::Noop, forwarded, Payload::Membership(membership())];
        let entries: Arc<[Entry]> = payloads
            .into_iter()
            .zip(2..)
            .map(|(payload, index)| Entry { position: at(1, index), payload })
            .collect();
        let run = quorate::types::EntryRun::new(Arc::clone(&entries)).unwrap();
        let write = GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries: vec![run] };

        let mut log = founded(open);
        log.write(&[write]).unwrap();
        assert_eq!(read(&mut *log.reader(), 2, 4), &*entries);
        drop(log);

        let mut again = open();
        let metas: Vec<_> = entries.iter().map(Entry::meta).collect();
        assert_eq!(main_group(&mut *again).entries[1..], metas);
        assert_eq!(read(&mut *again.reader(), 2, 4), &*entries);
    });
}

#[test]
fn a_reader_gives_what_fits_but_at_least_one_entry() {
    check(|open| {
        let mut log = founded(open);
        for index in 2..=9 {
            log.write(&[append(1, index, index, 100)]).unwrap();
        }
        let mut reader = log.reader();
        let mut count = |first, bytes_max| {
            reader.read(GroupId::MAIN, LogIndex(first), LogIndex(9), bytes_max).unwrap().len()
        };

        assert_eq!(count(2, 1), 1);
        assert_eq!(count(2, 350), 3);
        assert_eq!(count(2, u64::MAX), 8);
        assert_eq!(count(9, 0), 1);
    });
}

#[test]
fn entries_that_are_not_there_are_named() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[append(1, 2, 5, 10)]).unwrap();
        let mut reader = log.reader();

        let missing = reader.read(GroupId::MAIN, LogIndex(6), LogIndex(9), 1000);
        assert!(matches!(missing, Err(StorageError::NoSuchEntry { index: LogIndex(6) })));
        let stranger = reader.read(GroupId(55), LogIndex(1), LogIndex(1), 1000);
        assert!(matches!(stranger, Err(StorageError::NoSuchEntry { index: LogIndex(1) })));
    });
}

#[test]
fn released_entries_are_gone_and_the_rest_stays() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[vote(4, 1), append(1, 2, 200, 500)]).unwrap();
        log.release(GroupId::MAIN, at(1, 150), &membership()).unwrap();
        log.release(GroupId::MAIN, at(1, 100), &membership()).unwrap();
        log.release(OTHER, at(0, 1), &membership()).unwrap();
        let gone = log.reader().read(GroupId::MAIN, LogIndex(150), LogIndex(150), 1000);
        assert!(matches!(gone, Err(StorageError::NoSuchEntry { .. })));
        log.write(&[append(2, 201, 260, 500)]).unwrap();
        drop(log);

        let mut again = open();
        let groups = again.recovered();

        let group = &groups[&GroupId::MAIN];
        assert_eq!((group.starts_after, group.membership.clone()), (at(1, 150), Some(membership())));
        assert_eq!((group.entries.len(), group.entries[0].position), (110, at(1, 151)));
        assert_eq!(group.hard_state.term, Term(4));
        assert_eq!(groups[&OTHER].entries, []);
        assert_eq!(read(&mut *again.reader(), 151, 151), [command(1, 151, 500)]);
        assert_eq!(read(&mut *again.reader(), 260, 260), [command(2, 260, 500)]);
    });
}

#[test]
fn entries_released_beyond_the_end_leave_a_log_that_goes_on_there() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[append(1, 2, 9, 100)]).unwrap();
        log.release(GroupId::MAIN, at(2, 50), &membership()).unwrap();
        log.write(&[append(3, 51, 52, 100)]).unwrap();
        drop(log);

        let mut again = open();
        let group = main_group(&mut *again);

        assert_eq!((group.starts_after, group.membership.clone()), (at(2, 50), Some(membership())));
        assert_eq!(positions(&group), [at(3, 51), at(3, 52)]);
        assert_eq!(read(&mut *again.reader(), 51, 52), [command(3, 51, 100), command(3, 52, 100)]);
    });
}

#[test]
fn a_log_that_began_anew_holds_nothing_of_what_was_before() {
    for (position, last) in [(at(5, 400), 40), (at(5, 40), 40), (at(5, 20), 40), (at(0, 1), 40)] {
        check(|open| {
            let mut log = founded(open);
            log.write(&[vote(3, 1), append(3, 2, last, 700)]).unwrap();
            log.write(&[restart(position)]).unwrap();
            let mut reader = log.reader();
            for index in 1..=last.max(position.index.0) + 1 {
                let gone = reader.read(GroupId::MAIN, LogIndex(index), LogIndex(index), 1000);
                assert!(matches!(gone, Err(StorageError::NoSuchEntry { .. })), "entry {index}");
            }
            drop((log, reader));

            let mut again = open();
            let group = main_group(&mut *again);
            assert_eq!((group.starts_after, group.membership.clone()), (position, Some(membership())));
            assert_eq!((group.entries.len(), group.hard_state.term), (0, Term(3)));

            let next = position.index.0 + 1;
            again.write(&[append(6, next, next + 3, 700)]).unwrap();
            drop(again);
            let mut again = open();
            assert_eq!(main_group(&mut *again).entries[0].position, at(6, next));
            assert_eq!(read(&mut *again.reader(), next, next), [command(6, next, 700)]);
        });
    }
}

#[test]
fn one_write_may_carry_a_vote_a_new_beginning_and_what_follows_it() {
    check(|open| {
        let mut log = founded(open);
        let first = append(1, 2, 9, 100);
        let all = GroupWrite {
            hard_state: vote(7, 2).hard_state,
            entries: vec![run(7, 6, 8, 50)],
            ..restart(at(6, 5))
        };
        let new = GroupWrite { group: GroupId(1000), ..restart(at(2, 30)) };
        log.write(&[first, all, new]).unwrap();
        assert_eq!(read(&mut *log.reader(), 6, 99).len(), 3);
        drop(log);

        let mut again = open();
        let groups = again.recovered();

        let group = &groups[&GroupId::MAIN];
        assert_eq!(group.hard_state, HardState { term: Term(7), voted_for: NodeId::new(2) });
        assert_eq!((group.starts_after, positions(group)), (at(6, 5), vec![at(7, 6), at(7, 7), at(7, 8)]));
        assert_eq!(read(&mut *again.reader(), 6, 8)[2], command(7, 8, 50));
        let group = &groups[&GroupId(1000)];
        assert_eq!((group.starts_after, group.entries.len()), (at(2, 30), 0));
        assert_eq!(positions(&groups[&OTHER]), [at(0, 1)], "the other group is as it was");
    });
}

#[test]
fn a_storage_that_joins_begins_empty_and_stays_a_joined_one() {
    check(|open| {
        let joined = Identity { joined: true, ..identity() };
        let mut log = open();
        log.found(joined, &[(GroupId::MAIN, None)]).unwrap();
        assert_eq!(main_group(&mut *log).entries, []);
        drop(log);

        let mut again = open();
        assert_eq!(again.identity(), Some(joined));
        let group = main_group(&mut *again);
        assert_eq!((group.starts_after, group.membership, group.entries.len()), (LogPosition::ZERO, None, 0));

        again.write(&[append(4, 1, 3, 10)]).unwrap();
        drop(again);
        assert_eq!(positions(&main_group(&mut *open())), [at(4, 1), at(4, 2), at(4, 3)]);
    });
}

#[test]
fn a_full_disk_in_memory_takes_the_same_write_once_there_is_room() {
    let disk = MemoryDisk::new();
    let mut log = MemoryLog::open(&disk).unwrap();
    disk.set_full(true);
    let refused = log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap_err();
    assert!(refused.is_recoverable(), "{refused}");
    disk.set_full(false);
    log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap();

    disk.set_full(true);
    assert!(matches!(log.write(&[append(1, 2, 2, 1)]), Err(StorageError::DiskFull { .. })));
    disk.set_full(false);
    log.write(&[append(1, 2, 2, 1)]).unwrap();
    drop(log);

    assert_eq!(main_group(&mut MemoryLog::open(&disk).unwrap()).entries.len(), 2);
}

#[test]
fn an_empty_write_and_a_second_settling_change_nothing() {
    check(|open| {
        let mut log = founded(open);
        log.write(&[append(1, 2, 2, 10)]).unwrap();
        log.write(&[]).unwrap();
        log.settle().unwrap();
        log.settle().unwrap();
        drop(log);

        assert_eq!(positions(&main_group(&mut *open())), [at(0, 1), at(1, 2)]);
    });
}

#[test]
fn a_disk_that_died_takes_nothing_more() {
    let disk = MemoryDisk::new();
    let mut log = MemoryLog::open(&disk).unwrap();
    log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap();
    disk.break_down();

    assert!(matches!(log.write(&[append(1, 2, 2, 1)]), Err(StorageError::Io { .. })));
    assert!(matches!(log.settle(), Err(StorageError::Poisoned)));
    assert!(matches!(MemoryLog::open(&disk), Err(StorageError::Locked { .. })));
    drop(log);

    assert_eq!(main_group(&mut MemoryLog::open(&disk).unwrap()).entries.len(), 1);
}
