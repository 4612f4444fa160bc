//! What clients ask, and what servers answer: both follow from the keys alone, so that a run is the same every time
//! and every reply can be checked. Nothing here allocates once buffers have grown: what callgrind sees of
//! allocations is the proxy's.

use config::Protocol;
use std::io::Write as _;

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// One key.
    Get,
    /// Stores one key.
    Set,
    /// So many reads of one key for each that stores one.
    GetsPerSet(u64),
    /// So many keys at once: MGET, or memcached's `get` of several.
    Many(usize),
    /// Two keys of each of so many servers at once: MGET. Which key is whose, a [`crate::bare::Bare`] finds out.
    Spread(usize),
}

/// Makes one request after another.
#[derive(Debug)]
pub(crate) struct Asker {
    protocol: Protocol,
    ask: Ask,
    value_bytes: usize,
    asked: u64,
    key: usize,
    /// For [`Ask::Spread`]: two keys of each server that has so many.
    pairs: Vec<[usize; 2]>,
}

impl Asker {
    /// Askers with different numbers begin at different keys.
    pub(crate) fn new(protocol: Protocol, ask: Ask, value_bytes: usize, number: usize) -> Asker {
        Asker { protocol, ask, value_bytes, asked: 0, key: number * KEY_STEP, pairs: Vec::new() }
    }

    /// Appends the next request.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) {
        self.asked += 1;
        let set = match self.ask {
            Ask::Get => false,
            Ask::Set => true,
            Ask::GetsPerSet(gets) => self.asked.is_multiple_of(gets + 1),
            Ask::Many(count) => return self.many(count, out),
            Ask::Spread(servers) => return self.spread(servers, out),
        };
        let (key, bytes) = (self.key(), self.value_bytes);
        match (self.protocol, set) {
            (Protocol::Redis, false) => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                bulk(&key, out);
            }
            (Protocol::Redis, true) => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                bulk(&key, out);
                bulk_value(&key, bytes, out);
            }
            (Protocol::Memcache, false) => {
                put(&[b"get ", &key, b"\r\n"], out);
            }
            (Protocol::Memcache, true) => {
                put(&[b"set ", &key, b" 0 0 "], out);
                write!(out, "{bytes}\r\n").expect("a Vec takes all");
                value(&key, bytes, out);
            }
        }
    }

    fn many(&mut self, count: usize, out: &mut Vec<u8>) {
        let redis = self.protocol == Protocol::Redis;
        if redis {
            write!(out, "*{}\r\n$4\r\nMGET\r\n", count + 1).expect("a Vec takes all");
        } else {
            out.extend_from_slice(b"get");
        }
        for _ in 0..count {
            let key = self.key();
            if redis {
                bulk(&key, out);
            } else {
                put(&[b" ", &key], out);
            }
        }
        if !redis {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Has [`Ask::Spread`] know whose key is which.
    pub(crate) fn learn(&mut self, servers: usize, place: impl Fn(&[u8]) -> u32) {
        let mut first: Vec<Option<usize>> = vec![None; servers];
        for number in 0..20_000 {
            match &mut first[place(&key(number)) as usize] {
                Some(usize::MAX) => {}
                Some(one) => self.pairs.push([std::mem::replace(one, usize::MAX), number]),
                none => *none = Some(number),
            }
        }
    }

    /// A key of each of the next servers, and then another one of each.
    fn spread(&mut self, servers: usize, out: &mut Vec<u8>) {
        write!(out, "*{}\r\n$4\r\nMGET\r\n", servers * 2 + 1).expect("a Vec takes all");
        for which in 0..2 {
            for at in 0..servers {
                bulk(&key(self.pairs[(self.key + at) % self.pairs.len()][which]), out);
            }
        }
        self.key += servers;
    }

    /// Every key once, then again in the same order: what is warm stays so.
    fn key(&mut self) -> [u8; KEY_BYTES] {
        self.key = (self.key + 1) % KEYS;
        key(self.key)
    }
}

fn key(number: usize) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    write!(&mut key[..], "key:{number:09}").expect("it fits");
    key
}

