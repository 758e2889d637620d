//! The table of sessions: which commands took effect, and what they were answered.
//!
//! It is part of the replicated state: everything in it follows from the log alone, so that every replica keeps, answers
//! and forgets the same. Time is the order of the log.
//!
//! A session keeps the response to each of its commands until the session says that it has arrived. What it says so of is
//! never executed again, whether it was executed or not. A session that is not in the table never was, was closed, or has
//! gone for want of room, the least recently used one first: nothing tells these apart, and in none of them is a command
//! executed.
//!
//! What is executed depends on numbers and counts, never on how long an answer is: while a cluster is upgraded, two versions
//! of a state machine may write the same answer differently. So sessions go when they, or the commands whose answers they
//! keep, are too many; when the answers are too long, only answers go, and their commands remain executed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::response::{FORGOTTEN, Refusal, STATUS_BYTES, refused};
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
    by_use: BTreeMap<LogIndex, SessionId>,
    /// Of these, those who keep an answer, not only the knowledge that there was one.
    with_answers: BTreeMap<LogIndex, SessionId>,
    /// Of how many commands it is known that they were executed.
    answers: u64,
    /// How long all answers are that are kept.
    bytes: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    last_used: LogIndex,
    /// No command below this number is executed any more.
    answered_below: u64,
    /// The responses to those that were executed, from there on; or that theirs are not kept.
    kept: BTreeMap<u64, Bytes>,
    /// How long the answers among them are.
    bytes: u64,
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
        Self {
            bounds: SessionBounds::of(1),
            sessions: BTreeMap::new(),
            by_use: BTreeMap::new(),
            with_answers: BTreeMap::new(),
            answers: 0,
            bytes: 0,
        }
    }

    /// The entry `at` opens a session.
    pub(super) fn open(&mut self, at: LogIndex, bounds: SessionBounds) -> SessionId {
        let id = SessionId(at.0);
        self.bounds = bounds;
        self.insert(id, Session::new(at, 0));
        self.keep_within_bounds(id);
        id
    }

    /// A session joins the table.
    ///
    /// # Panics
    /// If it is there, or the entry that used it last used another one.
    pub(super) fn insert(&mut self, id: SessionId, session: Session) {
        self.enter(id, &session);
        assert!(self.sessions.insert(id, session).is_none(), "a session was opened twice");
    }

    /// A session ends, if it stands.
    pub(super) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.strike(&session);
        }
    }

    /// The entry `at` uses a session, if it stands.
    pub(super) fn touch(&mut self, at: LogIndex, id: SessionId) {
        if planted(Bug::RevivesSessions) && !self.sessions.contains_key(&id) {
            self.insert(id, Session::new(at, 0));
        }
        self.change(id, |session| session.last_used = at);
    }

    /// A command in a session, which counts as used: is it to be executed?
    pub(super) fn judge(&mut self, tag: SessionTag) -> Verdict {
        self.change(tag.session, |session| session.acknowledge(tag.answered_below));
        let Some(session) = self.sessions.get(&tag.session) else {
            return Verdict::Respond(refused(Refusal::Expired));
        };
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

    /// The command that was just judged new was executed. What it was answered is kept, unless it is too long.
    ///
    /// # Panics
    /// If the command was not new.
    pub(super) fn keep(&mut self, tag: SessionTag, response: Bytes) {
        let answer_bytes = response.len().saturating_sub(STATUS_BYTES);
        let is_short = answer_bytes <= self.bounds.answer_bytes_max as usize;
        let response = if is_short { response } else { refused(Refusal::Forgotten) };
        let kept = self.change(tag.session, |session| session.keep(tag.sequence, response));
        assert!(kept.is_some(), "a session in use stands");
        self.keep_within_bounds(tag.session);
    }

    /// The least recently used sessions go, but never the one in use; and the answers of the least recently used go, at last
    /// those of the one in use.
    fn keep_within_bounds(&mut self, in_use: SessionId) {
        while self.sessions.len() > self.bounds.sessions_max as usize
            || self.answers > u64::from(self.bounds.answers_max)
        {
            let oldest = self.by_use.values().find(|id| **id != in_use).copied();
            self.close(oldest.expect("one session keeps to the bounds of all"));
        }
        while self.bytes > self.bounds.answers_bytes_max {
            let oldest = self.with_answers.values().next().copied().expect("somebody's answers are kept");
            self.change(oldest, Session::forget_an_answer);
        }
    }

    fn change<T>(&mut self, id: SessionId, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut session = self.sessions.remove(&id)?;
        self.strike(&session);
        let changed = change(&mut session);
        self.insert(id, session);
        Some(changed)
    }

    fn enter(&mut self, id: SessionId, session: &Session) {
        let used = self.by_use.insert(session.last_used, id);
        assert!(used.is_none(), "an entry used two sessions");
        if session.bytes > 0 {
            self.with_answers.insert(session.last_used, id);
        }
        self.answers += session.kept.len() as u64;
        self.bytes += session.bytes;
    }

    fn strike(&mut self, session: &Session) {
        self.by_use.remove(&session.last_used);
        self.with_answers.remove(&session.last_used);
        self.answers -= session.kept.len() as u64;
        self.bytes -= session.bytes;
    }

    /// Whether it takes no more than it may.
    pub(super) fn is_within_bounds(&self) -> bool {
        let SessionBounds { sessions_max, answers_max, answers_bytes_max, .. } = self.bounds;
        self.sessions.len() <= sessions_max as usize
            && self.answers <= u64::from(answers_max)
            && self.bytes <= answers_bytes_max
    }

    /// The last entry that used a session.
    pub(super) fn last_use(&self) -> Option<LogIndex> {
        self.by_use.last_key_value().map(|(last, _)| *last)
    }

    /// Whether some session was used last by the entry `at`.
    pub(super) fn was_used_at(&self, at: LogIndex) -> bool {
        self.by_use.contains_key(&at)
    }

    /// The sessions, the least recently used first.
    #[cfg(test)]
    pub(super) fn by_use(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.by_use.values().map(|id| (*id, &self.sessions[id]))
    }

    /// # Panics
    /// If its parts do not agree, or it is beyond its bounds.
    #[cfg(any(test, fuzzing))]
    pub(super) fn assert_consistent(&self) {
        let mut anew = Self { bounds: self.bounds, ..Self::new() };
        for (id, session) in &self.sessions {
            assert!(
                session.kept.range(..session.answered_below).next().is_none(),
                "what has arrived is kept"
            );
            let mut other = Session::new(session.last_used, session.answered_below);
            session.kept.iter().for_each(|(sequence, response)| other.keep(*sequence, response.clone()));
            anew.insert(*id, other);
        }
        assert_eq!(anew, *self, "its parts do not agree");
        assert!(self.is_within_bounds(), "it is beyond its bounds");
    }
}

