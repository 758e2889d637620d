//! What the network does to messages: it loses, doubles, overtakes and delays them, and cuts who is here from who is there.
//! Whatever it does, every answer is true; and when it is mended, everybody agrees.

use std::collections::BTreeSet;

use super::cluster::{Answer, Transit};
use super::{Cluster, five_nodes_with, id, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, ReplicaConfig};
use crate::ticket::Outcome;

/// So that leaders who are cut off step down, and nodes who are do not disturb.
fn calm(config: &mut ReplicaConfig) {
    (config.raft.pre_vote, config.raft.check_quorum) = (true, true);
}

/// What callers were told.
#[derive(Default)]
struct Callers {
    proposed: usize,
    waiting: Vec<(String, Answer)>,
    applied: Vec<String>,
    refused: Vec<String>,
}

impl Callers {
    fn propose(&mut self, cluster: &mut Cluster, at: u64) {
        self.proposed += 1;
        let command = format!("c{}", self.proposed);
        let answer = cluster.submit_within(400, at, &command);
        self.waiting.push((command, answer));
    }

    fn collect(&mut self) {
        for (command, answer) in self.waiting.extract_if(.., |(_, answer)| answer.is_done()) {
            match answer.try_wait().expect("it is done") {
                Ok(_) => self.applied.push(command),
                Err(error) if error.outcome() == Outcome::NotApplied => self.refused.push(command),
                Err(_) => {}
            }
        }
    }

    /// The network is mended: the cluster works again, all agree, and nobody was told what is not so.
    fn judge(mut self, cluster: &mut Cluster) {
        cluster.heal();
        cluster.connect_all();
        cluster.ticks(100);
        let last = cluster.propose(1, "the last");
        cluster.ticks(200);
        self.collect();

        assert!(last.try_wait().expect("it is answered by now").is_ok(), "the cluster does not work again");
        assert!(self.waiting.is_empty(), "somebody waits for ever");
        let journal = cluster.journal(1);
        for number in cluster.numbers() {
            assert_eq!(cluster.journal(number), journal, "node {number} applied something else");
        }
        let count = |command: &String| journal.split(", ").filter(|applied| applied == command).count();
        for command in &self.applied {
            assert_eq!(count(command), 1, "{command} was answered");
        }
        for command in &self.refused {
            assert_eq!(count(command), 0, "{command} was said never to be applied");
        }
        assert!((1..=self.proposed).all(|nth| count(&format!("c{nth}")) <= 1), "applied twice");
    }
}

/// What befalls messages, in percent of them; delays in percent of steps.
#[derive(Clone, Copy, Default)]
struct Weather {
    lost: u64,
    doubled: u64,
    overtaking: u64,
    delayed: u64,
}

struct Chance(u64);

