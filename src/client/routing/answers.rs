//! What follows from an answer, and from one that will never come.

use std::time::{Duration, Instant};

use super::calls::{Call, CallEnd, Failure, Key, Verdict};
use super::link::Link;
use super::owed::To;
use super::session::Session;
use super::window::Window;
use super::{Ask, LinkId, Routing};
use crate::ticket::Outcome;
use crate::types::{ClientAnswer, ClientRefused, NodeId, SessionId};

/// The pause after a first refusal; the next ones are twice as long each.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Whether an attempt that is over may have been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Certainly not.
    None,
    /// It left, and nobody said what became of it.
    Left,
}

impl<E: CallEnd> Routing<E> {
    /// A node answered a request. One that was never sent there, or was answered before, has no answer: such a node is not
    /// heard any more.
    pub(super) fn told_reply(
        &mut self,
        link: LinkId,
        request: u64,
        outcome: Result<ClientAnswer, ClientRefused>,
        now: Instant,
    ) {
        let Some(standing) = self.links.get_mut(&link).and_then(Link::standing_mut) else {
            return self.condemn_failed(link, "it answered before it was asked");
        };
        let node = standing.node;
        match standing.owed.settle(request) {
            None => self.condemn_failed(link, "it answered what it was not asked"),
            Some(To::Nobody) => {}
            Some(To::Sign) => standing.is_asked = false,
            Some(To::Session) => self.told_session(link, outcome, now),
            Some(To::Call(key)) => {
                standing.answered |= outcome.is_ok();
                match outcome {
                    Ok(answer) if self.fits(key, &answer) => self.finish(key, Verdict::Answered(answer)),
                    Err(refused) if self.refusal_fits(key, &refused) => {
                        self.told_refusal(link, node, key, refused, now);
                    }
                    Ok(_) | Err(_) => {
                        self.attempt_ended(key, Doubt::Left, Duration::ZERO, now);
                        self.condemn_failed(link, "its answer does not fit the question");
                    }
                }
            }
        }
    }

    fn fits(&self, key: Key, answer: &ClientAnswer) -> bool {
        let Some(call) = self.calls.get(key) else { return true };
        match call.ask {
            Ask::Propose(_) | Ask::Query(_) | Ask::Local { .. } => {
                matches!(answer, ClientAnswer::Response(_))
            }
            Ask::Status(_) => matches!(answer, ClientAnswer::Status(_)),
            Ask::Contact => false,
        }
    }

    fn refusal_fits(&self, key: Key, refused: &ClientRefused) -> bool {
        let is_proposal = self.calls.get(key).is_some_and(Call::is_proposal);
        match refused {
            ClientRefused::Panicked { .. } => !is_proposal,
            ClientRefused::SessionExpired | ClientRefused::AnswerForgotten | ClientRefused::SessionFull => {
                is_proposal
            }
            _ => true,
        }
    }

    /// A node says why the request came to nothing: that may be the end of it, or only of this attempt.
    pub(super) fn told_refusal(
        &mut self,
        link: LinkId,
        node: NodeId,
        key: Key,
        refused: ClientRefused,
        now: Instant,
    ) {
        if let ClientRefused::NotLeader { leader } = &refused {
            // It may send us to members alone, and to the addresses that are theirs as far as we were told.
            let leader = leader.as_ref().map(|(id, _)| *id).filter(|id| self.endpoints.is_member(*id));
            self.note_leader(link, leader);
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let in_doubt = call.in_doubt;
        let failure = match &refused {
            ClientRefused::SessionExpired => return self.told_expired(key, now),
            ClientRefused::AnswerForgotten => Some(Failure::AnswerForgotten),
            ClientRefused::Panicked { message } => Some(Failure::Panicked(message.clone())),
            // Another node may have taken what this one refuses: if it was asked before, this says nothing of that.
            ClientRefused::Malformed if !in_doubt => Some(Failure::Malformed),
            ClientRefused::TooLarge { bytes, limit } if !in_doubt => {
                Some(Failure::TooLarge { bytes: *bytes, limit: *limit })
            }
            _ => None,
        };
        if let Some(failure) = failure {
            return self.fail(key, failure);
        }
        let doubt = if refused == ClientRefused::Unknown { Doubt::Left } else { Doubt::None };
        // Elsewhere it may go better; but there would be no more room elsewhere.
        let is_about_room = matches!(refused, ClientRefused::Busy | ClientRefused::SessionFull);
        call.avoid = (!is_about_room).then_some(node);
        call.refusals += 1;
        let is_first = call.refusals == 1 && !is_about_room;
        let doublings = call.refusals.min(16);
        call.refused = Some(Box::new(refused));
        let pause = if is_first { Duration::ZERO } else { self.pause(doublings) };
        self.attempt_ended(key, doubt, pause, now);
    }

    /// How long to wait after so many refusals.
    fn pause(&mut self, refusals: u32) -> Duration {
        self.jitter.spread((PAUSE_MIN * (1 << refusals.min(16))).min(PAUSE_MAX))
    }

    /// An attempt is over without an answer to the call: another one follows after `pause`.
    pub(super) fn attempt_ended(&mut self, key: Key, doubt: Doubt, pause: Duration, now: Instant) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.sent = None;
        if call.is_proposal() {
            call.in_doubt |= doubt == Doubt::Left;
            if !call.in_doubt {
                call.end.put_back();
            }
            if let Some((session, _)) = call.tag
                && self.session.id() != Some(session)
                && !self.leave_session(key)
            {
                return;
            }
        }
        if pause.is_zero() {
            self.queue_again(key);
        } else {
            self.paused.insert((now + pause, key));
        }
    }

