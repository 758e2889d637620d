//! What changes the store, as it stands in the log.
//!
//! ```text
//! version 1 | kind 1 | …                                        (numbers are big endian)
//!   kind 1, append        count 4 | one or more of:
//!       id | expected sequence 8 | time 8 | has status 1 | [status] | labels 4 | (name | value)…
//!          | events 4 | (an event as in `event.rs`)…
//!   kind 2, snapshot      id | sequence 8 | trims 1 | length 4 | data
//!   kind 3, archive       id
//!   kind 4, consumed      index of the archive record 8
//! id, status, name, value: length 2 | bytes; an id's bytes are its key, as `id.rs` says
//! ```
//!
//! Decoding judges all limits. So does making one; what is committed decodes on every node, and `apply` trusts it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::cursor::{Reader, VERSION, Write};
use super::event::EventRun;
use super::limits::{
    APPENDS_MAX, EVENTS_MAX, Invalid, LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, SNAPSHOT_BYTES_MAX,
    STATUS_BYTES_MAX,
};
use super::{AggregateId, Event, NewEvent, Timestamp};
use crate::machine::{Codec, DecodeError};

/// What is done to the store. Made by [`Append::into_command`], [`Command::append_all`] and the like, which judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of them, or nothing.
    Append(Vec<Change>),
    Snapshot {
        id: AggregateId,
        sequence: u64,
        trims: bool,
        data: Bytes,
    },
    Archive(AggregateId),
    Consumed {
        index: u64,
    },
}

/// What an append does to one aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: AggregateId,
    pub(super) expected: u64,
    /// When its status was set: the time of the last event, if there is one.
    pub(super) at: Timestamp,
    pub(super) index: Index,
    pub(super) events: EventRun,
}

impl Change {
    /// One that changes nothing only requires that the aggregate is where it is expected.
    pub(super) fn is_guard(&self) -> bool {
        self.events.count() == 0 && self.index.is_empty()
    }

    /// One that leaves of an aggregate at most less than there was.
    pub(super) fn only_clears(&self) -> bool {
        let Index { status, labels } = &self.index;
        let clears = status.iter().chain(labels.values()).all(String::is_empty);
        self.events.count() == 0 && clears
    }
}

/// What an append says for the indexes. Nothing said, nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The status that the aggregate has from now on; empty: none.
    pub status: Option<String>,
    /// The labels that it has from now on, by name; an empty value: not this one.
    pub labels: BTreeMap<String, String>,
}

impl Index {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The aggregate has this status; none if it is empty.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// The aggregate has this label; not any more if the value is empty.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// What a `later` event of the same batch says counts more.
    pub fn merge(&mut self, later: Self) {
        if later.status.is_some() {
            self.status = later.status;
        }
        self.labels.extend(later.labels);
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.labels.is_empty()
    }

    fn judge(&self) -> Result<(), Invalid> {
        let status = self.status.as_ref().map_or(0, String::len);
        Invalid::judge_bytes(STATUS, status, STATUS_BYTES_MAX)?;
        Invalid::judge("the labels of an append", "labels", self.labels.len(), LABELS_MAX)?;
        for (name, value) in &self.labels {
            judge_label(name)?;
            Invalid::judge_bytes(LABEL_VALUE, value.len(), LABEL_VALUE_BYTES_MAX)?;
        }
        Ok(())
    }
}

/// Events for one aggregate, and what they mean for the indexes.
///
/// ```
/// use quorate::event_store::{AggregateId, Append, NewEvent};
///
/// let order = AggregateId::new(["order", "42"])?;
/// let placed = NewEvent::new("placed", "{}");
/// let append = Append::to(&order, 0).events([placed]).status("placed").label("customer", "7");
/// # let _ = append;
/// # Ok::<(), quorate::event_store::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    id: AggregateId,
    expected: u64,
    events: Vec<NewEvent>,
    at: Option<Timestamp>,
    index: Index,
}

impl Append {
    /// To `aggregate`, which must have come to the sequence `expected`: the one that the next event gets, 0 if it is new.
    pub fn to(aggregate: &AggregateId, expected: u64) -> Self {
        let id = aggregate.clone();
        Self { id, expected, events: Vec::new(), at: None, index: Index::default() }
    }

