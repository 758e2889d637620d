//! Which request goes where, and what its caller is told: the client without its sockets.
//!
//! Pure: time and chance come in by parameter, bytes stay outside. Inputs are methods; what is to be done gathers in a
//! [`Ready`].
//!
//! # What a caller may conclude
//!
//! A command is sent within a session, under a number that never names another command: however often it is sent, it takes
//! effect once. So an attempt that came to nothing, or of which nothing was heard, is repeated elsewhere until the deadline.
//! Each attempt ends in one of three ways. It is *answered*: then so is the call. It is *refused*: a node said that it did
//! not take it, or not one whole frame of it was ever written. Or it is *in doubt*: it left, and nobody said what became of
//! it. **At its deadline a call is `Unknown` if any of its attempts is in doubt or on its way, and only else not applied.**
//! Reads change nothing and are repeated freely.
//!
//! A number counts as answered when its caller was told something, not before: from then on no node executes it any more.
//!
//! # Where requests go
//!
//! A client has a connection with each member as far as it needs them: so that it hears at once who leads, and has somewhere
//! to go when a node is gone. Commands and reads go to the leader (reads to everybody in turn, if so configured); while
//! nobody is known to lead, to any other, which forwards them or waits for a leader. Who says of itself that it leads is
//! believed before those who say it of others. Nobody is dialled but who was named by the user or is a member.

mod answers;
mod calls;
mod dispatch;
mod endpoints;
mod link;
mod links;
mod owed;
mod session;
#[cfg(test)]
mod tests;
mod upkeep;
mod window;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub(in crate::client) use self::calls::{Ask, CallEnd, Failure, Verdict};
use self::calls::{Call, Calls, Key};
use self::endpoints::Endpoints;
use self::link::Link;
use self::session::Session;
use crate::net::Jitter;
use crate::types::{ClientRequest, ClusterId, SessionId};

/// Names a connection, or an attempt at one; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) struct LinkId(pub(in crate::client) usize);

/// What does not change.
#[derive(Clone, Debug)]
pub(in crate::client) struct Settings {
    /// Whether reads go to all members in turn.
    pub(in crate::client) spread_reads: bool,
    /// For how long nothing may be heard on a connection on which answers are owed.
    pub(in crate::client) silence: Duration,
    /// How long a connection may take until requests can be sent.
    pub(in crate::client) connect: Duration,
    /// Chance.
    pub(in crate::client) seed: u64,
}

/// What is to be done, in the order in which it is done.
#[derive(Debug)]
pub(in crate::client) struct Ready<E> {
    /// Callers to tell what became of their calls.
    pub(in crate::client) finished: Vec<(E, Verdict)>,
    /// Connections to close. Each is then [lost](Routing::lost).
    pub(in crate::client) close: Vec<LinkId>,
    /// Requests to send, in this order on each connection.
    pub(in crate::client) send: Vec<(LinkId, ClientRequest)>,
    /// Addresses to dial.
    pub(in crate::client) dial: Vec<(LinkId, String)>,
}

/// See the top of this file.
#[derive(Debug)]
pub(in crate::client) struct Routing<E> {
    settings: Settings,
    /// The cluster of the first node that answered, unless it was given.
    cluster: Option<ClusterId>,
    calls: Calls<E>,
    /// Calls that wait to be sent, in their order. Some may be over already.
    commands: VecDeque<Key>,
    reads: VecDeque<Key>,
    /// Calls that were refused, and when to send them again.
    paused: BTreeSet<(Instant, Key)>,
    session: Session,
    /// The newest session that was ever opened for it: those that follow have greater names.
    newest_session: Option<SessionId>,
    endpoints: Endpoints,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    turned_at: Instant,
    reads_first: bool,
    /// How much was told by all nodes together.
    told: u64,
    /// Whose turn it is among equals.
    turn: Cell<usize>,
    jitter: Jitter,
    ready: Ready<E>,
}

impl<E: CallEnd> Routing<E> {
    /// A client that was given these addresses and is connected with nobody.
    pub(in crate::client) fn new(
        settings: Settings,
        cluster: Option<ClusterId>,
        addresses: Vec<String>,
        now: Instant,
    ) -> Self {
        let seed = settings.seed;
        Self {
            settings,
            cluster,
            calls: Calls::new(),
            commands: VecDeque::new(),
            reads: VecDeque::new(),
            paused: BTreeSet::new(),
            session: Session::None { not_before: now, refusals: 0 },
            newest_session: None,
            endpoints: Endpoints::new(addresses, seed, now),
            links: BTreeMap::new(),
            next_link: LinkId(0),
            turned_at: now,
            reads_first: false,
            told: 0,
            turn: Cell::new(seed as usize),
            jitter: Jitter::new(!seed),
            ready: Ready::default(),
        }
    }

    /// A caller wants something by then.
    pub(in crate::client) fn submit(&mut self, ask: Ask, end: E, deadline: Instant) {
        let is_command = matches!(ask, Ask::Propose(_));
        let key = self.calls.insert(Call::new(ask, end, deadline));
        if is_command { &mut self.commands } else { &mut self.reads }.push_back(key);
    }

    /// What is to be done.
    pub(in crate::client) fn ready(&mut self) -> &mut Ready<E> {
        &mut self.ready
    }

    /// Which cluster this is about, once that is known.
    pub(in crate::client) fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The session that is of no use any more if nothing follows, and a connection on which that can be said.
    pub(in crate::client) fn session_to_close(&self) -> Option<(LinkId, SessionId)> {
        Some((self.favourite()?, self.session.id()?))
    }

    /// Nothing is sent any more: the ends of all calls that are not finished.
    pub(in crate::client) fn stop(&mut self) -> impl Iterator<Item = E> {
        self.calls.drain().map(|call| call.end)
    }

    /// Tells a caller what became of its call, if that was not done.
    fn finish(&mut self, key: Key, verdict: Verdict) {
        let Some(call) = self.remove(key) else { return };
        self.ready.finished.push((call.end, verdict));
    }

    /// A caller does not want its call any more, which certainly took no effect.
    fn drop_unwanted(&mut self, key: Key) {
        assert!(
            self.remove(key).is_none_or(|call| !call.may_be_applied()),
            "nobody is told of what may be applied"
        );
    }

    /// From here on nothing knows of the call, and its number counts as answered.
    fn remove(&mut self, key: Key) -> Option<Call<E>> {
        let call = self.calls.remove(key)?;
        if let Some((session, number)) = call.tag
            && let Some(window) = self.session.window_of(session)
        {
            window.finish(number);
        }
        if let Some((link, id)) = call.sent
            && let Some(standing) = self.links.get_mut(&link).and_then(Link::standing_mut)
        {
            standing.owed.forget(id);
        }
        Some(call)
    }

    fn fail(&mut self, key: Key, failure: Failure) {
        self.finish(key, Verdict::Failed(failure));
    }
}

impl<E> Ready<E> {
    /// Whether there is nothing to be done.
    pub(in crate::client) fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.close.is_empty() && self.send.is_empty() && self.dial.is_empty()
    }
}

impl<E> Default for Ready<E> {
    fn default() -> Self {
        Self { finished: Vec::new(), close: Vec::new(), send: Vec::new(), dial: Vec::new() }
    }
}
