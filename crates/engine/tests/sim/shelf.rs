//! What guests share on one server: keys that are watched, lists that are waited for, channels.
//!
//! Keys are told by their first letter behind a hash tag: `w` holds a value, `l` a list. Every value, element, message and wait
//! bears the number of the request that it came with.

use crate::cache::Told;
use crate::ledger::{Block, Done, Ledger, Message, Outcome};
use crate::model::bare;
use crate::shapes;
use engine::id::ConnId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::resp::encode;

type Words = Vec<Vec<u8>>;

/// What a server's connection is in the middle of.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) multi: Option<Multi>,
    /// It waits for an element until then.
    pub(crate) waits_until: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Multi {
    queue: Vec<Words>,
    pub(crate) spoilt: bool,
}

/// Which connection asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) conn: ConnId,
    pub(crate) resp3: bool,
    pub(crate) now: u64,
}

/// Bytes for another connection than the one that asked.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) to: ConnId,
    pub(crate) bytes: Vec<u8>,
    /// The message that it is, and the topic by which it came; otherwise what the connection waited for.
    pub(crate) message: Option<(u32, Topic)>,
    /// It is of keys that have changed.
    pub(crate) news: bool,
}

/// A channel, or (true) a pattern.
pub(crate) type Topic = (bool, Vec<u8>);

#[derive(Debug)]
struct Waiter {
    caller: Caller,
    keys: Words,
    /// Where the element goes, if it stays on the server.
    dest: Option<Vec<u8>>,
    left: bool,
    id: u32,
}

#[derive(Debug)]
struct Watch {
    conn: ConnId,
    key: Vec<u8>,
    dirty: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    lists: BTreeMap<Vec<u8>, VecDeque<Vec<u8>>>,
    /// How often each key was changed.
    changes: BTreeMap<Vec<u8>, u64>,
    waiters: Vec<Waiter>,
    watches: Vec<Watch>,
    pub(crate) subscribed: Vec<(ConnId, Topic)>,
    published: u64,
    pub(crate) mail: Vec<Mail>,
    pub(crate) told: Told,
}

/// Whether a request is a guest's, or the proxy's for one.
pub(crate) fn is_guests(name: &[u8], key: &[u8]) -> bool {
    const WORDS: [&[u8]; 15] = [
        b"MULTI",
        b"EXEC",
        b"WATCH",
        b"UNWATCH",
        b"BLPOP",
        b"BRPOP",
        b"BLMOVE",
        b"RPUSH",
        b"LPUSH",
        b"PUBLISH",
        b"SUBSCRIBE",
        b"UNSUBSCRIBE",
        b"PSUBSCRIBE",
        b"PUNSUBSCRIBE",
        b"PING",
    ];
    WORDS.contains(&name) || (matches!(name, b"GET" | b"SET" | b"LPOP") && is_shared(key))
}

/// Whether a key is one that guests share.
pub(crate) fn is_shared(key: &[u8]) -> bool {
    matches!(bare(key).first(), Some(b'w' | b'l'))
}

/// Whether a pattern of guests fits.
pub(crate) fn fits((pattern, name): &Topic, channel: &[u8]) -> bool {
    match name.strip_suffix(b"*") {
        Some(start) if *pattern => channel.starts_with(start),
        _ => name == channel,
    }
}

/// The number behind the last of these marks.
fn number(text: &[u8], marks: &[u8]) -> Result<u32, String> {
    let digits = text.rsplit(|byte| marks.contains(byte)).next().unwrap_or(&[]);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| format!("no number: {}", text.escape_ascii()))
}

/// A wait's end and its number, out of what the client said: as many nanoseconds, or a power of ten times nothing.
fn wait(text: &[u8], now: u64) -> Result<(u64, u32), String> {
    match text.strip_prefix(b"0e") {
        Some(_) => Ok((u64::MAX, number(text, b"e")?)),
        None => {
            let nanos = number(text, b".")?;
            Ok((now + u64::from(nanos / 1_000_000) * 1000, nanos % 1_000_000))
        }
    }
}

/// The same as a client says it.
pub(crate) fn wait_text(millis: Option<u32>, id: u32) -> Vec<u8> {
    match millis {
        Some(millis) => format!("0.{millis:03}{id:06}"),
        None => format!("0e{id}"),
    }
    .into_bytes()
}

impl Shelf {
    /// How often a key was changed.
    pub(crate) fn changes(&self, key: &[u8]) -> u64 {
        self.changes.get(key).copied().unwrap_or(0)
    }

