//! What the engine wants done, and all that is checked on the way and at the end.

use crate::ask::{Ask, Reply};
use crate::check::{Judge, SLACK_US, shown};
use crate::faults::Why;
use crate::server::{Peer, Stage};
use crate::world::{Tamper, World};
use engine::error::Cause;
use engine::id::ClientId;
use engine::{Closing, Output};
use stats::{PoolMetric, ServerMetric, WorkerMetric};
use std::cell::Cell;

/// How a request for another database begins.
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n";

/// More than any reply of the model takes.
const REPLY_BYTES: usize = 32 << 10;

impl World {
    /// Does what the worker would do. Every handle must name something that is there.
    pub(crate) fn act(&mut self, output: Output) -> Result<(), String> {
        let unknown = || format!("{output:?} names nothing that is there");
        match output {
            Output::WriteClient(id) => {
                if let Some(index) = self.guest(id) {
                    return self.write_guest(index);
                }
                let index = self.client(id).ok_or_else(unknown)?;
                self.write_client(index)
            }
            Output::WriteConn(id) => {
                let index = self.peer(id).ok_or_else(unknown)?;
                let pool = self.peers[index].pool;
                let waits =
                    self.clients.iter().any(|client| client.pool == pool && client.vanishes_at.is_some());
                if !waits && !self.core.conn_output(id).is_empty() && self.lies(Tamper::LoseWrite) {
                    return Ok(());
                }
                match self.peers[index].stage {
                    Stage::Up => self.write_conn(index),
                    Stage::Gone => Ok(()),
                    Stage::Connecting(..) => Err(format!("{output:?} before the connection stands")),
                }
            }
            Output::Connect { conn, pool, server } => {
                let (pool, server) = (pool as usize, server as usize);
                if self.peer(conn).is_some() || server >= self.plan.pools[pool].servers {
                    return Err(format!("{output:?} makes no sense"));
                }
                let misrouted = self.tamper == Some(Tamper::Misroute) && self.plan.pools[pool].servers > 1;
                let server = if misrouted { (server + 1) % self.plan.pools[pool].servers } else { server };
                self.connect(conn, pool, server);
                let peer = self.peers.last_mut().expect("one was just connected");
                peer.misrouted = misrouted;
                Ok(())
            }
            Output::CloseConn(id) | Output::AbortConn(id) => {
                let index = self.peer(id).ok_or_else(unknown)?;
                self.note_backing_off(index);
                // What the server has already read it may still do.
                if self.rng.chance(500) {
                    self.work(index, usize::MAX)?;
                }
                self.part(index, true);
                let peer: Peer = self.peers.swap_remove(index);
                peer.faults
                    .into_iter()
                    .chain(peer.held_fault)
                    .for_each(|fault| self.log.end(fault, self.now));
                Ok(())
            }
            Output::UnknownCommand { .. } => Err(format!("{output:?}, but no pool learns")),
            Output::CloseClient(id, closing) => match self.guest(id) {
                Some(index) => self.close_guest(index, closing),
                None => self.close_client(id, closing),
            },
            Output::PauseClient(id) => {
                if let Some(index) = self.guest(id) {
                    self.hall.guests[index].reading = false;
                    return Ok(());
                }
                let index = self.client(id).ok_or_else(unknown)?;
                self.clients[index].reading = false;
                self.clients[index].slow = true;
                Ok(())
            }
            Output::ResumeClient(id) => {
                if let Some(index) = self.guest(id) {
                    self.hall.guests[index].reading = true;
                    return Ok(());
                }
                let index = self.client(id).ok_or_else(unknown)?;
                let client = &self.clients[index];
                let has_more = client.sent < client.stream.len()
                    && client.vanishes_at.is_none()
                    && client.ended_by().is_none();
                // For good: one that is paused and resumed once more would make it good.
                let lied = has_more && self.lies(Tamper::StayPaused);
                let client = &mut self.clients[index];
                client.kept_paused |= lied;
                client.reading = !client.kept_paused;
                Ok(())
            }
            Output::PauseConn(id) => {
                let index = self.peer(id).ok_or_else(unknown)?;
                let (pool, server) = (self.peers[index].pool, self.peers[index].server);
                self.peers[index].held = true;
                // Writes behind a large reply wait for its reader, but not where they need not.
                if self.plan.pools[pool].output_max < usize::MAX {
                    let lasts = (self.now, u64::MAX);
                    let fault = self.log.add(pool, server, Why::Cause(Cause::TimedOut), lasts);
                    self.peers[index].held_fault = Some(fault);
                }
                Ok(())
            }
            Output::ResumeConn(id) => {
                let index = self.peer(id).ok_or_else(unknown)?;
                self.peers[index].held = false;
                if let Some(fault) = self.peers[index].held_fault.take() {
                    self.log.end(fault, self.now + SLACK_US);
                }
                Ok(())
            }
            Output::AskWorkers(survey) => {
                self.core.begin_survey(survey, 0);
                Ok(())
            }
            Output::TellMonitors { pool } => {
                self.core.tell_monitors(pool);
                Ok(())
            }
            Output::ServerFailed { pool, server, cause, down } => {
                let (pool, server) = (pool as usize, server as usize);
                let happened =
                    |why| why == Why::Cause(cause) || (why == Why::Wrong && cause == Cause::InvalidReply);
                if !self.log.any(pool, &[server], (self.now, self.now), happened) {
                    return Err(format!("{output:?} though nothing of the kind happened"));
                }
                self.failing[pool][server] = true;
                if down && self.plan.pools[pool].fail_fast {
                    self.mark_down(pool, server, cause);
                }
                Ok(())
            }
            Output::ServerAnswered { pool, server } => {
                if std::mem::take(&mut self.failing[pool as usize][server as usize]) {
                    return Ok(());
                }
                Err(format!("{output:?} of a server that had not failed"))
            }
        }
    }

