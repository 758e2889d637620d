//! A disk that says no: while a log is read, for a while, or from some moment on for good.

use rustix::io::Errno;

use super::every_crash::{main, release_both, vote};
use super::recorded::{require_goes_on, require_legal};
use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, What};

/// Two segments, a torn tail behind them, a snapshot, a spare.
fn life() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let mut upkeep = log.upkeep().expect("the first");
    let mut steps = vec![Step::Found, Step::Upkeep, Step::Snapshot(GroupId::MAIN, LogIndex(3))];
    steps.extend((2..8).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    for step in steps {
        step.run(&mut log, &mut *upkeep).expect("nothing goes wrong");
    }
    disk.fail_power_after(1);
    Step::Write(vec![main(1, 8, &[9000])]).run(&mut log, &mut *upkeep).expect_err("power fails in its sync");
    drop((log, upkeep));
    let mut page = 0;
    disk.restart(&mut |bound| {
        page += usize::from(bound == 4);
        if page == 1 { 2 } else { 0 }
    });
    disk
}

/// Whatever cannot be read or opened is an error of the disk, never the end of the log; and nothing has changed by it.
#[test]
fn what_cannot_be_read_while_a_log_is_recovered_is_no_end_of_it() {
    let disk = life();
    let whole = state_of(&mut open(&disk.fork()).expect("open"));
    let mut refused = 0;
    for nth in 0.. {
        let disk = disk.fork();
        let happened = Arc::new(parking_lot::Mutex::new(None));
        let (tell, mut left) = (Arc::clone(&happened), nth + 1);
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            left -= i32::from(!operation.what.changes());
            let is_it = left == 0 && !operation.what.changes();
            is_it.then(|| {
                *tell.lock() = Some(operation.clone());
                Fault::Refused(if operation.what == What::Read { Errno::IO } else { Errno::ACCESS })
            })
        });
        let opened = DiskLog::open_on(Arc::new(faulty), config());
        let Some(operation) = happened.lock().clone() else { break };
        match opened.map(drop) {
            Err(StorageError::Io { .. }) => refused += 1,
            Err(other) => panic!("{operation:?}: {other}"),
            // What is wrong with a snapshot is for whoever wants to have it.
            Ok(()) => assert!(operation.name.ends_with(".snapshot"), "{operation:?} was no error"),
        }
        let again = state_of(&mut open(&disk).expect("it can be read now"));
        assert!(again == whole, "{operation:?}: something else is found after it");
    }
    assert!(refused >= 15, "{refused} refused");
}

/// A follower lags behind, and what it needs cannot be read: an error that names the file, as often as it happens; and
/// neither a gap nor an end.
#[test]
fn what_cannot_be_read_for_a_peer_is_an_error_and_the_log_goes_on() {
    let disk = life();
    let is_broken = Arc::new(parking_lot::Mutex::new(false));
    let broken = Arc::clone(&is_broken);
    let faulty = FaultyDisk::new(&disk, move |operation, _| {
        (*broken.lock() && operation.what == What::Read).then_some(Fault::Refused(Errno::IO))
    });
    let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
    let mut reader = log.reader();
    let mut read = || reader.read(GroupId::MAIN, LogIndex(2), LogIndex(7), u64::MAX);

    *is_broken.lock() = true;
    for _ in 0..2 {
        let refused = read().expect_err("it cannot be read");
        assert!(matches!(refused, StorageError::Io { operation: "read", .. }), "{refused}");
    }
    Step::Write(vec![main(1, 8, &[10])]).run(&mut log, &mut Idle).expect("writes need no reading");
    *is_broken.lock() = false;

    assert_eq!(read().expect("it can be read again").len(), 6);
}

