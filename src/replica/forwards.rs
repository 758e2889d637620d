//! Callers of this node whose commands were handed to a leader, and what becomes of them.
//!
//! A forward names one term, and only the leader of that term appends it. So there are three ways to learn its fate, and
//! whichever comes first counts:
//! - The command itself is committed: this node finds its own tag on the entry, perhaps before the leader's answer.
//! - The leader refuses: it never takes effect.
//! - An entry of a higher term is committed first: what is not in the log by then never will be. If a snapshot took the
//!   place of a part of the log where it may have stood, that part is not known here any more, and nor is its fate.
//!
//! A lost connection proves nothing, and nothing is sent twice. Without a fate the deadline comes: unknown. But a forward
//! of which not one byte was written was not sent at all: its commands wait again, for that leader or the next. Only if
//! a later command may have left meanwhile they are refused, for they would take effect behind it.

use std::collections::VecDeque;

use super::deadline::EarliestDeadline;
use super::{PendingReply, Proposal};
use crate::planted::{Bug, planted};
use crate::ticket::{ProposeError, Reply, StopCause};
use crate::types::{
    Boot, Entry, EntryRun, Forward, ForwardAnswer, Forwarded, Incarnation, LogIndex, LogPosition, Moment,
    NodeId, Origin, Payload, Refusal, Term,
};

/// How many bytes of commands travel in one message; a larger command travels alone.
const FORWARD_BYTES_MAX: u64 = 1 << 20;
/// How many commands travel in one message.
const FORWARD_COMMANDS_MAX: usize = 4096;

/// Who the forwards come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Me {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) boot: Boot,
}

/// Callers in the order of their requests, and so of their terms.
#[derive(Debug)]
pub(super) struct Forwards {
    me: Me,
    next_request: u64,
    /// Every request from here on has certainly gone nowhere.
    left_before: u64,
    /// Forwards that came back, until it is known whether those behind them did as well.
    came_back: Vec<(NodeId, Forward)>,
    callers: VecDeque<Caller>,
    earliest: EarliestDeadline,
    bytes: u64,
    /// A snapshot took the place of the log up to here.
    covered: LogIndex,
}

#[derive(Debug)]
struct Caller {
    request: u64,
    term: Term,
    to: NodeId,
    bytes: u32,
    deadline: Moment,
    reply: Reply,
    /// Where the leader appended it, once it said so.
    index: Option<LogIndex>,
    /// A snapshot took the place of a log in which its entry may have stood.
    may_be_covered: bool,
}

impl Forwards {
    /// Requests are numbered from a point that the boot draws: an answer carries the number alone, and one that an
    /// earlier process asked for must not refuse a request of this one.
    pub(super) fn new(me: Me) -> Self {
        let next_request = if planted(Bug::IgnoresBoots) { 0 } else { me.boot.0 >> 1 };
        Self {
            me,
            next_request,
            left_before: next_request,
            came_back: Vec::new(),
            callers: VecDeque::new(),
            earliest: EarliestDeadline::NONE,
            bytes: 0,
            covered: LogIndex::ZERO,
        }
    }

    /// How many callers wait.
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// How many bytes their commands have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages with `proposals`, all taken, for the leader of `term`: one, unless that would be too large.
    pub(super) fn make(
        &mut self,
        term: Term,
        to: NodeId,
        proposals: impl Iterator<Item = Proposal>,
    ) -> Vec<Forward> {
        let mut forwards: Vec<Forward> = Vec::new();
        let mut bytes = 0;
        for proposal in proposals {
            let size = proposal.command.len() as u64;
            let command = self.admit(term, to, proposal);
            bytes += size;
            match forwards.last_mut() {
                Some(forward)
                    if bytes <= FORWARD_BYTES_MAX && forward.commands.len() < FORWARD_COMMANDS_MAX =>
                {
                    forward.commands.push(command);
                }
                _ => {
                    bytes = size;
                    forwards.push(Forward { term, commands: vec![command] });
                }
            }
        }
        forwards
    }

