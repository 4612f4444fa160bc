//! One connection to a server: what waits to be written, and which reply answers what.
//!
//! ```text
//!   stream:  ...bytes of requests, in order...          queue: what each of them is for
//!            ^written            ^whole                        front: the next reply's
//! ```
//! `written` and `whole` are positions in the stream since the connection began, so a request whose
//! `start` is not below `written` has provably not left the proxy.

use crate::databases::Mode;
use crate::joined::{Joining, NOT_JOINED};
use crate::limits::{SERVER_QUEUE_BYTES, SERVER_QUEUE_REQUESTS};
use crate::pinned::{Pin, Purpose};
use crate::request::Target;
use crate::slab::NONE;
use crate::stream::Stream;
use crate::tracking::OwnWrites;
use stats::{ServerMetric, ServerShard};
use std::collections::VecDeque;
use wire::{Limits, memcache, resp};

/// A connection's state.
#[derive(Debug)]
pub struct ServerConn {
    /// Index of the pool.
    pub pool: u32,
    /// Index of the server in the pool.
    pub server: u32,
    /// Its place among the server's shared connections; none once it is retired or for large transfers.
    pub slot: Option<u32>,
    /// Its database and its protocol.
    pub mode: Mode,
    /// Where its server tells on it what changes of that which was read over it: what clients do there that want to know
    /// only what others do.
    pub(crate) tracked: Option<Box<OwnWrites>>,
    /// Whether it is, or was, for a large transfer: when that is over it is kept for another.
    pub lane: bool,
    /// When it will be looked at for being idle, if so.
    pub idle_armed: Option<u64>,
    /// Whether its loss is no failure of the server.
    pub blameless: bool,
    /// How far the stream was when a client's progress with its large request was last looked at.
    pub fed: u64,
    /// When that was.
    pub fed_us: u64,
    /// The client that has it to itself, if one does.
    pub pin: Option<Pin>,
    /// The first refusal among the replies of a transaction, or before a WAIT, that are skipped, without its dash.
    pub refusal: Option<Box<[u8]>>,
    /// In which run of its server it was made, as a number between 1 and 65535; 0 where the server does not tell,
    /// nothing where it was not asked.
    pub run: Option<u16>,
    /// Whether it counts as a lane in use by a large request.
    pub counted: bool,
    /// The client whose large request is being sent, or `NONE`: the queue's last, of which more is to come.
    pub feeder: u32,
    /// The large reply that is being passed on. Its request has left the queue.
    pub flow: Option<Flow>,
    /// How far it is.
    pub phase: Phase,
    /// Whether an `Output::WriteConn` is out for it.
    pub dirty: bool,
    /// When the entry that the deadline heap holds for it is due, in microseconds, if there is one.
    pub armed: Option<u64>,
    /// Bytes of requests.
    pub stream: Stream,
    /// Stream position after the last whole request.
    pub whole: u64,
    /// What replies will answer, the next one first.
    pub queue: VecDeque<InFlight>,
    /// So many at the queue's front are past their time, and answered with an error.
    pub expired: usize,
    /// So many at the queue's back have not wholly left.
    pub unsent: usize,
    /// Gets that are sent, and answered, as one.
    pub(crate) joining: Joining,
    /// The unfinished end of what the server sent.
    pub rest: Vec<u8>,
    /// How far it was looked at.
    pub scan: Scan,
    /// When the server was last heard, in microseconds.
    pub heard_us: u64,
    /// Replies read so far: a connection that never answered is not tried again at once.
    pub replies: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The server refused lately: connecting begins when its turn comes.
    Waiting,
    /// Not yet connected.
    Connecting,
    /// Connected; only the handshake, which ends at this stream position, may be written.
    Handshaking(u64),
    /// Requests flow.
    Ready,
}

/// A request in a connection's queue.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// Whom the reply is for.
    pub target: Target,
    /// Stream position of its first byte.
    pub start: u64,
    /// When it was queued, in microseconds.
    pub at_us: u64,
    /// What trouble with it means.
    pub care: Care,
    /// Whether it is one of several gets that are sent as one: `joined.rs`.
    pub joined: u8,
}

/// What trouble with a request means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// Whether it may be sent once more when the connection breaks: a read, not yet sent twice.
    pub again: bool,
    /// Whether its reply says more than its client needs to know. A refusal may leave the stream in doubt: a memcached that
    /// does not take the line of a storage command reads its data as commands. Or a client is not to be told of its own
    /// change, and the reply proves that it is one.
    pub heeded: bool,
    /// So many replies come before the one that counts.
    pub skip: u32,
}

impl Care {
    /// That of a request that only reads, or of one that may write.
    #[inline]
    pub fn of_read(read: bool) -> Care {
        Care { again: read, heeded: false, skip: 0 }
    }
}

/// A large reply on its way.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The request it answers; none when nobody wants it.
    pub request: Option<u32>,
    /// When the last of it came, in microseconds.
    pub at_us: u64,
    /// Whether the worker has been asked not to read: its client does not, or waits for an earlier reply.
    pub held: bool,
    /// Since when.
    pub held_us: u64,
    /// Whether its client has some of it.
    pub given: bool,
    /// Whether a piece of it waits for more to leave with.
    pub waits: bool,
}

