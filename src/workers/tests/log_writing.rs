//! A log whose disk fills up, and has room again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{at, id, membership};
use crate::consensus::WriteSeq;
use crate::replica::{Persisted, Release, WriteJob};
use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use crate::ticket::StopCause;
use crate::types::{
    Body, ClusterId, Entry, EntryRun, GroupId, Incarnation, LogPosition, Membership, Message, Payload,
    PeerMessage, Term,
};
use crate::workers::{LogJob, LogWriter};

/// Remembers what it was asked to do, and did.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    identity: Option<Identity>,
    done: Vec<String>,
    is_full: bool,
    releases_fail: Option<fn() -> StorageError>,
}

impl Disk {
    fn set_full(&self, is_full: bool) {
        self.0.lock().is_full = is_full;
    }

    /// What was done since the last look.
    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().done)
    }

    fn act(&self, what: String) -> Result<(), StorageError> {
        let mut contents = self.0.lock();
        if contents.is_full {
            return Err(full());
        }
        contents.done.push(what);
        Ok(())
    }

    fn writer(&self) -> LogWriter {
        LogWriter::new(Box::new(self.clone()))
    }
}

fn full() -> StorageError {
    StorageError::DiskFull { operation: "write", path: PathBuf::from("(disk)") }
}

fn name(write: &GroupWrite) -> String {
    let restart = write.restart.iter().map(|(position, _)| format!("restart {}", position.index));
    let entries = write.entries.iter().flat_map(EntryRun::entries);
    let entries = entries.map(|entry| entry.position.index.to_string());
    restart.chain(entries).collect::<Vec<_>>().join(" ")
}

impl Storage for Disk {
    fn identity(&self) -> Option<Identity> {
        self.0.lock().identity
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        assert!(matches!(groups, [(GroupId::MAIN, None)]), "the log of a node that joins begins empty");
        self.act(format!("found cluster {}", identity.cluster.0))?;
        self.0.lock().identity = Some(identity);
        Ok(())
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        BTreeMap::new()
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let names: Vec<_> = writes.iter().map(name).collect();
        self.act(format!("write {}", names.join(", ")))
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.act("settle".to_owned())
    }

    fn entry_bytes_max(&self) -> u32 {
        u32::MAX
    }

    fn release(
        &mut self,
        _group: GroupId,
        through: LogPosition,
        _membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        let mut contents = self.0.lock();
        if let Some(fail) = contents.releases_fail {
            return Err(fail());
        }
        contents.done.push(format!("release {}", through.index));
        Ok(())
    }

    fn reader(&self) -> Box<dyn LogReader> {
        unreachable!("nothing is read back")
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        unreachable!("there are no snapshots")
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        None
    }
}

/// The write with this number: one entry of the same index, and a message to the node of the same id.
fn write(number: u64) -> (GroupId, LogJob) {
    let entry = Entry { position: at(number), payload: Payload::Noop };
    write_of(number, None, EntryRun::new([entry].into()).into_iter().collect())
}

fn write_of(
    number: u64,
    restart: Option<(LogPosition, Arc<Membership>)>,
    entries: Vec<EntryRun>,
) -> (GroupId, LogJob) {
    let message = Message { term: Term(1), body: Body::VoteAnswer { granted: true } };
    let message = PeerMessage::Raft { message, entries: Vec::new() };
    let send_when_durable = vec![(id(number), message)];
    let job = WriteJob { seq: WriteSeq(number), hard_state: None, restart, entries, send_when_durable };
    (GroupId::MAIN, LogJob::Write(job))
}

fn of_a_joiner() -> Identity {
    Identity { node: id(4), cluster: ClusterId(77), incarnation: Incarnation(5), joined: true }
}

fn release(through: u64) -> (GroupId, LogJob) {
    (GroupId::MAIN, LogJob::Release(Release { through: at(through), membership: membership() }))
}

fn through(number: u64) -> Vec<(GroupId, Persisted)> {
    vec![(GroupId::MAIN, Persisted { through: WriteSeq(number) })]
}

#[test]
fn writes_for_which_there_is_no_room_wait_in_their_order_and_promise_nothing() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.set_full(true);

    let first = writer.turn(vec![write(2), write(3)]).unwrap();
    assert!(first.persisted.is_empty() && first.send.is_empty());
    assert_eq!((first.disk_full, writer.is_full()), (Some(true), true));
    let second = writer.turn(vec![write(4)]).unwrap();
    assert!(second.persisted.is_empty() && second.send.is_empty());
    assert_eq!(second.disk_full, None, "it was said once");
    assert_eq!(writer.retry().unwrap().disk_full, None);

    disk.set_full(false);
    let written = writer.retry().unwrap();
    assert_eq!(disk.done(), ["write 2, 3, 4"]);
    assert_eq!(written.persisted, through(4));
    let receivers: Vec<_> = written.send.iter().map(|(_, to, _)| to.get()).collect();
    assert_eq!(receivers, [2, 3, 4]);
    assert_eq!((written.disk_full, writer.is_full()), (Some(false), false));
}

