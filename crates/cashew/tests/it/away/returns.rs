//! A server that comes back with its old data: `on_return: keep`, `flush` and `invalidate`, over ejection and by hand.

use testkit::wait;

use super::rig::{Kind, Pool, Talk};

/// How a server goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It hangs with a write in its ear, is ejected, and goes on where it stopped.
    Hangs,
    /// By hand.
    Drained,
}

const FAILURES: [&str; 2] = ["eject", "standby\nstandby: 127.0.0.1:{spare}:1 spare"];

/// What is read of a key that changed meanwhile, and of one that did not, once the server is back.
fn check(kind: Kind, way: Way) {
    for failure in FAILURES {
        for (on_return, unchanged) in [("keep", true), ("flush", false), ("invalidate", true)] {
            let about = format!("{kind:?} {way:?} {failure} {on_return}");
            let pool = Pool::start(kind, &format!("on_failure: {failure}\non_return: {on_return}"), &[], 2);
            let keys = pool.keys("key", 2);
            let (mut client, mut other) = (pool.client(), pool.client());
            match way {
                Way::Drained => {
                    assert_eq!(pool.order("drain alpha s0"), "server 's0' of pool 'alpha' is drained\n");
                }
                Way::Hangs => {
                    pool.servers[0].process().freeze().expect("it stops");
                    // This write reaches it, and nobody knows what becomes of it.
                    assert!(client.set(&keys[0], "lost").is_err(), "{about}");
                    pool.wait_state("s0", "ejected");
                }
            }
            // Both workers know it by then.
            for talk in [&mut client, &mut other] {
                wait::until(
                    "the key to go elsewhere",
                    || matches!(talk.get(&keys[0]), Ok(said) if said.as_deref() != Some("old")),
                );
            }
            client.set(&keys[0], "new").unwrap_or_else(|said| panic!("{about}: {said}"));
            assert_eq!(other.found(&keys[0]).as_deref(), Some("new"), "{about}");
            match way {
                Way::Drained => {
                    let answer = pool.order("restore alpha s0");
                    assert_eq!(
                        answer.contains("once its old data is dealt with"),
                        on_return != "keep",
                        "{answer}"
                    );
                }
                Way::Hangs => pool.servers[0].process().thaw().expect("it goes on"),
            }
            let sees =
                |said: &Option<String>| on_return == "keep" || matches!(said.as_deref(), None | Some("new"));
            wait::until("the server to serve again", || {
                for talk in [&mut client, &mut other] {
                    let said = talk.found(&keys[0]);
                    assert!(sees(&said), "{about}: {said:?}");
                }
                pool.state("s0") == "up"
            });
            // The workers learn of it one after the other; this one has when it finds what was only ever there.
            let still = |said: Option<String>| said.as_deref() == Some("old");
            for talk in [&mut client, &mut other] {
                match on_return {
                    "keep" => wait::until("the old value to be back, which keep means", || {
                        matches!(talk.found(&keys[0]).as_deref(), Some("old" | "lost"))
                    }),
                    "invalidate" => {
                        wait::until("what did not change to be there", || still(talk.found(&keys[1])));
                        assert_eq!(talk.found(&keys[0]), None, "{about}");
                    }
                    _ => {
                        wait::until("all to be gone", || talk.found(&keys[0]).is_none());
                        assert_eq!(talk.found(&keys[1]), None, "{about}");
                    }
                }
            }
            let mut home = pool.servers[0].client();
            assert_eq!(still(home.found(&keys[1])), unchanged, "{about}");
            let said = match on_return {
                "flush" => "server 's0' serves again: it was emptied",
                "invalidate" => {
                    "server 's0' serves again: 1 keys that were written elsewhere were deleted on it"
                }
                _ => "pool 'alpha'",
            };
            // A thread of its own writes it.
            wait::until("the log to tell", || pool.log().contains(said));
        }
    }
}

#[test]
fn a_redis_that_hung_returns_without_what_changed_meanwhile() {
    check(Kind::Redis, Way::Hangs);
}

#[test]
fn a_memcached_that_hung_returns_without_what_changed_meanwhile() {
    check(Kind::Memcached, Way::Hangs);
}

#[test]
fn a_redis_that_was_drained_returns_without_what_changed_meanwhile() {
    check(Kind::Redis, Way::Drained);
}

#[test]
fn a_memcached_that_was_drained_returns_without_what_changed_meanwhile() {
    check(Kind::Memcached, Way::Drained);
}

#[test]
fn more_than_is_remembered_empties_the_server() {
    let pool = Pool::start(Kind::Redis, "on_failure: eject\non_return: invalidate", &[], 1);
    let keys = pool.keys("key", 1);
    let mut client = pool.client();
    pool.order("drain alpha s0");
    // Half of them are the server's; 16 MB of keys are remembered.
    let long = "x".repeat(64 << 10);
    (0..700).for_each(|n| client.set(&format!("{n}{long}"), "v").unwrap_or_else(|said| panic!("{said}")));
    pool.order("restore alpha s0");
    pool.wait_state("s0", "up");
    let mut home = pool.servers[0].client();
    assert_eq!(home.found(&keys[0]), None);
    for said in [
        "server 's0': more keys were written elsewhere than are remembered",
        "serves again: it was emptied, more keys were written",
    ] {
        wait::until("the log to tell", || pool.log().contains(said));
    }
}

