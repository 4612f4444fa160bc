//! Requests of redis clients: out of the bytes, through the command table, to their way.

use crate::client::{Reading, Scan};
use crate::command::{self, Command, FindError, Flags, KeyError, Keys, Local, Route, Script, SessionCommand};
use crate::core::Core;
use crate::error::Cause;
use crate::lane::OnLane;
use crate::limits::QUOTED_BYTES;
use crate::request::Target;
use crate::route::select::crosses_databases;
use crate::server_conn::Care;
use config::Protocol;
use stats::{Event, PoolMetric, Text};
use wire::args::{ArgView, Args};
use wire::limits::Limits;
use wire::resp::encode;
use wire::resp::request::Scan as Found;

/// SORT whose patterns may name keys of other servers.
const PATTERNS: &[u8] =
    b"CROSSSLOT BY and GET patterns of SORT may name keys of other servers: give them the key's hash tag";

impl Core {
    /// Acts on every complete request in `bytes`; answers how many bytes are done with.
    pub(crate) fn take_resp(&mut self, c: u32, bytes: &[u8], args: &mut Args) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            let client = &mut self.replies.clients[c];
            let view = &self.topology.pools[client.pool as usize];
            if matches!(client.reading, Reading::Quit(_)) {
                return bytes.len();
            }
            if client.may_wait(view) {
                if self.must_pause(c) {
                    break;
                }
                continue;
            }
            let strict;
            let limits = if client.authenticated {
                &view.limits
            } else {
                strict = unauthenticated(view.limits);
                &strict
            };
            let Scan::Resp(scan) = &mut client.scan else { break };
            match scan.scan(&bytes[used..], limits, args) {
                Found::Complete { len, inline } => {
                    let request = if inline { args.canonical() } else { &bytes[used..used + len] };
                    if !self.redis_request(c, args.view(request)) {
                        self.read_again(c, len, args);
                        break;
                    }
                    used += len;
                }
                Found::Empty { len } => used += len,
                Found::Partial => {
                    let (announced, here) = (scan.announced(), bytes.len() - used);
                    if self.is_large(c, announced, here) {
                        used += self.begin_redis(c, &bytes[used..], args);
                    }
                    break;
                }
                Found::Invalid(error) => {
                    self.count_client(c, PoolMetric::ProtocolErrors);
                    let (pool, client) = (self.replies.clients[c].pool, self.replies.clients[c].peer);
                    let text = error.text();
                    let reason = Text::format(format_args!("{}", text.escape_ascii()));
                    self.process.events.push(Event::ClientProtocolError { pool, client, reason });
                    self.answer_now(c, |out| {
                        out.extend_from_slice(b"-ERR ");
                        out.extend_from_slice(&text);
                        out.extend_from_slice(b"\r\n");
                    });
                    self.quit_client(c, true);
                    return bytes.len();
                }
            }
        }
        used
    }

    /// The request that was just read is read again when all that its client asked before is answered, or when there is a
    /// connection for it; or, where it is divided, goes on from here. It has `len` bytes.
    #[cold]
    pub(crate) fn read_again(&mut self, c: u32, len: usize, args: &mut Args) {
        self.count_pool(self.replies.clients[c].pool, PoolMetric::ClientRequests).sub(1);
        self.replies.clients[c].in_order = true;
        self.begin_division(c, len, args);
        self.must_pause(c);
    }

    /// Acts on a request. `false`: it has to wait until all that its client asked before is answered.
    #[inline(always)] // what else calls it seldom does
    pub(super) fn redis_request(&mut self, c: u32, args: ArgView<'_>) -> bool {
        let found = command::find(args);
        let client = &mut self.replies.clients[c];
        let pool = client.pool;
        self.shard.pool(pool as usize, PoolMetric::ClientRequests).add(1);
        if client.session.is_some() {
            return self.act_in_session(c, found, args);
        }
        if let Ok(command) = found
            && client.authenticated
            && self.topology.pools[pool as usize].disabled.is_none()
        {
            client.last = Some(command);
            return self.dispatch(c, command, args);
        }
        let found = self.or_learnt(c, found, args);
        self.act_on(c, found, args, false)
    }

    /// Acts on a request whose command was looked up.
    #[inline(never)] // nearly all requests pass by
    pub(crate) fn act_on(
        &mut self,
        c: u32,
        found: Result<&'static Command, FindError>,
        args: ArgView<'_>,
        has_session: bool,
    ) -> bool {
        let command = match found {
            Ok(command) => command,
            Err(error) => {
                self.refuse_request(c, error, args);
                return true;
            }
        };
        let client = &mut self.replies.clients[c];
        client.last = Some(command);
        if !client.authenticated && !command.allowed_unauthenticated() {
            self.answer_now(c, |out| encode::error(b"NOAUTH Authentication required", out));
            return true;
        }
        if let Some(disabled) = &self.topology.pools[client.pool as usize].disabled
            && disabled.has(command)
        {
            self.refuse_disabled(c, command);
            return true;
        }
        if has_session && let Some(done) = self.session_request(c, command, args) {
            return done;
        }
        self.refused = false;
        let taken = self.dispatch(c, command, args);
        if has_session && taken {
            self.overhear(c, command, args);
        }
        taken
    }

    /// Sends a request that may be carried out on its way.
    #[inline(always)] // twice, once for nearly all requests
    fn dispatch(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) -> bool {
        match command.route {
            Route::ByKey => return self.route_by_key(c, command, args),
            Route::Split(split) => return self.route_split(c, command, split, args),
            Route::Fanout(fanout) => self.route_fanout(c, command, fanout, args),
            Route::Local(Local::Monitor) => return self.monitor(c),
            Route::Local(local) => self.route_local(c, command, local, args),
            Route::Session(what) => return self.route_session(c, what, args),
            Route::Walk(walk) => return self.route_walk(c, command, walk, args),
            Route::Pubsub(what) => return self.route_pubsub(c, what, args),
            Route::NotYet(_) | Route::Refused(_) => self.answer_now(c, |out| command.refusal(out)),
        }
        true
    }

    /// Says that there is no such command, or what is wrong with it.
    #[cold]
    fn refuse_request(&mut self, c: u32, error: FindError, args: ArgView<'_>) {
        if matches!(error, FindError::Unknown) && is_http(args.get(0)) {
            return self.cut_http(c);
        }
        if let FindError::Arity(command) = error
            && let Route::Session(SessionCommand::Exec) = command.route
        {
            return self.refuse_exec(c);
        }
        self.spoil(c);
        self.answer_now(c, |out| error.write(args, out));
    }

    /// Says that the pool's operator does not want this command.
    #[cold]
    fn refuse_disabled(&mut self, c: u32, command: &Command) {
        self.spoil(c);
        let text = format!("ERR '{}' is switched off for this pool (disable)", command.name);
        self.answer_now(c, |out| encode::error(text.as_bytes(), out));
    }

    /// A browser was tricked into posting here: what follows are not commands, so nothing more is read.
    fn cut_http(&mut self, c: u32) {
        self.count_client(c, PoolMetric::ProtocolErrors);
        let (pool, client) = (self.replies.clients[c].pool, self.replies.clients[c].peer);
        let reason = Text::from("HTTP sent to a redis pool: closed, as redis does");
        self.process.events.push(Event::ClientProtocolError { pool, client, reason });
        self.quit_client(c, true);
    }

    /// One server has all keys of the request, or it is refused. `false`: it has to wait, as it will wait at its server.
    fn route_by_key(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) -> bool {
        let pool = self.replies.clients[c].pool;
        if let Keys::First = command.keys {
            let key = args.get(1);
            let server = self.place(pool, key);
            let read = command.flags.has(Flags::READONLY);
            if read && self.large_keys.has(pool, key) {
                match self.read_large(c, server, args) {
                    OnLane::Sent => return true,
                    OnLane::Later => return false,
                    OnLane::No => {}
                }
            }
            self.forward(c, server, args.bytes(), read);
            if self.topology.pools[pool as usize].detour {
                self.follow_keys(c, command, args, &[1], server);
            }
            return true;
        }
        let mut keys = std::mem::take(&mut self.scratch.keys);
        let taken = self.route_by_keys(c, command, args, &mut keys);
        self.scratch.keys = keys;
        taken
    }

    /// Reads a key that had a large value.
    #[cold]
    fn read_large(&mut self, c: u32, server: Option<u32>, args: ArgView<'_>) -> OnLane {
        let bytes = args.bytes();
        self.read_on_lane(c, server, bytes.len(), |out| out.extend_from_slice(bytes))
    }

    #[inline(never)] // lest what most requests pass gets its frame
    fn route_by_keys(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
        keys: &mut Vec<u32>,
    ) -> bool {
        let pool = self.replies.clients[c].pool;
        keys.clear();
        let script = command.script();
        if script == Some(Script::Text) {
            self.learn_script(c, args.get(1));
        }
        if let Err(error) = command::keys(command, args, keys) {
            if let (KeyError::NoKeys, Some(script)) = (error, script) {
                let home = self.home_of_script(c, script, args);
                self.forward_script(c, command, script, args, home);
            } else {
                self.answer_now(c, |out| error.write(command, out));
            }
            return true;
        }
        if crosses_databases(command, args) && self.refuse_crossing(c) {
            return true;
        }
        let server = match self.place_all(pool, args, keys) {
            Ok(server) => server,
            Err((first, other)) => {
                if !self.gather(c, command, args, keys) {
                    let hint = if command.gathers() { ", or cross_server: gather" } else { "" };
                    self.refuse_keys(c, args.get(first as usize), args.get(other as usize), hint);
                }
                return true;
            }
        };
        if !self.patterns_stay(pool, command, args, server, keys) {
            self.refused = true;
            self.answer_now(c, |out| encode::error(PATTERNS, out));
            return true;
        }
        if command::blocks(command, args) {
            if !self.wait_for(c, command, args, server) {
                return false;
            }
        } else if let Some(script) = script {
            self.forward_script(c, command, script, args, server);
        } else {
            self.forward(c, server, args.bytes(), command.flags.has(Flags::READONLY));
        }
        // Looking at the patterns has used the list.
        if self.topology.pools[pool as usize].detour && command::keys(command, args, keys).is_ok() {
            self.follow_keys(c, command, args, keys, server);
        }
        true
    }

    /// A command on `keys` was sent to `server` while others are away.
    pub(crate) fn follow_keys(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
        keys: &[u32],
        server: Option<u32>,
    ) {
        if command.flags.has(Flags::READONLY) {
            return;
        }
        let (pool, lane) = (self.replies.clients[c].pool, self.slot(c));
        for key in keys {
            self.follow_write(pool, lane, args.get(*key as usize), server);
        }
    }

    /// Whether all keys that SORT's BY and GET patterns can name are on `server`: they are when the pool has
    /// no other, or when pattern and key have the same hash tag.
    fn patterns_stay(
        &mut self,
        pool: u32,
        command: &'static Command,
        args: ArgView<'_>,
        server: Option<u32>,
        patterns: &mut Vec<u32>,
    ) -> bool {
        command::patterns(command, args, patterns);
        let view = &self.topology.pools[pool as usize];
        if patterns.is_empty() || view.is_single() {
            return true;
        }
        let Some(tag) = view.placement.tag else { return false };
        patterns.iter().all(|index| {
            let pattern = args.get(*index as usize);
            let part = tag.part(pattern);
            part.len() < pattern.len() && !part.contains(&b'*') && self.place(pool, pattern) == server
        })
    }

    /// The server that has all `keys`, or two of them that disagree.
    fn place_all(&mut self, pool: u32, args: ArgView<'_>, keys: &[u32]) -> Result<Option<u32>, (u32, u32)> {
        let Some((first, others)) = keys.split_first() else { return Ok(None) };
        let server = self.place(pool, args.get(*first as usize));
        if self.topology.pools[pool as usize].random {
            return Ok(server);
        }
        for other in others {
            if self.place(pool, args.get(*other as usize)) != server {
                return Err((*first, *other));
            }
        }
        Ok(server)
    }

    /// Says that two keys of a request are on different servers.
    pub(crate) fn refuse_cross_server(&mut self, c: u32, first: &[u8], other: &[u8]) {
        self.refuse_keys(c, first, other, "");
    }

    fn refuse_keys(&mut self, c: u32, first: &[u8], other: &[u8], hint: &str) {
        self.refused = true;
        let pool = self.replies.clients[c].pool;
        let mut text = b"-CROSSSLOT Keys in request don't hash to the same slot: ".to_vec();
        for (index, key) in [first, other].into_iter().enumerate() {
            let server = self
                .place(pool, key)
                .map_or("", |s| &self.topology.pools[pool as usize].servers[s as usize].name);
            text.extend_from_slice(if index == 0 { b"'" } else { b", '" });
            text.extend(key.iter().take(QUOTED_BYTES).map(|b| if b.is_ascii_control() { b'?' } else { *b }));
            text.extend_from_slice(b"' is on ");
            text.extend_from_slice(server.as_bytes());
        }
        text.extend_from_slice(b"; a hash tag keeps keys together");
        text.extend_from_slice(hint.as_bytes());
        text.extend_from_slice(b"\r\n");
        self.answer_now(c, |out| out.extend_from_slice(&text));
    }

    /// Sends a whole request to `server` and the reply to the client. A `read` may be sent once more.
    pub(crate) fn forward(&mut self, c: u32, server: Option<u32>, bytes: &[u8], read: bool) {
        let request = self.replies.ask(c, bytes.len());
        let client = &self.replies.clients[c];
        let (lane, target) = ((client.pool, client.slot), Target::Request(request));
        self.forward_on(lane, server, target, Care::of_read(read), |out| out.extend_from_slice(bytes));
    }

    /// Sends what `write` appends to `server`; the reply is for `target`.
    #[inline]
    pub(crate) fn forward_as(
        &mut self,
        c: u32,
        server: Option<u32>,
        target: Target,
        care: Care,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let client = &self.replies.clients[c];
        self.forward_on((client.pool, client.slot), server, target, care, write);
    }

    /// The same for a client of this pool whose requests go over connections of that place.
    #[inline(always)] // into the ways of one key
    pub(crate) fn forward_on(
        &mut self,
        (pool, slot): (u32, u32),
        server: Option<u32>,
        target: Target,
        care: Care,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Some(conn) = self.conn_or_fail((pool, slot), server, target) {
            self.send(conn, target, care, write);
        }
    }

    /// The connection to a server in a place; if there is none for requests now, `target` is answered with why.
    #[inline(always)] // into what every request passes
    pub(crate) fn conn_or_fail(
        &mut self,
        (pool, slot): (u32, u32),
        server: Option<u32>,
        target: Target,
    ) -> Option<u32> {
        let Some(server) = server else {
            let protocol = self.topology.pools[pool as usize].protocol;
            self.fail(protocol, target, Cause::Refused.text());
            return None;
        };
        match self.usable_conn(pool, server, slot) {
            Ok(conn) => Some(conn),
            Err(cause) => {
                self.fail_unasked(pool, target, cause);
                None
            }
        }
    }

    /// The protocol of a client's pool.
    pub(crate) fn protocol(&self, c: u32) -> Protocol {
        self.view(c).protocol
    }
}

/// Who has not said the password may say it, and no more: as redis does since 6.2.
fn unauthenticated(full: Limits) -> Limits {
    Limits { args: full.args.min(10), bulk_bytes: full.bulk_bytes.min(16 << 10), ..full }
}

/// The words by which redis knows a browser.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"POST") || word.eq_ignore_ascii_case(b"Host:")
}
