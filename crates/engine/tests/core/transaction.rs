//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.

use crate::rig::{Rig, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;
use stats::PoolMetric;

const QUEUED: &str = "+QUEUED\r\n";

#[test]
fn a_transaction_goes_out_as_one_block_and_one_reply_comes_back() {
    let mut rig = redis(2);
    let (client, other) = (rig.client(), rig.client());
    let key = rig.key(0, 0);
    rig.send(client, requests(&["MULTI", &format!("SET {key} 1")]));
    rig.send(other, request(&format!("GET {key}")));
    rig.send(client, requests(&[&format!("INCR {key}"), "PING", "EXEC", &format!("GET {key}")]));
    assert_eq!(rig.read(client), format!("+OK\r\n{QUEUED}{QUEUED}{QUEUED}"));
    let block = requests(&["MULTI", &format!("SET {key} 1"), &format!("INCR {key}"), "PING", "EXEC"]);
    let get = request(&format!("GET {key}"));
    assert_eq!(rig.sent(0).as_bytes(), [&get[..], &block, &get].concat());
    rig.reply(0, "$1\r\n0\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:2\r\n+PO");
    assert_eq!(rig.read(other), "$1\r\n0\r\n");
    assert_eq!(rig.read(client), "");
    rig.reply(0, "NG\r\n$1\r\n2\r\n");
    assert_eq!(rig.read(client), "*3\r\n+OK\r\n:2\r\n+PONG\r\n$1\r\n2\r\n");
    assert_eq!(rig.open_conns(0), 1);
}

#[test]
fn errors_are_those_of_redis() {
    let mut rig = redis(2);
    let client = rig.client();
    let mut check = |asked: &[&str], expected: &str| {
        rig.send(client, requests(asked));
        assert_eq!(rig.read(client), expected, "{asked:?}");
    };
    check(&["EXEC"], "-ERR EXEC without MULTI\r\n");
    check(&["DISCARD"], "-ERR DISCARD without MULTI\r\n");
    check(&["UNWATCH"], "+OK\r\n");
    check(&["MULTI", "MULTI"], "+OK\r\n-ERR MULTI calls can not be nested\r\n");
    check(&["WATCH k"], "-ERR WATCH inside MULTI is not allowed\r\n");
    check(&["EXEC"], "*0\r\n");
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    check(&["MULTI", "GET"], "+OK\r\n-ERR wrong number of arguments for 'get' command\r\n");
    check(&["SET k v", "EXEC"], &format!("{QUEUED}{aborted}"));
    check(&["MULTI", "NOSUCH"], "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    check(&["EXEC", "EXEC"], &format!("{aborted}-ERR EXEC without MULTI\r\n"));
    check(
        &["MULTI", "SET k v", "DISCARD", "EXEC"],
        &format!("+OK\r\n{QUEUED}+OK\r\n-ERR EXEC without MULTI\r\n"),
    );
    check(&["MULTI", "DBSIZE"], "+OK\r\n-ERR cashew does not run 'DBSIZE' inside a transaction\r\n");
    check(&["EXEC"], aborted);
    check(
        &["MULTI", "SET k v", "RESET", "EXEC"],
        &format!("+OK\r\n{QUEUED}+RESET\r\n-ERR EXEC without MULTI\r\n"),
    );
    assert_eq!((rig.sent(0), rig.sent(1)), (String::new(), String::new()), "nothing is sent");
}

#[test]
fn keys_of_another_server_spoil_it() {
    let mut rig = redis(2);
    let client = rig.client();
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&["MULTI", &format!("SET {here} 1"), &format!("MGET {here} {there}"), "EXEC"]));
    let said = rig.read(client);
    assert!(
        said.starts_with("+OK\r\n+QUEUED\r\n-CROSSSLOT Keys in request don't hash to the same slot"),
        "{said}"
    );
    assert!(said.ends_with("-EXECABORT Transaction discarded because of previous errors.\r\n"), "{said}");
    assert_eq!(rig.sent(0), "");
}

#[test]
fn what_a_server_refused_inside_is_told() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["MULTI", "SET k v", "GET k", "EXEC"]));
    rig.read(client);
    rig.reply(0, "+OK\r\n-OOM command not allowed\r\n+QUEUED\r\n");
    rig.reply(0, "-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_eq!(rig.read(client), "-EXECABORT Transaction discarded because of: OOM command not allowed\r\n");
    rig.send(client, requests(&["MULTI", "GET k", "EXEC"]));
    rig.read(client);
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    assert_eq!(rig.read(client), "*1\r\n$-1\r\n");
}

