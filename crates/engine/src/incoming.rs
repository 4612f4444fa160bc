//! What servers send: replies, to whom they answer.

use crate::core::{Core, FEW_BYTES, lacking};
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::KEY_BYTES_AT_ONCE;
use crate::merge::How;
use crate::output::Output;
use crate::request::{Step, Target};
use crate::server_conn::{Answered, Begun, Found, Phase, Scan};
use crate::slab::NONE;
use config::Protocol;
use stats::{Event, Latency, ServerMetric, Text};

/// The first and only line on a connection that redis, memcached or a proxy took although it has too many.
const TURNED_AWAY: [&[u8]; 3] = [
    b"-ERR max number of clients reached",
    b"ERROR Too many open connections",
    b"SERVER_ERROR max number of clients reached",
];

/// Whether a server does not know the script or the function that it was to run.
fn forgotten(reply: &[u8]) -> bool {
    reply.starts_with(b"-NOSCRIPT") || reply.starts_with(b"-ERR Function not found")
}

impl Core {
    pub(crate) fn conn_data(&mut self, id: ConnId, bytes: &[u8]) {
        self.memory.note(bytes.len());
        let Some(conn) = self.conns.live_mut(id) else { return };
        let s = id.index() as u32;
        conn.heard_us = self.now.mono_us;
        let mut bytes = bytes;
        if !conn.rest.is_empty() {
            let Some(left) = self.finish_reply(s, bytes) else { return };
            if left.is_empty() {
                return;
            }
            bytes = left;
        }
        let Some(used) = self.take_replies(s, bytes) else { return };
        if used < bytes.len() {
            let conn = &mut self.conns[s];
            conn.rest = self.replies.buffers.take();
            conn.rest.extend_from_slice(&bytes[used..]);
        }
    }

