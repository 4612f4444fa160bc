//! Accepting clients and spreading them over the workers.

use crate::gate::Gate;
use crate::handle::{Handle, Message};
use reactor::net::{self, Peer};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// So many clients are accepted per listener and tick, so that a storm of connections does not hold up
/// those already in.
const ACCEPTS_PER_TICK: usize = 64;

/// So many clients beyond the limit are told and closed per listener and tick: each holds a descriptor until then.
const REFUSALS_PER_TICK: usize = 4;

/// A listening socket of a pool, shared by all workers.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The socket.
    pub socket: Arc<OwnedFd>,
    /// Index of the pool.
    pub pool: usize,
    /// Whether accepted clients get keep-alive probes.
    pub keepalive: bool,
    /// What a refused client reads.
    pub refusal: &'static str,
}

/// What came of one look at a listener.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A client for this worker.
    Here(OwnedFd, usize, Peer),
    /// One too many; it was told and is to be closed.
    Refused(OwnedFd, usize, Peer, u64),
    /// The system is out of descriptors or memory.
    Exhausted(usize, std::io::Error),
}

/// Accepts clients on behalf of one worker.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) workers: Vec<Handle>,
    pub(crate) here: usize,
    /// Given up for a moment when descriptors run out, so that a client can still be told.
    pub(crate) spare: Option<OwnedFd>,
}

impl Acceptor {
    pub(crate) fn accept(&mut self, index: usize, mut found: impl FnMut(Accepted)) {
        let Some(listener) = self.listeners.get(index).cloned() else { return };
        let mut refused = 0;
        for _ in 0..ACCEPTS_PER_TICK {
            match net::accept(&*listener.socket) {
                Ok(None) => return,
                Ok(Some((socket, peer))) => {
                    refused += usize::from(!self.place(&listener, socket, peer, &mut found));
                    if refused == REFUSALS_PER_TICK {
                        return;
                    }
                }
                Err(error) if net::is_exhausted(&error) => {
                    found(Accepted::Exhausted(listener.pool, error));
                    self.refuse_with_spare(&listener);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Finds a worker for a client; answers whether there is room for it.
    fn place(
        &self,
        listener: &Listener,
        socket: OwnedFd,
        peer: Peer,
        found: &mut impl FnMut(Accepted),
    ) -> bool {
        let worker = match self.gate.enter(listener.pool, self.here) {
            Ok(worker) => worker,
            Err(limit) => {
                // The client may be gone already; there is nobody else to tell.
                _ = net::send(&socket, listener.refusal.as_bytes());
                found(Accepted::Refused(socket, listener.pool, peer, limit));
                return false;
            }
        };
        if peer.inet().is_some() {
            // Neither can fail on a fresh TCP socket but by its being gone, which the first read tells.
            _ = net::set_nodelay(&socket);
            if listener.keepalive {
                _ = net::set_keepalive(&socket);
            }
        }
        if worker == self.here {
            found(Accepted::Here(socket, listener.pool, peer));
        } else {
            self.workers[worker].send(Message::Client { socket, pool: listener.pool, peer });
        }
        true
    }

    /// Out of descriptors: the spare one is let go to accept a client, tell it and close it.
    fn refuse_with_spare(&mut self, listener: &Listener) {
        drop(self.spare.take());
        if let Ok(Some((socket, _))) = net::accept(&*listener.socket) {
            _ = net::send(&socket, listener.refusal.as_bytes());
        }
        self.spare = spare();
    }
}

/// A descriptor held for the bad day.
pub(crate) fn spare() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}
