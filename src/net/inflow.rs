//! What arrives on one connection, until it is a whole frame.
//!
//! One buffer takes many small frames per read; each is copied out, so that an entry that is kept for long keeps no more
//! memory alive than its own frame. A frame that is larger than the buffer gets an allocation of exactly its size as soon
//! as its header was judged, and is read straight into it. One that carries a chunk of a snapshot is soon let go, and the
//! next one comes: those are read into memory that is used again and again.
//!
//! A connection that is busy has a buffer of its own. Where many are idle, one buffer serves them all, each in its turn
//! ([`Inflow::borrow`]), and between its turns a connection keeps no more than what it has of a frame that is not whole.

use std::io::{self, ErrorKind, IoSliceMut, Read};

use bytes::{Bytes, BytesMut};

use crate::wire::frame::{self, FrameError};
use crate::wire::greeting::GREETING_BYTES_MAX;
use crate::wire::{Buffers, WireError};

/// What a connection that has not said who it is may occupy.
const NARROW_BYTES: usize = 4 << 10;
/// What a peer's connection occupies.
pub(crate) const WIDE_BYTES: usize = 64 << 10;

const _: () = assert!(GREETING_BYTES_MAX <= NARROW_BYTES, "a handshake fits the narrow buffer");

/// The input side of one connection.
#[derive(Debug)]
pub(crate) struct Inflow {
    buffer: Box<[u8]>,
    /// What was read and not yet taken: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The frame under way, if it does not fit the buffer; the buffer is empty then, or holds what follows it.
    large: Option<Large>,
    /// What its frames must be of.
    version: u8,
    /// Whether large frames are read into memory that is used again.
    recycles: bool,
    frame_bytes_max: usize,
}

#[derive(Debug)]
struct Large {
    frame: BytesMut,
    filled: usize,
}

/// What stands at the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole frame.
    Frame(Bytes),
    /// No whole frame yet.
    Nothing,
    /// The beginning of one of this length, which is larger than the buffer and for which there is no room.
    NoRoom(usize),
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many bytes; `all` if the socket had no more.
    Bytes { count: usize, all: bool },
    /// Nothing for now.
    Nothing,
    /// The other side will say no more.
    End,
}

impl Inflow {
    /// Takes frames of that version of at most `frame_bytes_max`, header included.
    pub(crate) fn new(version: u8, frame_bytes_max: usize) -> Self {
        Self {
            buffer: vec![0; NARROW_BYTES].into(),
            start: 0,
            end: 0,
            large: None,
            version,
            recycles: false,
            frame_bytes_max,
        }
    }

    /// As [`Inflow::new`], without a buffer of its own: reads only while it borrows one. It begins with `said`.
    pub(crate) fn borrowing(version: u8, frame_bytes_max: usize, said: Box<[u8]>) -> Self {
        Self {
            end: said.len(),
            buffer: said,
            start: 0,
            large: None,
            version,
            recycles: false,
            frame_bytes_max,
        }
    }

    /// A buffer to lend to many, each in its turn.
    pub(crate) fn buffer_to_lend() -> Box<[u8]> {
        vec![0; WIDE_BYTES].into()
    }

    /// Reads into `wide` until it is given back. What waits moves there.
    pub(crate) fn borrow(&mut self, wide: Box<[u8]>) {
        let own = std::mem::replace(&mut self.buffer, wide);
        let waiting = &own[self.start..self.end];
        self.buffer[..waiting.len()].copy_from_slice(waiting);
        (self.start, self.end) = (0, waiting.len());
    }

    /// Gives the buffer back, and keeps just what waits.
    pub(crate) fn give_back(&mut self) -> Box<[u8]> {
        let own = self.waiting().into();
        (self.start, self.end) = (0, self.end - self.start);
        std::mem::replace(&mut self.buffer, own)
    }

