//! SCAN and RANDOMKEY over several servers.

use crate::rig::{Rig, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::Standing;

const WHICH_RUN: &str = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";

/// What a server says of its run.
fn info(run: &str) -> String {
    let text = format!("# Server\r\nrun_id:{run}\r\n");
    format!("${}\r\n{text}\r\n", text.len())
}

/// A server's page.
fn page(cursor: &str, key: &str) -> String {
    format!("*2\r\n${}\r\n{cursor}\r\n*1\r\n${}\r\n{key}\r\n", cursor.len(), key.len())
}

/// The cursor and the rest of a page that a client reads.
fn parts(read: &str) -> (String, String) {
    let mut lines = read.splitn(4, "\r\n");
    assert_eq!(lines.next(), Some("*2"), "{read}");
    lines.next();
    let cursor = lines.next().unwrap_or_default().to_owned();
    assert!(cursor.parse::<u64>().is_ok_and(|number| number.to_string() == cursor), "{read}");
    (cursor, lines.next().unwrap_or_default().to_owned())
}

/// Asks for a page and has the server answer it.
fn step(rig: &mut Rig, client: usize, cursor: &str, server: usize, reply: &str) -> String {
    rig.sent(server);
    rig.send(client, request(&format!("SCAN {cursor}")));
    rig.reply(server, reply);
    rig.sent(server);
    parts(&rig.read(client)).0
}

fn asked(cursor: &str) -> String {
    String::from_utf8(request(&format!("SCAN {cursor}"))).expect("text")
}

#[test]
fn it_goes_from_server_to_server_and_ends_at_the_last() {
    let mut rig = redis(3);
    let client = rig.client();
    rig.send(client, request("SCAN 0 MATCH a* COUNT 7 TYPE string"));
    let sent = String::from_utf8(request("SCAN 0 MATCH a* COUNT 7 TYPE string")).expect("text");
    assert_eq!(
        rig.sent(0),
        format!("{WHICH_RUN}{sent}"),
        "the first page on a connection says of which run it is"
    );
    rig.reply(0, info("abc"));
    rig.reply(0, page("24", "one"));
    let (cursor, keys) = parts(&rig.read(client));
    assert_eq!(keys, "*1\r\n$3\r\none\r\n");
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), asked("24"), "the server's own cursor");
    rig.reply(0, "*2\r\n$1\r\n0\r\n*0\r\n");
    let (cursor, keys) = parts(&rig.read(client));
    assert_eq!(keys, "*0\r\n");
    assert_ne!(cursor, "0", "there are more servers");
    let next = step(&mut rig, client, &cursor, 1, &(info("b") + &page("0", "k")));
    assert_eq!(
        step(&mut rig, client, &cursor, 1, &page("0", "k")),
        next,
        "a cursor is good as often as it is asked"
    );
    let middle = step(&mut rig, client, &next, 2, &(info("c") + &page("5", "k")));
    assert_eq!(step(&mut rig, client, &middle, 2, &page("0", "k")), "0");
}

#[test]
fn the_keys_of_a_server_that_was_started_anew_are_walked_through_once_more() {
    let mut rig = redis(2);
    let client = rig.client();
    let cursor = step(&mut rig, client, "0", 0, &(info("first") + &page("24", "one")));
    rig.lose(0, Cause::Closed);
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), format!("{WHICH_RUN}{}", asked("24")));
    rig.reply(0, info("second") + &page("12", "two"));
    let (cursor, keys) = parts(&rig.read(client));
    assert_eq!(keys, "*1\r\n$3\r\ntwo\r\n", "they are keys all the same");
    assert_ne!(cursor, "0");
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), asked("0"), "from the first one");
    rig.reply(0, page("6", "three"));
    let (cursor, _) = parts(&rig.read(client));
    // The same run over another connection: on it goes.
    rig.lose(0, Cause::Closed);
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), format!("{WHICH_RUN}{}", asked("6")));
    rig.reply(0, info("second") + &page("3", "four"));
    let (cursor, _) = parts(&rig.read(client));
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), asked("3"));
}

#[test]
fn a_page_that_breaks_off_is_an_error_and_its_cursor_stays_good() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, requests(&["SCAN 0", "PING"]));
    rig.reply(0, info("abc"));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n+PONG\r\n");
    let cursor = step(&mut rig, client, "0", 0, &(info("abc") + &page("24", "one")));
    rig.send(client, request(&format!("SCAN {cursor} COUNT none")));
    rig.reply(0, "-ERR value is not an integer or out of range\r\n");
    assert_eq!(rig.read(client), "-ERR value is not an integer or out of range\r\n");
    let next = step(&mut rig, client, &cursor, 0, &page("12", "two"));
    assert!(!["0", &cursor].contains(&next.as_str()));
}

#[test]
fn a_server_that_does_not_tell_its_run_is_believed() {
    let mut rig = redis(2);
    let client = rig.client();
    let cursor = step(&mut rig, client, "0", 0, &("-NOPERM no\r\n".to_owned() + &page("24", "one")));
    rig.lose(0, Cause::Closed);
    let cursor = step(&mut rig, client, &cursor, 0, &("-NOPERM no\r\n".to_owned() + &page("12", "one")));
    rig.sent(0);
    rig.send(client, request(&format!("SCAN {cursor}")));
    assert_eq!(rig.sent(0), asked("12"));
}

