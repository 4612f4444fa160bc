//! Streams over io_uring: bytes are received without being asked for, and everything that is to be sent goes with one
//! system call.
//!
//! ```text
//! ring.wait(until the next deadline)      what arrived: ring.get(0), ring.get(1) ...
//!                                         ring.take_polled(): the reactor has events
//! ring.flush(orders, what to send)        ring.shorts(): what did not go out to its end
//! ```
//! The ring belongs to the thread that made it. Everything but streams stays with the [`Reactor`], whose own descriptor the
//! ring watches: listeners, connections in the making, streams that wait for room, streams that are not read.
//!
//! - **Receiving** is ordered once per stream (multishot) and goes on until it is cancelled or ends by itself; the last
//!   arrival of each order says so ([`Arrival::more`]). After a cancel, arrivals may still come until that one.
//! - **Buffers** are the ring's own, a bounded few. The kernel fills them one stream's bytes behind the other's, so that a turn's
//!   small requests lie side by side. When all are full, orders end (`ENOBUFS`) and are to be given again.
//! - **Sending** is done when [`Ring::flush`] returns: what a socket has no room for is never kept by the kernel. So
//!   nothing has to outlive the call.
//! - An order holds its socket open: one that is to be closed is cancelled first, and closed after the flush.
#![allow(unsafe_code, reason = "memory that is shared with the kernel")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::net::{self, AddressFamily, SendFlags, Shutdown, SocketType};

use crate::net::SOCKET_FLAGS;
use crate::{Reactor, Token};

/// What is to become of a stream's receiving, at the next flush.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// Receive until cancelled. The descriptor stays open until the flush.
    Receive(RawFd, Token),
    /// No more. Without effect when the order has ended.
    Cancel(Token),
}

/// Something that arrived on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Whose: as ordered.
    pub token: Token,
    /// How many bytes, 0 at the end, or an error's number, negative: `ECANCELED` after a cancel, `ENOBUFS` when buffers
    /// were short, else the stream is broken.
    pub result: i32,
    /// Whether the order goes on.
    pub more: bool,
    /// Where its bytes are.
    offset: usize,
}

/// One thread's ring.
pub struct Ring {
    uring: IoUring,
    buffers: Buffers,
    /// What the last wait brought, and the buffers that are full with it.
    now: Batch,
    /// What a flush found, for the next wait.
    next: Batch,
    shorts: Vec<(usize, i32)>,
    epoll: RawFd,
    polled: bool,
    polling: bool,
}

#[derive(Default)]
struct Batch {
    arrivals: Vec<Arrival>,
    full: Vec<u16>,
}

/// Tokens from here on are the ring's own.
const OWN: u64 = 3 << 62;
const SEND: u64 = OWN | 1 << 60;
const CANCEL: u64 = OWN | 2 << 60;
const POLL: u64 = OWN | 3 << 60;
const WHICH: u64 = POLL;

impl Ring {
    /// A ring beside `reactor`, which must live as long, with buffers of `bytes` in all (rounded up to a power of two, from 512 KiB to
    /// 64 MiB). Fails where the kernel has no io_uring, is older than 6.12, does not allow it to this process, or
    /// loses the ends of streams ([`Ring::tells_ends`]).
    pub fn new(reactor: &Reactor, bytes: usize) -> io::Result<Ring> {
        Ring::unproven(reactor, 0)?.tells_ends()?;
        Ring::unproven(reactor, bytes)
    }

