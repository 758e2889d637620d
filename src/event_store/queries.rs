//! Asking: what is in the store, as it is now or as this node knows it.
//!
//! Every question is answered from one consistent picture, and on the caller's own thread: however long an answer is, it
//! holds up nobody else. How fresh the picture is, the caller says.

use std::time::Duration;

use super::command::{LABEL_VALUE, STATUS, judge_id, judge_label};
use super::limits::{LABEL_VALUE_BYTES_MAX, PAGE_ROWS_MAX, STATUS_BYTES_MAX};
use super::{
    Aggregate, AggregateId, EventMachine, EventStore, Events, Invalid, Page, QueryError, Snapshot,
    StoreError, View, WithStatus,
};
use crate::ticket::ReadError;

/// How fresh an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It holds everything that was answered to anybody before it was asked for. Asks the leader; works on every node.
    #[default]
    Linearizable,
    /// It holds what this node has applied: that may be old, for as long as this node has been cut off. Asks nobody.
    Local,
}

/// Questions to a store, at one [`Consistency`]: made by [`EventStore::reading`] and [`EventStore::local`].
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    store: &'a EventStore,
    consistency: Consistency,
    within: Duration,
}

impl EventStore {
    /// Questions that are answered so fresh.
    pub fn reading(&self, consistency: Consistency) -> Reading<'_> {
        Reading { store: self, consistency, within: self.call_timeout() }
    }

    /// Questions that this node answers by what it has applied, asking nobody.
    pub fn local(&self) -> Reading<'_> {
        self.reading(Consistency::Local)
    }

    fn linearizable(&self) -> Reading<'_> {
        self.reading(Consistency::Linearizable)
    }

    /// The events of an aggregate from sequence `from` on; none if it is unknown. See [`Reading::load_events`].
    pub fn load_events(&self, id: &AggregateId, from: u64) -> Result<Events, QueryError> {
        self.linearizable().load_events(id, from)
    }

    /// The snapshot of an aggregate, and the events since; nothing if it is unknown.
    pub fn load_snapshot(&self, id: &AggregateId) -> Result<Snapshot, QueryError> {
        self.linearizable().load_snapshot(id)
    }

    /// What is known of an aggregate beside its events and its snapshot, if it is there.
    pub fn aggregate(&self, id: &AggregateId) -> Result<Option<Aggregate>, QueryError> {
        self.linearizable().aggregate(id)
    }

    /// The status of an aggregate, if it has one.
    pub fn status(&self, id: &AggregateId) -> Result<Option<String>, QueryError> {
        self.linearizable().status(id)
    }

    /// The aggregates whose ids begin with `prefix`, in the order of their ids.
    pub fn aggregates(&self, prefix: &AggregateId) -> Result<Vec<AggregateId>, QueryError> {
        self.linearizable().aggregates(prefix)
    }

    /// The aggregates that have this status, in the order in which they got it.
    pub fn with_status(&self, status: &str) -> Result<Vec<WithStatus>, QueryError> {
        self.linearizable().with_status(status)
    }

    /// The aggregates that have this label, in the order of their ids.
    pub fn with_label(&self, label: &str, value: &str) -> Result<Vec<AggregateId>, QueryError> {
        self.linearizable().with_label(label, value)
    }

    /// The values of this label that are in use, sorted.
    pub fn label_values(&self, label: &str) -> Result<Vec<String>, QueryError> {
        self.linearizable().label_values(label)
    }
}

