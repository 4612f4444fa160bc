//! What servers may send, and what becomes of it.

use super::*;
use crate::command;
use proptest::prelude::*;
use wire::args::Args;

/// The plan of a request about `keys` keys.
fn plan(words: &str, limit: usize) -> Plan {
    let (mut bytes, mut args) = (Vec::new(), Args::default());
    for word in words.split(' ') {
        args.push(bytes.len(), bytes.len() + word.len());
        bytes.extend_from_slice(word.as_bytes());
    }
    let view = args.view(&bytes);
    let command = command::find(view).expect("a command");
    let mut keys = Vec::new();
    command::keys(command, view, &mut keys).expect("keys");
    let last = keys.last().copied().expect("a key") as usize;
    Plan::read(command, view, keys.len(), last, limit, None).expect("it is gathered").expect("it is right")
}

fn answer(words: &str, replies: &[&[u8]], resp3: bool) -> Option<String> {
    let mut out = Vec::new();
    plan(words, 1 << 20).write(replies, resp3, &mut out)?;
    Some(String::from_utf8(out).expect("text"))
}

const REQUESTS: [&str; 11] = [
    "SUNION a b",
    "SINTER a b",
    "SDIFF a b",
    "SINTERCARD 2 a b LIMIT 1",
    "ZUNION 2 a b WITHSCORES",
    "ZINTER 2 a b WEIGHTS 1 0 WITHSCORES",
    "ZDIFF 2 a b",
    "ZINTERCARD 2 a b",
    "PFCOUNT a b",
    "LCS a b IDX WITHMATCHLEN",
    "LCS a b LEN",
];

#[test]
fn every_command_that_is_gathered_is_one_that_reads() {
    for name in GATHERED {
        let command = command::by_name(name.as_bytes()).expect("it is in the table");
        assert!(command.gathers() && command.flags.has(command::Flags::READONLY), "{name}");
    }
}

#[test]
fn the_list_of_commands_says_which_they_are() {
    let rows = include_str!("../../data/redis-routes.csv").lines();
    let noted = rows.filter(|row| row.contains("`cross_server: gather`"));
    let mut names: Vec<&str> = noted.filter_map(|row| row.split(',').next()).collect();
    names.sort_unstable();
    assert_eq!(names, GATHERED);
}

