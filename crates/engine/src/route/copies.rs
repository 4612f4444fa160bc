//! WAIT and WAITAOF: on how many replicas, or disks, are the writes of this client?
//!
//! A server answers it for the connection that asks: for what that connection wrote last. A client's writes went over connections
//! that it shares, where a wait would hold up the others. So each server is asked on a connection of the client's own, once
//! all that the client asked before is answered, behind a write that changes nothing: SWAPDB of a database with itself. That is
//! younger than whatever the client wrote there, and a replica takes writes in their order. (Up to redis 7.0 any command would
//! do, later ones count what is passed on to replicas only.) The answer is the least of all servers'.

use crate::command::{self, Command};
use crate::core::Core;
use crate::error::Cause;
use crate::id::ConnId;
use crate::pinned::{ALL_PINNED, Purpose};
use crate::request::Target;
use crate::server_conn::Care;
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::{encode, reply as resp};

/// A write that every replica is told of, and that changes nothing.
const MARK: &[u8] = b"*3\r\n$6\r\nSWAPDB\r\n$1\r\n0\r\n$1\r\n0\r\n";

/// A client's WAIT that is under way.
#[derive(Debug)]
pub(crate) struct Copies {
    /// The client's request, by slot.
    request: u32,
    /// The connections on which servers are asked.
    pub(crate) conns: Vec<ConnId>,
    /// How many have not answered.
    missing: usize,
    /// The least of what the others said: a number, of WAITAOF two.
    least: Vec<i64>,
    /// Whether the answer is a list.
    listed: bool,
}

impl Core {
    /// Asks all servers. `false`: it is to be read again when all that the client asked is answered.
    pub(crate) fn wait_for_copies(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) -> bool {
        let client = &mut self.replies.clients[c];
        if !client.is_done() {
            return false;
        }
        let pool = client.pool;
        let bytes = args.bytes();
        let request = self.replies.ask(c, bytes.len());
        self.replies.clients[c].in_order = true;
        let target = Target::Copies(request);
        let servers = self.servers_written(c);
        if servers.is_empty() {
            self.fail_unasked(pool, target, Cause::Refused);
            return true;
        }
        let listed = command.name == "WAITAOF";
        let least = vec![i64::MAX; if listed { 2 } else { 1 }];
        let copies = Copies { request, conns: Vec::new(), missing: servers.len(), least, listed };
        self.session(c).copies = Some(Box::new(copies));
        self.count_pool(pool, PoolMetric::BlockedClients).add(1);
        let room = self.topology.pools[pool as usize].pinned_connections;
        if self.pools[pool as usize].pinned + servers.len() > room {
            self.end_copies(request, |out| encode::error(ALL_PINNED.as_bytes(), out));
            return true;
        }
        let purpose = Purpose::Copies(command::wait_us(command, args));
        for server in servers {
            match self.pin(c, server, purpose) {
                Ok(Some(s)) => {
                    self.note_asked(c, s);
                    let care = Care { skip: 1, ..Care::default() };
                    self.send(s, target, care, |out| {
                        out.extend_from_slice(MARK);
                        out.extend_from_slice(bytes);
                    });
                }
                Ok(None) => {
                    self.end_copies(request, |out| encode::error(ALL_PINNED.as_bytes(), out));
                    return true;
                }
                Err(cause) => {
                    self.fail_unasked(pool, target, cause);
                    return true;
                }
            }
        }
        true
    }

    /// A connection carries a client's WAIT.
    pub(crate) fn note_asked(&mut self, c: u32, s: u32) {
        let conn = self.conns.id(s);
        if let Some(copies) = &mut self.session(c).copies {
            copies.conns.push(conn);
        }
    }

    /// The servers to which a client of this pool may have written: those that have keys now, and while one is away those that
    /// stand in for it.
    fn servers_written(&self, c: u32) -> Vec<u32> {
        let view = self.view(c);
        let away = view.servers.iter().take(view.own).any(|server| !server.live);
        let count = if away { view.servers.len() } else { view.own };
        let servers = view.servers.iter().take(count).zip(0..);
        servers.filter(|(server, _)| server.live).map(|(_, index)| index).collect()
    }

