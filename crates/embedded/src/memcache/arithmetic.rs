//! Items used as numbers.

use super::line::{Line, number};
use super::reply::{BAD_LINE, Reply};
use super::state::State;

/// Wraps at 64 bits, as in memcached.
pub(crate) fn incr(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    change(state, line, u64::wrapping_add, reply);
}

/// Stops at 0, as in memcached.
pub(crate) fn decr(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    change(state, line, u64::saturating_sub, reply);
}

fn change(state: &mut State, line: &Line<'_>, operation: fn(u64, u64) -> u64, reply: &mut Reply) {
    if line.len() < 3 {
        return reply.line("ERROR");
    }
    let Some(key) = line.key(1) else { return reply.line(BAD_LINE) };
    reply.silence(line.noreply());
    let Some(by) = line.number(2) else { return reply.line("CLIENT_ERROR invalid numeric delta argument") };
    let Some(item) = state.items.value(key) else { return reply.line("NOT_FOUND") };
    let Some(old) = number::<u64>(item.data.trim_ascii_end()) else {
        return reply.line("CLIENT_ERROR cannot increment or decrement non-numeric value");
    };
    let new = operation(old, by).to_string();
    let cas = state.next_cas();
    state.items.change(key, |item| {
        // A number that became shorter keeps its place, filled with spaces.
        let length = item.data.len().max(new.len());
        item.data = new.as_bytes().to_vec();
        item.data.resize(length, b' ');
        item.cas = cas;
    });
    reply.line(&new);
}
