//! Gets of single keys that go to a server as one.

use crate::rig::{Rig, memcache, pool};
use config::Protocol;
use engine::Usage;
use engine::error::Cause;
use engine::limits::{JOINED_KEYS, JOINED_LINE_BYTES};
use stats::ServerMetric;

pub(crate) fn value(key: &str, data: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{data}\r\n", data.len())
}

/// A pool of one server, and some clients.
pub(crate) fn rig_of(
    lines: impl FnOnce(&mut engine::topology::PoolView),
    clients: usize,
) -> (Rig, Vec<usize>) {
    let mut view = pool(Protocol::Memcache, 1);
    lines(&mut view);
    let mut rig = Rig::new(view);
    let clients = (0..clients).map(|_| rig.client()).collect();
    (rig, clients)
}

/// What several clients ask in one tick.
pub(crate) fn ask(rig: &mut Rig, requests: &[(usize, &str)]) {
    for (client, request) in requests {
        rig.send_and_wait(*client, format!("{request}\r\n"));
    }
    rig.later(0);
}

/// Nothing is left behind.
pub(crate) fn is_at_rest(rig: &Rig) {
    let Usage { requests, in_flight, .. } = rig.core.usage();
    assert_eq!((requests, in_flight), (0, 0));
    for metric in [
        ServerMetric::InQueue,
        ServerMetric::InQueueBytes,
        ServerMetric::OutQueue,
        ServerMetric::OutQueueBytes,
    ] {
        assert_eq!(rig.server_counter(0, metric), 0, "{}", metric.row().name);
    }
}

#[test]
fn gets_of_one_tick_are_one_request_and_everyone_reads_his_own_reply() {
    let (mut rig, clients) = rig_of(|_| {}, 3);
    ask(
        &mut rig,
        &[(clients[0], "get a"), (clients[1], "get bb"), (clients[2], "get c"), (clients[0], "get d")],
    );
    assert_eq!(rig.sent(0), "get a bb c d\r\n");
    assert_eq!(rig.server_counter(0, ServerMetric::Requests), 4);
    assert_eq!(rig.server_counter(0, ServerMetric::RequestBytes), "get a bb c d\r\n".len() as u64);
    let reply = value("a", "1") + &value("c", "END\r\nVALUE d 0 1") + "END\r\n";
    for byte in reply.as_bytes() {
        rig.reply(0, [*byte]);
    }
    assert_eq!(rig.read(clients[0]), value("a", "1") + "END\r\nEND\r\n");
    assert_eq!(rig.read(clients[1]), "END\r\n");
    assert_eq!(rig.read(clients[2]), value("c", "END\r\nVALUE d 0 1") + "END\r\n");
    assert_eq!(rig.server_counter(0, ServerMetric::Responses), 4);
    is_at_rest(&rig);
}

#[test]
fn values_may_come_in_any_order() {
    let (mut rig, clients) = rig_of(|_| {}, 5);
    let asked: Vec<(usize, &str)> =
        clients.iter().copied().zip(["get a", "get b", "get c", "get d", "get e"]).collect();
    ask(&mut rig, &asked);
    assert_eq!(rig.sent(0), "get a b c d e\r\n");
    rig.reply(0, value("d", "4") + &value("b", "2"));
    assert_eq!(rig.read(clients[3]), value("d", "4") + "END\r\n", "it does not wait for the others");
    rig.reply(0, value("a", "1") + &value("e", "5") + "END\r\n");
    for (client, expected) in
        [(0, value("a", "1")), (1, value("b", "2")), (2, String::new()), (4, value("e", "5"))]
    {
        assert_eq!(rig.read(clients[client]), expected + "END\r\n");
    }
    is_at_rest(&rig);
}

