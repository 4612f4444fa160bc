//! What was written and what was acknowledged, and so which replies are right. Every value names its key and its
//! version; every key has one writer.
//!
//! ```text
//!   version  1   2   3   4   5   6          floor: the newest acknowledged (3)
//!            ok  ok  ok  ?   ?              in doubt: failed, so they may still be done, at any time (4)
//!                    ^floor  ^under way     right: the floor, anything newer that was sent, anything in doubt
//! ```
//! A server that lost its memory begins a new epoch: nothing is known of its keys until the next acknowledgement.
//! It knows nothing of sockets or time.

use crate::chaos::ask::{Ask, Seen};
use crate::chaos::reply::Reply;
use crate::chaos::{POOLS, SERVERS};
use crate::data::Rng;
use std::io::Write as _;

/// A key, and all that was ever done to it. Versions are numbered from 1.
#[derive(Debug)]
pub(crate) struct Key {
    /// As it goes over the wire.
    pub(crate) name: String,
    /// Its pool.
    pub(crate) pool: usize,
    /// The server that it belongs to while all are well.
    pub(crate) server: usize,
    kinds: Vec<Kind>,
    floor: usize,
    doubt: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Value,
    Deletion,
}

/// A key that is only ever counted up.
#[derive(Debug)]
pub(crate) struct Counter {
    /// As it goes over the wire.
    pub(crate) name: String,
    /// Its pool.
    pub(crate) pool: usize,
    /// The server that it belongs to while all are well.
    pub(crate) server: usize,
    sent: u64,
    acknowledged: u64,
}

/// What a reply is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is right.
    Right,
    /// The request failed, and the client was told.
    Failed(String),
    /// It can never be right.
    Wrong(String),
    /// It is wrong unless this server's keys were elsewhere in between.
    Suspect(usize, String),
}

use Judgement::{Failed, Right, Suspect, Wrong};

/// All keys of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    keys: Vec<Key>,
    counters: Vec<Counter>,
    epochs: [[u32; SERVERS]; POOLS.len()],
    text: Vec<u8>,
}

