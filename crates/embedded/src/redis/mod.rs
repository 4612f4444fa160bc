//! A redis server's side of a connection: requests in, commands run, replies out.

mod answer;
mod call;
mod command;
mod fault;
mod glob;
mod inline;
mod number;
mod request;
mod table;
mod value;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::TcpListener;

use crate::clock::now_ms;
use crate::keyspace::Keyspace;
use crate::options::Options;
use crate::serve::{Session, Step};
use answer::{Answer, Protocol};
use call::Call;
use fault::Fault;
use request::{Reader, Request};
use value::Value;

/// Serves redis clients on `listener`, all sharing one set of 16 databases, until the future is dropped.
///
/// Needs a tokio runtime with its network and time parts enabled.
pub async fn serve(listener: TcpListener, options: Options) -> Infallible {
    let clients_max = options.clients_max;
    let state = Arc::new(Mutex::new(State::new(options)));
    let mut ids = 0;
    crate::serve::serve(listener, clients_max, FULL, move || {
        ids += 1;
        Connection::new(Arc::clone(&state), ids)
    })
    .await
}

/// What all clients of a server share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dbs: Vec<Keyspace<Value>>,
    pub(crate) options: Options,
    pub(crate) started: Instant,
    pub(crate) clients: usize,
    /// Commands run so far.
    pub(crate) commands: u64,
    /// Keys dropped for want of room so far.
    pub(crate) evicted: u64,
}

/// What belongs to one client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) db: usize,
    pub(crate) name: Vec<u8>,
    pub(crate) protocol: Protocol,
    pub(crate) trusted: bool,
    pub(crate) leaving: bool,
}

impl State {
    fn new(options: Options) -> State {
        let dbs = (0..DATABASES).map(|_| Keyspace::new()).collect();
        State { dbs, options, started: Instant::now(), clients: 0, commands: 0, evicted: 0 }
    }

    /// Bytes held in all databases.
    pub(crate) fn bytes(&self) -> usize {
        self.dbs.iter().map(Keyspace::bytes).fold(0, usize::saturating_add)
    }

    /// Evicts until the bound is kept: from the fullest database, what was created first.
    fn make_room(&mut self) {
        while self.bytes() > self.options.bytes_max {
            let fullest = self.dbs.iter_mut().max_by_key(|db| db.bytes());
            if !fullest.is_some_and(Keyspace::evict) {
                return;
            }
            self.evicted += 1;
        }
    }
}

/// A client's connection.
struct Connection {
    state: Arc<Mutex<State>>,
    client: Client,
    reader: Reader,
}

impl Connection {
    fn new(state: Arc<Mutex<State>>, id: u64) -> Connection {
        let (trusted, bytes_max) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.clients += 1;
            (state.options.password.is_none(), state.options.request_bytes_max)
        };
        let client =
            Client { id, db: 0, name: Vec::new(), protocol: Protocol::Resp2, trusted, leaving: false };
        Connection { state, client, reader: Reader::new(bytes_max) }
    }

    /// Runs one command, and says what the client reads.
    fn run(&mut self, args: &[Vec<u8>]) -> Answer {
        let now = now_ms();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.commands += 1;
        for db in &mut state.dbs {
            db.expire(now);
        }
        let call = Call { args, state: &mut state, client: &mut self.client, now };
        dispatch(call).unwrap_or_else(Answer::Fault)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clients -= 1;
    }
}

impl Session for Connection {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        match self.reader.read(input) {
            Ok((0, None)) => Step::Wait,
            Ok((used, None)) => Step::Used(used),
            Ok((used, Some(Request(args)))) => {
                self.run(&args).encode(self.client.protocol, out);
                if self.client.leaving { Step::Close } else { Step::Used(used) }
            }
            Err(broken) => {
                Answer::Fault(Fault::Protocol(broken)).encode(self.client.protocol, out);
                Step::Close
            }
        }
    }
}

/// Finds the command, checks what redis checks before running one, and runs it.
fn dispatch(mut call: Call<'_>) -> Result<Answer, Fault> {
    let row = table::find(call.arg(0)).ok_or_else(|| Fault::unknown_command(call.args))?;
    if !row.takes(call.args.len()) {
        return Err(Fault::Arity(row.name.into()));
    }
    if !call.client.trusted && !row.before_login {
        return Err(Fault::NoAuth);
    }
    if row.writes {
        call.state.make_room();
    }
    (row.run)(&mut call)
}

/// As many as redis has unless told otherwise.
pub(crate) const DATABASES: usize = 16;

/// The version given to clients, who choose by it what they send: the newest whose everyday commands are all
/// here.
pub(crate) const VERSION: &str = "6.2.0";

/// For a connection over the bound, in redis' words.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// A session of its own, for tests that need no socket.
#[cfg(test)]
pub(crate) fn test_session() -> impl Session {
    Connection::new(Arc::new(Mutex::new(State::new(Options::default()))), 1)
}

/// The name of every command.
#[cfg(test)]
pub(crate) static NAMES: std::sync::LazyLock<Vec<&str>> =
    std::sync::LazyLock::new(|| table::ROWS.iter().map(|row| row.name).collect());