#[test]
fn a_transaction_that_is_too_large_is_refused() {
    let mut view = crate::rig::pool(Protocol::Redis, 1);
    view.client_request_limit = 1000;
    let mut rig = Rig::new(view);
    let client = rig.client();
    let set = format!("SET k {}", "v".repeat(500));
    rig.send(client, requests(&["MULTI", &set, &set, "EXEC", "PING"]));
    assert_eq!(
        rig.read(client),
        "+OK\r\n+QUEUED\r\n-ERR the transaction takes more than client_request_limit\r\n\
         -EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n"
    );
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["MULTI", "SET k v"]));
    rig.end(client);
    rig.send(other, request("EXEC"));
    assert_eq!(rig.read(other), "-ERR EXEC without MULTI\r\n");
    let leaver = rig.client();
    rig.send(leaver, requests(&["MULTI", "SET k v", "EXEC"]));
    rig.send(other, request("GET k"));
    rig.sent(0);
    rig.vanish(leaver);
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\nv\r\n");
    assert_eq!(rig.read(other), "$1\r\nv\r\n");
}

fn watching(rig: &mut Rig, key: &str) -> usize {
    let client = rig.client();
    rig.send(client, request(&format!("WATCH {key}")));
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("WATCH {key}")));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    client
}

#[test]
fn watched_keys_have_a_connection_of_their_own_until_exec() {
    let mut rig = redis(1);
    let other = rig.client();
    rig.send(other, request("GET k"));
    rig.reply(0, "$-1\r\n");
    rig.read(other);
    rig.sent(0);
    let client = watching(&mut rig, "k");
    assert_eq!(rig.open_conns(0), 2);
    rig.later(60_000);
    assert_eq!(rig.open_conns(0), 2, "it waits for as long as its client likes");
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC", "GET k"]));
    assert_eq!(rig.sent(0).as_bytes(), requests(&["MULTI", "SET k v", "EXEC"]), "what follows waits");
    rig.reply(0, "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"));
    rig.reply_first(0, "$-1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n");
    rig.later(engine::limits::SPARE_IDLE_US / 1000 + 1);
    assert_eq!(rig.open_conns(0), 1, "it was given back");
}

#[test]
fn unwatch_and_discard_give_the_connection_back() {
    for words in [&["UNWATCH"][..], &["MULTI", "SET k v", "DISCARD"]] {
        let mut rig = redis(1);
        let client = watching(&mut rig, "k");
        rig.send(client, requests(words));
        assert!(rig.read(client).ends_with("+OK\r\n"));
        assert_eq!(rig.sent(0).as_bytes(), request("UNWATCH"));
        rig.reply(0, "+OK\r\n");
        assert_eq!(rig.read(client), "", "{words:?}");
        rig.send(client, requests(&["MULTI", "EXEC"]));
        assert_eq!(rig.read(client), "+OK\r\n*0\r\n");
        rig.send(client, request("WATCH k"));
        assert_eq!(rig.sent(0).as_bytes(), request("WATCH k"));
        assert_eq!(rig.open_conns(0), 1, "the same connection serves again");
    }
}

#[test]
fn a_connection_lost_after_watch_makes_exec_answer_nil() {
    let mut rig = redis(1);
    let client = watching(&mut rig, "k");
    rig.lose(0, Cause::Reset);
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(rig.sent(0), "", "nothing of it is carried out");
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    assert_eq!(rig.sent(0).as_bytes(), requests(&["MULTI", "SET k v", "EXEC"]), "the next one is a new one");
}

#[test]
fn an_exec_that_never_left_answers_nil_and_one_that_did_an_error() {
    for (leaves, expected) in [(0, "*-1\r\n"), (20, "-ERR Connection reset by peer\r\n")] {
        let mut rig = redis(1);
        let client = watching(&mut rig, "k");
        rig.takes_at_most(0, leaves);
        rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
        rig.lose(0, Cause::Reset);
        assert_eq!(rig.read(client), format!("+OK\r\n+QUEUED\r\n{expected}"), "{leaves} bytes left");
        rig.send(client, request("PING"));
        assert_eq!(rig.read(client), "+PONG\r\n");
    }
}

