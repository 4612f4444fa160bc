//! The classic memcached protocol: every command twemproxy knows, those it does not, splits, bad input.

use testkit::{Memcached, ports};

use super::case::{Case, compare, raw};
use super::pair::{Pair, Pool};
use crate::{farm, rig};

#[test]
fn every_command_of_the_classic_protocol() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        compare(&pair, &raw("memcache", COMMANDS));
    }
}

#[test]
fn several_keys_on_several_memcached_servers() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        let mut cases = raw("memcache", MULTI_KEY);
        cases.extend(raw("limp", LIMP));
        compare(&pair, &cases);
    }
}

#[test]
fn lines_that_are_no_requests() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        let mut cases = raw("memcache", LINES);
        let get = |id: &str, key: usize| {
            let request = [b"get ".as_slice(), &vec![b'k'; key], b"\r\n"].concat();
            Case { id: id.into(), pool: "memcache".into(), request, replies: 1 }
        };
        cases.extend([get("same", 250), get("memcache-refused", 251)]);
        let set = |id: &str, value: usize| {
            let head = format!("set big 0 0 {value}\r\n");
            let request = [head.as_bytes(), &vec![b'v'; value], b"\r\n"].concat();
            Case { id: id.into(), pool: "memcache".into(), request, replies: 1 }
        };
        cases.extend([set("same", 900_000), set("same", 1 << 20)]);
        compare(&pair, &cases);
    }
}

/// A pool of three servers, and one of the same of which one is dead, for both.
fn start() -> (Vec<Memcached>, Pair) {
    let servers = farm::many(6, || Memcached::start_with(&["-m", "64"]));
    let side = |servers: &[Memcached]| -> Vec<String> {
        let line = |(index, server): (usize, &Memcached)| format!("127.0.0.1:{}:1 m{index}", server.port());
        servers.iter().enumerate().map(line).collect()
    };
    let (a, b) = servers.split_at(3);
    let dead = format!("127.0.0.1:{}:1 m1", ports::free());
    let limp = |side: Vec<String>| vec![side[0].clone(), dead.clone(), side[2].clone()];
    let settings = "hash: murmur\ntimeout: 5000";
    let pair = Pair::start(&[
        Pool { name: "memcache", settings, servers: [side(a), side(b)] },
        Pool { name: "limp", settings, servers: [limp(side(a)), limp(side(b))] },
    ]);
    (servers, pair)
}

const COMMANDS: &str = r#"
same | set k 0 0 5\r\nhello\r\n
same | get k\r\n
same | gets k\r\n
same | set k 7 100 0\r\n\r\n
same | get k\r\n
same | set bin 0 0 4\r\n\x00\r\n\xff\r\n
same | get bin\r\n
same | add k 0 0 1\r\nx\r\n
same | add fresh 0 0 1\r\nx\r\n
same | replace k 0 0 1\r\ny\r\n
same | replace missing 0 0 1\r\ny\r\n
same | append k 0 0 1\r\nz\r\n
same | prepend k 0 0 1\r\na\r\n
same | get k\r\n
same | cas k 0 0 1 999999\r\nx\r\n
same | cas missing 0 0 1 1\r\nx\r\n
same | set n 0 0 2\r\n41\r\n
same | incr n 1\r\n
same | decr n 2\r\n
same | incr missing 1\r\n
same | incr k 1\r\n
same | incr n 18446744073709551615\r\n
same | touch k 100\r\n
same | touch k -1\r\n
same | touch missing 0\r\n
same | delete k\r\n
same | delete k\r\n
same | version\r\n
same | quit\r\n
same | 0 | set quiet 0 0 1 noreply\r\nq\r\n
same | get quiet\r\n
same | 0 | delete quiet noreply\r\n
same | get quiet\r\n
same | 2 | set a 0 0 1\r\na\r\nget a\r\n
same | 2 | get a\r\nquit\r\nget a\r\n
same |   get    a  \r\n
same | set spaced  0  0  1\r\ns\r\n
memcache-unknown | gat 0 a\r\n
memcache-unknown | gats 0 a\r\n
memcache-unknown | stats\r\n
memcache-unknown | stats items\r\n
memcache-unknown | flush_all 1000\r\n
memcache-unknown | verbosity 1\r\n
memcache-unknown | shutdown\r\n
memcache-unknown | watch\r\n
memcache-unknown | slabs reassign 1 2\r\n
memcache-unknown | lru tune 10 25 0.1 2.0\r\n
memcache-unknown | cache_memlimit 64\r\n
memcache-unknown | mg a v\r\n
memcache-unknown | ms a 1\r\nx\r\n
memcache-unknown | md a\r\n
memcache-unknown | ma a\r\n
memcache-unknown | mn\r\n
memcache-unknown | me a\r\n
"#;

const MULTI_KEY: &str = r#"
same | set a 0 0 1\r\na\r\n
same | set b 0 0 1\r\nb\r\n
same | set c 0 0 1\r\nc\r\n
same | set d 0 0 1\r\nd\r\n
same | set e 0 0 1\r\ne\r\n
same | set f 0 0 1\r\nf\r\n
same | get a b c d e f\r\n
same | get f e d c b a\r\n
same | get a nope b missing c\r\n
multi-get-order | get m1 a b c d e f\r\n
multi-get-order | get m2 a b c d e f\r\n
multi-get-order | get m3 a b c d e f\r\n
multi-get-order | get m4 a b c d e f\r\n
same | get nope missing none\r\n
same | get a a b a\r\n
same | 2 | get a b\r\nget c d\r\n
"#;

/// One of the three servers is dead.
const LIMP: &str = r#"
same | get a\r\n
same | get b\r\n
same | get c\r\n
same | get d\r\n
same | get e\r\n
same | get f\r\n
same | set a 0 0 1\r\na\r\n
same | set b 0 0 1\r\nb\r\n
same | set c 0 0 1\r\nc\r\n
same | 0 | set a 0 0 1 noreply\r\na\r\n
same | 0 | set b 0 0 1 noreply\r\nb\r\n
same | 0 | set c 0 0 1 noreply\r\nc\r\n
multi-get-partial | get a b c d e f\r\n
multi-get-partial | gets a b c d e f\r\n
"#;

const LINES: &str = r#"
memcache-refused | hello\r\n
memcache-refused | GET a\r\n
memcache-refused | \r\n
memcache-refused | get\r\n
memcache-refused | get \r\n
memcache-refused | set a 0 0\r\n
memcache-refused | set a 0 0 x\r\nx\r\n
memcache-refused | set a x 0 1\r\nx\r\n
memcache-refused | set a 0 0 1 extra\r\nx\r\n
memcache-refused | set a 0 0 1\r\nxyz\r\n
memcache-refused | set a 0 -1 1\r\nx\r\n
memcache-refused | cas a 0 0 1\r\nx\r\n
memcache-refused | delete a 0\r\n
memcache-refused | delete a 5\r\n
memcache-refused | incr a\r\n
memcache-refused | incr a x\r\n
memcache-refused | touch a\r\n
memcache-refused | touch a x\r\n
memcache-refused | get t\tab\r\n
same | get \xff\xfe\r\n
same | set \xc3\xa9 0 0 1\r\nx\r\n
same | get \xc3\xa9\r\n
same | incr n -1\r\n
bare-lf | get a\n
"#;
