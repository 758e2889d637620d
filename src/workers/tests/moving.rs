//! A snapshot on its way from node to node, over a network that does what networks do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{TestSnapshots, at, id, membership};
use crate::replica::{Event, ReceiveJob, Received, Served};
use crate::storage::memory::MemoryLog;
use crate::storage::{Identity, Storage};
use crate::types::{
    ClusterId, GroupId, Incarnation, Moment, NodeId, PeerMessage, SnapshotChunk, SnapshotId, SnapshotMeta,
    SnapshotPull,
};
use crate::workers::{MoverConfig, MoverInput, Moves, SnapshotMover};

const MIB: usize = 1 << 20;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

fn unthrottled() -> MoverConfig {
    MoverConfig { bytes_per_second: None, ask_again_after: ASK_AGAIN_AFTER, give_up_after: GIVE_UP_AFTER }
}

fn mover_on(store: &TestSnapshots, config: MoverConfig) -> SnapshotMover {
    SnapshotMover::new(config, Box::new(store.clone()), Box::new(store.clone()))
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

/// What became of one message.
type Network<'a> = dyn FnMut(PeerMessage) -> Vec<PeerMessage> + 'a;

fn undisturbed(message: PeerMessage) -> Vec<PeerMessage> {
    vec![message]
}

/// Some nodes, each with a mover and its snapshots. Node 1 holds one at first.
struct Scene {
    nodes: BTreeMap<NodeId, (SnapshotMover, TestSnapshots)>,
    snapshot: SnapshotMeta,
    now: Moment,
    in_transit: Vec<(NodeId, NodeId, PeerMessage)>,
    received: Vec<(NodeId, Result<(), String>)>,
    served: Vec<Served>,
    pulls: Vec<SnapshotPull>,
}

impl Scene {
    fn with(content: &[u8]) -> Self {
        Self::serving_with(content, unthrottled())
    }

    fn serving_with(content: &[u8], config: MoverConfig) -> Self {
        let (store, snapshot) = TestSnapshots::holding(content, at(9));
        let mut nodes = BTreeMap::from([(id(1), (mover_on(&store, config), store))]);
        for number in [2, 3] {
            let store = TestSnapshots::default();
            nodes.insert(id(number), (mover_on(&store, unthrottled()), store));
        }
        Self {
            nodes,
            snapshot,
            now: Moment(0),
            in_transit: Vec::new(),
            received: Vec::new(),
            served: Vec::new(),
            pulls: Vec::new(),
        }
    }

    fn store(&self, number: u64) -> TestSnapshots {
        self.nodes[&id(number)].1.clone()
    }

    /// The file at node `number` is the one at node 1.
    fn is_complete(&self, number: u64) -> bool {
        let file = self.store(number).file(self.snapshot.id);
        file.is_some() && file == self.store(1).file(self.snapshot.id)
    }

    fn did(&mut self, node: NodeId, moves: Moves) {
        for (to, message) in moves.send {
            if let PeerMessage::Pull(pull) = &message {
                self.pulls.push(*pull);
            }
            self.in_transit.push((node, to, message));
        }
        for event in moves.events {
            match event {
                Event::Received(Received { snapshot, outcome }) => {
                    assert_eq!(snapshot, self.snapshot);
                    self.received.push((node, outcome));
                }
                Event::Served(served) => self.served.push(served),
                other => panic!("not of a mover: {other:?}"),
            }
        }
    }

    fn handle(&mut self, number: u64, input: MoverInput) {
        let moves = self.nodes.get_mut(&id(number)).unwrap().0.handle(input, self.now);
        self.did(id(number), moves);
    }

    /// The engine of `number` wants the snapshot from `from`.
    fn receive(&mut self, number: u64, from: u64) {
        let job = ReceiveJob { from: id(from), snapshot: self.snapshot.clone() };
        self.handle(number, MoverInput::Receive(job));
    }

    /// A chunk arrives at node 2.
    fn chunk(&mut self, from: u64, id: SnapshotId, offset: u64, bytes: impl Into<Bytes>) {
        let chunk = SnapshotChunk { id, offset, bytes: bytes.into() };
        self.handle(2, MoverInput::Chunk { from: super::id(from), chunk });
    }

    fn deliver(&mut self, network: &mut Network<'_>) {
        for (from, to, message) in std::mem::take(&mut self.in_transit) {
            for message in network(message) {
                let input = match message {
                    PeerMessage::Pull(pull) => MoverInput::Pull { from, pull },
                    PeerMessage::Chunk(chunk) => MoverInput::Chunk { from, chunk },
                    other => panic!("not of a mover: {other:?}"),
                };
                let moves = self.nodes.get_mut(&to).unwrap().0.handle(input, self.now);
                self.did(to, moves);
            }
        }
    }

    fn tick_all(&mut self) {
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let now = self.now;
            let moves = self.nodes.get_mut(&node).unwrap().0.tick(now);
            self.did(node, moves);
        }
    }

    fn next_tick(&self) -> Option<Moment> {
        self.nodes.values().filter_map(|(mover, _)| mover.next_tick()).min()
    }

    /// Time goes on, messages travel, until nothing more is to come or `until` is true.
    fn run(&mut self, network: &mut Network<'_>, mut until: impl FnMut(&Self) -> bool) {
        for _ in 0..100_000 {
            if until(self) {
                return;
            }
            if !self.in_transit.is_empty() {
                self.deliver(network);
            } else if let Some(next) = self.next_tick() {
                self.now = self.now.max(next);
                self.tick_all();
            } else {
                return;
            }
        }
        panic!("it never comes to an end");
    }

    fn settle(&mut self) {
        self.run(&mut undisturbed, |_| false);
    }

    /// Node 2 has a part of the snapshot, and what is under way is lost.
    fn with_a_part(content: &[u8]) -> Self {
        let mut scene = Self::with(content);
        scene.receive(2, 1);
        scene.run(&mut undisturbed, |scene| scene.store(2).partial_bytes() > MIB);
        scene.in_transit.clear();
        scene.pulls.clear();
        assert!(!scene.is_complete(2));
        scene
    }
}

