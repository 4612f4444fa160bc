//! `cross_server: gather`: reads of keys on several servers answer what one redis that has all keys would.

use std::collections::BTreeSet;

use testkit::{Client, RedisServer, wait};

use super::across::one_key_per_server;
use crate::farm::Farm;
use crate::random::Random;
use crate::rig::{number, stats};

const GATHER: &str = "cross_server: gather";

/// A pool that gathers, and a server that has the same keys.
struct Both {
    farm: Farm<RedisServer>,
    pool: Client,
    direct: Client,
}

impl Both {
    fn new(protocol: &str, options: &[&str]) -> Both {
        let farm = Farm::redis(1, options);
        let (pool, direct) = (farm.client(), farm.direct.client());
        let mut both = Both { farm, pool, direct };
        for client in [&mut both.pool, &mut both.direct] {
            assert!(!client.ask(&["HELLO", protocol]).starts_with(b"-"));
        }
        both
    }

    /// Writes the same to both.
    fn write(&mut self, argv: &[String]) {
        let (ours, right) = (self.pool.ask(argv), self.direct.ask(argv));
        assert!(!right.starts_with(b"-"), "{argv:?}: {}", right.escape_ascii());
        assert_eq!(ours, right, "{argv:?}");
    }

    /// Asks both the same.
    #[track_caller]
    fn same(&mut self, argv: &[String]) -> Vec<u8> {
        let (mut ours, mut right) = (self.pool.ask(argv), self.direct.ask(argv));
        if matches!(argv[0].as_str(), "SUNION" | "SINTER" | "SDIFF") {
            (ours, right) = (sorted(&ours), sorted(&right));
        }
        assert_eq!(ours.escape_ascii().to_string(), right.escape_ascii().to_string(), "{argv:?}");
        right
    }
}

