//! Subscriptions in any order, with servers that break and clients that leave: whoever has read a confirmation gets what is
//! published, once, and nobody else does.

use crate::rig::{Rig, redis, request};
use engine::error::Cause;
use stats::PoolMetric;
use std::collections::{BTreeMap, BTreeSet};
use wire::Limits;
use wire::resp::reply::{self, ReplyParse, ReplyScan};

const SERVERS: usize = 3;
const CLIENTS: usize = 6;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PATTERNS: [&str; 3] = ["*", "a*", "[a-c]"];

/// What a server is subscribed to by the proxy, as confirmed: the kind's word and the name.
type Set = BTreeSet<(String, String)>;

struct Storm {
    rig: Rig,
    seed: u64,
    servers: Vec<Set>,
    clients: Vec<usize>,
    /// By client: its subscriptions as it has read them.
    read: BTreeMap<usize, Set>,
    /// Messages that it has read since the last publishing.
    messages: BTreeMap<usize, Vec<Vec<String>>>,
}

/// The words of an array or a push; integers and nulls are left empty.
fn words(bytes: &[u8]) -> Vec<String> {
    let (_, elements) = reply::elements(bytes).expect("an array");
    let word = |element| String::from_utf8_lossy(reply::bulk(element).unwrap_or(b"")).into_owned();
    elements.map(word).collect()
}

fn replies(text: &str) -> Vec<&[u8]> {
    let mut rest = text.as_bytes();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let ReplyParse::Complete { len, .. } = ReplyScan::default().scan(rest, &Limits::NONE) else {
            panic!("half a reply: {text}");
        };
        let (reply, after) = rest.split_at(len);
        found.push(reply);
        rest = after;
    }
    found
}

/// How a kind is called, given a word that has to do with it.
fn kind(word: &str) -> String {
    word.replace("unsubscribe", "subscribe").replace("message", "subscribe")
}

