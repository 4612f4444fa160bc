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
}

impl Link {
    pub(crate) fn new(
        reactor: &Reactor,
        transport: Transport,
        token: Token,
        interest: Interest,
    ) -> io::Result<Link> {
        reactor.add(&transport, token, interest)?;
        Ok(Link { transport, token, interest })
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

    fn want(&mut self, reactor: &Reactor, interest: Interest) {
        if self.interest != interest {
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
