//! What every backend must do (see `lib.rs`), as one suite: a new backend implements `Backend` below and adds a line at
//! the end.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use reactor::net::{self, Progress, SockAddr};
use reactor::{Event, Events, Interest, Reactor, Token, Waker};

/// A backend under test.
trait Backend: Send {
    fn new() -> Self;
    fn add(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest);
    fn add_listener(&self, fd: BorrowedFd<'_>, token: Token);
    fn modify(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest);
    fn remove(&self, fd: BorrowedFd<'_>);
    /// The events of one wait that has room for `capacity`.
    fn wait(&mut self, capacity: usize, timeout: Option<Duration>) -> Vec<Event>;
}

impl Backend for Reactor {
    fn new() -> Self {
        Reactor::new().expect("a reactor")
    }

    fn add(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) {
        self.add(fd, token, interest).expect("added");
    }

    fn add_listener(&self, fd: BorrowedFd<'_>, token: Token) {
        self.add_listener(fd, token).expect("added");
    }

    fn modify(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) {
        self.modify(fd, token, interest).expect("modified");
    }

    fn remove(&self, fd: BorrowedFd<'_>) {
        self.remove(fd).expect("removed");
    }

    fn wait(&mut self, capacity: usize, timeout: Option<Duration>) -> Vec<Event> {
        let mut events = Events::with_capacity(capacity);
        let count = self.wait(&mut events, timeout).expect("waited");
        assert_eq!((count, count == 0), (events.len(), events.is_empty()));
        events.iter().collect()
    }
}

const TOKEN: Token = Token(u64::MAX - 7);

fn what_can_be_read_is_readable_and_nothing_else<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::READABLE);
    assert_eq!(now(&mut backend), []);
    send_all(&far, b"hello");
    assert_eq!(next(&mut backend), [event(true, false, false)]);
}

fn readiness_lasts_until_everything_is_read<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    send_all(&far, b"hello");
    backend.add(near.as_fd(), TOKEN, Interest::READABLE); // what came before counts too
    for _ in 0..3 {
        assert_eq!(next(&mut backend), [event(true, false, false)]);
    }
    assert_eq!(net::recv(&near, &mut [0; 2]).expect("read"), Some(2));
    assert_eq!(next(&mut backend), [event(true, false, false)], "three bytes are left");
    assert_eq!(net::recv(&near, &mut [0; 9]).expect("read"), Some(3));
    assert_eq!(now(&mut backend), []);
    assert_eq!(net::recv(&near, &mut [0; 9]).expect("read"), None);
}

fn writable_is_told_only_to_who_asked<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    backend.add(near.as_fd(), Token(1), Interest::READABLE);
    assert_eq!(now(&mut backend), []);
    backend.modify(near.as_fd(), TOKEN, Interest::WRITABLE);
    send_all(&far, b"unread");
    assert_eq!(next(&mut backend), [event(false, true, false)]);
    backend.modify(near.as_fd(), TOKEN, Interest::BOTH);
    assert_eq!(next(&mut backend), [event(true, true, false)]);
    backend.modify(near.as_fd(), TOKEN, Interest::NONE);
    assert_eq!(now(&mut backend), []);
}

fn a_paused_connection_stays_quiet_when_the_peer_ends_its_sending<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::NONE);
    send_all(&far, b"bye");
    net::shutdown(&far).expect("shut down");
    assert_eq!(now(&mut backend), []);
    backend.modify(near.as_fd(), TOKEN, Interest::READABLE);
    assert_eq!(next(&mut backend), [event(true, false, false)]);
}

fn half_a_close_still_takes_replies<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::READABLE);
    net::shutdown(&far).expect("shut down");
    assert_eq!(next(&mut backend), [event(true, false, false)]);
    assert_eq!(net::recv(&near, &mut [0; 9]).expect("read"), Some(0));
    send_all(&near, b"reply");
    assert_eq!(recv_all::<B>(&far, 5), b"reply");
}

