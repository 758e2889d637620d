//! Cursors over the byte forms of this room: numbers, ids and texts, all big endian, as the keys of a tree must be.
//!
//! Strings that a [`Reader`] hands out are slices of what it reads: an event's data is not copied between the log and the
//! tree.

use bytes::{Buf, Bytes};

use super::AggregateId;
use super::limits::Invalid;
use crate::machine::DecodeError;

/// Reads from the front of bytes; whatever is missing or too long is an error that names it.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// Over a copy, behind the version that the form begins with.
    pub(super) fn versioned(form: &'static str, bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [VERSION, rest @ ..] => Ok(Self::new(Bytes::copy_from_slice(rest))),
            [version, ..] => {
                Err(DecodeError::new(format!("{form} of version {version}, and we know {VERSION}")))
            }
            [] => Err(DecodeError::new(format!("{form} of no bytes"))),
        }
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.require(1)?;
        Ok(self.rest.get_u8())
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.require(2)?;
        Ok(self.rest.get_u16())
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.require(4)?;
        Ok(self.rest.get_u32())
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.require(8)?;
        Ok(self.rest.get_u64())
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.require(8)?;
        Ok(self.rest.get_i64())
    }

    /// One byte, 0 or 1.
    pub(super) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::new(format!("{other} where 0 or 1 should stand"))),
        }
    }

    /// A number of eight bytes that an event may have.
    pub(super) fn sequence(&mut self) -> Result<u64, DecodeError> {
        let sequence = self.u64()?;
        Invalid::judge_sequence(sequence)?;
        Ok(sequence)
    }

    /// A count of four bytes, at most `max`; what is counted takes at least a byte each.
    pub(super) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        Invalid::judge(what, "of them", count, max)?;
        self.require(count)?;
        Ok(count)
    }

    /// A length of four bytes, at most `max`, and as many bytes.
    pub(super) fn bytes(&mut self, what: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let length = self.u32()? as usize;
        Invalid::judge_bytes(what, length, max)?;
        self.take(length)
    }

    /// A length of two bytes, at most `max`, and as many bytes of UTF-8.
    pub(super) fn text(&mut self, what: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.short(what, max)?;
        str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::new(format!("{what}: not UTF-8")))
    }

    /// A length of two bytes, at most `max`, and as many bytes.
    pub(super) fn short(&mut self, what: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.u16()?);
        Invalid::judge_bytes(what, length, max)?;
        self.take(length)
    }

    /// A length of two bytes and an id's key. It may be of no parts.
    pub(super) fn prefix(&mut self) -> Result<AggregateId, DecodeError> {
        Ok(AggregateId::from_key(self.short("an aggregate's id", super::limits::ID_BYTES_MAX)?)?)
    }

    /// As [`Reader::prefix`], of at least one part.
    pub(super) fn id(&mut self) -> Result<AggregateId, DecodeError> {
        let id = self.prefix()?;
        if id.is_empty() { Err(Invalid::EmptyId.into()) } else { Ok(id) }
    }

    /// Nothing or something, told apart by a byte.
    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A count of four bytes and as many items.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        (0..self.count(what, max)?).map(|_| read(self)).collect()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.require(length)?;
        Ok(self.rest.split_to(length))
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is not read yet; stays unread.
    pub(super) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Refuses bytes that nobody read.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(DecodeError::new(format!("{more} bytes too many"))),
        }
    }

    fn require(&self, count: usize) -> Result<(), DecodeError> {
        match count.checked_sub(self.rest.len()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(DecodeError::new(format!("{missing} bytes are missing at the end"))),
        }
    }
}

/// The first byte of every command, query and response.
pub(super) const VERSION: u8 = 1;

/// Writes what a [`Reader`] reads.
pub(super) trait Write {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    /// # Panics
    /// As all lengths here: if it does not fit its field. Limits stand below, and are judged first.
    fn put_count(&mut self, count: usize) {
        self.put_u32(u32::try_from(count).expect("a count is within its limit"));
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.put(bytes);
    }

    fn put_text(&mut self, text: &str) {
        self.put_short(text.as_bytes());
    }

    fn put_short(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("a length is within its limit");
        self.put(&length.to_be_bytes());
        self.put(bytes);
    }

    fn put_id(&mut self, id: &AggregateId) {
        self.put_short(id.as_key());
    }

    fn put_option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.put_bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn put_list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.put_count(items.len());
        for item in items {
            write(self, item);
        }
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
