//! A worker's clients: accepting, reading, writing and closing them.

use crate::link::Link;
use crate::listen::Accepted;
use crate::ringed::Stream;
use crate::sockets::{Kind, plain_token, token};
use crate::tick::Worker;
use crate::transport::Transport;
use engine::id::ClientId;
use engine::{Closing, Input};
use reactor::net::{self, Peer, SockAddr};
use reactor::{Event, Interest};
use stats::{PoolMetric, Text};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Out of descriptors, a listener is left alone for so long.
const LISTENER_REST: Duration = Duration::from_millis(100);

/// A client's socket.
pub(crate) struct ClientSocket {
    pub(crate) link: Link,
    pub(crate) pool: usize,
    /// Nothing more will come: its end was read.
    pub(crate) ended: bool,
}

impl Worker {
    pub(crate) fn accept(&mut self, index: usize) {
        let mut accepted = Vec::new();
        self.acceptor.accept(index, |found| accepted.push(found));
        for found in accepted {
            match found {
                Accepted::Here(socket, pool, peer) => self.open_client(socket, pool, peer),
                Accepted::Refused(socket, pool, peer, limit) => {
                    self.linger(Transport::Plain(socket));
                    self.shard.pool(pool, PoolMetric::ClientRefused).add(1);
                    let event = stats::Event::ClientRefused { pool: pool as u32, client: peer.inet(), limit };
                    self.process.events.push(event);
                }
                Accepted::Exhausted(pool, error) => {
                    self.rest_listener(index);
                    self.shard.pool(pool, PoolMetric::ClientRefused).add(1);
                    let error = Text::format(format_args!("{error}"));
                    self.process.events.push(stats::Event::AcceptFailed { pool: pool as u32, error });
                }
            }
        }
    }

    /// Stops watching a listener for a moment: level-triggered, it would wake the worker again at once.
    fn rest_listener(&mut self, index: usize) {
        if let Some(listener) = self.acceptor.listeners.get(index)
            && self.reactor.remove(&*listener.socket).is_ok()
        {
            self.resting.push((Instant::now() + LISTENER_REST, index));
        }
    }

    pub(crate) fn wake_listeners(&mut self) {
        let now = Instant::now();
        while let Some((_, index)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.resting.remove(0);
            if let Some(listener) = self.acceptor.listeners.get(index) {
                // Out of memory for the watch: it is tried again a little later.
                let token = plain_token(Kind::Listener, index as u32);
                if self.reactor.add_listener(&*listener.socket, token).is_err() {
                    self.resting.push((now + LISTENER_REST, index));
                    return;
                }
            }
        }
    }

    pub(crate) fn open_client(&mut self, socket: OwnedFd, pool: usize, peer: Peer) {
        let id = self.core.open_client(pool as u32, peer.inet());
        // It fails only on a socket that is none.
        let local = net::bound_addr(&socket).ok().and_then(|local| match local {
            SockAddr::Inet(local) => Some(local),
            SockAddr::Unix(_) => None,
        });
        self.core.seat_client(id, local, socket.as_raw_fd());
        let link =
            Link::new(&self.reactor, Transport::Plain(socket), token(Kind::Client, id), Interest::READABLE);
        match link {
            Ok(link) => {
                let client = ClientSocket { link, pool, ended: false };
                if let Some(old) = self.clients.insert(id, client) {
                    let old = self.forget_client(old);
                    self.close(old);
                }
            }
            // The kernel has no memory for one more watch.
            Err(_) => {
                self.acceptor.gate.leave(pool, self.acceptor.here);
                self.core.handle(Input::ClientLost(id));
            }
        }
    }

    pub(crate) fn client_ready(&mut self, id: ClientId, event: Event) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.link.reads() && self.reactor.has_ring() {
            // The ring tells all that can be read, the end included.
        } else if client.link.reads() && (event.readable || event.closed) {
            match client.link.transport.recv(&mut self.buffer) {
                Ok(Some(0)) => self.client_ended(id),
                Ok(Some(count)) => self.core.handle(Input::ClientData(id, &self.buffer[..count])),
                Ok(None) => {}
                Err(_) => return self.core.handle(Input::ClientLost(id)),
            }
        } else if event.closed {
            return self.core.handle(Input::ClientLost(id));
        }
        if event.writable {
            self.write_client(id);
        }
    }

    /// It sends no more.
    pub(crate) fn client_ended(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.ended = true;
        client.link.want_read(&self.reactor, false);
        self.core.handle(Input::ClientEnd(id));
    }

    pub(crate) fn write_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        loop {
            let bytes = self.core.client_output(id);
            if bytes.is_empty() {
                return client.link.want_write(&self.reactor, false);
            }
            let length = bytes.len();
            match client.link.transport.send(bytes) {
                Ok(Some(count)) => {
                    self.core.handle(Input::ClientWritten(id, count));
                    if count < length {
                        return client.link.want_write(&self.reactor, true);
                    }
                }
                Ok(None) => return client.link.want_write(&self.reactor, true),
                Err(_) => return self.core.handle(Input::ClientLost(id)),
            }
        }
    }

    pub(crate) fn close_client(&mut self, id: ClientId, closing: Closing) {
        let Some(client) = self.clients.remove(id) else { return };
        let ended = client.ended;
        let transport = self.forget_client(client);
        if closing == Closing::Linger && !ended {
            self.linger(transport);
        } else {
            self.close(transport);
        }
    }

    fn linger(&mut self, transport: Transport) {
        if let Some(oldest) = self.lingering.add(transport, Instant::now()) {
            self.close(oldest);
        }
    }

    fn forget_client(&mut self, client: ClientSocket) -> Transport {
        self.acceptor.gate.leave(client.pool, self.acceptor.here);
        client.link.release(&self.reactor)
    }

    pub(crate) fn read_client(&mut self, id: ClientId, readable: bool) {
        let stopping = self.stop_at.is_some();
        if let Some(client) = self.clients.get_mut(id)
            && !client.ended
        {
            client.link.want_read(&self.reactor, readable && !stopping);
            if readable && client.link.has_held() {
                self.resume_held(Stream::Client(id));
            }
        }
    }
}