#[test]
fn a_snapshot_arrives_as_it_was_sent() {
    let mut scene = Scene::with(&content(6 * MIB));

    scene.receive(2, 1);
    scene.settle();

    assert!(scene.is_complete(2));
    assert_eq!(scene.received, [(id(2), Ok(()))]);
    assert_eq!(scene.served.last().unwrap(), &Served { to: id(2), offset: scene.snapshot.bytes });
    assert_eq!(scene.store(2).open_files(), 0);
}

#[test]
fn an_offer_that_is_repeated_changes_nothing() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));

    scene.receive(2, 1);

    assert!(scene.pulls.is_empty() && scene.in_transit.is_empty());
}

#[test]
fn only_the_next_bytes_of_this_snapshot_from_this_node_are_taken() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let (snapshot, had) = (scene.snapshot.id, scene.store(2).partial_bytes());
    let file = scene.store(1).file(snapshot).unwrap();
    let next = Bytes::copy_from_slice(&file[had..had + 100]);
    let offset = had as u64;

    scene.chunk(1, snapshot, offset - 100, file[had - 100..had].to_vec());
    scene.chunk(1, snapshot, offset + 100, file[had + 100..had + 200].to_vec());
    scene.chunk(1, SnapshotId(snapshot.0 + 1), offset, next.clone());
    scene.chunk(3, snapshot, offset, next.clone());
    scene.chunk(1, snapshot, offset, file[..].to_vec());
    scene.chunk(1, snapshot, u64::MAX, next.clone());
    assert_eq!((scene.store(2).partial_bytes(), scene.nodes[&id(2)].0.strays()), (had, 6));

    scene.chunk(1, snapshot, offset, next);
    assert_eq!((scene.store(2).partial_bytes(), scene.nodes[&id(2)].0.strays()), (had + 100, 6));
}

#[test]
fn what_does_not_come_is_asked_for_again_from_the_first_byte_that_is_missing() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let had = scene.store(2).partial_bytes() as u64;

    scene.run(&mut undisturbed, |scene| !scene.pulls.is_empty());
    assert_eq!(scene.pulls[0].offset, had);

    scene.settle();
    assert!(scene.is_complete(2));
}

#[test]
fn a_sender_that_dies_is_given_up_and_the_next_try_goes_on_where_this_one_ended() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let (began, had) = (scene.now, scene.store(2).partial_bytes() as u64);

    scene.run(&mut |_| Vec::new(), |scene| !scene.received.is_empty());
    let (_, outcome) = scene.received.remove(0);
    assert!(outcome.unwrap_err().contains("nothing came"));
    assert_eq!(scene.now.since(began), GIVE_UP_AFTER);
    assert_eq!(scene.next_tick(), None, "nobody waits for anything");
    scene.pulls.clear();

    scene.receive(2, 1);
    scene.settle();
    assert_eq!(scene.pulls[0].offset, had);
    assert!(scene.is_complete(2));
}

