//! Damage at rest, exhaustively: each single bit, and lengths that no writer ever wrote.
//!
//! With `QUORATE_CRASH_SEEDS` set, a bit is flipped in every single byte; without it, of the zeros that fill a block or
//! were never written, in every sixteenth, and in all where a header would be read.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
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
    let read = log.reader().read(GroupId::MAIN, LogIndex(1), LogIndex(9), u64::MAX).expect("read");
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

/// The files of the log that a start reads, with a byte of each that is flipped, and whether anything was written to it:
/// all that were, and of the others some or all.
fn bytes_of(disk: &SimulatedDisk) -> Vec<(PathBuf, usize, bool)> {
    let is_thorough = std::env::var_os("QUORATE_CRASH_SEEDS").is_some();
    let mut bytes = Vec::new();
    for path in disk.names() {
        if path.extension().is_none_or(|extension| extension != "log") && !path.ends_with("identity") {
            continue;
        }
        let content = disk.content(&path);
        for at in 0..content.len() {
            // A number may end with zeros.
            let is_used = content[at.saturating_sub(16)..=at].iter().any(|&byte| byte != 0);
            let is_header = at % 4096 < HEADER_BYTES;
            if is_used || is_header || is_thorough || (at % 16 == 0 && at < 12 * 4096) {
                bytes.push((path.clone(), at, is_used));
            }
        }
    }
    bytes
}

#[test]
fn every_single_flipped_bit_is_harmless_or_refused() {
    let disk = settled();
    let expected = state_of(&mut open(&disk).expect("open"));
    let (mut harmless, mut refused) = (0, 0);
    for (path, at, is_used) in bytes_of(&disk) {
        let bits = if is_used { 0..8 } else { at / 16 % 8..at / 16 % 8 + 1 };
        for bit in bits {
            let damaged = disk.fork();
            damaged.alter(&path, |bytes| bytes[at] ^= 1 << bit);
            let what = format!("bit {bit} of byte {at} of {}", path.display());
            if require_harmless_or_refused(&damaged, &expected, &what) {
                refused += 1;
            } else {
                // The zeros that fill a block; and the last batches: the seal that the next header repeats, and the witness.
                let is_last = path.extension().is_some() && last_batch(&disk, &path).contains(&at);
                assert!(is_last || is_free(&disk, &path, at), "{what}: it was taken");
                harmless += 1;
            }
        }
    }
    assert!(refused > 3000 && harmless > 3000, "{refused} refused, {harmless} harmless");
}

/// Whether a byte stands behind all that was written to its block.
fn is_free(disk: &SimulatedDisk, path: &Path, at: usize) -> bool {
    let content = disk.content(path);
    let block_end = (at / 4096 + 1) * 4096;
    content[at..block_end.min(content.len())].iter().all(|&byte| byte == 0)
}

/// Where the newest batch of the newest segment stands, and how long it is.
fn last_batch(disk: &SimulatedDisk, path: &Path) -> std::ops::Range<usize> {
    let bytes = disk.content(path);
    let salt = &bytes[48..56];
    let mut starts = (1..bytes.len() / 4096).map(|block| block * 4096);
    let last = starts.rfind(|&at| bytes[at..].starts_with(salt)).expect("a batch");
    last..last + LittleEndian::read_u32(&bytes[last + 16..last + 20]) as usize
}

/// The limit, to the byte: the newest batch, its header and its records, as long as nothing was written behind it. Rot in
/// it looks like a tear. Everywhere else it is harmless or refused.
#[test]
fn rot_is_taken_for_a_tear_in_the_bytes_of_the_newest_batch_and_in_no_others() {
    let newest = PathBuf::from("/data/0000000002.log");
    let disk = settled();
    let mut log = open(&disk).expect("open");
    write(&mut log, &[entry(3, 5), entry(3, 6)], Some(HardState { term: Term(3), voted_for: None }));
    drop(log);
    let expected = state_of(&mut open(&disk).expect("open"));
    let last = last_batch(&disk, &newest);
    assert!(last.len() > 100);

    let mut cut = Vec::new();
    for (path, at, _) in bytes_of(&disk) {
        let damaged = disk.fork();
        damaged.alter(&path, |bytes| bytes[at] ^= 0x10);
        let Ok(mut log) = open(&damaged) else { continue };
        let found = state_of(&mut log);
        if found != expected {
            assert_eq!(
                found.1,
                expected.1[..4],
                "byte {at} of {}: more than a batch is gone",
                path.display()
            );
            cut.push((path, at));
        }
    }

    let limit: Vec<_> = last.map(|at| (newest.clone(), at)).collect();
    assert_eq!(cut, limit);
}

/// Once anything is written behind it, were it the witness of a node that fell idle, rot in it is refused.
#[test]
fn rot_in_a_batch_that_has_a_witness_is_refused_in_each_of_its_bytes() {
    let newest = PathBuf::from("/data/0000000002.log");
    let disk = settled();
    let mut log = open(&disk).expect("open");
    write(&mut log, &[entry(3, 5)], Some(HardState { term: Term(3), voted_for: None }));
    let last = last_batch(&disk, &newest);
    log.settle().expect("settle");
    drop(log);

    for at in last {
        let damaged = disk.fork();
        damaged.alter(&newest, |bytes| bytes[at] ^= 0x10);
        let refused = open(&damaged).err().unwrap_or_else(|| panic!("byte {at} is taken"));
        assert!(matches!(refused, StorageError::Corrupt { .. }), "byte {at}: {refused}");
    }
}

