//! Keys go where nutcracker sends them: random pools side by side over the same servers, each of which answers
//! any GET with its own number.
//!
//! The layers below compare recorded rings; this asks the whole program, configuration included.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use testkit::{Client, Nutcracker, framing, ports, resp};

use crate::rig;

#[test]
fn random_pools_place_every_key_as_nutcracker_does() {
    if !rig::has_nutcracker() {
        return;
    }
    let servers: Vec<u16> = (0..SERVERS).map(named_server).collect();
    let mut random = Random(SEED);
    let pools: Vec<Pool> = (0..POOLS).map(|index| Pool::draw(index, &servers, &mut random)).collect();
    let (theirs, ours) = (ports::free_many(POOLS), ports::free_many(POOLS));
    let config = |listens: &[u16]| -> String {
        pools
            .iter()
            .zip(listens)
            .map(|(pool, port)| rig::pool(&pool.name, *port, &pool.settings, &pool.lines))
            .collect()
    };
    let _nutcracker = Nutcracker::start(&config(&theirs)).unwrap_or_else(|error| panic!("{error}"));
    let _cashew = rig::cashew(&config(&ours), &["--threads", "1"]);
    for (pool, (theirs, ours)) in pools.iter().zip(theirs.iter().zip(&ours)) {
        let keys: Vec<Vec<u8>> = (0..KEYS).map(|_| pool.key(&mut random)).collect();
        let (theirs, ours) = (answers(*theirs, pool.redis, &keys), answers(*ours, pool.redis, &keys));
        for (key, (theirs, ours)) in keys.iter().zip(theirs.iter().zip(&ours)) {
            let context =
                || format!("seed {SEED}, {}: {}\n{}", pool.name, pool.settings, pool.lines.join("\n"));
            assert_eq!(theirs, ours, "key \"{}\", {}", key.escape_ascii(), context());
        }
    }
}

/// A pool as drawn.
struct Pool {
    name: String,
    redis: bool,
    settings: String,
    lines: Vec<String>,
}

impl Pool {
    fn draw(index: usize, servers: &[u16], random: &mut Random) -> Pool {
        let redis = random.below(3) > 0;
        // Every hash comes up, whatever the seed.
        let hash = HASHES[index % HASHES.len()];
        let distribution = if random.below(3) == 0 { "modula" } else { "ketama" };
        let tag = TAGS[random.below(TAGS.len())];
        let mut settings = format!("redis: {redis}\nhash: {hash}\ndistribution: {distribution}\n");
        if !tag.is_empty() {
            settings += &format!("hash_tag: \"{tag}\"\n");
        }
        let (weighted, named) = (random.below(2) == 0, random.below(2) == 0);
        let mut chosen = servers.to_vec();
        random.shuffle(&mut chosen);
        chosen.truncate(1 + random.below(servers.len()));
        let line = |(index, port): (usize, &u16)| {
            let weight = if weighted { 1 + random.below(10) } else { 1 };
            // Names of several lengths: shorter ones sort first, and order matters.
            let name = if named {
                format!(" n{}", "x".repeat(random.below(4)) + &index.to_string())
            } else {
                String::new()
            };
            format!("127.0.0.1:{port}:{weight}{name}")
        };
        let lines = chosen.iter().enumerate().map(line).collect();
        Pool { name: format!("pool{index}"), redis, settings, lines }
    }

    /// A key of any bytes its protocol takes, often with the characters of hash tags.
    fn key(&self, random: &mut Random) -> Vec<u8> {
        let longest = if random.below(10) == 0 { 200 } else { 16 };
        let length = 1 + random.below(longest);
        let byte = |random: &mut Random| match random.below(4) {
            0 => b"{}$@x"[random.below(5)],
            1 => 0x80 | random.byte(),
            2 if self.redis => random.byte(),
            _ => b'!' + random.byte() % 94,
        };
        (0..length).map(|_| byte(random)).collect()
    }
}

/// Who answered for each key. All keys are pipelined.
fn answers(port: u16, redis: bool, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    let request = |key: &Vec<u8>| match redis {
        true => resp(&[b"GET", key.as_slice()]),
        false => [b"get ", key.as_slice(), b"\r\n"].concat(),
    };
    client.send(&keys.iter().flat_map(request).collect::<Vec<u8>>());
    keys.iter().map(|_| if redis { client.resp_reply() } else { client.memcache_reply() }).collect()
}

/// A server that answers every request with its number. Its threads end with the proxies, or with the test.
fn named_server(number: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port can be bound");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, number));
        }
    });
    port
}

fn serve(mut stream: TcpStream, number: usize) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..count]);
        let (mut used, mut replies) = (0, Vec::new());
        while let Ok(Some(length)) = framing::request(&bytes[used..]) {
            let request = &bytes[used..used + length];
            if request.starts_with(b"*") {
                replies.extend_from_slice(format!("$5\r\ns{number:04}\r\n").as_bytes());
            } else {
                for key in request.trim_ascii_end().split(|byte| *byte == b' ').skip(1) {
                    let value = format!(" 0 5\r\ns{number:04}\r\n");
                    replies.extend_from_slice(&[b"VALUE ", key, value.as_bytes()].concat());
                }
                replies.extend_from_slice(b"END\r\n");
            }
            used += length;
        }
        bytes.drain(..used);
        if stream.write_all(&replies).is_err() {
            return;
        }
    }
}

/// xorshift: the same pools every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

const SEED: u64 = 0x5eed_0123_4567_89ab;
const POOLS: usize = 36;
const KEYS: usize = 300;
/// With 25 equal servers ketama's rounding shows.
const SERVERS: usize = 26;

const HASHES: &[&str] = &[
    "one_at_a_time",
    "md5",
    "crc16",
    "crc32",
    "crc32a",
    "fnv1_64",
    "fnv1a_64",
    "fnv1_32",
    "fnv1a_32",
    "hsieh",
    "murmur",
    "jenkins",
];
const TAGS: &[&str] = &["", "{}", "$$", "{x"];
