//! What is written is there again: who founded it, term and vote, entries, of several groups.

use super::scene::{
    MAIN, OTHER, append, at, command, founding_entry, hard_state, identity, main_group, membership,
    positions, read, run, vote, write,
};
use super::{Clause, Make};
use crate::storage::{GroupWrite, Identity};
use crate::types::{
    Boot, Entry, EntryRun, GroupId, Incarnation, LogIndex, LogPosition, NodeId, Origin, Payload,
};

pub(super) const CLAUSES: &[Clause] = &[
    (
        "A blank storage is nobody's; a founded one keeps its identity and the first entry of each group.",
        founding,
    ),
    ("A storage that joins begins empty and stays a joined one.", joining),
    ("Term and vote are those that were written last.", votes),
    (
        "A write returns `Ok` only when everything in it is durable: entries are there after a restart.",
        appending,
    ),
    ("Every kind of payload is read back as it was written.", payloads),
    (
        "Entries written at or after an index that was written before replace everything from that index on.",
        replacing,
    ),
    ("A write may replace its own entries.", replacing_within_a_write),
    ("Several groups share one storage, and do not mix.", groups),
    (
        "The largest payload is as large as the storage says, and many entries fit into one write.",
        large_writes,
    ),
    ("An empty write and a second settling change nothing.", settling),
];

fn founding(make: Make<'_>) {
    let mut place = make();
    let mut blank = place.open();
    assert_eq!(blank.identity(), None);
    assert!(blank.recovered().is_empty(), "a blank storage recovers groups");
    drop(blank);

    let mut log = place.founded();
    assert_eq!(log.identity(), Some(identity()));
    assert_eq!(main_group(&mut *log).entries, [founding_entry().meta()], "as soon as it is founded");
    drop(log);

    let mut again = place.open();
    assert_eq!(again.identity(), Some(identity()));
    let group = main_group(&mut *again);
    assert_eq!(group.entries, [founding_entry().meta()]);
    assert_eq!((group.starts_after, group.membership), (LogPosition::ZERO, None));
    assert!(again.recovered().is_empty(), "what was recovered is taken once");
    assert_eq!(read(&mut *again.reader(), 1, 1), [founding_entry()]);
}

fn joining(make: Make<'_>) {
    let mut place = make();
    let joined = Identity { joined: true, ..identity() };
    let mut log = place.open();
    log.found(joined, &[(MAIN, None)]).expect("a blank storage is founded");
    assert_eq!(main_group(&mut *log).entries, []);
    drop(log);

    let mut again = place.open();
    assert_eq!(again.identity(), Some(joined));
    let group = main_group(&mut *again);
    assert_eq!((group.starts_after, group.membership, group.entries.len()), (LogPosition::ZERO, None, 0));
    write(&mut *again, &[append(4, 1, 3, 10)]);
    drop(again);
    assert_eq!(positions(&main_group(&mut *place.open())), [at(4, 1), at(4, 2), at(4, 3)]);
}

fn votes(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    for (term, voted_for) in [(3, 2), (4, 0), (4, 3), (9, 1)] {
        write(&mut *log, &[vote(term, voted_for)]);
        write(&mut *log, &[append(term, 2, 2, 8)]);
        drop(log);
        log = place.open();
        let group = main_group(&mut *log);
        assert_eq!(group.hard_state, hard_state(term, voted_for), "after a restart");
        assert_eq!(positions(&group), [at(0, 1), at(term, 2)], "the entry behind the vote");
    }
}

fn appending(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[vote(3, 2), append(3, 2, 40, 128)]);
    write(&mut *log, &[append(3, 41, 41, 0)]);
    drop(log);

    let mut again = place.open();
    let group = main_group(&mut *again);
    assert_eq!(group.hard_state, hard_state(3, 2));
    assert_eq!(positions(&group)[1..], (2..=41).map(|index| at(3, index)).collect::<Vec<_>>());
    assert_eq!(group.entries[1], command(3, 2, 128).meta());
    let expected: Vec<_> = (2..=40).map(|index| command(3, index, 128)).chain([command(3, 41, 0)]).collect();
    assert_eq!(read(&mut *again.reader(), 2, 41), expected);
}

fn payloads(make: Make<'_>) {
    let origin = Origin {
        node: NodeId::new(2).expect("not zero"),
        incarnation: Incarnation(3),
        boot: Boot(4),
        request: 5,
    };
    let forwarded = Payload::Normal { origin: Some(Box::new(origin)), command: vec![1, 2, 3].into() };
    let payloads = [Payload::Noop, forwarded, Payload::Membership(membership())];
    let entries: Vec<_> = payloads
        .into_iter()
        .zip(2..)
        .map(|(payload, index)| Entry { position: at(1, index), payload })
        .collect();
    let run = EntryRun::new(entries.as_slice().into()).expect("three entries");

    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[GroupWrite { entries: vec![run], ..append(1, 2, 2, 0) }]);
    assert_eq!(read(&mut *log.reader(), 2, 4), entries);
    drop(log);

    let mut again = place.open();
    let metas: Vec<_> = entries.iter().map(Entry::meta).collect();
    assert_eq!(main_group(&mut *again).entries[1..], metas);
    assert_eq!(read(&mut *again.reader(), 2, 4), entries);
}

