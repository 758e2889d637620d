//! What an append does: all of its changes, or none.

use redb::{Table, WriteTransaction};

use super::command::Change;
use super::cursor::Write;
use super::error::StoreError;
use super::event::Batch;
use super::index::Indexes;
use super::limits::{LABELS_MAX, SEQUENCE_MAX};
use super::tables::{AGGREGATES, AggregateRow, EVENTS, LOG, event_key, position_key};
use super::view::{conflict, read_aggregate};
use super::{Appended, Index, Position, Refused, Response};

/// A table of bytes that is being written.
pub(super) type Written<'a> = Table<'a, &'static [u8], &'static [u8]>;

/// Appends what the entry at log index `index` brings.
pub(super) fn append(
    store: &WriteTransaction,
    index: u64,
    changes: &[Change],
) -> Result<Response, StoreError> {
    let mut aggregates = store.open_table(AGGREGATES)?;
    let mut found = Vec::with_capacity(changes.len());
    for change in changes {
        let row = read_aggregate(&aggregates, &change.id)?.unwrap_or_default();
        if row.is.sequence != change.expected {
            let conflict = conflict(&store.open_table(EVENTS)?, &change.id, change.expected, &row)?;
            return Ok(Response::Conflict(conflict));
        }
        if let Err(refused) = judge(&row, change) {
            return Ok(Response::Refused(refused));
        }
        found.push(row);
    }
    let mut events = EventTables::open(store)?;
    let mut position = Position { index, offset: 0 };
    let mut next = Vec::with_capacity(changes.len());
    for (change, mut row) in changes.iter().zip(found) {
        let count = change.events.count();
        if count > 0 {
            events.write(change, position)?;
            position.offset += count;
            row.is.sequence += u64::from(count);
        }
        if !change.index.is_empty() {
            Indexes::open(store)?.change(change, &mut row.is)?;
        }
        if !change.is_guard() {
            aggregates.insert(change.id.as_key(), row.encoded().as_slice())?;
        }
        next.push(row.is.sequence);
    }
    Ok(Response::Appended(Appended { position: Position { index, offset: 0 }, next }))
}

fn judge(row: &AggregateRow, change: &Change) -> Result<(), Refused> {
    if row.is.sequence > SEQUENCE_MAX - u64::from(change.events.count()) {
        return Err(Refused::NoSequenceLeft);
    }
    let Index { labels, .. } = &change.index;
    let kept = row.is.labels.keys().filter(|name| !labels.contains_key(*name)).count();
    let set = labels.values().filter(|value| !value.is_empty()).count();
    if kept + set > LABELS_MAX { Err(Refused::TooManyLabels) } else { Ok(()) }
}

/// The events of all aggregates, and their order.
struct EventTables<'a> {
    events: Written<'a>,
    log: Written<'a>,
}

impl<'a> EventTables<'a> {
    fn open(store: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self { events: store.open_table(EVENTS)?, log: store.open_table(LOG)? })
    }

    fn write(&mut self, change: &Change, position: Position) -> Result<(), StoreError> {
        let key = event_key(&change.id, change.expected);
        insert_events(&mut self.events, &key, position, &change.events)?;
        self.log.insert(position_key(position).as_slice(), key.as_slice())?;
        Ok(())
    }
}

/// Writes a row of events in place: their bytes are copied once, from the command into the tree.
fn insert_events(
    rows: &mut Written<'_>,
    key: &[u8],
    position: Position,
    events: &Batch,
) -> Result<(), StoreError> {
    let bytes = events.bytes();
    let mut head = Vec::with_capacity(16);
    head.put(&position_key(position));
    head.put_u32(events.count());
    let mut row = rows.insert_reserve(key, head.len() + bytes.len())?;
    let (front, rest) = row.as_mut().split_at_mut(head.len());
    front.copy_from_slice(&head);
    rest.copy_from_slice(bytes);
    Ok(())
}