    /// What a key holds, as GET answers it.
    pub(crate) fn value(&self, key: &[u8], resp3: bool, out: &mut Vec<u8>) {
        match self.values.get(key) {
            Some(value) => encode::bulk(value, out),
            None => encode::null(resp3, out),
        }
    }

    /// A connection is gone.
    pub(crate) fn part(&mut self, conn: ConnId) {
        self.waiters.retain(|waiter| waiter.caller.conn != conn);
        self.watches.retain(|watch| watch.conn != conn);
        self.subscribed.retain(|(other, _)| *other != conn);
        self.told.part(conn);
    }

    /// What is left of a connection's doings, when nobody needs it any more.
    pub(crate) fn left_of(&self, conn: ConnId) -> Option<String> {
        let waits = self.waiters.iter().find(|waiter| waiter.caller.conn == conn);
        let watches = self.watches.iter().find(|watch| watch.conn == conn);
        let listens = self.subscribed.iter().find(|(other, _)| *other == conn);
        waits
            .map(|waiter| format!("{waiter:?}"))
            .or(watches.map(|watch| format!("{watch:?}")))
            .or(listens.map(|own| format!("{own:?}")))
            .or(self.told.listens(conn).then(|| format!("to tell {conn:?} of keys")))
    }

    /// The proxy deletes a key, or (none) all.
    pub(crate) fn forget(&mut self, key: Option<&[u8]>) {
        let all: Words = match key {
            Some(key) => vec![key.to_vec()],
            None => self.values.keys().chain(self.lists.keys()).cloned().collect(),
        };
        if key.is_none() {
            self.told.flushed(&mut self.mail);
        }
        for key in all {
            if self.values.remove(&key).is_some() | self.lists.remove(&key).is_some() {
                self.touch(&key);
            }
        }
    }

    fn touch(&mut self, key: &[u8]) {
        self.told.changed(key, &mut self.mail);
        *self.changes.entry(key.to_vec()).or_default() += 1;
        self.watches.iter_mut().filter(|watch| watch.key == key).for_each(|watch| watch.dirty = true);
    }

    /// Answers a request.
    pub(crate) fn run(
        &mut self,
        (caller, server): (Caller, usize),
        side: &mut Side,
        words: Words,
        ledger: &mut Ledger,
        key: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let unfit = || format!("a server was sent {}", words.join(&b' ').escape_ascii());
        let name = words[0].to_ascii_uppercase();
        let proxys = [b"MULTI".as_slice(), b"EXEC", b"UNWATCH", b"PING"].contains(&words[0].as_slice())
            || name.ends_with(b"SUBSCRIBE");
        if !proxys && shapes::is_resp3(&words[0]) != caller.resp3 {
            return Err(format!("a client of the other protocol sent {}", unfit()));
        }
        match (name.as_slice(), side.multi.is_some()) {
            (b"MULTI", false) => {
                side.multi = Some(Multi::default());
                encode::simple(b"OK", out);
            }
            (b"EXEC", true) => {
                let multi = side.multi.take().unwrap_or_default();
                self.exec((caller, server), multi, ledger, out)?;
            }
            (b"EXEC", false) | (b"MULTI" | b"WATCH" | b"UNWATCH", true) => return Err(unfit()),
            (_, true) => {
                words
                    .iter()
                    .skip(1)
                    .filter(|word| is_shared(word) && !word.contains(&b'#'))
                    .for_each(|word| key(word));
                side.multi.get_or_insert_default().queue.push(words);
                encode::simple(b"QUEUED", out);
            }
            (b"WATCH", _) => {
                for name in &words[1..] {
                    key(name);
                    self.watches.push(Watch { conn: caller.conn, key: name.clone(), dirty: false });
                }
                encode::simple(b"OK", out);
            }
            (b"UNWATCH", _) => {
                self.watches.retain(|watch| watch.conn != caller.conn);
                encode::simple(b"OK", out);
            }
            (b"PING", _) if self.subscribed.iter().all(|(conn, _)| *conn != caller.conn) => {
                encode::simple(b"PONG", out);
            }
            (b"PING", _) => {
                encode::array_header(2, out);
                encode::bulk(b"pong", out);
                encode::bulk(b"", out);
            }
            (b"SUBSCRIBE" | b"PSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE", _) => {
                let [word, name] = &words[..] else { return Err(unfit()) };
                let topic = (caller.conn, (word[0].eq_ignore_ascii_case(&b'p'), name.clone()));
                if word.to_ascii_lowercase().windows(2).any(|two| two == b"un") {
                    self.subscribed.retain(|other| *other != topic);
                } else if !self.subscribed.contains(&topic) {
                    self.subscribed.push(topic);
                }
                let own = self.subscribed.iter().filter(|(conn, _)| *conn == caller.conn).count();
                encode::array_header(3, out);
                encode::bulk(&word.to_ascii_lowercase(), out);
                encode::bulk(name, out);
                encode::integer(own as i64, out);
            }
            _ => {
                words
                    .iter()
                    .skip(1)
                    .filter(|word| is_shared(word) && !word.contains(&b'#'))
                    .for_each(|word| key(word));
                if name == b"PUBLISH" {
                    key(&words[1]);
                }
                let waits = self.command((caller, server), None, &words, ledger, out)?;
                side.waits_until = waits;
                self.serve(caller.now, ledger)?;
            }
        }
        Ok(())
    }

