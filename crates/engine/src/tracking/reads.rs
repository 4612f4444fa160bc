//! Which clients have read which keys since they last changed. Bounded: beyond it keys are given up one after another, and
//! their readers told to forget them.

use crate::id::{ClientId, Id};
use crate::limits::{TRACKED_BYTES, TRACKED_READS};
use crate::request::Request;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A key was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// By whom.
    pub(super) client: ClientId,
    /// With its last request for it, which may still be under way.
    pub(super) request: Id<Request>,
}

/// Readers by key.
#[derive(Debug, Default)]
pub(super) struct Reads {
    keys: BTreeMap<Box<[u8]>, Vec<Read>>,
    /// How many there are of all keys.
    count: usize,
    /// Bytes of all keys.
    bytes: usize,
    /// The key that was given up last.
    hand: Box<[u8]>,
}

impl Reads {
    /// A key was read.
    pub(super) fn add(&mut self, key: &[u8], read: Read) {
        let Some(readers) = self.keys.get_mut(key) else {
            self.keys.insert(key.into(), vec![read]);
            self.bytes += key.len();
            self.count += 1;
            return;
        };
        if let Some(last) = readers.last_mut().filter(|last| last.client == read.client) {
            *last = read;
            return;
        }
        if readers.len() == readers.capacity() {
            // Before it grows. Looking for the client each time would take too long where a key has many readers.
            let before = readers.len();
            tidy(readers);
            self.count -= before - readers.len();
            if readers.len() > readers.capacity() / 2 {
                readers.reserve(readers.len());
            }
        }
        readers.push(read);
        self.count += 1;
    }

    /// A key has changed: its readers, each once.
    pub(super) fn take(&mut self, key: &[u8]) -> Vec<Read> {
        let Some(mut readers) = self.keys.remove(key) else { return Vec::new() };
        self.bytes -= key.len();
        self.count -= readers.len();
        tidy(&mut readers);
        readers
    }

    /// A key to be given up because there are too many.
    pub(super) fn surplus(&mut self) -> Option<Box<[u8]>> {
        if self.count <= TRACKED_READS && self.bytes <= TRACKED_BYTES {
            return None;
        }
        let behind = (Bound::Excluded(&*self.hand), Bound::Unbounded);
        let next = self.keys.range::<[u8], _>(behind).next().or_else(|| self.keys.iter().next());
        let key = next.map(|(key, _)| key.clone())?;
        self.hand.clone_from(&key);
        Some(key)
    }

    pub(super) fn clear(&mut self) {
        *self = Reads::default();
    }
}

/// Each client once, with its last request.
fn tidy(readers: &mut Vec<Read>) {
    if readers.len() > 1 {
        let place = |read: &Read| (read.client.index(), read.client.generation());
        readers.reverse();
        readers.sort_by_key(place);
        readers.dedup_by_key(|read| place(read));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(client: u32, request: u32) -> Read {
        Read { client: Id::new(client, 0), request: Id::new(request, 0) }
    }

    #[test]
    fn each_reader_is_there_once_with_its_last_request() {
        let mut reads = Reads::default();
        for round in 0..100 {
            (0..7).for_each(|client| reads.add(b"k", read(client, round)));
            reads.add(b"k", read(6, round));
        }
        assert!(reads.count < 30, "{} places for 7 readers", reads.count);
        assert_eq!(reads.take(b"k"), (0..7).map(|client| read(client, 99)).collect::<Vec<_>>());
        assert_eq!((reads.take(b"k"), reads.count, reads.bytes), (Vec::new(), 0, 0));
    }

    #[test]
    fn there_is_a_bound_on_keys_and_on_their_bytes() {
        let mut reads = Reads::default();
        (0..=TRACKED_READS).for_each(|n| reads.add(n.to_string().as_bytes(), read(1, 1)));
        let first = reads.surplus().expect("one too many");
        assert_eq!(reads.take(&first).len(), 1);
        assert_eq!(reads.surplus(), None);
        reads.add(b"one more", read(1, 1));
        let second = reads.surplus().expect("one too many");
        assert!(second > first, "keys are given up in turn");
        let mut reads = Reads::default();
        let large = vec![b'x'; TRACKED_BYTES];
        reads.add(&large, read(1, 1));
        assert_eq!(reads.surplus(), None);
        reads.add(b"y", read(1, 1));
        let first = reads.surplus().expect("too many bytes");
        reads.take(&first);
        assert_eq!(reads.surplus(), None);
    }
}
