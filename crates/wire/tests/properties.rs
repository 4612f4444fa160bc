//! Property tests: streams of plausible, damaged and random messages through the bodies in `wire::check`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wire::{Limits, check};

/// Read sizes, from byte by byte to everything at once.
fn reads() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1usize..8, 1..6), vec(1usize..200, 1..4)]
}

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![Just(Limits::default()), Just(check::small_limits())]
}

/// Short binary strings, line ends and quotes more often than chance has it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), select(&b"\r\n \"'\\$*0a"[..])];
    vec(byte, 0..20)
}

/// A stream of messages; in half of the runs one byte of it is changed, added or dropped.
fn stream(message: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::of((any::<prop::sample::Index>(), 0..3, select(&b"\r\n 0-$*1x\0"[..])));
    (vec(message, 1..6), damage).prop_map(|(messages, damage)| {
        let mut bytes = messages.concat();
        if let Some((at, how, byte)) = damage
            && !bytes.is_empty()
        {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

/// Words that mean something to some protocol, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let word = select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "*",
        "$",
        ":",
        "+",
        "-",
        "%",
        "~",
        "|",
        ">",
        "_",
        "#t",
        ",1",
        "(1",
        "=",
        "!",
        "?",
        "-1",
        "0",
        "1",
        "2",
        "3",
        "10",
        "99999999999999999999",
        "GET",
        "\"",
        "'",
        "\\x4",
        "get ",
        "gat ",
        "set k 0 0 ",
        "cas k 0 0 1 ",
        "noreply",
        "delete ",
        "incr k ",
        "HTTP/",
        "ms k ",
        "VALUE k 0 ",
        "END",
        "STAT a ",
        "ERROR",
        "*2\r\n",
        "$1\r\n",
        "$-1\r\n",
        "|1\r\n",
        "%1\r\n",
        "\u{80}",
        "\0",
    ]);
    vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![soup(), vec(any::<u8>(), 0..300)]
}

fn resp_request() -> impl Strategy<Value = Vec<u8>> {
    let array = vec(value(), 0..7).prop_map(|args| {
        let mut out = Vec::new();
        wire::resp::encode::request(args.iter().map(Vec::as_slice), &mut out);
        out
    });
    let inline = (value(), select(vec!["\r\n", "\n"])).prop_map(|(mut line, end)| {
        line.retain(|&byte| byte != b'\n');
        line.extend_from_slice(end.as_bytes());
        line
    });
    prop_oneof![3 => array, 1 => inline]
}

fn resp_reply() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "+OK\r\n",
        "+\r\n",
        "-ERR no\r\n",
        "-MOVED 1 a:1\r\n",
        ":0\r\n",
        ":-12\r\n",
        ":+7\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#t\r\n",
        "#f\r\n",
        ",inf\r\n",
        ",-1.5e3\r\n",
        "(123456789012345678901\r\n",
        "*0\r\n",
        "%0\r\n",
        "=6\r\ntxt:hi\r\n",
        "!5\r\nERR x\r\n",
        "$0\r\n\r\n",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    let bulk = value().prop_map(|value| {
        let mut out = Vec::new();
        wire::resp::encode::bulk(&value, &mut out);
        out
    });
    prop_oneof![line, bulk].prop_recursive(4, 40, 6, |inner| {
        let attribute = prop::option::weighted(0.1, (inner.clone(), inner.clone()));
        (select(&b"*~>%"[..]), vec((inner.clone(), inner), 0..4), attribute).prop_map(
            |(kind, pairs, attribute)| {
                let mut out = Vec::new();
                if let Some((key, value)) = attribute {
                    out.extend_from_slice(b"|1\r\n");
                    out.extend(key.into_iter().chain(value));
                }
                let count = if kind == b'%' { pairs.len() } else { pairs.len() * 2 };
                out.push(kind);
                out.extend_from_slice(format!("{count}\r\n").as_bytes());
                out.extend(pairs.into_iter().flat_map(|(a, b)| [a, b]).flatten());
                out
            },
        )
    })
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[0-9]{1,3}",
        select(vec!["0", "-1", "+5", "noreply", "k", "abc", "4294967296", "18446744073709551616"])
            .prop_map(str::to_owned),
        Just("k".repeat(251)),
    ]
}

