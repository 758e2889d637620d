//! Thesis §6.4.1: a leader that a quorum answered lately reads without asking again. Time is made up here: each scene says
//! when a round is sent, when a read comes, and how wrong a clock is.

use quorate::consensus::{Outgoing, Raft, ReadReady, RestoreError, RoleName};
use quorate::types::{Body, Moment};

use crate::fixture::*;

/// How long a lease lasts: nine ticks of ten units each, out of the ten ticks for which a follower stays faithful.
const LEASE: u64 = 90;
const TICK: u64 = 10;

fn leasing(id: u64, count: u64) -> Past {
    replica(id, count).with(|config| {
        config.check_quorum = true;
        config.pre_vote = true;
        config.lease = Some(LEASE);
    })
}

/// The same without pre-votes at the election itself, as the fixture does it.
fn leading(past: Past) -> Raft {
    let mut leader = past.start();
    leader.campaign();
    persist_all(&mut leader);
    let peers = peers_of(&leader);
    for &peer in &peers {
        leader.step(peer, pre_vote_answer(leader.term().0 + 1, true));
    }
    persist_all(&mut leader);
    for &peer in &peers {
        leader.step(peer, vote_answer(leader.term().0, true));
    }
    persist_all(&mut leader);
    assert_eq!(leader.role(), RoleName::Leader, "everyone voted for it");
    leader
}

/// A leader of `count` whose no-op everybody acknowledged.
fn settled(past: Past) -> Raft {
    let mut leader = leading(past);
    let (term, last) = (leader.term().0, leader.last().index.0);
    for peer in peers_of(&leader) {
        leader.step(peer, accepted(term, last));
    }
    persist_all(&mut leader);
    leader
}

/// A round of heartbeats that leaves at `now`: its number.
fn round_at(leader: &mut Raft, now: u64) -> u64 {
    leader.tick(2);
    let ready = leader.ready(Moment(now));
    persist(leader, &ready);
    heartbeats_to(2, &ready.send)[0].round.0
}

/// Whether a read that comes at `now` is answered at once.
fn reads_at_once(leader: &mut Raft, now: u64) -> bool {
    let before = leader.clone();
    leader.read_index(read_id(now), Moment(now)).expect("it leads");
    let reads = leader.ready(Moment(now)).reads;
    let expected = ReadReady { id: read_id(now), index: before.commit() };
    *leader = before;
    assert!(reads.is_empty() || reads == [expected]);
    !reads.is_empty()
}

fn answer_from(leader: &mut Raft, peer: u64, round: u64) {
    let matched = leader.progress(node(peer)).expect("a member").matched.0;
    leader.step(node(peer), heartbeat_answer(leader.term().0, matched, round));
}

#[test]
fn a_lease_begins_when_the_round_was_sent_and_not_when_it_was_answered() {
    let mut leader = settled(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    assert!(!reads_at_once(&mut leader, 1_001), "nobody has answered");

    // However late the answer is.
    leader.ready(Moment(1_080));
    answer_from(&mut leader, 2, round);

    assert!(reads_at_once(&mut leader, 1_081) && reads_at_once(&mut leader, 1_089));
    assert!(!reads_at_once(&mut leader, 1_090) && !reads_at_once(&mut leader, u64::MAX));
}

#[test]
fn a_quorum_must_have_answered_and_the_slowest_of_it_counts() {
    let mut leader = settled(leasing(1, 5));
    let (first, second) = (round_at(&mut leader, 1_000), round_at(&mut leader, 1_050));
    answer_from(&mut leader, 2, second);
    assert!(!reads_at_once(&mut leader, 1_060), "two of five");
    answer_from(&mut leader, 3, first);
    assert!(reads_at_once(&mut leader, 1_089) && !reads_at_once(&mut leader, 1_090));

    answer_from(&mut leader, 4, second);

    assert!(reads_at_once(&mut leader, 1_139) && !reads_at_once(&mut leader, 1_140));
}

#[test]
fn a_joint_configuration_needs_both_quorums() {
    let learning = members("host", &[1, 2, 3], &[], &[4, 5, 6, 7]);
    let mut leader = settled(leasing(1, 3).with_membership(learning));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);
    assert!(reads_at_once(&mut leader, 1_010));

    leader.change_membership(&set(&[4, 5, 6], &[7]), None).unwrap();
    for peer in [4, 7] {
        answer_from(&mut leader, peer, round);
    }
    assert!(!reads_at_once(&mut leader, 1_010), "one of the three that come");
    answer_from(&mut leader, 5, round);

    assert!(reads_at_once(&mut leader, 1_010));
}

