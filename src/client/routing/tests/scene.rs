//! A client whose nodes are played by the test.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::routing::link::Link;
use crate::client::routing::{Ask, CallEnd, LinkId, Routing, Settings, Verdict};
use crate::net;
use crate::types::{
    ClientAnswer, ClientCall, ClientRefused, ClientRequest, ClusterId, NodeId, ServerMessage, SessionId,
    SessionTag,
};
use crate::wire::client_hello::ClientWelcome;

pub(super) const SILENCE: Duration = Duration::from_secs(3);
pub(super) const CONNECT: Duration = Duration::from_secs(5);
pub(super) const SESSION: SessionId = SessionId(70);

/// Counts calls from 0, in the order in which they were made.
pub(super) type Number = usize;

/// The caller's end of a call.
pub(super) struct End {
    number: Number,
    stage: Rc<Cell<Stage>>,
}

/// Who has the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its caller may take it back.
    Queued,
    /// It may take effect.
    Taken,
    /// Its caller took it back.
    TakenBack,
}

impl CallEnd for End {
    fn take(&self) -> bool {
        if self.stage.get() == Stage::Queued {
            self.stage.set(Stage::Taken);
        }
        self.stage.get() == Stage::Taken
    }

    fn put_back(&self) {
        if self.stage.get() == Stage::Taken {
            self.stage.set(Stage::Queued);
        }
    }
}

pub(super) struct Scene {
    pub(super) routing: Routing<End>,
    pub(super) now: Instant,
    /// What callers were told, each once.
    pub(super) told: BTreeMap<Number, Verdict>,
    /// What was sent and not looked at yet.
    sent: Vec<(LinkId, ClientRequest)>,
    /// What was dialled and is neither connected nor lost.
    pub(super) dialled: BTreeMap<String, LinkId>,
    pub(super) dialled_ever: Vec<String>,
    pub(super) closed: Vec<LinkId>,
    stages: Vec<Rc<Cell<Stage>>>,
}

pub(super) fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// Where node `id` is reached.
pub(super) fn address(id: u64) -> String {
    format!("node{id}:1")
}

/// Those three are the members, and this one leads.
pub(super) fn cluster(leader: Option<u64>) -> ServerMessage {
    cluster_of(&[1, 2, 3], leader)
}

pub(super) fn cluster_of(members: &[u64], leader: Option<u64>) -> ServerMessage {
    let members = members.iter().map(|&id| (node(id), address(id))).collect();
    ServerMessage::Cluster { leader: leader.map(node), members }
}

