//! What arrives on one connection, until it is a whole frame.
//!
//! One buffer takes many small frames per read; each is copied out, so that an entry that is kept for long keeps no more
//! memory alive than its own frame. A frame that is larger than the buffer gets an allocation of exactly its size as soon
//! as its header was judged, and is read straight into it. One that carries a chunk of a snapshot is soon let go, and the
//! next one comes: those are read into memory that is lent again and again.

use std::io::{self, ErrorKind, IoSliceMut, Read};

use bytes::{Bytes, BytesMut};

use crate::wire::frame::{self, FrameError};
use crate::wire::hello::HELLO_BYTES_MAX;
use crate::wire::{Buffers, WireError};

/// What a connection that has not said who it is may occupy.
const NARROW_BYTES: usize = 4 << 10;
/// What a peer's connection occupies.
const WIDE_BYTES: usize = 64 << 10;

const _: () = assert!(HELLO_BYTES_MAX <= NARROW_BYTES, "a handshake fits the narrow buffer");

/// The input side of one connection.
#[derive(Debug)]
pub(super) struct Inflow {
    buffer: Box<[u8]>,
    /// What was read and not yet taken: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The frame under way, if it does not fit the buffer; the buffer is empty then, or holds what follows it.
    large: Option<Large>,
    /// Whether such frames are read into memory that is lent.
    borrows: bool,
    frame_bytes_max: usize,
}

#[derive(Debug)]
struct Large {
    frame: BytesMut,
    filled: usize,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many bytes; `all` if the socket had no more.
    Bytes { count: usize, all: bool },
    /// Nothing for now.
    Nothing,
    /// The other side will say no more.
    End,
}

impl Inflow {
    /// Takes frames of at most `frame_bytes_max`, header included.
    pub(super) fn new(frame_bytes_max: usize) -> Self {
        let buffer = vec![0; NARROW_BYTES].into();
        Self { buffer, start: 0, end: 0, large: None, borrows: false, frame_bytes_max }
    }

    /// The other side is a peer: make room for its traffic.
    pub(super) fn widen(&mut self) {
        let mut wide = vec![0; WIDE_BYTES].into_boxed_slice();
        let waiting = self.end - self.start;
        wide[..waiting].copy_from_slice(self.waiting());
        (self.buffer, self.start, self.end) = (wide, 0, waiting);
    }

    /// The other side sends frames of up to `frame_bytes_max` and hardly anything else: the buffer stays narrow, so that
    /// nearly all bytes are read straight into the frame they belong to; and nobody keeps them for long.
    pub(super) fn expect_large(&mut self, frame_bytes_max: usize) {
        (self.frame_bytes_max, self.borrows) = (frame_bytes_max, true);
    }

