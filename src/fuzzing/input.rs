//! The fuzzer's bytes, read as decisions. There are always more of them: behind the end stand zeros.

/// What is left of the bytes.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// At most so many bytes.
    pub(super) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.number::<1>() as u8
    }

    pub(super) fn u16(&mut self) -> u16 {
        self.number::<2>() as u16
    }

    pub(super) fn u32(&mut self) -> u32 {
        self.number::<4>() as u32
    }

    pub(super) fn u64(&mut self) -> u64 {
        self.number::<8>()
    }

    pub(super) fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u8()) % bound
    }

    /// A number near `origin` most often, and any number sometimes.
    pub(super) fn near(&mut self, origin: u64) -> u64 {
        match self.u8() {
            255 => self.u64(),
            254 => u64::MAX - u64::from(self.u8()),
            253 => u64::MAX / 2 + u64::from(self.u8()),
            step => origin.wrapping_add(u64::from(step % 16)).saturating_sub(u64::from(step / 16)),
        }
    }

    fn number<const WIDTH: usize>(&mut self) -> u64 {
        self.bytes(WIDTH).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}