    fn unproven(reactor: &Reactor, bytes: usize) -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(COMPLETIONS).setup_submit_all().setup_no_sqarray();
        builder.setup_single_issuer().setup_defer_taskrun().dontfork();
        let uring: IoUring = builder.build(SUBMISSIONS)?;
        uring.submitter().register_ring_fd()?;
        let size = bytes.clamp(512 << 10, 64 << 20).next_power_of_two() / usize::from(BUFFERS);
        let buffers = Buffers::new(size);
        // SAFETY: the list of buffers is freed after the ring, or after it was unregistered.
        unsafe {
            let list = buffers.list.as_ptr() as u64;
            uring.submitter().register_buf_ring_with_flags(list, BUFFERS, GROUP, INCREMENTAL)?;
        }
        let mut now = Batch::default();
        now.full.extend(0..BUFFERS);
        let next = Batch::default();
        let epoll = reactor.as_fd().as_raw_fd();
        Ok(Ring { uring, buffers, now, next, shorts: Vec::new(), epoll, polled: false, polling: false })
    }

    /// Many kernels before 7.0 do not tell that a stream has ended when its last bytes and its end come at once: a client that is gone
    /// would be kept for ever (axboe/liburing, issue 1549). Corrections reached some of the older lines, so that
    /// the version says nothing; but what comes between two waits comes at once, and so it shows every time.
    fn tells_ends(&mut self) -> io::Result<()> {
        let (near, far) = net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)?;
        self.flush(
            &mut vec![Order::Receive(near.as_raw_fd(), Token(0))],
            std::iter::empty::<(&Reactor, &[u8])>(),
        )?;
        // Until it is polled and nothing is on its way.
        self.wait(Some(Duration::ZERO))?;
        net::send(&far, b"last", SendFlags::NOSIGNAL)?;
        net::shutdown(&far, Shutdown::Write)?;
        let mut ended = false;
        for _ in 0..TRIAL_WAITS {
            self.wait(Some(Duration::ZERO))?;
            ended |= (0..self.len()).any(|index| self.get(index).0.result == 0);
        }
        if ended {
            Ok(())
        } else {
            Err(io::Error::other("this kernel does not tell all ends of connections"))
        }
    }

    /// Waits until something arrives or the reactor has events, at most for `timeout` (for ever without one), and replaces
    /// what the last wait brought. Brings nothing after the timeout or a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.buffers.give_back(&mut self.now.full);
        self.now.arrivals.clear();
        std::mem::swap(&mut self.now, &mut self.next);
        if !self.polling {
            self.polling = true;
            let poll = opcode::PollAdd::new(Fd(self.epoll), libc::POLLIN as u32);
            self.push(&poll.build().user_data(POLL))?;
        }
        let waiting = !self.now.arrivals.is_empty() || self.polled;
        let timeout = if waiting { Some(Duration::ZERO) } else { timeout };
        let submitter = self.uring.submitter();
        let result = match timeout {
            None => submitter.submit_and_wait(1),
            Some(time) => {
                let time = Timespec::new().sec(time.as_secs()).nsec(time.subsec_nanos());
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        passed(result)?;
        collect(&mut self.uring, &mut self.buffers, &mut self.now, &mut self.shorts, &mut self.polled);
        self.polling &= !self.polled;
        // The kernel turns to a limited number of sockets per call.
        let mut before = 0;
        while self.now.arrivals.len() - before >= PER_CALL && self.now.arrivals.len() < PER_WAIT {
            before = self.now.arrivals.len();
            // SAFETY: there is no argument.
            passed(unsafe { self.uring.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) })?;
            collect(&mut self.uring, &mut self.buffers, &mut self.now, &mut self.shorts, &mut self.polled);
            self.polling &= !self.polled;
        }
        Ok(())
    }

    /// Does what was ordered, then sends: each of `sends` at most once per descriptor. What did not go out to its end is told by
    /// [`Ring::shorts`], until the next flush.
    pub fn flush<'a, F: AsFd + 'a>(
        &mut self,
        orders: &mut Vec<Order>,
        sends: impl Iterator<Item = (&'a F, &'a [u8])>,
    ) -> io::Result<()> {
        self.shorts.clear();
        // Orders are carried out at once and need buffers.
        self.buffers.give_back(&mut self.now.full);
        for order in orders.drain(..) {
            let entry = match order {
                Order::Receive(fd, token) => opcode::RecvMulti::new(Fd(fd), GROUP).build().user_data(token.0),
                Order::Cancel(token) => {
                    let cancel = opcode::AsyncCancel::new(token.0).build().user_data(CANCEL);
                    cancel.flags(squeue::Flags::SKIP_SUCCESS)
                }
            };
            self.push(&entry)?;
        }
        for (index, (fd, bytes)) in sends.enumerate() {
            let fd: BorrowedFd<'a> = fd.as_fd();
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(SEND_MAX);
            let send = opcode::Send::new(Fd(fd.as_raw_fd()), bytes.as_ptr(), length).flags(SEND_FLAGS);
            let entry = send.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(SEND | index as u64);
            self.push(&entry)?;
            if length as usize != bytes.len() {
                self.shorts.push((index, length as i32)); // as if the socket had taken no more
            }
        }
        self.submit_all()?;
        self.collect_all()
    }

    /// All that a flush brought about, also what the kernel had no room to tell: the owner takes what is not told for sent.
    fn collect_all(&mut self) -> io::Result<()> {
        loop {
            collect(&mut self.uring, &mut self.buffers, &mut self.next, &mut self.shorts, &mut self.polled);
            self.polling &= !self.polled;
            if !self.uring.submission().cq_overflow() {
                break;
            }
            // SAFETY: there is no argument.
            passed(unsafe { self.uring.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) })?;
        }
        self.shorts.sort_by_key(|(index, _)| *index);
        Ok(())
    }

    /// How many arrivals the last wait brought.
    pub fn len(&self) -> usize {
        self.now.arrivals.len()
    }

    /// Whether it brought none.
    pub fn is_empty(&self) -> bool {
        self.now.arrivals.is_empty()
    }

    /// One of them with its bytes, which are there until the next flush or wait.
    #[inline]
    pub fn get(&self, index: usize) -> (Arrival, &[u8]) {
        let arrival = self.now.arrivals[index];
        (arrival, self.buffers.bytes(arrival.offset, usize::try_from(arrival.result).unwrap_or(0)))
    }

    /// Of the last flush, in the order of the sends: which send went out in part (how many bytes) or not at all (an error's number,
    /// negative; `EAGAIN`: there was no room). All others went out to their end. The last word on a send counts.
    pub fn shorts(&self) -> &[(usize, i32)] {
        &self.shorts
    }

    /// Whether the reactor has events; asked once per wait.
    pub fn take_polled(&mut self) -> bool {
        std::mem::take(&mut self.polled)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what entries point to lives until the flush ends, and they are done by then (see `SEND_FLAGS`).
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.submit_all()?;
        }
        Ok(())
    }

    /// Nothing may be left: the owner takes it for sent. The kernel leaves some only while it is out of memory.
    fn submit_all(&mut self) -> io::Result<()> {
        for _ in 0..SUBMIT_TRIES {
            if self.uring.submission().is_empty() {
                return Ok(());
            }
            passed(self.uring.submit())?;
        }
        Err(io::ErrorKind::OutOfMemory.into())
    }
}

