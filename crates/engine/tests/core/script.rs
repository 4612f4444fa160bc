//! Scripts: a server that has forgotten one, those without keys, and stopping one.

use crate::rig::{Rig, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;

/// The SHA1 of `return1`.
const SHA: &str = "53f1da8c8a352df2fd0b308664621bc76c9e57cd";
const NOSCRIPT: &str = "-NOSCRIPT No matching script. Please use EVAL.\r\n";

fn text(lines: &[&str]) -> String {
    String::from_utf8(requests(lines)).expect("text")
}

/// A rig that has seen the script, its client, the script's SHA1 and a key.
fn prepared() -> (Rig, usize, String, String) {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("SCRIPT LOAD return1"));
    rig.reply(0, format!("$40\r\n{SHA}\r\n"));
    rig.read(client);
    rig.sent(0);
    let key = rig.key(0, 0);
    (rig, client, SHA.to_owned(), key)
}

#[test]
fn a_server_that_has_forgotten_a_script_is_told() {
    let (mut rig, client, sha, key) = prepared();
    for form in [sha.clone(), sha.to_uppercase()] {
        let evalsha = format!("EVALSHA {form} 1 {key}");
        rig.send(client, request(&evalsha));
        assert_eq!(rig.sent(0), text(&[&evalsha]));
        rig.reply(0, NOSCRIPT);
        assert_eq!(rig.read(client), "");
        assert_eq!(rig.sent(0), text(&["SCRIPT LOAD return1", &evalsha]));
        rig.reply(0, format!("$40\r\n{sha}\r\n:1\r\n"));
        assert_eq!(rig.read(client), ":1\r\n");
    }
    rig.send(client, request(&format!("EVALSHA {sha} 1 {key}")));
    rig.reply(0, ":1\r\n");
    assert_eq!(rig.read(client), ":1\r\n", "one that is known costs nothing");
}

#[test]
fn once_and_no_more() {
    let (mut rig, client, sha, key) = prepared();
    rig.send(client, request(&format!("EVALSHA {sha} 1 {key}")));
    rig.reply(0, NOSCRIPT);
    rig.reply(0, format!("-OOM no room\r\n{NOSCRIPT}"));
    assert_eq!(rig.read(client), NOSCRIPT);
    rig.send(client, request(&format!("EVALSHA {} 1 {key}", "0".repeat(40))));
    rig.reply(0, NOSCRIPT);
    assert_eq!(rig.read(client), NOSCRIPT, "nobody knows that one");
    rig.send(client, requests(&["SCRIPT FLUSH", &format!("EVALSHA {sha} 1 {key}")]));
    rig.reply(0, format!("+OK\r\n{NOSCRIPT}"));
    assert_eq!(rig.read(client), format!("+OK\r\n{NOSCRIPT}"), "all were told to forget it");
    // What refused the script is not taken for what refuses a transaction.
    rig.send(client, requests(&["MULTI", &format!("SET {key} v"), "EXEC"]));
    rig.reply(0, "+OK\r\n-OOM other\r\n-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert!(rig.read(client).ends_with("-EXECABORT Transaction discarded because of: OOM other\r\n"));
}

#[test]
fn eval_teaches_too() {
    let mut rig = redis(1);
    let client = rig.client();
    let key = rig.key(0, 0);
    rig.send(client, request(&format!("EVAL return1 1 {key}")));
    rig.reply(0, ":1\r\n");
    rig.send(client, request(&format!("EVALSHA {SHA} 1 {key}")));
    rig.sent(0);
    rig.reply(0, NOSCRIPT);
    assert!(rig.sent(0).starts_with(&text(&["SCRIPT LOAD return1"])));
}

#[test]
fn nothing_of_the_client_is_overtaken() {
    let (mut rig, client, sha, key) = prepared();
    let other = rig.client();
    let evalsha = format!("EVALSHA {sha} 1 {key}");
    rig.send(client, requests(&[&evalsha, &format!("SET {key} v")]));
    rig.sent(0);
    rig.reply(0, NOSCRIPT);
    assert_eq!((rig.read(client).as_str(), rig.sent(0).as_str()), (NOSCRIPT, ""), "the SET would come first");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    // What others ask behind it is nothing to it, and what it asks later comes after it.
    rig.send(client, request(&evalsha));
    rig.send(other, request(&format!("GET {key}")));
    rig.sent(0);
    rig.reply(0, NOSCRIPT);
    rig.send(client, request(&format!("SET {key} v")));
    assert_eq!(rig.sent(0), text(&["SCRIPT LOAD return1", &evalsha, &format!("SET {key} v")]));
    rig.reply(0, format!("$1\r\nv\r\n$40\r\n{sha}\r\n:1\r\n+OK\r\n"));
    assert_eq!((rig.read(other), rig.read(client)), ("$1\r\nv\r\n".to_owned(), ":1\r\n+OK\r\n".to_owned()));
}

#[test]
fn a_client_that_is_gone_is_not_mended_for() {
    let (mut rig, client, sha, key) = prepared();
    rig.send(client, request(&format!("EVALSHA {sha} 1 {key}")));
    rig.vanish(client);
    rig.sent(0);
    rig.reply(0, NOSCRIPT);
    assert_eq!(rig.sent(0), "");
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn a_mended_request_that_breaks_off_is_an_error() {
    let (mut rig, client, sha, key) = prepared();
    rig.send(client, request(&format!("EVALSHA_RO {sha} 1 {key}")));
    rig.reply(0, NOSCRIPT);
    rig.reply(0, format!("$40\r\n{sha}\r\n"));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n");
}

#[test]
fn without_keys_a_script_has_a_home_all_the_same() {
    let mut rig = redis(4);
    let client = rig.client();
    let home = rig.topology.pools[0].placement.server(SHA.as_bytes(), || 0).expect("a server") as usize;
    for line in [
        "EVAL return1 0".to_owned(),
        format!("EVALSHA {SHA} 0"),
        format!("EVALSHA {} 0 arg", SHA.to_uppercase()),
    ] {
        rig.send(client, request(&line));
        assert_eq!(rig.sent(home), text(&[&line]));
        rig.reply(home, ":1\r\n");
        assert_eq!(rig.read(client), ":1\r\n");
    }
    let home = rig.topology.pools[0].placement.server(b"myfunction", || 0).expect("a server") as usize;
    for line in ["FCALL myfunction 0", "FCALL_RO MyFunction 0 arg"] {
        rig.send(client, request(line));
        assert_eq!(rig.sent(home), text(&[line]));
        rig.reply(home, ":1\r\n");
        assert_eq!(rig.read(client), ":1\r\n");
    }
}

#[test]
fn stopping_a_script_does_not_wait_behind_it() {
    let mut rig = redis(2);
    let (client, other) = (rig.client(), rig.client());
    let key = rig.key(0, 0);
    rig.send(other, request(&format!("EVAL return1 1 {key}")));
    rig.sent(0);
    rig.send(client, request("SCRIPT KILL"));
    assert_eq!(rig.open_conns(0), 2, "a connection of its own");
    assert_eq!(rig.sent(0), text(&["SCRIPT KILL"]));
    rig.reply(1, "-NOTBUSY No scripts in execution right now.\r\n");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    for (first, expected) in
        [("-UNKILLABLE it wrote\r\n", "-UNKILLABLE it wrote\r\n"), ("-NOTBUSY no\r\n", "-NOTBUSY no\r\n")]
    {
        rig.send(client, request("FUNCTION KILL"));
        rig.reply(1, "-NOTBUSY no\r\n");
        rig.reply(0, first);
        assert_eq!(rig.read(client), expected);
    }
    rig.send(client, request("SCRIPT KILL"));
    rig.vanish(client);
    rig.reply(0, "+OK\r\n");
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.core.usage().merges, 0);
}

#[test]
fn there_are_only_so_many_connections_for_that() {
    let mut rig = Rig::new(pool_with(Protocol::Redis, 2, "pinned_connections: 1", |_| Standing::In));
    let client = rig.client();
    for _ in 0..3 {
        rig.send(client, request("SCRIPT KILL"));
        rig.reply(0, "-NOTBUSY no\r\n");
        assert!(rig.read(client).contains("(pinned_connections)"));
    }
}

const NOT_FOUND: &str = "-ERR Function not found\r\n";
const LIBRARY: &str = "#!lua\tname=lib\nredis.register_function('mine',f)";

/// The words of a request, of which the last may hold anything.
fn load(words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let words = words.split(' ').map(str::as_bytes).chain([LIBRARY.as_bytes()]);
    wire::resp::encode::request(words.collect::<Vec<_>>(), &mut out);
    out
}

/// A rig of which a client has loaded a library, that client, and a key.
fn with_library() -> (Rig, usize, String) {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, load("FUNCTION LOAD"));
    rig.reply(0, "$3\r\nlib\r\n");
    rig.read(client);
    rig.sent(0);
    let key = rig.key(0, 0);
    (rig, client, key)
}

