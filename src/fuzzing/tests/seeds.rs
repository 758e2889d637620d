//! What the fuzzer begins with: real encodings, and random walks.

use std::io::Write;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::fuzzing::files::describe;
use crate::fuzzing::log::{identity, open, segment_path};
use crate::fuzzing::snapshot::usual;
use crate::machine::{
    SessionBounds, seal_close, seal_in_session, seal_open, seal_plain, sealed_section, sealed_sidecar,
};
use crate::storage::disk::simulated::SimulatedDisk;
use crate::storage::memory::MemoryLog;
use crate::storage::{GroupWrite, Storage};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, PeerMessage, SessionId, SessionTag, Term,
};
use crate::wire::client_hello::{ClientHello, ClientReason, ClientWelcome};
use crate::wire::frame::{self, HEADER_BYTES, PROTOCOL_VERSION};
use crate::wire::greeting::Secret;
use crate::wire::hello::{Answer, Hello, Lane, Reason};
use crate::wire::{client, peer};

/// Whether checksums are made right.
const BOTH: [u8; 2] = [0, 1];

fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// Frames as they stand on the wire, of messages of every kind.
fn messages() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let sampled = (0..100).map(|_| {
        let message: PeerMessage = peer::tests::message().new_tree(&mut runner).expect("a message").current();
        let mut out = Vec::new();
        peer::encode(GroupId::MAIN, &message, &mut out);
        out
    });
    sampled.filter(|frame| frame.len() < 2000).collect()
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let mut streams: Vec<_> = messages().chunks(15).map(<[_]>::concat).collect();
    let mut large = Vec::new();
    frame::seal(PROTOCOL_VERSION, 5, GroupId::MAIN, &mut large, |out| out.resize(out.len() + 5000, 7));
    peer::encode_ping(&mut large);
    streams.push(large);
    let seed = |stream: Vec<u8>| BOTH.map(|resealed| [&[resealed, 10, 0][..], &stream].concat());
    streams.into_iter().flat_map(seed).collect()
}

pub(super) fn hello() -> Vec<Vec<u8>> {
    let hello = |lane| Hello {
        versions: (1, 2),
        cluster: ClusterId(7),
        node: node(1),
        destination: node(2),
        incarnation: Incarnation(3),
        address: "[::1]:7001".into(),
        token: Secret::new(b"sesame".to_vec()),
        lane,
    };
    let accepted =
        Answer::Accepted { version: 2, cluster: ClusterId(7), node: node(2), incarnation: Incarnation(4) };
    let mut greetings = vec![Vec::new(); 9];
    hello(Lane::Ordinary).encode(&mut greetings[0]);
    hello(Lane::Bulk).encode(&mut greetings[1]);
    accepted.encode(&mut greetings[2]);
    Answer::Refused(Reason::WrongToken).encode(&mut greetings[3]);
    Answer::Refused(Reason::Unknown(99)).encode(&mut greetings[4]);
    let token = Secret::new(b"sesame".to_vec());
    let client = ClientHello { versions: (1, 2), cluster: Some(ClusterId(7)), token };
    client.encode(&mut greetings[5]);
    ClientHello { cluster: None, ..client }.encode(&mut greetings[6]);
    ClientWelcome::Accepted { version: 1, cluster: ClusterId(7), node: node(2), frame_bytes_max: 1 << 20 }
        .encode(&mut greetings[7]);
    ClientWelcome::Refused(ClientReason::NoServer).encode(&mut greetings[8]);
    let seed = |greeting: Vec<u8>| BOTH.map(|resealed| [&[resealed][..], &greeting].concat());
    greetings.into_iter().flat_map(seed).collect()
}

pub(super) fn peer_messages() -> Vec<Vec<u8>> {
    messages().iter().map(|frame| [&frame[5..6], &frame[HEADER_BYTES..]].concat()).collect()
}