    fn close_client(&mut self, id: ClientId, closing: Closing) -> Result<(), String> {
        let index = self.client(id).ok_or_else(|| format!("client {id:?} is closed twice"))?;
        let client = &mut self.clients[index];
        client.closed = Some(closing);
        if closing == Closing::Lost && self.plan.pools[client.pool].output_max < usize::MAX {
            // It was cut because more was held for it than may be.
            client.lost = true;
        }
        let torn = closing == Closing::Lost && !client.lost;
        if torn && let Some(first) = client.expects() {
            // A reply of which it has read a part cannot be mended once its connection breaks.
            let torn = client.asks[first..client.unsent].iter().any(|ask| {
                let since = (ask.begun_at.or(ask.sent_at).unwrap_or(self.now), self.now);
                self.log.any(client.pool, &ask.servers, since, |_| true)
            });
            if !torn {
                return Err(format!("client {id:?} is cut off though nothing went wrong"));
            }
            client.lost = true;
            self.seen.insert("a reply torn".to_string());
        }
        if client.lost {
            return match closing {
                Closing::Lost => Ok(()),
                other => Err(format!("client {id:?} is gone and closed as {other:?}")),
            };
        }
        let idle = self.topology.pools[client.pool]
            .client_idle_us
            .is_some_and(|idle| client.heard_at + idle <= self.now);
        if client.refused {
            client.lost = true;
            return Ok(());
        }
        let expected = client.ended_by().or((client.ended || idle).then_some(Closing::Clean));
        if expected != Some(closing) {
            let next = client.expects().map(|at| shown(&client.asks[at].bytes));
            return Err(format!(
                "client {id:?} is closed as {closing:?}, expected {expected:?}, owed {next:?}"
            ));
        }
        match client.expects() {
            Some(ask) => Err(format!(
                "client {id:?} is closed before the answer to {}",
                shown(&client.asks[ask].bytes)
            )),
            None if client.is_between_replies() => Ok(()),
            None => Err(format!("client {id:?} is closed in the middle of a reply")),
        }
    }

    /// A client has read bytes: each whole reply must be the next request's.
    pub(crate) fn read_replies(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let mut replies = self.clients[index].receive(bytes)?;
        self.tamper_with(index, &mut replies);
        for reply in replies {
            self.replies += 1;
            let steady = self.is_steady(self.clients[index].pool);
            let client = &mut self.clients[index];
            if self.plan.memory.is_some() && String::from_utf8_lossy(&reply).contains("(max_memory)") {
                client.refused = true;
                continue;
            }
            let Some(place) = client.expects_early() else {
                return Err(format!("client {:?} reads {} and asked nothing", client.id, shown(&reply)));
            };
            let judge = Judge {
                log: &self.log,
                pool: client.pool,
                protocol: client.protocol,
                partial: self.plan.pools[client.pool].partial,
                retried: self.plan.pools[client.pool].retry_reads,
                now: self.now,
                steady,
                exact: self.plan.exact,
                left_out: Cell::new(false),
            };
            let ask = &mut client.asks[place];
            // What is passed on as it comes has its time as long as it gets on, and what is behind it waits.
            client.slow |= reply.len().max(ask.bytes.len()) > client.streams_from;
            if let (Some(sent), Some(longest)) = (ask.sent_at, self.times.longest_us(client.pool)) {
                let dues = ask.servers.iter().filter_map(|server| self.times.due(client.pool, *server, sent));
                client.due = client.due.max(dues.max().unwrap_or(sent + longest));
                if !client.slow {
                    // A large reply before it may have taken as long again before it failed.
                    let again = if client.streams_from < 1000 { longest } else { 0 };
                    judge.in_time(ask, client.due + again)?;
                }
            }
            ask.answered =
                Some(judge.judge(ask, &reply).map_err(|why| format!("client {:?}: {why}", client.id))?);
            client.next += 1;
            if client.asks[place].answered == Some(true) {
                client.served(place);
            }
            let ask = &client.asks[place];
            if judge.left_out.get() && ask.resp3 {
                self.seen.insert("a key left out in RESP3".to_string());
            }
            if ask.answered == Some(false) {
                let text = String::from_utf8_lossy(&reply);
                self.seen.insert(text.split_once(' ').map_or("", |(_, text)| text.trim_end()).to_string());
            }
        }
        Ok(())
    }

