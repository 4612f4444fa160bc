//! A client: what it asked, in order, and what waits to be sent to it.
//!
//! ```text
//!   bytes in -> rest (unfinished end) -> requests: head .. tail, in order -> outbox -> bytes out
//! ```
//! An idle client owns no buffers: `rest` and `outbox` are empty then.

use crate::command::Command;
use crate::id::ConnId;
use crate::limits::{EXPECTED_PER_HELD, FIRST_REPLY_MEAN};
use crate::outbox::Outbox;
use crate::request::Request;
use crate::session::Session;
use crate::slab::NONE;
use crate::topology::PoolView;
use wire::{memcache, resp};

/// A client's state.
#[derive(Debug)]
pub struct Client {
    /// Index of its pool.
    pub pool: u32,
    /// The place among a server's shared connections that carry what it asks.
    pub slot: u32,
    /// Its first unanswered request, or `NONE`.
    pub head: u32,
    /// Its last request, or `NONE`.
    pub tail: u32,
    /// Requests between head and tail.
    pub queued: u32,
    /// Their bytes.
    pub asked: u64,
    /// Bytes of a reply to it, on average of late.
    pub reply_mean: u32,
    /// What it may still send, and what becomes of it.
    pub reading: Reading,
    /// Whether the worker has been asked not to read.
    pub paused: bool,
    /// Whether what it asks next waits until all that it has asked is answered: a reply is still due on a
    /// connection that takes no new requests, and the next one's must not be carried out first.
    pub in_order: bool,
    /// The large request that it is in the middle of.
    pub transfer: Transfer,
    /// Its `noreply` requests that are under way.
    pub noreplies: u32,
    /// Whether its request of many keys is being divided.
    pub dividing: bool,
    /// Whether it is not read because buffers take too much memory.
    pub pressed: bool,
    /// Whether its `rest` was half a request then, and not requests that wait for something else.
    pub half: bool,
    /// Whether that request waits for a connection of its own.
    pub awaits_lane: bool,
    /// Whether that wait was too long.
    pub lane_refused: bool,
    /// Whether an `Output::WriteClient` is out for it.
    pub dirty: bool,
    /// Whether it has said the pool's password, where there is one.
    pub authenticated: bool,
    /// What it has begun on the side; most have nothing.
    pub(crate) session: Option<Box<Session>>,
    /// Whether it asked for RESP3.
    pub resp3: bool,
    /// Bytes of a refused request that are still to come and are dropped.
    pub swallow: u64,
    /// So many bytes may be held for it; one reply more and it is closed.
    pub output_max: usize,
    /// Whether that has happened.
    pub overflowed: bool,
    /// Bytes of replies that wait for earlier ones.
    pub parked: usize,
    /// How far the unfinished end was looked at.
    pub scan: Scan,
    /// The unfinished end of what it sent.
    pub rest: Vec<u8>,
    /// Replies on their way out.
    pub outbox: Outbox,
    /// Its number, as CLIENT ID tells it.
    pub number: u64,
    /// When it last sent something, in microseconds.
    pub heard_us: u64,
    /// When it connected, in microseconds.
    pub since_us: u64,
    /// What it asked last.
    pub(crate) last: Option<&'static Command>,
    /// Its address; none on a unix socket.
    pub peer: stats::Peer,
    /// The proxy's address on its connection; none on a unix socket.
    pub local: stats::Peer,
    /// The descriptor of its connection; -1 where there is none.
    pub fd: i32,
    /// What it said of itself; most say nothing.
    pub about: Option<Box<About>>,
}

/// What a client said of itself with CLIENT SETNAME, SETINFO or HELLO.
#[derive(Debug, Default)]
pub struct About {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO lib-name.
    pub library: Vec<u8>,
    /// CLIENT SETINFO lib-ver.
    pub version: Vec<u8>,
}

/// Whether a client is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Requests come in.
    Open,
    /// It has ended its side; it goes when all is answered.
    Ended,
    /// It asked to quit, or sent what cannot be understood: nothing more is read.
    /// It goes when all is answered; `true`: bytes of it may be unread.
    Quit(bool),
}

