//! Client-side caching over real servers: clients are told what one redis would tell them, and none of them keeps an old
//! value.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use testkit::{Client, RedisServer, resp, wait};

use crate::farm::Farm;

const ALL: &[u8] = b">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// A client that speaks RESP3 and has said this.
fn tracking(farm: &Farm<RedisServer>, words: &str) -> Client {
    let mut client = farm.client();
    assert!(client.ask(&["HELLO", "3"]).starts_with(b"%7"));
    assert_eq!(say(&mut client, words), b"+OK\r\n");
    client
}

fn say(client: &mut Client, words: &str) -> Vec<u8> {
    client.ask(&words.split(' ').collect::<Vec<_>>())
}

/// What two clients do one after another: `a` tracks and `b` writes. Behind each request of either, how many messages `a`
/// reads then.
const STEPS: &[(&str, &str, usize)] = &[
    ("a", "CLIENT TRACKING ON", 0),
    ("a", "GET k", 0),
    ("b", "SET k 1", 1),
    ("b", "SET k 2", 0),
    ("a", "GET k", 0),
    ("a", "GET k", 0),
    ("a", "SET k 3", 1),
    ("a", "HGETALL h", 0),
    ("a", "SCARD s", 0),
    ("b", "HSET h f v", 1),
    ("b", "SADD s x", 1),
    ("a", "MGET k", 0),
    ("b", "DEL k", 1),
    ("a", "EXISTS k", 0),
    ("b", "MSET k 1 other 2", 1),
    ("a", "GET k", 0),
    ("b", "EXPIRE k 100", 1),
    ("a", "EVAL_RO return{redis.call('GET',KEYS[1])} 1 k", 0),
    ("b", "INCR k", 1),
    ("a", "MULTI", 0),
    ("a", "GET k", 0),
    ("a", "SET k 7", 0),
    ("a", "EXEC", 1),
    ("a", "GETSET k 8", 0),
    ("b", "SET k 9", 0),
    ("a", "GET k", 0),
    ("b", "FLUSHALL", 1),
    ("a", "CLIENT TRACKINGINFO", 0),
    ("a", "CLIENT TRACKING ON OPTIN NOLOOP", 0),
    ("a", "GET one", 0),
    ("a", "CLIENT CACHING YES", 0),
    ("a", "GET two", 0),
    ("a", "GET three", 0),
    ("b", "SET one 1", 0),
    ("b", "SET three 1", 0),
    ("b", "SET two 1", 1),
    ("a", "CLIENT CACHING YES", 0),
    ("a", "MULTI", 0),
    ("a", "GET one", 0),
    ("a", "EXEC", 0),
    ("a", "GET two", 0),
    ("b", "SET two 2", 0),
    ("b", "SET one 2", 1),
    ("a", "CLIENT TRACKINGINFO", 0),
    ("a", "CLIENT TRACKING OFF", 0),
    ("a", "GET k", 0),
    ("b", "SET k 1", 0),
    ("a", "CLIENT TRACKING ON OPTOUT", 0),
    ("a", "CLIENT CACHING NO", 0),
    ("a", "GET k", 0),
    ("a", "GET l", 0),
    ("b", "SET k 2", 0),
    ("b", "SET l 2", 1),
    ("a", "CLIENT TRACKING OFF", 0),
    ("a", "CLIENT TRACKING ON NOLOOP", 0),
    ("a", "MGET k l h", 0),
    ("a", "SET k 3", 0),
    ("b", "SET k 4", 0),
    ("a", "GET k", 0),
    ("b", "SET k 5", 1),
    ("a", "SETNX k 6", 0),
    ("a", "GET k", 0),
    ("a", "SETNX k 6", 0),
    ("b", "SET k 7", 1),
    ("a", "MGET k l", 0),
    ("a", "DEL k l", 0),
    ("a", "MGET k l", 0),
    ("a", "DEL k l", 0),
    ("b", "MSET k 1 l 1", 2),
    ("a", "MGET k l", 0),
    ("a", "MSET k 2 l 2", 0),
    ("a", "GET k", 0),
    ("a", "SET k 3 GET", 0),
    ("a", "GET k", 0),
    ("a", "LPUSH k 1", 0),
    ("b", "INCR k", 1),
    ("a", "HGETALL h2", 0),
    ("a", "HSET h2 f v", 0),
    ("b", "HSET h2 f w", 0),
    ("a", "HGETALL h2", 0),
    ("a", "HDEL h2 nothing", 0),
    ("b", "HSET h2 f x", 1),
    ("a", "MGET k l", 0),
    ("a", "MULTI", 0),
    ("a", "GET k", 0),
    ("a", "SET k 9", 0),
    ("a", "INCR l", 0),
    ("a", "EXEC", 0),
    ("b", "MSET k 1 l 1", 0),
    ("a", "GET k", 0),
    ("a", "EXPIRE k 100", 0),
    ("a", "GETDEL k", 0),
    ("a", "GET k", 0),
    ("b", "FLUSHALL", 1),
    ("a", "PING", 0),
    ("a", "CLIENT TRACKING OFF", 0),
    ("a", "CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:", 0),
    ("b", "SET user:1 x", 1),
    ("b", "SET user:1 x", 1),
    ("b", "SET thing:1 x", 0),
    ("b", "SET item:1 x", 1),
    ("a", "GET user:1", 0),
    ("a", "SET user:1 y", 1),
    ("a", "CLIENT TRACKING ON BCAST PREFIX thing:", 0),
    ("b", "DEL thing:1", 1),
    ("b", "FLUSHALL", 1),
    ("a", "CLIENT TRACKINGINFO", 0),
    ("a", "CLIENT TRACKING ON", 0),
    ("a", "RESET", 0),
    ("b", "SET user:1 z", 0),
    ("a", "PING", 0),
];

