//! Redis beyond the table of commands: other commands, multi-key requests, AUTH, bad input.

use testkit::{RedisServer, resp};

use super::case::{Case, compare, raw, redis};
use super::commands::start;
use super::pair::{Pair, Pool};
use crate::{farm, rig};

#[test]
fn commands_that_twemproxy_does_not_know() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        compare(&pair, &redis("redis", UNKNOWN));
    }
}

#[test]
fn several_keys_on_several_servers() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        let mut cases = redis("redis", MULTI_KEY);
        cases.extend(redis("limp", LIMP));
        compare(&pair, &cases);
    }
}

#[test]
fn bytes_that_are_no_requests() {
    if rig::has_nutcracker() {
        let (_servers, pair) = start();
        let mut cases = raw("redis", BYTES);
        let long = |id: &str, key: usize, replies| {
            let request = resp(&[b"GET".to_vec(), vec![b'k'; key]]);
            Case { id: id.into(), pool: "redis".into(), request, replies }
        };
        cases.extend([
            long("same", 16_335, 1),
            long("key-length", 16_336, 1),
            long("key-length", 1 << 20, 1),
        ]);
        let value = resp(&[b"SET".to_vec(), b"big".to_vec(), vec![b'v'; 3 << 20]]);
        cases.push(Case { id: "same".into(), pool: "redis".into(), request: value, replies: 1 });
        cases.extend(redis("redis", "same | STRLEN big\nsame | DEL big"));
        compare(&pair, &cases);
    }
}

#[test]
fn passwords_and_databases() {
    if !rig::has_nutcracker() {
        return;
    }
    let servers = farm::many(2, || RedisServer::start_with(&["--requirepass", "secret"]));
    let open = farm::many(2, RedisServer::start);
    let line = |server: &RedisServer| vec![format!("127.0.0.1:{}:1 s", server.port())];
    let both = |servers: &[RedisServer]| [line(&servers[0]), line(&servers[1])];
    let pool = |name, settings, servers| Pool { name, settings, servers };
    let pair = Pair::start(&[
        pool("auth", "redis: true\nredis_auth: secret", both(&servers)),
        pool("auth_db", "redis: true\nredis_auth: secret\nredis_db: 3", both(&servers)),
        pool("wrong_auth", "redis: true\nredis_auth: wrong", both(&servers)),
        pool("no_auth", "redis: true", both(&servers)),
        pool("db", "redis: true\nredis_db: 2", both(&open)),
        pool("no_db", "redis: true", both(&open)),
        pool("far_db", "redis: true\nredis_db: 99", both(&open)),
    ]);
    for (pool, lines) in AUTH {
        let auth = if *pool == "wrong_auth" { "wrong" } else { "secret" };
        let mut cases = Vec::new();
        for case in redis(pool, lines) {
            // `!` before the id: after AUTH on the same connection.
            match case.id.strip_prefix('!') {
                None => cases.push(case),
                Some(id) => {
                    let request = [resp(&["AUTH", auth]), case.request.clone()].concat();
                    cases.push(Case { id: id.into(), request, replies: 2, ..case });
                }
            }
        }
        compare(&pair, &cases);
    }
}

/// Commands that close the connection of a twemproxy client.
const UNKNOWN: &str = "
unsupported | INFO
unsupported | HELLO
unsupported | HELLO 2
unsupported | HELLO 3
select | SELECT 0
select | SELECT 1
unsupported | ECHO hello
unsupported | CLIENT SETNAME me
unsupported | CLIENT SETINFO LIB-NAME x
unsupported | RESET
unsupported | CONFIG GET save
unsupported | DBSIZE
unsupported | TIME
unsupported | MONITOR
unsupported | FLUSHALL
unsupported | FLUSHDB
unsupported | KEYS *
unsupported | SCAN 0
unsupported | RANDOMKEY
unsupported | RENAME {t}a {t}b
unsupported | OBJECT ENCODING k
unsupported | WAIT 0 0
unsupported | MSETNX a 1
unsupported | BITOP NOT {t}a {t}b
unsupported | LCS {t}a {t}b
unsupported | SUBSTR a 0 1
unsupported | SCRIPT LOAD return(1)
unsupported | FUNCTION LIST
unsupported | FCALL f 1 k
unsupported | EVAL_RO return(1) 1 k
unsupported | XADD s * f v
unsupported | XLEN s
unsupported | EXPIRETIME k
unsupported | PEXPIRETIME k
unsupported | BITFIELD_RO k GET u1 0
unsupported | GEORADIUS_RO k 1 1 1 km
unsupported | LMPOP 1 l LEFT
unsupported | ZMPOP 1 z MIN
unsupported | SINTERCARD 1 s
unsupported | ZINTERCARD 1 z
unsupported | SORT_RO l
unsupported | BLPOP l 1
unsupported | BRPOPLPUSH {t}l {t}m 1
unsupported | MULTI
unsupported | EXEC
unsupported | WATCH k
unsupported | CLUSTER INFO
unsupported | READONLY
unsupported | COMMANDX
unsupported | NOSUCH a b
unsupported | \"\"
";

