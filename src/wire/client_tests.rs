//! Every request and every message comes back as it was; nothing else gets through, and nothing panics.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::wire::{WireError, Writer};

fn node() -> impl Strategy<Value = NodeId> {
    (1..=u64::MAX).prop_map(|id| NodeId::new(id).expect("not zero"))
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn tag() -> impl Strategy<Value = SessionTag> {
    (session(), any::<u64>(), any::<u64>()).prop_map(|(session, a, b)| SessionTag {
        session,
        sequence: a.max(b),
        answered_below: a.min(b),
    })
}

fn text() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn call() -> impl Strategy<Value = ClientCall> {
    prop_oneof![
        (prop::option::of(tag()), text())
            .prop_map(|(session, command)| ClientCall::Propose { session, command }),
        Just(ClientCall::OpenSession),
        session().prop_map(ClientCall::CloseSession),
        (text(), any::<bool>()).prop_map(|(query, local)| ClientCall::Query { query, local }),
        Just(ClientCall::Status),
    ]
}

/// A request of any kind.
pub(crate) fn request() -> impl Strategy<Value = ClientRequest> {
    (any::<u64>(), any::<u64>(), call()).prop_map(|(id, nanos, call)| ClientRequest {
        id,
        within: Duration::from_nanos(nanos),
        call,
    })
}

fn address() -> impl Strategy<Value = String> {
    "[a-zé]{1,20}:[0-9]{1,4}"
}

fn members() -> impl Strategy<Value = Vec<(NodeId, String)>> {
    prop::collection::btree_map(node(), address(), 0..6).prop_map(|members| members.into_iter().collect())
}

fn id() -> impl Strategy<Value = u64> {
    node().prop_map(NodeId::get)
}

fn ids() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(id(), 0..5)
}

fn status() -> impl Strategy<Value = ClientStatus> {
    (id(), prop::option::of(id()), any::<[u64; 3]>(), ids(), ids()).prop_map(
        |(node, leader, [term, commit, applied], voters, learners)| ClientStatus {
            node,
            term,
            leader,
            commit,
            applied,
            voters,
            learners,
        },
    )
}

fn answer() -> impl Strategy<Value = ClientAnswer> {
    prop_oneof![
        text().prop_map(ClientAnswer::Response),
        session().prop_map(ClientAnswer::SessionOpened),
        Just(ClientAnswer::SessionClosed),
        status().prop_map(ClientAnswer::Status),
    ]
}

fn refused() -> impl Strategy<Value = ClientRefused> {
    let plain = [
        ClientRefused::NoLeader,
        ClientRefused::DeadlinePassed,
        ClientRefused::Busy,
        ClientRefused::DiskFull,
        ClientRefused::Malformed,
        ClientRefused::Superseded,
        ClientRefused::Unknown,
        ClientRefused::SessionExpired,
        ClientRefused::AnswerForgotten,
        ClientRefused::SessionFull,
        ClientRefused::Stopped,
    ];
    prop_oneof![
        prop::option::of((node(), address())).prop_map(|leader| ClientRefused::NotLeader { leader }),
        any::<(u64, u64)>().prop_map(|(bytes, limit)| ClientRefused::TooLarge { bytes, limit }),
        "[a-zé]{0,40}".prop_map(|message| ClientRefused::Panicked { message }),
        prop::sample::select(plain.to_vec()),
    ]
}

/// A message of any kind.
pub(crate) fn message() -> impl Strategy<Value = ServerMessage> {
    prop_oneof![
        1 => (prop::option::of(node()), members())
            .prop_map(|(leader, members)| ServerMessage::Cluster { leader, members }),
        2 => (any::<u64>(), answer())
            .prop_map(|(id, answer)| ServerMessage::Reply { id, outcome: Ok(answer) }),
        2 => (any::<u64>(), refused())
            .prop_map(|(id, refused)| ServerMessage::Reply { id, outcome: Err(refused) }),
    ]
}

fn sealed_request(request: &ClientRequest) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request(request, &mut out);
    out
}

fn sealed_message(message: &ServerMessage) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(message, &mut out);
    out
}

fn opened(bytes: Vec<u8>) -> Result<Frame, FrameError> {
    frame::open(CLIENT_VERSION, Bytes::from(bytes))
}

fn framed(kind: u8, body: Vec<u8>) -> Frame {
    Frame { kind, group: GroupId::MAIN, body: Bytes::from(body) }
}

/// Whether it can be cut and still be something: its frame says how long it is.
fn has_a_tail(frame: &Frame) -> bool {
    [PROPOSE, PROPOSE_IN_SESSION, QUERY, RESPONSE].contains(&frame.kind)
}