/// The elements of a reply about a set, whose order means nothing, behind its first line.
fn sorted(reply: &[u8]) -> Vec<u8> {
    let Some((_, elements)) = wire::resp::reply::elements(reply) else { return reply.to_vec() };
    let head = reply.len() - elements.rest().len();
    let mut elements: Vec<&[u8]> = elements.collect();
    elements.sort_unstable();
    [&reply[..head], &elements.concat()].concat()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn sets_and_sorted_sets_come_out_as_on_one_server() {
    random_requests("2", 1);
}

#[test]
fn sets_and_sorted_sets_come_out_as_on_one_server_in_resp3() {
    random_requests("3", 2);
}

fn random_requests(protocol: &str, seed: u64) {
    let mut both = Both::new(protocol, &[GATHER]);
    let mut random = Random::new(seed);
    let scores = ["0", "-0", "1", "2", "2.5", "0.1", "-3.3", "1e19", "1e-9", "inf", "-inf", "123456789.125"];
    for round in 0..8 {
        both.pool.ask(&["FLUSHALL"]);
        both.direct.ask(&["FLUSHALL"]);
        // How this redis writes numbers is learnt from what it writes.
        both.write(&words("ZADD k0 0.1 first"));
        for key in 0..12 {
            for _ in 0..random.within(0..30) {
                let member = format!("m{}", random.within(0..25));
                let score = scores[random.within(0..scores.len())];
                match key % 3 {
                    0 => both.write(&words(&format!("ZADD k{key} {score} {member}"))),
                    1 => both.write(&words(&format!("SADD k{key} {member}"))),
                    _ if round % 2 == 0 => both.write(&words(&format!("SADD k{key} {score}"))),
                    _ => {}
                }
            }
        }
        both.pool.ask(&words("ZUNION 12 k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 WITHSCORES"));
        for _ in 0..150 {
            let request = random_request(&mut random);
            both.same(&words(&request));
        }
    }
    let fragments = number(&stats(both.farm.stats_port()), &["farm", "fragments"]);
    assert!(fragments > 1000, "only {fragments} keys were gathered");
}

/// A request about keys of which some are sets, some are sorted sets and some are missing.
fn random_request(random: &mut Random) -> String {
    let commands = ["SUNION", "SINTER", "SDIFF", "SINTERCARD", "ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD"];
    let command = commands[random.within(0..commands.len())];
    let count = random.within(1..5);
    // Sets mostly, where only those will do: the others are of a wrong type.
    let any = command.starts_with('Z') || random.within(0..8) == 0;
    let keys: Vec<String> = (0..count)
        .map(|_| if any { random.within(0..13) } else { random.within(0..4) * 3 + 1 })
        .map(|number| format!("k{number}"))
        .collect();
    let mut text = command.to_owned();
    if command.starts_with('Z') || command == "SINTERCARD" {
        text += &format!(" {count}");
    }
    keys.iter().for_each(|key| text += &format!(" {key}"));
    if command.ends_with("CARD") && random.within(0..2) == 0 {
        text += &format!(" LIMIT {}", random.within(0..5));
    }
    if !command.starts_with('Z') || command == "ZINTERCARD" {
        return text;
    }
    if command != "ZDIFF" && random.within(0..2) == 0 {
        text += " WEIGHTS";
        let weights = ["1", "2", "0.1", "-1.5", "0", "inf", "1e3", "-inf"];
        (0..count).for_each(|_| text += &format!(" {}", weights[random.within(0..weights.len())]));
    }
    if command != "ZDIFF" && random.within(0..2) == 0 {
        text += [" AGGREGATE SUM", " aggregate min", " AGGREGATE MAX"][random.within(0..3)];
    }
    if random.within(0..3) > 0 {
        text += " WITHSCORES";
    }
    text
}

#[test]
fn wrong_requests_and_wrong_types_read_as_on_one_server() {
    let mut both = Both::new("2", &[GATHER]);
    let keys = one_key_per_server(&both.farm);
    let [a, b, c, d] = keys.as_slice() else { panic!("four servers") };
    both.write(&words(&format!("SADD {a} x y")));
    both.write(&words(&format!("SADD {b} y z")));
    both.write(&words(&format!("SET {c} text")));
    for request in [
        "SINTERCARD 2 A B LIMIT",
        "SINTERCARD 2 A B LIMIT -1",
        "SINTERCARD 2 A B LIMIT x",
        "SINTERCARD 2 A B LIMIT 1 2",
        "SINTERCARD 2 A B limit 1 LIMIT 0",
        "SINTERCARD 2 A B LIMIT 01",
        "SINTERCARD 0 A B",
        "SINTERCARD 3 A B",
        "ZINTERCARD 2 A B LIMIT -1",
        "ZINTERCARD 2 A B WITHSCORES",
        "ZINTERCARD 2 A B LIMIT 9223372036854775808",
        "ZUNION 2 A B WEIGHTS 1",
        "ZUNION 2 A B WEIGHTS 1 x",
        "ZUNION 2 A B WEIGHTS 1 nan",
        "ZUNION 2 A B WEIGHTS 1 1e999",
        "ZUNION 2 A B WEIGHTS 1 2 WEIGHTS 3 4 WITHSCORES",
        "ZUNION 2 A B AGGREGATE",
        "ZUNION 2 A B AGGREGATE AVG",
        "ZUNION 2 A B LIMIT 1",
        "ZUNION 2 A B WITHSCORES WITHSCORES",
        "ZUNION 0 A B",
        "ZUNION x A B",
        "ZUNION 3 A B",
        "ZDIFF 2 A B WEIGHTS 1 2",
        "ZDIFF 2 A B AGGREGATE SUM",
        "ZDIFF 2 A B WITHSCORES",
        "SUNION A C",
        "SUNION missing C A",
        "SINTER missing A C",
        "SDIFF missing A C",
        "SDIFF A A B",
        "SINTERCARD 2 missing C",
        "ZUNION 2 A C",
        "ZINTER 2 missing C",
        "ZDIFF 2 A C",
        "ZINTERCARD 2 A C",
        "PFCOUNT A B",
        "PFCOUNT missing C",
        "PFCOUNT D missing other",
        "LCS A B",
        "LCS C B",
        "LCS D missing",
        "LCS C missing LEN",
        "LCS C missing IDX",
        "LCS C missing IDX LEN",
        "LCS C D MINMATCHLEN",
        "LCS C D MINMATCHLEN x",
        "LCS C D MINMATCHLEN -1 IDX",
        "LCS C D WRONG",
    ] {
        let of = |word: &str| match word {
            "A" => a.clone(),
            "B" => b.clone(),
            "C" => c.clone(),
            "D" => d.clone(),
            other => other.to_owned(),
        };
        let argv: Vec<String> = request.split(' ').map(of).collect();
        // The probe of the last key's server set it in the pool alone.
        both.write(&words(&format!("SET {d} tax")));
        if request.starts_with("PFCOUNT D") {
            both.write(&words(&format!("DEL {d}")));
        }
        both.same(&argv);
    }
}

#[test]
fn counts_of_hyperloglogs_are_those_of_one_server() {
    let mut both = Both::new("2", &[GATHER]);
    let mut next = 0;
    // Sparse ones, dense ones, and one that is empty.
    for (key, count) in [1, 20, 300, 3000, 40_000].into_iter().enumerate() {
        let mut left = count;
        while left > 0 {
            let some = left.min(2000);
            let elements = (next..next + some).map(|n| format!("e{n}"));
            let argv: Vec<String> =
                ["PFADD".to_owned(), format!("h{key}")].into_iter().chain(elements).collect();
            both.write(&argv);
            (next, left) = (next + some, left - some);
        }
        next -= count / 3;
    }
    both.write(&words("PFADD h5"));
    let mut random = Random::new(3);
    for _ in 0..200 {
        let keys: Vec<String> =
            (0..random.within(2..6)).map(|_| format!("h{}", random.within(0..7))).collect();
        both.same(&words(&format!("PFCOUNT {}", keys.join(" "))));
    }
    let all = both.same(&words("PFCOUNT h0 h1 h2 h3 h4 h5"));
    assert!(all.len() > 5, "{}", all.escape_ascii());
}

#[test]
fn what_strings_have_in_common_is_what_one_server_finds() {
    for protocol in ["2", "3"] {
        let mut both = Both::new(protocol, &[GATHER]);
        let mut random = Random::new(4);
        for _ in 0..60 {
            for key in ["a", "b", "c", "d"] {
                let value: String =
                    (0..random.within(1..60)).map(|_| ["a", "c", "g", "t"][random.within(0..4)]).collect();
                both.write(&words(&format!("SET {key} {value}")));
            }
            for (first, second) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "a"), ("a", "none")]
            {
                for options in [
                    "",
                    " LEN",
                    " IDX",
                    " IDX WITHMATCHLEN",
                    " IDX MINMATCHLEN 3",
                    " IDX MINMATCHLEN 2 WITHMATCHLEN",
                ] {
                    both.same(&words(&format!("LCS {first} {second}{options}")));
                }
            }
        }
    }
}

