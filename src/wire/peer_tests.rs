//! Every message comes back as it was; nothing else gets through, and nothing panics.

use proptest::prelude::*;

use super::*;
use crate::types::{Membership, Payload};

fn node() -> impl Strategy<Value = NodeId> {
    (1..=u64::MAX).prop_map(|id| NodeId::new(id).expect("not zero"))
}

fn index() -> impl Strategy<Value = LogIndex> {
    any::<u64>().prop_map(LogIndex)
}

fn position() -> impl Strategy<Value = LogPosition> {
    (any::<u64>(), index()).prop_map(|(term, index)| LogPosition::new(Term(term), index))
}

fn read_id() -> impl Strategy<Value = ReadId> {
    (any::<u64>(), any::<u64>()).prop_map(|(boot, request)| ReadId { boot: Boot(boot), request })
}

fn command() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn origin() -> impl Strategy<Value = Origin> {
    (node(), any::<[u64; 3]>()).prop_map(|(node, [incarnation, boot, request])| Origin {
        node,
        incarnation: Incarnation(incarnation),
        boot: Boot(boot),
        request,
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    let founding = |id| Membership::founding([(id, "host.example:7001".to_owned())]).expect("one voter");
    prop_oneof![
        (prop::option::of(origin().prop_map(Box::new)), command())
            .prop_map(|(origin, command)| Payload::Normal { origin, command }),
        Just(Payload::Noop),
        node().prop_map(move |id| Payload::Membership(Arc::new(founding(id)))),
    ]
}

/// Payloads, how far each one's term is above the one before it, and where the append is cut into two runs.
fn append() -> impl Strategy<Value = PeerMessage> {
    let entries = prop::collection::vec((0..3_u64, payload()), 0..12);
    (any::<u32>(), any::<u32>(), index(), entries, any::<prop::sample::Index>()).prop_map(
        |(term, first, commit, steps, cut)| {
            let prev = LogPosition::new(Term(u64::from(term)), LogIndex(u64::from(first)));
            let mut at = prev;
            let entries: Vec<Entry> = steps
                .into_iter()
                .map(|(rise, payload)| {
                    at = LogPosition::new(Term(at.term.0 + rise), at.index.next());
                    Entry { position: at, payload }
                })
                .collect();
            let slice = LogSlice::new(prev, entries.iter().map(Entry::meta).collect()).expect("consecutive");
            let (front, back) = entries.split_at(cut.index(entries.len() + 1));
            let runs = [front, back].into_iter().filter_map(|part| EntryRun::new(part.into())).collect();
            raft(Term(9), Body::Append(Append { slice, commit }), runs)
        },
    )
}

fn raft(term: Term, body: Body, entries: Vec<EntryRun>) -> PeerMessage {
    PeerMessage::Raft { message: Message { term, body }, entries }
}

fn small_body() -> impl Strategy<Value = Body> {
    let round = || any::<u64>().prop_map(Round);
    prop_oneof![
        position().prop_map(|last| Body::PreVote { last }),
        any::<bool>().prop_map(|granted| Body::PreVoteAnswer { granted }),
        (position(), any::<bool>()).prop_map(|(last, transfer)| Body::Vote { last, transfer }),
        any::<bool>().prop_map(|granted| Body::VoteAnswer { granted }),
        index().prop_map(|matched| Body::AppendAnswer(AppendAnswer::Accepted { matched })),
        (index(), position())
            .prop_map(|(prev, hint)| Body::AppendAnswer(AppendAnswer::Rejected { prev, hint })),
        (index(), round()).prop_map(|(commit, round)| Body::Heartbeat(Heartbeat { commit, round })),
        (index(), round())
            .prop_map(|(matched, round)| Body::HeartbeatAnswer(HeartbeatAnswer { matched, round })),
        read_id().prop_map(|id| Body::ReadIndex { id }),
        (read_id(), prop::option::of(index())).prop_map(|(id, index)| Body::ReadIndexAnswer { id, index }),
    ]
}

fn forward() -> impl Strategy<Value = PeerMessage> {
    let forwarded = (origin(), command()).prop_map(|(origin, command)| Forwarded { origin, command });
    (any::<u64>(), prop::collection::vec(forwarded, 0..6))
        .prop_map(|(term, commands)| PeerMessage::Forward(Forward { term: Term(term), commands }))
}

fn forward_answer() -> impl Strategy<Value = PeerMessage> {
    let first = (any::<u64>(), any::<u32>())
        .prop_map(|(term, index)| Ok(LogPosition::new(Term(term), LogIndex(u64::from(index)))));
    let outcome = prop_oneof![
        first,
        prop::sample::select(&[Refusal::NotLeader, Refusal::Busy, Refusal::Malformed][..]).prop_map(Err),
    ];
    (prop::collection::vec(any::<u64>(), 0..20), outcome)
        .prop_map(|(requests, outcome)| PeerMessage::ForwardAnswer(ForwardAnswer { requests, outcome }))
}

fn message() -> impl Strategy<Value = PeerMessage> {
    prop_oneof![
        6 => (any::<u64>(), small_body()).prop_map(|(term, body)| raft(Term(term), body, Vec::new())),
        3 => append(),
        1 => forward(),
        1 => forward_answer(),
    ]
}

fn sealed(message: &PeerMessage) -> Vec<u8> {
    let mut out = Vec::new();
    encode(GroupId(5), message, &mut out);
    out
}

fn opened(bytes: Vec<u8>) -> Result<Option<PeerMessage>, FrameError> {
    decode(frame::open(Bytes::from(bytes))?)
}

/// Runs may be cut differently on the two sides; all else must be equal.
fn flat(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Raft { message, entries } => {
            let entries: Vec<_> = entries.iter().flat_map(EntryRun::entries).collect();
            format!("{message:?} {entries:?}")
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(message in message()) {
        let bytes = sealed(&message);

        prop_assert!(bytes.len() <= frame_len(&message));
        let back = opened(bytes).unwrap().expect("no ping");
        prop_assert_eq!(flat(&back), flat(&message));
    }

    /// With the checksum made good again: what a broken or hostile peer could send.
    #[test]
    fn a_mutated_message_is_another_message_or_an_error(
        message in message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let frame = frame::open(Bytes::from(sealed(&message))).unwrap();
        let mut body = frame.body.to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len() + 1).max(body.len() / 2));

        if let Ok(Some(back)) = decode(Frame { body: Bytes::from(body), ..frame }) {
            let again = opened(sealed(&back)).unwrap().expect("no ping");
            prop_assert_eq!(flat(&again), flat(&back));
        }
    }

    #[test]
    fn garbage_of_any_kind_never_panics(kind in 0..16_u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let known = decode(Frame { kind, group: GroupId(1), body: Bytes::from(body) });

        prop_assert!(kind <= FORWARD_ANSWER || known.is_err());
    }
}

#[test]
fn a_ping_says_nothing() {
    let mut bytes = Vec::new();
    encode_ping(&mut bytes);

    assert!(matches!(opened(bytes), Ok(None)));
}

#[test]
fn an_unknown_kind_is_named_as_such() {
    let unknown = decode(Frame { kind: 200, group: GroupId(1), body: Bytes::new() });

    assert_eq!(unknown.unwrap_err(), FrameError::Body(WireError::Invalid { what: "kind of message" }));
}

#[test]
fn a_count_is_judged_before_room_is_made_for_it() {
    let refused = |kind, head: usize| {
        let mut body = vec![0; head];
        Writer::new(&mut body).u32(u32::MAX);
        decode(Frame { kind, group: GroupId(1), body: Bytes::from(body) }).unwrap_err()
    };

    for (kind, head) in [(APPEND, 32), (FORWARD, 8), (FORWARD_ANSWER, 17)] {
        assert!(matches!(refused(kind, head), FrameError::Body(WireError::TooLong { .. })), "kind {kind}");
    }
}

#[test]
fn entries_run_neither_beyond_the_last_index_nor_back_in_term() {
    let append = |prev: u64, terms: [u64; 2]| {
        let mut body = Vec::new();
        Writer::new(&mut body).u64(9).u64(3).u64(prev).u64(0).u32(2);
        for term in terms {
            Writer::new(&mut body).u64(term).u32(1).u8(2);
        }
        decode(Frame { kind: APPEND, group: GroupId(1), body: Bytes::from(body) })
    };

    assert!(append(7, [3, 3]).is_ok());
    assert!(append(u64::MAX - 1, [3, 3]).is_err());
    assert!(append(7, [3, 2]).is_err());
    assert!(append(7, [2, 2]).is_err());
}

#[test]
fn a_payload_is_a_slice_of_its_frame() {
    let command = Bytes::from(vec![7; 1000]);
    let payload = Payload::Normal { origin: None, command };
    let entry = Entry { position: LogPosition::new(Term(1), LogIndex(1)), payload };
    let slice = LogSlice::new(LogPosition::ZERO, vec![entry.meta()]).unwrap();
    let body = Body::Append(Append { slice, commit: LogIndex(0) });
    let bytes = Bytes::from(sealed(&raft(Term(1), body, vec![EntryRun::new([entry].into()).unwrap()])));
    let span = bytes.as_ptr_range();

    let Ok(Some(PeerMessage::Raft { entries, .. })) = decode(frame::open(bytes.clone()).unwrap()) else {
        panic!("an append");
    };
    let Payload::Normal { command, .. } = &entries[0].entries()[0].payload else { panic!("a command") };

    assert!(span.contains(&command.as_ptr()));
}