    /// How many bytes it keeps of what is not whole, or has set aside for that. Not while it borrows.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.len() + self.large.as_ref().map_or(0, |large| large.frame.len())
    }

    /// The other side is a peer: make room for its traffic.
    pub(crate) fn widen(&mut self) {
        let mut wide = vec![0; WIDE_BYTES].into_boxed_slice();
        let waiting = self.end - self.start;
        wide[..waiting].copy_from_slice(self.waiting());
        (self.buffer, self.start, self.end) = (wide, 0, waiting);
    }

    /// The other side sends frames of up to `frame_bytes_max` and hardly anything else: the buffer stays narrow, so that
    /// nearly all bytes are read straight into the frame they belong to; and nobody keeps them for long.
    pub(crate) fn expect_large(&mut self, frame_bytes_max: usize) {
        (self.frame_bytes_max, self.recycles) = (frame_bytes_max, true);
    }

    /// One read from `socket`.
    pub(crate) fn read_from(&mut self, socket: &mut impl Read) -> io::Result<Taken> {
        self.compact();
        let free = &mut self.buffer[self.end..];
        let large = match &mut self.large {
            Some(large) => &mut large.frame[large.filled..],
            None => &mut [],
        };
        let (large_room, room) = (large.len(), large.len() + free.len());
        assert!(room > 0, "frames are taken before more is read");
        let count = loop {
            match socket.read_vectored(&mut [IoSliceMut::new(large), IoSliceMut::new(free)]) {
                Ok(0) => return Ok(Taken::End),
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Taken::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if let Some(large) = &mut self.large {
            large.filled += count.min(large_room);
        }
        self.end += count.saturating_sub(large_room);
        Ok(Taken::Bytes { count, all: count < room })
    }

    /// The first frame, if all of it is there. An error is final: nothing after it can be trusted.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        Ok(match self.next_frame_within(usize::MAX)? {
            Next::Frame(frame) => Some(frame),
            Next::Nothing | Next::NoRoom(_) => None,
        })
    }

    /// As [`Inflow::next_frame`]; `buffers` has memory for large ones.
    pub(crate) fn next_frame_in(&mut self, buffers: &mut Buffers) -> Result<Option<Bytes>, FrameError> {
        if self.recycles
            && let Some(whole) = self.take_large()
        {
            return Ok(Some(buffers.lend(whole)));
        }
        let recycles = self.recycles;
        let make = |length| if recycles { buffers.take(length) } else { BytesMut::zeroed(length) };
        Ok(match self.next_in(usize::MAX, make)? {
            Next::Frame(frame) => Some(frame),
            Next::Nothing | Next::NoRoom(_) => None,
        })
    }

    /// As [`Inflow::next_frame`], for whom no more than `room` may be set aside.
    pub(crate) fn next_frame_within(&mut self, room: usize) -> Result<Next, FrameError> {
        self.next_in(room, BytesMut::zeroed)
    }

    /// The first frame; `make` makes room for a large one.
    fn next_in(&mut self, room: usize, make: impl FnOnce(usize) -> BytesMut) -> Result<Next, FrameError> {
        if let Some(whole) = self.take_large() {
            return Ok(Next::Frame(whole.freeze()));
        }
        if self.large.is_some() {
            return Ok(Next::Nothing);
        }
        let Some(length) = frame::announced_len(self.version, self.waiting(), self.frame_bytes_max)? else {
            return Ok(Next::Nothing);
        };
        if length > self.buffer.len() {
            if length > room {
                return Ok(Next::NoRoom(length));
            }
            let filled = self.end - self.start;
            let mut frame = make(length);
            frame[..filled].copy_from_slice(self.waiting());
            self.skip(filled);
            self.large = Some(Large { frame, filled });
            return Ok(Next::Nothing);
        }
        Ok(self.take(length).map_or(Next::Nothing, |frame| Next::Frame(Bytes::copy_from_slice(frame))))
    }

    /// All whole frames at the front, in one piece that is cheap to cut: for those who keep none of them for long. Of a frame
    /// that is larger than the buffer, or that is none, [`Inflow::next_frame_within`] tells behind them.
    pub(crate) fn whole_frames(&mut self) -> Bytes {
        if self.large.is_some() {
            return Bytes::new();
        }
        let (mut rest, mut length) = (self.waiting(), 0);
        while let Ok(Some(next)) = frame::announced_len(self.version, rest, self.frame_bytes_max) {
            let Some(behind) = rest.get(next..) else { break };
            (rest, length) = (behind, length + next);
        }
        self.take(length).map_or_else(Bytes::new, Bytes::copy_from_slice)
    }

    /// The hello or answer at the front, if all of it is there; `announced_len` says how long it is.
    pub(crate) fn next_greeting(
        &mut self,
        announced_len: impl FnOnce(&[u8]) -> Result<Option<usize>, WireError>,
    ) -> Result<Option<&[u8]>, WireError> {
        Ok(match announced_len(self.waiting())? {
            Some(length) => self.take(length),
            None => None,
        })
    }

    /// Whether what is read next belongs to a frame for which room was set aside.
    pub(crate) fn is_within_a_large_frame(&self) -> bool {
        self.large.is_some()
    }

    /// Drops what was read: nobody heeds it.
    pub(crate) fn discard(&mut self) {
        self.large = None;
        (self.start, self.end) = (0, 0);
    }

    /// The first byte that waits.
    pub(crate) fn first(&self) -> Option<u8> {
        self.waiting().first().copied()
    }

    /// What was read and nobody has taken.
    pub(crate) fn into_waiting(self) -> Box<[u8]> {
        self.waiting().into()
    }

    /// The large frame under way, if all of it is there.
    fn take_large(&mut self) -> Option<BytesMut> {
        self.large.take_if(|large| large.filled == large.frame.len()).map(|large| large.frame)
    }

    fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The first `length` bytes, if they are there.
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        if self.end - self.start < length {
            return None;
        }
        let start = self.start;
        self.skip(length);
        Some(&self.buffer[start..start + length])
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
    }

    /// Moves what waits to the front, so that any frame that fits the buffer finds room.
    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

