//! What must hold after every input, in words. A broken law is our own fault, so it stops the node.

use super::Raft;
use crate::consensus::role::{Leader, Role};
use crate::planted::{Bug, planted};

impl Raft {
    pub(super) fn assert_invariants(&self) {
        let last = self.log.last();
        assert!(last.term <= self.term(), "the log holds an entry of a term that was never reached (§5.1)");
        assert!(self.log.starts_after().index <= self.commit, "the log starts after what is committed");
        assert!(self.commit <= last.index, "committed an entry the log does not hold (§5.3)");
        assert!(self.writes.stable() <= last.index, "an entry is durable that the log does not hold");
        assert!(self.handed_to_apply <= self.commit, "applied beyond the commit index");
        assert!(self.writes.durable().term <= self.term(), "the term on disk was never reached");
        if let Some(snapshot) = &self.snapshot {
            assert!(
                self.log.contains(snapshot.position) || planted(Bug::CompactsBeyondSnapshot),
                "who installs the newest snapshot could not be served from the log"
            );
        }
        match &self.role {
            Role::Follower(follower) => {
                assert!(follower.verified <= last.index, "verified an entry the log does not hold");
                assert!(self.commit <= follower.verified, "committed an entry that may not be the leader's");
                assert!(follower.leader != Some(self.config.id), "a follower follows itself");
                assert!(follower.leader.is_some() || follower.reads.is_empty(), "reads wait for nobody");
            }
            Role::PreCandidate(_) => assert!(self.may_lead(), "a node that may not lead asks for pre-votes"),
            Role::Candidate(_) => self.assert_stands_for_election(),
            Role::Leader(leader) => {
                self.assert_stands_for_election();
                assert!(last.term == self.term(), "a leader's log lacks the entry that opens its term (§8)");
                for peer in leader.peers.values() {
                    peer.assert_invariants(&self.log, &self.config);
                }
                self.assert_peers_are_the_members(leader);
            }
        }
    }

    fn assert_peers_are_the_members(&self, leader: &Leader) {
        let membership = self.log.membership();
        let members = membership.peers_of(self.config.id);
        assert!(leader.peers.keys().copied().eq(members), "a leader's peers are not the members (§6)");
        let departed = leader.departing.keys().all(|&peer| !membership.contains(peer));
        assert!(departed, "a member is taken for one that was left out");
        let is_left_behind = membership.is_joint() && self.log.membership_index() <= self.commit;
        assert!(
            !is_left_behind || !self.has_committed_in_term(),
            "a joint configuration that is committed is not left"
        );
    }

    fn assert_stands_for_election(&self) {
        assert!(self.may_lead(), "a node that may not lead stands for election");
        assert!(self.hard_state.voted_for == Some(self.config.id), "a candidate votes for itself (§5.2)");
    }
}
