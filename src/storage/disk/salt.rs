//! What keeps the leftovers of an earlier use of a file from parsing.

use byteorder::{ByteOrder, LittleEndian};

use crate::planted::{Bug, planted};

/// What all checksums of one segment are mixed with, so that nothing an earlier use of the file left behind verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt {
    /// Drawn at random for each segment.
    pub(super) value: u64,
    seed: u32,
}

impl Salt {
    /// The salt of the segment with that number.
    pub(super) fn new(value: u64, segment: u64) -> Self {
        let mut bytes = [0; 16];
        LittleEndian::write_u64(&mut bytes[..8], value);
        LittleEndian::write_u64(&mut bytes[8..], segment);
        if planted(Bug::SharesSalts) {
            return Self { value: 0, seed: 0 };
        }
        Self { value, seed: crc32c::crc32c(&bytes) }
    }

    /// The checksum of `bytes` in this segment.
    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed, bytes)
    }
}