#[test]
fn a_barrier_behind_a_write_that_waits_waits_too() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.set_full(true);
    writer.turn(vec![write(2)]).unwrap();

    let barrier = writer.turn(vec![write_of(3, None, Vec::new())]).unwrap();
    assert!(barrier.persisted.is_empty() && barrier.send.is_empty());

    disk.set_full(false);
    let written = writer.turn(vec![write(4)]).unwrap();
    assert_eq!((written.persisted, written.send.len()), (through(4), 3));
    assert_eq!(disk.done(), ["write 2, 4"]);
}

#[test]
fn while_there_is_no_room_what_makes_room_goes_on() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.set_full(true);
    writer.turn(vec![write(5)]).unwrap();

    writer.turn(vec![release(4)]).unwrap();
    assert_eq!(disk.done(), ["release 4"]);
    writer.turn(vec![release(5)]).unwrap();
    assert!(disk.done().is_empty(), "entry 5 is not written yet");

    disk.set_full(false);
    writer.retry().unwrap();
    assert_eq!(disk.done(), ["write 5", "release 5"]);
}

#[test]
fn a_log_that_begins_anew_lets_go_of_nothing_before_it_has() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.set_full(true);
    writer.turn(vec![write_of(1, Some((at(9), membership())), Vec::new()), release(9)]).unwrap();
    assert!(disk.done().is_empty());

    disk.set_full(false);
    writer.retry().unwrap();

    assert_eq!(disk.done(), ["write restart 9", "release 9"]);
}

#[test]
fn a_log_that_begins_anew_has_let_go_of_everything_before() {
    let disk = Disk::default();

    let restart = write_of(2, Some((at(9), membership())), Vec::new());
    disk.writer().turn(vec![write(1), release(1), restart]).unwrap();

    assert_eq!(disk.done(), ["write 1, restart 9"]);
}

#[test]
fn a_log_that_cannot_be_shortened_now_is_with_the_next_release() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.0.lock().releases_fail = Some(full);
    assert_eq!(writer.turn(vec![write(2), release(2)]).unwrap().persisted, through(2));

    disk.0.lock().releases_fail = None;
    writer.turn(vec![write(3), release(3)]).unwrap();

    assert_eq!(disk.done(), ["write 2", "write 3", "release 3"]);
}

#[test]
fn a_release_that_fails_for_good_stops_the_node() {
    let disk = Disk::default();
    disk.0.lock().releases_fail = Some(|| StorageError::Poisoned);

    let failed = disk.writer().turn(vec![release(2)]);

    assert!(matches!(failed, Err(StopCause::Storage(_))));
}

#[test]
fn a_node_that_joins_founds_its_log_before_it_writes() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    writer.settle().unwrap();
    assert!(disk.done().is_empty(), "there is no log yet");

    let found = (GroupId::MAIN, LogJob::Found(of_a_joiner()));
    let written = writer.turn(vec![found, write(1)]).unwrap();
    writer.settle().unwrap();

    assert_eq!(disk.done(), ["found cluster 77", "write 1", "settle"]);
    assert_eq!(written.persisted, through(1));
}

#[test]
fn a_node_that_joins_on_a_full_disk_founds_its_log_when_there_is_room() {
    let disk = Disk::default();
    let mut writer = disk.writer();
    disk.set_full(true);

    let found = (GroupId::MAIN, LogJob::Found(of_a_joiner()));
    let waiting = writer.turn(vec![found, write(1)]).unwrap();
    assert!(waiting.persisted.is_empty() && waiting.send.is_empty());
    assert_eq!((waiting.disk_full, writer.is_full()), (Some(true), true));

    disk.set_full(false);
    let written = writer.retry().unwrap();
    assert_eq!(disk.done(), ["found cluster 77", "write 1"]);
    assert_eq!((written.persisted, written.disk_full), (through(1), Some(false)));
}

#[test]
fn a_full_disk_is_no_reason_to_stop_when_the_log_is_quiet() {
    let disk = Disk::default();
    disk.0.lock().identity = Some(of_a_joiner());
    let mut writer = disk.writer();
    disk.set_full(true);
    assert!(writer.settle().is_ok());
    assert!(disk.done().is_empty());

    disk.set_full(false);
    writer.settle().unwrap();
    assert_eq!(disk.done(), ["settle"]);
}
