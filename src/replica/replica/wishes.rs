//! What operators wish: begun by the leader, handed to it by everybody else, and followed until it is done.

use super::Replica;
use crate::consensus::RoleName;
use crate::replica::admin::{Asked, Asker, ChangeAnswer, Waiting, Wish};
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
            Err(Wish::Change { asker, .. }) => asker.answer_here(Err(ChangeError::Busy)),
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
        self.handovers.decide(&self.raft, self.ticks);
        self.wishes.settle_transfers(&self.raft);
        if self.raft.role() == RoleName::Leader {
            for waiting in self.wishes.take_all() {
                self.begin(waiting);
            }
            return;
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
                Wish::Change { asker, .. } => self.refuse_change(asker, ChangeRefused::NotLeader),
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
            Wish::Change { change, expected, asker } => self.begin_change(change, expected, asker),
            Wish::Transfer { to, asker } => self.begin_transfer(to, asker),
        }
    }

    /// A change that is refused only because this leader is new, or because of a change that no operator waits for, waits
    /// until that is over.
    fn begin_change(
        &mut self,
        change: MembershipChange,
        expected: Option<LogIndex>,
        asker: Asker<ChangeAnswer>,
    ) {
        match self.raft.change_membership(&change, expected) {
            Ok(position) => {
                self.fill_own_entries();
                self.changes.begin(position, asker);
            }
            Err(refused @ ChangeRefused::NotReady) => self.let_wait((change, expected, asker), refused),
            Err(refused @ ChangeRefused::InProgress { .. }) if self.changes.is_empty() => {
                self.let_wait((change, expected, asker), refused);
            }
            Err(refused) => self.refuse_change(asker, refused),
        }
    }

    fn let_wait(
        &mut self,
        (change, expected, asker): (MembershipChange, Option<LogIndex>, Asker<ChangeAnswer>),
        refused: ChangeRefused,
    ) {
        let wish = Wish::Change { change, expected, asker };
        self.wishes.wait(Waiting { wish, refused: Some(refused), not_before: 0 });
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
        let Asked { wish, term, .. } = asked;
        match (wish, answer) {
            (Wish::Change { asker, .. }, AdminAnswer::Change { outcome, .. }) => {
                asker.answer_here(outcome.map_err(ChangeError::Refused));
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
            (Wish::Change { asker, .. }, _) => asker.answer_here(Err(ChangeError::Unknown)),
            (Wish::Transfer { asker, .. }, _) => asker.answer_here(Err(TransferError::Unknown)),
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

    /// A leader makes voters of learners that have caught up, one at a time. Who may not be promoted now is tried again
    /// later.
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
            if is_there && self.raft.change_membership(&MembershipChange::Promote { id }, None).is_ok() {
                log::info!("learner {id} has caught up: it becomes a voter");
                return;
            }
        }
    }
}