#[test]
fn a_watching_client_that_leaves_takes_its_connection_along() {
    let mut rig = redis(1);
    let client = watching(&mut rig, "k");
    rig.vanish(client);
    assert_eq!(rig.open_conns(0), 0);
}

#[test]
fn there_are_only_so_many_of_them() {
    let view = pool_with(Protocol::Redis, 1, "pinned_connections: 1", |_| Standing::In);
    let mut rig = Rig::new(view);
    let first = watching(&mut rig, "k");
    let client = rig.client();
    rig.send(client, requests(&["WATCH k", "PING"]));
    assert_eq!(
        rig.read(client),
        "-ERR all connections for WATCH and for blocking commands are in use (pinned_connections)\r\n+PONG\r\n"
    );
    rig.vanish(first);
    rig.send(client, request("WATCH k"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
}

#[test]
fn a_change_of_protocol_makes_exec_answer_nil() {
    let mut rig = redis(1);
    let client = watching(&mut rig, "k");
    rig.send(client, requests(&["HELLO 3", "MULTI", "GET k", "EXEC"]));
    assert!(rig.read(client).ends_with("+OK\r\n+QUEUED\r\n_\r\n"));
}

/// Whether a transaction of a client that watches nothing runs on a connection that it shares with others.
fn runs_unwatched(rig: &mut Rig, client: usize) {
    rig.sent(0);
    rig.read(client);
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n");
    assert_eq!(rig.sent(0).as_bytes(), requests(&["MULTI", "SET k v", "EXEC"]));
    let pinned = rig.registry.shards()[0].pool(0, PoolMetric::PinnedConnections).get();
    assert_eq!(pinned, 0);
}

#[test]
fn whatever_exec_answers_nothing_is_watched_after_it() {
    for leaves in [0, 20] {
        let mut rig = redis(1);
        let client = watching(&mut rig, "k");
        rig.takes_at_most(0, leaves);
        rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
        rig.lose(0, Cause::Reset);
        runs_unwatched(&mut rig, client);
    }
    let mut view = pool_with(Protocol::Redis, 1, "", |_| Standing::In);
    view.timeout_us = Some(400_000);
    let mut rig = Rig::new(view);
    let client = watching(&mut rig, "k");
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    rig.later(401);
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n-ERR Connection timed out\r\n");
    runs_unwatched(&mut rig, client);
}

#[test]
fn a_large_reply_to_exec_ends_the_watch_too() {
    let mut view = pool_with(Protocol::Redis, 1, "", |_| Standing::In);
    view.stream_from = 100;
    let mut rig = Rig::new(view);
    let client = watching(&mut rig, "k");
    rig.send(client, requests(&["MULTI", "GET k", "EXEC"]));
    rig.reply(0, format!("+OK\r\n+QUEUED\r\n*1\r\n$200\r\n{}", "x".repeat(150)));
    rig.reply(0, format!("{}\r\n", "x".repeat(50)));
    assert!(rig.read(client).ends_with("x\r\n"));
    runs_unwatched(&mut rig, client);
}

#[test]
fn who_leaves_with_a_request_on_its_own_connection_leaves_nothing_behind() {
    for words in [&["WATCH k"][..], &["BLPOP l 0"]] {
        let mut rig = redis(1);
        let client = rig.client();
        rig.send(client, requests(words));
        rig.vanish(client);
        let usage = rig.core.usage();
        assert_eq!((usage.requests, usage.in_flight, rig.open_conns(0)), (0, 0, 0), "{words:?}");
    }
}

#[test]
fn a_watch_that_never_left_on_a_connection_that_served_is_no_error() {
    let mut rig = redis(1);
    let client = watching(&mut rig, "k");
    rig.send(client, request("UNWATCH"));
    rig.reply(0, "+OK\r\n");
    rig.read(client);
    rig.takes_at_most(0, 0);
    rig.send(client, request("WATCH k"));
    rig.lose(0, Cause::Closed);
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    assert_eq!(rig.read(client), "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_taken_for_one_inside_the_next_transaction() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("GET k"));
    rig.reply(0, "$-1\r\n");
    rig.read(client);
    rig.takes_at_most(0, 0);
    rig.send(client, requests(&["MULTI", "SET k v", "EXEC"]));
    rig.reply(0, "$7\r\nsurplus\r\n");
    assert_eq!(rig.open_conns(0), 0, "who says that has lost its place");
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n-ERR Invalid argument\r\n");
}