#[test]
fn only_what_has_not_left_takes_another_key() {
    let (mut rig, clients) = rig_of(|_| {}, 2);
    rig.send(clients[0], "get a\r\n");
    rig.send(clients[1], "get b\r\n");
    assert_eq!(rig.sent(0), "get a\r\nget b\r\n");
    rig.takes_at_most(0, 5);
    rig.send(clients[0], "get c\r\n");
    assert_eq!(rig.sent(0), "get c", "the end of the line has not left");
    rig.send(clients[1], "get d\r\n");
    rig.takes_at_most(0, 3);
    assert_eq!(rig.sent(0), " d\r", "half of it has now");
    rig.send(clients[1], "get e\r\n");
    rig.core.hold_still(true);
    rig.send(clients[1], "get f\r\n");
    rig.core.hold_still(false);
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), "\nget e\r\nget f\r\n", "nothing is changed that may have left");
    rig.reply(
        0,
        "END\r\nEND\r\n".to_string() + &value("c", "3") + &value("d", "4") + "END\r\nEND\r\nEND\r\n",
    );
    assert_eq!(rig.read(clients[0]), format!("END\r\n{}END\r\n", value("c", "3")));
    assert_eq!(rig.read(clients[1]), format!("END\r\n{}END\r\nEND\r\nEND\r\n", value("d", "4")));
    is_at_rest(&rig);
}

#[test]
fn other_requests_keep_their_place_between_gets() {
    let (mut rig, clients) = rig_of(|_| {}, 2);
    rig.send(
        clients[0],
        "get a\r\nget b\r\nset a 0 0 1\r\nx\r\nget a\r\nget c\r\ngets d\r\nget e\r\nget f g\r\nget h\r\n",
    );
    assert_eq!(
        rig.sent(0),
        "get a b\r\nset a 0 0 1\r\nx\r\nget a c\r\ngets d\r\nget e\r\nget f g\r\nget h\r\n"
    );
    let replies =
        [value("b", "2").as_str(), "END\r\nSTORED\r\n", &value("a", "x"), "END\r\nEND\r\nEND\r\n"].concat();
    rig.reply(0, replies + &value("g", "7") + "END\r\nEND\r\n");
    let expected = [
        "END\r\n",
        &value("b", "2"),
        "END\r\nSTORED\r\n",
        &value("a", "x"),
        "END\r\nEND\r\nEND\r\nEND\r\n",
        &value("g", "7"),
        "END\r\nEND\r\n",
    ];
    assert_eq!(rig.read(clients[0]), expected.concat());
    is_at_rest(&rig);
}

#[test]
fn no_key_is_twice_in_one_request_and_none_is_too_long() {
    let (mut rig, clients) = rig_of(|_| {}, 1);
    rig.send(clients[0], "get a\r\nget b\r\nget a\r\nget a\r\nget b\r\n");
    assert_eq!(rig.sent(0), "get a b\r\nget a\r\nget a b\r\n");
    rig.reply(0, value("a", "1") + "END\r\nEND\r\nEND\r\n");
    assert_eq!(rig.read(clients[0]), value("a", "1") + "END\r\nEND\r\nEND\r\nEND\r\nEND\r\n");
    for (length, many) in [(3, 500), (100, 200), (250, 50)] {
        let asked: String = (0..many).map(|number| format!("get {number:0length$}\r\n")).collect();
        rig.send(clients[0], asked);
        let mut lines: Vec<String> = Vec::new();
        loop {
            // It is not read while more replies are to be expected than it may leave unread.
            let sent = rig.sent(0);
            let more: Vec<String> = sent.split_inclusive("\r\n").map(String::from).collect();
            if more.is_empty() {
                break;
            }
            more.iter().for_each(|_| rig.reply(0, "END\r\n"));
            lines.extend(more);
        }
        assert!(lines.len() < many / 3, "{} lines for {many} keys", lines.len());
        let longest = lines.iter().map(String::len).max().unwrap_or(0);
        assert!(longest as u64 <= JOINED_LINE_BYTES + 10, "{longest} bytes");
        let most = lines.iter().map(|line| line.split(' ').count() - 1).max().unwrap_or(0);
        assert!(most <= JOINED_KEYS.into(), "{most} keys");
        assert_eq!(rig.read(clients[0]), "END\r\n".repeat(many));
    }
    is_at_rest(&rig);
}