impl Reading<'_> {
    /// Waits no longer than this for the leader's word. Default: the node's call timeout.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The store as a whole, as it is in this moment: several questions to it see the same. Keep it short: what it shows
    /// takes room on the disk as long as it lives.
    pub fn view(&self) -> Result<View, QueryError> {
        let node = self.store.node();
        match self.consistency {
            Consistency::Linearizable => Ok(node.read_within(EventMachine::view, self.within)?),
            Consistency::Local => self.store.reader().view().map_err(|error| match node.stop_cause() {
                Some(cause) if error == StoreError::Closed => ReadError::Stopped { cause }.into(),
                _ => error.into(),
            }),
        }
    }

    /// The events of an aggregate from sequence `from` on, or from the first that is not trimmed, if that is higher:
    /// [`Events::start_sequence`] says which. All of them: [`Reading::events_page`] gives as many as you like.
    pub fn load_events(&self, id: &AggregateId, from: u64) -> Result<Events, QueryError> {
        self.events_page(id, from, usize::MAX)
    }

    /// As [`Reading::load_events`], but no more than about `bytes_max` bytes of events, or one; [`Events::more_from`] says
    /// where to go on.
    pub fn events_page(&self, id: &AggregateId, from: u64, bytes_max: usize) -> Result<Events, QueryError> {
        judge_id(id)?;
        Invalid::judge_sequence(from)?;
        Ok(self.view()?.events(id, from, bytes_max)?)
    }

    /// The snapshot of an aggregate, and all events since.
    pub fn load_snapshot(&self, id: &AggregateId) -> Result<Snapshot, QueryError> {
        judge_id(id)?;
        Ok(self.view()?.snapshot(id, usize::MAX)?)
    }

    /// What is known of an aggregate beside its events and its snapshot, if it is there.
    pub fn aggregate(&self, id: &AggregateId) -> Result<Option<Aggregate>, QueryError> {
        judge_id(id)?;
        Ok(self.view()?.aggregate(id)?)
    }

    /// The status of an aggregate, if it has one.
    pub fn status(&self, id: &AggregateId) -> Result<Option<String>, QueryError> {
        let aggregate = self.aggregate(id)?;
        Ok(aggregate.and_then(|aggregate| aggregate.status).map(|(status, _)| status))
    }

    /// The aggregates whose ids begin with `prefix`, in the order of their ids: every one that has events, a snapshot, a
    /// status or a label.
    pub fn aggregates(&self, prefix: &AggregateId) -> Result<Vec<AggregateId>, QueryError> {
        let view = self.view()?;
        all(|after| view.aggregates(prefix, after, PAGE_ROWS_MAX))
    }

    /// A page of them: at most `rows_max`, from behind `after` on.
    pub fn aggregates_page(
        &self,
        prefix: &AggregateId,
        after: Option<&AggregateId>,
        rows_max: usize,
    ) -> Result<Page<AggregateId>, QueryError> {
        Ok(self.view()?.aggregates(prefix, after, rows_max)?)
    }

    /// The aggregates that have this status, in the order in which they got it, then in that of their ids.
    pub fn with_status(&self, status: &str) -> Result<Vec<WithStatus>, QueryError> {
        judge_status(status)?;
        let view = self.view()?;
        all(|after| view.with_status(status, after, PAGE_ROWS_MAX))
    }

    /// A page of them: at most `rows_max`, from behind `after` on.
    pub fn with_status_page(
        &self,
        status: &str,
        after: Option<&WithStatus>,
        rows_max: usize,
    ) -> Result<Page<WithStatus>, QueryError> {
        judge_status(status)?;
        Ok(self.view()?.with_status(status, after, rows_max)?)
    }

    /// The aggregates that have this label, in the order of their ids.
    pub fn with_label(&self, label: &str, value: &str) -> Result<Vec<AggregateId>, QueryError> {
        judge_pair(label, value)?;
        let view = self.view()?;
        all(|after| view.with_label(label, value, after, PAGE_ROWS_MAX))
    }

    /// A page of them: at most `rows_max`, from behind `after` on.
    pub fn with_label_page(
        &self,
        label: &str,
        value: &str,
        after: Option<&AggregateId>,
        rows_max: usize,
    ) -> Result<Page<AggregateId>, QueryError> {
        judge_pair(label, value)?;
        Ok(self.view()?.with_label(label, value, after, rows_max)?)
    }

    /// The values of this label that are in use, sorted.
    pub fn label_values(&self, label: &str) -> Result<Vec<String>, QueryError> {
        judge_label(label)?;
        let view = self.view()?;
        all(|after: Option<&String>| view.label_values(label, after.map(String::as_str), PAGE_ROWS_MAX))
    }

    /// A page of them: at most `rows_max`, from behind `after` on.
    pub fn label_values_page(
        &self,
        label: &str,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Page<String>, QueryError> {
        judge_label(label)?;
        Ok(self.view()?.label_values(label, after, rows_max)?)
    }
}

/// Page after page, each from behind the last item of the one before.
fn all<T>(mut page: impl FnMut(Option<&T>) -> Result<Page<T>, StoreError>) -> Result<Vec<T>, QueryError> {
    let mut all = Vec::new();
    loop {
        let Page { items, has_more } = page(all.last())?;
        all.extend(items);
        if !has_more {
            return Ok(all);
        }
    }
}

fn judge_status(status: &str) -> Result<(), Invalid> {
    Invalid::judge_bytes(STATUS, status.len(), STATUS_BYTES_MAX)
}

fn judge_pair(label: &str, value: &str) -> Result<(), Invalid> {
    judge_label(label)?;
    Invalid::judge_bytes(LABEL_VALUE, value.len(), LABEL_VALUE_BYTES_MAX)
}
