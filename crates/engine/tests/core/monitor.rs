//! MONITOR: what clients of a pool ask, line by line.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::Output;
use engine::topology::Standing;
use stats::Event;

/// A client that monitors.
fn monitor(rig: &mut Rig) -> usize {
    let client = rig.client();
    rig.send(client, request("MONITOR"));
    assert_eq!(rig.read(client), "+OK\r\n");
    client
}

/// What a monitor has read, without times and addresses.
fn shown(rig: &mut Rig, monitor: usize) -> Vec<String> {
    let text = rig.read(monitor);
    let lines = text.split_inclusive("\r\n").map(|line| {
        let (head, rest) = line.trim_end().split_once("] ").expect("an address");
        assert!(head.starts_with('+') && head.ends_with(" unix:0"), "{line}");
        let database = head.split('[').nth(1).and_then(|text| text.split(' ').next()).expect("a database");
        format!("{database} {rest}")
    });
    lines.collect()
}

#[test]
fn a_line_for_each_request_that_is_carried_out() {
    let mut rig = redis(2);
    let (early, monitor) = (rig.client(), monitor(&mut rig));
    rig.later(1234);
    let late = rig.client();
    rig.send(early, requests(&["get k", "GET", "NOSUCH", "SLOWLOG LEN", "PING"]));
    assert_eq!(rig.read(monitor), "+2.234000 [0 unix:0] \"get\" \"k\"\r\n+2.234000 [0 unix:0] \"PING\"\r\n");
    rig.send(late, requests(&["CLIENT ID", "MGET a b c", "DBSIZE", "EVAL x 0", "SHUTDOWN", "RESET", "QUIT"]));
    let lines = ["CLIENT ID", "MGET a b c", "DBSIZE", "EVAL x 0", "RESET", "QUIT"];
    let quoted = |line: &&str| format!("0 \"{}\"", line.replace(' ', "\" \""));
    assert_eq!(shown(&mut rig, monitor), lines.iter().map(quoted).collect::<Vec<_>>());
    let (a, b) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(early, request(&format!("SUNION {a} {b}")));
    assert!(shown(&mut rig, monitor).is_empty(), "what the proxy refuses is not carried out");
    let other = rig.client();
    rig.send(other, requests(&["CLIENT LIST", "TIME"]));
    assert_eq!(shown(&mut rig, monitor), ["0 \"TIME\""]);
}

#[test]
fn a_request_that_waits_is_shown_once() {
    let mut rig = redis(1);
    let (client, monitor) = (rig.client(), monitor(&mut rig));
    rig.send(client, requests(&["GET a", "WATCH a", "BLPOP l 0"]));
    assert_eq!(shown(&mut rig, monitor), ["0 \"GET\" \"a\""], "WATCH waits for the reply");
    rig.reply(0, "$-1\r\n");
    assert_eq!(shown(&mut rig, monitor), ["0 \"WATCH\" \"a\""]);
    rig.reply(0, "+OK\r\n");
    assert_eq!(shown(&mut rig, monitor), ["0 \"BLPOP\" \"l\" \"0\""]);
}

#[test]
fn passwords_are_not_shown() {
    let view = pool_with(Protocol::Redis, 1, "redis_auth: secret", |_| Standing::In);
    let mut rig = Rig::new(view);
    let monitor = rig.client();
    rig.send(monitor, requests(&["MONITOR", "AUTH secret", "MONITOR"]));
    assert_eq!(rig.read(monitor), "-NOAUTH Authentication required\r\n+OK\r\n+OK\r\n");
    let client = rig.client();
    let asked =
        ["PING", "AUTH wrong", "AUTH default secret", "HELLO 3 AUTH default secret SETNAME n", "HELLO 2"];
    rig.send(client, requests(&asked));
    let expected = [
        "0 \"AUTH\" \"(redacted)\"",
        "0 \"AUTH\" \"(redacted)\" \"(redacted)\"",
        "0 \"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"n\"",
        "0 \"HELLO\" \"2\"",
    ];
    assert_eq!(shown(&mut rig, monitor), expected);
    rig.send(client, request("HELLO 3 SETNAME auth AUTH default secret"));
    assert!(!shown(&mut rig, monitor)[0].contains("secret"), "in whatever order");
}

#[test]
fn a_transaction_is_shown_when_it_is_carried_out() {
    let mut rig = redis(1);
    let (client, monitor) = (rig.client(), monitor(&mut rig));
    rig.send(client, requests(&["MULTI", "SET a 1", "PING"]));
    assert_eq!(shown(&mut rig, monitor), ["0 \"MULTI\""]);
    rig.send(client, request("EXEC"));
    assert_eq!(shown(&mut rig, monitor), ["0 \"SET\" \"a\" \"1\"", "0 \"PING\"", "0 \"EXEC\""]);
    rig.send(client, requests(&["MULTI", "SET a 1", "DISCARD", "MULTI", "SET a", "EXEC"]));
    assert_eq!(shown(&mut rig, monitor), ["0 \"MULTI\"", "0 \"DISCARD\"", "0 \"MULTI\"", "0 \"EXEC\""]);
    let other = rig.client();
    rig.send(other, requests(&["MULTI", "MONITOR"]));
    let text = rig.read(other);
    assert!(text.ends_with("-ERR cashew does not run 'MONITOR' inside a transaction\r\n"), "{text}");
}

