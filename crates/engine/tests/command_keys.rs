//! Key extraction against what live servers answered to COMMAND GETKEYSANDFLAGS (vectors/redis-getkeys.csv), and
//! against the traps that the recorded rows do not have.

use engine::command::{self, CommandReply, Keys, Route, Scope, info};
use wire::args::Args;

/// A request's bytes and where its arguments lie.
fn request(argv: &[impl AsRef<[u8]>]) -> (Vec<u8>, Args) {
    let (mut bytes, mut args) = (Vec::new(), Args::default());
    for arg in argv {
        let start = bytes.len();
        bytes.extend_from_slice(arg.as_ref());
        args.push(start, bytes.len());
    }
    (bytes, args)
}

/// The keys a request is routed by, or its error reply.
fn routed(argv: &[&str]) -> Result<Vec<String>, String> {
    let (bytes, args) = request(argv);
    let view = args.view(&bytes);
    let mut out = Vec::new();
    let text = |out: Vec<u8>| String::from_utf8(out).unwrap();
    let command = command::find(view).map_err(|error| {
        error.write(view, &mut out);
        text(std::mem::take(&mut out))
    })?;
    let mut keys = Vec::new();
    command::keys(command, view, &mut keys).map_err(|error| {
        error.write(command, &mut out);
        text(out)
    })?;
    Ok(keys.iter().map(|key| argv[*key as usize].to_owned()).collect())
}

/// COMMAND GETKEYSANDFLAGS of a request, as keys and flags.
fn listed(argv: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
    let whole: Vec<&str> =
        ["COMMAND", "GETKEYSANDFLAGS"].into_iter().chain(argv.iter().map(String::as_str)).collect();
    let (bytes, args) = request(&whole);
    let mut out = Vec::new();
    info::write(CommandReply::GetKeysAndFlags, args.view(&bytes), Scope::default(), false, &mut out);
    let text = String::from_utf8(out).unwrap();
    if text.starts_with('-') {
        return Err(text);
    }
    // *n, then for each key *2 $len key *m +flag ...
    let mut lines = text.split("\r\n");
    let count: usize = lines.next().unwrap().strip_prefix('*').unwrap().parse().unwrap();
    let mut keys = Vec::new();
    for _ in 0..count {
        assert_eq!(lines.next(), Some("*2"));
        let len: usize = lines.next().unwrap().strip_prefix('$').unwrap().parse().unwrap();
        let key = lines.next().unwrap().to_owned();
        assert_eq!(key.len(), len);
        let flags: usize = lines.next().unwrap().strip_prefix('*').unwrap().parse().unwrap();
        let flags = (0..flags).map(|_| lines.next().unwrap().strip_prefix('+').unwrap().to_owned()).collect();
        keys.push((key, flags));
    }
    Ok(keys)
}

#[test]
fn keys_are_those_that_live_servers_name() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/redis-getkeys.csv");
    let mut rows = 0;
    for row in csv::Reader::from_path(path).unwrap().records() {
        let row = row.unwrap();
        rows += 1;
        let argv: Vec<String> = serde_json::from_str(&row[0]).unwrap();
        let answer = listed(&argv);
        let newer = row[3].contains("8.0dev");
        let Ok(keys) = serde_json::from_str::<Vec<String>>(&row[1]) else {
            // An error of redis 7.0 alone is of a form that came later, and which is served.
            assert!(answer.is_err() || !newer, "{argv:?}: {answer:?}, not {}", &row[1]);
            continue;
        };
        let answer = answer.unwrap_or_else(|error| panic!("{argv:?}: {error}"));
        assert_eq!(answer.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys, "{argv:?}");
        if newer {
            let flags: Vec<Vec<String>> = serde_json::from_str(&row[2]).unwrap();
            let sorted = |mut flags: Vec<String>| {
                flags.sort();
                flags
            };
            let answer: Vec<_> = answer.into_iter().map(|(_, flags)| sorted(flags)).collect();
            assert_eq!(answer, flags.into_iter().map(sorted).collect::<Vec<_>>(), "{argv:?}");
        }
    }
    assert_eq!(rows, 494);
}

