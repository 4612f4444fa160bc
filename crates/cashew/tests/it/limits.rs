//! Too many clients, too much input, nothing read: what is bounded stays bounded, is told clearly, and is no
//! other client's trouble.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::temp::TempDir;
use testkit::{Cashew, Client, Memcached, Process, RedisServer, peer, ports, resp, wait};

use crate::parity::table::listed;
use crate::rig::{self, CASHEW, number, stats};

#[test]
fn clients_beyond_the_descriptors_are_told_and_others_go_on() {
    listed("max-clients");
    let server = RedisServer::start().expect("redis starts");
    let [redis, memcached, stats_port] = [ports::free(), ports::free(), ports::free()];
    let line = format!("127.0.0.1:{}:1", server.port());
    let config = rig::pool("alpha", redis, "redis: true", &[line])
        + &rig::pool("bravo", memcached, "", &["127.0.0.1:1:1"]);
    let process = with_descriptors(192, &config, stats_port);
    for port in [redis, memcached] {
        wait::until("the pools to listen", || Client::connect_port(port).is_ok());
    }
    rig::settled(stats_port, &["alpha", "bravo"]);
    let read = || stats(stats_port);
    let room = usize::try_from(number(&read(), &["max_clients"])).expect("positive");
    assert_eq!(number(&read(), &["max_fds"]), 192);
    assert!((16..192).contains(&room), "{room}");
    // A thread of its own writes the log.
    let line = format!("max fds 192 max client conns {room} max server conns ");
    wait::until("the log to tell the limits", || process.stderr().contains(&line));

    let mut clients: Vec<Client> =
        (0..room).map(|_| Client::connect_port(redis).expect("it accepts")).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
    for _ in 0..SURPLUS {
        let mut one_more = Client::connect_port(redis).expect("the kernel accepts");
        assert_eq!(one_more.to_end(), b"-ERR max number of clients reached\r\n");
        let mut one_more = Client::connect_port(memcached).expect("the kernel accepts");
        assert_eq!(one_more.to_end(), b"SERVER_ERROR max number of clients reached\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.ask(&["SET", "k", "v"]), b"+OK\r\n");
    }
    for pool in ["alpha", "bravo"] {
        assert_eq!(number(&read(), &[pool, "client_refused"]), SURPLUS, "{pool}");
    }
    let lines = || process.stderr().lines().filter(|line| line.contains("refused client")).count();
    wait::until("the log to tell of it", || lines() > 0);
    assert!(lines() <= SURPLUS_LINES, "{} lines of log", lines());

    drop(clients.pop());
    wait::until("a place to be free", || {
        let mut next = Client::connect_port(redis).expect("it accepts");
        next.send(&resp(&["PING"]));
        next.try_resp_reply().is_ok_and(|reply| reply == b"+PONG\r\n")
    });
}

#[test]
fn client_connections_bounds_its_own_pool_only() {
    listed("client-connections");
    let [few, many] = [ports::free(), ports::free()];
    let config = rig::pool("few", few, "redis: true\nclient_connections: 2", &["127.0.0.1:1:1"])
        + &rig::pool("many", many, "redis: true", &["127.0.0.1:1:1"]);
    let cashew = rig::cashew(&config, &["--threads", "2"]);
    rig::settled(cashew.stats_port(), &["few"]);
    let mut in_time: Vec<Client> = (0..2).map(|_| Client::connect_port(few).expect("it accepts")).collect();
    for client in &mut in_time {
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
    assert_eq!(
        Client::connect_port(few).expect("the kernel accepts").to_end(),
        b"-ERR max number of clients reached\r\n"
    );
    let mut others: Vec<Client> = (0..5).map(|_| Client::connect_port(many).expect("it accepts")).collect();
    for client in others.iter_mut().chain(&mut in_time) {
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
    assert_eq!(number(&stats(cashew.stats_port()), &["few", "client_refused"]), 1);
}

#[test]
fn hostile_redis_input_gets_one_error_and_costs_no_memory() {
    listed("hostile-lengths");
    let server = RedisServer::start().expect("redis starts");
    let listen = ports::free();
    let line = format!("127.0.0.1:{}:1", server.port());
    let cashew = rig::cashew(&rig::pool("alpha", listen, "redis: true", &[line]), &["--threads", "2"]);
    undisturbed(listen, &cashew, || {
        for (input, error) in [
            (b"*2\r\n$3\r\nGET\r\n$1000000000000000000\r\n".to_vec(), "invalid bulk length"),
            (b"*2\r\n$3\r\nGET\r\n$99999999999999999999999\r\n".to_vec(), "invalid bulk length"),
            (b"*2147483648\r\n".to_vec(), "invalid multibulk length"),
            (b"*1000000000000000000\r\n".to_vec(), "invalid multibulk length"),
            (b"*1\r\n".repeat(1_000_000), "expected '$', got '*'"),
            ([b"*1\r\n$".as_slice(), &b"1".repeat(1 << 20)].concat(), "too big bulk count string"),
            ([b"*".as_slice(), &b"1".repeat(1 << 20)].concat(), "too big mbulk count string"),
            (vec![b'x'; 1 << 20], "too big inline request"),
            (vec![0; 1 << 20], "too big inline request"),
        ] {
            let mut client = Client::connect_port(listen).expect("it accepts");
            // It may be cut off before all is out.
            let _ = client.try_send(&input);
            assert_eq!(text(&client.to_end()), format!("-ERR Protocol error: {error}\r\n"));
        }
        let error = endless_line(listen);
        assert_eq!(text(&error), "-ERR Protocol error: too big inline request\r\n");
        let key = vec![b'k'; 1 << 20];
        let mut client = Client::connect_port(listen).expect("it accepts");
        assert_eq!(client.ask(&[b"SET", key.as_slice(), b"v"]), b"+OK\r\n");
        assert_eq!(client.ask(&[b"GET", key.as_slice()]), b"$1\r\nv\r\n");
        assert_eq!(client.ask(&[b"SET", b"\0\0".as_slice(), b"\0"]), b"+OK\r\n");
        assert_eq!(client.ask(&["GET", "\0\0"]), b"$1\r\n\0\r\n");
        for bytes in garbage() {
            let mut client = Client::connect_port(listen).expect("it accepts");
            let _ = client.try_send(&bytes);
            client.finish_sending();
            let said = client.try_to_end().unwrap_or_default();
            let fine = said.split_inclusive(|byte| *byte == b'\n').all(|line| line.starts_with(b"-"));
            assert!(fine, "{} answered by {}", bytes.escape_ascii(), said.escape_ascii());
        }
    });
}

#[test]
fn hostile_memcached_input_costs_no_memory() {
    let server = Memcached::start().expect("memcached starts");
    let listen = ports::free();
    let cashew =
        rig::cashew(&rig::pool("alpha", listen, "", &[format!("127.0.0.1:{}:1", server.port())]), &[]);
    let before = cashew.rss_kib().expect("it runs");
    let mut other = Client::connect_port(listen).expect("it accepts");
    for (input, reply) in [
        // Too large for any server; its data never comes.
        (b"set k 0 0 1000000000000000000\r\n".to_vec(), "CLIENT_ERROR bad command line format\r\n"),
        (b"set k 0 0 2000000000\r\n".to_vec(), "SERVER_ERROR object too large for cache\r\n"),
        (
            [b"get ".as_slice(), &[b'k'; 1 << 20], b"\r\n"].concat(),
            "CLIENT_ERROR bad command line format\r\n",
        ),
        (b"\0\0\0\r\n".to_vec(), "ERROR\r\n"),
    ] {
        let mut client = Client::connect_port(listen).expect("it accepts");
        client.send(&input);
        assert_eq!(text(&client.memcache_reply()), reply);
        assert_eq!(other.ask_memcache(b"get other\r\n"), b"END\r\n");
    }
    // memcached says nothing to these and closes.
    for input in
        [vec![b'x'; 1 << 20], vec![0; 1 << 20], vec![0x80; 1 << 20], b"GET / HTTP/1.1\r\n\r\n".to_vec()]
    {
        let mut client = Client::connect_port(listen).expect("it accepts");
        let _ = client.try_send(&input);
        client.expect_closed();
    }
    assert_eq!(text(&endless_line(listen)), "");
    for bytes in garbage() {
        let mut client = Client::connect_port(listen).expect("it accepts");
        let _ = client.try_send(&bytes);
        client.finish_sending();
        let said = client.try_to_end().unwrap_or_default();
        let fine = said
            .split_inclusive(|byte| *byte == b'\n')
            .all(|line| line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR"));
        assert!(fine, "{} answered by {}", bytes.escape_ascii(), said.escape_ascii());
    }
    assert_eq!(other.ask_memcache(b"get other\r\n"), b"END\r\n");
    grown_at_most(&cashew, before, HOSTILE_KIB);
}

#[test]
fn a_server_that_nests_deeply_or_promises_too_much_costs_no_memory() {
    let mut nested = b"*1\r\n".repeat(1_000_000);
    nested.extend_from_slice(b":1\r\n");
    for (reply, answer) in [
        // It has an end, which is all that matters here.
        (nested.clone(), text(&nested).as_str()),
        (b"$1000000000000000000\r\n".to_vec(), "-ERR Invalid argument\r\n"),
        (b"*1000000000000000000\r\n".to_vec(), "-ERR Invalid argument\r\n"),
        (vec![b'+'; 4 << 20], "-ERR Invalid argument\r\n"),
    ] {
        let server = peer::polite(&reply).expect("a port can be bound");
        let listen = ports::free();
        let line = format!("127.0.0.1:{}:1", server.port());
        let cashew = rig::cashew(&rig::pool("alpha", listen, "redis: true\ntimeout: 5000", &[line]), &[]);
        let before = cashew.rss_kib().expect("it runs");
        let mut client = Client::connect_port(listen).expect("it accepts");
        client.send(&resp(&["LRANGE", "k", "0", "-1"]));
        client.expect(answer.as_bytes());
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
        grown_at_most(&cashew, before, HOSTILE_KIB);
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    listed("back-pressure");
    let server = RedisServer::start().expect("redis starts");
    let listen = ports::free();
    let line = format!("127.0.0.1:{}:1 one", server.port());
    let cashew = rig::cashew(&rig::pool("alpha", listen, "redis: true", &[line]), &["--threads", "1"]);
    let mut other = Client::connect_port(listen).expect("it accepts");
    let value = "v".repeat(1000);
    assert_eq!(other.ask(&["SET", "k", &value]), b"+OK\r\n");
    for (key, count, reply) in
        [("missing", 200_000, "$-1\r\n".to_owned()), ("k", 100_000, format!("$1000\r\n{value}\r\n"))]
    {
        let before = cashew.rss_kib().expect("it runs");
        let paused = number(&stats(cashew.stats_port()), &["alpha", "client_paused"]);
        let greedy = Greedy::start(listen, resp(&["GET", key]).repeat(count));
        wait::until("reading from it to pause and all that was read to be answered", || {
            let now = stats(cashew.stats_port());
            let queued = ["in_queue", "out_queue"].map(|gauge| number(&now, &["alpha", "one", gauge]));
            number(&now, &["alpha", "client_paused"]) > paused && queued == [0, 0]
        });
        assert_eq!(other.ask(&["GET", "k"]), format!("$1000\r\n{value}\r\n").into_bytes());
        grown_at_most(&cashew, before, UNREAD_KIB);
        greedy.read(count, reply.as_bytes());
        grown_at_most(&cashew, before, UNREAD_KIB);
    }
}

/// Sends all of `requests` on a thread of its own, and reads nothing until it is told to.
struct Greedy {
    stream: TcpStream,
    sender: thread::JoinHandle<io::Result<()>>,
}

impl Greedy {
    fn start(port: u16, requests: Vec<u8>) -> Greedy {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
        let mut writer = stream.try_clone().expect("a second handle");
        Greedy { stream, sender: thread::spawn(move || writer.write_all(&requests)) }
    }

    /// Reads `count` times `reply` and nothing else.
    fn read(mut self, count: usize, reply: &[u8]) {
        self.stream.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
        let mut expected = reply.iter().cycle();
        let mut chunk = vec![0; 1 << 16];
        let mut left = count * reply.len();
        while left > 0 {
            let got = self.stream.read(&mut chunk).expect("more replies");
            assert!(got > 0, "closed with {left} bytes of replies to come");
            left = left.checked_sub(got).expect("no more than was asked");
            assert!(
                chunk[..got].iter().all(|byte| Some(byte) == expected.next()),
                "another reply than was asked for"
            );
        }
        self.sender.join().expect("it does not panic").expect("all is sent");
    }
}

/// Sends a line without end until it is cut off; answers what it was told.
fn endless_line(port: u16) -> Vec<u8> {
    let mut client = Client::connect_port(port).expect("it accepts");
    client.set_deadline(Duration::from_secs(1));
    let piece = vec![b'x'; 1 << 20];
    let sent = (0..1024).take_while(|_| client.try_send(&piece).is_ok()).count();
    assert!(sent < 64, "{sent} MiB of one line were taken");
    // The end may be a reset, if more was on its way when it was cut off.
    client.try_resp_reply().unwrap_or_default()
}

/// Runs `attack` while a client of its own asks on and on, and bounds what it costs both.
#[track_caller]
fn undisturbed(port: u16, cashew: &Cashew, attack: impl FnOnce()) {
    let before = cashew.rss_kib().expect("it runs");
    let over = AtomicBool::new(false);
    let slowest = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut client = Client::connect_port(port).expect("it accepts");
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(client.ask(&["SET", "other", "v"]), b"+OK\r\n");
                assert_eq!(client.ask(&["GET", "other"]), b"$1\r\nv\r\n");
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
        attack();
        over.store(true, Ordering::Relaxed);
        other.join().expect("it is served all the time")
    });
    assert!(slowest < UNDISTURBED, "another client waited {slowest:?}");
    grown_at_most(cashew, before, HOSTILE_KIB);
}

#[track_caller]
fn grown_at_most(cashew: &Cashew, before_kib: u64, kib: u64) {
    let now = cashew.rss_kib().expect("it runs");
    assert!(now <= before_kib + kib, "from {before_kib} to {now} KiB, more than {kib} KiB");
}

/// Random bytes, the same every time, with line ends among them.
fn garbage() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let mut one = |length: usize| -> Vec<u8> {
        (0..length).flat_map(|_| if next() < 8 { b"\r\n".to_vec() } else { vec![next()] }).collect()
    };
    (0..200).map(|index| one(1 + index * 7)).collect()
}

/// Starts cashew under a descriptor limit that it cannot raise.
fn with_descriptors(limit: u32, config: &str, stats_port: u16) -> Process {
    let dir = TempDir::new("descriptors").expect("a directory");
    dir.file("conf.yml", config).expect("written");
    let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    let stats = stats_port.to_string();
    let flags = ["-c", "conf.yml", "-a", "127.0.0.1", "-s", &stats, "--threads", "1"];
    let shell = ["sh", "-c", &script, CASHEW];
    // Root may raise any limit, unless it gives that right up first.
    let root = rustix::process::geteuid().is_root();
    let drop_right: &[&str] = if root { &["setpriv", "--bounding-set", "-sys_resource"] } else { &[] };
    let all: Vec<&str> = drop_right.iter().chain(&shell).chain(&flags).copied().collect();
    let (program, args) = all.split_first().expect("there is a shell at least");
    Process::start_in(dir, program, args, "apt-get install util-linux").expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Clients beyond the limit, per pool.
const SURPLUS: i64 = 200;

/// What a flood may write to the log.
const SURPLUS_LINES: usize = 40;

/// Growth that hostile input may cause: a few buffers of its own size (1 MiB) and what the allocator keeps.
const HOSTILE_KIB: u64 = 32 << 10;

/// Growth that a client may cause which does not read: requests and replies up to the limits of the pool
/// (16 MiB and 1 MiB), which here are far from reached, and what the allocator keeps.
const UNREAD_KIB: u64 = 24 << 10;

/// A machine that runs many tests at once may stop anybody for a moment.
const UNDISTURBED: Duration = Duration::from_secs(3);