fn array(words: &[&str]) -> String {
    String::from_utf8(request(&words.join(" "))).expect("text")
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern {
        "*" => true,
        "a*" => name == "a",
        _ => ["a", "b", "c"].contains(&name),
    }
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut rig = redis(SERVERS);
        let clients: Vec<usize> = (0..CLIENTS).map(|_| rig.client()).collect();
        Storm {
            rig,
            seed,
            servers: vec![Set::new(); SERVERS],
            clients,
            read: BTreeMap::new(),
            messages: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 33) as usize % bound
    }

    fn step(&mut self) {
        let place = self.below(CLIENTS);
        let client = self.clients[place];
        match self.below(12) {
            0..=3 => self.ask(client, "SUBSCRIBE"),
            4 => self.ask(client, "UNSUBSCRIBE"),
            5..=6 => {
                let server = self.below(SERVERS);
                self.serve(server);
            }
            7..=9 => self.publish(),
            10 => match self.below(4) {
                0 => {
                    self.rig.vanish(client);
                    self.read.remove(&client);
                    self.messages.remove(&client);
                    self.clients[place] = self.rig.client();
                }
                1 => {
                    let server = self.below(SERVERS);
                    self.lose(server);
                }
                _ => {
                    let ms = self.below(100) as u64;
                    self.rig.later(ms);
                }
            },
            _ => self.rig.later(0),
        }
        self.look();
    }

    fn ask(&mut self, client: usize, word: &str) {
        let (prefix, names) = if self.below(3) == 0 { ("P", &PATTERNS[..]) } else { ("", &NAMES[..]) };
        let mut line = format!("{prefix}{word}");
        let least = usize::from(word == "SUBSCRIBE");
        for _ in 0..self.below(3).max(least) {
            let name = self.below(names.len());
            line += &format!(" {}", names[name]);
        }
        self.rig.send(client, request(&line));
    }

    /// A server reads what it was sent, and confirms it.
    fn serve(&mut self, server: usize) {
        let sent = self.rig.sent(server);
        for command in replies(&sent) {
            let words = words(command);
            let [word, name] = &words[..] else {
                assert_eq!(words, ["PING"]);
                self.rig.reply(server, array(&["pong", "x"]));
                continue;
            };
            let own = (kind(word), name.clone());
            if word.contains("unsub") {
                self.servers[server].remove(&own)
            } else {
                self.servers[server].insert(own)
            };
            let count = self.servers[server].len();
            let confirmed = array(&[word, name]).replacen("*2", "*3", 1) + &format!(":{count}\r\n");
            self.rig.reply(server, confirmed);
        }
    }

    /// A server breaks: it has read nothing of what was sent it last. The next connection may come at once.
    fn lose(&mut self, server: usize) {
        self.rig.sent(server);
        self.servers[server].clear();
        if self.rig.open_conns(server) > 0 {
            self.rig.lose(server, Cause::Closed);
        }
    }

    /// All clients read.
    fn look(&mut self) {
        for client in self.clients.clone() {
            let text = self.rig.read(client);
            for reply in replies(&text) {
                if reply.starts_with(b"-") {
                    continue;
                }
                let words = words(reply);
                let own = (kind(&words[0]), words[1].clone());
                let set = self.read.entry(client).or_default();
                if words[0].contains("message") {
                    assert!(set.contains(&own), "{client} is not subscribed: {words:?}");
                    self.messages.entry(client).or_default().push(words);
                } else if words[0].contains("unsub") {
                    set.remove(&own);
                } else {
                    set.insert(own);
                }
            }
        }
    }

    fn publish(&mut self) {
        self.look();
        self.messages.clear();
        let channel = NAMES[self.below(NAMES.len())];
        let placement = &self.rig.topology.pools[0].placement;
        let server = placement.server(channel.as_bytes(), || 0).expect("all are in") as usize;
        let sets = self.servers[server].clone();
        let gets = |(kind, name): &&(String, String)| match kind.as_str() {
            "subscribe" => name == channel,
            _ => fits(name, channel),
        };
        let message = |(kind, name): &(String, String)| match kind.as_str() {
            "subscribe" => vec!["message".to_owned(), channel.to_owned(), "m".to_owned()],
            _ => vec!["pmessage".to_owned(), name.clone(), channel.to_owned(), "m".to_owned()],
        };
        let sent: Vec<Vec<String>> = sets.iter().filter(gets).map(message).collect();
        let before = self.read.clone();
        for words in &sent {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.rig.reply(server, array(&words));
        }
        self.look();
        for client in &self.clients {
            let mut wanted: Vec<_> =
                before.get(client).into_iter().flatten().filter(gets).map(message).collect();
            // A server that has only just come back knows less.
            wanted.retain(|words| sent.contains(words));
            wanted.sort();
            let mut got = self.messages.remove(client).unwrap_or_default();
            got.sort();
            assert_eq!(got, wanted, "client {client}, {channel}");
        }
    }

    /// Everything is answered, and the servers know what clients are subscribed to.
    fn settle(&mut self) {
        for _ in 0..60 {
            self.rig.later(3_000);
            (0..SERVERS).for_each(|server| self.serve(server));
            self.look();
        }
        let all: Set =
            self.clients.iter().filter_map(|client| self.read.get(client)).flatten().cloned().collect();
        for (server, set) in self.servers.iter().enumerate() {
            let placement = &self.rig.topology.pools[0].placement;
            let here = |(kind, name): &&(String, String)| {
                kind == "psubscribe" || placement.server(name.as_bytes(), || 0) == Some(server as u32)
            };
            let wanted: Set = all.iter().filter(here).cloned().collect();
            assert_eq!(set, &wanted, "server {server}");
        }
    }
}

#[test]
fn whoever_is_subscribed_gets_every_message_once_and_nobody_else_does() {
    for seed in 0..60 {
        let mut storm = Storm::new(seed);
        for _ in 0..8 {
            (0..150).for_each(|_| storm.step());
            storm.settle();
        }
        for client in storm.clients.clone() {
            storm.rig.vanish(client);
            storm.read.clear();
        }
        storm.settle();
        (0..SERVERS).for_each(|server| assert_eq!(storm.servers[server], Set::new(), "seed {seed}"));
        let gauge = storm.rig.registry.shards()[0].pool(0, PoolMetric::Subscriptions).get();
        let usage = storm.rig.core.usage();
        assert_eq!((gauge, usage.requests, usage.in_flight), (0, 0, 0), "seed {seed}");
        storm.rig.later(10_000);
        assert_eq!(storm.rig.core.usage().conns, 0, "seed {seed}");
    }
}
