//! Large requests: passed on to their server as they come, over a connection of their own.
//!
//! ```text
//!   client bytes --> feed --> lane's stream --> server        no more than TRANSFER_BYTES wait in between
//! ```
//! A client has nothing else outstanding meanwhile: the request begins when all before it is answered, and what
//! comes behind it waits for its reply. So it needs no place in anybody's order.

use crate::client::{Scan, Transfer};
use crate::command::{self, Flags, Keys, Route};
use crate::core::Core;
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::{TRANSFER_BYTES, TRANSFER_LEAST, TRANSFER_STALL_US};
use crate::merge::write_cause;
use crate::request::Target;
use crate::server_conn::{Care, InFlight, ServerConn};
use crate::slab::NONE;
use config::Protocol;
use stats::{Event, PoolMetric, ServerMetric, Text};
use wire::args::Args;
use wire::{memcache, resp};

/// What a client reads that went no further with a large request while others waited for its connection.
const STALLED: &str = "request not finished in time, and others waited";

/// What a piece of a large request was.
enum Piece {
    More,
    Last,
    Malformed(resp::ProtocolError),
    BadData,
}

impl Core {
    /// Whether so much of an unfinished request is still to come that it should not be collected. `announced` bytes of it
    /// are known of, `here` bytes are here.
    pub(crate) fn is_large(&self, c: u32, announced: usize, here: usize) -> bool {
        announced.saturating_sub(here) >= self.view(c).stream_from
    }

    /// The unfinished request in `bytes` is large: begins to pass it on if it can be. Answers how many bytes are done
    /// with.
    pub(crate) fn begin_redis(&mut self, c: u32, bytes: &[u8], args: &mut Args) -> usize {
        let Some(count) = resp::RequestScan::begun(bytes, 2, args) else { return 0 };
        let client = &self.replies.clients[c];
        let word = args.view(bytes).get(0);
        let learnt = || self.view(c).learnt.as_ref()?.by_name(word);
        let command = command::by_name(word).or_else(learnt);
        let Some(command) = command.filter(|command| command.takes(count)) else { return 0 };
        let disabled = self.view(c).disabled.as_ref().is_some_and(|disabled| disabled.has(command));
        let by_key = matches!((command.route, command.keys), (Route::ByKey, Keys::First)) && !disabled;
        let engaged = client.session.as_ref().is_some_and(|session| !session.only_overheard());
        if !by_key || args.len() < 2 || !client.authenticated || engaged {
            return 0;
        }
        let pool = client.pool;
        let key = args.view(bytes).get(1);
        let server = self.place(pool, key);
        self.large_keys.learn(pool, key);
        if !self.begin(c, server, false, |_| {}) {
            return 0;
        }
        if self.replies.clients[c].session.is_some() {
            self.overhear_begun(c, command, args.view(bytes), count);
        }
        if self.view(c).detour && !command.flags.has(Flags::READONLY) {
            self.follow_large(c, key, server);
        }
        self.feed(c, bytes)
    }

    /// The same for a storage command of memcached.
    pub(crate) fn begin_memcache(&mut self, c: u32, bytes: &[u8], args: &mut Args) -> usize {
        let limits = self.view(c).limits;
        let Scan::Memcache(scan) = &self.replies.clients[c].scan else { return 0 };
        let Some(request) = scan.begun(bytes, &limits, args) else { return 0 };
        let key = args.view(bytes).get(request.first_key as usize);
        let pool = self.replies.clients[c].pool;
        let server = self.place(pool, key);
        self.large_keys.learn(pool, key);
        let exptime = self.bounded_exptime(c, server, &request, args.view(bytes));
        let line = |out: &mut Vec<u8>| {
            memcache::encode::forward_line_until(&request, bytes, args, exptime.as_deref(), out);
        };
        if !self.begin(c, server, request.noreply, line) {
            return 0;
        }
        if self.view(c).detour {
            self.follow_large(c, key, server);
        }
        if let Scan::Memcache(scan) = &mut self.replies.clients[c].scan {
            scan.pass_line(request.line_end);
        }
        request.line_end + self.feed(c, bytes.get(request.line_end..).unwrap_or(&[]))
    }