#[test]
fn too_much_is_an_error_and_the_client_goes_on() {
    let mut both = Both::new("2", &[GATHER, "gather_limit: 64kb", "stream_from: 16kb"]);
    let mut keys = one_key_per_server(&both.farm);
    keys.push(keys[0].replace("probe", "none"));
    let (a, b, c) = (keys[0].as_str(), keys[1].as_str(), keys[2].as_str());
    let too_much =
        b"-ERR the values of these keys take more than gather_limit, and they are on several servers\r\n";
    both.pool.ask(&["DEL", a, b, c]);
    // One that is large by far, two that are so only together, and one large string.
    let members = |from: usize, count: usize| (from..from + count).map(|n| format!("member-{n:05}"));
    for (key, from, count) in [(a, 0, 40_000), (b, 0, 2_500), (c, 2_000, 2_500)] {
        let argv: Vec<String> =
            ["SADD".to_owned(), key.to_owned()].into_iter().chain(members(from, count)).collect();
        both.pool.ask(&argv);
    }
    for _ in 0..3 {
        for argv in [
            vec!["SUNION", a, b],
            vec!["SINTER", b, a],
            vec!["SINTERCARD", "2", b, c],
            vec!["SUNION", b, c],
            vec!["ZUNION", "2", b, c],
            vec!["SDIFF", a, b, c],
        ] {
            assert_eq!(both.pool.ask(&argv), too_much, "{argv:?}");
            assert_eq!(both.pool.ask(&["SCARD", a]), b":40000\r\n");
        }
        both.pool.ask(&["SET", &keys[3], &"v".repeat(1 << 20)]);
        assert_eq!(both.pool.ask(&["LCS", &keys[3], &keys[4], "LEN"]), too_much);
    }
    // In a pipeline everything keeps its place.
    let requests = [
        testkit::resp(&["SUNION", a, b]),
        testkit::resp(&["SCARD", b]),
        testkit::resp(&["SINTER", b, "missing"]),
        testkit::resp(&["SUNION", c, a]),
        testkit::resp(&["SCARD", c]),
    ];
    both.pool.send(&requests.concat());
    let wanted = [too_much.as_slice(), b":2500\r\n", b"*0\r\n", too_much, b":2500\r\n"];
    wanted.iter().for_each(|reply| assert_eq!(both.pool.resp_reply(), *reply));
    // LCS would hold up its worker.
    both.pool.ask(&["SET", a, &"x".repeat(3000)]);
    both.pool.ask(&["SET", b, &"y".repeat(3000)]);
    let text = both.pool.ask(&["LCS", a, b]);
    assert!(text.starts_with(b"-ERR LCS of keys on several servers takes"), "{}", text.escape_ascii());
}

