//! Clients: callers who use sessions. They live outside of all nodes, keep several commands under way at once, and send them
//! again, under the same number, to whichever node they like: because no answer came, because their node has gone, or for no
//! reason. Some stay away until their session has expired, some acknowledge late, some give a command up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::chance::Chance;
use super::super::law::Broken;
use super::super::machine::{Command, CommandId, Deed, Done};
use super::super::plan::{MILLISECOND, SECOND};
use super::super::process::ELECTION;
use super::super::trace::What;
use super::callers::{Answer, Operation};
use super::{Judged, Next, World};
use crate::machine::{
    Codec, NoResponse, Refusal, SessionBounds, opened_session, seal_close, seal_in_session, seal_open,
    session_response,
};
use crate::replica::{Event, Proposal};
use crate::ticket::{Permit, ProposeError, Reply};
use crate::types::{LogIndex, Moment, NodeId, SessionId, SessionTag};

/// How long an attempt may take, by the clock of its node.
const PATIENCE: u64 = 2 * ELECTION;
/// So many commands are under way at once.
const UNDER_WAY_MAX: usize = 4;

/// More than all clients together need.
const ROOMY: SessionBounds = SessionBounds::of(100);

/// A command and its number.
type Name = (SessionId, u64);

/// One client.
pub(super) struct Client {
    /// As laws and histories call it: behind all other callers.
    name: usize,
    chance: Chance,
    at: Option<NodeId>,
    session: Option<SessionId>,
    /// When it last wanted one.
    opening_since: Option<u64>,
    /// Of the next command in its session.
    next: u64,
    commands: u64,
    /// All it ever sent.
    sent: BTreeMap<Name, Sent>,
    /// What it told the cluster last that it has.
    acknowledged: u64,
    /// It takes numbers far above its oldest open one, and fills its session.
    is_careless: bool,
    is_content: bool,
}

/// A command that was sent, once or more.
struct Sent {
    command: Command,
    /// What was committed when it was sent first.
    began_at: LogIndex,
    asked_at: u64,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    /// It may be sent again.
    Open,
    Answered(Done),
    /// Nobody waits for it any more.
    GivenUp,
}

/// What a client does next.
enum Deeds {
    Open,
    Send(Name),
    New,
    Close,
    GiveUp(u64),
    StayAway,
    Nothing,
}

impl Client {
    pub(super) fn new(seed: u64, name: usize) -> Self {
        let mut chance = Chance::stream(seed, &format!("client {name}"));
        Self {
            name,
            is_careless: chance.within(0..6) == 0,
            chance,
            at: None,
            session: None,
            opening_since: None,
            next: 0,
            commands: 0,
            sent: BTreeMap::new(),
            acknowledged: 0,
            is_content: false,
        }
    }

    fn open_in(&self, session: SessionId) -> Vec<Name> {
        let names = self.sent.range((session, 0)..=(session, u64::MAX));
        names.filter(|(_, sent)| sent.stands == Stands::Open).map(|(name, _)| *name).collect()
    }

    fn lowest_open_in(&self, session: SessionId) -> u64 {
        self.open_in(session).first().map_or(self.next, |(_, lowest)| *lowest)
    }

    fn choose(&mut self, now: u64, unanswered_max: u32, is_over: bool) -> Deeds {
        let Some(session) = self.session else {
            let waits = self.opening_since.is_some_and(|since| now < since + PATIENCE);
            return if waits { Deeds::Nothing } else { Deeds::Open };
        };
        let open = self.open_in(session);
        let again = self.chance.pick(&open).copied();
        // One that is too far ahead of the oldest might be executed and fill the session, so that the oldest never is.
        let is_near = self.next - self.lowest_open_in(session) < u64::from(unanswered_max);
        let has_room = open.len() < UNDER_WAY_MAX && (is_near || self.is_careless);
        if is_over {
            let last = if self.is_content { Deeds::Nothing } else { Deeds::New };
            return again.map_or(last, Deeds::Send);
        }
        let all: Vec<Name> = self.sent.keys().rev().take(12).copied().collect();
        match (self.chance.within(0..100), again) {
            (0..2, _) => Deeds::Close,
            (2..4, _) => Deeds::StayAway,
            (4..8, Some((_, sequence))) => Deeds::GiveUp(sequence),
            (8..40, Some(name)) => Deeds::Send(name),
            // Answered, given up, or of a session that has gone: it does no harm.
            (40..55, _) if !all.is_empty() => Deeds::Send(all[self.chance.below(all.len())]),
            _ if has_room => Deeds::New,
            _ => again.map_or(Deeds::Nothing, Deeds::Send),
        }
    }

    fn tag(&mut self, (session, sequence): Name) -> SessionTag {
        let is_current = self.session == Some(session);
        if is_current && self.chance.coin() {
            self.acknowledged = self.lowest_open_in(session);
        }
        let answered_below = if is_current { self.acknowledged.min(sequence) } else { 0 };
        SessionTag { session, sequence, answered_below }
    }