#[test]
fn they_go_out_as_they_came_where_that_is_configured() {
    let (mut rig, clients) = rig_of(|view| view.join_gets = false, 2);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    assert_eq!(rig.sent(0), "get a\r\nget b\r\n");
}

#[test]
fn an_error_answers_all_that_have_no_value_by_then() {
    let (mut rig, clients) = rig_of(|_| {}, 3);
    ask(
        &mut rig,
        &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c"), (clients[2], "touch c 1")],
    );
    rig.reply(0, value("b", "2") + "SERVER_ERROR out of memory writing get response\r\nTOUCHED\r\n");
    assert_eq!(rig.read(clients[0]), "SERVER_ERROR out of memory writing get response\r\n");
    assert_eq!(rig.read(clients[1]), value("b", "2") + "END\r\n");
    assert_eq!(rig.read(clients[2]), "SERVER_ERROR out of memory writing get response\r\nTOUCHED\r\n");
    is_at_rest(&rig);
}

#[test]
fn what_nobody_asked_for_breaks_the_connection_and_nobody_reads_it() {
    for nonsense in [
        "VALUE x 0 1\r\nx\r\n",
        "VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\n",
        "STORED\r\n",
        "STAT a b\r\nEND\r\n",
    ] {
        let (mut rig, clients) = rig_of(|_| {}, 2);
        ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
        rig.sent(0);
        rig.reply(0, nonsense);
        assert_eq!(rig.read(clients[1]), "SERVER_ERROR Invalid argument\r\n", "{nonsense}");
        is_at_rest(&rig);
    }
}

#[test]
fn a_client_that_leaves_takes_nothing_from_the_others() {
    let (mut rig, clients) = rig_of(|_| {}, 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c")]);
    rig.vanish(clients[1]);
    rig.reply(0, value("a", "1") + &value("b", "2") + &value("c", "3") + "END\r\n");
    assert_eq!(rig.read(clients[0]), value("a", "1") + "END\r\n");
    assert_eq!(rig.read(clients[2]), value("c", "3") + "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn when_the_connection_breaks_those_without_a_value_ask_again() {
    let (mut rig, clients) = rig_of(|view| view.retry_reads = true, 4);
    let asked: Vec<(usize, &str)> =
        clients.iter().copied().zip(["get a", "get b", "get c", "get d"]).collect();
    ask(&mut rig, &asked);
    rig.sent(0);
    rig.reply(0, value("a", "1") + &value("c", "3"));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.sent(0), "get b\r\nget d\r\n");
    rig.reply(0, value("b", "2") + "END\r\nEND\r\n");
    for (client, expected) in
        [(0, value("a", "1")), (1, value("b", "2")), (2, value("c", "3")), (3, String::new())]
    {
        assert_eq!(rig.read(clients[client]), expected + "END\r\n");
    }
    is_at_rest(&rig);
}

#[test]
fn what_has_not_left_when_the_connection_ends_goes_to_the_next() {
    let (mut rig, clients) = rig_of(|_| {}, 3);
    rig.send(clients[0], "get z\r\n");
    rig.reply(0, "END\r\n");
    rig.takes_at_most(0, 7);
    rig.sent(0);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c")]);
    assert_eq!(rig.sent(0), "get a b");
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.sent(0), "get c\r\n", "of the others some has left");
    rig.reply(0, "END\r\n");
    assert_eq!(rig.read(clients[1]), "SERVER_ERROR unknown\r\n");
    assert_eq!(rig.read(clients[2]), "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn a_late_reply_is_dropped_and_the_line_that_has_begun_to_leave_is_finished() {
    let (mut rig, clients) = rig_of(|view| view.timeout_us = Some(100_000), 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.later(60);
    rig.takes_at_most(0, 5);
    ask(&mut rig, &[(clients[0], "get c"), (clients[2], "get d")]);
    rig.send(clients[2], "touch e 1\r\n");
    assert_eq!(rig.sent(0), "get a b\r\nget c");
    rig.later(41);
    let late = "SERVER_ERROR Connection timed out\r\n";
    assert_eq!((rig.read(clients[0]), rig.read(clients[1])), (late.to_string(), late.to_string()));
    assert_eq!(rig.read(clients[2]), "", "its get comes first");
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), " d\r\n", "what had not begun to leave is not asked");
    rig.reply(0, value("b", "2") + &value("a", "1") + "END\r\n" + &value("d", "4") + "END\r\n");
    assert_eq!(rig.read(clients[0]), "END\r\n");
    assert_eq!(rig.read(clients[1]), "");
    assert_eq!(rig.read(clients[2]), value("d", "4") + "END\r\n" + late);
    is_at_rest(&rig);
}