    /// Gets a lane and its place for a large request. `quiet`: its client wants no reply. `head` is sent first. Whether
    /// it begins now; otherwise its client is paused until it can.
    fn begin(&mut self, c: u32, server: Option<u32>, quiet: bool, head: impl FnOnce(&mut Vec<u8>)) -> bool {
        let client = &mut self.replies.clients[c];
        if !client.is_done() {
            client.in_order = true;
            self.pause(c);
            return false;
        }
        let pool = client.pool;
        let refused = std::mem::take(&mut client.lane_refused);
        let lane = match server {
            _ if refused => Err(Cause::QueueFull),
            // Deletes on a server that has just returned must not be overtaken: for that moment it is collected.
            Some(server) if self.owes_deletes(pool, server) => return false,
            Some(server) => self.lane(pool, server, self.mode(c)),
            None => Err(Cause::Refused),
        };
        let lane = match lane {
            Ok(Some(lane)) => lane,
            Ok(None) => {
                self.await_lane(c);
                return false;
            }
            Err(cause) => {
                self.count_client(c, PoolMetric::ClientRequests);
                if !quiet {
                    let request = self.replies.ask(c, 0);
                    self.fail_unasked(pool, Target::Request(request), cause);
                }
                self.replies.clients[c].transfer = Transfer::Nowhere;
                return true;
            }
        };
        self.count_client(c, PoolMetric::ClientRequests);
        let request = self.replies.ask(c, 0);
        let target = if quiet { Target::Quiet(request) } else { Target::Request(request) };
        self.conns[lane].feeder = c;
        let care = Care { heeded: self.protocol(c) == Protocol::Memcache, ..Care::default() };
        self.send(lane, target, care, head);
        self.watch_feeder(lane);
        self.replies.clients[c].transfer = Transfer::To(self.conns.id(lane));
        true
    }

    /// More of a large request. Answers how many bytes are done with.
    pub(crate) fn feed(&mut self, c: u32, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let limits = self.view(c).limits;
        let client = &mut self.replies.clients[c];
        let (count, piece) = match &mut client.scan {
            Scan::Resp(scan) => match scan.rest(bytes, &limits) {
                resp::request::Rest::Complete(count) => (count, Piece::Last),
                resp::request::Rest::Partial(count) => (count, Piece::More),
                resp::request::Rest::Invalid(error) => (bytes.len(), Piece::Malformed(error)),
            },
            Scan::Memcache(scan) => match scan.rest(bytes) {
                memcache::text::Rest::Complete(count) => (count, Piece::Last),
                memcache::text::Rest::Partial(count) => (count, Piece::More),
                memcache::text::Rest::BadData(count) => (count, Piece::BadData),
            },
        };
        let lane = self.lane_of(c);
        match piece {
            Piece::More => {
                if let Some(s) = lane {
                    self.send_piece(s, &bytes[..count]);
                    if self.conns[s].stream.waiting().len() >= TRANSFER_BYTES {
                        self.pause(c);
                    }
                }
            }
            Piece::Last => {
                if let Some(s) = lane {
                    self.send_piece(s, &bytes[..count]);
                    self.conns[s].feeder = NONE;
                    self.touch_last(s);
                    if !self.to_bound.is_empty() {
                        self.follow_large_end(s);
                    }
                }
                self.end_transfer(c);
            }
            Piece::Malformed(error) => {
                let text = error.text();
                self.count_client(c, PoolMetric::ProtocolErrors);
                let (pool, peer) = (self.replies.clients[c].pool, self.replies.clients[c].peer);
                let reason = Text::format(format_args!("{}", text.escape_ascii()));
                self.process.events.push(Event::ClientProtocolError { pool, client: peer, reason });
                self.end_transfer(c);
                self.refuse_transfer(lane, &[b"-ERR ", text.as_ref(), b"\r\n"].concat());
                self.quit_client(c, true);
            }
            Piece::BadData => {
                self.end_transfer(c);
                let text = memcache::Refusal::BadData.text();
                self.refuse_transfer(lane, &[text, b"\r\n"].concat());
            }
        }
        count
    }

    /// The lane that a client's large request goes out on, while there is one.
    pub(crate) fn lane_of(&self, c: u32) -> Option<u32> {
        match self.replies.clients[c].transfer {
            Transfer::To(id) => self.conns.live(id),
            Transfer::None | Transfer::Nowhere => None,
        }
    }

    fn send_piece(&mut self, s: u32, piece: &[u8]) {
        if self.conns[s].stream.waiting().is_empty() {
            self.touch_last(s); // until now it was the client's turn
        }
        self.append(s, |out| out.extend_from_slice(piece));
        self.conns[s].whole = self.conns[s].stream.end();
        self.count_server(s, ServerMetric::RequestBytes).add(piece.len() as u64);
        self.count_server(s, ServerMetric::InQueueBytes).add(piece.len() as u64);
        self.wake_conn(s);
    }

    /// The request that is being sent gets on: its time begins anew.
    fn touch_last(&mut self, s: u32) {
        let now = self.now.mono_us;
        if let Some(last) = self.last_queued(s) {
            last.at_us = now;
        }
    }

    /// The server's socket took some of what waits on a lane.
    pub(crate) fn transfer_written(&mut self, s: u32) {
        if self.conns[s].queue.len() == 1 {
            self.touch_last(s); // what the server takes is progress, to the last byte
        }
        let c = self.conns[s].feeder;
        if c == NONE {
            return;
        }
        let conn = &mut self.conns[s];
        let written = conn.stream.written();
        conn.stream.forget(written, &mut self.replies.buffers);
        self.resume(c);
    }

