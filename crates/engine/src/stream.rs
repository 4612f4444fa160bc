//! Bytes on their way to a server, kept until they are answered.
//!
//! ```text
//!   positions since the connection began:   base <= written <= end
//!   buf:  | sent, not answered | waiting |
//!         base                 written   end
//! ```
//! Keeping sent bytes costs no copy, and lets a read be sent once more when its connection breaks. A connection at
//! rest owns no buffer.

use crate::limits::COMPACT_BYTES;
use crate::outbox::{Buffers, Lent};

/// One connection's outgoing bytes.
#[derive(Debug, Default)]
pub struct Stream {
    lent: Lent,
    base: u64,
    written: u64,
}

impl Stream {
    /// The buffer, to append to.
    #[inline]
    pub fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        self.lent.buffer(buffers)
    }

    /// Bytes of room that its buffer has.
    pub fn room(&self) -> usize {
        self.lent.buf.capacity()
    }

    /// Position after the last appended byte.
    #[inline]
    pub fn end(&self) -> u64 {
        self.base + self.lent.buf.len() as u64
    }

    /// Position after the last byte taken by the socket.
    #[inline]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How many bytes the socket has not taken.
    #[inline]
    pub fn waiting_len(&self) -> usize {
        (self.end() - self.written) as usize
    }

    /// The bytes that the socket has not taken.
    #[inline]
    pub fn waiting(&self) -> &[u8] {
        &self.lent.buf[(self.written - self.base) as usize..]
    }

    /// Appends what is in `bytes` behind the first `room` of them, without copying it where what is kept here already fits
    /// into those.
    pub(crate) fn adopt(&mut self, mut bytes: Vec<u8>, room: usize, buffers: &mut Buffers) {
        let kept = &self.lent.buf;
        let gap = room.checked_sub(kept.len());
        let place = gap.and_then(|gap| bytes.get_mut(gap..room));
        let (Some(gap), Some(place)) = (gap, place) else {
            return self.lent.buf.extend_from_slice(bytes.get(room..).unwrap_or(&[]));
        };
        place.copy_from_slice(kept);
        match self.base.checked_sub(gap as u64) {
            // Like bytes that are answered and not dropped yet.
            Some(base) => self.base = base,
            None => _ = bytes.drain(..gap),
        }
        buffers.give(std::mem::replace(&mut self.lent.buf, bytes));
    }

    /// Takes the last `count` bytes away, which the socket has not taken.
    #[inline]
    pub(crate) fn shorten(&mut self, count: usize) {
        self.truncate(self.end().saturating_sub(count as u64));
    }

    /// Takes `count` bytes away from the position `from` on, none of which the socket has taken.
    pub(crate) fn cut(&mut self, from: u64, count: usize) {
        let from = from.saturating_sub(self.base) as usize;
        let until = from.saturating_add(count).min(self.lent.buf.len());
        self.lent.buf.drain(from.min(until)..until);
    }

    /// The socket took `count` more bytes.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.written = (self.written + count as u64).min(self.end());
    }

    /// The bytes between two positions that are still kept.
    pub fn between(&self, from: u64, until: u64) -> &[u8] {
        let range = from.saturating_sub(self.base) as usize..until.saturating_sub(self.base) as usize;
        self.lent.buf.get(range).unwrap_or(&[])
    }

    /// Bytes before `until` are answered and need not be kept.
    #[inline]
    pub fn forget(&mut self, until: u64, buffers: &mut Buffers) {
        let gone = until.min(self.written).saturating_sub(self.base) as usize;
        if gone == self.lent.buf.len() {
            self.release(buffers);
        } else if gone > COMPACT_BYTES && gone > self.lent.buf.len() / 2 {
            self.lent.buf.drain(..gone);
            self.base += gone as u64;
        }
    }

    /// Drops the bytes from `from` on, which the socket has not taken.
    #[inline]
    pub fn truncate(&mut self, from: u64) {
        let kept = from.max(self.written).saturating_sub(self.base) as usize;
        self.lent.buf.truncate(kept);
    }

    /// Drops all bytes.
    #[inline]
    pub fn release(&mut self, buffers: &mut Buffers) {
        self.base = self.end();
        self.written = self.base;
        self.lent.release(buffers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_bytes_stay_until_they_are_answered() {
        let mut buffers = Buffers::new(4096);
        let mut stream = Stream::default();
        stream.buffer(&mut buffers).extend_from_slice(b"one two ");
        assert_eq!(stream.waiting(), b"one two ");
        stream.advance(4);
        assert_eq!(stream.waiting(), b"two ");
        assert_eq!(stream.between(0, 4), b"one ");
        stream.advance(4);
        stream.forget(4, &mut buffers);
        assert_eq!(stream.between(4, 8), b"two ");
        stream.forget(8, &mut buffers);
        assert_eq!(stream.lent.buf.capacity(), 0, "a stream at rest owns no memory");
        stream.buffer(&mut buffers).extend_from_slice(b"three");
        assert_eq!((stream.written(), stream.end()), (8, 13));
        assert_eq!(stream.waiting(), b"three");
    }

    #[test]
    fn a_buffer_is_taken_over_with_what_was_there_before_it() {
        let mut buffers = Buffers::new(4096);
        // Sent before and dropped; sent before and kept; waiting; and whether there is room for the latter two.
        for (dropped, sent, waiting) in
            [(0, 0, 0), (0, 3, 2), (100, 0, 0), (100, 3, 5), (100, 30, 40), (5, 4, 4)]
        {
            let mut stream = Stream::default();
            let all: Vec<u8> = (0..dropped + sent + waiting + 50).map(|n| n as u8).collect();
            let before = dropped + sent + waiting;
            stream.buffer(&mut buffers).extend_from_slice(&all[..dropped]);
            stream.advance(dropped);
            stream.forget(dropped as u64, &mut buffers);
            stream.buffer(&mut buffers).extend_from_slice(&all[dropped..before]);
            stream.advance(sent);
            stream.adopt([&[b'?'; 16], &all[before..]].concat(), 16, &mut buffers);
            assert_eq!(stream.waiting(), &all[dropped + sent..]);
            assert_eq!(stream.between(dropped as u64, stream.end()), &all[dropped..]);
            assert_eq!((stream.written(), stream.end()), ((dropped + sent) as u64, all.len() as u64));
            stream.advance(waiting + 10);
            stream.forget(before as u64, &mut buffers);
            assert_eq!(stream.waiting(), &all[before + 10..]);
            stream.advance(40);
            stream.forget(all.len() as u64, &mut buffers);
            assert_eq!((stream.room(), stream.end()), (0, all.len() as u64));
        }
    }

    #[test]
    fn what_is_answered_is_dropped_even_while_more_comes() {
        let mut buffers = Buffers::new(4096);
        let mut stream = Stream::default();
        for _ in 0..1000 {
            stream.buffer(&mut buffers).extend_from_slice(&[b'x'; 1000]);
            stream.advance(1000);
            stream.forget(stream.end() - 500, &mut buffers);
            assert!(stream.lent.buf.len() < 4 * COMPACT_BYTES);
            assert_eq!(stream.between(stream.end() - 500, stream.end()).len(), 500);
        }
    }
}