#[test]
fn a_receiver_that_dies_goes_on_where_it_was_after_its_restart() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let (store, had) = (scene.store(2), scene.store(2).partial_bytes() as u64);

    scene.nodes.insert(id(2), (mover_on(&store, unthrottled()), store));
    scene.receive(2, 1);
    scene.settle();

    assert_eq!(scene.pulls[0].offset, had);
    assert!(scene.is_complete(2));
}

#[test]
fn under_another_leader_who_holds_the_same_snapshot_the_transfer_goes_on() {
    let mut scene = Scene::with(&content(3 * MIB));
    scene.receive(3, 1);
    scene.settle();
    scene.receive(2, 1);
    scene.run(&mut undisturbed, |scene| scene.store(2).partial_bytes() > MIB);
    scene.in_transit.clear();
    scene.pulls.clear();
    let had = scene.store(2).partial_bytes() as u64;

    scene.receive(2, 3);
    scene.settle();

    assert_eq!(scene.pulls[0].offset, had);
    assert!(scene.is_complete(2));
    assert_eq!(scene.served.last().unwrap().to, id(2));
}

#[test]
fn another_snapshot_takes_the_place_of_the_one_on_its_way() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let old = scene.snapshot.id;
    let (_, other) = TestSnapshots::holding(&content(MIB), at(20));
    scene.snapshot = SnapshotMeta { id: SnapshotId(77), ..other };

    scene.receive(2, 3);
    let had = scene.store(2).partial_bytes();
    scene.chunk(1, old, MIB as u64, vec![1; 100]);

    assert_eq!((had, scene.store(2).partial_bytes()), (0, 0));
    assert_eq!(scene.store(2).open_files(), 1, "the other is closed");
    assert!(scene.received.is_empty(), "the engine knows: it wanted the other");
}

#[test]
fn a_full_disk_ends_the_transfer_and_it_goes_on_when_there_is_room() {
    let mut scene = Scene::with(&content(3 * MIB));
    scene.store(2).set_room(Some(MIB));
    scene.receive(2, 1);
    scene.settle();
    let (_, outcome) = scene.received.remove(0);
    assert!(outcome.unwrap_err().contains("the disk is full"));
    assert_eq!(scene.store(2).open_files(), 0);
    let had = scene.store(2).partial_bytes() as u64;

    scene.store(2).set_room(None);
    scene.pulls.clear();
    let failed_at = scene.now;
    scene.receive(2, 1);
    assert!(scene.pulls.is_empty(), "not at once: leaders offer several times a second");
    scene.settle();

    assert!(scene.is_complete(2) && scene.now > failed_at);
    assert_eq!((scene.pulls[0].offset, had > 0), (had, true));
}

#[test]
fn a_snapshot_that_its_sender_does_not_hold_any_more_is_given_up_at_once() {
    let mut scene = Scene::with_a_part(&content(3 * MIB));
    let store = scene.store(1);

    store.remove(scene.snapshot.id);
    scene.run(&mut undisturbed, |scene| !scene.received.is_empty());

    assert!(scene.received[0].1.as_ref().unwrap_err().contains("gone"));
}

#[test]
fn a_file_that_rots_at_its_sender_is_never_taken() {
    let mut scene = Scene::with(&content(2 * MIB));
    scene.store(1).rot(scene.snapshot.id, MIB);

    scene.receive(2, 1);
    scene.settle();

    assert!(scene.received[0].1.as_ref().unwrap_err().contains("damaged"));
    assert_eq!(scene.store(2).file(scene.snapshot.id), None);
    let kept = scene.store(2).partial_bytes();
    assert!(kept > MIB / 2 && kept <= MIB, "what was good before stays: {kept}");
}

#[test]
fn no_more_than_a_window_is_ever_under_way() {
    let mut scene = Scene::with(&content(20 * MIB));
    scene.receive(2, 1);
    let mut most = 0;

    scene.run(&mut undisturbed, |scene| {
        if scene.is_complete(2) {
            return true;
        }
        let asked = scene.pulls.last().map_or(0, |pull| pull.offset as usize + pull.bytes as usize);
        most = most.max(asked - scene.store(2).partial_bytes());
        false
    });

    assert!(most <= 8 * MIB, "{most} bytes");
    assert!(most > 7 * MIB, "the window opens");
}

