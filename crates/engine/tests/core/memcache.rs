//! Requests of memcached clients.

use crate::rig::{Rig, memcache, pool};
use config::Protocol;
use engine::Closing;
use engine::error::Cause;

#[test]
fn noreply_is_kept_from_servers_and_answers_from_clients() {
    let mut rig = memcache(1);
    let client = rig.client();
    rig.send(client, "set a 0 0 1 noreply\r\nx\r\nget a\r\n");
    assert_eq!(rig.sent(0), "set a 0 0 1\r\nx\r\nget a\r\n");
    rig.reply(0, "SERVER_ERROR out of memory storing object\r\nEND\r\n");
    assert_eq!(rig.read(client), "END\r\n");
}

#[test]
fn several_keys_are_split_and_put_together_in_the_order_asked() {
    let mut rig = memcache(2);
    let (a, b, c, client) = (rig.key(0, 0), rig.key(1, 0), rig.key(0, 1), rig.client());
    rig.send(client, format!("gets {a} {b} {c} {a}\r\n"));
    assert_eq!(rig.sent(0), format!("gets {a} {c} {a}\r\n"));
    assert_eq!(rig.sent(1), format!("gets {b}\r\n"));
    rig.reply(1, format!("VALUE {b} 0 1 9\r\nB\r\nEND\r\n"));
    rig.reply(0, format!("VALUE {a} 0 1 7\r\nA\r\nVALUE {a} 0 1 7\r\nA\r\nEND\r\n"));
    let expected = format!("VALUE {a} 0 1 7\r\nA\r\nVALUE {b} 0 1 9\r\nB\r\nVALUE {a} 0 1 7\r\nA\r\nEND\r\n");
    assert_eq!(rig.read(client), expected);
}

#[test]
fn keys_of_a_server_that_fails_are_an_error_or_a_miss() {
    for (partial_is_miss, expected) in
        [(true, "VALUE {a} 0 1\r\nA\r\nEND\r\n"), (false, "SERVER_ERROR Connection refused\r\n")]
    {
        let mut view = pool(Protocol::Memcache, 2);
        view.partial_is_miss = partial_is_miss;
        let mut rig = Rig::new(view);
        rig.slow_connect = true;
        let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
        rig.send(client, format!("get {a} {b}\r\n"));
        rig.connects(0);
        rig.reply(0, format!("VALUE {a} 0 1\r\nA\r\nEND\r\n"));
        rig.lose(1, Cause::Refused);
        assert_eq!(rig.read(client), expected.replace("{a}", &a));
    }
}

#[test]
fn a_value_too_large_is_refused_and_the_old_one_goes() {
    let mut view = pool(Protocol::Memcache, 1);
    view.limits.value_bytes = 10;
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, "set a 0 0 11\r\nhello");
    assert_eq!(rig.sent(0), "delete a\r\n");
    rig.send(client, " world\r\nget b\r\n");
    assert_eq!(rig.sent(0), "get b\r\n", "the rest of the value is dropped");
    rig.reply(0, "NOT_FOUND\r\nEND\r\n");
    assert_eq!(rig.read(client), "SERVER_ERROR object too large for cache\r\nEND\r\n");
    rig.send(client, "set a 0 0 11 noreply\r\nhello world\r\nadd a 0 0 11\r\nhello world\r\n");
    assert_eq!(rig.sent(0), "delete a\r\n", "only set drops the old value");
    rig.reply(0, "DELETED\r\n");
    assert_eq!(rig.read(client), "SERVER_ERROR object too large for cache\r\n");
}

#[test]
fn bad_lines_are_answered_here_and_the_client_stays() {
    let mut rig = memcache(1);
    let client = rig.client();
    rig.send(client, "nosuch\r\nincr a x\r\nset a 0 0 3\r\nabcdef\r\nget a\r\n");
    rig.reply(0, "END\r\n");
    assert_eq!(
        rig.read(client),
        "ERROR\r\nCLIENT_ERROR invalid numeric delta argument\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"
    );
    assert_eq!(rig.sent(0), "get a\r\n");
}

#[test]
fn a_storage_line_that_the_server_refuses_ends_its_connection() {
    let mut rig = memcache(1);
    let client = rig.client();
    rig.send(client, "set a 0 0 5\r\nget b\r\nget c\r\n");
    // It takes the value for a command from here on.
    rig.reply(0, "CLIENT_ERROR bad command line format\r\nVALUE b 0 1\r\nx\r\nEND\r\n");
    let expected = "CLIENT_ERROR bad command line format\r\nSERVER_ERROR Invalid argument\r\n";
    assert_eq!(rig.read(client), expected);
    assert_eq!(rig.open_conns(0), 0);
}

#[test]
fn quit_closes_after_what_was_asked_before() {
    let mut rig = memcache(1);
    let client = rig.client();
    rig.send(client, "get a\r\nquit\r\nget b\r\n");
    assert_eq!(rig.closed(client), None);
    rig.reply(0, "END\r\n");
    assert_eq!((rig.read(client).as_str(), rig.closed(client)), ("END\r\n", Some(Closing::Clean)));
}

#[test]
fn other_protocols_are_cut_without_a_word() {
    for bytes in [&b"\x80\x0b\x00"[..], b"GET / HTTP/1.1\r\n"] {
        let mut rig = memcache(1);
        let client = rig.client();
        rig.send(client, bytes);
        assert_eq!((rig.read(client).as_str(), rig.closed(client)), ("", Some(Closing::Linger)));
    }
}

#[test]
fn stats_are_added_up_or_told_by_server() {
    let mut rig = memcache(2);
    let client = rig.client();
    rig.send(client, "stats\r\nstats items\r\nflush_all noreply\r\nversion\r\n");
    for server in [0, 1] {
        let sent = rig.sent(server);
        assert!(sent.starts_with("stats\r\nstats items\r\nflush_all\r\n"), "{sent}");
        let version = if sent.ends_with("version\r\n") { "VERSION 1.6\r\n" } else { "" };
        let stats = format!(
            "STAT pid {server}\r\nSTAT curr_items 4\r\nEND\r\nSTAT a {server}\r\nEND\r\nOK\r\n{version}"
        );
        rig.reply(server, stats);
    }
    assert_eq!(
        rig.read(client),
        "STAT pid 0\r\nSTAT curr_items 8\r\nEND\r\nSTAT s0:a 0\r\nSTAT s1:a 1\r\nEND\r\nVERSION 1.6\r\n"
    );
}
