//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: on one server, that of the first key.
//!
//! What follows MULTI is queued here and goes out with EXEC as one block, which nothing of others can come in between:
//! a connection is shared by many clients. Errors are redis' own.

use crate::command::{self, Command, Flags, Local, PubsubCommand, Route, SessionCommand};
use crate::core::Core;
use crate::error::Cause;
use crate::pinned::{ALL_PINNED, Purpose};
use crate::request::{State, Target};
use crate::route::select::crosses_databases;
use crate::server_conn::Care;
use crate::session::{QueuedKey, Transaction, Watch};
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
const ABORTED: &[u8] = b"EXECABORT Transaction discarded because of previous errors.";
const MOVED: &[u8] = b"EXECABORT Transaction discarded because its keys are no longer on one server.";
const TOO_LARGE: &[u8] = b"ERR the transaction takes more than client_request_limit";

impl Core {
    /// The commands of transactions. `false`: it is to be read again when all that the client asked is answered.
    pub(crate) fn route_session(&mut self, c: u32, what: SessionCommand, args: ArgView<'_>) -> bool {
        let queues = self.transaction(c).is_some();
        match what {
            SessionCommand::Multi if queues => self.say_error(c, b"ERR MULTI calls can not be nested"),
            SessionCommand::Multi => {
                self.session(c).transaction = Some(Transaction::default());
                self.answer_now(c, |out| encode::simple(b"OK", out));
            }
            SessionCommand::Discard if !queues => self.say_error(c, b"ERR DISCARD without MULTI"),
            SessionCommand::Discard => {
                self.session(c).transaction = None;
                self.unwatch(c);
                self.answer_now(c, |out| encode::simple(b"OK", out));
            }
            SessionCommand::Exec if !queues => self.say_error(c, b"ERR EXEC without MULTI"),
            SessionCommand::Exec => return self.exec(c),
            SessionCommand::Watch if queues => self.say_error(c, b"ERR WATCH inside MULTI is not allowed"),
            SessionCommand::Watch => return self.watch(c, args),
            SessionCommand::Unwatch => {
                self.unwatch(c);
                self.answer_now(c, |out| encode::simple(b"OK", out));
            }
        }
        true
    }

    fn say_error(&mut self, c: u32, text: &[u8]) {
        self.answer_now(c, |out| encode::error(text, out));
    }

    fn transaction(&mut self, c: u32) -> Option<&mut Transaction> {
        self.replies.clients[c].session.as_mut()?.transaction.as_mut()
    }

    /// A client's request was wrong: if it belongs to a transaction, that will not run.
    pub(crate) fn spoil(&mut self, c: u32) {
        if let Some(queued) = self.transaction(c) {
            *queued = Transaction { spoilt: true, ..Transaction::default() };
        }
    }

    /// Queues a request if its client is in a transaction; answers whether it has dealt with it.
    pub(crate) fn queue_request(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) -> bool {
        if self.transaction(c).is_none() {
            return false;
        }
        match command.route {
            Route::Session(SessionCommand::Unwatch) => {}
            Route::Session(_) | Route::Local(Local::Quit | Local::Reset) => return false,
            Route::ByKey | Route::Split(_) | Route::Local(Local::Ping | Local::Echo | Local::Time) => {}
            Route::Pubsub(PubsubCommand::Publish) => {}
            Route::Fanout(_) | Route::Walk(_) | Route::Local(_) | Route::Pubsub(_) => {
                let name = command.name;
                let text = format!("ERR cashew does not run '{name}' inside a transaction");
                self.refuse_queued(c, text.as_bytes());
                return true;
            }
            Route::NotYet(_) | Route::Refused(_) => {
                self.spoil(c);
                self.answer_now(c, |out| command.refusal(out));
                return true;
            }
        }
        if crosses_databases(command, args) && self.refuse_crossing(c) {
            self.spoil(c);
            return true;
        }
        match self.find_queued_keys(c, command, args) {
            Ok(keys) => self.queue_with(c, command, args, &keys),
            Err(()) => self.spoil(c),
        }
        true
    }

    fn refuse_queued(&mut self, c: u32, text: &[u8]) {
        self.spoil(c);
        self.say_error(c, text);
    }

