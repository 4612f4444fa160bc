//! Servers that are slow, close, refuse or talk nonsense.

use crate::rig::{Rig, pool, redis, request, requests};
use config::Protocol;
use engine::Output;
use engine::error::Cause;

fn timed(ms: u64) -> Rig {
    let mut view = pool(Protocol::Redis, 1);
    view.timeout_us = Some(ms * 1000);
    Rig::new(view)
}

fn failures(rig: &Rig) -> Vec<Cause> {
    let failure = |output: &Output| match output {
        Output::ServerFailed { cause, .. } => Some(*cause),
        _ => None,
    };
    rig.said.iter().filter_map(failure).collect()
}

#[test]
fn only_requests_that_are_due_time_out_and_their_late_replies_are_dropped() {
    let mut rig = timed(100);
    let client = rig.client();
    rig.send(client, request("GET old"));
    rig.later(60);
    rig.send(client, request("GET young"));
    rig.later(40);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    assert_eq!(rig.core.next_deadline(), Some(1_160_000));
    rig.reply(0, "$3\r\nold\r\n$5\r\nyoung\r\n");
    assert_eq!(rig.read(client), "$5\r\nyoung\r\n");
    assert_eq!(rig.open_conns(0), 0, "the late connection owes nothing more");
    assert_eq!(failures(&rig), [Cause::TimedOut]);
}

#[test]
fn new_requests_do_not_wait_behind_a_reply_that_is_overdue() {
    let mut rig = timed(100);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, request("GET first"));
    rig.later(60);
    rig.send(client, request("INCR second"));
    rig.later(40);
    rig.send(other, request("GET third"));
    assert_eq!(rig.open_conns(0), 2);
    rig.reply(0, "$5\r\nthird\r\n");
    assert_eq!(rig.read(other), "$5\r\nthird\r\n");
    rig.reply_first(0, "$5\r\nfirst\r\n:2\r\n");
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n:2\r\n");
    assert_eq!(rig.open_conns(0), 1);
}

#[test]
fn a_client_with_a_request_on_a_timed_out_connection_does_not_overtake_itself() {
    let mut rig = timed(100);
    let client = rig.client();
    rig.send(client, request("GET first"));
    rig.later(60);
    rig.send(client, request("SET k old"));
    rig.later(40);
    rig.sent(0);
    rig.send(client, requests(&["SET k new", "GET k"]));
    assert_eq!(rig.open_conns(0), 1);
    assert_eq!(rig.sent(0), "", "the newer one waits until the older one is done");
    rig.reply(0, "$5\r\nfirst\r\n+OK\r\n");
    let sent = rig.sent(0);
    assert_eq!(sent.as_bytes(), requests(&["SET k new", "GET k"]));
    rig.reply(0, "+OK\r\n$3\r\nnew\r\n");
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n+OK\r\n+OK\r\n$3\r\nnew\r\n");
    assert!(rig.said.iter().any(|said| matches!(said, Output::ResumeClient(_))));
}

#[test]
fn a_connection_on_which_all_is_overdue_is_closed() {
    let mut rig = timed(100);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "GET b"]));
    rig.later(100);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n".repeat(2));
    assert_eq!(rig.open_conns(0), 0);
}

#[test]
fn connecting_counts_as_waiting() {
    let mut rig = timed(100);
    rig.slow_connect = true;
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.later(100);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    assert_eq!(rig.core.usage().conns, 0);
}

#[test]
fn closing_when_idle_is_no_failure() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.reply(0, "$-1\r\n");
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.said, []);
    rig.send(client, request("GET a"));
    rig.reply(0, "$1\r\n2\r\n");
    assert_eq!(rig.read(client), "$-1\r\n$1\r\n2\r\n");
}

#[test]
fn a_server_that_has_too_many_clients_fails_although_it_says_so() {
    let mut rig = redis(1);
    let client = rig.client();
    let full = "-ERR max number of clients reached\r\n";
    for failed in 1..=3 {
        rig.send(client, request("GET a"));
        rig.reply(0, full);
        assert_eq!(rig.read(client), full);
        rig.lose(0, Cause::Closed);
        assert_eq!(failures(&rig), vec![Cause::Closed; failed]);
    }
    assert!(!rig.said.iter().any(|said| matches!(said, Output::ServerAnswered { .. })));
    rig.send(client, requests(&["GET a", "GET a"]));
    rig.reply(0, format!("$-1\r\n{full}"));
    assert_eq!(rig.read(client), format!("$-1\r\n{full}"));
    assert_eq!(failures(&rig).len(), 3, "later on a connection it is any error");
}

#[test]
fn what_was_queued_when_an_idle_server_closes_goes_elsewhere() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.reply(0, "$-1\r\n");
    rig.sent(0);
    rig.send_and_wait(client, request("INCR b"));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.said, [], "nor is this a failure");
    assert_eq!(rig.sent(0), "*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n");
    rig.reply(0, ":1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n:1\r\n");
}