    fn exec(
        &mut self,
        (caller, server): (Caller, usize),
        multi: Multi,
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        // One that was refused is not here, and reads have no number.
        let number_of = |words: &Words| words.last().and_then(|word| number(word, b"#.em").ok());
        let first = multi.queue.iter().find_map(number_of);
        let own = self.watches.extract_if(.., |watch| watch.conn == caller.conn).collect::<Vec<_>>();
        let dirty: BTreeSet<Vec<u8>> =
            own.iter().filter(|watch| watch.dirty).map(|watch| watch.key.clone()).collect();
        let watched = own.into_iter().map(|watch| (watch.key.clone(), self.changes(&watch.key))).collect();
        let outcome = match () {
            () if multi.spoilt => Outcome::Spoilt,
            () if !dirty.is_empty() => Outcome::Dirty,
            () => Outcome::Ran,
        };
        let (mut reply, mut ids) = (Vec::new(), Vec::new());
        match outcome {
            Outcome::Spoilt => {
                encode::error(b"EXECABORT Transaction discarded because of previous errors.", &mut reply)
            }
            Outcome::Dirty => encode::null_array(caller.resp3, &mut reply),
            Outcome::Ran => {
                encode::array_header(multi.queue.len(), &mut reply);
                for words in &multi.queue {
                    let before = ledger.done.len();
                    self.command((caller, server), Some(first.unwrap_or(0)), words, ledger, &mut reply)?;
                    if ledger.done.len() > before {
                        ids.push(number(words.last().expect("it has words"), b"#.em")?);
                    }
                }
                self.serve(caller.now, ledger)?;
            }
        }
        out.extend_from_slice(&reply);
        let block = Block { server, reply, outcome, watched, dirty, ids };
        match first {
            Some(first) if ledger.blocks.insert(first, block).is_some() => {
                Err(format!("carried out twice: {first}"))
            }
            _ => Ok(()),
        }
    }

