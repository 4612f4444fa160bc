//! What a server holds and how it answers. Answers bear a stamp wherever the protocol has room for one: the
//! key, and the number of the request that asked, so that a reply proves whose it is.
//!
//! Keys are of three kinds, told by their first letter behind a hash tag:
//! - `k`: holds what was last stored, and every stored value names its key and its request;
//! - `n`: a counter;
//! - `q`: a question; it holds nothing, and the answer is a stamp.

use crate::shapes;
use crate::shelf::{Shelf, is_shared};
use std::collections::BTreeMap;
use wire::args::ArgView;
use wire::memcache::{Request, Verb};
use wire::resp::encode;

/// What happened on all servers: each token names one request's work on one server and may come up once.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    done: BTreeMap<String, u32>,
    /// Stores that were carried out after a newer one of the same client.
    pub(crate) overtaken: Vec<String>,
    /// Of each client by its number, a key of one database that was asked for in another.
    pub(crate) astray: BTreeMap<usize, String>,
}

impl Journal {
    fn run(&mut self, token: String) -> Result<u32, String> {
        let count = self.done.entry(token.clone()).or_default();
        *count += 1;
        if *count > 1 { Err(format!("a write reached a server twice: {token}")) } else { Ok(*count) }
    }

    /// A key is asked for in database `db`, where the pool's is `own`.
    pub(crate) fn note_database(&mut self, key: &[u8], db: u32, own: u32) {
        let name = text(bare(key));
        let (of, number) = match name.split_once(".d") {
            Some((name, db)) => (name.to_owned(), db.parse().unwrap_or(u32::MAX)),
            None => (name, own),
        };
        let client = of.get(1..).and_then(|of| of.split('.').next()?.parse().ok());
        if let (true, Some(client)) = (number != db, client) {
            self.astray.insert(client, format!("{} was asked for in database {db}", text(key)));
        }
    }

    /// How much was done.
    pub(crate) fn len(&self) -> usize {
        self.done.len()
    }

    /// How often that was done.
    pub(crate) fn count(&self, token: &str) -> u32 {
        self.done.get(token).copied().unwrap_or(0)
    }
}

/// One server's data.
#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    /// A deletion may be the proxy's own: it proves nothing, and may come again.
    forgiving: bool,
    /// Its place in the pool.
    server: usize,
    /// It answers a get that is of several requests from the last to the first.
    backwards: bool,
    /// Whether it was asked a get that is of several requests.
    pub(crate) asked_joined: bool,
    /// The database that is asked, and the pool's own. Keys bear the number of theirs, so that one map will do.
    pub(crate) db: (u32, u32),
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    counters: BTreeMap<Vec<u8>, i64>,
    /// Of each client, the newest request that stored something.
    newest: BTreeMap<Vec<u8>, u32>,
    /// What guests share.
    pub(crate) shelf: Shelf,
}

/// The part of a key behind its hash tag.
pub(crate) fn bare(key: &[u8]) -> &[u8] {
    match key.iter().position(|byte| *byte == b'}') {
        Some(close) if key.starts_with(b"{") => &key[close + 1..],
        _ => key,
    }
}

fn is_question(key: &[u8]) -> bool {
    bare(key).starts_with(b"q")
}

/// What reading a question answers.
pub(crate) fn stamp(key: &[u8]) -> Vec<u8> {
    [b"v:".as_slice(), key].concat()
}

