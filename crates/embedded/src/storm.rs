//! Random requests, from a seed, straight into the sessions: none may panic, and each gets exactly one reply.

use testkit::{framing, resp};

use crate::serve::{Session, Step};
use crate::{memcache, redis};

/// Feeds `input` in pieces of `size` and collects what comes out; stops when the session closes.
fn feed(session: &mut dyn Session, input: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut waiting, mut out) = (Vec::new(), Vec::new());
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        loop {
            match session.step(&waiting, &mut out) {
                Step::Used(count) => drop(waiting.drain(..count)),
                Step::Wait => break,
                Step::Close => return (out, true),
            }
        }
    }
    (out, false)
}

/// xorshift64: the same numbers from the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).expect("below a usize")
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const WORDS: &[&str] = &[
    "a",
    "b",
    "c",
    "l",
    "",
    "0",
    "1",
    "-1",
    "2",
    "5",
    "100",
    "1.5",
    "inf",
    "-inf",
    "nan",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "EX",
    "PX",
    "NX",
    "XX",
    "GET",
    "GT",
    "INCR",
    "CH",
    "MATCH",
    "COUNT",
    "*",
    "[a-",
    "WITHSCORES",
    "REV",
    "KEEPTTL",
    "PXAT",
    "SETNAME",
    "\r\n",
    "\0",
    "noreply",
    "HTTP/1.1",
];

#[test]
fn redis_survives_and_answers_each_request_once() {
    for seed in 1..=300 {
        let mut dice = Dice(seed);
        let mut session = redis::test_session();
        for _ in 0..200 {
            let name = redis::NAMES[dice.below(redis::NAMES.len())];
            if matches!(name, "quit" | "auth") {
                continue;
            }
            let mut args = vec![name];
            (0..dice.below(6)).for_each(|_| args.push(dice.pick(WORDS)));
            let size = 1 + dice.below(40);
            let (reply, closed) = feed(&mut session, &resp(&args), size);
            assert!(!closed, "seed {seed}: {args:?}");
            assert_eq!(framing::resp(&reply), Ok(Some(reply.len())), "seed {seed}: {args:?}");
        }
    }
}

#[test]
fn redis_survives_noise() {
    const PARTS: &[&str] =
        &["*", "$", "\r\n", "\n", "1", "3", "-1", "GET", "set", "'", "\"", "\\x4", " ", "a", "\0"];
    for seed in 1..=3000 {
        let mut dice = Dice(seed);
        let noise: String = (0..60).map(|_| dice.pick(PARTS)).collect();
        let whole = feed(&mut redis::test_session(), noise.as_bytes(), noise.len());
        let bytewise = feed(&mut redis::test_session(), noise.as_bytes(), 1);
        assert_eq!(whole, bytewise, "seed {seed}: {noise:?}");
    }
}

#[test]
fn memcache_survives_and_answers_alike_however_it_is_cut() {
    const COMMANDS: &[&str] = &[
        "get",
        "gets",
        "gat",
        "gats",
        "touch",
        "delete",
        "incr",
        "decr",
        "set",
        "add",
        "replace",
        "append",
        "prepend",
        "cas",
        "verbosity",
        "flush_all",
        "version",
        "nosuch",
        "stats items",
        "",
        "set a 0 0 2\r\nhi\r\n",
    ];
    for seed in 1..=3000 {
        let mut dice = Dice(seed);
        let mut noise = String::new();
        for _ in 0..30 {
            noise.push_str(dice.pick(COMMANDS));
            (0..dice.below(6)).for_each(|_| {
                noise.push(' ');
                noise.push_str(dice.pick(WORDS));
            });
            noise.push_str(dice.pick(&["\r\n", "\n", "\r\nhi\r\n"]));
        }
        let whole = feed(&mut memcache::test_session(), noise.as_bytes(), noise.len());
        let bytewise = feed(&mut memcache::test_session(), noise.as_bytes(), 1);
        assert_eq!(whole, bytewise, "seed {seed}: {noise:?}");
    }
}
