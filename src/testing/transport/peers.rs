//! Who is connected with whom, and who is refused.

use super::{
    CLUSTER, Clause, Fabric, Seen, connected, forward, id, joiner, local, messages, numbered, pair, start,
    start_knowing,
};
use crate::transport::LocalNode;
use crate::types::{ClusterId, Incarnation};

pub(super) const CLAUSES: &[Clause] = &[
    (
        "When a connection is lost `Inbox::peer_lost` says so once, and `Inbox::peer_connected` when it stands again.",
        a_lost_peer_is_said_to_be_lost_once_and_found_again_after_its_restart,
    ),
    (
        "`Inbox::peer_connected` tells the data directory that the peer showed.",
        a_peer_is_connected_with_the_directory_that_it_shows,
    ),
    (
        "A peer that shows another data directory than the known one is not heard.",
        a_data_directory_that_contradicts_the_known_one_is_not_heard,
    ),
    (
        "A connection ends when the peers say that its data directory is another one.",
        a_contradiction_that_is_learnt_later_ends_the_connection,
    ),
    (
        "While `Peers::may_be_former`, a node that joined may show another data directory, and one that founds may not.",
        who_joined_may_show_another_directory_while_they_may_be_former,
    ),
    (
        "`SendJob::Peers` connects to new peers, and drops those that are gone.",
        a_peer_that_is_known_later_is_connected_and_one_that_is_gone_is_dropped,
    ),
    ("Nodes of another cluster are refused.", another_cluster_is_not_heard),
    (
        "A node without a cluster takes that of the first that dials it, says so once and before anything else, and refuses others from then on.",
        a_node_without_a_cluster_takes_that_of_the_first_who_dials_it,
    ),
    ("A node without a cluster dials nobody.", a_node_without_a_cluster_dials_nobody_until_it_has_one),
    (
        "A node that has taken its cluster dials its peers, who may wait for one.",
        nodes_without_a_cluster_find_it_through_each_other,
    ),
    ("Two nodes without a cluster do not talk.", two_nodes_without_a_cluster_do_not_talk),
];

fn a_lost_peer_is_said_to_be_lost_once_and_found_again_after_its_restart(fabric: &dyn Fabric) {
    let (one, mut two) = pair(fabric);

    for round in 0..3 {
        two.stop();
        two = start(fabric, local(2), &[1]);

        assert_eq!(one.next(), Seen::Lost(2), "round {round}");
        assert_eq!(one.next(), connected(2), "round {round}");
        two.wait_for(connected(1));
        two.send(1, numbered(round));
        assert_eq!(one.next(), Seen::Message { from: 2, number: round });
    }
}

fn a_peer_is_connected_with_the_directory_that_it_shows(fabric: &dyn Fabric) {
    let one = start(fabric, local(1), &[2]);
    for directory in [7, 8].map(Incarnation) {
        let two = start(fabric, LocalNode { incarnation: directory, ..local(2) }, &[]);
        assert_eq!(one.next(), Seen::Connected(2, directory));
        two.stop();
        assert_eq!(one.next(), Seen::Lost(2));
    }
}

fn a_data_directory_that_contradicts_the_known_one_is_not_heard(fabric: &dyn Fabric) {
    let one = start_knowing(fabric, local(1), &[(2, Some(Incarnation(666))), (3, None)]);
    let three = start(fabric, local(3), &[1, 2]);
    assert_eq!(one.next(), connected(3));
    assert_eq!(three.next(), connected(1));

    // Node 2 comes when all know what to expect of it; that it reached node 3 shows that it had time to reach node 1.
    let two = start(fabric, local(2), &[1, 3]);
    assert_eq!(two.next(), connected(3));
    assert_eq!(three.next(), connected(2));

    two.send(1, forward(2, 1, 10));
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });
    three.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 3, number: 2 });
}

fn a_contradiction_that_is_learnt_later_ends_the_connection(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    one.set_peers([(2, fabric.address(id(2)), Some(Incarnation(666)))]);

    assert_eq!(one.next(), Seen::Lost(2));
    assert_eq!(two.next(), Seen::Lost(1));
}

