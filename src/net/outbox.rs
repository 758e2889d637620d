//! What waits to be written on one connection, in bytes that are ready to leave.
//!
//! Messages are encoded straight into blocks when they are queued, so that one vectored write carries as many of them
//! as the socket takes. Payloads are copied into the block, the large ones too: measured over loopback that copy is about
//! a tenth of what sending and receiving the same bytes costs, at any size. Only the bytes of snapshots, which come by the
//! gigabyte, are not copied: they are written from where they are, behind a small block with all that stands before them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;

use crate::types::{GroupId, PeerMessage, SnapshotChunk};
use crate::wire::peer::{self, CHUNK_FRAME_HEAD_BYTES};

/// Small frames share a block of this size; a larger frame has a block of its own.
const BLOCK_BYTES: usize = 64 << 10;
/// How many pieces one write carries at most.
const PIECES_PER_WRITE: usize = 16;
/// One write ends with the piece that reaches this: beyond it, others have waited long enough.
const WRITE_BYTES: usize = 1 << 20;
/// A chunk below this is cheaper to copy than to write as a piece of its own.
const SHARED_BYTES_MIN: usize = 4 << 10;

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    /// None is empty but perhaps the last.
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written.
    written_of_first: usize,
    /// All that was ever queued and written: their difference waits.
    queued_to: u64,
    written_to: u64,
    bytes_max: usize,
    /// The forwards of which not one byte is written, in their order.
    unwritten: VecDeque<Unwritten>,
}

/// Bytes that lie together.
#[derive(Debug)]
enum Piece {
    /// Frames, one after the other.
    Block(Vec<u8>),
    /// The end of a frame whose beginning is the piece before it.
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Block(block) => block,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Unwritten {
    starts_at: u64,
    group: GroupId,
    message: PeerMessage,
}

/// How far one write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: usize,
    /// The socket takes no more for now.
    pub(super) blocked: bool,
}

impl Outbox {
    /// Holds at most `bytes_max`, or a single message that is longer.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            written_of_first: 0,
            queued_to: 0,
            written_to: 0,
            bytes_max,
            unwritten: VecDeque::new(),
        }
    }

    /// Queues `message`, or gives it back if there is no room.
    pub(super) fn push(&mut self, group: GroupId, message: PeerMessage) -> Result<(), PeerMessage> {
        let room = peer::frame_len(&message);
        if !self.is_empty() && self.waiting_bytes() + room > self.bytes_max {
            return Err(message);
        }
        let starts_at = self.queued_to;
        match &message {
            PeerMessage::Chunk(chunk) if chunk.bytes.len() >= SHARED_BYTES_MIN => self.share(group, chunk),
            _ => self.append(room, |out| peer::encode(group, &message, out)),
        }
        if matches!(message, PeerMessage::Forward(_)) {
            self.unwritten.push_back(Unwritten { starts_at, group, message });
        }
        Ok(())
    }

    /// Queues the at most `room` bytes that `encode` appends, whatever the limit.
    pub(super) fn append(&mut self, room: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let fits =
            |piece: &Piece| matches!(piece, Piece::Block(block) if block.len() + room <= block.capacity());
        if !self.pieces.back().is_some_and(fits) {
            self.begin_block(room.max(BLOCK_BYTES));
        }
        let Some(Piece::Block(block)) = self.pieces.back_mut() else {
            unreachable!("begun above if there was none")
        };
        let before = block.len();
        encode(block);
        self.queued_to += (block.len() - before) as u64;
    }

    /// Queues a chunk without copying its bytes.
    fn share(&mut self, group: GroupId, chunk: &SnapshotChunk) {
        self.begin_block(CHUNK_FRAME_HEAD_BYTES);
        self.append(CHUNK_FRAME_HEAD_BYTES, |out| peer::encode_chunk_head(group, chunk, out));
        self.pieces.push_back(Piece::Shared(chunk.bytes.clone()));
        self.queued_to += chunk.bytes.len() as u64;
    }

    /// A new last piece, for at least `room` bytes. The empty block that an empty queue keeps is no use then.
    fn begin_block(&mut self, room: usize) {
        if self.is_empty() {
            self.pieces.clear();
        }
        self.pieces.push_back(Piece::Block(Vec::with_capacity(room)));
    }

    /// One vectored write of what waits.
    pub(super) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<Written> {
        if self.is_empty() {
            return Ok(Written { bytes: 0, blocked: false });
        }
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let (mut count, mut bytes) = (0, 0);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let from = if count == 0 { self.written_of_first } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[from..]);
            count += 1;
            bytes += slice.len();
            if bytes >= WRITE_BYTES {
                break;
            }
        }
        loop {
            match socket.write_vectored(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.wrote(bytes);
                    return Ok(Written { bytes, blocked: false });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Written { bytes: 0, blocked: true });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.written_to += bytes as u64;
        self.written_of_first += bytes;
        while self.pieces.front().is_some_and(|first| first.bytes().len() <= self.written_of_first) {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.written_of_first -= piece.bytes().len();
            // The last one is kept for what comes next, unless it was made for one large frame.
            if let Piece::Block(mut block) = piece
                && self.pieces.is_empty()
                && block.capacity() <= BLOCK_BYTES
            {
                block.clear();
                self.pieces.push_back(Piece::Block(block));
                break;
            }
        }
        while self.unwritten.front().is_some_and(|first| first.starts_at < self.written_to) {
            self.unwritten.pop_front();
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queued_to == self.written_to
    }

    /// How much waits.
    pub(super) fn waiting_bytes(&self) -> usize {
        (self.queued_to - self.written_to) as usize
    }

    /// The forwards of which certainly not one byte was written, now that nothing will be.
    pub(super) fn into_undelivered(self) -> impl Iterator<Item = (GroupId, PeerMessage)> {
        self.unwritten.into_iter().map(|forward| (forward.group, forward.message))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::types::{Boot, Forward, Forwarded, Incarnation, NodeId, Origin, SnapshotId, Term};

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

    /// Takes whatever comes, and counts it.
    struct Gather(usize);

    impl Write for Gather {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let count = slices.iter().map(|slice| slice.len()).sum();
            self.0 += count;
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

    #[test]
    fn the_bytes_of_a_chunk_are_written_from_where_they_are() {
        let mut outbox = Outbox::new(usize::MAX);
        let PeerMessage::Chunk(chunk) = chunk(3, 100_000) else { panic!("a chunk") };
        let span = chunk.bytes.as_ptr_range();

        outbox.push(GroupId(1), PeerMessage::Chunk(chunk)).unwrap();

        assert!(outbox.pieces.iter().any(|piece| piece.bytes().as_ptr_range() == span));
    }

    #[test]
    fn one_write_carries_so_much_and_no_more() {
        let mut outbox = Outbox::new(usize::MAX);
        for offset in 0..10 {
            outbox.push(GroupId(1), chunk(offset, 300 << 10)).unwrap();
        }
        let mut pipe = Gather(0);

        outbox.write_to(&mut pipe).unwrap();

        assert!((WRITE_BYTES..WRITE_BYTES + (300 << 10)).contains(&pipe.0), "{} bytes", pipe.0);
    }
}
