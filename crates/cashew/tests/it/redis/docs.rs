//! COMMAND DOCS: what a server of the pool says of its commands, but for those that clients do not have.

use std::collections::BTreeMap;

use engine::command::by_name;
use wire::resp::reply::{bulk, elements};

use crate::farm::Farm;

/// The pairs of a map, or of an array of pairs, by their keys.
fn pairs(map: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let all: Vec<&[u8]> = elements(map).expect("an aggregate").1.collect();
    let key = |key: &[u8]| String::from_utf8_lossy(bulk(key).expect("a word")).into_owned();
    all.chunks(2).map(|pair| (key(pair[0]), pair[1].to_vec())).collect()
}

#[test]
fn every_command_is_told_of_as_by_a_server() {
    let farm = Farm::redis(2, &["disable: keys object|freq"]);
    for protocol in ["2", "3"] {
        let (mut client, mut direct) = (farm.client(), farm.direct.client());
        client.ask(&["HELLO", protocol]);
        direct.ask(&["HELLO", protocol]);
        let (ours, theirs) = (client.ask(&["COMMAND", "DOCS"]), direct.ask(&["COMMAND", "DOCS"]));
        let (ours, theirs) = (pairs(&ours), pairs(&theirs));
        let mut containers = 0;
        for (name, doc) in &theirs {
            let row = by_name(name.as_bytes()).expect("the table has all of redis");
            let Some(told) = ours.get(name) else {
                assert!(!row.served() || name == "keys", "{name}");
                continue;
            };
            let (mut told, mut doc) = (pairs(told), pairs(doc));
            if let (Some(told), Some(doc)) = (told.remove("subcommands"), doc.remove("subcommands")) {
                containers += 1;
                let (told, mut doc) = (pairs(&told), pairs(&doc));
                doc.retain(|part, _| {
                    by_name(part.as_bytes()).is_some_and(|row| row.served()) && part != "object|freq"
                });
                for (part, said) in &doc {
                    assert_eq!(told.get(part), Some(said), "{part}");
                }
            }
            assert_eq!(told, doc, "{name}");
        }
        assert!(containers > 8 && ours.len() > theirs.len(), "{containers} {}", ours.len());
        assert!(ours.contains_key("hexpire") && !ours.contains_key("debug") && !ours.contains_key("keys"));
        for name in ["get", "object|help", "object|freq", "config|get", "keys", "nosuch"] {
            let wanted = match name {
                "object|freq" | "keys" => direct.ask(&["COMMAND", "DOCS", "nosuch"]),
                _ => direct.ask(&["COMMAND", "DOCS", name]),
            };
            assert_eq!(client.ask(&["COMMAND", "DOCS", name]), wanted, "{name}");
        }
    }
    // One server was asked by each protocol, and by each worker at most.
    let asked = |server: &testkit::RedisServer| {
        let stats = server.client().ask(&["INFO", "commandstats"]);
        let stats = String::from_utf8_lossy(&stats).into_owned();
        let calls = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_command|docs:calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u32>().expect("a number"))
    };
    let calls: Vec<u32> = farm.servers.iter().map(asked).collect();
    assert!((2..=4).contains(&calls[0]) && calls[1..].iter().all(|calls| *calls == 0), "{calls:?}");
}
