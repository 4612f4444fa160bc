//! What workers tell the log: small typed events through a bounded ring.
//!
//! A worker never formats, allocates or waits to report something; when the log cannot keep up, events are dropped
//! and counted, and the log says how many.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_queue::ArrayQueue;

use crate::text::Text;

/// Who is at the other end of a client connection; `None` for a unix socket.
pub type Peer = Option<SocketAddr>;

/// Something an operator may want to read. Pools and servers are places in the layout of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's sentence says what its fields are")]
pub enum Event {
    /// A client sent bytes that are not its pool's protocol; its connection was closed.
    ClientProtocolError { pool: u32, client: Peer, reason: Text },
    /// A connection was accepted and closed at once because `limit` clients were connected.
    ClientRefused { pool: u32, client: Peer, limit: u64 },
    /// A client left `unread_bytes` of replies unread and was closed.
    ClientOverflow { pool: u32, client: Peer, unread_bytes: u64 },
    /// A client was closed because `bytes` of an unfinished request were too much for `max_memory`.
    ClientTooBig { pool: u32, client: Peer, bytes: u64 },
    /// Connections cannot be accepted, for want of descriptors or memory; tried again later.
    AcceptFailed { pool: u32, error: Text },
    /// A connection to a server could not be made.
    ServerConnectFailed { pool: u32, server: u32, error: Text },
    /// A server closed or reset a connection; `requests` on it failed.
    ServerClosed { pool: u32, server: u32, requests: u32, reason: Text },
    /// A server did not answer within the pool's timeout; `requests` on that connection failed.
    ServerTimedOut { pool: u32, server: u32, requests: u32 },
    /// A server sent something that is no reply to what was asked; the connection was closed.
    ServerProtocolError { pool: u32, server: u32, reason: Text },
    /// A server refused what every connection to it begins with (`AUTH`, `SELECT`, ...).
    HandshakeRefused { pool: u32, server: u32, command: &'static str, reply: Text },
    /// So much was written elsewhere while a server is away that it is no longer remembered key by key.
    RecordOverflowed { pool: u32, server: u32 },
    /// A standby server did not take the bound of a key's TTL, and keeps the key longer.
    StandbyTtlRefused { pool: u32, server: u32, reply: Text },
}

/// How urgent an event is to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// One client's or connection's trouble.
    Warning,
    /// Requests fail until something is done.
    Error,
}

impl Event {
    /// How urgent it is.
    pub fn severity(&self) -> Severity {
        match self {
            Event::ClientProtocolError { .. }
            | Event::ClientRefused { .. }
            | Event::ClientOverflow { .. }
            | Event::ClientTooBig { .. }
            | Event::ServerClosed { .. }
            | Event::ServerTimedOut { .. }
            | Event::RecordOverflowed { .. }
            | Event::ServerConnectFailed { .. } => Severity::Warning,
            Event::AcceptFailed { .. }
            | Event::ServerProtocolError { .. }
            | Event::HandshakeRefused { .. }
            | Event::StandbyTtlRefused { .. } => Severity::Error,
        }
    }
}

/// A ring of events: any number of threads push, any number take.
#[derive(Debug)]
pub struct EventRing {
    queue: ArrayQueue<Event>,
    dropped: AtomicU64,
}

impl EventRing {
    /// Room for `capacity` events, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { queue: ArrayQueue::new(capacity.max(1)), dropped: AtomicU64::new(0) }
    }

    /// Adds an event, or counts it as dropped and answers `false` when the ring is full. Never waits.
    pub fn push(&self, event: Event) -> bool {
        let kept = self.queue.push(event).is_ok();
        if !kept {
            self.dropped.fetch_add(1, Relaxed);
        }
        kept
    }

    /// Takes the oldest event.
    pub fn pop(&self) -> Option<Event> {
        self.queue.pop()
    }

    /// How many events were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

// A thousand events are to stay a matter of a hundred kilobytes.
const _: () = assert!(size_of::<Event>() <= 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_the_newest_and_counts() {
        let ring = EventRing::new(3);
        let event = |server| Event::RecordOverflowed { pool: 0, server };
        let kept: Vec<bool> = (0..5).map(|server| ring.push(event(server))).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!(ring.dropped(), 2);
        assert_eq!(ring.pop(), Some(event(0)));
        assert!(ring.push(event(5)));
        let rest: Vec<Event> = std::iter::from_fn(|| ring.pop()).collect();
        assert_eq!((rest, ring.dropped()), (vec![event(1), event(2), event(5)], 2));
    }

    #[test]
    fn threads_lose_nothing_that_is_not_counted() {
        const EACH: u32 = 20_000;
        let ring = EventRing::new(64);
        let taken = std::thread::scope(|scope| {
            let producers: Vec<_> = (0..2)
                .map(|pool| {
                    let ring = &ring;
                    scope.spawn(move || {
                        (0..EACH)
                            .filter(|&server| ring.push(Event::RecordOverflowed { pool, server }))
                            .count()
                    })
                })
                .collect();
            let mut taken = 0;
            while !producers.iter().all(|p| p.is_finished()) {
                taken += std::iter::from_fn(|| ring.pop()).count();
            }
            taken += std::iter::from_fn(|| ring.pop()).count();
            let kept: usize = producers.into_iter().map(|p| p.join().expect("no panic")).sum();
            assert_eq!(taken, kept);
            taken
        });
        assert_eq!(taken as u64 + ring.dropped(), 2 * u64::from(EACH));
    }
}