#[test]
fn what_is_answered_before_it_has_left_takes_no_more_keys() {
    let (mut rig, clients) = rig_of(|_| {}, 2);
    rig.send(clients[0], "get z\r\n");
    rig.reply(0, "END\r\n");
    rig.takes_at_most(0, 5);
    rig.sent(0);
    rig.send(clients[0], "get a\r\n");
    rig.reply(0, "END\r\n");
    rig.send(clients[1], "get b\r\n");
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), "get a\r\nget b\r\n");
    rig.reply(0, value("b", "2") + "END\r\n");
    assert_eq!(
        (rig.read(clients[0]), rig.read(clients[1])),
        ("END\r\nEND\r\n".into(), value("b", "2") + "END\r\n")
    );
}

#[test]
fn a_line_that_is_refused_before_its_end_has_left_is_refused_to_all_of_it() {
    let (mut rig, clients) = rig_of(|_| {}, 3);
    rig.send(clients[0], "get z\r\n");
    rig.reply(0, "END\r\n");
    rig.takes_at_most(0, 5);
    rig.sent(0);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.reply(0, "SERVER_ERROR early\r\n");
    rig.send(clients[2], "get c\r\n");
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), "get a b\r\nget c\r\n");
    rig.reply(0, value("c", "3") + "END\r\n");
    assert_eq!(rig.read(clients[0]), "END\r\nSERVER_ERROR early\r\n");
    assert_eq!(rig.read(clients[1]), "SERVER_ERROR early\r\n");
    assert_eq!(rig.read(clients[2]), value("c", "3") + "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn an_end_of_which_all_have_their_values_is_nothing_to_what_has_not_left() {
    let (mut rig, clients) = rig_of(|_| {}, 2);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.sent(0);
    rig.reply(0, value("a", "1") + &value("b", "2"));
    rig.takes_at_most(0, 0);
    ask(&mut rig, &[(clients[0], "get c"), (clients[1], "get d")]);
    rig.reply(0, "END\r\n");
    rig.takes_at_most(0, usize::MAX);
    assert_eq!(rig.sent(0), "get c d\r\n");
    rig.reply(0, value("d", "4") + "END\r\n");
    assert_eq!(rig.read(clients[0]), value("a", "1") + "END\r\nEND\r\n");
    assert_eq!(rig.read(clients[1]), value("b", "2") + "END\r\n" + &value("d", "4") + "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn a_server_that_takes_no_more_clients_is_heard() {
    let mut rig = memcache(1);
    let clients = [rig.client(), rig.client()];
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.reply(0, "ERROR Too many open connections\r\n");
    for client in clients {
        assert_eq!(rig.read(client), "ERROR Too many open connections\r\n");
    }
    assert!(rig.said.iter().any(|said| matches!(said, engine::Output::ServerFailed { .. })));
}

/// A pool of two servers, three clients, and keys of the first server and of the second.
fn two_servers(
    lines: impl FnOnce(&mut engine::topology::PoolView),
) -> (Rig, [usize; 3], [String; 6], String) {
    let mut view = pool(Protocol::Memcache, 2);
    lines(&mut view);
    let mut rig = Rig::new(view);
    let clients = [rig.client(), rig.client(), rig.client()];
    let keys = [0, 1, 2, 3, 4, 5].map(|number| rig.key(0, number));
    let other = rig.key(1, 0);
    (rig, clients, keys, other)
}

#[test]
fn parts_of_gets_of_several_keys_go_along() {
    let (mut rig, clients, [a, b, c, d, e, f], x) = two_servers(|_| {});
    rig.send_and_wait(clients[0], format!("get {a}\r\nget {b} {x} {c}\r\n"));
    rig.send_and_wait(clients[1], format!("get {x} {d}\r\nget {e}\r\n"));
    rig.send_and_wait(clients[2], format!("gets {f} {x}\r\n"));
    rig.later(0);
    assert_eq!(rig.sent(0), format!("get {a} {b} {c} {d} {e}\r\ngets {f}\r\n"));
    assert_eq!(rig.sent(1), format!("get {x}\r\nget {x}\r\ngets {x}\r\n"), "no key twice in one");
    rig.reply(0, value(&a, "1") + &value(&b, "2") + &value(&c, "3") + &value(&e, "5") + "END\r\nEND\r\n");
    assert_eq!(rig.read(clients[0]), value(&a, "1") + "END\r\n", "the other part is still to come");
    assert_eq!(rig.read(clients[1]), "");
    rig.reply(1, value(&x, "9") + "END\r\n" + &value(&x, "9") + "END\r\nEND\r\n");
    assert_eq!(rig.read(clients[0]), value(&b, "2") + &value(&x, "9") + &value(&c, "3") + "END\r\n");
    assert_eq!(rig.read(clients[1]), value(&x, "9") + "END\r\n" + &value(&e, "5") + "END\r\n");
    assert_eq!(rig.read(clients[2]), "END\r\n");
    let usage = rig.core.usage();
    assert_eq!((usage.requests, usage.merges, usage.in_flight), (0, 0, 0));
}

#[test]
fn a_part_whose_reply_breaks_off_is_asked_again_whole() {
    let (mut rig, clients, [a, b, c, ..], x) = two_servers(|view| view.retry_reads = true);
    ask(&mut rig, &[(clients[1], &format!("get {c}")), (clients[0], &format!("get {a} {x} {b} {a}"))]);
    assert_eq!(rig.sent(0), format!("get {c} {a} {b} {a}\r\n"));
    rig.reply(1, value(&x, "9") + "END\r\n");
    rig.reply(0, value(&c, "3") + &value(&a, "old"));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.sent(0), format!("get {a} {b} {a}\r\n"));
    rig.reply(0, value(&a, "1") + &value(&b, "2") + &value(&a, "1") + "END\r\n");
    let values = [value(&a, "1"), value(&x, "9"), value(&b, "2"), value(&a, "1")].concat();
    assert_eq!(rig.read(clients[0]), values + "END\r\n");
    assert_eq!(rig.read(clients[1]), value(&c, "3") + "END\r\n");
}

