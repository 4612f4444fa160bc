//! Many replies → one. A merge is made when a request is split over servers or sent to all of them;
//! its parts fill in any order, and the last one in writes the client's reply.

mod bulky;

use crate::gather::Plan;
use config::Protocol;
use wire::limits::Limits;
use wire::memcache;
use wire::resp::reply::{ReplyKind, ReplyParse};
use wire::resp::{encode, reply as resp};

/// A request that several servers answer together.
#[derive(Debug, Default)]
pub struct Merge {
    /// Index of the pool.
    pub pool: u32,
    /// The client's request.
    pub request: u32,
    /// When it was split, in microseconds.
    pub at_us: u64,
    /// How the reply is made.
    pub how: How,
    /// Whether its client speaks RESP3.
    pub resp3: bool,
    /// Parts without a reply yet.
    pub outstanding: u32,
    /// The parts: of a split request in the order of their first keys, of one to all in that of the servers.
    pub parts: Vec<Part>,
    /// For each key in the order asked, its part.
    pub order: Vec<u32>,
    /// The keys in the order asked, where the reply names them (memcached).
    pub keys: Keys,
    /// What is made of the parts where they are gathered.
    pub(crate) gather: Option<Box<Plan>>,
    /// For how many keys the reply is written.
    written: usize,
    /// The reply so far, where it is written a few keys at a time.
    out: Vec<u8>,
}

/// One server's share.
#[derive(Debug, Default)]
pub struct Part {
    /// Index of the server.
    pub server: u32,
    /// Its reply; an error line of the proxy's own where it could not be had.
    pub reply: Vec<u8>,
    /// How far the reply is written out: kept here, so that merging needs no list of its own.
    at: usize,
    /// Elements of the reply that are not written out yet; nothing where it is an error.
    left: Option<usize>,
}

impl Part {
    /// A server's share without a reply yet.
    pub fn new(server: u32) -> Part {
        Part { server, ..Part::default() }
    }

    /// Goes to the first element of an aggregate reply; answers how many there are.
    fn open(&mut self) -> Option<usize> {
        let (count, elements) = resp::elements(&self.reply)?;
        (self.at, self.left) = (self.reply.len() - elements.rest().len(), Some(count));
        Some(count)
    }

    /// The next element.
    fn element(&mut self) -> Option<&[u8]> {
        self.left = Some(self.left?.checked_sub(1)?);
        let rest = self.reply.get(self.at..)?;
        let element = rest.get(..resp::element(rest)?)?;
        self.at += element.len();
        Some(element)
    }

    /// The next VALUE block, if it is that of `key`.
    fn value(&mut self, key: &[u8]) -> Option<&[u8]> {
        let rest = self.reply.get(self.at..)?;
        let (_, block) = memcache::values(rest).next().filter(|(found, _)| *found == key)?;
        self.at += block.len();
        Some(block)
    }
}

/// How a reply is made from its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// Array elements in the order of the keys; `true`: a failed server's keys are nil.
    Elements(bool),
    /// The sum of integers.
    Sum,
    /// The first reply, when all are no errors.
    #[default]
    AllOk,
    /// The first reply that is no error.
    OneOk,
    /// The first reply that is no error, else the one that says more than that nothing is running.
    Killed,
    /// FUNCTION STATS: of the server on which something is running; else the first reply that is no error.
    Running,
    /// The least integer.
    Least,
    /// Pairs of parts, how many keys a server has and one of them: a key drawn by how many there are, with this number.
    Drawn(u32),
    /// All arrays, one after another.
    Concat,
    /// Arrays of 0 and 1, element by element: 1 where all have 1.
    And,
    /// The reply that all gave; an error when they differ.
    Same,
    /// The same, of FUNCTION LOAD.
    Loaded,
    /// All arrays, one after another, each element once.
    Union,
    /// The greatest integer.
    Most,
    /// Names and integers, element by element: the greatest integer for each name.
    Counts,
    /// As the merge's plan says.
    Gathered,
    /// memcached VALUE blocks in the order of the keys; `true`: a failed server's keys are misses.
    Values(bool),
    /// memcached STAT lines: numbers added up.
    Stats,
    /// memcached STAT lines of every server, its name before each.
    StatsByServer,
    /// It is made: [`Merge::write_some`] has written it.
    Written,
}

