//! The embedded redis server reply by reply against a real one (7.0), where that is installed.

use std::io;
use std::net::SocketAddr;

use testkit::{Client, RedisServer};

fn client(addr: SocketAddr) -> Client {
    Client::connect(addr).expect("accepted")
}

/// Words of a script's line; `''` is an empty argument, `LONG` one of 100 bytes.
fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_whitespace()
        .map(|word| if word == "''" { Vec::new() } else { word.as_bytes().to_vec() })
        .collect()
}

/// Runs `commands`, one per line, against both servers and compares every reply.
fn compare(commands: &str) {
    let real = match RedisServer::start() {
        Ok(real) => real,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return eprintln!("skipped: {e}"),
        Err(e) => panic!("{e}"),
    };
    let running = embedded::start(1, 0).expect("starts");
    let addr = running.redis()[0];
    for hello in ["2", "3"] {
        let (mut ours, mut theirs) = (client(addr), real.client());
        for c in [&mut ours, &mut theirs] {
            c.ask(&["HELLO", hello]);
            assert_eq!(c.ask(&["FLUSHALL"]), b"+OK\r\n");
        }
        for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (got, expected) = (ours.ask(&words(line)), theirs.ask(&words(line)));
            assert!(
                got == expected,
                "RESP{hello} {line}\n ours {}\nredis {}",
                got.escape_ascii(),
                expected.escape_ascii()
            );
        }
    }
}

#[test]
fn connection_and_errors_are_as_in_redis() {
    compare(
        "PING
        ping hello
        PING a b
        ECHO x
        ECHO
        SELECT 1
        SET a 1
        SELECT 16
        SELECT -1
        SELECT x
        SELECT 0
        GET a
        AUTH x
        AUTH default x
        AUTH nobody x
        AUTH a b c
        HELLO 4
        HELLO x
        HELLO 3 NOSUCH
        HELLO 3 SETNAME
        CLIENT GETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME a\u{1}b
        CLIENT SETNAME
        CLIENT GETNAME x
        CLIENT NOSUCH
        CLIENT
        NOSUCH
        nosuch a b c
        NOSUCH LONG LONG c
        ''
        GET
        GET a b
        FLUSHDB NOW
        FLUSHALL SYNC
        FLUSHDB ASYNC
        DBSIZE
        COMMAND NOSUCH",
    );
}

#[test]
fn strings_are_as_in_redis() {
    compare(
        "GET a
        SET a 1
        GET a
        SET a 2 NX
        SET b 2 XX
        SET b 2 NX
        SET b 3 XX GET
        SET c 3 GET
        SET a 5 NX GET
        SET a 1 NX XX
        SET a 1 EX
        SET a 1 EX 0
        SET a 1 EX -1
        SET a 1 EX x
        SET a 1 EX 9223372036854775807
        SET a 1 EX 10 PX 10
        SET a 1 EX 10 KEEPTTL
        SET a 1 NOSUCH
        SET a 1 EX 100
        TTL a
        SET a 2 KEEPTTL
        TTL a
        SET a 3
        TTL a
        SET a 1 PXAT 1
        GET a
        SETNX a 1
        SETNX a 2
        SETEX a 100 x
        TTL a
        SETEX a 0 x
        SETEX a x x
        PSETEX a 100000 y
        TTL a
        PSETEX a -1 y
        GETSET a z
        TTL a
        GETSET new z
        GETDEL new
        GETDEL new
        GETEX a
        GETEX a EX 100
        TTL a
        GETEX a PERSIST
        TTL a
        GETEX a EX 0
        GETEX a NOSUCH
        GETEX a EX 1 PX
        GETEX a PXAT 1
        EXISTS a
        APPEND a hello
        APPEND a world
        APPEND empty ''
        EXISTS empty
        STRLEN a
        STRLEN nosuch
        GETRANGE a 0 -1
        GETRANGE a 2 4
        GETRANGE a -3 -1
        GETRANGE a 5 2
        GETRANGE a -100 -50
        GETRANGE a -1 -3
        GETRANGE a 3 -50
        GETRANGE a 0 -50
        GETRANGE a 100 200
        GETRANGE a 0 9223372036854775807
        GETRANGE nosuch 0 -1
        GETRANGE a x 1
        SETRANGE a 2 XX
        GET a
        SETRANGE a 20 end
        GET a
        SETRANGE a -1 x
        SETRANGE nosuch 0 ''
        EXISTS nosuch
        SETRANGE a 999999999999 x
        MSET x 1 y 2
        MSET x 1 y
        MGET x nosuch y x
        MSETNX x 9 new 9
        EXISTS new
        MSETNX n1 1 n2 2
        MGET n1 n2
        LPUSH l a
        GET l
        APPEND l x
        SETRANGE l 0 x
        STRLEN l
        MGET l x
        GETSET l x
        SET l x GET
        GETDEL l
        INCR l
        SET l now-a-string
        GET l",
    );
}