    fn admit(&mut self, term: Term, to: NodeId, proposal: Proposal) -> Forwarded {
        let Me { node, incarnation, boot } = self.me;
        let request = self.next_request;
        self.next_request += 1;
        self.left_before = self.next_request;
        let Proposal { command, reply, deadline } = proposal;
        let bytes = command.len() as u32;
        self.earliest.note(deadline);
        self.bytes += u64::from(bytes);
        self.callers.push_back(Caller {
            request,
            term,
            to,
            bytes,
            deadline,
            reply,
            index: None,
            may_be_covered: false,
        });
        Forwarded { origin: Origin { node, incarnation, boot, request }, command }
    }

    /// `runs`, which are consecutive, committed, and follow everything given before, go to the state machine. The
    /// callers of their entries join `replies`; those who were superseded are answered. Gives their number.
    pub(super) fn resolve(&mut self, runs: &[EntryRun], replies: &mut Vec<PendingReply>) -> u64 {
        let mut superseded = 0;
        for entry in runs.iter().flat_map(EntryRun::entries) {
            let Some(oldest) = self.callers.front() else { break };
            if oldest.term < entry.position.term {
                superseded += self.supersede_before(entry.position.term);
            }
            if let Some(reply) = self.caller_of(entry) {
                replies.push(PendingReply { index: entry.position.index, reply });
            }
        }
        superseded
    }

    fn supersede_before(&mut self, term: Term) -> u64 {
        let mut count = 0;
        while self.callers.front().is_some_and(|caller| caller.term < term) {
            let Some(caller) = self.remove(0) else { break };
            let error = if caller.may_be_covered { ProposeError::Unknown } else { ProposeError::Superseded };
            count += u64::from(!caller.may_be_covered);
            caller.reply.fail(error);
        }
        count
    }

    fn caller_of(&mut self, entry: &Entry) -> Option<Reply> {
        let Payload::Normal { origin: Some(origin), .. } = &entry.payload else { return None };
        let Me { node, incarnation, boot } = self.me;
        let mine = (origin.node, origin.incarnation, origin.boot) == (node, incarnation, boot)
            || (planted(Bug::IgnoresBoots) && origin.node == node);
        let nth = mine.then(|| self.find(origin.request)).flatten()?;
        self.remove(nth).map(|caller| caller.reply)
    }

    /// The answer of `from`. A refusal is final. Where a command was appended matters only if a snapshot comes to cover it:
    /// else its entry tells.
    /// `leader` is who leads now, for those who want to ask there.
    pub(super) fn answered(
        &mut self,
        from: NodeId,
        answer: &ForwardAnswer,
        leader: Option<&(NodeId, String)>,
    ) {
        let refusal = match answer.outcome {
            Ok(first) => return self.appended(from, &answer.requests, first.index),
            Err(refusal) => refusal,
        };
        for &request in &answer.requests {
            self.refuse(request, from, || match refusal {
                Refusal::NotLeader => ProposeError::NotLeader { leader: leader.cloned() },
                Refusal::Busy => ProposeError::Busy,
                Refusal::Malformed => ProposeError::Malformed,
            });
        }
    }

    /// `requests`, in their order, were appended from `first` on.
    fn appended(&mut self, by: NodeId, requests: &[u64], first: LogIndex) {
        let Some(&oldest) = requests.first() else { return };
        let mut nth = self.callers.partition_point(|caller| caller.request < oldest);
        let mut covered = Vec::new();
        for (&request, index) in requests.iter().zip(first.0..) {
            while self.callers.get(nth).is_some_and(|caller| caller.request < request) {
                nth += 1;
            }
            let Some(caller) = self.callers.get_mut(nth) else { break };
            if caller.request == request && caller.to == by {
                (caller.index, caller.may_be_covered) = (Some(LogIndex(index)), false);
                covered.extend((index <= self.covered.0).then_some(request));
            }
        }
        for request in covered {
            self.refuse(request, by, || ProposeError::Unknown);
        }
    }