/// Keys one after another, without an allocation each.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Keys {
    /// Adds a key.
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// Bytes of room that it holds.
    pub fn room(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Merge {
    /// Makes a used merge as new, its lists keeping their room.
    pub fn reset(&mut self, pool: u32, request: u32, at_us: u64, how: How) {
        self.at_us = at_us;
        self.pool = pool;
        self.request = request;
        self.how = how;
        self.outstanding = 0;
        self.parts.clear();
        self.order.clear();
        self.keys.clear();
        self.gather = None;
        self.written = 0;
    }

    /// The code that a FUNCTION LOAD has brought to every server.
    pub(crate) fn loaded(&self) -> Option<&[u8]> {
        let taken = |part: &Part| resp::bulk(&part.reply).is_some();
        self.parts.iter().all(taken).then(|| self.keys.ends.first().map(|_| self.keys.get(0)))?
    }

    /// A part of what is gathered has `len` bytes so far; `false`: it is too much.
    pub(crate) fn note_coming(&mut self, part: u32, len: usize) -> bool {
        let (Some(plan), Some(part)) = (&mut self.gather, self.parts.get_mut(part as usize)) else {
            return true;
        };
        plan.note(&mut part.at, len)
    }

    /// Whether what is gathered is too much.
    pub(crate) fn is_over(&self) -> bool {
        self.gather.as_ref().is_some_and(|plan| plan.is_over())
    }

    /// A part of what is gathered is here. Where it is too much nothing of it is kept.
    pub(crate) fn note_gathered(&mut self, part: u32) {
        let len = self.parts.get(part as usize).map_or(0, |part| part.reply.len());
        if !self.note_coming(part, len) {
            self.parts.iter_mut().for_each(|part| part.reply = Vec::new());
        }
    }

    /// Writes the client's reply. `names` gives a server's name by index.
    pub fn write<'n>(&mut self, protocol: Protocol, names: impl Fn(u32) -> &'n str, out: &mut Vec<u8>) {
        let start = out.len();
        let fine = match self.how {
            How::Values(partial) => self.write_values(partial, out),
            How::Stats => self.write_stats(out),
            How::StatsByServer => self.write_stats_by_server(names, out),
            How::Written => {
                append_whole(&mut self.out, out);
                Some(())
            }
            _ if protocol == Protocol::Memcache => self.write_first(out),
            _ => self.write_redis(out),
        };
        if fine.is_none() {
            out.truncate(start);
            self.write_error(protocol, out);
        }
    }

    fn write_redis(&mut self, out: &mut Vec<u8>) -> Option<()> {
        if let Some(plan) = &mut self.gather {
            let replies: Vec<&[u8]> = self.parts.iter().map(|part| part.reply.as_slice()).collect();
            return plan.write(&replies, self.resp3, out);
        }
        let fine = |part: &&Part| !is_error(&part.reply);
        if matches!(self.how, How::OneOk | How::Killed | How::Running) {
            let busy = self.parts.iter().find(|part| self.how == How::Running && is_running(&part.reply));
            out.extend_from_slice(&busy.or_else(|| self.parts.iter().find(fine))?.reply);
            return Some(());
        }
        if let How::Drawn(draw) = self.how {
            return self.write_drawn(draw, out);
        }
        if let How::Elements(true) = self.how
            && self.parts.iter().any(|part| fine(&part))
        {
            return self.write_elements(out);
        }
        if !self.parts.iter().all(|part| fine(&part)) {
            return None;
        }
        match self.how {
            How::Elements(_) => self.write_elements(out),
            How::Sum => self.write_sum(out),
            How::Concat => self.write_concat(out),
            How::And => self.write_and(out),
            How::Same | How::Loaded => self.write_same(out),
            How::Union => self.write_union(out),
            How::Most => self.write_extreme(i64::max, out),
            How::Least => self.write_extreme(i64::min, out),
            How::Counts => self.write_counts(out),
            _ => self.write_first(out),
        }
    }

    fn write_first(&self, out: &mut Vec<u8>) -> Option<()> {
        if self.parts.iter().any(|part| is_error(&part.reply)) {
            return None;
        }
        out.extend_from_slice(&self.parts.first()?.reply);
        Some(())
    }

    /// A server that fails is left out, unless no other has a key.
    fn write_drawn(&self, draw: u32, out: &mut Vec<u8>) -> Option<()> {
        let found = self.parts.chunks_exact(2).filter_map(|pair| {
            let (size, key) = (&pair[0].reply, &pair[1].reply);
            resp::bulk(key).map(|_| (resp::integer(size).unwrap_or(1).max(1) as u64, key))
        });
        let total = found.clone().fold(0u64, |sum, (size, _)| sum.saturating_add(size));
        let mut left = ((u128::from(total) * u128::from(draw)) >> 32) as u64;
        for (size, key) in found {
            if left < size {
                out.extend_from_slice(key);
                return Some(());
            }
            left -= size;
        }
        if self.parts.iter().any(|part| is_error(&part.reply)) {
            return None;
        }
        encode::null(self.resp3, out);
        Some(())
    }

    fn write_same(&self, out: &mut Vec<u8>) -> Option<()> {
        let first = self.parts.first()?;
        if self.parts.iter().all(|part| part.reply == first.reply) {
            out.extend_from_slice(&first.reply);
        } else {
            encode::error(b"ERR the servers of this pool gave different answers", out);
        }
        Some(())
    }

    fn write_sum(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut sum = 0i64;
        for part in &self.parts {
            sum = sum.checked_add(resp::integer(&part.reply)?)?;
        }
        encode::integer(sum, out);
        Some(())
    }

    fn write_elements(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.begin_elements(out)?;
        self.some_elements(self.order.len(), out)?;
        self.end_elements()
    }

    #[inline(always)] // into the usual way
    fn begin_elements(&mut self, out: &mut Vec<u8>) -> Option<()> {
        for part in &mut self.parts {
            if !is_error(&part.reply) {
                part.open()?;
            }
        }
        encode::array_header(self.order.len(), out);
        Some(())
    }

    /// Writes the elements of so many more keys.
    #[inline(always)] // into the usual way
    fn some_elements(&mut self, keys: usize, out: &mut Vec<u8>) -> Option<()> {
        for part in self.order.iter().skip(self.written).take(keys) {
            let part = self.parts.get_mut(*part as usize)?;
            match part.left {
                Some(_) => out.extend_from_slice(part.element()?),
                None => encode::null(self.resp3, out),
            }
        }
        self.written += keys;
        Some(())
    }

    fn end_elements(&self) -> Option<()> {
        self.parts.iter().all(|part| part.left.unwrap_or(0) == 0).then_some(())
    }

    fn write_concat(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut count = 0;
        for part in &self.parts {
            count += resp::elements(&part.reply)?.0;
        }
        // In RESP3 maps and sets stay what they are, whatever attributes come before them.
        match resp::ReplyScan::default().scan(&self.parts.first()?.reply, &Limits::NONE) {
            ReplyParse::Complete { kind: ReplyKind::Map, .. } => encode::map_header(count / 2, true, out),
            ReplyParse::Complete { kind: ReplyKind::Set, .. } => encode::set_header(count, true, out),
            _ => encode::array_header(count, out),
        }
        for part in &self.parts {
            resp::elements(&part.reply)?.1.for_each(|element| out.extend_from_slice(element));
        }
        Some(())
    }

    fn write_union(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut all = std::collections::BTreeSet::new();
        for part in &self.parts {
            all.extend(resp::elements(&part.reply)?.1);
        }
        encode::array_header(all.len(), out);
        all.into_iter().for_each(|element| out.extend_from_slice(element));
        Some(())
    }

    fn write_extreme(&self, of_two: fn(i64, i64) -> i64, out: &mut Vec<u8>) -> Option<()> {
        let (first, others) = self.parts.split_first()?;
        let mut extreme = resp::integer(&first.reply)?;
        for part in others {
            extreme = of_two(extreme, resp::integer(&part.reply)?);
        }
        encode::integer(extreme, out);
        Some(())
    }

    fn write_counts(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let count = self.parts.first_mut()?.open()?;
        for part in &mut self.parts {
            if part.open()? != count {
                return None;
            }
        }
        encode::array_header(count, out);
        for _ in 0..count / 2 {
            let (mut most, mut name) = (i64::MIN, None);
            for part in &mut self.parts {
                let own = part.element()?;
                if name.is_none() {
                    out.extend_from_slice(own);
                    name = Some(());
                }
                most = most.max(resp::integer(part.element()?)?);
            }
            encode::integer(most, out);
        }
        Some(())
    }

    fn write_and(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let count = self.parts.first_mut()?.open()?;
        for part in &mut self.parts {
            if part.open()? != count {
                return None;
            }
        }
        encode::array_header(count, out);
        for _ in 0..count {
            let mut yes = true;
            for part in &mut self.parts {
                yes &= resp::integer(part.element()?)? != 0;
            }
            encode::integer(i64::from(yes), out);
        }
        Some(())
    }

    fn write_values(&mut self, partial: bool, out: &mut Vec<u8>) -> Option<()> {
        let failures = self.check_values(partial)?;
        self.some_values(self.order.len(), out)?;
        self.end_values(failures, out)
    }

    fn failures(&self) -> usize {
        self.parts.iter().filter(|part| !part.reply.ends_with(b"END\r\n")).count()
    }

    /// How many parts failed, if there is something to tell all the same.
    #[inline(always)] // into the usual way
    fn check_values(&self, partial: bool) -> Option<usize> {
        let failures = self.failures();
        (failures == 0 || (partial && failures < self.parts.len())).then_some(failures)
    }

    /// Writes the values of so many more keys.
    #[inline(always)] // into the usual way
    fn some_values(&mut self, keys: usize, out: &mut Vec<u8>) -> Option<()> {
        for (index, part) in self.order.iter().enumerate().skip(self.written).take(keys) {
            // A server answers in the order asked and leaves out what it does not have.
            if let Some(block) = self.parts.get_mut(*part as usize)?.value(self.keys.get(index)) {
                out.extend_from_slice(block);
            }
        }
        self.written += keys;
        Some(())
    }

    #[inline(always)] // into the usual way
    fn end_values(&self, failures: usize, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(b"END\r\n");
        let unasked = |part: &Part| part.reply.get(part.at..).is_some_and(|rest| rest.starts_with(b"VALUE "));
        (failures > 0 || !self.parts.iter().any(unasked)).then_some(())
    }

    fn write_stats(&self, out: &mut Vec<u8>) -> Option<()> {
        let first = self.parts.first()?;
        if self.parts.iter().any(|part| memcache::is_error(&part.reply)) {
            return None;
        }
        for (name, value) in memcache::stats(&first.reply) {
            let sum = || {
                let mut sum = 0u64;
                for part in &self.parts {
                    let (_, text) = memcache::stats(&part.reply).find(|(other, _)| *other == name)?;
                    sum = sum.checked_add(std::str::from_utf8(text).ok()?.parse().ok()?)?;
                }
                Some(sum)
            };
            let total = if NOT_SUMMED.contains(&name) { None } else { sum() };
            out.extend_from_slice(b"STAT ");
            out.extend_from_slice(name);
            out.push(b' ');
            match total {
                Some(total) => out.extend_from_slice(total.to_string().as_bytes()),
                None => out.extend_from_slice(value),
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"END\r\n");
        Some(())
    }

    fn write_stats_by_server<'n>(&self, names: impl Fn(u32) -> &'n str, out: &mut Vec<u8>) -> Option<()> {
        if let Some(plain) = self.parts.iter().find(|part| !part.reply.starts_with(b"STAT ")) {
            if memcache::is_error(&plain.reply) {
                return None;
            }
            let one_line = plain.reply.split(|byte| *byte == b'\n').count() == 2;
            if one_line && self.parts.iter().all(|part| part.reply == plain.reply) {
                out.extend_from_slice(&plain.reply); // RESET, OK, or END from all
                return Some(());
            }
        }
        for part in &self.parts {
            // Lines of other kinds (ITEM, PREFIX) name no figure and pass as they are.
            for line in part.reply.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"END\r\n") {
                if let Some(figure) = line.strip_prefix(b"STAT ") {
                    out.extend_from_slice(b"STAT ");
                    out.extend_from_slice(names(part.server).as_bytes());
                    out.push(b':');
                    out.extend_from_slice(figure);
                } else {
                    out.extend_from_slice(line);
                }
            }
        }
        out.extend_from_slice(b"END\r\n");
        Some(())
    }

    /// The first failed part's own error; with how many failed where others may have taken effect. What all
    /// servers say alike reads as if one had said it.
    fn write_error(&self, protocol: Protocol, out: &mut Vec<u8>) {
        let failed = || self.parts.iter().filter(|part| is_error(&part.reply));
        let says_more = |part: &&Part| self.how == How::Killed && !part.reply.starts_with(b"-NOTBUSY");
        let Some(first) = failed().find(says_more).or_else(|| failed().next()) else {
            return write_cause(protocol, crate::error::Cause::InvalidReply.text(), out);
        };
        let effects = matches!(self.how, How::Sum | How::AllOk | How::Same | How::Loaded | How::And);
        if !effects || self.parts.iter().all(|part| part.reply == first.reply) {
            return out.extend_from_slice(&first.reply);
        }
        let line = first.reply.strip_suffix(b"\r\n").unwrap_or(&first.reply);
        match line.strip_prefix(b"!") {
            // RESP3's bulk error has its length before it: the text gets a line of its own.
            Some(bulk) => {
                let start = bulk.iter().position(|byte| *byte == b'\n').map_or(bulk.len(), |at| at + 1);
                let blank = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
                out.push(b'-');
                out.extend(bulk[start..].iter().map(blank));
            }
            None => out.extend_from_slice(line),
        }
        let note = format!(" ({} of {} servers failed)\r\n", failed().count(), self.parts.len());
        out.extend_from_slice(note.as_bytes());
    }
}

