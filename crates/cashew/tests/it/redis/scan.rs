//! SCAN over four servers, also while one of them is started anew; what clients ask of one server among several.

use std::collections::BTreeSet;

use testkit::{Client, RedisServer, ports, resp, wait};

use super::across::one_key_per_server;
use crate::farm::{self, Farm};

/// A page: its cursor, and its keys; or the error.
fn page(client: &mut Client, cursor: u64, options: &[&str]) -> Result<(u64, Vec<String>), String> {
    let cursor = cursor.to_string();
    let argv = [&["SCAN", cursor.as_str()], options].concat();
    let reply = client.ask(&argv);
    let text = String::from_utf8_lossy(&reply).into_owned();
    if text.starts_with('-') {
        return Err(text);
    }
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("*2"), "{argv:?}: {text}");
    let next = lines.nth(1).expect("a cursor");
    let number: u64 = next.parse().unwrap_or_else(|e| panic!("{next}: {e}"));
    assert_eq!(next, number.to_string(), "no plus, no leading zero");
    Ok((number, lines.skip(2).step_by(2).take_while(|key| !key.is_empty()).map(str::to_owned).collect()))
}

/// All keys, and how many pages it took.
fn scan(client: &mut Client, options: &[&str]) -> (BTreeSet<String>, usize) {
    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), 0, 0);
    loop {
        let (next, keys) = page(client, cursor, options).expect("all servers answer");
        found.extend(keys);
        (cursor, pages) = (next, pages + 1);
        assert!(pages < 20_000, "it does not end");
        if cursor == 0 {
            return (found, pages);
        }
    }
}

/// Sets keys in a pipeline.
fn fill(client: &mut Client, keys: impl Iterator<Item = String>) -> BTreeSet<String> {
    let keys: BTreeSet<String> = keys.collect();
    for some in keys.iter().collect::<Vec<_>>().chunks(500) {
        let requests: Vec<u8> = some.iter().flat_map(|key| resp(&["SET", key.as_str(), "v"])).collect();
        client.send(&requests);
        some.iter().for_each(|_| client.expect(b"+OK\r\n"));
    }
    keys
}

#[test]
fn ten_thousand_keys_are_all_found() {
    let farm = Farm::redis(2, &[]);
    let mut client = farm.client();
    let keys = fill(&mut client, (0..10_000).map(|n| format!("key:{n}")));
    let lists: BTreeSet<String> = (0..50).map(|n| format!("list:{n}")).collect();
    lists.iter().for_each(|list| assert_eq!(client.ask(&["RPUSH", list, "a"]), b":1\r\n"));
    let all: BTreeSet<String> = keys.union(&lists).cloned().collect();

    let (found, pages) = scan(&mut client, &[]);
    assert!(found == all && pages > 500, "{} keys in {pages} pages", found.len());
    let (found, fewer) = scan(&mut client, &["COUNT", "1000"]);
    assert!(found == all && fewer < 30, "{} keys in {fewer} pages", found.len());
    let (found, pages) = scan(&mut client, &["COUNT", "100000"]);
    assert!(found == all && pages == 4, "{} keys in {pages} pages", found.len());
    let (found, _) = scan(&mut client, &["MATCH", "key:77*", "COUNT", "200"]);
    assert_eq!(found, keys.iter().filter(|key| key.starts_with("key:77")).cloned().collect());
    assert_eq!(scan(&mut client, &["TYPE", "list", "COUNT", "200"]).0, lists);
    assert!(scan(&mut client, &["MATCH", "none*", "COUNT", "200"]).0.is_empty());

    // A walk that goes from one worker to another, and one in RESP3.
    let mut clients = [farm.client(), farm.client(), farm.client()];
    clients[2].ask(&["HELLO", "3"]);
    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), 0, 0);
    loop {
        let (next, keys) =
            page(&mut clients[pages % 3], cursor, &["COUNT", "300"]).expect("all servers answer");
        found.extend(keys);
        (cursor, pages) = (next, pages + 1);
        if cursor == 0 {
            break;
        }
    }
    assert!(found == all && pages < 100, "{} keys in {pages} pages", found.len());
}

#[test]
fn a_scan_is_complete_though_a_server_is_started_anew() {
    let start = || RedisServer::start();
    let mut servers = farm::many(4, start);
    let listed: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let port = ports::free();
    let options = ["redis: true", "hash: murmur", "timeout: 2000"];
    let proxy = farm::proxy(&farm::pool(&format!("127.0.0.1:{port}"), &listed, &options), 2);
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    let keys = fill(&mut client, (0..4000).map(|n| format!("key:{n}")));

    // To the middle of the third server.
    let (mut found, mut cursor) = (BTreeSet::new(), 0);
    let owned: Vec<usize> = servers.iter().map(|server| size(&mut server.client())).collect();
    while found.len() < owned[0] + owned[1] + owned[2] / 2 {
        let (next, some) = page(&mut client, cursor, &[]).expect("all servers answer");
        found.extend(some);
        cursor = next;
    }
    let third = servers.remove(2);
    let held = all_of(&mut third.client());
    let port_of_third = third.port();
    drop(third);
    let text = page(&mut client, cursor, &[]).expect_err("the server is not there");
    assert!(text.starts_with("-ERR "), "{text}");
    let third = RedisServer::start_on(port_of_third, &[]).unwrap_or_else(|e| panic!("{e}"));
    fill(&mut third.client(), held.into_iter());
    wait::until("the page to be answered again", || page(&mut client, cursor, &[]).is_ok());
    let mut pages = 0;
    while cursor != 0 {
        let (next, some) = page(&mut client, cursor, &[]).expect("all servers answer");
        found.extend(some);
        (cursor, pages) = (next, pages + 1);
        assert!(pages < 4000, "it does not end");
    }
    // Its keys lie in another order now: without going through them once more some would be missed.
    assert!(found == keys, "{} of {} keys", found.len(), keys.len());
    drop(proxy);
}

