//! Syncs that fail, and what the system does with their pages then. Most file systems mark them clean: what is in the
//! cache is not on the disk, and no later sync will bring it there.

use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, What};
use crate::storage::disk::simulated::losses::Cache;

/// The sync of a write fails, the node stops, and is started again on the same cache. What it is shown then it promises
/// to others: it must survive a loss of power.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_durable_before_it_is_believed() {
    for cache in [Cache::Kept, Cache::Dropped] {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).expect("open");
        Step::Found.run(&mut log, &mut Idle).expect("found");
        drop(log);
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            (operation.what == What::Sync && operation.name == "0000000001.log")
                .then_some(Fault::LostSync(cache))
        });
        let opened = DiskLog::open_on(Arc::new(faulty), config());
        assert!(matches!(opened, Err(StorageError::Io { operation: "sync", .. })), "the start syncs too");

        let mut armed = 0;
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            armed += u32::from(operation.what == What::Sync);
            (armed == 2 && operation.what == What::Sync).then_some(Fault::LostSync(cache))
        });
        let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
        let step = Step::Write(vec![append(GroupId::MAIN, 1, 2, &[5000])]);
        step.run(&mut log, &mut Idle).expect_err("its sync fails");
        drop(log);

        disk.restart_process();
        let shown = state_of(&mut open(&disk).expect("open"));
        disk.restart(&mut |_| 0);

        assert!(state_of(&mut open(&disk).expect("open")) == shown, "{cache:?}: what was shown is gone");
    }
}

/// A sync fails while a snapshot is received, and the file cannot even be removed. The next start goes on with it.
#[test]
fn what_was_received_before_a_failed_sync_is_durable_before_it_is_called_a_snapshot() {
    let offer = &Offer::of(GroupId::MAIN)[0];
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    drop(log);
    let faulty = FaultyDisk::new(&disk, |operation, _| match operation.what {
        _ if !operation.name.ends_with(".receiving") => None,
        What::Sync => Some(Fault::LostSync(Cache::Kept)),
        What::Remove => Some(Fault::Refused(rustix::io::Errno::IO)),
        _ => None,
    });
    let log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
    let received = offer.receive(&mut *log.snapshots(), GroupId::MAIN, offer.file.len());
    assert!(matches!(received, Err(StorageError::Io { operation: "sync", .. })), "{received:?}");
    drop(log);

    disk.restart_process();
    let log = open(&disk).expect("open");
    let intake = log.snapshots().receive(GroupId::MAIN, &offer.meta).expect("receive");
    assert_eq!(intake.offset(), offer.file.len() as u64, "all of it is in the cache");
    intake.finish().expect("finish");
    drop(log);
    disk.restart(&mut |_| 0);

    let state = state_of(&mut open(&disk).expect("open")).expect("founded");
    assert_eq!(state[&GroupId::MAIN].snapshots, [offer.meta.position.index].into());
}
