//! Servers that are away: who takes their keys, what is recorded, and how they come back.

use crate::rig::{Rig, pool_with, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::topology::{PoolView, Standing};

const STANDBY: &str = "on_failure: standby\nstandby: 127.0.0.1:3000:1 spare\nstandby_ttl: 10s";

/// Two servers of their own, 0 and 1, and what `lines` make of them; `standing` is that of server 0.
fn view(protocol: Protocol, lines: &str, standing: Standing) -> PoolView {
    pool_with(protocol, 2, lines, |server| if server == 0 { standing } else { Standing::In })
}

fn rig(protocol: Protocol, lines: &str, standing: Standing) -> Rig {
    Rig::new(view(protocol, lines, standing))
}

/// The keys that are recorded of a server.
fn recorded(rig: &mut Rig, server: u32) -> Vec<String> {
    let text = |(_, key): (u32, Box<[u8]>)| String::from_utf8_lossy(&key).into_owned();
    rig.core.collect(0, server).keys.into_iter().map(text).collect()
}

/// The requests that a redis server was sent, as words.
fn said(rig: &mut Rig, server: usize) -> Vec<String> {
    let bytes = rig.sent(server).into_bytes();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (mut scan, mut args) = (wire::resp::RequestScan::default(), wire::Args::default());
        match scan.scan(&bytes[at..], &wire::Limits::default(), &mut args) {
            wire::resp::Scan::Complete { len, .. } => {
                let view = args.view(&bytes[at..at + len]);
                let line: Vec<_> = view.iter().map(|word| String::from_utf8_lossy(word)).collect();
                words.push(line.join(" "));
                at += len;
            }
            other => panic!("{other:?}"),
        }
    }
    words
}

#[test]
fn a_standby_takes_the_keys_of_the_server_that_is_away_and_no_others() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::Out);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, requests(&[&format!("GET {a}"), &format!("GET {b}"), &format!("MGET {b} {a} {b}")]));
    assert_eq!(said(&mut rig, 2), [format!("GET {a}"), format!("MGET {a}")]);
    assert_eq!(said(&mut rig, 1), [format!("GET {b}"), format!("MGET {b} {b}")]);
    rig.reply(2, "$1\r\nA\r\n*1\r\n$1\r\nA\r\n");
    rig.reply(1, "$1\r\nB\r\n*2\r\n$1\r\nB\r\n$1\r\nB\r\n");
    let expected = "$1\r\nA\r\n$1\r\nB\r\n*3\r\n$1\r\nB\r\n$1\r\nA\r\n$1\r\nB\r\n";
    assert_eq!(rig.read(client), expected);
    assert_eq!(rig.open_conns(0), 0);
    rig.take_up(view(Protocol::Redis, STANDBY, Standing::In));
    rig.send(client, request(&format!("GET {a}")));
    assert_eq!(said(&mut rig, 0), [format!("GET {a}")], "back at home");
}

#[test]
fn what_a_redis_standby_is_given_to_keep_has_a_bounded_life() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::Out);
    let (a, d, b, client) = (rig.key(0, 0), rig.key(0, 1), rig.key(1, 0), rig.client());
    rig.send(
        client,
        requests(&[
            &format!("SET {a} 1 EX 999"),
            &format!("GET {a}"),
            &format!("SET {b} 1"),
            &format!("MSET {a} 1 {b} 2 {d} 3"),
            &format!("RENAME {a} {d}"),
            &format!("EVAL return 2 {a} {d}"),
            &format!("EVAL_RO return 1 {a}"),
        ]),
    );
    let bound = |key: &str| format!("PEXPIRE {key} 10000 LT");
    let expected = [
        format!("SET {a} 1 EX 999"),
        bound(&a),
        format!("GET {a}"),
        format!("MSET {a} 1 {d} 3"),
        bound(&a),
        bound(&d),
        format!("RENAME {a} {d}"),
        bound(&a),
        bound(&d),
        format!("EVAL return 2 {a} {d}"),
        bound(&a),
        bound(&d),
        format!("EVAL_RO return 1 {a}"),
    ];
    assert_eq!(said(&mut rig, 2), expected);
    assert_eq!(said(&mut rig, 1), [format!("SET {b} 1"), format!("MSET {b} 2")]);
    rig.reply(2, "+OK\r\n:1\r\n$1\r\n1\r\n+OK\r\n:1\r\n:1\r\n+OK\r\n:0\r\n:1\r\n:2\r\n:1\r\n:1\r\n:3\r\n");
    rig.reply(1, "+OK\r\n+OK\r\n");
    assert_eq!(
        rig.read(client),
        "+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n+OK\r\n:2\r\n:3\r\n",
        "nothing of it is heard"
    );
}