/// What EXISTS and its like count a question as.
pub(crate) fn weight(key: &[u8]) -> i64 {
    let hash = key.iter().fold(17u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    1 + (hash % 99_999) as i64
}

/// What DBSIZE answers on a server: a digit of its own place.
pub(crate) fn size(server: usize) -> i64 {
    7 * 10i64.pow(server as u32)
}

/// The same in another database than the pool's own.
pub(crate) fn size_in(server: usize, db: u32, own: u32) -> i64 {
    let digit = if db == own { 7 } else { db % 5 + 1 };
    i64::from(digit) * 10i64.pow(server as u32)
}

/// Whether a server says it knows a script.
pub(crate) fn knows(server: usize, script: &[u8]) -> bool {
    (weight(script) + server as i64) % 3 != 0
}

/// The part of a stored value that names its key and its request.
fn head(value: &[u8]) -> String {
    let mut parts = value.split(|byte| *byte == b'#');
    let (key, request) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    format!("{}#{}", key.escape_ascii(), request.escape_ascii())
}

/// The number of the request that stored a value.
fn number_of(value: &[u8]) -> Option<u32> {
    let digits = value.split(|byte| *byte == b'#').nth(1)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Keyspace {
    /// An empty one at this place in the pool.
    pub(crate) fn new(server: usize, forgiving: bool, backwards: bool) -> Keyspace {
        Keyspace { server, forgiving, backwards, ..Keyspace::default() }
    }

    fn read(&self, key: &[u8]) -> Option<Vec<u8>> {
        if is_question(key) { Some(stamp(key)) } else { self.values.get(key).cloned() }
    }

    fn has(&self, key: &[u8]) -> i64 {
        if is_question(key) { weight(key) } else { i64::from(self.values.contains_key(key)) }
    }

    fn remove(&mut self, key: &[u8], journal: &mut Journal) -> Result<i64, String> {
        if is_question(key) {
            let token = format!("del {}", text(key));
            if !self.forgiving || journal.count(&token) == 0 {
                journal.run(token)?;
            }
            return Ok(weight(key));
        }
        Ok(i64::from(self.values.remove(key).is_some()))
    }

    fn store(&mut self, key: &[u8], value: &[u8], journal: &mut Journal) -> Result<(), String> {
        journal.run(format!("set {}", head(value)))?;
        if !value.starts_with(&[key, b"#"].concat()) {
            return Err(format!("{} is stored under {}", text(value), text(key)));
        }
        self.values.insert(key.to_vec(), value.to_vec());
        let client = bare(key).split(|byte| *byte == b'.').next().unwrap_or(&[]);
        let newest = self.newest.entry(client.to_vec()).or_default();
        let number = number_of(value).unwrap_or(0);
        if number < *newest {
            journal.overtaken.push(format!("set {}", head(value)));
        }
        *newest = number.max(*newest);
        Ok(())
    }

    /// What the proxy itself deletes before the server serves again.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        if is_shared(key) {
            return self.shelf.forget(Some(key));
        }
        self.values.remove(key);
        self.counters.remove(key);
    }

    /// All goes.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.counters.clear();
        self.shelf.forget(None);
    }

    /// Answers a redis command, on a connection of RESP3 or not. Hands the keys it names to `key`.
    pub(crate) fn redis(
        &mut self,
        args: ArgView<'_>,
        resp3: bool,
        journal: &mut Journal,
        key: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match (args.get(0), args.len()) {
            // The proxy's own words; clients write unlink in other letters.
            (b"PEXPIRE", 4) if args.get(3) == b"LT" => {
                key(args.get(1));
                encode::integer(1, out);
                return Ok(());
            }
            (b"INFO", 2) => {
                encode::bulk(b"# Server\r\nrun_id:abc\r\n", out);
                return Ok(());
            }
            // Behind the deletes that it owes, for a client that is about to speak another protocol.
            (b"PING", 1) => {
                encode::simple(b"PONG", out);
                return Ok(());
            }
            (b"UNLINK", 2) => {
                key(args.get(1));
                self.forget(args.get(1));
                encode::integer(1, out);
                return Ok(());
            }
            _ => {}
        }
        if shapes::is_resp3(args.get(0)) != resp3 {
            return Err(format!("a client of the other protocol sent {}", text(args.bytes())));
        }
        let name = args.get(0).to_ascii_uppercase();
        match name.as_slice() {
            b"GET" => {
                key(args.get(1));
                shapes::value(args.get(1), self.read(args.get(1)).as_deref(), resp3, out);
            }
            b"GETRANGE" => {
                key(args.get(1));
                shapes::text(&format!("r:{}:{}", text(args.get(1)), text(args.get(2))), resp3, out);
            }
            b"LRANGE" => {
                key(args.get(1));
                shapes::range(args.get(1), args.get(2), resp3, out);
            }
            b"HGETALL" => {
                key(args.get(1));
                shapes::fields(args.get(1), resp3, out);
            }
            b"SMEMBERS" => {
                key(args.get(1));
                shapes::members(args.get(1), resp3, out);
            }
            b"ZSCORE" => {
                key(args.get(1));
                shapes::score(args.get(1), resp3, out);
            }
            b"SET" => {
                key(args.get(1));
                self.store(args.get(1), args.get(2), journal)?;
                encode::simple(b"OK", out);
            }
            b"INCR" => {
                key(args.get(1));
                let counter = self.counters.entry(args.get(1).to_vec()).or_default();
                *counter += 1;
                encode::integer(*counter, out);
            }
            b"INCRBY" => {
                key(args.get(1));
                let count = journal.run(format!("incr {} {}", text(args.get(1)), text(args.get(2))))?;
                encode::integer(number(args.get(2))? * 10 + i64::from(count), out);
            }
            b"DEL" | b"UNLINK" | b"EXISTS" | b"TOUCH" => {
                let removes = matches!(name.as_slice(), b"DEL" | b"UNLINK");
                let mut sum = 0;
                for name in args.iter().skip(1) {
                    key(name);
                    sum += if removes { self.remove(name, journal)? } else { self.has(name) };
                }
                encode::integer(sum, out);
            }
            b"MGET" => {
                encode::array_header(args.len() - 1, out);
                for name in args.iter().skip(1) {
                    key(name);
                    shapes::value(name, self.read(name).as_deref(), resp3, out);
                }
            }
            b"MSET" => {
                for pair in 0..(args.len() - 1) / 2 {
                    key(args.get(1 + 2 * pair));
                    self.store(args.get(1 + 2 * pair), args.get(2 + 2 * pair), journal)?;
                }
                encode::simple(b"OK", out);
            }
            b"EVAL" => {
                let keys = number(args.get(2))? as usize;
                let mut answer = b"e:".to_vec();
                for name in args.iter().skip(3).take(keys) {
                    key(name);
                    answer.extend_from_slice(name);
                    answer.push(b':');
                }
                answer.extend_from_slice(args.get(3 + keys));
                journal.run(format!("eval {}", text(args.get(3 + keys))))?;
                encode::bulk(&answer, out);
            }
            b"LPOP" => {
                key(args.get(1));
                shapes::error(&format!("WRONGTYPE {}", text(args.get(1))), resp3, out);
            }
            b"DBSIZE" => encode::integer(size_in(self.server, self.db.0, self.db.1), out),
            b"FLUSHALL" => encode::simple(b"OK", out),
            b"KEYS" => shapes::names(&text(args.get(1)), &[self.server], true, resp3, out),
            b"SCAN" => {
                encode::array_header(2, out);
                encode::bulk(b"0", out);
                shapes::page(&text(args.get(3)), self.server, out);
            }
            b"FUNCTION" => encode::bulk(format!("functions@{}", self.server).as_bytes(), out),
            b"SCRIPT" => self.script(args, resp3, journal, out)?,
            _ => return Err(format!("a server was sent {}", text(args.bytes()))),
        }
        Ok(())
    }

    fn script(
        &mut self,
        args: ArgView<'_>,
        resp3: bool,
        journal: &mut Journal,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match args.get(1).to_ascii_uppercase().as_slice() {
            b"LOAD" => {
                journal.run(format!("script {}@{}", text(args.get(2)), self.server))?;
                encode::bulk(&[b"sha:", args.get(2)].concat(), out);
            }
            b"EXISTS" => {
                encode::array_header(args.len() - 2, out);
                for script in args.iter().skip(2) {
                    encode::integer(i64::from(knows(self.server, script)), out);
                }
            }
            b"SHOW" if self.server == 0 => encode::bulk(&[b"show:", args.get(2)].concat(), out),
            b"SHOW" => shapes::error("NOSCRIPT No matching script", resp3, out),
            _ => return Err(format!("a server was sent {}", text(args.bytes()))),
        }
        Ok(())
    }

    /// Answers a memcached command. Hands the keys it names to `key`.
    pub(crate) fn memcache(
        &mut self,
        request: &Request,
        args: ArgView<'_>,
        journal: &mut Journal,
        key: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if request.noreply {
            return Err(format!("noreply reached a server: {}", text(args.bytes())));
        }
        let first = request.first_key as usize;
        let name = args.get(first);
        let data = request.data.map_or(&[][..], |data| data.of(args.bytes()));
        match request.verb {
            Verb::Get | Verb::Gets | Verb::Gat | Verb::Gats => {
                let unique = matches!(request.verb, Verb::Gets | Verb::Gats);
                let mut asks = by_ask(args.iter().skip(first));
                self.asked_joined |= asks.len() > 1;
                let clear = args.iter().skip(first).all(|name| ask_of(name).is_some());
                if self.backwards && clear {
                    asks.reverse();
                }
                for name in asks.concat() {
                    key(name);
                    if let Some(value) = self.read(name) {
                        block(name, &value, unique, out);
                    }
                }
                out.extend_from_slice(b"END\r\n");
            }
            Verb::Set => {
                key(name);
                self.store(name, data, journal)?;
                out.extend_from_slice(b"STORED\r\n");
            }
            Verb::Add => {
                key(name);
                journal.run(format!("add {}", text(name)))?;
                out.extend_from_slice(b"NOT_STORED\r\n");
            }
            Verb::Incr | Verb::Decr => {
                key(name);
                let count = journal.run(format!("incr {} {}", text(name), text(args.get(2))))?;
                let answer = number(args.get(2))? * 10 + i64::from(count);
                out.extend_from_slice(format!("{answer}\r\n").as_bytes());
            }
            Verb::Delete => {
                key(name);
                let found = self.remove(name, journal)? > 0;
                out.extend_from_slice(if found { b"DELETED\r\n" } else { b"NOT_FOUND\r\n" });
            }
            Verb::Touch => {
                key(name);
                journal.run(format!("touch {}", text(name)))?;
                out.extend_from_slice(b"TOUCHED\r\n");
            }
            Verb::Version => out.extend_from_slice(b"VERSION sim\r\n"),
            Verb::Verbosity | Verb::FlushAll => out.extend_from_slice(b"OK\r\n"),
            Verb::Stats if args.len() == 1 => {
                out.extend_from_slice(
                    format!("STAT pid 7\r\nSTAT items {}\r\nEND\r\n", size(self.server)).as_bytes(),
                );
            }
            Verb::Stats => {
                out.extend_from_slice(
                    format!("STAT {} {}\r\nEND\r\n", text(args.get(1)), self.server).as_bytes(),
                );
            }
            _ => return Err(format!("a server was sent {}", text(args.bytes()))),
        }
        Ok(())
    }
}

/// Keys by the request that they are of; those that do not tell are with those before them.
fn by_ask<'k>(keys: impl Iterator<Item = &'k [u8]>) -> Vec<Vec<&'k [u8]>> {
    let (mut asks, mut last) = (Vec::new(), None);
    for key in keys {
        let ask = ask_of(key);
        if asks.is_empty() || (last.is_some() && ask.is_some() && ask != last) {
            asks.push(Vec::new());
        }
        last = ask.or(last);
        asks.last_mut().expect("there is one now").push(key);
    }
    asks
}

/// Which request of which client a key is made for, if it is: `7.17` of `{t1}q7.17.0`.
fn ask_of(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|byte| *byte == b'q')?;
    let end = key.iter().rposition(|byte| *byte == b'.')?;
    key.get(start + 1..end)
}

/// A VALUE block as the model's servers write it.
pub(crate) fn block(key: &[u8], value: &[u8], unique: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.extend_from_slice(format!(" 0 {}{}\r\n", value.len(), if unique { " 7" } else { "" }).as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(bytes: &[u8]) -> Result<i64, String> {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| format!("a server was sent {} for a number", text(bytes)))
}
