//! Servers that stop answering while their connection stays up: a stopped process, a long script, a lost
//! network.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::script::{Gate, Peer, Step};

/// Accepts and reads everything, and never answers.
///
/// # Errors
/// When no port can be bound.
pub fn silent() -> io::Result<Peer> {
    Peer::start(vec![Step::ReadToEnd])
}

/// Accepts and does not even read, so that the sender's buffers fill up.
///
/// # Errors
/// When no port can be bound.
pub fn deaf() -> io::Result<Peer> {
    Peer::start(vec![Step::Stall(Gate::new())])
}

/// Answers `count` requests with `reply`; once the gate opens, answers the later ones too.
///
/// # Errors
/// When no port can be bound.
pub fn after(count: usize, reply: &[u8], gate: &Gate) -> io::Result<Peer> {
    let mut steps = answers(count, reply);
    steps.push(Step::Stall(gate.clone()));
    steps.extend(answers(LATER, reply));
    Peer::start(steps)
}

/// Sends the first `cut` bytes of `reply`, and the rest once the gate opens; then every further reply whole.
///
/// # Errors
/// When no port can be bound.
pub fn mid_reply(reply: &[u8], cut: usize, gate: &Gate) -> io::Result<Peer> {
    let (first, rest) = reply.split_at(cut.min(reply.len()));
    let mut steps = vec![Step::Requests(1), Step::send(first), Step::Stall(gate.clone()), Step::send(rest)];
    steps.extend(answers(LATER, reply));
    Peer::start(steps)
}

/// A port on which the kernel takes connections that nobody will ever serve.
///
/// # Errors
/// When no port can be bound.
pub fn unaccepted() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn answers(count: usize, reply: &[u8]) -> Vec<Step> {
    (0..count).flat_map(|_| [Step::Requests(1), Step::send(reply)]).collect()
}

/// How many requests are answered after a stall before the script ends and closes: more than tests send.
const LATER: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use std::time::Duration;

    const OK: &[u8] = b"+OK\r\n";

    #[test]
    fn answers_then_stalls_then_goes_on() {
        let gate = Gate::new();
        let peer = after(2, OK, &gate).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        assert_eq!((c.ask(&["a"]), c.ask(&["b"])), (OK.to_vec(), OK.to_vec()));
        c.send(b"PING\r\n");
        assert!(c.silent_for(Duration::from_millis(20)));
        gate.open();
        assert_eq!(c.resp_reply(), OK);
    }

    #[test]
    fn stalls_within_a_reply() {
        let gate = Gate::new();
        let peer = mid_reply(OK, 2, &gate).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        c.send(b"PING\r\n");
        c.expect(b"+O");
        assert!(c.silent_for(Duration::from_millis(20)));
        gate.open();
        assert_eq!(c.exactly(3), b"K\r\n");
        assert_eq!(c.ask(&["again"]), OK);
    }

    #[test]
    fn silent_reads_and_deaf_does_not() {
        let peer = silent().expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        c.send(&[b'x'; 100_000]);
        peer.wait_received(100_000);
        assert!(c.silent_for(Duration::from_millis(5)));

        let peer = deaf().expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        c.set_deadline(Duration::from_millis(50));
        let whole = vec![b'x'; 64 << 20];
        assert!(c.try_send(&whole).is_err(), "the buffers of loopback hold less");
        assert_eq!(peer.received_in_all(), b"");
    }

    #[test]
    fn unaccepted_lets_clients_connect() {
        let listener = unaccepted().expect("listens");
        let mut c = Client::connect(listener.local_addr().expect("bound")).expect("taken by the kernel");
        c.send(b"PING\r\n");
        assert!(c.silent_for(Duration::from_millis(5)));
    }
}
