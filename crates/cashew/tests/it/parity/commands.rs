//! All 137 redis commands that twemproxy accepts: a sensible request of each, and each with a word too few and
//! a word too many.

use testkit::{RedisServer, ports, resp};

use super::case::{Case, compare, redis};
use super::pair::{Pair, Pool};
use crate::{farm, rig};

#[test]
fn every_command_that_twemproxy_accepts() {
    if !rig::has_nutcracker() {
        return;
    }
    let (_servers, pair) = start();
    let mut cases = redis("redis", SENSIBLE);
    for command in COMMANDS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
        let [name, _, fewest, most, ..] = command[..] else { panic!("five columns") };
        let word = format!("\r\n{name}\r\n").into_bytes();
        let named = |case: &Case| case.request.windows(word.len()).any(|w| w.eq_ignore_ascii_case(&word));
        assert!(cases.iter().any(named), "no sensible request for {name}");
        let words = |count: usize| {
            let mut words = vec![name.to_owned(), format!("arity:{name}")];
            words.extend((1..).map(|n: usize| n.to_string()).take(count.saturating_sub(2)));
            words.truncate(count);
            words
        };
        let fewest: usize = fewest.parse().expect("a number");
        if fewest > 1 {
            cases.push(arity(words(fewest - 1)));
        }
        if let Ok(most) = most.parse::<usize>() {
            cases.push(arity(words(most + 1)));
        }
    }
    compare(&pair, &cases);
}

fn arity(words: Vec<String>) -> Case {
    Case { id: "arity".into(), pool: "redis".into(), request: resp(&words), replies: 1 }
}

/// A pool of three servers with hash tags, for both.
pub(super) fn start() -> (Vec<RedisServer>, Pair) {
    let servers = farm::many(6, RedisServer::start);
    let side = |servers: &[RedisServer]| -> Vec<String> {
        let line = |(index, server): (usize, &RedisServer)| format!("127.0.0.1:{}:1 s{index}", server.port());
        servers.iter().enumerate().map(line).collect()
    };
    let (a, b) = servers.split_at(3);
    let dead = format!("127.0.0.1:{}:1 s1", ports::free());
    let limp = |side: Vec<String>| vec![side[0].clone(), dead.clone(), side[2].clone()];
    let pair = Pair::start(&[
        Pool { name: "redis", settings: SETTINGS, servers: [side(a), side(b)] },
        Pool { name: "limp", settings: SETTINGS, servers: [limp(side(a)), limp(side(b))] },
    ]);
    (servers, pair)
}

/// murmur, because the default hash puts most short keys on one server.
const SETTINGS: &str = "redis: true\nhash: murmur\nhash_tag: \"{}\"\ntimeout: 5000";

/// Name, class, fewest words, most words, ...
const COMMANDS: &str = include_str!("../../../../engine/tests/vectors/twemproxy-redis-commands.csv");

