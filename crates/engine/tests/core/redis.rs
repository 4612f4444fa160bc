//! Requests of redis clients: order, splitting, merging, refusals.

use crate::rig::{Rig, pool, redis, request, requests};
use config::Protocol;
use engine::Closing;

#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, requests(&[&format!("GET {a}"), &format!("GET {b}"), "PING", &format!("GET {a}")]));
    assert_eq!(rig.sent(0), format!("*2\r\n$3\r\nGET\r\n$2\r\n{a}\r\n").repeat(2));
    rig.reply(1, "$6\r\nsecond\r\n");
    assert_eq!(rig.read(client), "", "the first is still open");
    rig.reply(0, "$5\r\nfirst\r\n$6\r\nfourth\r\n");
    assert_eq!(rig.read(client), "$5\r\nfirst\r\n$6\r\nsecond\r\n+PONG\r\n$6\r\nfourth\r\n");
}

#[test]
fn requests_of_one_tick_leave_in_one_write_whoever_sent_them() {
    let mut rig = redis(1);
    let (first, second) = (rig.client(), rig.client());
    rig.send_and_wait(first, request("GET a"));
    rig.send(second, request("GET b"));
    assert_eq!(rig.sent(0), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    rig.reply(0, "$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!((rig.read(first), rig.read(second)), ("$1\r\n1\r\n".to_string(), "$1\r\n2\r\n".to_string()));
}

#[test]
fn mget_is_split_and_put_together_with_duplicates() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, request(&format!("MGET {a} {b} {a}")));
    assert_eq!(rig.sent(0), format!("*3\r\n$4\r\nMGET\r\n$2\r\n{a}\r\n$2\r\n{a}\r\n"));
    assert_eq!(rig.sent(1), format!("*2\r\n$4\r\nMGET\r\n$2\r\n{b}\r\n"));
    rig.reply(1, "*1\r\n$1\r\nB\r\n");
    rig.reply(0, "*2\r\n$1\r\nA\r\n$1\r\nA\r\n");
    assert_eq!(rig.read(client), "*3\r\n$1\r\nA\r\n$1\r\nB\r\n$1\r\nA\r\n");
}

#[test]
fn keys_of_one_server_are_not_split() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(1, 0), rig.key(1, 1), rig.client());
    let bytes = request(&format!("MGET {a} {b}"));
    rig.send(client, &bytes);
    assert_eq!(rig.sent(1).as_bytes(), bytes);
}

#[test]
fn a_write_that_failed_in_part_says_so() {
    for (command, fine) in [("MSET {a} 1 {b} 2", "+OK\r\n"), ("DEL {a} {b}", ":1\r\n")] {
        let mut rig = redis(2);
        let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
        rig.send(client, request(&command.replace("{a}", &a).replace("{b}", &b)));
        rig.reply(0, fine);
        rig.reply(1, "-OOM command not allowed\r\n");
        assert_eq!(rig.read(client), "-OOM command not allowed (1 of 2 servers failed)\r\n");
    }
}

#[test]
fn what_all_servers_say_alike_reads_as_if_one_had() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, request("FLUSHALL NOW"));
    for server in [0, 1] {
        rig.reply(server, "-ERR syntax error\r\n");
    }
    assert_eq!(rig.read(client), "-ERR syntax error\r\n");
}

#[test]
fn sums_of_integers() {
    let mut rig = redis(3);
    let client = rig.client();
    rig.send(client, request("DBSIZE"));
    for server in 0..3 {
        assert_eq!(rig.sent(server), "*1\r\n$6\r\nDBSIZE\r\n");
        rig.reply(server, format!(":{}\r\n", 10u32.pow(server as u32)));
    }
    assert_eq!(rig.read(client), ":111\r\n");
}

#[test]
fn a_part_of_the_wrong_kind_is_an_error() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, request(&format!("EXISTS {a} {b}")));
    rig.reply(0, ":1\r\n");
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.read(client), "-ERR Invalid argument\r\n");
}

#[test]
fn keys_of_different_servers_are_refused_by_name() {
    let mut rig = redis(2);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, request(&format!("RENAME {a} {b}")));
    let text =
        format!("-CROSSSLOT Keys in request don't hash to the same slot: '{a}' is on s0, '{b}' is on s1");
    assert_eq!(rig.read(client), format!("{text}; a hash tag keeps keys together\r\n"));
    rig.send(client, request("RENAME {t}a {t}b"));
    rig.reply(rig.topology.pools[0].placement.server(b"{t}a", || 0).unwrap() as usize, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
}