#[test]
fn counters_are_as_in_redis() {
    compare(
        "INCR n
        INCR n
        INCRBY n 40
        DECR n
        DECRBY n 50
        GET n
        INCRBY n x
        INCRBY n 1.5
        SET n abc
        INCR n
        SET n 9223372036854775807
        INCR n
        DECRBY n -1
        SET n -9223372036854775808
        DECR n
        DECRBY n -9223372036854775808
        DECRBY new -9223372036854775808
        SET n 007
        INCR n
        SET n 10.50
        INCRBYFLOAT n 0.1
        INCRBYFLOAT n -5
        SET n 5.5
        INCRBYFLOAT n 2.0e2
        INCRBYFLOAT new2 3
        SET f 0.1
        INCRBYFLOAT f 0.2
        SET f 5.0e3
        INCRBYFLOAT f 200
        INCRBYFLOAT f x
        INCRBYFLOAT f inf
        INCRBYFLOAT f nan
        SET f x
        INCRBYFLOAT f 1
        SET keep 1 EX 100
        INCR keep
        TTL keep",
    );
}

#[test]
fn keys_are_as_in_redis() {
    compare(
        "SET a 1
        SET b 2
        RPUSH l x
        HSET h f v
        SADD s m
        ZADD z 1 m
        TYPE a
        TYPE l
        TYPE h
        TYPE s
        TYPE z
        TYPE nosuch
        EXISTS a b nosuch a
        TOUCH a nosuch
        DBSIZE
        KEYS nosuch*
        KEYS [a]
        KEYS ?x
        RENAME a c
        GET c
        EXISTS a
        RENAME nosuch x
        RENAME c c
        GET c
        RENAME l c
        TYPE c
        EXPIRE b 100
        TTL b
        EXPIRE b 50 GT
        EXPIRE b 50 LT
        TTL b
        EXPIRE b 70 NX
        EXPIRE b 70 XX
        EXPIRE b 70 XX NX
        EXPIRE b 70 GT LT
        EXPIRE b 70 NOSUCH
        RENAME b bb
        TTL bb
        PERSIST bb
        PERSIST bb
        TTL bb
        EXPIRE bb 1 GT
        EXPIRE bb 100 LT
        PERSIST nosuch
        TTL nosuch
        PTTL nosuch
        EXPIRE nosuch 1
        EXPIRE bb x
        EXPIRE bb 9223372036854775807
        EXPIRE bb -9223372036854775807
        PEXPIRE bb 9223372036854775807
        EXPIREAT bb 99999999999
        EXPIREAT bb 1
        EXISTS bb
        SET d 1
        PEXPIRE d -5
        EXISTS d
        PTTL d
        DEL c h nosuch c
        UNLINK s z
        DBSIZE
        SCAN 0
        SET only 1
        SCAN 0
        SCAN 0 MATCH o* COUNT 10
        SCAN 0 MATCH x*
        SCAN 0 TYPE string
        SCAN 0 TYPE list
        SCAN x
        SCAN 0 COUNT 0
        SCAN 0 COUNT x
        SCAN 0 NOSUCH
        SCAN 0 MATCH",
    );
}