    /// The lane of a large request is gone and had taken nothing of it: it begins anew on another.
    pub(crate) fn transfer_again(&mut self, c: u32, old: ConnId, gone: &ServerConn, entry: InFlight) {
        let lane = self.lane(gone.pool, gone.server, gone.mode);
        let Ok(Some(s)) = lane else {
            let protocol = self.topology.pools[gone.pool as usize].protocol;
            return self.fail(protocol, entry.target, Cause::Closed.text());
        };
        self.send_again(s, gone.stream.between(entry.start, gone.whole), entry);
        self.conns[s].feeder = c;
        let new = self.conns.id(s);
        self.to_bound.iter_mut().filter(|(id, _)| *id == old).for_each(|(id, _)| *id = new);
        self.watch_feeder(s);
        self.replies.clients[c].transfer = Transfer::To(self.conns.id(s));
    }

    /// The bytes of a client's large request are all here.
    pub(crate) fn end_transfer(&mut self, c: u32) {
        let client = &mut self.replies.clients[c];
        client.transfer = Transfer::None;
        client.in_order = client.head != NONE;
    }

    /// The proxy refuses what it has already begun to send: the server never sees the end of it.
    pub(crate) fn refuse_transfer(&mut self, lane: Option<u32>, text: &[u8]) {
        let Some(s) = lane else { return };
        let target = self.conns[s].queue.back().map(|entry| entry.target);
        self.abandon_lane(s);
        match target {
            Some(Target::Request(request)) => self.replies.answer(request, |out| out.extend_from_slice(text)),
            Some(Target::Quiet(request)) => self.quieted(request),
            _ => {}
        }
    }

    /// Closes a lane in the middle of a request.
    pub(crate) fn abandon_lane(&mut self, s: u32) {
        self.conns[s].feeder = NONE;
        self.discard_conn(s);
    }

    /// A client is gone, or has ended its side, in the middle of a large request.
    pub(crate) fn cut_transfer(&mut self, c: u32) {
        if let Some(s) = self.lane_of(c) {
            let target = self.conns[s].queue.back().map(|entry| entry.target);
            self.abandon_lane(s);
            if let Some(Target::Request(request) | Target::Quiet(request)) = target {
                self.replies.answer_quietly(request);
            }
        }
        self.replies.clients[c].transfer = Transfer::None;
    }

    /// A request that wants no reply is done; its client may have waited for that.
    pub(crate) fn quieted(&mut self, request: u32) {
        let c = self.replies.requests[request].client;
        let orphan = matches!(self.replies.requests[request].state, crate::request::State::Orphan);
        self.replies.answer_quietly(request);
        if !orphan {
            self.resume(c);
            self.settle(c);
        }
    }

    /// Whether a client has to wait before more of its large request, or anything, is read.
    pub(crate) fn is_held_up(&self, c: u32) -> bool {
        let waits = |s: u32| self.conns[s].stream.waiting().len() > TRANSFER_BYTES / 2;
        let client = &self.replies.clients[c];
        client.awaits_lane
            || client.pressed
            || client.dividing
            || client.is_halted()
            || self.lane_of(c).is_some_and(waits)
    }

    /// Whether it is the client's turn to go on with a large request, not the server's.
    pub(crate) fn awaits_client(&self, s: u32) -> bool {
        let conn = &self.conns[s];
        conn.feeder != NONE && conn.stream.waiting().is_empty()
    }

    /// A client that does not go on with its large request gives its lane to those who wait.
    pub(crate) fn cut_if_stalled(&mut self, s: u32) {
        let due = self.conns[s].fed_us.saturating_add(TRANSFER_STALL_US);
        if self.now.mono_us < due {
            return self.arm_idle(s, due); // the alarm was set for what the lane did before
        }
        let c = self.conns[s].feeder;
        let progress = self.conns[s].stream.end() - self.conns[s].fed;
        let slow = progress < TRANSFER_LEAST && !self.replies.clients[c].pressed;
        if slow && self.awaits_client(s) && !self.lane_waiters.is_empty() {
            let mut text = Vec::new();
            write_cause(self.protocol(c), STALLED, &mut text);
            return self.refuse_transfer(Some(s), &text);
        }
        self.watch_feeder(s);
    }

    /// A look at how far a large request has got by then.
    fn watch_feeder(&mut self, s: u32) {
        self.conns[s].fed = self.conns[s].stream.end();
        self.conns[s].fed_us = self.now.mono_us;
        self.arm_idle(s, self.now.mono_us.saturating_add(TRANSFER_STALL_US));
    }
}
