//! Commands that wait: BLPOP and its like, XREAD with BLOCK. Each waits on a connection of its client's own, so that it
//! holds up nobody else, and is closed at once when its client leaves.

use crate::command::{self, Command};
use crate::core::Core;
use crate::error::Cause;
use crate::output::Output;
use crate::pinned::{ALL_PINNED, Pin, Purpose};
use crate::request::Target;
use crate::server_conn::{Care, InFlight, ServerConn};
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

/// So much of what a waiting client sends is taken in; beyond it, it is no longer read, and that it leaves is seen only
/// when its connection breaks.
const AHEAD_BYTES: usize = 64 << 10;

impl Core {
    /// Sends a request that waits to `server`. `false`: it is to be read again when all that the client asked is answered.
    pub(crate) fn wait_for(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
        server: Option<u32>,
    ) -> bool {
        let client = &self.replies.clients[c];
        if !client.is_done() || server.is_some_and(|server| self.await_deletes_on(c, server)) {
            return false;
        }
        let pool = self.replies.clients[c].pool;
        let bytes = args.bytes();
        let target = Target::Awaited(self.replies.ask(c, bytes.len()));
        self.replies.clients[c].in_order = true;
        let purpose = Purpose::Wait(command::wait_us(command, args));
        let pinned = match server {
            Some(server) => self.pin(c, server, purpose),
            None => Err(Cause::Refused),
        };
        match pinned {
            Ok(Some(s)) => {
                let conn = self.conns.id(s);
                self.session(c).blocked = Some(conn);
                self.send(s, target, Care::default(), |out| out.extend_from_slice(bytes));
            }
            Ok(None) => {
                self.count_client(c, PoolMetric::ForwardError);
                let Target::Awaited(request) = target else { return true };
                self.replies.answer(request, |out| encode::error(ALL_PINNED.as_bytes(), out));
            }
            Err(cause) => self.fail_unasked(pool, target, cause),
        }
        true
    }

    /// A connection that a client had to itself broke, and this request on it provably never left.
    pub(crate) fn pinned_unsent(
        &mut self,
        pin: Pin,
        gone: &ServerConn,
        entry: InFlight,
        bytes: &[u8],
        cause: Cause,
    ) {
        let protocol = self.topology.pools[gone.pool as usize].protocol;
        match entry.target {
            Target::Exec(request) => self.exec_unsent(request),
            // It watches nothing then, and its EXEC will answer nil.
            Target::Request(request)
                if pin.purpose == Purpose::Watch && gone.replies > 0 && cause.is_end() =>
            {
                self.replies.answer(request, |out| encode::simple(b"OK", out));
            }
            // A server that served may close what owes nothing: all is asked of it again when the connection is made anew.
            Target::Topic(_) if gone.replies > 0 && cause.is_end() => {}
            // One that never answered anything is not tried again at once.
            Target::Awaited(_) if gone.replies > 0 => match self.pin(pin.client, gone.server, pin.purpose) {
                Ok(Some(s)) => {
                    let conn = self.conns.id(s);
                    self.session(pin.client).blocked = Some(conn);
                    self.send_again(s, bytes, entry);
                }
                _ => self.fail(protocol, entry.target, cause.text()),
            },
            Target::Copies(_) if gone.replies > 0 => match self.pin(pin.client, gone.server, pin.purpose) {
                Ok(Some(s)) => {
                    self.note_asked(pin.client, s);
                    self.send_again(s, bytes, entry);
                }
                _ => self.fail(protocol, entry.target, cause.text()),
            },
            target => self.fail(protocol, target, cause.text()),
        }
    }

    /// Whether a client waits on a connection of its own.
    pub(crate) fn is_blocked(&self, c: u32) -> bool {
        self.replies.clients[c].session.as_ref().is_some_and(|session| session.waits())
    }

    /// A client that waits has sent more. It is read on, so that it is seen to leave; but not for ever.
    pub(crate) fn heard_while_blocked(&mut self, c: u32) {
        let client = &mut self.replies.clients[c];
        let Some(session) = &mut client.session else { return };
        if session.waits() && !session.blocked_full && client.rest.len() >= AHEAD_BYTES {
            session.blocked_full = true;
            self.replies.outputs.push(Output::PauseClient(self.replies.clients.id(c)));
        }
    }
}
