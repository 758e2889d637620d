//! Rows that contradict each other, in a snapshot that somebody sends: each is a row, and together they are refused.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::subject::{NOW, Subject, event, order, position};
use crate::event_store::tables::{
    AggregateRow, ArchiveRow, EventsRow, GapRow, Table, archived_event_key, event_key, label_key,
    label_prefix, position_key, status_key,
};
use crate::event_store::{AggregateId, Append, Position, Timestamp};
use crate::machine::StateMachine;

/// The rows of a snapshot, which somebody changes before he sends it.
struct Picture {
    rows: BTreeMap<(Table, Vec<u8>), Bytes>,
}

impl Picture {
    /// Order 1 was trimmed at 1, and has a status and a label; order 2 has events alone; orders 3 and 4 were archived.
    fn new() -> Self {
        let mut subject = Subject::new();
        let found = Append::to(&order(1), 0).status("placed").label("city", "Bonn");
        subject.append(found.events(["a", "b", "c"].map(event))).unwrap();
        subject.raise(&order(2), ["d", "e"]);
        subject.raise(&order(1), ["f"]);
        subject.trim(&order(1), "one", 1);
        for number in [3, 4] {
            subject.raise(&order(number), ["g", "h"]);
            subject.archive(&order(number));
        }
        let mut bytes = Vec::new();
        subject.machine().snapshot().unwrap()(&mut bytes).unwrap();
        Self::read(&bytes[MAGIC.len()..])
    }

