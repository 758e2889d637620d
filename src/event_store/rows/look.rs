//! Looking through whole tables in redb: as they are, or as a transaction that is not committed yet would leave them.

use std::ops::Bound;

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableTable, WriteTransaction};

use super::base::{Base, open};
use crate::event_store::error::StoreError;
use crate::event_store::tables::Table;

/// All tables of a store.
pub(crate) struct Look<T> {
    tables: Vec<T>,
}

impl Look<ReadOnlyTable<&'static [u8], &'static [u8]>> {
    /// As the last transaction left them.
    pub(crate) fn at(database: &Database) -> Result<Self, StoreError> {
        Ok(Self { tables: Base::of(database)?.into_tables() })
    }
}

impl<'a> Look<redb::Table<'a, &'static [u8], &'static [u8]>> {
    /// As `store` would leave them.
    pub(crate) fn within(store: &'a WriteTransaction) -> Result<Self, StoreError> {
        let tables: Result<_, _> = Table::ALL.into_iter().map(|table| open(store, table)).collect();
        Ok(Self { tables: tables? })
    }
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Look<T> {
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let found = self.tables[table as usize].get(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    pub(crate) fn has(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.tables[table as usize].get(key)?.is_some())
    }

    /// How many rows there are.
    pub(crate) fn count(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.tables[table as usize].len()?)
    }

    /// All rows, in the order of their keys.
    pub(crate) fn each(
        &self,
        table: Table,
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, Bytes), StoreError>>, StoreError> {
        let rows = self.tables[table as usize].iter()?;
        Ok(rows.map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_vec(), Bytes::copy_from_slice(value.value())))
        }))
    }

    /// The last row up to `through`.
    pub(crate) fn last(
        &self,
        table: Table,
        through: Bound<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
        let mut rows = self.tables[table as usize].range::<&[u8]>((Bound::Unbounded, through))?;
        let Some((key, value)) = rows.next_back().transpose()? else { return Ok(None) };
        Ok(Some((key.value().to_vec(), Bytes::copy_from_slice(value.value()))))
    }
}