    /// Its session is of no use any more.
    fn forget(&mut self, session: SessionId) -> Vec<Name> {
        if self.session == Some(session) {
            (self.session, self.opening_since) = (None, None);
            (self.next, self.acknowledged) = (0, 0);
        }
        self.open_in(session)
    }
}

impl World {
    /// A client does something.
    pub(super) fn let_client(&mut self, place: usize) {
        let (now, is_over) = (self.now, self.is_over);
        let running: Vec<NodeId> = self.processes.keys().copied().collect();
        let client = &mut self.clients[place];
        let strays = client.chance.within(0..3) == 0 && !is_over;
        if strays || client.at.is_none_or(|node| !running.contains(&node)) {
            client.at = client.chance.pick(&running).copied();
        }
        let think = self.plan.think;
        let mut pause = client.chance.within(think / 2..think * 2);
        match client.choose(now, self.plan.unanswered_max, is_over) {
            Deeds::Open => self.open_session(place),
            Deeds::New => self.send_new(place),
            Deeds::Send(name) => self.send_in_session(place, name),
            Deeds::Close => self.close_session(place),
            Deeds::GiveUp(sequence) => self.give_up(place, sequence),
            Deeds::StayAway => pause = client.chance.spread(SECOND..20 * SECOND),
            Deeds::Nothing => {}
        }
        let is_done = is_over && self.is_client_content(place);
        if !is_done {
            // At the end it has little patience, and does not flood who is busy.
            self.plan_in(if is_over { 300 * MILLISECOND } else { pause }, Next::Client(place));
        }
    }

    fn open_session(&mut self, place: usize) {
        let client = &mut self.clients[place];
        client.opening_since = Some(self.now);
        let Some(node) = client.at else { return };
        // Nodes need not agree how many sessions may stand: whoever proposes one says so. At the end all find room.
        let few = self.plan.sessions_max;
        let sessions_max = match client.chance.within(0..8) {
            _ if self.is_over => 100,
            0 => few.div_ceil(2),
            _ => few,
        };
        let is_tight = self.plan.answers_bytes_max < ROOMY.answers_bytes_max && !self.is_over;
        let bounds = SessionBounds {
            sessions_max,
            answers_max: if is_tight { 2 * self.plan.unanswered_max } else { ROOMY.answers_max },
            unanswered_max: self.plan.unanswered_max,
            answers_bytes_max: self.plan.answers_bytes_max,
            ..ROOMY
        };
        let decode = |response: &[u8]| Ok(opened_session(response).expect("a session's name"));
        let (mailbox, never) = (Arc::clone(&self.mailbox), crate::replica::tests::instant());
        let (reply, ticket) = Reply::pair(Permit::free(), never, decode);
        ticket.on_done(move |outcome| mailbox.lock().push(Answer::Opened { client: place, outcome }));
        self.propose_at(node, seal_open(bounds), reply);
    }

    fn send_new(&mut self, place: usize) {
        let keys = self.plan.keys;
        let client = &mut self.clients[place];
        let Some(session) = client.session else { return };
        let name = (session, client.next);
        (client.next, client.commands) = (client.next + 1, client.commands + 1);
        let id: CommandId = (client.name as u64 + 1) << 32 | client.commands;
        let key = client.chance.within(0..u64::from(keys)) as u8;
        let command = Command { id, key, deed: Deed::Write(id), padding: client.chance.within(0..60) as u16 };
        let (began_at, asked_at) = (self.ledger.committed(), self.now);
        client.sent.insert(name, Sent { command, began_at, asked_at, stands: Stands::Open });
        self.send_in_session(place, name);
    }

    fn send_in_session(&mut self, place: usize, name: Name) {
        let client = &mut self.clients[place];
        let Some(node) = client.at else { return };
        let tag = client.tag(name);
        let command = client.sent[&name].command.clone();
        self.trace.add(self.now, || What::World(format!("client {place} sends {tag:?} to {node}")));
        let (mailbox, never) = (Arc::clone(&self.mailbox), crate::replica::tests::instant());
        let (reply, ticket) = Reply::pair(Permit::free(), never, decode_in_session);
        ticket
            .on_done(move |outcome| mailbox.lock().push(Answer::InSession { client: place, name, outcome }));
        self.propose_at(node, seal_in_session(tag, |out| command.encode(out)), reply);
    }

    fn close_session(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let (Some(session), Some(node)) = (client.session, client.at) else { return };
        let (reply, ticket) = Reply::pair(Permit::free(), crate::replica::tests::instant(), |_| Ok(()));
        drop(ticket);
        self.leave(place, session);
        self.propose_at(node, seal_close(session), reply);
    }

    /// Nobody sends it again, and it counts as answered from now on.
    fn give_up(&mut self, place: usize, sequence: u64) {
        let client = &mut self.clients[place];
        let Some(session) = client.session else { return };
        self.record_in_session(place, (session, sequence), None);
    }

