//! What expires next.
//!
//! All requests of a pool have the same timeout, so within a connection they expire in queue order
//! and one entry per connection is enough. An entry is left in the heap when the connection falls
//! idle and looked at when its time comes: the heap is touched once per timeout, not per request.

use crate::id::ConnId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Times at which connections want to be looked at.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Deadlines {
    /// Looks at `conn` at `at_us`.
    pub fn arm(&mut self, conn: ConnId, at_us: u64) {
        self.heap.push(Reverse((at_us, conn.index() as u32, conn.generation())));
    }

    /// The next time at which something is due, in microseconds.
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// A connection whose time has come.
    pub fn due(&mut self, now_us: u64) -> Option<ConnId> {
        if self.next()? > now_us {
            return None;
        }
        let Reverse((_, index, generation)) = self.heap.pop()?;
        Some(ConnId::new(index, generation))
    }
}
