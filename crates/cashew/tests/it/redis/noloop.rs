//! NOLOOP over real servers: clients that write what they keep are not told of it, and yet keep no old value of what others
//! have written.

use std::collections::{BTreeMap, VecDeque};
use std::thread;

use testkit::{Client, RedisServer, resp};

use crate::farm::Farm;

const KEYS: usize = 16;
const ROUNDS: usize = 400;

/// What the next reply is to.
enum Asked {
    Read(Vec<String>),
    /// A write, and the replies to it that say that nothing was changed.
    Write(Vec<String>, &'static [&'static str]),
    /// Keeps this value from then on.
    Own(String, String),
    /// The last read of a transaction: of its first key.
    Exec(String, String),
    Nothing,
}

/// A client with a cache, in which what it writes itself stays if it says so.
struct Cached {
    client: Client,
    cache: BTreeMap<String, String>,
    asked: VecDeque<Asked>,
}

impl Cached {
    fn ask(&mut self, words: &str, asked: Asked) {
        self.client.send(&resp(&words.split(' ').collect::<Vec<_>>()));
        self.asked.push_back(asked);
    }

    /// Reads one message or reply.
    fn read(&mut self) {
        let text = String::from_utf8(self.client.resp_reply()).expect("words");
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with(['$', '*', '>'])).collect();
        if text.starts_with('>') {
            assert_eq!(values[0], "invalidate");
            for key in &values[1..] {
                assert!(!key.starts_with("mine:"), "nobody else writes {key}");
                self.cache.remove(*key);
            }
            return;
        }
        match self.asked.pop_front().expect("a reply to something") {
            Asked::Read(keys) => {
                assert_eq!(keys.len(), values.len(), "{text}");
                let pairs = keys.into_iter().zip(values.into_iter().map(str::to_owned));
                self.cache.extend(pairs);
            }
            Asked::Write(_, nothing) if nothing.contains(&&*text) => {}
            Asked::Write(keys, _) => keys.iter().for_each(|key| _ = self.cache.remove(key)),
            Asked::Own(key, value) => _ = self.cache.insert(key, value),
            Asked::Exec(read, written) => {
                self.cache.insert(read, (*values.last().expect("a value")).to_owned());
                self.cache.remove(&written);
            }
            Asked::Nothing => {}
        }
    }

    /// Asks many things at once, which others ask as well.
    fn round(&mut self, keys: &[String], who: usize, round: usize) {
        let key = |n: usize| keys[(round * 7 + n * 5 + who * 3) % KEYS].clone();
        let (a, b, c) = (key(0), key(1), key(2));
        let value = format!("{who}.{round}");
        self.ask(&format!("MGET {a} {b} {c}"), Asked::Read(vec![a.clone(), b.clone(), c.clone()]));
        let mine = format!("mine:{who}");
        self.ask(&format!("GET {mine}"), Asked::Read(vec![mine.clone()]));
        match round % 6 {
            0 => self.ask(&format!("SET {a} {value}"), Asked::Write(vec![a.clone()], &[])),
            1 => self.ask(&format!("SETNX {a} {value}"), Asked::Write(vec![a.clone()], &[":0\r\n"])),
            2 => self.ask(&format!("DEL {a}"), Asked::Write(vec![a.clone()], &[":0\r\n"])),
            3 => self
                .ask(&format!("MSET {a} {value} {b} {value}"), Asked::Write(vec![a.clone(), b.clone()], &[])),
            4 => self.ask(&format!("SET {a} {value} XX"), Asked::Write(vec![a.clone()], &["_\r\n"])),
            _ => {
                ["MULTI".to_owned(), format!("SET {{t}}{who} {value}"), format!("SET {{t}} {value}")]
                    .iter()
                    .for_each(|words| self.ask(words, Asked::Nothing));
                self.ask("GET {t}", Asked::Nothing);
                self.ask("EXEC", Asked::Exec("{t}".into(), format!("{{t}}{who}")));
            }
        }
        self.ask(&format!("SET {mine} {value}"), Asked::Own(mine, value));
        if round.is_multiple_of(3) {
            self.ask(&format!("GET {a}"), Asked::Read(vec![a]));
        }
        while !self.asked.is_empty() {
            self.read();
        }
    }
}

#[test]
fn own_changes_are_not_told_and_those_of_others_are() {
    const CLIENTS: usize = 6;
    for options in [&[][..], &["server_connections: 3"]] {
        let farm = Farm::redis(2, options);
        let keys: Vec<String> = (0..KEYS).map(|n| format!("key:{n}")).collect();
        let clients: Vec<Cached> = thread::scope(|scope| {
            let (farm, keys) = (&farm, &keys);
            let play = |who: usize| {
                let mut client = farm.client();
                assert!(client.ask(&["HELLO", "3"]).starts_with(b"%7"));
                assert_eq!(client.ask(&["CLIENT", "TRACKING", "ON", "NOLOOP"]), b"+OK\r\n");
                let mut cached = Cached { client, cache: BTreeMap::new(), asked: VecDeque::new() };
                (0..ROUNDS).for_each(|round| cached.round(keys, who, round));
                cached
            };
            let all: Vec<_> = (0..CLIENTS).map(|who| scope.spawn(move || play(who))).collect();
            all.into_iter().map(|one| one.join().expect("no client panics")).collect()
        });
        let mut plain = farm.client();
        let mut now = |farm_key: &str| -> String {
            let reply = String::from_utf8(plain.ask(&["GET", farm_key])).expect("text");
            reply.lines().nth(1).map_or("_".to_owned(), str::to_owned)
        };
        for (who, mut cached) in clients.into_iter().enumerate() {
            let mine = format!("mine:{who}");
            assert_eq!(cached.cache.get(&mine), Some(&now(&mine)), "what it wrote itself stays");
            let last: BTreeMap<String, String> =
                cached.cache.keys().map(|key| (key.clone(), now(key))).collect();
            // What is still to be told is under way; nothing else is, so that reading it would fail.
            while cached.cache.iter().any(|(key, have)| last[key] != *have) {
                cached.read();
            }
        }
    }
}

#[test]
fn others_on_the_same_connection_are_told() {
    let farm: Farm<RedisServer> = Farm::redis_of(1, 1, &[]);
    let mut clients: Vec<Client> = (0..3).map(|_| farm.client()).collect();
    for client in &mut clients {
        client.ask(&["HELLO", "3"]);
        assert_eq!(client.ask(&["CLIENT", "TRACKING", "ON", "NOLOOP"]), b"+OK\r\n");
        assert_eq!(client.ask(&["GET", "k"]), b"_\r\n");
    }
    assert_eq!(clients[0].ask(&["SET", "k", "1"]), b"+OK\r\n");
    let told = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    clients[1..].iter_mut().for_each(|client| client.expect(told));
    assert_eq!(clients[0].ask(&["PING"]), b"+PONG\r\n", "and not the writer");
}
