//! Makes damaged files whole again on the outside: for tests that want to know what stands behind the checksums.
//!
//! Whoever alters bytes at random is refused by a checksum, and what is judged behind it is never reached. So the
//! checksums of a file, and the places that it and its neighbours name, are computed anew over whatever stands there.

use byteorder::{ByteOrder, LittleEndian};

use super::batch::{BLOCK_BYTES, HEADER_BYTES};
use super::header::{End, SegmentHeader};
use super::record::HEAD_BYTES;
use super::salt::Salt;
use crate::storage::Identity;

/// What is made right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repairs {
    /// Each segment names the end of the one before it, and the seal in front of it.
    pub(crate) links: bool,
    /// The batches stand where they say, each behind the one before it.
    pub(crate) chain: bool,
    /// The checksums of records and batches.
    pub(crate) checksums: bool,
}

/// Repairs segments 1 and following, each of which has a header's room at least, as those of `identity`. The salts stay.
pub(crate) fn reseal_log(identity: Identity, segments: &mut [Vec<u8>], repairs: Repairs) {
    let mut follows = End::default();
    for (number, at) in (1..).zip(0..segments.len()) {
        let next_salt = segments.get(at + 1).map_or(0, |next| LittleEndian::read_u64(&next[48..]));
        let segment = &mut segments[at];
        let salt = Salt::new(LittleEndian::read_u64(&segment[48..]), number);
        if !repairs.links {
            let (offset, chain) =
                (LittleEndian::read_u64(&segment[64..]), LittleEndian::read_u32(&segment[72..]));
            follows = End { offset, chain };
        }
        let header = SegmentHeader { identity, number, salt, length: segment.len() as u64, follows };
        segment[..BLOCK_BYTES as usize].copy_from_slice(&header.encode());
        let seal = repairs.links.then_some((number + 1, next_salt));
        follows = reseal_batches(segment, salt, follows.chain, seal, repairs);
    }
}

/// Where the batches end before a seal, and the checksum of the last one.
fn reseal_batches(
    segment: &mut [u8],
    salt: Salt,
    chain: u32,
    seal: Option<(u64, u64)>,
    repairs: Repairs,
) -> End {
    let mut end = End { offset: BLOCK_BYTES, chain };
    let mut at = BLOCK_BYTES as usize;
    while at + HEADER_BYTES <= segment.len() {
        let length = LittleEndian::read_u32(&segment[at + 16..]) as usize;
        if length < HEADER_BYTES || length > segment.len() - at {
            at += BLOCK_BYTES as usize;
            continue;
        }
        let batch = &mut segment[at..at + length];
        if repairs.chain {
            LittleEndian::write_u64(batch, salt.value);
            LittleEndian::write_u64(&mut batch[8..], at as u64);
            LittleEndian::write_u32(&mut batch[24..], end.chain);
        }
        if let (Some((number, next_salt)), true) = (seal, is_seal(batch)) {
            LittleEndian::write_u64(&mut batch[HEADER_BYTES + HEAD_BYTES..], number);
            LittleEndian::write_u64(&mut batch[HEADER_BYTES + HEAD_BYTES + 8..], next_salt);
        }
        if repairs.checksums {
            reseal_batch(batch, salt);
        }
        let is_seal = is_seal(batch);
        let chain = LittleEndian::read_u32(&batch[32..]);
        at += length.next_multiple_of(BLOCK_BYTES as usize);
        if is_seal {
            return end;
        }
        end = End { offset: at as u64, chain };
    }
    end
}

/// One record, a seal by its kind and length.
fn is_seal(batch: &[u8]) -> bool {
    batch.len() == HEADER_BYTES + HEAD_BYTES + 16 && batch[HEADER_BYTES + 8] == 4
}

fn reseal_batch(batch: &mut [u8], salt: Salt) {
    let (mut at, mut checksums) = (HEADER_BYTES, 0);
    for _ in 0..LittleEndian::read_u32(&batch[20..]) {
        if batch.len() - at < HEAD_BYTES {
            break;
        }
        let body = LittleEndian::read_u32(&batch[at + 4..]) as usize;
        if batch.len() - at - HEAD_BYTES < body {
            break;
        }
        let record = &mut batch[at..at + HEAD_BYTES + body];
        let checksum = salt.checksum(&record[4..]);
        LittleEndian::write_u32(record, checksum);
        checksums = crc32c::crc32c_append(checksums, &checksum.to_le_bytes());
        at += record.len();
    }
    LittleEndian::write_u32(&mut batch[28..], checksums);
    let checksum = salt.checksum(&batch[..HEADER_BYTES - 4]);
    LittleEndian::write_u32(&mut batch[HEADER_BYTES - 4..], checksum);
}

