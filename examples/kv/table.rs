//! The map behind the store, in pieces that pictures share: to take a picture copies a list of pointers, and a write
//! while a picture is there copies one piece, once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// A million keys make pieces of a thousand: copied in some ten microseconds.
const PIECES: usize = 1024;

type Piece = HashMap<Bytes, Bytes>;

/// A map from bytes to bytes of which a clone is cheap.
#[derive(Clone)]
pub(crate) struct Table {
    pieces: Vec<Arc<Piece>>,
    hasher: RandomState,
}

impl Table {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.pieces[self.place(key)].get(key)
    }

    pub(crate) fn contains_key(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    pub(crate) fn insert(&mut self, key: Bytes, value: Bytes) {
        let place = self.place(&key);
        Arc::make_mut(&mut self.pieces[place]).insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        let place = self.place(key);
        // What is not there is no reason to copy the piece.
        self.pieces[place].contains_key(key).then(|| Arc::make_mut(&mut self.pieces[place]).remove(key))?
    }

    /// Writes all pairs: how many there are, then each key and value behind its length.
    pub(crate) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        out.write_all(&(self.len() as u64).to_le_bytes())?;
        for (key, value) in self.pieces.iter().flat_map(|piece| piece.iter()) {
            for part in [key, value] {
                let length = u32::try_from(part.len()).map_err(io::Error::other)?;
                out.write_all(&length.to_le_bytes())?;
                out.write_all(part)?;
            }
        }
        out.flush()
    }

    /// Reads what [`Table::write_to`] wrote.
    pub(crate) fn read_from(input: &mut dyn Read) -> io::Result<Self> {
        let mut input = BufReader::new(input);
        let mut count = [0; 8];
        input.read_exact(&mut count)?;
        let mut table = Self::default();
        for _ in 0..u64::from_le_bytes(count) {
            let key = read_part(&mut input, KEY_BYTES_MAX)?;
            let value = read_part(&mut input, VALUE_BYTES_MAX)?;
            table.insert(key, value);
        }
        Ok(table)
    }

    fn place(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % PIECES
    }
}

fn read_part(input: &mut impl Read, bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a key or a value is longer than any can be"));
    }
    let mut part = vec![0; length];
    input.read_exact(&mut part)?;
    Ok(part.into())
}

impl Default for Table {
    fn default() -> Self {
        Self { pieces: vec![Arc::default(); PIECES], hasher: RandomState::new() }
    }
}

impl Extend<(Bytes, Bytes)> for Table {
    fn extend<T: IntoIterator<Item = (Bytes, Bytes)>>(&mut self, pairs: T) {
        pairs.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
}
