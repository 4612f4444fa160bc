//! Many clients at once over few shared server connections: every reply must be its own client's, in order.
//! Values carry the client's number and a sequence number, so that a reply that went astray names its owner.

use std::thread;

use testkit::{Client, Memcached, RedisServer, resp};

use crate::farm::{self, Farm};
use crate::random::Random;

/// Workers, and connections to each server.
const SHAPES: [(usize, usize); 4] = [(1, 1), (1, 3), (2, 1), (2, 3)];
/// Clients at a time.
const CLIENTS: usize = 50;
/// Pipelines that each of them sends.
const BATCHES: usize = 20;
/// Most requests in a pipeline.
const BATCH: usize = 30;

#[test]
fn redis_clients_get_their_own_replies() {
    for (threads, conns) in SHAPES {
        let farm: Farm<RedisServer> = Farm::redis(threads, &[&format!("server_connections: {conns}")]);
        crowd(&farm, redis_request);
        assert_eq!(farm.client().ask(&["PING"]), b"+PONG\r\n");
    }
}

#[test]
fn memcached_clients_get_their_own_replies() {
    for (threads, conns) in SHAPES {
        let farm: Farm<Memcached> = Farm::memcached(threads, &[&format!("server_connections: {conns}")]);
        crowd(&farm, memcached_request);
        assert!(farm.client().ask_memcache(b"version\r\n").starts_with(b"VERSION "));
    }
}

/// What a client has stored under its own keys.
struct Stamps {
    client: usize,
    sequence: usize,
    counter: u64,
    values: Vec<Option<String>>,
}

/// Keys of each client.
const KEYS: usize = 8;

impl Stamps {
    fn new(client: usize) -> Stamps {
        Stamps { client, sequence: 0, counter: 0, values: vec![None; KEYS] }
    }

    fn key(&self, index: usize) -> String {
        format!("client:{}:{index}", self.client)
    }

    /// A value that nobody else ever has; some are long.
    fn next(&mut self, random: &mut Random) -> String {
        self.sequence += 1;
        let padding = [0, 0, 0, 10, 300, 20_000][random.within(0..6)];
        format!("<client {} sequence {} {}>", self.client, self.sequence, "x".repeat(padding))
    }
}

/// Appends one request and the reply that it must have.
type Request = fn(&mut Stamps, &mut Random, &mut Vec<u8>, &mut Vec<u8>);

fn crowd<S: Sync>(farm: &Farm<S>, request: Request) {
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || one_client(number, farm.client(), request));
            // Beside each that stays, one that goes in the middle of what it asked: its replies are nobody's.
            scope.spawn(move || one_that_leaves(CLIENTS + number, farm.client(), request));
        }
    });
}

fn one_client(number: usize, mut client: Client, request: Request) {
    let mut random = Random::new(number as u64 + 1);
    let mut stamps = Stamps::new(number);
    for _ in 0..BATCHES {
        let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
        for _ in 0..random.within(1..BATCH + 1) {
            request(&mut stamps, &mut random, &mut bytes, &mut wanted);
        }
        // Mostly in one write, sometimes cut.
        match random.within(0..4) {
            0 => client.send_pieces(bytes.chunks(random.within(bytes.len() / 20 + 1..bytes.len() + 2))),
            _ => client.send(&bytes),
        }
        farm::same(&client.exactly(wanted.len()), &wanted);
    }
}

fn one_that_leaves(number: usize, mut client: Client, request: Request) {
    let mut random = Random::new(number as u64 + 1);
    let mut stamps = Stamps::new(number);
    let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES * 5 {
        request(&mut stamps, &mut random, &mut bytes, &mut wanted);
    }
    client.send(&bytes[..random.within(1..bytes.len())]);
    if random.within(0..2) == 0 {
        client.reset();
    }
}

