//! Rows in memory, each as the batches wrote it that this layer collects.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::event_store::tables::Table;

/// What is known of a key: its value, or that it has none.
pub(super) type Found = Option<Bytes>;

/// A key, within the map's own node if it is as short as most: who looks one up compares it with many.
type Key = SmallVec<[u8; 40]>;

/// The rows of all tables that some batches wrote. One thread writes, until it is frozen; any number read.
#[derive(Default)]
pub(super) struct Layer {
    tables: RwLock<[BTreeMap<Key, Versions>; Table::ALL.len()]>,
}

impl Layer {
    pub(super) fn write(&self, batch: u64, table: Table, key: &[u8], value: Found) {
        let mut tables = self.tables.write();
        match tables[table as usize].entry(Key::from_slice(key)) {
            Entry::Occupied(mut row) => row.get_mut().write(batch, value),
            Entry::Vacant(row) => _ = row.insert(Versions::new(batch, value)),
        }
    }

    /// What batches up to `batch` wrote of a key; nothing if they wrote nothing.
    pub(super) fn get(&self, batch: u64, table: Table, key: &[u8]) -> Option<Found> {
        self.tables.read()[table as usize].get(key)?.at(batch).cloned()
    }

    /// The first rows in a range, at most `count`.
    pub(super) fn first(
        &self,
        batch: u64,
        table: Table,
        (from, until): (Bound<&[u8]>, Bound<&[u8]>),
        count: usize,
    ) -> Vec<(Vec<u8>, Found)> {
        if is_empty(from, until) {
            return Vec::new();
        }
        let tables = self.tables.read();
        let rows = tables[table as usize].range::<[u8], _>((from, until));
        rows.filter_map(|(key, versions)| Some((key.to_vec(), versions.at(batch)?.clone())))
            .take(count)
            .collect()
    }

    /// The last row in a range.
    pub(super) fn last(
        &self,
        batch: u64,
        table: Table,
        (from, until): (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Option<(Vec<u8>, Found)> {
        if is_empty(from, until) {
            return None;
        }
        let tables = self.tables.read();
        let mut rows = tables[table as usize].range::<[u8], _>((from, until)).rev();
        rows.find_map(|(key, versions)| Some((key.to_vec(), versions.at(batch)?.clone())))
    }

    /// Every row of a table as batches up to `batch` left it, in the order of their keys; ends with the first error.
    pub(super) fn each<E>(
        &self,
        batch: u64,
        table: Table,
        mut visit: impl FnMut(&[u8], Option<&Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        let tables = self.tables.read();
        let rows = tables[table as usize].iter();
        let mut seen = rows.filter_map(|(key, versions)| Some((key, versions.at(batch)?)));
        seen.try_for_each(|(key, found)| visit(key, found.as_ref()))
    }
}

/// What batches made of one row, the newest apart: most rows have no other.
struct Versions {
    newest: (u64, Found),
    older: Vec<(u64, Found)>,
}

impl Versions {
    fn new(batch: u64, value: Found) -> Self {
        Self { newest: (batch, value), older: Vec::new() }
    }

    fn write(&mut self, batch: u64, value: Found) {
        let before = std::mem::replace(&mut self.newest, (batch, value));
        assert!(before.0 <= batch, "a batch writes after a later one");
        if before.0 < batch {
            self.older.push(before);
        }
    }

    fn at(&self, batch: u64) -> Option<&Found> {
        if self.newest.0 <= batch {
            return Some(&self.newest.1);
        }
        let seen = self.older.partition_point(|(written, _)| *written <= batch);
        Some(&self.older[seen.checked_sub(1)?].1)
    }
}

/// Whether no key lies between the two; a map must not be asked for such a range.
fn is_empty(from: Bound<&[u8]>, until: Bound<&[u8]>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (from, until) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(from), Included(until)) => from > until,
        (Included(from) | Excluded(from), Included(until) | Excluded(until)) => from >= until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_reader_sees_what_its_batch_left_and_nothing_later() {
        let layer = Layer::default();
        layer.write(2, Table::Events, b"key", Some(value("two")));
        layer.write(2, Table::Events, b"key", Some(value("two again")));
        layer.write(5, Table::Events, b"key", None);
        layer.write(7, Table::Events, b"key", Some(value("seven")));

        let seen = [1, 2, 4, 5, 6, 7, 9].map(|batch| layer.get(batch, Table::Events, b"key"));

        let (two, none, seven) = (Some(Some(value("two again"))), Some(None), Some(Some(value("seven"))));
        assert_eq!(seen, [None, two.clone(), two, none.clone(), none, seven.clone(), seven]);
        assert_eq!(layer.get(9, Table::Gaps, b"key"), None, "another table");
    }

    #[test]
    fn a_range_holds_only_rows_that_were_there() {
        let layer = Layer::default();
        for (batch, key) in [(1, b"a"), (3, b"b"), (1, b"c"), (2, b"d")] {
            layer.write(batch, Table::Events, key, Some(value("there")));
        }
        layer.write(4, Table::Events, b"a", None);
        let all = (Bound::Included(&b"a"[..]), Bound::Unbounded);
        let keys = |batch, count| -> Vec<u8> {
            layer.first(batch, Table::Events, all, count).into_iter().flat_map(|(key, _)| key).collect()
        };

        assert_eq!(keys(0, 9), b"");
        assert_eq!(keys(2, 9), b"acd");
        assert_eq!(keys(3, 3), b"abc");
        assert_eq!(
            layer.first(4, Table::Events, all, 1),
            [(b"a".to_vec(), None)],
            "it is known that it is gone"
        );
        let below_d = (Bound::Excluded(&b"a"[..]), Bound::Excluded(&b"d"[..]));
        assert_eq!(layer.last(2, Table::Events, below_d), Some((b"c".to_vec(), Some(value("there")))));
        let none = (Bound::Excluded(&b"a"[..]), Bound::Excluded(&b"a"[..]));
        assert_eq!(layer.last(2, Table::Events, none), None);
    }
}
