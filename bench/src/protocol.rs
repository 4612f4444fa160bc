//! Requests as bytes, and a reader that checks each reply against what was stored. It accepts only the right
//! reply: an error line, another key's value or a wrong length all end the run.

use crate::data::{Data, KEY_BYTES, key_name};
use crate::scenario::{KEYS_PER_GET_MAX, Protocol};
use std::io::Write as _;

/// One request, by the numbers of its keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    /// GET of one key, MGET or multi-get of more (at most 128, all different).
    Get(&'a [u32]),
    /// SET of a key to its value.
    Set(u32),
}

/// A reply that is not the one expected; says what came instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

/// Appends a request's bytes to `out`.
pub(crate) fn encode(protocol: Protocol, request: Request<'_>, data: &Data, out: &mut Vec<u8>) {
    match (protocol, request) {
        (Protocol::Redis, Request::Get(&[key])) => {
            out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
            resp_key(key, out);
        }
        (Protocol::Redis, Request::Get(keys)) => {
            write!(out, "*{}\r\n$4\r\nMGET\r\n", keys.len() + 1).expect("a Vec takes all");
            keys.iter().for_each(|&key| resp_key(key, out));
        }
        (Protocol::Redis, Request::Set(key)) => {
            out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
            resp_key(key, out);
            parts(out, &[b"$", data.length.as_bytes(), b"\r\n", data.value(key), b"\r\n"]);
        }
        (Protocol::Memcached, Request::Get(keys)) => {
            out.extend_from_slice(b"get");
            keys.iter().for_each(|&key| parts(out, &[b" ", &key_name(key)]));
            out.extend_from_slice(b"\r\n");
        }
        (Protocol::Memcached, Request::Set(key)) => {
            let length = data.length.as_bytes();
            parts(out, &[b"set ", &key_name(key), b" 0 0 ", length, b"\r\n", data.value(key), b"\r\n"]);
        }
    }
}

fn resp_key(key: u32, out: &mut Vec<u8>) {
    const { assert!(KEY_BYTES == 13, "the length below is spelt out") };
    parts(out, &[b"$13\r\n", &key_name(key), b"\r\n"]);
}

fn parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Reads the reply to `request` from the front of `bytes`: its length, or `None` while some of it is missing.
///
/// # Errors
/// When it is not the reply that this request must get.
pub(crate) fn read_reply(
    protocol: Protocol,
    request: Request<'_>,
    data: &Data,
    bytes: &[u8],
) -> Result<Option<usize>, Wrong> {
    let mut reader = Reader { bytes, at: 0 };
    let read = match (protocol, request) {
        (Protocol::Redis, Request::Get(&[key])) => reader.bulk(data, key),
        (Protocol::Redis, Request::Get(keys)) => reader.array(data, keys),
        (Protocol::Redis, Request::Set(_)) => reader.exact_line(b"+OK"),
        (Protocol::Memcached, Request::Get(keys)) => reader.values(data, keys),
        (Protocol::Memcached, Request::Set(_)) => reader.exact_line(b"STORED"),
    };
    match read {
        Ok(()) => Ok(Some(reader.at)),
        Err(Stop::Partial) => Ok(None),
        Err(Stop::Wrong(what)) => Err(Wrong(what)),
    }
}

/// Why reading a reply stopped before its end.
enum Stop {
    Partial,
    Wrong(String),
}

/// Walks over a reply; `at` is the first byte not yet read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bulk(&mut self, data: &Data, key: u32) -> Result<(), Stop> {
        let line = self.line()?;
        if line.strip_prefix(b"$") != Some(data.length.as_bytes()) {
            return Err(unexpected(line, &format!("${} for key {key}", data.length)));
        }
        self.value(data, key)
    }

    fn array(&mut self, data: &Data, keys: &[u32]) -> Result<(), Stop> {
        let line = self.line()?;
        if number(line.strip_prefix(b"*").unwrap_or_default()) != Some(keys.len()) {
            return Err(unexpected(line, &format!("*{}", keys.len())));
        }
        keys.iter().try_for_each(|&key| self.bulk(data, key))
    }

    /// `VALUE key flags length`, data, ... `END`; a proxy may send the values in any order.
    fn values(&mut self, data: &Data, keys: &[u32]) -> Result<(), Stop> {
        const { assert!(KEYS_PER_GET_MAX <= u128::BITS, "a bit per key") };
        let mut missing: u128 = u128::MAX >> (128 - keys.len().clamp(1, 128));
        loop {
            let line = self.line()?;
            if line == b"END" {
                let wrong = || Stop::Wrong(format!("END with {} values missing", missing.count_ones()));
                return if missing == 0 { Ok(()) } else { Err(wrong()) };
            }
            let found =
                keys.iter().enumerate().find(|&(at, &key)| missing >> at & 1 == 1 && heads(line, key));
            let Some((at, &key)) = found else {
                return Err(unexpected(line, &format!("VALUE of one of the keys {keys:?} not yet sent")));
            };
            if line[6 + KEY_BYTES..].strip_prefix(b" 0 ") != Some(data.length.as_bytes()) {
                return Err(unexpected(line, &format!("flags 0 and length {}", data.length)));
            }
            missing &= !(1 << at);
            self.value(data, key)?;
        }
    }

    fn exact_line(&mut self, expected: &[u8]) -> Result<(), Stop> {
        let line = self.line()?;
        if line == expected { Ok(()) } else { Err(unexpected(line, &String::from_utf8_lossy(expected))) }
    }

    /// A line without its end.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if rest.len() < LINE_BYTES_MAX {
                Err(Stop::Partial)
            } else {
                Err(unexpected(window, "the end of a line"))
            };
        };
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or_else(|| unexpected(&rest[..end], "CR before LF"))
    }

    /// A key's value and the line end after it.
    fn value(&mut self, data: &Data, key: u32) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        let Some((value, end)) = rest.get(..data.value_bytes + 2).map(|it| it.split_at(data.value_bytes))
        else {
            return Err(Stop::Partial);
        };
        if value != data.value(key) {
            return Err(unexpected(value, &format!("the value of key {key}")));
        }
        if end != b"\r\n" {
            return Err(unexpected(end, "CR LF after a value"));
        }
        self.at += data.value_bytes + 2;
        Ok(())
    }
}