    /// A server has answered.
    pub(crate) fn take_copies(&mut self, s: u32, request: u32, reply: &[u8]) {
        if let Some(why) = self.conns[s].refusal.take() {
            let mut text = b"ERR a server refused SWAPDB 0 0, which WAIT needs: ".to_vec();
            text.extend_from_slice(&why);
            while text.last().is_some_and(u8::is_ascii_whitespace) {
                text.pop();
            }
            return self.end_copies(request, |out| encode::error(&text, out));
        }
        let c = self.replies.requests[request].client;
        let session = self.replies.clients.get_mut(c).and_then(|client| client.session.as_mut());
        let Some(copies) = session.and_then(|session| session.copies.as_mut()) else { return };
        let Some(numbers) = numbers(reply, copies.listed) else {
            return self.end_copies(request, |out| out.extend_from_slice(reply)); // an error
        };
        for (least, number) in copies.least.iter_mut().zip(numbers) {
            *least = number.min(*least);
        }
        copies.missing = copies.missing.saturating_sub(1);
        if copies.missing == 0 {
            let (least, listed) = (std::mem::take(&mut copies.least), copies.listed);
            self.end_copies(request, |out| write(&least, listed, out));
        }
    }

    /// Ends a client's wait with an answer. What it still asks is closed at the end of the tick: whoever called may be at work
    /// on it.
    pub(crate) fn end_copies(&mut self, request: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let c = self.replies.requests[request].client;
        let session = self.replies.clients.get_mut(c).and_then(|client| client.session.as_mut());
        if let Some(copies) = session.and_then(|session| session.copies.take()) {
            self.count_pool(self.replies.clients[c].pool, PoolMetric::BlockedClients).sub(1);
            for id in copies.conns {
                let Some(s) = self.conns.live(id) else { continue };
                let conn = &mut self.conns[s];
                let asked = conn.queue.iter_mut().find(|entry| entry.target == Target::Copies(request));
                let Some(entry) = asked else { continue };
                entry.target = Target::Nobody;
                if let Some(pin) = &mut conn.pin {
                    pin.purpose = Purpose::Over;
                }
                self.arm_idle(s, self.now.mono_us);
            }
            self.drop_session_if_empty(c);
        }
        self.replies.answer(request, write);
    }

    /// A client that waits is leaving: what it has to itself is closed at once.
    pub(crate) fn drop_copies(&mut self, c: u32, copies: &Copies) {
        self.count_pool(self.replies.clients[c].pool, PoolMetric::BlockedClients).sub(1);
        for id in &copies.conns {
            if let Some(s) = self.conns.live(*id) {
                self.unpin(s);
                self.discard_conn(s);
            }
        }
        self.replies.answer_quietly(copies.request);
    }

    /// CLIENT UNBLOCK of a client that asks for copies. How many have them by now servers do not say without being waited for: none
    /// is promised.
    pub(crate) fn unblock_copies(&mut self, c: u32, error: bool) -> bool {
        let session = self.replies.clients[c].session.as_ref();
        let Some(copies) = session.and_then(|session| session.copies.as_ref()) else { return false };
        let (request, listed) = (copies.request, copies.listed);
        self.end_copies(request, |out| match error {
            true => encode::error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK", out),
            false => write(if listed { &[0, 0] } else { &[0] }, listed, out),
        });
        true
    }
}

/// What a server said; nothing where it is no answer to such a question.
fn numbers(reply: &[u8], listed: bool) -> Option<Vec<i64>> {
    if !listed {
        return Some(vec![resp::integer(reply)?]);
    }
    let (count, elements) = resp::elements(reply)?;
    let numbers: Vec<i64> = elements.map(resp::integer).collect::<Option<_>>()?;
    (count == 2).then_some(numbers)
}

fn write(numbers: &[i64], listed: bool, out: &mut Vec<u8>) {
    if listed {
        encode::array_header(numbers.len(), out);
    }
    numbers.iter().for_each(|number| encode::integer(*number, out));
}
