//! What waits to be written to one peer, in bytes that are ready to leave ([`super::byte_queue`]).
//!
//! Payloads are copied into its blocks, the large ones too: measured over loopback that copy is about a tenth of what sending
//! and receiving the same bytes costs, at any size. Only the bytes of snapshots, which come by the gigabyte, are not copied.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::byte_queue::{ByteQueue, SHARED_BYTES_MIN, Written};
use crate::types::{GroupId, PeerMessage};
use crate::wire::peer::{self, CHUNK_FRAME_HEAD_BYTES};

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: ByteQueue,
    bytes_max: usize,
    /// The forwards of which not one byte is written, in their order.
    unwritten: VecDeque<Unwritten>,
}

#[derive(Debug)]
struct Unwritten {
    starts_at: u64,
    group: GroupId,
    message: PeerMessage,
}

impl Outbox {
    /// Holds at most `bytes_max`, or a single message that is longer.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { queue: ByteQueue::default(), bytes_max, unwritten: VecDeque::new() }
    }

    /// Queues `message`, or gives it back if there is no room.
    pub(super) fn push(&mut self, group: GroupId, message: PeerMessage) -> Result<(), PeerMessage> {
        let room = peer::frame_len(&message);
        if !self.is_empty() && self.waiting_bytes() + room > self.bytes_max {
            return Err(message);
        }
        let starts_at = self.queue.queued_to();
        match &message {
            PeerMessage::Chunk(chunk) if chunk.bytes.len() >= SHARED_BYTES_MIN => {
                let encode_head = |out: &mut Vec<u8>| peer::encode_chunk_head(group, chunk, out);
                self.queue.share(CHUNK_FRAME_HEAD_BYTES, encode_head, chunk.bytes.clone());
            }
            _ => self.append(room, |out| peer::encode(group, &message, out)),
        }
        if matches!(message, PeerMessage::Forward(_)) {
            self.unwritten.push_back(Unwritten { starts_at, group, message });
        }
        Ok(())
    }

    /// Queues the at most `room` bytes that `encode` appends, whatever the limit.
    pub(super) fn append(&mut self, room: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.queue.append(room, encode);
    }

    /// One vectored write of what waits.
    pub(super) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<Written> {
        let written = self.queue.write_to(socket)?;
        while self.unwritten.front().is_some_and(|first| first.starts_at < self.queue.written_to()) {
            self.unwritten.pop_front();
        }
        Ok(written)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How much waits.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.waiting_bytes()
    }

    /// The forwards of which certainly not one byte was written, now that nothing will be.
    pub(super) fn into_undelivered(self) -> impl Iterator<Item = (GroupId, PeerMessage)> {
        self.unwritten.into_iter().map(|forward| (forward.group, forward.message))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use bytes::Bytes;

    use super::*;
    use crate::types::{
        Boot, Forward, Forwarded, Incarnation, NodeId, Origin, SnapshotChunk, SnapshotId, Term,
    };

    /// Takes as many bytes as it is allowed to, then blocks.
    #[derive(Default)]
    struct Pipe {
        taken: Vec<u8>,
        allowed: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.allowed);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.allowed -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn forward(request: u64, bytes: usize) -> PeerMessage {
        let origin =
            Origin { node: NodeId::new(1).unwrap(), incarnation: Incarnation(2), boot: Boot(3), request };
        let command = Bytes::from(vec![request as u8; bytes]);
        PeerMessage::Forward(Forward { term: Term(1), commands: vec![Forwarded { origin, command }] })
    }

    fn chunk(offset: u64, bytes: usize) -> PeerMessage {
        let bytes = Bytes::from(vec![offset as u8; bytes]);
        PeerMessage::Chunk(SnapshotChunk { id: SnapshotId(1), offset, bytes })
    }

    fn requests(undelivered: impl Iterator<Item = (GroupId, PeerMessage)>) -> Vec<u64> {
        let request = |message| match message {
            PeerMessage::Forward(forward) => forward.commands[0].origin.request,
            other => panic!("only forwards come back, not {other:?}"),
        };
        undelivered.map(|(_, message)| request(message)).collect()
    }

    /// As [`Pipe`], and a signal comes before each write.
    #[derive(Default)]
    struct Disturbed(Pipe, bool);

    impl Write for Disturbed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.write(bytes) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_a_signal_interrupts_goes_on() {
        let mut outbox = Outbox::new(usize::MAX);
        let mut expected = Vec::new();
        peer::encode(GroupId(1), &forward(1, 300), &mut expected);
        outbox.push(GroupId(1), forward(1, 300)).unwrap();
        let mut disturbed = Disturbed::default();

        while !outbox.is_empty() {
            disturbed.0.allowed = 7;
            assert!(!outbox.write_to(&mut disturbed).unwrap().blocked);
        }

        assert!(disturbed.0.taken == expected);
    }

    #[test]
    fn bytes_leave_in_order_however_few_the_socket_takes() {
        for step in [1, 7, 4096, usize::MAX / 2] {
            let mut outbox = Outbox::new(usize::MAX);
            let mut expected = Vec::new();
            let messages = [
                chunk(9, 5000),
                forward(1, 0),
                forward(2, 300),
                chunk(8, 1 << 20),
                chunk(7, 10),
                forward(3, 100_000),
                chunk(6, 0),
                forward(4, 70_000),
                chunk(5, 300_000),
                chunk(4, 300_000),
                forward(5, 1),
            ];
            for message in messages {
                peer::encode(GroupId(1), &message, &mut expected);
                outbox.push(GroupId(1), message).unwrap();
            }
            let mut pipe = Pipe::default();

            while !outbox.is_empty() {
                pipe.allowed = step;
                outbox.write_to(&mut pipe).unwrap();
            }

            assert!(pipe.taken == expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_full_queue_gives_the_message_back_and_has_room_again_once_written() {
        let mut outbox = Outbox::new(1000);
        outbox.push(GroupId(1), forward(1, 5000)).expect("a single message may be longer than the queue");

        assert!(matches!(outbox.push(GroupId(1), forward(2, 0)), Err(PeerMessage::Forward(_))));

        outbox.write_to(&mut Pipe { allowed: usize::MAX, ..Pipe::default() }).unwrap();
        assert!(outbox.push(GroupId(1), forward(2, 0)).is_ok());
    }

    #[test]
    fn a_forward_comes_back_only_if_not_one_byte_of_it_was_written() {
        let mut outbox = Outbox::new(usize::MAX);
        let first = peer::frame_len(&forward(1, 10));
        for request in 1..=3 {
            outbox.push(GroupId(1), forward(request, 10)).unwrap();
        }

        outbox.write_to(&mut Pipe { allowed: first, ..Pipe::default() }).unwrap();
        outbox.write_to(&mut Pipe { allowed: 1, ..Pipe::default() }).unwrap();

        assert_eq!(requests(outbox.into_undelivered()), [3]);
    }

    #[test]
    fn a_blocked_socket_says_so() {
        let mut outbox = Outbox::new(1000);
        outbox.push(GroupId(1), forward(1, 10)).unwrap();

        let written = outbox.write_to(&mut Pipe::default()).unwrap();

        assert_eq!(written, Written { bytes: 0, blocked: true });
    }
}
