//! Commands about the server as a whole.

use super::line::{Line, number};
use super::reply::{BAD_LINE, ERROR, Reply};
use super::state::State;

pub(crate) fn version(reply: &mut Reply) {
    reply.line(&format!("VERSION {VERSION}"));
}

/// There is no log here whose detail could change.
pub(crate) fn verbosity(line: &Line<'_>, reply: &mut Reply) {
    reply.silence(line.noreply());
    match line.number::<u32>(1) {
        _ if line.len() < 2 => reply.line(ERROR),
        None if !line.noreply() => reply.line(BAD_LINE),
        _ => reply.line("OK"),
    }
}

pub(crate) fn flush_all(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    reply.silence(line.noreply());
    let delay = match line.rest(1) {
        [] => Some(0),
        [word] if *word == b"noreply" => Some(0),
        [word, ..] => number(word),
    };
    match delay {
        Some(seconds) => {
            state.flush_in(seconds);
            reply.line("OK");
        }
        None => reply.line("CLIENT_ERROR invalid exptime argument"),
    }
}

pub(crate) fn stats(state: &mut State, line: &Line<'_>, reply: &mut Reply) {
    match line.word(1) {
        b"" => general(state, reply),
        b"settings" => {
            stat(reply, "maxbytes", state.options.bytes_max);
            stat(reply, "maxconns", state.options.clients_max);
            stat(reply, "item_size_max", 1024 * 1024);
            reply.line("END");
        }
        b"reset" => {
            state.counters = Default::default();
            reply.line("RESET");
        }
        // What these would tell, this server does not have.
        b"items" | b"slabs" | b"sizes" | b"conns" => reply.line("END"),
        _ => reply.line(ERROR),
    }
}

fn general(state: &State, reply: &mut Reply) {
    let counters = &state.counters;
    stat(reply, "pid", std::process::id());
    stat(reply, "uptime", state.started.elapsed().as_secs());
    stat(reply, "version", VERSION);
    stat(reply, "curr_connections", state.clients);
    stat(reply, "cmd_get", counters.gets);
    stat(reply, "cmd_set", counters.sets);
    stat(reply, "cmd_flush", counters.flushes);
    stat(reply, "cmd_touch", counters.touches);
    stat(reply, "get_hits", counters.hits);
    stat(reply, "get_misses", counters.gets.saturating_sub(counters.hits));
    stat(reply, "threads", 1);
    stat(reply, "bytes", state.items.bytes());
    stat(reply, "curr_items", state.items.len());
    stat(reply, "total_items", counters.items);
    stat(reply, "evictions", counters.evictions);
    stat(reply, "limit_maxbytes", state.options.bytes_max);
    reply.line("END");
}

fn stat(reply: &mut Reply, name: &str, value: impl std::fmt::Display) {
    reply.line(&format!("STAT {name} {value}"));
}

/// The last version before the meta commands, which clients would else try.
const VERSION: &str = "1.5.22";