/// Plays the steps; answers what is read at each.
fn play(mut a: Client, mut b: Client) -> Vec<String> {
    a.ask(&["HELLO", "3"]);
    let play = |(who, words, told): &(&str, &str, usize)| {
        let mut read = say(if *who == "a" { &mut a } else { &mut b }, words);
        (0..*told).for_each(|_| read.extend(a.resp_reply()));
        format!("{words}: {}", read.escape_ascii())
    };
    STEPS.iter().map(play).collect()
}

#[test]
fn a_client_is_told_what_redis_tells() {
    for options in [&[][..], &["server_connections: 3"]] {
        let farm = Farm::redis_of(1, 2, options);
        let theirs = play(farm.direct.client(), farm.direct.client());
        assert_eq!(play(farm.client(), farm.client()), theirs);
    }
}

/// A client with a cache: what it has read and was not told to forget.
struct Cached {
    client: Client,
    cache: BTreeMap<String, Vec<u8>>,
    /// Requests that are not answered, each with its keys.
    asked: std::collections::VecDeque<Vec<String>>,
}

impl Cached {
    fn ask(&mut self, keys: &[String]) {
        let words: Vec<&str> = match keys {
            [key] => vec!["GET", key],
            keys => std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect(),
        };
        self.client.send(&resp(&words));
        self.asked.push_back(keys.to_vec());
    }

    /// Reads one message or reply.
    fn read(&mut self) {
        let reply = self.client.resp_reply();
        if reply == ALL {
            return self.cache.clear();
        }
        let text = String::from_utf8(reply).expect("words");
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with(['$', '*', '>'])).collect();
        if text.starts_with('>') {
            assert_eq!(values[0], "invalidate");
            values[1..].iter().for_each(|key| _ = self.cache.remove(*key));
            return;
        }
        let keys = self.asked.pop_front().expect("a reply to something");
        assert_eq!(keys.len(), values.len(), "{text}");
        for (key, value) in keys.into_iter().zip(values) {
            self.cache.insert(key, value.as_bytes().to_vec());
        }
    }
}

/// Clients read what they do not have, in pipelines and over all servers at once, while others write. When all is quiet, none
/// of them has an old value.
#[test]
fn nobody_keeps_an_old_value() {
    const KEYS: usize = 24;
    const WRITES: usize = 3000;
    for (mode, options) in [
        ("CLIENT TRACKING ON", &[][..]),
        ("CLIENT TRACKING ON NOLOOP", &["server_connections: 3"]),
        ("CLIENT TRACKING ON BCAST PREFIX key: PREFIX nothing", &[]),
        ("CLIENT TRACKING ON BCAST", &["server_connections: 2"]),
    ] {
        let farm = Farm::redis(2, options);
        let keys: Vec<String> = (0..KEYS).map(|n| format!("key:{n}")).collect();
        let mut writer = farm.client();
        keys.iter().for_each(|key| assert_eq!(writer.ask(&["SET", key, "0"]), b"+OK\r\n"));
        let writing = std::sync::atomic::AtomicBool::new(true);
        thread::scope(|scope| {
            let (farm, keys, writing) = (&farm, &keys, &writing);
            let readers: Vec<_> = (0..6)
                .map(|reader| {
                    scope.spawn(move || {
                        let client = tracking(farm, mode);
                        let mut cached = Cached { client, cache: BTreeMap::new(), asked: Default::default() };
                        let mut round = reader;
                        while writing.load(std::sync::atomic::Ordering::Relaxed) {
                            round += 1;
                            let wanted = |n: usize| keys[(round * 7 + n * 5) % KEYS].clone();
                            for n in 0..4 {
                                cached.ask(&[wanted(n)]);
                                cached.ask(&[wanted(n + 1), wanted(n + 2), wanted(n + 3)]);
                            }
                            while !cached.asked.is_empty() {
                                cached.read();
                            }
                        }
                        cached
                    })
                })
                .collect();
            for n in 0..WRITES {
                writer.ask(&["INCR", &keys[n * n % KEYS]]);
            }
            writing.store(false, std::sync::atomic::Ordering::Relaxed);
            let last: Vec<Vec<u8>> = keys
                .iter()
                .map(|key| String::from_utf8(writer.ask(&["GET", key])).expect("a number"))
                .map(|reply| reply.lines().nth(1).expect("a value").as_bytes().to_vec())
                .collect();
            for reader in readers {
                let mut cached = reader.join().expect("the reader does not panic");
                // What is still to be told is under way; nothing else is, so that reading it would fail.
                let old = |cached: &Cached| {
                    keys.iter()
                        .zip(&last)
                        .any(|(key, last)| cached.cache.get(key).is_some_and(|have| have != last))
                };
                while old(&cached) {
                    cached.read();
                }
            }
        });
    }
}

