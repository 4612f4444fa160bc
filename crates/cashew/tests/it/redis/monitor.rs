//! MONITOR over two workers shows what a server shows of the same requests, and ACL GENPASS is a server's.

use std::collections::BTreeSet;

use testkit::{Client, resp, wait};

use crate::farm::Farm;

/// More than one for each worker, whichever of them takes whom.
const CLIENTS: usize = 10;

fn monitor(mut client: Client) -> Client {
    assert_eq!(client.ask(&["MONITOR"]), b"+OK\r\n");
    client
}

/// The next line, without its time; the address must be one.
fn line(monitor: &mut Client) -> String {
    let reply = String::from_utf8(monitor.resp_reply()).expect("all else is escaped");
    let (time, rest) = reply.split_once(' ').expect("a time");
    let (seconds, micros) = time.split_once('.').expect("a fraction");
    let recent = seconds.strip_prefix('+').and_then(|text| text.parse::<u64>().ok());
    assert!(recent.is_some_and(|at| at > 1_700_000_000) && micros.len() == 6, "{reply}");
    let (origin, words) = rest.trim_end().split_once("] ").expect("an origin");
    let (database, address) = origin.trim_start_matches('[').split_once(' ').expect("an address");
    assert!(address.starts_with("127.0.0.1:"), "{reply}");
    format!("{database} {words}")
}

#[test]
fn a_pool_is_monitored_as_a_server_is() {
    let farm = Farm::redis(2, &[]);
    let mut pairs = [(farm.client(), farm.client()), (farm.direct.client(), farm.direct.client())]
        .map(|(asker, other)| (asker, monitor(other)));
    let asked: &[&[&str]] = &[
        &["SET", "k", "a\r\n\t\"b\"\\ \u{7}\u{8}\u{1}é"],
        &["gEt", "k"],
        &["GET"],
        &["NOSUCH", "x"],
        &["MGET", "a", "b", "c"],
        &["DEL", "a", "b", "c"],
        &["LPUSH", "l", "1"],
        &["GET", "l"],
        &["SELECT", "3"],
        &["SELECT", "x"],
        &["SET", "k", ""],
        &["MULTI"],
        &["SET", "{t}a", "1"],
        &["GET", "{t}a"],
        &["PING"],
        &["EXEC"],
        &["MULTI"],
        &["GET", "a"],
        &["DISCARD"],
        &["MULTI"],
        &["GET"],
        &["EXEC"],
        &["EXEC"],
        &["WATCH", "{t}a"],
        &["MULTI"],
        &["EXEC"],
        &["UNWATCH"],
        &["EVALSHA", "00", "0"],
        &["BLPOP", "q", "0.01"],
        &["PUBLISH", "c", "m"],
        &["SUBSCRIBE", "c"],
        &["PING"],
        &["UNSUBSCRIBE", "c"],
        &["CLIENT", "LIST"],
        &["CLIENT", "ID"],
        &["CLIENT", "SETNAME", "me"],
        &["CONFIG", "GET", "maxmemory"],
        &["SLOWLOG", "LEN"],
        &["COMMAND", "COUNT"],
        &["INFO", "server"],
        &["SCRIPT", "LOAD", "return 1"],
        &["DBSIZE"],
        &["ACL", "GENPASS"],
        &["AUTH", "secret"],
        &["AUTH", "user", "secret"],
        &["HELLO", "3", "SETNAME", "me"],
        &["GET", "k"],
        &["WAIT", "0", "10"],
        &["MONITOR", "x"],
        &["TIME"],
        &["RESET"],
        &["FLUSHALL"],
        &["ECHO", "the end"],
        &["QUIT"],
    ];
    let [ours, theirs] = &mut pairs;
    for argv in asked {
        for (asker, _) in [&mut *ours, &mut *theirs] {
            let reply = asker.ask(argv);
            assert!(!reply.is_empty(), "{argv:?}");
        }
    }
    let lines = |monitor: &mut Client| {
        let mut all = Vec::new();
        while all.last().is_none_or(|line: &String| !line.ends_with("\"QUIT\"")) {
            all.push(line(monitor));
        }
        all
    };
    assert_eq!(lines(&mut ours.1), lines(&mut theirs.1));
}

