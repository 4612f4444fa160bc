//! Servers whose bytes are not the protocol, or not an answer to anything.

use std::io;

use crate::script::{Peer, Step};

/// Answers every request with `bytes`, whatever they are.
///
/// # Errors
/// When no port can be bound.
pub fn reply(bytes: &[u8]) -> io::Result<Peer> {
    super::polite(bytes)
}

/// Sends `bytes` before anything was asked, then answers every request with `reply`.
///
/// A proxy that takes the first for the answer to its first request is off by one for everybody from then on.
///
/// # Errors
/// When no port can be bound.
pub fn unasked(bytes: &[u8], reply: &[u8]) -> io::Result<Peer> {
    let mut steps = vec![Step::send(bytes)];
    steps.extend((0..MANY).flat_map(|_| [Step::Requests(1), Step::send(reply)]));
    Peer::start(steps)
}

/// Answers every request with `reply` twice.
///
/// # Errors
/// When no port can be bound.
pub fn twice(reply: &[u8]) -> io::Result<Peer> {
    super::polite(&reply.repeat(2))
}

/// Replies that no redis server sends, each with what is wrong about it.
pub const REDIS: &[(&str, &[u8])] = &[
    ("no RESP type", b"hello\r\n"),
    ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("an empty line", b"\r\n"),
    ("zeros", &[0; 64]),
    ("no number for a length", b"$abc\r\nxyz\r\n"),
    ("a length below -1", b"$-7\r\n"),
    ("a length beyond 64 bits", b"$99999999999999999999999\r\n"),
    ("no CRLF after the data", b"$3\r\nabcdef\r\n"),
    ("an array of more than there is memory", b"*9223372036854775807\r\n"),
    ("a bulk of more than there is memory", b"$9223372036854775807\r\n"),
    ("no number for an integer", b":12x\r\n"),
    ("arrays in arrays without end", &deep()),
];

/// Replies that no memcached server sends, each with what is wrong about it.
pub const MEMCACHE: &[(&str, &[u8])] = &[
    ("no such word", b"HELLO\r\n"),
    ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("an empty line", b"\r\n"),
    ("zeros and a line end", b"\0\0\0\0\r\n"),
    ("a value without a length", b"VALUE a 0\r\n"),
    ("no number for a length", b"VALUE a 0 x\r\nabc\r\nEND\r\n"),
    ("a length beyond 64 bits", b"VALUE a 0 99999999999999999999999\r\n"),
    ("a value of more than there is memory", b"VALUE a 0 9223372036854775807\r\n"),
    ("no CRLF after the data", b"VALUE a 0 3\r\nabcdef\r\nEND\r\n"),
    ("a key nobody asked for", b"VALUE never-asked-for 0 1\r\nx\r\nEND\r\n"),
];

/// More openings of arrays than any parser should follow.
const fn deep() -> [u8; 4 * 2000] {
    let mut bytes = [0; 4 * 2000];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b"*1\r\n"[at % 4];
        at += 1;
    }
    bytes
}

/// Requests answered before the script ends and closes: more than tests send.
const MANY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn samples_are_sent_as_they_are() {
        for (name, bytes) in REDIS.iter().chain(MEMCACHE) {
            let peer = reply(bytes).expect("listens");
            let mut c = Client::connect(peer.addr()).expect("accepted");
            c.send(b"get a\r\n");
            assert_eq!(&c.exactly(bytes.len()), bytes, "{name}");
        }
    }

    #[test]
    fn speaks_unasked_and_too_often() {
        let peer = unasked(b"+LEFT OVER\r\n", b"+OK\r\n").expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        assert_eq!(c.resp_reply(), b"+LEFT OVER\r\n");
        assert_eq!(c.ask(&["a"]), b"+OK\r\n");

        let peer = twice(b"+OK\r\n").expect("listens");
        let mut c = Client::connect(peer.addr()).expect("accepted");
        assert_eq!((c.ask(&["a"]), c.resp_reply()), (b"+OK\r\n".to_vec(), b"+OK\r\n".to_vec()));
    }
}