/// A large request, passed on as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// There is none.
    None,
    /// It goes out over this connection; once that is gone, its bytes are dropped.
    To(ConnId),
    /// It was answered before its end; what is left of it is dropped.
    Nowhere,
}

/// Resumable parser state of the client's protocol.
#[derive(Debug)]
pub enum Scan {
    /// redis
    Resp(resp::request::RequestScan),
    /// memcached
    Memcache(memcache::text::RequestScan),
}

impl Scan {
    /// Bytes of room that it holds.
    pub(crate) fn room(&self) -> usize {
        match self {
            Scan::Resp(scan) => scan.room(),
            Scan::Memcache(_) => 0,
        }
    }
}

impl Client {
    /// A client that just connected.
    pub fn new(pool: u32, peer: stats::Peer, scan: Scan, number: u64, authenticated: bool) -> Client {
        Client {
            pool,
            slot: 0,
            head: NONE,
            tail: NONE,
            queued: 0,
            asked: 0,
            reply_mean: FIRST_REPLY_MEAN,
            reading: Reading::Open,
            paused: false,
            in_order: false,
            transfer: Transfer::None,
            lane_refused: false,
            noreplies: 0,
            dividing: false,
            pressed: false,
            half: false,
            awaits_lane: false,
            dirty: false,
            authenticated,
            session: None,
            resp3: false,
            swallow: 0,
            output_max: usize::MAX,
            overflowed: false,
            parked: 0,
            scan,
            rest: Vec::new(),
            outbox: Outbox::default(),
            number,
            peer,
            local: None,
            fd: -1,
            since_us: 0,
            last: None,
            heard_us: 0,
            about: None,
        }
    }

    /// Its first request is done and leaves the queue; answers which is the first one now.
    #[inline]
    pub(crate) fn drop_head(&mut self, head: &Request) -> u32 {
        self.queued -= 1;
        self.asked -= u64::from(head.bytes);
        self.head = head.next;
        if head.next == NONE {
            self.tail = NONE;
        }
        head.next
    }

    /// Whether all it asked is answered and the answers are out.
    pub fn is_settled(&self) -> bool {
        self.head == NONE && self.outbox.is_empty()
    }

    /// Whether all it asked is answered, or, where it wants no reply, done.
    pub fn is_done(&self) -> bool {
        self.head == NONE && self.noreplies == 0
    }

    /// Whether it has so much outstanding or unread that nothing more is taken from it.
    #[inline]
    pub(crate) fn is_full(&self, view: &PoolView) -> bool {
        self.queued >= view.client_max_pipeline
            || self.asked >= view.client_request_limit
            || self.held() >= view.client_output_limit
            || self.expected() / EXPECTED_PER_HELD >= view.client_output_limit
    }

    /// Bytes of replies that are still to come, going by those that came.
    #[inline]
    pub(crate) fn expected(&self) -> usize {
        self.queued as usize * self.reply_mean as usize
    }

    /// A reply of so many bytes came.
    #[inline]
    pub(crate) fn note_reply(&mut self, bytes: usize) {
        self.reply_mean = self.reply_mean - self.reply_mean / 8 + (bytes as u32) / 8;
    }

    /// Whether it may have to wait before its next request is taken: [`crate::Core::must_pause`] knows.
    #[inline]
    pub(crate) fn may_wait(&self, view: &PoolView) -> bool {
        self.is_full(view) || self.in_order || self.pressed
    }

    /// Whether a request of it waits for the end of a pause.
    pub(crate) fn is_halted(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.held)
    }

    /// Bytes of room that the unfinished end of what it sent takes.
    pub(crate) fn unfinished(&self) -> usize {
        self.rest.capacity() + self.scan.room()
    }

    /// Bytes of replies held for it.
    pub fn held(&self) -> usize {
        self.outbox.len() + self.parked
    }
}
