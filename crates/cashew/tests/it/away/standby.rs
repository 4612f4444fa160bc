//! A server that stands by: it takes the keys of those that are away, for a while.

use testkit::wait;

use super::rig::{Kind, Pool, Talk};

const STANDBY: &str =
    "hash_tag: '{}'\non_failure: standby\nstandby: 127.0.0.1:{spare}:1 spare\nstandby_ttl: 5s";

/// How long a server keeps a key, in milliseconds; nothing where it is not there.
fn ttl(talk: &mut Talk, kind: Kind, key: &str) -> Option<i64> {
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or_else(|_| panic!("{key}: {text}"));
    match kind {
        Kind::Redis => {
            let reply = talk.client.ask(&["PTTL", key]);
            Some(number(&String::from_utf8_lossy(&reply[1..]))).filter(|ttl| *ttl != -2)
        }
        Kind::Memcached => {
            // The meta command: "HD t5", or "EN" where there is none; it ends in one line.
            talk.client.send(format!("mg {key} t\r\n").as_bytes());
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(talk.client.exactly(1));
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            text.strip_prefix("HD t").map(|seconds| number(seconds) * 1000)
        }
    }
}

#[test]
fn nothing_lives_longer_on_a_redis_standby_than_it_may() {
    let pool = Pool::start(Kind::Redis, STANDBY, &[], 2);
    let home = pool.keys("tag", 1).remove(0);
    let (mut client, mut spare) = (pool.client(), pool.spare.client());
    pool.order("drain alpha s0");
    wait::until("the key to go elsewhere", || client.found(&home).is_none());
    for (number, command) in [
        "SET {k} v",
        "SET {k} v EX 10000",
        "SETEX {k} 10000 v",
        "SET {k} v KEEPTTL",
        "APPEND {k} v",
        "INCR {k}",
        "GETSET {k} v",
        "SETBIT {k} 7 1",
        "HSET {k} f v",
        "LPUSH {k} v",
        "SADD {k} v",
        "ZADD {k} 1 v",
        "XADD {k} * f v",
        "PFADD {k} v",
        "GEOADD {k} 1 1 v",
        "MSET {k} v {k}b w",
        "EVAL redis.call('SET',KEYS[1],'v') 1 {k}",
        "SUNIONSTORE {k} {set}",
        "RENAME {from} {k}",
        "COPY {from} {k}",
        "EXPIRE {given} 10000",
        "PERSIST {given}",
        "GETEX {given} PERSIST",
        "RESTORE {k} 0 {dump}",
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{{{home}}}{number}");
        let key = if command.contains("{given}") { format!("{key}given") } else { key };
        let prepare = |client: &mut Talk, wanted: &str, words: &[&str]| {
            if command.contains(wanted) {
                let reply = client.client.ask(words);
                assert!(!reply.starts_with(b"-"), "{command}: {}", reply.escape_ascii());
            }
        };
        let (set, from) = (format!("{key}set"), format!("{key}from"));
        prepare(&mut client, "{set}", &["SADD", &set, "v"]);
        prepare(&mut client, "{from}", &["SET", &from, "v"]);
        prepare(&mut client, "{given}", &["SET", &key, "v"]);
        // An integer as redis 7 dumps it, with its checksum: from the server itself.
        let dump = if command.contains("{dump}") {
            spare.client.ask(&["SET", "dumped", "v"]);
            let reply = spare.client.ask(&["DUMP", "dumped"]);
            let start = reply.iter().position(|byte| *byte == b'\n').expect("a bulk") + 1;
            reply[start..reply.len() - 2].to_vec()
        } else {
            Vec::new()
        };
        let words: Vec<Vec<u8>> = command
            .split(' ')
            .map(|word| match word {
                "{dump}" => dump.clone(),
                _ => {
                    let filled = [("{set}", &set), ("{from}", &from), ("{given}", &key), ("{k}", &key)];
                    filled
                        .iter()
                        .fold(word.to_owned(), |word, (name, key)| word.replace(name, key))
                        .into_bytes()
                }
            })
            .collect();
        let reply = client.client.ask(&words);
        assert!(!reply.starts_with(b"-"), "{command}: {}", reply.escape_ascii());
        wait::until(&format!("a bounded life after {command}"), || {
            matches!(ttl(&mut spare, Kind::Redis, &key), Some(1..=5000))
        });
    }
    let short = format!("{{{home}}}short");
    assert_eq!(client.client.ask(&["SET", &short, "v", "PX", "2000"]), b"+OK\r\n");
    assert_eq!(client.client.ask(&["DEL", &short, "nothing"]), b":1\r\n");
    assert_eq!(client.client.ask(&["SET", &short, "v", "PX", "2000"]), b"+OK\r\n");
    assert!(matches!(ttl(&mut spare, Kind::Redis, &short), Some(1..=2000)), "what is shorter stays so");
    let errors = crate::rig::stats(pool.proxy.stats_port());
    assert_eq!(crate::rig::number(&errors, &["alpha", "standby:spare", "standby_ttl_errors"]), 0);
}