/// Whether a line begins with `VALUE key`.
fn heads(line: &[u8], key: u32) -> bool {
    line.strip_prefix(b"VALUE ").is_some_and(|rest| rest.starts_with(&key_name(key)))
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unexpected(got: &[u8], expected: &str) -> Stop {
    let shown = String::from_utf8_lossy(&got[..got.len().min(120)]);
    Stop::Wrong(format!("got '{shown}' instead of {expected}"))
}

/// Longer than any line of a right reply and than the error lines of servers and proxies.
const LINE_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Memcached, Redis};

    fn bulk(data: &Data, key: u32) -> Vec<u8> {
        [b"$8\r\n", data.value(key), b"\r\n"].concat()
    }

    fn value(data: &Data, key: u32) -> Vec<u8> {
        [b"VALUE ", &key_name(key)[..], b" 0 8\r\n", data.value(key), b"\r\n"].concat()
    }

    /// The reply is accepted whole, also with more behind it, and every beginning of it is partial.
    fn check_right(protocol: Protocol, request: Request<'_>, data: &Data, reply: &[u8]) {
        for end in 0..reply.len() {
            assert_eq!(read_reply(protocol, request, data, &reply[..end]), Ok(None), "{end} bytes");
        }
        let more = [reply, b"$8\r\n"].concat();
        assert_eq!(read_reply(protocol, request, data, &more), Ok(Some(reply.len())));
    }

    fn check_wrong(protocol: Protocol, request: Request<'_>, data: &Data, reply: &[u8], says: &str) {
        let Err(Wrong(text)) = read_reply(protocol, request, data, reply) else {
            panic!("accepted {:?}", String::from_utf8_lossy(reply));
        };
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn right_replies() {
        let data = Data::new(9, 8);
        check_right(Redis, Request::Get(&[3]), &data, &bulk(&data, 3));
        check_right(Redis, Request::Set(3), &data, b"+OK\r\n");
        let array = [b"*2\r\n".to_vec(), bulk(&data, 5), bulk(&data, 2)].concat();
        check_right(Redis, Request::Get(&[5, 2]), &data, &array);
        check_right(Memcached, Request::Set(3), &data, b"STORED\r\n");
        let one = [value(&data, 3), b"END\r\n".to_vec()].concat();
        check_right(Memcached, Request::Get(&[3]), &data, &one);
        let other_order = [value(&data, 5), value(&data, 2), b"END\r\n".to_vec()].concat();
        check_right(Memcached, Request::Get(&[2, 5]), &data, &other_order);
    }

    #[test]
    fn wrong_replies() {
        let data = Data::new(9, 8);
        check_wrong(Redis, Request::Get(&[3]), &data, &bulk(&data, 4), "the value of key 3");
        check_wrong(Redis, Request::Get(&[3]), &data, b"$-1\r\n", "'$-1'");
        check_wrong(Redis, Request::Get(&[3]), &data, b"-ERR down\r\n", "-ERR down");
        check_wrong(Redis, Request::Set(3), &data, b"-ERR down\r\n", "-ERR down");
        check_wrong(Redis, Request::Set(3), &data, b"+OK\n", "CR before LF");
        check_wrong(Redis, Request::Set(3), &data, &[b'x'; LINE_BYTES_MAX], "end of a line");
        let swapped = [b"*2\r\n".to_vec(), bulk(&data, 2), bulk(&data, 5)].concat();
        check_wrong(Redis, Request::Get(&[5, 2]), &data, &swapped, "the value of key 5");
        check_wrong(Redis, Request::Get(&[5, 2]), &data, b"*1\r\n", "*2");
        check_wrong(Memcached, Request::Get(&[3]), &data, b"END\r\n", "1 values missing");
        check_wrong(Memcached, Request::Get(&[3]), &data, &value(&data, 4), "one of the keys");
        let twice = [value(&data, 3), value(&data, 3)].concat();
        check_wrong(Memcached, Request::Get(&[3, 4]), &data, &twice, "not yet sent");
        check_wrong(Memcached, Request::Set(3), &data, b"SERVER_ERROR Host is down\r\n", "SERVER_ERROR");
    }

    #[test]
    fn requests() {
        let data = Data::new(9, 8);
        let check = |protocol, request, expected: &[u8]| {
            let mut out = Vec::new();
            encode(protocol, request, &data, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
        };
        check(Redis, Request::Get(&[3]), b"*2\r\n$3\r\nGET\r\n$13\r\nkey:000000003\r\n");
        let mget = b"*3\r\n$4\r\nMGET\r\n$13\r\nkey:000000003\r\n$13\r\nkey:000000004\r\n";
        check(Redis, Request::Get(&[3, 4]), mget);
        let set = [b"*3\r\n$3\r\nSET\r\n$13\r\nkey:000000003\r\n$8\r\n", data.value(3), b"\r\n"].concat();
        check(Redis, Request::Set(3), &set);
        check(Memcached, Request::Get(&[3, 4]), b"get key:000000003 key:000000004\r\n");
        let set = [b"set key:000000003 0 0 8\r\n", data.value(3), b"\r\n"].concat();
        check(Memcached, Request::Set(3), &set);
    }
}
