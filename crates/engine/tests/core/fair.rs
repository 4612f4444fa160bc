//! Requests of very many keys: other clients are served while they are split and while their replies are put together.

use crate::rig::{Rig, pool, pool_with, request, requests};
use config::Protocol;
use engine::Usage;
use engine::error::Cause;
use engine::topology::Standing;
use stats::{PoolMetric, ServerMetric, WorkerMetric};

/// What a worker reads at once.
const READ_BYTES: usize = 64 << 10;

/// Two servers, and requests of more than two keys are divided.
fn rig(protocol: Protocol) -> Rig {
    let mut rig = Rig::new(pool(protocol, 2));
    rig.core.divide_from(2);
    rig
}

/// So many keys of each server in turn: those of server 0 at even places.
fn keys(rig: &Rig, count: usize) -> Vec<String> {
    (0..count).map(|n| rig.key((n % 2) as u32, n / 2)).collect()
}

/// Ticks go by until nothing is left to do but to wait; answers how many.
fn settle(rig: &mut Rig) -> usize {
    let mut ticks = 0;
    while rig.core.usage().divided > 0 && ticks < 1_000_000 {
        let due = rig.core.next_deadline();
        if due.is_none_or(|at| at > 1_000_000) {
            break;
        }
        rig.later(0);
        ticks += 1;
    }
    ticks
}

/// Keys that were asked of a server with this command.
fn asked(sent: &str, word: &str) -> Vec<String> {
    let mut words = sent.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
    assert_eq!(words.next(), Some(word), "{sent:?}");
    words.map(str::to_owned).collect()
}

fn values<'k>(keys: impl IntoIterator<Item = &'k String>) -> String {
    let keys: Vec<_> = keys.into_iter().collect();
    let elements: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
    format!("*{}\r\n{elements}", keys.len())
}

fn nothing_left(rig: &Rig) {
    let Usage { clients, conns: _, requests, merges, in_flight, pieces, divided } = rig.core.usage();
    assert_eq!((clients, requests, merges, in_flight, pieces, divided), (0, 0, 0, 0, 0, 0));
}

#[test]
fn others_are_served_while_a_request_is_split_and_its_reply_put_together() {
    const KEYS: usize = 300_000;
    let mut rig = Rig::new(pool(Protocol::Redis, 2));
    let (hot, other) = (rig.client(), rig.client());
    rig.send(other, request("GET warm"));
    let home = usize::from(rig.sent(0).is_empty());
    rig.reply(home, "$-1\r\n");
    rig.read(other);
    let all: Vec<String> = (0..KEYS).map(|n| format!("{{k{}}}:{n:06}", n % 7)).collect();
    let bytes = request(&format!("MGET {}", all.join(" ")));
    bytes.chunks(READ_BYTES).for_each(|piece| rig.send(hot, piece));
    let mut served = 0;
    while rig.sent(1 - home).is_empty() {
        assert_eq!(rig.sent(home), "", "all parts leave together");
        rig.send(other, request("GET warm"));
        assert_eq!(asked(&rig.sent(home), "GET"), ["warm"], "it leaves in the tick in which it came");
        rig.reply(home, "$1\r\n1\r\n");
        assert_eq!(rig.read(other), "$1\r\n1\r\n");
        served += 1;
        assert_eq!(rig.core.next_deadline(), Some(rig.now_us()), "there is more to do at once");
        rig.later(0);
    }
    assert!((30..60).contains(&served), "{served} ticks for {KEYS} keys");
    assert!(!rig.core.is_idle());
    // The rest of the parts is with the servers by now; they answer.
    let parts = rig.server_counter(home, ServerMetric::Requests) - served as u64 - 1;
    assert_eq!(parts, 1);
    let of = |server: usize, rig: &Rig| {
        let placement = &rig.topology.pools[0].placement;
        let own = |key: &&String| placement.server(key.as_bytes(), || 0) == Some(server as u32);
        values(all.iter().filter(own))
    };
    for server in [home, 1 - home] {
        of(server, &rig).as_bytes().chunks(READ_BYTES).for_each(|piece| rig.reply(server, piece));
    }
    let mut served = 0;
    let mut reply = rig.read(hot);
    while reply.is_empty() {
        rig.send(other, request("PING"));
        assert_eq!(rig.read(other), "+PONG\r\n");
        served += 1;
        rig.later(0);
        reply = rig.read(hot);
    }
    assert!((30..60).contains(&served), "{served} ticks for {KEYS} values");
    assert_eq!(reply, values(&all));
    [hot, other].into_iter().for_each(|client| rig.vanish(client));
    nothing_left(&rig);
}

