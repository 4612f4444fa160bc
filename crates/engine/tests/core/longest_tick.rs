//! A measurement: how long a request of a million keys keeps a worker at one go.

use crate::rig::{Rig, pool, request};
use config::Protocol;
use std::time::{Duration, Instant};

/// What a worker reads at once.
const READ_BYTES: usize = 64 << 10;

/// How long the longest ticks take with a request of a million keys: `cargo test --release -p engine --test core
/// longest_tick -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn longest_tick() {
    const SERVERS: usize = 4;
    let keys: Vec<String> = (0..1_000_000).map(|n| format!("key:{n:09}")).collect();
    for protocol in [Protocol::Redis, Protocol::Memcache] {
        let mut rig = Rig::new(pool(protocol, SERVERS));
        let client = rig.client();
        let bytes = match protocol {
            Protocol::Redis => request(&format!("MGET {}", keys.join(" "))),
            Protocol::Memcache => format!("get {}\r\n", keys.join(" ")).into_bytes(),
        };
        for round in 0..3 {
            let mut times = Vec::new();
            for piece in bytes.chunks(READ_BYTES) {
                timed(&mut times, || rig.send_and_wait(client, piece));
            }
            println!("{protocol:?} {round}: read: {}", summary(&mut times));
            let sent: Vec<String> = loop {
                timed(&mut times, || rig.later(0));
                let sent: Vec<String> = (0..SERVERS).map(|server| rig.sent(server)).collect();
                if !sent[0].is_empty() {
                    break sent;
                }
            };
            println!("{protocol:?} {round}: split: {}", summary(&mut times));
            for (server, sent) in sent.iter().enumerate() {
                let reply = match protocol {
                    Protocol::Redis => {
                        let count = sent[1..].split("\r\n").next().unwrap().parse::<usize>().unwrap() - 1;
                        format!("*{count}\r\n{}", "$8\r\n12345678\r\n".repeat(count))
                    }
                    Protocol::Memcache => {
                        let values = sent.split_whitespace().skip(1);
                        values.map(|key| format!("VALUE {key} 0 8\r\n12345678\r\n")).collect::<String>()
                            + "END\r\n"
                    }
                };
                for piece in reply.as_bytes().chunks(READ_BYTES) {
                    timed(&mut times, || rig.reply(server, piece));
                }
            }
            println!("{protocol:?} {round}: replies: {}", summary(&mut times));
            while rig.core.usage().divided > 0 {
                timed(&mut times, || rig.later(0));
            }
            println!("{protocol:?} {round}: merge: {}", summary(&mut times));
            assert!(rig.read(client).len() >= 14_000_000);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "it is what is measured")]
fn timed(times: &mut Vec<Duration>, act: impl FnOnce()) {
    let begun = Instant::now();
    act();
    times.push(begun.elapsed());
}

/// The longest, each with its number.
fn summary(times: &mut Vec<Duration>) -> String {
    let all: Duration = times.iter().sum();
    let mut times: Vec<(Duration, usize)> = times.drain(..).zip(0..).collect();
    times.sort();
    format!("{} ticks, {all:?} in all, longest {:?}", times.len(), &times[times.len().saturating_sub(4)..])
}
