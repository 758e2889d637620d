//! Which waiting request is sent now, and on which connection.

use std::time::{Duration, Instant};

use super::calls::{Call, CallEnd, Failure, Key};
use super::link::{Link, Standing};
use super::owed::To;
use super::session::Session;
use super::{Ask, LinkId, Routing};
use crate::types::{ClientCall, ClientRefused, ClientRequest, NodeId};
use crate::wire::client::REQUEST_HEAD_BYTES_MAX;

/// How long a node may take over a first attempt. Each further one may take twice as long: a node that is cut off is left
/// soon, and a cluster that is slow is not flooded with repetitions.
const ATTEMPT: Duration = Duration::from_secs(2);

impl<E: CallEnd> Routing<E> {
    /// Sends what can be sent. Where there is not room for all, commands and reads come first in turns.
    pub(super) fn dispatch(&mut self, now: Instant) {
        self.reads_first = !self.reads_first;
        if self.reads_first {
            self.dispatch_reads(now);
        }
        self.dispatch_commands(now);
        if !self.reads_first {
            self.dispatch_reads(now);
        }
    }

    fn dispatch_commands(&mut self, now: Instant) {
        let favourite = self.favourite();
        while let Some(&key) = self.commands.front() {
            let Some(call) = self.calls.get(key) else {
                self.commands.pop_front();
                continue;
            };
            let (is_tagged, avoid) = (call.tag.is_some(), call.avoid);
            match &self.session {
                Session::Open { window, .. } if is_tagged || window.has_room() => {}
                Session::Open { .. } => return,
                Session::None { .. } | Session::Asked { .. } => return self.ask_for_session(favourite, now),
            }
            let Some(link) = self.route(favourite, avoid) else { return };
            self.commands.pop_front();
            self.send_call(key, link, now);
        }
    }

    /// Asks for a session, if that is not under way.
    fn ask_for_session(&mut self, favourite: Option<LinkId>, now: Instant) {
        let Session::None { not_before, refusals } = self.session else { return };
        if now < not_before {
            return;
        }
        // Where it was refused before it is asked for elsewhere.
        let link = if refusals == 0 { self.route(favourite, None) } else { self.any_in_turn(None) };
        if let Some(link) = link {
            self.session = Session::Asked { refusals };
            self.send(link, To::Session, attempt_within(refusals), ClientCall::OpenSession, now);
        }
    }

    fn dispatch_reads(&mut self, now: Instant) {
        let favourite = self.favourite();
        let mut held = Vec::new();
        while let Some(&key) = self.reads.front() {
            let route = match self.calls.get(key) {
                None => Route::Nowhere,
                Some(call) => self.route_of(call, favourite),
            };
            if route == Route::NotNow {
                break;
            }
            self.reads.pop_front();
            match route {
                Route::To(link) => self.send_call(key, link, now),
                Route::Stranger(node) => self.fail(key, Failure::NotMember(node)),
                Route::Held => held.push(key),
                Route::Nowhere | Route::NotNow => {}
            }
        }
        for key in held.into_iter().rev() {
            self.reads.push_front(key);
        }
    }

    fn route_of(&self, call: &Call<E>, favourite: Option<LinkId>) -> Route {
        let to = |link: Option<LinkId>| link.map_or(Route::NotNow, Route::To);
        match call.ask {
            Ask::Local { node: Some(node), .. } | Ask::Status(Some(node)) => self.route_to(node),
            Ask::Local { node: None, .. } | Ask::Status(None) => to(self.any_in_turn(call.avoid)),
            Ask::Query(_) if self.settings.spread_reads => to(self.any_in_turn(call.avoid)),
            // Every node can answer it: when the best one is busy, another will do.
            Ask::Query(_) | Ask::Propose(_) => {
                to(self.route(favourite, call.avoid).or_else(|| self.any_in_turn(call.avoid)))
            }
            // It is answered when a connection stands.
            Ask::Contact => Route::Held,
        }
    }

    /// To one node, named by the caller.
    fn route_to(&self, node: NodeId) -> Route {
        match self.standing().find(|(_, standing)| standing.node == node) {
            Some((id, standing)) if standing.has_room() => Route::To(id),
            None if self.endpoints.are_members_known() && !self.endpoints.is_member(node) => {
                Route::Stranger(node)
            }
            Some(_) | None => Route::Held,
        }
    }

    /// Where commands go: to the favourite, unless it is better avoided.
    fn route(&self, favourite: Option<LinkId>, avoid: Option<NodeId>) -> Option<LinkId> {
        let standing = favourite.and_then(|id| self.links.get(&id)?.standing());
        match (favourite, standing) {
            // When it has no room, to wait for that is best: elsewhere requests would only be sent on to it.
            (Some(id), Some(standing)) if avoid != Some(standing.node) => standing.has_room().then_some(id),
            _ => self.any_in_turn(avoid),
        }
    }

