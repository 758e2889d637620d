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
        response
    }

    fn evict(&mut self, in_use: u64) {
        let bounds = self.bounds.expect("a session was opened");
        let sessions = &mut self.model.sessions;
        let answers =
            |sessions: &[ModelSession]| sessions.iter().map(|session| session.kept.len() as u64).sum::<u64>();
        while sessions.len() as u64 > u64::from(bounds.sessions_max)
            || answers(sessions) > u64::from(bounds.answers_max)
        {
            let place = sessions.iter().position(|session| session.id != in_use);
            sessions.remove(place.expect("another one stands"));
        }
        let is_answer = |response: &[u8]| response != FORGOTTEN;
        loop {
            let kept =
                sessions.iter_mut().flat_map(|session| &mut session.kept).map(|(_, response)| response);
            let mut answers: Vec<_> = kept.filter(|response| is_answer(response)).collect();
            let bytes: u64 = answers.iter().map(|response| response.len() as u64).sum();
            if bytes <= bounds.answers_bytes_max {
                return;
            }
            *answers[0] = FORGOTTEN.to_vec();
        }
    }
}