    /// These events, behind those named before.
    #[must_use]
    pub fn events<E: Into<NewEvent>>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        self.events.extend(events.into_iter().map(Into::into));
        self
    }

    /// Sets the status; clears it if `status` is empty. It counts from the time of the last event.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.index.status = Some(status.into());
        self
    }

    /// Sets a label; removes it if `value` is empty.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.index.labels.insert(name.into(), value.into());
        self
    }

    /// Says for the indexes what `index` says, beside what was said before.
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.index.merge(index);
        self
    }

    /// The time of a status that is set without an event.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.at = Some(time);
        self
    }

    /// To which aggregate.
    pub fn aggregate(&self) -> &AggregateId {
        &self.id
    }

    /// The sequence that the aggregate must have come to.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The events so far.
    pub fn new_events(&self) -> &[NewEvent] {
        &self.events
    }

    /// Whether it would only check the sequence: no event, no status, no label.
    pub fn is_check(&self) -> bool {
        self.events.is_empty() && self.index.is_empty()
    }

    /// The events as they will be, if the aggregate is where it is expected; those without a time get `now`.
    pub(super) fn raised(&self, now: Timestamp) -> impl Iterator<Item = Event> {
        let sequences = (0..).map(|nth| self.expected.wrapping_add(nth));
        self.events.iter().zip(sequences).map(move |(event, sequence)| Event {
            timestamp: event.timestamp.unwrap_or(now),
            sequence,
            aggregate: self.id.clone(),
            event_type: event.event_type.clone(),
            data: event.data.clone(),
            raised: true,
        })
    }

    /// What `index` says counts less than what was said before.
    pub(super) fn index_below(mut self, mut index: Index) -> Self {
        index.merge(self.index);
        self.index = index;
        self
    }

    /// The command that appends; what has no time gets `now`.
    pub fn into_command(self, now: Timestamp) -> Result<Command, Invalid> {
        Command::append_all([self], now)
    }

    fn into_change(self, now: Timestamp) -> Result<Change, Invalid> {
        let Self { id, expected, events, at, index } = self;
        let last = events.last().map(|event| event.timestamp.unwrap_or(now));
        let at = last.or(at).unwrap_or(now);
        let change = Change { id, expected, at, index, events: EventRun::of(&events, now)? };
        change.judge()?;
        Ok(change)
    }
}

impl Command {
    /// All of the appends, or none: one whose aggregate is not where it is expected keeps back the others. One without
    /// events, status and labels only requires that its aggregate is there.
    pub fn append_all(appends: impl IntoIterator<Item = Append>, now: Timestamp) -> Result<Self, Invalid> {
        let changes: Result<Vec<_>, _> = appends.into_iter().map(|append| append.into_change(now)).collect();
        let changes = changes?;
        judge_together(&changes)?;
        Ok(Self(Kind::Append(changes)))
    }

    /// Saves `data` as the snapshot of `aggregate` at `sequence`: what its events before that one amount to. If it `trims`,
    /// those events are removed.
    pub fn save_snapshot(
        aggregate: &AggregateId,
        data: impl Into<Bytes>,
        sequence: u64,
        trims: bool,
    ) -> Result<Self, Invalid> {
        let (id, data) = (aggregate.clone(), data.into());
        judge_id(&id)?;
        Invalid::judge_sequence(sequence)?;
        Invalid::judge_bytes(SNAPSHOT, data.len(), SNAPSHOT_BYTES_MAX)?;
        Ok(Self(Kind::Snapshot { id, sequence, trims, data }))
    }

    /// Takes `aggregate` out of the store, and keeps what it was for whoever consumes archives.
    pub fn archive(aggregate: &AggregateId) -> Result<Self, Invalid> {
        judge_id(aggregate)?;
        Ok(Self(Kind::Archive(aggregate.clone())))
    }

    /// About how many bytes it has in the log.
    pub(super) fn bytes(&self) -> u64 {
        const AROUND: usize = 64;
        let content = match &self.0 {
            Kind::Append(changes) => changes.iter().map(|change| change.events.bytes().len()).sum(),
            Kind::Snapshot { data, .. } => data.len(),
            Kind::Archive(_) | Kind::Consumed { .. } => 0,
        };
        (content + AROUND) as u64
    }

    /// The archive record of log entry `index` was handled.
    pub fn consumed(index: u64) -> Self {
        Self(Kind::Consumed { index })
    }
}