    /// A snapshot that ends at `through` takes the place of the log. Whose entry it may hold does not learn its fate any
    /// more: those of earlier terms, and those whose place is known. Others of its last term may be behind it yet, and wait;
    /// but that a later term begins does not prove any more that they are not in the log.
    pub(super) fn covered_by(&mut self, through: LogPosition) {
        self.covered = through.index;
        let is_covered = |caller: &Caller| {
            caller.term < through.term || caller.index.is_some_and(|index| index <= through.index)
        };
        let (covered, left) = std::mem::take(&mut self.callers).into_iter().partition(is_covered);
        self.callers = left;
        for caller in self.callers.iter_mut().filter(|caller| caller.term == through.term) {
            caller.may_be_covered = caller.index.is_none();
        }
        for caller in Vec::from(covered) {
            self.bytes -= u64::from(caller.bytes);
            caller.reply.fail(ProposeError::Unknown);
        }
    }

    /// Not one byte of `forward` was written: from now on its callers may take their commands back.
    pub(super) fn undelivered(&mut self, to: NodeId, forward: Forward) {
        for command in &forward.commands {
            if let Some(nth) = self.find_asked_of(to, command.origin.request) {
                self.callers[nth].reply.put_back();
            }
        }
        self.came_back.push((to, forward));
    }

    /// What came back and may be sent again, the latest first: nothing that was submitted later has left. What else
    /// came back is refused; `leader` is whom its callers may ask.
    pub(super) fn take_back(&mut self, leader: Option<&(NodeId, String)>) -> Vec<Proposal> {
        let mut came_back = std::mem::take(&mut self.came_back);
        came_back.sort_by_key(|(_, forward)| forward.commands.first().map(|command| command.origin.request));
        let mut proposals = Vec::new();
        for (to, forward) in came_back.into_iter().rev() {
            for Forwarded { origin, command } in forward.commands.into_iter().rev() {
                let is_overtaken = self.left_before.checked_sub(1) != Some(origin.request);
                if !is_overtaken {
                    self.left_before = origin.request;
                }
                match self.remove_asked_of(to, origin.request) {
                    Some(Caller { reply, .. }) if is_overtaken => {
                        reply.fail(ProposeError::NotLeader { leader: leader.cloned() });
                    }
                    Some(Caller { reply, deadline, .. }) => {
                        proposals.push(Proposal { command, reply, deadline });
                    }
                    None => {}
                }
            }
        }
        proposals
    }

    /// Commands of this node went into the log: what comes back later comes too late to stand before them.
    pub(super) fn overtake(&mut self) {
        self.next_request += 1;
        self.left_before = self.next_request;
    }

    fn refuse(&mut self, request: u64, by: NodeId, error: impl FnOnce() -> ProposeError) {
        if let Some(caller) = self.remove_asked_of(by, request) {
            caller.reply.fail(error());
        }
    }

    fn remove_asked_of(&mut self, node: NodeId, request: u64) -> Option<Caller> {
        let nth = self.find_asked_of(node, request)?;
        self.remove(nth)
    }

    fn find_asked_of(&self, node: NodeId, request: u64) -> Option<usize> {
        self.find(request).filter(|&nth| self.callers[nth].to == node)
    }

    /// Answers those whose deadline has passed: their commands may commit yet. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.earliest.sweep(&mut self.callers, now, |caller| caller.deadline);
        let count = late.len() as u64;
        for caller in late {
            self.bytes -= u64::from(caller.bytes);
            caller.reply.expire();
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(self, cause: &StopCause) {
        self.callers.into_iter().for_each(|caller| caller.reply.stop(cause));
    }

    fn find(&self, request: u64) -> Option<usize> {
        self.callers.binary_search_by_key(&request, |caller| caller.request).ok()
    }

    fn remove(&mut self, nth: usize) -> Option<Caller> {
        let caller = self.callers.remove(nth)?;
        self.bytes -= u64::from(caller.bytes);
        Some(caller)
    }
}