    /// The keys of a request; when they cannot be told, its client has been told why.
    fn find_queued_keys(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
    ) -> Result<Vec<u32>, ()> {
        if let Route::Pubsub(_) = command.route {
            // Its channel is on one server, as a key is.
            return Ok(vec![1]);
        }
        if !matches!(command.route, Route::ByKey | Route::Split(_)) {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        match command::keys(command, args, &mut keys) {
            // A script without keys runs where the transaction does.
            Ok(()) => {}
            Err(command::KeyError::NoKeys) if command.script().is_some() => {}
            Err(error) => {
                self.answer_now(c, |out| error.write(command, out));
                return Err(());
            }
        }
        let mut patterns = Vec::new();
        command::patterns(command, args, &mut patterns);
        if !patterns.is_empty() && !self.view(c).is_single() {
            self.say_error(c, b"ERR cashew does not run SORT with BY or GET patterns inside a transaction");
            return Err(());
        }
        Ok(keys)
    }

    fn queue_with(&mut self, c: u32, command: &'static Command, args: ArgView<'_>, keys: &[u32]) {
        let (pool, limit) = (self.replies.clients[c].pool, self.view(c).client_request_limit);
        let random = self.topology.pools[pool as usize].random;
        let Some(queued) = self.transaction(c) else { return };
        if queued.spoilt {
            // Redis says so, too.
            return self.answer_now(c, |out| encode::simple(b"QUEUED", out));
        }
        let bytes = args.bytes();
        if (queued.bytes.len() + bytes.len()) as u64 > limit {
            return self.refuse_queued(c, TOO_LARGE);
        }
        let first = queued.keys.first().map(|first| queued.key(*first).to_vec());
        if !random && !keys.is_empty() {
            let first = first.unwrap_or_else(|| args.get(keys[0] as usize).to_vec());
            let server = self.place(pool, &first);
            for key in keys {
                if self.place(pool, args.get(*key as usize)) != server {
                    self.spoil(c);
                    return self.refuse_cross_server(c, &first, args.get(*key as usize));
                }
            }
        }
        let read = command.flags.has(Flags::READONLY) || command.script().is_some();
        let written = !command.flags.has(Flags::READONLY) && !matches!(command.route, Route::Pubsub(_));
        let Some(queued) = self.transaction(c) else { return };
        let start = queued.bytes.len() as u32;
        let spans = keys.iter().filter_map(|key| args.span(*key as usize));
        queued.keys.extend(spans.map(|span| QueuedKey {
            start: start + span.start,
            len: span.end - span.start,
            written,
            read,
        }));
        queued.bytes.extend_from_slice(bytes);
        queued.count += 1;
        self.answer_now(c, |out| encode::simple(b"QUEUED", out));
    }

    fn exec(&mut self, c: u32) -> bool {
        let client = &self.replies.clients[c];
        let (pool, resp3, done) = (client.pool, client.resp3, client.is_done());
        let Some(session) = &mut self.replies.clients[c].session else { return true };
        let watch = session.watch;
        if matches!(watch, Watch::On { .. }) && !done {
            return false;
        }
        let Some(queued) = session.transaction.take() else { return true };
        if queued.spoilt {
            self.unwatch(c);
            self.say_error(c, ABORTED);
            return true;
        }
        let server = match self.placed(pool, &queued) {
            Ok(server) => server,
            Err(()) => {
                self.unwatch(c);
                self.say_error(c, MOVED);
                return true;
            }
        };
        let nil = match watch {
            Watch::Nothing => false,
            Watch::Lost => true,
            // What it watched is elsewhere now, or may have been.
            Watch::On { server: watched, conn } => {
                (!queued.keys.is_empty() && server != Some(watched)) || self.conns.live(conn).is_none()
            }
        };
        if nil {
            self.unwatch(c);
            self.drop_session_if_empty(c);
            self.answer_now(c, |out| encode::null_array(resp3, out));
            return true;
        }
        if queued.count == 0 && watch == Watch::Nothing {
            self.drop_session_if_empty(c);
            self.answer_now(c, |out| encode::array_header(0, out));
            return true;
        }
        let own = match watch {
            Watch::On { conn, .. } => self.conns.live(conn),
            _ => None,
        };
        self.send_block(c, server, own, &queued);
        self.drop_session_if_empty(c);
        true
    }

    /// EXEC with arguments: redis drops the transaction, if there is one, and says it so.
    pub(crate) fn refuse_exec(&mut self, c: u32) {
        if let Some(session) = &mut self.replies.clients[c].session {
            session.transaction = None;
        }
        self.unwatch(c);
        let text =
            b"EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
        self.say_error(c, text);
    }

    /// Where the keys of a transaction are now; without keys, any server that can be asked.
    fn placed(&mut self, pool: u32, queued: &Transaction) -> Result<Option<u32>, ()> {
        let Some((first, others)) = queued.keys.split_first() else {
            let own = self.topology.pools[pool as usize].own as u32;
            let up = (0..own).find(|server| self.check_server(pool, *server).is_ok());
            return Ok(Some(up.unwrap_or(0)));
        };
        let server = self.place(pool, queued.key(*first));
        let random = self.topology.pools[pool as usize].random;
        let together = random || others.iter().all(|key| self.place(pool, queued.key(*key)) == server);
        if together { Ok(server) } else { Err(()) }
    }

    /// Sends MULTI, what is queued, and EXEC as one request with one reply: those before EXEC's are skipped.
    fn send_block(&mut self, c: u32, server: Option<u32>, own: Option<u32>, queued: &Transaction) {
        let pool = self.replies.clients[c].pool;
        self.overhear_block(c, queued);
        let request = self.replies.ask(c, queued.bytes.len());
        let target = Target::Exec(request);
        let care = Care { skip: queued.count + 1, ..Care::default() };
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(MULTI);
            out.extend_from_slice(&queued.bytes);
            out.extend_from_slice(EXEC);
        };
        match own {
            Some(s) => {
                self.send(s, target, care, write);
                self.replies.clients[c].in_order = true;
            }
            None => self.forward_as(c, server, target, care, write),
        }
        self.remember_transaction(c, request, queued, own.is_some());
        self.note_own_transaction(c, request, queued, server.filter(|_| own.is_none()));
        if self.topology.pools[pool as usize].detour {
            let lane = self.slot(c);
            for key in queued.keys.iter().filter(|key| key.written) {
                self.follow_write(pool, lane, queued.key(*key), server);
            }
        }
    }

