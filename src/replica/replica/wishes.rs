//! What operators wish: begun by the leader, handed to it by everybody else, and followed until it is done.

use super::Replica;
use crate::consensus::RoleName;
use crate::replica::admin::{Asked, Asker, ChangeAnswer, Waiting, Wish, Wished};
use crate::replica::changes::Prepared;
use crate::replica::handover::{Handover, TransferAnswer};
use crate::ticket::{ChangeError, TransferError};
use crate::types::{
    Admin, AdminAnswer, ChangeReceipt, ChangeRefused, LogIndex, MembershipChange, NodeId, PeerMessage,
    TransferRefused,
};

impl Replica {
    /// An operator at this node wishes something.
    pub(super) fn wish(&mut self, wish: Wish) {
        match self.wishes.push(wish) {
            Ok(()) => {}
            Err(Wish::Change(wished)) => wished.asker.answer_here(Err(ChangeError::Busy)),
            Err(Wish::Transfer { asker, .. }) => asker.answer_here(Err(TransferError::Busy)),
        }
    }

    /// Another node hands on what its operator wishes.
    pub(super) fn asked_by_peer(&mut self, from: NodeId, admin: Admin) {
        let request = admin.request;
        if self.wishes.is_first(from, request) && self.wishes.push(Wish::of_peer(from, admin)).is_err() {
            self.tell(from, AdminAnswer::Unknown { request });
        }
    }

    /// Everything that can be begun, handed on or answered now.
    pub(super) fn fulfil_wishes(&mut self) {
        for (asker, outcome) in self.changes.decided(&self.raft) {
            self.answer_change(asker, outcome);
        }
        for Prepared { wished, refused } in self.changes.prepared(&self.raft) {
            match refused {
                Some(refused) => self.put_off(wished, refused),
                None => self.wishes.wait(Waiting::anew(wished)),
            }
        }
        self.handovers.decide(&self.raft, self.ticks);
        self.wishes.settle_transfers(&self.raft);
        if self.raft.role() == RoleName::Leader {
            for waiting in self.wishes.take_due(self.ticks) {
                self.begin(waiting);
            }
            return;
        }
        let not_begun: Vec<_> = self.changes.give_up_preparing().collect();
        for asker in not_begun {
            self.refuse_change(asker, ChangeRefused::NotLeader);
        }
        let given_up: Vec<_> = self.changes.give_up_peers().collect();
        for (node, request) in given_up {
            self.tell(node, AdminAnswer::Unknown { request });
        }
        if !self.wishes.is_empty() {
            self.hand_wishes_on();
        }
    }

    fn hand_wishes_on(&mut self) {
        for waiting in self.wishes.take_those_of_peers() {
            match waiting.wish {
                Wish::Change(wished) => self.refuse_change(wished.asker, ChangeRefused::NotLeader),
                Wish::Transfer { asker, .. } => self.refuse_transfer(asker, TransferRefused::NotLeader),
            }
        }
        let Some(leader) = self.raft.leader() else { return };
        for admin in self.wishes.ask(leader, self.raft.term(), self.ticks) {
            self.begun.send.push((leader, PeerMessage::Admin(admin)));
        }
    }

    fn begin(&mut self, waiting: Waiting) {
        match waiting.wish {
            Wish::Change(wished) => self.begin_change(wished, waiting.refused.is_some()),
            Wish::Transfer { to, asker } => self.begin_transfer(to, asker),
        }
    }

    /// A change that is refused only because this leader is new, or because of a change that no operator waits for, waits
    /// until that is over.
    fn begin_change(&mut self, wished: Wished, was_put_off: bool) {
        match self.raft.change_membership(&wished.change, wished.expected) {
            Ok(position) => {
                self.fill_own_entries();
                self.changes.begin(position, wished.asker);
            }
            Err(ChangeRefused::UnknownDirectory { id, since }) => self.prepare_change(wished, id, since),
            Err(refused @ ChangeRefused::NotReady) => self.let_wait(wished, refused),
            Err(refused @ ChangeRefused::InProgress { .. }) if self.changes.is_empty() => {
                self.let_wait(wished, refused);
            }
            Err(refused) if wished.may_wait_out(&refused, was_put_off) => self.put_off(wished, refused),
            Err(refused) => self.refuse_change(wished.asker, refused),
        }
    }

    fn let_wait(&mut self, wished: Wished, refused: ChangeRefused) {
        self.wishes.wait(Waiting { refused: Some(refused), ..Waiting::anew(wished) });
    }

    /// Whoever shall vote, and was never met, becomes a learner first: `lacks` is one of them, or it is a learner already
    /// and has not shown its data directory.
    fn prepare_change(&mut self, wished: Wished, lacks: NodeId, since: LogIndex) {
        match self.raft.prepare_change(&wished.change, wished.expected) {
            Ok(Some(position)) => {
                self.fill_own_entries();
                self.keep_for(&wished);
                self.changes.prepare(position, wished, lacks);
            }
            Ok(None) => {
                let refused = ChangeRefused::UnknownDirectory { id: lacks, since };
                if wished.may_wait_out(&refused, true) {
                    self.put_off(wished, refused);
                } else {
                    self.refuse_change(wished.asker, refused);
                }
            }
            Err(refused) => self.refuse_change(wished.asker, refused),
        }
    }

    /// Its voters are not ready yet: the node where it was wished tries it again soon. That one has its deadline.
    fn put_off(&mut self, mut wished: Wished, refused: ChangeRefused) {
        self.keep_for(&wished);
        wished.was_put_off(&refused);
        if wished.asker.is_peer() {
            self.refuse_change(wished.asker, refused);
        } else {
            self.try_again(wished, refused);
        }
    }

