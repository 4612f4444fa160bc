//! CLIENT PAUSE: for a while the requests of a pool's clients, or only those that write, wait in the proxy.
//!
//! Every client of the pool has a session meanwhile, in which its requests see that they have to wait; the requests of
//! other pools' clients never look.

use crate::command::{Command, Flags, Route, SessionCommand};
use crate::core::Core;
use crate::deadline::NEVER;
use crate::session::Halt;
use crate::survey::What;
use wire::args::ArgView;
use wire::resp::encode;

/// A pool's pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    until_us: u64,
    halt: Halt,
}

impl Core {
    /// CLIENT PAUSE milliseconds [WRITE|ALL].
    pub(crate) fn client_pause(&mut self, c: u32, args: ArgView<'_>) {
        let mode = args.get(3);
        let halt = match args.len() {
            3 => Ok(Halt::All),
            4 if mode.eq_ignore_ascii_case(b"ALL") => Ok(Halt::All),
            4 if mode.eq_ignore_ascii_case(b"WRITE") => Ok(Halt::Writes),
            4 => Err("ERR CLIENT PAUSE mode must be WRITE or ALL"),
            _ => Err("ERR syntax error"),
        };
        let time = std::str::from_utf8(args.get(2)).ok().and_then(|word| word.parse::<i64>().ok());
        let micros = match time.map(u64::try_from) {
            None => Err("ERR timeout is not an integer or out of range"),
            Some(Err(_)) => Err("ERR timeout is negative"),
            Some(Ok(millis)) => Ok(millis.saturating_mul(1000)),
        };
        match halt.and_then(|halt| Ok((halt, micros?))) {
            Ok((halt, micros)) => {
                let until_us = self.now.mono_us.saturating_add(micros);
                self.ask_workers(c, args.bytes().len(), What::Pause { until_us, halt });
            }
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
        }
    }

    /// Pauses a pool on this worker. What is paused already is so for the longer time, and in the stricter way.
    pub(crate) fn pause_pool(&mut self, pool: u32, until_us: u64, halt: Halt) {
        let pause = &mut self.pools[pool as usize].pause;
        let before = pause.unwrap_or(Pause { until_us: 0, halt: Halt::Nothing });
        let now = Pause { until_us: before.until_us.max(until_us), halt: before.halt.max(halt) };
        *pause = Some(now);
        self.pauses_end_us = self.pauses_end_us.min(now.until_us);
        self.stir();
        for c in self.clients_of(pool) {
            self.session(c).halt = now.halt;
        }
    }

    /// A client that is new, or whose session was ended, waits like the others of its pool.
    pub(crate) fn join_pause(&mut self, c: u32) {
        if let Some(pause) = self.pools[self.replies.clients[c].pool as usize].pause {
            self.session(c).halt = pause.halt;
        }
    }

    pub(crate) fn unpause_pool(&mut self, pool: u32) {
        if self.pools[pool as usize].pause.take().is_none() {
            return;
        }
        for c in self.clients_of(pool) {
            let session = self.session(c);
            (session.halt, session.held) = (Halt::Nothing, false);
            self.drop_session_if_empty(c);
        }
        for id in self.clients_of(pool).into_iter().map(|c| self.replies.clients.id(c)).collect::<Vec<_>>() {
            self.go_on_with(id);
        }
    }

    /// Ends the pauses whose time is over.
    pub(crate) fn end_pauses(&mut self) {
        if self.pauses_end_us > self.now.mono_us {
            return;
        }
        let until = |pause: &Option<Pause>| pause.as_ref().map(|pause| pause.until_us);
        for pool in 0..self.pools.len() {
            if until(&self.pools[pool].pause).is_some_and(|until| until <= self.now.mono_us) {
                self.unpause_pool(pool as u32);
            }
        }
        self.pauses_end_us = self.pools.iter().filter_map(|pool| until(&pool.pause)).min().unwrap_or(NEVER);
        self.stir();
    }

    /// Whether a request has to wait for the end of a pause.
    pub(crate) fn waits_for_pause(&mut self, c: u32, command: Option<&'static Command>) -> bool {
        let Some(session) = &mut self.replies.clients[c].session else { return false };
        let held = match session.halt {
            Halt::Nothing => false,
            Halt::All => true,
            Halt::Writes => command.is_some_and(|command| match command.route {
                Route::ByKey | Route::Split(_) | Route::Fanout(_) if session.transaction.is_none() => {
                    !command.flags.has(Flags::READONLY)
                }
                Route::Session(SessionCommand::Exec) => {
                    let queued = session.transaction.as_ref();
                    queued.is_some_and(|queued| queued.keys.iter().any(|key| key.written))
                }
                _ => false,
            }),
        };
        session.held |= held;
        held
    }

    pub(crate) fn clients_of(&self, pool: u32) -> Vec<u32> {
        let all = self.replies.clients.iter();
        all.filter(|(_, client)| client.pool == pool).map(|(c, _)| c).collect()
    }
}
