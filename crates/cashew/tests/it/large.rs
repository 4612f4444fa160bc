//! Large values through real servers: they pass in little memory, and small requests of others go on meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::{Cashew, Client, Memcached, RedisServer, ports, wait};

use crate::rig::{self, number, stats};

/// The most memory that a large value may cost beside what the proxy has anyway.
const ROOM_KIB: u64 = 8 << 10;

const PIECE: usize = 1 << 20;

/// Bytes out of which pieces are cut, each from a place of its own, so that no two are the same.
fn pattern() -> Vec<u8> {
    (0..2 * PIECE).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

fn piece(pattern: &[u8], number: usize) -> &[u8] {
    &pattern[number * 7..number * 7 + PIECE]
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the pool accepts");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a live socket");
    stream
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut seen = vec![0; wanted.len()];
    stream.read_exact(&mut seen).expect("bytes come");
    assert_eq!(seen.escape_ascii().to_string(), wanted.escape_ascii().to_string());
}

/// Sends `pieces` between `head` and `tail`, and reads `reply`.
fn write_large(stream: &mut TcpStream, head: &str, pieces: usize, reply: &[u8]) {
    stream.write_all(head.as_bytes()).expect("it is taken");
    let pattern = pattern();
    for number in 0..pieces {
        stream.write_all(piece(&pattern, number)).expect("it is taken");
    }
    stream.write_all(b"\r\n").expect("it is taken");
    expect(stream, reply);
}

/// Reads what [`write_large`] wrote.
fn read_large(stream: &mut TcpStream, request: &[u8], head: &str, pieces: usize, tail: &[u8]) {
    stream.write_all(request).expect("it is taken");
    expect(stream, head.as_bytes());
    let (pattern, mut seen) = (pattern(), vec![0; PIECE]);
    for number in 0..pieces {
        stream.read_exact(&mut seen).expect("bytes come");
        assert!(seen == piece(&pattern, number), "piece {number} is another");
    }
    expect(stream, tail);
}

/// Runs `work` while a client asks small things without pause, all of which must be answered.
fn beside_small_requests(port: u16, work: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let small = scope.spawn(|| {
            let mut client = Client::connect_port(port).expect("the pool accepts");
            client.set_deadline(Duration::from_secs(60));
            let mut asked = 0;
            while asked == 0 || !over.load(Ordering::Relaxed) {
                assert_eq!(client.ask(&["SET", "small", &asked.to_string()]), b"+OK\r\n");
                let number = asked.to_string();
                let wanted = format!("${}\r\n{number}\r\n", number.len());
                assert_eq!(client.ask(&["GET", "small"]), wanted.as_bytes());
                asked += 1;
            }
            asked
        });
        work();
        over.store(true, Ordering::Relaxed);
        small.join().expect("small requests are answered")
    })
}

fn redis() -> (RedisServer, Cashew, u16) {
    let server = RedisServer::start().expect("redis starts");
    let port = ports::free();
    let line = format!("127.0.0.1:{}:1", server.port());
    let config = rig::pool("alpha", port, "redis: true\npreconnect: true", &[line]);
    let cashew = rig::cashew(&config, &["--threads", "1"]);
    (server, cashew, port)
}

#[test]
fn half_a_gigabyte_passes_both_ways_in_little_memory_while_others_go_on() {
    let (_server, cashew, port) = redis();
    let process = &*cashew;
    let before = process.rss_kib().expect("it runs");
    let pieces = 512;
    let mut client = connect(port);
    let asked = beside_small_requests(port, || {
        let head = format!("${}\r\n", pieces * PIECE);
        let request = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n{head}");
        write_large(&mut client, &request, pieces, b"+OK\r\n");
        read_large(&mut client, b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n", &head, pieces, b"\r\n");
    });
    assert!(asked > 100, "only {asked} small requests were answered meanwhile");
    let peak = process.peak_rss_kib().expect("it runs");
    assert!(peak <= before + ROOM_KIB, "{before} KiB grew to {peak}");
}

#[test]
fn large_values_of_memcached_pass_in_little_memory() {
    let server = Memcached::start_with(&["-I", "256m", "-m", "1024"]).expect("memcached starts");
    let port = ports::free();
    let line = format!("127.0.0.1:{}:1", server.port());
    let cashew = rig::cashew(&rig::pool("alpha", port, "preconnect: true", &[line]), &["--threads", "1"]);
    let before = cashew.rss_kib().expect("it runs");
    let (pieces, mut client) = (100, connect(port));
    let bytes = pieces * PIECE;
    write_large(&mut client, &format!("set big 7 0 {bytes}\r\n"), pieces, b"STORED\r\n");
    // noreply is as good, and its place in line is kept.
    write_large(&mut client, &format!("set big 8 0 {bytes} noreply\r\n"), pieces, b"");
    let head = format!("VALUE big 8 {bytes}\r\n");
    read_large(&mut client, b"get big\r\n", &head, pieces, b"\r\nEND\r\n");
    read_large(&mut client, b"get nil big nil\r\n", &head, pieces, b"\r\nEND\r\n");
    let peak = cashew.peak_rss_kib().expect("it runs");
    assert!(peak <= before + ROOM_KIB, "{before} KiB grew to {peak}");
}

#[test]
fn who_reads_no_large_reply_costs_only_himself() {
    let (server, cashew, port) = redis();
    let mut direct = server.client();
    direct.ask(&["SETRANGE", "big", "67108863", "x"]);
    let before = cashew.rss_kib().expect("it runs");
    let mut idle: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
    for client in &mut idle {
        client.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n").expect("it is taken");
    }
    let asked = beside_small_requests(port, || {
        wait::until("all large replies to have begun", || {
            let mut begun = [0];
            idle.iter().all(|client| client.peek(&mut begun).is_ok_and(|count| count == 1))
        });
    });
    assert!(asked > 0);
    let now = cashew.rss_kib().expect("it runs");
    // A mebibyte waits for each, and a ringful twice that came by io_uring before the server's connection could be stopped;
    // and as much is left behind where buffers had to move to grow. Collected they would be 1,280 MiB.
    let most = 20 * 2 * (1024 + 2 * 512);
    assert!(now <= before + most, "{before} KiB grew to {now} for 20 clients that do not read");
    drop(idle);
    wait::until("their connections to be given up", || {
        number(&stats(cashew.stats_port()), &["alpha", "client_connections"]) == 0
    });
}

#[test]
fn a_server_that_dies_within_a_large_reply_ends_that_client_alone() {
    let (server, cashew, port) = redis();
    server.client().ask(&["SETRANGE", "big", "67108863", "x"]);
    let (mut large, mut small) = (connect(port), Client::connect_port(port).expect("the pool accepts"));
    large.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n").expect("it is taken");
    expect(&mut large, b"$67108864\r\n");
    drop(server);
    let mut rest = Vec::new();
    // Cut off, by an end or a reset: never an error text in the middle of a value.
    _ = large.read_to_end(&mut rest);
    assert!(rest.len() < 67_108_864 && rest.iter().all(|byte| *byte == 0), "{} bytes", rest.len());
    let reply = small.ask(&["GET", "x"]);
    assert!(reply.starts_with(b"-ERR "), "{}", reply.escape_ascii());
    drop(cashew);
}
