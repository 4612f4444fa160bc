//! Waking a thread that waits in its reactor, from any other thread.
//!
//! ```text
//! other thread: put the message in the inbox; wake()      worker: event; drain(); empty the inbox
//! ```
//! In that order nothing is missed: a `wake` that finds the flag set happens before the `drain` that clears it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use rustix::event::{EventfdFlags, eventfd};

/// A descriptor to be added to a reactor as [`crate::Interest::READABLE`]; clones wake the same one.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    eventfd: OwnedFd,
    /// Whether the eventfd has been written to since the last drain: many wakes cost one system call.
    awake: AtomicBool,
}

impl Waker {
    /// A waker at rest. Fails when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Inner { eventfd, awake: AtomicBool::new(false) })))
    }

    /// Makes the waker's descriptor readable until it is drained. Call it after what it is to announce is visible.
    pub fn wake(&self) {
        if !self.0.awake.swap(true, AcqRel) {
            // Cannot fail: the counter only blocks at 2^64-2, and at most a few writes come between two reads.
            _ = rustix::io::write(&self.0.eventfd, &1u64.to_ne_bytes());
        }
    }

    /// Puts the waker to rest. Look for what was announced after it, not before.
    pub fn drain(&self) {
        self.drain_around(|| {});
    }

    /// `between` stands for what other threads may do in the middle; tests put a wake there.
    fn drain_around(&self, between: impl FnOnce()) {
        // Emptied before the flag falls: the other way round, a wake in between would be swallowed and the flag stay
        // up, and nobody would write again.
        _ = rustix::io::read(&self.0.eventfd, &mut [0u8; 8]);
        between();
        self.0.awake.swap(false, AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_in_the_middle_of_a_drain_leaves_the_waker_in_order() {
        let waker = Waker::new().expect("a waker");
        let written = || rustix::io::read(&waker, &mut [0u8; 8]).is_ok();
        waker.wake();
        waker.drain_around(|| waker.wake());
        waker.wake();
        assert!(written(), "the next wake is seen");
    }
}
