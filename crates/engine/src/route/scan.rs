//! SCAN: through the keys of one server after another. What its cursors mean is in `scan.rs`.
//!
//! Where a server is ejected, its keys are elsewhere, and it is passed over. Where it is not, but does not answer, the page is
//! an error, and the cursor is good for another attempt.

use crate::core::Core;
use crate::error::Cause;
use crate::request::{Page, Target};
use crate::scan::{self, Place};
use crate::server_conn::Care;
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

/// Asked once on a connection, before its first page: says in which run of the server it was made.
const WHICH_RUN: &[u8] = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";

impl Core {
    /// Asks for the page of a client's cursor.
    pub(crate) fn scan(&mut self, c: u32, args: ArgView<'_>) {
        let Some(number) = scan::cursor(args.get(1)) else {
            return self.answer_now(c, |out| encode::error(b"ERR invalid cursor", out));
        };
        let pool = self.replies.clients[c].pool;
        let view = self.view(c);
        let servers = view.own as u32;
        let live = |server: &u32| view.servers.get(*server as usize).is_some_and(|server| server.live);
        if servers == 1 {
            // Its own cursors pass as they are.
            let server = Some(0).filter(live);
            return self.forward(c, server, args.bytes(), true);
        }
        let mut place = Place::of(number, servers);
        if !live(&place.server) {
            match (place.server + 1..servers).find(live) {
                Some(next) => place = Place::begin(next),
                None if !(0..servers).any(|server| live(&server)) => {
                    return self.forward(c, None, args.bytes(), true);
                }
                None => {
                    return self.answer_now(c, |out| {
                        write_head(0, out);
                        encode::array_header(0, out);
                    });
                }
            }
        }
        let request = self.replies.ask(c, args.bytes().len());
        let target = Target::Scan(Page { request, run: place.run, begun: place.cursor != 0 });
        let s = match self.usable_conn(pool, place.server, self.slot(c)) {
            Ok(s) => s,
            Err(cause) => return self.fail_unasked(pool, target, cause),
        };
        let asks_run = self.conns[s].run.is_none();
        let care = Care { skip: u32::from(asks_run), ..Care::default() };
        self.send(s, target, care, |out| {
            if asks_run {
                out.extend_from_slice(WHICH_RUN);
            }
            encode::array_header(args.len(), out);
            encode::bulk(args.get(0), out);
            encode::bulk(place.cursor.to_string().as_bytes(), out);
            args.iter().skip(2).for_each(|arg| encode::bulk(arg, out));
        });
    }

    /// A server's page is here: its client reads it with the cursor that goes on from it.
    pub(crate) fn take_page(&mut self, s: u32, asked: Page, reply: &[u8]) {
        let conn = &self.conns[s];
        let (pool, server, run) = (conn.pool as usize, conn.server, conn.run.unwrap_or(0));
        let view = &self.topology.pools[pool];
        let protocol = view.protocol;
        if reply.starts_with(b"-") || reply.starts_with(b"!") {
            return self.replies.answer(asked.request, |out| out.extend_from_slice(reply));
        }
        let Some((cursor, keys)) = scan::page(reply) else {
            return self.answer_error(asked.request, protocol, Cause::InvalidReply.text());
        };
        let servers = view.own as u32;
        let here = Place { server, cursor: 0, run: asked.run };
        let number = match here.after(asked.begun, cursor, run, servers) {
            None => Some(0),
            Some(next) => next.number(servers),
        };
        match number {
            Some(number) => self.replies.answer(asked.request, |out| {
                write_head(number, out);
                out.extend_from_slice(keys);
            }),
            None => {
                self.count_pool(pool as u32, PoolMetric::ForwardError).add(1);
                let text = format!(
                    "ERR the cursor of server '{}' is too large to go on from",
                    view.servers[server as usize].name
                );
                self.replies.answer(asked.request, |out| encode::error(text.as_bytes(), out));
            }
        }
    }
}

fn write_head(cursor: u64, out: &mut Vec<u8>) {
    encode::array_header(2, out);
    encode::bulk(cursor.to_string().as_bytes(), out);
}