#[test]
fn a_late_answer_to_an_old_round_makes_no_lease_younger() {
    let mut leader = settled(leasing(1, 3));
    let rounds: Vec<_> = (0..4).map(|nth| round_at(&mut leader, 1_000 + 10 * nth)).collect();

    answer_from(&mut leader, 2, rounds[3]);
    answer_from(&mut leader, 2, rounds[1]);

    assert!(reads_at_once(&mut leader, 1_119) && !reads_at_once(&mut leader, 1_120));
}

#[test]
fn acknowledged_entries_are_no_rounds() {
    let mut leader = settled(leasing(1, 3));
    leader.propose([10]).unwrap();
    leader.ready(Moment(1_000));

    leader.step(node(2), accepted(1, 3));

    assert!(!reads_at_once(&mut leader, 1_001));
}

#[test]
fn ticks_that_stand_still_extend_no_lease() {
    let mut leader = settled(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);

    // The process was stopped, and no tick has told it so when the read comes: the clock of the read counts.
    assert!(!reads_at_once(&mut leader, 9_000));
    assert_eq!(leader.role(), RoleName::Leader);
}

#[test]
fn a_turn_that_ends_late_dates_its_round_late_and_that_is_when_it_leaves() {
    let mut leader = settled(leasing(1, 3));
    leader.tick(2);
    let ready = leader.ready(Moment(1_400));
    let round = heartbeats_to(2, &ready.send)[0].round.0;

    answer_from(&mut leader, 2, round);

    assert!(reads_at_once(&mut leader, 1_489) && !reads_at_once(&mut leader, 1_490));
}

#[test]
fn a_read_without_a_lease_waits_for_a_round_and_that_renews_the_lease() {
    let mut leader = settled(leasing(1, 3));
    leader.read_index(read_id(1), Moment(2_000)).unwrap();
    let ready = leader.ready(Moment(2_000));
    assert_eq!(ready.reads, []);

    answer_from(&mut leader, 3, heartbeats_to(3, &ready.send)[0].round.0);

    assert_eq!(leader.ready(Moment(2_001)).reads, [ReadReady { id: read_id(1), index: index(2) }]);
    assert!(reads_at_once(&mut leader, 2_050));
}

#[test]
fn a_leader_that_has_committed_nothing_in_its_term_has_no_lease() {
    let mut leader = leading(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    leader.step(node(2), heartbeat_answer(1, 0, round));
    assert!(!reads_at_once(&mut leader, 1_001));

    leader.step(node(2), accepted(1, 2));

    assert!(reads_at_once(&mut leader, 1_001), "the round was answered in this term");
}

#[test]
fn a_follower_that_asks_waits_for_a_round_even_if_there_is_a_lease() {
    let mut leader = settled(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);

    leader.step(node(3), read_index(1, read_id(7)));

    let sent = leader.ready(Moment(1_001)).send;
    assert_eq!(heartbeats_to(2, &sent).len(), 1, "its message says nothing of time");
    assert!(!bodies_to(3, &sent).iter().any(|body| matches!(body, Body::ReadIndexAnswer { .. })));
}

#[test]
fn a_lone_voter_always_has_a_lease() {
    let mut lone = leasing(1, 1).start();
    lone.campaign();
    persist_all(&mut lone);

    assert!(reads_at_once(&mut lone, 77));
}

#[test]
fn a_peer_that_came_back_empty_keeps_no_lease_alive() {
    let mut leader = settled(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);
    assert!(reads_at_once(&mut leader, 1_001));

    leader.peer_replaced(node(2));

    assert!(!reads_at_once(&mut leader, 1_001));
}

/// The message that makes another one a candidate may arrive at any time, however long ago it was sent and given up.
#[test]
fn a_transfer_ends_the_lease_for_good_before_anybody_is_told_to_stand() {
    let mut leader = settled(leasing(1, 3));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);
    assert!(reads_at_once(&mut leader, 1_001));

    leader.transfer_leadership(Some(node(2))).unwrap();
    assert!(!reads_at_once(&mut leader, 1_001));
    for nth in 0..20 {
        let round = round_at(&mut leader, 1_020 + 20 * nth);
        answer_from(&mut leader, 2, round);
        answer_from(&mut leader, 3, round);
        assert!(!reads_at_once(&mut leader, 1_021 + 20 * nth));
    }

    assert_eq!((leader.role(), leader.transferring_to()), (RoleName::Leader, None), "it was given up");
}

