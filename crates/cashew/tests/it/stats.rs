//! The stats port: nutcracker's shape and names, numbers that are exact and current, gauges that come back.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use testkit::{Client, Nutcracker, RedisServer, ports, resp, wait};

use crate::parity::table::listed;
use crate::rig::{self, number, stats, stats_text};

#[test]
fn names_order_and_nesting_are_nutcrackers() {
    if !rig::has_nutcracker() {
        return;
    }
    for id in ["stats-fields", "stats-version"] {
        listed(id);
    }
    let config = |ports: &[u16]| {
        rig::pool(
            "beta",
            ports[0],
            "redis: true",
            &["127.0.0.1:1:1 two", "127.0.0.1:2:1 one", "127.0.0.1:3:1"],
        ) + &rig::pool("al", ports[1], "", &["127.0.0.1:4:1"])
    };
    let nutcracker =
        Nutcracker::start(&config(&ports::free_many(2))).unwrap_or_else(|error| panic!("{error}"));
    let cashew = rig::cashew(&config(&ports::free_many(2)), &[]);
    let (theirs, ours) = (stats_text(nutcracker.stats_port()), stats_text(cashew.stats_port()));
    let (their_paths, our_paths) = (paths(&theirs), paths(&ours));
    let mut rest = our_paths.iter();
    for path in &their_paths {
        assert!(rest.any(|ours| ours == path), "{path} is missing or late in {our_paths:?}");
    }
    // Collectors tell pools and servers by their being objects: there may be no others.
    let nested = |paths: &[String]| -> Vec<String> {
        let parent = |path: &String| paths.iter().any(|other| other.starts_with(&format!("{path}/")));
        paths.iter().filter(|path| parent(path)).cloned().collect()
    };
    assert_eq!(nested(&our_paths), nested(&their_paths));
    assert!(ours.ends_with("}\n") && theirs.ends_with("}\n"));
    let value: Value = serde_json::from_str(&ours).expect("it is JSON");
    assert_eq!(
        (&value["service"], &value["version"]),
        (&"nutcracker".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let theirs: Value = serde_json::from_str(&theirs).expect("it is JSON");
    assert_eq!(value["source"], theirs["source"]);
}

#[test]
fn the_same_traffic_gives_the_same_numbers() {
    if !rig::has_nutcracker() {
        return;
    }
    let servers = crate::farm::many(2, RedisServer::start);
    let listens = ports::free_many(2);
    let config = |side: usize| {
        let line = format!("127.0.0.1:{}:1 one", servers[side].port());
        rig::pool("alpha", listens[side], "redis: true", &[line])
    };
    let nutcracker =
        Nutcracker::start_with(&config(0), &["-i", "1"]).unwrap_or_else(|error| panic!("{error}"));
    let cashew = rig::cashew(&config(1), &["--threads", "1"]);
    for port in &listens {
        traffic(*port);
    }
    let interesting = |port: u16| -> Vec<(String, i64)> {
        let now = stats(port);
        let of_pool = ["client_eof", "client_err", "client_connections", "server_ejects", "forward_error"];
        let of_server = SERVER_NUMBERS.iter().map(|name| vec!["alpha", "one", name]);
        let all = of_pool.iter().map(|name| vec!["alpha", name]).chain(of_server);
        all.map(|path| (path.join("/"), number(&now, &path))).collect()
    };
    // nutcracker's are late.
    let ours = interesting(cashew.stats_port());
    let mut theirs = Vec::new();
    let same = wait::within(wait::DEADLINE / 6, || {
        theirs = interesting(nutcracker.stats_port());
        theirs == ours
    });
    assert!(same, "nutcracker {theirs:?}\ncashew     {ours:?}");
}

/// One client that stays, and two that leave: one in order, one with an error.
fn traffic(port: u16) {
    let mut client = Client::connect_port(port).expect("it accepts");
    for round in 0..20 {
        let value = "v".repeat(round);
        assert_eq!(client.ask(&["SET", "key", &value]), b"+OK\r\n");
        assert_eq!(client.ask(&["GET", "key"]), format!("${round}\r\n{value}\r\n").into_bytes());
    }
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    client.send(&[resp(&["GET", "a"]), resp(&["GET", "b"]), resp(&["INCR", "c"])].concat());
    client.expect(b"$-1\r\n$-1\r\n:1\r\n");
    let mut wrong = Client::connect_port(port).expect("it accepts");
    wrong.send(b"*1\r\n+PING\r\n");
    // An error and the end here, the end alone there.
    let _ = wrong.try_to_end();
    client.finish_sending();
    client.expect_closed();
}

#[test]
fn numbers_are_exact_at_the_first_read_and_gauges_come_back() {
    listed("stats-current");
    let server = RedisServer::start().expect("redis starts");
    let [listen, dead] = [ports::free(), ports::free()];
    let line = format!("127.0.0.1:{}:1 one", server.port());
    let config = rig::pool("alpha", listen, "redis: true", &[line])
        + &rig::pool(
            "dead",
            dead,
            "redis: true\nfail_fast: false",
            &[format!("127.0.0.1:{}:1 gone", ports::free())],
        );
    let cashew = rig::cashew(&config, &["--threads", "2"]);
    let read = || stats(cashew.stats_port());
    let at = |path: &[&str]| number(&read(), path);
    rig::settled(cashew.stats_port(), &["alpha", "dead"]);
    let before = read();
    let since = |path: &[&str]| at(path) - number(&before, path);

    let mut clients: Vec<Client> =
        (0..6).map(|_| Client::connect_port(listen).expect("it accepts")).collect();
    let (set, get) = (resp(&["SET", "k", "value"]), resp(&["GET", "k"]));
    for client in &mut clients {
        client.send(&[set.clone(), get.clone()].concat());
        client.expect(b"+OK\r\n$5\r\nvalue\r\n");
    }
    let now = read();
    let exact = [
        (vec!["alpha", "one", "requests"], 12),
        (vec!["alpha", "one", "request_bytes"], 6 * (set.len() + get.len())),
        (vec!["alpha", "one", "responses"], 12),
        (vec!["alpha", "one", "response_bytes"], 6 * b"+OK\r\n$5\r\nvalue\r\n".len()),
        (vec!["alpha", "client_requests"], 12),
        (vec!["alpha", "client_connections"], 6),
        (vec!["alpha", "forward_error"], 0),
        (vec!["alpha", "one", "in_queue"], 0),
        (vec!["alpha", "one", "out_queue"], 0),
        (vec!["alpha", "one", "server_connections"], 2), // one per worker
        (vec!["curr_connections"], 2 + 6 + 2),
    ];
    for (path, expected) in exact {
        assert_eq!(number(&now, &path), i64::try_from(expected).expect("small"), "{path:?} in {now}");
    }

    let mut unlucky = Client::connect_port(dead).expect("it accepts");
    for _ in 0..3 {
        assert_eq!(unlucky.ask(&["GET", "k"]), b"-ERR Connection refused\r\n");
    }
    assert_eq!(unlucky.ask(&["MGET", "k", "l"]), b"-ERR Connection refused\r\n");
    assert_eq!((since(&["dead", "forward_error"]), since(&["dead", "gone", "requests"])), (4, 4));
    assert_eq!(
        (since(&["dead", "gone", "connect_errors"]), since(&["dead", "gone", "server_connections"])),
        (4, 0)
    );
    assert_eq!(since(&["dead", "gone", "responses"]), 0);

    // A silent client in the queue gauges: the server stands still.
    server.freeze().expect("it stops");
    clients[0].send(&get);
    wait::until("the request to wait for its reply", || at(&["alpha", "one", "out_queue"]) == 1);
    assert_eq!(at(&["alpha", "one", "out_queue_bytes"]), i64::try_from(get.len()).expect("small"));
    server.thaw().expect("it runs");
    clients[0].expect(b"$5\r\nvalue\r\n");

    clients.pop().expect("there are six").reset();
    let mut wrong = clients.pop().expect("there are five");
    wrong.send(b"*x\r\n");
    wrong.to_end();
    drop(wrong);
    drop((clients, unlucky));
    wait::until("all clients to be gone", || {
        at(&["alpha", "client_connections"]) + at(&["dead", "client_connections"]) == 0
    });
    assert_eq!((since(&["alpha", "client_eof"]), since(&["alpha", "client_err"])), (4, 2));
    assert_eq!(since(&["alpha", "protocol_errors"]), 1);
    for gauge in ["in_queue", "in_queue_bytes", "out_queue", "out_queue_bytes"] {
        assert_eq!((at(&["alpha", "one", gauge]), at(&["dead", "gone", gauge])), (0, 0), "{gauge}");
    }
    assert_eq!(at(&["curr_connections"]), 2 + 2);
}

#[test]
fn split_commands_count_their_parts() {
    listed("stats-split");
    let servers = crate::farm::many(2, RedisServer::start);
    let listen = ports::free();
    let lines: Vec<String> =
        servers.iter().enumerate().map(|(n, server)| format!("127.0.0.1:{}:1 s{n}", server.port())).collect();
    let config = rig::pool("alpha", listen, "redis: true\nhash: murmur\nhash_tag: \"{}\"", &lines);
    let cashew = rig::cashew(&config, &[]);
    let mut client = Client::connect_port(listen).expect("it accepts");
    assert_eq!(
        client.ask(&["MGET", "a", "b", "c", "d", "e", "f"]),
        b"*6\r\n".iter().copied().chain(b"$-1\r\n".repeat(6)).collect::<Vec<_>>()
    );
    let requests =
        || ["s0", "s1"].map(|server| number(&stats(cashew.stats_port()), &["alpha", server, "requests"]));
    assert_eq!(requests(), [1, 1]);
    assert_eq!(client.ask(&["DEL", "{t}a", "{t}b"]), b":0\r\n");
    assert_eq!(requests().iter().sum::<i64>(), 3, "keys of one server are not split");
}

#[test]
fn a_unix_socket_server_is_counted_right() {
    listed("stats-gauge");
    let server = RedisServer::start().expect("redis starts");
    let listen = ports::free();
    let config = rig::pool("alpha", listen, "redis: true", &[format!("{}:1 one", server.socket().display())]);
    let cashew = rig::cashew(&config, &["--threads", "1"]);
    let connections = || number(&stats(cashew.stats_port()), &["alpha", "one", "server_connections"]);
    let mut client = Client::connect_port(listen).expect("it accepts");
    assert_eq!(client.ask(&["SET", "k", "v"]), b"+OK\r\n");
    assert_eq!(connections(), 1);
    let killed = server.client().ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(killed, b":1\r\n");
    wait::until("the closed connection to be noticed", || connections() == 0);
}

#[test]
fn a_reader_that_asks_first_gets_its_answer_and_an_orderly_end() {
    listed("stats-http");
    let cashew = rig::cashew(&rig::pool("alpha", ports::free(), "", &["127.0.0.1:1:1"]), &[]);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", cashew.stats_port())).expect("it accepts");
        stream.write_all(b"GET / HTTP/1.0\r\nUser-Agent: curl\r\n\r\n").expect("it is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("no reset");
        serde_json::from_str::<Value>(&text).expect("it is JSON");
    }
}

#[test]
fn odd_names_are_escaped() {
    listed("stats-escape");
    let config = rig::pool("'a\"b'", ports::free(), "", &["127.0.0.1:1:1 c\\d"]);
    let cashew = rig::cashew(&config, &[]);
    assert_eq!(number(&stats(cashew.stats_port()), &["a\"b", "c\\d", "requests"]), 0);
    if rig::has_nutcracker() {
        let config = rig::pool("'a\"b'", ports::free(), "", &["127.0.0.1:1:1 c\\d"]);
        let nutcracker = Nutcracker::start(&config).unwrap_or_else(|error| panic!("{error}"));
        assert!(serde_json::from_str::<Value>(&stats_text(nutcracker.stats_port())).is_err());
    }
}

/// Every field by its path, in the order of the text. Names hold no quotes here.
fn paths(text: &str) -> Vec<String> {
    let (mut open, mut paths): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut name = "";
    for (index, piece) in text.split('"').enumerate() {
        if index % 2 == 1 {
            name = piece;
            continue;
        }
        if piece.trim_start().starts_with(':') {
            paths.push(open.iter().copied().chain([name]).collect::<Vec<_>>().join("/"));
        }
        for brace in piece.chars() {
            match brace {
                '{' if !paths.is_empty() => open.push(name),
                '}' => _ = open.pop(),
                _ => {}
            }
        }
    }
    paths
}

const SERVER_NUMBERS: &[&str] = &[
    "server_eof",
    "server_err",
    "server_timedout",
    "server_connections",
    "server_ejected_at",
    "requests",
    "request_bytes",
    "responses",
    "response_bytes",
    "in_queue",
    "in_queue_bytes",
    "out_queue",
    "out_queue_bytes",
];
