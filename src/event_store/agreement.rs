//! Whether the rows of a store agree with each other. Each is a row by itself (`tables.rs`); together they may contradict
//! each other, and no command ever brings that about.
//!
//! What is to be found fast stands in several tables. A command that misses a row which another one names stops the node, at
//! every start; a query would be answered one way or another, depending on where it looked. So rows that come from elsewhere
//! are judged before they count: those of a snapshot, and those of a store under suspicion. Nothing is collected in memory
//! for that: whatever a row names is looked up, and where each names another row, as many rows are there as are named.

use std::ops::Bound;

use redb::ReadableTable;

use super::cursor::Reader;
use super::error::StoreError;
use super::rows::Look;
use super::tables::{
    AggregateRow, ArchiveRow, EventsRow, GapRow, Table, archived_event_of, behind_label, count_of, event_of,
    id_of, label_key, missing, position_key, position_of, status_key,
};
use super::{AggregateId, Position, Removal};

/// Rows, each of which is one.
pub(super) trait Rows: ReadableTable<&'static [u8], &'static [u8]> {}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Rows for T {}

/// Refuses rows that contradict each other, as damage.
pub(super) fn judge(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    aggregates(rows)?;
    snapshots(rows)?;
    events_of_aggregates(rows)?;
    events_in_the_log(rows)?;
    label_values(rows)?;
    archived_events(rows)
}

/// Aggregates stand where their status, their labels and the ends of what was removed say.
fn aggregates(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    let (mut statuses, mut labels, mut gaps) = (0, 0, 0);
    for row in rows.each(Table::Aggregates)? {
        let (key, row) = row?;
        let (id, AggregateRow { is, trimmed }) = (id_of(&key)?, AggregateRow::decode(&row)?);
        if is.snapshot_sequence > 0 && !rows.has(Table::Snapshots, &key)? {
            return Err(disagree("an aggregate's snapshot is missing"));
        }
        if let Some((status, since)) = &is.status {
            statuses += 1;
            if !rows.has(Table::Statuses, &status_key(status, *since, &id))? {
                return Err(disagree("an aggregate is not found by its status"));
            }
        }
        for (name, value) in &is.labels {
            labels += 1;
            if !rows.has(Table::Labels, &label_key(name, value, &id))? {
                return Err(disagree("an aggregate is not found by its label"));
            }
        }
        if let Some(at) = trimmed {
            gaps += 1;
            let gap = GapRow { first_available: is.base_sequence, removed_by: Removal::Trim, id };
            judge_gap(rows, &position_key(at), &gap)?;
        }
    }
    for row in rows.each(Table::ArchivedIds)? {
        let (id, at) = row?;
        gaps += 1;
        let gap = GapRow { first_available: 0, removed_by: Removal::Archive, id: id_of(&id)? };
        judge_gap(rows, &at, &gap)?;
    }
    judge_count(rows, Table::Statuses, statuses, "an aggregate is found by a status that it has not")?;
    judge_count(rows, Table::Labels, labels, "an aggregate is found by a label that it has not")?;
    judge_count(rows, Table::Gaps, gaps, "there is a gap where nobody's events were")
}

fn judge_gap(rows: &Look<impl Rows>, at: &[u8], gap: &GapRow) -> Result<(), StoreError> {
    match rows.get(Table::Gaps, at)? {
        Some(found) if GapRow::decode(&found)? == *gap => Ok(()),
        _ => Err(disagree("the gap where events were removed is missing")),
    }
}

fn snapshots(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    for row in rows.each(Table::Snapshots)? {
        if !rows.has(Table::Aggregates, &row?.0)? {
            return Err(disagree("there is a snapshot of no aggregate"));
        }
    }
    Ok(())
}

/// An aggregate's events follow each other, in the log as well, between its base and its sequence.
fn events_of_aggregates(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    let mut of: Option<(AggregateId, Span, Position)> = None;
    for row in rows.each(Table::Sequences)? {
        let (key, at) = row?;
        let (id, first) = event_of(&key)?;
        let (span, behind) = match &mut of {
            Some((current, span, behind)) if *current == id => (span, behind),
            other => {
                let row = rows.get(Table::Aggregates, id.as_key())?;
                let row = row.ok_or_else(|| disagree("there are events of no aggregate"))?;
                let AggregateRow { is, trimmed } = AggregateRow::decode(&row)?;
                let span = Span { next: is.base_sequence, end: is.sequence };
                let behind = trimmed.map_or(Position::START, Position::next);
                let (_, span, behind) = other.insert((id.clone(), span, behind));
                (span, behind)
            }
        };
        let events = rows.get(Table::Events, &at)?.ok_or_else(|| missing(&at))?;
        let (events, position) = (EventsRow::decode(&events)?, position_of(&at)?);
        if events.id != id || events.first != first {
            return Err(disagree("the events of one aggregate stand under another"));
        }
        if position < *behind {
            return Err(disagree("an aggregate's events are in another order than in the log"));
        }
        *behind = events.last(position).next();
        span.take(&events)?;
    }
    let named = rows.count(Table::Sequences)?;
    judge_count(rows, Table::Events, named, "there are events that no aggregate has")
}

