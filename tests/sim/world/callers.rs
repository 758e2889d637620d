//! Callers: each wants one thing at a time, waits for the answer, thinks, and wants the next. What they are told is held
//! against what happened.

use std::sync::Arc;

use super::super::chance::Chance;
use super::super::machine::{Command, CommandId, Deed, Done, Registers, Saw};
use super::super::plan::{MILLISECOND, SECOND};
use super::super::process::ELECTION;
use super::super::trace::What;
use super::{Judged, Next, World};
use crate::machine::{Codec, seal_plain};
use crate::replica::{Event, Proposal, Read};
use crate::ticket::{
    ChangeError, Outcome, Permit, ProposeError, ReadError, ReadTask, Reply, SnapshotNowError, TransferError,
};
use crate::types::{ChangeReceipt, LogIndex, NodeId, SessionId, SnapshotMeta};

/// How long a caller waits at most, by the clock of its node.
pub(super) const PATIENCE: u64 = 4 * ELECTION;

/// One caller.
pub(super) struct Caller {
    place: usize,
    chance: Chance,
    requests: u64,
    /// Where it asked last.
    at: Option<NodeId>,
    waiting: Option<Request>,
    /// What it saw last in a register: what it expects when it swaps.
    seen: u64,
    /// Since the faults ended it has written and read.
    pub(super) is_content: bool,
}

/// What a caller waits for.
#[derive(Clone, Debug)]
struct Request {
    number: u64,
    node: NodeId,
    life: u64,
    wish: Wish,
    /// What was committed when it began.
    began_at: LogIndex,
    asked_at: u64,
}

#[derive(Clone, Debug)]
enum Wish {
    Do(Command),
    Look(u8),
}

/// An operation as a history holds it.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Operation {
    pub(in crate::sim) caller: usize,
    pub(in crate::sim) key: u8,
    /// `None`: a read.
    pub(in crate::sim) deed: Option<Deed>,
    pub(in crate::sim) began: u64,
    /// `None`: its fate is not known.
    pub(in crate::sim) ended: Option<u64>,
    /// What stood in the register before, or was read.
    pub(in crate::sim) saw: Option<u64>,
}

/// What somebody is told, as it comes out of the replicas.
pub(super) enum Answer {
    Done {
        caller: usize,
        request: u64,
        outcome: Result<Done, ProposeError>,
    },
    Saw {
        caller: usize,
        request: u64,
        outcome: Result<Saw, ReadError>,
    },
    /// To one of many.
    OfMany {
        command: CommandId,
        began_at: LogIndex,
        outcome: Result<Done, ProposeError>,
    },
    Opened {
        client: usize,
        outcome: Result<SessionId, ProposeError>,
    },
    InSession {
        client: usize,
        name: (SessionId, u64),
        outcome: Result<Done, ProposeError>,
    },
    Changed {
        wish: u64,
        outcome: Result<ChangeReceipt, ChangeError>,
    },
    Transferred(Result<NodeId, TransferError>),
    Saved(Result<SnapshotMeta, SnapshotNowError>),
}

impl Caller {
    pub(super) fn new(seed: u64, place: usize) -> Self {
        let chance = Chance::stream(seed, &format!("caller {place}"));
        Self { place, chance, requests: 0, at: None, waiting: None, seen: 0, is_content: false }
    }

    fn wish(&mut self, keys: u8, large: u64, is_over: bool) -> Wish {
        let key = self.chance.within(0..u64::from(keys)) as u8;
        let kind = self.chance.within(0..10);
        if kind < 4 && !is_over {
            return Wish::Look(key);
        }
        let id: CommandId = (self.place as u64 + 1) << 32 | self.requests;
        let deed = if kind < 7 { Deed::Write(id) } else { Deed::Swap(self.seen, id) };
        let is_large = self.chance.within(0..100) < large;
        let padding = self.chance.within(0..if is_large { 8_000 } else { 60 });
        Wish::Do(Command { id, key, deed, padding: padding as u16 })
    }
}

impl World {
    /// A caller wants something.
    pub(super) fn ask(&mut self, place: usize) {
        let running: Vec<NodeId> = self.processes.keys().copied().collect();
        let caller = &mut self.callers[place];
        if caller.waiting.is_some() || caller.is_content {
            return;
        }
        let strays = caller.chance.within(0..4) == 0 && !self.is_over;
        if strays || caller.at.is_none_or(|node| !running.contains(&node)) {
            caller.at = caller.chance.pick(&running).copied();
        }
        let Some(node) = caller.at else {
            self.plan_in(100 * MILLISECOND, Next::Ask(place));
            return;
        };
        caller.requests += 1;
        let number = caller.requests;
        let wish = caller.wish(self.plan.keys, self.plan.large, self.is_over);
        let (life, began_at) = (self.lives[&node], self.ledger.committed());
        self.callers[place].waiting =
            Some(Request { number, node, life, wish: wish.clone(), began_at, asked_at: self.now });
        self.trace.add(self.now, || What::Asks { caller: place, node, text: format!("{wish:?}") });
        let event = self.request(place, number, node, wish);
        self.handle(node, event);
    }

