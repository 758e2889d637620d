//! The rows in redb: read through one transaction, written by one.

use std::ops::Bound;

use bytes::Bytes;
use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction,
};

use crate::event_store::cursor::{Reader, Write};
use crate::event_store::error::StoreError;
use crate::event_store::tables::{FORMAT, Table};
use crate::machine::Held;
use crate::types::{LogIndex, LogPosition, Term};

/// Keys and values are bytes, and keys sort as bytes do.
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");

/// A picture of all tables in redb.
pub(crate) struct Base {
    tables: Vec<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

/// Rows of one table in redb.
pub(super) type BaseRange = redb::Range<'static, &'static [u8], &'static [u8]>;

impl Base {
    /// As the last transaction left them.
    pub(crate) fn of(database: &Database) -> Result<Self, StoreError> {
        let store = database.begin_read()?;
        let tables: Result<_, _> =
            Table::ALL.into_iter().map(|table| store.open_table(definition(table))).collect();
        Ok(Self { tables: tables? })
    }

    /// In the order of [`Table::ALL`].
    pub(super) fn into_tables(self) -> Vec<ReadOnlyTable<&'static [u8], &'static [u8]>> {
        self.tables
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let found = self.tables[table as usize].get(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    pub(super) fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        until: Bound<&[u8]>,
    ) -> Result<BaseRange, StoreError> {
        Ok(self.tables[table as usize].range::<&[u8]>((from, until))?)
    }
}

/// Makes a blank database ours, or judges what is there: what does it hold?
pub(crate) fn begin(database: &Database) -> Result<Result<Held, u32>, StoreError> {
    let store = database.begin_read()?;
    if store.list_tables()?.next().is_some() {
        return judge(&store);
    }
    drop(store);
    let store = database.begin_write()?;
    store.open_table(META)?.insert("format", FORMAT.to_be_bytes().as_slice())?;
    for table in Table::ALL {
        store.open_table(definition(table))?;
    }
    write_held(&store, LogPosition::ZERO, &[])?;
    commit(store)?;
    Ok(Ok(Held { position: LogPosition::ZERO, sidecar: Vec::new() }))
}

/// What a store of our version holds; or of which version it is.
fn judge(store: &ReadTransaction) -> Result<Result<Held, u32>, StoreError> {
    let meta = store.open_table(META)?;
    let missing = || StoreError::Damaged { reason: "it does not say what it holds".to_owned() };
    let format = meta.get("format")?.ok_or_else(missing)?;
    let format = Reader::new(Bytes::copy_from_slice(format.value())).u32()?;
    if format > FORMAT {
        return Ok(Err(format));
    }
    for table in Table::ALL {
        store.open_table(definition(table))?;
    }
    let held = meta.get("held")?.ok_or_else(missing)?;
    let mut reader = Reader::new(Bytes::copy_from_slice(held.value()));
    let position = LogPosition::new(Term(reader.u64()?), LogIndex(reader.u64()?));
    Ok(Ok(Held { position, sidecar: reader.rest().to_vec() }))
}

/// Writes what the store holds, in the transaction that makes it so.
pub(crate) fn write_held(
    store: &WriteTransaction,
    position: LogPosition,
    sidecar: &[u8],
) -> Result<(), StoreError> {
    let mut held = Vec::with_capacity(16 + sidecar.len());
    held.put_u64(position.term.0);
    held.put_u64(position.index.0);
    held.put(sidecar);
    store.open_table(META)?.insert("held", held.as_slice())?;
    Ok(())
}

/// Brings a transaction to the disk, with redb's account of free pages: without that a store of any size would be read
/// through after a crash.
pub(crate) fn commit(mut store: WriteTransaction) -> Result<(), StoreError> {
    store.set_durability(Durability::Immediate)?;
    store.set_quick_repair(true);
    Ok(store.commit()?)
}

/// Puts rows in the place of all that `table` holds; `next` gives them one by one.
pub(crate) fn insert<E: From<StoreError>>(
    store: &WriteTransaction,
    table: Table,
    mut next: impl FnMut() -> Result<Option<(Vec<u8>, Bytes)>, E>,
) -> Result<(), E> {
    let ours = |error: redb::Error| E::from(StoreError::from(error));
    store.delete_table(definition(table)).map_err(|error| ours(error.into()))?;
    let mut rows = store.open_table(definition(table)).map_err(|error| ours(error.into()))?;
    while let Some((key, value)) = next()? {
        rows.insert(key.as_slice(), &*value).map_err(|error| ours(error.into()))?;
    }
    Ok(())
}

/// A table that a transaction changes.
pub(super) fn open(
    store: &WriteTransaction,
    table: Table,
) -> Result<redb::Table<'_, &'static [u8], &'static [u8]>, StoreError> {
    Ok(store.open_table(definition(table))?)
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}