pub(super) fn welcome(id: u64) -> ClientWelcome {
    ClientWelcome::Accepted { version: 1, cluster: ClusterId(9), node: node(id), frame_bytes_max: 10_000 }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the ways in which a node replies")]
pub(super) fn response(bytes: &'static str) -> Result<ClientAnswer, ClientRefused> {
    Ok(ClientAnswer::Response(Bytes::from_static(bytes.as_bytes())))
}

pub(super) fn answered(bytes: &'static str) -> Verdict {
    Verdict::Answered(ClientAnswer::Response(Bytes::from_static(bytes.as_bytes())))
}

impl Scene {
    /// A client that was given the addresses of these nodes.
    pub(super) fn of(nodes: &[u64]) -> Self {
        Self::with(nodes, |_| ())
    }

    pub(super) fn with(nodes: &[u64], change: impl FnOnce(&mut Settings)) -> Self {
        let now = net::clock::now();
        let mut settings = Settings { spread_reads: false, silence: SILENCE, connect: CONNECT, seed: 7 };
        change(&mut settings);
        let addresses = nodes.iter().map(|&id| address(id)).collect();
        Self {
            routing: Routing::new(settings, None, addresses, now),
            now,
            told: BTreeMap::new(),
            sent: Vec::new(),
            dialled: BTreeMap::new(),
            dialled_ever: Vec::new(),
            closed: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// Nodes 1, 2 and 3 stand, and the first of them leads.
    pub(super) fn connected() -> (Self, [LinkId; 3]) {
        Self::connected_with(|_| ())
    }

    pub(super) fn connected_with(change: impl FnOnce(&mut Settings)) -> (Self, [LinkId; 3]) {
        let mut scene = Self::with(&[1, 2, 3], change);
        let contact = scene.ask(Ask::Contact);
        let links = [1, 2, 3].map(|id| scene.stands(id, Some(1)));
        assert_eq!(scene.told.remove(&contact), Some(Verdict::Met));
        (scene, links)
    }

    /// The same, and a session stands.
    pub(super) fn in_session() -> (Self, [LinkId; 3]) {
        let (mut scene, links) = Self::connected();
        let first = scene.propose("first");
        scene.open_session(links[0], SESSION);
        let (_, id) = scene.only_command(links[0]);
        scene.reply(links[0], id, response("done"));
        assert_eq!(scene.told.remove(&first), Some(answered("done")));
        (scene, links)
    }

    pub(super) fn ask_within(&mut self, ask: Ask, within: Duration) -> Number {
        let number = self.stages.len();
        let stage = Rc::new(Cell::new(Stage::Queued));
        self.stages.push(Rc::clone(&stage));
        let end = End { number, stage };
        self.routing.submit(ask, end, self.now + within);
        self.turn();
        number
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Number {
        self.ask_within(ask, Duration::from_secs(10))
    }

    pub(super) fn propose(&mut self, command: &'static str) -> Number {
        self.ask(Ask::Propose(Bytes::from_static(command.as_bytes())))
    }

    pub(super) fn query(&mut self, query: &'static str) -> Number {
        self.ask(Ask::Query(Bytes::from_static(query.as_bytes())))
    }

    /// The caller takes its call back; `false` if it cannot any more.
    pub(super) fn take_back(&self, number: Number) -> bool {
        let stage = &self.stages[number];
        if stage.get() == Stage::Queued {
            stage.set(Stage::TakenBack);
        }
        stage.get() == Stage::TakenBack
    }

    /// One turn; what it brings is noted.
    pub(super) fn turn(&mut self) {
        self.routing.turn(self.now);
        let ready = std::mem::take(self.routing.ready());
        for (end, verdict) in ready.finished {
            let before = self.told.insert(end.number, verdict);
            assert_eq!(before, None, "a caller is told once");
        }
        self.closed.extend(ready.close);
        self.sent.extend(ready.send);
        for (link, address) in ready.dial {
            self.dialled_ever.push(address.clone());
            let before = self.dialled.insert(address, link);
            assert_eq!(before, None, "an address is dialled twice at once");
        }
    }

    /// Time passes, and what is due on the way is done when it is.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.routing.due_at()
            && due <= end
        {
            self.now = self.now.max(due);
            self.turn();
            assert!(self.routing.due_at().is_none_or(|due| due > self.now), "it never comes to rest");
        }
        self.now = end;
        self.turn();
    }

    /// So many bytes of requests may be under way there.
    pub(super) fn has_room(&mut self, link: LinkId, bytes: usize) {
        if let Some(standing) = self.routing.links.get_mut(&link).and_then(Link::standing_mut) {
            standing.bytes_max = bytes;
        }
    }

    /// The node that was dialled is there, and says who leads.
    pub(super) fn stands(&mut self, id: u64, leader: Option<u64>) -> LinkId {
        let link = self.dialled.remove(&address(id)).unwrap_or_else(|| panic!("node {id} was not dialled"));
        self.routing.welcomed(link, welcome(id));
        self.tell(link, cluster(leader));
        link
    }

    pub(super) fn tell(&mut self, link: LinkId, message: ServerMessage) {
        self.routing.heard(link, self.now);
        self.routing.told(link, message, self.now);
        self.turn();
    }

    pub(super) fn reply(&mut self, link: LinkId, id: u64, outcome: Result<ClientAnswer, ClientRefused>) {
        self.tell(link, ServerMessage::Reply { id, outcome });
    }

    /// All that was written there left.
    pub(super) fn lose(&mut self, link: LinkId) {
        self.lose_after(link, u64::MAX);
    }

    /// So many requests left.
    pub(super) fn lose_after(&mut self, link: LinkId, frames_written: u64) {
        self.routing.lost(link, "reset by the other side", frames_written, self.now);
        self.turn();
    }

    /// Whoever is dialled is not there.
    pub(super) fn refuse_dials(&mut self) {
        for (_, link) in std::mem::take(&mut self.dialled) {
            self.routing.lost(link, "connection refused", 0, self.now);
        }
        self.turn();
    }

    /// What was sent there since this was last asked.
    pub(super) fn sent_to(&mut self, link: LinkId) -> Vec<ClientRequest> {
        let all = std::mem::take(&mut self.sent);
        let (there, elsewhere) = all.into_iter().partition(|(to, _)| *to == link);
        self.sent = elsewhere;
        there.into_iter().map(|(_, request): (_, ClientRequest)| request).collect()
    }

    /// All that was sent since this was last asked.
    pub(super) fn sent(&mut self) -> Vec<(LinkId, ClientRequest)> {
        std::mem::take(&mut self.sent)
    }

    /// The one request that was sent there since: its id.
    pub(super) fn only(&mut self, link: LinkId) -> (ClientCall, u64) {
        let mut sent = self.sent_to(link);
        assert_eq!(sent.len(), 1, "{sent:?}");
        let request = sent.remove(0);
        (request.call, request.id)
    }

    /// The one command that was sent there since: its tag, and the request's id.
    pub(super) fn only_command(&mut self, link: LinkId) -> (SessionTag, u64) {
        match self.only(link) {
            (ClientCall::Propose { session: Some(tag), .. }, id) => (tag, id),
            other => panic!("no command, but {other:?}"),
        }
    }

    /// The node there was asked for a session, and opens one.
    pub(super) fn open_session(&mut self, link: LinkId, session: SessionId) {
        let (call, id) = self.only(link);
        assert_eq!(call, ClientCall::OpenSession);
        self.reply(link, id, Ok(ClientAnswer::SessionOpened(session)));
    }
}