fn who_joined_may_show_another_directory_while_they_may_be_former(fabric: &dyn Fabric) {
    let [before, again] = [666, 777].map(|random| Incarnation(1 << 63 | random));
    let one = start(fabric, local(1), &[]);
    let expected = |id| (id, fabric.address(messages::id(id)), Some(before));
    one.set_peers_perhaps_former([expected(2), expected(3)]);

    // Node 3 comes when all know what to expect of it; that it reached node 2 shows that it had time to reach node 1.
    let two = start(fabric, LocalNode { incarnation: again, ..local(2) }, &[1, 3]);
    assert_eq!(one.next(), Seen::Connected(2, again));
    assert_eq!(two.next(), connected(1));
    let three = start(fabric, local(3), &[1, 2]);
    assert_eq!(two.next(), connected(3));
    assert_eq!(three.next(), Seen::Connected(2, again));

    three.send(1, forward(3, 1, 10));
    assert_eq!(three.next(), Seen::Undelivered { to: 1, number: 1 });
}

fn a_peer_that_is_known_later_is_connected_and_one_that_is_gone_is_dropped(fabric: &dyn Fabric) {
    let (one, two) = (start(fabric, local(1), &[]), start(fabric, local(2), &[]));
    one.send(2, forward(1, 1, 10));
    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });

    one.set_peers([(2, fabric.address(id(2)), None)]);
    assert_eq!((one.next(), two.next()), (connected(2), connected(1)));
    one.send(2, numbered(2));
    assert_eq!(two.next(), Seen::Message { from: 1, number: 2 });

    one.set_peers([]);
    assert_eq!((one.next(), two.next()), (Seen::Lost(2), Seen::Lost(1)));
}

fn another_cluster_is_not_heard(fabric: &dyn Fabric) {
    let stranger = LocalNode { cluster: Some(ClusterId(CLUSTER.0 + 1)), ..local(2) };
    let one = start(fabric, local(1), &[2, 3]);
    let two = start(fabric, stranger, &[1, 3]);
    let three = start(fabric, local(3), &[1, 2]);
    assert_eq!(one.wait_for(connected(3)), []);
    assert_eq!(three.wait_for(connected(1)), []);

    two.send(1, forward(2, 1, 10));

    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });
}

fn a_node_without_a_cluster_takes_that_of_the_first_who_dials_it(fabric: &dyn Fabric) {
    let newcomer = start(fabric, joiner(2), &[]);
    let leader = start(fabric, local(1), &[2]);
    assert_eq!(newcomer.next(), Seen::Adopted(CLUSTER));
    assert_eq!(newcomer.next(), connected(1));

    let stranger = LocalNode { cluster: Some(ClusterId(CLUSTER.0 + 1)), ..local(3) };
    let stranger = start(fabric, stranger, &[2]);
    stranger.send(2, forward(3, 1, 10));

    assert_eq!(stranger.next(), Seen::Undelivered { to: 2, number: 1 });
    leader.wait_for(connected(2));
    leader.send(2, numbered(2));
    assert_eq!(newcomer.next(), Seen::Message { from: 1, number: 2 }, "the stranger came to nothing");
}

fn a_node_without_a_cluster_dials_nobody_until_it_has_one(fabric: &dyn Fabric) {
    let newcomer = start(fabric, joiner(2), &[1]);
    let one = start(fabric, local(1), &[]);
    newcomer.send(1, forward(2, 1, 10));
    assert_eq!(newcomer.next(), Seen::Undelivered { to: 1, number: 1 });

    let _three = start(fabric, local(3), &[2]);

    assert_eq!(newcomer.next(), Seen::Adopted(CLUSTER), "before anything else");
    newcomer.wait_for(connected(1));
    assert_eq!(one.next(), connected(2));
}

fn nodes_without_a_cluster_find_it_through_each_other(fabric: &dyn Fabric) {
    let one = start(fabric, joiner(1), &[2]);
    let two = start(fabric, joiner(2), &[1]);
    let _three = start(fabric, local(3), &[1]);

    assert_eq!((one.next(), two.next()), (Seen::Adopted(CLUSTER), Seen::Adopted(CLUSTER)));
    one.wait_for(connected(2));
    two.wait_for(connected(1));
    two.send(1, numbered(5));
    one.wait_for(Seen::Message { from: 2, number: 5 });
}

fn two_nodes_without_a_cluster_do_not_talk(fabric: &dyn Fabric) {
    let one = start(fabric, joiner(1), &[2]);
    let two = start(fabric, joiner(2), &[1]);

    one.send(2, forward(1, 1, 10));
    two.send(1, forward(2, 2, 10));

    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 2 });
    assert_eq!((one.stop(), two.stop()), (vec![], vec![]));
}
