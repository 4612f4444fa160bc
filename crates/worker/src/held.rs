//! Replies that wait a moment for their successors, so that they leave together.
//!
//! A client that pipelines gets its replies from several servers, a few at a time. Each write costs it a wake-up and the
//! worker a system call that is worth dozens of replies, so while more is to come a client's replies are held for the rest
//! of the tick and through the next one. They are never held while the worker sleeps: when nothing is ready they leave at
//! once, and an idle machine answers as if nothing were held.

use crate::ringed::Stream;
use crate::tick::Worker;
use engine::id::ClientId;
use reactor::Events;
use std::io;
use std::mem;
use std::time::Duration;

/// From so many bytes on replies are worth a write of their own.
const WORTH_A_WRITE: usize = 16 << 10;

/// The clients whose replies are held.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Since this tick.
    fresh: Vec<ClientId>,
    /// Since the one before: they are written in this one.
    due: Vec<ClientId>,
}

impl Worker {
    /// Waits until something is ready, at most until the next deadline. Fails when the kernel refuses to wait.
    #[inline]
    pub(crate) fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.held.fresh.is_empty() {
            self.reactor.wait(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                mem::swap(&mut self.held.fresh, &mut self.held.due);
                return Ok(());
            }
            self.write_held();
        }
        let patience = self.patience();
        self.reactor.wait(events, patience)?;
        Ok(())
    }

    /// Writes a client's replies, or holds them when more are to come.
    #[inline]
    pub(crate) fn write_or_hold(&mut self, id: ClientId) {
        if self.core.owes_more(id, WORTH_A_WRITE) {
            self.held.fresh.push(id);
        } else {
            self.send_client(id);
        }
    }

    #[inline]
    fn send_client(&mut self, id: ClientId) {
        if self.reactor.has_ring() {
            self.queue_write(Stream::Client(id));
        } else {
            self.write_client(id);
        }
    }

    /// Whether replies are held.
    #[inline]
    pub(crate) fn holds_replies(&self) -> bool {
        !self.held.fresh.is_empty()
    }

    /// What is held is written in this tick.
    pub(crate) fn let_go(&mut self) {
        mem::swap(&mut self.held.fresh, &mut self.held.due);
    }

    /// Writes what was held in the tick before.
    #[inline]
    pub(crate) fn write_due(&mut self) {
        while let Some(id) = self.held.due.pop() {
            self.send_client(id);
        }
    }

    /// Writes all that is held, and does what comes of it.
    pub(crate) fn write_held(&mut self) {
        // A client that is written to may be read on, and be answered by the proxy itself.
        while !self.held.fresh.is_empty() {
            mem::swap(&mut self.held.fresh, &mut self.held.due);
            self.write_due();
            self.act_on_outputs();
        }
    }
}