impl Ledger {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let mut rng = Rng::new(1);
        let text = (0..TEXT_BYTES).map(|_| b'a' + rng.below(26) as u8).collect();
        Self { keys: Vec::new(), counters: Vec::new(), epochs: Default::default(), text }
    }

    /// A new key.
    pub(crate) fn add_key(&mut self, name: String, pool: usize, server: usize) -> usize {
        self.keys.push(Key { name, pool, server, kinds: Vec::new(), floor: 0, doubt: Vec::new() });
        self.keys.len() - 1
    }

    /// A new counter.
    pub(crate) fn add_counter(&mut self, name: String, pool: usize, server: usize) -> usize {
        self.counters.push(Counter { name, pool, server, sent: 0, acknowledged: 0 });
        self.counters.len() - 1
    }

    /// A key by its number.
    pub(crate) fn key(&self, key: usize) -> &Key {
        &self.keys[key]
    }

    /// A counter by its number.
    pub(crate) fn counter(&self, counter: usize) -> &Counter {
        &self.counters[counter]
    }

    /// A server lost all it had, in these pools.
    pub(crate) fn forget(&mut self, server: usize, pools: impl Fn(usize) -> bool) {
        for (pool, epochs) in self.epochs.iter_mut().enumerate() {
            epochs[server] += u32::from(pools(pool));
        }
        self.keys.iter_mut().filter(|it| it.server == server && pools(it.pool)).for_each(|key| key.floor = 0);
        let counters = self.counters.iter_mut().filter(|it| it.server == server && pools(it.pool));
        counters.for_each(|counter| counter.acknowledged = 0);
    }

    /// The next version of a key is sent: a value, whose bytes are appended to `value`, or a deletion.
    pub(crate) fn write(&mut self, key: usize, value: Option<&mut Vec<u8>>) -> Ask {
        let it = &mut self.keys[key];
        it.kinds.push(if value.is_some() { Kind::Value } else { Kind::Deletion });
        let (version, epoch) = (it.kinds.len(), self.epochs[it.pool][it.server]);
        if let Some(value) = value {
            self.value(key, version, value);
        }
        Ask::Write { key, version, epoch }
    }

    /// What is known of a key that is about to be read.
    pub(crate) fn see(&self, key: usize) -> Seen {
        let it = &self.keys[key];
        Seen { key, floor: it.floor, epoch: self.epochs[it.pool][it.server] }
    }

    /// A counter is about to be counted up.
    pub(crate) fn count(&mut self, counter: usize) -> Ask {
        let it = &mut self.counters[counter];
        it.sent += 1;
        Ask::Count { counter, acknowledged: it.acknowledged, epoch: self.epochs[it.pool][it.server] }
    }

    /// Nobody will ever say what became of it.
    pub(crate) fn leave_in_doubt(&mut self, ask: &Ask) {
        if let Ask::Write { key, version, .. } = *ask {
            self.keys[key].doubt.push(version);
        }
    }

    /// Judges the reply to a request.
    pub(crate) fn judge(&mut self, ask: &Ask, reply: &Reply<'_>) -> Judgement {
        if let Reply::Error(line) = reply {
            self.leave_in_doubt(ask);
            return Failed(String::from_utf8_lossy(line).into_owned());
        }
        match (ask, reply) {
            (&Ask::Write { key, version, epoch }, reply) if self.fits(key, version, reply) => {
                let it = &mut self.keys[key];
                if epoch == self.epochs[it.pool][it.server] {
                    it.floor = it.floor.max(version);
                }
                Right
            }
            (&Ask::Count { counter, acknowledged, epoch }, &Reply::Number(number)) => {
                self.judge_count(counter, acknowledged, epoch, number)
            }
            (Ask::Read(seen), Reply::Values(values)) if values.len() == seen.len() => {
                let each = seen.iter().zip(values);
                worst(each.map(|(seen, value)| self.judge_read(seen, *value)))
            }
            (Ask::Read(seen), Reply::Named(values)) => self.judge_named(seen, values),
            _ => Wrong(format!("{reply:?} answers no {ask:?}")),
        }
    }

    fn fits(&self, key: usize, version: usize, reply: &Reply<'_>) -> bool {
        match self.keys[key].kinds[version - 1] {
            Kind::Value => matches!(reply, Reply::Word(b"+OK" | b"STORED")),
            Kind::Deletion => matches!(reply, Reply::Word(b"DELETED" | b"NOT_FOUND") | Reply::Number(0 | 1)),
        }
    }

    fn judge_count(&mut self, counter: usize, acknowledged: u64, epoch: u32, number: u64) -> Judgement {
        let it = &mut self.counters[counter];
        let (name, sent) = (&it.name, it.sent);
        if number == 0 || number > sent {
            return Wrong(format!("{name} counts {number} after {sent} INCR: some were done twice"));
        }
        if epoch != self.epochs[it.pool][it.server] {
            return Right;
        }
        it.acknowledged += 1;
        if number <= acknowledged {
            return Suspect(
                it.server,
                format!("{name} counts {number} after {acknowledged} acknowledged INCR"),
            );
        }
        Right
    }

    fn judge_named(&self, seen: &[Seen], values: &[(&[u8], &[u8])]) -> Judgement {
        let mut found = vec![None; seen.len()];
        for &(name, value) in values {
            let at = seen.iter().position(|it| self.keys[it.key].name.as_bytes() == name);
            match at.filter(|&at| found[at].is_none()) {
                Some(at) => found[at] = Some(value),
                None => return Wrong(format!("a value of {}, not asked for", String::from_utf8_lossy(name))),
            }
        }
        let several = seen.len() > 1;
        worst(seen.iter().zip(found).map(|(seen, value)| match self.judge_read(seen, value) {
            // A proxy may answer a failing server's keys of a multi-get so; it is a failure all the same. Where
            // servers are taken out, keys that come back to an empty server look no different.
            Suspect(..) if value.is_none() && several => {
                if POOLS[self.keys[seen.key].pool].ejects {
                    Right
                } else {
                    Failed("(missing from a multi-get)".to_owned())
                }
            }
            other => other,
        }))
    }

    fn judge_read(&self, seen: &Seen, value: Option<&[u8]>) -> Judgement {
        let key = &self.keys[seen.key];
        let (name, floor) = (&key.name, seen.floor);
        let known = seen.epoch == self.epochs[key.pool][key.server];
        let Some(value) = value else {
            let deleted = |version: usize| key.kinds[version - 1] == Kind::Deletion;
            let may = floor == 0
                || (floor..=key.kinds.len()).any(deleted)
                || key.doubt.iter().any(|&version| deleted(version));
            return if may || !known {
                Right
            } else {
                Suspect(key.server, format!("{name} is missing; version {floor} was acknowledged"))
            };
        };
        let version = match self.version_of(seen.key, value) {
            Ok(version) => version,
            Err(why) => return Wrong(why),
        };
        if version >= floor || key.doubt.contains(&version) || !known {
            return Right;
        }
        Suspect(key.server, format!("{name} has version {version}; {floor} was acknowledged"))
    }

    /// The version that a value names, if it is that version's value to the last byte.
    fn version_of(&self, key: usize, value: &[u8]) -> Result<usize, String> {
        let it = &self.keys[key];
        let shown = || String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned();
        let mut parts = value.splitn(3, |&byte| byte == b'|');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if name != it.name.as_bytes() {
            return Err(format!("{} has the value '{}'", it.name, shown()));
        }
        let version: usize = String::from_utf8_lossy(version).parse().unwrap_or(0);
        if version.checked_sub(1).and_then(|at| it.kinds.get(at)) != Some(&Kind::Value) {
            return Err(format!("{} has a version never written: '{}'", it.name, shown()));
        }
        let mut expected = Vec::new();
        self.value(key, version, &mut expected);
        if value == expected {
            Ok(version)
        } else {
            Err(format!("{} has a damaged value: '{}'", it.name, shown()))
        }
    }

    /// The value of a version: it follows from key and version alone.
    fn value(&self, key: usize, version: usize, out: &mut Vec<u8>) {
        write!(out, "{}|{version}|", self.keys[key].name).expect("a Vec takes all");
        let mut rng = Rng::new((key as u64) << 32 | version as u64);
        let length = match rng.below(64) {
            0 => rng.below(40_000),
            1..8 => rng.below(4_000),
            _ => rng.below(200),
        } as usize;
        let at = rng.below((TEXT_BYTES - length) as u32) as usize;
        out.extend_from_slice(&self.text[at..at + length]);
    }
}

fn worst(judgements: impl Iterator<Item = Judgement>) -> Judgement {
    let rank = |it: &Judgement| match it {
        Right => 0,
        Failed(_) => 1,
        Suspect(..) => 2,
        Wrong(_) => 3,
    };
    judgements.max_by_key(rank).unwrap_or(Right)
}

/// Above every value.
const TEXT_BYTES: usize = 1 << 16;

#[cfg(test)]
mod tests;
