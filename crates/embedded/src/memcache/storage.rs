//! Commands that store and delete.
//!
//! A storage command comes in two parts: its line is checked by [`begin`] at once, its data stored by
//! [`finish`] when it is there. A line that is refused but names a length still has its data swallowed, so
//! that it is not read as commands.

use super::data::Awaited;
use super::line::Line;
use super::reply::{BAD_LINE, ERROR, Reply};
use super::state::State;

/// How an item is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    /// Only if nobody else has since this number was read.
    Cas(u64),
}

/// A storage command whose line was accepted.
#[derive(Debug)]
pub(crate) struct Store {
    mode: Mode,
    key: Vec<u8>,
    flags: u64,
    exptime: i64,
    noreply: bool,
}

/// Checks a storage command's line; any other is an unknown command. Answers the data it has to be followed
/// by.
pub(crate) fn begin(state: &mut State, line: &Line<'_>, reply: &mut Reply) -> Option<Awaited> {
    let mode = match line.word(0) {
        b"set" => Mode::Set,
        b"add" => Mode::Add,
        b"replace" => Mode::Replace,
        b"append" => Mode::Append,
        b"prepend" => Mode::Prepend,
        b"cas" => Mode::Cas(line.number(5).unwrap_or(0)),
        b"" => return refuse(reply, BAD_LINE),
        _ => return refuse(reply, ERROR),
    };
    let cas = matches!(mode, Mode::Cas(_));
    if line.len() < 5 + usize::from(cas) {
        return refuse(reply, ERROR);
    }
    reply.silence(line.noreply());
    let length = line.number::<usize>(4).filter(|length| *length <= LENGTH_MAX);
    // Without a length nothing can be swallowed; what follows is read as commands, as memcached does.
    let Some(length) = length else { return refuse(reply, BAD_LINE) };
    let waste = Some(Awaited::Waste { left: length + 2 });
    let (key, flags, exptime) = (line.key(1), line.number(2), line.number(3));
    let (Some(key), Some(flags), Some(exptime)) = (key, flags, exptime) else {
        reply.line(BAD_LINE);
        return waste;
    };
    if cas && line.number::<u64>(5).is_none() {
        reply.line(BAD_LINE);
        return waste;
    }
    if too_large(key, length) {
        // The old value must not outlive the attempt to replace it.
        state.items.take(key);
        reply.line(TOO_LARGE);
        return waste;
    }
    let store = Store { mode, key: key.to_vec(), flags, exptime, noreply: line.noreply() };
    reply.silence(false);
    Some(Awaited::Value { store, length: length + 2 })
}

fn refuse(reply: &mut Reply, text: &str) -> Option<Awaited> {
    reply.line(text);
    None
}

/// Stores the data that has come, CRLF included.
pub(crate) fn finish(state: &mut State, store: Store, block: &[u8], reply: &mut Reply) {
    reply.silence(store.noreply);
    let Some(data) = block.strip_suffix(b"\r\n") else { return reply.line("CLIENT_ERROR bad data chunk") };
    state.counters.sets += 1;
    reply.line(put(state, &store, data));
}

fn put(state: &mut State, store: &Store, data: &[u8]) -> &'static str {
    let old = state.items.value(&store.key);
    match (store.mode, old) {
        (Mode::Add, Some(_)) | (Mode::Replace | Mode::Append | Mode::Prepend, None) => return "NOT_STORED",
        (Mode::Cas(_), None) => return "NOT_FOUND",
        (Mode::Cas(wanted), Some(item)) if item.cas != wanted => return "EXISTS",
        (Mode::Append | Mode::Prepend, Some(item)) => {
            // Flags and expiry stay those of the old item.
            let (flags, parts) = match store.mode {
                Mode::Append => (item.flags, [item.data.as_slice(), data]),
                _ => (item.flags, [data, item.data.as_slice()]),
            };
            let joined = parts.concat();
            if too_large(&store.key, joined.len()) {
                return TOO_LARGE;
            }
            let expires = state.items.expiry(&store.key).flatten();
            state.store(&store.key, flags, joined, expires);
        }
        _ => {
            let expires = state.expiry(store.exptime);
            state.store(&store.key, store.flags, data.to_vec(), expires);
        }
    }
    "STORED"
}

pub(crate) fn delete(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    let Some(key) = line.key(1) else {
        return reply.line(if line.len() < 2 { ERROR } else { BAD_LINE });
    };
    reply.silence(line.noreply());
    // Long ago a time could follow; a number is still taken and means nothing.
    let more = line.rest(2).iter().filter(|word| **word != b"noreply").collect::<Vec<_>>();
    if more.len() > 1 || more.iter().any(|word| super::line::number::<u64>(word).is_none()) {
        return reply.line("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
    }
    reply.line(if state.items.take(key).is_some() { "DELETED" } else { "NOT_FOUND" });
}

/// Whether an item would not fit into the largest one there may be, with what memcached keeps beside it.
fn too_large(key: &[u8], length: usize) -> bool {
    length.saturating_add(key.len()).saturating_add(ITEM_COST) > ITEM_BYTES_MAX
}

const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
/// Largest item with key and header, memcached's default.
const ITEM_BYTES_MAX: usize = 1024 * 1024;
/// memcached's header with a cas number, and three ends.
const ITEM_COST: usize = 56 + 3;
/// Largest length that is one (memcached: INT_MAX - 2); what is swallowed is not kept.
const LENGTH_MAX: usize = 0x7fff_fffd;
