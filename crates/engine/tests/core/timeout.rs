//! A server's timeout changes while the engine runs, and what timed out is counted.

use crate::rig::{Rig, pool, request, requests};
use config::Protocol;
use engine::{Input, Output};

/// One redis server and a pool's timeout.
fn timed(ms: u64, servers: usize) -> Rig {
    let mut view = pool(Protocol::Redis, servers);
    view.timeout_us = Some(ms * 1000);
    Rig::new(view)
}

fn change(rig: &mut Rig, server: u32, ms: u64) {
    rig.core.handle(Input::Timeout { pool: 0, server, micros: ms * 1000 });
    rig.later(0);
}

/// How many latencies of the server were counted, and the longest in milliseconds.
fn counted(rig: &Rig) -> (u64, u64) {
    let mut all = stats::Distribution::default();
    all.merge(&rig.registry.shards()[0].server_shard(0, 0).latency);
    (all.count(), all.quantile_us(1.0).map_or(0, |us| us / 1000))
}

const TIMED_OUT: &str = "-ERR Connection timed out\r\n";

#[test]
fn a_shorter_timeout_holds_for_what_is_under_way() {
    let mut rig = timed(1000, 1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.later(50);
    rig.send(client, request("GET b"));
    change(&mut rig, 0, 100);
    rig.later(49);
    assert_eq!(rig.read(client), "");
    rig.later(1);
    assert_eq!(rig.read(client), TIMED_OUT);
    // The younger one waits on the connection that has been retired.
    change(&mut rig, 0, 60);
    rig.later(9);
    assert_eq!(rig.read(client), "");
    rig.later(1);
    assert_eq!((rig.read(client).as_str(), rig.open_conns(0)), (TIMED_OUT, 0));
}

#[test]
fn what_is_overdue_already_fails_at_once() {
    let mut rig = timed(1000, 1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "GET b"]));
    rig.later(300);
    assert_eq!(rig.read(client), "");
    change(&mut rig, 0, 100);
    assert_eq!(rig.read(client), TIMED_OUT.repeat(2));
}

#[test]
fn a_longer_timeout_holds_for_what_is_under_way() {
    let mut rig = timed(100, 1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    change(&mut rig, 0, 300);
    rig.later(299);
    assert_eq!((rig.read(client).as_str(), rig.said.len()), ("", 0));
    rig.later(1);
    assert_eq!(rig.read(client), TIMED_OUT);
}

#[test]
fn a_connection_that_was_idle_when_it_changed_keeps_to_it() {
    let mut rig = timed(1000, 1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.reply(0, "$-1\r\n");
    change(&mut rig, 0, 100);
    rig.later(10);
    rig.send(client, request("GET b"));
    rig.later(99);
    assert_eq!(rig.read(client), "$-1\r\n");
    rig.later(1);
    assert_eq!(rig.read(client), TIMED_OUT);
}

#[test]
fn the_time_that_was_given_first_is_not_the_end_once_it_has_changed_twice() {
    let mut rig = timed(200, 1);
    let client = rig.client();
    rig.send(client, request("GET a"));
    for ms in [100, 400, 150, 500] {
        change(&mut rig, 0, ms);
    }
    assert_eq!(rig.core.next_deadline(), Some(1_100_000));
    for (ms, said) in [(150, ""), (50, ""), (299, ""), (1, TIMED_OUT)] {
        rig.later(ms);
        assert_eq!(rig.read(client), said);
    }
    assert_eq!(rig.core.next_deadline(), None, "nothing is left to look at");
}

#[test]
fn one_servers_timeout_is_not_anothers() {
    let mut rig = timed(1000, 2);
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    let (one, other) = (rig.client(), rig.client());
    change(&mut rig, 1, 100);
    rig.send(one, request(&format!("GET {here}")));
    rig.send(other, request(&format!("GET {there}")));
    rig.later(100);
    assert_eq!((rig.read(one).as_str(), rig.read(other).as_str()), ("", TIMED_OUT));
    rig.later(900);
    assert_eq!(rig.read(one), TIMED_OUT);
}

#[test]
fn silence_is_measured_by_the_servers_own_timeout() {
    for (ms, hangs) in [(100, true), (1000, false)] {
        let mut rig = timed(10_000, 1);
        let client = rig.client();
        change(&mut rig, 0, ms);
        rig.send(client, request("GET a"));
        rig.later(ms - 80);
        rig.send(client, request("GET b"));
        if !hangs {
            // Pushed, so that it answers nothing: the server is alive.
            rig.reply(0, ">1\r\n+news\r\n");
        }
        rig.later(80);
        let down = rig.said.iter().any(|said| matches!(said, Output::ServerFailed { down: true, .. }));
        assert_eq!((rig.read(client).as_str(), down), (TIMED_OUT, hangs));
    }
}

#[test]
fn what_timed_out_is_counted_once_at_what_it_has_waited() {
    let mut rig = timed(100, 1);
    let client = rig.client();
    rig.send(client, request("GET old"));
    rig.later(60);
    rig.send(client, request("GET young"));
    rig.later(40);
    assert_eq!(counted(&rig), (1, 102), "within a sixteenth");
    rig.later(50);
    rig.reply(0, "$3\r\nold\r\n$5\r\nyoung\r\n");
    assert_eq!(counted(&rig), (2, 102));
    // One for which no connection could be made counts as well.
    let mut rig = timed(100, 1);
    rig.slow_connect = true;
    let client = rig.client();
    rig.send(client, request("GET a"));
    rig.later(100);
    assert_eq!(counted(&rig), (1, 102));
}

#[test]
fn what_waits_behind_a_large_reply_is_hurried_by_the_time_it_has_now() {
    for (before, after) in [(1000, 100), (100, 1000)] {
        let mut view = pool(Protocol::Redis, 1);
        (view.stream_from, view.client_output_limit) = (100, 200);
        view.timeout_us = Some(before * 1000);
        let mut rig = Rig::new(view);
        let (big, writer) = (rig.client(), rig.client());
        rig.reads_at_most(big, 0);
        rig.send(big, request("GET big"));
        rig.send(writer, request("INCR n"));
        rig.reply(0, format!("$1000\r\n{}", "v".repeat(300)));
        change(&mut rig, 0, after);
        rig.said.clear();
        rig.later(after / 2 - 1);
        assert_eq!(rig.said, [], "nobody is in a hurry");
        rig.later(1);
        assert!(matches!(rig.said[..], [Output::ResumeConn(_)]), "{:?}", rig.said);
        rig.reply(0, format!("{}\r\n:1\r\n", "v".repeat(700)));
        assert_eq!(rig.read(writer), ":1\r\n");
    }
}