/// Resumable parser state of the server's protocol.
#[derive(Debug)]
pub enum Scan {
    /// redis
    Resp(resp::reply::ReplyScan),
    /// memcached
    Memcache(memcache::reply::ReplyScan),
    /// redis, where all that comes but errors is news
    Feed(resp::reply::ReplyScan),
}

/// What the bytes at the start of what a server sent amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A reply of so many bytes.
    Reply(usize),
    /// So many bytes that are no reply: messages, and confirmations of subscriptions.
    News(usize),
    /// The beginning of one.
    Partial,
    /// No reply: the server has lost its place.
    Nonsense,
}

impl Scan {
    /// Looks at `bytes`, which begin with a reply's first byte and are all that is here.
    #[inline]
    pub fn next(&mut self, bytes: &[u8], limits: &Limits) -> Found {
        match self {
            Scan::Resp(scan) => match scan.scan(bytes, limits) {
                resp::ReplyParse::Complete { len, kind: resp::ReplyKind::Push } => Found::News(len),
                resp::ReplyParse::Complete { len, .. } => Found::Reply(len),
                resp::ReplyParse::Partial => Found::Partial,
                resp::ReplyParse::Invalid(_) => Found::Nonsense,
            },
            Scan::Memcache(scan) => match scan.scan(bytes, limits) {
                // A line that answers no command we send.
                memcache::ReplyParse::Complete { kind: memcache::ReplyKind::Other, .. } => Found::Nonsense,
                memcache::ReplyParse::Complete { len, .. } => Found::Reply(len),
                memcache::ReplyParse::Partial => Found::Partial,
                memcache::ReplyParse::Invalid(_) => Found::Nonsense,
            },
            Scan::Feed(scan) => match scan.scan(bytes, limits) {
                resp::ReplyParse::Complete { len, kind: resp::ReplyKind::Array } => Found::News(len),
                resp::ReplyParse::Complete { len, .. } => Found::Reply(len),
                resp::ReplyParse::Partial => Found::Partial,
                resp::ReplyParse::Invalid(_) => Found::Nonsense,
            },
        }
    }
}

impl ServerConn {
    /// A connection about to be made.
    pub fn new(pool: u32, server: u32, slot: Option<u32>, mode: Mode, scan: Scan) -> ServerConn {
        ServerConn {
            pool,
            server,
            slot,
            mode,
            tracked: None,
            lane: slot.is_none(),
            idle_armed: None,
            blameless: false,
            fed: 0,
            fed_us: 0,
            pin: None,
            refusal: None,
            run: None,
            counted: false,
            feeder: NONE,
            flow: None,
            phase: Phase::Connecting,
            dirty: false,
            armed: None,
            stream: Stream::default(),
            whole: 0,
            queue: VecDeque::new(),
            expired: 0,
            unsent: 0,
            joining: Joining::default(),
            rest: Vec::new(),
            scan,
            heard_us: 0,
            replies: 0,
        }
    }

    /// The bytes that may be written now.
    pub fn writable(&self) -> &[u8] {
        let waiting = self.stream.waiting();
        match self.phase {
            Phase::Waiting | Phase::Connecting => &[],
            Phase::Handshaking(end) => {
                let allowed = end.saturating_sub(self.stream.written()).min(waiting.len() as u64);
                &waiting[..allowed as usize]
            }
            Phase::Ready => waiting,
        }
    }

    /// What was appended to the stream is a request; answers how many bytes it is.
    #[inline]
    pub fn queue_up(&mut self, target: Target, care: Care, at_us: u64) -> u64 {
        let start = std::mem::replace(&mut self.whole, self.stream.end());
        self.queue.push_back(InFlight { target, start, at_us, care, joined: NOT_JOINED });
        self.unsent += 1;
        self.whole - start
    }

    /// A reply has come: takes the request at the queue's front, unless this is not the reply that counts.
    #[inline(always)] // into what every reply passes
    pub fn take_begun(&mut self) -> Begun {
        let Some(mut entry) = self.queue.pop_front() else { return Begun::Nothing };
        if entry.care.skip > 0 && entry.start < self.stream.written() {
            entry.care.skip -= 1;
            self.queue.push_front(entry);
            return Begun::Skipped;
        }
        if entry.start >= self.stream.written() {
            self.queue.push_front(entry);
            return Begun::Nothing;
        }
        Begun::Taken(self.taken(entry))
    }

    /// Keeps what counts of a reply that is skipped: why the server refuses a part of a transaction, or which run of it
    /// this is.
    #[cold]
    pub fn note_skipped(&mut self, reply: &[u8]) {
        match self.queue.front().map(|entry| entry.target) {
            Some(Target::Scan(_)) => self.run = Some(crate::scan::run_of(reply)),
            Some(Target::Exec(_) | Target::Copies(_))
                if self.refusal.is_none() && reply.starts_with(b"-") =>
            {
                self.refusal = Some(reply[1..].into());
            }
            _ => {}
        }
    }