/// From some operation on the disk refuses everything that changes it: remounted read-only, over its quota, full, broken.
/// Then that is over, and the node starts again.
#[test]
fn a_disk_that_refuses_everything_from_some_operation_on_has_what_was_acknowledged() {
    for error in [Errno::ROFS, Errno::DQUOT, Errno::NOSPC, Errno::IO] {
        let is_room = matches!(error, Errno::DQUOT | Errno::NOSPC);
        let (mut recoverable, mut last) = (0, 0);
        for first in 0..u64::MAX {
            let disk = SimulatedDisk::default();
            let mut left = first;
            let faulty = FaultyDisk::new(&disk, move |operation, _| {
                let refuses = operation.what.changes() && left == 0;
                left -= u64::from(operation.what.changes() && left > 0);
                refuses.then_some(Fault::Refused(error))
            });
            let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
            let mut upkeep = log.upkeep().expect("the first");
            let (mut state, mut legal) = (None, vec![None]);
            let told = steps().iter().find_map(|step| {
                legal = step.outcomes(&state);
                let told = step.run(&mut log, &mut *upkeep).err();
                step.apply(&mut state, &mut |_| {});
                told.map(|told| (step.clone(), told))
            });
            let Some((step, told)) = told else {
                last = first;
                break;
            };
            assert!(is_room || !told.is_recoverable(), "{error:?} in {step:?}: {told}");
            recoverable += u64::from(told.is_recoverable());
            assert!(step.run(&mut log, &mut *upkeep).is_err(), "{error:?} in {step:?}: it goes on");
            drop((log, upkeep));
            disk.restart_process();
            let what = format!("{error:?} from operation {first} on, in {step:?}");
            let shown = state_of(&mut open(&disk).unwrap_or_else(|error| panic!("{what}: {error}")));
            assert!(legal.contains(&shown), "{what}: {:?} is not legal", summary(&shown));
            disk.restart(&mut |_| 0);
            let state = require_legal(&disk, &[shown], &what);
            require_goes_on(&disk, state, &mut Random(first), &what);
        }
        assert!(last > 50, "{last} operations");
        assert_eq!(recoverable > 10, is_room, "{error:?}: {recoverable} could be tried again");
    }
}

fn steps() -> Vec<Step> {
    let mut steps = vec![Step::Found, Step::Upkeep, Step::Write(vec![vote(1, 1, main(1, 2, &[300]))])];
    steps.extend((3..8).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    steps.push(Step::Snapshot(GroupId::MAIN, LogIndex(7)));
    steps.extend(release_both(1, 6));
    steps.push(Step::Upkeep);
    steps.push(Step::Write(vec![main(2, 8, &[9000])]));
    steps
}

/// An error of a close is told to nobody: so nothing may depend on one.
#[test]
fn whatever_was_acknowledged_is_durable_before_its_file_is_closed() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let mut upkeep = log.upkeep().expect("the first");
    let mut state = None;
    for step in steps() {
        step.run(&mut log, &mut *upkeep).expect("nothing goes wrong");
        step.apply(&mut state, &mut |_| {});
        let crashed = disk.fork();
        crashed.restart(&mut |_| 0);
        require_legal(&crashed, &[state.clone()], "every file is open");
    }
}

/// Batches of another segment, whole and valid there, exactly where the next batch would stand: the file was that segment
/// once.
#[test]
fn a_stale_batch_exactly_at_the_end_is_not_taken() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let mut steps = vec![Step::Found];
    steps.extend((2..8).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    for step in steps {
        step.run(&mut log, &mut Idle).expect("nothing goes wrong");
    }
    let end = log.appender_end() as usize;
    drop(log);
    let expected = state_of(&mut open(&disk).expect("open"));
    let first = disk.content(Path::new("/data/0000000001.log"));
    let salt = &first[48..56];
    let batches =
        (1..first.len() / 4096).map(|block| block * 4096).filter(|&at| first[at..].starts_with(salt));

    let mut count = 0;
    for stale in batches {
        let disk = disk.fork();
        disk.alter(Path::new("/data/0000000002.log"), |bytes| {
            let length = (first.len() - stale).min(bytes.len() - end);
            bytes[end..end + length].copy_from_slice(&first[stale..stale + length]);
        });
        let state = require_legal(&disk, std::slice::from_ref(&expected), "a stale batch at the end");
        require_goes_on(&disk, state, &mut Random(count), "a stale batch at the end");
        count += 1;
    }
    assert!(count > 4, "{count} batches");
}

#[test]
fn of_several_votes_the_last_counts_and_a_torn_one_leaves_the_one_before() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let votes = [vote(2, 1, main(2, 2, &[])), vote(3, 2, main(2, 2, &[]))];
    for step in [Step::Found, Step::Write(votes.into())] {
        step.run(&mut log, &mut Idle).expect("nothing goes wrong");
    }
    let end = log.appender_end() as usize;
    Step::Write(vec![vote(4, 1, main(2, 2, &[]))]).run(&mut log, &mut Idle).expect("nothing goes wrong");
    drop(log);
    let voted = |disk: &SimulatedDisk| {
        let state = state_of(&mut open(disk).expect("open")).expect("founded")[&GroupId::MAIN].hard_state;
        (state.term.0, state.voted_for.map(NodeId::get))
    };
    assert_eq!(voted(&disk.fork()), (4, Some(1)));

    disk.alter(Path::new("/data/0000000001.log"), |bytes| bytes[end + 40..end + 512].fill(0));

    assert_eq!(voted(&disk), (3, Some(2)));
}