proptest! {
    #[test]
    fn every_request_comes_back_as_it_was(request in request()) {
        let bytes = sealed_request(&request);

        prop_assert_eq!(bytes.len(), request_len(&request));
        prop_assert!(is_request_within_limits(&request));
        prop_assert_eq!(decode_request(opened(bytes).unwrap()), Ok(request));
    }

    #[test]
    fn every_message_comes_back_as_it_was(message in message()) {
        let bytes = sealed_message(&message);

        prop_assert!(bytes.len() <= message_len(&message));
        prop_assert!(is_message_within_limits(&message));
        prop_assert_eq!(decode_message(opened(bytes).unwrap()), Ok(message));
    }

    #[test]
    fn no_flipped_bit_passes(request in request(), message in message(), bit in any::<prop::sample::Index>()) {
        for mut bytes in [sealed_request(&request), sealed_message(&message)] {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let is_whole = frame::announced_len(CLIENT_VERSION, &bytes, 1 << 20) == Ok(Some(bytes.len()));
            prop_assert!(!is_whole || opened(bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_cut_passes_for_the_same(request in request(), message in message()) {
        let frame = opened(sealed_request(&request)).unwrap();
        for cut in 0..frame.body.len() {
            let back = decode_request(Frame { body: frame.body.slice(..cut), ..frame });
            prop_assert!(has_a_tail(&frame) || back.is_err(), "cut at {cut}");
            prop_assert_ne!(back.as_ref(), Ok(&request));
        }
        let frame = opened(sealed_message(&message)).unwrap();
        for cut in 0..frame.body.len() {
            let back = decode_message(Frame { body: frame.body.slice(..cut), ..frame });
            prop_assert!(has_a_tail(&frame) || back.is_err(), "cut at {cut}");
            prop_assert_ne!(back.as_ref(), Ok(&message));
        }
    }

    /// What a broken or hostile client, or node, could send: the checksum holds.
    #[test]
    fn garbage_of_any_kind_is_refused_or_says_the_same_when_it_is_passed_on(
        kind in prop_oneof![0..9_u8, 60..75_u8],
        body in prop::collection::vec(prop_oneof![3 => Just(0), 3 => Just(1), 1 => any::<u8>()], 0..100),
    ) {
        let request = decode_request(framed(kind, body.clone()));
        prop_assert!((PROPOSE..=STATUS).contains(&kind) || request.is_err());
        if let Ok(request) = request {
            prop_assert!(is_request_within_limits(&request));
            prop_assert_eq!(decode_request(opened(sealed_request(&request)).unwrap()), Ok(request));
        }
        let message = decode_message(framed(kind, body));
        prop_assert!((CLUSTER..=REFUSED).contains(&kind) || message.is_err());
        if let Ok(message) = message {
            prop_assert!(is_message_within_limits(&message));
            prop_assert_eq!(decode_message(opened(sealed_message(&message)).unwrap()), Ok(message));
        }
    }
}

#[test]
fn commands_and_responses_are_slices_of_their_frames() {
    let long = Bytes::from(vec![7; 1000]);
    let call = ClientCall::Propose { session: None, command: long.clone() };
    let bytes = Bytes::from(sealed_request(&ClientRequest { id: 1, within: Duration::ZERO, call }));
    let request = decode_request(frame::open(CLIENT_VERSION, bytes.clone()).unwrap()).unwrap();
    let ClientCall::Propose { command, .. } = request.call else { panic!("a proposal") };
    assert!(bytes.as_ptr_range().contains(&command.as_ptr()));

    let reply = ServerMessage::Reply { id: 1, outcome: Ok(ClientAnswer::Response(long)) };
    let bytes = Bytes::from(sealed_message(&reply));
    assert_eq!(bytes.len(), message_len(&reply), "no room is wasted on what can be long");
    let message = decode_message(frame::open(CLIENT_VERSION, bytes.clone()).unwrap()).unwrap();
    let ServerMessage::Reply { outcome: Ok(ClientAnswer::Response(response)), .. } = message else {
        panic!("a response")
    };
    assert!(bytes.as_ptr_range().contains(&response.as_ptr()));
}

#[test]
fn a_response_in_two_parts_is_the_same_frame() {
    let response = Bytes::from(vec![7; 1000]);
    let mut parts = Vec::new();

    encode_response_head(9, &response, &mut parts);
    assert_eq!(parts.len(), RESPONSE_HEAD_BYTES);
    parts.extend_from_slice(&response);

    let whole = ServerMessage::Reply { id: 9, outcome: Ok(ClientAnswer::Response(response)) };
    assert_eq!(parts, sealed_message(&whole));
}

#[test]
fn the_head_of_every_request_is_as_long_as_was_counted_at_most() {
    let tag = SessionTag { session: SessionId(1), sequence: 2, answered_below: 1 };
    let command = Bytes::from_static(b"command");
    let call = ClientCall::Propose { session: Some(tag), command: command.clone() };
    let request = ClientRequest { id: 1, within: Duration::from_secs(1), call };

    assert_eq!(request_len(&request), REQUEST_HEAD_BYTES_MAX + command.len());
}

#[test]
fn a_time_without_end_is_the_longest_there_is() {
    let request = ClientRequest { id: 1, within: Duration::MAX, call: ClientCall::Status };

    let back = decode_request(opened(sealed_request(&request)).unwrap()).unwrap();

    assert_eq!(back.within, Duration::from_nanos(u64::MAX));
}

#[test]
fn a_request_for_another_group_is_refused() {
    let frame =
        opened(sealed_request(&ClientRequest { id: 1, within: Duration::ZERO, call: ClientCall::Status }));

    let other = Frame { group: GroupId(2), ..frame.unwrap() };

    assert_eq!(decode_request(other), Err(FrameError::Body(WireError::Invalid { what: "group" })));
}

#[test]
fn a_sequence_below_what_is_answered_is_refused_on_both_sides() {
    let tag = SessionTag { session: SessionId(1), sequence: 2, answered_below: 3 };
    let call = ClientCall::Propose { session: Some(tag), command: Bytes::new() };
    let request = ClientRequest { id: 1, within: Duration::ZERO, call };

    assert!(!is_request_within_limits(&request));
    assert!(decode_request(opened(sealed_request(&request)).unwrap()).is_err());
}

#[test]
fn lists_addresses_and_responses_beyond_their_limits_are_refused_on_both_sides() {
    let is_too_long = |kind, write: &dyn Fn(&mut Writer<'_>)| {
        let mut body = Vec::new();
        write(&mut Writer::new(&mut body));
        matches!(decode_message(framed(kind, body)), Err(FrameError::Body(WireError::TooLong { .. })))
    };
    assert!(is_too_long(CLUSTER, &|writer| {
        writer.u8(0).u8(65);
    }));
    assert!(is_too_long(CLUSTER, &|writer| {
        writer.u8(0).u8(1).u64(1).u16(257);
    }));
    assert!(is_too_long(STATUS_ANSWER, &|writer| {
        writer.u64(1).u64(1).u64(1).u8(0).u64(1).u64(1).u8(65);
    }));
    assert!(is_too_long(REFUSED, &|writer| {
        writer.u64(1).u8(12).u16(1025);
    }));

    let id = |id| NodeId::new(id).expect("not zero");
    let cluster = |count, bytes| {
        let members = (1..=count).map(|nth| (id(nth), "a".repeat(bytes))).collect();
        is_message_within_limits(&ServerMessage::Cluster { leader: None, members })
    };
    assert!(cluster(64, 256) && !cluster(65, 256) && !cluster(64, 257));
    let unsorted = vec![(id(2), String::new()), (id(1), String::new())];
    assert!(!is_message_within_limits(&ServerMessage::Cluster { leader: None, members: unsorted }));
    let response = |bytes| {
        let outcome = Ok(ClientAnswer::Response(Bytes::from(vec![0; bytes])));
        is_message_within_limits(&ServerMessage::Reply { id: 1, outcome })
    };
    assert!(response(RESPONSE_BYTES_MAX) && !response(RESPONSE_BYTES_MAX + 1));
    let elsewhere = |bytes| {
        let outcome = Err(ClientRefused::NotLeader { leader: Some((id(1), "a".repeat(bytes))) });
        is_message_within_limits(&ServerMessage::Reply { id: 1, outcome })
    };
    assert!(elsewhere(256) && !elsewhere(257));
}

#[test]
fn members_out_of_order_are_refused() {
    let mut body = Vec::new();
    Writer::new(&mut body).u8(0).u8(2).u64(2).u16(0).u64(2).u16(0);

    let refused = decode_message(framed(CLUSTER, body));

    assert_eq!(refused, Err(FrameError::Body(WireError::Invalid { what: "order of the members" })));
}

#[test]
fn what_a_panic_said_is_told_in_part() {
    let refused = ClientRefused::Panicked { message: "ä".repeat(600) };
    let message = ServerMessage::Reply { id: 1, outcome: Err(refused) };

    let bytes = sealed_message(&message);

    assert!(bytes.len() <= message_len(&message));
    let ServerMessage::Reply { outcome: Err(ClientRefused::Panicked { message }), .. } =
        decode_message(opened(bytes).unwrap()).unwrap()
    else {
        panic!("another message")
    };
    assert_eq!(message, "ä".repeat(512));
}