/// Hands out a reply that is made, where it can be without copying it.
fn append_whole(reply: &mut Vec<u8>, out: &mut Vec<u8>) {
    if out.is_empty() {
        std::mem::swap(reply, out);
    } else {
        out.extend_from_slice(reply);
    }
    *reply = Vec::new();
}

/// An error of the proxy's own in the protocol's form.
pub fn write_cause(protocol: Protocol, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(if protocol == Protocol::Redis { b"-ERR ".as_slice() } else { b"SERVER_ERROR " });
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn is_error(reply: &[u8]) -> bool {
    reply.starts_with(b"-") || reply.starts_with(b"!") || memcache::is_error(reply)
}

/// Whether FUNCTION STATS tells of something that is running: its first value is no null.
fn is_running(reply: &[u8]) -> bool {
    let Some((_, mut elements)) = resp::elements(reply) else { return false };
    elements.nth(1).is_some_and(|value| !value.starts_with(b"$-1") && !value.starts_with(b"_"))
}

/// Statistics of memcached that mean nothing added up: the first server's value stands.
const NOT_SUMMED: &[&[u8]] = &[
    b"pid",
    b"uptime",
    b"time",
    b"version",
    b"libevent",
    b"pointer_size",
    b"accepting_conns",
    b"threads",
    b"hash_power_level",
];