/// How long a snapshot's blocks are, but for the last.
const SNAPSHOT_BLOCK_BYTES: usize = 256 << 10;

const SNAPSHOT_END_BYTES: usize = 32;

/// Repairs the checksums of a snapshot's file, and the length of its blocks; its end is written anew.
pub(crate) fn reseal_snapshot(file: &mut [u8]) {
    if file.len() < BLOCK_BYTES as usize + SNAPSHOT_END_BYTES {
        return;
    }
    let head_bytes = LittleEndian::read_u32(&file[16..]) as usize;
    let end_at = file.len() - SNAPSHOT_END_BYTES;
    if head_bytes < BLOCK_BYTES as usize || head_bytes > end_at {
        return;
    }
    let id = LittleEndian::read_u64(&file[40..]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&file[..12]), &file[16..head_bytes]);
    LittleEndian::write_u32(&mut file[12..], checksum);
    let mut checksums = crc32c::crc32c_append(0, &checksum.to_le_bytes());
    let (mut blocks, mut content_bytes) = (0, 0);
    for block in file[head_bytes..end_at].chunks_mut(SNAPSHOT_BLOCK_BYTES) {
        if block.len() <= 8 {
            return;
        }
        blocks += 1;
        content_bytes += block.len() as u64 - 8;
        let length = block.len() as u32 - 8;
        LittleEndian::write_u32(&mut block[4..], length);
        let checksum = Salt::new(id, blocks).checksum(&block[4..]);
        LittleEndian::write_u32(block, checksum);
        checksums = crc32c::crc32c_append(checksums, &checksum.to_le_bytes());
    }
    let end = &mut file[end_at..];
    LittleEndian::write_u32(&mut end[4..], u32::MAX);
    LittleEndian::write_u64(&mut end[8..], blocks);
    LittleEndian::write_u64(&mut end[16..], content_bytes);
    LittleEndian::write_u32(&mut end[24..], checksums);
    LittleEndian::write_u32(&mut end[28..], 0);
    let checksum = Salt::new(id, u64::MAX).checksum(&end[4..]);
    LittleEndian::write_u32(end, checksum);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::storage::disk::simulated::SimulatedDisk;
    use crate::storage::disk::{DiskConfig, DiskLog};
    use crate::storage::{GroupWrite, Storage};
    use crate::types::{ClusterId, GroupId, HardState, Incarnation, NodeId, Term};

    #[test]
    fn a_whole_log_is_resealed_as_it_was() {
        let node = NodeId::new(1).expect("not zero");
        let identity = Identity { node, cluster: ClusterId(5), incarnation: Incarnation(6), joined: false };
        let disk = SimulatedDisk::default();
        let config = DiskConfig::new("/data", node).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
        let mut log = DiskLog::open_on(Arc::new(disk.clone()), config).expect("open");
        log.found(identity, &[(GroupId::MAIN, None)]).expect("found");
        let hard_state = Some(HardState { term: Term(3), voted_for: None });
        let write = GroupWrite { group: GroupId::MAIN, hard_state, restart: None, entries: Vec::new() };
        log.write(&[write]).expect("write");
        log.guarded(|log| log.rotate(4096)).expect("rotate");
        log.settle().expect("settle");
        let names = ["/data/0000000001.log", "/data/0000000002.log"].map(PathBuf::from);
        let whole = names.map(|name| disk.content(&name));

        let mut resealed = whole.clone();
        for segment in &mut resealed {
            segment[4096 + 32] ^= 1;
            segment[4096 + 36] ^= 1;
        }
        let repairs = Repairs { links: true, chain: true, checksums: true };
        reseal_log(identity, &mut resealed, repairs);

        assert!(resealed == whole, "a checksum or a link is computed otherwise");
    }
}