    /// Before all that were never sent.
    pub(super) fn queue_again(&mut self, key: Key) {
        let Some(call) = self.calls.get(key) else { return };
        if call.is_proposal() { &mut self.commands } else { &mut self.reads }.push_front(key);
    }

    /// The session in which a waiting command has its number is gone. If it certainly was not executed there it takes a
    /// number of the next session; else that would do it twice, and `false`: its caller is told.
    fn leave_session(&mut self, key: Key) -> bool {
        let Some(call) = self.calls.get_mut(key) else { return false };
        if call.in_doubt {
            self.fail(key, Failure::SessionExpired(Outcome::Unknown));
            return false;
        }
        call.tag = None;
        true
    }

    /// The session was gone when this command's turn came, and it was not executed. Others may have been executed before, and
    /// their answers be on the way.
    fn told_expired(&mut self, key: Key, now: Instant) {
        let Some(call) = self.calls.get(key) else { return };
        let outcome = if call.in_doubt { Outcome::Unknown } else { Outcome::NotApplied };
        let lost = call.tag.map(|(session, _)| session);
        self.fail(key, Failure::SessionExpired(outcome));
        if let Some(lost) = lost
            && self.session.id() == Some(lost)
        {
            self.session_lost(lost, now);
        }
    }

    fn session_lost(&mut self, lost: SessionId, now: Instant) {
        log::warn!("session {lost} has expired: commands go on in another one");
        self.session = Session::None { not_before: now, refusals: 0 };
        let waits = |(key, call): (Key, &Call<E>)| {
            let is_of_it = call.tag.is_some_and(|(session, _)| session == lost);
            (is_of_it && call.sent.is_none()).then_some(key)
        };
        let waiting: Vec<_> = self.calls.iter().filter_map(waits).collect();
        for key in waiting {
            self.leave_session(key);
        }
    }

    /// What became of our wish for a session.
    fn told_session(&mut self, link: LinkId, outcome: Result<ClientAnswer, ClientRefused>, now: Instant) {
        match outcome {
            // A session is named by its entry in the log. One that is not new would mix up the numbers of two.
            Ok(ClientAnswer::SessionOpened(id)) if self.newest_session.is_none_or(|newest| newest < id) => {
                self.newest_session = Some(id);
                self.session = Session::Open { id, window: Window::default() };
            }
            Ok(_) => {
                self.session_not_opened(now);
                self.condemn_failed(link, "its answer does not fit the question");
            }
            Err(refused) => {
                log::debug!("no session was opened: {refused:?}");
                if let ClientRefused::NotLeader { leader } = refused {
                    let leader = leader.map(|(id, _)| id).filter(|id| self.endpoints.is_member(*id));
                    self.note_leader(link, leader);
                }
                self.session_not_opened(now);
            }
        }
    }

    /// It is asked for again, elsewhere or after a while. One that was opened without our hearing of it expires some day.
    pub(super) fn session_not_opened(&mut self, now: Instant) {
        if let Session::Asked { refusals } = self.session {
            let pause = if refusals == 0 { Duration::ZERO } else { self.pause(refusals) };
            self.session = Session::None { not_before: now + pause, refusals: refusals + 1 };
        }
    }
}