/// Lost sectors, lost blocks, and everything from some place on: of zeros or of ones. Whatever a whole batch behind it
/// gives away is refused. If all is gone to the end, witness and all, nothing is left that could give it away: then the
/// log is one that was true once.
#[test]
fn lost_sectors_and_blocks_are_refused_and_a_lost_tail_leaves_a_log_that_was_true_once() {
    let newest = PathBuf::from("/data/0000000002.log");
    let disk = settled();
    let expected = state_of(&mut open(&disk).expect("open"));
    let length = disk.content(&newest).len();
    for filling in [0x00, 0xff] {
        for sector in 0..8 * 4 {
            let at = sector * 512;
            for bytes_lost in [512, 4096, length] {
                let damaged = disk.fork();
                damaged.alter(&newest, |bytes| bytes[at..(at + bytes_lost).min(length)].fill(filling));
                let what = format!("{bytes_lost} bytes of {filling:#x} from {at} on");
                match open(&damaged) {
                    Err(StorageError::Corrupt { .. }) => {}
                    Err(other) => panic!("{what}: {other}"),
                    Ok(mut log) => {
                        let found = log.recovered().remove(&GroupId::MAIN).expect("the group is there");
                        let is_prefix = expected.0.entries.starts_with(&found.entries);
                        let is_older = found.entries.len() == 3;
                        assert!(is_prefix || is_older, "{what}: {found:?}");
                        assert!(
                            found == expected.0 || bytes_lost == length,
                            "{what}: the log forgets, and a batch behind it stands"
                        );
                    }
                }
            }
        }
    }
}

/// What any file of the directory may be instead of what it was: nothing of it is believed, and nothing is taken for more
/// than the file has.
#[test]
fn garbage_of_any_kind_in_any_file_is_refused_or_harmless() {
    let disk = settled();
    let mut seed = 7_u64;
    let mut any = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let files: Vec<_> = disk.names().into_iter().filter(|path| !path.ends_with("lock")).collect();
    let mut refused = 0;
    for _ in 0..400 {
        let damaged = disk.fork();
        let path = &files[any() % files.len()];
        damaged.alter(path, |bytes| {
            let at = any() % bytes.len();
            let from = if any() % 2 == 0 { at / 4096 * 4096 } else { at };
            let count = any() % 6000;
            match any() % 3 {
                0 => bytes.truncate(from),
                1 => bytes.extend((0..count).map(|_| 0xa5)),
                _ => bytes.iter_mut().skip(from).take(count).for_each(|byte| *byte = any() as u8),
            }
        });
        match open(&damaged) {
            Ok(_) => {}
            Err(StorageError::Corrupt { .. } | StorageError::NewerFormat { .. }) => refused += 1,
            Err(other) => panic!("{}: {other}", path.display()),
        }
    }
    assert!(refused > 100, "{refused} refused");
}

