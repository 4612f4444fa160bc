//! Clients that write and read while servers hang, return, are drained and restored: nobody ever reads an older value
//! than one that was acknowledged before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use testkit::wait;

use super::rig::{Kind, Pool};

/// Clients at work.
const CLIENTS: usize = 6;

fn check(kind: Kind, settings: &str) {
    let pool = Pool::start(kind, settings, &[], 2);
    for round in 0..4 {
        // Keys of their own in each round: what stays behind on a server that took them over is not looked at again.
        let keys = pool.keys(&format!("r{round}k"), CLIENTS * 2);
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for own in keys.chunks(2) {
                let (stop, done, pool) = (&stop, &done, &pool);
                scope.spawn(move || work(pool, own, stop, done));
            }
            let progress = |what: &str| {
                let until = done.load(Relaxed) + 500;
                wait::until(what, || done.load(Relaxed) > until);
            };
            progress("work before");
            let server = pool.servers[0].process();
            if round % 2 == 0 {
                pool.order("drain alpha s0");
                progress("work while it is drained");
                pool.order("restore alpha s0");
            } else {
                server.freeze().expect("it stops");
                pool.wait_state("s0", "ejected");
                progress("work while it hangs");
                server.thaw().expect("it goes on");
            }
            pool.wait_state("s0", "up");
            progress("work after");
            stop.store(true, Relaxed);
        });
    }
}

/// Writes ever larger numbers to its keys and reads them, also through a second connection, which the other worker has.
fn work(pool: &Pool, keys: &[String], stop: &AtomicBool, done: &AtomicU64) {
    let (mut writer, mut reader) = (pool.client(), pool.client());
    let mut acknowledged = vec![0u64; keys.len()];
    let mut number = 0;
    while !stop.load(Relaxed) {
        for (key, acknowledged) in keys.iter().zip(&mut acknowledged) {
            number += 1;
            if writer.set(key, &number.to_string()).is_ok() {
                *acknowledged = number;
            }
            let oldest = *acknowledged;
            let reverts = |said: Result<Option<String>, String>| match said {
                Ok(Some(value)) => value.parse().unwrap_or(0) < oldest,
                _ => false,
            };
            let said = writer.get(key);
            assert!(!reverts(said.clone()), "{key} was {oldest} and is {said:?}");
            // Workers learn of a server's going and coming one after the other, within moments.
            wait::until("the other worker to see it too", || !reverts(reader.get(key)));
            done.fetch_add(1, Relaxed);
        }
    }
}

#[test]
fn with_invalidate_no_value_of_redis_reverts() {
    check(Kind::Redis, "on_failure: eject\non_return: invalidate\nserver_connections: 2");
}

#[test]
fn with_invalidate_no_value_of_memcached_reverts() {
    check(Kind::Memcached, "on_failure: standby\nstandby: beside\non_return: invalidate");
}

#[test]
fn with_flush_no_value_reverts() {
    check(Kind::Redis, "on_failure: standby\nstandby: 127.0.0.1:{spare}:1\non_return: flush");
    check(Kind::Memcached, "on_failure: eject\non_return: flush");
}
