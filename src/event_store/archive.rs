//! Archiving: an aggregate leaves the store, and what it was waits for whoever consumes archives.

use redb::{ReadableTable, WriteTransaction};

use super::error::StoreError;
use super::index::Indexes;
use super::snapshots::first_key;
use super::tables::{
    AGGREGATES, ARCHIVE, ARCHIVED_EVENTS, ARCHIVED_IDS, ArchiveRow, EVENTS, EventsRow, GAPS, GapRow, LOG,
    SNAPSHOTS, archived_event_key, event_key, event_of, position_key,
};
use super::view::read_aggregate;
use super::{AggregateId, Position, Removal, Response};

/// Makes the aggregate the archive record of log index `index`. Its id may begin another life, at sequence 0.
pub(super) fn archive(
    store: &WriteTransaction,
    index: u64,
    id: &AggregateId,
) -> Result<Response, StoreError> {
    let mut aggregates = store.open_table(AGGREGATES)?;
    let Some(mut row) = read_aggregate(&aggregates, id)? else {
        return Ok(Response::ArchiveDone { index: None });
    };
    let mut snapshots = store.open_table(SNAPSHOTS)?;
    let snapshot = snapshots.remove(id.as_key())?;
    let record = ArchiveRow {
        id: id.clone(),
        snapshot_sequence: row.is.snapshot_sequence,
        base_sequence: row.is.base_sequence,
        sequence: row.is.sequence,
        snapshot: snapshot.map_or_else(Default::default, |data| data.value().to_vec().into()),
    };
    store.open_table(ARCHIVE)?.insert(index.to_be_bytes().as_slice(), record.encoded().as_slice())?;
    let last = move_events(store, index, id)?;
    Indexes::open(store)?.forget(id, &mut row.is)?;
    leave_gap(store, id, row.trimmed, last.or(row.trimmed))?;
    aggregates.remove(id.as_key())?;
    Ok(Response::ArchiveDone { index: Some(index) })
}

/// The archive record of log index `index` was handled: it goes.
pub(super) fn consume(store: &WriteTransaction, index: u64) -> Result<Response, StoreError> {
    let was_there = store.open_table(ARCHIVE)?.remove(index.to_be_bytes().as_slice())?.is_some();
    let mut events = store.open_table(ARCHIVED_EVENTS)?;
    let (first, last) = (archived_event_key(index, 0), archived_event_key(index, u64::MAX));
    events.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
    Ok(Response::Consumed { was_there })
}

/// Where the last of the events stood.
fn move_events(
    store: &WriteTransaction,
    index: u64,
    id: &AggregateId,
) -> Result<Option<Position>, StoreError> {
    let (mut events, mut log) = (store.open_table(EVENTS)?, store.open_table(LOG)?);
    let mut archived = store.open_table(ARCHIVED_EVENTS)?;
    let mut last = None;
    let range = (event_key(id, 0), event_key(id, u64::MAX));
    while let Some(key) = first_key(&events, &range.0, &range.1)? {
        let row = events.remove(key.as_slice())?.expect("a row that was just seen");
        let (_, first) = event_of(&key)?;
        let found = EventsRow::decode(row.value())?;
        archived.insert(archived_event_key(index, first).as_slice(), row.value())?;
        log.remove(position_key(found.position).as_slice())?;
        last = Some(found.last());
    }
    Ok(last)
}

/// All that ever was of this id is one gap, where the last of it stood; `trimmed` is that of the life that ends.
fn leave_gap(
    store: &WriteTransaction,
    id: &AggregateId,
    trimmed: Option<Position>,
    last: Option<Position>,
) -> Result<(), StoreError> {
    let Some(last) = last else { return Ok(()) };
    let (mut gaps, mut archived_ids) = (store.open_table(GAPS)?, store.open_table(ARCHIVED_IDS)?);
    if let Some(trimmed) = trimmed {
        gaps.remove(position_key(trimmed).as_slice())?;
    }
    if let Some(before) = archived_ids.get(id.as_key())? {
        gaps.remove(before.value())?;
    }
    let gap = GapRow { first_available: 0, removed_by: Removal::Archive, id: id.clone() };
    gaps.insert(position_key(last).as_slice(), gap.encoded().as_slice())?;
    archived_ids.insert(id.as_key(), position_key(last).as_slice())?;
    Ok(())
}
