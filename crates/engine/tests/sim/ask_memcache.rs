//! Requests of memcached clients.

use crate::ask::{Author, Element, Reply, Rule};
use crate::model::{block, size, stamp};
use crate::setup::VALUE_BYTES;
use engine::Closing;

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn line(text: &str) -> Reply {
    Reply::Exact(format!("{text}\r\n").into_bytes())
}

impl Author<'_> {
    pub(crate) fn memcache(&mut self) {
        let kind = if self.of_values && self.rng.chance(800) {
            *self.rng.pick(&[0, 0, 5, 5, 10])
        } else {
            self.rng.below(18)
        };
        match kind {
            0..=4 => self.gets(),
            5..=7 => self.store(),
            8 | 9 => self.incr(),
            10 | 11 => self.remove(),
            12 => {
                let key = self.question(0);
                let (servers, word) = (self.place(&key), text(&key));
                let (suffix, reply) = self.maybe_silent(line("TOUCHED"));
                let tokens = vec![format!("touch {word}")];
                self.ask(format!("touch {word} 60{suffix}\r\n").into_bytes(), reply, servers, tokens);
            }
            13 => self.everybody(),
            14 => self.too_large(),
            15 | 16 => self.bad_line(),
            _ => {
                let key = self.question(0);
                let (servers, word) = (self.place(&key), text(&key));
                let (suffix, reply) = self.maybe_silent(line("NOT_STORED"));
                let bytes = format!("add {word} 0 0 3{suffix}\r\nabc\r\n").into_bytes();
                self.ask(bytes, reply, servers, vec![format!("add {word}")]);
            }
        }
    }

    pub(crate) fn end_memcache(&mut self, closing: Closing) {
        let (bytes, tail): (&[u8], &[u8]) = match closing {
            Closing::Linger if self.rng.chance(500) => (b"\x80", b"\x00\x00\x00 binary"),
            Closing::Linger => (b"GET / HTTP/1.1\r\n", b"Host: x\r\n"),
            _ => (b"quit\r\n", b"get never"),
        };
        self.ask_here(bytes.to_vec(), Reply::None);
        self.last().tail = tail;
        self.last().ends = Some(closing);
    }

    /// Some writes want no answer.
    fn maybe_silent(&mut self, reply: Reply) -> (&'static str, Reply) {
        if self.rng.chance(300) { (" noreply", Reply::None) } else { ("", reply) }
    }

    /// get, gets, gat and gats of one key or several.
    fn gets(&mut self) {
        let (verb, unique) =
            *self.rng.pick(&[("get", false), ("gets", true), ("gat 60", false), ("gats 60", true)]);
        let count = 1 + self.rng.below(5);
        let mut elements: Vec<Element> = Vec::new();
        for part in 0..count {
            let again = part > 0 && self.rng.chance(150);
            let question = self.rng.chance(400);
            let key = match again {
                true => elements[self.rng.below(part)].key.clone(),
                false if question => self.question(part),
                false => self.key(),
            };
            let asked = text(&key).contains(&format!("q{}.{}.", self.client, self.seq));
            elements.push(Element {
                stamp: asked.then(|| stamp(&key)),
                server: self.place(&key),
                key,
                floor: 0,
            });
        }
        let mut bytes = verb.as_bytes().to_vec();
        let mut expected = Vec::new();
        for element in &elements {
            bytes.push(b' ');
            bytes.extend_from_slice(&element.key);
            if let Some(value) = element.stamp.as_ref().or_else(|| self.values.get(&element.key)) {
                block(&element.key, value, unique, &mut expected);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        expected.extend_from_slice(b"END\r\n");
        let servers = self.places(elements.iter().map(|element| &element.key));
        self.ask(bytes, Reply::Known(expected, Rule::Values(elements)), servers, Vec::new());
    }

    fn store(&mut self) {
        let key = self.key();
        let value = self.value(&key);
        let (suffix, reply) = self.maybe_silent(line("STORED"));
        let mut bytes = format!("set {} 0 0 {}{suffix}\r\n", text(&key), value.len()).into_bytes();
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(b"\r\n");
        let (servers, token) = (self.place(&key), self.stored(&value));
        self.values.insert(key.clone(), value);
        self.ask(bytes, reply, servers, vec![token]);
        self.last().writes.push(key);
    }

    fn incr(&mut self) {
        let (key, seq) = (self.question(0), self.seq);
        let (servers, word) = (self.place(&key), text(&key));
        let verb = *self.rng.pick(&["incr", "decr"]);
        let (suffix, reply) = self.maybe_silent(line(&(seq * 10 + 1).to_string()));
        let bytes = format!("{verb} {word} {seq}{suffix}\r\n").into_bytes();
        self.ask(bytes, reply, servers, vec![format!("incr {word} {seq}")]);
    }

    fn remove(&mut self) {
        if self.rng.chance(500) {
            let key = self.question(0);
            let (servers, word) = (self.place(&key), text(&key));
            let (suffix, reply) = self.maybe_silent(line("DELETED"));
            let bytes = format!("delete {word}{suffix}\r\n").into_bytes();
            return self.ask(bytes, reply, servers, vec![format!("del {word}")]);
        }
        let key = self.key();
        let servers = self.place(&key);
        let found = self.values.remove(&key).is_some();
        let expected = if found { b"DELETED\r\n".to_vec() } else { b"NOT_FOUND\r\n".to_vec() };
        let known = Reply::Known(expected, Rule::OneOf(&[b"DELETED\r\n", b"NOT_FOUND\r\n"]));
        let (suffix, reply) = self.maybe_silent(known);
        self.ask(format!("delete {}{suffix}\r\n", text(&key)).into_bytes(), reply, servers, Vec::new());
        self.last().writes.push(key);
    }

    /// Requests that every server has a part in, or any one.
    fn everybody(&mut self) {
        let all = self.everywhere();
        match self.rng.below(6) {
            0 => {
                let servers = self.place(b"placeholder");
                self.ask(b"version\r\n".to_vec(), line("VERSION sim"), servers, Vec::new());
            }
            1 => {
                let sum: i64 = all.iter().map(|server| size(*server)).sum();
                let reply = Reply::Exact(format!("STAT pid 7\r\nSTAT items {sum}\r\nEND\r\n").into_bytes());
                self.ask(b"stats\r\n".to_vec(), reply, all, Vec::new());
            }
            2 => {
                let word = format!("w{}.{}", self.client, self.seq);
                let names = all
                    .iter()
                    .map(|server| format!("STAT {}:{word} {server}\r\n", self.view.servers[*server].name));
                let reply = Reply::Exact((names.collect::<String>() + "END\r\n").into_bytes());
                self.ask(format!("stats {word}\r\n").into_bytes(), reply, all, Vec::new());
            }
            3 => self.ask(b"verbosity 1\r\n".to_vec(), line("OK"), all, Vec::new()),
            _ => {
                let (suffix, reply) = self.maybe_silent(line("OK"));
                self.ask(format!("flush_all{suffix}\r\n").into_bytes(), reply, all, Vec::new());
            }
        }
    }

    /// A value above the limit is refused, and the old one goes.
    fn too_large(&mut self) {
        let refusal = line("SERVER_ERROR object too large for cache");
        let length = VALUE_BYTES as usize + 1 + self.rng.below(3000);
        let value = "v\r\n".repeat(length).into_bytes();
        let (suffix, reply) = self.maybe_silent(refusal);
        let stays = self.rng.chance(300);
        let key = self.question(0);
        let (servers, word) = (self.place(&key), text(&key));
        let verb = if stays { "append" } else { "set" };
        let mut bytes = format!("{verb} {word} 0 0 {length}{suffix}\r\n").into_bytes();
        let enough = bytes.len();
        bytes.extend_from_slice(&value[..length]);
        bytes.extend_from_slice(b"\r\n");
        if stays {
            self.ask_here(bytes, reply);
        } else {
            self.ask(bytes, reply, servers, vec![format!("del {word}")]);
        }
        // The line says it all.
        self.last().enough = enough;
        self.last().any_answer = true;
    }

    fn bad_line(&mut self) {
        let long = "k".repeat(251);
        let (bytes, reply) = match self.rng.below(8) {
            0 => ("nosuch a b\r\n".to_string(), line("ERROR")),
            1 => ("get\r\n".to_string(), line("ERROR")),
            2 => ("\r\n".to_string(), line("ERROR")),
            3 => (format!("get {long}\r\n"), line("CLIENT_ERROR bad command line format")),
            4 => (format!("set {long} 0 0 2\r\nab\r\n"), line("CLIENT_ERROR bad command line format")),
            5 => ("incr k x\r\n".to_string(), line("CLIENT_ERROR invalid numeric delta argument")),
            6 => return self.bad_data(),
            _ => ("touch k soon\r\n".to_string(), line("CLIENT_ERROR invalid exptime argument")),
        };
        let enough = bytes.find('\n').map_or(bytes.len(), |at| at + 1);
        self.ask_here(bytes.into_bytes(), reply);
        self.last().enough = enough;
    }

    /// Data that are longer than announced. Where they are passed on as they come, it is the server's failure that is told if it
    /// fails first.
    fn bad_data(&mut self) {
        let key = self.question(0);
        let (servers, word) = (self.place(&key), text(&key));
        let bytes = format!("set {word} 0 0 3\r\nabcde").into_bytes();
        self.ask(bytes, line("CLIENT_ERROR bad data chunk"), servers, Vec::new());
        self.last().any_answer = true;
        self.ask_here(b"f\r\n".to_vec(), line("ERROR"));
    }
}
