//! Servers that answer or read, but by drops.

use std::io;
use std::time::Duration;

use crate::script::{Peer, Step};

/// Answers every request with `reply`, `size` bytes at a time, pausing before each piece.
///
/// # Errors
/// When no port can be bound.
pub fn reply(reply: &[u8], size: usize, pause: Duration) -> io::Result<Peer> {
    let slowly = Step::SendSlowly { bytes: reply.to_vec(), size, pause };
    Peer::start(vec![Step::Requests(1), slowly, Step::Again])
}

/// Reads at most `size` bytes at a time, pausing before each read, and never answers.
///
/// # Errors
/// When no port can be bound.
pub fn reader(size: usize, pause: Duration) -> io::Result<Peer> {
    Peer::start(vec![Step::ReadSlowly { size, pause }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use std::time::Instant;

    #[test]
    fn reply_comes_whole_but_late() {
        let peer = reply(b"$5\r\nhello\r\n", 1, Duration::from_millis(2)).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        let start = Instant::now();
        assert_eq!(c.ask(&["GET", "a"]), b"$5\r\nhello\r\n");
        // park_timeout may return early on a stray wake-up, so ask for half of the 11 pauses.
        assert!(start.elapsed() > Duration::from_millis(10));
        assert_eq!(c.ask(&["GET", "a"]), b"$5\r\nhello\r\n");
    }

    #[test]
    fn reader_gets_everything_in_the_end() {
        let peer = reader(7, Duration::from_micros(100)).expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        c.send(&[b'x'; 500]);
        peer.wait_received(500);
        assert_eq!(peer.received(0), [b'x'; 500]);
    }
}
