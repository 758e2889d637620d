//! Reading: a consistent picture of the store, from any thread.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::command::{LABEL, LABEL_VALUE, STATUS};
use super::cursor::Reader;
use super::error::StoreError;
use super::limits::{
    LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ROWS_MAX, STATUS_BYTES_MAX,
};
use super::rows::{Rows, Shared, Watch};
use super::tables::{
    AggregateRow, ArchiveRow, EventsRow, Table, archived_event_key, event_key, id_of, label_key,
    label_prefix, missing, since_and_id, status_key, status_prefix, text_of,
};
use super::{
    Aggregate, AggregateId, Archived, Conflict, Event, Events, Filter, Page, Position, Query, RecordedPage,
    Response, Snapshot, WithStatus, log_order,
};
use crate::machine::DecodeError;

/// The store as one batch of commands left it. What is read through it stays as it was, whatever is applied meanwhile, and
/// holds nobody up. But what has been replaced since takes up memory and room on the disk as long as it lives: keep it short.
///
/// All of it is of this node: to read what is current, take it within [`Node::read`](crate::Node::read).
#[derive(Clone)]
pub struct View {
    shared: Arc<Shared>,
    rows: Rows,
    applied: u64,
}

impl View {
    /// As the last batch left it.
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        let (rows, applied) = shared.rows();
        Self { shared: Arc::clone(shared), rows, applied: applied.index.0 }
    }

    /// The log index of the last entry whose effect it shows.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Whether the aggregate is at `expected`: the sequence that its next event gets.
    pub fn check(&self, id: &AggregateId, expected: u64) -> Result<Result<(), Conflict>, StoreError> {
        self.read(|store| {
            let row = read_aggregate(store, id)?.unwrap_or_default();
            if row.is.sequence == expected {
                return Ok(Ok(()));
            }
            conflict(store, id, expected, &row).map(Err)
        })
    }

    /// What is known of an aggregate.
    pub fn aggregate(&self, id: &AggregateId) -> Result<Option<Aggregate>, StoreError> {
        self.read(|store| Ok(read_aggregate(store, id)?.map(|row| row.is)))
    }

    /// The events of an aggregate from `from` on; so many that they have about `bytes_max` bytes, or one.
    pub fn events(&self, id: &AggregateId, from: u64, bytes_max: usize) -> Result<Events, StoreError> {
        self.read(|store| {
            let row = read_aggregate(store, id)?;
            let Some(row) = row else {
                return Ok(Events { start_sequence: from, events: Vec::new(), more_from: None });
            };
            let start = from.max(row.is.base_sequence);
            read_events(store, Of::Live(id), start, bytes_max)
        })
    }

    /// The snapshot of an aggregate, and the events since, as [`View::events`] gives them.
    pub fn snapshot(&self, id: &AggregateId, bytes_max: usize) -> Result<Snapshot, StoreError> {
        self.read(|store| {
            let row = read_aggregate(store, id)?;
            let Some(Aggregate { snapshot_sequence, base_sequence, .. }) = row.map(|row| row.is) else {
                let events = Events { start_sequence: 0, events: Vec::new(), more_from: None };
                return Ok(Snapshot { data: Bytes::new(), sequence: 0, events });
            };
            let data = store.get(Table::Snapshots, id.as_key())?.unwrap_or_default();
            let start = snapshot_sequence.max(base_sequence);
            let events = read_events(store, Of::Live(id), start, bytes_max)?;
            Ok(Snapshot { data, sequence: snapshot_sequence, events })
        })
    }

    /// The aggregates whose ids begin with `prefix`, in the order of their ids, from behind `after` on.
    pub fn aggregates(
        &self,
        prefix: &AggregateId,
        after: Option<&AggregateId>,
        rows_max: usize,
    ) -> Result<Page<AggregateId>, StoreError> {
        self.read(|store| {
            let after = after.map(|after| after.as_key().to_vec());
            list(store, Table::Aggregates, prefix.as_key(), after, rows_max, id_of)
        })
    }

    /// The aggregates that have this label, likewise.
    pub fn with_label(
        &self,
        label: &str,
        value: &str,
        after: Option<&AggregateId>,
        rows_max: usize,
    ) -> Result<Page<AggregateId>, StoreError> {
        self.read(|store| {
            let prefix = label_prefix(label, Some(value));
            let after = after.map(|after| label_key(label, value, after));
            list(store, Table::Labels, &prefix, after, rows_max, |key| id_of(&key[prefix.len()..]))
        })
    }

    /// The aggregates that have this status, in the order in which they got it and then of their ids, from behind `after`
    /// on.
    pub fn with_status(
        &self,
        status: &str,
        after: Option<&WithStatus>,
        rows_max: usize,
    ) -> Result<Page<WithStatus>, StoreError> {
        self.read(|store| {
            let after = after.map(|after| status_key(status, after.since, &after.aggregate));
            list(store, Table::Statuses, &status_prefix(status), after, rows_max, |key| {
                let (_, behind) = text_of(key, STATUS, STATUS_BYTES_MAX)?;
                let (since, aggregate) = since_and_id(behind)?;
                Ok(WithStatus { since, aggregate })
            })
        })
    }

    /// The values of this label that are in use, sorted, from behind `after` on.
    pub fn label_values(
        &self,
        label: &str,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Page<String>, StoreError> {
        self.read(|store| {
            let after = after.map(|after| label_prefix(label, Some(after)));
            list(store, Table::LabelValues, &label_prefix(label, None), after, rows_max, |key| {
                let (_, behind) = text_of(key, LABEL, LABEL_BYTES_MAX)?;
                Ok(text_of(behind, LABEL_VALUE, LABEL_VALUE_BYTES_MAX)?.0)
            })
        })
    }

    /// The events of all aggregates from `from` on, as far as `filter` wants them, in the order of the log, and the gaps
    /// where events were removed; as many as [`View::events`] would give.
    pub fn recorded(
        &self,
        from: Position,
        filter: &Filter,
        bytes_max: usize,
    ) -> Result<RecordedPage, StoreError> {
        self.read(|store| log_order::read(store, self.applied, from, filter, bytes_max))
    }

    /// The oldest archive record behind log index `after`, with as many events as [`View::events`] would give.
    pub fn oldest_archive(&self, after: u64, bytes_max: usize) -> Result<Option<Archived>, StoreError> {
        let Some(first) = after.checked_add(1) else { return Ok(None) };
        let index = self.read(|store| {
            let oldest =
                store.range(Table::Archive, &first.to_be_bytes(), Bound::Unbounded)?.next().transpose()?;
            Ok(oldest.map(|(key, _)| Reader::new(key.into()).u64()).transpose()?)
        })?;
        index.map_or(Ok(None), |index| self.archive(index, 0, bytes_max))
    }

    /// The archive record of log index `index`, with its events from `from` on, as [`View::events`] would give them.
    pub fn archive(&self, index: u64, from: u64, bytes_max: usize) -> Result<Option<Archived>, StoreError> {
        self.read(|store| {
            let Some(row) = store.get(Table::Archive, &index.to_be_bytes())? else { return Ok(None) };
            let ArchiveRow { id, snapshot_sequence, base_sequence, snapshot, .. } = ArchiveRow::decode(&row)?;
            let start = from.max(base_sequence);
            let events = read_events(store, Of::Archived(index, &id), start, bytes_max)?;
            Ok(Some(Archived { index, aggregate: id, snapshot, snapshot_sequence, events }))
        })
    }

    /// Answers by value, within the limits of a page.
    pub fn answer(&self, query: Query) -> Response {
        let answer = match query {
            Query::Check { id, expected } => self.check(&id, expected).map(|checked| match checked {
                Ok(()) => Response::Checked,
                Err(conflict) => Response::Conflict(conflict),
            }),
            Query::Aggregate { id } => self.aggregate(&id).map(Response::Aggregate),
            Query::Events { id, from, bytes_max } => {
                let events = self.events(&id, from, page_bytes(bytes_max));
                events.map(|events| Response::Events { id, events })
            }
            Query::Snapshot { id, bytes_max } => {
                let snapshot = self.snapshot(&id, page_bytes(bytes_max));
                snapshot.map(|snapshot| Response::Snapshot { id, snapshot })
            }
            Query::Aggregates { prefix, after, rows_max } => {
                self.aggregates(&prefix, after.as_ref(), page_rows(rows_max)).map(Response::Aggregates)
            }
            Query::WithLabel { label, value, after, rows_max } => {
                let page = self.with_label(&label, &value, after.as_ref(), page_rows(rows_max));
                page.map(Response::Aggregates)
            }
            Query::WithStatus { status, after, rows_max } => {
                self.with_status(&status, after.as_ref(), page_rows(rows_max)).map(Response::WithStatus)
            }
            Query::LabelValues { label, after, rows_max } => {
                self.label_values(&label, after.as_deref(), page_rows(rows_max)).map(Response::LabelValues)
            }
            Query::Recorded { from, filter, bytes_max } => {
                self.recorded(from, &filter, page_bytes(bytes_max)).map(Response::Recorded)
            }
            Query::OldestArchive { after, bytes_max } => {
                self.oldest_archive(after, page_bytes(bytes_max)).map(Response::Archived)
            }
            Query::Archive { index, from, bytes_max } => {
                self.archive(index, from, page_bytes(bytes_max)).map(Response::Archived)
            }
        };
        answer.unwrap_or_else(|error| Response::failed(&error))
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Rows) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _watch = Watch::over(&self.shared);
        self.shared.noted(read(&self.rows))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

pub(super) fn read_aggregate(store: &Rows, id: &AggregateId) -> Result<Option<AggregateRow>, StoreError> {
    let row = store.get(Table::Aggregates, id.as_key())?;
    Ok(row.map(|row| AggregateRow::decode(&row)).transpose()?)
}

/// Why nothing is appended to an aggregate that is not at `expected`.
pub(super) fn conflict(
    store: &Rows,
    id: &AggregateId,
    expected: u64,
    row: &AggregateRow,
) -> Result<Conflict, StoreError> {
    let actual = row.is.sequence;
    let events = if expected < actual {
        read_events(store, Of::Live(id), expected.max(row.is.base_sequence), PAGE_BYTES_MAX)?.events
    } else {
        Vec::new()
    };
    let first_sequence = events.first().map_or(actual, |event: &Event| event.sequence);
    Ok(Conflict { aggregate: id.clone(), expected, actual, first_sequence, events })
}

/// Whose events are read, and so from which table.
#[derive(Clone, Copy)]
enum Of<'a> {
    Live(&'a AggregateId),
    Archived(u64, &'a AggregateId),
}

impl Of<'_> {
    /// The table that is sorted by their sequences.
    fn table(self) -> Table {
        match self {
            Self::Live(_) => Table::Sequences,
            Self::Archived(..) => Table::ArchivedEvents,
        }
    }

    fn key(self, sequence: u64) -> Vec<u8> {
        match self {
            Self::Live(id) => event_key(id, sequence),
            Self::Archived(index, _) => archived_event_key(index, sequence).to_vec(),
        }
    }

    /// The events behind a row of that table.
    fn events(self, store: &Rows, key: &[u8], row: Bytes) -> Result<EventsRow, StoreError> {
        let (id, events) = match self {
            Self::Live(id) => (id, store.get(Table::Events, &row)?.ok_or_else(|| missing(&row))?),
            Self::Archived(_, id) => (id, row),
        };
        let events = EventsRow::decode(&events)?;
        if events.id != *id || self.key(events.first) != key {
            return Err(DecodeError::new("the events of one aggregate stand under another").into());
        }
        Ok(events)
    }
}

/// The events from `start` on.
fn read_events(store: &Rows, of: Of<'_>, start: u64, bytes_max: usize) -> Result<Events, StoreError> {
    // The row that holds the first event may begin before it.
    let before = store.last(of.table(), &of.key(0), &of.key(start))?;
    let first = before.map_or_else(|| of.key(start), |(key, _)| key);
    let (mut events, mut bytes) = (Vec::new(), 0_usize);
    for row in store.range(of.table(), &first, Bound::Included(&of.key(u64::MAX)))? {
        let (key, row) = row?;
        let row = of.events(store, &key, row)?;
        for event in row.events.events(&row.id, row.first) {
            if event.sequence < start {
                continue;
            }
            bytes = bytes.saturating_add(size(&event));
            if bytes > bytes_max && !events.is_empty() {
                let more_from = Some(event.sequence);
                return Ok(Events { start_sequence: start, events, more_from });
            }
            events.push(event);
        }
    }
    Ok(Events { start_sequence: start, events, more_from: None })
}

/// How much of a page an event takes up.
pub(super) fn size(event: &Event) -> usize {
    const AROUND_AN_EVENT: usize = 64;
    event.data.len() + event.event_type.len() + AROUND_AN_EVENT
}

/// The rows whose keys begin with `prefix`, from behind `after` on, as `item` reads their keys.
fn list<T>(
    store: &Rows,
    table: Table,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    rows_max: usize,
    item: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<Page<T>, StoreError> {
    // The first key behind another one is that with a zero more.
    let first = after.map_or_else(Vec::new, |after| [&after, &[0][..]].concat());
    // A prefix is made of whole texts, and the mark behind the last of them is no 0xFF.
    let mut behind = prefix.to_vec();
    let until = match behind.last_mut() {
        Some(mark) => {
            *mark += 1;
            Bound::Excluded(behind.as_slice())
        }
        None => Bound::Unbounded,
    };
    let mut items = Vec::new();
    for row in store.range(table, first.as_slice().max(prefix), until)? {
        let (key, _) = row?;
        if items.len() >= rows_max.max(1) {
            return Ok(Page { items, has_more: true });
        }
        items.push(item(&key)?);
    }
    Ok(Page { items, has_more: false })
}

fn page_bytes(asked: u32) -> usize {
    (asked as usize).min(PAGE_BYTES_MAX)
}

fn page_rows(asked: u32) -> usize {
    (asked as usize).min(PAGE_ROWS_MAX)
}