#[test]
fn it_is_answered_as_if_it_had_been_split_at_once() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 7), rig.client());
    let pairs: Vec<String> = keys.iter().map(|key| format!("{key} v{key}")).collect();
    let lines = ["MGET", "DEL"].map(|word| format!("{word} {}", keys.join(" ")));
    rig.send(client, request(&lines[0]));
    assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()), "nothing leaves before all can");
    assert_eq!(settle(&mut rig), 5, "two keys a tick, and one to send them");
    assert_eq!(asked(&rig.sent(0), "MGET"), [&*keys[0], &keys[2], &keys[4], &keys[6]]);
    assert_eq!(asked(&rig.sent(1), "MGET"), [&*keys[1], &keys[3], &keys[5]]);
    rig.reply(1, "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n5\r\n");
    rig.reply(0, "*4\r\n$-1\r\n$1\r\n2\r\n$1\r\n4\r\n$0\r\n\r\n");
    assert_eq!(rig.read(client), "");
    settle(&mut rig);
    let expected = "*7\r\n$-1\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n4\r\n$1\r\n5\r\n$0\r\n\r\n";
    assert_eq!(rig.read(client), expected);
    rig.send(client, request(&lines[1]));
    settle(&mut rig);
    rig.reply(0, ":3\r\n");
    rig.reply(1, ":2\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), ":5\r\n");
    rig.sent(0);
    rig.send(client, request(&format!("MSET {}", pairs.join(" "))));
    settle(&mut rig);
    let sent = format!("MSET {} {} {} {}", pairs[0], pairs[2], pairs[4], pairs[6]);
    assert_eq!(rig.sent(0).as_bytes(), request(&sent));
    rig.reply(0, "+OK\r\n");
    rig.reply(1, "-OOM no room\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), "-OOM no room (1 of 2 servers failed)\r\n");
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn keys_of_one_server_go_there_as_they_came() {
    let mut rig = rig(Protocol::Redis);
    let client = rig.client();
    let line = format!("MGET {} {} {} {}", rig.key(1, 0), rig.key(1, 1), rig.key(1, 2), rig.key(1, 3));
    rig.send(client, request(&line));
    settle(&mut rig);
    assert_eq!((rig.sent(0), rig.sent(1).into_bytes()), (String::new(), request(&line)));
    rig.reply(1, "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
    assert_eq!(rig.read(client), "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
}

#[test]
fn an_inline_request_is_divided_too() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 5), rig.client());
    rig.send(client, format!("EXISTS {}\r\nPING\r\n", keys.join(" ")));
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "EXISTS"), [&*keys[0], &keys[2], &keys[4]]);
    rig.reply(0, ":3\r\n");
    rig.reply(1, ":0\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), ":3\r\n+PONG\r\n");
}

#[test]
fn a_multi_get_of_memcached() {
    let mut rig = rig(Protocol::Memcache);
    let (keys, client) = (keys(&rig, 6), rig.client());
    rig.send(client, format!("gets {}\r\nget {}\r\n", keys.join(" "), keys[0]));
    settle(&mut rig);
    assert_eq!(rig.sent(1), format!("gets {} {} {}\r\n", keys[1], keys[3], keys[5]));
    let sent = format!("gets {} {} {}\r\nget {}\r\n", keys[0], keys[2], keys[4], keys[0]);
    assert_eq!(rig.sent(0), sent, "what follows follows");
    let value = |n: usize| format!("VALUE {} 0 1 7\r\n{n}\r\n", keys[n]);
    rig.reply(0, format!("{}{}END\r\n", value(0), value(4)));
    rig.reply(1, format!("{}END\r\n", value(3)));
    rig.reply(0, "END\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), format!("{}{}{}END\r\nEND\r\n", value(0), value(3), value(4)));
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn it_keeps_its_place_between_what_its_client_asked_before_and_after() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 4), rig.client());
    let set = format!("SET {} 1", keys[0]);
    rig.send(client, requests(&[&set, &format!("MGET {}", keys.join(" ")), "PING"]));
    settle(&mut rig);
    assert_eq!(rig.sent(0).as_bytes(), request(&set), "it waits for the answer");
    assert!(rig.core.next_deadline().is_none_or(|at| at > rig.now_us()), "and is not asked for meanwhile");
    rig.reply(0, "+OK\r\n");
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "MGET"), [&*keys[0], &keys[2]]);
    rig.reply(0, "*2\r\n$1\r\n1\r\n$-1\r\n");
    rig.reply(1, "*2\r\n$-1\r\n$-1\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), "+OK\r\n*4\r\n$1\r\n1\r\n$-1\r\n$-1\r\n$-1\r\n+PONG\r\n");
}

