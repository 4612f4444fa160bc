//! CLIENT PAUSE and UNPAUSE.

use crate::rig::{redis, request, requests};

#[test]
fn all_requests_of_the_pool_wait_until_the_time_is_over() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(other, request("GET before"));
    rig.send(client, requests(&["CLIENT PAUSE 500", "PING"]));
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.reply(0, "$1\r\nb\r\n");
    assert_eq!(rig.read(other), "$1\r\nb\r\n", "what was asked before is answered");
    rig.sent(0);
    let new = rig.client();
    rig.send(other, requests(&["GET a", "PING"]));
    rig.send(new, requests(&["HELLO 3", "NOSUCH"]));
    rig.later(499);
    assert_eq!((rig.read(client), rig.read(other), rig.read(new), rig.sent(0)), Default::default());
    rig.later(1);
    assert_eq!(rig.read(client), "+PONG\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(other), "$-1\r\n+PONG\r\n");
    assert!(rig.read(new).contains("-ERR unknown command"));
    rig.send(new, request("PING"));
    assert_eq!(rig.read(new), "+PONG\r\n");
}

#[test]
fn a_pause_of_writes_lets_reads_pass_and_can_be_ended() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["CLIENT PAUSE 100000 WRITE", "GET a", "MULTI", "GET a", "EXEC"]));
    rig.reply(0, "$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    rig.sent(0);
    for asked in ["SET a 1", "BLPOP l 0", "EVAL x 1 a", "FLUSHALL"] {
        let writer = rig.client();
        rig.send(writer, requests(&["RESET", asked, "PING"]));
        assert_eq!((rig.read(writer).as_str(), rig.sent(0).as_str()), ("+RESET\r\n", ""), "{asked}");
        rig.vanish(writer);
    }
    rig.send(other, requests(&["MULTI", "SET a 1", "EXEC", "PING"]));
    assert_eq!(rig.read(other), "+OK\r\n+QUEUED\r\n");
    rig.send(client, request("CLIENT UNPAUSE"));
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(rig.read(other), "*1\r\n+OK\r\n+PONG\r\n");
    rig.send(client, request("CLIENT UNPAUSE"));
    assert_eq!(rig.read(client), "+OK\r\n", "there may be none");
}

#[test]
fn the_longer_and_stricter_of_two_pauses_counts() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["CLIENT PAUSE 500 WRITE", "CLIENT PAUSE 100 ALL"]));
    rig.send(other, request("PING"));
    rig.later(499);
    assert_eq!(rig.read(other), "");
    rig.later(1);
    assert_eq!(rig.read(other), "+PONG\r\n");
    for (asked, wanted) in [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative\r\n"),
        ("CLIENT PAUSE 1 SOME", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
    ] {
        rig.send(other, request(asked));
        assert_eq!(rig.read(other), wanted, "{asked}");
    }
}