fn size(server: &mut Client) -> usize {
    let reply = server.ask(&["DBSIZE"]);
    String::from_utf8_lossy(&reply[1..]).trim().parse().expect("a number")
}

fn all_of(server: &mut Client) -> Vec<String> {
    let reply = server.ask(&["KEYS", "*"]);
    let text = String::from_utf8_lossy(&reply).into_owned();
    text.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect()
}

#[test]
fn a_server_that_hangs_does_not_end_the_walk() {
    let farm = Farm::redis(1, &["timeout: 300"]);
    let mut client = farm.client();
    let keys = fill(&mut client, (0..400).map(|n| format!("key:{n}")));
    let (mut cursor, mut found) = (0, BTreeSet::new());
    let (next, some) = page(&mut client, cursor, &["COUNT", "1000"]).expect("the first server answers");
    found.extend(some);
    cursor = next;
    farm.servers[1].freeze().expect("it stops");
    assert!(page(&mut client, cursor, &[]).is_err());
    farm.servers[1].thaw().expect("it goes on");
    wait::until("it to be asked again", || page(&mut client, cursor, &[]).is_ok());
    while cursor != 0 {
        let (next, some) = page(&mut client, cursor, &["COUNT", "50"]).expect("all servers answer");
        found.extend(some);
        cursor = next;
    }
    assert_eq!(found, keys);
}

#[test]
fn random_keys_are_of_all_servers() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    assert_eq!(client.ask(&["RANDOMKEY"]), b"$-1\r\n");
    let keys = one_key_per_server(&farm);
    keys.iter().for_each(|key| assert_eq!(client.ask(&["SET", key, "v"]), b"+OK\r\n"));
    let mut found = BTreeSet::new();
    wait::until("each to be drawn", || {
        let reply = client.ask(&["RANDOMKEY"]);
        found.insert(String::from_utf8_lossy(&reply).split("\r\n").nth(1).expect("a key").to_owned());
        keys.iter().all(|key| found.contains(key))
    });
}

#[test]
fn one_server_is_asked_by_its_name() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    for (index, server) in farm.servers.iter().enumerate() {
        let reply = client.ask(&["INFO", &format!("server:server-{index}"), "server"]);
        let text = String::from_utf8_lossy(&reply).into_owned();
        assert!(text.contains(&format!("tcp_port:{}\r\n", server.port())), "{text}");
        assert!(!text.contains("# Clients"), "{text}");
    }
    let whole = client.ask(&["INFO", "server:server-0"]);
    assert!(String::from_utf8_lossy(&whole).contains("# Keyspace"));
    let reply = client.ask(&["INFO", "server:nobody"]);
    let wanted = "-ERR no server of this pool is called 'nobody'; there are server-0, server-1, server-2, server-3\r\n";
    assert_eq!(String::from_utf8_lossy(&reply), wanted);
    assert!(String::from_utf8_lossy(&client.ask(&["INFO"])).contains("pool:farm\r\n"));
}

#[test]
fn a_server_that_forgot_a_script_is_told_again() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    let keys = one_key_per_server(&farm);
    let text = "return redis.call('INCR', KEYS[1])";
    let sha = String::from_utf8_lossy(&client.ask(&["SCRIPT", "LOAD", text])[5..45]).into_owned();
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["SCRIPT", "FLUSH"]), b"+OK\r\n");
    }
    client.ask(&["DEL", &keys[0], &keys[1], &keys[2], &keys[3]]);
    for round in 1..3 {
        for key in &keys {
            assert_eq!(client.ask(&["EVALSHA", &sha, "1", key]), format!(":{round}\r\n").as_bytes());
        }
    }
    // In a pipeline what follows is not overtaken: either the error is passed on, or all is in order.
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["SCRIPT", "FLUSH"]), b"+OK\r\n");
    }
    client.send(&[resp(&["EVALSHA", &sha, "1", &keys[0]]), resp(&["GET", &keys[0]])].concat());
    assert!(client.resp_reply().starts_with(b"-NOSCRIPT"));
    client.expect(b"$1\r\n2\r\n");
    assert_eq!(client.ask(&["EVALSHA", &sha, "1", &keys[0]]), b":3\r\n");
}

#[test]
fn a_script_that_runs_for_ever_is_stopped() {
    let farm = Farm::redis(1, &[]);
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["CONFIG", "SET", "busy-reply-threshold", "10"]), b"+OK\r\n");
    }
    let (mut client, mut other) = (farm.client(), farm.client());
    assert!(client.ask(&["SCRIPT", "KILL"]).starts_with(b"-NOTBUSY"));
    other.send(&resp(&["EVAL", "while true do end", "1", "k"]));
    wait::until("the script to be stopped", || client.ask(&["SCRIPT", "KILL"]) == b"+OK\r\n");
    let reply = other.resp_reply();
    assert!(String::from_utf8_lossy(&reply).contains("Script killed by user"), "{}", reply.escape_ascii());
    assert_eq!(other.ask(&["GET", "k"]), b"$-1\r\n");
}
