//! Counting across threads and across reloads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stats::{Latency, Layout, PoolLayout, PoolMetric, Registry, ServerMetric, Shard, WorkerMetric};

#[test]
fn a_reader_sees_counters_only_grow_and_the_last_value_in_the_end() {
    const CHANGES: u32 = 200;
    let registry = Registry::new(layout(&[("alpha", &["s1", "s2"])]), 2);
    let shard = Arc::clone(&registry.shards()[1]);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut written = 0;
        while !stopped.load(Relaxed) {
            for n in 0..2 {
                let server = shard.server_shard(0, n);
                server.counter(ServerMetric::Requests).add(1);
                server.latency.record(Latency::of_us(written % 512));
            }
            written += 1;
        }
        written
    });
    let read = || {
        let pool = &registry.snapshot().pools[0];
        [0, 1]
            .map(|s: usize| (pool.servers[s].value(ServerMetric::Requests), pool.servers[s].latency.count()))
    };
    let (mut last, mut changes) = (read(), 0);
    while changes < CHANGES {
        let now = read();
        for (now, last) in now.iter().zip(&last) {
            assert!(now.0 >= last.0 && now.1 >= last.1, "{now:?} after {last:?}");
        }
        changes += u32::from(now != last);
        last = now;
    }
    stop.store(true, Relaxed);
    let written = writer.join().expect("the writer ends");
    assert_eq!(read(), [(written, written); 2]);
}

#[test]
fn rows_of_two_workers_share_no_cache_line() {
    let registry = Registry::new(layout(&[("alpha", &["s1"])]), 2);
    let lines = |shard: &Shard| {
        let counters = [
            std::ptr::from_ref(shard.worker(WorkerMetric::TotalConnections)),
            std::ptr::from_ref(shard.pool(0, PoolMetric::ClientEof)),
            std::ptr::from_ref(shard.server(0, 0, ServerMetric::ServerEof)),
        ];
        counters.map(|counter| counter as usize)
    };
    for shard in registry.shards() {
        for address in lines(shard) {
            assert_eq!(address % 128, 0, "a row starts a line");
        }
    }
}

#[test]
fn after_a_reload_pools_and_servers_go_on_by_name() {
    let old = Shard::new(&layout(&[("alpha", &["s1", "s2"]), ("beta", &["s1"])]));
    old.worker(WorkerMetric::Ticks).add(9);
    old.pool(0, PoolMetric::ClientConnections).add(2);
    old.pool(1, PoolMetric::ClientEof).add(3);
    old.server(0, 0, ServerMetric::Requests).add(4);
    old.server(0, 1, ServerMetric::Requests).add(5);
    old.server(1, 0, ServerMetric::ServerEjectedAt).set(6);
    old.server_shard(1, 0).latency.record(Latency::of_us(1000));

    let new = Shard::new(&layout(&[("gamma", &["s1"]), ("beta", &["s0", "s1"]), ("alpha", &["s2"])]));
    new.continue_from(&old);
    let check = |counter: &stats::Counter, expected: u64| assert_eq!(counter.get(), expected);
    check(new.worker(WorkerMetric::Ticks), 9);
    check(new.pool(0, PoolMetric::ClientConnections), 0);
    check(new.server(0, 0, ServerMetric::Requests), 0);
    check(new.pool(1, PoolMetric::ClientEof), 3);
    check(new.server(1, 0, ServerMetric::ServerEjectedAt), 0);
    check(new.server(1, 1, ServerMetric::ServerEjectedAt), 6);
    check(new.pool(2, PoolMetric::ClientConnections), 2);
    check(new.server(2, 0, ServerMetric::Requests), 5);
    let mut latency = stats::Distribution::default();
    latency.merge(&new.server_shard(1, 1).latency);
    assert_eq!((latency.count(), latency.sum_us()), (1, 1000));
}

fn layout(pools: &[(&str, &[&str])]) -> Layout {
    let pool = |&(name, servers): &(&str, &[&str])| PoolLayout {
        name: name.into(),
        servers: servers.iter().map(|&s| s.into()).collect(),
    };
    Layout { pools: pools.iter().map(pool).collect() }
}
