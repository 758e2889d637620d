//! Where logs begin: released behind a snapshot of their own, or begun anew behind another's.

use super::scene::{
    MAIN, OTHER, append, at, command, hard_state, main_group, membership, positions, read, release,
    require_missing, restart, run, vote, write,
};
use super::{Clause, Make};
use crate::storage::GroupWrite;
use crate::types::{GroupId, LogPosition};

pub(super) const CLAUSES: &[Clause] = &[
    ("Released entries are gone, also after a restart, and the rest stays.", releasing),
    ("A log that is released beyond its end goes on there.", releasing_beyond_the_end),
    ("A log that began anew holds nothing of what was before.", beginning_anew),
    ("One write may carry a vote, a new beginning and what follows it.", beginning_anew_and_going_on),
];

fn releasing(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[vote(4, 1), append(1, 2, 200, 500)]);
    release(&mut *log, MAIN, at(1, 150));
    release(&mut *log, MAIN, at(1, 100));
    release(&mut *log, OTHER, at(0, 1));
    for index in [1, 2, 100, 101, 150] {
        require_missing(&mut *log.reader(), index);
    }
    assert_eq!(read(&mut *log.reader(), 151, 151), [command(1, 151, 500)]);
    write(&mut *log, &[append(2, 201, 260, 500)]);
    drop(log);

    let mut again = place.open();
    let groups = again.recovered();
    let group = &groups[&MAIN];
    assert_eq!((group.starts_after, group.membership.clone()), (at(1, 150), Some(membership())));
    assert_eq!((group.entries.len(), group.entries[0].position), (110, at(1, 151)));
    assert_eq!(group.hard_state, hard_state(4, 1));
    assert_eq!(groups[&OTHER].entries, []);
    require_missing(&mut *again.reader(), 150);
    assert_eq!(read(&mut *again.reader(), 151, 151), [command(1, 151, 500)]);
    assert_eq!(read(&mut *again.reader(), 260, 260), [command(2, 260, 500)]);
}

fn releasing_beyond_the_end(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 9, 100)]);
    release(&mut *log, MAIN, at(2, 50));
    write(&mut *log, &[append(3, 51, 52, 100)]);
    drop(log);

    let mut again = place.open();
    let group = main_group(&mut *again);
    assert_eq!((group.starts_after, group.membership.clone()), (at(2, 50), Some(membership())));
    assert_eq!(positions(&group), [at(3, 51), at(3, 52)]);
    assert_eq!(read(&mut *again.reader(), 51, 52), [command(3, 51, 100), command(3, 52, 100)]);
}

fn beginning_anew(make: Make<'_>) {
    // Behind the end of the log, at its end, within it, and at its very first entry.
    for position in [at(5, 400), at(5, 40), at(5, 20), at(0, 1)] {
        begin_anew(make, position, 40);
    }
}

fn begin_anew(make: Make<'_>, position: LogPosition, last: u64) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[vote(3, 1), append(3, 2, last, 700)]);
    write(&mut *log, &[restart(position)]);
    let mut reader = log.reader();
    for index in 1..=last.max(position.index.0) + 1 {
        require_missing(&mut *reader, index);
    }
    drop((log, reader));

    let mut again = place.open();
    let group = main_group(&mut *again);
    assert_eq!((group.starts_after, group.membership.clone()), (position, Some(membership())));
    assert_eq!((positions(&group), group.hard_state), (vec![], hard_state(3, 1)));

    let next = position.index.0 + 1;
    write(&mut *again, &[append(6, next, next + 3, 700)]);
    drop(again);
    let mut again = place.open();
    assert_eq!(main_group(&mut *again).entries[0].position, at(6, next));
    assert_eq!(read(&mut *again.reader(), next, next), [command(6, next, 700)]);
}

fn beginning_anew_and_going_on(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let first = append(1, 2, 9, 100);
    let all = GroupWrite {
        hard_state: Some(hard_state(7, 2)),
        entries: vec![run(7, 6, 8, 50)],
        ..restart(at(6, 5))
    };
    let new = GroupWrite { group: GroupId(1000), ..restart(at(2, 30)) };
    write(&mut *log, &[first, all, new]);
    assert_eq!(read(&mut *log.reader(), 6, 99).len(), 3);
    drop(log);

    let mut again = place.open();
    let groups = again.recovered();
    let group = &groups[&MAIN];
    assert_eq!(group.hard_state, hard_state(7, 2));
    assert_eq!((group.starts_after, positions(group)), (at(6, 5), vec![at(7, 6), at(7, 7), at(7, 8)]));
    assert_eq!(read(&mut *again.reader(), 6, 8)[2], command(7, 8, 50));
    let group = &groups[&GroupId(1000)];
    assert_eq!((group.starts_after, group.entries.len()), (at(2, 30), 0));
    assert_eq!(positions(&groups[&OTHER]), [at(0, 1)], "the other group is as it was");
}
