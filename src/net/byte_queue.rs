//! Bytes that wait to be written on one connection, ready to leave.
//!
//! Frames are encoded straight into blocks when they are queued, so that one vectored write carries as many of them as the
//! socket takes. What is large need not be copied: it is written from where it is, behind a small block with all that stands
//! before it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;

/// Small frames share a block of this size; a larger frame has a block of its own.
const BLOCK_BYTES: usize = 64 << 10;
/// How many pieces one write carries at most.
const PIECES_PER_WRITE: usize = 16;
/// One write ends with the piece that reaches this: beyond it, others have waited long enough.
const WRITE_BYTES: usize = 1 << 20;
/// What is shorter is cheaper to copy than to write as a piece of its own.
pub(crate) const SHARED_BYTES_MIN: usize = 4 << 10;

/// The queue of one connection. While nothing waits it may keep one block for what comes next, until it is told to
/// [rest](ByteQueue::rest).
#[derive(Debug, Default)]
pub(crate) struct ByteQueue {
    /// None is empty but perhaps the last.
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written.
    written_of_first: usize,
    /// All that was ever queued and written: their difference waits.
    queued_to: u64,
    written_to: u64,
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

/// How far one write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
    /// The socket takes no more for now.
    pub(crate) blocked: bool,
}

impl ByteQueue {
    /// Queues the at most `room` bytes that `encode` appends.
    pub(crate) fn append(&mut self, room: usize, encode: impl FnOnce(&mut Vec<u8>)) {
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

    /// Queues the at most `room` bytes that `encode_head` appends, and behind them `rest`, without copying it.
    pub(crate) fn share(&mut self, room: usize, encode_head: impl FnOnce(&mut Vec<u8>), rest: Bytes) {
        self.begin_block(room);
        self.append(room, encode_head);
        self.queued_to += rest.len() as u64;
        self.pieces.push_back(Piece::Shared(rest));
    }

    /// A new last piece, for at least `room` bytes. The empty block that an empty queue keeps is no use then.
    fn begin_block(&mut self, room: usize) {
        if self.is_empty() {
            self.pieces.clear();
        }
        self.pieces.push_back(Piece::Block(Vec::with_capacity(room)));
    }

    /// One vectored write of what waits.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<Written> {
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
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued_to == self.written_to
    }

    /// How much waits.
    pub(crate) fn waiting_bytes(&self) -> usize {
        (self.queued_to - self.written_to) as usize
    }

    /// How much was ever queued.
    pub(crate) fn queued_to(&self) -> u64 {
        self.queued_to
    }

    /// How much was ever written.
    pub(crate) fn written_to(&self) -> u64 {
        self.written_to
    }

    /// Nothing more is expected soon: gives the block away that it keeps, for who needs one.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() {
            return None;
        }
        match self.pieces.pop_back() {
            Some(Piece::Block(block)) => Some(block),
            _ => None,
        }
    }

    /// Takes an empty block for what comes next, if it keeps none.
    pub(crate) fn begin_with(&mut self, block: impl FnOnce() -> Option<Vec<u8>>) {
        if self.pieces.is_empty()
            && let Some(block) = block()
        {
            debug_assert!(block.is_empty(), "what was written was cleared");
            self.pieces.push_back(Piece::Block(block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever comes, and remembers where each piece lay and how long it was.
    #[derive(Default)]
    struct Gather(Vec<(*const u8, usize)>);

    impl Gather {
        fn bytes(&self) -> usize {
            self.0.iter().map(|(_, length)| length).sum()
        }
    }

    impl Write for Gather {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0.extend(slices.iter().map(|slice| (slice.as_ptr(), slice.len())));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn head(out: &mut Vec<u8>) {
        out.extend_from_slice(b"head");
    }

    #[test]
    fn what_is_shared_is_written_from_where_it_is() {
        let mut queue = ByteQueue::default();
        let large = Bytes::from(vec![3; 100_000]);

        queue.append(4, head);
        queue.share(4, head, large.clone());
        queue.append(4, head);
        let mut socket = Gather::default();
        queue.write_to(&mut socket).unwrap();

        assert_eq!(socket.0[2], (large.as_ptr(), large.len()));
        assert_eq!((socket.0.len(), socket.bytes()), (4, 12 + large.len()));
        assert!(queue.is_empty());
    }

    #[test]
    fn one_write_carries_so_much_and_no_more() {
        let mut queue = ByteQueue::default();
        for _ in 0..10 {
            queue.share(4, head, Bytes::from(vec![7; 300 << 10]));
        }
        let mut socket = Gather::default();

        queue.write_to(&mut socket).unwrap();

        assert!((WRITE_BYTES..WRITE_BYTES + (301 << 10)).contains(&socket.bytes()), "{}", socket.bytes());
    }

    #[test]
    fn a_queue_at_rest_gives_its_block_to_another_and_never_loses_what_waits() {
        let (mut queue, mut other) = (ByteQueue::default(), ByteQueue::default());
        queue.append(4, head);

        assert_eq!(queue.rest(), None);
        assert_eq!(queue.waiting_bytes(), 4);
        queue.write_to(&mut Gather::default()).unwrap();
        let block = queue.rest().expect("it kept one for what comes next");
        assert_eq!(queue.rest(), None);
        let memory = block.as_ptr();
        other.begin_with(|| Some(block));
        other.append(4, head);
        other.begin_with(|| panic!("it has one"));
        queue.append(4, head);

        let mut socket = Gather::default();
        other.write_to(&mut socket).unwrap();
        assert_eq!(socket.0, [(memory, 4)]);
        assert_eq!(queue.waiting_bytes(), 4);
    }
}
