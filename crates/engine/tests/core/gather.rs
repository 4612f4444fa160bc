//! Reads of keys on several servers, where the pool gathers them.

use crate::rig::{Rig, pool_with, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;

/// Two servers, and how many bytes may be gathered.
fn rig(limit: usize) -> Rig {
    let mut view = pool_with(Protocol::Redis, 2, "cross_server: gather", |_| Standing::In);
    (view.gather, view.stream_from) = (Some(limit), 100);
    view.timeout_us = Some(1_000_000);
    view.retry_reads = true;
    Rig::new(view)
}

fn set(members: &[&str]) -> String {
    let members: Vec<String> =
        members.iter().map(|member| format!("${}\r\n{member}\r\n", member.len())).collect();
    format!("*{}\r\n{}", members.len(), members.concat())
}

#[test]
fn every_key_is_asked_of_its_server_and_the_answer_waits_for_all() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&["PING", &format!("SINTER {a} {b}"), "PING"]));
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("SMEMBERS {a}")));
    assert_eq!(rig.sent(1).as_bytes(), request(&format!("SMEMBERS {b}")));
    rig.reply(1, set(&["y", "z"]));
    assert_eq!(rig.read(client), "+PONG\r\n");
    rig.reply(0, set(&["x", "y"]));
    assert_eq!(rig.read(client), set(&["y"]) + "+PONG\r\n");
}

#[test]
fn keys_of_one_server_go_there_as_they_are() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(0, 1));
    rig.send(client, request(&format!("SINTER {a} {b}")));
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("SINTER {a} {b}")));
}

#[test]
fn a_mistake_is_told_before_anything_is_asked() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("ZUNION 2 {a} {b} WEIGHTS 1 x")));
    assert_eq!(rig.read(client), "-ERR weight value is not a float\r\n");
    let many = format!("SUNION {a} {}", vec![b.as_str(); engine::limits::GATHER_KEYS].join(" "));
    rig.send(client, request(&many));
    assert_eq!(rig.read(client), "-ERR at most 1024 keys are gathered from several servers\r\n");
    assert_eq!((rig.open_conns(0), rig.open_conns(1)), (0, 0));
}

#[test]
fn what_fails_is_the_answer() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    let ask = request(&format!("SUNION {a} {b}"));
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    rig.send(client, &ask);
    rig.reply(0, set(&["x"]));
    rig.reply(1, wrong);
    assert_eq!(rig.read(client), wrong);
    rig.send(client, &ask);
    rig.reply(0, set(&["x"]));
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.read(client), "-ERR Invalid argument\r\n", "no set");
    rig.send(client, &ask);
    rig.reply(0, set(&["x"]));
    rig.sent(1);
    rig.lose(1, Cause::Reset);
    assert_eq!(rig.sent(1).as_bytes(), request(&format!("SMEMBERS {b}")), "a read is asked once more");
    rig.lose(1, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n");
    rig.send(client, &ask);
    rig.reply(0, set(&["x"]));
    rig.later(1_001);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
}

