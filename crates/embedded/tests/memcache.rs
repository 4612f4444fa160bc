//! The embedded memcached server over loopback, and reply by reply against a real one where that is
//! installed.

use std::io;
use std::net::SocketAddr;

use embedded::{Embedded, Options, Running};
use testkit::{Client, Memcached};

fn server(options: Options) -> (Running, SocketAddr) {
    let running = Embedded::new().memcache(1).options(options).start().expect("starts");
    let addr = running.memcache()[0];
    (running, addr)
}

fn client(addr: SocketAddr) -> Client {
    Client::connect(addr).expect("accepted")
}

/// Sends each script, with `quit` at the end, and compares all that comes back. `\n` stands for CRLF.
fn compare(scripts: &[&str]) {
    let real = match Memcached::start() {
        Ok(real) => real,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return eprintln!("skipped: {e}"),
        Err(e) => panic!("{e}"),
    };
    let (_running, addr) = server(Options::default());
    for script in scripts {
        let ask = |mut c: Client| {
            c.send(b"flush_all\r\n");
            c.expect(b"OK\r\n");
            c.send(script.replace('\n', "\r\n").as_bytes());
            c.send(b"\r\nquit\r\n");
            String::from_utf8_lossy(&c.to_end()).into_owned()
        };
        let (ours, theirs) = (ask(client(addr)), ask(real.client()));
        assert_eq!(ours, theirs, "{script}");
    }
}

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn storing_is_as_in_memcached() {
    compare(&[
        "set a 5 0 2\nhi\nget a b a\nget b",
        "add a 1 0 1\nx\nadd a 2 0 1\ny\nget a\nreplace a 3 0 1\nz\nget a\nreplace b 0 0 1\nz\nget b",
        "append a 0 0 1\nx\nset a 7 0 1\nb\nappend a 0 0 1\nc\nprepend a 9 0 1\na\nget a",
        "cas a 0 0 1 1\nx\nset a 0 0 1\nx\ncas a 0 0 1 99999999\ny\nget a",
        "set a 0 0 0\n\nget a",
        "set a 0 0 1 noreply\nx\nget a\nadd a 0 0 1 noreply\ny\nget a",
        "set a 4294967295 0 1\nx\nget a",
        "set a 0 -1 1\nx\nget a\nset a 0 99 1\nx\nget a\nset a 0 2592001 1\nx\nget a",
        "set a 0 0 2\nabcdnosuch\nget a",
        "set a 0 0 2 extra\nhi\nget a",
        "set a 0 0 x\nget a",
        "set a 0 0 -1\nget a",
        "set a 0 0",
        "set a 0 0 1\nx\ndelete a\ndelete a\nget a",
        "delete",
        "delete a 0",
        "delete a x",
        "delete a noreply\ndelete a b c",
    ]);
}

#[test]
fn counting_is_as_in_memcached() {
    compare(&[
        "set n 3 0 2\n10\nincr n 5\ndecr n 6\nget n\ndecr n 100\nget n",
        "set n 0 0 1\n9\nincr n 1\nget n",
        "set n 0 0 20\n18446744073709551615\nincr n 1\nget n",
        "incr n 1\ndecr n 1\nincr n 1 noreply\nget n",
        "set n 0 0 3\nabc\nincr n 1\nincr n x\nincr n -1",
        "set n 0 0 1\n5\nincr n 2 noreply\nget n",
        "incr\nincr n",
        "set n 0 0 1\n5\nincr n 18446744073709551616",
    ]);
}

#[test]
fn times_are_as_in_memcached() {
    compare(&[
        "touch a 10\nset a 0 0 1\nx\ntouch a 10\nget a\ntouch a -1\nget a",
        "touch a\ntouch",
        "set a 0 0 1\nx\ntouch a x\ngat 10 a b a\ngat x a\ngat 10\ngat",
        "set a 0 0 1\nx\ngat -1 a\nget a",
        "set a 0 0 1\nx\ntouch a 10 noreply\nget a",
        "flush_all\nflush_all noreply\nflush_all 100\nflush_all 0\nget a",
        "flush_all x",
        "set a 0 0 1\nx\nflush_all\nget a\nset a 0 0 1\ny\nget a",
        "set a 0 0 1\nx\nflush_all 1000\nget a",
    ]);
}

#[test]
fn the_rest_is_as_in_memcached() {
    compare(&[
        "verbosity 1\nverbosity\nverbosity 1 noreply",
        "nosuch\nGET a\nget  a  \nset",
        "stats nosuch",
        "gets a\nget a a a",
        "GET / HTTP/1.1",
    ]);
}

#[test]
fn keys_are_bounded_and_the_stream_stays_in_step() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    let (longest, too_long) = ("k".repeat(250), "k".repeat(251));
    assert_eq!(c.ask_memcache(format!("set {longest} 0 0 1\r\nx\r\n").as_bytes()), b"STORED\r\n");
    assert!(c.ask_memcache(format!("get {longest}\r\n").as_bytes()).starts_with(b"VALUE kkk"));
    for bad in [&too_long, "a\0b"] {
        for line in ["get ok ", "gets ", "delete ", "touch ", "incr ", "gat 0 "] {
            let rest = if matches!(line, "touch " | "incr ") { " 1" } else { "" };
            let reply = c.ask_memcache(format!("{line}{bad}{rest}\r\n").as_bytes());
            assert_eq!(reply, BAD_LINE.as_bytes(), "{line}");
        }
        assert_eq!(c.ask_memcache(format!("set {bad} 0 0 5\r\nget a\r\n").as_bytes()), BAD_LINE.as_bytes());
    }
    assert_eq!(c.ask_memcache(b"set a x 0 5\r\nget a\r\n"), BAD_LINE.as_bytes());
    assert_eq!(c.ask_memcache(b"version\r\n"), b"VERSION 1.5.22\r\n", "data of refused lines was swallowed");
}