    /// Finishes the reply whose beginning was kept: only what it lacks is copied. Answers what is left of `bytes`, where
    /// nothing is kept any more; or nothing when the connection is gone.
    fn finish_reply<'b>(&mut self, s: u32, mut bytes: &'b [u8]) -> Option<&'b [u8]> {
        let id: ConnId = self.conns.id(s);
        let mut rest = std::mem::take(&mut self.conns[s].rest);
        let mut step = FEW_BYTES;
        loop {
            let announced = match &self.conns[s].scan {
                Scan::Resp(scan) | Scan::Feed(scan) => scan.announced(),
                Scan::Memcache(scan) => scan.announced(),
            };
            let count = lacking(announced, rest.len()).max(step).min(bytes.len());
            rest.extend_from_slice(&bytes[..count]);
            let Some(used) = self.take_replies(s, &rest) else {
                // A lane that owes nothing is kept for another use, but not one that says more than it was asked.
                if count < bytes.len() && self.conns.live(id).is_some() {
                    self.discard_conn(s);
                }
                return None;
            };
            let left = rest.len() - used;
            if left <= count {
                self.replies.buffers.give(rest);
                return Some(&bytes[count - left..]);
            }
            rest.drain(..used);
            bytes = &bytes[count..];
            if bytes.is_empty() {
                self.conns[s].rest = rest;
                return Some(&[]);
            }
            // It lacks more than was known, or a large reply waits for its client.
            step = step.saturating_mul(4);
        }
    }

    /// Goes on with what a server has sent that was not looked at to its end.
    pub(crate) fn work_off(&mut self, s: u32) {
        let mut rest = std::mem::take(&mut self.conns[s].rest);
        let Some(used) = self.take_replies(s, &rest) else { return };
        if used == rest.len() {
            self.replies.buffers.give(rest);
        } else {
            rest.drain(..used);
            self.conns[s].rest = rest;
        }
    }

    /// Acts on every complete reply at the start of `bytes`; answers how many bytes are done with, or
    /// nothing when the connection is gone.
    fn take_replies(&mut self, s: u32, bytes: &[u8]) -> Option<usize> {
        let mut used = 0;
        while used < bytes.len() {
            let conn = &mut self.conns[s];
            if conn.answers_joined() {
                match self.take_joined(s, &bytes[used..])? {
                    0 => {
                        used += self.unfinished_reply(s, &bytes[used..])?;
                        break;
                    }
                    len => used += len,
                }
                continue;
            }
            let limits = &self.topology.pools[conn.pool as usize].limits;
            match conn.scan.next(&bytes[used..], limits) {
                Found::Reply(len) => {
                    self.take_reply(s, &bytes[used..used + len])?;
                    used += len;
                }
                Found::News(len) => {
                    self.take_news(s, &bytes[used..used + len])?;
                    used += len;
                }
                Found::Partial => {
                    used += self.unfinished_reply(s, &bytes[used..])?;
                    break;
                }
                Found::Nonsense => return self.lose_nonsense(s),
            }
        }
        let conn = &mut self.conns[s];
        conn.forget_answered(&mut self.replies.buffers);
        let leaving = conn.slot.is_none() && conn.flow.is_none() && conn.feeder == NONE && !conn.is_kept();
        if used > 0 && leaving && conn.expired == conn.queue.len() {
            // It owes nothing any more.
            if used == bytes.len() {
                self.spare_lane(s)
            } else {
                self.discard_conn(s)
            }
            return None;
        }
        Some(used)
    }

    /// A whole reply: gives it to whom it answers. Nothing when the connection is gone.
    fn take_reply(&mut self, s: u32, reply: &[u8]) -> Option<()> {
        let conn = &mut self.conns[s];
        if conn.flow.is_some() {
            self.end_flow(s, reply);
            return Some(());
        }
        // A server may refuse a request before its last byte is out, but not before its first.
        let first = conn.replies == 0;
        let answered = match conn.take_begun() {
            Begun::Taken(answered) => answered,
            Begun::Skipped => {
                conn.note_skipped(reply);
                return Some(());
            }
            Begun::Nothing => return self.lose_nonsense(s),
        };
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        let (lane, fed) = (conn.lane, conn.feeder != NONE);
        let turned_away = first && self.is_turned_away(pool, server, reply);
        let latency = self.note_answer(pool, server, &answered, !turned_away);
        let Answered { entry, late, .. } = answered;
        let shard = self.shard.pool_shard(pool);
        let counters = &shard.servers()[server];
        let count = || {
            counters.counter(ServerMetric::Responses).add(1);
            counters.counter(ServerMetric::ResponseBytes).add(reply.len() as u64);
        };
        match entry.target {
            Target::Nobody if late => counters.counter(ServerMetric::LateReplies).add(1),
            Target::Nobody => {}
            Target::Noreply(id) => self.heard(id),
            Target::Request(request) => {
                count();
                shard.latency.record(latency);
                if lane && entry.care.again {
                    self.forget_key(s, entry);
                }
                self.replies.answer_with(request, reply.len(), |out| out.extend_from_slice(reply));
            }
            Target::Exec(request) => {
                count();
                shard.latency.record(latency);
                self.take_exec(s, request, reply);
            }
            Target::Awaited(request) => {
                count();
                self.replies.answer(request, |out| out.extend_from_slice(reply));
            }
            Target::Copies(request) => {
                count();
                self.take_copies(s, request, reply);
            }
            Target::Scan(page) => {
                count();
                shard.latency.record(latency);
                self.take_page(s, page, reply);
            }
            Target::Script(request) => {
                count();
                if !forgotten(reply) || !self.mend_script(s, request, entry) {
                    self.shard.pool_shard(pool).latency.record(latency);
                    self.replies.answer(request, |out| out.extend_from_slice(reply));
                }
            }
            Target::Quiet(request) => self.quieted(request),
            Target::Instead(request, text) => self.replies.answer(request, |out| {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }),
            Target::Part { merge, part } => {
                count();
                self.take_part(merge, part, reply.len(), |out| out.extend_from_slice(reply));
            }
            Target::Handshake(step) => return self.take_handshake(s, step, reply),
            Target::Errand(errand) => self.errand_done(errand, reply),
            Target::Database { pool, place } => {
                self.take_database(s, pool, place, reply);
            }
            Target::Docs { pool, resp3 } => self.take_docs(pool, resp3, reply),
            Target::Topic(topic) => self.topic_refused(topic, server as u32, reply),
            Target::Cover(version) => return self.take_cover(s, version, reply),
        }
        if fed && self.conns[s].feeder != NONE && self.conns[s].queue.is_empty() {
            // It is answered before its end: the rest of it is not wanted.
            let c = self.conns[s].feeder;
            self.abandon_lane(s);
            self.resume(c);
            return None;
        }
        if entry.care.heeded && !reply.starts_with(b"STORED") {
            return self.heed(s, reply);
        }
        Some(())
    }

    /// Whether the first reply on a connection says that the server has too many.
    pub(crate) fn is_turned_away(&mut self, pool: usize, server: usize, reply: &[u8]) -> bool {
        let turned_away = TURNED_AWAY.iter().any(|text| reply.starts_with(text));
        if turned_away {
            // An answer, but no service. The server closes next, which counts as one failure with this.
            self.report_failure(pool as u32, server as u32, Cause::Closed, false);
        }
        turned_away
    }

    /// A reply says more than its client needs to know. Nothing when the connection is gone.
    #[cold]
    #[inline(never)] // out of what every reply passes
    fn heed(&mut self, s: u32, reply: &[u8]) -> Option<()> {
        if reply.starts_with(b"CLIENT_ERROR") || reply.starts_with(b"ERROR") {
            // Its data may have been read as commands; a client did that, not the server.
            self.conns[s].blameless = true;
            self.lose_conn(s, Cause::InvalidReply);
            return None;
        }
        self.own_answered(s, reply);
        Some(())
    }

    /// A server is answering. `serves`: it does its work. Answers how long it took.
    #[inline(always)] // into what every reply passes
    pub(crate) fn note_answer(
        &mut self,
        pool: usize,
        server: usize,
        answered: &Answered,
        serves: bool,
    ) -> Latency {
        if self.failing > 0
            && serves
            && !answered.late
            && !matches!(answered.entry.target, Target::Handshake(_))
        {
            self.note_service(pool, server);
        }
        let latency = Latency::of_us(self.now.mono_us.saturating_sub(answered.entry.at_us));
        let counters = self.shard.server_shard(pool, server);
        answered.count(counters);
        if !answered.late && !matches!(answered.entry.target, Target::Awaited(_) | Target::Copies(_)) {
            // A late one was counted when it was given up.
            counters.latency.record(latency);
        }
        latency
    }

    #[cold]
    fn note_service(&mut self, pool: usize, server: usize) {
        if std::mem::take(&mut self.pools[pool].servers[server].failing) {
            self.failing -= 1;
            let (pool, server) = (pool as u32, server as u32);
            self.replies.outputs.push(Output::ServerAnswered { pool, server });
        }
    }

    fn take_handshake(&mut self, s: u32, step: Step, reply: &[u8]) -> Option<()> {
        if reply.starts_with(b"-") {
            self.refuse_handshake(s, step, reply);
            return None;
        }
        let conn = &mut self.conns[s];
        if !matches!(conn.queue.front().map(|entry| entry.target), Some(Target::Handshake(_))) {
            conn.phase = Phase::Ready;
            self.wake_conn(s);
        }
        Some(())
    }

    /// The server does not take the proxy's AUTH or SELECT: nothing may run on this connection.
    fn refuse_handshake(&mut self, s: u32, step: Step, reply: &[u8]) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let said = String::from_utf8_lossy(&reply[1..]);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let said: String = said.trim_end().chars().map(plain).take(crate::limits::QUOTED_BYTES).collect();
        let command = match step {
            Step::Auth => "AUTH",
            Step::Hello => "HELLO 3",
            Step::Select => "SELECT",
            Step::Tracking => "CLIENT TRACKING",
        };
        let name = &self.topology.pools[pool as usize].servers[server as usize].name;
        let text = format!("server '{name}' refused the proxy's {command}: {said}");
        self.count_server(s, ServerMetric::HandshakeErrors).add(1);
        let reply = Text::format(format_args!("{said}"));
        self.process.events.push(Event::HandshakeRefused { pool, server, command, reply });
        while let Some(answered) = self.conns[s].take_front() {
            answered.count(self.shard.server_shard(pool as usize, server as usize));
            self.fail(Protocol::Redis, answered.entry.target, &text);
        }
        self.lose_conn(s, Cause::HandshakeRefused);
    }

    pub(crate) fn take_part(
        &mut self,
        merge: u32,
        part: u32,
        bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut reply = self.replies.small.take_for(bytes);
        write(&mut reply);
        let place = &mut self.merges[merge].parts[part as usize].reply;
        let begun = std::mem::replace(place, reply);
        if begun.capacity() > 0 {
            self.replies.small.give(begun);
        }
        self.part_is_here(merge, part);
    }

    /// More of a part's reply; answers how many bytes of it there are now.
    pub(crate) fn add_to_part(&mut self, merge: u32, part: u32, pieces: &[&[u8]]) -> usize {
        let reply = &mut self.merges[merge].parts[part as usize].reply;
        if reply.capacity() == 0 {
            *reply = self.replies.small.take_for(pieces.iter().map(|piece| piece.len()).sum());
        }
        pieces.iter().for_each(|piece| reply.extend_from_slice(piece));
        reply.len()
    }

    /// All of a part's reply is there.
    #[inline]
    pub(crate) fn part_is_here(&mut self, merge: u32, part: u32) {
        let state = &mut self.merges[merge];
        if state.gather.is_some() {
            state.note_gathered(part);
        }
        state.outstanding -= 1;
        if state.outstanding > 0 {
            return;
        }
        if state.is_bulky(self.divisions.at_once, KEY_BYTES_AT_ONCE) {
            self.merge_later(merge);
        } else {
            self.finish_merge(merge);
        }
    }

    pub(crate) fn finish_merge(&mut self, merge: u32) {
        let Some(mut done) = self.merges.remove(merge) else { return };
        let view = &self.topology.pools[done.pool as usize];
        let name = |server: u32| view.servers[server as usize].name.as_str();
        let waited = Latency::of_us(self.now.mono_us.saturating_sub(done.at_us));
        self.shard.pool_shard(done.pool as usize).latency.record(waited);
        self.replies.answer(done.request, |out| done.write(view.protocol, name, out));
        if let Some(plan) = done.gather.take() {
            self.pools[done.pool as usize].score_form = plan.form();
        }
        if done.how == How::Loaded {
            self.note_loaded(&done);
        }
        self.spare_merge(done);
    }
}