#[test]
fn many_take_turns() {
    let mut rig = rig(Protocol::Redis);
    let (keys, long, short) = (keys(&rig, 40), rig.client(), rig.client());
    rig.send(long, request(&format!("MGET {}", keys.join(" "))));
    rig.send(short, request(&format!("EXISTS {} {} {}", keys[0], keys[1], keys[2])));
    for _ in 0..8 {
        rig.later(0);
    }
    assert_eq!(asked(&rig.sent(0), "EXISTS").len(), 2, "the short one does not wait for the long one");
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "MGET").len(), 20);
}

#[test]
fn a_client_leaves_in_the_middle() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 8), rig.client());
    rig.send(client, request(&format!("DEL {}", keys.join(" "))));
    rig.later(0);
    rig.vanish(client);
    nothing_left(&rig);
    rig.later(0);
    assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()));
    // And while its reply is put together.
    let client = rig.client();
    rig.send(client, request(&format!("MGET {}", keys.join(" "))));
    settle(&mut rig);
    let part = format!("*4\r\n{}", "$1\r\nv\r\n".repeat(4));
    rig.reply(0, &part);
    rig.reply(1, &part);
    rig.later(0);
    rig.vanish(client);
    settle(&mut rig);
    nothing_left(&rig);
}

#[test]
fn a_client_that_ended_its_side_is_answered() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 4), rig.client());
    rig.send(client, request(&format!("DEL {}", keys.join(" "))));
    rig.end(client);
    settle(&mut rig);
    rig.reply(0, ":1\r\n");
    rig.reply(1, ":1\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), ":2\r\n");
    assert!(rig.closed(client).is_some());
    nothing_left(&rig);
}

#[test]
fn all_keys_are_placed_by_one_view() {
    let view = |standing| {
        pool_with(Protocol::Redis, 2, "auto_eject_hosts: true", move |server| match server {
            0 => standing,
            _ => Standing::In,
        })
    };
    let mut rig = Rig::new(view(Standing::In));
    rig.core.divide_from(2);
    let (keys, client) = (keys(&rig, 8), rig.client());
    rig.send(
        client,
        request(&format!("MSET {}", keys.iter().map(|key| format!("{key} v")).collect::<Vec<_>>().join(" "))),
    );
    rig.later(0);
    rig.later(0);
    rig.take_up(view(Standing::Out));
    settle(&mut rig);
    assert_eq!(rig.sent(0), "");
    let sent = rig.sent(1);
    assert!(keys.iter().all(|key| sent.contains(&format!("\r\n{key}\r\n"))), "{sent}");
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    // When all are placed already, and it waits for an earlier answer.
    rig.send(client, requests(&[&format!("GET {}", keys[1]), &format!("DEL {}", keys.join(" "))]));
    settle(&mut rig);
    rig.take_up(view(Standing::In));
    rig.sent(1);
    rig.reply(1, "$-1\r\n");
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "DEL"), [&*keys[0], &keys[2], &keys[4], &keys[6]]);
    assert_eq!(asked(&rig.sent(1), "DEL"), [&*keys[1], &keys[3], &keys[5], &keys[7]]);
}

#[test]
fn a_server_is_lost_in_the_middle() {
    for partial in [true, false] {
        let mut view = pool(Protocol::Redis, 2);
        view.partial_is_miss = partial;
        let mut rig = Rig::new(view);
        rig.core.divide_from(2);
        let (keys, client) = (keys(&rig, 6), rig.client());
        rig.send(client, requests(&[&format!("GET {}", keys[0]), &format!("GET {}", keys[1])]));
        rig.reply(0, "$-1\r\n");
        rig.reply(1, "$-1\r\n");
        rig.read(client);
        rig.send(client, request(&format!("MGET {}", keys.join(" "))));
        rig.later(0);
        rig.lose(0, Cause::Closed);
        settle(&mut rig);
        rig.sent(1);
        assert!(rig.sent(0).ends_with(&format!("{}\r\n", keys[4])), "a fresh connection carries it");
        rig.reply(1, "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$1\r\n5\r\n");
        rig.lose(0, Cause::Reset);
        settle(&mut rig);
        let read = rig.read(client);
        match partial {
            true => assert_eq!(read, "*6\r\n$-1\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n$-1\r\n$1\r\n5\r\n",),
            false => assert!(read.starts_with("-ERR "), "{read}"),
        }
        rig.vanish(client);
        nothing_left(&rig);
    }
}

