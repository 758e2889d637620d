//! By what aggregates are found: their status, and their labels.

use redb::{ReadableTable, WriteTransaction};

use super::append::Written;
use super::command::Change;
use super::error::StoreError;
use super::tables::{LABEL_VALUES, LABELS, STATUSES, count_of, label_key, label_prefix, status_key};
use super::{Aggregate, AggregateId, Timestamp};

/// The tables of both.
pub(super) struct Indexes<'a> {
    statuses: Written<'a>,
    labels: Written<'a>,
    /// How many aggregates have a value of a label: only those in use are listed.
    values: Written<'a>,
}

impl<'a> Indexes<'a> {
    pub(super) fn open(store: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            statuses: store.open_table(STATUSES)?,
            labels: store.open_table(LABELS)?,
            values: store.open_table(LABEL_VALUES)?,
        })
    }

    /// What an append says for them; `is` becomes what it is from now on.
    pub(super) fn change(&mut self, change: &Change, is: &mut Aggregate) -> Result<(), StoreError> {
        if let Some(status) = &change.index.status {
            self.set_status(&change.id, is, status, change.at)?;
        }
        for (name, value) in &change.index.labels {
            self.set_label(&change.id, is, name, value)?;
        }
        Ok(())
    }

    /// The aggregate is found no more.
    pub(super) fn forget(&mut self, id: &AggregateId, is: &mut Aggregate) -> Result<(), StoreError> {
        self.set_status(id, is, "", Timestamp::default())?;
        let names: Vec<_> = is.labels.keys().cloned().collect();
        for name in names {
            self.set_label(id, is, &name, "")?;
        }
        Ok(())
    }

    /// A status that is set again counts from the new time.
    fn set_status(
        &mut self,
        id: &AggregateId,
        is: &mut Aggregate,
        status: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some((before, since)) = is.status.take() {
            self.statuses.remove(status_key(&before, since, id).as_slice())?;
        }
        if !status.is_empty() {
            let since = Timestamp::from_millis(at.to_millis());
            self.statuses.insert(status_key(status, since, id).as_slice(), NOTHING)?;
            is.status = Some((status.to_owned(), since));
        }
        Ok(())
    }

    fn set_label(
        &mut self,
        id: &AggregateId,
        is: &mut Aggregate,
        name: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        if is.labels.get(name).map_or("", String::as_str) == value {
            return Ok(());
        }
        if let Some(before) = is.labels.remove(name) {
            self.labels.remove(label_key(name, &before, id).as_slice())?;
            self.count(name, &before, |count| count - 1)?;
        }
        if !value.is_empty() {
            self.labels.insert(label_key(name, value, id).as_slice(), NOTHING)?;
            self.count(name, value, |count| count + 1)?;
            is.labels.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn count(&mut self, name: &str, value: &str, change: impl Fn(u64) -> u64) -> Result<(), StoreError> {
        let key = label_prefix(name, Some(value));
        let before = self.values.get(key.as_slice())?.map(|count| count_of(count.value())).transpose()?;
        match change(before.unwrap_or(0)) {
            0 => _ = self.values.remove(key.as_slice())?,
            count => _ = self.values.insert(key.as_slice(), count.to_be_bytes().as_slice())?,
        }
        Ok(())
    }
}

const NOTHING: &[u8] = &[];
