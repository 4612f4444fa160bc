//! A memcached server's side of a connection: lines and data in, commands run, replies out.
//!
//! The classic text protocol only, in the words of memcached 1.6. The version it gives is one from before the
//! meta commands, so that clients do not try them.

mod arithmetic;
mod data;
mod line;
mod reply;
mod retrieval;
mod server;
mod state;
mod storage;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;

use crate::clock::now_ms;
use crate::options::Options;
use crate::serve::{Session, Step};
use data::Awaited;
use line::Line;
use reply::Reply;
use state::State;

/// Serves memcached clients on `listener`, all sharing one store, until the future is dropped.
///
/// Needs a tokio runtime with its network and time parts enabled.
pub async fn serve(listener: TcpListener, options: Options) -> Infallible {
    let clients_max = options.clients_max;
    let state = Arc::new(Mutex::new(State::new(options)));
    crate::serve::serve(listener, clients_max, FULL, move || Connection::new(Arc::clone(&state))).await
}

/// A client's connection.
struct Connection {
    state: Arc<Mutex<State>>,
    /// The data block that has to come before the next line.
    awaited: Option<Awaited>,
    /// What the request in hand came to.
    reply: Reply,
}

impl Connection {
    fn new(state: Arc<Mutex<State>>) -> Connection {
        state.lock().unwrap_or_else(PoisonError::into_inner).clients += 1;
        Connection { state, awaited: None, reply: Reply::default() }
    }

    /// Runs the command of a line. A storage command only begins here.
    fn run(&mut self, line: &Line<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tick(now_ms());
        let reply = &mut self.reply;
        match line.word(0) {
            b"get" => retrieval::get(&mut state, line, reply),
            b"gets" => retrieval::gets(&mut state, line, reply),
            b"gat" => retrieval::gat(&mut state, line, reply),
            b"gats" => retrieval::gats(&mut state, line, reply),
            b"touch" => retrieval::touch(&mut state, line, reply),
            b"delete" => storage::delete(&mut state, line, reply),
            b"incr" => arithmetic::incr(&mut state, line, reply),
            b"decr" => arithmetic::decr(&mut state, line, reply),
            b"version" => server::version(reply),
            b"verbosity" => server::verbosity(line, reply),
            b"flush_all" => server::flush_all(&mut state, line, reply),
            b"stats" => server::stats(&mut state, line, reply),
            b"quit" => reply.close(),
            _ => match storage::begin(&mut state, line, reply) {
                Some(awaited) => self.awaited = Some(awaited),
                // Somebody talks to the wrong port; as memcached, do not answer line by line.
                None if line.is_http() => reply.close(),
                None => {}
            },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clients -= 1;
    }
}

impl Session for Connection {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        if let Some(awaited) = &mut self.awaited {
            let Some(block) = awaited.take(input) else { return Step::Wait };
            // Of waste nothing is left to do but to forget it.
            if awaited.complete()
                && let Some(Awaited::Value { store, .. }) = self.awaited.take()
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.tick(now_ms());
                storage::finish(&mut state, store, block, &mut self.reply);
                self.reply.send(out);
            }
            return Step::Used(block.len());
        }
        let Some(end) = input.iter().position(|&b| b == b'\n') else { return line::unfinished(input, out) };
        let line = Line::new(input.get(..end).unwrap_or_default());
        self.run(&line);
        if self.reply.send(out) { Step::Close } else { Step::Used(end + 1) }
    }
}

/// For a connection over the bound, in memcached's words.
const FULL: &[u8] = b"ERROR Too many open connections\r\n";

/// A session of its own, for tests that need no socket.
#[cfg(test)]
pub(crate) fn test_session() -> impl Session {
    Connection::new(Arc::new(Mutex::new(State::new(Options::default()))))
}
