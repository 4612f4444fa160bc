//! A worker's turn with a ring: what arrived is there already, and all output leaves with one call.
//!
//! ```text
//!   wait -> arrivals -> events of the reactor -> time -> what is to be done -> flush -> what came of that, until nothing is
//! ```

use crate::clients::ClientSocket;
use crate::link::Link;
use crate::servers::{ConnSocket, cause};
use crate::sockets::{Kind, Table, parse};
use crate::tick::Worker;
use crate::transport::Transport;
use engine::Input;
use engine::client::Client;
use engine::error::Cause;
use engine::id::{ClientId, ConnId};
use engine::server_conn::ServerConn;
use reactor::{Arrival, Events, Ring};
use stats::WorkerMetric;
use std::io;
use std::time::{Duration, Instant};

/// The ring's buffers are so many times as large as what is read from one connection at once without a ring.
const CONNECTIONS_AT_ONCE: usize = 8;

/// Requests wait while so many replies leave at least: in a shorter time few clients ask again, and looking for them is a call, too.
const WORTH_WAITING: usize = 4;

/// The ring and what waits for its next flush.
#[derive(Debug, Default)]
pub(crate) struct Ringed {
    ring: Option<Box<Ring>>,
    /// Whose output is sent, and how much of it.
    writes: Vec<(Stream, usize)>,
    /// Servers' connections whose requests wait for more: while replies leave, the clients that have them ask again, and a server
    /// needs far less for ten requests at once than for ten one by one.
    requests: Vec<ConnId>,
    /// Requests do not wait: they leave with the next flush.
    hurried: bool,
    /// The same of the last flush, while it is looked at what became of it.
    written: Vec<(Stream, usize)>,
    /// Sockets that are closed once no order and no send names them any more.
    closing: Vec<Transport>,
    /// The number of the turn.
    turn: u32,
    /// Streams that left no buffers to the others, to be read after them.
    greedy: Vec<Stream>,
    /// Streams that are read again and of which something was kept.
    resumed: Vec<Stream>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Client(ClientId),
    Conn(ConnId),
}

impl Ringed {
    /// The ring for a turn, after which it is put back.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Box<Ring>> {
        self.ring.take()
    }

    pub(crate) fn put_back(&mut self, ring: Box<Ring>) {
        self.ring = Some(ring);
    }

    /// What waits is sent by the next flush, and nothing waits any more until told otherwise.
    fn hurry(&mut self) {
        self.hurried = true;
        self.writes.extend(self.requests.drain(..).map(|id| (Stream::Conn(id), 0)));
    }
}

// As Linux numbers them on all architectures that Rust knows it on, but alpha, mips and sparc.
const EAGAIN: i32 = 11;
const ECANCELED: i32 = 125;
const ENOBUFS: i32 = 105;

impl Worker {
    /// Reads streams by a ring from now on; to be called on the worker's own thread. Fails where the kernel has none for it.
    pub(crate) fn begin_ring(&mut self) -> io::Result<()> {
        self.ringed.ring =
            Some(Box::new(Ring::new(&self.reactor, self.buffer.len().saturating_mul(CONNECTIONS_AT_ONCE))?));
        self.reactor.begin_ring();
        Ok(())
    }

    /// Closes a socket as soon as that is safe.
    pub(crate) fn close(&mut self, transport: Transport) {
        if self.reactor.has_ring() {
            self.ringed.closing.push(transport);
        }
    }

    /// Has the output of a stream sent by the next flush.
    pub(crate) fn queue_write(&mut self, stream: Stream) {
        let link = link(&mut self.clients, &mut self.conns, stream);
        // One that waits for room is written when it has it.
        if let Some(link) = link
            && !link.queued
            && !link.writes()
        {
            link.queued = true;
            match stream {
                Stream::Conn(id) if !self.ringed.hurried => self.ringed.requests.push(id),
                _ => self.ringed.writes.push((stream, 0)),
            }
        }
    }

    /// A stream is read again: what was kept of it comes first.
    pub(crate) fn resume_held(&mut self, stream: Stream) {
        self.ringed.resumed.push(stream);
    }

