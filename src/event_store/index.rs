//! By what aggregates are found: their status, and their labels.

use bytes::Bytes;

use super::command::Change;
use super::error::StoreError;
use super::rows::Batch;
use super::tables::{Table, count_of, label_key, label_prefix, status_key};
use super::{Aggregate, AggregateId, Timestamp};

/// What an append says for both; `is` becomes what it is from now on.
pub(super) fn change_indexes(store: &Batch, change: &Change, is: &mut Aggregate) -> Result<(), StoreError> {
    if let Some(status) = &change.index.status {
        set_status(store, &change.id, is, status, change.at);
    }
    for (name, value) in &change.index.labels {
        set_label(store, &change.id, is, name, value)?;
    }
    Ok(())
}

/// The aggregate is found no more.
pub(super) fn forget(store: &Batch, id: &AggregateId, is: &mut Aggregate) -> Result<(), StoreError> {
    set_status(store, id, is, "", Timestamp::default());
    let names: Vec<_> = is.labels.keys().cloned().collect();
    names.iter().try_for_each(|name| set_label(store, id, is, name, ""))
}

/// A status that is set again counts from the new time.
fn set_status(store: &Batch, id: &AggregateId, is: &mut Aggregate, status: &str, at: Timestamp) {
    if let Some((before, since)) = is.status.take() {
        store.remove(Table::Statuses, &status_key(&before, since, id));
    }
    if !status.is_empty() {
        let since = Timestamp::from_millis(at.to_millis());
        store.put(Table::Statuses, &status_key(status, since, id), Bytes::new());
        is.status = Some((status.to_owned(), since));
    }
}

fn set_label(
    store: &Batch,
    id: &AggregateId,
    is: &mut Aggregate,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    if is.labels.get(name).map_or("", String::as_str) == value {
        return Ok(());
    }
    if let Some(before) = is.labels.remove(name) {
        store.remove(Table::Labels, &label_key(name, &before, id));
        count(store, name, &before, |count| count.saturating_sub(1))?;
    }
    if !value.is_empty() {
        store.put(Table::Labels, &label_key(name, value, id), Bytes::new());
        count(store, name, value, |count| count.saturating_add(1))?;
        is.labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

/// How many aggregates have a value: only values in use are listed.
fn count(store: &Batch, name: &str, value: &str, change: impl Fn(u64) -> u64) -> Result<(), StoreError> {
    let key = label_prefix(name, Some(value));
    let before = store.get(Table::LabelValues, &key)?.map_or(Ok(0), |count| count_of(&count))?;
    match change(before) {
        0 => store.remove(Table::LabelValues, &key),
        count => store.put(Table::LabelValues, &key, count.to_be_bytes().to_vec().into()),
    }
    Ok(())
}
