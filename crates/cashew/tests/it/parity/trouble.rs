//! Servers that fail, each in one way: the error a client reads, and whether its connection stays.

use testkit::{Peer, Step, ports};

use super::case::{compare, raw, redis};
use super::pair::{Pair, Pool};
use crate::rig;

#[test]
fn servers_that_fail() {
    if !rig::has_nutcracker() {
        return;
    }
    let (mut pools, mut cases, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for way in ways() {
        let mut side = || -> Vec<String> {
            let mut line = |(index, server): (usize, &Server)| match server {
                Server::Plays(steps) => {
                    let peer = Peer::start(steps.clone()).expect("a port can be bound");
                    let line = format!("127.0.0.1:{}:1 s{index}", peer.port());
                    peers.push(peer);
                    line
                }
                Server::At(address) => format!("{address}:1 s{index}"),
            };
            way.servers.iter().enumerate().map(&mut line).collect()
        };
        pools.push(Pool { name: way.name, settings: way.settings, servers: [side(), side()] });
        let read = if way.settings.contains("redis: true") { redis } else { raw };
        cases.extend(read(way.name, way.lines));
    }
    compare(&Pair::start(&pools), &cases);
}

struct Way {
    name: &'static str,
    settings: &'static str,
    servers: Vec<Server>,
    lines: &'static str,
}

enum Server {
    Plays(Vec<Step>),
    At(String),
}

fn ways() -> Vec<Way> {
    let way = |name, settings, servers, lines| Way { name, settings, servers, lines };
    vec![
        way(
            "dead",
            REDIS,
            vec![dead()],
            "same | GET k\nsame | MGET k\nmulti-get-closes | MGET k l\nsame | DEL k l",
        ),
        way("nameless", REDIS, vec![At("no.such.host.invalid:6379".into())], "same | GET k\nsame | DEL k l"),
        way(
            "nameless_mget",
            REDIS,
            vec![At("no.such.host.invalid:6379".into())],
            "multi-get-closes | MGET k l",
        ),
        way(
            "ejected",
            "redis: true\nauto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 60000",
            vec![dead()],
            "same | GET k\nsame | GET k\nsame | DEL k l\nmulti-get-closes | MGET k l",
        ),
        way("resets", REDIS, vec![once(Step::Reset)], "same | GET k\nsame | GET k"),
        way("closes", REDIS, vec![once(Step::Close)], "same | GET k\nsame | GET k"),
        way("stalls", REDIS, vec![Plays(vec![Step::ReadToEnd])], "same | GET k"),
        way(
            "stalls_in_reply",
            REDIS,
            vec![Plays(vec![Step::Requests(1), Step::send("$9\r\nhal"), Step::ReadToEnd])],
            "same | GET k",
        ),
        way("garbage", REDIS, answers("hello\r\n"), "same | GET k"),
        way("http", REDIS, answers("HTTP/1.1 400 Bad Request\r\n\r\n"), "same | GET k"),
        way("error", REDIS, answers("-ERR some text\r\n"), "same | GET k\none-server-whole | DEL k l"),
        way(
            "oom",
            REDIS,
            answers("-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
            "busy-server | SET k v",
        ),
        way("busy", REDIS, answers("-BUSY Redis is busy running a script.\r\n"), "busy-server | GET k"),
        way(
            "loading",
            REDIS,
            answers("-LOADING Redis is loading the dataset in memory\r\n"),
            "busy-server | GET k",
        ),
        way("nested", REDIS, answers("*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n"), "same | SORT k"),
        way("null_array", REDIS, answers("*-1\r\n"), "same | SORT k"),
        way("resp3_null", REDIS, answers("_\r\n"), "resp3-reply | GET k"),
        way("resp3_map", REDIS, answers("%1\r\n+a\r\n:1\r\n"), "resp3-reply | HGETALL k"),
        way("short_mget", REDIS, both(answers("*1\r\n$1\r\na\r\n")), "short-mget | MGET a b c d e f g"),
        way(
            "long_mget",
            REDIS,
            both(answers("*9\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n")),
            "short-mget | MGET a b c d e f g",
        ),
        way("wrong_type", REDIS, both(answers(":1\r\n")), "split-error | MGET a b c d e f g"),
        way("negative", REDIS, both(answers(":-1\r\n")), "negative-sum | DEL a b c d e f g"),
        way(
            "split_error",
            REDIS,
            both(answers("-ERR some text\r\n")),
            "split-error | MGET a b c d e f g\nsplit-error | MSET a b c d e f g h",
        ),
        way("one", REDIS, answers("*1\r\n$1\r\na\r\n"), "one-server-whole | MGET k l"),
        way("mc_dead", MEMCACHE, vec![dead()], "same | get k\\r\\n\nmulti-get-partial | get k l\\r\\n"),
        way("mc_stalls", MEMCACHE, vec![Plays(vec![Step::ReadToEnd])], "same | get k\\r\\n"),
        way("mc_garbage", MEMCACHE, answers("hello\r\n"), "same | get k\\r\\n"),
        way("mc_error", MEMCACHE, answers("SERVER_ERROR out of memory\r\n"), "same | get k\\r\\n"),
        // A server may answer an error where no reply was asked for.
        way(
            "mc_noreply",
            MEMCACHE,
            vec![Plays(vec![
                Step::Requests(2),
                Step::send("SERVER_ERROR out of memory storing object\r\nEND\r\n"),
                Step::ReadToEnd,
            ])],
            "noreply | set k 0 0 1 noreply\\r\\nx\\r\\nget k\\r\\n",
        ),
        way("mc_unknown", MEMCACHE, answers("ERROR\r\n"), "same | get k\\r\\n"),
    ]
}

use Server::{At, Plays};

fn dead() -> Server {
    At(format!("127.0.0.1:{}", ports::free()))
}

/// One request, then `end`.
fn once(end: Step) -> Server {
    Plays(vec![Step::Requests(1), end])
}

/// The same to every request.
fn answers(reply: &str) -> Vec<Server> {
    vec![Plays(vec![Step::Requests(1), Step::send(reply), Step::Again])]
}

/// Two such servers.
fn both(one: Vec<Server>) -> Vec<Server> {
    let again = one.iter().map(|server| match server {
        Plays(steps) => Plays(steps.clone()),
        At(address) => At(address.clone()),
    });
    again.collect::<Vec<_>>().into_iter().chain(one).collect()
}

/// murmur, because the default hash puts short keys on one server.
const REDIS: &str = "redis: true\nhash: murmur\ntimeout: 300";
const MEMCACHE: &str = "timeout: 300";