#[test]
fn each_key_is_asked_in_its_commands_way() {
    let asked = |words: &str, index: usize| {
        let mut out = Vec::new();
        plan(words, 100).ask(index, b"k", &mut out);
        let text = String::from_utf8(out).expect("text");
        text.split("\r\n").skip(2).step_by(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(asked("SUNION a b", 0), "SMEMBERS k");
    assert_eq!(asked("SINTERCARD 2 a b", 1), "SMEMBERS k");
    assert_eq!(asked("ZUNION 2 a b", 1), "ZUNION 1 k WITHSCORES");
    assert_eq!(asked("ZDIFF 2 a b", 0), "ZUNION 1 k WITHSCORES");
    assert_eq!(asked("ZDIFF 2 a b WITHSCORES", 1), "ZUNION 1 k");
    assert_eq!(asked("ZINTERCARD 2 a b", 0), "ZUNION 1 k");
    assert_eq!(asked("PFCOUNT a b", 0), "GET k");
    assert_eq!(asked("LCS a b", 1), "GET k");
}

#[test]
fn scores_come_in_either_protocol() {
    let flat: [&[u8]; 2] = [b"*2\r\n$1\r\na\r\n$3\r\n2.5\r\n", b"*2\r\n$1\r\nb\r\n$4\r\n-inf\r\n"];
    let pairs: [&[u8]; 2] = [b"*1\r\n*2\r\n$1\r\na\r\n,2.5\r\n", b"*1\r\n*2\r\n$1\r\nb\r\n,-inf\r\n"];
    let wanted = "*4\r\n$1\r\nb\r\n$4\r\n-inf\r\n$1\r\na\r\n$3\r\n2.5\r\n";
    assert_eq!(answer("ZUNION 2 a b WITHSCORES", &flat, false).as_deref(), Some(wanted));
    let wanted = "*2\r\n*2\r\n$1\r\nb\r\n,-inf\r\n*2\r\n$1\r\na\r\n,2.5\r\n";
    assert_eq!(answer("ZUNION 2 a b WITHSCORES", &pairs, true).as_deref(), Some(wanted));
}

/// Scores are written as the servers write theirs.
#[test]
fn a_servers_way_to_write_numbers_is_learnt() {
    for (text, wanted) in [("0.1", "0.2"), ("0.10000000000000001", "0.20000000000000001")] {
        let reply = format!("*2\r\n$1\r\na\r\n${}\r\n{text}\r\n", text.len());
        let replies = [reply.as_bytes(), reply.as_bytes()];
        let read = answer("ZUNION 2 a b WITHSCORES", &replies, false).expect("an answer");
        assert!(read.contains(&format!("\r\n{wanted}\r\n")), "{read}");
    }
}

#[test]
fn what_is_no_answer_to_the_question_is_none() {
    let wrong: [&[u8]; 14] = [
        b"",
        b"+OK\r\n",
        b":1\r\n",
        b"*-1\r\n",
        b"*3\r\n$1\r\na\r\n",
        b"*1\r\n$9\r\na\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n*1\r\n$1\r\na\r\n",
        b"*1\r\n*2\r\n:1\r\n,1\r\n",
        b"*99999999999999999999\r\n",
        b"*1000000000\r\n",
        b"|1\r\n",
        b"$5\r\nab",
        b"-ERR no\r\n",
    ];
    let good = |words: &str| -> &[u8] { if words.starts_with(['P', 'L']) { b"$-1\r\n" } else { b"*0\r\n" } };
    for words in REQUESTS {
        assert!(answer(words, &[good(words), good(words)], false).is_some(), "{words}");
        for reply in wrong {
            let shown = reply.escape_ascii();
            assert_eq!(answer(words, &[good(words), reply], false), None, "{words}: {shown}");
            assert_eq!(answer(words, &[reply, good(words)], true), None, "{words}: {shown}");
        }
    }
    let no_number = b"*2\r\n$1\r\na\r\n$3\r\nnan\r\n".as_slice();
    assert_eq!(answer("ZUNION 2 a b WITHSCORES", &[no_number, b"*0\r\n"], false), None);
}

/// A sparse HyperLogLog with `body`.
fn sparse(body: &[u8]) -> Vec<u8> {
    let value = [b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".as_slice(), body].concat();
    [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
}

#[test]
fn hyperloglogs_that_are_none_read_as_redis_says() {
    let count = |reply: &[u8]| answer("PFCOUNT a b", &[b"$-1\r\n", reply], false).expect("an answer");
    assert_eq!(count(&sparse(&[0x7f, 0xff])), ":0\r\n", "all registers are zero");
    assert_eq!(count(&sparse(&[0x80, 0x7f, 0xfe])), ":1\r\n", "one is 1");
    let invalid = "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n";
    let short = [b"$12304\r\nHYLL\0".as_slice(), &[0; 12299], b"\r\n"].concat();
    assert!(count(&short).starts_with(":0"), "a dense one");
    let others: [&[u8]; 5] = [
        b"$0\r\n\r\n",
        b"$4\r\nHYLL\r\n",
        b"$16\r\nhyllhyllhyllhyll\r\n",
        b"$16\r\nHYLL\0yllhyllhyll\r\n",
        b"$16\r\nHYLL\x02yllhyllhyll\r\n",
    ];
    for reply in others {
        assert_eq!(count(reply), invalid, "{}", reply.escape_ascii());
    }
    for body in
        [&[][..], &[0x7f], &[0x7f, 0xfe], &[0x7f, 0xff, 0x00], &[0x7f, 0xff, 0xff], &[0x7f, 0xff, 0x7f, 0xff]]
    {
        assert_eq!(count(&sparse(body)), "-INVALIDOBJ Corrupted HLL object detected\r\n", "{body:?}");
    }
}

#[test]
fn lcs_does_not_hold_up_its_worker() {
    let reply = |bytes: usize| [format!("${bytes}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat();
    let mut out = Vec::new();
    let mut ask = |a: usize, b: usize| {
        out.clear();
        plan("LCS a b LEN", 1 << 26).write(&[&reply(a), &reply(b)], false, &mut out).expect("an answer");
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(ask(2048, 2048), ":2048\r\n");
    assert_eq!(ask(4 << 20, 1), ":1\r\n");
    assert_eq!(ask(16 << 20, 0), ":0\r\n");
    assert!(ask(2049, 2048).starts_with("-ERR LCS of keys on several servers takes"));
    let wrong_type = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".as_slice();
    let read = answer("LCS a b", &[b"$-1\r\n", wrong_type], false);
    assert_eq!(read.as_deref(), Some("-ERR The specified keys must contain string values\r\n"));
}

#[test]
fn what_comes_counts_once_and_too_much_is_an_error() {
    let mut plan = plan("SUNION a b", 100);
    let (mut first, mut other) = (0, 0);
    assert!(plan.note(&mut first, 40) && plan.note(&mut first, 60) && plan.note(&mut other, 40));
    assert!(plan.note(&mut first, 20), "what is sent anew does not count again");
    assert!(!plan.note(&mut other, 41));
    let mut out = Vec::new();
    assert_eq!(plan.write(&[b"", b""], false, &mut out), Some(()));
    assert!(out.starts_with(b"-ERR the values of these keys take more than gather_limit"));
}

/// Bytes that look like replies more often than chance would have it.
fn replies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "*1\r\n",
            "*2\r\n",
            "*4\r\n",
            "~2\r\n",
            "%1\r\n",
            "|1\r\n",
            "$1\r\na\r\n",
            "$1\r\nb\r\n",
            "$3\r\n1.5\r\n",
            ",1e3\r\n",
            ",inf\r\n",
            "$-1\r\n",
            "_\r\n",
            ":7\r\n",
            "+x\r\n",
            "-ERR x\r\n",
            "$16\r\nHYLL",
            "$9\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_servers_send_makes_it_panic(
        request in 0..REQUESTS.len(),
        first in replies(),
        second in replies(),
        body in prop::collection::vec(any::<u8>(), 0..40),
        resp3 in any::<bool>(),
    ) {
        for (first, second) in [(&first, &second), (&sparse(&body), &second), (&sparse(&body), &sparse(&first))] {
            let mut out = Vec::new();
            plan(REQUESTS[request], 1 << 20).write(&[first, second], resp3, &mut out);
        }
    }

    /// However long a string is, what both have is found in both, in its order.
    #[test]
    fn what_two_strings_have_in_common_is_in_both(a in "[abc]{0,40}", b in "[abc]{0,40}") {
        let reply = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let common = answer("LCS a b", &[reply(&a).as_bytes(), reply(&b).as_bytes()], false).expect("an answer");
        let common = common.split("\r\n").nth(1).expect("a string");
        for text in [&a, &b] {
            let mut left = text.bytes();
            prop_assert!(common.bytes().all(|byte| left.any(|other| other == byte)), "{common} in {text}");
        }
        let length = answer("LCS a b LEN", &[reply(&a).as_bytes(), reply(&b).as_bytes()], true).expect("a number");
        prop_assert_eq!(length, format!(":{}\r\n", common.len()));
    }
}