#[test]
fn no_server_takes_any_of_it() {
    let mut rig = Rig::new(pool_with(Protocol::Redis, 2, "auto_eject_hosts: true", |_| Standing::Out));
    rig.core.divide_from(2);
    let client = rig.client();
    rig.send(client, requests(&["MGET a b c d", "PING"]));
    settle(&mut rig);
    let read = rig.read(client);
    assert!(read.starts_with("-ERR ") && read.ends_with("\r\n+PONG\r\n"), "{read}");
}

#[test]
fn a_pause_in_the_middle_holds_it_up() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client, other) = (keys(&rig, 6), rig.client(), rig.client());
    rig.send(client, request(&format!("DEL {}", keys.join(" "))));
    rig.later(0);
    rig.send(other, request("CLIENT PAUSE 60000 WRITE"));
    settle(&mut rig);
    assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()));
    rig.send(other, request("CLIENT UNPAUSE"));
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "DEL"), [&*keys[0], &keys[2], &keys[4]]);
    rig.reply(0, ":3\r\n");
    rig.reply(1, ":3\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), ":6\r\n");
}

#[test]
fn a_client_that_wants_no_replies() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 6), rig.client());
    let line = format!("MGET {}", keys.join(" "));
    rig.send(client, requests(&["CLIENT REPLY SKIP", &line, "PING"]));
    settle(&mut rig);
    assert_eq!(asked(&rig.sent(0), "MGET").len(), 3);
    rig.reply(0, "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    rig.reply(1, "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    settle(&mut rig);
    rig.later(0);
    assert_eq!(rig.read(client), "+PONG\r\n");
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn a_reply_that_is_none_is_an_error() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 6), rig.client());
    rig.send(client, request(&format!("MGET {}", keys.join(" "))));
    settle(&mut rig);
    rig.reply(0, "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    rig.reply(1, "*2\r\n$-1\r\n$-1\r\n");
    settle(&mut rig);
    let read = rig.read(client);
    assert!(read.starts_with("-ERR ") && read.lines().count() == 1, "{read}");
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn what_was_written_for_a_client_that_left_reaches_nobody_else() {
    let mut rig = rig(Protocol::Redis);
    let keys = keys(&rig, 6);
    let line = format!("MGET {}", keys.join(" "));
    let (gone, stays) = (rig.client(), rig.client());
    for client in [gone, stays] {
        rig.send(client, request(&line));
        settle(&mut rig);
        let part = if client == gone {
            "*3\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n"
        } else {
            "*3\r\n$-1\r\n$-1\r\n$-1\r\n"
        };
        rig.reply(0, part);
        rig.reply(1, part);
        if client == gone {
            rig.later(0);
            rig.vanish(gone);
        }
        settle(&mut rig);
    }
    assert_eq!(rig.read(stays), format!("*6\r\n{}", "$-1\r\n".repeat(6)));
    rig.vanish(stays);
    nothing_left(&rig);
}

#[test]
fn a_killed_client_is_forgotten_in_the_middle() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client, killer) = (keys(&rig, 8), rig.client(), rig.client());
    rig.send(client, request(&format!("DEL {}", keys.join(" "))));
    rig.later(0);
    rig.send(killer, requests(&["CLIENT KILL ID 1", "PING"]));
    assert_eq!(rig.read(killer), ":1\r\n+PONG\r\n");
    settle(&mut rig);
    assert!(rig.closed(client).is_some());
    assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()));
    rig.vanish(killer);
    nothing_left(&rig);
}

#[test]
fn its_time_begins_when_it_is_sent() {
    let mut view = pool(Protocol::Redis, 2);
    view.timeout_us = Some(100_000);
    let mut rig = Rig::new(view);
    rig.core.divide_from(2);
    let (keys, client) = (keys(&rig, 6), rig.client());
    rig.send(client, request(&format!("DEL {}", keys.join(" "))));
    // Ticks that took long.
    for _ in 0..4 {
        rig.later(60);
    }
    assert_eq!(asked(&rig.sent(0), "DEL").len(), 3);
    rig.later(60);
    assert_eq!(rig.read(client), "");
    rig.later(41);
    settle(&mut rig);
    let read = rig.read(client);
    assert!(read.starts_with("-ERR Connection timed out"), "{read}");
    rig.vanish(client);
    rig.later(0);
    nothing_left(&rig);
}