    /// Lies about what a client reads, where a lie was ordered and can be told from the truth.
    fn tamper_with(&mut self, index: usize, replies: &mut Vec<Vec<u8>>) {
        let Some(place) = self.clients[index].expects() else { return };
        if self.clients[index].vanishes_at.is_some() {
            return;
        }
        let asks: Vec<&Reply> = self.clients[index].asks[place..]
            .iter()
            .map(|a| &a.reply)
            .filter(|r| !matches!(r, Reply::None))
            .collect();
        let plain = |at: usize| asks.get(at).is_some_and(|reply| !matches!(reply, Reply::Starts(_)));
        let last = replies.len().wrapping_sub(1);
        let pair =
            (1..replies.len()).find(|at| replies[at - 1] != replies[*at] && plain(at - 1) && plain(*at));
        if let (Some(at), true) = (pair, self.tamper == Some(Tamper::Swap)) {
            if self.lies(Tamper::Swap) {
                replies.swap(at - 1, at);
            }
        } else if !replies.is_empty() && plain(last) {
            if self.lies(Tamper::Drop) {
                replies.pop();
            } else if self.lies(Tamper::Duplicate) {
                replies.push(replies[last].clone());
            } else if self.lies(Tamper::Corrupt) {
                let at = replies[last].len() - 3;
                replies[last][at] ^= 1;
            } else if self.lies(Tamper::Excuse) {
                replies[last] = match self.clients[index].protocol {
                    config::Protocol::Redis => b"-ERR Connection reset by peer\r\n".to_vec(),
                    config::Protocol::Memcache => b"SERVER_ERROR Connection reset by peer\r\n".to_vec(),
                };
            }
        }
    }

    // ---- after each tick

    /// Counters agree with the world, bounds hold, and what is gone was given up.
    pub(crate) fn check_tick(&self) -> Result<(), String> {
        let usage = self.core.usage();
        let guests = || self.hall.guests.iter().filter(|guest| guest.is_open());
        let open = self.clients.iter().filter(|client| client.is_open()).count() + guests().count();
        let same = |what: &str, counted: u64, there: usize| {
            if counted == there as u64 {
                Ok(())
            } else {
                Err(format!("{what}: {} counted, {there} there", counted as i64))
            }
        };
        same("clients", usage.clients as u64, open)?;
        if usage.conns < self.peers.len() {
            return Err(format!("{} connections counted, {} there", usage.conns, self.peers.len()));
        }
        same(
            "curr_connections",
            self.shard.worker(WorkerMetric::CurrConnections).get(),
            open + self.peers.len(),
        )?;
        if let Some(gone) = self.peers.iter().find(|peer| peer.stage == Stage::Gone) {
            return Err(format!("connection {:?} is lost and was not given up", gone.id));
        }
        let mut waiting = 0;
        for (pool, plan) in self.plan.pools.iter().enumerate() {
            let here = self.clients.iter().filter(|client| client.is_open() && client.pool == pool).count();
            let here = here + guests().filter(|guest| guest.pool == pool).count();
            same("client_connections", self.shard.pool(pool, PoolMetric::ClientConnections).get(), here)?;
            for server in 0..plan.servers {
                let gauge = |metric| self.shard.server(pool, server, metric).get() as i64;
                let peers = self.peers.iter().filter(|peer| (peer.pool, peer.server) == (pool, server));
                let up = peers.filter(|peer| peer.stage == Stage::Up).count();
                if self.tamper != Some(Tamper::Misroute) {
                    same("server_connections", gauge(ServerMetric::ServerConnections) as u64, up)?;
                }
                for metric in [ServerMetric::InQueue, ServerMetric::OutQueue] {
                    waiting += gauge(metric);
                }
                for metric in QUEUES {
                    if gauge(metric) < 0 {
                        return Err(format!("{} of server {server} is {}", metric.row().name, gauge(metric)));
                    }
                }
            }
        }
        same("requests in queues", waiting as u64, usage.in_flight)?;
        // One whose reply is written a few keys at a time is no server's any more.
        self.check_bounds(usage.requests, usage.in_flight + usage.divided)
    }