#[test]
fn sort_stays_with_patterns_of_its_own_tag() {
    let mut rig = redis(2);
    let client = rig.client();
    let placement = rig.topology.pools[0].placement.clone();
    let server = placement.server(b"{t}list", || 0).unwrap() as usize;
    rig.send(client, request("SORT {t}list BY {t}weight_* GET {t}value_*"));
    assert!(rig.sent(server).starts_with("*6\r\n$4\r\nSORT\r\n"));
    rig.reply(server, "*0\r\n");
    assert_eq!(rig.read(client), "*0\r\n");
    let mut tags = (0..).map(|n| format!("{{o{n}}}weight_*"));
    let other = tags.find(|key| placement.server(key.as_bytes(), || 0) != Some(server as u32)).unwrap();
    for elsewhere in ["weight_*", "{*}weight", &other] {
        rig.send(client, request(&format!("SORT {{t}}list BY {elsewhere}")));
        let read = rig.read(client);
        assert!(read.starts_with("-CROSSSLOT BY and GET patterns of SORT"), "{elsewhere}: {read}");
    }
    rig.send(client, request("SORT {t}list BY nosort"));
    assert!(rig.sent(server).contains("nosort"), "a pattern without a star names no key");
}

#[test]
fn inline_requests_reach_servers_as_arrays() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, "set a \"b c\"\r\n");
    assert_eq!(rig.sent(0), "*3\r\n$3\r\nset\r\n$1\r\na\r\n$3\r\nb c\r\n");
}

#[test]
fn bytes_that_are_no_request_close_the_client_after_earlier_replies() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, [request("GET a"), b"*1\r\n!4\r\nPING\r\n".to_vec(), request("GET b")].concat());
    assert_eq!((rig.read(client), rig.closed(client)), (String::new(), None));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    assert_eq!(rig.closed(client), Some(Closing::Linger));
    assert_eq!(rig.sent(0), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "nothing behind the error is read");
}

#[test]
fn clients_without_the_password_are_told_so() {
    let mut view = pool(Protocol::Redis, 1);
    view.redis_auth = Some(b"sesame".to_vec());
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "PING", "AUTH guess", "AUTH other sesame", "AUTH sesame", "GET a"]));
    assert_eq!(rig.sent(0), "*2\r\n$4\r\nAUTH\r\n$6\r\nsesame\r\n");
    rig.reply(0, "+OK\r\n");
    rig.reply(0, "$1\r\n1\r\n");
    assert_eq!(
        rig.read(client),
        "-NOAUTH Authentication required\r\n-NOAUTH Authentication required\r\n-ERR invalid password\r\n\
         -WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n$1\r\n1\r\n"
    );
    rig.send(client, requests(&["AUTH guess", "GET a"]));
    assert_eq!(
        rig.read(client),
        "-ERR invalid password\r\n-NOAUTH Authentication required\r\n",
        "a wrong password takes the right one back"
    );
}

#[test]
fn a_password_where_there_is_none() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("AUTH x"));
    assert_eq!(rig.read(client), "-ERR Client sent AUTH, but no password is set\r\n");
}

#[test]
fn locals_never_touch_a_server() {
    let mut rig = redis(1);
    let client = rig.client();
    for (asked, expected) in [
        ("SELECT 0", "+OK\r\n"),
        ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT ID", ":1\r\n"),
        ("RESET", "+RESET\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("ECHO x", "$1\r\nx\r\n"),
        ("PING", "+PONG\r\n"),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
    ] {
        rig.send(client, request(asked));
        assert_eq!(rig.read(client), expected, "{asked}");
    }
    rig.send(client, request("HELLO 3"));
    assert!(rig.read(client).starts_with("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n"));
    rig.send(client, request("CLIENT GETNAME"));
    assert_eq!(rig.read(client), "_\r\n");
    rig.send(client, request("HELLO 2 SETNAME you"));
    assert!(rig.read(client).starts_with("*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n"));
    assert_eq!(rig.open_conns(0), 0);
}
