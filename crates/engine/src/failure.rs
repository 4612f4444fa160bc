//! Connections that break: who is told, what is sent once more, and what counts as a failure of the server.

use crate::core::Core;
use crate::error::Cause;
use crate::merge::write_cause;
use crate::output::Output;
use crate::request::{Page, State, Target};
use crate::server_conn::{Care, InFlight, Phase, ServerConn};
use crate::slab::NONE;
use config::Protocol;
use stats::{Event, PoolMetric, ServerMetric, Text, WorkerMetric};

impl Core {
    /// Answers `target` with an error because its server is not even asked: in the operator's words, if
    /// there are any.
    pub(crate) fn fail_unasked(&mut self, pool: u32, target: Target, cause: Cause) {
        let view = &self.topology.pools[pool as usize];
        let protocol = view.protocol;
        match view.error_text.clone().filter(|_| cause != Cause::QueueFull) {
            Some(text) => self.fail(protocol, target, &text),
            None => self.fail(protocol, target, cause.text()),
        }
    }

    /// Answers `target` with an error.
    pub(crate) fn fail(&mut self, protocol: Protocol, target: Target, text: &str) {
        match target {
            Target::Exec(request) => {
                self.end_watch(request);
                self.answer_error(request, protocol, text);
            }
            Target::Request(request)
            | Target::Awaited(request)
            | Target::Script(request)
            | Target::Scan(Page { request, .. })
            | Target::Instead(request, _) => self.answer_error(request, protocol, text),
            Target::Copies(request) => {
                let c = self.replies.requests[request].client;
                self.count_client(c, PoolMetric::ForwardError);
                self.end_copies(request, |out| write_cause(protocol, text, out));
            }
            Target::Part { merge, part } => {
                let request = self.merges[merge].request;
                if let State::Waiting | State::Unheard = self.replies.requests[request].state {
                    let c = self.replies.requests[request].client;
                    self.count_client(c, PoolMetric::ForwardError);
                }
                self.take_part(merge, part, 0, |out| write_cause(protocol, text, out));
            }
            Target::Quiet(request) => self.quieted(request),
            Target::Errand(errand) => self.errand_failed(errand),
            Target::Topic(topic) => {
                let mut reply = Vec::new();
                write_cause(protocol, text, &mut reply);
                self.topic_failed(topic, &reply);
            }
            Target::Database { pool, place } => self.database_unknown(pool, place, protocol, text),
            Target::Docs { pool, resp3 } => self.docs_told(pool, resp3, None),
            Target::Noreply(id) => self.heard(id),
            Target::Nobody | Target::Handshake(_) | Target::Cover(_) => {}
        }
    }