    /// Carries out one request; answers until when it waits, if it does.
    fn command(
        &mut self,
        (caller, server): (Caller, usize),
        within: Option<u32>,
        words: &[Vec<u8>],
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Result<Option<u64>, String> {
        let unfit = || format!("a server was sent {}", words.join(&b' ').escape_ascii());
        let (mut reply, mut took) = (Vec::new(), false);
        let id = match (words[0].to_ascii_uppercase().as_slice(), &words[1..]) {
            (b"GET", [key]) => {
                self.told.read(caller.conn, key);
                self.value(key, caller.resp3, out);
                return Ok(None);
            }
            (b"LPOP", [key]) => {
                match self.take(key, true) {
                    _ if bare(key).starts_with(b"w") => encode::error(b"WRONGTYPE no list", out),
                    Some(element) => encode::bulk(&element, out),
                    None => encode::null(caller.resp3, out),
                }
                return Ok(None);
            }
            (b"SET", [key, value]) => {
                self.values.insert(key.clone(), value.clone());
                self.touch(key);
                encode::simple(b"OK", &mut reply);
                number(value, b"#")?
            }
            (b"RPUSH" | b"LPUSH", [key, elements @ ..]) => {
                let list = self.lists.entry(key.clone()).or_default();
                for element in elements {
                    if words[0].starts_with(b"R") || words[0].starts_with(b"r") {
                        list.push_back(element.clone());
                    } else {
                        list.push_front(element.clone());
                    }
                }
                encode::integer(list.len() as i64, &mut reply);
                self.touch(key);
                number(elements.last().ok_or_else(unfit)?, b".")?
            }
            (b"PUBLISH", [channel, text]) => {
                let id = number(text, b"m")?;
                encode::integer(self.publish((caller, server), channel, text, (id, ledger)), &mut reply);
                id
            }
            (name @ (b"BLPOP" | b"BRPOP" | b"BLMOVE"), rest @ [.., timeout]) => {
                let (until, id) = wait(timeout, caller.now)?;
                let moves = name == b"BLMOVE";
                let keys = if moves { &rest[..1] } else { &rest[..rest.len() - 1] };
                let waiter = Waiter {
                    caller,
                    keys: keys.to_vec(),
                    dest: moves.then(|| rest[1].clone()),
                    left: if moves { rest[2].eq_ignore_ascii_case(b"LEFT") } else { name == b"BLPOP" },
                    id,
                };
                took = self.give(&waiter, &mut reply);
                if !took && within.is_none() {
                    self.waiters.push(waiter);
                    return Ok(Some(until));
                }
                if !took {
                    encode::null_array(caller.resp3, &mut reply);
                }
                id
            }
            _ => return Err(unfit()),
        };
        out.extend_from_slice(&reply);
        ledger.note(id, Done { at: caller.now, reply, within, took })?;
        Ok(None)
    }

    fn take(&mut self, key: &[u8], left: bool) -> Option<Vec<u8>> {
        let list = self.lists.get_mut(key)?;
        let element = if left { list.pop_front() } else { list.pop_back() };
        if list.is_empty() {
            self.lists.remove(key);
        }
        element.is_some().then(|| self.touch(key));
        element
    }

    /// Gives somebody the element that it waits for, if there is one.
    fn give(&mut self, waiter: &Waiter, out: &mut Vec<u8>) -> bool {
        for key in &waiter.keys {
            let Some(element) = self.take(key, waiter.left) else { continue };
            match &waiter.dest {
                Some(dest) => {
                    encode::bulk(&element, out);
                    self.lists.entry(dest.clone()).or_default().push_back(element);
                    self.touch(dest);
                }
                None => {
                    encode::array_header(2, out);
                    encode::bulk(key, out);
                    encode::bulk(&element, out);
                }
            }
            return true;
        }
        false
    }

    /// Those who wait get what has come, the first one first.
    fn serve(&mut self, now: u64, ledger: &mut Ledger) -> Result<(), String> {
        while let Some(at) =
            self.waiters.iter().position(|waiter| waiter.keys.iter().any(|key| self.lists.contains_key(key)))
        {
            let waiter = self.waiters.remove(at);
            let mut reply = Vec::new();
            self.give(&waiter, &mut reply);
            ledger.note(waiter.id, Done { at: now, reply: reply.clone(), within: None, took: true })?;
            self.mail.push(Mail { to: waiter.caller.conn, bytes: reply, message: None, news: false });
        }
        Ok(())
    }

    /// A connection has waited long enough.
    pub(crate) fn time_out(
        &mut self,
        conn: ConnId,
        now: u64,
        ledger: &mut Ledger,
    ) -> Result<Vec<u8>, String> {
        let Some(at) = self.waiters.iter().position(|waiter| waiter.caller.conn == conn) else {
            return Err(format!("{conn:?} does not wait"));
        };
        let waiter = self.waiters.remove(at);
        let mut reply = Vec::new();
        encode::null_array(waiter.caller.resp3, &mut reply);
        ledger.note(waiter.id, Done { at: now, reply: reply.clone(), within: None, took: false })?;
        Ok(reply)
    }

    fn publish(
        &mut self,
        (_, server): (Caller, usize),
        channel: &[u8],
        text: &[u8],
        (id, ledger): (u32, &mut Ledger),
    ) -> i64 {
        self.published += 1;
        let message = Message { channel: channel.to_vec(), server, place: self.published };
        ledger.publish(id, message);
        let to: Vec<_> = self.subscribed.iter().filter(|(_, topic)| fits(topic, channel)).cloned().collect();
        for (conn, topic) in &to {
            let mut bytes = Vec::new();
            let words: &[&[u8]] = match topic.0 {
                false => &[b"message", channel, text],
                true => &[b"pmessage", &topic.1, channel, text],
            };
            encode::array_header(words.len(), &mut bytes);
            words.iter().for_each(|word| encode::bulk(word, &mut bytes));
            self.mail.push(Mail { to: *conn, bytes, message: Some((id, topic.clone())), news: false });
        }
        to.len() as i64
    }
}
