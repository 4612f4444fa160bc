//! Once buffers have grown to their usual size, a request allocates nothing: an allocator counts, while a worker
//! serves clients over real sockets.

#[allow(dead_code, reason = "made for `benches/count`")]
#[path = "../benches/count/ask.rs"]
mod ask;
#[allow(dead_code, reason = "made for `benches/count`")]
#[path = "../benches/count/stage.rs"]
mod stage;

#[path = "shared/kinds.rs"]
mod kinds;

use allocation_counter::measure;
use ask::Ask;
use config::Io;
use config::Protocol::{Memcache, Redis};
use kinds::kinds_of_io;
use stage::{Cast, Stage};

const USUAL: Cast = Cast {
    protocol: Redis,
    ask: Ask::Get,
    workers: 1,
    clients_per_worker: 50,
    depth: 1,
    servers: 4,
    value_bytes: 64,
    io: Io::Epoll,
};

/// Rounds until all buffers have grown, with a margin: after some 320 nothing was allocated any more with epoll. What a ring
/// receives may end anywhere in a reply, so that it takes more rounds until each buffer has had its longest rest.
fn warm(io: Io) -> usize {
    if io == Io::Epoll { 600 } else { 2000 }
}

const ROUNDS: usize = 50;

fn check(name: &str, cast: Cast) {
    kinds_of_io().for_each(|io| check_with(&format!("{name}, {io:?}"), Cast { io, ..cast }));
}

fn check_with(name: &str, cast: Cast) {
    let mut stage = Stage::new(cast).expect("a kind that this kernel has");
    let mut rounds = |rounds: usize| {
        let mut allocations = 0;
        (0..rounds).for_each(|_| stage.round(&mut |turn| allocations += measure(turn).count_total));
        allocations
    };
    assert_ne!(rounds(warm(cast.io)), 0, "{name}: the first requests cannot do without");
    assert_eq!(rounds(ROUNDS), 0, "{name}: allocations in {ROUNDS} rounds");
}

#[test]
fn a_read_allocates_nothing() {
    check("redis GET", USUAL);
    check("memcached get", Cast { protocol: Memcache, ..USUAL });
}

#[test]
fn a_write_allocates_nothing() {
    check("redis SET", Cast { ask: Ask::Set, ..USUAL });
    check("memcached, 10 get : 1 set", Cast { protocol: Memcache, ask: Ask::GetsPerSet(10), ..USUAL });
}

#[test]
fn a_pipelined_request_allocates_nothing() {
    check("redis GET by 16", Cast { depth: 16, ..USUAL });
    check("redis SET by 16", Cast { depth: 16, ask: Ask::Set, ..USUAL });
    check("memcached get by 16", Cast { protocol: Memcache, depth: 16, ..USUAL });
}

#[test]
fn a_request_split_over_servers_allocates_nothing() {
    check("redis MGET of 20", Cast { ask: Ask::Many(20), ..USUAL });
    check("memcached get of 20", Cast { protocol: Memcache, ask: Ask::Many(20), ..USUAL });
}

/// Whether they fit the buffers that all connections use, or some connections need larger ones in every tick.
#[test]
fn a_large_value_allocates_nothing() {
    for clients_per_worker in [2, 4, 12] {
        let large = Cast { clients_per_worker, value_bytes: 16 << 10, ..USUAL };
        check("redis GET of 16 KiB", large);
        check("redis SET of 16 KiB", Cast { ask: Ask::Set, ..large });
    }
}

/// Replies that wait for an earlier one, or for other parts.
#[test]
fn large_values_that_wait_allocate_nothing() {
    let large = Cast { clients_per_worker: 2, value_bytes: 8 << 10, ..USUAL };
    check("redis GET of 8 KiB by 8", Cast { depth: 8, ..large });
    check("redis MGET of 5 of 8 KiB", Cast { ask: Ask::Many(5), ..large });
}
