//! Commands that wait.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;

/// A rig whose requests may take 400 ms.
fn rig() -> Rig {
    let mut view = pool(Protocol::Redis, 1);
    view.timeout_us = Some(400_000);
    Rig::new(view)
}

#[test]
fn it_waits_alone_and_its_client_in_order() {
    let mut rig = rig();
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["RPUSH l 1", "BLPOP l 0", "GET k"]));
    assert_eq!(rig.sent(0).as_bytes(), request("RPUSH l 1"), "what was asked before is answered first");
    rig.reply(0, ":1\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("BLPOP l 0"));
    rig.send(other, request("GET x"));
    rig.reply_first(0, "$-1\r\n");
    assert_eq!(rig.read(other), "$-1\r\n");
    rig.sent(0);
    rig.later(60_000);
    assert_eq!(rig.read(client), ":1\r\n", "no time is too long");
    rig.reply(0, "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(rig.read(client), "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"));
    rig.reply_first(0, "$-1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n");
}

#[test]
fn a_server_may_take_as_long_as_the_command_says_and_the_timeout() {
    let mut rig = rig();
    let client = rig.client();
    rig.send(client, request("BLPOP l 2"));
    rig.later(2_300);
    assert_eq!(rig.read(client), "");
    rig.later(101);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    rig.send(client, request("PING"));
    assert_eq!(rig.read(client), "+PONG\r\n");
    assert_eq!(rig.open_conns(0), 0);
}

#[test]
fn a_client_that_leaves_closes_the_connection_at_once() {
    for ended in [true, false] {
        let mut rig = rig();
        let client = rig.client();
        rig.send(client, requests(&["BLPOP l 0", "SET k v"]));
        rig.send(client, request("SET k v"));
        rig.sent(0);
        if ended {
            rig.end(client)
        } else {
            rig.vanish(client)
        }
        assert_eq!((rig.open_conns(0), rig.aborted), (0, 1), "ended: {ended}");
        assert!(rig.closed(client).is_some() || !ended);
        assert_eq!(rig.sent(0), "", "what was behind it is not carried out");
    }
}

#[test]
fn a_waiting_client_that_goes_on_sending_is_paused_in_the_end() {
    let mut rig = rig();
    let client = rig.client();
    rig.send(client, request("BLPOP l 0"));
    rig.sent(0);
    rig.said.clear();
    let set = request(&format!("SET k {}", "v".repeat(1000)));
    for _ in 0..60 {
        rig.send(client, &set);
    }
    assert_eq!(rig.said, [], "it is read on, so that its leaving is seen");
    for _ in 0..10 {
        rig.send(client, &set);
    }
    assert!(matches!(rig.said[..], [engine::Output::PauseClient(_)]));
    rig.reply(0, "*-1\r\n");
    for _ in 0..70 {
        rig.reply_first(0, "+OK\r\n");
    }
    assert_eq!(rig.read(client), format!("*-1\r\n{}", "+OK\r\n".repeat(70)));
}

#[test]
fn what_never_left_goes_to_another_connection() {
    let mut rig = rig();
    let client = rig.client();
    rig.send(client, request("BLPOP l 1"));
    rig.reply(0, "*-1\r\n");
    assert_eq!(rig.read(client), "*-1\r\n");
    rig.sent(0);
    rig.takes_at_most(0, 0);
    rig.send(client, request("BLPOP l 0"));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.read(client), "");
    assert_eq!(rig.sent(0).as_bytes(), request("BLPOP l 0"));
    rig.later(10_000);
    rig.reply(0, "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(rig.read(client), "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
}

#[test]
fn a_broken_connection_is_an_error() {
    let mut rig = rig();
    let client = rig.client();
    rig.send(client, requests(&["BLPOP l 0", "PING"]));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n+PONG\r\n");
}

#[test]
fn there_are_only_so_many_of_them() {
    let view = pool_with(Protocol::Redis, 1, "pinned_connections: 1", |_| Standing::In);
    let mut rig = Rig::new(view);
    let (first, second) = (rig.client(), rig.client());
    rig.send(first, request("BLPOP l 0"));
    rig.send(second, requests(&["BLPOP l 0", "PING"]));
    assert_eq!(
        rig.read(second),
        "-ERR all connections for WATCH and for blocking commands are in use (pinned_connections)\r\n+PONG\r\n"
    );
    rig.reply(0, "*-1\r\n");
    rig.send(second, request("BLPOP l 0"));
    rig.reply(0, "*-1\r\n");
    assert_eq!(rig.read(second), "*-1\r\n");
}

#[test]
fn keys_of_several_servers_are_refused_and_a_transaction_does_not_wait() {
    let mut rig = redis(2);
    let client = rig.client();
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("BLPOP {here} {there} 0")));
    assert!(rig.read(client).starts_with("-CROSSSLOT "));
    rig.send(client, requests(&["MULTI", &format!("BLPOP {here} 0"), "EXEC"]));
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n");
}
