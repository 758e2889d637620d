//! Archiving: an aggregate leaves the store, and what it was waits for whoever consumes archives.

use std::ops::Bound;

use super::error::StoreError;
use super::index::forget;
use super::rows::Batch;
use super::snapshots::take_events;
use super::tables::{ArchiveRow, GapRow, Table, archived_event_key, event_key, position_key, position_of};
use super::view::read_aggregate;
use super::{AggregateId, Position, Removal, Response};

/// Makes the aggregate the archive record of log index `index`. Its id may begin another life, at sequence 0.
pub(super) fn archive(store: &Batch, index: u64, id: &AggregateId) -> Result<Response, StoreError> {
    let Some(mut row) = read_aggregate(store, id)? else {
        return Ok(Response::ArchiveDone { index: None });
    };
    let record = ArchiveRow {
        id: id.clone(),
        snapshot_sequence: row.is.snapshot_sequence,
        base_sequence: row.is.base_sequence,
        sequence: row.is.sequence,
        snapshot: store.take(Table::Snapshots, id.as_key())?.unwrap_or_default(),
    };
    store.put(Table::Archive, &index.to_be_bytes(), record.encoded());
    let last = move_events(store, index, id)?;
    forget(store, id, &mut row.is)?;
    leave_gap(store, id, row.trimmed, last)?;
    store.remove(Table::Aggregates, id.as_key());
    Ok(Response::ArchiveDone { index: Some(index) })
}

/// The archive record of log index `index` was handled: it goes.
pub(super) fn consume(store: &Batch, index: u64) -> Result<Response, StoreError> {
    let was_there = store.take(Table::Archive, &index.to_be_bytes())?.is_some();
    let (first, last) = (archived_event_key(index, 0), archived_event_key(index, u64::MAX));
    for row in store.range(Table::ArchivedEvents, &first, Bound::Included(&last))? {
        store.remove(Table::ArchivedEvents, &row?.0);
    }
    Ok(Response::Consumed { was_there })
}

/// Where the last of the events stood.
fn move_events(store: &Batch, index: u64, id: &AggregateId) -> Result<Option<Position>, StoreError> {
    let mut last = None;
    let (first, end) = (event_key(id, 0), event_key(id, u64::MAX));
    for row in store.range(Table::Sequences, &first, Bound::Included(&end))? {
        let (key, at) = row?;
        let events = take_events(store, &at)?;
        store.remove(Table::Sequences, &key);
        store.put(Table::ArchivedEvents, &archived_event_key(index, events.first), events.encoded());
        last = Some(events.last(position_of(&at)?));
    }
    Ok(last)
}

/// All that ever was of this id is one gap, where the last of it stood: behind what was `trimmed` of the life that ends, if
/// it had an event left.
fn leave_gap(
    store: &Batch,
    id: &AggregateId,
    trimmed: Option<Position>,
    last: Option<Position>,
) -> Result<(), StoreError> {
    let Some(last) = last.or(trimmed) else { return Ok(()) };
    if let Some(trimmed) = trimmed {
        store.remove(Table::Gaps, &position_key(trimmed));
    }
    if let Some(before) = store.get(Table::ArchivedIds, id.as_key())? {
        store.remove(Table::Gaps, &before);
    }
    let gap = GapRow { first_available: 0, removed_by: Removal::Archive, id: id.clone() };
    let key = position_key(last);
    store.put(Table::Gaps, &key, gap.encoded());
    store.put(Table::ArchivedIds, id.as_key(), key.to_vec().into());
    Ok(())
}
