//! COMMAND DOCS: a server of the pool is asked once for all that it says of its commands, and clients are answered out of that.
//!
//! ```text
//!   COMMAND DOCS ── kept? ── yes ──► answered
//!                     └─ no ──► waits ── Target::Docs: one server, a connection of its own ──► kept ──► all who wait; other workers
//!                                            └─ too old, too much, not there ──► what the table knows
//! ```
//! Each protocol has its own, as no reply is ever converted. To read what a redis 7.0 says (170 KB) takes a worker 0.4 ms, and as
//! long to say all of it to a client.

use crate::command::{Book, CommandReply, Scope, info};
use crate::core::Core;
use crate::databases::Mode;
use crate::limits::{DOCS_BYTES, DOCS_KEPT_US, DOCS_RETRY_US};
use crate::request::{State, Target};
use crate::server_conn::Care;
use crate::survey::What;
use std::sync::Arc;
use wire::args::{ArgView, Args};
use wire::limits::Limits;
use wire::resp::encode;
use wire::resp::request::RequestScan;

/// What one of a pool's servers has said of its commands, in one protocol.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    book: Option<Arc<Book>>,
    /// Until when no server is asked again, in microseconds.
    until_us: u64,
    /// While one is asked: the requests that wait for it, each with its bytes.
    asked: Option<Vec<(u32, Box<[u8]>)>>,
}

impl Docs {
    /// Bytes that it holds.
    pub(crate) fn room(&self) -> usize {
        self.book.as_ref().map_or(0, |book| book.room())
    }
}

impl Core {
    /// COMMAND DOCS [name ...].
    pub(crate) fn command_docs(&mut self, c: u32, args: ArgView<'_>) {
        let client = &self.replies.clients[c];
        let (pool, resp3) = (client.pool, client.resp3);
        let docs = &self.pools[pool as usize].docs[usize::from(resp3)];
        if docs.asked.is_none() && docs.until_us > self.now.mono_us {
            let (topology, book) = (self.topology.clone(), docs.book.clone());
            let scope = Scope { book: book.as_deref(), ..topology.pools[pool as usize].scope() };
            return self.answer_now(c, |out| info::write(CommandReply::Docs, args, scope, resp3, out));
        }
        let request = self.replies.ask(c, args.bytes().len());
        self.replies.clients[c].in_order = true;
        let docs = &mut self.pools[pool as usize].docs[usize::from(resp3)];
        let fresh = docs.asked.is_none();
        docs.asked.get_or_insert_default().push((request, args.bytes().into()));
        if fresh {
            self.ask_for_docs(pool, resp3);
        }
    }

    /// Asks a server that can be asked, on a connection that nobody else uses: the reply is long.
    fn ask_for_docs(&mut self, pool: u32, resp3: bool) {
        let view = &self.topology.pools[pool as usize];
        let mut own = view.servers.iter().take(view.own).zip(0..);
        let found = own.find(|(server, index)| server.live && self.check_server(pool, *index).is_ok());
        let Some((_, server)) = found else { return self.docs_told(pool, resp3, None) };
        let mode = Mode { db: 0, resp3 };
        let spare = self.take_spare(pool, server, mode);
        let s = spare.unwrap_or_else(|| self.open_conn(pool, server, None, mode));
        self.conns[s].lane = true;
        self.send(s, Target::Docs { pool, resp3 }, Care::default(), |out| {
            encode::request([b"COMMAND".as_slice(), b"DOCS"], out);
        });
    }

    /// A server has answered.
    #[cold]
    #[inline(never)] // out of what every reply passes
    pub(crate) fn take_docs(&mut self, pool: u32, resp3: bool, reply: &[u8]) {
        let book = if reply.len() <= DOCS_BYTES { Book::read(reply).map(Arc::new) } else { None };
        if let Some(book) = &book {
            self.tell_workers(pool, What::Docs { resp3, book: book.clone() });
        }
        self.docs_told(pool, resp3, book);
    }

    /// A server has said something of its commands, or will not: who waits for it is answered.
    pub(crate) fn docs_told(&mut self, pool: u32, resp3: bool, book: Option<Arc<Book>>) {
        let now = self.now.mono_us;
        let docs = &mut self.pools[pool as usize].docs[usize::from(resp3)];
        docs.keep(book, now);
        let book = docs.book.clone();
        let waiting = docs.asked.take().unwrap_or_default();
        let topology = self.topology.clone();
        let scope = Scope { book: book.as_deref(), ..topology.pools[pool as usize].scope() };
        let mut args = Args::default();
        for (request, bytes) in waiting {
            if let State::Orphan = self.replies.requests[request].state {
                self.replies.answer_quietly(request);
                continue;
            }
            // It was read whole when it was asked.
            _ = RequestScan::default().scan(&bytes, &Limits::NONE, &mut args);
            let args = args.view(&bytes);
            self.replies.answer(request, |out| info::write(CommandReply::Docs, args, scope, resp3, out));
        }
    }

    /// Another worker has been told what a pool's servers say of their commands.
    pub(crate) fn share_docs(&mut self, pool: u32, resp3: bool, book: &Arc<Book>) {
        let now = self.now.mono_us;
        self.pools[pool as usize].docs[usize::from(resp3)].keep(Some(book.clone()), now);
    }
}

impl Docs {
    /// What was said is kept for a while; where nothing was, what there is, and a server is asked again soon.
    fn keep(&mut self, book: Option<Arc<Book>>, now_us: u64) {
        let lasts = if book.is_some() { DOCS_KEPT_US } else { DOCS_RETRY_US };
        self.until_us = now_us.saturating_add(lasts);
        self.book = book.or_else(|| self.book.take());
    }
}
