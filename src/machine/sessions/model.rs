//! What a table of sessions does, said as plainly as it can be: lists that are searched from end to end. Tests and the
//! simulator hold the table against it.

use crate::machine::{Envelope, SessionBounds};
use crate::types::SessionTag;

/// All sessions, the least recently used first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    pub(crate) sessions: Vec<ModelSession>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModelSession {
    pub(crate) id: u64,
    pub(crate) last_used: u64,
    pub(crate) answered_below: u64,
    /// Numbers and responses, sorted.
    pub(crate) kept: Vec<(u64, Vec<u8>)>,
}

const EXPIRED: &[u8] = &[1];
const FORGOTTEN: &[u8] = &[2];
const FULL: &[u8] = &[3];

/// Applies entries as the wrapper should.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelMachine {
    pub(crate) model: Model,
    bounds: Option<SessionBounds>,
}

impl ModelMachine {
    /// The response to the entry at `at`. `execute` is the machine behind it.
    pub(crate) fn apply(
        &mut self,
        at: u64,
        entry: Envelope<'_>,
        execute: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        match entry {
            Envelope::Plain(command) => execute(command),
            Envelope::Open(bounds) => {
                self.bounds = Some(bounds);
                let session = ModelSession { id: at, last_used: at, answered_below: 0, kept: Vec::new() };
                self.model.sessions.push(session);
                self.evict(at);
                at.to_le_bytes().to_vec()
            }
            Envelope::Close(id) => {
                self.model.sessions.retain(|session| session.id != id.0);
                Vec::new()
            }
            Envelope::InSession(tag, command) => self.apply_in_session(at, tag, || execute(command)),
        }
    }

    fn apply_in_session(&mut self, at: u64, tag: SessionTag, execute: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let id = tag.session.0;
        let Some(place) = self.model.sessions.iter().position(|session| session.id == id) else {
            return EXPIRED.to_vec();
        };
        let bounds = self.bounds.expect("a session was opened");
        let mut session = self.model.sessions.remove(place);
        session.last_used = at;
        session.answered_below = session.answered_below.max(tag.answered_below);
        session.kept.retain(|(sequence, _)| *sequence >= session.answered_below);
        let kept = session.kept.iter().find(|(sequence, _)| *sequence == tag.sequence);
        let known = match kept {
            _ if tag.sequence < session.answered_below => Some(FORGOTTEN.to_vec()),
            Some((_, response)) => Some(response.clone()),
            None if session.kept.len() as u64 >= u64::from(bounds.unanswered_max) => Some(FULL.to_vec()),
            None => None,
        };
        if let Some(response) = known {
            self.model.sessions.push(session);
            return response;
        }
        let answer = execute();
        let response = [&[0], &answer[..]].concat();
        let is_small = answer.len() <= bounds.answer_bytes_max as usize;
        session.kept.push((tag.sequence, if is_small { response.clone() } else { FORGOTTEN.to_vec() }));
        session.kept.sort();
        self.model.sessions.push(session);
        self.evict(id);
        if self.bytes() > bounds.answers_bytes_max {
            // It stands alone: what it was answered last is not kept.
            let session = self.model.sessions.last_mut().expect("the one in use");
            let last = session.kept.iter_mut().find(|(sequence, _)| *sequence == tag.sequence);
            last.expect("it was kept just now").1 = FORGOTTEN.to_vec();
        }
        response
    }

    fn evict(&mut self, in_use: u64) {
        let bounds = self.bounds.expect("a session was opened");
        let is_too_much = |model: &Self| {
            model.model.sessions.len() as u64 > u64::from(bounds.sessions_max)
                || model.bytes() > bounds.answers_bytes_max
        };
        while is_too_much(self) && self.model.sessions[0].id != in_use {
            self.model.sessions.remove(0);
        }
    }

    fn bytes(&self) -> u64 {
        let kept = self.model.sessions.iter().flat_map(|session| &session.kept);
        kept.map(|(_, response)| response.len() as u64 + 48).sum()
    }
}
