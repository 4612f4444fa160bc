//! Requests about several servers: split ones, those that must not be split, and those that go to all.

use std::collections::BTreeSet;

use testkit::{Client, RedisServer};

use crate::farm::{Farm, SERVERS};

#[test]
fn values_come_back_in_the_order_of_their_keys() {
    let farm = Farm::redis(2, &[]);
    let mut client = farm.client();
    let keys: Vec<String> = (0..200).map(|n| format!("key:{n}")).collect();
    let pairs = keys.iter().flat_map(|key| [key.clone(), format!("value of {key}")]);
    let mset: Vec<String> = std::iter::once("MSET".to_owned()).chain(pairs).collect();
    assert_eq!(client.ask(&mset), b"+OK\r\n");

    let held: Vec<i64> =
        farm.servers.iter().map(|server| integer(&server.client().ask(&["DBSIZE"]))).collect();
    assert!(held.iter().all(|count| *count > 0), "keys are not spread: {held:?}");
    assert_eq!(held.iter().sum::<i64>(), 200, "{held:?}");

    // Duplicates, misses, and the other way round.
    let mut asked: Vec<String> = keys.iter().rev().cloned().collect();
    asked.extend(["key:7".to_owned(), "miss:1".to_owned(), "key:7".to_owned(), "miss:2".to_owned()]);
    let mget: Vec<String> = std::iter::once("MGET".to_owned()).chain(asked.iter().cloned()).collect();
    let mut wanted = format!("*{}\r\n", asked.len()).into_bytes();
    for key in &asked {
        match key.starts_with("key:") {
            true => wanted.extend_from_slice(&bulk(&format!("value of {key}"))),
            false => wanted.extend_from_slice(b"$-1\r\n"),
        }
    }
    assert_eq!(client.ask(&mget), wanted);

    let with = |word: &str| -> Vec<String> {
        std::iter::once(word.to_owned()).chain(asked.iter().cloned()).collect()
    };
    assert_eq!(client.ask(&with("EXISTS")), b":202\r\n", "redis counts a key as often as it is named");
    assert_eq!(client.ask(&with("TOUCH")), b":202\r\n");
    assert_eq!(client.ask(&["UNLINK", "key:1", "key:2", "key:3", "key:1", "miss"]), b":3\r\n");
    assert_eq!(client.ask(&with("DEL")), b":197\r\n");
    assert_eq!(client.ask(&["DBSIZE"]), b":0\r\n");
}

#[test]
fn a_value_of_a_wrong_type_is_no_value_and_its_neighbours_are() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    let keys = one_key_per_server(&farm);
    for key in &keys {
        client.ask(&["SET", key, key]);
    }
    client.ask(&["DEL", &keys[1]]);
    client.ask(&["RPUSH", &keys[1], "a"]);
    let wanted =
        [b"*4\r\n".to_vec(), bulk(&keys[0]), b"$-1\r\n".to_vec(), bulk(&keys[2]), bulk(&keys[3])].concat();
    assert_eq!(client.ask(&["MGET", &keys[0], &keys[1], &keys[2], &keys[3]]), wanted);
}

#[test]
fn keys_of_different_servers_are_refused_before_anything_is_done() {
    let farm = Farm::redis(2, &[]);
    let mut client = farm.client();
    let keys = one_key_per_server(&farm);
    let (a, b) = (keys[0].as_str(), keys[1].as_str());
    let before = |client: &mut Client| {
        client.ask(&["FLUSHALL"]);
        client.ask(&["MSET", a, "1", b, "2"]);
    };
    let requests: &[&[&str]] = &[
        &["RENAME", a, b],
        &["RENAMENX", a, "other"],
        &["COPY", a, b, "REPLACE"],
        &["MSETNX", "{a}", "1", "{b}", "2", "{c}", "3", "{d}", "4", "{e}", "5"],
        &["SUNIONSTORE", a, b],
        &["SINTERSTORE", a, a, b],
        &["SDIFF", a, b],
        &["SMOVE", a, b, "m"],
        &["ZUNIONSTORE", a, "1", b],
        &["ZUNION", "2", a, b],
        &["ZINTERCARD", "2", a, b],
        &["ZRANGESTORE", a, b, "0", "-1"],
        &["BITOP", "AND", a, b],
        &["PFCOUNT", a, b],
        &["PFMERGE", a, b],
        &["LMOVE", a, b, "LEFT", "LEFT"],
        &["RPOPLPUSH", a, b],
        &["LMPOP", "2", a, b, "LEFT"],
        &["LCS", a, b],
        &["GEOSEARCHSTORE", a, b, "FROMLONLAT", "1", "1", "BYRADIUS", "1", "km"],
        &["GEORADIUS", a, "1", "1", "1", "km", "STORE", b],
        &["SORT", a, "STORE", b],
        &["XREAD", "STREAMS", a, b, "0", "0"],
        &["EVAL", "return redis.call('DEL',KEYS[1])", "2", a, b],
        &["EVALSHA", "0000000000000000000000000000000000000000", "2", a, b],
        &["FCALL", "f", "2", a, b],
    ];
    for argv in requests {
        before(&mut client);
        let reply = client.ask(argv);
        let text = String::from_utf8_lossy(&reply);
        assert!(
            text.starts_with("-CROSSSLOT Keys in request don't hash to the same slot"),
            "{argv:?}: {text}"
        );
        // Which keys, and where they are, so that somebody can do something about it.
        assert!(text.contains("server-"), "{argv:?}: {text}");
        let pair = [b"*2\r\n".as_slice(), b"$1\r\n1\r\n$1\r\n2\r\n"].concat();
        assert_eq!(client.ask(&["MGET", a, b]), pair, "{argv:?} did something");
        assert_eq!(client.ask(&["DBSIZE"]), b":2\r\n", "{argv:?} did something");
    }
    // Patterns of SORT could name any key.
    for argv in
        [&["SORT", a, "BY", "w:*"][..], &["SORT_RO", a, "GET", "w:*"], &["SORT", a, "BY", "{other}:*"]]
    {
        let reply = client.ask(argv);
        assert!(reply.starts_with(b"-CROSSSLOT "), "{argv:?}: {}", reply.escape_ascii());
    }
}