#[test]
fn a_server_that_is_gone_is_an_error_and_writes_are_refused() {
    let mut both = Both::new("2", &[GATHER, "auto_eject_hosts: false", "timeout: 2000"]);
    let keys = one_key_per_server(&both.farm);
    let (a, b) = (keys[0].clone(), keys[1].clone());
    both.pool.ask(&["DEL", &a, &b]);
    both.pool.ask(&["SADD", &a, "x"]);
    both.pool.ask(&["SADD", &b, "y"]);
    for argv in [
        vec!["SUNIONSTORE", &a, &b],
        vec!["SINTERSTORE", &a, &a, &b],
        vec!["SDIFFSTORE", &a, &b],
        vec!["ZUNIONSTORE", &a, "1", &b],
        vec!["PFMERGE", &a, &b],
        vec!["ZRANGESTORE", &a, &b, "0", "-1"],
    ] {
        let text = String::from_utf8_lossy(&both.pool.ask(&argv)).into_owned();
        assert!(text.starts_with("-CROSSSLOT ") && !text.contains("gather"), "{argv:?}: {text}");
    }
    // In a transaction all keys are of one server.
    assert_eq!(both.pool.ask(&["MULTI"]), b"+OK\r\n");
    let text = String::from_utf8_lossy(&both.pool.ask(&["SUNION", &a, &b])).into_owned();
    assert!(text.starts_with("-CROSSSLOT "), "{text}");
    assert!(both.pool.ask(&["EXEC"]).starts_with(b"-EXECABORT "));
    // Watching a key changes nothing for reads.
    assert_eq!(both.pool.ask(&["WATCH", &a]), b"+OK\r\n");
    assert_eq!(strings(&both.pool.ask(&["SUNION", &a, &b])), ["x", "y"].map(str::to_owned).into());
    assert_eq!(both.pool.ask(&["UNWATCH"]), b"+OK\r\n");

    drop(both.farm.servers.remove(1));
    wait::until("the server's end to be seen", || both.pool.ask(&["GET", &b]).starts_with(b"-ERR "));
    let text = String::from_utf8_lossy(&both.pool.ask(&["SUNION", &a, &b])).into_owned();
    assert!(text.starts_with("-ERR Connection refused") || text.starts_with("-ERR unknown"), "{text}");
    assert_eq!(both.pool.ask(&["SCARD", &a]), b":1\r\n");
}

#[test]
fn it_is_refused_by_default_and_the_error_names_the_option() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    let keys = one_key_per_server(&farm);
    let text = String::from_utf8_lossy(&client.ask(&["SUNION", &keys[0], &keys[1]])).into_owned();
    assert!(text.starts_with("-CROSSSLOT "), "{text}");
    assert!(text.ends_with("; a hash tag keeps keys together, or cross_server: gather\r\n"), "{text}");
}

/// The bulk strings of an array.
fn strings(reply: &[u8]) -> BTreeSet<String> {
    let (_, elements) = wire::resp::reply::elements(reply).expect("an array");
    elements
        .filter_map(wire::resp::reply::bulk)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}