#[test]
fn requests_that_never_left_move_and_those_that_did_fail() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("PING"));
    rig.send(client, request("SET a 0"));
    rig.reply(0, "+OK\r\n");
    let first = request("SET a 1");
    rig.takes_at_most(0, first.len() + 3);
    rig.send(client, requests(&["SET a 1", "SET a 2", "SET a 3"]));
    rig.sent(0);
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.sent(0).as_bytes(), request("SET a 3"), "the second had begun to leave");
    rig.reply(0, "+OK\r\n");
    let reset = "-ERR Connection reset by peer\r\n";
    assert_eq!(rig.read(client), format!("+PONG\r\n+OK\r\n{reset}{reset}+OK\r\n"));
    assert_eq!(failures(&rig), [Cause::Reset]);
}

#[test]
fn a_request_that_moves_has_no_more_time_than_before() {
    let mut view = pool(Protocol::Redis, 1);
    view.timeout_us = Some(100_000);
    view.redis_db = 1;
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.reply(0, "+OK\r\n");
    rig.reply(0, "$-1\r\n");
    rig.read(client);
    rig.takes_at_most(0, 0);
    rig.send(client, request("GET b"));
    rig.later(90);
    rig.lose(0, Cause::Closed);
    rig.later(10);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
}

#[test]
fn reads_are_made_once_more_where_that_is_wanted() {
    let mut view = pool(Protocol::Redis, 1);
    view.retry_reads = true;
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "SET a 1"]));
    rig.sent(0);
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.sent(0), "", "once");
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n".repeat(2));
}

#[test]
fn a_server_that_closes_every_connection_is_not_tried_for_ever() {
    let mut view = pool(Protocol::Redis, 1);
    view.retry_reads = true;
    view.redis_auth = Some(b"sesame".to_vec());
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, requests(&["AUTH sesame", "GET a"]));
    for _ in 0..2 {
        assert_eq!(rig.open_conns(0), 1);
        rig.lose(0, Cause::Closed);
    }
    assert_eq!((rig.read(client).as_str(), rig.open_conns(0)), ("+OK\r\n-ERR unknown\r\n", 0));
}

#[test]
fn refused_connects_and_unknown_hosts_are_told() {
    for (cause, text) in [(Cause::Refused, "Connection refused"), (Cause::HostDown, "Host is down")] {
        let mut rig = redis(1);
        rig.slow_connect = true;
        let client = rig.client();
        rig.send(client, requests(&["GET a", "PING"]));
        rig.lose(0, cause);
        assert_eq!(rig.read(client), format!("-ERR {text}\r\n+PONG\r\n"));
        assert_eq!(failures(&rig), [cause]);
    }
}

#[test]
fn the_next_attempt_to_connect_waits_a_little() {
    let mut rig = redis(1);
    rig.slow_connect = true;
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.lose(0, Cause::Refused);
    rig.send(client, request("GET b"));
    assert_eq!(rig.open_conns(0), 0);
    rig.later(70);
    assert_eq!(rig.open_conns(0), 1);
    rig.connects(0);
    assert_eq!(rig.sent(0).as_bytes(), request("GET b"));
}

#[test]
fn nonsense_and_replies_nobody_asked_for_end_the_connection() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "GET b"]));
    rig.reply(0, "$1\r\n1\r\n?\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n-ERR Invalid argument\r\n");
    rig.send(client, request("GET a"));
    rig.reply(0, "$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!((rig.read(client).as_str(), rig.open_conns(0)), ("$1\r\n1\r\n", 0));
    rig.send(client, request("GET a"));
    rig.reply(0, "$1\r\n1\r\n");
    rig.read(client);
    rig.send_and_wait(client, request("GET c"));
    rig.reply(0, "$7\r\nsurplus\r\n");
    assert_eq!(rig.read(client), "-ERR Invalid argument\r\n", "it had not been asked yet");
}

#[test]
fn a_server_that_is_down_costs_nothing_more_with_fail_fast() {
    let mut view = pool(Protocol::Redis, 1);
    view.fail_fast = true;
    view.error_text = Some("come back later".to_string());
    let mut rig = Rig::new(view);
    rig.slow_connect = true;
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.lose(0, Cause::Refused);
    rig.send(client, request("GET a"));
    assert_eq!(rig.read(client), "-ERR Connection refused\r\n-ERR come back later\r\n");
    rig.core.handle(engine::Input::Server { pool: 0, server: 0, down: None });
    rig.send(client, request("GET a"));
    assert_eq!(rig.open_conns(0), 1);
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, requests(&[&format!("GET {a}"), &format!("MGET {a} {b}"), "PING"]));
    rig.vanish(client);
    assert_eq!(rig.core.usage().in_flight, 3);
    rig.reply(0, "$1\r\n1\r\n*1\r\n$1\r\n1\r\n");
    rig.reply(1, "*1\r\n$1\r\n1\r\n");
    let usage = rig.core.usage();
    assert_eq!((usage.clients, usage.requests, usage.merges, usage.in_flight), (0, 0, 0, 0));
}

#[test]
fn a_connection_given_up_with_requests_on_it_is_reset() {
    let mut rig = timed(100);
    let client = rig.client();
    rig.send(client, request("SET a 1"));
    rig.later(100);
    assert_eq!((rig.read(client).as_str(), rig.aborted), ("-ERR Connection timed out\r\n", 1));
    rig.send(client, request("GET a"));
    rig.reply(0, "$-1\r\n");
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.aborted, 1, "nothing was on its way");
}