impl Change {
    fn judge(&self) -> Result<(), Invalid> {
        judge_id(&self.id)?;
        Invalid::judge_sequence(self.expected)?;
        self.index.judge()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_id(&self.id);
        out.put_u64(self.expected);
        out.put_i64(self.at.0);
        out.put_option(self.index.status.as_ref(), |out, status| out.put_text(status));
        out.put_count(self.index.labels.len());
        for (name, value) in &self.index.labels {
            out.put_text(name);
            out.put_text(value);
        }
        out.put_u32(self.events.count());
        out.put(self.events.bytes());
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (id, expected, at) = (reader.id()?, reader.sequence()?, Timestamp(reader.i64()?));
        let status = reader.option(|reader| reader.text(STATUS, STATUS_BYTES_MAX))?;
        let labels = read_labels(reader)?;
        let count = reader.u32()? as usize;
        let events = EventRun::read(reader, count)?;
        Ok(Self { id, expected, at, index: Index { status, labels }, events })
    }
}

/// Labels in the order of their names, none twice.
pub(super) fn read_labels(reader: &mut Reader) -> Result<BTreeMap<String, String>, DecodeError> {
    let mut labels = BTreeMap::new();
    for _ in 0..reader.count("labels", LABELS_MAX)? {
        let name = reader.text(LABEL, LABEL_BYTES_MAX)?;
        judge_label(&name)?;
        let value = reader.text(LABEL_VALUE, LABEL_VALUE_BYTES_MAX)?;
        if labels.last_key_value().is_some_and(|(before, _)| *before >= name) {
            return Err(DecodeError::new("labels are out of order"));
        }
        labels.insert(name, value);
    }
    Ok(labels)
}

impl Codec for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        match &self.0 {
            Kind::Append(changes) => {
                out.put_u8(APPEND);
                out.put_list(changes, |out, change| change.write(out));
            }
            Kind::Snapshot { id, sequence, trims, data } => {
                out.put_u8(SAVE_SNAPSHOT);
                out.put_id(id);
                out.put_u64(*sequence);
                out.put_bool(*trims);
                out.put_bytes(data);
            }
            Kind::Archive(id) => {
                out.put_u8(ARCHIVE);
                out.put_id(id);
            }
            Kind::Consumed { index } => {
                out.put_u8(CONSUMED);
                out.put_u64(*index);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned("a command", bytes)?;
        let kind = match reader.u8()? {
            APPEND => {
                let changes = reader.list("an atomic append", APPENDS_MAX, Change::read)?;
                judge_together(&changes)?;
                Kind::Append(changes)
            }
            SAVE_SNAPSHOT => Kind::Snapshot {
                id: reader.id()?,
                sequence: reader.sequence()?,
                trims: reader.bool()?,
                data: reader.bytes(SNAPSHOT, SNAPSHOT_BYTES_MAX)?,
            },
            ARCHIVE => Kind::Archive(reader.id()?),
            CONSUMED => Kind::Consumed { index: reader.u64()? },
            other => return Err(DecodeError::new(format!("no command is of kind {other}"))),
        };
        reader.finish()?;
        Ok(Self(kind))
    }
}

fn judge_together(changes: &[Change]) -> Result<(), Invalid> {
    if changes.is_empty() {
        return Err(Invalid::NoAggregate);
    }
    Invalid::judge("an atomic append", "aggregates", changes.len(), APPENDS_MAX)?;
    let events = changes.iter().map(|change| change.events.count() as usize).sum();
    Invalid::judge("an append", "events", events, EVENTS_MAX)?;
    let mut ids: Vec<_> = changes.iter().map(|change| &change.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Invalid::AggregateTwice);
    }
    Ok(())
}

pub(super) fn judge_id(id: &AggregateId) -> Result<(), Invalid> {
    if id.is_empty() { Err(Invalid::EmptyId) } else { Ok(()) }
}

pub(super) fn judge_label(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::EmptyLabel);
    }
    Invalid::judge_bytes(LABEL, name.len(), LABEL_BYTES_MAX)
}

const APPEND: u8 = 1;
const SAVE_SNAPSHOT: u8 = 2;
const ARCHIVE: u8 = 3;
const CONSUMED: u8 = 4;

pub(super) const STATUS: &str = "a status";
pub(super) const LABEL: &str = "a label's name";
pub(super) const LABEL_VALUE: &str = "a label's value";
pub(super) const SNAPSHOT: &str = "a snapshot's data";
