//! The epoll backend; the contract it keeps is in `lib.rs`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::{Event, Interest, Token};

/// One thread's view of which of its sockets are ready.
#[derive(Debug)]
pub struct Reactor {
    epoll: OwnedFd,
}

impl Reactor {
    /// A reactor without descriptors. Fails when the process is out of them.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Starts watching `fd`. Fails when it is watched already (`AlreadyExists`) or cannot be watched (a file). Closing
    /// a descriptor ends the watch only when it has no duplicate: remove it first.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), flags(interest))?)
    }

    /// Starts watching a listening socket that other reactors watch too: a connection wakes one of them, not all
    /// (`EPOLLEXCLUSIVE`, Linux 4.5). It cannot be modified; to pause it, remove it and add it again.
    pub fn add_listener(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        let exclusive = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), exclusive)?)
    }

    /// Replaces the token and interest of a watched descriptor. Fails when it is not watched (`NotFound`).
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token.0), flags(interest))?)
    }

    /// Stops watching. Fails when the descriptor is not watched (`NotFound`).
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready, at most for `timeout` (for ever without one; rounded up to milliseconds), and
    /// replaces the contents of `events`. Answers how many there are: 0 after the timeout or a signal.
    #[inline]
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.list.clear();
        let timeout = timeout.map(timespec);
        // rustix rounds up to milliseconds and calls epoll_pwait, which every kernel has; epoll_pwait2 is finer, but
        // needs Linux 5.11, and no timeout of the proxy is finer than a millisecond.
        match epoll::wait(&self.epoll, spare_capacity(&mut events.list), timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Reactor {
    /// Readable while there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Room for the events of one wait.
pub struct Events {
    list: Vec<epoll::Event>,
}

impl Events {
    /// Room for at least `capacity` events, at least one; more wait for the next turn.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// The events of the last wait.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.list.iter().map(event)
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the last wait brought none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[inline]
fn event(event: &epoll::Event) -> Event {
    let flags = event.flags;
    Event {
        token: Token(event.data.u64()),
        readable: flags.contains(EventFlags::IN),
        writable: flags.contains(EventFlags::OUT),
        closed: flags.intersects(EventFlags::HUP | EventFlags::ERR),
    }
}

/// EPOLLRDHUP is not asked for: the end of the peer's sending makes a socket readable anyway, and a paused one would
/// be reported in every turn. EPOLLHUP and EPOLLERR come unasked.
fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags
}

#[inline]
fn timespec(timeout: Duration) -> Timespec {
    let timeout = timeout.min(LONGEST_WAIT);
    Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() }
}

/// Fits epoll's signed 32-bit milliseconds (24 days).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
