//! Connections that come and go, answers that are lost, late or no answers, sessions that expire: at random, against a model
//! of a cluster that executes whatever reached it, at once or long after everybody has forgotten it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::scene::{Number, Scene, cluster, node};
use crate::client::routing::{Ask, Failure, LinkId, Verdict};
use crate::ticket::Outcome;
use crate::types::{
    ClientAnswer, ClientCall, ClientRefused, ClientRequest, ClientStatus, SessionId, SessionTag,
};

/// What strikes next, and whom.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Propose { within_ms: u16 },
    Query,
    TakeBack(u16),
    Pass { ms: u16 },
    ConnectionStands { which: u16, leader: u16 },
    ConnectionFails(u16),
    Lose { which: u16, written: u16 },
    LeaderIs { said_by: u16, leader: u16 },
    Answer(u16),
    ExecuteAndSayNothing(u16),
    Refuse { which: u16, why: u16 },
    SayUnknown(u16),
    ExecuteLongAfter(u16),
    AnswerTwice(u16),
    Congest { which: u16, room: u16 },
    Expire,
}

fn strike() -> impl Strategy<Value = Strike> {
    let any = any::<u16>;
    prop_oneof![
        12 => (1..6000_u16).prop_map(|within_ms| Strike::Propose { within_ms }),
        2 => Just(Strike::Query),
        1 => any().prop_map(Strike::TakeBack),
        6 => (0..1500_u16).prop_map(|ms| Strike::Pass { ms }),
        8 => (any(), any()).prop_map(|(which, leader)| Strike::ConnectionStands { which, leader }),
        2 => any().prop_map(Strike::ConnectionFails),
        4 => (any(), any()).prop_map(|(which, written)| Strike::Lose { which, written }),
        2 => (any(), any()).prop_map(|(said_by, leader)| Strike::LeaderIs { said_by, leader }),
        14 => any().prop_map(Strike::Answer),
        4 => any().prop_map(Strike::ExecuteAndSayNothing),
        4 => (any(), any()).prop_map(|(which, why)| Strike::Refuse { which, why }),
        3 => any().prop_map(Strike::SayUnknown),
        3 => any().prop_map(Strike::ExecuteLongAfter),
        1 => any().prop_map(Strike::AnswerTwice),
        1 => (any(), 0..200_u16).prop_map(|(which, room)| Strike::Congest { which, room }),
        1 => Just(Strike::Expire),
    ]
}

/// A request that a node has, or will have.
struct Request {
    link: LinkId,
    id: u64,
    call: ClientCall,
    /// What it came to, once it was executed.
    outcome: Option<Result<ClientAnswer, ClientRefused>>,
}

/// All nodes as one, since what they hold is replicated.
#[derive(Default)]
struct Cluster {
    sessions: BTreeMap<SessionId, Session>,
    opened: u64,
    executed: BTreeSet<Bytes>,
    /// Which command each tag stood for.
    tags: BTreeMap<(SessionId, u64), Bytes>,
}

#[derive(Default)]
struct Session {
    answered_below: u64,
    kept: BTreeMap<u64, Bytes>,
}

impl Cluster {
    fn execute(&mut self, call: &ClientCall) -> Result<ClientAnswer, ClientRefused> {
        match call {
            ClientCall::OpenSession => {
                self.opened += 1;
                let id = SessionId(self.opened);
                self.sessions.insert(id, Session::default());
                Ok(ClientAnswer::SessionOpened(id))
            }
            ClientCall::Propose { session: Some(tag), command } => self.execute_once(*tag, command),
            ClientCall::Query { query, .. } => Ok(ClientAnswer::Response(query.clone())),
            ClientCall::Status => Ok(ClientAnswer::Status(status())),
            other => panic!("never asked: {other:?}"),
        }
    }

    fn execute_once(&mut self, tag: SessionTag, command: &Bytes) -> Result<ClientAnswer, ClientRefused> {
        let Some(session) = self.sessions.get_mut(&tag.session) else {
            return Err(ClientRefused::SessionExpired);
        };
        session.answered_below = session.answered_below.max(tag.answered_below);
        session.kept = session.kept.split_off(&session.answered_below);
        if tag.sequence < session.answered_below {
            return Err(ClientRefused::AnswerForgotten);
        }
        assert!(session.kept.len() < 1024, "more than the session has room for");
        let first = session.kept.entry(tag.sequence).or_insert_with(|| {
            assert!(self.executed.insert(command.clone()), "{command:?} is executed twice");
            command.clone()
        });
        assert_eq!(first, command, "one number for two commands");
        Ok(ClientAnswer::Response(first.clone()))
    }
}

fn status() -> ClientStatus {
    let (voters, learners) = (vec![1], Vec::new());
    ClientStatus { node: 1, term: 1, leader: None, commit: 0, applied: 0, voters, learners }
}

/// A connection that stands: how many requests were sent there, and how many certainly left.
#[derive(Clone, Copy)]
struct Connection {
    link: LinkId,
    sent: u64,
    left: u64,
}