#[test]
fn requests_are_routed_by_the_same_keys_or_not_at_all() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/redis-getkeys.csv");
    let mut by_keys = 0;
    for row in csv::Reader::from_path(path).unwrap().records() {
        let row = row.unwrap();
        let argv: Vec<String> = serde_json::from_str(&row[0]).unwrap();
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let (bytes, args) = request(&argv);
        let Ok(command) = command::find(args.view(&bytes)) else {
            assert!(!row[1].starts_with('['), "{argv:?} is not known");
            continue;
        };
        if !matches!(command.route, Route::ByKey | Route::Split(_)) {
            continue;
        }
        match serde_json::from_str::<Vec<String>>(&row[1]) {
            // A script without keys is an error of ours.
            Ok(keys) if keys.is_empty() => assert!(routed(&argv).is_err(), "{argv:?}"),
            Ok(keys) => {
                by_keys += 1;
                assert_eq!(routed(&argv), Ok(keys), "{argv:?}");
            }
            // Redis tells clients "invalid", yet carries it out: see the next test.
            Err(_) if argv == ["PFMERGE", "key1"] => {}
            Err(_) => assert!(routed(&argv).is_err() || !row[3].contains("8.0dev"), "{argv:?}"),
        }
    }
    assert!(by_keys > 350, "only {by_keys} rows looked at");
}

#[test]
fn keys_where_the_recorded_rows_have_no_example() {
    for (argv, expected) in [
        // A group, a consumer or a key may be called like an option.
        ("XREADGROUP GROUP STREAMS STREAMS STREAMS a >", Ok("a")),
        ("XREADGROUP GROUP BLOCK NOACK COUNT 2 CLAIM 5 STREAMS a b > >", Ok("a b")),
        ("XREADGROUP GROUP g c MAXCOUNT 1 MAXSIZE 2 NOACK STREAMS a >", Ok("a")),
        ("xread count 1 streams streams 0", Ok("streams")),
        ("XREAD STREAMS a b 0", Err("Unbalanced XREAD list of streams")),
        ("XREAD COUNT 1 STREAMS", Err("syntax error")),
        ("XREAD COUNT 1 2", Err("syntax error")),
        ("SORT a STORE b STORE c", Ok("a c")),
        ("SORT a BY STORE GET store LIMIT 0 1 STORE c", Ok("a c")),
        ("SORT a STORE STORE", Ok("a STORE")),
        ("GEORADIUS a 1 2 3 m COUNT 1 STORE b STOREDIST c", Ok("a c")),
        ("GEORADIUSBYMEMBER a store 3 m storedist b", Ok("a b")),
        ("GEORADIUSBYMEMBER a STORE 3 m WITHDIST", Ok("a")),
        ("PFMERGE a", Ok("a")),
        ("ZUNION 3 a b", Err("syntax error")),
        ("ZUNION 0 a", Err("at least 1 input key is needed for 'zunion' command")),
        ("ZUNION -1 a", Err("at least 1 input key is needed for 'zunion' command")),
        ("ZUNION x a", Err("value is not an integer or out of range")),
        ("ZUNION 9223372036854775807 a", Err("syntax error")),
        ("ZUNION 9223372036854775808 a", Err("value is not an integer or out of range")),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", Ok("d a b")),
        ("LMPOP 0 a LEFT", Err("numkeys should be greater than 0")),
        ("SINTERCARD 0 a", Err("numkeys should be greater than 0")),
        ("SINTERCARD 3 a b", Err("Number of keys can't be greater than number of args")),
        ("EVAL s 3 a b", Err("Number of keys can't be greater than number of args")),
        ("EVAL s -1 a", Err("Number of keys can't be negative")),
        ("EVAL s 01 a", Err("value is not an integer or out of range")),
        ("EVAL s 0 a", Err("cashew does not support 'EVAL' without keys yet")),
        ("FCALL f x a", Err("Bad number of keys provided")),
        ("MSETEX 2 a 1 b 2 EX 5", Ok("a b")),
        ("MSETEX 2 a 1 b", Err("Number of keys can't be greater than number of args")),
        ("MSET a 1 b", Err("wrong number of arguments for 'mset' command")),
        ("MSETNX a 1 b", Err("wrong number of arguments for 'msetnx' command")),
        ("JSON.MSET a $ 1 b $ 2", Ok("a b")),
        ("JSON.MSET a $ 1 b $", Err("wrong number of arguments for 'json.mset' command")),
        ("JSON.MGET a b $", Ok("a b")),
        ("CMS.MERGE d 2 a b WEIGHTS 1 2", Ok("d a b")),
        ("TDIGEST.MERGE d 2 a b COMPRESSION 1", Ok("d a b")),
        ("BITOP NOT d a", Ok("d a")),
        ("OBJECT ENCODING a", Ok("a")),
        ("XGROUP CREATE a g $ MKSTREAM", Ok("a")),
        ("MEMORY USAGE a SAMPLES 5", Ok("a")),
        ("MGET a b a", Ok("a b a")),
        ("DBSIZE", Ok("")),
    ] {
        let words: Vec<&str> = argv.split(' ').collect();
        match (routed(&words), expected) {
            (Ok(keys), Ok(expected)) => assert_eq!(keys.join(" "), expected, "{argv}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{argv}: {error}"),
            (answer, expected) => panic!("{argv}: {answer:?}, not {expected:?}"),
        }
    }
}

