//! Logs on a disk that somebody else has written: they are refused, or taken for ever as they were taken first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use super::files::lay_out;
use super::input::Input;
use crate::consensus::{Raft, RaftConfig, Restored};
use crate::storage::disk::files::Files;
use crate::storage::disk::reseal::{Repairs, reseal_log};
use crate::storage::disk::simulated::SimulatedDisk;
use crate::storage::disk::{DiskConfig, DiskLog};
use crate::storage::{GroupWrite, Identity, Recovered, Storage, StorageError};
use crate::types::{
    ClusterId, Entry, EntryMeta, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, NodeId,
    Payload,
};

const DIR: &str = "/data";
const SEGMENTS_MAX: usize = 3;
const SEGMENT_BYTES_MAX: usize = 256 << 10;
const SEGMENT_BYTES_MIN: usize = DiskConfig::SEGMENT_BYTES_MIN as usize;

type Groups = BTreeMap<GroupId, Recovered>;

/// Segments of anything: the log is refused or opened, never in a panic; what was recovered is recovered again, and a write
/// behind it is there afterwards.
///
/// One byte: bits 0 to 2 say what is made right ([`Repairs`]); one, how many segments follow, each described as in
/// `files.rs`; then what is written ([`write_more`]).
pub fn log_recovery(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.u8();
    let count = 1 + input.below(SEGMENTS_MAX);
    let mut segments: Vec<Vec<u8>> = (0..count).map(|_| lay_out(&mut input, SEGMENT_BYTES_MAX)).collect();
    for segment in &mut segments {
        segment.resize(segment.len().max(SEGMENT_BYTES_MIN).next_multiple_of(4096), 0);
    }
    let repairs = Repairs { links: flags & 1 != 0, chain: flags & 2 != 0, checksums: flags & 4 != 0 };
    reseal_log(identity(), &mut segments, repairs);

    let disk = SimulatedDisk::default();
    put(&disk, &Path::new(DIR).join("identity"), identity_file());
    for (number, segment) in (1..).zip(&segments) {
        put(&disk, &segment_path(number), segment);
    }
    let Ok((log, groups)) = recover(&disk) else { return };
    groups.values().for_each(start_raft);
    drop(log);
    let (mut log, again) = recover(&disk).expect("a log that was opened opens again");
    assert!(again == groups, "what was recovered is not recovered again: {groups:?} is {again:?} now");
    if let Some(&group) = groups.keys().nth(input.below(4)) {
        write_more(&mut input, &disk, &mut log, group, &groups[&group]);
    }
}

pub(super) fn identity() -> Identity {
    let node = NodeId::new(1).expect("not zero");
    Identity { node, cluster: ClusterId(5), incarnation: Incarnation(6), joined: false }
}

pub(super) fn open(disk: &SimulatedDisk) -> Result<DiskLog, StorageError> {
    let config = DiskConfig::new(DIR, identity().node).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    DiskLog::open_on(Arc::new(disk.clone()), config)
}

pub(super) fn segment_path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:010}.log"))
}

/// As a founded directory has it.
fn identity_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let disk = SimulatedDisk::default();
        open(&disk).and_then(|mut log| log.found(identity(), &[])).expect("a blank disk");
        disk.content(&Path::new(DIR).join("identity"))
    })
}

/// A durable file.
pub(super) fn put(disk: &SimulatedDisk, path: &Path, content: &[u8]) {
    let file = disk.create(path).expect("power is on");
    file.write_all_at(content, 0).expect("power is on");
    file.sync_data().expect("power is on");
    disk.sync_dir(Path::new(DIR)).expect("power is on");
}

/// The log, and what it recovered: its entries can be read, and are those that it says.
fn recover(disk: &SimulatedDisk) -> Result<(DiskLog, Groups), StorageError> {
    let mut log = open(disk)?;
    let groups = log.recovered();
    let mut reader = log.reader();
    for (&group, recovered) in &groups {
        let (Some(first), Some(last)) = (recovered.entries.first(), recovered.entries.last()) else {
            continue;
        };
        let read = reader.read(group, first.position.index, last.position.index, u64::MAX);
        let read: Vec<EntryMeta> =
            read.expect("what was recovered is read").iter().map(Entry::meta).collect();
        assert_eq!(read, recovered.entries, "the entries read are not those recovered");
    }
    Ok((log, groups))
}

/// What consensus makes of it is a replica or a refusal.
fn start_raft(recovered: &Recovered) {
    let Recovered { hard_state, starts_after, membership, entries } = recovered.clone();
    let applied = starts_after;
    let restored = Restored { hard_state, starts_after, membership, entries, snapshot: None, applied };
    drop(Raft::new(RaftConfig::new(identity().node), restored));
}

/// Some entries anywhere in the log. Power may fail in any operation: then they are there or not, and nothing else changed.
fn write_more(
    input: &mut Input<'_>,
    disk: &SimulatedDisk,
    log: &mut DiskLog,
    group: GroupId,
    recovered: &Recovered,
) {
    let last = recovered.entries.last().map_or(recovered.starts_after, |entry| entry.position);
    let Some(term) = last.term.max(recovered.hard_state.term).next() else { return };
    let count = 1 + input.below(4) as u64;
    let overwritten = input.u8() % 8;
    let prev = last.index.0.saturating_sub(u64::from(overwritten)).max(recovered.starts_after.index.0);
    if prev.checked_add(count + 1).is_none() {
        return;
    }
    let entry = |nth| {
        let position = LogPosition::new(term, LogIndex(prev + nth));
        let command = vec![nth as u8; usize::from(input.u16()) % 12_000].into();
        Entry { position, payload: Payload::Normal { origin: None, command } }
    };
    let entries: Vec<Entry> = (1..=count).map(entry).collect();
    let hard_state = HardState { term, voted_for: None };
    let mut written = recovered.clone();
    written.hard_state = hard_state;
    written.entries.retain(|entry| entry.position.index.0 <= prev);
    written.entries.extend(entries.iter().map(Entry::meta));

    let fails_after = input.u8();
    if fails_after < 32 {
        disk.fail_power_after(u64::from(fails_after));
    }
    let run = EntryRun::new(entries.into()).expect("not empty");
    let write = GroupWrite { group, hard_state: Some(hard_state), restart: None, entries: vec![run] };
    let is_written = log.write(&[write]).is_ok();
    assert!(is_written || disk.is_off(), "a log that was opened takes no write");
    let mut end = Input::new(input.rest());
    crash(disk, &mut end);

    let (_, mut found) = recover(disk).expect("a log that was written to opens again");
    let found = found.remove(&group).expect("a group does not vanish");
    let is_prefix = || {
        let mut prefix = written.clone();
        prefix.entries.truncate(found.entries.len());
        found == prefix || (found.hard_state == hard_state && found.entries == recovered.entries)
    };
    assert!(
        found == written || !is_written && (found == *recovered || is_prefix()),
        "{recovered:?} became {found:?} by a write of {written:?}"
    );
}

fn crash(disk: &SimulatedDisk, input: &mut Input<'_>) {
    disk.restart(&mut |bound| usize::from(input.u8()) % bound);
}