struct World {
    scene: Scene,
    cluster: Cluster,
    links: Vec<Connection>,
    /// On their connections, in the order in which they were sent.
    requests: Vec<Request>,
    /// Their connections are gone, or they were answered with a shrug; and they may be executed yet.
    ghosts: Vec<Request>,
    answered: Vec<(LinkId, u64)>,
    proposals: BTreeMap<Number, Bytes>,
    callers: BTreeMap<Bytes, Number>,
    queries: BTreeSet<Number>,
    taken_back: BTreeSet<Number>,
}

impl World {
    fn new() -> Self {
        Self {
            scene: Scene::of(&[1, 2, 3]),
            cluster: Cluster::default(),
            links: Vec::new(),
            requests: Vec::new(),
            ghosts: Vec::new(),
            answered: Vec::new(),
            proposals: BTreeMap::new(),
            callers: BTreeMap::new(),
            queries: BTreeSet::new(),
            taken_back: BTreeSet::new(),
        }
    }

    fn strike(&mut self, strike: Strike) {
        match strike {
            Strike::Propose { within_ms } => {
                let command = Bytes::from(format!("command {}", self.proposals.len()));
                let within = Duration::from_millis(within_ms.into());
                let call = self.scene.ask_within(Ask::Propose(command.clone()), within);
                self.callers.insert(command.clone(), call);
                self.proposals.insert(call, command);
            }
            Strike::Query => {
                let query = Bytes::from(format!("query {}", self.queries.len()));
                self.queries.insert(self.scene.ask(Ask::Query(query)));
            }
            Strike::TakeBack(which) => {
                let waiting = self.proposals.keys().filter(|call| !self.scene.told.contains_key(call));
                if let Some(&call) = any_of(waiting, which)
                    && self.scene.take_back(call)
                {
                    self.taken_back.insert(call);
                }
            }
            Strike::Pass { ms } => self.scene.pass(Duration::from_millis(ms.into())),
            Strike::ConnectionStands { which, leader } => {
                if let Some(address) = any_of(self.scene.dialled.keys().cloned(), which) {
                    let node = u64::from(address.as_bytes()[4] - b'0');
                    let link = self.scene.stands(node, leader_of(leader));
                    self.links.push(Connection { link, sent: 0, left: 0 });
                }
            }
            Strike::ConnectionFails(which) => {
                if let Some(address) = any_of(self.scene.dialled.keys().cloned(), which) {
                    let link = self.scene.dialled.remove(&address).expect("it is there");
                    self.scene.lose_after(link, 0);
                }
            }
            Strike::Lose { which, written } => {
                if let Some(Connection { link, sent, left }) = any_of(self.links.iter().copied(), which) {
                    self.lose(link, left + u64::from(written) % (sent - left + 1));
                }
            }
            Strike::LeaderIs { said_by, leader } => {
                if let Some(Connection { link, .. }) = any_of(self.links.iter().copied(), said_by) {
                    self.scene.tell(link, cluster(leader_of(leader)));
                }
            }
            Strike::Answer(which) => self.answer(which, |request, cluster| {
                request.outcome.take().unwrap_or_else(|| cluster.execute(&request.call))
            }),
            Strike::ExecuteAndSayNothing(which) => {
                if let Some(request) = any_of(self.requests.iter_mut(), which)
                    && request.outcome.is_none()
                {
                    request.outcome = Some(self.cluster.execute(&request.call));
                    left(&mut self.links, request);
                }
            }
            Strike::Refuse { which, why } => self.answer(which, |request, _| match &request.outcome {
                // A node that knows better does not lie.
                Some(outcome) => outcome.clone(),
                None => Err(refusal(why)),
            }),
            Strike::SayUnknown(which) => self.shrug(which),
            Strike::ExecuteLongAfter(which) => {
                if !self.ghosts.is_empty() {
                    let ghost = self.ghosts.swap_remove(usize::from(which) % self.ghosts.len());
                    let _ = self.cluster.execute(&ghost.call);
                }
            }
            Strike::AnswerTwice(which) => {
                if let Some((link, id)) = any_of(self.answered.iter().copied(), which) {
                    self.scene.reply(link, id, Ok(ClientAnswer::Response(Bytes::from_static(b"a lie"))));
                }
            }
            Strike::Congest { which, room } => {
                if let Some(Connection { link, .. }) = any_of(self.links.iter().copied(), which) {
                    self.scene.has_room(link, usize::from(room));
                }
            }
            Strike::Expire => self.cluster.sessions.clear(),
        }
        self.settle();
    }

    /// Requests travel; connections that are to be closed are.
    fn settle(&mut self) {
        loop {
            for (link, request) in self.scene.sent() {
                self.note(link, request);
            }
            let Some(link) = self.scene.closed.pop() else { break };
            let sent = self.links.iter().find(|one| one.link == link).map_or(0, |one| one.sent);
            self.scene.dialled.retain(|_, dialled| *dialled != link);
            self.lose(link, sent);
        }
    }