#[test]
fn blocking_is_told_from_not_blocking() {
    for (argv, expected) in [
        ("BLPOP a 0", true),
        ("BLMPOP 0 1 a LEFT", true),
        ("XREAD STREAMS a 0", false),
        ("XREAD COUNT 1 block 0 STREAMS a 0", true),
        ("XREAD STREAMS block 0", false),
        ("XREADGROUP GROUP block BLOCK STREAMS a >", false),
        ("XREADGROUP GROUP g c NOACK BLOCK 0 STREAMS a >", true),
        ("TS.READ a 0", false),
        ("TS.READ a 0 BLOCK 10 1", true),
        ("GET block", false),
        ("LPOP a", false),
    ] {
        let words: Vec<&str> = argv.split(' ').collect();
        let (bytes, args) = request(&words);
        let command = command::find(args.view(&bytes)).unwrap();
        assert_eq!(command::blocks(command, args.view(&bytes)), expected, "{argv}");
        assert!(!expected || command.keys != Keys::First, "{argv} takes the fast path");
    }
}

#[test]
fn patterns_that_may_name_other_keys_are_found() {
    for (argv, expected) in [
        ("SORT a", ""),
        ("SORT a BY nosort GET #", ""),
        ("SORT a BY w_* GET # GET o_*->f STORE d", "w_* o_*->f"),
        ("SORT_RO a GET BY BY w*", "w*"),
        ("SORT a STORE by*", ""),
        ("GET *", ""),
    ] {
        let words: Vec<&str> = argv.split(' ').collect();
        let (bytes, args) = request(&words);
        let command = command::find(args.view(&bytes)).unwrap();
        let mut found = Vec::new();
        command::patterns(command, args.view(&bytes), &mut found);
        let found: Vec<&str> = found.iter().map(|index| words[*index as usize]).collect();
        assert_eq!(found.join(" "), expected, "{argv}");
    }
}

#[test]
fn no_request_makes_key_extraction_panic_or_point_outside() {
    use proptest::prelude::*;
    let words = [
        "STREAMS",
        "BLOCK",
        "GROUP",
        "STORE",
        "BY",
        "GET",
        "KEYS",
        "AUTH2",
        "MEMORY",
        "0",
        "1",
        "2",
        "-1",
        "",
        "a",
        "9223372036854775807",
        "COUNT",
        "LIMIT",
    ];
    let arg = proptest::sample::select(words.to_vec());
    let rows = engine::command::Command::table().len();
    proptest!(|(row in 0..rows, rest in proptest::collection::vec(arg, 0..8))| {
        let command = &engine::command::Command::table()[row];
        let mut argv: Vec<&str> = command.name.split(' ').collect();
        argv.extend(rest);
        let (bytes, args) = request(&argv);
        let view = args.view(&bytes);
        let mut whole = vec!["COMMAND", "GETKEYS"];
        whole.extend(&argv);
        let (whole_bytes, whole) = request(&whole);
        info::write(CommandReply::GetKeysAndFlags, whole.view(&whole_bytes), Scope::default(), false, &mut Vec::new());
        if let Ok(found) = command::find(view) {
            let mut keys = Vec::new();
            command::blocks(found, view);
            command::patterns(found, view, &mut keys);
            match command::keys(found, view, &mut keys) {
                Ok(()) => prop_assert!(keys.iter().all(|key| (*key as usize) < argv.len()), "{argv:?}: {keys:?}"),
                Err(error) => {
                    let mut out = Vec::new();
                    error.write(found, &mut out);
                    prop_assert!(out.starts_with(b"-ERR ") && out.ends_with(b"\r\n"));
                }
            }
        }
    });
}
