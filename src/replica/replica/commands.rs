//! Commands on their way into the log: this node's own and those that others forward.
//!
//! A leader appends everything of one turn as one run of entries. A follower hands everything of one turn to its leader
//! together. Without a leader its own wait, and those of others are refused: they named a leader.

use super::Replica;
use crate::consensus::RoleName;
use crate::planted::{Bug, planted};
use crate::replica::Proposal;
use crate::ticket::{ProposeError, Reply};
use crate::types::{
    Entry, EntryRun, Forward, ForwardAnswer, Forwarded, LogIndex, LogPosition, LogSpan, Moment, NodeId,
    Payload, PeerMessage, Refusal,
};

/// Whose the entries of a turn's batch are: first come the forwards, then the own proposals.
#[derive(Default)]
struct Owners {
    /// Who forwarded, and which requests.
    forwards: Vec<(NodeId, Vec<u64>)>,
    /// The callers of this node.
    callers: Vec<(Moment, Reply)>,
}

/// What is in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// How much more may be appended.
#[derive(Clone, Copy)]
struct Room {
    entries: u64,
    bytes: u64,
}

impl Room {
    /// Takes `entries` of `bytes` together, if there is room for all of them.
    fn admit(&mut self, entries: usize, bytes: usize) -> bool {
        let left = (self.entries.checked_sub(entries as u64), self.bytes.checked_sub(bytes as u64));
        let (Some(entries), Some(bytes)) = left else { return false };
        *self = Self { entries, bytes };
        true
    }
}

impl Replica {
    /// A caller proposes: taken, unless it is too large or too much.
    pub(super) fn propose(&mut self, proposal: Proposal, now: Moment) {
        let (bytes, limit) = (proposal.command.len(), self.config.command_bytes_max);
        if bytes > limit {
            proposal.reply.fail(ProposeError::TooLarge { bytes, limit });
        } else if self.disk_full {
            proposal.reply.fail(ProposeError::DiskFull);
        } else if self.has_room_for(bytes) {
            self.stages.taken_up(now);
            self.waiting.push(proposal);
        } else {
            self.config.metrics.busy.increment();
            proposal.reply.fail(ProposeError::Busy);
        }
    }

    fn has_room_for(&mut self, bytes: usize) -> bool {
        let (count_max, bytes_max) = (self.config.proposals_max as u64, self.config.proposals_bytes_max);
        let fits = |load: Load| load.entries < count_max && load.bytes + bytes as u64 <= bytes_max;
        if !fits(self.in_flight()) {
            // Something may have been applied since it was measured.
            self.measure_log();
        }
        fits(self.in_flight())
    }

    /// All that callers wait for on this node, and at the leader also what others wait for: one budget for what has not
    /// reached its turn, what was handed to a leader, and what the state machine has not applied.
    pub(super) fn in_flight(&self) -> Load {
        let queued = (self.waiting.len() + self.forwards.len()) as u64;
        Load {
            entries: queued + self.log_load.entries.max(self.pending.len() as u64),
            bytes: self.waiting.bytes()
                + self.forwards.bytes()
                + self.log_load.bytes.max(self.pending.bytes()),
        }
    }

    /// Entries are in flight while too few followers answer, while this node's own disk is slower than theirs, and while
    /// its state machine is behind: until they are applied they stay in memory, or must be read back. It is measured,
    /// not counted up and down, so it is right whatever becomes of the log when leaders change.
    pub(super) fn measure_log(&mut self) {
        let (applied, last) = (self.applying.applied(), self.raft.last().index);
        let entries = last.distance_from(applied);
        let is_leader = self.raft.role() == RoleName::Leader;
        self.log_load = if !is_leader {
            Load::default()
        } else if entries > self.config.proposals_max as u64 {
            Load { entries, bytes: self.config.proposals_bytes_max }
        } else {
            Load { entries, bytes: self.raft.bytes_between(applied, last) }
        };
    }

    /// Everything that came in this turn is appended, handed on, refused, or waits for a leader.
    pub(super) fn append_or_forward(&mut self, now: Moment) {
        self.measure_log();
        let leads = self.raft.role() == RoleName::Leader;
        if leads && !self.disk_full && self.raft.transferring_to().is_none() {
            self.append(now);
            return self.stages.not_appended();
        }
        self.stages.not_appended();
        for (from, forward) in std::mem::take(&mut self.forwarded) {
            self.answer(from, requests_of(&forward), Err(Refusal::NotLeader));
        }
        if self.disk_full {
            while let Some(proposal) = self.waiting.take(now) {
                proposal.reply.fail(ProposeError::DiskFull);
            }
        }
        if leads {
            // Leadership is on its way to somebody else: the own commands wait for whoever leads then.
            return;
        }
        match self.leader_and_address() {
            Some(_) if self.config.forwarding && (self.holds_forwards || self.keeps_silent()) => {}
            Some((leader, _)) if self.config.forwarding => self.forward_to(leader, now),
            Some(leader) => {
                while let Some(proposal) = self.waiting.take(now) {
                    proposal.reply.fail(ProposeError::NotLeader { leader: Some(leader.clone()) });
                }
            }
            None => {}
        }
    }