    /// The connection with whom we take for the leader: who says so of itself, the latest first; or whom another names, if
    /// it has not said otherwise since.
    pub(super) fn favourite(&self) -> Option<LinkId> {
        let leads = |one: &Standing| one.leader == Some(one.node);
        let of_itself = self.standing().filter(|(_, one)| leads(one)).max_by_key(|(_, one)| one.told);
        if let Some((id, _)) = of_itself {
            return Some(id);
        }
        let witnesses = self.standing().filter(|(_, one)| one.leader.is_some());
        let (_, witness) = witnesses.max_by_key(|(_, one)| one.told)?;
        let named = self.standing().find(|(_, one)| Some(one.node) == witness.leader);
        named.filter(|(_, one)| one.told < witness.told).map(|(id, _)| id)
    }

    /// One after the other, of those that have room: members before others, and the one to avoid only if there is none else.
    fn any_in_turn(&self, avoid: Option<NodeId>) -> Option<LinkId> {
        let rank = |one: &Standing| (Some(one.node) == avoid, !self.endpoints.is_member(one.node));
        let open = || self.standing().filter(|(_, one)| one.has_room());
        let best = open().map(|(_, one)| rank(one)).min()?;
        let equals = || open().filter(|(_, one)| rank(one) == best);
        self.turn.set(self.turn.get().wrapping_add(1));
        equals().nth(self.turn.get() % equals().count()).map(|(id, _)| id)
    }

    /// Whoever can be sent requests.
    pub(super) fn standing(&self) -> impl Iterator<Item = (LinkId, &Standing)> {
        self.links.iter().filter_map(|(&id, link)| Some((id, link.standing()?)))
    }

    /// Sends a call to a node, unless its caller does not want it any more or the node would not take it.
    fn send_call(&mut self, key: Key, link: LinkId, now: Instant) {
        let Some(standing) = self.links.get(&link).and_then(Link::standing) else { return };
        let (node, frame_bytes_max) = (standing.node, standing.frame_bytes_max as usize);
        let Some(call) = self.calls.get_mut(key) else { return };
        let limit = frame_bytes_max.saturating_sub(REQUEST_HEAD_BYTES_MAX);
        let bytes = call.ask.payload_bytes();
        if bytes > limit {
            let refused = ClientRefused::TooLarge { bytes: bytes as u64, limit: limit as u64 };
            return self.told_refusal(link, node, key, refused, now);
        }
        // Its caller may be told Unknown from here on, and may have taken it back before.
        if !call.end.take() {
            return self.drop_unwanted(key);
        }
        let within = attempt_within(call.attempts).min(call.deadline.saturating_duration_since(now));
        call.attempts += 1;
        let request = match &call.ask {
            Ask::Propose(command) => {
                let command = command.clone();
                ClientCall::Propose { session: Some(self.session.tag(&mut call.tag)), command }
            }
            Ask::Query(query) => ClientCall::Query { query: query.clone(), local: false },
            Ask::Local { query, .. } => ClientCall::Query { query: query.clone(), local: true },
            Ask::Status(_) | Ask::Contact => ClientCall::Status,
        };
        let id = self.send(link, To::Call(key), within, request, now);
        if let Some(call) = self.calls.get_mut(key) {
            call.sent = Some((link, id));
        }
    }

    /// Sends a request to a node: its id there.
    pub(super) fn send(
        &mut self,
        link: LinkId,
        to: To,
        within: Duration,
        call: ClientCall,
        now: Instant,
    ) -> u64 {
        let silence = self.settings.silence;
        let standing = self.links.get_mut(&link).and_then(Link::standing_mut);
        let standing = standing.expect("requests are sent where they can be");
        let id = standing.push(to, payload_bytes(&call), now, within, silence);
        self.ready.send.push((link, ClientRequest { id, within, call }));
        id
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    To(LinkId),
    /// It waits, and others may pass it.
    Held,
    /// It waits, and all behind it.
    NotNow,
    /// It is for a node that is no member.
    Stranger(NodeId),
    /// It is over.
    Nowhere,
}

fn attempt_within(attempts: u32) -> Duration {
    ATTEMPT * (1 << attempts.min(8))
}

fn payload_bytes(call: &ClientCall) -> usize {
    match call {
        ClientCall::Propose { command: bytes, .. } | ClientCall::Query { query: bytes, .. } => bytes.len(),
        ClientCall::OpenSession | ClientCall::CloseSession(_) | ClientCall::Status => 0,
    }
}
