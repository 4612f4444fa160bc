//! Large values among gets of single keys that go to a server as one.

use crate::joined::{ask, is_at_rest, rig_of, value};

#[test]
fn a_large_value_is_passed_on_as_it_comes_and_the_others_are_asked_elsewhere() {
    let (mut rig, clients) = rig_of(|view| (view.stream_from, view.retry_reads) = (100, true), 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c")]);
    rig.sent(0);
    let data = "x".repeat(300);
    let large = value("b", &data);
    rig.reply(0, value("a", "1") + &large[..150]);
    rig.later(1);
    assert_eq!(rig.read(clients[1]), &large[..150], "before it is all there");
    assert_eq!(rig.sent(0), "get c\r\n", "over another connection");
    rig.reply(0, value("c", "3") + "END\r\n");
    assert_eq!(rig.read(clients[2]), value("c", "3") + "END\r\n", "without waiting for it");
    rig.reply_first(0, &large[150..310]);
    rig.reply_first(0, [&large[310..], &value("c", "3"), "END\r\n"].concat());
    rig.later(1);
    assert_eq!(rig.read(clients[1]), format!("{}END\r\n", &large[150..]));
    assert_eq!((rig.read(clients[0]), rig.read(clients[2])), (value("a", "1") + "END\r\n", String::new()));
    is_at_rest(&rig);
}

#[test]
fn a_large_value_that_is_not_the_next_is_given_to_whom_it_is_for() {
    let (mut rig, clients) = rig_of(|view| (view.stream_from, view.retry_reads) = (100, false), 3);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b"), (clients[2], "get c")]);
    let large = value("b", &"x".repeat(300));
    rig.reply(0, &large[..150]);
    rig.reply(0, [&large[150..], &value("a", "1"), "END\r\n"].concat());
    rig.later(1);
    assert_eq!(rig.read(clients[0]), value("a", "1") + "END\r\n");
    assert_eq!(rig.read(clients[1]), large + "END\r\n");
    assert_eq!(rig.read(clients[2]), "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn a_lane_whose_reply_has_not_ended_is_not_kept_for_others() {
    let (mut rig, clients) = rig_of(|view| (view.stream_from, view.retry_reads) = (100, true), 2);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    let large = value("b", &"x".repeat(300));
    rig.reply(0, value("a", "1") + &large[..150]);
    assert_eq!(rig.open_conns(0), 1);
    rig.reply(0, &large[150..]);
    assert_eq!(rig.read(clients[1]), large + "END\r\n");
    assert_eq!(rig.open_conns(0), 0, "an END would come that is nobody's");
    is_at_rest(&rig);
}

/// What the client of a large value reads that comes slowly, behind a miss, and the other's miss.
fn slow_large_value(join: bool, retry: bool, behind: &str) -> [String; 2] {
    let (mut rig, clients) = rig_of(
        |view| {
            (view.stream_from, view.retry_reads) = (100, retry);
            (view.timeout_us, view.join_gets) = (Some(100_000), join);
        },
        2,
    );
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], &format!("get b{behind}"))]);
    rig.sent(0);
    if !join {
        rig.reply(0, "END\r\n");
    }
    let reply = value("b", &"x".repeat(300)) + "END\r\n";
    for bytes in reply.as_bytes().chunks(50) {
        rig.reply_first(0, bytes);
        if rig.sent(0) == "get a\r\n" {
            rig.reply(0, "END\r\n"); // over another connection
        }
        rig.later(30);
    }
    let failed = rig.said.iter().any(|said| matches!(said, engine::Output::ServerFailed { .. }));
    assert!(!failed || !behind.is_empty(), "join {join}, retry {retry}: the server did nothing wrong");
    [rig.read(clients[1]), rig.read(clients[0])]
}

#[test]
fn a_large_value_behind_a_miss_is_passed_on_as_it_comes() {
    let large = value("b", &"x".repeat(300)) + "END\r\n";
    for (retry, behind) in [(true, ""), (false, ""), (true, "\r\nset z 0 0 1\r\nx")] {
        for join in [false, true] {
            let [read, miss] = slow_large_value(join, retry, behind);
            assert!(read.starts_with(&large), "join {join}, retry {retry}: {read}");
            if retry {
                assert_eq!(miss, "END\r\n", "join {join}: a miss does not wait for another's value");
            }
        }
    }
}

#[test]
fn a_large_value_whose_client_waits_for_an_earlier_get_there_is_collected() {
    let (mut rig, clients) = rig_of(|view| (view.stream_from, view.retry_reads) = (100, false), 2);
    let large = value("b", &"x".repeat(300));
    ask(&mut rig, &[(clients[0], "get a"), (clients[0], "get b"), (clients[1], "get c")]);
    rig.sent(0);
    for bytes in large.as_bytes().chunks(50) {
        rig.reply(0, bytes);
        rig.later(1);
    }
    rig.reply(0, value("c", "3") + "END\r\n");
    rig.later(1);
    assert_eq!(rig.read(clients[0]), "END\r\n".to_string() + &large + "END\r\n");
    assert_eq!(rig.read(clients[1]), value("c", "3") + "END\r\n");
    is_at_rest(&rig);
}

#[test]
fn a_large_value_that_nobody_asked_for_is_refused_at_its_first_line() {
    let (mut rig, clients) = rig_of(|view| view.stream_from = 100, 2);
    ask(&mut rig, &[(clients[0], "get a"), (clients[1], "get b")]);
    rig.sent(0);
    rig.reply(0, "VALUE z 0 100000\r\nxx");
    for client in clients {
        assert_eq!(rig.read(client), "SERVER_ERROR Invalid argument\r\n");
    }
}