#[test]
fn a_part_that_is_late_is_an_error_and_what_comes_of_it_is_dropped() {
    let lines = |view: &mut engine::topology::PoolView| {
        (view.timeout_us, view.partial_is_miss) = (Some(100_000), false);
    };
    let (mut rig, clients, [a, b, c, ..], x) = two_servers(lines);
    rig.send(clients[0], format!("get {a} {x} {b}\r\n"));
    rig.later(50);
    rig.takes_at_most(0, 0);
    ask(&mut rig, &[(clients[1], &format!("get {c}")), (clients[2], &format!("get {b} {x}"))]);
    rig.reply(1, "END\r\nEND\r\n");
    rig.takes_at_most(0, usize::MAX);
    rig.reply(0, value(&a, "1"));
    rig.later(51);
    assert_eq!(rig.read(clients[0]), "SERVER_ERROR Connection timed out\r\n");
    rig.reply(0, value(&b, "2") + "END\r\n" + &value(&b, "2") + "END\r\n");
    assert_eq!(rig.read(clients[0]), "");
    assert_eq!(rig.read(clients[1]), "END\r\n");
    assert_eq!(rig.read(clients[2]), value(&b, "2") + "END\r\n");
}

#[test]
fn large_values_of_a_part_are_collected_and_its_line_goes_on() {
    let (mut rig, clients, [a, b, c, ..], x) =
        two_servers(|view| (view.stream_from, view.retry_reads) = (100, true));
    ask(&mut rig, &[(clients[0], &format!("get {a} {x} {b}")), (clients[1], &format!("get {c}"))]);
    rig.sent(0);
    let (large, larger) = (value(&a, &"x".repeat(300)), value(&b, &"y".repeat(900)));
    rig.reply(1, "END\r\n");
    rig.reply(0, &large[..200]);
    assert_eq!(rig.sent(0), format!("get {c}\r\n"), "elsewhere");
    rig.reply(0, "END\r\n");
    assert_eq!(rig.read(clients[1]), "END\r\n");
    rig.reply_first(0, [&large[200..], &larger[..500]].concat());
    rig.reply_first(0, [&larger[500..], &value(&c, "3"), "END\r\n"].concat());
    assert_eq!(rig.read(clients[0]), large + &larger + "END\r\n");
    assert_eq!(rig.read(clients[1]), "");
}