#[test]
fn a_standby_that_does_not_bound_lives_is_noticed() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::Out);
    let (a, client) = (rig.key(0, 0), rig.client());
    let errors = |rig: &Rig| rig.server_counter(2, stats::ServerMetric::StandbyTtlErrors);
    rig.send(client, request(&format!("SET {a} 1")));
    rig.reply(2, "+OK\r\n-ERR wrong number of arguments for 'pexpire' command\r\n");
    assert_eq!((rig.read(client).as_str(), errors(&rig)), ("+OK\r\n", 1));
    let event = stats::Event::StandbyTtlRefused {
        pool: 0,
        server: 2,
        reply: "-ERR wrong number of arguments for 'pexpire' command".into(),
    };
    assert_eq!(rig.event(), Some(event));
    rig.send(client, request(&format!("SET {a} 1")));
    rig.reply(2, "+OK\r\n");
    rig.lose(2, Cause::Reset);
    assert_eq!(errors(&rig), 2, "nobody knows whether it did");
}

#[test]
fn a_resp3_client_has_its_keys_bounded_on_its_own_connection() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::Out);
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, requests(&["HELLO 3", &format!("SET {a} 1")]));
    rig.reply(2, "%0\r\n");
    assert_eq!(said(&mut rig, 2), ["HELLO 3".into(), format!("SET {a} 1"), format!("PEXPIRE {a} 10000 LT")]);
    rig.read(client);
    rig.reply(2, "+OK\r\n:1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
}

#[test]
fn the_exptime_of_what_goes_to_a_memcached_standby_is_bounded() {
    let mut rig = rig(Protocol::Memcache, STANDBY, Standing::Out);
    let (a, d, b, client) = (rig.key(0, 0), rig.key(0, 1), rig.key(1, 0), rig.client());
    let at_home: &[(&str, &str)] = &[
        ("set {a} 5 0 1\r\nx\r\n", "set {a} 5 10 1\r\nx\r\n"),
        ("set {a} 5 3 1\r\nx\r\n", "set {a} 5 3 1\r\nx\r\n"),
        ("set {a} 5 -1 1\r\nx\r\n", "set {a} 5 -1 1\r\nx\r\n"),
        ("add {a} 0 4000000000 1\r\nx\r\n", "add {a} 0 10 1\r\nx\r\n"),
        ("replace {a}  0 60 1\r\nx\r\n", "replace {a} 0 10 1\r\nx\r\n"),
        ("append {a} 0 0 1 noreply\r\nx\r\n", "append {a} 0 10 1\r\nx\r\n"),
        ("prepend {a} 0 0 1\r\nx\r\n", "prepend {a} 0 10 1\r\nx\r\n"),
        ("cas {a} 0 0 1 77\r\nx\r\n", "cas {a} 0 10 1 77\r\nx\r\n"),
        ("touch {a} 0\r\n", "touch {a} 10\r\n"),
        ("gat 0 {a}\r\n", "gat 10 {a}\r\n"),
        ("gats 2592000 {a} {d}\r\n", "gats 10 {a} {d}\r\n"),
        ("gats 5 {a} {d}\r\n", "gats 5 {a} {d}\r\n"),
        ("get {a}\r\n", "get {a}\r\n"),
        ("incr {a} 5\r\n", "incr {a} 5\r\n"),
        ("delete {a}\r\n", "delete {a}\r\n"),
    ];
    for (asked, sent) in at_home {
        let fill = |text: &str| text.replace("{a}", &a).replace("{d}", &d);
        rig.send(client, fill(asked));
        assert_eq!(rig.sent(2), fill(sent), "{asked}");
        rig.send(client, asked.replace("{a}", &b).replace(" {d}", ""));
        assert_eq!(rig.sent(1), asked.replace("{a}", &b).replace(" {d}", "").replace(" noreply", ""));
    }
    rig.send(client, format!("gat 0 {a} {b} {d}\r\n"));
    assert_eq!((rig.sent(2), rig.sent(1)), (format!("gat 10 {a} {d}\r\n"), format!("gat 0 {b}\r\n")));
}

