//! Requests of redis clients that servers answer.

use crate::ask::{Author, Element, Reply, Rule};
use crate::model::{knows, size_in, stamp, weight};
use crate::shapes;
use wire::resp::encode;

pub(crate) fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::request(args.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &mut bytes);
    bytes
}

pub(crate) fn reply(write: impl FnOnce(&mut Vec<u8>)) -> Reply {
    let mut bytes = Vec::new();
    write(&mut bytes);
    Reply::Exact(bytes)
}

pub(crate) fn error(text: &str) -> Reply {
    reply(|out| encode::error(text.as_bytes(), out))
}

fn known(rule: Rule, write: impl FnOnce(&mut Vec<u8>)) -> Reply {
    match reply(write) {
        Reply::Exact(bytes) => Reply::Known(bytes, rule),
        other => other,
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Author<'_> {
    pub(crate) fn redis(&mut self) {
        if self.rng.chance(12) {
            return self.change_protocol();
        }
        if self.pool.selects && self.rng.chance(60) {
            return self.select();
        }
        let kind = if self.of_values && self.rng.chance(800) {
            *self.rng.pick(&[0, 0, 3, 3, 10, 12, 14])
        } else {
            self.rng.below(22)
        };
        match kind {
            0..=2 => self.get(),
            3..=5 => self.set(),
            6 | 7 => self.stamped(),
            8 | 9 => self.count(),
            10 | 11 => self.sum(),
            12 | 13 => self.mget(),
            14 => self.mset(),
            15 => self.eval(),
            16 => self.two_keys(),
            17 | 18 => self.local(),
            19 => self.fan_out(),
            20 => self.refused(),
            _ => self.inline(),
        }
    }

    /// A request for servers: its command word tells them which protocol they are to be asked in.
    pub(crate) fn request<A: AsRef<[u8]>>(&self, args: &[A]) -> Vec<u8> {
        let (command, rest) = args.split_first().expect("a command");
        let word = shapes::word(command.as_ref(), self.resp3);
        let args: Vec<&[u8]> =
            std::iter::once(word.as_slice()).chain(rest.iter().map(AsRef::as_ref)).collect();
        request(&args)
    }

    /// A value as it was stored last, or the null.
    fn element(&self, key: &[u8]) -> Element {
        Element { key: key.to_vec(), server: self.place(key), stamp: None, floor: 0 }
    }

    fn get(&mut self) {
        let key = self.key();
        let held = self.values.get(&key).cloned();
        let rule = Rule::Values(vec![self.element(&key)]);
        let servers = self.place(&key);
        let expected = known(rule, |out| shapes::value(&key, held.as_deref(), self.resp3, out));
        self.ask(self.request(&[b"GET".as_slice(), &key]), expected, servers, Vec::new());
    }

    fn set(&mut self) {
        let key = self.key();
        let value = self.value(&key);
        let (servers, tokens) = (self.place(&key), vec![self.stored(&value)]);
        let bytes = self.request(&[b"set".as_slice(), &key, &value]);
        self.values.insert(key.clone(), value);
        self.ask(bytes, reply(|out| encode::simple(b"OK", out)), servers, tokens);
        self.last().writes.push(key);
    }

    /// Reads whose answer names the request.
    fn stamped(&mut self) {
        let (key, seq) = (self.question(0), self.seq.to_string());
        let servers = self.place(&key);
        let resp3 = self.resp3;
        let kind = self.rng.below(7);
        let expected = reply(|out| match kind {
            0 => shapes::value(&key, Some(&stamp(&key)), resp3, out),
            1 => shapes::text(&format!("r:{}:{seq}", text(&key)), resp3, out),
            2 => shapes::range(&key, seq.as_bytes(), resp3, out),
            3 => shapes::error(&format!("WRONGTYPE {}", text(&key)), resp3, out),
            4 => shapes::fields(&key, resp3, out),
            5 => shapes::members(&key, resp3, out),
            _ => shapes::score(&key, resp3, out),
        });
        let (word, more): (&str, &[&str]) = match kind {
            0 => ("GET", &[]),
            1 => ("GETRANGE", &[&seq, "-1"]),
            2 => ("LRANGE", &[&seq, "-1"]),
            3 => ("LPOP", &[]),
            4 => ("HGETALL", &[]),
            5 => ("SMEMBERS", &[]),
            _ => ("ZSCORE", &["member"]),
        };
        let mut args = vec![word.as_bytes(), &key];
        args.extend(more.iter().map(|arg| arg.as_bytes()));
        self.ask(self.request(&args), expected, servers, Vec::new());
    }

    fn count(&mut self) {
        if self.rng.chance(400) {
            let key = self.counter();
            let servers = self.place(&key);
            let value = self.counters.entry(key.clone()).or_default();
            *value += 1;
            let value = *value;
            let expected = known(Rule::Number(1, value), |out| encode::integer(value, out));
            return self.ask(self.request(&[b"INCR".as_slice(), &key]), expected, servers, Vec::new());
        }
        let (key, seq) = (self.question(0), self.seq.to_string());
        let (servers, token) = (self.place(&key), format!("incr {} {seq}", text(&key)));
        let expected = reply(|out| encode::integer(i64::from(self.seq) * 10 + 1, out));
        self.ask(self.request(&[b"INCRBY", key.as_slice(), seq.as_bytes()]), expected, servers, vec![token]);
    }

    /// DEL, UNLINK, EXISTS and TOUCH of keys that may be anywhere.
    fn sum(&mut self) {
        let command = *self.rng.pick(&["DEL", "unlink", "EXISTS", "touch"]);
        let removes = matches!(command, "DEL" | "unlink");
        let count = 1 + self.rng.below(5);
        let mut args = vec![command.as_bytes().to_vec()];
        if self.rng.chance(500) {
            let keys: Vec<Vec<u8>> = (0..count).map(|part| self.question(part)).collect();
            let sum = keys.iter().map(|key| weight(key)).sum();
            let tokens = if removes {
                keys.iter().map(|key| format!("del {}", text(key))).collect()
            } else {
                Vec::new()
            };
            let servers = self.places(&keys);
            args.extend(keys);
            return self.ask(self.request(&args), reply(|out| encode::integer(sum, out)), servers, tokens);
        }
        let keys: Vec<Vec<u8>> = (0..count).map(|_| self.key()).collect();
        let mut sum = 0;
        for key in &keys {
            let found =
                if removes { self.values.remove(key).is_some() } else { self.values.contains_key(key) };
            sum += i64::from(found);
        }
        let servers = self.places(&keys);
        args.extend(keys.iter().cloned());
        let expected = known(Rule::Number(0, count as i64), |out| encode::integer(sum, out));
        self.ask(self.request(&args), expected, servers, Vec::new());
        if removes {
            self.last().writes = keys;
        }
    }

    fn mget(&mut self) {
        let count = 1 + self.rng.below(6);
        let mut elements: Vec<Element> = Vec::new();
        for part in 0..count {
            let again = part > 0 && self.rng.chance(150);
            let question = self.rng.chance(400);
            let key = match again {
                true => elements[self.rng.below(part)].key.clone(),
                false if question => self.question(part),
                false => self.key(),
            };
            let own = format!("q{}.{}.", self.client, self.seq);
            let asked = text(&key).contains(&own);
            elements.push(Element { stamp: asked.then(|| stamp(&key)), ..self.element(&key) });
        }
        let keys: Vec<Vec<u8>> = elements.iter().map(|element| element.key.clone()).collect();
        let held =
            |element: &Element| element.stamp.clone().or_else(|| self.values.get(&element.key).cloned());
        let answers: Vec<_> = elements.iter().map(held).collect();
        let expected = known(Rule::Values(elements), |out| {
            encode::array_header(count, out);
            for (key, answer) in keys.iter().zip(&answers) {
                shapes::value(key, answer.as_deref(), self.resp3, out);
            }
        });
        let mut args = vec![b"MGET".to_vec()];
        args.extend(keys.iter().cloned());
        let servers = self.places(&keys);
        self.ask(self.request(&args), expected, servers, Vec::new());
    }

    fn mset(&mut self) {
        let mut keys: Vec<Vec<u8>> = (0..1 + self.rng.below(4)).map(|_| self.key()).collect();
        keys.sort();
        keys.dedup();
        self.rng.shuffle(&mut keys);
        let (mut args, mut tokens) = (vec![b"MSET".to_vec()], Vec::new());
        for key in &keys {
            let value = self.value(key);
            tokens.push(self.stored(&value));
            args.extend([key.clone(), value.clone()]);
            self.values.insert(key.clone(), value);
        }
        let servers = self.places(&keys);
        self.ask(self.request(&args), reply(|out| encode::simple(b"OK", out)), servers, tokens);
        self.last().writes = keys;
    }

    fn eval_of(&mut self, keys: &[Vec<u8>]) {
        let id = format!("{}.{}", self.client, self.seq);
        let mut args = vec![b"EVAL".to_vec(), b"return 1".to_vec(), keys.len().to_string().into_bytes()];
        args.extend(keys.iter().cloned());
        args.push(id.clone().into_bytes());
        let answer = format!("e:{}:{id}", keys.iter().map(|key| text(key)).collect::<Vec<_>>().join(":"));
        let expected = reply(|out| encode::bulk(answer.as_bytes(), out));
        let (servers, token) = (self.place(&keys[0]), format!("eval {id}"));
        self.ask(self.request(&args), expected, servers, vec![token]);
    }

    fn eval(&mut self) {
        let key = self.question(0);
        self.eval_of(&[key]);
    }

    /// A request about two keys goes to the server of both, or nowhere.
    fn two_keys(&mut self) {
        let same_tag = self.pool.tag && self.rng.chance(500);
        if same_tag || (self.loose && !self.view.random) {
            if !self.pool.tag {
                return self.eval();
            }
            let keys = [self.tagged_question("{t1}", 0), self.tagged_question("{t1}", 1)];
            return self.eval_of(&keys);
        }
        let keys = [self.question(0), self.question(1)];
        if self.view.random || self.place(&keys[0]) == self.place(&keys[1]) {
            return self.eval_of(&keys);
        }
        let on =
            |key: &Vec<u8>| format!("'{}' is on {}", text(key), self.view.servers[self.place(key)[0]].name);
        let refusal = format!(
            "CROSSSLOT Keys in request don't hash to the same slot: {}, {}; a hash tag keeps keys together",
            on(&keys[0]),
            on(&keys[1])
        );
        let args = [b"EVAL".as_slice(), b"return 1", b"2", &keys[0], &keys[1]];
        self.ask_here(request(&args), error(&refusal));
    }

    /// A page of one server: its last, as servers here answer; or one that goes on in another run of it, whose keys are
    /// walked through once more then.
    fn scan(&mut self, id: &str) {
        let servers = self.view.own as u64;
        let server = self.rng.below(servers as usize) as u64;
        let begin = |server: u64| server << 16 | 1;
        let begun = self.rng.chance(300);
        let cursor = if begun { (servers + server) << 16 | 77 } else { begin(server) };
        let next = match () {
            () if begun => begin(server),
            () if server + 1 < servers => begin(server + 1),
            () => 0,
        };
        let expected = reply(|out| {
            encode::array_header(2, out);
            encode::bulk(next.to_string().as_bytes(), out);
            shapes::page(id, server as usize, out);
        });
        let bytes = self.request(&["SCAN", &cursor.to_string(), "MATCH", id]);
        self.ask(bytes, expected, vec![server as usize], Vec::new());
    }

    /// Requests that every server has a part in, or any one.
    fn fan_out(&mut self) {
        let (all, id) = (self.everywhere(), format!("{}.{}", self.client, self.seq));
        if !self.loose && all.len() > 1 && self.rng.chance(150) {
            return self.scan(&id);
        }
        let (bytes, expected, tokens) = match self.rng.below(7) {
            0 => {
                let sum = all.iter().map(|server| size_in(*server, self.db, self.pool.db)).sum();
                // Where SELECT fails it is another database's.
                let rule = Rule::Number(0, i64::MAX);
                let write = |out: &mut Vec<u8>| encode::integer(sum, out);
                let expected = if self.pool.selects { known(rule, write) } else { reply(write) };
                (self.request(&["DBSIZE"]), expected, Vec::new())
            }
            1 => (self.request(&["FLUSHALL"]), reply(|out| encode::simple(b"OK", out)), Vec::new()),
            2 => {
                let tokens = all.iter().map(|server| format!("script {id}@{server}")).collect();
                let expected = reply(|out| encode::bulk(format!("sha:{id}").as_bytes(), out));
                (self.request(&["SCRIPT", "LOAD", &id]), expected, tokens)
            }
            3 => {
                let scripts = [id.clone(), format!("{id}a"), format!("{id}b")];
                let expected = reply(|out| {
                    encode::array_header(3, out);
                    for script in &scripts {
                        let known = all.iter().all(|server| knows(*server, script.as_bytes()));
                        encode::integer(i64::from(known), out);
                    }
                });
                let args = ["SCRIPT", "EXISTS", &scripts[0], &scripts[1], &scripts[2]];
                (self.request(&args), expected, Vec::new())
            }
            4 if !self.loose => {
                let expected = reply(|out| encode::bulk(format!("show:{id}").as_bytes(), out));
                (self.request(&["SCRIPT", "SHOW", &id]), expected, Vec::new())
            }
            5 => (
                self.request(&["FUNCTION", "LIST"]),
                Reply::Starts(b"$11\r\nfunctions@".to_vec()),
                Vec::new(),
            ),
            _ => {
                let expected = reply(|out| shapes::names(&id, &all, false, self.resp3, out));
                (self.request(&["KEYS", &id]), expected, Vec::new())
            }
        };
        self.ask(bytes, expected, all, tokens);
    }
}
