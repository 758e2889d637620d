//! A snapshot of the whole store: all rows, table by table, each table sorted. So equal stores have equal snapshots.
//!
//! ```text
//! "QuorateEvents" | version 1
//! rows             table 1: its place in `Table::ALL`, from 1 | key's length 4 | value's length 4 | key | value
//! 0 | rows 8                                                                              (numbers are big endian)
//! ```
//!
//! It comes from another node, and is judged as it is read: every row must be one, and stand where it belongs, and all of them
//! must agree (`agreement.rs`). Its own checksums were verified before its bytes are given out here.

use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::ops::Bound;

use bytes::Bytes;
use redb::WriteTransaction;

use super::agreement;
use super::error::StoreError;
use super::limits::Invalid;
use super::rows::{self, Look};
use super::tables::{KEY_BYTES_MAX, Table, VALUE_BYTES_MAX};
use super::view::View;
use crate::machine::MachineError;

/// Writes what `view` shows.
pub(super) fn write(view: &View, out: &mut dyn io::Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    out.write_all(MAGIC)?;
    let mut rows = 0_u64;
    for table in Table::ALL {
        // What the disk says stops the snapshot; what the output says goes back as it came.
        let written = view.read(|store| {
            for row in store.range(table, &[], Bound::Unbounded)? {
                let (key, value) = row?;
                if let Err(error) = write_row(&mut out, table, &key, &value) {
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

fn write_row(out: &mut impl io::Write, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a row is within its limits").to_be_bytes();
    out.write_all(&[table as u8 + 1])?;
    out.write_all(&length(key))?;
    out.write_all(&length(value))?;
    out.write_all(key)?;
    out.write_all(value)
}

/// Puts the rows of a snapshot in the place of all that is there; the last log index of which they hold something.
pub(super) fn read(store: &WriteTransaction, from: &mut dyn Read) -> Result<u64, MachineError> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(MachineError::new("this is no snapshot of an event store, or one of a later version"));
    }
    let mut rows = Rows { from, row: None, count: 0 };
    rows.step(Table::Aggregates, None)?;
    for table in Table::ALL {
        rows::insert(store, table, || rows.next(table))?;
    }
    rows.finish()?;
    let rows = Look::within(store)?;
    agreement::judge(&rows).map_err(|error| match error {
        StoreError::Damaged { reason } => {
            MachineError::new(format!("the snapshot's rows contradict each other: {reason}"))
        }
        other => other.into(),
    })?;
    Ok(agreement::last_index(&rows)?)
}

/// The rows of a snapshot, of which the first is read ahead.
struct Rows<R> {
    from: R,
    row: Option<Row>,
    count: u64,
}

struct Row {
    table: Table,
    key: Vec<u8>,
    value: Bytes,
}

impl<R: Read> Rows<R> {
    /// The next row, if it is one of `table`.
    fn next(&mut self, table: Table) -> Result<Option<(Vec<u8>, Bytes)>, MachineError> {
        let Some(Row { key, value, .. }) = self.row.take_if(|row| row.table == table) else {
            return Ok(None);
        };
        table.judge(&key, &value).map_err(unreadable)?;
        self.count += 1;
        self.step(table, Some(&key))?;
        Ok(Some((key, value)))
    }

    /// Reads the next row. It stands in the same table behind `before`, or in a later one.
    fn step(&mut self, table: Table, before: Option<&[u8]>) -> Result<(), MachineError> {
        let Some(nth) = self.number::<1>()?[0].checked_sub(1) else { return Ok(()) };
        let key = u32::from_be_bytes(self.number()?) as usize;
        let value = u32::from_be_bytes(self.number()?) as usize;
        let judged = Invalid::judge_bytes("a key", key, KEY_BYTES_MAX)
            .and_then(|()| Invalid::judge_bytes("a value", value, VALUE_BYTES_MAX));
        judged.map_err(unreadable)?;
        let (key, value) = (self.bytes(key)?, self.bytes(value)?);
        let next = Table::ALL.get(usize::from(nth)).copied().filter(|next| match before {
            Some(before) if *next == table => before < key.as_slice(),
            _ => *next >= table,
        });
        let Some(table) = next else {
            return Err(MachineError::new("the snapshot's rows are out of order"));
        };
        self.row = Some(Row { table, key, value: value.into() });
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

fn unreadable(error: impl fmt::Display) -> MachineError {
    MachineError::new(format!("the snapshot holds a row that is none: {error}"))
}

/// The last byte is the version.
const MAGIC: &[u8; 14] = b"QuorateEvents\x01";
const BUFFER_BYTES: usize = 64 << 10;