#[test]
fn a_standby_has_no_part_in_what_concerns_all_servers() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::In);
    let client = rig.client();
    rig.send(client, request("DBSIZE"));
    (0..2).for_each(|server| rig.reply(server, ":1\r\n"));
    assert_eq!(rig.read(client), ":2\r\n");
    rig.core.handle(engine::Input::Preconnect);
    assert_eq!(rig.open_conns(2), 0);

    let mut rig = self::rig(Protocol::Memcache, STANDBY, Standing::Out);
    let client = rig.client();
    rig.send(client, "flush_all\r\nflush_all noreply\r\n");
    assert_eq!((rig.sent(1).as_str(), rig.sent(2).as_str()), ("flush_all\r\nflush_all\r\n", ""));
    rig.reply(1, "OK\r\nOK\r\n");
    assert_eq!(rig.read(client), "SERVER_ERROR Connection refused (1 of 2 servers failed)\r\n");
}

#[test]
fn a_standby_that_fails_too_is_an_error() {
    let mut rig = rig(Protocol::Redis, STANDBY, Standing::Out);
    rig.slow_connect = true;
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("SET {a} 1")));
    rig.lose(2, Cause::Refused);
    assert_eq!(rig.read(client), "-ERR Connection refused\r\n");
}

const EJECT: &str = "on_failure: eject\non_return: invalidate";

#[test]
fn keys_written_elsewhere_are_recorded_and_those_read_are_not() {
    for lines in [EJECT.to_string(), format!("{STANDBY}\non_return: invalidate")] {
        let mut rig = rig(Protocol::Redis, &lines, Standing::Out);
        let keys: Vec<String> = (0..8).map(|number| rig.key(0, number)).collect();
        let [a, b, c, d, e, f, g, h] = keys.as_slice() else { unreachable!() };
        let (own, client) = (rig.key(1, 0), rig.client());
        rig.send(
            client,
            requests(&[
                &format!("GET {a}"),
                &format!("SET {b} 1"),
                &format!("MSET {own} 1 {c} 2"),
                &format!("MGET {own} {d}"),
                &format!("DEL {e} {own}"),
                &format!("SET {b} 2"),
                &format!("SET {own} 2"),
                &format!("EXISTS {f} {own}"),
                &format!("SUNIONSTORE {g} {g}"),
                &format!("ZRANGE {h} 0 -1"),
            ]),
        );
        let mut expected = vec![b.clone(), c.clone(), e.clone(), g.clone()];
        expected.sort();
        assert_eq!(rig.server_counter(0, stats::ServerMetric::KeysRecorded), 4);
        assert_eq!(recorded(&mut rig, 0), expected, "{lines}");
        assert_eq!(recorded(&mut rig, 0), [""; 0], "they are handed out once");
        assert_eq!(recorded(&mut rig, 1), [""; 0]);
        assert_eq!(rig.server_counter(0, stats::ServerMetric::KeysRecorded), 0);
    }
}

#[test]
fn keys_of_memcached_are_recorded_whatever_writes_them() {
    let mut rig = rig(Protocol::Memcache, EJECT, Standing::Out);
    let client = rig.client();
    let writes = [
        "set {} 0 0 1\r\nx\r\n",
        "cas {} 0 0 1 7\r\nx\r\n",
        "delete {} noreply\r\n",
        "incr {} 1\r\n",
        "touch {} 1\r\n",
        "gat 1 {}\r\n",
    ];
    let keys: Vec<String> = (0..writes.len()).map(|number| rig.key(0, number)).collect();
    for (write, key) in writes.iter().zip(&keys) {
        rig.send(client, write.replace("{}", key));
    }
    let (read, own) = (rig.key(0, 90), rig.key(1, 0));
    rig.send(client, format!("get {read}\r\ngets {read} {own}\r\nset {own} 0 0 1\r\nx\r\n"));
    let mut expected = keys.clone();
    expected.sort();
    assert_eq!(recorded(&mut rig, 0), expected);
}