/// One of each kind of request and of message, and a few more.
pub(super) fn client_messages() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut frames = Vec::new();
    for _ in 0..40 {
        let request = client::tests::request().new_tree(&mut runner).expect("a request").current();
        let message = client::tests::message().new_tree(&mut runner).expect("a message").current();
        let (mut asked, mut said) = (Vec::new(), Vec::new());
        client::encode_request(&request, &mut asked);
        client::encode_message(&message, &mut said);
        frames.extend([asked, said]);
    }
    let mut kinds = std::collections::BTreeMap::<u8, usize>::new();
    frames.retain(|frame| {
        let seen = kinds.entry(frame[5]).or_default();
        *seen += 1;
        *seen <= 3
    });
    frames.iter().map(|frame| [&frame[5..6], &frame[HEADER_BYTES..]].concat()).collect()
}

pub(super) fn log_recovery() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (shape, disk) in [one_segment(), two_segments(), restarted()].iter().enumerate() {
        for repairs in [4, 7] {
            for fails_after in [255, 3] {
                let write = [0, 1, 3, 40, 0, 9, 1, fails_after, 1, 2, 3, 3, 3];
                seeds.push([described(disk, repairs), write.to_vec()].concat());
            }
        }
        assert!(open(disk).is_ok(), "log {shape} of the seeds is no log");
    }
    seeds
}

/// The log on that disk, as the target reads it.
fn described(disk: &SimulatedDisk, repairs: u8) -> Vec<u8> {
    let names = disk.names();
    let segments: Vec<_> = (1..9).map(segment_path).take_while(|path| names.contains(path)).collect();
    let mut out = vec![repairs, segments.len() as u8 - 1];
    for path in segments {
        describe(&disk.content(&path), &mut out);
    }
    out
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let payload = Payload::Normal { origin: None, command: vec![index as u8; bytes].into() };
    Entry { position: LogPosition::new(Term(term), LogIndex(index)), payload }
}

fn append(entries: Vec<Entry>) -> GroupWrite {
    let hard_state = Some(HardState { term: Term(2), voted_for: Some(node(1)) });
    let entries = EntryRun::new(entries.into()).into_iter().collect();
    GroupWrite { group: GroupId::MAIN, hard_state, restart: None, entries }
}

fn one_segment() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("a blank disk");
    let founding = Entry {
        position: LogPosition::new(Term::ZERO, LogIndex(1)),
        payload: Payload::Membership(membership()),
    };
    log.found(identity(), &[(GroupId::MAIN, Some(founding)), (GroupId(2), None)]).expect("found");
    log.write(&[append(vec![entry(1, 2, 20), entry(1, 3, 5000)])]).expect("write");
    log.write(&[append(vec![entry(2, 3, 1), entry(2, 4, 0)])]).expect("write");
    log.settle().expect("settle");
    disk
}

fn two_segments() -> SimulatedDisk {
    let disk = one_segment();
    let mut log = open(&disk).expect("a good log");
    for index in 5..11 {
        log.write(&[append(vec![entry(2, index, 8000)])]).expect("write");
    }
    disk
}

fn restarted() -> SimulatedDisk {
    let disk = one_segment();
    let mut log = open(&disk).expect("a good log");
    let position = LogPosition::new(Term(2), LogIndex(20));
    let restart = Some((position, membership()));
    log.write(&[GroupWrite { restart, ..append(vec![entry(2, 21, 7)]) }]).expect("write");
    log.release(GroupId::MAIN, LogPosition::new(Term(2), LogIndex(21)), &membership()).expect("release");
    log.write(&[append(vec![entry(2, 22, 7)])]).expect("write");
    disk
}

fn membership() -> std::sync::Arc<Membership> {
    usual().membership
}

pub(super) fn snapshot_files() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for content in [&b""[..], b"state", &vec![3; (256 << 10) - 8], &vec![4; 600_000]] {
        let file = snapshot(content);
        for flags in 0..4 {
            let mut seed = vec![flags];
            describe(&file, &mut seed);
            seed.extend_from_slice(&[0, 100, 0, 0, 0, 0, 0, 255, 255, 7, 1, 16, 1]);
            seeds.push(seed);
        }
    }
    seeds
}

