//! Damage at rest, exhaustively: each single bit, and lengths that no writer ever wrote.

use std::path::PathBuf;
use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};

use super::batch::HEADER_BYTES;
use super::salt::Salt;
use super::simulated::SimulatedDisk;
use super::{DiskConfig, DiskLog};
use crate::storage::{GroupWrite, Identity, Recovered, Storage, StorageError};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, NodeId, Payload, Term,
};

fn node() -> NodeId {
    NodeId::new(1).expect("not zero")
}

fn open(disk: &SimulatedDisk) -> Result<DiskLog, StorageError> {
    let config = DiskConfig::new("/data", node()).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    DiskLog::open_on(Arc::new(disk.clone()), config)
}

fn entry(term: u64, index: u64) -> Entry {
    let payload = Payload::Normal { origin: None, command: vec![index as u8; 3].into() };
    Entry { position: LogPosition::new(Term(term), LogIndex(index)), payload }
}

fn write(log: &mut DiskLog, entries: &[Entry], hard_state: Option<HardState>) {
    let run = EntryRun::new(entries.into()).expect("not empty");
    log.write(&[GroupWrite { group: GroupId::MAIN, hard_state, restart: None, entries: vec![run] }])
        .expect("write");
}

/// Two segments with a few entries each, and a witness at the end.
fn settled() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let identity =
        Identity { node: node(), cluster: ClusterId(5), incarnation: Incarnation(6), joined: false };
    log.found(identity, &[(GroupId::MAIN, Some(entry(0, 1)))]).expect("found");
    write(&mut log, &[entry(1, 2), entry(1, 3)], None);
    log.guarded(|log| log.rotate(4096)).expect("rotate");
    let state = HardState { term: Term(2), voted_for: Some(node()) };
    write(&mut log, &[entry(2, 3), entry(2, 4)], Some(state));
    log.settle().expect("settle");
    disk
}

fn state_of(log: &mut DiskLog) -> (Recovered, Vec<Entry>) {
    let recovered = log.recovered().remove(&GroupId::MAIN).expect("the group is there");
    let read = log.reader().read(GroupId::MAIN, LogIndex(1), LogIndex(4), u64::MAX).expect("read");
    (recovered, read)
}

/// The log is as it was, or it is refused by name.
fn require_harmless_or_refused(disk: &SimulatedDisk, expected: &(Recovered, Vec<Entry>), what: &str) -> bool {
    match open(disk) {
        Ok(mut log) => {
            assert_eq!(&state_of(&mut log), expected, "{what}: the log says something else");
            false
        }
        Err(StorageError::Corrupt { .. } | StorageError::NewerFormat { .. }) => true,
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn every_single_flipped_bit_is_harmless_or_refused() {
    let disk = settled();
    let expected = state_of(&mut open(&disk).expect("open"));
    let (mut harmless, mut refused) = (0, 0);
    for path in
        disk.names().into_iter().filter(|path| path.extension().is_some() || path.ends_with("identity"))
    {
        let used = disk.content(&path);
        for at in
            (0..used.len()).filter(|&at| at % 4096 < 200 && used[at & !31..].iter().take(32).any(|&b| b != 0))
        {
            for bit in 0..8 {
                let damaged = disk.fork();
                damaged.alter(&path, |bytes| bytes[at] ^= 1 << bit);
                let what = format!("bit {bit} of byte {at} of {}", path.display());
                let count = if require_harmless_or_refused(&damaged, &expected, &what) {
                    &mut refused
                } else {
                    &mut harmless
                };
                *count += 1;
            }
        }
    }
    // The zeros that fill a block, the seal that the next header repeats, and the last witness may be damaged.
    assert!(refused > harmless, "{refused} refused, {harmless} harmless");
}

/// Changes a field of the header of the batch at `at` and makes its checksum right again.
fn forge(segment: &mut [u8], at: usize, change: impl FnOnce(&mut [u8])) {
    let salt = Salt::new(LittleEndian::read_u64(&segment[48..56]), LittleEndian::read_u64(&segment[40..48]));
    let header = &mut segment[at..at + HEADER_BYTES];
    change(header);
    let checksum = salt.checksum(&header[..HEADER_BYTES - 4]);
    LittleEndian::write_u32(&mut header[HEADER_BYTES - 4..], checksum);
}

#[test]
fn numbers_that_no_writer_wrote_are_refused_without_a_look_beyond_the_file() {
    let newest = PathBuf::from("/data/0000000002.log");
    let disk = settled();
    let expected = state_of(&mut open(&disk).expect("open"));
    for value in [0, 1, 35, 37, 70_000, u32::MAX / 2, u32::MAX] {
        for field in [8, 16, 20, 24] {
            let forged = disk.fork();
            forged.alter(&newest, |bytes| {
                forge(bytes, 8192, |header| LittleEndian::write_u32(&mut header[field..field + 4], value));
            });
            let what = format!("field {field} is {value}");
            assert!(require_harmless_or_refused(&forged, &expected, &what), "{what}: it was taken");
        }
        let forged = disk.fork();
        forged.alter(&newest, |bytes| {
            let length = 8192 + HEADER_BYTES + 4;
            LittleEndian::write_u32(&mut bytes[length..length + 4], value);
        });
        let what = format!("a record of {value} bytes");
        assert!(require_harmless_or_refused(&forged, &expected, &what), "{what}: it was taken");
    }
}
