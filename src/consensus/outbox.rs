//! What a turn has collected for its [`Ready`](super::Ready) so far.

use super::{Outgoing, ReadReady};
use crate::planted::{Bug, planted};
use crate::types::{AppendAnswer, Body, LogIndex, Message, NodeId, ReadId, SnapshotMeta, Term};

/// Messages by what they promise, and reads by their fate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    /// Promises nothing, unless its term is not durable yet: that is judged when the turn ends.
    pub(super) send: Vec<Outgoing>,
    /// Promises something that this turn's write, or one before it, makes durable.
    pub(super) send_when_durable: Vec<Outgoing>,
    pub(super) reads: Vec<ReadReady>,
    pub(super) reads_lost: Vec<ReadId>,
    /// The snapshot to fetch, and from whom: the last offer counts.
    pub(super) receive: Option<(NodeId, SnapshotMeta)>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.send.is_empty()
            && self.send_when_durable.is_empty()
            && self.reads.is_empty()
            && self.reads_lost.is_empty()
            && self.receive.is_none()
    }

    /// Promises that the log equals the leader's up to `matched`, durably. One turn's promises to one leader become one.
    pub(super) fn accept(&mut self, to: NodeId, term: Term, matched: LogIndex) {
        for outgoing in self.send_when_durable.iter_mut().filter(|outgoing| outgoing.to == to) {
            if outgoing.message.term != term {
                continue;
            }
            if let Body::AppendAnswer(AppendAnswer::Accepted { matched: promised }) =
                &mut outgoing.message.body
            {
                *promised = matched.max(*promised);
                return;
            }
        }
        let body = Body::AppendAnswer(AppendAnswer::Accepted { matched });
        let outgoing = Outgoing { to, message: Message { term, body } };
        if planted(Bug::AnswersBeforeSync) {
            return self.send.push(outgoing);
        }
        self.send_when_durable.push(outgoing);
    }

    /// Moves what names a term that is not on disk yet behind the write that puts it there.
    pub(super) fn hold_back_terms_after(&mut self, durable: Term) {
        let must_wait = |outgoing: &mut Outgoing| {
            outgoing.message.term > durable
                && reveals_own_term(&outgoing.message.body)
                && !(planted(Bug::RevealsUnsyncedTerms) || planted(Bug::AnswersVotesBeforeSync))
        };
        self.send_when_durable.extend(self.send.extract_if(.., must_wait));
    }
}

/// Whether the message's term is the sender's own. A pre-vote names the term that the asker would campaign in, and a
/// grant repeats it: neither says that anybody has reached it.
fn reveals_own_term(body: &Body) -> bool {
    !matches!(body, Body::PreVote { .. } | Body::PreVoteAnswer { granted: true })
}