    fn note(&mut self, link: LinkId, request: ClientRequest) {
        let there = self.links.iter_mut().find(|one| one.link == link).expect("sent where it stands");
        assert_eq!(request.id, there.sent, "requests are numbered in their order");
        there.sent += 1;
        if let ClientCall::Propose { session: Some(tag), command } = &request.call {
            let first = self.cluster.tags.entry((tag.session, tag.sequence)).or_insert(command.clone());
            assert_eq!(first, command, "one number for two commands");
            self.assert_nobody_waits_below(*tag);
        }
        self.requests.push(Request { link, id: request.id, call: request.call, outcome: None });
    }

    /// What counts as answered has been told to its caller.
    fn assert_nobody_waits_below(&self, tag: SessionTag) {
        let below = self.cluster.tags.range((tag.session, 0)..(tag.session, tag.answered_below));
        for (_, command) in below {
            let call = &self.callers[command];
            let is_over = self.scene.told.contains_key(call) || self.taken_back.contains(call);
            assert!(is_over, "{command:?} counts as answered and its caller waits");
        }
    }

    fn lose(&mut self, link: LinkId, written: u64) {
        self.links.retain(|one| one.link != link);
        let (lost, left) = std::mem::take(&mut self.requests).into_iter().partition(|one| one.link == link);
        self.requests = left;
        self.ghosts.extend(lost_of(lost, written));
        self.scene.lose_after(link, written);
    }

    fn answer(
        &mut self,
        which: u16,
        outcome: impl FnOnce(&mut Request, &mut Cluster) -> Result<ClientAnswer, ClientRefused>,
    ) {
        if self.requests.is_empty() {
            return;
        }
        let mut request = self.requests.remove(usize::from(which) % self.requests.len());
        left(&mut self.links, &request);
        let outcome = outcome(&mut request, &mut self.cluster);
        self.answered.push((request.link, request.id));
        self.scene.reply(request.link, request.id, outcome);
    }

    /// A node does not know what will become of it.
    fn shrug(&mut self, which: u16) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(usize::from(which) % self.requests.len());
        left(&mut self.links, &request);
        self.answered.push((request.link, request.id));
        self.scene.reply(request.link, request.id, Err(ClientRefused::Unknown));
        self.ghosts.push(request);
    }

    /// All deadlines pass; then all that can still be executed is.
    fn finish(mut self) {
        for _ in 0..100 {
            self.scene.pass(Duration::from_millis(200));
            self.settle();
        }
        for request in self.ghosts.drain(..).chain(self.requests.drain(..)) {
            if request.outcome.is_none() {
                let _ = self.cluster.execute(&request.call);
            }
        }
        for (call, command) in &self.proposals {
            let is_executed = self.cluster.executed.contains(command);
            match self.scene.told.get(call) {
                None => assert!(self.taken_back.contains(call), "{command:?} has no outcome"),
                Some(Verdict::Answered(answer)) => {
                    assert_eq!(*answer, ClientAnswer::Response(command.clone()));
                    assert!(is_executed, "{command:?} was answered and never executed");
                    continue;
                }
                Some(Verdict::Failed(Failure::Unknown | Failure::SessionExpired(Outcome::Unknown))) => {
                    continue;
                }
                Some(verdict) => assert_ne!(*verdict, Verdict::Failed(Failure::AnswerForgotten)),
            }
            assert!(!is_executed, "{command:?} is not applied, as its caller was told, and was executed");
        }
        for call in &self.queries {
            assert!(self.scene.told.contains_key(call), "a query has no outcome");
        }
    }
}

/// A node has the request: so it left, and all that were sent before it on the same connection.
fn left(links: &mut [Connection], request: &Request) {
    if let Some(there) = links.iter_mut().find(|one| one.link == request.link) {
        there.left = there.left.max(request.id + 1);
    }
}

/// Those of which all bytes left.
fn lost_of(lost: Vec<Request>, written: u64) -> impl Iterator<Item = Request> {
    lost.into_iter().filter(move |request| request.id < written && request.outcome.is_none())
}

fn any_of<T>(all: impl Iterator<Item = T>, which: u16) -> Option<T> {
    let mut all: Vec<_> = all.collect();
    if all.is_empty() { None } else { Some(all.swap_remove(usize::from(which) % all.len())) }
}

fn leader_of(number: u16) -> Option<u64> {
    Some(u64::from(number) % 4).filter(|id| *id > 0)
}

fn refusal(why: u16) -> ClientRefused {
    let all = [
        ClientRefused::NotLeader { leader: None },
        ClientRefused::NotLeader { leader: Some((node(2), "node2:1".to_owned())) },
        ClientRefused::NoLeader,
        ClientRefused::DeadlinePassed,
        ClientRefused::Busy,
        ClientRefused::DiskFull,
        ClientRefused::Malformed,
        ClientRefused::TooLarge { bytes: 9, limit: 8 },
        ClientRefused::Superseded,
        ClientRefused::Stopped,
    ];
    all[usize::from(why) % all.len()].clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_strikes_each_call_has_one_outcome_and_not_applied_is_true(
        strikes in proptest::collection::vec(strike(), 0..400),
    ) {
        let mut world = World::new();
        for strike in strikes {
            world.strike(strike);
        }
        world.finish();
    }
}