    fn try_again(&mut self, wished: Wished, refused: ChangeRefused) {
        let not_before = self.ticks + u64::from(self.config.raft.heartbeat_ticks);
        self.wishes.wait(Waiting { refused: Some(refused), not_before, ..Waiting::anew(wished) });
    }

    fn keep_for(&mut self, wished: &Wished) {
        self.wishes.keep_for(wished, self.ticks + u64::from(self.config.raft.election_ticks));
    }

    fn begin_transfer(&mut self, to: Option<NodeId>, asker: Asker<TransferAnswer>) {
        match (self.raft.transfer_leadership(to), asker) {
            (Ok(to), Asker::Here { answer, deadline }) => {
                let term = self.raft.term();
                self.handovers.begin(Handover { to, term, given_up_at: u64::MAX, answer, deadline });
            }
            (Ok(to), Asker::Peer { node, request }) => {
                self.tell(node, AdminAnswer::Transfer { request, outcome: Ok(to) });
            }
            (Err(refused), asker) => self.refuse_transfer(asker, refused),
        }
    }

    /// The answer to what this node asked another one.
    pub(super) fn answered_by_peer(&mut self, from: NodeId, answer: AdminAnswer) {
        let (AdminAnswer::Change { request, .. }
        | AdminAnswer::Transfer { request, .. }
        | AdminAnswer::Unknown { request }) = answer;
        let Some(asked) = self.wishes.answered(from, request) else { return };
        let not_begun = matches!(
            &answer,
            AdminAnswer::Change { outcome: Err(ChangeRefused::NotLeader), .. }
                | AdminAnswer::Transfer { outcome: Err(TransferRefused::NotLeader), .. }
        );
        if not_begun {
            return self.wishes.ask_again(asked, self.ticks);
        }
        let Asked { wish, term, refused, .. } = asked;
        match (wish, answer) {
            (Wish::Change(wished), AdminAnswer::Change { outcome, .. }) => {
                self.change_was_answered(wished, outcome, refused.is_some());
            }
            (Wish::Transfer { asker, .. }, AdminAnswer::Transfer { outcome: Err(refused), .. }) => {
                asker.answer_here(Err(TransferError::Refused(refused)));
            }
            (
                Wish::Transfer { asker: Asker::Here { answer, deadline }, .. },
                AdminAnswer::Transfer { outcome: Ok(to), .. },
            ) => {
                let given_up_at = self.ticks + 2 * u64::from(self.config.raft.election_ticks);
                self.handovers.begin(Handover { to, term, given_up_at, answer, deadline });
            }
            (Wish::Change(wished), _) => wished.asker.answer_here(Err(ChangeError::Unknown)),
            (Wish::Transfer { asker, .. }, _) => asker.answer_here(Err(TransferError::Unknown)),
        }
    }

    fn change_was_answered(
        &mut self,
        mut wished: Wished,
        outcome: Result<ChangeReceipt, ChangeRefused>,
        was_put_off: bool,
    ) {
        match outcome {
            Err(refused) if wished.may_wait_out(&refused, was_put_off) => {
                wished.was_put_off(&refused);
                self.try_again(wished, refused);
            }
            outcome => wished.asker.answer_here(outcome.map_err(ChangeError::Refused)),
        }
    }

    /// Not one byte of the request left this node.
    pub(super) fn not_asked(&mut self, to: NodeId, request: u64) {
        if let Some(asked) = self.wishes.answered(to, request) {
            self.wishes.ask_again(asked, self.ticks);
        }
    }

    fn answer_change(&mut self, asker: Asker<ChangeAnswer>, outcome: Result<ChangeReceipt, ChangeError>) {
        match (asker, outcome) {
            (Asker::Here { answer, .. }, outcome) => answer(outcome),
            (Asker::Peer { node, request }, Ok(receipt)) => {
                self.tell(node, AdminAnswer::Change { request, outcome: Ok(receipt) });
            }
            (Asker::Peer { node, request }, Err(_)) => self.tell(node, AdminAnswer::Unknown { request }),
        }
    }

    fn refuse_change(&mut self, asker: Asker<ChangeAnswer>, refused: ChangeRefused) {
        match asker {
            Asker::Here { answer, .. } => answer(Err(ChangeError::Refused(refused))),
            Asker::Peer { node, request } => {
                self.tell(node, AdminAnswer::Change { request, outcome: Err(refused) });
            }
        }
    }

    fn refuse_transfer(&mut self, asker: Asker<TransferAnswer>, refused: TransferRefused) {
        match asker {
            Asker::Here { answer, .. } => answer(Err(TransferError::Refused(refused))),
            Asker::Peer { node, request } => {
                self.tell(node, AdminAnswer::Transfer { request, outcome: Err(refused) });
            }
        }
    }

    fn tell(&mut self, node: NodeId, answer: AdminAnswer) {
        self.begun.send.push((node, PeerMessage::AdminAnswer(answer)));
    }

    /// A leader makes voters of learners that have caught up, one at a time, but for those who shall take another's place.
    /// Who may not be promoted now is tried again later.
    pub(super) fn promote_learners(&mut self) {
        let (membership, commit) = (self.raft.membership(), self.raft.commit());
        let may_promote = self.config.auto_promote && !membership.learners().is_empty();
        if !may_promote
            || !self.may_change_membership()
            || self.incarnations.to_propose(membership, commit).is_some()
        {
            return;
        }
        for id in self.raft.membership().learners().to_vec() {
            let is_there = self.raft.progress(id).is_some_and(|progress| progress.recently_active);
            let is_free = is_there && !self.wishes.keeps(id, self.ticks);
            if is_free && self.raft.change_membership(&MembershipChange::Promote { id }, None).is_ok() {
                log::info!("learner {id} has caught up: it becomes a voter");
                return;
            }
        }
    }
}