#[test]
fn a_part_may_be_as_large_as_a_reply_and_no_larger() {
    for (most, expected) in [(10_000, true), (500, false)] {
        let (mut rig, clients, [a, b, c, ..], x) = two_servers(|view| {
            (view.limits.reply_bytes, view.partial_is_miss) = (most, false);
        });
        ask(&mut rig, &[(clients[1], &format!("get {c}")), (clients[0], &format!("get {a} {x} {b}"))]);
        rig.reply(1, "END\r\n");
        let values = value(&a, &"x".repeat(300)) + &value(&b, &"y".repeat(300));
        rig.reply(0, value(&c, "3") + &values + "END\r\n");
        assert_eq!(rig.read(clients[1]), value(&c, "3") + "END\r\n");
        let reply = rig.read(clients[0]);
        assert_eq!(reply == values + "END\r\n", expected, "{reply}");
        assert!(expected || reply == "SERVER_ERROR Invalid argument\r\n", "{reply}");
    }
}

#[test]
fn who_has_nothing_of_its_reply_yet_asks_again_and_who_has_does_not() {
    let (mut rig, clients) = rig_of(|view| view.retry_reads = true, 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c")]);
    rig.sent(0);
    rig.reply(0, "VALUE b 0 5\r\nxx"); // a is missed, or comes later
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(clients[0]), "");
    assert_eq!(rig.read(clients[1]), "SERVER_ERROR Connection reset by peer\r\n");
    assert_eq!(rig.sent(0), "get a\r\nget c\r\n");
}

#[test]
fn half_of_a_lines_end_is_of_no_reply_behind_it() {
    let (mut rig, clients) = rig_of(|view| view.retry_reads = true, 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.send(clients[2], "get c\r\n");
    assert_eq!(rig.sent(0), "get a b\r\nget c\r\n");
    rig.reply(0, value("a", "1") + &value("b", "2") + "EN");
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(clients[2]), "");
    assert_eq!(rig.sent(0), "get c\r\n");
}

#[test]
fn what_is_answered_before_its_turn_is_timed_once() {
    let (mut rig, clients) = rig_of(|view| view.timeout_us = Some(100_000), 2);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.sent(0);
    rig.later(1);
    rig.reply(0, value("b", "2"));
    assert_eq!(rig.read(clients[1]), value("b", "2") + "END\r\n");
    rig.later(100);
    assert_eq!(rig.read(clients[0]), "SERVER_ERROR Connection timed out\r\n");
    let mut all = stats::Distribution::default();
    all.merge(&rig.registry.shards()[0].server_shard(0, 0).latency);
    assert_eq!(all.count(), 2, "two requests");
}
