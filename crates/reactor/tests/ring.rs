//! What a ring does (see `Ring`), on this kernel; where the kernel does not allow one, there is nothing to test.

use reactor::net;
use reactor::{Arrival, Interest, Order, Reactor, Ring, Token};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ME: Token = Token(7);
const SECOND: Duration = Duration::from_secs(1);
const NOBODY: [(&OwnedFd, &[u8]); 0] = [];

fn ring(reactor: &Reactor) -> Option<Ring> {
    match Ring::new(reactor, 0) {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("skipped, no io_uring here: {error}");
            None
        }
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    let listener = net::listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), 8, false).expect("listening");
    let address = net::bound_addr(&listener).expect("an address");
    let (near, _) = net::connect(&address).expect("connected");
    loop {
        if let Some((far, _)) = net::accept(&listener).expect("accepted") {
            return (near, far);
        }
    }
}

fn order(ring: &mut Ring, order: Order) {
    ring.flush(&mut vec![order], NOBODY.into_iter()).expect("flushed");
}

fn receive(ring: &mut Ring, stream: &OwnedFd) {
    order(ring, Order::Receive(stream.as_fd().as_raw_fd(), ME));
}

/// Waits until something arrives and answers the first of it.
fn next(ring: &mut Ring) -> (Arrival, Vec<u8>) {
    ring.wait(Some(10 * SECOND)).expect("waited");
    let (arrival, bytes) = ring.get(0);
    (arrival, bytes.to_vec())
}

#[test]
fn one_order_receives_until_the_end() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let (near, far) = pair();
    receive(&mut ring, &near);
    for text in [b"one".as_slice(), b"two", b"three"] {
        net::send(&far, text).expect("sent");
        let (arrival, bytes) = next(&mut ring);
        assert_eq!((arrival.token, arrival.more, bytes.as_slice()), (ME, true, text));
    }
    net::shutdown(&far).expect("shut down");
    let (arrival, bytes) = next(&mut ring);
    assert_eq!((arrival.result, arrival.more, bytes.len()), (0, false, 0));
}

/// What some kernels do not do: of what came at once they tell only the first.
#[test]
fn an_end_that_comes_with_the_last_bytes_is_told() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    for _ in 0..50 {
        let (near, far) = pair();
        receive(&mut ring, &near);
        ring.wait(Some(Duration::ZERO)).expect("waited");
        net::send(&far, b"last").expect("sent");
        net::shutdown(&far).expect("shut down");
        let (mut bytes, mut ended) = (Vec::new(), false);
        while !ended {
            ring.wait(Some(10 * SECOND)).expect("waited");
            assert!(!ring.is_empty(), "the end after {bytes:?}");
            for index in 0..ring.len() {
                let (arrival, piece) = ring.get(index);
                bytes.extend_from_slice(piece);
                ended |= arrival.result == 0;
            }
        }
        assert_eq!(bytes, b"last");
    }
}

#[test]
fn a_cancelled_order_says_so_and_leaves_the_rest_to_the_next() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let (near, far) = pair();
    receive(&mut ring, &near);
    order(&mut ring, Order::Cancel(ME));
    let (arrival, _) = next(&mut ring);
    assert_eq!((arrival.result, arrival.more), (-125, false));
    net::send(&far, b"later").expect("sent");
    ring.wait(Some(Duration::from_millis(20))).expect("waited");
    assert!(ring.is_empty(), "nobody asked for it");
    receive(&mut ring, &near);
    assert_eq!(next(&mut ring).1, b"later");
}

#[test]
fn a_send_is_over_when_the_flush_is_and_what_did_not_fit_is_told() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let ((near, far), (gone, peer)) = (pair(), pair());
    drop(peer);
    let mut bytes: Vec<u8> = (0..64 << 20).map(|n: u32| n as u8).collect();
    ring.flush(&mut Vec::new(), [(&near, b"small".as_slice())].into_iter()).expect("flushed");
    assert_eq!(ring.shorts(), []);
    let sends = [(&near, bytes.as_slice())];
    ring.flush(&mut Vec::new(), sends.into_iter()).expect("flushed");
    let [(0, sent @ 1..)] = *ring.shorts() else { panic!("{:?}", ring.shorts()) };
    let wanted = [b"small".as_slice(), &bytes[..sent as usize]].concat();
    // What is in the buffer from here on makes no difference.
    bytes.fill(0);
    ring.flush(&mut Vec::new(), [(&near, bytes.as_slice())].into_iter()).expect("flushed");
    assert_eq!(ring.shorts(), [(0, -11)], "no room at all");
    let (mut read, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
    while read.len() < wanted.len() {
        if let Some(count) = net::recv(&far, &mut chunk).expect("read") {
            read.extend_from_slice(&chunk[..count]);
        }
    }
    assert!(read == wanted);
    for _ in 0..2 {
        ring.flush(&mut Vec::new(), [(&gone, b"lost".as_slice())].into_iter()).expect("flushed");
    }
    assert!(matches!(*ring.shorts(), [(0, -32 | -104)]), "{:?}", ring.shorts());
}