fn collect(
    uring: &mut IoUring,
    buffers: &mut Buffers,
    batch: &mut Batch,
    shorts: &mut Vec<(usize, i32)>,
    polled: &mut bool,
) {
    for entry in uring.completion() {
        let (data, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        if data < OWN {
            let offset = match cqueue::buffer_select(flags) {
                Some(buffer) => {
                    let (offset, full) = buffers.take(buffer, usize::try_from(result).unwrap_or(0));
                    if full {
                        batch.full.push(buffer);
                    }
                    offset
                }
                None => 0,
            };
            let more = cqueue::more(flags);
            batch.arrivals.push(Arrival { token: Token(data), result, more, offset });
            continue;
        }
        match data & WHICH {
            SEND => shorts.push(((data & !WHICH) as usize, result)),
            POLL => *polled = true,
            _ => {} // a cancel that found nothing
        }
    }
}

/// What is no reason to give up.
fn passed(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Memory that the kernel fills, and the list by which it is given to it.
struct Buffers {
    list: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    size: usize,
    /// How much of each buffer is filled.
    used: [usize; BUFFERS as usize],
    /// How many have been given, all in all.
    given: u16,
}

// SAFETY: the memory is its own, and nobody else has pointers to it but the kernel.
unsafe impl Send for Buffers {}

impl Buffers {
    fn new(size: usize) -> Buffers {
        let mut buffers = Buffers {
            list: NonNull::dangling(),
            memory: NonNull::dangling(),
            size,
            used: [0; BUFFERS as usize],
            given: 0,
        };
        buffers.list = allocate(buffers.list_layout()).cast();
        buffers.memory = allocate(buffers.memory_layout());
        buffers
    }

    fn list_layout(&self) -> Layout {
        Layout::from_size_align(usize::from(BUFFERS) * size_of::<BufRingEntry>(), PAGE).expect("a small one")
    }

    fn memory_layout(&self) -> Layout {
        Layout::from_size_align(usize::from(BUFFERS) * self.size, PAGE).expect("64 MiB at most")
    }

    /// The kernel may fill these anew.
    fn give_back(&mut self, full: &mut Vec<u16>) {
        if full.is_empty() {
            return;
        }
        for buffer in full.drain(..) {
            let start = usize::from(buffer) * self.size;
            self.used[usize::from(buffer)] = 0;
            // SAFETY: the place is within the list, and the kernel reads none from the tail on.
            let entry = unsafe { &mut *self.list.as_ptr().add(usize::from(self.given % BUFFERS)) };
            entry.set_addr(self.memory.as_ptr() as u64 + start as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(buffer);
            self.given = self.given.wrapping_add(1);
        }
        // SAFETY: the list's tail is a 16-bit number in its first entry that the kernel only reads.
        let tail = unsafe { &*BufRingEntry::tail(self.list.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.given, Ordering::Release);
    }

    /// The kernel has put `count` more bytes into a buffer: where they begin, and whether they fill it. The kernel leaves a
    /// buffer only when it is full. It says so too (`IORING_CQE_F_BUF_MORE`), but some kernels say it of any buffer
    /// that an end found, and go on filling it (axboe/liburing, issues 1545 and 1553).
    fn take(&mut self, buffer: u16, count: usize) -> (usize, bool) {
        let used = &mut self.used[usize::from(buffer)];
        let start = usize::from(buffer) * self.size + *used;
        *used += count;
        (start, count > 0 && *used == self.size)
    }

    #[inline]
    fn bytes(&self, start: usize, count: usize) -> &[u8] {
        assert!(start + count <= usize::from(BUFFERS) * self.size, "a buffer of the ring's own");
        // SAFETY: it is within the memory, and the kernel does not touch what it has filled until it is given back.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(start), count) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with the same layouts; the ring, whose field comes before, is gone.
        unsafe {
            dealloc(self.list.as_ptr().cast(), self.list_layout());
            dealloc(self.memory.as_ptr(), self.memory_layout());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel winds a ring up after its descriptor is closed. Without buffers nothing is received from here on.
        _ = self.uring.submitter().unregister_buf_ring(GROUP);
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("arrivals", &self.now.arrivals).finish_non_exhaustive()
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is empty.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;
/// A power of two. The kernel goes to the next when one is full, so a few large ones do. One stream can fill all of them.
const BUFFERS: u16 = 16;
const GROUP: u16 = 0;
/// IOU_PBUF_RING_INC: a buffer is filled piece by piece.
const INCREMENTAL: u16 = 2;
/// IORING_ENTER_GETEVENTS.
const GET_EVENTS: u32 = 1;
/// IO_LOCAL_TW_DEFAULT_MAX: so many sockets per call.
const PER_CALL: usize = 20;
/// So many arrivals per wait, about.
const PER_WAIT: usize = 1024;
const SUBMIT_TRIES: usize = 1000;
/// How often a trial looks for what is there at the first.
const TRIAL_WAITS: usize = 3;
const PAGE: usize = 4096;
/// More is never sent at once.
const SEND_MAX: u32 = 1 << 30;
/// DONTWAIT: the kernel answers at once instead of keeping what a socket has no room for. WAITALL: to have sent a part only is a
/// failure, so that it is told.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