#[test]
fn one_servers_error_is_the_answer_and_says_how_many_failed() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    let keys = one_key_per_server(&farm);
    // One server takes no more writes.
    let mut full = farm.servers[2].client();
    assert_eq!(full.ask(&["CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction"]), b"+OK\r\n");
    let mset: Vec<&str> =
        std::iter::once("MSET").chain(keys.iter().flat_map(|key| [key.as_str(), "v"])).collect();
    let reply = client.ask(&mset);
    let text = String::from_utf8_lossy(&reply);
    assert!(text.starts_with("-OOM "), "{text}");
    assert!(text.ends_with(" (1 of 4 servers failed)\r\n"), "{text}");
    let mget: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(client.ask(&mget), b"*4\r\n$1\r\nv\r\n$1\r\nv\r\n$-1\r\n$1\r\nv\r\n");
}

#[test]
fn requests_for_all_servers_reach_all() {
    let farm = Farm::redis(2, &[]);
    let mut client = farm.client();
    let keys: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        assert_eq!(client.ask(&["SET", key, "v"]), b"+OK\r\n");
    }
    assert_eq!(client.ask(&["DBSIZE"]), b":100\r\n");
    assert_eq!(strings(&client.ask(&["KEYS", "*"])), keys.iter().cloned().collect());
    assert_eq!(strings(&client.ask(&["KEYS", "key:1?"])).len(), 10);

    let sha = client.ask(&["SCRIPT", "LOAD", "return ARGV[1]"]);
    assert!(sha.starts_with(b"$40\r\n"), "{}", sha.escape_ascii());
    let sha = String::from_utf8_lossy(&sha[5..45]).into_owned();
    let zeros = "0".repeat(40);
    assert_eq!(client.ask(&["SCRIPT", "EXISTS", &sha, &zeros]), b"*2\r\n:1\r\n:0\r\n");
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["SCRIPT", "EXISTS", &sha]), b"*1\r\n:1\r\n");
    }
    for key in keys.iter().take(20) {
        assert_eq!(client.ask(&["EVALSHA", &sha, "1", key, "x"]), b"$1\r\nx\r\n");
    }
    // Where one server has forgotten a script, it does not exist.
    assert_eq!(farm.servers[3].client().ask(&["SCRIPT", "FLUSH"]), b"+OK\r\n");
    assert_eq!(client.ask(&["SCRIPT", "EXISTS", &sha]), b"*1\r\n:0\r\n");
    assert_eq!(client.ask(&["SCRIPT", "FLUSH"]), b"+OK\r\n");
    assert_eq!(farm.servers[0].client().ask(&["SCRIPT", "EXISTS", &sha]), b"*1\r\n:0\r\n");

    let library = "#!lua name=lib\nredis.register_function('f', function(keys, args) return args[1] end)";
    assert_eq!(client.ask(&["FUNCTION", "LOAD", library]), b"$3\r\nlib\r\n");
    for key in keys.iter().take(20) {
        assert_eq!(client.ask(&["FCALL", "f", "1", key, "x"]), b"$1\r\nx\r\n");
    }
    assert_eq!(client.ask(&["FUNCTION", "DELETE", "lib"]), b"+OK\r\n");
    // One server has it already: the answer says so, and of how many servers that is true.
    assert_eq!(farm.servers[1].client().ask(&["FUNCTION", "LOAD", library]), b"$3\r\nlib\r\n");
    let wanted = b"-ERR Library 'lib' already exists (1 of 4 servers failed)\r\n";
    assert_eq!(client.ask(&["FUNCTION", "LOAD", library]), wanted);

    assert_eq!(client.ask(&["FLUSHALL"]), b"+OK\r\n");
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["DBSIZE"]), b":0\r\n");
    }
}

/// For each server a key that it owns.
pub(super) fn one_key_per_server(farm: &Farm<RedisServer>) -> Vec<String> {
    let mut client = farm.client();
    let mut found: Vec<Option<String>> = vec![None; SERVERS];
    let mut servers: Vec<Client> = farm.servers.iter().map(RedisServer::client).collect();
    for n in 0.. {
        let key = format!("probe:{n}");
        assert_eq!(client.ask(&["SET", &key, "1"]), b"+OK\r\n");
        let owners: Vec<usize> =
            (0..SERVERS).filter(|index| servers[*index].ask(&["DEL", &key]) == b":1\r\n").collect();
        assert_eq!(owners.len(), 1, "a key has one owner");
        found[owners[0]].get_or_insert(key);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found.into_iter().flatten().collect()
}

/// The bulk strings of an array.
fn strings(reply: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(reply);
    assert!(text.starts_with('*'), "{text}");
    text.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect()
}

fn integer(reply: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(reply);
    text.trim().trim_start_matches(':').parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}
