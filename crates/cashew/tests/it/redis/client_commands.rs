//! CLIENT LIST, KILL, UNBLOCK and REPLY over two workers: clients of one see, close and wake those of the other.

use std::collections::BTreeMap;

use testkit::{Client, RedisServer, resp, wait};

use crate::farm::Farm;

/// More than one for each worker, whichever of them takes whom.
const CLIENTS: usize = 10;

fn id(client: &mut Client) -> String {
    let reply = client.ask(&["CLIENT", "ID"]);
    String::from_utf8_lossy(&reply).trim_start_matches(':').trim_end().to_owned()
}

/// One field of every line of a listing.
fn fields(list: &[u8], name: &str) -> Vec<String> {
    let list = String::from_utf8_lossy(list).into_owned();
    let field = |line: &str| {
        line.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    list.lines().filter_map(field).collect()
}

#[test]
fn the_list_has_the_clients_of_both_workers() {
    let farm = Farm::redis(2, &[]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    let mut wanted: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let here = format!("127.0.0.1:{}", farm.port());
    for (index, client) in clients.iter_mut().enumerate() {
        let number = id(client).parse().expect("a number");
        let address = client.local_addr().expect("over TCP").to_string();
        wanted.insert(number, (address, format!("name{index}")));
        assert_eq!(client.ask(&["CLIENT", "SETNAME", &format!("name{index}")]), b"+OK\r\n");
    }
    for client in &mut clients {
        let list = client.ask(&["CLIENT", "LIST"]);
        let numbers = fields(&list, "id").into_iter().map(|id| id.parse::<u64>().expect("a number"));
        let about = fields(&list, "addr").into_iter().zip(fields(&list, "name"));
        let listed: Vec<_> = numbers.zip(about).collect();
        assert_eq!(
            listed,
            wanted.clone().into_iter().collect::<Vec<_>>(),
            "all, in the order of their numbers"
        );
        assert_eq!(fields(&list, "laddr"), vec![here.clone(); CLIENTS]);
    }
    // A server has the same fields in the same order, and later ones than 7.0 some more.
    let of = |list: Vec<u8>| {
        let line = String::from_utf8_lossy(&list).lines().nth(1).unwrap_or_default().to_owned();
        line.split(' ').map(|pair| pair.split('=').next().unwrap_or(pair).to_owned()).collect::<Vec<_>>()
    };
    let ours = of(clients[0].ask(&["CLIENT", "LIST"]));
    let theirs = of(farm.direct.client().ask(&["CLIENT", "LIST"]));
    let common: Vec<String> = ours.iter().filter(|name| theirs.contains(name)).cloned().collect();
    let expected: Vec<String> = match RedisServer::speaks_7_0() {
        true => theirs,
        false => theirs.into_iter().filter(|name| ours.contains(name)).collect(),
    };
    assert_eq!(common, expected);
}

#[test]
fn clients_are_told_the_version_that_the_operator_says() {
    for (options, version) in [(&[][..], "7.0.15"), (&["redis_version: 8.0.2"], "8.0.2")] {
        let farm = Farm::redis(1, options);
        let mut client = farm.client();
        let hello = client.ask(&["HELLO"]);
        let wanted = format!("$7\r\nversion\r\n${}\r\n{version}\r\n", version.len());
        assert!(String::from_utf8_lossy(&hello).contains(&wanted), "{}", hello.escape_ascii());
        let info = client.ask(&["INFO", "server"]);
        let wanted = format!("redis_version:{version}\r\n");
        assert!(String::from_utf8_lossy(&info).contains(&wanted), "{}", info.escape_ascii());
    }
}

#[test]
fn a_client_closes_others_on_whichever_worker_they_are() {
    let farm = Farm::redis(2, &[]);
    let mut killer = farm.client();
    let mut victims: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    for (index, mut victim) in victims.drain(..CLIENTS / 2).enumerate() {
        let by_id = ["CLIENT".into(), "KILL".into(), "ID".into(), id(&mut victim)];
        let address = victim.local_addr().expect("over TCP").to_string();
        let by_address = ["CLIENT".to_owned(), "KILL".to_owned(), address];
        match index % 2 {
            0 => assert_eq!(killer.ask(&by_id), b":1\r\n"),
            _ => assert_eq!(killer.ask(&by_address), b"+OK\r\n"),
        }
        victim.expect_closed();
    }
    let closed = format!(":{}\r\n", victims.len());
    assert_eq!(killer.ask(&["CLIENT", "KILL", "TYPE", "normal"]), closed.as_bytes());
    victims.iter_mut().for_each(Client::expect_closed);
    assert_eq!(killer.ask(&["PING"]), b"+PONG\r\n");
    killer.send(&resp(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]));
    killer.expect(b":1\r\n");
    killer.expect_closed();
}

#[test]
fn waiting_clients_are_woken_on_whichever_worker_they_are() {
    let farm = Farm::redis(2, &[]);
    let mut waker = farm.client();
    let mut waiting: Vec<(String, Client)> = (0..CLIENTS)
        .map(|_| {
            let mut client = farm.client();
            (id(&mut client), client)
        })
        .collect();
    waiting.iter_mut().for_each(|(_, client)| client.send(&resp(&["BLPOP", "l", "0"])));
    wait::until("all to wait", || {
        let info = waker.ask(&["INFO", "clients"]);
        String::from_utf8_lossy(&info).contains(&format!("blocked_clients:{CLIENTS}\r\n"))
    });
    for (index, (id, client)) in waiting.iter_mut().enumerate() {
        let reason = ["TIMEOUT", "ERROR"][index % 2];
        assert_eq!(waker.ask(&["CLIENT", "UNBLOCK", id, reason]), b":1\r\n");
        let wanted: [&[u8]; 2] = [b"*-1\r\n", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"];
        client.expect(wanted[index % 2]);
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
        assert_eq!(waker.ask(&["CLIENT", "UNBLOCK", id]), b":0\r\n");
    }
    assert_eq!(waker.ask(&["RPUSH", "l", "element"]), b":1\r\n");
    let mut servers = farm.servers.iter().map(testkit::RedisServer::client);
    wait::until("servers to have noticed", || {
        servers.all(|mut server| {
            String::from_utf8_lossy(&server.ask(&["INFO", "clients"])).contains("blocked_clients:0\r\n")
        })
    });
    assert_eq!(waker.ask(&["LPOP", "l"]), b"$7\r\nelement\r\n", "nobody waits for it any more");
}

#[test]
fn who_wants_no_replies_gets_none_and_nobody_else_notices() {
    let farm = Farm::redis(2, &[]);
    let mut others: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    let mut quiet = farm.client();
    quiet.send(&resp(&["CLIENT", "REPLY", "OFF"]));
    for round in 0..200 {
        let key = format!("k{round}");
        quiet.send(&[resp(&["SET", &key, "v"]), resp(&["MGET", "a", "b", &key]), resp(&["NOSUCH"])].concat());
        let other = &mut others[round % CLIENTS];
        assert_eq!(other.ask(&["INCR", "n"]), format!(":{}\r\n", round + 1).as_bytes());
    }
    quiet.send(&[resp(&["CLIENT", "REPLY", "ON"]), resp(&["GET", "k199"])].concat());
    quiet.expect(b"+OK\r\n$1\r\nv\r\n");
    quiet.send(&[resp(&["CLIENT", "REPLY", "SKIP"]), resp(&["GET", "k0"]), resp(&["GET", "n"])].concat());
    quiet.expect(b"$3\r\n200\r\n");
}

#[test]
fn a_pause_of_writes_holds_up_those_of_both_workers() {
    let farm = Farm::redis(2, &[]);
    let mut reader = farm.client();
    assert_eq!(reader.ask(&["CLIENT", "PAUSE", "1000000", "WRITE"]), b"+OK\r\n");
    let mut writers: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&[resp(&["GET", "none"]), resp(&["SET", &format!("k{index}"), "v"])].concat());
        writer.expect(b"$-1\r\n");
    }
    wait::until("all writes to wait", || {
        let held = fields(&reader.ask(&["CLIENT", "LIST"]), "qbuf");
        held.iter().filter(|bytes| *bytes != "0").count() == CLIENTS
    });
    assert_eq!(reader.ask(&["DBSIZE"]), b":0\r\n");
    assert_eq!(reader.ask(&["CLIENT", "UNPAUSE"]), b"+OK\r\n");
    writers.iter_mut().for_each(|writer| writer.expect(b"+OK\r\n"));
    assert_eq!(reader.ask(&["DBSIZE"]), format!(":{CLIENTS}\r\n").as_bytes());
}
