//! Snapshots of aggregates: what their events so far amount to, and the end of those events if they are trimmed.

use std::ops::Bound;

use bytes::Bytes;

use super::error::StoreError;
use super::rows::Batch;
use super::tables::{AggregateRow, EventsRow, GapRow, Table, event_key, missing, position_key, position_of};
use super::view::read_aggregate;
use super::{AggregateId, Position, Removal, Response};

/// Keeps `data` as the snapshot at `sequence`, unless a newer one is kept. One that runs ahead of the events takes the
/// aggregate there. If it `trims`, the events before it are removed.
pub(super) fn save(
    store: &Batch,
    id: &AggregateId,
    sequence: u64,
    data: Bytes,
    trims: bool,
) -> Result<Response, StoreError> {
    let mut row = read_aggregate(store, id)?.unwrap_or_default();
    if sequence < row.is.snapshot_sequence {
        return Ok(Response::Saved { is_newest: false });
    }
    store.put(Table::Snapshots, id.as_key(), data);
    row.is.snapshot_sequence = sequence;
    let until = sequence.min(row.is.sequence);
    row.is.sequence = row.is.sequence.max(sequence);
    if trims && until > row.is.base_sequence {
        trim(store, id, &mut row, until)?;
    }
    store.put(Table::Aggregates, id.as_key(), row.encoded());
    Ok(Response::Saved { is_newest: true })
}

/// Removes the events before `until`, and leaves a gap for those who have not seen them.
fn trim(store: &Batch, id: &AggregateId, row: &mut AggregateRow, until: u64) -> Result<(), StoreError> {
    let (from, end) = (event_key(id, row.is.base_sequence), event_key(id, until));
    let mut last = None;
    for found in store.range(Table::Sequences, &from, Bound::Excluded(&end))? {
        let (key, at) = found?;
        let position = position_of(&at)?;
        let events = take_events(store, &at)?;
        store.remove(Table::Sequences, &key);
        let count = events.events.count();
        let gone = u64::from(count).min(until.saturating_sub(events.first)) as u32;
        last = Some(position.plus(gone.max(1) - 1));
        if gone < count {
            let at = position_key(position.plus(gone));
            let left = EventsRow { first: until, events: events.events.behind(gone), ..events };
            store.put(Table::Events, &at, left.encoded());
            store.put(Table::Sequences, &end, at.to_vec().into());
        }
    }
    row.is.base_sequence = until;
    // Where a snapshot ran ahead nothing stood: only the end of what is gone moves.
    if let Some(last) = last.or(row.trimmed) {
        move_gap(store, id, row, last);
    }
    Ok(())
}

/// Takes the row of events that `sequences` says stands at `at`.
pub(super) fn take_events(store: &Batch, at: &[u8]) -> Result<EventsRow, StoreError> {
    let row = store.take(Table::Events, at)?.ok_or_else(|| missing(at))?;
    Ok(EventsRow::decode(&row)?)
}

/// All that was trimmed of an aggregate is one gap, where the last of it stood.
fn move_gap(store: &Batch, id: &AggregateId, row: &mut AggregateRow, last: Position) {
    if let Some(before) = row.trimmed.replace(last) {
        store.remove(Table::Gaps, &position_key(before));
    }
    let gap = GapRow { first_available: row.is.base_sequence, removed_by: Removal::Trim, id: id.clone() };
    store.put(Table::Gaps, &position_key(last), gap.encoded());
}
