//! SELECT: any database that the servers have, for one client alone.
//!
//! The first SELECT of a database on a worker is carried out on a connection of its own, whose server says whether there is
//! such a database; others that want it meanwhile wait for the same answer. From then on the proxy answers by itself. That
//! connection is kept as one of the database's own.

use crate::command::Command;
use crate::core::Core;
use crate::databases::{Mode, Wanted};
use crate::error::Cause;
use crate::limits::DATABASES;
use crate::request::{State, Target};
use crate::server_conn::Care;
use crate::session::Watch;
use config::{ClusterEmulation, Protocol};
use wire::args::ArgView;
use wire::resp::encode;

const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const NO_INT: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
const OUT_OF_RANGE: &str = "ERR DB index is out of range";
const IN_CLUSTER: &str = "ERR SELECT is not allowed in cluster mode";
const CROSSING_IN_CLUSTER: &str = "ERR Keys cannot go to another database in cluster mode";
const CROSSING_FIXED: &str = "ERR keys of this pool cannot go to another database (redis_db_fixed)";
const CROSSING_AWAY: &str =
    "ERR cashew does not take keys to another database while a server of the pool is away";
const WATCHES: &str =
    "ERR cashew does not SELECT another database while keys are watched: UNWATCH, or SELECT before WATCH";

/// Whether a request writes a key in another database than its client's.
pub(crate) fn crosses_databases(command: &Command, args: ArgView<'_>) -> bool {
    match command.name {
        "MOVE" => true,
        "COPY" => args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"DB")),
        _ => false,
    }
}

impl Core {
    /// Says that keys may not go to another database, where that is so.
    #[cold]
    pub(crate) fn refuse_crossing(&mut self, c: u32) -> bool {
        let view = self.view(c);
        let text = match () {
            () if view.cluster != ClusterEmulation::Off => CROSSING_IN_CLUSTER,
            () if view.redis_db_fixed => CROSSING_FIXED,
            // What is written where while a server is away is known by its key and its client's database.
            () if view.detour => CROSSING_AWAY,
            () => return false,
        };
        self.refused = true;
        self.answer_now(c, |out| encode::error(text.as_bytes(), out));
        true
    }

    pub(crate) fn select(&mut self, c: u32, args: ArgView<'_>) {
        match self.check_select(c, args.get(1)) {
            Ok(number) if number == self.database_of(c) => {
                self.answer_now(c, |out| encode::simple(b"OK", out))
            }
            Ok(number) => self.select_other(c, number, args.bytes().len()),
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
        }
    }

    /// The number that a client may ask a server for; or what it reads, in the order in which redis looks.
    fn check_select(&self, c: u32, text: &[u8]) -> Result<u32, String> {
        let view = self.view(c);
        let own = view.redis_db;
        let number = integer(text).ok_or(NO_INTEGER)?;
        let number = i32::try_from(number).map_err(|_| NO_INT)?;
        let is_own = i64::from(number) == i64::from(own);
        if view.cluster != ClusterEmulation::Off && number != 0 && !is_own {
            return Err(IN_CLUSTER.to_owned());
        }
        let number = u32::try_from(number).map_err(|_| OUT_OF_RANGE)?;
        if (view.redis_db_fixed || view.cluster != ClusterEmulation::Off) && !is_own {
            return Err(format!(
                "ERR clients of this pool cannot SELECT another database than {own} (redis_db_fixed)"
            ));
        }
        Ok(number)
    }

    fn select_other(&mut self, c: u32, number: u32, bytes: usize) {
        let client = &self.replies.clients[c];
        let pool = client.pool;
        if client.session.as_ref().is_some_and(|session| matches!(session.watch, Watch::On { .. })) {
            return self.answer_now(c, |out| encode::error(WATCHES.as_bytes(), out));
        }
        match self.want_database(pool, number) {
            Wanted::Known(db) => {
                self.change_mode(c, Mode { db, ..self.mode(c) });
                self.answer_now(c, |out| encode::simple(b"OK", out));
            }
            Wanted::Asked(place) => self.wait_for_database(c, place, bytes),
            Wanted::New(place) => {
                self.wait_for_database(c, place, bytes);
                self.begin_database(c, place);
            }
            Wanted::TooMany => {
                let text = format!(
                    "ERR clients of this pool use {DATABASES} databases already, and no more at a time can be selected"
                );
                self.answer_now(c, |out| encode::error(text.as_bytes(), out));
            }
        }
    }

    fn wait_for_database(&mut self, c: u32, place: u32, bytes: usize) {
        let pool = self.replies.clients[c].pool;
        let request = self.replies.ask(c, bytes);
        self.await_database(pool, place, request);
        self.replies.clients[c].in_order = true;
    }

    /// Asks a server that can be asked whether it has a database.
    fn begin_database(&mut self, c: u32, place: u32) {
        let pool = self.replies.clients[c].pool;
        let view = self.view(c);
        let live: Vec<u32> = (0..view.own as u32).filter(|s| view.servers[*s as usize].live).collect();
        let server = live.iter().copied().find(|server| self.check_server(pool, *server).is_ok());
        let mode = Mode { db: 0, ..self.mode(c) };
        match server {
            Some(server) => self.ask_for_database(pool, server, place, mode),
            None => {
                let down = live.first().map(|server| self.check_server(pool, *server));
                let cause = down.and_then(Result::err).unwrap_or(Cause::Refused);
                self.fail_unasked(pool, Target::Database { pool, place }, cause);
            }
        }
    }

    /// Asks a server for a database, on a connection that nobody else uses.
    pub(crate) fn ask_for_database(&mut self, pool: u32, server: u32, place: u32, mode: Mode) {
        let number = self.database(pool, place).to_string();
        let spare = self.take_spare(pool, server, mode);
        let s = spare.unwrap_or_else(|| self.open_conn(pool, server, None, mode));
        self.conns[s].lane = true;
        // It must never be asked again on a connection that others use.
        self.send(s, Target::Database { pool, place }, Care::default(), |out| {
            encode::request([b"SELECT".as_slice(), number.as_bytes()], out);
        });
    }

    /// A server has said whether it has a database. If it has, the connection is in it now.
    #[cold]
    #[inline(never)] // out of what every reply passes
    pub(crate) fn take_database(&mut self, s: u32, pool: u32, place: u32, reply: &[u8]) {
        let there = reply.starts_with(b"+OK");
        if there {
            self.conns[s].mode.db = place;
        }
        for request in self.database_told(pool, place, there) {
            let slot = &self.replies.requests[request];
            // Who is gone, or asked through somebody who is, changes nothing any more.
            if there && !matches!(slot.state, State::Orphan) {
                let c = slot.client;
                self.change_mode(c, Mode { db: place, ..self.mode(c) });
            }
            self.replies.answer(request, |out| out.extend_from_slice(reply));
        }
    }

    /// No server has said whether it has a database.
    #[cold]
    pub(crate) fn database_unknown(&mut self, pool: u32, place: u32, protocol: Protocol, text: &str) {
        for request in self.database_told(pool, place, false) {
            self.answer_error(request, protocol, text);
        }
    }
}

/// A number as redis reads it: no sign but a minus, no zeros in front.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_redis() {
        for (text, expected) in [("0", 0), ("15", 15), ("-1", -1), ("2147483648", 2_147_483_648)] {
            assert_eq!(integer(text.as_bytes()), Some(expected));
        }
        for text in ["", "abc", "01", "+1", "-0", " 1", "1 ", "99999999999999999999", "\u{661}"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }
}