#[test]
fn the_database_is_that_of_the_request() {
    let mut rig = redis(1);
    let (client, monitor) = (rig.client(), monitor(&mut rig));
    rig.send(client, request("SELECT 3"));
    rig.reply(0, "+OK\r\n");
    rig.send(client, request("GET a"));
    assert_eq!(shown(&mut rig, monitor), ["3 \"SELECT\" \"3\"", "3 \"GET\" \"a\""]);
}

#[test]
fn a_monitor_may_do_what_redis_lets_it() {
    let mut rig = redis(1);
    let monitor = monitor(&mut rig);
    rig.send(monitor, request("PING"));
    assert_eq!(rig.read(monitor), "+PONG\r\n+1.000000 [0 unix:0] \"PING\"\r\n");
    let denied = "-ERR Replica can't interact with the keyspace\r\n";
    rig.send(monitor, requests(&["GET a", "SET a 1", "EVAL x 0", "PUBLISH c m", "DBSIZE", "MONITOR"]));
    assert_eq!((rig.read(monitor), rig.sent(0).as_str()), (denied.repeat(5), ""));
    rig.send(monitor, request("CLIENT INFO"));
    assert!(rig.read(monitor).contains(" flags=O "));
    rig.send(monitor, requests(&["CLIENT REPLY OFF", "PING"]));
    assert_eq!(rig.read(monitor), "");
    rig.send(monitor, requests(&["CLIENT REPLY ON", "RESET", "PING", "CLIENT INFO"]));
    let text = rig.read(monitor);
    assert!(text.starts_with("+OK\r\n+RESET\r\n+PONG\r\n$") && text.contains(" flags=N "), "{text}");
}

#[test]
fn a_monitor_begins_when_all_it_asked_is_answered() {
    let mut rig = redis(1);
    let (monitor, client) = (rig.client(), rig.client());
    rig.send(monitor, requests(&["GET a", "MONITOR"]));
    rig.send(client, request("PING"));
    assert_eq!(rig.read(monitor), "");
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(monitor), "$-1\r\n+OK\r\n");
    rig.send(client, request("PING"));
    assert_eq!(shown(&mut rig, monitor), ["0 \"PING\""]);
}

#[test]
fn clients_of_all_workers_are_shown() {
    let mut rig = redis(1);
    let before = rig.client_elsewhere();
    let first = monitor(&mut rig);
    let after = rig.client_elsewhere();
    rig.send_elsewhere(before, requests(&["GET a", "PING"]));
    rig.send_elsewhere(after, request("TIME"));
    assert_eq!(shown(&mut rig, first), ["0 \"GET\" \"a\"", "0 \"PING\"", "0 \"TIME\""]);
    // One of the other worker reads what clients of this one ask.
    rig.send_elsewhere(after, request("MONITOR"));
    let client = rig.client();
    rig.send(client, request("ECHO here"));
    assert_eq!(shown(&mut rig, first), ["0 \"ECHO\" \"here\""]);
    let text = rig.waits_elsewhere(after);
    assert!(text.ends_with("+OK\r\n+1.000000 [0 unix:0] \"ECHO\" \"here\"\r\n"), "{text}");
    // Once the one here has left, the one there still does.
    rig.vanish(first);
    rig.send(client, request("ECHO again"));
    assert!(rig.waits_elsewhere(after).ends_with("\"ECHO\" \"again\"\r\n"));
    rig.send_elsewhere(after, request("RESET"));
    let text = rig.waits_elsewhere(after);
    rig.send(client, request("ECHO last"));
    assert_eq!((rig.waits_elsewhere(after), rig.read(client).matches("$4\r\nlast").count()), (text, 1));
}

#[test]
fn nobody_is_overheard_once_the_last_monitor_has_left() {
    for by_reset in [false, true] {
        let leave = |rig: &mut Rig, client| match by_reset {
            true => rig.send(client, request("RESET")),
            false => rig.vanish(client),
        };
        let mut rig = redis(1);
        let (client, elsewhere) = (rig.client(), rig.client_elsewhere());
        let (one, two) = (monitor(&mut rig), monitor(&mut rig));
        leave(&mut rig, one);
        rig.read(two);
        rig.send(client, request("PING"));
        assert_eq!(shown(&mut rig, two), ["0 \"PING\""]);
        leave(&mut rig, two);
        let other = rig.other.as_mut().unwrap();
        other.handle(engine::Input::ClientData(elsewhere, &request("PING")));
        let outputs: Vec<Output> = std::iter::from_fn(|| other.next_output()).collect();
        assert!(!outputs.iter().any(|output| matches!(output, Output::TellMonitors { .. })), "{outputs:?}");
        rig.send_and_wait(client, request("PING"));
        let outputs: Vec<Output> = std::iter::from_fn(|| rig.core.next_output()).collect();
        assert!(!outputs.iter().any(|output| matches!(output, Output::TellMonitors { .. })), "{outputs:?}");
    }
}