#[test]
fn nothing_is_recorded_that_nobody_asks_for() {
    for lines in ["on_failure: eject", "on_failure: eject\non_return: flush", STANDBY] {
        let mut rig = rig(Protocol::Redis, lines, Standing::In);
        let (a, client) = (rig.key(0, 0), rig.client());
        rig.take_up(view(Protocol::Redis, lines, Standing::Out));
        rig.send(client, request(&format!("SET {a} 1")));
        assert_eq!(recorded(&mut rig, 0), [""; 0], "{lines}");
    }
    let mut rig = rig(Protocol::Redis, EJECT, Standing::In);
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("SET {a} 1")));
    assert_eq!(recorded(&mut rig, 0), [""; 0], "it is in");
}

#[test]
fn with_several_away_a_key_is_recorded_for_each_that_would_have_it() {
    let standings = |away: &'static [usize]| {
        move |server: usize| if away.contains(&server) { Standing::Out } else { Standing::In }
    };
    let view = |away| pool_with(Protocol::Redis, 4, EJECT, standings(away));
    let mut rig = Rig::new(view(&[]));
    let client = rig.client();
    let key = rig.key(0, 3);
    let now_at = |rig: &mut Rig| {
        rig.send(client, request(&format!("SET {key} 1")));
        (0..4).find(|server| !rig.sent(*server).is_empty()).expect("somebody has it")
    };
    assert_eq!(now_at(&mut rig), 0);
    rig.take_up(view(&[0]));
    let second = now_at(&mut rig);
    let both: &'static [usize] = Box::leak(Box::new([0, second]));
    rig.take_up(view(both));
    let third = now_at(&mut rig);
    assert!(third != second && third != 0);
    let only: &'static [usize] = Box::leak(Box::new([second]));
    assert_eq!(recorded(&mut rig, second as u32), [key.as_str()]);
    assert_eq!(recorded(&mut rig, 0), [key.as_str()]);
    rig.take_up(view(&[0]));
    assert_eq!(now_at(&mut rig), second, "further failures move no other keys");
    assert_eq!((recorded(&mut rig, 0).len(), recorded(&mut rig, second as u32).len()), (1, 0));
    rig.take_up(view(only));
    assert_eq!(now_at(&mut rig), 0);
    assert_eq!((recorded(&mut rig, 0).len(), recorded(&mut rig, second as u32).len()), (0, 0));
}

#[test]
fn with_a_record_only_the_keys_of_the_server_that_is_away_move() {
    for distribution in ["ketama", "modula", "maglev", "jump", "rendezvous"] {
        let lines = format!("{EJECT}\ndistribution: {distribution}");
        let with = |standing: fn(usize) -> Standing| {
            let servers = (0..5).map(|s| format!("  - 127.0.0.1:{}:{} s{s}\n", 2000 + s, s + 1));
            let text: String = servers.collect();
            let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
            let text = format!("p:\n  listen: 127.0.0.1:1\n{lines}  servers:\n{text}");
            let settings = config::load(&text, &|_, _| unreachable!("no names")).expect("a good text");
            engine::topology::Topology::new(&settings, |_, server| standing(server)).pools.remove(0)
        };
        let out = with(|server| if server == 2 { Standing::Out } else { Standing::In });
        let all = with(|_| Standing::In);
        let mut moved = [0; 5];
        for n in 0..2000 {
            let key = format!("key:{n}");
            let home = out.placement.server(key.as_bytes(), || 0);
            assert_eq!(home, all.placement.server(key.as_bytes(), || 0));
            let now = out.elsewhere(key.as_bytes(), home, 0, |_| {}).expect("four are in") as usize;
            if home == Some(2) {
                moved[now] += 1;
            } else {
                assert_eq!(Some(now as u32), home, "{distribution}");
            }
        }
        assert!(
            [0, 1, 3, 4].iter().all(|server| moved[*server] > 0) && moved[2] == 0,
            "{distribution}: {moved:?}"
        );
    }
}

#[test]
fn too_much_to_remember_means_all_of_it() {
    let mut rig = rig(Protocol::Redis, EJECT, Standing::Out);
    let client = rig.client();
    let long = "x".repeat(1 << 20);
    let mut written = 0;
    loop {
        let key = format!("{{{}}}{long}{written}", rig.key(0, 0));
        rig.send(client, request(&format!("SET {key} 1")));
        rig.sent(1);
        written += 1;
        if let Some(event) = rig.event() {
            assert_eq!(event, stats::Event::RecordOverflowed { pool: 0, server: 0 });
            break;
        }
        assert!(written < 20, "16 MB are enough");
    }
    let key = rig.key(0, 1);
    rig.send(client, request(&format!("SET {key} 1")));
    let (once, again) = (rig.core.collect(0, 0), rig.core.collect(0, 0));
    assert!(once.overflowed && once.keys.is_empty() && !again.overflowed, "that is told once");
}