/// The file of a snapshot as it travels.
fn snapshot(content: &[u8]) -> Vec<u8> {
    let mut log = MemoryLog::new();
    log.found(identity(), &[]).expect("a blank disk");
    let mut store = log.snapshots();
    let (position, membership) = (usual().position, membership());
    let mut sink = store.create(GroupId::MAIN, position, &membership).expect("create");
    sink.write_all(content).expect("write");
    let meta = sink.finish().expect("finish");
    let mut file = Vec::new();
    while (file.len() as u64) < meta.bytes {
        let piece = store.piece(GroupId::MAIN, meta.id, file.len() as u64, 1 << 20).expect("piece");
        file.extend_from_slice(&piece.expect("it is held"));
    }
    file[40..48].copy_from_slice(&usual().id.0.to_le_bytes());
    crate::storage::disk::reseal::reseal_snapshot(&mut file);
    file
}

/// Random bytes of that length, for targets that read decisions.
pub(super) fn walks(length: usize) -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..24).map(|_| (0..length).map(|_| byte()).collect()).collect()
}

/// Tables with and without what they hold, at rest in front of a snapshot and in a sidecar, and entries of every kind behind
/// them.
pub(super) fn session_table() -> Vec<Vec<u8>> {
    let bounds = SessionBounds {
        sessions_max: 3,
        unanswered_max: 4,
        answers_max: 5,
        answer_bytes_max: 8,
        answers_bytes_max: 12,
    };
    let in_session = |session, sequence, answered_below, command: &[u8]| {
        let tag = SessionTag { session: SessionId(session), sequence, answered_below };
        seal_in_session(tag, |out| out.extend_from_slice(command))
    };
    // As the table is documented: the bounds, then sessions by their last use.
    let number = |number: u64| number.to_le_bytes().to_vec();
    let short = |number: u32| number.to_le_bytes().to_vec();
    let head = |count| [seal_open(bounds)[1..].to_vec(), short(count)].concat();
    let response =
        |sequence, bytes: &[u8]| [number(sequence), short(bytes.len() as u32), bytes.to_vec()].concat();
    let session = |id, last_used, answered_below, count, kept: &[Vec<u8>]| {
        [number(id), number(last_used), number(answered_below), short(count), kept.concat()].concat()
    };
    let kept = [response(3, b"\0one"), response(5, &[2])];
    let full = [head(2), session(2, 5, 0, 0, &[]), session(4, 7, 3, 2, &kept)].concat();
    let entries = [
        seal_plain(|out| out.extend_from_slice(b"plain")),
        in_session(4, 5, 0, b"again"),
        in_session(4, 6, 4, b"new"),
        in_session(2, 0, 0, b"first"),
        seal_open(bounds),
        seal_open(bounds),
        in_session(2, 1, 0, b"gone"),
        in_session(13, 1, 1, b"a command whose answer is not kept"),
        in_session(13, 2, 1, b"2"),
        seal_close(SessionId(4)),
        in_session(4, 7, 0, b"closed"),
    ];
    let entries: Vec<u8> =
        entries.iter().flat_map(|entry| [&[entry.len() as u8][..], entry].concat()).collect();
    let seed = |flags: u8, table: &[u8]| {
        [&[flags][..], &short(8), &(table.len() as u16).to_le_bytes(), table, &entries].concat()
    };
    let position = LogPosition::new(Term(1), LogIndex(9));
    let mut seeds = Vec::new();
    for table in [&head(0), &full] {
        seeds.push(seed(0, &sealed_section(table)));
        seeds.push(seed(1, table));
        seeds.push(seed(2, &sealed_sidecar(table, position)));
        seeds.push(seed(3, table));
    }
    seeds
}
