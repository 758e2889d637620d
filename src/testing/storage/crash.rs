//! Power fails. What was promised is there; of what was not, nothing disturbs.

use std::io::Write;

use super::scene::{
    MAIN, Offer, append, at, command, content, founding_entry, hard_state, identity, listed, main_group,
    membership, positions, read, read_snapshot, release, restart, vote, write, write_snapshot,
};
use super::{Clause, Make};
use crate::types::LogPosition;

pub(super) const CLAUSES: &[Clause] = &[
    ("When power fails a storage that was founded is founded.", founded),
    ("When power fails every write that returned `Ok` is there, and nothing that was not written.", written),
    ("When power fails what was replaced does not come back.", replaced),
    (
        "When power fails a log that began anew, or was released, holds nothing of what was before.",
        begun_anew,
    ),
    ("When power fails a finished snapshot is there, and an unfinished one is not.", snapshots),
    ("When power fails a transfer goes on with what is good of it.", transfer),
];

fn founded(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    place.crash(log);

    let mut again = place.open();
    assert_eq!(again.identity(), Some(identity()));
    assert_eq!(main_group(&mut *again).entries, [founding_entry().meta()]);
}

fn written(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let mut expected = vec![at(0, 1)];
    for round in 1..=8 {
        let (first, last) = (round * 3 - 1, round * 3 + 1);
        write(&mut *log, &[vote(round, round % 3 + 1)]);
        write(&mut *log, &[append(round, first, last, 700)]);
        if round % 2 == 0 {
            log.settle().expect("it settles");
        }
        place.crash(log);

        log = place.open();
        expected.extend((first..=last).map(|index| at(round, index)));
        let group = main_group(&mut *log);
        assert_eq!(group.hard_state, hard_state(round, round % 3 + 1), "crash {round}: term and vote");
        assert_eq!(positions(&group), expected, "crash {round}: the entries");
        assert_eq!(read(&mut *log.reader(), last, last), [command(round, last, 700)], "crash {round}");
    }
    write(&mut *log, &[vote(9, 2)]);
    place.crash(log);
    assert_eq!(main_group(&mut *place.open()).hard_state, hard_state(9, 2), "a vote alone");
}

fn replaced(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 30, 50)]);
    write(&mut *log, &[append(2, 10, 10, 50)]);
    place.crash(log);

    let mut log = place.open();
    let expected: Vec<_> =
        [at(0, 1)].into_iter().chain((2..10).map(|index| at(1, index))).chain([at(2, 10)]).collect();
    assert_eq!(positions(&main_group(&mut *log)), expected);
    write(&mut *log, &[append(3, 5, 5, 50)]);
    place.crash(log);
    assert_eq!(
        positions(&main_group(&mut *place.open())),
        [at(0, 1), at(1, 2), at(1, 3), at(1, 4), at(3, 5)]
    );
}

fn begun_anew(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 30, 50)]);
    release(&mut *log, MAIN, at(1, 10));
    place.crash(log);
    let mut log = place.open();
    let group = main_group(&mut *log);
    // A release need not be durable by itself: a snapshot is.
    let is_one = [at(1, 10), LogPosition::ZERO].contains(&group.starts_after);
    assert!(is_one, "a log released up to 10 starts after {}", group.starts_after);
    assert_eq!(positions(&group).last(), Some(&at(1, 30)), "the rest stays");

    write(&mut *log, &[restart(at(4, 20))]);
    place.crash(log);
    let mut log = place.open();
    let group = main_group(&mut *log);
    assert_eq!((group.starts_after, group.membership.clone()), (at(4, 20), Some(membership())));
    assert_eq!(positions(&group), [], "a log that began anew is empty");
}

fn snapshots(make: Make<'_>) {
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let meta = write_snapshot(&mut *store, at(1, 5), &content(700_000, 5));
    let mut sink = store.create(MAIN, at(1, 9), &membership()).expect("a snapshot is begun");
    sink.write_all(&content(700_000, 9)).expect("its content is written");
    place.crash(log);
    drop((sink, store));

    let log = place.open();
    let mut store = log.snapshots();
    assert_eq!(listed(&mut *store), std::slice::from_ref(&meta));
    assert!(read_snapshot(&mut *store, &meta) == content(700_000, 5), "the content is another one");
}

fn transfer(make: Make<'_>) {
    let offer = Offer::new(make(), 9, 1_100_000);
    let mut place = make();
    let log = place.founded();
    let mut store = log.snapshots();
    let mut intake = offer.begin(&mut *store);
    offer.send(&mut *intake, 900_000, 100_000);
    place.crash(log);
    drop((intake, store));

    let log = place.open();
    let mut store = log.snapshots();
    assert_eq!(listed(&mut *store), [], "a half snapshot is listed");
    let intake = offer.begin(&mut *store);
    assert!(intake.offset() <= 900_000, "of 900000 bytes {} are kept", intake.offset());
    offer.finish(intake);
    offer.require_received(&mut *store);
    place.crash(log);
    drop(store);
    offer.require_received(&mut *place.open().snapshots());
}