fn a_reset_is_a_close<B: Backend>() {
    for interest in [Interest::READABLE, Interest::NONE] {
        let (near, far) = tcp_pair();
        let mut backend = B::new();
        backend.add(near.as_fd(), TOKEN, interest);
        send_all(&near, b"never read");
        drop(far); // with unread bytes, so that the kernel resets
        let closed = next(&mut backend);
        assert!(matches!(closed[..], [Event { token: TOKEN, closed: true, .. }]), "{closed:?}");
        let error = net::recv(&near, &mut [0; 9]).expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!next(&mut backend).is_empty(), "until it is removed");
        backend.remove(near.as_fd());
        assert_eq!(now(&mut backend), []);
    }
}

fn a_closed_unix_connection_can_be_read_to_its_end<B: Backend>() {
    let path = SocketFile::new(&format!("close-{}", std::any::type_name::<B>()));
    let listener = net::listen_unix(&path.0, None, 8).expect("listening");
    let (near, progress) = net::connect(&SockAddr::Unix(path.0.clone())).expect("connected");
    assert_eq!(progress, Progress::Connected);
    let (far, peer) = net::accept(&listener).expect("accepted").expect("one is waiting");
    assert_eq!(peer, net::Peer::Unix);
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::READABLE);
    send_all(&far, b"last words");
    drop(far);
    assert_eq!(next(&mut backend), [event(true, false, true)]);
    assert_eq!(recv_all::<B>(&near, 10), b"last words");
    assert_eq!(net::recv(&near, &mut [0; 9]).expect("the end"), Some(0));
}

fn what_is_removed_is_silent_and_can_come_back<B: Backend>() {
    let (near, far) = tcp_pair();
    let mut backend = B::new();
    backend.add(near.as_fd(), Token(1), Interest::READABLE);
    send_all(&far, b"hello");
    backend.remove(near.as_fd());
    assert_eq!(now(&mut backend), []);
    backend.add(near.as_fd(), TOKEN, Interest::READABLE);
    assert_eq!(next(&mut backend), [event(true, false, false)]);
}

fn none_starves_when_more_are_ready_than_fit<B: Backend>() {
    let pairs: Vec<_> = (0..10).map(|_| tcp_pair()).collect();
    let mut backend = B::new();
    for (token, (near, far)) in (0..).zip(&pairs) {
        backend.add(near.as_fd(), Token(token), Interest::READABLE);
        send_all(far, b"x");
    }
    let mut told: Vec<u64> = (0..4).flat_map(|_| backend.wait(3, PATIENCE)).map(|e| e.token.0).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, Vec::from_iter(0..10), "none was read, and yet each had its turn");
}

fn a_wait_lasts_as_long_as_it_should<B: Backend>() {
    let mut backend = B::new();
    for timeout in [Duration::ZERO, Duration::from_micros(1500), Duration::from_millis(20)] {
        let start = Instant::now();
        assert_eq!(backend.wait(8, Some(timeout)), []);
        assert!(start.elapsed() >= timeout, "{:?} of {timeout:?}", start.elapsed());
    }
    let (near, far) = tcp_pair();
    backend.add(near.as_fd(), TOKEN, Interest::READABLE);
    for timeout in [None, Some(Duration::MAX)] {
        send_all(&far, b"x");
        assert_eq!(backend.wait(8, timeout), [event(true, false, false)]);
    }
}

fn another_thread_wakes_a_waiting_one<B: Backend>() {
    let waker = Waker::new().expect("a waker");
    let mut backend = B::new();
    backend.add(waker.as_fd(), TOKEN, Interest::READABLE);
    assert_eq!(now(&mut backend), []);
    let other = waker.clone();
    let thread = std::thread::spawn(move || (0..1000).for_each(|_| other.wake()));
    assert_eq!(next(&mut backend), [event(true, false, false)]);
    thread.join().expect("woken");
    waker.drain();
    assert_eq!(now(&mut backend), [], "a thousand wakes take one drain");
    waker.wake();
    assert_eq!(next(&mut backend), [event(true, false, false)]);
}

