//! Snapshots of aggregates: what their events so far amount to, and the end of those events if they are trimmed.

use redb::{ReadableTable, WriteTransaction};

use super::error::StoreError;
use super::tables::{
    AGGREGATES, AggregateRow, EVENTS, EventsRow, GAPS, GapRow, LOG, SNAPSHOTS, event_key, event_of,
    position_key,
};
use super::view::read_aggregate;
use super::{AggregateId, Position, Removal, Response};

/// Keeps `data` as the snapshot at `sequence`, unless a newer one is kept. One that runs ahead of the events takes the
/// aggregate there. If it `trims`, the events before it are removed.
pub(super) fn save(
    store: &WriteTransaction,
    id: &AggregateId,
    sequence: u64,
    data: &[u8],
    trims: bool,
) -> Result<Response, StoreError> {
    let mut aggregates = store.open_table(AGGREGATES)?;
    let mut row = read_aggregate(&aggregates, id)?.unwrap_or_default();
    if sequence < row.is.snapshot_sequence {
        return Ok(Response::Saved { is_newest: false });
    }
    store.open_table(SNAPSHOTS)?.insert(id.as_key(), data)?;
    row.is.snapshot_sequence = sequence;
    let until = sequence.min(row.is.sequence);
    row.is.sequence = row.is.sequence.max(sequence);
    if trims && until > row.is.base_sequence {
        trim(store, id, &mut row, until)?;
    }
    aggregates.insert(id.as_key(), row.encoded().as_slice())?;
    Ok(Response::Saved { is_newest: true })
}

/// Removes the events before `until`, and leaves a gap for those who have not seen them.
fn trim(
    store: &WriteTransaction,
    id: &AggregateId,
    row: &mut AggregateRow,
    until: u64,
) -> Result<(), StoreError> {
    let (mut events, mut log) = (store.open_table(EVENTS)?, store.open_table(LOG)?);
    let mut last = None;
    let range = (event_key(id, row.is.base_sequence), event_key(id, until));
    while let Some(key) = first_key(&events, &range.0, &range.1)? {
        let found = events.remove(key.as_slice())?.map(|row| EventsRow::decode(row.value())).transpose()?;
        let found = found.expect("a row that was just seen");
        log.remove(position_key(found.position).as_slice())?;
        let (_, first) = event_of(&key)?;
        let count = u64::from(found.events.count());
        let gone = count.min(until - first) as u32;
        last = Some(found.position_of(gone - 1));
        if u64::from(gone) < count {
            let left = EventsRow { position: found.position_of(gone), events: found.events.behind(gone) };
            let key = event_key(id, until);
            events.insert(key.as_slice(), left.encoded().as_slice())?;
            log.insert(position_key(left.position).as_slice(), key.as_slice())?;
        }
    }
    row.is.base_sequence = until;
    match last {
        Some(last) => move_gap(store, id, row, last),
        None => Ok(()), // a snapshot ran ahead, and nothing stood there
    }
}

/// All that was trimmed of an aggregate is one gap, where the last of it stood.
fn move_gap(
    store: &WriteTransaction,
    id: &AggregateId,
    row: &mut AggregateRow,
    last: Position,
) -> Result<(), StoreError> {
    let mut gaps = store.open_table(GAPS)?;
    if let Some(before) = row.trimmed.replace(last) {
        gaps.remove(position_key(before).as_slice())?;
    }
    let gap = GapRow { first_available: row.is.base_sequence, removed_by: Removal::Trim, id: id.clone() };
    gaps.insert(position_key(last).as_slice(), gap.encoded().as_slice())?;
    Ok(())
}

/// The first key from `from` to before `until`.
pub(super) fn first_key(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    until: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let first = rows.range(from..until)?.next().transpose()?;
    Ok(first.map(|(key, _)| key.value().to_vec()))
}
