//! What an append does: all of its changes, or none.

use super::command::Change;
use super::error::StoreError;
use super::index::change_indexes;
use super::limits::{LABELS_MAX, SEQUENCE_MAX};
use super::rows::Batch;
use super::tables::{AggregateRow, EventsRow, Table, event_key, position_key};
use super::view::{conflict, read_aggregate};
use super::{Appended, Index, Position, Refused, Response};

/// Appends what the entry at log index `index` brings.
pub(super) fn append(store: &Batch, index: u64, changes: Vec<Change>) -> Result<Response, StoreError> {
    let mut found = Vec::with_capacity(changes.len());
    for change in &changes {
        let known = read_aggregate(store, &change.id)?;
        let is_new = known.is_none();
        let row = known.unwrap_or_default();
        if row.is.sequence != change.expected {
            let conflict = conflict(store, &change.id, change.expected, &row)?;
            return Ok(Response::Conflict(conflict));
        }
        if let Err(refused) = judge(&row, change) {
            return Ok(Response::Refused(refused));
        }
        found.push((row, is_new));
    }
    let mut position = Position { index, offset: 0 };
    let mut next = Vec::with_capacity(changes.len());
    for (change, (mut row, is_new)) in changes.into_iter().zip(found) {
        // Who takes away what a new aggregate never had makes none.
        let says_nothing = change.is_guard() || is_new && change.only_clears();
        if !says_nothing {
            write(store, change, &mut row, &mut position)?;
        }
        next.push(row.is.sequence);
    }
    Ok(Response::Appended(Appended { position: Position { index, offset: 0 }, next }))
}

/// Writes what `change` brings; `position` goes on behind its events.
fn write(
    store: &Batch,
    change: Change,
    row: &mut AggregateRow,
    position: &mut Position,
) -> Result<(), StoreError> {
    change_indexes(store, &change, &mut row.is)?;
    let Change { id, expected, events, .. } = change;
    let count = events.count();
    if count > 0 {
        let key = position_key(*position);
        store.put(Table::Sequences, &event_key(&id, expected), key.to_vec().into());
        store.put(Table::Events, &key, EventsRow { id: id.clone(), first: expected, events }.encoded());
        *position = position.plus(count);
        row.is.sequence += u64::from(count);
    }
    store.put(Table::Aggregates, id.as_key(), row.encoded());
    Ok(())
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
