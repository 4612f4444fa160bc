//! The embedded redis server over loopback.

use std::net::SocketAddr;

use embedded::{Embedded, Options, Running};
use testkit::{Client, resp};

fn server(options: Options) -> (Running, SocketAddr) {
    let running = Embedded::new().redis(1).options(options).start().expect("starts");
    let addr = running.redis()[0];
    (running, addr)
}

fn client(addr: SocketAddr) -> Client {
    Client::connect(addr).expect("accepted")
}

#[test]
fn requests_may_come_in_pieces_and_in_bulk() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    c.send_bytewise(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\nGET a\r\n");
    c.expect(b"+OK\r\n$4\r\n\r\n\r\n\r\n");
    let value = vec![b'v'; 3_000_000];
    let mut many = resp(&[b"SET".as_slice(), b"big", &value]);
    for _ in 0..1000 {
        many.extend_from_slice(&resp(&["STRLEN", "big"]));
    }
    c.send(&many);
    c.expect(b"+OK\r\n");
    c.expect(&b":3000000\r\n".repeat(1000));
    c.send(b"PING\r\n");
    c.finish_sending();
    assert_eq!(c.to_end(), b"+PONG\r\n", "what was received before the end is answered");
}

#[test]
fn databases_and_clients_are_apart() {
    let (_running, addr) = server(Options::default());
    let (mut a, mut b) = (client(addr), client(addr));
    a.ask(&["SELECT", "3"]);
    a.ask(&["SET", "k", "in 3"]);
    assert_eq!(b.ask(&["GET", "k"]), b"$-1\r\n");
    b.ask(&["FLUSHDB"]);
    assert_eq!(a.ask(&["GET", "k"]), b"$4\r\nin 3\r\n");
    assert_ne!(a.ask(&["CLIENT", "ID"]), b.ask(&["CLIENT", "ID"]));
    b.ask(&["FLUSHALL"]);
    assert_eq!(a.ask(&["DBSIZE"]), b":0\r\n");
}

#[test]
fn keys_expire_by_themselves() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    c.ask(&["SET", "a", "1", "PX", "30"]);
    c.ask(&["RPUSH", "l", "1"]);
    c.ask(&["PEXPIRE", "l", "30"]);
    testkit::wait::until("both keys to expire", || c.ask(&["DBSIZE"]) == b":0\r\n");
    assert_eq!(c.ask(&["GET", "a"]), b"$-1\r\n");
}

#[test]
fn a_scan_sees_every_key_that_stays() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    for n in 0..500 {
        c.ask(&["SET", &format!("stays:{n}"), "1"]);
        c.ask(&["SET", &format!("goes:{n}"), "1"]);
    }
    let (mut cursor, mut seen, mut pages) = ("0".to_string(), Vec::new(), 0);
    loop {
        let reply = c.ask(&["SCAN", &cursor, "MATCH", "stays:*", "COUNT", "7"]);
        let text = String::from_utf8(reply).expect("text");
        let lines: Vec<&str> = text.split("\r\n").collect();
        cursor = lines[2].into();
        seen.extend(lines.iter().filter(|line| line.starts_with("stays:")).map(|line| line.to_string()));
        c.ask(&["DEL", &format!("goes:{pages}"), &format!("goes:{}", 499 - pages)]);
        pages += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!(pages > 50);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 500);
}

#[test]
fn memory_requests_replies_and_clients_are_bounded() {
    let options = Options {
        bytes_max: 100_000,
        request_bytes_max: 10_000,
        reply_bytes_max: 50_000,
        clients_max: 2,
        password: None,
    };
    let (_running, addr) = server(options);
    let mut c = client(addr);
    for n in 0..100 {
        assert_eq!(c.ask(&["SET", &format!("k{n}"), &"v".repeat(5000)]), b"+OK\r\n");
        assert!(
            c.ask(&["GET", &format!("k{n}")]).starts_with(b"$5000\r\n"),
            "what was just written is there"
        );
    }
    assert_eq!(
        (c.ask(&["EXISTS", "k0"]), c.ask(&["EXISTS", "k98"])),
        (b":0\r\n".to_vec(), b":1\r\n".to_vec())
    );
    assert_eq!(c.ask(&["SETRANGE", "k99", "9999", "xx"]), STRING_TOO_LONG);
    c.ask(&["APPEND", "k99", &"v".repeat(5000)]);
    assert_eq!(c.ask(&["APPEND", "k99", "v"]), STRING_TOO_LONG);
    let many = [vec!["MGET"], vec!["k98"; 20]].concat();
    assert_eq!(c.ask(&many), b"-ERR the reply would be longer than this server sends\r\n");

    let mut second = client(addr);
    assert_eq!(second.ask(&["PING"]), b"+PONG\r\n");
    assert_eq!(client(addr).to_end(), b"-ERR max number of clients reached\r\n");
    second.send(b"*2\r\n$3\r\nSET\r\n$10001\r\nxxxxxxxxxxxxxxxxxx");
    assert_eq!(second.to_end(), b"-ERR Protocol error: request longer than 10000 bytes\r\n");
    drop(second);
    testkit::wait::until("the place to be free", || {
        let mut c = client(addr);
        c.try_send(b"PING\r\n").is_ok() && c.try_resp_reply().is_ok_and(|reply| reply == b"+PONG\r\n")
    });
}

const STRING_TOO_LONG: &[u8] = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";

#[test]
fn a_password_is_asked_for() {
    let (_running, addr) = server(Options { password: Some("secret".into()), ..Options::default() });
    let mut c = client(addr);
    assert_eq!(c.ask(&["GET", "a"]), b"-NOAUTH Authentication required.\r\n");
    assert!(c.ask(&["HELLO", "3"]).starts_with(b"-NOAUTH HELLO must be called"));
    assert!(c.ask(&["AUTH", "wrong"]).starts_with(b"-WRONGPASS"));
    assert_eq!(c.ask(&["AUTH", "secret"]), b"+OK\r\n");
    assert_eq!(c.ask(&["GET", "a"]), b"$-1\r\n");
    let mut c = client(addr);
    assert!(c.ask(&["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me"]).starts_with(b"%7\r\n"));
    assert_eq!(c.ask(&["CLIENT", "GETNAME"]), b"$2\r\nme\r\n");
}

#[test]
fn what_clients_ask_at_their_start() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    assert_eq!(c.ask(&["CLIENT", "SETINFO", "LIB-NAME", "x"]), b"+OK\r\n");
    assert!(c.ask(&["CLIENT", "SETINFO", "LIB-VER", "a b"]).starts_with(b"-ERR lib-ver cannot contain"));
    assert_eq!(c.ask(&["COMMAND"]), b"*0\r\n");
    assert_eq!(c.ask(&["COMMAND", "DOCS"]), b"*0\r\n");
    let info = String::from_utf8(c.ask(&["INFO"])).expect("text");
    assert!(info.contains("redis_version:6.") && info.contains("role:master"), "{info}");
    let info = String::from_utf8(c.ask(&["INFO", "clients"])).expect("text");
    assert!(info.contains("connected_clients:1") && !info.contains("redis_version"), "{info}");
    assert!(c.ask(&["TIME"]).starts_with(b"*2\r\n$10\r\n1"));
    assert!(c.ask(&["HELLO"]).starts_with(b"*14\r\n$6\r\nserver\r\n"));
}

#[test]
fn stopping_closes_everything() {
    let (running, addr) = server(Options::default());
    let mut c = client(addr);
    assert_eq!(c.ask(&["PING"]), b"+PONG\r\n");
    drop(running);
    c.expect_closed();
    assert!(Client::connect(addr).is_err());
}
