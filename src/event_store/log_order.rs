//! All events in the order of the log, and the gaps where some were removed.
//!
//! `log` names the events that each append brought, and `gaps` the places where the last of an aggregate's removed events
//! stood; both sort as the log does. So a reader that comes to a gap has missed at least the event that stood there, and one
//! that is beyond it has missed nothing.

use redb::{AccessGuard, Range, ReadTransaction, ReadableTable, StorageError};

use super::error::StoreError;
use super::tables::{EVENTS, EventsRow, GAPS, GapRow, LOG, event_of, position_key, position_of};
use super::view::{read_held, size};
use super::{Filter, Gap, Position, Recorded, RecordedPage};

/// At most so many rows are looked at for one page, wanted or not.
const ROWS_MAX: usize = 16_384;

/// From `from` on, until there are about `bytes_max` bytes of events.
pub(super) fn read(
    store: &ReadTransaction,
    from: Position,
    filter: &Filter,
    bytes_max: usize,
) -> Result<RecordedPage, StoreError> {
    let (log, gaps, events) = (store.open_table(LOG)?, store.open_table(GAPS)?, store.open_table(EVENTS)?);
    let mut log = Ahead::new(log.range(first_row(&log, from)?.as_slice()..)?)?;
    let mut gaps = Ahead::new(gaps.range(position_key(from).as_slice()..)?)?;
    let mut page = Page { items: Vec::new(), bytes: 0, bytes_max, next: from };
    for _ in 0..ROWS_MAX {
        let is_gap = match (log.position, gaps.position) {
            (None, None) => return Ok(page.ended(read_held(store)?.0.index.0)),
            (Some(log), Some(gap)) => gap < log,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if is_gap {
            let (position, value) = gaps.take()?;
            let GapRow { first_available, removed_by, id } = GapRow::decode(value.value())?;
            if filter.wants_aggregate(&id) {
                let gap = Gap { position, aggregate: id, first_available, removed_by };
                if !page.takes(Recorded::Gap(gap), GAP_BYTES) {
                    return Ok(page.cut());
                }
            }
            page.next = position.next();
            continue;
        }
        let (position, key) = log.take()?;
        let (id, first) = event_of(key.value())?;
        if !filter.wants_aggregate(&id) {
            // Where exactly they end does not matter: behind them stands the next row.
            page.next = page.next.max(position.next());
            continue;
        }
        let row = events.get(key.value())?.ok_or_else(|| missing(position))?;
        let row = EventsRow::decode(row.value())?;
        for (event, nth) in row.events.events(&id, first).zip(0..) {
            let position = row.position_of(nth);
            if position < from || !filter.wants(&event) {
                continue;
            }
            let bytes = size(&event);
            if !page.takes(Recorded::Event { position, event }, bytes) {
                return Ok(page.cut());
            }
        }
        page.next = page.next.max(row.last().next());
    }
    Ok(page.cut())
}

/// The key of the row that holds the event at `from`, or of the first one behind it.
fn first_row(
    log: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: Position,
) -> Result<Vec<u8>, StoreError> {
    let start = position_key(Position { offset: 0, ..from });
    let before = log.range(start.as_slice()..=position_key(from).as_slice())?.next_back().transpose()?;
    Ok(before.map_or_else(|| position_key(from).to_vec(), |(key, _)| key.value().to_vec()))
}

/// The rows of a table, of which the first is known by its position.
struct Ahead<'a> {
    rows: Range<'a, &'static [u8], &'static [u8]>,
    position: Option<Position>,
    row: Option<AccessGuard<'a, &'static [u8]>>,
}

impl<'a> Ahead<'a> {
    fn new(rows: Range<'a, &'static [u8], &'static [u8]>) -> Result<Self, StoreError> {
        let mut ahead = Self { rows, position: None, row: None };
        ahead.step()?;
        Ok(ahead)
    }

    /// The first row, which is there.
    fn take(&mut self) -> Result<(Position, AccessGuard<'a, &'static [u8]>), StoreError> {
        let taken = self.position.take().zip(self.row.take()).expect("a row that was seen ahead");
        self.step()?;
        Ok(taken)
    }

    fn step(&mut self) -> Result<(), StoreError> {
        let next: Option<Result<_, StorageError>> = self.rows.next();
        if let Some(row) = next {
            let (key, value) = row?;
            self.position = Some(position_of(key.value())?);
            self.row = Some(value);
        }
        Ok(())
    }
}

/// A page that is being filled.
struct Page {
    items: Vec<Recorded>,
    bytes: usize,
    bytes_max: usize,
    next: Position,
}

impl Page {
    /// Whether there was room for the item.
    fn takes(&mut self, item: Recorded, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let has_room = self.bytes <= self.bytes_max || self.items.is_empty();
        if has_room {
            self.next = item.position().next();
            self.items.push(item);
        }
        has_room
    }

    /// There is more.
    fn cut(self) -> RecordedPage {
        RecordedPage { items: self.items, next: self.next, is_end: false }
    }

    /// There is nothing more, up to what is applied.
    fn ended(self, applied: u64) -> RecordedPage {
        let next = self.next.max(Position::behind(applied));
        RecordedPage { items: self.items, next, is_end: true }
    }
}

fn missing(position: Position) -> StoreError {
    StoreError::Damaged { reason: format!("the events at {position} are missing") }
}

const GAP_BYTES: usize = 64;