#[test]
fn large_items_come_and_go_and_larger_ones_take_the_old_value_along() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    let data = vec![b'v'; 1_048_000];
    let set = |length: usize| [format!("set big 0 0 {length}\r\n").as_bytes(), &data, b"\r\n"].concat();
    c.send_pieces(set(data.len()).chunks(100_000));
    c.expect(b"STORED\r\n");
    assert_eq!(c.ask_memcache(b"get big\r\n").len(), data.len() + "VALUE big 0 1048000\r\n\r\nEND\r\n".len());
    c.send(b"set big 0 0 1048576 noreply\r\n");
    c.send(&vec![b'v'; 1_048_576]);
    c.send(b"\r\nset big2 0 0 1048576\r\n");
    c.expect(b"SERVER_ERROR object too large for cache\r\n");
    c.send(&vec![b'v'; 1_048_576]);
    c.send(b"\r\n");
    assert_eq!(c.ask_memcache(b"get big\r\n"), b"END\r\n");
}

#[test]
fn cas_numbers_change_with_every_change() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    let mut cas = |change: &[u8]| -> String {
        c.ask_memcache(change);
        let reply = String::from_utf8(c.ask_memcache(b"gets a\r\n")).expect("text");
        let line = reply.lines().next().unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().into()
    };
    let first = cas(b"set a 0 0 1\r\n1\r\n");
    let second = cas(b"incr a 1\r\n");
    let third = cas(b"append a 0 0 1\r\n0\r\n");
    let same = cas(b"touch a 100\r\n");
    assert!(first != second && second != third && third == same, "{first} {second} {third} {same}");
    assert_eq!(c.ask_memcache(format!("cas a 0 0 1 {first}\r\nx\r\n").as_bytes()), b"EXISTS\r\n");
    assert_eq!(c.ask_memcache(format!("cas a 0 0 1 {same}\r\nx\r\n").as_bytes()), b"STORED\r\n");
    assert_eq!(c.ask_memcache(b"gats 0 a\r\n").split(|&b| b == b' ').count(), 5);
}

#[test]
fn requests_may_come_in_pieces_and_in_bulk() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    c.send_bytewise(b"set a 0 0 4\r\n\r\n\r\n\r\nget a\nbogus\r\nget nope\r\nversion\r\n");
    c.expect(b"STORED\r\nVALUE a 0 4\r\n\r\n\r\n\r\nEND\r\nERROR\r\nEND\r\nVERSION 1.5.22\r\n");
    let keys = " a".repeat(5000);
    c.send(format!("get{keys}\r\n").repeat(3).as_bytes());
    for _ in 0..3 {
        assert_eq!(c.memcache_reply().len(), 5000 * 19 + 5);
    }
    c.send(&[b'x'; 3000]);
    c.expect_closed();
}

#[test]
fn memory_replies_and_clients_are_bounded() {
    let options =
        Options { bytes_max: 100_000, reply_bytes_max: 50_000, clients_max: 2, ..Options::default() };
    let (_running, addr) = server(options);
    let mut c = client(addr);
    let value = "v".repeat(5000);
    for n in 0..100 {
        assert_eq!(c.ask_memcache(format!("set k{n} 0 0 5000\r\n{value}\r\n").as_bytes()), b"STORED\r\n");
        assert!(c.ask_memcache(format!("get k{n}\r\n").as_bytes()).starts_with(b"VALUE"));
    }
    assert_eq!(c.ask_memcache(b"get k0\r\n"), b"END\r\n");
    let many = " k99".repeat(20);
    let reply = c.ask_memcache(format!("get{many}\r\n").as_bytes());
    assert_eq!(reply, b"SERVER_ERROR out of memory writing get response\r\n");
    let stats = String::from_utf8(c.ask_memcache(b"stats\r\n")).expect("text");
    let stat = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("no {name} in {stats}"))
    };
    assert!(stat("bytes") < 110_000 && stat("evictions") >= 80, "{stats}");
    assert_eq!((stat("cmd_set"), stat("curr_connections"), stat("get_misses")), (100, 1, 1));

    let mut second = client(addr);
    assert_eq!(second.ask_memcache(b"version\r\n"), b"VERSION 1.5.22\r\n");
    assert_eq!(client(addr).to_end(), b"ERROR Too many open connections\r\n");
}

#[test]
fn items_expire_by_themselves() {
    let (_running, addr) = server(Options::default());
    let mut c = client(addr);
    c.ask_memcache(b"set a 0 1 1\r\nx\r\n");
    assert!(c.ask_memcache(b"get a\r\n").starts_with(b"VALUE"));
    testkit::wait::until("the item to expire", || c.ask_memcache(b"get a\r\n") == b"END\r\n");
}

#[test]
fn several_servers_run_side_by_side() {
    let running = embedded::start(2, 3).expect("starts");
    assert_eq!((running.redis().len(), running.memcache().len()), (2, 3));
    for addr in running.memcache() {
        assert_eq!(
            client(*addr).ask_memcache(b"add a 0 0 1\r\nx\r\n"),
            b"STORED\r\n",
            "each has its own store"
        );
    }
    for addr in running.redis() {
        assert_eq!(client(*addr).ask(&["SETNX", "a", "1"]), b":1\r\n");
    }
}
