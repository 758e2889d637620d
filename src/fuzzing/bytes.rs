//! What comes through a socket: streams of frames, handshakes, messages.

use bytes::Bytes;

use super::input::Input;
use crate::net::{frames_of, frames_of_a_borrower};
use crate::types::{GroupId, PeerMessage};
use crate::wire::client_hello::{ClientHello, ClientWelcome};
use crate::wire::frame::CLIENT_VERSION;
use crate::wire::frame::{self, Frame, HEADER_BYTES, PROTOCOL_VERSION};
use crate::wire::hello::{Answer, Hello};
use crate::wire::{WireError, client, peer};

/// No frame of these streams is longer.
const FRAME_BYTES_MAX: usize = 80 << 10;

/// A stream of anything yields the same frames in whatever pieces it comes, and every frame is one that we would write.
///
/// One byte: whether checksums are made right; two: the length of the pieces; then the stream.
pub fn frames(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (is_resealed, step) = (input.bool(), 1 + usize::from(input.u16()));
    let mut stream = input.rest().to_vec();
    if is_resealed {
        reseal_frames(&mut stream);
    }
    let (whole, ended) = frames_of(&stream, usize::MAX, FRAME_BYTES_MAX);
    assert_eq!(frames_of(&stream, step, FRAME_BYTES_MAX), (whole.clone(), ended), "in pieces of {step}");
    let borrowed = frames_of_a_borrower(&stream, step, FRAME_BYTES_MAX);
    assert_eq!(borrowed, (whole.clone(), ended), "in pieces of {step}, with a borrowed buffer");
    for bytes in whole {
        let Ok(opened) = frame::open(PROTOCOL_VERSION, bytes.clone()) else { continue };
        let mut again = Vec::new();
        frame::seal(PROTOCOL_VERSION, opened.kind, opened.group, &mut again, |out| {
            out.extend_from_slice(&opened.body);
        });
        assert_eq!(again, bytes, "a frame is not what we would write");
        judge_message(opened);
    }
}

fn reseal_frames(mut stream: &mut [u8]) {
    while stream.len() >= HEADER_BYTES {
        let length = u32::from_le_bytes([stream[0], stream[1], stream[2], stream[3]]) as usize;
        if length > stream.len() - HEADER_BYTES {
            return;
        }
        let (frame, rest) = stream.split_at_mut(HEADER_BYTES + length);
        let checksum = frame::checksum(frame);
        frame[14..18].copy_from_slice(&checksum.to_le_bytes());
        stream = rest;
    }
}

/// A hello or an answer, of a node or of a client, is refused, or is one that comes back as it was when it is written again.
///
/// One byte: bit 0, whether the checksum is made right; then the greeting.
pub fn hello(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_resealed = input.bool();
    let mut greeting = input.rest().to_vec();
    if is_resealed && greeting.len() >= 14 {
        let length = greeting.len() - 14;
        greeting[8..10].copy_from_slice(&(length as u16).to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&greeting[..10]), &greeting[14..]);
        greeting[10..14].copy_from_slice(&checksum.to_le_bytes());
    }
    if let Some(hello) = whole(&greeting, Hello::announced_len).and_then(|bytes| Hello::decode(bytes).ok()) {
        let mut again = Vec::new();
        hello.encode(&mut again);
        assert_eq!(Hello::announced_len(&again), Ok(Some(again.len())));
        assert_eq!(Hello::decode(&again), Ok(hello), "a hello changes when it is passed on");
    }
    if let Some(answer) = whole(&greeting, Answer::announced_len).and_then(|bytes| Answer::decode(bytes).ok())
    {
        let mut again = Vec::new();
        answer.encode(&mut again);
        assert_eq!(Answer::announced_len(&again), Ok(Some(again.len())));
        assert_eq!(Answer::decode(&again), Ok(answer), "an answer changes when it is passed on");
    }
    if let Some(Ok(hello)) = whole(&greeting, ClientHello::announced_len).map(ClientHello::decode) {
        let mut again = Vec::new();
        hello.encode(&mut again);
        assert_eq!(ClientHello::announced_len(&again), Ok(Some(again.len())));
        assert_eq!(ClientHello::decode(&again), Ok(hello), "a client's hello changes when it is passed on");
    }
    if let Some(Ok(welcome)) = whole(&greeting, ClientWelcome::announced_len).map(ClientWelcome::decode) {
        let mut again = Vec::new();
        welcome.encode(&mut again);
        assert_eq!(ClientWelcome::announced_len(&again), Ok(Some(again.len())));
        assert_eq!(ClientWelcome::decode(&again), Ok(welcome), "a welcome changes when it is passed on");
    }
}

/// The greeting that stands in front, if it is all there: as a connection cuts it off.
fn whole(stream: &[u8], announced_len: fn(&[u8]) -> Result<Option<usize>, WireError>) -> Option<&[u8]> {
    stream.get(..announced_len(stream).ok()??)
}

/// The body of a frame means nothing, or a message that says the same when it is written again.
///
/// One byte: the kind; then the body.
pub fn peer_messages(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.u8();
    judge_message(Frame { kind, group: GroupId::MAIN, body: Bytes::copy_from_slice(input.rest()) });
}

fn judge_message(frame: Frame) {
    let Ok(Some(message)) = peer::decode(frame) else { return };
    assert!(peer::is_within_limits(&message), "we take what others would drop: {message:?}");
    let sent = encoded(&message);
    assert!(sent.len() <= peer::frame_len(&message), "longer than was counted: {message:?}");
    let opened =
        frame::open(PROTOCOL_VERSION, Bytes::from(sent.clone())).expect("a frame that was just written");
    let again = peer::decode(opened).expect("a message that was just written").expect("no ping");
    assert_eq!(encoded(&again), sent, "{message:?} came back as {again:?}");
}

/// The body of a frame means nothing, or a request of a client or a message to one that says the same when it is written
/// again.
///
/// One byte: the kind; then the body.
pub fn client_messages(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.u8();
    let frame = Frame { kind, group: GroupId::MAIN, body: Bytes::copy_from_slice(input.rest()) };
    if let Ok(request) = client::decode_request(frame.clone()) {
        assert!(client::is_request_within_limits(&request), "we take what others would drop: {request:?}");
        let mut sent = Vec::new();
        client::encode_request(&request, &mut sent);
        assert_eq!(sent.len(), client::request_len(&request), "{request:?}");
        assert_eq!(client::decode_request(reopened(sent)), Ok(request), "a request changes on its way");
    }
    if let Ok(message) = client::decode_message(frame) {
        assert!(client::is_message_within_limits(&message), "we take what others would drop: {message:?}");
        let mut sent = Vec::new();
        client::encode_message(&message, &mut sent);
        assert!(sent.len() <= client::message_len(&message), "longer than was counted: {message:?}");
        assert_eq!(client::decode_message(reopened(sent)), Ok(message), "a message changes on its way");
    }
}

fn reopened(sent: Vec<u8>) -> Frame {
    frame::open(CLIENT_VERSION, Bytes::from(sent)).expect("a frame that was just written")
}

fn encoded(message: &PeerMessage) -> Vec<u8> {
    let mut out = Vec::new();
    peer::encode(GroupId::MAIN, message, &mut out);
    out
}