impl Session {
    /// One that the entry `last_used` uses, and whose commands below a number are done with.
    pub(super) fn new(last_used: LogIndex, answered_below: u64) -> Self {
        Self { last_used, answered_below, kept: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn last_used(&self) -> LogIndex {
        self.last_used
    }

    pub(super) fn answered_below(&self) -> u64 {
        self.answered_below
    }

    pub(super) fn kept(&self) -> &BTreeMap<u64, Bytes> {
        &self.kept
    }

    /// A command was executed, with this response.
    ///
    /// # Panics
    /// If it was executed before.
    pub(super) fn keep(&mut self, sequence: u64, response: Bytes) {
        self.bytes += length(&response);
        let before = self.kept.insert(sequence, response);
        assert!(before.is_none(), "a command of a session was executed twice");
    }

    /// The responses below `answered_below` have arrived.
    fn acknowledge(&mut self, answered_below: u64) {
        if answered_below <= self.answered_below {
            return;
        }
        self.answered_below = answered_below;
        let open = self.kept.split_off(&answered_below);
        let arrived = std::mem::replace(&mut self.kept, open);
        self.bytes -= arrived.values().map(length).sum::<u64>();
    }

    /// The answer of the lowest number goes; its command remains executed.
    fn forget_an_answer(&mut self) {
        if let Some(response) = self.kept.values_mut().find(|response| length(response) > 0) {
            self.bytes -= length(response);
            *response = refused(Refusal::Forgotten);
        }
    }
}

/// How long an answer is; nothing if only its loss is known.
fn length(response: &Bytes) -> u64 {
    if response[..] == [FORGOTTEN] { 0 } else { response.len() as u64 }
}