    /// A tick with a ring.
    pub(crate) fn turn_ring(&mut self, ring: &mut Ring, events: &mut Events) -> io::Result<()> {
        self.ringed.hurried = false;
        if self.holds_replies() || !self.ringed.requests.is_empty() {
            ring.wait(Some(Duration::ZERO))?;
            if ring.is_empty() {
                return self.flush_held(ring); // and only then sleep
            }
            self.let_go();
            if !self.ringed.requests.is_empty() {
                self.ringed.hurry(); // a turn is what they wait at most
            }
        } else {
            ring.wait(self.ring_patience())?;
        }
        self.shard.worker(WorkerMetric::Ticks).add(1);
        self.core.tick(self.clock.tick());
        self.ringed.turn = self.ringed.turn.wrapping_add(1);
        self.core.keep(self.reactor.kept());
        if !self.ringed.resumed.is_empty() {
            self.take_held();
        }
        for index in 0..ring.len() {
            let (arrival, bytes) = ring.get(index);
            self.take_arrival(arrival, bytes);
        }
        if !self.ringed.greedy.is_empty() {
            self.act_on_outputs(); // what is paused now is not to be received in vain
        }
        for stream in std::mem::take(&mut self.ringed.greedy) {
            let net = &self.reactor;
            let link = link(&mut self.clients, &mut self.conns, stream);
            if let Some(link) = link {
                link.ended(net, true);
            }
        }
        if ring.take_polled() {
            self.reactor.wait(events, Some(Duration::ZERO))?;
            self.take_all(events);
        }
        self.write_due();
        self.core.expire();
        self.act_and_flush(ring)?;
        self.look_after();
        Ok(())
    }

    /// How long to wait for arrivals at most: what was kept of a stream that is read again waits for none.
    fn ring_patience(&self) -> Option<Duration> {
        if self.ringed.resumed.is_empty() { self.patience() } else { Some(Duration::ZERO) }
    }

    /// Sends all that is held, and does what comes of it, which may be more of the kind.
    fn flush_held(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.ringed.hurry();
        loop {
            self.write_held();
            self.act_and_flush(ring)?;
            if !self.holds_replies() {
                return Ok(());
            }
        }
    }

    /// Does what is to be done until nothing is, but for requests that wait while the replies of this turn leave.
    fn act_and_flush(&mut self, ring: &mut Ring) -> io::Result<()> {
        let mut answered = false;
        loop {
            self.act_on_outputs();
            answered |= self.ringed.writes.len() >= WORTH_WAITING;
            if !answered {
                self.ringed.hurry();
            }
            let mut orders = self.reactor.orders();
            if orders.is_empty() && self.ringed.writes.is_empty() && self.ringed.closing.is_empty() {
                self.reactor.reuse(orders);
                return Ok(());
            }
            let (core, clients, conns) = (&self.core, &self.clients, &self.conns);
            self.ringed.writes.retain_mut(|(stream, length)| {
                *length = match *stream {
                    Stream::Client(id) if clients.get(id).is_some() => core.client_output(id).len(),
                    Stream::Conn(id) if conns.get(id).is_some() => core.conn_output(id).len(),
                    _ => return false,
                };
                true
            });
            let sends = self.ringed.writes.iter().filter_map(|(stream, _)| match *stream {
                Stream::Client(id) => Some((&clients.get(id)?.link.transport, core.client_output(id))),
                Stream::Conn(id) => Some((&conns.get(id)?.link().transport, core.conn_output(id))),
            });
            let flushed = ring.flush(&mut orders, sends);
            self.reactor.reuse(orders);
            flushed?;
            self.ringed.closing.clear();
            self.core.hold_still(true); // until all are told how much of theirs has left
            self.flushed(ring);
            self.core.hold_still(false);
        }
    }

    /// What became of the writes.
    fn flushed(&mut self, ring: &Ring) {
        let mut written = std::mem::take(&mut self.ringed.written);
        std::mem::swap(&mut written, &mut self.ringed.writes);
        let mut shorts = ring.shorts().iter().peekable();
        for (index, (stream, length)) in written.drain(..).enumerate() {
            let mut result = Ok(length);
            while let Some((_, short)) = shorts.next_if(|(at, _)| *at == index) {
                result = usize::try_from(*short).map_err(|_| -short);
            }
            self.sent(stream, length, result);
        }
        self.ringed.written = written;
    }

    fn sent(&mut self, stream: Stream, length: usize, result: Result<usize, i32>) {
        let count = match result {
            Err(EAGAIN) => 0,
            Ok(count) => count,
            Err(code) => {
                return match stream {
                    Stream::Client(id) => self.core.handle(Input::ClientLost(id)),
                    Stream::Conn(id) => {
                        let cause = cause(&io::Error::from_raw_os_error(code));
                        self.core.handle(Input::ConnLost(id, cause));
                    }
                };
            }
        };
        let link = link(&mut self.clients, &mut self.conns, stream);
        if let Some(link) = link {
            link.queued = false;
            if count < length {
                link.want_write(&self.reactor, true);
            }
        }
        if count > 0 {
            match stream {
                Stream::Client(id) => self.core.handle(Input::ClientWritten(id, count)),
                Stream::Conn(id) => self.core.handle(Input::ConnWritten(id, count)),
            }
        }
        // What came of other streams' writes may have added to this one's output since it was sent.
        if count == length && !self.output(stream).is_empty() {
            self.queue_write(stream);
        }
    }

