//! How clients go.

use crate::rig::{Rig, memcache, pool, redis, request, requests};
use config::Protocol;
use engine::Closing;

#[test]
fn a_client_that_ends_its_side_still_gets_its_answers() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, [requests(&["GET a", "GET b"]), b"*2\r\n$3\r\nGE".to_vec()].concat());
    rig.end(client);
    rig.reply(0, "$1\r\n1\r\n");
    assert_eq!(rig.closed(client), None);
    rig.reply(0, "$1\r\n2\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!(rig.closed(client), Some(Closing::Clean));
}

#[test]
fn quit_is_answered_in_its_turn_and_ends_the_client() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "QUIT", "GET b"]));
    assert_eq!(rig.read(client), "");
    rig.reply(0, "$1\r\n1\r\n");
    assert_eq!((rig.read(client).as_str(), rig.closed(client)), ("$1\r\n1\r\n+OK\r\n", Some(Closing::Clean)));
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
}

#[test]
fn all_must_be_read_before_a_client_is_closed() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.reads_at_most(client, 2);
    rig.send(client, requests(&["PING", "QUIT"]));
    assert_eq!((rig.read(client).as_str(), rig.closed(client)), ("+P", None));
    rig.reads_at_most(client, 100);
    assert_eq!((rig.read(client).as_str(), rig.closed(client)), ("ONG\r\n+OK\r\n", Some(Closing::Clean)));
}

#[test]
fn requests_in_any_pieces() {
    let bytes = requests(&["SET a 12345", "PING"]);
    for cut in 1..bytes.len() {
        let mut rig = redis(1);
        let client = rig.client();
        rig.send(client, &bytes[..cut]);
        rig.send(client, &bytes[cut..]);
        assert_eq!(rig.sent(0).as_bytes(), request("SET a 12345"));
        rig.reply(0, "+O");
        rig.reply(0, "K\r\n");
        assert_eq!(rig.read(client), "+OK\r\n+PONG\r\n");
    }
}

#[test]
fn who_says_nothing_for_long_is_let_go_but_not_who_waits() {
    let mut view = pool(Protocol::Redis, 1);
    view.client_idle_us = Some(100_000);
    let mut rig = Rig::new(view);
    let (waiting, idle) = (rig.client(), rig.client());
    rig.send(waiting, request("GET a"));
    rig.send(idle, request("PING"));
    rig.later(100);
    assert_eq!((rig.closed(waiting), rig.closed(idle)), (None, Some(Closing::Clean)));
    rig.reply(0, "$-1\r\n");
    rig.later(200);
    assert_eq!(rig.closed(waiting), Some(Closing::Clean));
}

#[test]
fn server_connections_that_are_not_used_are_closed() {
    let mut view = pool(Protocol::Memcache, 1);
    view.server_idle_us = Some(100_000);
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, "get a\r\n");
    rig.later(500);
    assert_eq!(rig.open_conns(0), 1, "it owes an answer");
    rig.reply(0, "END\r\n");
    rig.later(100);
    rig.later(100);
    assert_eq!(rig.open_conns(0), 0);
    assert_eq!(rig.said, [], "which is nobody's failure");
}

#[test]
fn a_closed_client_is_forgotten_whole() {
    let mut rig = memcache(1);
    let client = rig.client();
    rig.send(client, "set a 0 0 1 noreply\r\nx\r\nquit\r\n");
    assert_eq!(rig.closed(client), Some(Closing::Clean));
    rig.reply(0, "STORED\r\n");
    let usage = rig.core.usage();
    assert_eq!((usage.clients, usage.requests, usage.in_flight), (0, 0, 0));
}