    /// A connection is gone: what waits on it is answered with an error, but for requests that
    /// provably never left, which go to a fresh connection.
    pub(crate) fn lose_conn(&mut self, s: u32, cause: Cause) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let conn = &self.conns[s];
        // A server that owes nothing may close: what was queued since has not left and goes elsewhere.
        let owed = conn.queue.iter().skip(conn.expired).any(|entry| entry.start < conn.stream.written());
        let idle = !owed && conn.flow.is_none() && conn.phase == Phase::Ready;
        let ended = cause.is_end();
        // From a retired connection nothing moves: it would come behind younger requests on the current one. A request
        // alone on a lane has nothing that it could overtake.
        let alone = conn.lane && conn.queue.len() == 1 && conn.flow.is_none();
        let current = ended && (conn.slot.is_some() || alone);
        let worked = current && conn.replies > 0 && conn.phase == Phase::Ready;
        let connecting = matches!(conn.phase, Phase::Connecting | Phase::Waiting);
        let attempted = conn.phase == Phase::Connecting;
        let innocent =
            conn.blameless || (idle && ended) || matches!(cause, Cause::HandshakeRefused | Cause::Exhausted);
        if !innocent {
            let down = connecting || (cause == Cause::TimedOut && self.is_silent(s));
            self.report_failure(pool, server, cause, down);
        }
        if attempted {
            self.back_off(pool, server);
        }
        let metric = match cause {
            Cause::Closed => ServerMetric::ServerEof,
            Cause::TimedOut => ServerMetric::ServerTimedout,
            _ if connecting => ServerMetric::ConnectErrors,
            _ => ServerMetric::ServerErr,
        };
        self.count_server(s, metric).add(1);
        if metric == ServerMetric::ConnectErrors {
            self.count_server(s, ServerMetric::ServerErr).add(1);
        }
        let conn = &self.conns[s];
        let view = &self.topology.pools[pool as usize];
        let first = conn.mode.first_slot(false, view.server_connections);
        let lane = conn.slot.unwrap_or(first);
        let retry_reads = current && view.retry_reads;
        let id = self.conns.id(s);
        let pin = self.conns[s].pin;
        let mut conn = self.detach_conn(s);
        let protocol = self.topology.pools[pool as usize].protocol;
        let feeder = conn.feeder;
        let torn = conn.torn_place();
        if let Some(flow) = conn.flow.take() {
            self.tear_flow(flow, pool, cause);
        }
        let mut again = Vec::new();
        let ends: Vec<u64> = conn.queue.iter().skip(1).map(|next| next.start).chain([conn.whole]).collect();
        let given_up = conn.expired;
        let queue = std::mem::take(&mut conn.queue);
        for (index, (entry, end)) in queue.into_iter().zip(ends).enumerate() {
            let unsent = worked && entry.start >= conn.stream.written();
            let read = retry_reads && entry.care.again && torn != Some(index);
            if let Some(pin) = pin.filter(|_| entry.start >= conn.stream.written()) {
                self.pinned_unsent(pin, &conn, entry, conn.stream.between(entry.start, end), cause);
            } else if let (true, Target::Database { pool, place }) = (unsent, entry.target) {
                self.ask_for_database(pool, server, place, conn.mode);
            } else if unsent && feeder != NONE {
                self.transfer_again(feeder, id, &conn, entry);
            } else if (unsent || read) && index >= given_up {
                let care = Care { again: entry.care.again && unsent, ..entry.care };
                again.push((InFlight { care, ..entry }, end));
            } else {
                self.fail(protocol, entry.target, cause.text());
            }
        }
        if !again.is_empty() {
            let fresh = self.conn_for(pool, server, lane);
            for (entry, end) in again {
                self.send_again(fresh, &conn.asked(&entry, end), entry);
            }
        }
        conn.stream.release(&mut self.replies.buffers);
        self.replies.buffers.give(conn.rest);
        if feeder != NONE {
            self.resume(feeder);
        }
    }

    /// Loses a connection whose server says what it was not asked. Returns nothing, which tells callers that the connection is gone.
    #[cold]
    pub(crate) fn lose_nonsense<T>(&mut self, s: u32) -> Option<T> {
        self.lose_conn(s, Cause::InvalidReply);
        None
    }

    /// Queues a request on another connection; its time goes on counting from when it was first queued.
    pub(crate) fn send_again(&mut self, s: u32, bytes: &[u8], entry: InFlight) {
        let queue = &mut self.conns[s].queue;
        if queue.iter().all(|ahead| matches!(ahead.target, Target::Handshake(_))) {
            // On a fresh connection: the handshake must not take longer than the request may.
            queue.iter_mut().for_each(|ahead| ahead.at_us = ahead.at_us.min(entry.at_us));
            self.arm(s, entry.at_us);
        }
        self.send(s, entry.target, entry.care, |out| out.extend_from_slice(bytes));
        if let Some(last) = self.last_queued(s) {
            last.at_us = entry.at_us;
        }
    }

    /// Closes a connection that owes nothing.
    pub(crate) fn discard_conn(&mut self, s: u32) {
        let mut conn = self.detach_conn(s);
        conn.stream.release(&mut self.replies.buffers);
        self.replies.buffers.give(conn.rest);
    }

    /// Takes the connection out of all lists and gauges and has it closed.
    pub(crate) fn detach_conn(&mut self, s: u32) -> ServerConn {
        let conn = &self.conns[s];
        let unsent_from = conn.queue.len() - conn.unsent;
        let sent_bytes = conn.queue.get(unsent_from).map_or(conn.whole, |entry| entry.start)
            - conn.queue.front().map_or(conn.whole, |entry| entry.start);
        let all_bytes = conn.whole - conn.queue.front().map_or(conn.whole, |entry| entry.start);
        self.count_server(s, ServerMetric::InQueue).sub(conn.unsent as u64);
        self.count_server(s, ServerMetric::InQueueBytes).sub(all_bytes - sent_bytes);
        self.count_server(s, ServerMetric::OutQueue).sub(unsent_from as u64);
        self.count_server(s, ServerMetric::OutQueueBytes).sub(sent_bytes);
        if !matches!(conn.phase, Phase::Connecting | Phase::Waiting) {
            self.count_server(s, ServerMetric::ServerConnections).sub(1);
        }
        if conn.phase != Phase::Waiting {
            self.shard.worker(WorkerMetric::CurrConnections).sub(1);
            let id = self.conns.id(s);
            // What was sent and is not answered may still be under way; nobody waits for it any more.
            let owed = conn.queue.front().is_some_and(|entry| entry.start < conn.stream.written());
            self.replies.outputs.push(if owed { Output::AbortConn(id) } else { Output::CloseConn(id) });
        }
        self.leave_lane(s);
        self.lose_tracked(s);
        self.lose_pin(s);
        let conn = self.conns.remove(s).expect("callers hold a living connection");
        let state = &mut self.pools[conn.pool as usize].servers[conn.server as usize];
        match conn.slot {
            Some(slot) => state.conns[slot as usize] = NONE,
            None => {
                state.retired.retain(|other| *other != s);
                state.spare.retain(|other| *other != s);
            }
        }
        conn
    }

    /// Tells of a failure; `down`: the server refuses or hangs, so that another request would only wait too.
    pub(crate) fn report_failure(&mut self, pool: u32, server: u32, cause: Cause, down: bool) {
        self.tell_failure(pool, server, cause);
        let failing = &mut self.pools[pool as usize].servers[server as usize].failing;
        self.failing += u32::from(!std::mem::replace(failing, true));
        if down {
            self.mark_server(pool, server, Some(cause));
        }
        self.replies.outputs.push(Output::ServerFailed { pool, server, cause, down });
    }

    fn tell_failure(&self, pool: u32, server: u32, cause: Cause) {
        let text = Text::format(format_args!("{}", cause.text()));
        let waiting = self.shard.server(pool as usize, server as usize, ServerMetric::OutQueue).get() as u32;
        self.process.events.push(match cause {
            Cause::TimedOut => Event::ServerTimedOut { pool, server, requests: waiting },
            Cause::Closed | Cause::Reset | Cause::BrokenPipe => {
                Event::ServerClosed { pool, server, requests: waiting, reason: text }
            }
            Cause::InvalidReply => Event::ServerProtocolError { pool, server, reason: text },
            _ => Event::ServerConnectFailed { pool, server, error: text },
        });
    }
}
