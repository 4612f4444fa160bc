//! Commands that read items or prolong them.

use super::line::{Line, is_key};
use super::reply::{BAD_LINE, Reply};
use super::state::{Item, State};

pub(crate) fn get(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    values(state, line.rest(1), false, None, reply);
}

pub(crate) fn gets(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    values(state, line.rest(1), true, None, reply);
}

pub(crate) fn gat(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    get_and_touch(state, line, false, reply);
}

pub(crate) fn gats(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    get_and_touch(state, line, true, reply);
}

fn get_and_touch(state: &mut State, line: &Line<'_>, cas: bool, reply: &mut Reply) {
    if line.len() < 3 {
        // Naming no key is an error only without a time, as in memcached.
        return reply.line(if line.len() < 2 { "ERROR" } else { "END" });
    }
    match line.number::<i64>(1) {
        Some(exptime) => values(state, line.rest(2), cas, Some(exptime), reply),
        None => reply.line("CLIENT_ERROR invalid exptime argument"),
    }
}

/// The items of `keys`, in their order; one bad key spoils all, as in memcached.
fn values(state: &mut State, keys: &[&[u8]], cas: bool, touch: Option<i64>, reply: &mut Reply) {
    if keys.is_empty() || !keys.iter().all(|key| is_key(key)) {
        return reply.line(BAD_LINE);
    }
    let expires = touch.map(|exptime| state.expiry(exptime));
    for key in keys {
        state.counters.gets += 1;
        let Some(item) = state.items.value(key) else { continue };
        state.counters.hits += 1;
        value(key, item, cas, reply);
        if reply.len() > state.options.reply_bytes_max {
            return reply.instead("SERVER_ERROR out of memory writing get response");
        }
        if let Some(expires) = expires {
            state.counters.touches += 1;
            state.items.set_expiry(key, expires);
        }
    }
    reply.line("END");
}

fn value(key: &[u8], item: &Item, cas: bool, reply: &mut Reply) {
    reply.bytes(b"VALUE ");
    reply.bytes(key);
    let cas = if cas { format!(" {}", item.cas) } else { String::new() };
    reply.line(&format!(" {} {}{cas}", item.flags, item.data.len()));
    reply.block(&item.data);
}

pub(crate) fn touch(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    if line.len() < 3 {
        return reply.line("ERROR");
    }
    let Some(key) = line.key(1) else { return reply.line(BAD_LINE) };
    reply.silence(line.noreply());
    let Some(exptime) = line.number(2) else { return reply.line("CLIENT_ERROR invalid exptime argument") };
    state.counters.touches += 1;
    let expires = state.expiry(exptime);
    reply.line(if state.items.set_expiry(key, expires) { "TOUCHED" } else { "NOT_FOUND" });
}
