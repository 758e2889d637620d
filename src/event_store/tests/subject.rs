//! A machine under test, with words for what is done to it.

use std::path::Path;

use tempfile::TempDir;

use crate::event_store::{
    Aggregate, AggregateId, Append, Appended, Archived, Command, Conflict, Event, EventMachine, Events,
    Filter, MachineOptions, NewEvent, Position, Query, Recorded, Response, Snapshot, Timestamp, View,
};
use crate::machine::{Codec, StateMachine};
use crate::types::{LogIndex, LogPosition, Term};

/// A machine in a directory of its own. Each command is a batch.
pub(super) struct Subject {
    machine: Option<EventMachine>,
    index: u64,
    dir: TempDir,
}

impl Subject {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { machine: Some(open(dir.path())), index: 0, dir }
    }

    /// Stops it as at the end of a process, and opens it again.
    pub(super) fn reopen(&mut self) {
        drop(self.machine.take());
        let machine = open(self.dir.path());
        assert_eq!(machine.applied().unwrap().position, position(self.index), "it was settled when it went");
        self.machine = Some(machine);
    }

    /// Ends the batch that is open, if there is one.
    pub(super) fn end_batch(&mut self) {
        let through = position(self.index);
        self.machine().end_batch(through, &[]).unwrap();
    }

    /// Opens it again in the middle of a batch, of which nothing is left.
    pub(super) fn lose_batch(&mut self) {
        self.index = self.view().applied();
        self.reopen();
    }

    /// Has another machine, which holds something else, restore a snapshot, and goes on with that.
    pub(super) fn move_into_another(&mut self) {
        let mut snapshot = Vec::new();
        self.machine().snapshot().unwrap()(&mut snapshot).unwrap();
        let mut other = Self::new();
        other.raise(&id(["a", "b"]), ["something", "else"]);
        other.machine().restore(&mut &*snapshot).unwrap();
        other.index = self.index;
        other.end_batch();
        let mut again = Vec::new();
        other.machine().snapshot().unwrap()(&mut again).unwrap();
        assert!(snapshot == again, "the snapshot of what was restored is another one");
        *self = other;
    }

    /// Drops it in the middle of a batch: its directory, and where the last batch ended.
    pub(super) fn crash(mut self) -> (TempDir, LogPosition) {
        let applied = self.view().applied();
        drop(self.machine.take());
        (self.dir, position(applied))
    }

    /// Entries up to `index` brought no command.
    pub(super) fn apply_nothing_through(&mut self, index: u64) {
        self.index = index;
    }

    pub(super) fn machine(&mut self) -> &mut EventMachine {
        self.machine.as_mut().unwrap()
    }

    pub(super) fn view(&self) -> View {
        self.machine.as_ref().unwrap().view()
    }

    /// The log index of the last command.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Applies a command as it comes out of the log, in a batch of its own.
    pub(super) fn apply(&mut self, command: &Command) -> Response {
        let response = self.apply_unended(command);
        let through = position(self.index);
        self.machine().end_batch(through, &[]).unwrap();
        response
    }

    /// Applies a command in a batch that goes on.
    pub(super) fn apply_unended(&mut self, command: &Command) -> Response {
        self.index += 1;
        let at = position(self.index);
        let response = self.machine().apply(at, again(command));
        again(&response)
    }

    pub(super) fn append(&mut self, append: Append) -> Result<Appended, Conflict> {
        appended(self.apply(&append.into_command(NOW).unwrap()))
    }

    /// Events of these types, appended where the aggregate is.
    pub(super) fn raise<'a>(
        &mut self,
        id: &AggregateId,
        types: impl IntoIterator<Item = &'a str>,
    ) -> Appended {
        let at = self.sequence(id);
        self.append(Append::to(id, at).events(types.into_iter().map(event))).unwrap()
    }

    pub(super) fn save_snapshot(&mut self, id: &AggregateId, data: &'static str, sequence: u64) -> bool {
        self.save(id, data, sequence, false)
    }

    pub(super) fn trim(&mut self, id: &AggregateId, data: &'static str, sequence: u64) -> bool {
        self.save(id, data, sequence, true)
    }

    fn save(&mut self, id: &AggregateId, data: &'static str, sequence: u64, trims: bool) -> bool {
        match self.apply(&Command::save_snapshot(id, data, sequence, trims).unwrap()) {
            Response::Saved { is_newest } => is_newest,
            other => panic!("{other:?}"),
        }
    }

    /// The log index of the record.
    pub(super) fn archive(&mut self, id: &AggregateId) -> Option<u64> {
        match self.apply(&Command::archive(id).unwrap()) {
            Response::ArchiveDone { index } => index,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn consume(&mut self, index: u64) -> bool {
        match self.apply(&Command::consumed(index)) {
            Response::Consumed { was_there } => was_there,
            other => panic!("{other:?}"),
        }
    }

    /// Asks by value, as a client elsewhere does.
    pub(super) fn ask(&self, query: &Query) -> Response {
        again(&self.machine.as_ref().unwrap().query(again(query)))
    }

    pub(super) fn aggregate(&self, id: &AggregateId) -> Option<Aggregate> {
        match self.ask(&Query::Aggregate { id: id.clone() }) {
            Response::Aggregate(aggregate) => aggregate,
            other => panic!("{other:?}"),
        }
    }

    /// The sequence that the aggregate's next event gets.
    pub(super) fn sequence(&self, id: &AggregateId) -> u64 {
        self.aggregate(id).map_or(0, |aggregate| aggregate.sequence)
    }

    pub(super) fn events(&self, id: &AggregateId, from: u64) -> Events {
        match self.ask(&Query::Events { id: id.clone(), from, bytes_max: u32::MAX }) {
            Response::Events { id: of, events } if of == *id => events,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn snapshot(&self, id: &AggregateId) -> Snapshot {
        match self.ask(&Query::Snapshot { id: id.clone(), bytes_max: u32::MAX }) {
            Response::Snapshot { id: of, snapshot } if of == *id => snapshot,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn check(&self, id: &AggregateId, expected: u64) -> Result<(), Conflict> {
        match self.ask(&Query::Check { id: id.clone(), expected }) {
            Response::Checked => Ok(()),
            Response::Conflict(conflict) => Err(conflict),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn aggregates(&self, prefix: &AggregateId) -> Vec<AggregateId> {
        match self.ask(&Query::Aggregates { prefix: prefix.clone(), after: None, rows_max: u32::MAX }) {
            Response::Aggregates(page) if !page.has_more => page.items,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn with_label(&self, label: &str, value: &str) -> Vec<AggregateId> {
        let (label, value) = (label.to_owned(), value.to_owned());
        match self.ask(&Query::WithLabel { label, value, after: None, rows_max: u32::MAX }) {
            Response::Aggregates(page) if !page.has_more => page.items,
            other => panic!("{other:?}"),
        }
    }

    /// Each with its time in milliseconds.
    pub(super) fn with_status(&self, status: &str) -> Vec<(AggregateId, i64)> {
        match self.ask(&Query::WithStatus { status: status.to_owned(), after: None, rows_max: u32::MAX }) {
            Response::WithStatus(page) if !page.has_more => {
                page.items.into_iter().map(|row| (row.aggregate, row.since.to_millis())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn label_values(&self, label: &str) -> Vec<String> {
        let query = Query::LabelValues { label: label.to_owned(), after: None, rows_max: u32::MAX };
        match self.ask(&query) {
            Response::LabelValues(page) if !page.has_more => page.items,
            other => panic!("{other:?}"),
        }
    }

    /// All that a subscriber is given from `from` on, in the smallest pages there are.
    pub(super) fn recorded(&self, from: Position, filter: &Filter) -> Vec<Recorded> {
        let (mut all, mut from) = (Vec::new(), from);
        loop {
            let page = match self.ask(&Query::Recorded { from, filter: filter.clone(), bytes_max: 1 }) {
                Response::Recorded(page) => page,
                other => panic!("{other:?}"),
            };
            assert!(page.next > from || page.is_end, "a subscriber goes on");
            all.extend(page.items);
            from = page.next;
            if page.is_end {
                return all;
            }
        }
    }

    pub(super) fn oldest_archive(&self) -> Option<Archived> {
        match self.ask(&Query::OldestArchive { after: 0, bytes_max: u32::MAX }) {
            Response::Archived(archived) => archived,
            other => panic!("{other:?}"),
        }
    }
}

/// A machine that settles a layer every few commands.
pub(super) fn open(dir: &Path) -> EventMachine {
    let options = MachineOptions { layer_bytes: 1000, cache_bytes: 1 << 20, ..MachineOptions::new(dir) };
    EventMachine::open(&options).unwrap()
}

/// What stands in the log: behind the founding entry, of a term that rises now and then.
pub(super) fn position(index: u64) -> LogPosition {
    if index == 0 { LogPosition::ZERO } else { LogPosition::new(Term(1 + index / 7), LogIndex(index)) }
}

/// As it comes out of its byte form.
pub(super) fn again<T: Codec>(value: &T) -> T {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    T::decode(&bytes).unwrap()
}

pub(super) fn appended(response: Response) -> Result<Appended, Conflict> {
    match response {
        Response::Appended(appended) => Ok(appended),
        Response::Conflict(conflict) => Err(conflict),
        other => panic!("{other:?}"),
    }
}

pub(super) fn id<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> AggregateId {
    AggregateId::new(parts).unwrap()
}

pub(super) fn order(number: u64) -> AggregateId {
    id(["order".to_owned(), number.to_string()])
}

/// An event whose data names its type, a little after the last second.
pub(super) fn event(event_type: &str) -> NewEvent {
    NewEvent::new(event_type, format!("data of {event_type}"))
}

pub(super) fn at_millis(millis: i64) -> Timestamp {
    Timestamp(millis * 1_000_000 + 123_456)
}

pub(super) fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

pub(super) fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// When everything happens that says nothing else.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_123_456_789);
