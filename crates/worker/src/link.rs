//! One socket in the reactor: what is wanted of it, told to the kernel only when it changes.

use crate::transport::Transport;
use reactor::{Interest, Reactor, Token};
use std::io;

/// A connection's socket with its interest.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: Transport,
    token: Token,
    interest: Interest,
    /// Not watched at all: it is not to be read, and has ended.
    asleep: bool,
}

impl Link {
    pub(crate) fn new(
        reactor: &Reactor,
        transport: Transport,
        token: Token,
        interest: Interest,
    ) -> io::Result<Link> {
        reactor.add(&transport, token, interest)?;
        Ok(Link { transport, token, interest, asleep: false })
    }

    pub(crate) fn want_read(&mut self, reactor: &Reactor, readable: bool) {
        self.want(reactor, Interest { readable, ..self.interest });
    }

    pub(crate) fn want_write(&mut self, reactor: &Reactor, writable: bool) {
        self.want(reactor, Interest { writable, ..self.interest });
    }

    pub(crate) fn reads(&self) -> bool {
        self.interest.readable
    }

    /// Stops watching until something is wanted: an end cannot be masked, and would wake the worker again and again.
    pub(crate) fn sleep(&mut self, reactor: &Reactor) {
        if !self.asleep {
            self.asleep = reactor.remove(&self.transport).is_ok();
        }
    }

    fn want(&mut self, reactor: &Reactor, interest: Interest) {
        if self.asleep {
            self.interest = interest;
            // Out of memory for the watch: the next wish tries again.
            self.asleep = reactor.add(&self.transport, self.token, interest).is_err();
        } else if self.interest != interest {
            self.interest = interest;
            // Fails only for a descriptor that is not watched, and a link's always is.
            _ = reactor.modify(&self.transport, self.token, interest);
        }
    }

    /// Takes the socket out of the reactor.
    pub(crate) fn release(self, reactor: &Reactor) -> Transport {
        _ = reactor.remove(&self.transport);
        self.transport
    }
}
