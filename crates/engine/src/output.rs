//! All that the engine asks of its worker. Bytes are read through [`crate::core::Core::client_output`]
//! and [`crate::core::Core::conn_output`], once per connection and tick.

use crate::core::Core;
use crate::error::Cause;
use crate::id::{ClientId, ConnId};
use crate::slab::NONE;
use crate::survey::SurveyId;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write what waits for the client.
    WriteClient(ClientId),
    /// Write what waits for the server.
    WriteConn(ConnId),
    /// Connect to a server and say [`crate::input::Input::ConnUp`] or `ConnLost`.
    Connect {
        /// The connection to be.
        conn: ConnId,
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
    },
    /// Close the connection; the handle is no longer valid.
    CloseConn(ConnId),
    /// The same at once: what was written and has not arrived is not to arrive any more.
    AbortConn(ConnId),
    /// Close the client; the handle is no longer valid. All its replies are out, or it is lost.
    CloseClient(ClientId, Closing),
    /// Do not read from the client until told.
    PauseClient(ClientId),
    /// Read from the client again.
    ResumeClient(ClientId),
    /// Do not read from the server's connection until told.
    PauseConn(ConnId),
    /// Read from the server's connection again.
    ResumeConn(ConnId),
    /// Ask all workers something: [`crate::core::Core::begin_survey`] says what.
    AskWorkers(SurveyId),
    /// At the end of the tick, pass on to those who monitor a pool what was overheard: [`crate::core::Core::tell_monitors`].
    TellMonitors {
        /// Index of the pool.
        pool: u32,
    },
    /// A server failed once (for ejection).
    ServerFailed {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// How.
        cause: Cause,
        /// Whether it refuses or hangs: with `fail_fast` no request goes to it until
        /// [`crate::input::Input::Server`] says that it is up.
        down: bool,
    },
    /// A client asks for a command that neither the table has nor what was learnt from the pool's servers.
    UnknownCommand {
        /// Index of the pool.
        pool: u32,
    },
    /// A server that had failed answered.
    ServerAnswered {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
    },
}

/// What is to be done, in order. A vector with a place of its own: the usual tick fills it, then empties it.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    all: Vec<Output>,
    /// So many are taken.
    taken: usize,
}

impl Outputs {
    #[inline]
    pub(crate) fn push(&mut self, output: Output) {
        self.all.push(output);
    }

    /// Whether there is none to take.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.all.len()
    }

    /// The next one, once.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Output> {
        let next = self.all.get(self.taken).copied();
        if next.is_some() {
            self.taken += 1;
        } else {
            self.all.clear();
            self.taken = 0;
        }
        next
    }
}

impl Core {
    /// Whether there is something to do.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.replies.outputs.is_empty()
    }

    /// The next thing to do, in order. Asked for at the end of a tick, until there is none.
    #[inline]
    pub fn next_output(&mut self) -> Option<Output> {
        self.replies.outputs.take()
    }

    /// The bytes to write to a client now.
    pub fn client_output(&self, id: ClientId) -> &[u8] {
        self.replies.clients.live(id).map_or(&[], |c| self.replies.clients[c].outbox.bytes())
    }

    /// Whether a client has asked more than it has replies to, and those are shorter than `worth` bytes.
    #[inline]
    pub fn owes_more(&self, id: ClientId, worth: usize) -> bool {
        self.replies.clients.live(id).is_some_and(|c| {
            let client = &self.replies.clients[c];
            client.head != NONE && client.outbox.len() < worth
        })
    }

    /// The bytes to write to a server now. More may come behind them; whoever gives them to the kernel and learns only after
    /// other inputs how many of them left says so before ([`Core::hold_still`]).
    pub fn conn_output(&self, id: ConnId) -> &[u8] {
        self.conns.live(id).map_or(&[], |s| self.conns[s].writable())
    }

    /// Whether the bytes that wait for servers have to stay as they are, because they may have left already.
    pub fn hold_still(&mut self, still: bool) {
        self.held_still = still;
    }
}

/// How a client's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It asked for it, or had ended its side: nothing of it is unread.
    Clean,
    /// It may still be sending (a protocol error): let it read the error before the socket goes.
    Linger,
    /// Its connection is broken already.
    Lost,
}