    fn check_bounds(&self, requests: usize, under_way: usize) -> Result<(), String> {
        let mut most = under_way;
        for client in self.clients.iter().filter(|client| client.is_open()) {
            let plan = &self.plan.pools[client.pool];
            // Behind a large reply a noreply request keeps a place too.
            let unheard = client.asks.iter().filter(|ask| matches!(ask.reply, Reply::None)).count();
            most += plan.max_pipeline as usize + unheard;
            let held = self.core.client_output(client.id).len();
            let pipeline = client.asks.len().min(plan.max_pipeline as usize) + 1;
            if held > plan.output_limit + pipeline * REPLY_BYTES {
                return Err(format!("client {:?} is held {held} bytes", client.id));
            }
            if held > 0 && !client.blocked && self.core.usage().pieces == 0 {
                return Err(format!("client {:?} has {held} bytes that nobody writes", client.id));
            }
        }
        for guest in self.hall.guests.iter().filter(|guest| guest.is_open()) {
            most += self.plan.pools[guest.pool].max_pipeline as usize;
            // What it is told on its way takes places.
            most += if self.hall.tracks { 64 } else { 0 };
        }
        if requests > most {
            return Err(format!("{requests} requests wait, at most {most} can"));
        }
        for peer in self.peers.iter().filter(|peer| peer.stage == Stage::Up && !peer.blocked) {
            let unwritten = self.core.conn_output(peer.id).len();
            if unwritten > 0 && self.tamper.is_none() {
                return Err(format!("connection {:?} has {unwritten} bytes that nobody writes", peer.id));
            }
        }
        Ok(())
    }

    // ---- at the end

    /// The world is at rest: everybody who asked has an answer, and what was answered was done.
    pub(crate) fn check_answers(&mut self) -> Result<(), String> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            if client.lost {
                continue;
            }
            let stays = |ask: &Ask| ask.answered == Some(false) && ask.bytes.starts_with(SELECT);
            if let Some(astray) = self.journal.astray.get(&number)
                && !client.asks.iter().any(stays)
            {
                return Err(format!("client {:?}: {astray}", client.id));
            }
            if let Some(place) = client.expects() {
                return Err(format!(
                    "client {:?} has no answer to {}",
                    client.id,
                    shown(&client.asks[place].bytes)
                ));
            }
            if !client.is_between_replies() {
                return Err(format!("client {:?} has read half a reply", client.id));
            }
            if client.is_open() && client.sent < client.stream.len() {
                return Err(format!("client {:?} is not read any more", client.id));
            }
            for ask in &client.asks {
                let served = ask.answered == Some(true) && !ask.any_answer;
                let certain = served || (self.plan.exact && ask.sent_at.is_some() && !client.refused);
                let undone = ask.tokens.iter().find(|token| self.journal.count(token) == 0);
                if let Some(token) = undone.filter(|_| certain) {
                    return Err(format!("{} was never done: {token}", shown(&ask.bytes)));
                }
            }
        }
        Ok(())
    }

    /// Nobody is left: nothing may be held for anybody.
    pub(crate) fn check_end(&mut self) -> Result<(), String> {
        self.check_answers()?;
        let usage = self.core.usage();
        let requests = (usage.requests, usage.merges, usage.in_flight, usage.divided);
        if (usage.clients, usage.pieces) != (0, 0) || requests != (0, 0, 0, 0) {
            return Err(format!("all is over and still held: {usage:?}"));
        }
        for (pool, plan) in self.plan.pools.iter().enumerate() {
            for server in 0..plan.servers {
                for metric in QUEUES {
                    let left = self.shard.server(pool, server, metric).get() as i64;
                    if left != 0 {
                        return Err(format!(
                            "all is over and {} of server {server} is {left}",
                            metric.row().name
                        ));
                    }
                }
            }
        }
        for (pool, plan) in self.plan.pools.iter().enumerate() {
            let pool_metrics = PoolMetric::ALL.iter().filter(|m| self.shard.pool(pool, **m).get() > 0);
            self.seen.extend(pool_metrics.map(|metric| metric.row().name.to_string()));
            for server in 0..plan.servers {
                let metrics =
                    ServerMetric::ALL.iter().filter(|m| self.shard.server(pool, server, **m).get() > 0);
                self.seen.extend(metrics.map(|metric| metric.row().name.to_string()));
            }
        }
        if !self.core.is_idle() {
            return Err("all is over and the engine is not idle".to_string());
        }
        Ok(())
    }
}

/// Gauges that are back to zero when nothing is under way.
const QUEUES: [ServerMetric; 4] =
    [ServerMetric::InQueue, ServerMetric::InQueueBytes, ServerMetric::OutQueue, ServerMetric::OutQueueBytes];