#[test]
fn hashes_are_as_in_redis() {
    compare(
        "HSET h a 1 b 2
        HSET h a 3 c 4
        HSET h a
        HSET h a 1 b
        HGET h a
        HGET h nosuch
        HGET nosuch a
        HMGET h a nosuch c
        HMGET nosuch a b
        HGETALL h
        HGETALL nosuch
        HKEYS h
        HVALS h
        HLEN h
        HLEN nosuch
        HEXISTS h a
        HEXISTS h nosuch
        HSETNX h a 9
        HSETNX h d 9
        HMSET h e 5 f 6
        HMSET h e
        HINCRBY h a 5
        HINCRBY h new 5
        HINCRBY h a x
        HSET h text abc
        HINCRBY h text 1
        HSET h big 9223372036854775807
        HINCRBY h big 1
        HDEL h a b nosuch
        HDEL nosuch a
        HDEL h c d e f new text big
        EXISTS h
        SET s x
        HSET s a 1
        HGET s a
        HGETALL s
        HDEL s a
        HMGET s a
        HINCRBY s a 1",
    );
}

#[test]
fn lists_are_as_in_redis() {
    compare(
        "RPUSH l a b c
        LPUSH l x y
        LRANGE l 0 -1
        LRANGE l 1 2
        LRANGE l -2 100
        LRANGE l 3 1
        LRANGE nosuch 0 -1
        LRANGE l x 1
        LLEN l
        LLEN nosuch
        LINDEX l 0
        LINDEX l -1
        LINDEX l 99
        LINDEX l -99
        LINDEX nosuch 0
        LINDEX l x
        LPOP l
        RPOP l
        LPOP l 2
        LPOP l 0
        LPOP l -1
        LPOP l x
        LPOP nosuch
        LPOP nosuch 2
        RPOP nosuch 0
        LPOP l 1 1
        RPOP l 100
        EXISTS l
        RPUSH l a b a c a
        LREM l 2 a
        LRANGE l 0 -1
        RPUSH l a
        LREM l -1 a
        LRANGE l 0 -1
        LREM l 0 nosuch
        LREM l 0 a
        LREM nosuch 0 a
        LREM l x a
        RPUSH l d e f
        LTRIM l 1 3
        LRANGE l 0 -1
        LTRIM l 5 9
        EXISTS l
        LTRIM nosuch 0 1
        SET s x
        LPUSH s a
        RPOP s
        LRANGE s 0 -1
        LLEN s
        LREM s 0 a
        LTRIM s 0 1",
    );
}

#[test]
fn sets_are_as_in_redis() {
    compare(
        "SADD one m
        SRANDMEMBER one
        SRANDMEMBER one 3
        SRANDMEMBER one -3
        SRANDMEMBER one 0
        SRANDMEMBER one x
        SRANDMEMBER one 1 2
        SRANDMEMBER nothing
        SRANDMEMBER nothing 2
        SPOP one 0
        SPOP one -1
        SPOP one x
        SPOP one 1 2
        SPOP one
        SPOP one
        SPOP nothing 2
        SADD one m
        SPOP one 5
        EXISTS one
        SADD s 1 2 3
        SADD s 3 4
        SADD s
        SISMEMBER s 1
        SISMEMBER s 9
        SISMEMBER nosuch 1
        SCARD s
        SCARD nosuch
        SMEMBERS s
        SMEMBERS nosuch
        SREM s 1 9
        SREM nosuch 1
        SADD t 3 4 5
        SINTER s t
        SINTER s nosuch
        SINTER s
        SUNION s t nosuch
        SUNION nosuch
        SREM s 2 3 4
        EXISTS s
        SET x 1
        SADD x 1
        SMEMBERS x
        SINTER t x
        SUNION t x
        SCARD x
        SREM x 1
        SISMEMBER x 1",
    );
}