#[test]
fn without_leases_every_read_waits_for_its_round() {
    let mut leader = settled(leasing(1, 3).with(|config| config.lease = None));
    let round = round_at(&mut leader, 1_000);
    answer_from(&mut leader, 2, round);

    assert!(!reads_at_once(&mut leader, 1_001));
}

#[test]
fn leases_without_check_quorum_or_pre_vote_are_refused_at_the_start() {
    for (check_quorum, pre_vote) in [(false, true), (true, false), (false, false)] {
        let past = leasing(1, 3).with(|config| {
            (config.check_quorum, config.pre_vote) = (check_quorum, pre_vote);
        });
        let restored = past.restored();
        let refused = Raft::new(past.config, restored);
        assert!(matches!(refused, Err(RestoreError::BadConfig { .. })), "{check_quorum} {pre_vote}");
    }
}

mod after_a_restart {
    use super::*;

    fn is_refused(raft: &mut Raft) -> bool {
        let term_before = raft.term();
        raft.step(node(3), pre_vote(9, at(8, 9)));
        raft.step(node(3), vote(9, at(8, 9)));
        let answers = persist_all(raft);
        raft.term() == term_before && answers.is_empty()
    }

    #[test]
    fn a_voter_keeps_faith_for_an_election_timeout_with_the_leader_it_may_have_answered() {
        let mut voter = leasing(1, 3).with_log(&[1, 1]).start();
        for _ in 0..9 {
            assert!(is_refused(&mut voter));
            voter.tick(1);
        }
        assert!(is_refused(&mut voter));

        voter.tick(1);

        assert!(!is_refused(&mut voter));
    }

    #[test]
    fn without_leases_it_owes_nobody_anything() {
        let past = leasing(1, 3).with(|config| config.lease = None).with_log(&[1, 1]);

        assert!(!is_refused(&mut past.start()));
    }

    #[test]
    fn a_voter_that_never_reached_a_term_has_answered_nobody() {
        assert!(!is_refused(&mut leasing(1, 3).start()));
    }

    #[test]
    fn the_first_election_of_all_is_put_off_by_no_more_than_one_timeout() {
        for seed in 0..20 {
            let ticks_with = |lease: Option<u64>| {
                let past = |id| {
                    leasing(id, 3).with_log(&[1, 1]).with(|config| {
                        (config.seed, config.lease) = (10 * seed + id, lease);
                    })
                };
                let mut cluster = crate::cluster::Cluster::of((1..=3).map(past));
                for late in [2, 3] {
                    cluster.tick_all(4);
                    cluster.replace(past(late));
                }
                let mut ticks = 0;
                while cluster.leader().is_none() {
                    cluster.tick_all(1);
                    ticks += 1;
                }
                ticks
            };
            let (without, with) = (ticks_with(None), ticks_with(Some(LEASE)));

            assert!(with <= without + 20, "seed {seed}: {with} ticks instead of {without}");
        }
    }
}

/// Three replicas whose clocks and ticks come from the same oscillator, each with its own speed, in thousandths of the true
/// one; messages arrive at once or not at all.
struct Laboratory {
    rafts: Vec<Raft>,
    speeds: [u64; 3],
    true_time: u64,
    ticked: [u64; 3],
    /// Cut off from everyone, a process that is stopped, or both.
    isolated: Option<usize>,
    stopped: Option<usize>,
}

