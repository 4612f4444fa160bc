//! Reads replies of both protocols, strictly: what is neither whole nor the beginning of a reply is refused.
//! It knows shapes only; whether a reply is right, the ledger says.

use crate::scenario::Protocol;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// `+OK`, `STORED`, `DELETED`: the line.
    Word(&'a [u8]),
    /// A line that tells of an error, without its end.
    Error(&'a [u8]),
    /// `:5`.
    Number(u64),
    /// A value or nothing: one for GET, several for MGET, in the order of the keys.
    Values(Vec<Option<&'a [u8]>>),
    /// memcached's values, each with the key it names.
    Named(Vec<(&'a [u8], &'a [u8])>),
}

/// Why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More has to come.
    Partial,
    /// No reply begins like that.
    Malformed(String),
}

/// Reads the reply at the front of `bytes`, and its length.
///
/// # Errors
/// When it is not whole, or none.
pub(crate) fn read(protocol: Protocol, bytes: &[u8]) -> Result<(Reply<'_>, usize), Stop> {
    let mut reader = Reader { bytes, at: 0 };
    let reply = match protocol {
        Protocol::Redis => reader.redis()?,
        Protocol::Memcached => reader.memcached()?,
    };
    Ok((reply, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn redis(&mut self) -> Result<Reply<'a>, Stop> {
        let line = self.line()?;
        let Some((kind, rest)) = line.split_first() else { return Err(malformed(line)) };
        match kind {
            b'+' => Ok(Reply::Word(line)),
            b'-' => Ok(Reply::Error(line)),
            b':' => number(rest).map(Reply::Number).ok_or_else(|| malformed(line)),
            b'$' => Ok(Reply::Values(vec![self.bulk(line)?])),
            b'*' => {
                let count =
                    number(rest).filter(|&count| count <= VALUES_MAX).ok_or_else(|| malformed(line))?;
                let values = (0..count).map(|_| self.line().and_then(|line| self.bulk(line)));
                values.collect::<Result<_, _>>().map(Reply::Values)
            }
            _ => Err(malformed(line)),
        }
    }

    /// What follows the line `$LENGTH`.
    fn bulk(&mut self, line: &'a [u8]) -> Result<Option<&'a [u8]>, Stop> {
        match line.strip_prefix(b"$") {
            Some(b"-1") => Ok(None),
            Some(length) => self.value(number(length).ok_or_else(|| malformed(line))?).map(Some),
            None => Err(malformed(line)),
        }
    }

    fn memcached(&mut self) -> Result<Reply<'a>, Stop> {
        let mut values = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(rest) = line.strip_prefix(b"VALUE ") {
                let mut words = rest.split(|&byte| byte == b' ');
                let (Some(key), Some(b"0"), Some(length), None) =
                    (words.next(), words.next(), words.next(), words.next())
                else {
                    return Err(malformed(line));
                };
                values.push((key, self.value(number(length).ok_or_else(|| malformed(line))?)?));
                continue;
            }
            let is_error =
                [&b"SERVER_ERROR"[..], b"CLIENT_ERROR", b"ERROR"].iter().any(|it| line.starts_with(it));
            return match line {
                b"END" => Ok(Reply::Named(values)),
                // An error after values: what came before it does not count.
                _ if is_error => Ok(Reply::Error(line)),
                b"STORED" | b"DELETED" | b"NOT_FOUND" if values.is_empty() => Ok(Reply::Word(line)),
                _ => Err(malformed(line)),
            };
        }
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            return Err(if rest.len() < LINE_BYTES_MAX { Stop::Partial } else { malformed(window) });
        };
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or_else(|| malformed(&rest[..end]))
    }

    fn value(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let length = length.min(usize::MAX as u64 / 2) as usize;
        if length > VALUE_BYTES_MAX {
            return Err(Stop::Malformed(format!("a value of {length} bytes")));
        }
        let Some((value, end)) = rest.get(..length + 2).map(|it| it.split_at(length)) else {
            return Err(Stop::Partial);
        };
        if end != b"\r\n" {
            return Err(malformed(value));
        }
        self.at += length + 2;
        Ok(value)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn malformed(got: &[u8]) -> Stop {
    Stop::Malformed(format!("no reply: '{}'", String::from_utf8_lossy(&got[..got.len().min(120)])))
}

/// Longer than any line that may come.
const LINE_BYTES_MAX: usize = 4_096;
/// Above every value that is ever sent.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Above the keys of any request.
const VALUES_MAX: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Memcached, Redis};

    fn check(protocol: Protocol, bytes: &[u8], expected: &Reply<'_>) {
        for end in 0..bytes.len() {
            assert_eq!(read(protocol, &bytes[..end]), Err(Stop::Partial), "{end} bytes");
        }
        let more = [bytes, b"+"].concat();
        assert_eq!(read(protocol, &more), Ok((expected.clone(), bytes.len())));
    }

    #[test]
    fn whole_replies() {
        check(Redis, b"+OK\r\n", &Reply::Word(b"+OK"));
        check(Redis, b"-ERR x\r\n", &Reply::Error(b"-ERR x"));
        check(Redis, b":12\r\n", &Reply::Number(12));
        check(Redis, b"$2\r\n\r\n\r\n", &Reply::Values(vec![Some(b"\r\n")]));
        check(Redis, b"*2\r\n$-1\r\n$1\r\na\r\n", &Reply::Values(vec![None, Some(b"a")]));
        check(Memcached, b"STORED\r\n", &Reply::Word(b"STORED"));
        check(Memcached, b"END\r\n", &Reply::Named(vec![]));
        check(Memcached, b"VALUE k 0 2\r\nab\r\nEND\r\n", &Reply::Named(vec![(b"k", b"ab")]));
        check(Memcached, b"SERVER_ERROR x\r\n", &Reply::Error(b"SERVER_ERROR x"));
    }

    #[test]
    fn what_is_none() {
        let rows: [(Protocol, &[u8]); 8] = [
            (Redis, b"OK\r\n"),
            (Redis, b"+OK\n"),
            (Redis, b"$1\r\nab\r\n"),
            (Redis, b"*1\r\n+OK\r\n"),
            (Redis, b"$x\r\n"),
            (Memcached, b"VALUE k 0 1\r\nab\r\n"),
            (Memcached, b"VALUE k 0 1\r\na\r\nSTORED\r\n"),
            (Memcached, b"+OK\r\n"),
        ];
        for (protocol, bytes) in rows {
            assert!(matches!(read(protocol, bytes), Err(Stop::Malformed(_))), "{bytes:?}");
        }
    }
}