/// The order matters: later lines read what earlier ones wrote. A set of strings has one element, because
/// servers list more of them in different orders.
const SENSIBLE: &str = "
same | SET s hello
same | GET s
same | get s
same | GeT missing
same | APPEND s x
same | STRLEN s
same | GETRANGE s 1 2
same | SETRANGE s 1 abc
same | GETSET s new
same | GETEX s EX 100
same | SET s v EX 1000 NX
same | SETNX s2 v
same | SETEX s2 1000 v
same | PSETEX s2 1000000 v
same | GETDEL s2
same | SETBIT b 7 1
same | GETBIT b 7
same | BITCOUNT b
same | BITPOS b 1
same | BITFIELD b INCRBY u2 100 1 OVERFLOW SAT
same | INCR n
same | INCRBY n 5
same | DECR n
same | DECRBY n 2
same | INCRBYFLOAT n 1.5
same | DECR s
same | TYPE s
same | EXPIRE s 1000
same | TTL s
same | PEXPIRE s 1000000
same-but-digits | PTTL s
same | PERSIST s
same | EXPIREAT s 4000000000
same | PEXPIREAT s 4000000000000
same | DUMP n
same | DUMP missing
same | RESTORE r 0 garbage
same | RESTORE r 0 \\x00\\x05hello\\n\\x00\\x89\\x5a\\xe2\\x4d\\x2d\\xc0\\x71\\x08
same | SORT missing
same | COPY {t}s {t}copy
same | RPUSH l a b c d e
same | LPUSH l z
same | LPUSHX l y
same | RPUSHX nolist y
same | LLEN l
same | LRANGE l 0 -1
same | LINDEX l 1
same | LINSERT l BEFORE c bb
same | LSET l 0 first
same | LPOS l c
same | LREM l 1 d
same | LTRIM l 0 4
same | LPOP l
same | RPOP l 2
same | RPUSH {t}l a b c
same | RPOPLPUSH {t}l {t}l2
same | LMOVE {t}l {t}l2 LEFT RIGHT
same | SORT {t}l ALPHA
same | HSET h f 1
same | HSETNX h g 2
same | HMSET h i 3 j 4
same | HGET h f
same | HMGET h f nope g
same | HGETALL h
same | HKEYS h
same | HVALS h
same | HLEN h
same | HEXISTS h f
same | HSTRLEN h f
same | HINCRBY h f 2
same | HINCRBYFLOAT h f 0.5
same | HSCAN h 0
same | HDEL h g i j
same | HRANDFIELD h
same | SADD set m
same | SADD ints 3 1 2
same | SCARD set
same | SISMEMBER set m
same | SMISMEMBER set m n
same | SMEMBERS ints
same | SRANDMEMBER set
same | SSCAN ints 0
same | SREM ints 2
same | SPOP set
same | SADD {t}a 1 2 3
same | SADD {t}b 2 3 4
same | SDIFF {t}a {t}b
same | SINTER {t}a {t}b
same | SUNION {t}a {t}b
same | SDIFFSTORE {t}d {t}a {t}b
same | SINTERSTORE {t}d {t}a {t}b
same | SUNIONSTORE {t}d {t}a {t}b
same | SMOVE {t}a {t}b 1
same | ZADD z 1 a 2 b 3 c
same | ZCARD z
same | ZCOUNT z -inf +inf
same | ZSCORE z b
same | ZMSCORE z a nope
same | ZINCRBY z 5 a
same | ZRANK z b
same | ZREVRANK z b
same | ZRANGE z 0 -1 WITHSCORES
same | ZREVRANGE z 0 -1
same | ZRANGEBYSCORE z 2 3
same | ZREVRANGEBYSCORE z 3 2
same | ZLEXCOUNT z - +
same | ZRANGEBYLEX z - +
same | ZREVRANGEBYLEX z + -
same | ZSCAN z 0
same | ZREM z c
same | ZPOPMIN z
same | ZPOPMAX z
same | ZADD z 7 only
same | ZRANDMEMBER z
same | ZREMRANGEBYSCORE z 100 200
same | ZREMRANGEBYRANK z 5 6
same | ZREMRANGEBYLEX z [x [y
same | ZADD {t}z1 1 a 2 b
same | ZADD {t}z2 2 b 3 c
same | ZRANGESTORE {t}z3 {t}z1 0 -1
same | ZUNIONSTORE {t}z3 2 {t}z1 {t}z2
same | ZINTERSTORE {t}z3 2 {t}z1 {t}z2
same | ZDIFFSTORE {t}z3 2 {t}z1 {t}z2
numkeys | ZUNION 2 {t}z1 {t}z2
numkeys | ZINTER 2 {t}z1 {t}z2
numkeys | ZDIFF 2 {t}z1 {t}z2
same | GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
same | GEODIST g Palermo Catania km
same | GEOHASH g Palermo
same | GEOPOS g Palermo nowhere
same | GEORADIUS g 15 37 100 km
same | GEORADIUSBYMEMBER g Palermo 200 km
same | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km
same | GEOSEARCHSTORE {t}g {t}none FROMLONLAT 15 37 BYRADIUS 200 km
same | PFADD pf a b
same | PFCOUNT pf
same | PFADD {t}pf a
same | PFMERGE {t}pf2 {t}pf
same | EVAL return{KEYS[1],ARGV[1]} 1 s arg
same | EVALSHA 0123456789012345678901234567890123456789 1 s
same | MSET k1 a k2 b k3 c k4 d
same | MSET k1 a
same | MGET k1 k2 k3 missing k4 k1
same | MGET k1
same | TOUCH k1 k2 missing
same | UNLINK k1 k1 missing
same | DEL k2 k3 k4
same | DEL k2
same | EXISTS s
same | EXISTS {t}a {t}b {t}none
same | PING
same | AUTH secret
quit | QUIT
command | COMMAND
lolwut | LOLWUT
lolwut | LOLWUT VERSION 5 1 1
move | MOVE s 1
";
