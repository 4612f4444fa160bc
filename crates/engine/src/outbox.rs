//! Bytes waiting to be written, and the store of spare buffers they live in.
//!
//! ```text
//!   buf:  | already sent | waiting |        sent <= buf.len()
//!         0            sent       len
//! ```
//! A buffer is taken from the store at the first byte and given back when the last one has left, so
//! a connection at rest owns none.

use crate::limits::{BUFFER_GROWTH_KEPT, BUFFERS_KEPT, COMPACT_BYTES, DOUBLED_BYTES};

/// Spare buffers of one worker.
#[derive(Debug)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
    fresh: usize,
}

impl Buffers {
    /// A store whose new buffers have room for `fresh` bytes, and that keeps buffers up to 16 times that.
    pub fn new(fresh: usize) -> Buffers {
        Buffers { spare: Vec::new(), fresh }
    }

    /// An empty buffer.
    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.fresh))
    }

    /// Bytes of room of the spare buffers.
    pub fn room(&self) -> usize {
        self.spare.iter().map(Vec::capacity).sum()
    }

    /// Gives all spare buffers back to the system.
    pub fn clear(&mut self) {
        self.spare.clear();
    }

    /// Gives a buffer back; a large one goes to the system, so that memory falls after a burst.
    #[inline]
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let useful = buffer.capacity() >= self.fresh && buffer.capacity() <= self.fresh * BUFFER_GROWTH_KEPT;
        if useful && self.spare.len() < BUFFERS_KEPT {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Bytes waiting to be written to one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    buf: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.buf.len() - self.sent
    }

    /// Bytes of room that its buffer has.
    pub fn room(&self) -> usize {
        self.buf.capacity()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The waiting bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.sent..]
    }

    /// The buffer, to append to.
    #[inline]
    pub fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.buf.capacity() == 0 {
            self.buf = buffers.take();
        } else if self.buf.len() >= DOUBLED_BYTES {
            grow_little(&mut self.buf);
        }
        &mut self.buf
    }

    /// Marks `count` more bytes as sent.
    #[inline]
    pub fn advance(&mut self, count: usize, buffers: &mut Buffers) {
        self.sent = (self.sent + count).min(self.buf.len());
        if self.sent == self.buf.len() {
            self.release(buffers);
        } else if self.sent > COMPACT_BYTES && self.sent > self.buf.len() / 2 {
            self.buf.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Drops what waits.
    #[inline]
    pub fn release(&mut self, buffers: &mut Buffers) {
        self.sent = 0;
        buffers.give(std::mem::take(&mut self.buf));
    }
}

/// A large buffer that doubles takes up to twice what it holds. One that grows by a quarter is moved more often, which the
/// system does without copying.
#[cold]
fn grow_little(buffer: &mut Vec<u8>) {
    if buffer.capacity() - buffer.len() < buffer.len() / 16 {
        buffer.reserve_exact(buffer.len() / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_leave_the_rest_in_order() {
        let mut buffers = Buffers::new(4096);
        let mut outbox = Outbox::default();
        let all: Vec<u8> = (0..400_000u32).map(|i| i as u8).collect();
        outbox.buffer(&mut buffers).extend_from_slice(&all);
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let count = outbox.len().min(7_001);
            seen.extend_from_slice(&outbox.bytes()[..count]);
            outbox.advance(count, &mut buffers);
        }
        assert_eq!(seen, all);
        assert_eq!(outbox.buf.capacity(), 0, "a drained outbox owns no memory");
    }

    #[test]
    fn the_store_keeps_ordinary_buffers_only() {
        let mut buffers = Buffers::new(4096);
        buffers.give(Vec::with_capacity(1 << 20));
        assert!(buffers.spare.is_empty());
        buffers.give(Vec::with_capacity(4096));
        assert_eq!(buffers.spare.len(), 1);
    }
}