#[test]
fn whoever_asks_for_everything_gets_a_window() {
    let mut scene = Scene::with(&content(12 * MIB));
    let snapshot = scene.snapshot.id;
    let pull = |offset, bytes| SnapshotPull { id: snapshot, offset, bytes };

    scene.handle(1, MoverInput::Pull { from: id(2), pull: pull(0, u32::MAX) });
    let bytes_of = |(_, _, message): &(NodeId, NodeId, PeerMessage)| match message {
        PeerMessage::Chunk(chunk) => chunk.bytes.len(),
        other => panic!("not a chunk: {other:?}"),
    };
    let at_once: usize = scene.in_transit.iter().map(bytes_of).sum();
    scene.run(&mut |_| Vec::new(), |scene| scene.next_tick().is_none());
    assert_eq!(at_once, MIB, "a turn is a mebibyte");
    assert_eq!(scene.served.last().unwrap().offset, 8 << 20);

    for (offset, bytes) in [(u64::MAX, u32::MAX), (u64::MAX - 1, 1), (0, 0), (1 << 40, 1)] {
        scene.in_transit.clear();
        scene.handle(1, MoverInput::Pull { from: id(3), pull: pull(offset, bytes) });
        assert!(scene.in_transit.is_empty(), "nothing lies there");
    }
}

#[test]
fn two_followers_share_what_the_throttle_lets_pass() {
    let rate = MIB as u64;
    let mut scene =
        Scene::serving_with(&content(4 * MIB), MoverConfig { bytes_per_second: Some(rate), ..unthrottled() });
    scene.receive(2, 1);
    scene.receive(3, 1);

    scene.run(&mut undisturbed, |scene| scene.now >= Moment(0).plus(Duration::from_secs(3)));

    let (second, third) = (scene.store(2).partial_bytes(), scene.store(3).partial_bytes());
    assert!(second.abs_diff(third) <= MIB / 4, "{second} and {third}");
    assert!(second + third <= 3 * MIB + MIB / 4, "{second} and {third}");
    assert!(second + third >= 3 * MIB - MIB / 2, "{second} and {third}");
    scene.settle();
    assert!(scene.is_complete(2) && scene.is_complete(3));
}

#[test]
fn a_follower_that_is_gone_takes_nothing_from_the_others_share() {
    let slow = MoverConfig { bytes_per_second: Some(MIB as u64), ..unthrottled() };
    let mut scene = Scene::serving_with(&content(4 * MIB), slow);
    let pull = SnapshotPull { id: scene.snapshot.id, offset: 0, bytes: 4 << 20 };
    scene.handle(1, MoverInput::Pull { from: id(2), pull });
    scene.handle(1, MoverInput::Pull { from: id(3), pull });

    scene.handle(1, MoverInput::PeerLost(id(3)));
    scene.in_transit.clear();
    scene.run(&mut |_| Vec::new(), |scene| scene.now >= Moment(0).plus(Duration::from_secs(2)));

    assert!(scene.served.iter().all(|served| served.to == id(2)), "{:?}", scene.served);
    assert!(scene.served.last().unwrap().offset >= 3 << 19);
}

#[test]
fn a_transfer_may_take_as_long_as_it_takes() {
    let slow = MoverConfig { bytes_per_second: Some(10_000), ..unthrottled() };
    let mut scene = Scene::serving_with(&content(2 * MIB), slow);

    scene.receive(2, 1);
    scene.settle();

    assert!(scene.is_complete(2));
    assert!(scene.now.since(Moment(0)) > GIVE_UP_AFTER * 20, "{:?}", scene.now);
}

/// A network that loses, doubles, reorders and damages.
struct Chaos {
    state: u64,
    delayed: Vec<PeerMessage>,
}

impl Chaos {
    fn percent(&mut self, chance: u64) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % 100 < chance
    }

    fn carry(&mut self, mut message: PeerMessage) -> Vec<PeerMessage> {
        if self.percent(10) {
            return Vec::new();
        }
        if let PeerMessage::Chunk(chunk) = &mut message
            && self.percent(3)
        {
            let mut bytes = chunk.bytes.to_vec();
            bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            chunk.bytes = bytes.into();
        }
        if self.percent(10) {
            self.delayed.push(message);
            return Vec::new();
        }
        let mut carried = vec![message.clone()];
        if self.percent(10) {
            carried.push(message);
        }
        if self.percent(20) {
            // Only those of its own direction: the others would arrive at the wrong end.
            let same = std::mem::discriminant(&carried[0]);
            let late = self.delayed.extract_if(.., |late| std::mem::discriminant(late) == same);
            carried.extend(late);
        }
        carried
    }
}

