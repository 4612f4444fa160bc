//! How fast messages are read: nanoseconds per message and bytes per second, one row per kind.
//!
//! `cargo bench -p wire`. Each row is the best of several rounds over a buffer of many messages, which is
//! what a busy proxy sees; the best is the least disturbed on a shared machine.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use wire::memcache::{self, text};
use wire::resp::{self, encode, request};
use wire::{Args, Limits};

fn main() {
    let value = vec![b'v'; 64];
    let large = vec![b'v'; 64 << 10];
    let redis = |parts: &[&[u8]]| {
        let mut out = Vec::new();
        encode::request(parts.iter().copied(), &mut out);
        out
    };
    let many: Vec<Vec<u8>> = (0..100).map(|n| format!("key:{n:08}").into_bytes()).collect();
    let mget: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(many.iter().map(Vec::as_slice)).collect();
    let array = |element: &[u8]| [b"*100\r\n", &element.repeat(100)[..]].concat();
    let bulk = [b"$64\r\n", &value[..], b"\r\n"].concat();
    let block = [b"VALUE key:00000001 0 64\r\n", &value[..], b"\r\n"].concat();
    let set = [b"set key:00000001 0 0 64\r\n", &value[..], b"\r\n"].concat();
    let keys = [b"get", &b" key:00000001".repeat(100)[..], b"\r\n"].concat();

    println!("{:<34}{:>10}{:>14}{:>12}", "", "bytes", "ns/message", "MB/s");
    resp_request("redis request: GET", &redis(&[b"GET", b"key:00000001"]));
    resp_request("redis request: SET 64 B", &redis(&[b"SET", b"key:00000001", &value]));
    resp_request("redis request: SET 64 KiB", &redis(&[b"SET", b"key:00000001", &large]));
    resp_request("redis request: MGET of 100", &redis(&mget));
    resp_request("redis request: inline GET", b"GET key:00000001\r\n");
    resp_reply("redis reply: +OK", b"+OK\r\n");
    resp_reply("redis reply: integer", b":12345\r\n");
    resp_reply("redis reply: 64 B", &bulk);
    resp_reply("redis reply: array of 100 x 64 B", &array(&bulk));
    resp_reply("redis reply: array of 100 integers", &array(b":12345\r\n"));
    memcache_request("memcached request: get", b"get key:00000001\r\n");
    memcache_request("memcached request: set 64 B", &set);
    memcache_request("memcached request: get of 100", &keys);
    memcache_reply("memcached reply: STORED", b"STORED\r\n");
    memcache_reply("memcached reply: 1 value", &[&block[..], b"END\r\n"].concat());
    memcache_reply("memcached reply: 100 values", &[&block.repeat(100)[..], b"END\r\n"].concat());
}

fn resp_request(name: &str, message: &[u8]) {
    let (mut scan, mut args, limits) = (request::RequestScan::default(), Args::default(), Limits::default());
    measure(name, message, |buf| match scan.scan(buf, &limits, &mut args) {
        request::Scan::Complete { len, .. } => {
            black_box(args.len());
            len
        }
        other => panic!("{name}: {other:?}"),
    });
}

fn resp_reply(name: &str, message: &[u8]) {
    let (mut scan, limits) = (resp::ReplyScan::default(), Limits::default());
    measure(name, message, |buf| match scan.scan(buf, &limits) {
        resp::ReplyParse::Complete { len, .. } => len,
        other => panic!("{name}: {other:?}"),
    });
}

fn memcache_request(name: &str, message: &[u8]) {
    let (mut scan, mut args, limits) = (text::RequestScan::default(), Args::default(), Limits::default());
    let mut out = Vec::new();
    measure(name, message, |buf| match scan.scan(buf, &limits, &mut args) {
        text::Scan::Complete(request) => {
            out.clear();
            memcache::forward(&request, buf, &args, &mut out);
            black_box(out.len())
        }
        other => panic!("{name}: {other:?}"),
    });
}

fn memcache_reply(name: &str, message: &[u8]) {
    let (mut scan, limits) = (memcache::ReplyScan::default(), Limits::default());
    measure(name, message, |buf| match scan.scan(buf, &limits) {
        memcache::ReplyParse::Complete { len, .. } => len,
        other => panic!("{name}: {other:?}"),
    });
}

/// Reads a buffer full of `message`s to its end, over and over; prints the best round.
fn measure(name: &str, message: &[u8], mut read: impl FnMut(&[u8]) -> usize) {
    let count = ((256 << 10) / message.len()).max(4);
    let stream = message.repeat(count);
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        let mut rest = black_box(&stream[..]);
        while !rest.is_empty() {
            rest = &rest[read(rest)..];
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let each = best * 1e9 / count as f64;
    println!("{name:<34}{:>10}{each:>14.1}{:>12.0}", message.len(), message.len() as f64 * 1e3 / each);
}