/// Gives at most `step` bytes per read, then blocks.
#[cfg(any(test, fuzzing))]
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

#[cfg(any(test, fuzzing))]
impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.step.min(buffer.len());
        self.rest.read(&mut buffer[..count])
    }
}

/// The frames in a stream that arrives in steps of so many bytes at a connection of a peer, and what ended it.
#[cfg(any(test, fuzzing))]
pub(crate) fn frames_of(
    stream: &[u8],
    step: usize,
    frame_bytes_max: usize,
) -> (Vec<Bytes>, Result<(), FrameError>) {
    let (mut inflow, mut trickle) =
        (Inflow::new(frame::PROTOCOL_VERSION, frame_bytes_max), Trickle { rest: stream, step });
    let mut buffers = Buffers::new(1, 0);
    let mut frames = Vec::new();
    while let Ok(Taken::Bytes { .. }) = inflow.read_from(&mut trickle) {
        loop {
            match inflow.next_frame_in(&mut buffers) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

/// The same at a connection that borrows its buffer for each step, and takes its frames in one piece where it can.
#[cfg(any(test, fuzzing))]
pub(crate) fn frames_of_a_borrower(
    stream: &[u8],
    step: usize,
    frame_bytes_max: usize,
) -> (Vec<Bytes>, Result<(), FrameError>) {
    let mut inflow = Inflow::borrowing(frame::PROTOCOL_VERSION, frame_bytes_max, Box::default());
    let (mut wide, mut trickle) = (Inflow::buffer_to_lend(), Trickle { rest: stream, step });
    let mut frames = Vec::new();
    loop {
        inflow.borrow(wide);
        if !matches!(inflow.read_from(&mut trickle), Ok(Taken::Bytes { .. })) {
            return (frames, Ok(()));
        }
        loop {
            let mut whole = inflow.whole_frames();
            while let Ok(Some(length)) = frame::announced_len(inflow.version, &whole, frame_bytes_max) {
                frames.push(whole.split_to(length));
            }
            match inflow.next_frame_within(usize::MAX) {
                Ok(Next::Frame(frame)) => frames.push(frame),
                Ok(Next::Nothing | Next::NoRoom(_)) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        wide = inflow.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::GroupId;
    use crate::wire::frame::PROTOCOL_VERSION;

    fn sealed(sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for &size in sizes {
            frame::seal(PROTOCOL_VERSION, 1, GroupId(1), &mut out, |out| {
                out.resize(out.len() + size, size as u8);
            });
        }
        out
    }

    fn received(inflow: &mut Inflow, stream: &[u8], step: usize) -> Result<Vec<usize>, FrameError> {
        let (mut trickle, mut buffers) = (Trickle { rest: stream, step }, Buffers::new(2, 0));
        let mut bodies = Vec::new();
        while let Taken::Bytes { .. } = inflow.read_from(&mut trickle).expect("no error but blocking") {
            while let Some(bytes) = inflow.next_frame_in(&mut buffers)? {
                bodies.push(frame::open(PROTOCOL_VERSION, bytes)?.body.len());
            }
        }
        Ok(bodies)
    }

    /// As [`Trickle`], and a signal comes before each read.
    struct Disturbed<'a>(Trickle<'a>, bool);

    impl Read for Disturbed<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
        }
    }

    #[test]
    fn a_read_that_a_signal_interrupts_goes_on() {
        let stream = sealed(&[10]);
        let mut disturbed = Disturbed(Trickle { rest: &stream, step: 5 }, false);
        let mut inflow = Inflow::new(PROTOCOL_VERSION, 1 << 20);

        while let Taken::Bytes { .. } = inflow.read_from(&mut disturbed).expect("no error but blocking") {}

        assert_eq!(
            inflow.next_frame_in(&mut Buffers::new(1, 0)).unwrap().as_deref(),
            Some(stream.as_slice())
        );
    }

    #[test]
    fn frames_are_whole_in_whatever_pieces_they_come() {
        let sizes = [0, 1, 5000, 65_518, 65_519, 3, 200_000, 7];
        let stream = sealed(&sizes);

        for step in [1, 3, 4095, 1 << 20] {
            let mut narrow = Inflow::new(PROTOCOL_VERSION, 1 << 20);
            assert_eq!(received(&mut narrow, &stream, step).unwrap(), sizes, "in steps of {step}");

            let mut wide = Inflow::new(PROTOCOL_VERSION, 1 << 20);
            wide.widen();
            assert_eq!(received(&mut wide, &stream, step).unwrap(), sizes, "in steps of {step}");

            let mut bulk = Inflow::new(PROTOCOL_VERSION, 1 << 20);
            bulk.expect_large(1 << 20);
            assert_eq!(received(&mut bulk, &stream, step).unwrap(), sizes, "in steps of {step}");
        }
    }

    #[test]
    fn a_large_frame_comes_into_the_memory_of_one_that_was_let_go() {
        let (stream, mut buffers) = (sealed(&[100_000, 100_000, 100_000]), Buffers::new(4, 18));
        let mut trickle = Trickle { rest: &stream, step: 50_000 };
        let mut bulk = Inflow::new(PROTOCOL_VERSION, 1 << 20);
        bulk.expect_large(1 << 20);
        let mut places = Vec::new();
        while let Taken::Bytes { .. } = bulk.read_from(&mut trickle).expect("no error but blocking") {
            while let Some(frame) = bulk.next_frame_in(&mut buffers).expect("good frames") {
                assert_eq!(frame[18..].as_ptr().align_offset(4096), 0, "its body begins a page");
                places.push(frame.as_ptr());
            }
        }
        assert_eq!(places.len(), 3);
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header() {
        let mut inflow = Inflow::new(PROTOCOL_VERSION, 1000);

        let refused = received(&mut inflow, &sealed(&[2000])[..18], 18);

        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
        assert!(inflow.large.is_none(), "no room is made for it");
    }

    #[test]
    fn one_buffer_serves_many_and_each_keeps_no_more_than_what_is_not_whole() {
        let sizes = [0, 1, 5000, 65_518, 65_519, 3, 200_000, 7];
        let stream = sealed(&sizes);
        for step in [1000, 3, 70_000] {
            let mut wide = Inflow::buffer_to_lend();
            let mut inflow = Inflow::borrowing(PROTOCOL_VERSION, 1 << 20, stream[..7].into());
            let mut bodies = Vec::new();
            for piece in stream[7..].chunks(step) {
                let mut trickle = Trickle { rest: piece, step };
                inflow.borrow(wide);
                while let Taken::Bytes { .. } = inflow.read_from(&mut trickle).expect("blocking at most") {
                    while let Some(bytes) = inflow.next_frame().unwrap() {
                        bodies.push(frame::open(PROTOCOL_VERSION, bytes).unwrap().body.len());
                    }
                }
                wide = inflow.give_back();
                assert!(inflow.held_bytes() <= 200_018 + WIDE_BYTES);
            }
            assert_eq!(bodies, sizes, "in pieces of {step}");
            assert_eq!(inflow.held_bytes(), 0);
        }
    }

    #[test]
    fn whole_frames_come_in_one_piece_up_to_one_that_is_not_whole_or_is_none() {
        let version = PROTOCOL_VERSION;
        let taken = |stream: &[u8]| {
            let mut inflow = Inflow::new(version, 1 << 20);
            inflow.read_from(&mut Trickle { rest: stream, step: stream.len() }).unwrap();
            let mut frames = inflow.whole_frames();
            let mut bodies = Vec::new();
            while let Some(length) = frame::announced_len(version, &frames, 1 << 20).unwrap() {
                bodies.push(frame::open(version, frames.split_to(length)).unwrap().body.len());
            }
            assert!(frames.is_empty());
            (bodies, inflow.next_frame_within(0))
        };
        let stream = sealed(&[10, 0, 20]);

        assert_eq!(taken(&stream), (vec![10, 0, 20], Ok(Next::Nothing)));
        assert_eq!(taken(&stream[..stream.len() - 1]), (vec![10, 0], Ok(Next::Nothing)));
        assert_eq!(taken(&stream[..27]), (vec![], Ok(Next::Nothing)));
        assert_eq!(taken(&sealed(&[10, 5000])[..4000]), (vec![10], Ok(Next::NoRoom(5018))));
        let mut nonsense = stream.clone();
        nonsense[28 + 4] = version + 1;
        assert_eq!(taken(&nonsense), (vec![10], Err(FrameError::Version(version + 1))));
    }

    #[test]
    fn no_room_is_set_aside_for_a_large_frame_before_there_is_room() {
        let stream = sealed(&[10, 100_000]);
        let mut inflow = Inflow::new(PROTOCOL_VERSION, 1 << 20);
        inflow.read_from(&mut Trickle { rest: &stream[..60], step: 60 }).unwrap();

        assert!(matches!(inflow.next_frame_within(0), Ok(Next::Frame(frame)) if frame.len() == 28));
        assert_eq!(inflow.next_frame_within(100_017), Ok(Next::NoRoom(100_018)));
        assert!(inflow.large.is_none());
        assert_eq!(inflow.next_frame_within(100_018), Ok(Next::Nothing));
        assert_eq!(inflow.held_bytes(), NARROW_BYTES + 100_018);

        assert_eq!(received(&mut inflow, &stream[60..], 4000).unwrap(), [100_000]);
    }

    #[test]
    fn what_followed_the_handshake_survives_the_widening() {
        let mut inflow = Inflow::new(PROTOCOL_VERSION, 1000);
        let stream = sealed(&[10, 20]);
        inflow.read_from(&mut Trickle { rest: &stream[..40], step: 40 }).unwrap();

        inflow.widen();

        assert_eq!(received(&mut inflow, &stream[40..], 99).unwrap(), [10, 20]);
    }

    proptest::proptest! {
        /// Frames with random bytes put among them: whatever is taken for a frame was one, and nothing panics.
        #[test]
        fn a_stream_of_anything_yields_frames_or_an_error(
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            at in 0..300_usize,
            step in 1..5000_usize,
        ) {
            let sizes = [10, 6000, 0, 20];
            let mut stream = sealed(&sizes);
            let at = at.min(stream.len());
            stream.splice(at..at, noise);

            if let Ok(bodies) = received(&mut Inflow::new(PROTOCOL_VERSION, 1 << 16), &stream, step) {
                proptest::prop_assert!(bodies.iter().all(|size| sizes.contains(size)), "{bodies:?}");
            }
        }
    }

    #[test]
    fn the_end_of_the_stream_is_seen() {
        assert_eq!(Inflow::new(PROTOCOL_VERSION, 1000).read_from(&mut io::empty()).unwrap(), Taken::End);
    }
}