/// A blank log of node `number`, of the cluster that all of them belong to.
fn founded(number: u64) -> MemoryLog {
    let mut log = MemoryLog::new();
    let (cluster, incarnation) = (ClusterId(7), Incarnation(number));
    log.found(Identity { node: id(number), cluster, incarnation, joined: true }, &[]).expect("founded");
    log
}

fn content_of(log: &MemoryLog, snapshot: SnapshotId) -> Vec<u8> {
    let mut content = Vec::new();
    let mut source = log.snapshots().open(GroupId::MAIN, snapshot).expect("it is held");
    source.read_to_end(&mut content).expect("it is good");
    content
}

impl Scene {
    /// Nodes 1 and 2 with the snapshots of real logs.
    fn on_logs(content: &[u8]) -> (Self, [MemoryLog; 2]) {
        let logs = [founded(1), founded(2)];
        let mut sink = logs[0].snapshots().create(GroupId::MAIN, at(9), &membership()).unwrap();
        sink.write_all(content).unwrap();
        let mut scene = Self::with(&[]);
        scene.snapshot = sink.finish().unwrap();
        for (number, log) in [1, 2].into_iter().zip(&logs) {
            let mover = SnapshotMover::new(unthrottled(), log.snapshots(), log.snapshots());
            scene.nodes.get_mut(&id(number)).unwrap().0 = mover;
        }
        (scene, logs)
    }

    /// Node 2 fetches the snapshot over a network like this, and is offered it again when it gives up.
    fn fetch_through(&mut self, mut chaos: Chaos) {
        self.receive(2, 1);
        for _ in 0..1_000 {
            self.run(&mut |message| chaos.carry(message), |scene| !scene.received.is_empty());
            match self.received.pop() {
                Some((_, Ok(()))) => return,
                _ => self.receive(2, 1),
            }
        }
        panic!("it never arrives");
    }
}

/// So each is stored as it comes.
#[test]
fn pieces_end_where_a_block_of_the_file_does() {
    let (mut scene, logs) = Scene::on_logs(&content(5 * MIB + 1000));
    let (head, block) = (4096, 256 << 10);

    scene.receive(2, 1);
    scene.settle();

    assert_eq!(logs[1].snapshots().list(GroupId::MAIN).unwrap(), std::slice::from_ref(&scene.snapshot));
    let ends = scene.pulls.iter().map(|pull| pull.offset + u64::from(pull.bytes));
    for end in ends {
        assert!((end - head) % block == 0 || end == scene.snapshot.bytes, "{:?}", scene.pulls);
    }
    assert_eq!(scene.pulls.len(), 6, "and few of them are asked for");
}

#[test]
fn an_intake_that_wants_impossible_pieces_gets_possible_ones() {
    let impossible: [fn(u64, u64) -> u64; 3] = [|_, _| 0, |offset, _| offset, |_, _| u64::MAX];
    for piece_end in impossible {
        let mut scene = Scene::with(&content(3000));
        scene.store(2).set_piece_end(piece_end);

        scene.receive(2, 1);
        scene.settle();

        assert!(scene.is_complete(2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_network_does_the_snapshot_arrives_as_it_was_sent(seed in 1_u64.., bytes in 0..3 * MIB) {
        let mut scene = Scene::with(&content(bytes));

        scene.fetch_through(Chaos { state: seed, delayed: Vec::new() });

        prop_assert!(scene.is_complete(2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_snapshots_of_a_real_log_arrive_as_they_were_sent(seed in 1_u64.., bytes in 0..2 * MIB) {
        let content = content(bytes);
        let (mut scene, logs) = Scene::on_logs(&content);

        scene.fetch_through(Chaos { state: seed, delayed: Vec::new() });

        prop_assert!(content_of(&logs[1], scene.snapshot.id) == content);
        prop_assert_eq!(&logs[1].snapshots().list(GroupId::MAIN).unwrap(), &[scene.snapshot]);
    }
}
