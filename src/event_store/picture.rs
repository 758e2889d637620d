//! A snapshot of the whole store: all rows, table by table, each table sorted. So equal stores have equal snapshots.
//!
//! ```text
//! "QuorateEvents" | version 1
//! rows             table 1: its place in `tables::ALL`, from 1 | key's length 4 | value's length 4 | key | value
//! 0 | rows 8                                                                              (numbers are big endian)
//! ```
//!
//! It comes from another node, and is judged as it is read: every row must be one, and stand where it belongs. Its own
//! checksums were verified before its bytes are given out here.

use std::io::{self, BufReader, BufWriter, Read, Write as _};

use redb::WriteTransaction;

use super::append::Written;
use super::error::StoreError;
use super::limits::Invalid;
use super::tables::{ALL, Judge, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use super::view::View;
use crate::machine::{DecodeError, MachineError};

/// Writes what `view` shows.
pub(super) fn write(view: &View, out: &mut dyn io::Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    out.write_all(MAGIC)?;
    let mut rows = 0_u64;
    for (nth, (table, _)) in ALL.into_iter().enumerate() {
        // What the disk says stops the snapshot; what the output says goes back as it came.
        let written = view.read(|store| {
            let rows_of_table = store.open_table(table)?;
            for row in rows_of_table.range::<&[u8]>(..)? {
                let (key, value) = row?;
                if let Err(error) = write_row(&mut out, nth, key.value(), value.value()) {
                    return Ok(Err(error));
                }
                rows += 1;
            }
            Ok(Ok(()))
        });
        written.map_err(|error| io::Error::other(error.to_string()))??;
    }
    out.write_all(&[0])?;
    out.write_all(&rows.to_be_bytes())?;
    out.flush()
}

fn write_row(out: &mut impl io::Write, nth: usize, key: &[u8], value: &[u8]) -> io::Result<()> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a row is within its limits").to_be_bytes();
    out.write_all(&[nth as u8 + 1])?;
    out.write_all(&length(key))?;
    out.write_all(&length(value))?;
    out.write_all(key)?;
    out.write_all(value)
}

/// Puts the rows of a snapshot in the place of all that is there.
pub(super) fn read(store: &WriteTransaction, from: &mut dyn Read) -> Result<(), MachineError> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(MachineError::new("this is no snapshot of an event store, or one of a later version"));
    }
    let mut rows = Rows { from, row: None, count: 0 };
    rows.step(0, None)?;
    for (nth, (table, judge)) in ALL.into_iter().enumerate() {
        store.delete_table(table).map_err(StoreError::from)?;
        let mut table = store.open_table(table).map_err(StoreError::from)?;
        rows.read_table(nth, judge, &mut table)?;
    }
    rows.finish()
}

/// The rows of a snapshot, of which the first is read ahead.
struct Rows<R> {
    from: R,
    row: Option<Row>,
    count: u64,
}

struct Row {
    table: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<R: Read> Rows<R> {
    fn read_table(&mut self, nth: usize, judge: Judge, table: &mut Written<'_>) -> Result<(), MachineError> {
        while let Some(row) = self.row.take_if(|row| row.table == nth) {
            judge(&row.key, &row.value).map_err(unreadable)?;
            table.insert(row.key.as_slice(), row.value.as_slice()).map_err(StoreError::from)?;
            self.count += 1;
            self.step(nth, Some(&row.key))?;
        }
        Ok(())
    }

    /// Reads the next row. It stands in the same table behind `before`, or in a later one.
    fn step(&mut self, nth: usize, before: Option<&[u8]>) -> Result<(), MachineError> {
        let Some(table) = self.number::<1>()?[0].checked_sub(1).map(usize::from) else {
            return Ok(());
        };
        let key = u32::from_be_bytes(self.number()?) as usize;
        let value = u32::from_be_bytes(self.number()?) as usize;
        let judged = Invalid::judge_bytes("a key", key, KEY_BYTES_MAX)
            .and_then(|()| Invalid::judge_bytes("a value", value, VALUE_BYTES_MAX));
        judged.map_err(|invalid| unreadable(invalid.into()))?;
        let (key, value) = (self.bytes(key)?, self.bytes(value)?);
        let is_in_order = match before {
            _ if table >= ALL.len() => false,
            Some(before) if table == nth => before < key.as_slice(),
            _ => table >= nth,
        };
        if !is_in_order {
            return Err(MachineError::new("the snapshot's rows are out of order"));
        }
        self.row = Some(Row { table, key, value });
        Ok(())
    }

    fn finish(mut self) -> Result<(), MachineError> {
        let rows = u64::from_be_bytes(self.number()?);
        if self.row.is_some() || rows != self.count {
            return Err(MachineError::new("the snapshot does not hold the rows that it names"));
        }
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(MachineError::new("the snapshot goes on behind its end")),
        }
    }

    fn number<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], MachineError> {
        let mut number = [0; WIDTH];
        self.from.read_exact(&mut number)?;
        Ok(number)
    }

    /// No more memory is taken than bytes come.
    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, MachineError> {
        let mut bytes = Vec::with_capacity(length.min(BUFFER_BYTES));
        self.from.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }
}

fn unreadable(error: DecodeError) -> MachineError {
    MachineError::new(format!("the snapshot holds a row that is none: {}", error.reason))
}

/// The last byte is the version.
const MAGIC: &[u8; 14] = b"QuorateEvents\x01";
const BUFFER_BYTES: usize = 64 << 10;