    fn output(&self, stream: Stream) -> &[u8] {
        match stream {
            Stream::Client(id) => self.core.client_output(id),
            Stream::Conn(id) => self.core.conn_output(id),
        }
    }

    // ---- what arrives

    fn take_arrival(&mut self, arrival: Arrival, bytes: &[u8]) {
        let (kind, generation, index) = parse(arrival.token);
        let stream = match kind {
            Kind::Client => self.clients.find(generation, index).map(Stream::Client),
            _ => self.conns.find(generation, index).map(Stream::Conn),
        };
        let Some(stream) = stream else { return };
        let Some(link) = link(&mut self.clients, &mut self.conns, stream) else { return };
        let turn = self.ringed.turn;
        let goes_on = arrival.result > 0 || matches!(-arrival.result, ECANCELED | ENOBUFS);
        if !arrival.more && arrival.result == -ENOBUFS && link.fed == turn {
            self.ringed.greedy.push(stream);
        } else if !arrival.more {
            link.ended(&self.reactor, goes_on);
        }
        link.fed = turn;
        if arrival.result <= 0 && goes_on {
            return;
        }
        if link.holds() {
            return link.hold(&self.reactor, arrival.result, bytes);
        }
        self.received(stream, arrival.result, bytes);
    }

    /// Gives the engine what was kept of streams that are read again.
    #[cold]
    fn take_held(&mut self) {
        for stream in std::mem::take(&mut self.ringed.resumed) {
            let net = &self.reactor;
            let found = link(&mut self.clients, &mut self.conns, stream);
            let Some(held) = found.and_then(|link| link.take_held(net)) else { continue };
            if !held.bytes.is_empty() {
                self.received(stream, held.bytes.len() as i32, &held.bytes);
            }
            let Some(end) = held.end else { continue };
            self.act_on_outputs(); // it may be paused again
            let net = &self.reactor;
            match link(&mut self.clients, &mut self.conns, stream) {
                Some(link) if link.holds() => link.hold(net, end, &[]),
                Some(_) => self.received(stream, end, &[]),
                None => {}
            }
        }
    }

    #[inline]
    fn received(&mut self, stream: Stream, result: i32, bytes: &[u8]) {
        match (stream, result) {
            (Stream::Client(id), 1..) => self.core.handle(Input::ClientData(id, bytes)),
            (Stream::Client(id), 0) => self.client_ended(id),
            (Stream::Client(id), _) => self.core.handle(Input::ClientLost(id)),
            (Stream::Conn(id), 1..) => self.core.handle(Input::ConnData(id, bytes)),
            (Stream::Conn(id), 0) => self.core.handle(Input::ConnLost(id, Cause::Closed)),
            (Stream::Conn(id), error) => {
                let cause = cause(&io::Error::from_raw_os_error(-error));
                self.core.handle(Input::ConnLost(id, cause));
            }
        }
    }

    /// All that is held is written, before the worker ends.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self.ringed.take() {
            None => {
                self.write_held();
                Ok(())
            }
            Some(mut ring) => {
                let outcome = self.flush_held(&mut ring);
                self.ringed.put_back(ring);
                outcome
            }
        }
    }

    /// What is looked after once per turn.
    pub(crate) fn look_after(&mut self) {
        if !self.resting.is_empty() {
            self.wake_listeners();
        }
        if !self.lingering.is_empty() {
            self.lingering.look(Instant::now(), &mut self.buffer);
        }
    }
}

/// The link of a stream, if it is there and up.
#[inline]
fn link<'a>(
    clients: &'a mut Table<Client, ClientSocket>,
    conns: &'a mut Table<ServerConn, ConnSocket>,
    stream: Stream,
) -> Option<&'a mut Link> {
    match stream {
        Stream::Client(id) => clients.get_mut(id).map(|client| &mut client.link),
        Stream::Conn(id) => match conns.get_mut(id) {
            Some(ConnSocket::Up(link)) => Some(link),
            _ => None,
        },
    }
}
