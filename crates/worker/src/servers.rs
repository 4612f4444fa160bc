//! A worker's connections to servers: making, reading and writing them.

use crate::handle::Notice;
use crate::link::Link;
use crate::net::Net;
use crate::ringed::Stream;
use crate::sockets::{Kind, token};
use crate::tick::Worker;
use crate::transport::Transport;
use config::Address;
use engine::Input;
use engine::error::Cause;
use engine::id::ConnId;
use reactor::net::{self, Progress, SockAddr};
use reactor::{Event, Interest};
use std::collections::VecDeque;
use std::io;

/// A connection's socket.
pub(crate) enum ConnSocket {
    /// Not decided yet; these addresses are tried next.
    Connecting(Link, VecDeque<SockAddr>),
    Up(Link),
}

impl Worker {
    pub(crate) fn connect(&mut self, conn: ConnId, pool: u32, server: u32) {
        let address = match &self.topology.pools[pool as usize].servers[server as usize].address {
            Address::Ip(address) => SockAddr::Inet(*address),
            Address::Unix(path) => SockAddr::Unix(path.clone()),
            Address::Name { host, port } => {
                let worker = self.acceptor.here;
                return (self.notify)(Notice::Resolve { worker, conn, host: host.clone(), port: *port });
            }
        };
        self.connect_to(conn, VecDeque::from([address]), Cause::HostDown);
    }

    /// Connects to the first of `addresses` that takes it; when none does, or none is left, the connection is lost.
    pub(crate) fn connect_to(&mut self, conn: ConnId, mut addresses: VecDeque<SockAddr>, mut why: Cause) {
        let (address, socket, progress) = loop {
            let Some(address) = addresses.pop_front() else {
                return self.core.handle(Input::ConnLost(conn, why));
            };
            match net::connect(&address) {
                Ok((socket, progress)) => break (address, socket, progress),
                Err(error) => why = cause(&error),
            }
        };
        if let SockAddr::Inet(_) = address {
            // Fails only on a socket that is gone, which the first read tells.
            _ = net::set_nodelay(&socket);
        }
        let up = progress == Progress::Connected;
        let interest = if up { Interest::READABLE } else { Interest::WRITABLE };
        match Link::new(&self.reactor, Transport::Plain(socket), token(Kind::Conn, conn), interest) {
            Ok(link) => {
                let socket = if up { ConnSocket::Up(link) } else { ConnSocket::Connecting(link, addresses) };
                if let Some(old) = self.conns.insert(conn, socket) {
                    let old = old.release(&self.reactor);
                    self.close(old);
                }
                if up {
                    self.core.handle(Input::ConnUp(conn));
                }
            }
            Err(error) => self.core.handle(Input::ConnLost(conn, cause(&error))),
        }
    }

    pub(crate) fn conn_ready(&mut self, id: ConnId, event: Event) {
        match self.conns.get_mut(id) {
            None => {}
            Some(ConnSocket::Connecting(..)) => self.conn_decided(id),
            Some(ConnSocket::Up(link)) => {
                if event.closed && !link.reads() {
                    // It has ended while a large reply waits for its client: the rest is read in its time.
                    link.sleep(&self.reactor);
                } else if (event.readable || event.closed) && !self.reactor.has_ring() {
                    match link.transport.recv(&mut self.buffer) {
                        Ok(Some(0)) => return self.core.handle(Input::ConnLost(id, Cause::Closed)),
                        Ok(Some(count)) => self.core.handle(Input::ConnData(id, &self.buffer[..count])),
                        Ok(None) => {}
                        Err(error) => return self.core.handle(Input::ConnLost(id, cause(&error))),
                    }
                }
                if event.writable {
                    self.write_conn(id);
                }
            }
        }
    }

    fn conn_decided(&mut self, id: ConnId) {
        let Some(ConnSocket::Connecting(mut link, next)) = self.conns.remove(id) else { return };
        match net::connect_error(&link.transport) {
            Ok(()) => {
                link.want_read(&self.reactor, true);
                link.want_write(&self.reactor, false);
                self.conns.insert(id, ConnSocket::Up(link));
                self.core.handle(Input::ConnUp(id));
            }
            Err(error) => {
                let transport = link.release(&self.reactor);
                self.close(transport);
                self.connect_to(id, next, cause(&error));
            }
        }
    }

    /// Whether to read from a server's connection.
    pub(crate) fn read_conn(&mut self, id: ConnId, wanted: bool) {
        if let Some(ConnSocket::Up(link)) = self.conns.get_mut(id) {
            link.want_read(&self.reactor, wanted);
            if wanted && link.has_held() {
                self.resume_held(Stream::Conn(id));
            }
        }
    }

    pub(crate) fn write_conn(&mut self, id: ConnId) {
        let Some(ConnSocket::Up(link)) = self.conns.get_mut(id) else { return };
        loop {
            let bytes = self.core.conn_output(id);
            if bytes.is_empty() {
                return link.want_write(&self.reactor, false);
            }
            let length = bytes.len();
            match link.transport.send(bytes) {
                Ok(Some(count)) => {
                    self.core.handle(Input::ConnWritten(id, count));
                    if count < length {
                        return link.want_write(&self.reactor, true);
                    }
                }
                Ok(None) => return link.want_write(&self.reactor, true),
                Err(error) => return self.core.handle(Input::ConnLost(id, cause(&error))),
            }
        }
    }
}

impl ConnSocket {
    pub(crate) fn link(&self) -> &Link {
        let (ConnSocket::Connecting(link, _) | ConnSocket::Up(link)) = self;
        link
    }

    pub(crate) fn release(self, net: &Net) -> Transport {
        let (ConnSocket::Connecting(link, _) | ConnSocket::Up(link)) = self;
        link.release(net)
    }

    /// The same, and what was written and has not arrived is not to.
    pub(crate) fn abort(self, net: &Net) -> Transport {
        let (ConnSocket::Connecting(link, _) | ConnSocket::Up(link)) = self;
        let transport = link.release(net);
        transport.abort();
        transport
    }
}

/// What a system call's error means for a request.
pub(crate) fn cause(error: &io::Error) -> Cause {
    if net::is_exhausted(error) {
        return Cause::Exhausted;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            Cause::Refused
        }
        io::ErrorKind::TimedOut => Cause::TimedOut,
        io::ErrorKind::BrokenPipe => Cause::BrokenPipe,
        io::ErrorKind::AddrNotAvailable => Cause::Exhausted,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Cause::Unreachable,
        _ => Cause::Reset,
    }
}
