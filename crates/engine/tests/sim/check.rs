//! Whether a reply is the one its request must get.

use crate::ask::{Ask, Element, Reply, Rule};
use crate::faults::{FaultLog, Why, reasons};
use config::Protocol;
use std::cell::Cell;
use wire::{memcache, resp};

/// More than any turn takes.
pub(crate) const SLACK_US: u64 = 5_000;

/// What is known when a reply comes in.
pub(crate) struct Judge<'a> {
    pub(crate) log: &'a FaultLog,
    pub(crate) pool: usize,
    pub(crate) protocol: Protocol,
    /// Keys of a server that fails read as missing.
    pub(crate) partial: bool,
    /// Reads may be made again, later than they were asked for.
    pub(crate) retried: bool,
    pub(crate) now: u64,
    /// Nothing that was written and acknowledged may be seen as it was before.
    pub(crate) steady: bool,
    /// Nothing has gone wrong in this world that could change a reply.
    pub(crate) exact: bool,
    /// Whether a key of a multi-get was left out.
    pub(crate) left_out: Cell<bool>,
}

/// What a server answers when it answers something that does not fit.
pub(crate) fn wrong(protocol: Protocol, resp3: bool) -> &'static [&'static [u8]] {
    match protocol {
        Protocol::Memcache => &[b"WAT\r\n"],
        Protocol::Redis if resp3 => &[b"+WAT\r\n", b"!8\r\nWAT IT\r\n\r\n"],
        Protocol::Redis => &[b"+WAT\r\n"],
    }
}

impl Judge<'_> {
    /// Whether `reply` serves `ask`, or (false) tells of a fault that there was. An error if neither.
    pub(crate) fn judge(&self, ask: &Ask, reply: &[u8]) -> Result<bool, String> {
        let (served, expected) = match &ask.reply {
            Reply::None => (false, &[][..]),
            Reply::Exact(bytes) => (reply == bytes, &bytes[..]),
            Reply::Starts(bytes) => (reply.starts_with(bytes), &bytes[..]),
            Reply::Known(bytes, rule) => {
                (reply == bytes || (!self.exact && self.allows(ask, rule, reply).is_some()), &bytes[..])
            }
        };
        if served {
            return Ok(true);
        }
        if !ask.local && self.is_excused(ask, reply) {
            return Ok(false);
        }
        Err(format!(
            "the answer to {} (asked at {:?}, servers {:?}) is {}, expected {}",
            shown(&ask.bytes),
            ask.sent_at,
            ask.servers,
            shown(reply),
            shown(expected)
        ))
    }

    /// Whether the answer comes by the time it is due, more or less.
    pub(crate) fn in_time(&self, ask: &Ask, due: u64) -> Result<(), String> {
        if self.now <= due + SLACK_US {
            return Ok(());
        }
        Err(format!("{} was due at {due} and is answered only now", shown(&ask.bytes)))
    }

    /// Whether something went wrong at `servers` while `ask` was under way.
    fn went_wrong(&self, ask: &Ask, servers: &[usize], fits: impl Fn(Why) -> bool) -> bool {
        let from = ask.begun_at.or(ask.sent_at).unwrap_or(self.now);
        self.log.any(self.pool, servers, (from, self.now), fits)
    }

    fn is_excused(&self, ask: &Ask, reply: &[u8]) -> bool {
        // A merged reply says it on one line, with how many said so.
        let merged =
            ask.resp3 && reply.starts_with(b"-WAT IT   (") && reply.ends_with(b" servers failed)\r\n");
        if merged || wrong(self.protocol, ask.resp3).contains(&reply) {
            return self.went_wrong(ask, &ask.servers, |why| why == Why::Wrong);
        }
        let code: &[u8] = if self.protocol == Protocol::Redis { b"-ERR " } else { b"SERVER_ERROR " };
        let text = reply.strip_prefix(code).and_then(|text| text.strip_suffix(b"\r\n"));
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { return false };
        let reasons = reasons(text);
        self.went_wrong(ask, &ask.servers, |why| reasons.contains(&why))
    }

    fn allows(&self, ask: &Ask, rule: &Rule, reply: &[u8]) -> Option<()> {
        let fine = match rule {
            Rule::OneOf(replies) => replies.contains(&reply),
            Rule::Number(low, high) => (*low..=*high).contains(&resp::integer(reply)?),
            Rule::Values(elements) if self.protocol == Protocol::Memcache => {
                self.blocks(ask, elements, reply)
            }
            Rule::Values(elements) => match resp::elements(reply) {
                None => self.is_value(ask, elements.first()?, reply, false),
                Some((count, values)) => {
                    let mut pairs = elements.iter().zip(values);
                    count == elements.len()
                        && pairs.all(|(element, value)| self.is_value(ask, element, value, true))
                }
            },
        };
        fine.then_some(())
    }

    /// A memcached reply to a get: blocks in the order asked. A key may be missing where it can be gone, or its
    /// server had a fault.
    fn blocks(&self, ask: &Ask, elements: &[Element], reply: &[u8]) -> bool {
        let mut blocks = memcache::values(reply).peekable();
        for element in elements {
            let here =
                blocks.next_if(|(key, block)| *key == element.key && self.holds(ask, element, data(block)));
            let may_miss = element.stamp.is_none() || self.may_miss(ask, element);
            if here.is_none() && !may_miss {
                return false;
            }
        }
        blocks.next().is_none() && reply.ends_with(b"END\r\n")
    }

    /// Whether a key may be left out of the answer because its server had a fault.
    fn may_miss(&self, ask: &Ask, element: &Element) -> bool {
        self.partial && self.went_wrong(ask, &element.server, |_| true)
    }

    /// A redis value of `element`, or none; one of several in a reply may be left out.
    fn is_value(&self, ask: &Ask, element: &Element, value: &[u8], several: bool) -> bool {
        let null: &[u8] = if ask.resp3 { b"_\r\n" } else { b"$-1\r\n" };
        match resp::bulk(value) {
            Some(value) => self.holds(ask, element, value),
            None => {
                let left_out = several && element.stamp.is_some();
                let fine = !left_out || self.may_miss(ask, element);
                self.left_out.set(self.left_out.get() || left_out);
                fine && value == null && (several || element.stamp.is_none())
            }
        }
    }

    /// Whether `value` may be what `element`'s key holds: stored under it, by an earlier request.
    fn holds(&self, ask: &Ask, element: &Element, value: &[u8]) -> bool {
        if let Some(stamp) = &element.stamp {
            return value == stamp;
        }
        let number = value.strip_prefix(element.key.as_slice()).and_then(|rest| rest.strip_prefix(b"#"));
        let digits = number.and_then(|rest| rest.split(|byte| *byte == b'#').next());
        let seq: Option<u32> = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let reverts = |seq: &u32| self.steady && *seq < element.floor;
        seq.is_some_and(|seq| (self.retried || seq < ask.seq) && !reverts(&seq))
    }
}

fn data(block: &[u8]) -> &[u8] {
    let start = block.iter().position(|byte| *byte == b'\n').map_or(block.len(), |at| at + 1);
    block.get(start..block.len() - 2).unwrap_or(&[])
}

/// Bytes as a person can read them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let rest = bytes.len().saturating_sub(200);
    let text = bytes[..bytes.len() - rest].escape_ascii().to_string();
    if rest > 0 { format!("\"{text}\" and {rest} bytes") } else { format!("\"{text}\"") }
}
