//! Damage at rest, exhaustively: each single bit, and lengths that no writer ever wrote.

use std::path::PathBuf;
use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};

use super::batch::HEADER_BYTES;
use super::files::Files;
use super::record::HEAD_BYTES;
use super::reseal::{Repairs, reseal_log};
use super::salt::Salt;
use super::simulated::SimulatedDisk;
use super::{DiskConfig, DiskLog};
use crate::storage::{GroupWrite, Identity, Recovered, Storage, StorageError};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, Term,
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
    log.found(identity(), &[(GroupId::MAIN, Some(entry(0, 1)))]).expect("found");
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

/// Makes the segments of the log whole again, whatever was done to them.
fn reseal(disk: &SimulatedDisk, count: u64) {
    let path = |number| PathBuf::from(format!("/data/{number:010}.log"));
    let mut segments: Vec<_> = (1..=count).map(|number| disk.content(&path(number))).collect();
    reseal_log(identity(), &mut segments, Repairs { links: true, chain: true, checksums: true });
    for (number, segment) in (1..).zip(segments) {
        disk.alter(&path(number), |bytes| *bytes = segment);
    }
}

fn identity() -> Identity {
    Identity { node: node(), cluster: ClusterId(5), incarnation: Incarnation(6), joined: false }
}

#[test]
fn a_batch_that_leaves_no_room_for_the_seal_is_refused() {
    let disk = settled();
    disk.alter(&PathBuf::from("/data/0000000002.log"), |bytes| {
        let room = bytes.len() - 12_288;
        let batch = &mut bytes[12_288..];
        LittleEndian::write_u32(&mut batch[16..], room as u32);
        LittleEndian::write_u32(&mut batch[20..], 1);
        let record = &mut batch[HEADER_BYTES..];
        record.fill(0);
        LittleEndian::write_u32(&mut record[4..], (room - HEADER_BYTES - HEAD_BYTES) as u32);
        record[8] = 1;
        for (field, value) in [(9, GroupId::MAIN.0), (17, 2), (25, 5)] {
            LittleEndian::write_u64(&mut record[field..], value);
        }
    });
    reseal(&disk, 2);

    let refused = open(&disk).map(drop).expect_err("the next rotation would write beyond the segment");

    assert!(refused.to_string().contains("no room for the seal"), "{refused}");
}

#[test]
fn a_restatement_that_no_log_fits_is_refused() {
    // Where the first record of a segment restates the log's start and its last entry: the index of each.
    const START_AT: usize = 4096 + HEADER_BYTES + HEAD_BYTES + 24;
    const LAST_AT: usize = START_AT + 16;
    for (start, last) in [(9, 3), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        let disk = settled();
        disk.remove("/data/0000000002.log".as_ref()).expect("remove");
        disk.alter(&PathBuf::from("/data/0000000001.log"), |bytes| {
            LittleEndian::write_u64(&mut bytes[START_AT..], start);
            LittleEndian::write_u64(&mut bytes[LAST_AT..], last);
            bytes[8192..].fill(0);
        });
        reseal(&disk, 1);

        let refused = open(&disk).map(drop).expect_err("no log is so");

        assert!(refused.to_string().contains("it restates that a log starts after"), "{refused}");
    }
}

#[test]
fn a_segment_of_a_length_that_none_has_is_refused() {
    for length in [4096, 8192, 65_536 + 512] {
        let disk = settled();
        disk.alter(&PathBuf::from("/data/0000000002.log"), |bytes| {
            bytes.resize(length, 0);
            bytes[4096..].fill(0);
        });
        reseal(&disk, 2);

        let refused = open(&disk).map(drop).expect_err("nothing could be appended");

        assert!(refused.to_string().contains("no segment is"), "{refused}");
    }
}

#[test]
fn a_segment_without_room_for_what_opens_it_is_refused() {
    let disk = SimulatedDisk::default();
    let config = || DiskConfig::new("/data", node()).segment_bytes(4 * DiskConfig::SEGMENT_BYTES_MIN);
    let mut log = DiskLog::open_on(Arc::new(disk.clone()), config()).expect("open");
    log.found(identity(), &[]).expect("found");
    let members = (1..=Membership::MEMBERS_MAX as u64).map(|id| {
        let address = format!("{}:{id:05}", "x".repeat(Membership::ADDRESS_BYTES_MAX - 6));
        (NodeId::new(id).expect("not zero"), address)
    });
    let membership = Arc::new(Membership::founding(members).expect("many members"));
    for group in (1..=4).map(GroupId) {
        let restart = Some((LogPosition::new(Term(1), LogIndex(9)), Arc::clone(&membership)));
        log.write(&[GroupWrite { group, hard_state: None, restart, entries: Vec::new() }]).expect("write");
    }
    drop(log);
    let next = disk.create("/data/0000000002.log".as_ref()).expect("create");
    next.write_all_at(&vec![0; DiskConfig::SEGMENT_BYTES_MIN as usize], 0).expect("write");
    reseal(&disk, 2);

    let opened = DiskLog::open_on(Arc::new(disk.clone()), config()).map(drop);

    let refused = opened.expect_err("the four groups do not fit");
    assert!(refused.to_string().contains("no room for what opens it"), "{refused}");
}