#[test]
fn a_monitor_is_answered_as_by_a_server() {
    let farm = Farm::redis(2, &[]);
    let mut pair = [farm.client(), farm.direct.client()].map(monitor);
    for argv in [
        &["PING"][..],
        &["GET", "k"],
        &["SET", "k", "v"],
        &["EVAL", "return 1", "0"],
        &["PUBLISH", "c", "m"],
        &["KEYS", "*"],
        &["SELECT", "2"],
        &["MULTI"],
        &["GET", "k"],
        &["EXEC"],
        &["HELLO", "3"],
        &["PING"],
        &["ECHO", "end"],
    ] {
        pair.iter_mut().for_each(|client| client.send(&resp(argv)));
    }
    let [ours, theirs] = pair.map(|mut client| {
        let mut all = Vec::new();
        while all.last().is_none_or(|line: &String| !line.ends_with("\"ECHO\" \"end\"")) {
            let reply = client.resp_reply();
            let text = String::from_utf8_lossy(&reply).into_owned();
            all.push(match text.split_once("] ") {
                Some((head, words)) if head.starts_with("+1") => words.trim_end().to_owned(),
                _ if text.contains("\r\nserver\r\n") => "hello".to_owned(),
                _ => text,
            });
        }
        all
    });
    // Lines come at the end of a tick, between whole replies: each kind keeps its order.
    let of = |all: &[String], lines: bool| -> Vec<String> {
        all.iter().filter(|text| text.starts_with('"') == lines).cloned().collect()
    };
    assert_eq!((of(&ours, true), of(&ours, false)), (of(&theirs, true), of(&theirs, false)));
}

#[test]
fn monitors_of_both_workers_see_the_clients_of_both() {
    let farm = Farm::redis(2, &[]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    let mut monitors: Vec<Client> = (0..4).map(|_| monitor(farm.client())).collect();
    let rounds = 200;
    for round in 0..rounds {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&resp(&["GET", &format!("k:{index}:{round}")]));
        }
    }
    clients.iter_mut().for_each(|client| client.expect(&b"$-1\r\n".repeat(rounds)));
    for monitor in &mut monitors {
        let mut next = [0; CLIENTS];
        for _ in 0..CLIENTS * rounds {
            let text = line(monitor);
            // A client's requests are in order, whatever comes in between.
            let mut numbers =
                text.trim_end_matches('"').split(':').skip(1).map(|n| n.parse::<usize>().unwrap());
            let (index, round) = (numbers.next().unwrap(), numbers.next().unwrap());
            assert_eq!(round, std::mem::replace(&mut next[index], round + 1), "{text}");
        }
    }
    let flags = |client: &mut Client| {
        let list = client.ask(&["CLIENT", "LIST"]);
        String::from_utf8_lossy(&list).matches(" flags=O ").count()
    };
    assert_eq!(flags(&mut clients[0]), monitors.len());
    for mut monitor in monitors {
        monitor.send(&resp(&["RESET"]));
        // Those who left before were shown, and what was asked then.
        while monitor.resp_reply() != b"+RESET\r\n" {}
        clients.iter_mut().for_each(|client| assert_eq!(client.ask(&["PING"]), b"+PONG\r\n"));
        assert_eq!(monitor.ask(&["ECHO", "quiet"]), b"$5\r\nquiet\r\n");
    }
    assert_eq!(flags(&mut clients[0]), 0);
}

#[test]
fn a_monitor_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let farm = Farm::redis(2, &["client_output_limit: 4kb", "client_output_hard_limit: 64kb"]);
    let _deaf: Vec<Client> = (0..4).map(|_| monitor(farm.client())).collect();
    let mut clients: Vec<Client> = (0..4).map(|_| farm.client()).collect();
    let long = "x".repeat(4000);
    let open = |client: &mut Client| {
        let list = client.ask(&["CLIENT", "LIST"]);
        String::from_utf8_lossy(&list).matches(" flags=O ").count()
    };
    let gone = || {
        for client in &mut clients {
            for _ in 0..100 {
                assert_eq!(client.ask(&["SET", "k", &long]), b"+OK\r\n");
            }
        }
        open(&mut clients[0]) == 0
    };
    wait::until("those who do not read are closed", gone);
}

#[test]
fn passwords_are_made_by_a_server() {
    let farm = Farm::redis(2, &[]);
    let (mut ours, mut direct) = (farm.client(), farm.direct.client());
    let mut made = BTreeSet::new();
    for bits in [&[][..], &["5"], &["256"], &["4096"]] {
        let argv = [&["ACL", "GENPASS"], bits].concat();
        let (mine, theirs) = (ours.ask(&argv), direct.ask(&argv));
        assert_eq!(mine.len(), theirs.len(), "{argv:?}");
        assert!(mine.starts_with(b"$") && made.insert(mine), "{argv:?}");
    }
    for bits in ["0", "4097", "x"] {
        let argv = ["ACL", "GENPASS", bits];
        assert_eq!(ours.ask(&argv), direct.ask(&argv));
    }
}
