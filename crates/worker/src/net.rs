//! What a worker's sockets are watched and read by: a reactor, and a ring beside it where there is one.

use reactor::{Order, Reactor};
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};

/// A reactor, and what is to be told to the ring at the next flush.
#[derive(Debug)]
pub(crate) struct Net {
    reactor: Reactor,
    /// Nothing: there is no ring.
    orders: Option<RefCell<Vec<Order>>>,
    /// Bytes that links keep of streams that are not read.
    kept: Cell<usize>,
}

impl Net {
    pub(crate) fn new(reactor: Reactor) -> Net {
        Net { reactor, orders: None, kept: Cell::default() }
    }

    /// From now on streams are read by a ring.
    pub(crate) fn begin_ring(&mut self) {
        self.orders = Some(RefCell::default());
    }

    #[inline]
    pub(crate) fn has_ring(&self) -> bool {
        self.orders.is_some()
    }

    /// Bytes that links keep of streams that are not read.
    #[inline]
    pub(crate) fn kept(&self) -> usize {
        self.kept.get()
    }

    /// A link keeps so many bytes more.
    pub(crate) fn keep(&self, bytes: usize) {
        self.kept.set(self.kept.get() + bytes);
    }

    /// A link no longer keeps so many bytes.
    pub(crate) fn let_go(&self, bytes: usize) {
        self.kept.set(self.kept.get().saturating_sub(bytes));
    }

    pub(crate) fn receive(&self, stream: &impl AsFd, token: reactor::Token) {
        self.order(Order::Receive(stream.as_fd().as_raw_fd(), token));
    }

    pub(crate) fn cancel(&self, token: reactor::Token) {
        self.order(Order::Cancel(token));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            orders.borrow_mut().push(order);
        }
    }

    /// The orders since the last flush.
    pub(crate) fn orders(&mut self) -> Vec<Order> {
        self.orders.as_mut().map(|orders| std::mem::take(orders.get_mut())).unwrap_or_default()
    }

    /// Gives the list of orders back, empty, so that its room is used again.
    pub(crate) fn reuse(&mut self, list: Vec<Order>) {
        if let Some(orders) = &mut self.orders {
            *orders.get_mut() = list;
        }
    }
}

impl Deref for Net {
    type Target = Reactor;

    fn deref(&self) -> &Reactor {
        &self.reactor
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut Reactor {
        &mut self.reactor
    }
}
