//! All that has happened in a run, as far as the laws speak of it, and the laws themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

mod sessions;

use self::sessions::Sessions;
use super::image::Image;
use super::law::Broken;
use super::machine::{CommandId, Done, Saw, State};
use crate::consensus::{Raft, RoleName};
use crate::types::{
    AppendAnswer, Body, Entry, Incarnation, LogIndex, LogPosition, Membership, Message, NodeId, Payload, Term,
};

type Judged = Result<(), Broken>;
/// Asks something of the image of a node's disk; `false` of a node that has none.
pub(super) type Images<'a> = dyn Fn(NodeId, &mut dyn FnMut(&Image) -> bool) -> bool + 'a;

/// What a node had reached when somebody looked last; forgotten when its process ends.
#[derive(Clone, Debug, Default)]
struct Reached {
    term: Term,
    commit: LogIndex,
    membership_index: LogIndex,
    membership: Option<Arc<Membership>>,
    leads: bool,
}

/// An entry that somebody has written, wherever.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    before: LogPosition,
    payload: Payload,
}

/// An entry that somebody knows to be committed.
#[derive(Clone, Copy, Debug)]
struct Committed {
    term: Term,
    /// No leader of this term or an earlier one need have it.
    known_in: Term,
    done: Option<(CommandId, Done)>,
}

#[derive(Default)]
pub(super) struct Ledger {
    leaders: BTreeMap<Term, NodeId>,
    /// By data directory: who comes back without one has forgotten what it promised, and must not be counted.
    votes: HashMap<(Incarnation, Term), NodeId>,
    written: HashMap<LogPosition, Written>,
    /// The configurations among them.
    memberships: BTreeMap<(LogIndex, Term), Arc<Membership>>,
    committed: Vec<Committed>,
    /// The state machine as the committed log alone makes it, and what it held after each entry.
    state: State,
    values: BTreeMap<u8, Vec<(LogIndex, u64)>>,
    sessions: Sessions,
    places: HashMap<CommandId, LogPosition>,
    /// What callers were told would never be.
    refused: HashMap<CommandId, (usize, String)>,
    reached: BTreeMap<NodeId, Reached>,
    pub(super) elections: u64,
}

impl Ledger {
    /// The last entry that anybody knows to be committed.
    pub(super) fn committed(&self) -> LogIndex {
        LogIndex(self.committed.len() as u64)
    }

    pub(super) fn digest(&self) -> u64 {
        self.state.digest
    }