const MULTI_KEY: &str = "
same | MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8
same | MGET h g f e d c b a
same | MGET a nope b a a
same | DEL a nope a b
same | TOUCH c d e
same | UNLINK c d e f g h
same | SADD sa x
same | MGET sa sb
arity | MSET ok 1 sa
arity | MSET a 1 b
same | MSET ea 1 eb 1 ec 1 ed 1
exists | EXISTS ea eb ec ed
same | SET other 1
same | SADD sd y
arity | DEL
cross-server | SUNION sa sb sc sd se
cross-server | PFCOUNT sa sb sc sd se
cross-server | SINTERSTORE da sa sb sc sd
cross-server | RPOPLPUSH la lb
cross-server | COPY sa sd
cross-server | EVAL return(1) 2 sa sd
eval | EVAL return(1) 0 k
eval | EVAL return(1) x k
eval | EVAL return(1) -1 k
same | SORT sa BY nosort GET other
";

/// One of the three servers is dead.
const LIMP: &str = "
partial-write | MSET a 1 b 2 c 3 d 4 e 5 f 6
partial-write | DEL a b c d e f
partial-write | UNLINK a b c d e f
partial-write | TOUCH a b c d e f
multi-get-closes | MGET a b c d e f
same | GET a
same | GET b
same | GET c
same | GET d
same | GET e
same | GET f
exists | EXISTS a b c d e f
";

const BYTES: &str = r#"
inline | PING\r\n
inline | GET k\r\n
inline | get "k"\r\n
bad-bytes | hullo wurld\r\n
bad-bytes | \xff\xfe\r\n
bad-bytes | "unbalanced\r\n
bad-bytes | *1\r\n+PING\r\n
bad-bytes | *1\r\n$x\r\nPING\r\n
bad-bytes | *1\r\n$4\r\nPINGxx
bad-bytes | *1\r\n$-1\r\n
bad-bytes | *x\r\n
bad-bytes | *2\r\n$3\r\nGET\r\n$1000000000000000000\r\n
bad-bytes | *2147483647\r\n$3\r\nGET\r\n
bad-bytes | *10000000\r\n
bare-lf | *1\n$4\nPING\n
empty-array | *0\r\n*1\r\n$4\r\nPING\r\n
empty-array | *-1\r\n*1\r\n$4\r\nPING\r\n
same | *2\r\n$3\r\nGET\r\n$0\r\n\r\n
same | *3\r\n$3\r\nSET\r\n$3\r\n\x00\xff \r\n$4\r\n\r\n\x00\r\r\n
same | *2\r\n$3\r\nGET\r\n$3\r\n\x00\xff \r\n
same | 3 | *2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n
batch-lost | 2 | *2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nINFO\r\n
batch-lost | 2 | *1\r\n$4\r\nPING\r\n*1\r\n$4\r\nNOPE\r\n
batch-lost | 2 | *2\r\n$3\r\nGET\r\n$1\r\na\r\n*x\r\n
quit | 3 | *2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n
"#;

/// `!` before an id: after a right AUTH on the same connection.
const AUTH: &[(&str, &str)] = &[
    (
        "auth",
        "
same | GET k
same | MGET k l
same | PING
same | COMMAND
same | AUTH wrong
same | AUTH secret
same | AUTH \"\"
auth-user | AUTH default secret
auth-user | AUTH default wrong
auth-user | AUTH someone secret
unsupported | HELLO 2 AUTH default secret
unsupported | INFO
arity | AUTH
quit | QUIT
!same | PING
!same | SET k v
!same | GET k
!same | AUTH wrong
!same | AUTH secret
",
    ),
    (
        "auth_db",
        "
same | GET k
!same | SET moved v
!same | GET moved
",
    ),
    (
        "auth",
        "
!select-before-auth | GET moved
",
    ),
    (
        "wrong_auth",
        "
same | GET k
!handshake | GET k
",
    ),
    (
        "no_auth",
        "
same | GET k
same | AUTH secret
auth-user | AUTH default secret
",
    ),
    (
        "db",
        "
same | SET k indb2
same | GET k
select | SELECT 2
",
    ),
    (
        "no_db",
        "
same | GET k
",
    ),
    (
        "far_db",
        "
handshake | GET k
",
    ),
];