#[test]
fn a_flush_that_the_server_missed_is_made_up_for() {
    for (kind, request) in [(Kind::Redis, &b"FLUSHALL\r\n"[..]), (Kind::Memcached, b"flush_all\r\n")] {
        let pool = Pool::start(kind, "on_failure: eject\non_return: invalidate", &[], 1);
        let keys = pool.keys("key", 1);
        let mut client = pool.client();
        pool.order("drain alpha s0");
        client.client.send(request);
        let said = String::from_utf8_lossy(&match kind {
            Kind::Redis => client.client.resp_reply(),
            Kind::Memcached => client.client.memcache_reply(),
        })
        .into_owned();
        assert!(said.contains("(1 of 2 servers failed)"), "{said}");
        pool.order("restore alpha s0");
        pool.wait_state("s0", "up");
        assert_eq!(pool.servers[0].client().found(&keys[0]), None);
    }
}

#[test]
fn what_changed_in_other_databases_is_dealt_with_there() {
    for (on_return, unchanged) in [("invalidate", Some("old")), ("flush", None)] {
        let pool = Pool::start(Kind::Redis, &format!("on_failure: eject\non_return: {on_return}"), &[], 2);
        let keys = pool.keys("key", 2);
        let mut home = pool.servers[0].client();
        let select = |talk: &mut Talk, db: &str| assert_eq!(talk.client.ask(&["SELECT", db]), b"+OK\r\n");
        for db in ["3", "5", "9"] {
            select(&mut home, db);
            keys.iter().for_each(|key| home.set(key, "old").expect("it is there"));
        }
        let (mut three, mut five) = (pool.client(), pool.client());
        select(&mut three, "3");
        select(&mut five, "5");
        pool.order("drain alpha s0");
        wait::until("the key to go elsewhere", || three.found(&keys[0]).is_none());
        wait::until("the key to go elsewhere", || five.found(&keys[0]).is_none());
        three.set(&keys[0], "new").expect("the other server takes it");
        five.client.ask(&["FLUSHDB"]);
        pool.order("restore alpha s0");
        pool.wait_state("s0", "up");
        for (db, key, expected) in [
            ("0", 0, unchanged),
            ("0", 1, unchanged),
            ("3", 0, None),
            ("3", 1, unchanged),
            ("5", 0, None),
            ("5", 1, None),
            // Nobody has selected it here: it is somebody else's.
            ("9", 0, Some("old")),
        ] {
            select(&mut home, db);
            assert_eq!(home.found(&keys[key]).as_deref(), expected, "{on_return} {db} {key}");
        }
    }
}

#[test]
fn a_server_that_cannot_be_emptied_stays_out_and_the_log_says_why() {
    for (kind, args, why) in [
        (Kind::Redis, &["--rename-command", "FLUSHDB", ""][..], "ERR unknown command 'FLUSHDB'"),
        (Kind::Memcached, &["-F"], "flush_all not allowed"),
    ] {
        let pool =
            Pool::start(kind, "on_failure: eject\non_return: flush\nserver_retry_timeout: 60000", args, 2);
        let keys = pool.keys("key", 1);
        pool.order("drain alpha s0");
        pool.order("restore alpha s0");
        pool.wait_state("s0", "ejected");
        wait::until("the log to say why", || {
            let log = pool.log();
            let told = log.contains("server 's0' cannot serve again yet, next probe in 60000 ms: it answers");
            told && log.contains(why)
        });
        let mut client = pool.client();
        wait::until("the key to go elsewhere", || client.found(&keys[0]).is_none());
    }
}

#[test]
fn password_and_database_are_the_pools() {
    for on_return in ["flush", "invalidate"] {
        let settings = format!("on_failure: eject\non_return: {on_return}\nredis_auth: secret\nredis_db: 3");
        let pool = Pool::start(Kind::Redis, &settings, &["--requirepass", "secret"], 1);
        let (mut client, mut home) = (pool.client(), pool.servers[0].client());
        for talk in [&mut client, &mut home] {
            assert_eq!(talk.client.ask(&["AUTH", "secret"]), b"+OK\r\n");
        }
        let keys: Vec<String> = (0..20).map(|n| format!("key{n}")).collect();
        let old = |home: &mut super::rig::Talk, db: &str| {
            assert_eq!(home.client.ask(&["SELECT", db]), b"+OK\r\n");
            keys.iter().filter(|key| home.found(key).as_deref() == Some("old")).count()
        };
        keys.iter().for_each(|key| client.set(key, "old").expect("it is stored"));
        let own = old(&mut home, "3");
        assert!(own > 0);
        assert_eq!(home.client.ask(&["SELECT", "0"]), b"+OK\r\n");
        home.set("key0", "old").expect("it is stored");
        pool.order("drain alpha s0");
        keys.iter().for_each(|key| client.set(key, "new").expect("it is stored"));
        pool.order("restore alpha s0");
        pool.wait_state("s0", "up");
        assert_eq!((old(&mut home, "3"), old(&mut home, "0")), (0, 1), "another database is not touched");
    }
}