/// How many of a server's clients track.
fn trackers(server: &RedisServer) -> usize {
    let list = String::from_utf8(server.client().ask(&["CLIENT", "LIST"])).expect("text");
    let flags =
        list.lines().filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix("flags=")));
    flags.filter(|flags| flags.contains('t')).count()
}

#[test]
fn clients_share_connections() {
    let farm = Farm::redis(2, &[]);
    let keys: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let mut clients: Vec<Client> = (0..30).map(|_| tracking(&farm, "CLIENT TRACKING ON")).collect();
    let mut all: Vec<Client> = (0..30).map(|_| tracking(&farm, "CLIENT TRACKING ON BCAST")).collect();
    for client in &mut clients {
        keys.iter().for_each(|key| assert_eq!(client.ask(&["GET", key]), b"_\r\n"));
    }
    for server in &farm.servers {
        assert_eq!(trackers(server), 4, "of either kind one for each worker");
    }
    let mut writer = farm.client();
    writer.ask(&["SET", &keys[7], "x"]);
    let told = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nkey:7\r\n";
    clients.iter_mut().chain(&mut all).for_each(|client| client.expect(told));
    drop(all);
    wait::until("nobody to be told of all keys", || farm.servers.iter().all(|server| trackers(server) == 2));
}

#[test]
fn a_lost_server_is_told_to_those_who_have_read_something() {
    let mut farm = Farm::redis(2, &["timeout: 2000"]);
    let keys: BTreeSet<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let mut readers: Vec<Client> = (0..4).map(|_| tracking(&farm, "CLIENT TRACKING ON")).collect();
    let mut all: Vec<Client> = (0..4).map(|_| tracking(&farm, "CLIENT TRACKING ON BCAST")).collect();
    for client in &mut readers {
        keys.iter().for_each(|key| assert_eq!(client.ask(&["GET", key]), b"_\r\n"));
    }
    let port = farm.servers[1].port();
    farm.servers.remove(1);
    readers.iter_mut().chain(&mut all).for_each(|client| client.expect(ALL));
    let again = RedisServer::start_on(port, &[]).unwrap_or_else(|e| panic!("{e}"));
    farm.servers.insert(1, again);
    // Once it tells of its keys again, what was read meanwhile may have changed.
    all.iter_mut().for_each(|client| client.expect(ALL));
    let mut writer = farm.client();
    for key in &keys {
        let told = resp(&["invalidate", key]);
        let told = String::from_utf8(told)
            .expect("text")
            .replacen('*', ">", 1)
            .replace("idate\r\n", "idate\r\n*1\r\n");
        wait::until("the proxy to reach it", || writer.ask(&["SET", key, "v"]) == b"+OK\r\n");
        all.iter_mut().for_each(|client| client.expect(told.as_bytes()));
        let reader = &mut readers[0];
        assert_eq!(reader.ask(&["GET", key]), b"$1\r\nv\r\n");
        writer.ask(&["SET", key, "w"]);
        reader.expect(told.as_bytes());
        all.iter_mut().for_each(|client| client.expect(told.as_bytes()));
    }
}

#[test]
fn clients_of_all_kinds_are_listed() {
    let farm = Farm::redis(2, &[]);
    let mut one = tracking(&farm, "CLIENT TRACKING ON");
    let _two = tracking(&farm, "CLIENT TRACKING ON BCAST");
    let list = String::from_utf8(one.ask(&["CLIENT", "LIST"])).expect("text");
    let field = |name: &'static str| {
        let lines = list.lines().filter(|line| line.contains(" resp=3"));
        lines
            .filter_map(move |line| line.split(' ').find_map(|field| field.strip_prefix(name)))
            .collect::<Vec<_>>()
    };
    assert_eq!((field("flags="), field("redir=")), (vec!["t", "tB"], vec!["0", "0"]));
}