#[test]
fn who_leaves_before_all_workers_know_leaves_nothing_behind() {
    let mut rig = redis(1);
    let (client, asker, elsewhere) = (rig.client(), rig.client(), rig.client_elsewhere());
    rig.send_and_wait(asker, request("MONITOR"));
    let Some(Output::AskWorkers(survey)) = rig.core.next_output() else { panic!("all are asked") };
    let question = rig.core.begin_survey(survey, 1).expect("a question");
    let found = rig.other.as_mut().unwrap().look_into(&question, Some(0));
    rig.vanish(asker);
    rig.core.take_findings(survey, found);
    rig.send(client, request("PING"));
    rig.send_and_wait(client, request("PING"));
    let outputs: Vec<Output> = std::iter::from_fn(|| rig.core.next_output()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::TellMonitors { .. })), "{outputs:?}");
    let other = rig.other.as_mut().unwrap();
    other.handle(engine::Input::ClientData(elsewhere, &request("PING")));
    assert!(
        std::iter::from_fn(|| other.next_output()).all(|output| matches!(output, Output::WriteClient(_)))
    );
}

#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let mut view = pool(Protocol::Redis, 1);
    view.client_output_max = 10_000;
    let mut rig = Rig::new(view);
    let (client, slow, quick) = (rig.client(), monitor(&mut rig), monitor(&mut rig));
    rig.reads_at_most(slow, 0);
    for _ in 0..100 {
        rig.send(client, request(&format!("ECHO {}", "x".repeat(400))));
        rig.later(1);
    }
    assert!(rig.closed(slow).is_some() && rig.closed(quick).is_none());
    assert_eq!(shown(&mut rig, quick).len(), 100);
    assert!(matches!(rig.event(), Some(Event::ClientOverflow { unread_bytes: 10_000..11_000, .. })));
}

#[test]
fn a_worker_that_takes_no_lines_costs_its_monitors_and_nobody_else() {
    let mut view = pool(Protocol::Redis, 1);
    view.client_output_max = 10_000;
    let mut rig = Rig::new(view);
    let client = rig.client_elsewhere();
    let monitor = monitor(&mut rig);
    let other = rig.other.as_mut().unwrap();
    let ask = |other: &mut engine::Core, bytes: usize| {
        other.handle(engine::Input::ClientData(client, &request(&format!("ECHO {}", "x".repeat(bytes)))));
        let mut surveys = Vec::new();
        while let Some(output) = other.next_output() {
            match output {
                Output::AskWorkers(survey) => surveys.push((survey, other.begin_survey(survey, 1))),
                Output::TellMonitors { pool } => other.tell_monitors(pool),
                Output::WriteClient(id) => {
                    let count = other.client_output(id).len();
                    other.handle(engine::Input::ClientWritten(id, count));
                }
                _ => {}
            }
        }
        surveys
    };
    let (first, question) = ask(other, 3).pop().expect("a batch leaves at once");
    // The next wait until that is taken, but not more than a monitor may leave unread.
    assert!((0..100).all(|_| ask(other, 400).is_empty()));
    let found = rig.core.look_into(&question.unwrap(), Some(1));
    other.take_findings(first, found);
    let Some(Output::AskWorkers(second)) = other.next_output() else { panic!("another batch") };
    let question = other.begin_survey(second, 1).unwrap();
    let found = rig.core.look_into(&question, Some(1));
    other.take_findings(second, found);
    rig.later(1);
    assert!(rig.closed(monitor).is_some(), "it would have missed some");
    assert!(matches!(rig.event(), Some(Event::ClientOverflow { .. })));
}

#[test]
fn an_operator_may_switch_it_off() {
    let mut rig = Rig::new(pool_with(Protocol::Redis, 1, "disable: monitor", |_| Standing::In));
    let client = rig.client();
    rig.send(client, request("MONITOR"));
    assert_eq!(rig.read(client), "-ERR 'MONITOR' is switched off for this pool (disable)\r\n");
}

#[test]
fn a_large_value_passes_and_is_not_shown() {
    let mut view = pool(Protocol::Redis, 1);
    view.stream_from = 100;
    let mut rig = Rig::new(view);
    let (client, monitor) = (rig.client(), monitor(&mut rig));
    let whole = request(&format!("SET k {}", "x".repeat(1000)));
    rig.send(client, &whole[..100]);
    assert_eq!(rig.sent(0).as_bytes(), &whole[..100], "nothing is collected");
    assert_eq!(shown(&mut rig, monitor), ["0 \"SET\" \"k\" \"... (1 more arguments)\""]);
    rig.send(client, &whole[100..]);
    rig.reply(0, "+OK\r\n");
    assert_eq!((rig.read(client).as_str(), rig.read(monitor).as_str()), ("+OK\r\n", ""));
}
