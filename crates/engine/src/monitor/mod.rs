//! MONITOR: clients that read, line by line, what the clients of their pool ask, of whichever worker they are.
//!
//! ```text
//!   MONITOR ── asked of all workers ──► every client of the pool gets a session that says: overheard
//!   a request in a session ── overhear: a line ──► lines of this tick ── Output::TellMonitors ──► tell_monitors
//!                                                    this worker's monitors ◄─┘  └─ mail, one batch at a time ─► other workers
//! ```
//! Without monitors a request never looks: it has no session. While a worker has not taken the last batch the lines for it
//! gather in the next one, which is bounded; so nobody waits for a monitor.

mod line;
mod overhear;
mod spread;

pub(crate) use spread::Batch;

use crate::command::{Command, Flags, PubsubCommand, Route};
use crate::core::Core;
use crate::survey::What;
use std::collections::BTreeMap;
use wire::resp::encode;

/// Who monitors a pool, as one worker knows it.
#[derive(Debug, Default)]
pub(crate) struct Monitored {
    /// Clients of this worker that do.
    here: Vec<u32>,
    /// Those of this worker for which the others have been asked.
    coming: u32,
    /// How many there are at other workers.
    elsewhere: BTreeMap<usize, u32>,
    /// What was overheard since lines were last passed on.
    lines: Vec<u8>,
    /// Lines that other workers have not been sent: they have not taken what was sent before.
    waiting: Vec<u8>,
    /// Whether that is so.
    under_way: bool,
    /// Whether more was overheard than is held, so that some is lost.
    lost: bool,
    /// Whether the same is true of what waits for other workers.
    lost_elsewhere: bool,
}

impl Monitored {
    fn is_over(&self) -> bool {
        self.here.is_empty() && self.coming == 0 && self.elsewhere.is_empty()
    }

    /// Bytes that it holds.
    pub(crate) fn room(&self) -> usize {
        self.lines.capacity() + self.waiting.capacity()
    }
}

impl Core {
    /// MONITOR. `false`: it is to be read again when all that the client asked before is answered.
    #[inline(never)] // nearly all requests pass by
    pub(crate) fn monitor(&mut self, c: u32) -> bool {
        if self.is_monitor(c) {
            return true; // redis says nothing either
        }
        if !self.replies.clients[c].is_done() {
            return false;
        }
        self.ask_workers(c, 0, What::Monitor);
        true
    }

    /// A client of this worker, or of another, is going to monitor a pool.
    pub(crate) fn begin_monitor(&mut self, pool: u32, from: Option<usize>) {
        let monitored = self.pools[pool as usize].monitored.get_or_insert_default();
        match from {
            None => monitored.coming += 1,
            Some(worker) => *monitored.elsewhere.entry(worker).or_default() += 1,
        }
        for c in self.clients_of(pool) {
            self.session(c).overheard = true;
        }
    }

    /// All workers know of it.
    pub(crate) fn monitor_told(&mut self, c: u32, request: u32) {
        let pool = self.replies.clients[c].pool;
        // What was asked before is none of its business.
        self.tell_monitors(pool);
        self.session(c).monitor = true;
        if let Some(monitored) = &mut self.pools[pool as usize].monitored {
            monitored.coming = monitored.coming.saturating_sub(1);
            monitored.here.push(c);
        }
        self.replies.answer(request, |out| encode::simple(b"OK", out));
    }

    /// A client left before all workers knew.
    pub(crate) fn monitor_gone(&mut self, pool: u32) {
        if let Some(monitored) = &mut self.pools[pool as usize].monitored {
            monitored.coming = monitored.coming.saturating_sub(1);
        }
        self.tell_workers(pool, What::Unmonitor);
    }

    /// A client monitors no longer.
    pub(crate) fn leave_monitors(&mut self, c: u32) {
        let pool = self.replies.clients[c].pool;
        if let Some(monitored) = &mut self.pools[pool as usize].monitored {
            monitored.here.retain(|other| *other != c);
        }
        self.tell_workers(pool, What::Unmonitor);
    }

    /// A client of this worker, or of another, monitors a pool no longer.
    pub(crate) fn end_monitor(&mut self, pool: u32, from: Option<usize>) {
        let Some(monitored) = &mut self.pools[pool as usize].monitored else { return };
        if let Some(worker) = from
            && let Some(count) = monitored.elsewhere.get_mut(&worker)
        {
            *count -= 1;
            if *count == 0 {
                monitored.elsewhere.remove(&worker);
            }
        }
        if !monitored.is_over() {
            return;
        }
        self.pools[pool as usize].monitored = None;
        for c in self.clients_of(pool) {
            self.session(c).overheard = false;
            self.drop_session_if_empty(c);
        }
    }

    /// Whether a client monitors its pool.
    pub(crate) fn is_monitor(&self, c: u32) -> bool {
        self.replies.clients[c].session.as_ref().is_some_and(|session| session.monitor)
    }

    /// A monitor asks for something that redis does not do for one; it is told so.
    pub(crate) fn monitor_may_not(&mut self, c: u32, command: &'static Command) -> bool {
        let touches = command.flags.has(Flags::READONLY)
            || command.flags.has(Flags::WRITE)
            || command.script().is_some()
            || command.route == Route::Pubsub(PubsubCommand::Publish);
        if !touches || !self.is_monitor(c) {
            return false;
        }
        self.spoil(c);
        self.answer_now(c, |out| encode::error(b"ERR Replica can't interact with the keyspace", out));
        true
    }

    /// A client that is new, or whose session was ended, is overheard like the others of its pool.
    pub(crate) fn join_monitored(&mut self, c: u32) {
        if self.pools[self.replies.clients[c].pool as usize].monitored.is_some() {
            self.session(c).overheard = true;
        }
    }
}