    fn watch(&mut self, c: u32, args: ArgView<'_>) -> bool {
        if !self.replies.clients[c].is_done() {
            return false;
        }
        let pool = self.replies.clients[c].pool;
        let watch = self.replies.clients[c].session.as_ref().map_or(Watch::Nothing, |session| session.watch);
        if watch == Watch::Lost {
            // EXEC will say so; until then there is nothing to add to.
            self.answer_now(c, |out| encode::simple(b"OK", out));
            return true;
        }
        let first = args.get(1);
        let server = self.place(pool, first);
        if !self.topology.pools[pool as usize].random {
            for key in args.iter().skip(2) {
                if self.place(pool, key) != server {
                    self.refuse_cross_server(c, first, key);
                    return true;
                }
            }
        }
        let Some(server) = server else {
            let request = self.replies.ask(c, 0);
            self.fail_unasked(pool, Target::Request(request), Cause::Refused);
            return true;
        };
        let s = match watch {
            Watch::On { conn, server: watched } if watched == server => self.conns.live(conn),
            Watch::On { .. } => {
                let text = b"CROSSSLOT keys that are watched together must be on one server; a hash tag keeps keys together";
                self.say_error(c, text);
                return true;
            }
            _ if self.await_deletes_on(c, server) => return false,
            _ => match self.pin(c, server, Purpose::Watch) {
                Ok(Some(s)) => {
                    let conn = self.conns.id(s);
                    self.session(c).watch = Watch::On { conn, server };
                    Some(s)
                }
                Ok(None) => {
                    self.count_client(c, PoolMetric::ForwardError);
                    self.say_error(c, ALL_PINNED.as_bytes());
                    return true;
                }
                Err(cause) => {
                    let request = self.replies.ask(c, 0);
                    self.fail_unasked(pool, Target::Request(request), cause);
                    return true;
                }
            },
        };
        if let Some(s) = s {
            let bytes = args.bytes();
            let request = self.replies.ask(c, bytes.len());
            self.send(s, Target::Request(request), Care::default(), |out| out.extend_from_slice(bytes));
            self.replies.clients[c].in_order = true;
        }
        true
    }

    /// EXEC's reply. Redis says there only that an earlier request was refused; the reason came with that.
    pub(crate) fn take_exec(&mut self, s: u32, request: u32, reply: &[u8]) {
        self.unpin(s);
        let why = self.conns[s].refusal.take();
        self.replies.answer(request, |out| match why {
            Some(why) if reply.starts_with(b"-EXECABORT") => {
                out.extend_from_slice(b"-EXECABORT Transaction discarded because of: ");
                out.extend_from_slice(&why);
            }
            _ => out.extend_from_slice(reply),
        });
    }

    /// EXEC is answered: whatever the answer, its client watches nothing any more.
    pub(crate) fn end_watch(&mut self, request: u32) {
        let request = &self.replies.requests[request];
        if let State::Orphan = request.state {
            return;
        }
        let c = request.client;
        let Some(session) = &mut self.replies.clients[c].session else { return };
        if let Watch::On { conn, .. } = std::mem::take(&mut session.watch)
            && let Some(s) = self.conns.live(conn)
        {
            self.unpin(s);
        }
        self.drop_session_if_empty(c);
    }

    /// A transaction provably never left on the connection on which its keys were watched.
    pub(crate) fn exec_unsent(&mut self, request: u32) {
        self.end_watch(request);
        let c = self.replies.requests[request].client;
        let resp3 = self.replies.clients.get(c).is_some_and(|client| client.resp3);
        self.replies.answer(request, |out| encode::null_array(resp3, out));
    }
}
