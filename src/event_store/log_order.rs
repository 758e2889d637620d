//! All events in the order of the log, and the gaps where some were removed.
//!
//! `events` stand where they stand in the log, and `gaps` where the last of an aggregate's removed events stood; both sort as
//! the log does. So a reader that comes to a gap has missed at least the event that stood there, and one that is beyond it has
//! missed nothing.

use std::ops::Bound;

use bytes::Bytes;

use super::error::StoreError;
use super::rows::{Range, Rows};
use super::tables::{EventsRow, GapRow, Table, position_key, position_of};
use super::view::size;
use super::{Filter, Gap, Position, Recorded, RecordedPage};

/// At most so many rows are looked at for one page, wanted or not.
const ROWS_MAX: usize = 16_384;

/// From `from` on, until there are about `bytes_max` bytes of events.
pub(super) fn read(
    store: &Rows,
    applied: u64,
    from: Position,
    filter: &Filter,
    bytes_max: usize,
) -> Result<RecordedPage, StoreError> {
    let mut events = Ahead::new(store.range(Table::Events, &first_row(store, from)?, Bound::Unbounded)?)?;
    let mut gaps = Ahead::new(store.range(Table::Gaps, &position_key(from), Bound::Unbounded)?)?;
    let mut page = Page { items: Vec::new(), bytes: 0, bytes_max, next: from };
    for _ in 0..ROWS_MAX {
        let is_gap = match (events.position, gaps.position) {
            (None, None) => return Ok(page.ended(applied)),
            (Some(event), Some(gap)) => gap < event,
            (event, _) => event.is_none(),
        };
        if is_gap {
            let (position, value) = gaps.take()?;
            let GapRow { first_available, removed_by, id } = GapRow::decode(&value)?;
            if filter.wants_aggregate(&id) {
                let bytes = GAP_BYTES + id.as_key().len();
                let gap = Gap { position, aggregate: id, first_available, removed_by };
                if !page.takes(Recorded::Gap(gap), bytes) {
                    return Ok(page.cut());
                }
            }
            page.next = position.next();
            continue;
        }
        let (position, value) = events.take()?;
        if !filter.wants_aggregate(&EventsRow::id_of(&value)?) {
            // Where exactly they end does not matter: behind them stands the next row.
            page.next = page.next.max(position.next());
            continue;
        }
        let row = EventsRow::decode(&value)?;
        for (event, nth) in row.events.events(&row.id, row.first).zip(0..) {
            let position = position.plus(nth);
            if position < from || !filter.wants(&event) {
                continue;
            }
            // Here each event has its aggregate with it.
            let bytes = size(&event) + event.aggregate.as_key().len();
            if !page.takes(Recorded::Event { position, event }, bytes) {
                return Ok(page.cut());
            }
        }
        page.next = page.next.max(row.last(position).next());
    }
    Ok(page.cut())
}

/// The key of the row that holds the event at `from`, or of the first one behind it.
fn first_row(store: &Rows, from: Position) -> Result<Vec<u8>, StoreError> {
    let (start, key) = (position_key(Position { offset: 0, ..from }), position_key(from));
    let before = store.last(Table::Events, &start, &key)?;
    Ok(before.map_or_else(|| key.to_vec(), |(key, _)| key))
}

/// The rows of a table, of which the first is known by its position.
struct Ahead {
    rows: Range,
    position: Option<Position>,
    value: Bytes,
}

impl Ahead {
    fn new(rows: Range) -> Result<Self, StoreError> {
        let mut ahead = Self { rows, position: None, value: Bytes::new() };
        ahead.step()?;
        Ok(ahead)
    }

    /// The first row, which is there.
    fn take(&mut self) -> Result<(Position, Bytes), StoreError> {
        let position = self.position.take().expect("a row that was seen ahead");
        let value = std::mem::take(&mut self.value);
        self.step()?;
        Ok((position, value))
    }

    fn step(&mut self) -> Result<(), StoreError> {
        if let Some((key, value)) = self.rows.next().transpose()? {
            (self.position, self.value) = (Some(position_of(&key)?), value);
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

const GAP_BYTES: usize = 64;
