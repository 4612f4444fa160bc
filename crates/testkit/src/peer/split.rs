//! Servers whose replies are right but arrive cut into segments at awkward places.

use std::io;
use std::time::Duration;

use crate::script::{Peer, Step};

/// Answers every request with `reply`, cut once after `cut` bytes.
///
/// # Errors
/// When no port can be bound.
pub fn at(reply: &[u8], cut: usize) -> io::Result<Peer> {
    let (first, rest) = reply.split_at(cut.min(reply.len()));
    Peer::start(vec![Step::Requests(1), piece(first), piece(rest), Step::Again])
}

/// Answers every request with `reply`, a byte per segment.
///
/// # Errors
/// When no port can be bound.
pub fn bytewise(reply: &[u8]) -> io::Result<Peer> {
    let bytes = Step::SendSlowly { bytes: reply.to_vec(), size: 1, pause: BETWEEN };
    Peer::start(vec![Step::Requests(1), bytes, Step::Again])
}

/// Waits for `count` requests and answers them all in one segment.
///
/// # Errors
/// When no port can be bound.
pub fn joined(reply: &[u8], count: usize) -> io::Result<Peer> {
    Peer::start(vec![Step::Requests(count), Step::send(reply.repeat(count)), Step::Again])
}

fn piece(bytes: &[u8]) -> Step {
    Step::SendSlowly { bytes: bytes.to_vec(), size: bytes.len().max(1), pause: BETWEEN }
}

/// Long enough for a reader on loopback to be woken between two pieces.
const BETWEEN: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    const REPLY: &[u8] = b"*2\r\n$3\r\nabc\r\n:1\r\n";

    #[test]
    fn replies_arrive_whole_wherever_they_are_cut() {
        for cut in 0..=REPLY.len() {
            let peer = at(REPLY, cut).expect("listens");
            let mut c = Client::connect(peer.addr()).expect("accepted");
            assert_eq!((c.ask(&["a"]), c.ask(&["b"])), (REPLY.to_vec(), REPLY.to_vec()), "cut at {cut}");
        }
        let peer = bytewise(REPLY).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        assert_eq!((c.ask(&["a"]), c.ask(&["b"])), (REPLY.to_vec(), REPLY.to_vec()));
    }

    #[test]
    fn joined_replies_wait_for_each_other() {
        let peer = joined(REPLY, 2).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        c.send(b"PING\r\n");
        assert!(c.silent_for(Duration::from_millis(10)));
        assert_eq!((c.ask(&["b"]), c.resp_reply()), (REPLY.to_vec(), REPLY.to_vec()));
    }
}
