//! What readers see, beside the writer and behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::scene::{MAIN, append, at, command, read, require_missing, write};
use super::{Clause, Make};
use crate::storage::StorageError;
use crate::types::{GroupId, LogIndex};

pub(super) const CLAUSES: &[Clause] = &[
    ("A reader gives as many entries as fit, but at least one.", fitting),
    ("A reader reads what is durable when it is asked, also what was written after it was made.", reading_on),
    (
        "What a reader gives follows without a gap from the first entry asked for, while the writer goes on.",
        reading_beside_the_writer,
    ),
    ("Entries that are not there are an error that names the first one missing.", missing),
];

fn fitting(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    for index in 2..=9 {
        write(&mut *log, &[append(1, index, index, 100)]);
    }
    let mut reader = log.reader();
    let mut count = |first, bytes_max| {
        let read = reader.read(MAIN, LogIndex(first), LogIndex(9), bytes_max).expect("they are there");
        let expected: Vec<_> = (first..).take(read.len()).map(|index| command(1, index, 100)).collect();
        assert_eq!(read, expected);
        read.len()
    };

    assert_eq!(count(2, 1), 1, "the first one does not fit, and is given");
    assert_eq!(count(2, 350), 3, "three of 100 bytes each fit into 350");
    assert_eq!(count(2, u64::MAX), 8, "all of them fit");
    assert_eq!(count(9, 0), 1, "the last one does not fit, and is given");
}

fn reading_on(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let mut early = log.reader();
    for index in 2..=50 {
        write(&mut *log, &[append(1, index, index, 300)]);
        assert_eq!(read(&mut *early, index, index), [command(1, index, 300)]);
    }
    write(&mut *log, &[append(2, 20, 21, 10)]);

    assert_eq!(read(&mut *early, 19, 99), [command(1, 19, 300), command(2, 20, 10), command(2, 21, 10)]);
    assert_eq!(read(&mut *early, 19, 99), read(&mut *log.reader(), 19, 99), "another reader sees the same");
}

fn reading_beside_the_writer(make: Make<'_>) {
    const LAST: u64 = 400;
    let mut place = make();
    let mut log = place.founded();
    let durable = AtomicU64::new(1);
    let mut reader = log.reader();

    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut first = 2;
            while first <= LAST {
                let last = durable.load(Ordering::Acquire);
                if last < first {
                    thread::yield_now();
                    continue;
                }
                // From the middle of what is known to the last that is durable, in pieces that do not fit.
                let from = 2 + (first - 2) / 2;
                let read = reader.read(MAIN, LogIndex(from), LogIndex(last), 5000).expect("they are durable");
                assert!(!read.is_empty(), "entries {from} to {last} are durable, and none is given");
                let expected: Vec<_> =
                    (from..).take(read.len()).map(|index| command(1, index, 100)).collect();
                assert!(read == expected, "of entries {from} to {last} it gives {:?}", read.first());
                first = last + 1;
            }
        });
        let mut next = 2;
        while next <= LAST && !reading.is_finished() {
            let last = (next + next % 7).min(LAST);
            write(&mut *log, &[append(1, next, last, 100)]);
            durable.store(last, Ordering::Release);
            next = last + 1;
        }
        if let Err(panic) = reading.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn missing(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 5, 10)]);
    let mut reader = log.reader();

    let beyond = reader.read(MAIN, LogIndex(6), LogIndex(9), 1000);
    assert!(matches!(beyond, Err(StorageError::NoSuchEntry { index: LogIndex(6) })), "{beyond:?}");
    let stranger = reader.read(GroupId(55), LogIndex(1), LogIndex(1), 1000);
    assert!(matches!(stranger, Err(StorageError::NoSuchEntry { index: LogIndex(1) })), "{stranger:?}");
    write(&mut *log, &[append(2, 3, 3, 10)]);
    require_missing(&mut *reader, 4);
    assert_eq!(read(&mut *reader, 3, 3)[0].position, at(2, 3));
}
