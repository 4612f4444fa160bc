//! What expires next.
//!
//! All requests to a server have the same timeout, so within a connection they expire in queue order
//! and one entry per connection is enough. An entry is left in the heap when the connection falls
//! idle and looked at when its time comes: the heap is touched once per timeout, not per request.
//! When a server's timeout gets shorter its connections get an earlier entry; the older one, which
//! `ServerConn::armed` does not name any more, is then nobody's and dropped when its time comes.

use crate::id::Id;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::marker::PhantomData;

/// A time that does not come.
pub const NEVER: u64 = u64::MAX;

/// Times at which connections want to be looked at.
#[derive(Debug)]
pub struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { heap: BinaryHeap::new(), kind: PhantomData }
    }
}

impl<K> Deadlines<K> {
    /// Looks at `conn` at `at_us`.
    pub fn arm(&mut self, conn: Id<K>, at_us: u64) {
        self.heap.push(Reverse((at_us, conn.index() as u32, conn.generation())));
    }

    /// Drops entries of connections that are gone, once they are more than those of the `living`.
    pub fn tidy(&mut self, living: usize, lives: impl Fn(Id<K>) -> bool) {
        if self.heap.len() > living * 2 + 1024 {
            self.heap.retain(|Reverse((_, index, generation))| lives(Id::new(*index, *generation)));
        }
    }

    /// The next time at which something is due, in microseconds; or [`NEVER`].
    #[inline]
    pub fn next(&self) -> u64 {
        self.heap.peek().map_or(NEVER, |Reverse((at, _, _))| *at)
    }

    /// A connection whose time has come.
    pub fn due(&mut self, now_us: u64) -> Option<Id<K>> {
        if self.next() > now_us {
            return None;
        }
        let Reverse((_, index, generation)) = self.heap.pop()?;
        Some(Id::new(index, generation))
    }
}