    /// The fate of what is open in that session stays unknown.
    fn leave(&mut self, place: usize, session: SessionId) {
        let was_done = self.is_over && self.is_client_content(place);
        for name in self.clients[place].forget(session) {
            self.record_in_session(place, name, None);
        }
        // A late answer to an attempt that nobody needs any more: it does nothing by itself, but wants a session again.
        if was_done && !self.is_client_content(place) {
            self.plan_in(300 * MILLISECOND, Next::Client(place));
        }
    }

    fn propose_at(&mut self, node: NodeId, entry: bytes::Bytes, reply: Reply) {
        let deadline = Moment(self.hosts[&node].clock(self.now).0 + PATIENCE);
        self.handle(node, Event::Propose(Proposal { command: entry, reply, deadline }));
    }

    pub(super) fn was_opened(&mut self, place: usize, outcome: &Result<SessionId, ProposeError>) {
        self.trace.add(self.now, || What::World(format!("client {place} has a session: {outcome:?}")));
        let client = &mut self.clients[place];
        client.at = client.at.filter(|_| outcome.is_ok());
        match outcome {
            Ok(session) if client.session.is_none() => client.session = Some(*session),
            // A late answer: that session is left to itself.
            Ok(_) => {}
            Err(_) => client.opening_since = None,
        }
    }

    pub(super) fn was_done_in_session(
        &mut self,
        place: usize,
        name: Name,
        outcome: &Result<Done, ProposeError>,
    ) -> Judged {
        self.trace.add(self.now, || What::World(format!("client {place} hears of {name:?}: {outcome:?}")));
        let client = &mut self.clients[place];
        let (caller, sent) = (client.name, &client.sent[&name]);
        let (command, began_at, stands) = (sent.command.id, sent.began_at, sent.stands);
        match outcome {
            &Ok(done) => {
                self.tally.answers += 1;
                self.tally.repeats += u64::from(stands != Stands::Open);
                if let Stands::Answered(first) = stands
                    && first != done
                {
                    return Err(Broken::WrongAnswer { caller, command, told: done, is: Some(first) });
                }
                if stands == Stands::Open {
                    client.is_content = self.is_over && sent.asked_at >= self.plan.ends;
                    self.record_in_session(place, name, Some(done));
                }
                self.ledger.answered(caller, command, done, began_at)
            }
            Err(ProposeError::SessionExpired) => {
                self.tally.expired += 1;
                self.ledger.expired(caller, command);
                self.leave(place, name.0);
                Ok(())
            }
            Err(ProposeError::AnswerForgotten) if stands == Stands::Open => {
                if self.plan.answers_bytes_max >= ROOMY.answers_bytes_max {
                    return Err(Broken::AnswerLost { caller, command });
                }
                self.record_in_session(place, name, None);
                Ok(())
            }
            Err(ProposeError::SessionFull) => {
                self.tally.full += 1;
                if self.is_over || self.clients[place].chance.within(0..4) == 0 {
                    self.leave(place, name.0);
                }
                Ok(())
            }
            Err(_) => {
                client.at = None;
                Ok(())
            }
        }
    }

    /// What a command came to, as far as its client is concerned. Clients do several things at once: each of them is a
    /// caller of its own to those who look for an order.
    fn record_in_session(&mut self, place: usize, name: Name, done: Option<Done>) {
        let client = &mut self.clients[place];
        let sent = client.sent.get_mut(&name).expect("it was sent");
        sent.stands = done.map_or(Stands::GivenUp, Stands::Answered);
        let Command { id, key, deed, .. } = sent.command;
        let (ended, saw) = (done.map(|_| self.now), done.map(|done| done.before));
        let caller = (id >> 32) as usize * 100_000 + (id & 0xFFFF_FFFF) as usize;
        self.history.push(Operation { caller, key, deed: Some(deed), began: sent.asked_at, ended, saw });
    }

    fn is_client_content(&self, place: usize) -> bool {
        let client = &self.clients[place];
        client.is_content && client.session.is_some_and(|session| client.open_in(session).is_empty())
    }

    /// Everybody shall write once more.
    pub(super) fn last_wishes_of_clients(&mut self) {
        for place in 0..self.clients.len() {
            self.plan_in(MILLISECOND, Next::Client(place));
        }
    }

    pub(super) fn are_clients_content(&self) -> bool {
        (0..self.clients.len()).all(|place| self.is_client_content(place))
    }
}

fn decode_in_session(response: &[u8]) -> Result<Done, ProposeError> {
    match session_response(response) {
        Ok(response) => Ok(Done::decode(response).expect("the machine's own answer")),
        Err(NoResponse::Refused(Refusal::Expired)) => Err(ProposeError::SessionExpired),
        Err(NoResponse::Refused(Refusal::Forgotten)) => Err(ProposeError::AnswerForgotten),
        Err(NoResponse::Refused(Refusal::Full)) => Err(ProposeError::SessionFull),
        Err(NoResponse::Malformed) => panic!("no response of a session"),
    }
}