#[test]
fn few_keys_with_large_values_are_many_too() {
    const VALUE: usize = 100 << 10;
    let mut rig = Rig::new(pool(Protocol::Redis, 2));
    let (keys, client) = (keys(&rig, 40), rig.client());
    let value = "v".repeat(VALUE);
    let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {value}")).collect();
    rig.send(client, request(&format!("MSET {}", pairs.join(" "))));
    assert_eq!((rig.sent(0).len(), rig.sent(1).len()), (0, 0));
    assert!(settle(&mut rig) >= 4, "a megabyte or so at a time");
    assert_eq!(asked(&rig.sent(0), "MSET").len(), 40);
    rig.reply(0, "+OK\r\n");
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.send(client, request(&format!("MGET {}", keys.join(" "))));
    assert_eq!(asked(&rig.sent(0), "MGET").len(), 20, "it is asked at once");
    let part = format!("*20\r\n{}", format!("${VALUE}\r\n{value}\r\n").repeat(20));
    rig.reply(0, &part);
    rig.reply(1, &part);
    assert_eq!(rig.read(client), "");
    assert!(settle(&mut rig) >= 2);
    assert_eq!(rig.read(client).len(), "*40\r\n".len() + 40 * (VALUE + "$102400\r\n\r\n".len()));
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn it_is_counted_once_and_within_a_transaction_not_divided() {
    let mut rig = rig(Protocol::Redis);
    let (keys, client) = (keys(&rig, 8), rig.client());
    let line = format!("EXISTS {}", keys.join(" "));
    rig.send(client, requests(&["PING", &line, "PING"]));
    assert_eq!(rig.pool_counter(PoolMetric::ClientRequests), 1, "it waits, and what is behind it");
    settle(&mut rig);
    assert_eq!(rig.pool_counter(PoolMetric::ClientRequests), 3);
    rig.reply(0, ":4\r\n");
    rig.reply(1, ":4\r\n");
    settle(&mut rig);
    assert_eq!(rig.read(client), "+PONG\r\n:8\r\n+PONG\r\n");
    assert_eq!(rig.pool_counter(PoolMetric::ClientRequests), 3);
    assert_eq!(rig.pool_counter(PoolMetric::Fragments), 2);
    let own: Vec<&str> = keys.iter().step_by(2).map(String::as_str).collect();
    rig.sent(0);
    rig.send(client, requests(&["MULTI", &format!("MGET {}", own.join(" ")), "EXEC"]));
    assert!(rig.sent(0).ends_with("EXEC\r\n"));
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
    let read = rig.read(client);
    assert!(read.ends_with("*1\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"), "{read}");
    rig.vanish(client);
    nothing_left(&rig);
}

#[test]
fn what_it_takes_counts_against_the_bound_on_memory() {
    const KEYS: usize = 20_000;
    let mut rig = Rig::new(pool(Protocol::Redis, 2));
    rig.core.limit_memory(1 << 20);
    let (client, other) = (rig.client(), rig.client());
    let all: Vec<String> = (0..KEYS).map(|n| format!("key:{n:016}")).collect();
    request(&format!("MGET {}", all.join(" ")))
        .chunks(READ_BYTES / 4)
        .for_each(|piece| rig.send(client, piece));
    settle(&mut rig);
    assert_eq!(rig.core.usage().divided, 0);
    let asked = [rig.sent(0), rig.sent(1)];
    for (server, asked) in asked.iter().enumerate() {
        let count = asked.split("\r\n").filter(|word| word.starts_with("key:")).count();
        rig.reply(server, format!("*{count}\r\n{}", "$-1\r\n".repeat(count)));
    }
    settle(&mut rig);
    assert_eq!(
        rig.read(client).len(),
        format!("*{KEYS}\r\n").len() + 5 * KEYS,
        "it is answered all the same"
    );
    let pauses = rig.worker_counter(WorkerMetric::MemoryPauses);
    assert!(pauses > 0, "it was more than there is room for");
    rig.later(1000);
    rig.send(other, request("PING"));
    assert_eq!(rig.read(other), "+PONG\r\n");
    rig.send(client, request("PING"));
    assert_eq!(rig.read(client), "+PONG\r\n");
    let held = rig.worker_counter(WorkerMetric::BufferBytes);
    assert!(held < 1 << 19, "{held}");
}