#[test]
fn a_flush_of_everything_is_one_of_the_server_that_is_away() {
    for (protocol, flush, changes) in [
        (Protocol::Redis, request("FLUSHALL"), true),
        (Protocol::Redis, request("flushdb"), true),
        (Protocol::Redis, request("DBSIZE"), false),
        (Protocol::Memcache, b"flush_all 5\r\n".to_vec(), true),
        (Protocol::Memcache, b"flush_all noreply\r\n".to_vec(), true),
        (Protocol::Memcache, b"verbosity 1\r\n".to_vec(), false),
    ] {
        let mut rig = rig(protocol, EJECT, Standing::Out);
        let client = rig.client();
        rig.send(client, &flush);
        let empties = |record: engine::away::Record| record.overflowed || record.emptied == [0];
        assert_eq!(empties(rig.core.collect(0, 0)), changes, "{}", flush.escape_ascii());
        assert!(!rig.core.collect(0, 1).overflowed);
    }
}

#[test]
fn while_a_server_returns_what_is_written_elsewhere_is_deleted_on_it() {
    let mut rig = rig(Protocol::Redis, EJECT, Standing::Out);
    let (a, b, client) = (rig.key(0, 0), rig.key(0, 1), rig.client());
    rig.send(client, request(&format!("SET {a} 1")));
    rig.take_up(view(Protocol::Redis, EJECT, Standing::Returning));
    assert_eq!(recorded(&mut rig, 0), [a.as_str()]);
    rig.send(client, requests(&[&format!("SET {b} 1"), &format!("GET {b}")]));
    assert_eq!(said(&mut rig, 1), [format!("SET {a} 1"), format!("SET {b} 1"), format!("GET {b}")]);
    assert_eq!(said(&mut rig, 0), [format!("UNLINK {b}")]);
    let record = rig.core.collect(0, 0);
    assert!(record.settled && !record.failed, "there were none before the last time");
    assert!(!rig.core.collect(0, 0).settled);
    rig.reply(0, ":1\r\n");
    let record = rig.core.collect(0, 0);
    assert!(record.settled && !record.failed);
    rig.take_up(view(Protocol::Redis, EJECT, Standing::In));
    rig.send(client, request(&format!("GET {b}")));
    assert_eq!(said(&mut rig, 0), [format!("GET {b}")]);
    assert_eq!(rig.open_conns(0), 1, "behind the delete");
}

#[test]
fn a_client_does_not_overtake_the_delete_of_what_it_wrote() {
    let with_lanes = |standing| PoolView { server_connections: 3, ..view(Protocol::Redis, EJECT, standing) };
    let mut rig = Rig::new(with_lanes(Standing::Returning));
    let (a, b) = (rig.key(0, 0), rig.key(0, 1));
    let clients = [rig.client(), rig.client(), rig.client()];
    rig.send(clients[1], request(&format!("SET {a} 1")));
    rig.send(clients[2], requests(&["HELLO 3", &format!("SET {b} 1")]));
    rig.take_up(with_lanes(Standing::In));
    assert_eq!(rig.open_conns(0), 2);
    rig.send(clients[1], request(&format!("GET {a}")));
    rig.send(clients[2], request(&format!("GET {b}")));
    assert_eq!(rig.open_conns(0), 2, "the same connections");
}

#[test]
fn a_client_that_speaks_another_protocol_does_not_overtake_it_either() {
    let mut rig = rig(Protocol::Redis, EJECT, Standing::Returning);
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("SET {a} 1")));
    rig.reply(1, "+OK\r\n");
    rig.take_up(view(Protocol::Redis, EJECT, Standing::In));
    rig.send(client, requests(&["HELLO 3", &format!("GET {a}")]));
    assert_eq!(said(&mut rig, 0), [format!("UNLINK {a}"), "PING".into()], "on the connection it had");
    rig.reply(0, ":1\r\n");
    assert_eq!(said(&mut rig, 0), [""; 0]);
    rig.reply(0, "+PONG\r\n");
    assert_eq!(said(&mut rig, 0), ["HELLO 3"], "a connection of RESP3");
    rig.reply(0, "%0\r\n");
    assert_eq!(said(&mut rig, 0), [format!("GET {a}")]);
}