    fn forward_to(&mut self, leader: NodeId, now: Moment) {
        let taken = std::iter::from_fn(|| self.waiting.take(now));
        for forward in self.forwards.make(self.raft.term(), leader, taken) {
            self.config.metrics.forwards.add(forward.commands.len() as u64);
            self.begun.send.push((leader, PeerMessage::Forward(forward)));
        }
    }

    /// What came back stands before everything that came meanwhile.
    pub(super) fn take_back_forwards(&mut self) {
        if !self.holds_forwards {
            return;
        }
        let leader = self.leader_and_address();
        for proposal in self.forwards.take_back(leader.as_ref()) {
            self.waiting.give_back(proposal);
        }
    }

    fn append(&mut self, now: Moment) {
        self.take_back_forwards();
        if self.forwarded.is_empty() && self.waiting.len() == 0 {
            return;
        }
        let mut owners = Owners::default();
        let mut room = self.room();
        for (from, forward) in std::mem::take(&mut self.forwarded) {
            let requests = requests_of(&forward);
            match self.admit_forward(from, forward, &mut room) {
                Ok(()) => owners.forwards.push((from, requests)),
                Err(refusal) => self.answer(from, requests, Err(refusal)),
            }
        }
        while let Some(proposal) = self.waiting.take(now) {
            if room.admit(1, proposal.command.len()) {
                self.batch.push(Payload::Normal { origin: None, command: proposal.command });
                owners.callers.push((proposal.deadline, proposal.reply));
            } else {
                self.config.metrics.busy.increment();
                proposal.reply.fail(ProposeError::Busy);
            }
        }
        if self.batch.is_empty() {
            return;
        }
        match self.raft.propose(self.batch.iter().map(Payload::bytes)) {
            Ok(span) => {
                self.stages.appended(span, now, &self.config.metrics);
                self.appended(span, owners);
            }
            Err(refused) => panic!("a leader refuses to append: {refused}"),
        }
    }

    fn room(&self) -> Room {
        let (entries_max, bytes_max) = (self.config.proposals_max as u64, self.config.proposals_bytes_max);
        Room {
            entries: entries_max.saturating_sub(self.log_load.entries),
            bytes: bytes_max.saturating_sub(self.log_load.bytes),
        }
    }

    /// A forward joins the batch whole, or it is refused whole.
    fn admit_forward(&mut self, from: NodeId, forward: Forward, room: &mut Room) -> Result<(), Refusal> {
        if forward.term != self.raft.term() && !planted(Bug::TakesLateForwards) {
            return Err(Refusal::NotLeader);
        }
        let is_good = |command: &Forwarded| {
            command.origin.node == from
                && command.command.len() <= self.config.command_bytes_max
                && (self.config.check_command)(&command.command)
        };
        if !forward.commands.iter().all(is_good) {
            return Err(Refusal::Malformed);
        }
        let bytes = forward.commands.iter().map(|command| command.command.len()).sum();
        if !room.admit(forward.commands.len(), bytes) {
            self.config.metrics.busy.increment();
            return Err(Refusal::Busy);
        }
        self.batch.extend(forward.commands.into_iter().map(|forwarded| Payload::Normal {
            origin: Some(Box::new(forwarded.origin)),
            command: forwarded.command,
        }));
        Ok(())
    }

    /// Consensus gave the batch its positions: it joins the tail, and everybody learns theirs.
    fn appended(&mut self, span: LogSpan, owners: Owners) {
        let term = span.last.term;
        self.config.metrics.proposals.add(self.batch.len() as u64);
        let Owners { forwards, callers } = owners;
        let mut next = span.first;
        for (from, requests) in forwards {
            let position = LogPosition::new(term, next);
            next = next.plus(requests.len() as u64);
            self.answer(from, requests, Ok(position));
        }
        if !callers.is_empty() {
            self.forwards.overtake();
        }
        let own = &self.batch[next.distance_from(span.first) as usize..];
        for (payload, (deadline, reply)) in own.iter().zip(callers) {
            self.pending.push(LogPosition::new(term, next), payload.bytes(), deadline, reply);
            next = next.next();
        }
        let positions = (span.first.0..).map(|index| LogPosition::new(term, LogIndex(index)));
        let entries = self.batch.drain(..).zip(positions);
        let run = EntryRun::new(entries.map(|(payload, position)| Entry { position, payload }).collect());
        self.tail.extend(run);
    }

    fn answer(&mut self, to: NodeId, requests: Vec<u64>, outcome: Result<LogPosition, Refusal>) {
        self.begun.send.push((to, PeerMessage::ForwardAnswer(ForwardAnswer { requests, outcome })));
    }
}

fn requests_of(forward: &Forward) -> Vec<u64> {
    forward.commands.iter().map(|command| command.origin.request).collect()
}