/// Two threads send one message at a time and wait until it was taken, so that a wake of one often falls into the drain
/// for the other.
fn no_wake_is_lost<B: Backend>() {
    const MESSAGES: usize = 20_000;
    let waker = Waker::new().expect("a waker");
    let inboxes = [AtomicBool::new(false), AtomicBool::new(false)];
    let mut backend = B::new();
    backend.add(waker.as_fd(), TOKEN, Interest::READABLE);
    let end = Instant::now() + PATIENCE.unwrap_or_default();
    std::thread::scope(|scope| {
        for inbox in &inboxes {
            let waker = waker.clone();
            scope.spawn(move || {
                for _ in 0..MESSAGES / 2 {
                    inbox.store(true, SeqCst);
                    waker.wake();
                    while inbox.load(SeqCst) && Instant::now() < end {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut taken = 0;
        while taken < MESSAGES {
            assert_eq!(next(&mut backend), [event(true, false, false)], "{taken} of {MESSAGES}");
            waker.drain();
            taken += inboxes.iter().filter(|inbox| inbox.swap(false, SeqCst)).count();
        }
    });
}

fn a_connection_in_progress_is_decided_by_an_event<B: Backend>() {
    let listener = listen();
    let (near, _) = net::connect(&net::bound_addr(&listener).expect("bound")).expect("begun");
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::WRITABLE);
    assert_eq!(next(&mut backend), [event(false, true, false)]);
    net::connect_error(&near).expect("connected");
}

fn a_refused_connection_says_so<B: Backend>() {
    // Bound, so that nobody else can take the port, but not listening.
    let unused = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
        .expect("a socket");
    rustix::net::bind(&unused, &localhost()).expect("bound");
    let refused = match net::connect(&net::bound_addr(&unused).expect("bound")) {
        Err(error) => error,
        Ok((near, progress)) => {
            assert_eq!(progress, Progress::InProgress);
            let mut backend = B::new();
            backend.add(near.as_fd(), TOKEN, Interest::BOTH);
            let events = next(&mut backend);
            assert!(matches!(events[..], [Event { token: TOKEN, closed: true, .. }]), "{events:?}");
            net::connect_error(&near).expect_err("refused")
        }
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

fn two_reactors_share_a_listener<B: Backend>() {
    const CLIENTS: usize = 200;
    const STOP: Token = Token(0);
    let listener = listen();
    let address = net::bound_addr(&listener).expect("bound");
    let accepted = AtomicUsize::new(0);
    let (done, stop) = (Waker::new().expect("a waker"), Waker::new().expect("a waker"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut backend = B::new();
            backend.add_listener(listener.as_fd(), TOKEN);
            backend.add(stop.as_fd(), STOP, Interest::READABLE);
            let (listener, accepted, done) = (&listener, &accepted, &done);
            scope.spawn(move || {
                // `stop` is never drained: level-triggered, it ends both threads.
                while !next(&mut backend).iter().any(|event| event.token == STOP) {
                    while net::accept(listener).expect("accepted").is_some() {
                        accepted.fetch_add(1, SeqCst);
                        done.wake();
                    }
                }
            });
        }
        let mut backend = B::new();
        backend.add(done.as_fd(), TOKEN, Interest::READABLE);
        let clients: Vec<_> = (0..CLIENTS).map(|_| net::connect(&address).expect("begun")).collect();
        while accepted.load(SeqCst) < CLIENTS {
            assert!(!next(&mut backend).is_empty(), "{} of {CLIENTS} accepted", accepted.load(SeqCst));
            done.drain();
        }
        stop.wake();
        drop(clients);
    });
    assert_eq!(accepted.into_inner(), CLIENTS, "each connection was accepted by one");
}

fn a_big_write_goes_on_when_there_is_room<B: Backend>() {
    const SIZE: usize = 16 << 20;
    let (near, far) = tcp_pair();
    let bytes: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let mut backend = B::new();
    backend.add(near.as_fd(), TOKEN, Interest::WRITABLE);
    let (mut sent, mut far, mut reader) = (0, Some(far), None);
    while sent < SIZE {
        let (left, right) = bytes[sent..].split_at((SIZE - sent) / 2);
        match net::sendv(&near, &[IoSlice::new(left), IoSlice::new(right)]).expect("sent") {
            Some(count) => sent += count,
            None => {
                // Nobody reads before the socket is full, which it is long before all is sent.
                if let Some(far) = far.take() {
                    assert_eq!(now(&mut backend), []);
                    reader = Some(std::thread::spawn(move || recv_all::<B>(&far, SIZE)));
                }
                assert_eq!(next(&mut backend), [event(false, true, false)]);
            }
        }
    }
    let reader = reader.expect("no socket takes so much at once");
    assert!(reader.join().expect("read") == bytes, "the bytes arrived in order");
}

/// Waits for a next event, but not for ever.
fn next(backend: &mut impl Backend) -> Vec<Event> {
    let events = backend.wait(8, PATIENCE);
    assert!(!events.is_empty(), "nothing happened");
    events
}

/// What is ready at this moment.
fn now(backend: &mut impl Backend) -> Vec<Event> {
    backend.wait(8, Some(Duration::ZERO))
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

fn event(readable: bool, writable: bool, closed: bool) -> Event {
    Event { token: TOKEN, readable, writable, closed }
}

fn listen() -> OwnedFd {
    net::listen_tcp(localhost(), 1024, false).expect("listening")
}

fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Two ends of one connection.
fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let listener = listen();
    let (near, _) = net::connect(&net::bound_addr(&listener).expect("bound")).expect("begun");
    let mut reactor = Reactor::new().expect("a reactor");
    reactor.add(&listener, TOKEN, Interest::READABLE).expect("added");
    next(&mut reactor);
    let (far, peer) = net::accept(&listener).expect("accepted").expect("one is waiting");
    assert_eq!(net::bound_addr(&near).expect("bound"), SockAddr::Inet(peer.inet().expect("TCP")));
    net::connect_error(&near).expect("connected");
    (near, far)
}

/// Writes a few bytes, for which a fresh socket has room.
fn send_all(fd: &OwnedFd, bytes: &[u8]) {
    assert_eq!(net::send(fd, bytes).expect("sent"), Some(bytes.len()));
}

/// Reads `len` bytes, waiting for them with a reactor of its own.
fn recv_all<B: Backend>(fd: &OwnedFd, len: usize) -> Vec<u8> {
    let mut backend = B::new();
    backend.add(fd.as_fd(), TOKEN, Interest::READABLE);
    let (mut bytes, mut read) = (vec![0; len], 0);
    while read < len {
        match net::recv(fd, &mut bytes[read..]).expect("read") {
            Some(0) => panic!("the end after {read} of {len}"),
            Some(count) => read += count,
            None => _ = next(&mut backend),
        }
    }
    bytes
}

/// A socket's place in the file system, cleared afterwards.
struct SocketFile(std::path::PathBuf);

impl SocketFile {
    fn new(name: &str) -> Self {
        let name = name.replace("::", "-");
        Self(std::env::temp_dir().join(format!("cashew-{}-{name}.sock", std::process::id())))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

/// The suite for one backend.
macro_rules! contract {
    ($name:ident, $backend:ty: $($test:ident,)*) => {
        mod $name {
            $(#[test] fn $test() { super::$test::<$backend>() })*
        }
    };
    ($($name:ident: $backend:ty;)*) => {
        $(contract! { $name, $backend:
            what_can_be_read_is_readable_and_nothing_else,
            readiness_lasts_until_everything_is_read,
            writable_is_told_only_to_who_asked,
            a_paused_connection_stays_quiet_when_the_peer_ends_its_sending,
            half_a_close_still_takes_replies,
            a_reset_is_a_close,
            a_closed_unix_connection_can_be_read_to_its_end,
            what_is_removed_is_silent_and_can_come_back,
            none_starves_when_more_are_ready_than_fit,
            a_wait_lasts_as_long_as_it_should,
            another_thread_wakes_a_waiting_one,
            no_wake_is_lost,
            a_connection_in_progress_is_decided_by_an_event,
            a_refused_connection_says_so,
            two_reactors_share_a_listener,
            a_big_write_goes_on_when_there_is_room,
        })*
    };
}

contract! {
    epoll: reactor::Reactor;
}