#[test]
fn cursors_that_are_none() {
    let mut rig = redis(2);
    let client = rig.client();
    for cursor in ["x", "-1", "1.5", "18446744073709551616"] {
        rig.send(client, request(&format!("SCAN {cursor}")));
        assert_eq!(rig.read(client), "-ERR invalid cursor\r\n", "{cursor}");
    }
    rig.send(client, request("SCAN 0"));
    rig.reply(0, info("abc") + &page("18446744073709551615", "k"));
    assert!(rig.read(client).starts_with("-ERR the cursor of server 's0' is too large"));
    rig.send(client, request("SCAN 0"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "-ERR Invalid argument\r\n");
}

#[test]
fn an_ejected_server_is_passed_over() {
    let out = |away: &'static [usize]| {
        move |server: usize| if away.contains(&server) { Standing::Out } else { Standing::In }
    };
    let view = |away| pool_with(Protocol::Redis, 3, "auto_eject_hosts: true", out(away));
    let mut rig = Rig::new(view(&[]));
    let client = rig.client();
    let cursor = step(&mut rig, client, "0", 0, &(info("abc") + &page("24", "one")));
    rig.take_up(view(&[0, 1]));
    let last = step(&mut rig, client, &cursor, 2, &(info("abc") + &page("0", "two")));
    assert_eq!(last, "0", "on with the next that has keys");
    let middle = step(&mut rig, client, "0", 2, &page("7", "two"));
    rig.take_up(view(&[2]));
    rig.send(client, request(&format!("SCAN {middle}")));
    assert_eq!(rig.read(client), "*2\r\n$1\r\n0\r\n*0\r\n", "there is no next one");
    rig.take_up(view(&[0, 1, 2]));
    rig.send(client, request("SCAN 0"));
    assert_eq!(rig.read(client), "-ERR Connection refused\r\n");
}

#[test]
fn the_cursors_of_a_single_server_are_its_own() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("SCAN 17"));
    assert_eq!(rig.sent(0), asked("17"));
    rig.reply(0, page("18446744073709551615", "k"));
    assert_eq!(rig.read(client), page("18446744073709551615", "k"));
}

#[test]
fn a_client_that_leaves_loses_nobody_their_place() {
    let mut rig = redis(2);
    let (gone, other) = (rig.client(), rig.client());
    rig.send(gone, request("SCAN 0"));
    rig.send(other, request("SCAN 0"));
    rig.vanish(gone);
    rig.reply(0, info("abc") + &page("9", "theirs") + &info("abc") + &page("9", "mine"));
    assert!(rig.read(other).ends_with("*1\r\n$4\r\nmine\r\n"));
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn a_late_page_answers_nobody_else() {
    let mut view = pool_with(Protocol::Redis, 2, "", |_| Standing::In);
    view.timeout_us = Some(400_000);
    let mut rig = Rig::new(view);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, request("SCAN 0"));
    rig.later(300);
    let key = rig.key(0, 0);
    rig.send(other, request(&format!("GET {key}")));
    rig.later(200);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    rig.reply(0, info("abc") + &page("9", "late") + "$1\r\nv\r\n");
    assert_eq!(rig.read(other), "$1\r\nv\r\n");
}

#[test]
fn a_random_key_is_drawn_by_how_many_there_are() {
    let mut rig = redis(3);
    let client = rig.client();
    let mut drawn = [0; 3];
    for _ in 0..400 {
        rig.send(client, request("RANDOMKEY"));
        for server in 0..3 {
            assert_eq!(rig.sent(server), "*1\r\n$6\r\nDBSIZE\r\n*1\r\n$9\r\nRANDOMKEY\r\n");
        }
        rig.reply(0, ":30\r\n$1\r\n0\r\n");
        rig.reply(1, ":0\r\n$-1\r\n");
        rig.reply(2, ":10\r\n$1\r\n2\r\n");
        let read = rig.read(client);
        let server: usize = read.split("\r\n").nth(1).and_then(|key| key.parse().ok()).expect("a key");
        drawn[server] += 1;
    }
    assert!((250..350).contains(&drawn[0]) && drawn[1] == 0, "{drawn:?}");
}

#[test]
fn a_random_key_where_servers_are_empty_or_fail() {
    let mut rig = redis(2);
    let client = rig.client();
    for (first, second, expected) in [
        (":0\r\n$-1\r\n", ":0\r\n$-1\r\n", "$-1\r\n"),
        ("-LOADING\r\n-LOADING\r\n", ":1\r\n$1\r\nk\r\n", "$1\r\nk\r\n"),
        ("-LOADING\r\n-LOADING\r\n", ":0\r\n$-1\r\n", "-LOADING\r\n"),
        // All its keys are past their time.
        (":5\r\n$-1\r\n", ":1\r\n$1\r\nk\r\n", "$1\r\nk\r\n"),
    ] {
        rig.send(client, request("RANDOMKEY"));
        rig.reply(0, first);
        rig.reply(1, second);
        assert_eq!(rig.read(client), expected);
    }
}