    /// One read from `socket`.
    pub(super) fn read_from(&mut self, socket: &mut impl Read) -> io::Result<Taken> {
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

    /// The first frame, if all of it is there; `buffers` has memory for large ones. An error is final: nothing after it can
    /// be trusted.
    pub(super) fn next_frame(&mut self, buffers: &mut Buffers) -> Result<Option<Bytes>, FrameError> {
        if let Some(whole) = self.large.take_if(|large| large.filled == large.frame.len()) {
            let frame = whole.frame;
            return Ok(Some(if self.borrows { buffers.lend(frame) } else { frame.freeze() }));
        }
        if self.large.is_some() {
            return Ok(None);
        }
        let Some(length) = frame::announced_len(self.waiting(), self.frame_bytes_max)? else {
            return Ok(None);
        };
        if length > self.buffer.len() {
            let filled = self.end - self.start;
            let mut frame = if self.borrows { buffers.take(length) } else { BytesMut::zeroed(length) };
            frame[..filled].copy_from_slice(self.waiting());
            self.skip(filled);
            self.large = Some(Large { frame, filled });
            return Ok(None);
        }
        Ok(self.take(length).map(Bytes::copy_from_slice))
    }

    /// The hello or answer at the front, if all of it is there; `announced_len` says how long it is.
    pub(super) fn next_greeting(
        &mut self,
        announced_len: impl FnOnce(&[u8]) -> Result<Option<usize>, WireError>,
    ) -> Result<Option<&[u8]>, WireError> {
        Ok(match announced_len(self.waiting())? {
            Some(length) => self.take(length),
            None => None,
        })
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
    let (mut inflow, mut trickle) = (Inflow::new(frame_bytes_max), Trickle { rest: stream, step });
    let mut buffers = Buffers::new(1, 0);
    let mut frames = Vec::new();
    while let Ok(Taken::Bytes { .. }) = inflow.read_from(&mut trickle) {
        loop {
            match inflow.next_frame(&mut buffers) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::GroupId;

    fn sealed(sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for &size in sizes {
            frame::seal(1, GroupId(1), &mut out, |out| out.resize(out.len() + size, size as u8));
        }
        out
    }

    fn received(inflow: &mut Inflow, stream: &[u8], step: usize) -> Result<Vec<usize>, FrameError> {
        let (mut trickle, mut buffers) = (Trickle { rest: stream, step }, Buffers::new(2, 0));
        let mut bodies = Vec::new();
        while let Taken::Bytes { .. } = inflow.read_from(&mut trickle).expect("no error but blocking") {
            while let Some(bytes) = inflow.next_frame(&mut buffers)? {
                bodies.push(frame::open(bytes)?.body.len());
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
        let mut inflow = Inflow::new(1 << 20);

        while let Taken::Bytes { .. } = inflow.read_from(&mut disturbed).expect("no error but blocking") {}

        assert_eq!(inflow.next_frame(&mut Buffers::new(1, 0)).unwrap().as_deref(), Some(stream.as_slice()));
    }

    #[test]
    fn frames_are_whole_in_whatever_pieces_they_come() {
        let sizes = [0, 1, 5000, 65_518, 65_519, 3, 200_000, 7];
        let stream = sealed(&sizes);

        for step in [1, 3, 4095, 1 << 20] {
            let mut narrow = Inflow::new(1 << 20);
            assert_eq!(received(&mut narrow, &stream, step).unwrap(), sizes, "in steps of {step}");

            let mut wide = Inflow::new(1 << 20);
            wide.widen();
            assert_eq!(received(&mut wide, &stream, step).unwrap(), sizes, "in steps of {step}");

            let mut bulk = Inflow::new(1 << 20);
            bulk.expect_large(1 << 20);
            assert_eq!(received(&mut bulk, &stream, step).unwrap(), sizes, "in steps of {step}");
        }
    }

    #[test]
    fn a_large_frame_comes_into_the_memory_of_one_that_was_let_go() {
        let (stream, mut buffers) = (sealed(&[100_000, 100_000, 100_000]), Buffers::new(4, 18));
        let mut trickle = Trickle { rest: &stream, step: 50_000 };
        let mut bulk = Inflow::new(1 << 20);
        bulk.expect_large(1 << 20);
        let mut places = Vec::new();
        while let Taken::Bytes { .. } = bulk.read_from(&mut trickle).expect("no error but blocking") {
            while let Some(frame) = bulk.next_frame(&mut buffers).expect("good frames") {
                assert_eq!(frame[18..].as_ptr().align_offset(4096), 0, "its body begins a page");
                places.push(frame.as_ptr());
            }
        }
        assert_eq!(places.len(), 3);
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header() {
        let mut inflow = Inflow::new(1000);

        let refused = received(&mut inflow, &sealed(&[2000])[..18], 18);

        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
        assert!(inflow.large.is_none(), "no room is made for it");
    }

    #[test]
    fn what_followed_the_handshake_survives_the_widening() {
        let mut inflow = Inflow::new(1000);
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

            if let Ok(bodies) = received(&mut Inflow::new(1 << 16), &stream, step) {
                proptest::prop_assert!(bodies.iter().all(|size| sizes.contains(size)), "{bodies:?}");
            }
        }
    }

    #[test]
    fn the_end_of_the_stream_is_seen() {
        assert_eq!(Inflow::new(1000).read_from(&mut io::empty()).unwrap(), Taken::End);
    }
}
