//! Memory for large pieces that are given away and come back.
//!
//! A fresh megabyte costs more than to fill it: the allocator returns it to the system when it is let go, and the system
//! clears every page of the next one. What travels as [`Bytes`] is held by whoever needs it and let go somewhere else, so
//! nobody hands it back: its lender keeps an eye on what was lent, and lends it again when nobody else holds it.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// What is written past a page cache begins and ends on multiples of this, in memory and in the file.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Lends memory, a limited number of times at once; beyond that it is as any other.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Which byte of each buffer stands at the beginning of a page.
    page_at: usize,
    count_max: usize,
    /// What was lent, the longest ago in front.
    lent: VecDeque<Bytes>,
}

impl Buffers {
    /// At most `count_max` are remembered; byte `page_at` of each stands at the beginning of a page of memory.
    pub(crate) fn new(count_max: usize, page_at: usize) -> Self {
        Self { page_at, count_max, lent: VecDeque::new() }
    }

    /// Room for `bytes`, with anything in it.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        while let Some(free) = self.lent.iter().position(Bytes::is_unique) {
            let free = self.lent.remove(free).expect("it was found there");
            // One that is too small is let go: a larger one takes its place.
            if let Ok(mut buffer) = free.try_into_mut()
                && buffer.capacity() >= bytes
            {
                buffer.resize(bytes, 0);
                return buffer;
            }
        }
        room(bytes, self.page_at)
    }

    /// Gives it away, to come back when nobody holds any part of it.
    pub(crate) fn lend(&mut self, buffer: BytesMut) -> Bytes {
        let buffer = buffer.freeze();
        if self.lent.len() == self.count_max {
            self.lent.pop_front();
        }
        self.lent.push_back(buffer.clone());
        buffer
    }

    /// Keeps nothing any more.
    pub(crate) fn clear(&mut self) {
        self.lent = VecDeque::new();
    }
}

/// Zeros, of which byte `page_at` stands at the beginning of a page of memory.
pub(crate) fn room(bytes: usize, page_at: usize) -> BytesMut {
    let mut buffer = BytesMut::zeroed(bytes + PAGE_BYTES);
    let before = buffer[page_at.min(bytes)..].as_ptr().align_offset(PAGE_BYTES);
    buffer.advance(before);
    buffer.truncate(bytes);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lent(buffers: &mut Buffers, bytes: usize) -> Bytes {
        let buffer = buffers.take(bytes);
        assert_eq!(buffer.len(), bytes);
        buffers.lend(buffer)
    }

    #[test]
    fn memory_comes_back_when_nobody_holds_a_part_of_it() {
        let mut buffers = Buffers::new(4, 0);
        let first = lent(&mut buffers, 100_000);
        let place = first.as_ptr();
        let part = first.slice(50_000..);
        drop(first);

        let second = lent(&mut buffers, 100_000);
        assert_ne!(second.as_ptr(), place, "a part of the first is held");
        drop(part);

        for bytes in [70_000, 100_000] {
            assert_eq!(lent(&mut buffers, bytes).as_ptr(), place, "{bytes} bytes find room there");
        }
        drop(second);
        assert!(lent(&mut buffers, 200_000).len() == 200_000, "neither is large enough");
        assert_eq!(buffers.lent.len(), 1, "and what is too small is let go");
    }

    #[test]
    fn a_byte_of_each_begins_a_page() {
        for page_at in [0, 34, 4096, 5000] {
            let mut buffers = Buffers::new(4, page_at);
            for bytes in [10_000, 300_000, 5001] {
                let buffer = lent(&mut buffers, bytes);
                assert_eq!(buffer[page_at..].as_ptr().align_offset(PAGE_BYTES), 0, "{page_at} of {bytes}");
            }
        }
        assert_eq!(lent(&mut Buffers::new(4, 34), 10).len(), 10, "what is shorter has no such byte");
    }

    #[test]
    fn no_more_is_remembered_than_asked_for() {
        let mut buffers = Buffers::new(2, 0);
        let held: Vec<_> = (0..5).map(|_| lent(&mut buffers, 10)).collect();
        assert_eq!(buffers.lent.len(), 2);
        drop(held);
        buffers.clear();
        assert!(buffers.lent.is_empty());
    }
}
