//! What the control plane and other workers may ask of a worker, and what a worker tells the control plane.

use engine::away::Record;
use engine::error::Cause;
use engine::id::ConnId;
use engine::survey::{Findings, Question, SurveyId};
use engine::topology::Topology;
use reactor::Waker;
use reactor::net::{Peer, SockAddr};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Something asked of a worker.
#[derive(Debug)]
pub enum Message {
    /// Serve a client that another worker accepted.
    Client {
        /// Its socket.
        socket: OwnedFd,
        /// Index of its pool.
        pool: usize,
        /// Who it is.
        peer: Peer,
    },
    /// The addresses of a server whose name was to be resolved.
    Resolved {
        /// For which connection.
        conn: ConnId,
        /// Where to connect, the first that works; none: the name does not resolve.
        addresses: VecDeque<SockAddr>,
    },
    /// Route by this from now on.
    Topology(Arc<Topology>),
    /// A server is down (with the reason) or up again, for `fail_fast`.
    Server {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// Why it is down; nothing: it is up.
        down: Option<Cause>,
    },
    /// Say which keys were written elsewhere while a server is away, and forget them.
    Collect {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// Whom to tell.
        answer: Answer,
    },
    /// Requests to a server may take so long from now on (`timeout: auto`).
    Timeout {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// So long, in microseconds from being queued.
        micros: u64,
    },
    /// Another worker's client asks something about this one's.
    Question {
        /// That worker.
        from: usize,
        /// Its name for the question.
        survey: SurveyId,
        /// What is asked.
        question: Arc<Question>,
    },
    /// What another worker found.
    Findings(SurveyId, Findings),
    /// Open a connection to every server.
    Preconnect,
    /// Accept no more, answer what was asked, and end, at the latest after so long.
    Stop(Duration),
}

/// Something a worker tells the control plane.
#[derive(Debug)]
pub enum Notice {
    /// A server's name is to be resolved; the answer is [`Message::Resolved`].
    Resolve {
        /// Which worker asks.
        worker: usize,
        /// For which connection.
        conn: ConnId,
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A server failed once.
    ServerFailed {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// How.
        cause: Cause,
        /// Whether it refuses or hangs.
        down: bool,
    },
    /// A server that had failed answered.
    ServerAnswered {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
    },
    /// A client asks for a command that is not known, and servers may have become others since they were asked.
    UnknownCommand {
        /// Index of the pool.
        pool: u32,
    },
    /// By what the worker reads and writes from now on.
    Streams {
        /// Which one.
        worker: usize,
        /// io_uring, else epoll.
        ring: bool,
        /// Why it is not io_uring, where that was wanted.
        refused: Option<std::io::Error>,
    },
    /// The worker has ended.
    Ended {
        /// Which one.
        worker: usize,
    },
}

/// Takes the answer to [`Message::Collect`], on the worker's thread; must not block. Dropped unused when the worker ends
/// first.
pub struct Answer(pub Box<dyn FnOnce(Record) + Send>);

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// How a worker tells the control plane; must not block.
pub type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// A worker's mailbox.
#[derive(Clone, Debug)]
pub struct Handle {
    waker: Waker,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Handle {
    /// A mailbox without a worker yet. Fails when the process is out of descriptors.
    pub fn new() -> std::io::Result<Handle> {
        Ok(Handle { waker: Waker::new()?, messages: Arc::default() })
    }

    /// Leaves a message and wakes the worker.
    pub fn send(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.waker.wake();
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Takes what was left, the oldest first.
    pub(crate) fn take(&self) -> Vec<Message> {
        self.waker.drain();
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
