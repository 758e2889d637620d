//! The fields of a byte form, one after the other.

use bytes::Bytes;
use quorate::DecodeError;

/// Appends a string.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the length of what follows. Requests and replies are limited far below what it can say.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
}

/// Appends a list of strings.
pub(crate) fn put_list(out: &mut Vec<u8>, items: &[Bytes]) {
    put_count(out, items.len());
    for item in items {
        put_bytes(out, item);
    }
}

/// Reads fields; what is not there is an error, and no length is believed before the bytes are there.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields behind the version, if it is the one we know.
    pub(crate) fn of_version(version: u8, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes {
            [found, rest @ ..] if *found == version => Ok(Self { rest }),
            [found, ..] => {
                Err(DecodeError::new(format!("written in version {found}, this program knows {version}")))
            }
            [] => Err(DecodeError::new("no bytes where a version is expected")),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn integer(&mut self) -> Result<i64, DecodeError> {
        let bytes = self.take(8)?.try_into().map_err(|_| cut_short())?;
        Ok(i64::from_le_bytes(bytes))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.count()?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count()?;
        if count > self.rest.len() {
            return Err(cut_short());
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// `value`, if nothing is left behind it.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, DecodeError> {
        if self.rest.is_empty() { Ok(value) } else { Err(DecodeError::new("bytes behind the last field")) }
    }

    fn count(&mut self) -> Result<usize, DecodeError> {
        let bytes = self.take(4)?.try_into().map_err(|_| cut_short())?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn cut_short() -> DecodeError {
    DecodeError::new("ends before its last field")
}
