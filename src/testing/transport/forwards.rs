//! Forwards, whose senders are told if they certainly did not leave.

use std::collections::BTreeSet;

use super::{Clause, Fabric, Seen, connected, forward, local, numbered, pair, start};

pub(super) const CLAUSES: &[Clause] = &[
    (
        "A forward to a node that is no peer comes back through `Inbox::undelivered`; nothing else does.",
        a_message_for_nobody_is_dropped_and_a_forward_comes_back,
    ),
    (
        "A forward to a peer that is not there comes back through `Inbox::undelivered`.",
        a_forward_to_a_peer_that_is_not_there_comes_back,
    ),
    (
        "A forward comes back only if certainly not one byte of it was written.",
        a_forward_arrives_or_comes_back_and_never_both,
    ),
];

fn a_message_for_nobody_is_dropped_and_a_forward_comes_back(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    one.send(9, numbered(1));
    one.send(9, forward(1, 2, 10));
    one.send(2, numbered(3));

    assert_eq!(one.next(), Seen::Undelivered { to: 9, number: 2 });
    assert_eq!(two.next(), Seen::Message { from: 1, number: 3 });
}

fn a_forward_to_a_peer_that_is_not_there_comes_back(fabric: &dyn Fabric) {
    let one = start(fabric, local(1), &[2]);

    one.send(2, forward(1, 1, 10));

    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
}

fn a_forward_arrives_or_comes_back_and_never_both(fabric: &dyn Fabric) {
    let one = start(fabric, local(1), &[2]);
    let (mut arrived, mut sent, mut seen) = (BTreeSet::new(), 0, Vec::new());
    for _ in 0..5 {
        let two = start(fabric, local(2), &[]);
        seen.extend(one.wait_for(connected(2)));
        for _ in 0..200 {
            one.send(2, forward(1, sent, 2000));
            sent += 1;
        }
        two.wait_for(Seen::Forward { from: 1, number: sent - 200 });
        arrived.insert(sent - 200);
        for seen in two.stop() {
            let Seen::Forward { from: 1, number } = seen else { continue };
            assert!(arrived.insert(number), "forward {number} arrives twice");
        }
    }
    seen.extend(one.stop());

    let mut back = BTreeSet::new();
    for seen in seen {
        let Seen::Undelivered { to: 2, number } = seen else { continue };
        assert!(back.insert(number), "forward {number} comes back twice");
        assert!(!arrived.contains(&number), "forward {number} arrived, and came back as well");
        assert!(number < sent, "forward {number} was never sent");
    }
}