#[test]
fn what_is_too_much_is_swallowed_as_it_comes_and_others_go_on() {
    let mut rig = rig(300);
    let (client, other, a, b) = (rig.client(), rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("SUNION {a} {b}"), "PING"]));
    let member = "$10\r\n0123456789\r\n";
    rig.reply(0, format!("*100000\r\n{}", member.repeat(10)));
    assert_eq!(rig.read(client), "");
    rig.reply_first(0, member.repeat(10));
    // More has come than may: its other part is still awaited, but this one is done with.
    assert_eq!(rig.core.usage().in_flight, 1);
    for _ in 0..998 {
        rig.reply_first(0, member.repeat(100));
    }
    rig.send(other, request(&format!("GET {a}")));
    rig.reply(0, "$1\r\nv\r\n");
    assert_eq!(rig.read(other), "$1\r\nv\r\n", "over another connection");
    rig.reply(1, set(&["x"]));
    let text =
        "-ERR the values of these keys take more than gather_limit, and they are on several servers\r\n";
    assert_eq!(rig.read(client), format!("{text}+PONG\r\n"));
    rig.reply_first(0, member.repeat(180));
    rig.send(client, request(&format!("SUNION {a} {b}")));
    rig.reply_first(0, set(&["x"]));
    rig.reply(1, set(&["y"]));
    assert_eq!(rig.read(client), set(&["x", "y"]));
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn a_large_part_that_is_not_too_much_is_collected() {
    let mut rig = rig(3000);
    let (client, other, a, b) = (rig.client(), rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("SDIFF {a} {b}")));
    rig.send(other, request(&format!("GET {a}")));
    let member = "$10\r\n0123456789\r\n";
    rig.reply(0, format!("*100\r\n{}$1", member.repeat(60)));
    rig.reply(0, "$1\r\nv\r\n");
    assert_eq!(rig.read(other), "$1\r\nv\r\n", "who waited behind it is served elsewhere");
    rig.reply(1, set(&["x"]));
    rig.reply_first(0, format!("0\r\n0123456789\r\n{}", member.repeat(39)));
    assert_eq!(rig.read(client), set(&["0123456789"]));
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn one_value_that_announces_too_much_is_not_waited_for() {
    let mut rig = rig(300);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("LCS {a} {b}")));
    rig.reply(1, "$-1\r\n");
    rig.reply(0, "$1000000\r\nx");
    let text =
        "-ERR the values of these keys take more than gather_limit, and they are on several servers\r\n";
    assert_eq!(rig.read(client), text);
    rig.later(1_001);
    assert_eq!(rig.open_conns(0), 0, "a server that does not go on is not waited for either");
}

#[test]
fn parts_that_are_too_much_together_are_an_error() {
    let mut rig = rig(64);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("SUNION {a} {b}")));
    let half = set(&["0123456789", "abcdefghij"]);
    rig.reply(0, &half);
    assert_eq!(rig.read(client), "");
    rig.reply(1, &half);
    assert!(rig.read(client).starts_with("-ERR the values of these keys take more than gather_limit"));
}

#[test]
fn who_wants_no_replies_or_is_gone_gets_none() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    let ask = format!("SUNION {a} {b}");
    rig.send(client, requests(&["CLIENT REPLY OFF", &ask, &format!("ZUNION 2 {a} {b} WRONG")]));
    rig.reply(0, set(&["x"]));
    rig.reply(1, set(&["y"]));
    assert_eq!(rig.read(client), "");
    rig.send(client, requests(&["CLIENT REPLY ON", &ask]));
    rig.reply(0, set(&["x"]));
    rig.reply(1, set(&["y"]));
    assert_eq!(rig.read(client), "+OK\r\n".to_owned() + &set(&["x", "y"]));
    let gone = rig.client();
    rig.send(gone, request(&ask));
    rig.vanish(gone);
    rig.reply(0, set(&["x"]));
    rig.reply(1, set(&["y"]));
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn a_client_that_watches_reads_over_several_servers_too_but_not_in_a_transaction() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("WATCH {a}")));
    rig.reply(0, "+OK\r\n");
    rig.send(client, request(&format!("SUNION {a} {b}")));
    rig.reply(0, set(&["x"]));
    rig.reply(1, set(&["y"]));
    assert_eq!(rig.read(client), "+OK\r\n".to_owned() + &set(&["x", "y"]));
    rig.send(client, requests(&["MULTI", &format!("SUNION {a} {b}"), "EXEC"]));
    let read = rig.read(client);
    assert!(read.starts_with("+OK\r\n-CROSSSLOT ") && read.contains("\r\n-EXECABORT "), "{read}");
}

#[test]
fn writes_over_several_servers_stay_refused() {
    let mut rig = rig(1000);
    let (client, a, b) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    for words in ["SUNIONSTORE A B", "ZUNIONSTORE A 1 B", "PFMERGE A B", "SMOVE A B m", "eval x 2 A B"] {
        rig.send(client, request(&words.replace('A', &a).replace('B', &b)));
        assert!(rig.read(client).starts_with("-CROSSSLOT "), "{words}");
    }
    assert_eq!((rig.open_conns(0), rig.open_conns(1)), (0, 0));
}