fn replacing(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 30, 50)]);
    write(&mut *log, &[append(2, 10, 12, 50)]);
    let expected: Vec<_> = (2..10)
        .map(|index| command(1, index, 50))
        .chain((10..=12).map(|index| command(2, index, 50)))
        .collect();

    assert_eq!(read(&mut *log.reader(), 2, 99), expected, "nothing is left of what was replaced");
    drop(log);
    let mut again = place.open();
    let metas: Vec<_> = expected.iter().map(Entry::meta).collect();
    assert_eq!(main_group(&mut *again).entries[1..], metas, "after a restart");
    assert_eq!(read(&mut *again.reader(), 2, 99), expected, "after a restart");
}

fn replacing_within_a_write(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let entries = vec![run(1, 2, 9, 20), run(2, 5, 6, 20), run(3, 4, 7, 20)];
    write(&mut *log, &[GroupWrite { entries, ..append(1, 2, 2, 0) }]);
    let expected: Vec<_> = [command(1, 2, 20), command(1, 3, 20)]
        .into_iter()
        .chain((4..=7).map(|index| command(3, index, 20)))
        .collect();

    assert_eq!(read(&mut *log.reader(), 2, 7), expected);
    assert_eq!(read(&mut *log.reader(), 5, 5), [command(3, 5, 20)]);
    drop(log);
    let mut again = place.open();
    assert_eq!(positions(&main_group(&mut *again))[1..].len(), 6);
    assert_eq!(read(&mut *again.reader(), 2, 7), expected);
}

fn groups(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let other = GroupWrite { group: OTHER, ..append(5, 2, 4, 33) };
    let other_vote = GroupWrite { group: OTHER, ..vote(5, 3) };
    let new = GroupWrite { group: GroupId(1000), ..append(6, 1, 2, 0) };
    write(&mut *log, &[vote(1, 1), append(1, 2, 3, 10), other, append(1, 4, 4, 10), new, other_vote]);
    drop(log);

    let mut log = place.open();
    let groups = log.recovered();
    assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [MAIN, OTHER, GroupId(1000)]);
    assert_eq!(positions(&groups[&MAIN])[1..], [at(1, 2), at(1, 3), at(1, 4)]);
    assert_eq!(positions(&groups[&OTHER])[1..], [at(5, 2), at(5, 3), at(5, 4)]);
    assert_eq!(positions(&groups[&GroupId(1000)]), [at(6, 1), at(6, 2)]);
    assert_eq!(groups[&MAIN].hard_state, hard_state(1, 1));
    assert_eq!(groups[&OTHER].hard_state, hard_state(5, 3));
    let read = log.reader().read(OTHER, LogIndex(3), LogIndex(4), u64::MAX).expect("they are there");
    assert_eq!(read, [command(5, 3, 33), command(5, 4, 33)]);
}

/// So much is tried, where an entry may be larger still.
const LARGE_BYTES: u32 = 2 << 20;

fn large_writes(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    let bytes = log.entry_bytes_max().min(LARGE_BYTES) as usize;
    write(&mut *log, &[append(1, 2, 300, 1000), vote(2, 3)]);
    write(&mut *log, &[append(2, 301, 301, bytes)]);
    drop(log);

    let mut log = place.open();
    let group = main_group(&mut *log);
    assert_eq!((group.entries.len(), group.hard_state), (301, hard_state(2, 3)));
    let expected: Vec<_> = (2..=300).map(|index| command(1, index, 1000)).collect();
    assert!(read(&mut *log.reader(), 2, 300) == expected, "they are other entries");
    assert!(read(&mut *log.reader(), 301, 301) == [command(2, 301, bytes)], "it is another entry");
}

fn settling(make: Make<'_>) {
    let mut place = make();
    let mut log = place.founded();
    write(&mut *log, &[append(1, 2, 2, 10)]);
    write(&mut *log, &[]);
    log.settle().expect("it settles");
    log.settle().expect("it settles again");
    drop(log);

    let mut log = place.open();
    assert_eq!(positions(&main_group(&mut *log)), [at(0, 1), at(1, 2)]);
    write(&mut *log, &[append(1, 3, 3, 10)]);
    drop(log);
    assert_eq!(positions(&main_group(&mut *place.open())), [at(0, 1), at(1, 2), at(1, 3)]);
}
