//! One socket in the reactor: what is wanted of it, told to the kernel only when it changes.
//!
//! With a ring, the ring reads, and the reactor watches only sockets that want more than to be read:
//! ```text
//!   interest        ring          reactor
//!   read            receives      -
//!   read, write     receives      writable
//!   write           -             writable
//!   nothing         -             (an end, which cannot be masked)
//! ```

use crate::net::Net;
use crate::transport::Transport;
use reactor::{Interest, Token};
use std::io;

/// A connection's socket with its interest.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: Transport,
    token: Token,
    interest: Interest,
    /// Not watched by the reactor: it is not to be read, and has ended; or the ring does all that is wanted.
    asleep: bool,
    /// What the ring does with it.
    order: Ordered,
    /// Its output is in the list of what the next flush sends.
    pub(crate) queued: bool,
    /// In which turn the ring last received of it.
    pub(crate) fed: u32,
    /// What the ring received while it was not to be read.
    held: Option<Box<Held>>,
}

/// A stream's order at the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ordered {
    Nothing,
    Receiving,
    /// Its last arrival is still to come.
    Cancelled,
}

/// What came too late to be stopped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    /// What came behind the bytes: the end (0) or an error.
    pub(crate) end: Option<i32>,
}

impl Link {
    pub(crate) fn new(net: &Net, transport: Transport, token: Token, interest: Interest) -> io::Result<Link> {
        let mut link = Link {
            transport,
            token,
            interest,
            asleep: false,
            order: Ordered::Nothing,
            queued: false,
            fed: 0,
            held: None,
        };
        if !net.has_ring() {
            net.add(&link.transport, token, interest)?;
        } else if interest == Interest::READABLE {
            link.asleep = true;
            link.receive(net);
        } else {
            net.add(&link.transport, token, Interest { readable: false, ..interest })?;
        }
        Ok(link)
    }

    pub(crate) fn want_read(&mut self, net: &Net, readable: bool) {
        self.want(net, Interest { readable, ..self.interest });
    }

    pub(crate) fn want_write(&mut self, net: &Net, writable: bool) {
        self.want(net, Interest { writable, ..self.interest });
    }

    pub(crate) fn reads(&self) -> bool {
        self.interest.readable
    }

    pub(crate) fn writes(&self) -> bool {
        self.interest.writable
    }

    /// Stops watching until something is wanted: an end cannot be masked, and would wake the worker again and again.
    pub(crate) fn sleep(&mut self, net: &Net) {
        if !self.asleep {
            self.asleep = net.remove(&self.transport).is_ok();
        }
    }

    fn want(&mut self, net: &Net, interest: Interest) {
        if net.has_ring() {
            if self.interest != interest {
                self.want_of_ring(net, interest);
            }
        } else if self.asleep {
            self.interest = interest;
            // Out of memory for the watch: the next wish tries again.
            self.asleep = net.add(&self.transport, self.token, interest).is_err();
        } else if self.interest != interest {
            self.interest = interest;
            // Fails only for a descriptor that is not watched, and a link's always is.
            _ = net.modify(&self.transport, self.token, interest);
        }
    }

    fn want_of_ring(&mut self, net: &Net, interest: Interest) {
        self.interest = interest;
        if interest.readable {
            self.receive(net);
        } else {
            self.cancel(net);
        }
        let watch = Interest { readable: false, ..interest };
        if interest == Interest::READABLE {
            self.sleep(net);
        } else if self.asleep {
            self.asleep = net.add(&self.transport, self.token, watch).is_err();
        } else {
            _ = net.modify(&self.transport, self.token, watch);
        }
    }

    /// Has the ring receive; while an older order is being cancelled, its last arrival does it ([`Link::ended`]).
    fn receive(&mut self, net: &Net) {
        if self.order == Ordered::Nothing {
            net.receive(&self.transport, self.token);
            self.order = Ordered::Receiving;
        }
    }

    fn cancel(&mut self, net: &Net) {
        if self.order == Ordered::Receiving {
            net.cancel(self.token);
            self.order = Ordered::Cancelled;
        }
    }

    /// The order has ended; `again`: the stream has not.
    pub(crate) fn ended(&mut self, net: &Net, again: bool) {
        self.order = Ordered::Nothing;
        if again && self.interest.readable {
            self.receive(net);
        }
    }

    /// Whether what arrives has to wait: it is not to be read now, or more waits already.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        !self.interest.readable || self.held.is_some()
    }

    /// Keeps what arrived for when it is to be read.
    #[cold]
    pub(crate) fn hold(&mut self, net: &Net, result: i32, bytes: &[u8]) {
        let held = self.held.get_or_insert_default();
        if result > 0 {
            net.keep(bytes.len());
            held.bytes.extend_from_slice(bytes);
        } else {
            held.end = Some(result);
        }
    }

    /// What was kept, if it is to be read now.
    pub(crate) fn take_held(&mut self, net: &Net) -> Option<Box<Held>> {
        if !self.interest.readable {
            return None;
        }
        let held = self.held.take()?;
        net.let_go(held.bytes.len());
        Some(held)
    }

    /// Whether something was kept.
    pub(crate) fn has_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the socket out of the reactor. With a ring, it must not be closed before the next flush.
    pub(crate) fn release(mut self, net: &Net) -> Transport {
        self.cancel(net);
        if let Some(held) = self.held.take() {
            net.let_go(held.bytes.len());
        }
        if !self.asleep {
            _ = net.remove(&self.transport);
        }
        self.transport
    }
}
