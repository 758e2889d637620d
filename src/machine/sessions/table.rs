//! The table of sessions: which commands took effect, and what they were answered.
//!
//! It is part of the replicated state: everything in it follows from the log alone, so that every replica keeps, answers
//! and forgets the same. Time is the order of the log.
//!
//! A session keeps the response to each of its commands until the session says that it has arrived. What it says so of is
//! never executed again, whether it was executed or not. A session that is not in the table never was, was closed, or has
//! gone for want of room, the least recently used one first: nothing tells these apart, and in none of them is a command
//! executed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::response::{Refusal, STATUS_BYTES, refused};
use crate::machine::SessionBounds;
use crate::planted::{Bug, planted};
use crate::types::{LogIndex, SessionId, SessionTag};

/// All sessions that stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Those of the session that was opened last.
    pub(super) bounds: SessionBounds,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// Each session by the entry that used it last: no entry uses two.
    pub(super) by_use: BTreeMap<LogIndex, SessionId>,
    /// What all kept responses count for.
    pub(super) bytes: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) last_used: LogIndex,
    /// No command below this number is executed any more.
    pub(super) answered_below: u64,
    /// The responses to those that were executed, from there on.
    pub(super) kept: BTreeMap<u64, Bytes>,
}

/// What becomes of a command in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is new.
    Execute,
    /// This is its response: it was executed before, or it is refused.
    Respond(Bytes),
}

impl Table {
    /// No sessions.
    pub(super) fn new() -> Self {
        Self { bounds: SessionBounds::of(1), sessions: BTreeMap::new(), by_use: BTreeMap::new(), bytes: 0 }
    }

    /// The entry `at` opens a session.
    pub(super) fn open(&mut self, at: LogIndex, bounds: SessionBounds) -> SessionId {
        let id = SessionId(at.0);
        self.bounds = bounds;
        self.insert(id, Session::new(at));
        self.keep_within_bounds(id);
        id
    }

    /// A session ends, if it stands.
    pub(super) fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.by_use.remove(&session.last_used);
        self.bytes -= session.kept.values().map(cost).sum::<u64>();
    }

    /// The entry `at` uses a session, if it stands.
    pub(super) fn touch(&mut self, at: LogIndex, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            if planted(Bug::RevivesSessions) {
                self.insert(id, Session::new(at));
            }
            return;
        };
        self.by_use.remove(&session.last_used);
        self.by_use.insert(at, id);
        session.last_used = at;
    }

    /// A command in a session, which counts as used: is it to be executed?
    pub(super) fn judge(&mut self, tag: SessionTag) -> Verdict {
        let Some(session) = self.sessions.get_mut(&tag.session) else {
            return Verdict::Respond(refused(Refusal::Expired));
        };
        self.bytes -= session.acknowledge(tag.answered_below);
        if tag.sequence < session.answered_below && !planted(Bug::ExecutesTheAcknowledged) {
            return Verdict::Respond(refused(Refusal::Forgotten));
        }
        match session.kept.get(&tag.sequence) {
            Some(response) => Verdict::Respond(response.clone()),
            None if session.kept.len() >= self.bounds.unanswered_max as usize => {
                Verdict::Respond(refused(Refusal::Full))
            }
            None => Verdict::Execute,
        }
    }

    /// The command that was just judged new was executed. What it was answered is kept, unless it is too large; or what is
    /// kept for this session alone is too much.
    ///
    /// # Panics
    /// If the command was not new.
    pub(super) fn keep(&mut self, tag: SessionTag, response: Bytes) {
        let answer_bytes = response.len().saturating_sub(STATUS_BYTES);
        let is_small = answer_bytes <= self.bounds.answer_bytes_max as usize;
        self.put(tag, if is_small { response } else { refused(Refusal::Forgotten) });
        self.keep_within_bounds(tag.session);
        if self.bytes > self.bounds.answers_bytes_max {
            self.take(tag);
            self.put(tag, refused(Refusal::Forgotten));
        }
    }

    fn put(&mut self, tag: SessionTag, response: Bytes) {
        self.bytes += cost(&response);
        let before = self.kept_of(tag).insert(tag.sequence, response);
        assert!(before.is_none(), "a command of a session was executed twice");
    }

    fn take(&mut self, tag: SessionTag) {
        let taken = self.kept_of(tag).remove(&tag.sequence);
        self.bytes -= taken.as_ref().map_or(0, cost);
    }

    fn kept_of(&mut self, tag: SessionTag) -> &mut BTreeMap<u64, Bytes> {
        &mut self.sessions.get_mut(&tag.session).expect("a session in use stands").kept
    }

    /// The least recently used sessions go, but never the one in use.
    fn keep_within_bounds(&mut self, in_use: SessionId) {
        while self.sessions.len() > self.bounds.sessions_max as usize
            || self.bytes > self.bounds.answers_bytes_max
        {
            let Some((_, &oldest)) = self.by_use.first_key_value() else { break };
            if oldest == in_use {
                break;
            }
            self.close(oldest);
        }
    }

    /// # Panics
    /// If its parts do not agree.
    #[cfg(any(test, fuzzing))]
    pub(super) fn assert_consistent(&self) {
        let uses = self.sessions.iter().map(|(id, session)| (session.last_used, *id));
        assert_eq!(uses.collect::<BTreeMap<_, _>>(), self.by_use, "the order of use is another one");
        let kept = self.sessions.values().flat_map(|session| session.kept.values());
        assert_eq!(kept.map(cost).sum::<u64>(), self.bytes, "what is kept was not counted");
        assert!(self.sessions.len() <= self.bounds.sessions_max as usize, "too many sessions stand");
        for session in self.sessions.values() {
            let lowest = session.kept.first_key_value().map_or(u64::MAX, |(sequence, _)| *sequence);
            assert!(lowest >= session.answered_below, "an answer that has arrived is kept");
        }
    }

    /// A session joins the table.
    ///
    /// # Panics
    /// If it is there, or the entry that used it last used another one.
    pub(super) fn insert(&mut self, id: SessionId, session: Session) {
        self.bytes += session.kept.values().map(cost).sum::<u64>();
        let used = self.by_use.insert(session.last_used, id);
        let stood = self.sessions.insert(id, session);
        assert!(used.is_none() && stood.is_none(), "an entry opened or used two sessions");
    }
}

impl Session {
    /// One that the entry `at` uses, and that has had no commands.
    fn new(at: LogIndex) -> Self {
        Self { last_used: at, answered_below: 0, kept: BTreeMap::new() }
    }

    /// The responses below `answered_below` have arrived. Gives what they counted for.
    fn acknowledge(&mut self, answered_below: u64) -> u64 {
        if answered_below <= self.answered_below {
            return 0;
        }
        self.answered_below = answered_below;
        let open = self.kept.split_off(&answered_below);
        std::mem::replace(&mut self.kept, open).values().map(cost).sum()
    }
}

fn cost(response: &Bytes) -> u64 {
    response.len() as u64 + SessionBounds::ANSWER_OVERHEAD_BYTES
}
