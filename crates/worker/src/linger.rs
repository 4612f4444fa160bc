//! Closing a client that may still be sending: a close with unread bytes would make the kernel reset the
//! connection, and the client would lose the error that it is owed.

use crate::transport::Transport;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So long a closed client may go on sending before the socket goes anyway.
const LINGER: Duration = Duration::from_secs(2);

/// So many bytes are read and dropped per look.
const CHUNK: usize = 64 << 10;

/// So many sockets may linger at once; beyond it the oldest goes. They are not counted as clients, so they
/// must fit the descriptors that are reserved.
pub const LINGERING_MAX: usize = 8;

/// Sockets on their way out.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    sockets: VecDeque<(Instant, Transport)>,
}

impl Lingering {
    /// Ends our side of `transport` and keeps the other open for a while. Answers the one that is to be closed for it.
    pub(crate) fn add(&mut self, transport: Transport, now: Instant) -> Option<Transport> {
        transport.shutdown();
        let oldest = if self.sockets.len() >= LINGERING_MAX { self.sockets.pop_front() } else { None };
        self.sockets.push_back((now + LINGER, transport));
        oldest.map(|(_, transport)| transport)
    }

    /// Drops what they send, and those that have ended or whose time is up.
    pub(crate) fn look(&mut self, now: Instant, buffer: &mut [u8]) {
        let size = buffer.len().min(CHUNK);
        let chunk = &mut buffer[..size];
        self.sockets.retain(|(until, transport)| {
            now < *until && !matches!(transport.recv(chunk), Ok(Some(0)) | Err(_))
        });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// How soon to look again.
    pub(crate) fn pause(&self) -> Option<Duration> {
        (!self.is_empty()).then_some(Duration::from_millis(20))
    }
}