#[test]
fn nothing_lives_longer_on_a_memcached_standby_than_it_may() {
    let pool = Pool::start(Kind::Memcached, STANDBY, &[], 2);
    let keys = pool.keys("key", 2);
    let (mut client, mut spare) = (pool.client(), pool.spare.client());
    pool.order("drain alpha s0");
    wait::until("the key to go elsewhere", || client.found(&keys[0]).is_none());
    for command in [
        "set {} 0 0 1\r\n1\r\n",
        "set {} 0 100 1\r\n1\r\n",
        "set {} 0 4000000000 1\r\n1\r\n",
        "replace {} 0 0 1\r\n1\r\n",
        "append {} 0 0 1\r\n1\r\n",
        "incr {} 1\r\n",
        "touch {} 0\r\n",
        "touch {} 100000\r\n",
        "gat 0 {}\r\n",
        "gats 0 {} nothing nobody other\r\n",
        "delete {}\r\n",
        "add {} 0 0 1\r\n1\r\n",
    ] {
        let reply = client.client.ask_memcache(command.replace("{}", &keys[0]).as_bytes());
        assert!(!reply.starts_with(b"N") && !reply.starts_with(b"E"), "{command}: {}", reply.escape_ascii());
        let left = ttl(&mut spare, Kind::Memcached, &keys[0]);
        assert!(command.starts_with("delete") || matches!(left, Some(1..=5000)), "{command}: {left:?}");
    }
    assert_eq!(
        client.client.ask_memcache(format!("set {} 0 -1 1\r\n1\r\n", keys[1]).as_bytes()),
        b"STORED\r\n"
    );
    assert_eq!(client.found(&keys[1]), None, "what is over is over");
    let own = (0..).map(|n| format!("own{n}")).find(|key| {
        client.set(key, "v").expect("it is stored");
        pool.servers[1].client().found(key).is_some()
    });
    let own = own.expect("the other server has keys too");
    assert_eq!(
        ttl(&mut pool.servers[1].client(), Kind::Memcached, &own),
        Some(-1000),
        "others live as long as they like"
    );
}

#[test]
fn a_pool_stands_by() {
    for kind in [Kind::Redis, Kind::Memcached] {
        let pool = Pool::start(kind, "on_failure: standby\nstandby: beside\non_return: invalidate", &[], 2);
        let keys = pool.keys("key", 3);
        let mut client = pool.client();
        assert_eq!(pool.state("standby:s0"), "up");
        pool.servers[0].process().freeze().expect("it stops");
        wait::until("the keys to go elsewhere", || client.get(&keys[0]) == Ok(None));
        client.set(&keys[1], "new").expect("it is stored");
        assert_eq!(pool.spare.client().found(&keys[1]).as_deref(), Some("new"));
        pool.servers[0].process().thaw().expect("it goes on");
        pool.wait_state("s0", "up");
        wait::until("the worker to know", || client.found(&keys[2]).as_deref() == Some("old"));
        assert_eq!(client.found(&keys[1]), None);
        assert_eq!(
            pool.spare.client().found(&keys[1]).as_deref(),
            Some("new"),
            "its own business, for a while"
        );
    }
}

#[test]
fn a_standby_that_is_down_answers_errors_and_is_never_ejected() {
    let pool = Pool::start(Kind::Redis, "on_failure: standby\nstandby: 127.0.0.1:1:1 spare", &[], 1);
    let keys = pool.keys("key", 1);
    let mut client = pool.client();
    pool.order("drain alpha s0");
    wait::until("the standby's error", || client.get(&keys[0]) == Err("-ERR Connection refused\r\n".into()));
    pool.wait_state("standby:spare", "down");
    pool.order("restore alpha s0");
    wait::until("the server's own answer", || client.get(&keys[0]) == Ok(Some("old".into())));
}

#[test]
fn a_standby_too_old_to_bound_lives_is_told_of() {
    let old = testkit::peer::polite(b"-ERR wrong number of arguments for 'pexpire' command\r\n");
    let old = old.expect("a port can be bound");
    let settings = format!("on_failure: standby\nstandby: 127.0.0.1:{}:1 spare", old.port());
    let pool = Pool::start(Kind::Redis, &settings, &[], 1);
    let keys = pool.keys("key", 1);
    pool.order("drain alpha s0");
    let mut client = pool.client();
    wait::until("the standby's answer", || client.set(&keys[0], "new").is_err());
    wait::until("the log to tell", || {
        pool.log().contains(
            "server 'standby:spare': does not bound TTLs (PEXPIRE ... LT needs redis 7): -ERR wrong",
        )
    });
    let errors = crate::rig::stats(pool.proxy.stats_port());
    assert!(crate::rig::number(&errors, &["alpha", "standby:spare", "standby_ttl_errors"]) > 0);
}
