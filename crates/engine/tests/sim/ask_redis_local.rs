//! Requests of redis clients that the proxy answers by itself, from the first words to the last.

use crate::ask::{Author, Reply};
use crate::ask_redis::{error, reply, request, text};
use crate::model::{stamp, weight};
use crate::setup::PASSWORD;
use crate::shapes;
use engine::Closing;
use wire::resp::encode;

fn greeting(resp3: bool) -> Reply {
    let start: &[u8] = if resp3 { b"%7\r\n$6\r\nserver\r\n" } else { b"*14\r\n$6\r\nserver\r\n" };
    Reply::Starts(start.to_vec())
}

impl Author<'_> {
    /// The first words of a client: a version of the protocol, the password, or neither.
    pub(crate) fn begin_redis(&mut self) {
        if self.pool.auth {
            self.log_in();
        } else if self.rng.chance(400) {
            let version = *self.rng.pick(&["3", "3", "3", "2"]);
            self.resp3 = version == "3";
            self.ask_here(request(&["HELLO", version]), greeting(self.resp3));
        }
    }

    /// Another version, or all from the beginning.
    pub(crate) fn change_protocol(&mut self) {
        if self.rng.chance(300) {
            self.ask_here(request(&["RESET"]), reply(|out| encode::simple(b"RESET", out)));
            self.resp3 = false;
            self.db = self.pool.db;
            self.name.clear();
            return self.begin_redis();
        }
        self.resp3 = self.rng.chance(500);
        let version = if self.resp3 { "3" } else { "2" };
        self.ask_here(request(&["HELLO", version]), greeting(self.resp3));
    }

    /// Before the password only a few commands are taken.
    fn log_in(&mut self) {
        if self.rng.chance(500) {
            self.ask_here(request(&["GET", "x"]), error("NOAUTH Authentication required"));
            self.ask_here(request(&["AUTH", "guess"]), error("ERR invalid password"));
        }
        if self.rng.chance(500) {
            let version = *self.rng.pick(&["2", "3"]);
            if self.rng.chance(200) {
                self.ask_here(request(&["HELLO", version]), Reply::Starts(b"-NOAUTH HELLO must".to_vec()));
            }
            self.resp3 = version == "3";
            let hello = ["HELLO", version, "AUTH", "default", PASSWORD, "SETNAME", "sim"];
            self.ask_here(request(&hello), greeting(self.resp3));
            self.name = b"sim".to_vec();
        } else {
            self.ask_here(request(&["AUTH", PASSWORD]), reply(|out| encode::simple(b"OK", out)));
        }
    }

    pub(crate) fn end_redis(&mut self, closing: Closing) {
        match closing {
            Closing::Linger => {
                let text = "ERR Protocol error: expected '$', got '!'";
                self.ask_here(b"*1\r\n!4\r\n".to_vec(), error(text));
                self.last().tail = b"PING\r\n";
            }
            _ => {
                self.ask_here(request(&["QUIT"]), reply(|out| encode::simple(b"OK", out)));
                self.last().tail = b"*2\r\n$3\r\nGET\r\n$";
            }
        }
        self.last().ends = Some(closing);
    }

    pub(crate) fn local(&mut self) {
        let word = format!("w{}.{}", self.client, self.seq);
        let own = self.pool.db.to_string();
        match self.rng.below(10) {
            0 => self.ask_here(request(&["PING"]), reply(|out| encode::simple(b"PONG", out))),
            1 => self.ask_here(request(&["ping", &word]), reply(|out| encode::bulk(word.as_bytes(), out))),
            2 | 3 => {
                self.ask_here(request(&["ECHO", &word]), reply(|out| encode::bulk(word.as_bytes(), out)))
            }
            4 => {
                self.ask_here(request(&["SELECT", &own]), reply(|out| encode::simple(b"OK", out)));
                self.db = self.pool.db;
            }
            5 => self.ask_here(request(&["TIME"]), Reply::Starts(b"*2\r\n$".to_vec())),
            6 => self.ask_here(request(&["COMMAND", "COUNT"]), Reply::Starts(b":".to_vec())),
            7 => {
                self.name = word.clone().into_bytes();
                self.ask_here(
                    request(&["CLIENT", "SETNAME", &word]),
                    reply(|out| encode::simple(b"OK", out)),
                );
            }
            8 => {
                let name = Some(self.name.clone()).filter(|name| !name.is_empty());
                self.ask_here(
                    request(&["CLIENT", "GETNAME"]),
                    reply(|out| shapes::value(b"", name.as_deref(), self.resp3, out)),
                );
            }
            _ => self.ask_here(request(&["HELLO"]), greeting(self.resp3)),
        }
    }

    /// Another database, or the same once more. A server may have to be asked for it.
    pub(crate) fn select(&mut self) {
        let db = *self.rng.pick(&[self.pool.db, 5, 7, 7]);
        let (bytes, ok) = (request(&["SELECT", &db.to_string()]), reply(|out| encode::simple(b"OK", out)));
        let all = self.everywhere();
        match db == self.pool.db {
            true => self.ask_here(bytes, ok),
            false => self.ask(bytes, ok, all, Vec::new()),
        }
        self.db = db;
    }

    pub(crate) fn refused(&mut self) {
        let id = format!("{}.{}", self.client, self.seq);
        match self.rng.below(7) {
            0 => {
                let text = format!("ERR unknown command 'NOSUCH', with args beginning with: '{id}' ");
                self.ask_here(request(&["NOSUCH", &id]), error(&text));
            }
            1 => {
                let text = "ERR wrong number of arguments for 'get' command";
                self.ask_here(request(&["GET"]), error(text));
            }
            2 => {
                let text = "ERR wrong number of arguments for 'mset' command";
                self.ask_here(request(&["MSET", "k", "v", "k"]), error(text));
            }
            3 => {
                let starts = Reply::Starts(b"-ERR cashew does not support 'FT._LIST'".to_vec());
                self.ask_here(request(&["FT._LIST"]), starts);
            }
            4 if self.pool.selects => {
                let (all, text) = (self.everywhere(), error("ERR DB index is out of range"));
                self.ask(request(&["SELECT", "11"]), text, all, Vec::new());
            }
            4 => {
                let text = "ERR clients of this pool cannot SELECT another database than";
                let text = format!("{text} {} (redis_db_fixed)", self.pool.db);
                self.ask_here(request(&["SELECT", "11"]), error(&text));
            }
            5 => self.ask_here(request(&["HELLO", "4"]), error("NOPROTO unsupported protocol version")),
            _ => self.ask_here(request(&["EVAL", "return 1", "x"]), Reply::Starts(b"-ERR ".to_vec())),
        }
    }

    /// As a person types, and the empty requests that have no answer.
    pub(crate) fn inline(&mut self) {
        let word = format!("w{}.{}", self.client, self.seq);
        match self.rng.below(5) {
            0 => self.ask_here(format!("ECHO \"{word}\"\r\n").into_bytes(), {
                reply(|out| encode::bulk(word.as_bytes(), out))
            }),
            1 => {
                let key = self.question(0);
                let servers = self.place(&key);
                let word = text(&shapes::word(b"get", self.resp3));
                let bytes = format!("{word}  {}\n", text(&key)).into_bytes();
                let expected = reply(|out| shapes::value(&key, Some(&stamp(&key)), self.resp3, out));
                self.ask(bytes, expected, servers, Vec::new());
            }
            2 => {
                let keys = [self.question(0), self.question(1)];
                let sum = weight(&keys[0]) + weight(&keys[1]);
                let servers = self.places(&keys);
                let word = text(&shapes::word(b"exists", self.resp3));
                let bytes = format!("{word} {} {}\r\n", text(&keys[0]), text(&keys[1])).into_bytes();
                self.ask(bytes, reply(|out| encode::integer(sum, out)), servers, Vec::new());
            }
            3 => self.ask_here(b"*0\r\n".to_vec(), Reply::None),
            _ => self.ask_here(b" \r\n".to_vec(), Reply::None),
        }
    }
}