#[test]
fn nor_does_a_client_that_gets_a_connection_of_its_own() {
    for command in ["WATCH", "BLPOP"] {
        let mut rig = rig(Protocol::Redis, EJECT, Standing::Returning);
        let (a, client) = (rig.key(0, 0), rig.client());
        rig.send(client, request(&format!("SET {a} 1")));
        rig.reply(1, "+OK\r\n");
        rig.take_up(view(Protocol::Redis, EJECT, Standing::In));
        let next = if command == "WATCH" { format!("WATCH {a}") } else { format!("BLPOP {a} 0") };
        rig.send(client, requests(&["PING", &next]));
        assert_eq!(rig.read(client), "+OK\r\n+PONG\r\n");
        assert_eq!(said(&mut rig, 0), [format!("UNLINK {a}"), "PING".into()]);
        assert_eq!(rig.open_conns(0), 1);
        rig.reply(0, ":1\r\n+PONG\r\n");
        assert_eq!(said(&mut rig, 0), [next]);
        assert_eq!(rig.open_conns(0), 2);
        assert_eq!(rig.read(client), "", "the proxy's own PING is its own");
    }
}

#[test]
fn a_delete_that_fails_is_told() {
    let outcomes: [&dyn Fn(&mut Rig); 4] = [
        &|rig| rig.reply(0, "-READONLY You can't write against a read only replica.\r\n"),
        &|rig| rig.lose(0, Cause::Reset),
        &|rig| rig.later(101),
        &|rig| {
            rig.later(50);
            rig.core.handle(engine::Input::Server { pool: 0, server: 0, down: None });
            rig.lose(0, Cause::TimedOut);
        },
    ];
    for (number, outcome) in outcomes.iter().enumerate() {
        let timed =
            |standing| PoolView { timeout_us: Some(100_000), ..view(Protocol::Redis, EJECT, standing) };
        let mut rig = Rig::new(timed(Standing::Returning));
        let (a, client) = (rig.key(0, 0), rig.client());
        rig.send(client, request(&format!("SET {a} 1")));
        rig.reply(1, "+OK\r\n");
        assert_eq!(rig.core.collect(0, 0).keys.len(), 1);
        outcome(&mut rig);
        let record = rig.core.collect(0, 0);
        assert!(record.failed && record.settled, "outcome {number}");
        assert!(!rig.core.collect(0, 0).failed, "once");
        assert_eq!(rig.read(client), "+OK\r\n", "whoever wrote it does not notice");
    }
}

#[test]
fn a_delete_that_cannot_even_be_sent_is_told() {
    let mut view = view(Protocol::Memcache, EJECT, Standing::Returning);
    view.fail_fast = true;
    let mut rig = Rig::new(view);
    rig.core.handle(engine::Input::Server { pool: 0, server: 0, down: Some(Cause::Refused) });
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, format!("delete {a}\r\n"));
    let record = rig.core.collect(0, 0);
    assert!(record.failed && record.settled && record.keys.len() == 1);
}

#[test]
fn old_connections_to_a_server_that_returns_are_given_up() {
    let mut rig = rig(Protocol::Redis, EJECT, Standing::In);
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("SET {a} old")));
    rig.take_up(view(Protocol::Redis, EJECT, Standing::Out));
    assert_eq!(rig.open_conns(0), 1, "its answer may still come");
    rig.send(client, request(&format!("SET {a} new")));
    rig.reply(1, "+OK\r\n");
    rig.take_up(view(Protocol::Redis, EJECT, Standing::Returning));
    assert_eq!(rig.open_conns(0), 0);
    assert_eq!(rig.aborted, 1, "what it carried must not arrive any more");
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n+OK\r\n");
    let usage = rig.core.usage();
    assert_eq!((usage.requests, usage.in_flight), (0, 0));
}

#[test]
fn connections_that_owe_nothing_are_closed_as_usual() {
    let mut rig = rig(Protocol::Redis, EJECT, Standing::In);
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("GET {a}")));
    rig.reply(0, "$-1\r\n");
    rig.take_up(view(Protocol::Redis, EJECT, Standing::Returning));
    assert_eq!((rig.open_conns(0), rig.aborted), (0, 0));
}

/// As `view`, with large requests passed on from so few bytes.
fn streaming(protocol: Protocol, lines: &str, standing: Standing) -> PoolView {
    PoolView { stream_from: 1000, ..view(protocol, lines, standing) }
}