/// Answers every complete request at the start of `bytes`, as a server of the protocol does that has every key; says
/// how many bytes these requests are.
pub(crate) fn answer(protocol: Protocol, bytes: &[u8], value_bytes: usize, out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    let answer = if protocol == Protocol::Redis { answer_redis } else { answer_memcache };
    while let Some(length) = answer(&bytes[used..], value_bytes, out) {
        used += length;
    }
    used
}

fn answer_redis(bytes: &[u8], value_bytes: usize, out: &mut Vec<u8>) -> Option<usize> {
    let mut reader = Reader { bytes, at: 0 };
    let keys = reader.number(b"*")? - 1;
    let command = reader.word()?;
    let first_key = reader.at;
    for _ in 0..keys {
        reader.word()?;
    }
    let used = std::mem::replace(&mut reader.at, first_key);
    match command {
        b"GET" => bulk_value(reader.word()?, value_bytes, out),
        b"SET" => out.extend_from_slice(b"+OK\r\n"),
        b"MGET" => {
            write!(out, "*{keys}\r\n").expect("a Vec takes all");
            for _ in 0..keys {
                bulk_value(reader.word()?, value_bytes, out);
            }
        }
        _ => panic!("a server was asked {:?}", String::from_utf8_lossy(bytes)),
    }
    Some(used)
}

fn answer_memcache(bytes: &[u8], value_bytes: usize, out: &mut Vec<u8>) -> Option<usize> {
    let mut reader = Reader { bytes, at: 0 };
    let line = reader.line()?;
    let mut words = line.split(|byte| *byte == b' ');
    match words.next() {
        Some(b"get") => {
            for key in words {
                put(&[b"VALUE ", key, b" 0 "], out);
                write!(out, "{value_bytes}\r\n").expect("a Vec takes all");
                value(key, value_bytes, out);
            }
            out.extend_from_slice(b"END\r\n");
        }
        Some(b"set") => {
            reader.take(words.next_back().map_or(0, parse))?;
            out.extend_from_slice(b"STORED\r\n");
        }
        _ => panic!("a server was asked {:?}", String::from_utf8_lossy(line)),
    }
    Some(reader.at)
}

/// Walks over a request that may not be whole.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A line without its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        self.at += end + 2;
        Some(&rest[..end])
    }

    /// The number of a line that begins with `kind`.
    fn number(&mut self, kind: &[u8]) -> Option<usize> {
        Some(parse(self.line()?.strip_prefix(kind).expect("the proxy keeps the protocol")))
    }

    /// A word with its length before it.
    fn word(&mut self) -> Option<&'a [u8]> {
        let length = self.number(b"$")?;
        self.take(length)
    }

    /// So many bytes, and the line end behind them.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + length + 2)?;
        self.at += length + 2;
        Some(&taken[..length])
    }
}

fn bulk(word: &[u8], out: &mut Vec<u8>) {
    write!(out, "${}\r\n", word.len()).expect("a Vec takes all");
    put(&[word, b"\r\n"], out);
}

fn bulk_value(key: &[u8], bytes: usize, out: &mut Vec<u8>) {
    write!(out, "${bytes}\r\n").expect("a Vec takes all");
    value(key, bytes, out);
}

/// A key's value, which is the key over and over, and a line end.
fn value(key: &[u8], bytes: usize, out: &mut Vec<u8>) {
    (0..bytes / key.len()).for_each(|_| out.extend_from_slice(key));
    put(&[&key[..bytes % key.len()], b"\r\n"], out);
}

fn put(parts: &[&[u8]], out: &mut Vec<u8>) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn parse(digits: &[u8]) -> usize {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).expect("the proxy keeps the protocol")
}

/// So many different keys: on 1,000 servers most have one.
const KEYS: usize = 1000;

/// From one asker's first key to the next one's; it has no factor in common with [`KEYS`].
const KEY_STEP: usize = 37;

/// `key:000000001`
const KEY_BYTES: usize = 13;