    /// Takes the request at the queue's front.
    #[inline]
    pub fn take_front(&mut self) -> Option<Answered> {
        let entry = self.queue.pop_front()?;
        Some(self.taken(entry))
    }

    #[inline(always)]
    fn taken(&mut self, entry: InFlight) -> Answered {
        let next = self.queue.front().map_or(self.whole, |next| next.start);
        let unsent = self.unsent > self.queue.len();
        self.unsent -= usize::from(unsent);
        if unsent {
            self.joining.close(); // its end is not to be changed any more
        }
        self.replies += 1;
        let late = self.expired > 0;
        self.expired -= usize::from(late);
        Answered { entry, bytes: next - entry.start, unsent, late }
    }

    /// Notes that `count` bytes left; answers how many requests wholly left with them, and their bytes.
    pub fn wrote(&mut self, count: usize) -> Left {
        self.stream.advance(count);
        let first = self.queue.len() - self.unsent;
        if self.feeder == NONE && self.stream.written() == self.whole {
            // All of it, as nearly always.
            let requests = std::mem::take(&mut self.unsent);
            let bytes = self.queue.get(first).map_or(0, |entry| self.whole - entry.start);
            return Left { requests, bytes };
        }
        let mut left = Left::default();
        while self.unsent > 0 {
            let index = first + left.requests;
            if self.feeder != NONE && index + 1 == self.queue.len() {
                break;
            }
            let end = self.queue.get(index + 1).map_or(self.whole, |next| next.start);
            if end > self.stream.written() {
                break;
            }
            left.bytes += end - self.queue[index].start;
            left.requests += 1;
            self.unsent -= 1;
        }
        left
    }

    /// Whether it stays even if it owes nothing: a client watches keys on it, or messages come on it.
    pub fn is_kept(&self) -> bool {
        self.pin
            .is_some_and(|pin| matches!(pin.purpose, Purpose::Watch | Purpose::Listen | Purpose::Broadcast))
    }

    /// Whether messages come on it that clients are subscribed to.
    pub fn is_feed(&self) -> bool {
        self.pin.is_some_and(|pin| pin.purpose == Purpose::Listen)
    }

    /// Whether nobody uses it now.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.flow.is_none()
            && self.pin.is_none()
            && self.feeder == NONE
            && !self.joining.is_open()
    }

    /// Whether its server tells on it which keys have changed, whoever has read them.
    pub fn is_broadcast(&self) -> bool {
        self.pin.is_some_and(|pin| pin.purpose == Purpose::Broadcast)
    }

    /// Whether so much waits on it that nothing more is taken.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.stream.waiting_len() >= SERVER_QUEUE_BYTES || self.queue.len() >= SERVER_QUEUE_REQUESTS
    }

    /// Drops the bytes of requests that are answered.
    #[inline]
    pub fn forget_answered(&mut self, buffers: &mut crate::outbox::Buffers) {
        let until = self.queue.front().map_or(self.whole, |entry| entry.start);
        self.stream.forget(until, buffers);
    }
}

/// What a reply is to.
#[derive(Clone, Copy, Debug)]
pub enum Begun {
    /// The request at the queue's front, which is out of it now.
    Taken(Answered),
    /// One of the replies that come before the one that counts, of which there is one fewer now.
    Skipped,
    /// Nothing that was asked: no byte of what is at the front has left.
    Nothing,
}

/// A request that has left its connection's queue.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// What it was.
    pub entry: InFlight,
    /// Its bytes.
    pub bytes: u64,
    /// Whether some of them had not left yet.
    pub unsent: bool,
    /// Whether it was past its time.
    pub late: bool,
}

impl Answered {
    /// The gauges' side of it.
    #[inline]
    pub fn count(&self, counters: &ServerShard) {
        let (requests, bytes) = match self.unsent {
            true => (ServerMetric::InQueue, ServerMetric::InQueueBytes),
            false => (ServerMetric::OutQueue, ServerMetric::OutQueueBytes),
        };
        counters.counter(requests).sub(1);
        counters.counter(bytes).sub(self.bytes);
    }
}

/// What left with a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Requests that are out to their last byte.
    pub requests: usize,
    /// Their bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_leave_as_their_last_byte_does() {
        let mut conn = ServerConn::new(0, 0, Some(0), Mode::default(), Scan::Resp(Default::default()));
        for start in [0, 10, 30] {
            conn.queue.push_back(InFlight {
                target: Target::Nobody,
                start,
                at_us: 0,
                care: Care::default(),
                joined: NOT_JOINED,
            });
            conn.unsent += 1;
        }
        conn.stream.buffer(&mut crate::outbox::Buffers::new(64)).extend_from_slice(&[b'x'; 35]);
        conn.whole = 35;
        assert_eq!(conn.wrote(9), Left { requests: 0, bytes: 0 });
        assert_eq!(conn.wrote(1), Left { requests: 1, bytes: 10 });
        assert_eq!(conn.wrote(24), Left { requests: 1, bytes: 20 });
        assert_eq!(conn.wrote(1), Left { requests: 1, bytes: 5 });
        assert_eq!(conn.unsent, 0);
        assert_eq!(conn.wrote(0), Left::default());
    }
}
