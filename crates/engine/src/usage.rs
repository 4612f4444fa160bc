//! What of a worker's state is in use, to see that nothing is left behind.

use crate::core::Core;

/// What an engine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Connected clients.
    pub clients: usize,
    /// Requests without a delivered reply.
    pub requests: usize,
    /// Split or fanned-out requests without a delivered reply.
    pub merges: usize,
    /// Connections to servers.
    pub conns: usize,
    /// Replies that servers owe.
    pub in_flight: usize,
    /// Pieces of large replies that wait for more to leave with.
    pub pieces: usize,
    /// Requests and replies of very many keys that are worked on a few keys at a time.
    pub divided: usize,
}

impl Core {
    /// Slots, merges and connections in use: all but connections fall to 0 when clients are gone.
    pub fn usage(&self) -> Usage {
        let in_flight = self.conns.iter().map(|(_, conn)| conn.queue.len()).sum();
        Usage {
            clients: self.replies.clients.len(),
            requests: self.replies.requests.len(),
            merges: self.merges.len(),
            conns: self.conns.len(),
            in_flight,
            pieces: self.pieces.len(),
            divided: self.divisions.len(),
        }
    }
}
