//! What time brings: deadlines that pass, pauses that end, connections that are quiet, addresses to dial.

use std::sync::Arc;
use std::time::Instant;

use super::calls::{Call, CallEnd, Failure, Key, Verdict};
use super::endpoints::{Dial, EndpointId};
use super::link::{Condemned, Life, Link, Stage};
use super::owed::To;
use super::session::Session;
use super::{Ask, LinkId, Routing};
use crate::types::{ClientCall, ClientRefused};

impl<E: CallEnd> Routing<E> {
    /// Does what is due, sends what can be sent, dials where it is needed.
    pub(in crate::client) fn turn(&mut self, now: Instant) {
        self.turned_at = now;
        self.end_pauses(now);
        self.expire(now);
        self.look_after_links(now);
        self.dispatch(now);
        self.dial(now);
    }

    /// When [`turn`](Self::turn) has something to do, if nothing happens before.
    pub(in crate::client) fn due_at(&self) -> Option<Instant> {
        let links = self.links.values().filter_map(Link::look_at);
        let linked = self.linked();
        let dial = if self.calls.is_empty() { None } else { self.endpoints.due_at(&linked) };
        // One that could have been asked for in the last turn waits for a connection, which comes with a turn of its own.
        let session = match self.session {
            Session::None { not_before, .. } if !self.commands.is_empty() => {
                Some(not_before).filter(|at| *at > self.turned_at)
            }
            _ => None,
        };
        let pause = self.paused.first().map(|(at, _)| *at);
        [self.calls.due_at(), pause, dial, session].into_iter().flatten().chain(links).min()
    }

    fn end_pauses(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.paused.first()
            && at <= now
        {
            self.paused.pop_first();
            self.queue_again(key);
        }
    }

    /// Deadlines that have passed.
    fn expire(&mut self, now: Instant) {
        let late = self.calls.late(now);
        if late.is_empty() {
            return;
        }
        let unreachable = self.standing().next().is_none().then(|| Arc::from(self.endpoints.troubles()));
        for key in late {
            if let Some(call) = self.calls.get(key) {
                let failure = why_late(call, unreachable.as_ref());
                self.fail(key, failure);
            }
        }
        // What is over must not pile up where nothing moves.
        let is_open = |key: &Key| self.calls.get(*key).is_some();
        self.commands.retain(is_open);
        self.reads.retain(is_open);
        self.paused.retain(|(_, key)| is_open(key));
    }

    fn look_after_links(&mut self, now: Instant) {
        let is_due = |link: &Link| link.look_at().is_some_and(|at| at <= now);
        let due: Vec<_> = self.links.iter().filter(|(_, link)| is_due(link)).map(|(&id, _)| id).collect();
        for id in due {
            self.look_after(id, now);
        }
    }

    fn look_after(&mut self, id: LinkId, now: Instant) {
        let silence = self.settings.silence;
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Standing(standing) = &mut link.stage else {
            let why = format!("it did not answer within {:?}", self.settings.connect);
            return self.condemn(id, Condemned::Failed(why));
        };
        match standing.look(now, silence) {
            Life::Lives => {}
            Life::Quiet => {
                standing.is_asked = true;
                self.send(id, To::Sign, silence, ClientCall::Status, now);
            }
            Life::Silent => {
                self.condemn_failed(id, "nothing was heard although answers were due: it may be gone");
            }
            Life::Late => self.condemn_failed(id, "an answer is long overdue"),
        }
    }

    /// Dials where connections are needed: while somebody waits, everywhere.
    fn dial(&mut self, now: Instant) {
        let is_needed = !self.calls.is_empty();
        let all_are_needed = is_needed && self.needs_others();
        for (_, endpoint) in self.endpoints.iter_mut() {
            match endpoint.dial {
                Dial::Resting if all_are_needed => endpoint.dial = Dial::Wanted,
                Dial::Wanted if !is_needed => endpoint.dial = Dial::Resting,
                _ => {}
            }
        }
        if is_needed {
            for id in self.endpoints.due(now, &self.linked()) {
                self.dial_endpoint(id, now);
            }
        }
    }

    /// Whether the connections that stand are not enough: nobody is known to lead among them, somebody waits for another,
    /// or reads go everywhere.
    fn needs_others(&self) -> bool {
        // Those that wait for one node, and let others pass, stand in front.
        let first_read = self.reads.front().and_then(|key| self.calls.get(*key));
        self.settings.spread_reads
            || self.favourite().is_none()
            || !self.paused.is_empty()
            || first_read.is_some_and(|call| call.ask.names_a_node())
    }

    fn dial_endpoint(&mut self, id: EndpointId, now: Instant) {
        let Some(endpoint) = self.endpoints.get_mut(id) else { return };
        let link = self.next_link;
        self.next_link.0 += 1;
        endpoint.dial = Dial::Linked(link);
        self.ready.dial.push((link, endpoint.address.clone()));
        self.links.insert(link, Link::new(id, now + self.settings.connect));
    }

    /// Those who only wait for anybody to answer: somebody has, or everybody has refused for good.
    pub(super) fn finish_contacts(&mut self) {
        let is_contact = |key: &Key| self.calls.get(*key).is_some_and(|call| call.ask == Ask::Contact);
        let contacts: Vec<_> = self.reads.iter().copied().filter(is_contact).collect();
        if contacts.is_empty() {
            return;
        }
        let verdict = if self.standing().next().is_some() {
            Verdict::Met
        } else if self.endpoints.all_refuse() {
            Verdict::Failed(Failure::Unreachable(Arc::from(self.endpoints.troubles())))
        } else {
            return;
        };
        for key in contacts {
            self.finish(key, verdict.clone());
        }
    }
}

/// What the caller of a call is told whose deadline has passed. `unreachable` says why nobody is connected, if nobody is.
fn why_late<E>(call: &Call<E>, unreachable: Option<&Arc<str>>) -> Failure {
    if call.may_be_applied() {
        return Failure::Unknown;
    }
    if let Some(troubles) = unreachable {
        return Failure::Unreachable(Arc::clone(troubles));
    }
    match call.refused.as_deref() {
        Some(ClientRefused::NotLeader { .. } | ClientRefused::NoLeader) => Failure::NoLeader,
        Some(ClientRefused::Busy | ClientRefused::SessionFull) => Failure::Busy,
        Some(ClientRefused::DiskFull) => Failure::DiskFull,
        _ => Failure::DeadlinePassed,
    }
}
