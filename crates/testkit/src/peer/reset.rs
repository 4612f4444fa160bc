//! Servers that end the connection: with a reset or in order, at any point of a conversation.

use std::io;

use crate::script::{Peer, Step};

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A TCP reset: what was under way is lost on both sides.
    Reset,
    /// An orderly close, as of a server that shuts down.
    Close,
}

/// Ends every connection as soon as it is accepted.
///
/// # Errors
/// When no port can be bound.
pub fn on_connect(end: End) -> io::Result<Peer> {
    Peer::start(vec![end.step()])
}

/// Answers `answered` requests with `reply`, reads one more and ends.
///
/// # Errors
/// When no port can be bound.
pub fn after(answered: usize, reply: &[u8], end: End) -> io::Result<Peer> {
    let mut steps: Vec<Step> = (0..answered).flat_map(|_| [Step::Requests(1), Step::send(reply)]).collect();
    steps.extend([Step::Requests(1), end.step()]);
    Peer::start(steps)
}

/// Sends the first `cut` bytes of `reply` and ends.
///
/// # Errors
/// When no port can be bound.
pub fn mid_reply(reply: &[u8], cut: usize, end: End) -> io::Result<Peer> {
    let first = reply.get(..cut).unwrap_or(reply);
    Peer::start(vec![Step::Requests(1), Step::send(first), end.step()])
}

/// Ends the first connection after one request without a reply, and answers on all later ones.
///
/// # Errors
/// When no port can be bound.
pub fn once(reply: &[u8], end: End) -> io::Result<Peer> {
    let well = vec![Step::Requests(1), Step::send(reply), Step::Again];
    Peer::start_each(vec![vec![Step::Requests(1), end.step()], well])
}

impl End {
    fn step(self) -> Step {
        match self {
            End::Reset => Step::Reset,
            End::Close => Step::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use std::io::ErrorKind;

    const OK: &[u8] = b"+OK\r\n";

    fn client(peer: &Peer) -> Client {
        Client::connect(peer.addr()).expect("accepted")
    }

    #[test]
    fn resets_and_closes_are_told_apart() {
        let peer = after(1, OK, End::Reset).expect("listens");
        let mut c = client(&peer);
        assert_eq!(c.ask(&["a"]), OK);
        c.send(b"PING\r\n");
        assert_eq!(c.try_to_end().expect_err("reset").kind(), ErrorKind::ConnectionReset);

        let peer = after(0, OK, End::Close).expect("listens");
        let mut c = client(&peer);
        c.send(b"PING\r\n");
        assert_eq!(c.to_end(), b"");
    }

    #[test]
    fn ends_on_connect() {
        for end in [End::Reset, End::Close] {
            client(&on_connect(end).expect("listens")).expect_closed();
        }
    }

    #[test]
    fn ends_within_a_reply() {
        let peer = mid_reply(OK, 3, End::Close).expect("listens");
        let mut c = client(&peer);
        c.send(b"PING\r\n");
        assert_eq!(c.to_end(), b"+OK");
    }

    #[test]
    fn once_then_well() {
        let peer = once(OK, End::Reset).expect("listens");
        let mut first = client(&peer);
        first.send(b"PING\r\n");
        first.expect_closed();
        let mut second = client(&peer);
        assert_eq!((second.ask(&["a"]), second.ask(&["b"])), (OK.to_vec(), OK.to_vec()));
    }
}