impl Laboratory {
    fn with_speeds(speeds: [u64; 3]) -> Self {
        let rafts = (1..=3).map(|id| leasing(id, 3).start()).collect();
        let mut lab =
            Self { rafts, speeds, true_time: 1_000_000, ticked: [0; 3], isolated: None, stopped: None };
        lab.ticked = [0, 1, 2].map(|place| lab.clock(place) / TICK);
        lab.rafts[0].campaign();
        lab.settle();
        assert_eq!(lab.rafts[0].role(), RoleName::Leader);
        lab.pass(100);
        lab
    }

    fn clock(&self, place: usize) -> u64 {
        self.true_time * self.speeds[place] / 1_000
    }

    fn pass(&mut self, units: u64) {
        for _ in 0..units {
            self.true_time += 1;
            for place in 0..3 {
                let due = self.clock(place) / TICK;
                if self.stopped != Some(place) && due > self.ticked[place] {
                    self.rafts[place].tick((due - self.ticked[place]) as u32);
                    self.ticked[place] = due;
                }
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let mut sent: Vec<(usize, Outgoing)> = Vec::new();
            for place in (0..3).filter(|&place| self.stopped != Some(place)) {
                let now = Moment(self.clock(place));
                let raft = &mut self.rafts[place];
                while raft.has_ready() {
                    let ready = raft.ready(now);
                    persist(raft, &ready);
                    sent.extend(
                        ready.send.into_iter().chain(ready.send_when_durable).map(|sent| (place, sent)),
                    );
                }
            }
            if sent.is_empty() {
                return;
            }
            for (from, Outgoing { to, message }) in sent {
                let to = to.get() as usize - 1;
                let is_lost =
                    [self.isolated, self.stopped].iter().flatten().any(|&cut| cut == from || cut == to);
                if !is_lost {
                    let sender = self.rafts[from].id();
                    self.rafts[to].step(sender, message);
                }
            }
        }
    }

    /// Whether replica 1, cut off, ever reads by its lease although the others have committed without it.
    fn old_leader_reads_what_is_stale(&mut self) -> bool {
        self.isolated = Some(0);
        for _ in 0..1_000 {
            self.pass(1);
            let newest = self.rafts[1].commit().max(self.rafts[2].commit());
            let is_behind = self.rafts[0].commit() < newest;
            let now = self.clock(0);
            let is_leader = self.rafts[0].role() == RoleName::Leader;
            if is_leader && is_behind && reads_at_once(&mut self.rafts[0], now) {
                return true;
            }
        }
        assert!(self.rafts[1..].iter().any(|raft| raft.role() == RoleName::Leader), "somebody took over");
        false
    }
}

#[test]
fn an_old_leader_that_is_cut_off_never_reads_what_is_stale() {
    for speeds in [[1_000; 3], [1_000, 1_000, 990], [950, 1_000, 1_000], [960, 1_000, 1_010]] {
        let mut lab = Laboratory::with_speeds(speeds);
        let now = lab.clock(0);
        assert!(reads_at_once(&mut lab.rafts[0], now), "it has a lease");

        assert!(!lab.old_leader_reads_what_is_stale(), "{speeds:?}");
    }
}

/// What the drift bound is for: leases are only as good as the clocks.
#[test]
fn a_clock_that_runs_far_slower_than_the_others_makes_a_lease_lie() {
    let mut lab = Laboratory::with_speeds([300, 1_000, 1_000]);

    assert!(lab.old_leader_reads_what_is_stale());
}

#[test]
fn a_leader_that_was_stopped_reads_the_clock_again_before_its_first_read() {
    let mut lab = Laboratory::with_speeds([1_000; 3]);
    lab.stopped = Some(0);
    lab.pass(400);
    assert!(lab.rafts[1..].iter().any(|raft| raft.role() == RoleName::Leader), "somebody took over");
    assert_eq!(lab.rafts[0].role(), RoleName::Leader, "it does not know yet");

    let now = lab.clock(0);

    assert!(!reads_at_once(&mut lab.rafts[0], now));
}

#[test]
fn a_clock_that_is_wrong_by_a_day_from_the_start_makes_no_difference() {
    for day in [0, 86_400_000_000_000] {
        let mut leader = settled(leasing(1, 3));
        let round = round_at(&mut leader, day + 1_000);

        answer_from(&mut leader, 2, round);

        assert!(reads_at_once(&mut leader, day + 1_089) && !reads_at_once(&mut leader, day + 1_090));
    }
}