#[test]
fn a_large_value_is_recorded_and_its_life_bounded_when_it_is_over() {
    let lines = format!("{STANDBY}\non_return: invalidate");
    let mut rig = Rig::new(streaming(Protocol::Redis, &lines, Standing::Out));
    let (a, client) = (rig.key(0, 0), rig.client());
    let set = request(&format!("SET {a} {}", "v".repeat(5000)));
    let (begin, end) = set.split_at(2000);
    rig.send(client, begin);
    assert_eq!(recorded(&mut rig, 0), [a.as_str()], "from its beginning");
    assert!(!rig.sent(2).contains("PEXPIRE"));
    rig.send(client, end);
    let bound = request(&format!("PEXPIRE {a} 10000 LT"));
    assert!(rig.sent(2).ends_with(std::str::from_utf8(&bound).unwrap()));
    rig.reply(2, "+OK\r\n:1\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");

    let mut rig = Rig::new(streaming(Protocol::Memcache, &lines, Standing::Out));
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, format!("set {a} 0 0 5000\r\n{}", "v".repeat(2000)));
    assert!(rig.sent(2).starts_with(&format!("set {a} 0 10 5000\r\nv")));
    assert_eq!(recorded(&mut rig, 0), [a.as_str()]);
    rig.send(client, format!("{}\r\n", "v".repeat(3000)));
    rig.reply(2, "STORED\r\n");
    assert_eq!(rig.read(client), "STORED\r\n");
}

#[test]
fn a_large_value_half_sent_does_not_outlive_the_servers_absence() {
    for (protocol, refusal) in [
        (Protocol::Redis, "-ERR Connection timed out\r\n"),
        (Protocol::Memcache, "SERVER_ERROR Connection timed out\r\n"),
    ] {
        let mut rig = Rig::new(streaming(protocol, EJECT, Standing::In));
        let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
        let set = match protocol {
            Protocol::Redis => request(&format!("SET {a} {}", "v".repeat(5000))),
            Protocol::Memcache => format!("set {a} 0 0 5000\r\n{}\r\n", "v".repeat(5000)).into_bytes(),
        };
        let next = match protocol {
            Protocol::Redis => request(&format!("GET {b}")),
            Protocol::Memcache => format!("get {b}\r\n").into_bytes(),
        };
        rig.send(client, &set[..2000]);
        rig.take_up(streaming(protocol, EJECT, Standing::Out));
        rig.take_up(streaming(protocol, EJECT, Standing::Returning));
        assert_eq!((rig.open_conns(0), rig.aborted), (0, 1));
        rig.send(client, [&set[2000..], &next].concat());
        assert_eq!(rig.read(client), refusal, "the rest of it is dropped");
        assert_eq!(rig.sent(1).as_bytes(), next);
    }
}

#[test]
fn a_large_reply_ends_with_its_connection() {
    let mut rig = Rig::new(streaming(Protocol::Redis, EJECT, Standing::In));
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("GET {a}")));
    rig.reply(0, format!("$5000\r\n{}", "v".repeat(2000)));
    rig.take_up(streaming(Protocol::Redis, EJECT, Standing::Returning));
    assert_eq!(rig.open_conns(0), 0);
    rig.later(1);
    assert!(rig.closed(client).is_some(), "half of a value can be told in no other way");
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn a_large_value_is_not_read_before_what_was_written_is_deleted() {
    let mut rig = Rig::new(streaming(Protocol::Redis, EJECT, Standing::In));
    let (a, client) = (rig.key(0, 0), rig.client());
    rig.send(client, request(&format!("GET {a}")));
    rig.reply(0, format!("$5000\r\n{}", "v".repeat(2000)));
    rig.reply(0, format!("{}\r\n", "v".repeat(3000)));
    rig.read(client);
    rig.take_up(streaming(Protocol::Redis, EJECT, Standing::Returning));
    rig.send(client, request(&format!("DEL {a}")));
    rig.reply(1, ":0\r\n");
    rig.take_up(streaming(Protocol::Redis, EJECT, Standing::In));
    rig.send(client, request(&format!("GET {a}")));
    assert_eq!(said(&mut rig, 0)[1..], [format!("UNLINK {a}"), format!("GET {a}")]);
    assert_eq!(rig.open_conns(0), 1);
}