#[test]
fn sorted_sets_are_as_in_redis() {
    compare(
        "ZADD popped 1 a 2 b 3 c 4 d 5 e
        ZPOPMIN popped
        ZPOPMAX popped
        ZPOPMIN popped 0
        ZPOPMIN popped -1
        ZPOPMIN popped x
        ZPOPMIN popped 1 2
        ZPOPMAX popped 2
        ZPOPMIN popped 5
        ZPOPMIN popped
        ZPOPMIN popped 5
        EXISTS popped
        ZADD z 1 a 2 b 3 c
        ZADD z 5 a
        ZADD z CH 6 a 2 b
        ZADD z NX 9 a 9 d
        ZADD z XX 7 a 7 nosuch
        ZADD z GT CH 1 a
        ZADD z LT CH 1 a
        ZADD z INCR 2.5 a
        ZADD z NX INCR 1 a
        ZADD z XX INCR 1 nosuch
        ZADD z NX XX 1 a
        ZADD z GT LT 1 a
        ZADD z NX GT 1 a
        ZADD z INCR 1 a 2 b
        ZADD z x a
        ZADD z 1 a 2
        ZADD z NX
        ZADD z nan a
        ZADD new XX 1 a
        EXISTS new
        ZSCORE z a
        ZSCORE z nosuch
        ZSCORE nosuch a
        ZCARD z
        ZCARD nosuch
        ZRANGE z 0 -1
        ZRANGE z 0 -1 WITHSCORES
        ZRANGE z 0 1 REV WITHSCORES
        ZRANGE z -2 -1
        ZRANGE z 5 1
        ZRANGE nosuch 0 -1 WITHSCORES
        ZRANGE z 0 -1 NOSUCH
        ZRANGE z x -1
        ZRANK z a
        ZRANK z nosuch
        ZRANK nosuch a
        ZINCRBY z 10 b
        ZINCRBY z -0.5 new
        ZINCRBY z x b
        ZADD z inf top
        ZINCRBY z -inf top
        ZSCORE z top
        ZADD z -inf bottom
        ZRANGE z 0 0
        ZADD z 1e30 huge 1000000000000000 large
        ZSCORE z large
        ZREM z a b nosuch
        ZREM nosuch a
        ZREM z c d new top bottom huge large
        EXISTS z
        SET s x
        ZADD s 1 a
        ZSCORE s a
        ZRANGE s 0 -1
        ZREM s a
        ZINCRBY s 1 a
        ZRANK s a",
    );
}

#[test]
fn broken_requests_are_answered_and_closed_as_in_redis() {
    let Ok(real) = RedisServer::start() else { return eprintln!("skipped: redis-server is not installed") };
    let running = embedded::start(1, 0).expect("starts");
    let addr = running.redis()[0];
    let long = [b'x'; 70_000];
    let rows: [&[u8]; 12] = [
        b"*x\r\n",
        b"*2147483648\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$abc\r\n",
        b"*2\r\n$3\r\nGET\r\n+a\r\n",
        b"GET \"a\r\n",
        b"*1\r\n$4\r\nPING\r\n*x\r\n",
        &long,
        &[b"*".as_slice(), &long].concat(),
        &[b"*1\r\n$".as_slice(), &long].concat(),
        b"QUIT\r\nPING\r\n",
    ];
    for row in rows {
        let ask = |mut c: Client| {
            c.send(row);
            // Redis may reset for want of reading everything; what it said before is not lost on loopback.
            let line = c.try_resp_reply().unwrap_or_default();
            if line == b"+PONG\r\n" { [line, c.try_resp_reply().unwrap_or_default()].concat() } else { line }
        };
        let (ours, theirs) = (ask(client(addr)), ask(real.client()));
        assert_eq!(
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&theirs),
            "{}",
            row[..row.len().min(50)].escape_ascii()
        );
    }
}