    fn read(mut rest: &[u8]) -> Self {
        let mut rows = BTreeMap::new();
        while let Some(nth) = rest[0].checked_sub(1) {
            let length = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
            let (key, value) = rest[9..].split_at(length(1));
            let (value, behind) = value.split_at(length(5));
            rows.insert((Table::ALL[usize::from(nth)], key.to_vec()), Bytes::copy_from_slice(value));
            rest = behind;
        }
        Self { rows }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for ((table, key), value) in &self.rows {
            bytes.push(*table as u8 + 1);
            bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        bytes.push(0);
        bytes.extend_from_slice(&(self.rows.len() as u64).to_be_bytes());
        bytes
    }

    fn get(&self, table: Table, key: &[u8]) -> &Bytes {
        &self.rows[&(table, key.to_vec())]
    }

    fn put(&mut self, table: Table, key: &[u8], value: impl Into<Bytes>) {
        self.rows.insert((table, key.to_vec()), value.into());
    }

    fn take(&mut self, table: Table, key: &[u8]) -> Bytes {
        self.rows.remove(&(table, key.to_vec())).expect("a row to take")
    }

    fn change_aggregate(&mut self, id: &AggregateId, change: impl FnOnce(&mut AggregateRow)) {
        let mut row = AggregateRow::decode(self.get(Table::Aggregates, id.as_key())).unwrap();
        change(&mut row);
        self.put(Table::Aggregates, id.as_key(), row.encoded());
    }

    fn change_events(&mut self, table: Table, key: &[u8], change: impl FnOnce(&mut EventsRow)) {
        let mut row = EventsRow::decode(self.get(table, key)).unwrap();
        change(&mut row);
        self.put(table, key, row.encoded());
    }

    /// Events that stood at `from` stand at `to`, also for their aggregate.
    fn move_events(&mut self, from: Position, to: Position) {
        let row = self.take(Table::Events, &position_key(from));
        let EventsRow { id, first, .. } = EventsRow::decode(&row).unwrap();
        self.put(Table::Events, &position_key(to), row);
        self.put(Table::Sequences, &event_key(&id, first), position_key(to).to_vec());
    }

    fn restored(&self) -> Result<(), String> {
        let mut subject = Subject::new();
        subject.machine().restore(&mut &*self.bytes()).map_err(|error| error.reason)
    }
}

fn at(index: u64, offset: u32) -> Position {
    Position { index, offset }
}

#[track_caller]
fn is_refused(reason: &str, change: impl FnOnce(&mut Picture)) {
    let mut picture = Picture::new();
    change(&mut picture);
    let refused = picture.restored().expect_err(reason);
    assert_eq!(refused, format!("the snapshot's rows contradict each other: {reason}"));
}

#[test]
fn a_snapshot_that_nobody_changed_is_taken() {
    assert_eq!(Picture::new().restored(), Ok(()));
}

#[test]
fn archived_events_of_another_aggregate_than_their_record_are_refused() {
    is_refused("the archived events of one aggregate stand under another", |picture| {
        picture.change_events(Table::ArchivedEvents, &archived_event_key(6, 0), |row| row.id = order(9));
    });
    is_refused("the archived events of one aggregate stand under another", |picture| {
        picture.change_events(Table::ArchivedEvents, &archived_event_key(6, 0), |row| row.first = 1);
    });
}

#[test]
fn archived_events_that_their_record_does_not_hold_are_refused() {
    is_refused("there are archived events of no record", |picture| {
        picture.take(Table::Archive, &6_u64.to_be_bytes());
    });
    is_refused("an aggregate's events overlap, or lie outside of it", |picture| {
        let mut record = ArchiveRow::decode(picture.get(Table::Archive, &8_u64.to_be_bytes())).unwrap();
        record.sequence = 1;
        picture.put(Table::Archive, &8_u64.to_be_bytes(), record.encoded());
    });
}

#[test]
fn an_aggregate_whose_snapshot_is_missing_is_refused_and_a_snapshot_of_none() {
    is_refused("an aggregate's snapshot is missing", |picture| {
        picture.take(Table::Snapshots, order(1).as_key());
    });
    is_refused("there is a snapshot of no aggregate", |picture| {
        picture.put(Table::Snapshots, order(9).as_key(), "of nobody");
    });
}

#[test]
fn listings_that_do_not_say_what_the_aggregates_say_are_refused() {
    let since = Timestamp::from_millis(NOW.to_millis());
    is_refused("an aggregate is not found by its status", |picture| {
        picture.take(Table::Statuses, &status_key("placed", since, &order(1)));
    });
    is_refused("an aggregate is found by a status that it has not", |picture| {
        picture.put(Table::Statuses, &status_key("placed", since, &order(2)), "");
    });
    is_refused("an aggregate is not found by its label", |picture| {
        picture.take(Table::Labels, &label_key("city", "Bonn", &order(1)));
    });
    is_refused("an aggregate is found by a label that it has not", |picture| {
        picture.put(Table::Labels, &label_key("city", "Bonn", &order(2)), "");
    });
    let value = label_prefix("city", Some("Bonn"));
    is_refused("a label's value is counted wrongly", |picture| {
        picture.put(Table::LabelValues, &value, 2_u64.to_be_bytes().to_vec());
    });
    is_refused("a label's value is counted wrongly", |picture| {
        picture.take(Table::LabelValues, &value);
    });
    is_refused("a label has a value that no aggregate has", |picture| {
        let value = label_prefix("city", Some("Cologne"));
        picture.put(Table::LabelValues, &value, 1_u64.to_be_bytes().to_vec());
    });
}

#[test]
fn values_of_several_labels_are_counted_each_for_itself() {
    let mut picture = Picture::new();
    for (name, value) in [("city", "Aachen"), ("colour", "red")] {
        for number in [1, 2] {
            picture.change_aggregate(&order(number), |row| {
                row.is.labels.insert(name.to_owned(), value.to_owned());
            });
            picture.put(Table::Labels, &label_key(name, value, &order(number)), "");
        }
        picture.put(Table::LabelValues, &label_prefix(name, Some(value)), 2_u64.to_be_bytes().to_vec());
    }
    picture.take(Table::Labels, &label_key("city", "Bonn", &order(1)));
    picture.take(Table::LabelValues, &label_prefix("city", Some("Bonn")));
    assert_eq!(picture.restored(), Ok(()));

    picture.put(Table::LabelValues, &label_prefix("city", Some("Aachen")), 1_u64.to_be_bytes().to_vec());
    assert!(picture.restored().unwrap_err().ends_with("a label's value is counted wrongly"));
}

#[test]
fn gaps_that_are_missing_or_nobodys_are_refused() {
    let missing = "the gap where events were removed is missing";
    is_refused(missing, |picture| {
        picture.take(Table::Gaps, &position_key(at(1, 0)));
    });
    is_refused(missing, |picture| {
        let mut gap = GapRow::decode(picture.get(Table::Gaps, &position_key(at(1, 0)))).unwrap();
        gap.first_available = 2;
        picture.put(Table::Gaps, &position_key(at(1, 0)), gap.encoded());
    });
    is_refused(missing, |picture| {
        picture.put(Table::ArchivedIds, order(3).as_key(), position_key(at(7, 1)).to_vec());
    });
    is_refused("there is a gap where nobody's events were", |picture| {
        picture.take(Table::ArchivedIds, order(3).as_key());
    });
    is_refused("there is a gap where an event stands", |picture| {
        let gap = picture.take(Table::Gaps, &position_key(at(5, 1)));
        picture.put(Table::Gaps, &position_key(at(2, 1)), gap);
        picture.put(Table::ArchivedIds, order(3).as_key(), position_key(at(2, 1)).to_vec());
    });
}

#[test]
fn events_that_are_missing_or_nobodys_are_refused() {
    is_refused("the events at 2/0 are missing", |picture| {
        picture.take(Table::Events, &position_key(at(2, 0)));
    });
    is_refused("there are events that no aggregate has", |picture| {
        let row = picture.get(Table::Events, &position_key(at(2, 0))).clone();
        picture.put(Table::Events, &position_key(at(9, 0)), row);
    });
    is_refused("there are events of no aggregate", |picture| {
        picture.take(Table::Aggregates, order(2).as_key());
    });
    let under_another = "the events of one aggregate stand under another";
    is_refused(under_another, |picture| {
        picture.change_events(Table::Events, &position_key(at(2, 0)), |row| row.id = order(1));
    });
    is_refused(under_another, |picture| {
        picture.change_events(Table::Events, &position_key(at(2, 0)), |row| row.first = 1);
    });
}

#[test]
fn events_that_overlap_or_lie_outside_of_their_aggregate_are_refused() {
    let outside = "an aggregate's events overlap, or lie outside of it";
    is_refused(outside, |picture| picture.change_aggregate(&order(2), |row| row.is.sequence = 1));
    is_refused(outside, |picture| picture.change_aggregate(&order(2), |row| row.is.base_sequence = 1));
    is_refused(outside, |picture| {
        let at = picture.take(Table::Sequences, &event_key(&order(1), 3));
        picture.change_events(Table::Events, &at, |row| row.first = 2);
        picture.put(Table::Sequences, &event_key(&order(1), 2), at);
    });
}

#[test]
fn events_in_another_order_than_in_the_log_are_refused() {
    let other_order = "an aggregate's events are in another order than in the log";
    is_refused(other_order, |picture| picture.move_events(at(3, 0), at(1, 2)));
    is_refused(other_order, |picture| picture.move_events(at(1, 1), at(0, 7)));
    is_refused("two events stand at one place in the log", |picture| {
        picture.move_events(at(2, 0), at(1, 2));
    });
}

#[test]
fn a_snapshot_that_holds_events_behind_its_own_end_is_refused() {
    for (index, is_taken) in [(7, false), (8, true)] {
        let mut subject = Subject::new();
        subject.machine().restore(&mut &*Picture::new().bytes()).unwrap();

        let ended = subject.machine().end_batch(position(index), &[]);

        let refused = "the snapshot holds what entry 8 brought, behind its own end";
        assert_eq!(
            ended.map_err(|error| error.reason),
            if is_taken { Ok(()) } else { Err(refused.to_owned()) }
        );
        assert_eq!(subject.view().applied(), if is_taken { 8 } else { 0 });
    }
}

#[test]
fn rows_that_no_aggregate_and_no_record_can_have_are_refused() {
    let refused = |change: &dyn Fn(&mut Picture)| {
        let mut picture = Picture::new();
        change(&mut picture);
        picture.restored().unwrap_err()
    };
    let row = |reason| format!("the snapshot holds a row that is none: {reason}");

    let empty = row("an aggregate with an empty status or label");
    assert_eq!(
        empty,
        refused(&|picture| {
            picture.change_aggregate(&order(2), |row| row.is.status = Some((String::new(), NOW)));
        })
    );
    assert_eq!(
        empty,
        refused(&|picture| {
            picture
                .change_aggregate(&order(2), |row| drop(row.is.labels.insert("city".into(), String::new())));
        })
    );
    for (base, snapshot) in [(3, 0), (0, 3)] {
        let changed = refused(&|picture| {
            let mut record = ArchiveRow::decode(picture.get(Table::Archive, &8_u64.to_be_bytes())).unwrap();
            (record.base_sequence, record.snapshot_sequence) = (base, snapshot);
            picture.put(Table::Archive, &8_u64.to_be_bytes(), record.encoded());
        });
        assert_eq!(changed, row("an archive record that begins behind its end"));
    }
}

const MAGIC: &[u8; 14] = b"QuorateEvents\x01";
