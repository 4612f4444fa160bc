//! What the proxy says first on a connection to a redis server.

use crate::rig::{Rig, pool, request, requests};
use config::Protocol;
use engine::error::Cause;

fn guarded() -> Rig {
    let mut view = pool(Protocol::Redis, 1);
    view.redis_auth = Some(b"sesame".to_vec());
    view.redis_db = 3;
    Rig::new(view)
}

const GREETING: &str = "*2\r\n$4\r\nAUTH\r\n$6\r\nsesame\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";

#[test]
fn auth_comes_before_select_and_nothing_before_both_are_taken() {
    let mut rig = guarded();
    let client = rig.client();
    rig.send(client, requests(&["AUTH sesame", "GET a"]));
    assert_eq!(rig.sent(0), GREETING);
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0), "", "SELECT is open");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.reply(0, "$1\r\n1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n$1\r\n1\r\n");
}

#[test]
fn a_server_that_takes_the_greeting_in_pieces() {
    let mut rig = guarded();
    rig.slow_connect = true;
    let client = rig.client();
    rig.send(client, requests(&["AUTH sesame", "GET a"]));
    rig.takes_at_most(0, 0);
    rig.connects(0);
    for _ in 0..GREETING.len() {
        rig.takes_at_most(0, 1);
    }
    assert_eq!(rig.sent(0), GREETING);
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), "");
}

#[test]
fn a_refusal_is_told_to_whoever_waits() {
    for (replies, command) in [("-WRONGPASS no\r\n", "AUTH"), ("+OK\r\n-ERR no such db\r\n", "SELECT")] {
        let mut rig = guarded();
        let client = rig.client();
        rig.send(client, requests(&["AUTH sesame", "GET a", "PING"]));
        rig.reply(0, replies);
        let said = if command == "AUTH" { "WRONGPASS no" } else { "ERR no such db" };
        let text = format!("+OK\r\n-ERR server 's0' refused the proxy's {command}: {said}\r\n+PONG\r\n");
        assert_eq!(rig.read(client), text);
        assert_eq!((rig.open_conns(0), rig.core.usage().in_flight), (0, 0));
    }
}

#[test]
fn requests_fail_with_a_connection_that_breaks_before_it_was_greeted() {
    let mut rig = guarded();
    let client = rig.client();
    rig.send(client, requests(&["AUTH sesame", "GET a"]));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.read(client), "+OK\r\n-ERR unknown\r\n");
}

#[test]
fn clients_of_each_protocol_have_connections_of_their_own() {
    let mut rig = guarded();
    let (old, new) = (rig.client(), rig.client());
    rig.send(old, requests(&["AUTH sesame", "GET a"]));
    assert_eq!(rig.sent(0), GREETING);
    rig.send(new, request("HELLO 3 AUTH default sesame"));
    assert!(rig.read(new).starts_with("%7\r\n"));
    rig.send(new, request("GET a"));
    let greeting = requests(&["HELLO 3 AUTH default sesame", "SELECT 3"]);
    assert_eq!(rig.sent(0).as_bytes(), greeting, "it goes over a connection of its own, which speaks RESP3");
    assert_eq!(rig.open_conns(0), 2);
}