#[test]
fn buffers_are_bounded_and_nothing_is_lost() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let (near, far) = pair();
    let bytes: Vec<u8> = (0..32u32 << 20).map(|n| (n % 251) as u8).collect();
    let sender = std::thread::spawn({
        let bytes = bytes.clone();
        move || {
            let mut sent = 0;
            while sent < bytes.len() {
                sent += net::send(&far, &bytes[sent..]).expect("sent").unwrap_or_default();
            }
            far
        }
    });
    receive(&mut ring, &near);
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        ring.wait(Some(10 * SECOND)).expect("waited");
        assert!(!ring.is_empty(), "{} of {}", read.len(), bytes.len());
        let (mut ended, mut turn) = (false, 0);
        for index in 0..ring.len() {
            let (arrival, piece) = ring.get(index);
            read.extend_from_slice(piece);
            turn += piece.len();
            ended |= !arrival.more;
        }
        assert!(turn <= 1 << 19, "{turn} bytes in buffers of 512 KiB");
        if ended {
            receive(&mut ring, &near);
        }
    }
    assert!(read == bytes);
    drop(sender.join().expect("sent"));
}

#[test]
fn events_of_the_reactor_end_a_wait() {
    let mut reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let (near, far) = pair();
    reactor.add(&near, ME, Interest::READABLE).expect("added");
    ring.wait(Some(Duration::from_millis(10))).expect("waited");
    assert!(!ring.take_polled());
    net::send(&far, b"x").expect("sent");
    for _ in 0..2 {
        ring.wait(Some(10 * SECOND)).expect("waited");
        assert!(ring.take_polled(), "as long as nobody reads");
        let mut events = reactor::Events::with_capacity(8);
        assert_eq!(reactor.wait(&mut events, Some(Duration::ZERO)).expect("waited"), 1);
    }
}

#[test]
fn a_stream_is_closed_once_its_order_is_cancelled() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    let (near, far) = pair();
    receive(&mut ring, &near);
    order(&mut ring, Order::Cancel(ME));
    drop(near);
    next(&mut ring);
    let mut reader = Reactor::new().expect("a reactor");
    reader.add(&far, ME, Interest::READABLE).expect("added");
    let mut events = reactor::Events::with_capacity(8);
    assert_eq!(reader.wait(&mut events, Some(10 * SECOND)).expect("waited"), 1, "the end arrives");
    assert_eq!(net::recv(&far, &mut [0; 8]).expect("the end"), Some(0));
}

/// Not all kernels say with an end that the buffer it found goes on to be filled.
#[test]
fn an_end_takes_no_buffer_from_the_others() {
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    for round in 0..100 {
        let (near, far) = pair();
        receive(&mut ring, &near);
        let text = format!("what stream {round} says");
        net::send(&far, text.as_bytes()).expect("sent");
        let (_, bytes) = next(&mut ring);
        assert_eq!(String::from_utf8_lossy(&bytes), text);
        net::shutdown(&far).expect("shut down");
        let (arrival, _) = next(&mut ring);
        assert_eq!((arrival.result, arrival.more), (0, false));
    }
}

#[test]
fn whatever_does_not_fit_is_told_however_much_it_is() {
    const MANY: usize = 20_000;
    let reactor = Reactor::new().expect("a reactor");
    let Some(mut ring) = ring(&reactor) else { return };
    // Not of TCP: there, what the other side takes in a moment later makes room once more.
    let (near, _far) = UnixStream::pair().expect("a pair of sockets");
    near.set_nonblocking(true).expect("set");
    while net::send(&near, &[0; 1 << 16]).expect("sent").is_some() {}
    let sends = (0..MANY).map(|_| (&near, b"more".as_slice()));
    ring.flush(&mut Vec::new(), sends).expect("flushed");
    assert_eq!(ring.shorts().len(), MANY);
    assert!(ring.shorts().iter().map(|(index, _)| *index).eq(0..MANY));
}