#[test]
fn a_server_that_has_lost_a_library_is_told() {
    let (mut rig, client, key) = with_library();
    for call in [format!("FCALL mine 1 {key}"), format!("fcall_ro MINE 1 {key}"), "FCALL Mine 0".to_owned()] {
        rig.send(client, request(&call));
        assert_eq!(rig.sent(0).as_bytes(), request(&call));
        rig.reply(0, NOT_FOUND);
        assert_eq!(rig.read(client), "");
        assert_eq!(rig.sent(0).as_bytes(), [load("FUNCTION LOAD"), request(&call)].concat());
        rig.reply(0, "$3\r\nlib\r\n:1\r\n");
        assert_eq!(rig.read(client), ":1\r\n");
    }
    rig.send(client, request(&format!("FCALL mine 1 {key}")));
    rig.reply(0, NOT_FOUND);
    rig.reply(0, format!("-ERR Library 'lib' already exists\r\n{NOT_FOUND}"));
    assert_eq!(rig.read(client), NOT_FOUND, "once and no more");
    rig.sent(0);
    rig.send(client, request(&format!("FCALL other 1 {key}")));
    rig.reply(0, NOT_FOUND);
    assert_eq!(
        (rig.read(client).as_str(), rig.sent(0).len()),
        (NOT_FOUND, request(&format!("FCALL other 1 {key}")).len())
    );
}

#[test]
fn a_library_that_may_be_another_is_forgotten() {
    for (change, reply) in [
        (request("FUNCTION DELETE lib"), "+OK\r\n"),
        (request("FUNCTION FLUSH"), "+OK\r\n"),
        (request("FUNCTION RESTORE payload"), "-ERR no\r\n"),
        (load("FUNCTION LOAD REPLACE"), "-ERR no\r\n"),
    ] {
        let (mut rig, client, key) = with_library();
        rig.send(client, change);
        rig.reply(0, reply);
        assert_eq!(rig.read(client), reply);
        rig.send(client, request(&format!("FCALL mine 1 {key}")));
        rig.reply(0, NOT_FOUND);
        assert_eq!(rig.read(client), NOT_FOUND);
        rig.send(client, load("FUNCTION LOAD REPLACE"));
        rig.reply(0, "$3\r\nlib\r\n");
        rig.read(client);
        rig.send(client, request(&format!("FCALL mine 1 {key}")));
        rig.reply(0, NOT_FOUND);
        assert_eq!(rig.read(client), "", "it is known again");
    }
}
