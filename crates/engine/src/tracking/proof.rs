//! Which writes have changed their keys for certain, by their replies.
//!
//! Only of those is it known that a message behind the reply is about the write: a server that was told to write and changed
//! nothing (SETNX, a DEL of nothing, an error) still knows who has read the key, and the message may be about what
//! somebody else did next.

use wire::args::ArgView;
use wire::resp::reply as inside;

/// What a reply has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Anything but an error.
    Done,
    /// OK.
    Ok,
    /// A number above 0.
    Some,
    /// As many as there are keys.
    Each,
    /// Neither nil nor empty.
    Value,
}

impl Proof {
    /// What proves that a command has changed all its keys, if anything does.
    pub(super) fn of(name: &str, args: ArgView<'_>) -> Option<Proof> {
        Some(match name {
            "SET" => return set(args),
            "APPEND" if args.get(2).is_empty() => return None,
            "APPEND" | "DECR" | "DECRBY" | "GETSET" | "HINCRBY" | "HINCRBYFLOAT" | "HSET" | "INCR"
            | "INCRBY" | "INCRBYFLOAT" | "LPUSH" | "RPUSH" => Proof::Done,
            "HMSET" | "LSET" | "MSET" | "PSETEX" | "SETEX" => Proof::Ok,
            "EXPIRE" | "EXPIREAT" | "HDEL" | "HSETNX" | "LINSERT" | "LPUSHX" | "LREM" | "MSETNX"
            | "PERSIST" | "PEXPIRE" | "PEXPIREAT" | "RPUSHX" | "SADD" | "SETNX" | "SREM" | "ZADD"
            | "ZREM" => Proof::Some,
            "DEL" | "UNLINK" => Proof::Each,
            "GETDEL" | "LPOP" | "RPOP" | "SPOP" | "XADD" | "ZPOPMAX" | "ZPOPMIN" => Proof::Value,
            _ => return None,
        })
    }

    /// Whether this reply is one.
    pub(super) fn holds(self, reply: &[u8], keys: usize) -> bool {
        match self {
            Proof::Done => !reply.starts_with(b"-") && !reply.starts_with(b"!"),
            Proof::Ok => reply == b"+OK\r\n",
            Proof::Some => inside::integer(reply).is_some_and(|count| count > 0),
            Proof::Each => inside::integer(reply).is_some_and(|count| usize::try_from(count) == Ok(keys)),
            Proof::Value => !matches!(reply, [b'-' | b'!' | b'_', ..] | [_, b'-', ..] | [_, b'0', b'\r', ..]),
        }
    }
}

/// SET: with GET it says what was there, and with NX or XX it may do nothing.
fn set(args: ArgView<'_>) -> Option<Proof> {
    let has = |word: &[u8]| args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(word));
    match (has(b"GET"), has(b"NX") || has(b"XX")) {
        (false, _) => Some(Proof::Ok),
        (true, false) => Some(Proof::Done),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::args::Args;
    use wire::limits::Limits;
    use wire::resp::{encode, request};

    fn of(words: &str) -> Option<Proof> {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let (mut bytes, mut args) = (Vec::new(), Args::default());
        encode::request(words.iter().copied(), &mut bytes);
        request::RequestScan::default().scan(&bytes, &Limits::default(), &mut args);
        Proof::of(std::str::from_utf8(words[0]).expect("text"), args.view(&bytes))
    }

    #[test]
    fn a_write_that_may_do_nothing_has_to_say_that_it_did_something() {
        assert_eq!(of("SET k v"), Some(Proof::Ok));
        assert_eq!(of("SET k get nx"), Some(Proof::Ok));
        assert_eq!(of("SET k v EX 9 get"), Some(Proof::Done));
        assert_eq!(of("SET k v nx GET"), None);
        assert_eq!(of("APPEND k "), None, "adds nothing");
        assert_eq!(of("LTRIM k 0 1"), None, "OK whatever it does");
        assert_eq!(of("EVAL s 1 k"), None);
    }

    #[test]
    fn replies_prove_what_was_done() {
        let holds = |proof: Proof, reply: &str| proof.holds(reply.as_bytes(), 2);
        let error = "-OOM no\r\n";
        for proof in [Proof::Done, Proof::Ok, Proof::Some, Proof::Each, Proof::Value] {
            assert!(!holds(proof, error) && (proof == Proof::Done || !holds(proof, "_\r\n")), "{proof:?}");
        }
        assert!(holds(Proof::Done, "_\r\n") && holds(Proof::Done, ":0\r\n"));
        assert!(holds(Proof::Ok, "+OK\r\n") && !holds(Proof::Ok, "+QUEUED\r\n"));
        assert!(
            holds(Proof::Some, ":1\r\n") && !holds(Proof::Some, ":0\r\n") && !holds(Proof::Some, ",1\r\n")
        );
        assert!(holds(Proof::Each, ":2\r\n") && !holds(Proof::Each, ":1\r\n"));
        assert!(holds(Proof::Value, "$1\r\nx\r\n") && holds(Proof::Value, "*1\r\n$1\r\nx\r\n"));
        assert!(
            !holds(Proof::Value, "*0\r\n")
                && !holds(Proof::Value, "~0\r\n")
                && !holds(Proof::Value, "$-1\r\n")
        );
    }
}