/// A small snapshot: of which every bit in turn is another one.
#[test]
fn every_single_flipped_bit_of_a_snapshot_is_refused_and_the_log_is_not() {
    let disk = settled();
    let log = open(&disk).expect("open");
    let mut store = log.snapshots();
    let members = Membership::founding([(node(), "a:1".to_owned())]).expect("one member");
    let at = LogPosition::new(Term(2), LogIndex(4));
    let mut sink = store.create(GroupId::MAIN, at, &Arc::new(members)).expect("create");
    sink.write_all(b"what the machine held").expect("write");
    let meta = sink.finish().expect("finish");
    let path = disk.names().into_iter().find(|path| path.extension().is_some_and(|kind| kind == "snapshot"));
    let path = path.expect("a snapshot");
    let length = disk.content(&path).len();

    for bit in 0..length * 8 {
        let flip = || disk.alter(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        flip();
        let read = store.open(GroupId::MAIN, meta.id).map_err(|_| ()).and_then(|mut source| {
            let mut content = Vec::new();
            source.read_to_end(&mut content).map_err(|_| ())
        });
        assert!(read.is_err(), "bit {bit} is taken");
        let piece = store.piece(GroupId::MAIN, meta.id, 0, u32::MAX);
        assert!(!matches!(piece, Ok(Some(_))), "bit {bit} is sent");
        flip();
    }
    drop((store, log));
    for byte in (0..length).filter(|byte| byte % 16 == 0 || *byte < 130) {
        let damaged = disk.fork();
        damaged.alter(&path, |bytes| bytes[byte] ^= 1);
        match open(&damaged) {
            Ok(mut log) => assert_eq!(state_of(&mut log).1.len(), 4),
            Err(StorageError::NewerFormat { .. }) => assert!((8..12).contains(&byte), "byte {byte}"),
            Err(other) => panic!("byte {byte}: {other}"),
        }
    }
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

/// Found by the fuzzer: once the log had grown up to the batch, the next start refused what was acknowledged meanwhile.
#[test]
fn a_batch_that_the_disk_put_behind_the_end_is_never_grown_up_to() {
    let newest = PathBuf::from("/data/0000000002.log");
    for place in [20_480, 24_576, 32_768] {
        let disk = settled();
        disk.alter(&newest, |bytes| bytes.copy_within(8192..12_288, place));

        for index in 5..10 {
            let mut log = open(&disk).unwrap_or_else(|error| panic!("{place}, entry {index}: {error}"));
            write(&mut log, &[entry(2, index)], None);
            assert_eq!(state_of(&mut log).1.len(), index as usize);
        }
    }
}

#[test]
fn a_batch_that_the_disk_put_behind_its_own_place_is_missed_there() {
    let newest = PathBuf::from("/data/0000000002.log");
    for place in [16_384, 20_480, 32_768] {
        let disk = settled();
        disk.alter(&newest, |bytes| {
            bytes.copy_within(12_288..16_384, place);
            bytes[12_288..16_384].fill(0);
        });

        let refused = open(&disk).map(drop).expect_err("the newest batch was acknowledged");

        assert!(refused.to_string().contains("belongs here"), "{refused}");
    }
}

/// What goes wrong, and how.
type Rot = (&'static str, fn(&mut Vec<u8>));

/// Whatever was found good at the start may rot later: then who reads it must find out.
#[test]
fn what_rots_while_the_log_is_open_is_refused_by_who_reads_it() {
    let newest = PathBuf::from("/data/0000000002.log");
    let rots: [Rot; 5] = [
        ("a batch that was durable is gone", |bytes| bytes[8192..8192 + HEADER_BYTES].fill(0)),
        ("a batch that was durable has changed", |bytes| {
            forge(bytes, 8192, |header| LittleEndian::write_u32(&mut header[16..20], u32::MAX / 2));
        }),
        ("a record's checksum is wrong", |bytes| {
            let length = LittleEndian::read_u32(&bytes[8192 + 16..]) as usize;
            bytes[8192 + length - 1] ^= 1;
        }),
        ("the batch does not hold the entry that was written to it", |bytes| {
            bytes.copy_within(12_288..16_384, 8192);
        }),
        ("record", |bytes| {
            let length = 8192 + HEADER_BYTES + 4;
            LittleEndian::write_u32(&mut bytes[length..length + 4], 70_000);
        }),
    ];
    for (reason, rot) in rots {
        let disk = settled();
        let log = open(&disk).expect("a good log");
        disk.alter(&newest, rot);

        let read = log.reader().read(GroupId::MAIN, LogIndex(3), LogIndex(4), u64::MAX);

        let refused = read.expect_err(reason);
        assert!(matches!(&refused, StorageError::Corrupt { segment, .. } if *segment == newest), "{refused}");
        assert!(refused.to_string().contains(reason), "{refused}, not {reason}");
    }
}

/// Makes the checksums of the two segments good again, and nothing else.
fn reseal_records(disk: &SimulatedDisk, chain: bool) {
    let paths = [1, 2].map(|number| PathBuf::from(format!("/data/{number:010}.log")));
    let mut segments = paths.clone().map(|path| disk.content(&path));
    reseal_log(identity(), &mut segments, Repairs { links: false, chain, checksums: true });
    for (path, segment) in paths.iter().zip(segments) {
        disk.alter(path, |bytes| *bytes = segment);
    }
}

#[test]
fn a_segment_that_goes_on_from_another_log_is_refused() {
    let oldest = PathBuf::from("/data/0000000001.log");
    let another_successor = settled();
    another_successor.alter(&oldest, |bytes| {
        let mut blocks = (1..bytes.len() / 4096).map(|block| block * 4096);
        let is_seal = |at: &usize| bytes[at + HEADER_BYTES + 8] == 4;
        let seal = blocks.find(is_seal).expect("a seal");
        LittleEndian::write_u64(&mut bytes[seal + HEADER_BYTES + HEAD_BYTES + 8..], 77);
    });
    reseal_records(&another_successor, false);
    let refused = open(&another_successor).map(drop).expect_err("its salt is another");
    assert!(refused.to_string().contains("its seal does not name the segment 2 that is there"), "{refused}");

    let another_past = settled();
    another_past.alter(&oldest, |bytes| {
        let length = LittleEndian::read_u32(&bytes[8192 + 16..]) as usize;
        bytes[8192 + length - 1] ^= 1;
    });
    reseal_records(&another_past, true);
    let refused = open(&another_past).map(drop).expect_err("what it follows is not there");
    assert!(refused.to_string().contains("it does not follow what segment 1 holds"), "{refused}");
}

#[test]
fn a_log_without_its_first_batch_is_refused() {
    let disk = settled();
    disk.remove("/data/0000000002.log".as_ref()).expect("remove");
    disk.alter(&PathBuf::from("/data/0000000001.log"), |bytes| bytes[4096..].fill(0));

    let refused = open(&disk).map(drop).expect_err("the founding synced it");

    assert!(refused.to_string().contains("nothing valid stands in the log"), "{refused}");
}
