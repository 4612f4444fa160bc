//! What guests ask.

use crate::ask_redis::request;
use crate::guest::{Expect, Guest};
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::setup::{PASSWORD, PoolPlan};
use crate::shapes;
use crate::shelf::{Topic, wait_text};
use engine::topology::PoolView;

/// Writes a guest's next requests.
pub(crate) struct Pen<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) guest: &'a mut Guest,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) pool: &'a PoolPlan,
    pub(crate) view: &'a PoolView,
    /// Keys may change their server.
    pub(crate) loose: bool,
    /// The numbers of all guests.
    pub(crate) numbers: (u64, u64),
    /// Guests keep what they read, kill each other, and ask in transactions for what could wait.
    pub(crate) tracks: bool,
}

pub(crate) const OK: &[u8] = b"+OK\r\n";

impl Pen<'_> {
    /// The servers that keys or channels may be on.
    fn places(&self, names: &[Vec<u8>]) -> Vec<usize> {
        if self.loose {
            return (0..self.view.servers.len()).collect();
        }
        names
            .iter()
            .filter_map(|name| self.view.placement.server(name, || 0))
            .map(|server| server as usize)
            .collect()
    }

    /// Names with these first letters, as far as it may be on one server.
    fn names(&mut self, letters: &[u8]) -> Vec<Vec<u8>> {
        let tag = self.rng.below(3);
        let draw = |rng: &mut Rng, letter: &u8, tagged: bool| match tagged {
            true => format!("{{t{tag}}}{}{}", *letter as char, rng.below(2)).into_bytes(),
            false => format!("{}{}", *letter as char, rng.below(5)).into_bytes(),
        };
        let tagged = self.pool.tag && self.rng.chance(700);
        let mut names: Vec<Vec<u8>> = Vec::new();
        for letter in letters {
            let mut name = draw(self.rng, letter, tagged);
            for _ in 0..5 {
                let here = names.first().is_none_or(|first| {
                    self.places(std::slice::from_ref(first)) == self.places(std::slice::from_ref(&name))
                });
                if here || self.rng.chance(10) {
                    break;
                }
                name = draw(self.rng, letter, tagged);
            }
            names.push(name);
        }
        names
    }

    fn words(&self, words: &[&[u8]]) -> Vec<u8> {
        let mut all = words.to_vec();
        let word = shapes::word(words[0], self.guest.will_speak3);
        all[0] = &word;
        request(&all)
    }

    pub(crate) fn ask(&mut self, words: &[&[u8]], expect: Expect, servers: Vec<usize>) {
        let bytes = self.words(words);
        self.guest.ask(bytes, expect, servers);
    }

    /// The first words.
    pub(crate) fn begin(&mut self) {
        let resp3 = self.rng.chance(500);
        let version: &[u8] = if resp3 { b"3" } else { b"2" };
        self.guest.will_speak3 = resp3;
        match (self.pool.auth, resp3) {
            (true, false) => {
                self.ask(&[b"AUTH", PASSWORD.as_bytes()], Expect::Exact(OK.to_vec()), Vec::new())
            }
            (true, true) => {
                let words = [b"HELLO".as_slice(), version, b"AUTH", b"default", PASSWORD.as_bytes()];
                self.ask(&words, Expect::Hello(true), Vec::new());
            }
            (false, true) => self.ask(&[b"HELLO", version], Expect::Hello(true), Vec::new()),
            (false, false) => {}
        }
    }

    /// Something to ask.
    pub(crate) fn write(&mut self) {
        if !self.guest.will_hear.is_empty() && (!self.guest.will_speak3 || self.rng.chance(200)) {
            return match self.rng.below(8) {
                0..=2 => self.subscribe(),
                3 | 4 => self.unsubscribe(),
                5 => self.unsubscribe_all(),
                6 if self.guest.will_speak3 => self.hello(),
                _ => self.ask(&[b"PING"], Expect::Ping, Vec::new()),
            };
        }
        if self.tracks && self.guest.will_speak3 && self.track() {
            return;
        }
        match self.rng.below(if self.tracks { 24 } else { 22 }) {
            0..=4 => self.transaction(),
            5..=7 => self.push(),
            8..=10 => self.pop(),
            11 | 12 => self.set(),
            13 => {
                self.get();
            }
            14..=16 => self.publish(),
            17 | 18 => self.subscribe(),
            19 => match self.rng.below(4) {
                0 => self.hello(),
                1 if self.guest.will_watch.is_empty() || self.rng.chance(500) => self.reset(),
                _ => self.ask(&[b"PING"], Expect::Ping, Vec::new()),
            },
            20 => _ = self.watch(),
            22 if self.rng.chance(200) => self.kill(),
            22 | 23 => self.get(),
            _ => {
                let number =
                    self.numbers.0 + self.rng.below((self.numbers.1 - self.numbers.0) as usize) as u64;
                self.ledger.unblocked.insert(number);
                let number = number.to_string();
                self.ask(&[b"CLIENT", b"UNBLOCK", number.as_bytes()], Expect::Unblocked, Vec::new());
            }
        }
    }

    fn kill(&mut self) {
        let number = self.numbers.0 + self.rng.below((self.numbers.1 - self.numbers.0) as usize) as u64;
        if number != self.guest.number {
            self.ledger.killed.insert(number);
            let number = number.to_string();
            self.ask(&[b"CLIENT", b"KILL", b"ID", number.as_bytes()], Expect::Killed, Vec::new());
        }
    }

    /// QUIT.
    pub(crate) fn quit(&mut self) {
        self.guest.quits = true;
        self.ask(&[b"QUIT"], Expect::Quit, Vec::new());
    }

    fn hello(&mut self) {
        let resp3 = self.rng.chance(500);
        self.ask(&[b"HELLO", if resp3 { b"3" } else { b"2" }], Expect::Hello(resp3), Vec::new());
        self.guest.will_speak3 = resp3;
    }

    fn reset(&mut self) {
        self.ask(&[b"RESET"], Expect::Reset, Vec::new());
        self.guest.will_hear.clear();
        self.guest.will_watch.clear();
        self.guest.cache.will_track = None;
        self.guest.will_speak3 = false;
        self.begin();
    }

    fn watch(&mut self) -> Vec<Vec<u8>> {
        if !self.guest.will_watch.is_empty() && self.rng.chance(300) {
            self.ask(&[b"UNWATCH"], Expect::Unwatch, Vec::new());
            self.guest.will_watch.clear();
            return Vec::new();
        }
        let letters = *self.rng.pick(&[b"w".as_slice(), b"ww", b"wl"]);
        let keys = self.names(letters);
        let mut words = vec![b"WATCH".as_slice()];
        words.extend(keys.iter().map(Vec::as_slice));
        let servers = self.places(&keys);
        self.ask(&words, Expect::Watch(keys.clone()), servers);
        self.guest.will_watch.extend(keys.iter().cloned());
        keys
    }

    fn transaction(&mut self) {
        let watched = if self.rng.chance(500) { self.watch() } else { Vec::new() };
        if self.rng.chance(200) {
            return; // EXEC comes another time, or never
        }
        self.ask(&[b"MULTI"], Expect::Multi, Vec::new());
        let (mut ids, mut names, mut first) = (Vec::new(), Vec::new(), None);
        let letters = *self.rng.pick(&[b"wl".as_slice(), b"wwl", b"lw", b"w", b"lwc"]);
        let mut all = self.names(letters);
        if let Some(key) = watched.first().filter(|_| self.rng.chance(800)) {
            all.retain(|name| {
                self.places(std::slice::from_ref(name)) == self.places(std::slice::from_ref(key))
            });
            all.push(key.clone());
        }
        for index in 0..1 + self.rng.below(4) {
            let name = self.rng.pick(&all).clone();
            let letter = *crate::model::bare(&name).first().unwrap_or(&b'w');
            let id = self.ledger.number();
            names = vec![name.clone()];
            let keys = Expect::Queued(names.clone());
            let reads = first.is_some() && self.rng.chance(300);
            match letter {
                b'w' if reads && self.rng.chance(300) => self.ask(&[b"LPOP", &name], keys, Vec::new()),
                b'w' if reads => self.ask(&[b"GET", &name], keys, Vec::new()),
                b'l' if self.tracks && self.rng.chance(200) => {
                    // Within a transaction it does not wait.
                    let time = wait_text(None, id);
                    self.ask(&[b"BLPOP", &name, &time], keys, Vec::new());
                    first = first.or(Some(id));
                    ids.push(id);
                }
                b'l' if reads => self.ask(&[b"LPOP", &name], keys, Vec::new()),
                _ => {
                    let (word, value) = match letter {
                        b'w' => (b"SET".as_slice(), self.value(&name, id)),
                        b'l' => (
                            *self.rng.pick(&[b"RPUSH".as_slice(), b"LPUSH"]),
                            format!("e{index}.{id}").into_bytes(),
                        ),
                        _ => (b"PUBLISH".as_slice(), format!("m{id}").into_bytes()),
                    };
                    self.ask(&[word, &name, &value], keys, Vec::new());
                    first = first.or(Some(id));
                    ids.push(id);
                }
            }
        }
        if self.rng.chance(80) {
            self.ask(&[b"GET"], Expect::Spoils, Vec::new());
        }
        let servers = if self.loose { self.places(&names) } else { self.places(&all) };
        if self.rng.chance(120) {
            self.ask(&[b"DISCARD"], Expect::Discard(ids), Vec::new());
        } else {
            self.ask(&[b"EXEC"], Expect::Exec(first.unwrap_or(0), ids), servers);
        }
        self.guest.will_watch.clear();
    }

    fn value(&mut self, key: &[u8], id: u32) -> Vec<u8> {
        let padding = if self.rng.chance(100) { self.rng.below(600) } else { 0 };
        [key, &vec![b'.'; padding], format!("#{id}").as_bytes()].concat()
    }

    pub(crate) fn get(&mut self) {
        let keys = self.names(b"w");
        let servers = self.places(&keys);
        self.ask(&[b"GET", &keys[0]], Expect::Value(keys[0].clone()), servers);
    }

    pub(crate) fn set(&mut self) {
        let (keys, id) = (self.names(b"w"), self.ledger.number());
        let (servers, value) = (self.places(&keys), self.value(&keys[0], id));
        self.ask(&[b"SET", &keys[0], &value], Expect::Stored(keys[0].clone(), id), servers);
    }

    fn push(&mut self) {
        let (keys, id) = (self.names(b"l"), self.ledger.number());
        let servers = self.places(&keys);
        let elements: Vec<String> =
            (0..1 + self.rng.below(3)).map(|index| format!("e{index}.{id}")).collect();
        let mut words = vec![*self.rng.pick(&[b"RPUSH".as_slice(), b"LPUSH"]), &keys[0]];
        words.extend(elements.iter().map(String::as_bytes));
        self.ask(&words, Expect::Done(id), servers);
    }

    fn pop(&mut self) {
        let id = self.ledger.number();
        // A subscriber that never goes would have servers asked for ever whether they are there.
        let forever = self.guest.will_hear.is_empty()
            && self.guest.cache.will_track.is_none()
            && self.pool.client_idle_us.is_none()
            && self.rng.chance(200);
        let time = wait_text((!forever).then(|| self.rng.range(1, 300) as u32), id);
        let expect = Expect::Wait(id, forever);
        if self.rng.chance(250) {
            let keys = self.names(b"ll");
            let servers = self.places(&keys);
            let side = *self.rng.pick(&[b"LEFT".as_slice(), b"RIGHT"]);
            return self.ask(&[b"BLMOVE", &keys[0], &keys[1], side, b"RIGHT", &time], expect, servers);
        }
        let letters: &[u8] = if self.rng.chance(400) { b"ll" } else { b"l" };
        let keys = self.names(letters);
        let servers = self.places(&keys);
        let mut words = vec![*self.rng.pick(&[b"BLPOP".as_slice(), b"BRPOP"])];
        words.extend(keys.iter().map(Vec::as_slice));
        words.push(&time);
        self.ask(&words, expect, servers);
    }

    fn publish(&mut self) {
        let (channels, id) = (self.names(b"c"), self.ledger.number());
        let servers = self.places(&channels);
        self.ask(&[b"PUBLISH", &channels[0], format!("m{id}").as_bytes()], Expect::Done(id), servers);
    }

    fn topic(&mut self) -> Topic {
        match self.rng.below(5) {
            0 => (true, b"*".to_vec()),
            1 => (true, b"c1*".to_vec()),
            _ => (false, self.names(b"c").remove(0)),
        }
    }

    fn change(&mut self, topics: Vec<Topic>, hears: bool) {
        let pattern = topics[0].0;
        let word: &[u8] = match (pattern, hears) {
            (false, true) => b"SUBSCRIBE",
            (true, true) => b"PSUBSCRIBE",
            (false, false) => b"UNSUBSCRIBE",
            (true, false) => b"PUNSUBSCRIBE",
        };
        let topics: Vec<Topic> = topics.into_iter().filter(|topic| topic.0 == pattern).collect();
        let names: Vec<Vec<u8>> = topics.iter().map(|topic| topic.1.clone()).collect();
        let mut words = vec![word];
        words.extend(names.iter().map(Vec::as_slice));
        let servers = match pattern {
            true => (0..self.view.servers.len()).collect(),
            false => self.places(&names),
        };
        for topic in &topics {
            if hears {
                self.guest.will_hear.insert(topic.clone());
            } else {
                self.guest.will_hear.remove(topic);
            }
        }
        self.ask(&words, Expect::Change(topics, 0, hears), servers);
    }

    fn subscribe(&mut self) {
        let topics = (0..1 + self.rng.below(2)).map(|_| self.topic()).collect();
        self.change(topics, true);
    }

    fn unsubscribe(&mut self) {
        let topic = self.topic();
        self.change(vec![topic], false);
    }

    fn unsubscribe_all(&mut self) {
        for (pattern, word) in [(false, b"UNSUBSCRIBE".as_slice()), (true, b"PUNSUBSCRIBE")] {
            self.ask(&[word], Expect::ChangeAll(pattern, 0), Vec::new());
        }
        self.guest.will_hear.clear();
    }
}