    fn request(&self, caller: usize, request: u64, node: NodeId, wish: Wish) -> Event {
        let mailbox = Arc::clone(&self.mailbox);
        let deadline = crate::types::Moment(self.hosts[&node].clock(self.now).0 + PATIENCE);
        let never = crate::replica::tests::instant();
        match wish {
            Wish::Do(command) => {
                let decode = |bytes: &[u8]| Ok(Done::decode(bytes).expect("the machine's own answer"));
                let (reply, ticket) = Reply::pair(Permit::free(), never, decode);
                ticket.on_done(move |outcome| mailbox.lock().push(Answer::Done { caller, request, outcome }));
                let entry = seal_plain(|out| command.encode(out));
                Event::Propose(Proposal { command: entry, reply, deadline })
            }
            Wish::Look(key) => {
                let read = move |machine: &Registers| machine.read(key);
                let (task, ticket) = ReadTask::pair(Permit::free(), never, read);
                ticket.on_done(move |outcome| mailbox.lock().push(Answer::Saw { caller, request, outcome }));
                Event::Read(Read { task, deadline })
            }
        }
    }

    /// What came out meanwhile.
    pub(super) fn hear_answers(&mut self) -> Judged {
        let answers = {
            let mut mailbox = self.mailbox.lock();
            if mailbox.is_empty() {
                return Ok(());
            }
            std::mem::take(&mut *mailbox)
        };
        for answer in answers {
            match answer {
                Answer::Done { caller, request, outcome } => self.was_done(caller, request, outcome)?,
                Answer::Saw { caller, request, outcome } => self.was_seen(caller, request, outcome)?,
                Answer::OfMany { command, began_at, outcome } => {
                    self.one_of_many(command, began_at, outcome)?;
                }
                Answer::Opened { client, outcome } => self.was_opened(client, &outcome),
                Answer::InSession { client, name, outcome } => {
                    self.was_done_in_session(client, name, &outcome)?;
                }
                Answer::Changed { wish, outcome } => self.was_changed(wish, outcome),
                Answer::Transferred(outcome) => {
                    self.tally.transfers += u64::from(outcome.is_ok());
                    self.trace.add(self.now, || What::World(format!("transfer: {outcome:?}")));
                }
                Answer::Saved(outcome) => {
                    self.trace.add(self.now, || What::World(format!("snapshot on demand: {outcome:?}")));
                }
            }
        }
        Ok(())
    }

    /// The request that was answered, unless its caller has gone with its node.
    fn answered(&mut self, caller: usize, number: u64) -> Option<Request> {
        let request = self.callers[caller].waiting.take_if(|request| request.number == number)?;
        let think = self.plan.think;
        let next = self.callers[caller].chance.within(think / 2..think * 2);
        self.plan_in(next, Next::Ask(caller));
        Some(request)
    }

    fn was_done(&mut self, caller: usize, number: u64, outcome: Result<Done, ProposeError>) -> Judged {
        let Some(request) = self.answered(caller, number) else { return Ok(()) };
        let well = outcome.is_ok();
        self.trace.add(self.now, || What::Told { caller, well, text: format!("{outcome:?}") });
        let Wish::Do(command) = &request.wish else { unreachable!("a command is answered as one") };
        match outcome {
            Ok(done) => {
                self.tally.answers += 1;
                self.callers[caller].seen = done.before;
                self.callers[caller].is_content = self.is_over && request.asked_at >= self.plan.ends;
                self.record(caller, &request, Some(done.before));
                self.ledger.answered(caller, command.id, done, request.began_at)
            }
            Err(error) if error.outcome() == Outcome::NotApplied => {
                self.callers[caller].at = match &error {
                    ProposeError::NotLeader { leader: Some((leader, _)) } => Some(*leader),
                    _ => None,
                };
                self.ledger.refused(caller, command.id, error.to_string())
            }
            Err(_) => {
                self.tally.unknown += 1;
                self.record(caller, &request, None);
                Ok(())
            }
        }
    }

    fn was_seen(&mut self, caller: usize, number: u64, outcome: Result<Saw, ReadError>) -> Judged {
        let Some(request) = self.answered(caller, number) else { return Ok(()) };
        let well = outcome.is_ok();
        self.trace.add(self.now, || What::Told { caller, well, text: format!("{outcome:?}") });
        let (Wish::Look(key), Ok(saw)) = (&request.wish, outcome) else { return Ok(()) };
        self.tally.reads += 1;
        self.callers[caller].seen = saw.value;
        self.record(caller, &request, Some(saw.value));
        self.ledger.read(caller, *key, saw, request.began_at)
    }

    fn record(&mut self, caller: usize, request: &Request, saw: Option<u64>) {
        let (key, deed) = match &request.wish {
            Wish::Do(command) => (command.key, Some(command.deed)),
            Wish::Look(key) => (*key, None),
        };
        let ended = saw.map(|_| self.now);
        self.history.push(Operation { caller, key, deed, began: request.asked_at, ended, saw });
    }

    /// The process at `node` is gone, and its callers with it.
    pub(super) fn callers_are_gone(&mut self, node: NodeId) {
        let life = self.life(node);
        for place in 0..self.callers.len() {
            let gone = |request: &mut Request| (request.node, request.life) == (node, life);
            let Some(request) = self.callers[place].waiting.take_if(gone) else { continue };
            if matches!(request.wish, Wish::Do(_)) {
                self.tally.unknown += 1;
                self.record(place, &request, None);
            }
            self.plan_in(SECOND / 10, Next::Ask(place));
        }
    }

    /// Everybody is asked for one more write.
    pub(super) fn last_wishes(&mut self) {
        for place in 0..self.callers.len() {
            self.plan_in(MILLISECOND, Next::Ask(place));
        }
    }

    pub(super) fn are_callers_content(&self) -> bool {
        self.callers.iter().all(|caller| caller.is_content && caller.waiting.is_none())
    }
}