fn memcache_request() -> impl Strategy<Value = Vec<u8>> {
    let verb = select(wire::memcache::Verb::ALL.to_vec());
    let end = select(vec!["\r\n", "\r\n", "\r\n", "\n", " \r\n"]);
    let line =
        (select(vec!["", "", "", " "]), verb, vec(word(), 0..7), end).prop_map(|(lead, verb, words, end)| {
            let words: String = words.iter().map(|word| format!(" {word}")).collect();
            format!("{lead}{}{words}{end}", verb.name()).into_bytes()
        });
    let set =
        (select(vec!["set", "append", "cas"]), value(), select(vec!["", " noreply", " x", " x noreply"]))
            .prop_map(|(verb, data, tail)| {
                let unique = if verb == "cas" { " 77" } else { "" };
                let mut out = format!("{verb} key 1 -1 {}{unique}{tail}\r\n", data.len()).into_bytes();
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\r\n");
                out
            });
    prop_oneof![line, set]
}

fn memcache_reply() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "STORED\r\n",
        "END\r\n",
        "NOT_FOUND\r\n",
        "12\r\n",
        "VERSION 1.6.18\r\n",
        "ERROR\r\n",
        "CLIENT_ERROR x\r\n",
        "SERVER_ERROR y\r\n",
        "STAT a 1\r\nSTAT b 2\r\nEND\r\n",
        "RESET\r\n",
        "HUH\r\n",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    let end = select(vec!["END\r\n", "END\r\n", "SERVER_ERROR out of memory\r\n"]);
    let values = (vec((value(), select(vec!["", " 9"])), 1..4), end).prop_map(|(values, end)| {
        let mut out = Vec::new();
        for (data, unique) in values {
            out.extend_from_slice(format!("VALUE key 0 {}{unique}\r\n", data.len()).as_bytes());
            out.extend_from_slice(&data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(end.as_bytes());
        out
    });
    prop_oneof![line, values]
}

/// Enough runs to meet the rare forms; PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(2000), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn resp_requests(stream in stream(resp_request()), reads in reads(), limits in limits()) {
        check::resp_requests(&stream, &reads, &limits);
    }

    #[test]
    fn resp_replies(stream in stream(resp_reply()), reads in reads(), limits in limits()) {
        check::resp_replies(&stream, &reads, &limits);
    }

    #[test]
    fn memcache_requests(stream in stream(memcache_request()), reads in reads(), limits in limits()) {
        check::memcache_requests(&stream, &reads, &limits);
    }

    #[test]
    fn memcache_replies(stream in stream(memcache_reply()), reads in reads(), limits in limits()) {
        check::memcache_replies(&stream, &reads, &limits);
    }

    #[test]
    fn anything_at_all(stream in anything(), reads in reads(), limits in limits()) {
        check::resp_requests(&stream, &reads, &limits);
        check::resp_replies(&stream, &reads, &limits);
        check::memcache_requests(&stream, &reads, &limits);
        check::memcache_replies(&stream, &reads, &limits);
    }

    /// Undamaged streams are accepted to the last byte, so the tests above do not only see errors.
    #[test]
    fn good_streams_are_accepted(requests in vec(vec(value(), 1..7), 1..6), replies in vec(resp_reply(), 1..6)) {
        let mut stream = Vec::new();
        for args in &requests {
            wire::resp::encode::request(args.iter().map(Vec::as_slice), &mut stream);
        }
        let seen = check::read_resp_requests(&stream, &[], &Limits::default());
        let args: Vec<_> = seen.into_iter().map(|(_, args)| args).collect();
        prop_assert_eq!(args, requests);
        let seen = check::read_resp_replies(&replies.concat(), &[3], &Limits::default());
        let lengths: Vec<_> = seen
            .iter()
            .map(|(seen, _)| match seen {
                wire::resp::ReplyParse::Complete { len, .. } => *len,
                _ => 0,
            })
            .collect();
        prop_assert_eq!(lengths, replies.iter().map(Vec::len).collect::<Vec<_>>());
    }
}