fn redis_request(stamps: &mut Stamps, random: &mut Random, bytes: &mut Vec<u8>, wanted: &mut Vec<u8>) {
    let index = random.within(0..KEYS);
    let key = stamps.key(index);
    match random.within(0..8) {
        0 | 1 => {
            let value = stamps.next(random);
            bytes.extend(resp(&["SET", &key, &value]));
            wanted.extend_from_slice(b"+OK\r\n");
            stamps.values[index] = Some(value);
        }
        2 | 3 => {
            bytes.extend(resp(&["GET", &key]));
            wanted.extend(bulk(stamps.values[index].as_deref()));
        }
        4 => {
            let keys: Vec<usize> = (0..random.within(2..12)).map(|_| random.within(0..KEYS)).collect();
            let words = keys.iter().map(|index| stamps.key(*index));
            bytes.extend(resp(&std::iter::once("MGET".to_owned()).chain(words).collect::<Vec<_>>()));
            wanted.extend(format!("*{}\r\n", keys.len()).bytes());
            keys.iter().for_each(|index| wanted.extend(bulk(stamps.values[*index].as_deref())));
        }
        5 => {
            stamps.counter += 1;
            bytes.extend(resp(&["INCR", &format!("count:{}", stamps.client)]));
            wanted.extend(format!(":{}\r\n", stamps.counter).bytes());
        }
        6 => {
            let stamp = stamps.next(random);
            bytes.extend(resp(&["EVAL", "return {ARGV[1],KEYS[1]}", "1", &key, &stamp]));
            wanted.extend_from_slice(b"*2\r\n");
            wanted.extend([bulk(Some(&stamp)), bulk(Some(&key))].concat());
        }
        _ => {
            // Answered by the proxy itself, but not before what is ahead of it.
            let stamp = stamps.next(random);
            bytes.extend(resp(&["ECHO", &stamp]));
            wanted.extend(bulk(Some(&stamp)));
        }
    }
}

fn memcached_request(stamps: &mut Stamps, random: &mut Random, bytes: &mut Vec<u8>, wanted: &mut Vec<u8>) {
    let index = random.within(0..KEYS);
    let key = stamps.key(index);
    match random.within(0..7) {
        0 | 1 => {
            let value = stamps.next(random);
            bytes.extend(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()).bytes());
            wanted.extend_from_slice(b"STORED\r\n");
            stamps.values[index] = Some(value);
        }
        2 => {
            let value = stamps.next(random);
            bytes.extend(format!("set {key} 0 0 {} noreply\r\n{value}\r\n", value.len()).bytes());
            stamps.values[index] = Some(value);
        }
        3 | 4 => {
            let keys: Vec<usize> = (0..random.within(1..12)).map(|_| random.within(0..KEYS)).collect();
            let words: Vec<String> = keys.iter().map(|index| stamps.key(*index)).collect();
            bytes.extend(format!("get {}\r\n", words.join(" ")).bytes());
            for index in keys {
                if let Some(value) = &stamps.values[index] {
                    let block = format!("VALUE {} 0 {}\r\n{value}\r\n", stamps.key(index), value.len());
                    wanted.extend(block.bytes());
                }
            }
            wanted.extend_from_slice(b"END\r\n");
        }
        5 => {
            bytes.extend(format!("delete {key}\r\n").bytes());
            let found = stamps.values[index].take().is_some();
            wanted.extend_from_slice(if found { b"DELETED\r\n" } else { b"NOT_FOUND\r\n" });
        }
        _ => {
            // Refused by the proxy itself, but not before what is ahead of it.
            bytes.extend_from_slice(b"incr key not-a-number\r\n");
            wanted.extend_from_slice(b"CLIENT_ERROR invalid numeric delta argument\r\n");
        }
    }
}

fn bulk(value: Option<&str>) -> Vec<u8> {
    match value {
        Some(value) => format!("${}\r\n{value}\r\n", value.len()).into_bytes(),
        None => b"$-1\r\n".to_vec(),
    }
}
