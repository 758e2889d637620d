//! The store as a stream of bytes, which is what a snapshot of it holds.
//!
//! # Byte form
//! A version (`u8`) and the number of keys (`u64`). Then every key with its value, in no order: the length of the key
//! (`u32`), the key, the length of the value (`u32`), the value. Nothing behind. Integers are little endian.
//!
//! Whoever writes or reads it holds one key and one value at a time, beside the store.

use std::io::{self, BufReader, BufWriter, Read, Write};

use bytes::Bytes;
use imbl::HashMap;
use quorate::MachineError;

use super::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

const VERSION: u8 = 1;
/// Small keys and values are gathered to pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// Writes all keys and values.
pub(crate) fn write(values: &HashMap<Bytes, Bytes>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    out.write_all(&[VERSION])?;
    out.write_all(&(values.len() as u64).to_le_bytes())?;
    for (key, value) in values {
        write_string(&mut out, key)?;
        write_string(&mut out, value)?;
    }
    out.flush()
}

/// Reads what [`write`] wrote. It believes nothing: neither a length nor a number.
pub(crate) fn read(from: &mut dyn Read) -> Result<HashMap<Bytes, Bytes>, MachineError> {
    let mut from = BufReader::with_capacity(PIECE_BYTES, from);
    let [version] = array(&mut from)?;
    if version != VERSION {
        return Err(bad(format!("is written in version {version}, this program knows {VERSION}")));
    }
    let count = u64::from_le_bytes(array(&mut from)?);
    let mut values: HashMap<Bytes, Bytes> = HashMap::new();
    for _ in 0..count {
        let key = read_string(&mut from, "key", KEY_BYTES_MAX)?;
        let value = read_string(&mut from, "value", VALUE_BYTES_MAX)?;
        if values.insert(key, value).is_some() {
            return Err(bad("has a key twice"));
        }
    }
    if from.bytes().next().transpose()?.is_some() {
        return Err(bad("goes on behind its last key"));
    }
    Ok(values)
}

fn write_string(out: &mut impl Write, string: &[u8]) -> io::Result<()> {
    // Keys and values are limited far below what the length can say.
    out.write_all(&(string.len() as u32).to_le_bytes())?;
    out.write_all(string)
}

fn read_string(from: &mut impl Read, what: &str, bytes_max: usize) -> Result<Bytes, MachineError> {
    let length = u32::from_le_bytes(array(from)?) as usize;
    if length > bytes_max {
        return Err(bad(format!("has a {what} of {length} bytes, more than the {bytes_max} allowed")));
    }
    let mut string = vec![0; length];
    from.read_exact(&mut string)?;
    Ok(string.into())
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bad(what: impl std::fmt::Display) -> MachineError {
    MachineError { reason: format!("the snapshot {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&'static str, &'static str)]) -> HashMap<Bytes, Bytes> {
        pairs.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(*value))).collect()
    }

    fn written(values: &HashMap<Bytes, Bytes>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(values, &mut bytes).unwrap();
        bytes
    }

    fn refusal(bytes: &[u8]) -> String {
        read(&mut &*bytes).unwrap_err().reason
    }

    #[test]
    fn a_store_reads_as_it_was_written() {
        for values in [pairs(&[]), pairs(&[("", "")]), pairs(&[("b", "2"), ("a", "1"), ("ab", "")])] {
            assert_eq!(read(&mut &written(&values)[..]).unwrap(), values);
        }
        let many: HashMap<_, _> =
            (0..50_000).map(|n| (Bytes::from(format!("{n}")), Bytes::from(vec![7; n % 100]))).collect();
        assert_eq!(read(&mut &written(&many)[..]).unwrap(), many);
    }

    #[test]
    fn what_ends_early_or_late_is_refused() {
        let bytes = written(&pairs(&[("a", "1"), ("b", "2")]));
        for end in 0..bytes.len() {
            assert!(read(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(refusal(&[&bytes[..], b"x"].concat()), "the snapshot goes on behind its last key");
    }

    #[test]
    fn what_nobody_would_have_written_is_refused_by_name() {
        let count = |count: u64| [&[VERSION][..], &count.to_le_bytes()].concat();
        let pair = |key: &[u8]| [&(key.len() as u32).to_le_bytes()[..], key, &[0; 4]].concat();
        let newer = [VERSION + 1];
        let twice = [count(2), pair(b"a"), pair(b"a")].concat();
        let long_key = [count(1), vec![0xFF; 4]].concat();
        let long_value = [count(1), pair(b"a")[..5].to_vec(), vec![0xFF; 4]].concat();

        assert!(refusal(&newer).contains("version 2"));
        assert!(refusal(&twice).contains("a key twice"));
        assert!(refusal(&long_key).contains("a key of 4294967295 bytes"));
        assert!(refusal(&long_value).contains("a value of 4294967295 bytes"));
        assert!(read(&mut &count(u64::MAX)[..]).is_err(), "a number alone makes no room");
    }
}