impl Chance {
    /// Splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Three nodes in that weather for a while; how many commands were answered meanwhile.
fn endure(weather: Weather, seed: u64) -> usize {
    let (mut cluster, mut callers, mut chance) = (three_nodes_with(calm), Callers::default(), Chance(seed));
    cluster.connect_all();
    cluster.elect(1);
    for _ in 0..3_000 {
        let node = 1 + chance.below(3);
        match chance.below(100) {
            0..45 => {
                let how = match () {
                    () if chance.percent(weather.lost) => Transit::Lose,
                    () if chance.percent(weather.doubled) => Transit::Double,
                    () if chance.percent(weather.overtaking) => Transit::Overtake,
                    () => Transit::Deliver,
                };
                cluster.transit(chance.below(1 << 20) as usize, how);
            }
            45..90 => drop(cluster.turn(node)),
            90..96 => cluster.pass_time(node, 1),
            96..99 => callers.propose(&mut cluster, node),
            // Ten elections could be over before anything arrives.
            _ if chance.percent(weather.delayed) => {
                (1..=3).for_each(|number| cluster.pass_time(number, 100));
            }
            _ => {}
        }
        callers.collect();
    }
    let applied = callers.applied.len();
    callers.judge(&mut cluster);
    applied
}

fn endure_often(weather: Weather) -> usize {
    (0..12).map(|seed| endure(weather, seed)).sum()
}

#[test]
fn however_many_messages_are_lost_every_answer_is_true_and_all_agree_in_the_end() {
    let applied = [1, 10, 30, 50].map(|lost| endure_often(Weather { lost, ..Weather::default() }));
    assert!(applied[0] > 100 && applied[1] > 50, "{applied:?}: too little happened");
}

#[test]
fn messages_that_arrive_twice_do_nothing_twice() {
    let applied = endure_often(Weather { doubled: 40, ..Weather::default() });
    assert!(applied > 100, "{applied}: too little happened");
}

#[test]
fn messages_that_overtake_each_other_change_no_answer() {
    let applied = endure_often(Weather { overtaking: 60, ..Weather::default() });
    assert!(applied > 100, "{applied}: too little happened");
}

#[test]
fn messages_that_are_ten_elections_late_change_no_answer() {
    let applied = endure_often(Weather { delayed: 60, ..Weather::default() });
    assert!(applied > 10, "{applied}: too little happened");
}

#[test]
fn all_that_can_befall_messages_at_once_changes_no_answer() {
    let applied = endure_often(Weather { lost: 15, doubled: 20, overtaking: 30, delayed: 20 });
    assert!(applied > 10, "{applied}: too little happened");
}

/// All links between the two sides, both ways.
fn between(here: &[u64], there: &[u64]) -> Vec<(u64, u64)> {
    let pairs = here.iter().flat_map(|&one| there.iter().map(move |&other| (one, other)));
    pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}

/// Links from one side to the other, that way alone.
fn one_way(from: &[u64], to: &[u64]) -> Vec<(u64, u64)> {
    from.iter().flat_map(|&one| to.iter().map(move |&other| (one, other))).collect()
}

/// Five nodes, led by node 1, with these links cut: whether commands were answered at `at` meanwhile, and who leads there.
fn partitioned(cuts: &[(u64, u64)], at: u64) -> (bool, Vec<u64>) {
    let (mut cluster, mut callers) = (five_nodes_with(calm), Callers::default());
    cluster.connect_all();
    cluster.elect(1);
    callers.propose(&mut cluster, 1);
    cluster.settle();
    callers.collect();
    assert_eq!(callers.applied, ["c1"]);

    for &(from, to) in cuts {
        cluster.cut_one_way(from, to);
    }
    // What the leader takes before it knows that it is cut off.
    callers.propose(&mut cluster, 1);
    cluster.ticks(60);
    callers.propose(&mut cluster, at);
    let command = format!("c{}", callers.proposed);
    cluster.ticks(20);
    callers.collect();
    let goes_on = callers.applied.contains(&command);
    let leaders: Vec<_> =
        cluster.numbers().into_iter().filter(|&one| cluster.status(one).role == RoleName::Leader).collect();
    let terms: BTreeSet<_> = leaders.iter().map(|&one| cluster.status(one).term).collect();
    assert_eq!(terms.len(), leaders.len(), "two leaders of one term");
    (1..=5).for_each(|number| callers.propose(&mut cluster, number));
    cluster.ticks(20);

    callers.judge(&mut cluster);
    (goes_on, leaders)
}

#[test]
fn a_leader_that_is_isolated_steps_down_and_the_others_go_on() {
    let (goes_on, leaders) = partitioned(&between(&[1], &[2, 3, 4, 5]), 2);
    assert!(goes_on && leaders.len() == 1 && leaders != [1], "{leaders:?}");
}

#[test]
fn a_follower_that_is_isolated_changes_nothing() {
    assert_eq!(partitioned(&between(&[5], &[1, 2, 3, 4]), 1), (true, vec![1]));
}

#[test]
fn the_larger_part_goes_on_and_the_smaller_one_answers_nobody() {
    let (goes_on, leaders) = partitioned(&between(&[1, 2], &[3, 4, 5]), 3);
    assert!(goes_on && leaders.iter().all(|leader| *leader > 2), "{leaders:?}");

    assert!(!partitioned(&between(&[3, 4, 5], &[1, 2]), 1).0);
}

#[test]
fn in_parts_without_a_majority_nobody_leads() {
    let parts = [between(&[1, 2], &[3, 4, 5]), between(&[3, 4], &[5])].concat();
    assert_eq!(partitioned(&parts, 1), (false, vec![]));
}

#[test]
fn in_a_ring_the_leader_goes_on_with_its_neighbours() {
    let ring = [between(&[1], &[3, 4]), between(&[2], &[4, 5]), between(&[3], &[5])].concat();
    assert_eq!(partitioned(&ring, 1), (true, vec![1]));
}

#[test]
fn over_one_node_that_is_a_bridge_the_leader_goes_on() {
    assert_eq!(partitioned(&between(&[1, 2], &[4, 5]), 1), (true, vec![1]));
}

#[test]
fn a_leader_that_only_sends_steps_down_and_the_others_go_on() {
    let (goes_on, leaders) = partitioned(&one_way(&[2, 3, 4, 5], &[1]), 2);
    assert!(goes_on && leaders.len() == 1 && leaders != [1], "{leaders:?}");
}

#[test]
fn a_leader_that_only_receives_is_replaced_and_the_others_go_on() {
    let (goes_on, leaders) = partitioned(&one_way(&[1], &[2, 3, 4, 5]), 2);
    assert!(goes_on && leaders.len() == 1 && leaders != [1], "{leaders:?}");
}

#[test]
fn a_follower_that_only_sends_or_only_receives_deposes_nobody() {
    assert_eq!(partitioned(&one_way(&[1, 2, 3, 4], &[5]), 1), (true, vec![1]));
    assert_eq!(partitioned(&one_way(&[5], &[1, 2, 3, 4]), 1), (true, vec![1]));
}

#[test]
fn a_connection_that_comes_back_brings_nothing_a_second_time() {
    let (mut cluster, mut callers) = (three_nodes_with(calm), Callers::default());
    cluster.connect_all();
    cluster.elect(1);
    // Taken by the leader, whose answers are lost with the connection; nobody says so for a while.
    callers.propose(&mut cluster, 2);
    cluster.turn(2);
    while cluster.transit(0, Transit::Deliver) {}
    cluster.cut(1, 2);
    cluster.settle();

    cluster.handle(1, Event::PeerLost { peer: id(2) });
    cluster.handle(2, Event::PeerLost { peer: id(1) });
    cluster.settle();
    cluster.heal();
    cluster.reconnect(2);
    cluster.ticks(20);

    callers.collect();
    assert_eq!(callers.applied, ["c1"]);
    callers.judge(&mut cluster);
}
