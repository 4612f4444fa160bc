//! CLIENT REPLY OFF and SKIP.

use crate::rig::{redis, request, requests};

#[test]
fn nothing_is_answered_until_it_is_wanted_again() {
    let mut rig = redis(2);
    let (client, other) = (rig.client(), rig.client());
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    let get = |key: &str| format!("GET {key}");
    rig.send(
        client,
        requests(&["CLIENT REPLY OFF", "PING", &get(&here), "NOSUCH", &format!("MGET {here} {there}")]),
    );
    rig.send(other, request(&get(&here)));
    rig.reply(0, "$1\r\na\r\n");
    rig.reply(0, "*1\r\n$1\r\nb\r\n");
    rig.reply(0, "$1\r\nc\r\n");
    rig.reply(1, "*1\r\n$1\r\nd\r\n");
    assert_eq!(rig.read(client), "");
    assert_eq!(rig.read(other), "$1\r\nc\r\n", "nobody else notices");
    assert_eq!(rig.core.usage().requests, 0);
    rig.send(client, requests(&["PING", "CLIENT REPLY ON", &get(&there)]));
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.reply(1, "$1\r\ne\r\n");
    assert_eq!(rig.read(client), "$1\r\ne\r\n");
}

#[test]
fn what_was_asked_before_is_still_answered_in_order() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "CLIENT REPLY SKIP", "GET b", "PING", "GET c"]));
    rig.reply(0, "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert_eq!(rig.read(client), "$1\r\na\r\n+PONG\r\n$1\r\nc\r\n");
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn skip_is_for_one_request() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["CLIENT REPLY SKIP", "PING", "PING"]));
    assert_eq!(rig.read(client), "+PONG\r\n");
    rig.send(client, requests(&["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "ECHO a"]));
    assert_eq!(rig.read(client), "$1\r\na\r\n");
    rig.send(client, requests(&["CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING"]));
    assert_eq!(rig.read(client), "+OK\r\n+PONG\r\n");
    rig.send(client, requests(&["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "PING", "RESET", "PING"]));
    assert_eq!(rig.read(client), "+RESET\r\n+PONG\r\n");
    rig.send(client, request("CLIENT REPLY LOUD"));
    assert_eq!(rig.read(client), "-ERR syntax error\r\n");
}

#[test]
fn what_waits_behind_an_unheard_reply_goes_on() {
    let mut rig = redis(1);
    let client = rig.client();
    // A blocking command waits for what is before it, and what comes after waits for it.
    rig.send(client, requests(&["CLIENT REPLY OFF", "SET k v", "BLPOP l 0", "SET k w"]));
    assert_eq!(rig.sent(0).as_bytes(), request("SET k v"));
    rig.reply(0, "+OK\r\n");
    rig.later(1);
    assert_eq!(rig.sent(0).as_bytes(), request("BLPOP l 0"));
    rig.reply(0, "*-1\r\n");
    rig.later(1);
    assert_eq!(rig.sent(0).as_bytes(), request("SET k w"));
    rig.reply_everywhere(0, "+OK\r\n");
    assert_eq!(rig.read(client), "");
    rig.send(client, request("QUIT"));
    assert!(rig.closed(client).is_some());
    assert_eq!(rig.read(client), "");
}

#[test]
fn a_skipped_request_that_has_to_wait_is_skipped_all_the_same() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "CLIENT REPLY SKIP", "BLPOP l 0", "PING"]));
    rig.reply(0, "$1\r\na\r\n");
    rig.later(1);
    rig.reply(0, "*-1\r\n");
    rig.later(1);
    assert_eq!(rig.read(client), "$1\r\na\r\n+PONG\r\n");
}

#[test]
fn transactions_run_unheard() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["CLIENT REPLY OFF", "MULTI", "SET k v", "EXEC"]));
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    rig.later(1);
    rig.send(client, request("CLIENT REPLY ON"));
    assert_eq!(rig.read(client), "+OK\r\n");
}

#[test]
fn a_large_reply_is_dropped_as_it_comes() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["CLIENT REPLY OFF", "GET k", "CLIENT REPLY ON"]));
    rig.reply(0, format!("$2000000\r\n{}", "v".repeat(1_000_000)));
    rig.reply(0, "v".repeat(1_000_000) + "\r\n");
    rig.later(1);
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.send(client, request("PING"));
    assert_eq!(rig.read(client), "+PONG\r\n");
    assert_eq!(rig.core.usage().requests, 0);
}

/// As redis does, though it says only that replies are off.
#[test]
fn confirmations_and_messages_come_all_the_same() {
    for (hello, mark) in [("HELLO 2", '*'), ("HELLO 3", '>')] {
        let mut rig = redis(1);
        let client = rig.client();
        rig.send(client, request(hello));
        rig.read(client);
        rig.send(client, requests(&["CLIENT REPLY OFF", "SUBSCRIBE c", "NOSUCH"]));
        rig.reply(0, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
        assert_eq!(rig.read(client), format!("{mark}3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
        rig.reply(0, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
        assert_eq!(rig.read(client), format!("{mark}3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"));
        rig.send(client, requests(&["UNSUBSCRIBE c", "PING", "CLIENT REPLY ON"]));
        let text = format!("{mark}3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n+OK\r\n");
        assert_eq!(rig.read(client), text);
        rig.send(client, requests(&["CLIENT REPLY SKIP", "UNSUBSCRIBE c", "ECHO a"]));
        let text = format!("{mark}3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n$1\r\na\r\n");
        assert_eq!(rig.read(client), text);
    }
}