/// No two things stand at one place in the log.
fn events_in_the_log(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    let mut behind = Position::START;
    for row in rows.each(Table::Events)? {
        let (key, row) = row?;
        let position = position_of(&key)?;
        if position < behind {
            return Err(disagree("two events stand at one place in the log"));
        }
        behind = EventsRow::decode(&row)?.last(position).next();
    }
    for row in rows.each(Table::Gaps)? {
        let (key, _) = row?;
        let Some((at, events)) = rows.last(Table::Events, Bound::Included(&key))? else { continue };
        if EventsRow::decode(&events)?.last(position_of(&at)?) >= position_of(&key)? {
            return Err(disagree("there is a gap where an event stands"));
        }
    }
    Ok(())
}

/// Each value of a label is counted as often as it stands there.
fn label_values(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    let judge = |value: &[u8], count: u64| match rows.get(Table::LabelValues, value)? {
        Some(counted) if count_of(&counted)? == count => Ok(()),
        _ => Err(disagree("a label's value is counted wrongly")),
    };
    let (mut value, mut count, mut values) = (Vec::new(), 0_u64, 0);
    for row in rows.each(Table::Labels)? {
        let (key, _) = row?;
        let its_value = &key[..key.len() - behind_label(&key)?.len()];
        if value != its_value {
            if count > 0 {
                judge(&value, count)?;
            }
            values += 1;
            (value, count) = (its_value.to_vec(), 0);
        }
        count += 1;
    }
    if count > 0 {
        judge(&value, count)?;
    }
    judge_count(rows, Table::LabelValues, values, "a label has a value that no aggregate has")
}

/// What was archived belongs to the record that holds it.
fn archived_events(rows: &Look<impl Rows>) -> Result<(), StoreError> {
    let mut of: Option<(u64, AggregateId, Span)> = None;
    for row in rows.each(Table::ArchivedEvents)? {
        let (key, events) = row?;
        let (index, first) = archived_event_of(&key)?;
        let (id, span) = match &mut of {
            Some((current, id, span)) if *current == index => (id, span),
            other => {
                let record = rows.get(Table::Archive, &index.to_be_bytes())?;
                let record = record.ok_or_else(|| disagree("there are archived events of no record"))?;
                let ArchiveRow { id, base_sequence, sequence, .. } = ArchiveRow::decode(&record)?;
                let (_, id, span) = other.insert((index, id, Span { next: base_sequence, end: sequence }));
                (id, span)
            }
        };
        let events = EventsRow::decode(&events)?;
        if events.id != *id || events.first != first {
            return Err(disagree("the archived events of one aggregate stand under another"));
        }
        span.take(&events)?;
    }
    Ok(())
}

/// The last log index of which there is something.
pub(super) fn last_index(rows: &Look<impl Rows>) -> Result<u64, StoreError> {
    let mut last = 0;
    for table in [Table::Events, Table::Gaps, Table::Archive] {
        let Some((key, _)) = rows.last(table, Bound::Unbounded)? else { continue };
        last = last.max(Reader::new(key.into()).u64()?);
    }
    Ok(last)
}

/// The sequences that are left for an aggregate's events.
struct Span {
    next: u64,
    end: u64,
}

impl Span {
    fn take(&mut self, events: &EventsRow) -> Result<(), StoreError> {
        let behind = events.first + u64::from(events.events.count());
        if events.first < self.next || behind > self.end {
            return Err(disagree("an aggregate's events overlap, or lie outside of it"));
        }
        self.next = behind;
        Ok(())
    }
}

fn judge_count(rows: &Look<impl Rows>, table: Table, named: u64, more: &str) -> Result<(), StoreError> {
    if rows.count(table)? == named { Ok(()) } else { Err(disagree(more)) }
}

fn disagree(reason: &str) -> StoreError {
    StoreError::Damaged { reason: reason.to_owned() }
}