    /// Its process ended.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.reached.remove(&node);
    }

    /// `entry`, which follows `before`, was given to somebody's log.
    pub(super) fn wrote(&mut self, node: NodeId, before: LogPosition, entry: &Entry) -> Judged {
        let is = Written { before, payload: entry.payload.clone() };
        match self.written.get(&entry.position) {
            None => {
                self.written.insert(entry.position, is);
                match &entry.payload {
                    Payload::Membership(membership) => {
                        let LogPosition { term, index } = entry.position;
                        self.memberships.insert((index, term), Arc::clone(membership));
                        require_names(node, entry.position, membership)
                    }
                    _ => Ok(()),
                }
            }
            Some(was) if *was == is => Ok(()),
            Some(was) => Err(Broken::LogsDiffer {
                node,
                at: entry.position,
                was: format!("{was:?}"),
                is: format!("{is:?}"),
            }),
        }
    }

    /// A node's log does not hold these any more; until then it was in these terms. A leader of a term in which an entry is
    /// known to be committed has it, and so have all later ones; an earlier one, whose words come late, need not.
    pub(super) fn dropped(&self, node: NodeId, dropped: &[(LogPosition, Term)]) -> Judged {
        let must_keep = |position: LogPosition, term: Term| {
            let committed = self.committed.get(position.index.0 as usize - 1);
            committed.is_some_and(|entry| entry.term == position.term && entry.known_in <= term)
        };
        match dropped.iter().find(|(position, term)| must_keep(*position, *term)) {
            Some(&(committed, term)) => Err(Broken::CommittedDropped { node, term, committed }),
            None => Ok(()),
        }
    }

    /// A node has had its turn.
    pub(super) fn look_at(&mut self, raft: &Raft, image_of: &Images<'_>) -> Judged {
        let node = raft.id();
        let leads = raft.role() == RoleName::Leader;
        let (term, commit, membership_index) = (raft.term(), raft.commit(), raft.membership_index());
        let was = self.reached.entry(node).or_default();
        if (term, commit, membership_index, leads) == (was.term, was.commit, was.membership_index, was.leads)
        {
            return Ok(());
        }
        let membership = Some(Arc::clone(raft.membership()));
        let is = Reached { term, commit, membership_index, membership, leads };
        let was = std::mem::replace(was, is.clone());
        if is.term < was.term {
            return Err(Broken::TermWentBack { node, was: was.term, is: is.term });
        }
        if is.commit < was.commit {
            return Err(Broken::CommitWentBack { node, was: was.commit, is: is.commit });
        }
        if leads && !(was.leads && was.term == is.term) {
            self.elected(raft)?;
        }
        let goes_on_leading = leads && was.leads && was.term == is.term;
        if goes_on_leading && was.membership_index < is.membership_index {
            Self::judge_change(node, &was, &is)?;
        }
        for index in (was.commit.0 + 1..=is.commit.0).map(LogIndex) {
            if let Some(term) = raft.term_at(index) {
                self.commit(raft, LogPosition::new(term, index))?;
            }
        }
        if leads && is.commit > was.commit {
            Self::require_majority(raft, was.membership.as_ref(), image_of)?;
        }
        self.judge_membership(raft)
    }

    /// A leader has proposed another configuration: the one before it is committed, and shares its majorities.
    fn judge_change(node: NodeId, was: &Reached, is: &Reached) -> Judged {
        if was.membership_index > is.commit {
            return Err(Broken::TwoChanges {
                node,
                first: was.membership_index,
                second: is.membership_index,
            });
        }
        let (Some(before), Some(after)) = (&was.membership, &is.membership) else { return Ok(()) };
        if overlap(before, after) {
            return Ok(());
        }
        Err(Broken::Disjoint { node, was: Arc::clone(before), is: Arc::clone(after) })
    }

    /// The configuration in force is the one that was written there, also where a snapshot took the entry's place.
    fn judge_membership(&self, raft: &Raft) -> Judged {
        let index = raft.membership_index();
        if index > raft.stable() {
            // Its log has not been given it yet.
            return Ok(());
        }
        let term_at = |index: LogIndex| {
            raft.term_at(index).or_else(|| {
                let place = index.0.checked_sub(1)?;
                self.committed.get(place as usize).map(|entry| entry.term)
            })
        };
        // A snapshot says up to where its configuration held, not where it began.
        let mut until_there = self.memberships.range(..=(index, Term(u64::MAX))).rev();
        let written = until_there.find(|((index, term), _)| term_at(*index) == Some(*term));
        let Some((_, written)) = written else { return Ok(()) };
        if written == raft.membership() {
            return Ok(());
        }
        let (was, is) = (Arc::clone(written), Arc::clone(raft.membership()));
        Err(Broken::WrongMembership { node: raft.id(), index, was, is })
    }

    fn elected(&mut self, raft: &Raft) -> Judged {
        let (leader, term) = (raft.id(), raft.term());
        self.elections += 1;
        let first = *self.leaders.entry(term).or_insert(leader);
        if first != leader {
            return Err(Broken::TwoLeaders { term, first, second: leader });
        }
        let must_have = self.committed.iter().rposition(|entry| entry.known_in < term);
        let Some(place) = must_have else { return Ok(()) };
        let committed = LogPosition::new(self.committed[place].term, LogIndex(place as u64 + 1));
        let has =
            committed.index < raft.first_index() || raft.term_at(committed.index) == Some(committed.term);
        if has { Ok(()) } else { Err(Broken::CommittedLost { leader, term, committed }) }
    }

    fn commit(&mut self, raft: &Raft, position: LogPosition) -> Judged {
        let place = position.index.0 as usize - 1;
        if let Some(before) = self.committed.get_mut(place) {
            before.known_in = before.known_in.min(raft.term());
            let was = LogPosition::new(before.term, position.index);
            let same = was == position;
            return if same {
                Ok(())
            } else {
                Err(Broken::CommittedTwice { node: raft.id(), was, is: position })
            };
        }
        if place > self.committed.len() {
            // What lies between was compacted here before anybody looked: the one who committed it is looked at later.
            return Ok(());
        }
        let mut done = None;
        if let Some(Written { payload: Payload::Normal { command, .. }, .. }) = self.written.get(&position) {
            let (state, values) = (&mut self.state, &mut self.values);
            done = self.sessions.apply(position.index, command, |command| {
                let result = state.apply(position, &command);
                let history = values.entry(command.key).or_default();
                history.push((position.index, state.value(command.key)));
                result
            });
        }
        self.sessions.note_table();
        if let Some((command, _)) = done {
            if let Some((caller, told)) = self.refused.get(&command) {
                let (caller, told) = (*caller, told.clone());
                return Err(Broken::AppliedAfterAll { caller, command, at: position, told });
            }
            self.judge_expired(command, position)?;
            if let Some(first) = self.places.insert(command, position) {
                return Err(Broken::AppliedTwice { command, first, second: position });
            }
        }
        self.committed.push(Committed { term: position.term, known_in: raft.term(), done });
        Ok(())
    }

    /// What this leader has just committed is durable on a majority of every half of the configuration in force: of this
    /// one, or of the one that was in force when its turn began.
    fn require_majority(raft: &Raft, before: Option<&Arc<Membership>>, image_of: &Images<'_>) -> Judged {
        let index = raft.commit();
        let Some(term) = raft.term_at(index) else { return Ok(()) };
        let committed = LogPosition::new(term, index);
        let holds = |id: &NodeId| image_of(*id, &mut |image| image.holds(committed));
        let has_majority =
            |half: &[NodeId]| half.is_empty() || half.iter().filter(|id| holds(id)).count() > half.len() / 2;
        let is_held = |membership: &Arc<Membership>| {
            has_majority(membership.voters()) && has_majority(membership.outgoing())
        };
        let membership = raft.membership();
        if is_held(membership) || before.is_some_and(is_held) {
            return Ok(());
        }
        let holders = membership.members().map(|(id, _)| id).filter(|id| holds(id)).collect();
        Err(Broken::NotOnMajority {
            leader: raft.id(),
            committed,
            membership: Arc::clone(membership),
            holders,
        })
    }

    /// A node's state machine has applied a command.
    pub(super) fn applied(
        &mut self,
        node: NodeId,
        at: LogPosition,
        command: CommandId,
        done: Done,
    ) -> Judged {
        self.executed(command, at)?;
        let expected = self.committed.get(at.index.0 as usize - 1);
        let is_there = expected.filter(|entry| entry.term == at.term);
        match is_there.and_then(|entry| entry.done) {
            Some((id, expected)) if id == command && expected == done => Ok(()),
            Some((id, expected)) if id == command => {
                Err(Broken::StatesDiffer { node, at, expected, is: done })
            }
            other => {
                let expected = other.map(|(id, _)| id);
                Err(Broken::AppliedDiffers { node, at, expected, applied: command })
            }
        }
    }

    /// A message leaves a node whose durable state is `image`.
    pub(super) fn sent(
        &mut self,
        (node, directory): (NodeId, Incarnation),
        to: NodeId,
        message: &Message,
        image: &Image,
    ) -> Judged {
        let Message { term, body } = message;
        let durable = image.hard_state;
        let later = durable.term > *term;
        let voted =
            |for_whom: NodeId| later || (durable.term == *term && durable.voted_for == Some(for_whom));
        let up_to = |matched: &LogIndex| later || *matched <= image.last().index;
        let covered = match body {
            Body::PreVote { .. } | Body::PreVoteAnswer { .. } => true,
            Body::Vote { .. } => voted(node),
            Body::VoteAnswer { granted: true } => voted(to),
            Body::AppendAnswer(AppendAnswer::Accepted { matched }) => durable.term >= *term && up_to(matched),
            Body::HeartbeatAnswer(answer) => durable.term >= *term && up_to(&answer.matched),
            _ => durable.term >= *term,
        };
        if !covered {
            let (message, last) = (format!("{message:?} to {to}"), image.last());
            return Err(Broken::SentBeforeDurable { node, message, durable, last });
        }
        if matches!(body, Body::VoteAnswer { granted: true } | Body::Vote { .. }) {
            let candidate = if matches!(body, Body::Vote { .. }) { node } else { to };
            let first = *self.votes.entry((directory, *term)).or_insert(candidate);
            if first != candidate {
                return Err(Broken::VotedTwice { voter: node, term: *term, first, second: candidate });
            }
        }
        Ok(())
    }

    /// A caller was told what its command did.
    pub(super) fn answered(
        &self,
        caller: usize,
        command: CommandId,
        told: Done,
        began_at: LogIndex,
    ) -> Judged {
        let place = self.places.get(&command);
        let entry = place.and_then(|at| self.committed.get(at.index.0 as usize - 1));
        let is = entry.and_then(|entry| entry.done).map(|(_, done)| done);
        if is != Some(told) {
            return Err(Broken::WrongAnswer { caller, command, told, is });
        }
        if told.index <= began_at {
            return Err(Broken::BeforeItsTime { caller, command, at: told.index, committed: began_at });
        }
        Ok(())
    }

    /// A caller was told that its command never takes effect.
    pub(super) fn refused(&mut self, caller: usize, command: CommandId, told: String) -> Judged {
        if let Some(&at) = self.places.get(&command) {
            return Err(Broken::AppliedAfterAll { caller, command, at, told });
        }
        self.refused.insert(command, (caller, told));
        Ok(())
    }

    /// A caller was told what stands in a register.
    pub(super) fn read(&self, caller: usize, key: u8, saw: Saw, began_at: LogIndex) -> Judged {
        // The state machine does not know of entries that are no commands: it may be behind by those.
        let behind = self.committed.iter().take(began_at.0 as usize).rposition(|entry| entry.done.is_some());
        let least = behind.map_or(LogIndex::ZERO, |place| LogIndex(place as u64 + 1));
        if saw.index < least {
            return Err(Broken::StaleRead { caller, saw: saw.index, committed: began_at });
        }
        let was = self.value_at(key, saw.index);
        if was == saw.value {
            return Ok(());
        }
        Err(Broken::WrongValue { caller, key, at: saw.index, saw: saw.value, was })
    }

    fn value_at(&self, key: u8, index: LogIndex) -> u64 {
        let history = self.values.get(&key).map_or(&[][..], Vec::as_slice);
        let before = history.partition_point(|(at, _)| *at <= index);
        before.checked_sub(1).map_or(0, |last| history[last].1)
    }
}

/// Founders vote before anybody knows their directories: nobody else does.
fn require_names(node: NodeId, at: LogPosition, membership: &Membership) -> Judged {
    let is_named = |voter| membership.member(voter).is_some_and(|member| member.incarnation.is_some());
    let votes_already = |voter| membership.outgoing().contains(&voter);
    let mut rising = membership.voters().iter().filter(|_| membership.is_joint()).copied();
    match rising.find(|&voter| !votes_already(voter) && !is_named(voter)) {
        Some(voter) => Err(Broken::UnnamedVoter { node, at, voter }),
        None => Ok(()),
    }
}

/// Whether some majority of one half here and some of one half there always share a node.
fn overlap(one: &Membership, other: &Membership) -> bool {
    let halves = |membership: &Membership| [membership.voters().to_vec(), membership.outgoing().to_vec()];
    halves(one).iter().filter(|half| !half.is_empty()).any(|half| {
        halves(other).iter().filter(|half| !half.is_empty()).any(|there| {
            let union = half.len() + there.iter().filter(|id| !half.contains(id)).count();
            half.len() / 2 + 1 + there.len() / 2 + 1 > union
        })
    })
}
