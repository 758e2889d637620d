//! The machine against the contract of all machines on disk.

use super::subject::{NOW, Subject, at_millis, event, id, open, order};
use crate::event_store::{
    AggregateId, Append, Command, Filter, Index, Position, Query, Response, StoreError, WithStatus,
};
use crate::machine::{Codec, StateMachine};
use crate::testing::machine::Suite;

/// A little of everything, with conflicts and refusals.
fn commands() -> Vec<Command> {
    let append = |number, at: u64, index: Index| {
        let events = ["placed", "paid", "shipped"].map(|name| event(name).at(at_millis(at.cast_signed())));
        Append::to(&order(number), at).events(events).index(index).into_command(NOW).unwrap()
    };
    let status = |status: &str| Index::new().status(status).label("customer", "7");
    let snapshot = |number, sequence, trims| {
        Command::save_snapshot(&order(number), format!("snapshot {sequence}"), sequence, trims).unwrap()
    };
    let both = [
        Append::to(&order(1), 6).events([event("a")]),
        Append::to(&id(["", "\0"]), 0).events([event("b"), event("c")]).label("customer", "8"),
    ];
    vec![
        append(1, 0, status("placed")),
        append(2, 0, status("placed")),
        append(1, 0, status("never")),
        append(1, 3, status("paid")),
        append(3, 7, Index::new()),
        Command::append_all(both, NOW).unwrap(),
        snapshot(1, 2, false),
        snapshot(1, 4, true),
        append(2, 3, status("").label("city", "Bonn")),
        snapshot(4, 9, true),
        append(4, 9, status("ahead")),
        Command::archive(&order(2)).unwrap(),
        append(2, 0, status("again")),
        Command::archive(&order(1)).unwrap(),
        Command::archive(&order(8)).unwrap(),
        Command::consumed(14),
        Append::to(&order(4), 12).into_command(NOW).unwrap(),
        append(5, 0, Index::new().label("customer", "")),
    ]
}

fn queries() -> Vec<Query> {
    let (label, bytes_max, rows_max) = ("customer".to_owned(), 200, 2);
    let mut queries = vec![
        Query::Aggregates { prefix: AggregateId::ALL, after: None, rows_max: 100 },
        Query::Aggregates { prefix: id(["order"]), after: Some(order(1)), rows_max },
        Query::WithLabel { label: label.clone(), value: "7".to_owned(), after: None, rows_max },
        Query::LabelValues { label, after: None, rows_max },
        Query::Recorded { from: Position::START, filter: Filter::all(), bytes_max: 5000 },
        Query::Recorded {
            from: Position { index: 3, offset: 1 },
            filter: Filter::event_type("paid"),
            bytes_max,
        },
        Query::OldestArchive { after: 0, bytes_max },
        Query::Archive { index: 14, from: 1, bytes_max },
    ];
    for status in ["placed", "paid", "again", "ahead"] {
        let after = WithStatus { since: at_millis(0), aggregate: order(1) };
        queries.push(Query::WithStatus { status: status.to_owned(), after: Some(after), rows_max });
    }
    for number in 1..=5 {
        let id = order(number);
        queries.push(Query::Check { id: id.clone(), expected: 1 });
        queries.push(Query::Aggregate { id: id.clone() });
        queries.push(Query::Events { id: id.clone(), from: 1, bytes_max });
        queries.push(Query::Snapshot { id, bytes_max });
    }
    queries
}

#[test]
fn the_machine_keeps_the_contract_of_machines_on_disk() {
    let on_disk = || {
        let dir = tempfile::tempdir().unwrap();
        move || open(dir.path())
    };
    let failed = Response::failed(&StoreError::Disk { reason: "gone".to_owned() });
    Suite::on_disk(on_disk).commands(commands()).queries(queries()).responses([failed]).check();
}

/// For the fuzzer: what is said, each behind a byte that tells what it is; and snapshots, each behind its length, with
/// commands and queries behind them.
pub(crate) fn seeds() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut said, mut snapshots) = (Vec::new(), Vec::new());
    let form = |kind: u8, value: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = vec![kind];
        value(&mut bytes);
        bytes
    };
    let mut asked = Vec::new();
    for query in queries() {
        said.push(form(1, &|out| query.encode(out)));
        let bytes = form(0, &|out| query.encode(out));
        asked.push(bytes.len() as u8 - 1);
        asked.extend_from_slice(&bytes[1..]);
    }
    let mut subject = Subject::new();
    for command in commands() {
        said.push(form(0, &|out| command.encode(out)));
        let response = subject.apply(&command);
        said.push(form(2, &|out| response.encode(out)));
        let mut snapshot = Vec::new();
        subject.machine().snapshot().unwrap()(&mut snapshot).unwrap();
        let length = (snapshot.len() as u16).to_le_bytes();
        snapshots.push([&length[..], &snapshot, &asked].concat());
    }
    let answers = queries().into_iter().map(|query| subject.ask(&query));
    said.extend(answers.map(|answer| form(2, &|out| answer.encode(out))));
    (said, snapshots)
}
