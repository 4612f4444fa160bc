//! WAIT and WAITAOF: all servers are asked, on connections of the client's own, and the least counts.

use crate::rig::{Rig, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;

/// What a server is sent.
fn asked(words: &str) -> String {
    String::from_utf8(requests(&["SWAPDB 0 0", words])).expect("text")
}

fn timed(servers: usize) -> Rig {
    let mut view = pool_with(Protocol::Redis, servers, "", |_| Standing::In);
    view.timeout_us = Some(400_000);
    Rig::new(view)
}

#[test]
fn the_least_of_all_servers_once_all_before_it_is_answered() {
    let mut rig = redis(2);
    let (client, other) = (rig.client(), rig.client());
    let key = rig.key(0, 0);
    let set = format!("SET {key} v");
    rig.send(client, requests(&[&set, "WAIT 2 0", "PING"]));
    assert_eq!(rig.sent(0).as_bytes(), request(&set));
    assert_eq!(rig.sent(1), "", "its write is not answered yet");
    rig.reply(0, "+OK\r\n");
    assert_eq!((rig.sent(0), rig.sent(1)), (asked("WAIT 2 0"), asked("WAIT 2 0")));
    rig.send(other, request(&set));
    rig.reply_first(0, "+OK\r\n");
    assert_eq!(rig.read(other), "+OK\r\n", "nobody else is held up");
    rig.sent(0);
    rig.later(60_000);
    rig.reply(0, "+OK\r\n:2\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.reply(1, "+OK\r\n:1\r\n");
    assert_eq!(rig.read(client), ":1\r\n+PONG\r\n");
    rig.send(client, request("WAITAOF 1 2 10"));
    assert_eq!(rig.sent(0), asked("WAITAOF 1 2 10"));
    rig.reply(0, "+OK\r\n*2\r\n:1\r\n:0\r\n");
    rig.reply(1, "+OK\r\n*2\r\n:0\r\n:2\r\n");
    assert_eq!(rig.read(client), "*2\r\n:0\r\n:0\r\n");
}

#[test]
fn what_one_server_refuses_ends_it() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, requests(&["WAIT 1 0", "WAIT 2 0"]));
    rig.reply(0, "+OK\r\n-ERR WAIT cannot be used with replica instances\r\n");
    assert_eq!(rig.read(client), "-ERR WAIT cannot be used with replica instances\r\n");
    // The connection on which the other server still owes an answer is not used again.
    rig.reply(0, "-NOPERM no\r\n:1\r\n");
    assert_eq!(rig.read(client), "-ERR a server refused SWAPDB 0 0, which WAIT needs: NOPERM no\r\n");
    rig.later(1);
    assert_eq!(rig.open_conns(1), 0);
    rig.send(client, request("WAIT 1 0"));
    rig.reply(0, "+OK\r\n:1\r\n");
    rig.reply(1, "+OK\r\n:3\r\n");
    assert_eq!(rig.read(client), ":1\r\n");
}

#[test]
fn a_server_may_take_as_long_as_the_command_says_and_the_timeout() {
    let mut rig = timed(2);
    let client = rig.client();
    rig.send(client, request("WAIT 1 2000"));
    rig.reply(0, "+OK\r\n:1\r\n");
    rig.later(2_300);
    assert_eq!(rig.read(client), "");
    rig.later(101);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    rig.send(client, request("PING"));
    assert_eq!(rig.read(client), "+PONG\r\n");
    assert_eq!(rig.open_conns(1), 0);
}

#[test]
fn both_are_late_at_once() {
    let mut rig = timed(3);
    let client = rig.client();
    rig.send(client, request("WAIT 1 100"));
    rig.later(501);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    rig.later(1);
    assert_eq!((rig.open_conns(0), rig.open_conns(1), rig.open_conns(2)), (0, 0, 0));
}

#[test]
fn a_client_that_leaves_closes_its_connections_at_once() {
    for ended in [true, false] {
        let mut rig = redis(2);
        let client = rig.client();
        rig.send(client, requests(&["WAIT 1 0", "SET k v"]));
        rig.sent(0);
        rig.sent(1);
        if ended {
            rig.end(client)
        } else {
            rig.vanish(client)
        }
        assert_eq!((rig.open_conns(0), rig.open_conns(1), rig.aborted), (0, 0, 2), "ended: {ended}");
        assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()));
    }
}

#[test]
fn a_broken_connection_is_an_error_and_an_idle_one_is_replaced() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, requests(&["WAIT 1 0", "PING"]));
    rig.lose(1, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n+PONG\r\n");
    rig.later(1);
    assert_eq!(rig.open_conns(0), 0);
    rig.send(client, request("WAIT 1 0"));
    rig.reply(0, "+OK\r\n:1\r\n");
    rig.reply(1, "+OK\r\n:1\r\n");
    assert_eq!(rig.read(client), ":1\r\n");
    rig.sent(0);
    rig.takes_at_most(0, 0);
    rig.send(client, request("WAIT 2 0"));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.read(client), "");
    assert_eq!(rig.sent(0), asked("WAIT 2 0"));
    rig.reply(0, "+OK\r\n:2\r\n");
    rig.reply(1, "+OK\r\n:2\r\n");
    assert_eq!(rig.read(client), ":2\r\n");
}

#[test]
fn it_is_unblocked_and_promises_nothing() {
    let mut rig = redis(2);
    let (client, other) = (rig.client(), rig.client());
    rig.send(other, request("CLIENT ID"));
    rig.send(client, request("CLIENT ID"));
    let id = rig.read(client).trim_matches([':', '\r', '\n']).to_owned();
    rig.read(other);
    for (words, how, answer) in [
        ("WAIT 1 0", "TIMEOUT", ":0\r\n"),
        ("WAITAOF 1 0 0", "TIMEOUT", "*2\r\n:0\r\n:0\r\n"),
        ("WAIT 1 0", "ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
    ] {
        rig.send(client, request(words));
        rig.reply(0, if words.len() > 8 { "+OK\r\n*2\r\n:1\r\n:1\r\n" } else { "+OK\r\n:1\r\n" });
        rig.send(other, request("CLIENT LIST"));
        let list = rig.read(other);
        assert!(list.contains(" flags=b "), "{list}");
        rig.send(other, request(&format!("CLIENT UNBLOCK {id} {how}")));
        assert_eq!((rig.read(other).as_str(), rig.read(client).as_str()), (":1\r\n", answer));
        rig.later(1);
    }
    rig.send(other, request(&format!("CLIENT UNBLOCK {id}")));
    assert_eq!(rig.read(other), ":0\r\n");
}

#[test]
fn there_are_only_so_many_connections_and_a_transaction_has_none() {
    let mut rig = Rig::new(pool_with(Protocol::Redis, 2, "pinned_connections: 3", |_| Standing::In));
    let (first, second) = (rig.client(), rig.client());
    rig.send(first, request("WAIT 1 0"));
    rig.send(second, requests(&["WAIT 1 0", "PING"]));
    assert_eq!(
        rig.read(second),
        "-ERR all connections for WATCH and for blocking commands are in use (pinned_connections)\r\n+PONG\r\n"
    );
    rig.reply(0, "+OK\r\n:0\r\n");
    rig.reply(1, "+OK\r\n:0\r\n");
    assert_eq!(rig.read(first), ":0\r\n");
    rig.send(second, requests(&["MULTI", "WAIT 1 0", "EXEC"]));
    let text = rig.read(second);
    assert!(
        text.starts_with("+OK\r\n-ERR cashew does not run 'WAIT' inside a transaction\r\n-EXECABORT"),
        "{text}"
    );
}
