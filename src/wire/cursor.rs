//! Cursors: numbers and byte strings out of a buffer, and into one.
//!
//! A [`Reader`] stands over a slice or over [`Bytes`]. Over `Bytes` the strings it hands out are slices of the same
//! allocation, so that a command is not copied between the socket or the disk and the state machine.

use byteorder::{ByteOrder, LittleEndian};
use bytes::{Buf, Bytes};

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The buffer ends too early.
    #[error("{missing} bytes are missing at the end")]
    Truncated {
        /// How many.
        missing: usize,
    },
    /// A length is above its limit.
    #[error("the {what} is {length} long, above its limit of {max}")]
    TooLong {
        /// What has that length.
        what: &'static str,
        /// The length found.
        length: u64,
        /// The largest that is taken.
        max: u64,
    },
    /// A value that has no meaning.
    #[error("the {what} is invalid")]
    Invalid {
        /// What has no meaning.
        what: &'static str,
    },
}

/// What a [`Reader`] reads from: a slice, or [`Bytes`] that are sliced without a copy.
pub(crate) trait Buffer: AsRef<[u8]> {
    /// Takes the first `count` bytes off, which are there.
    fn take_front(&mut self, count: usize) -> Self;

    /// Drops the first `count` bytes, which are there.
    fn skip_front(&mut self, count: usize);
}

impl Buffer for &[u8] {
    fn take_front(&mut self, count: usize) -> Self {
        let (front, rest) = self.split_at(count);
        *self = rest;
        front
    }

    fn skip_front(&mut self, count: usize) {
        *self = &self[count..];
    }
}

impl Buffer for Bytes {
    fn take_front(&mut self, count: usize) -> Self {
        self.split_to(count)
    }

    fn skip_front(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Reads numbers and byte strings from the front of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Reader<B> {
    rest: B,
}

impl<B: Buffer> Reader<B> {
    /// Starts at the front of `bytes`.
    pub(crate) fn new(bytes: B) -> Self {
        Self { rest: bytes }
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.number(1, |bytes| bytes[0])
    }

    /// Two bytes.
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.number(2, LittleEndian::read_u16)
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.number(4, LittleEndian::read_u32)
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.number(8, LittleEndian::read_u64)
    }

    /// One byte that is 0 or 1; `what` names it in the error.
    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid { what }),
        }
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<B, WireError> {
        self.require(count)?;
        Ok(self.rest.take_front(count))
    }

    /// A length of four bytes, at most `max`, and as many bytes; `what` names them in the error.
    pub(crate) fn string(&mut self, what: &'static str, max: u32) -> Result<B, WireError> {
        let length = self.u32()?;
        if length > max {
            return Err(WireError::TooLong { what, length: u64::from(length), max: u64::from(max) });
        }
        self.bytes(length as usize)
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.as_ref().len()
    }

    /// All that is left.
    pub(crate) fn into_rest(self) -> B {
        self.rest
    }

    /// Refuses bytes that nobody read; `what` names the whole in the error.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), WireError> {
        if self.remaining() == 0 { Ok(()) } else { Err(WireError::Invalid { what }) }
    }

    fn number<N>(&mut self, width: usize, read: impl FnOnce(&[u8]) -> N) -> Result<N, WireError> {
        self.require(width)?;
        let number = read(&self.rest.as_ref()[..width]);
        self.rest.skip_front(width);
        Ok(number)
    }

    fn require(&self, count: usize) -> Result<(), WireError> {
        match count.checked_sub(self.remaining()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(WireError::Truncated { missing }),
        }
    }
}

/// Writes numbers and byte strings to the end of a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Goes on where `out` ends.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// One byte.
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    /// Two bytes.
    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        LittleEndian::write_u16(self.room::<2>(), value);
        self
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        LittleEndian::write_u32(self.room::<4>(), value);
        self
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        LittleEndian::write_u64(self.room::<8>(), value);
        self
    }

    /// One byte, 0 or 1.
    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// The bytes alone; the reader knows their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// A length of four bytes, then the bytes.
    ///
    /// # Panics
    /// If they are 4 GiB or more: limits stand far below.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u32::try_from(bytes.len()).expect("no byte string is longer than its limit");
        self.u32(length).bytes(bytes)
    }

    fn room<const WIDTH: usize>(&mut self) -> &mut [u8] {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; WIDTH]);
        &mut self.out[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out).u8(1).u16(0x0203).u32(4).u64(5).bool(true).string(b"six").bytes(b"7");
        out
    }

    #[test]
    fn what_is_written_is_read_back_from_a_slice_and_from_bytes() {
        fn check<B: Buffer>(mut reader: Reader<B>) {
            assert_eq!(reader.u8(), Ok(1));
            assert_eq!(reader.u16(), Ok(0x0203));
            assert_eq!(reader.u32(), Ok(4));
            assert_eq!(reader.u64(), Ok(5));
            assert_eq!(reader.bool("flag"), Ok(true));
            assert_eq!(reader.string("name", 3).map(|name| name.as_ref().to_vec()), Ok(b"six".to_vec()));
            assert_eq!(reader.into_rest().as_ref(), b"7");
        }
        check(Reader::new(written().as_slice()));
        check(Reader::new(Bytes::from(written())));
    }

    #[test]
    fn a_buffer_that_ends_too_early_says_how_much_is_missing() {
        assert_eq!(Reader::new([1, 2, 3].as_slice()).u64(), Err(WireError::Truncated { missing: 5 }));
        assert_eq!(Reader::new(Bytes::new()).u8(), Err(WireError::Truncated { missing: 1 }));
        assert_eq!(
            Reader::new([1].as_slice()).bytes(usize::MAX),
            Err(WireError::Truncated { missing: usize::MAX - 1 })
        );
    }

    #[test]
    fn a_length_is_judged_before_its_bytes_are_looked_for() {
        let mut out = Vec::new();
        Writer::new(&mut out).u32(u32::MAX);

        let refused = Reader::new(out.as_slice()).string("name", 256);

        assert_eq!(refused, Err(WireError::TooLong { what: "name", length: u64::from(u32::MAX), max: 256 }));
    }

    #[test]
    fn bytes_that_nobody_read_are_refused() {
        assert_eq!(Reader::new([].as_slice()).finish("frame"), Ok(()));
        assert_eq!(Reader::new([0].as_slice()).finish("frame"), Err(WireError::Invalid { what: "frame" }));
    }

    #[test]
    fn a_string_over_bytes_is_a_slice_of_the_same_allocation() {
        let bytes = Bytes::from(written());

        let mut reader = Reader::new(bytes.clone());
        let front = reader.bytes(4).unwrap();

        assert_eq!(front.as_ptr(), bytes.as_ptr());
    }
}
