//! COMMAND's answers and error texts side by side with a live redis-server 7.0. Skipped, saying so, where none is
//! installed.

use engine::command::{self, Route, Scope, info};
use testkit::{Client, RedisServer};
use wire::args::Args;

/// A redis-server of the version whose words are ours.
fn server() -> Option<RedisServer> {
    let server = match RedisServer::start() {
        Ok(server) => server,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let version = String::from_utf8(server.client().ask(&["INFO", "server"])).unwrap();
    if !version.contains("redis_version:7.0.") {
        eprintln!("skipped: the redis-server installed is not a 7.0");
        return None;
    }
    Some(server)
}

/// Our own reply to `argv`, as far as the command table goes.
fn ours<A: AsRef<[u8]>>(argv: &[A]) -> Vec<u8> {
    let (mut bytes, mut args) = (Vec::new(), Args::default());
    for arg in argv {
        let start = bytes.len();
        bytes.extend_from_slice(arg.as_ref());
        args.push(start, bytes.len());
    }
    let (view, mut out) = (args.view(&bytes), Vec::new());
    match command::find(view) {
        Err(error) => error.write(view, &mut out),
        Ok(found) => match found.route {
            Route::Local(command::Local::Command(reply)) => {
                info::write(reply, view, Scope::default(), false, &mut out)
            }
            Route::Local(command::Local::Help) => info::help(found, Scope::default(), &mut out),
            _ => {
                if let Err(error) = command::keys(found, view, &mut Vec::new()) {
                    error.write(found, &mut out);
                }
            }
        },
    }
    out
}

/// A RESP2 reply.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Value {
    Line(String),
    Bulk(String),
    Nil,
    Array(Vec<Value>),
}

fn parse(bytes: &[u8]) -> Value {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut rest = text.as_str();
    let value = take(&mut rest);
    assert!(rest.is_empty(), "more than one reply: {rest}");
    value
}

fn take(rest: &mut &str) -> Value {
    let (line, after) = rest.split_once("\r\n").unwrap();
    *rest = after;
    match (line.split_at(1), line) {
        (_, "*-1" | "$-1") => Value::Nil,
        (("*", count), _) => Value::Array((0..count.parse().unwrap()).map(|_| take(rest)).collect()),
        (("$", len), _) => {
            let (bulk, after) = rest.split_at(len.parse().unwrap());
            *rest = after.strip_prefix("\r\n").unwrap();
            Value::Bulk(bulk.to_owned())
        }
        _ => Value::Line(line.to_owned()),
    }
}

/// Sets of flags in one order, and subcommands too: redis lists these in no order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            let is_flag = |item: &Value| matches!(item, Value::Line(line) if line.starts_with('+'));
            if items.iter().all(is_flag) || items.iter().all(|item| matches!(item, Value::Array(_))) {
                items.sort();
            }
            Value::Array(items)
        }
        other => other,
    }
}

fn same(client: &mut Client, argv: &[&str]) {
    let (theirs, ours) = (client.ask(argv), ours(argv));
    assert_eq!(sorted(parse(&ours)), sorted(parse(&theirs)), "{argv:?}");
}

#[test]
fn errors_are_those_of_redis() {
    let Some(server) = server() else { return };
    let mut client = server.client();
    let (x127, x128, x129) = ("x".repeat(127), "x".repeat(128), "x".repeat(129));
    // FCALL looks for the function before it looks at the keys.
    let library = "#!lua name=l\nredis.register_function('s', function() return 1 end)";
    assert_eq!(client.ask(&["function", "load", library]), b"$1\r\nl\r\n");
    let many: Vec<&str> = std::iter::once("nope").chain(std::iter::repeat_n("abcdefg", 40)).collect();
    for argv in [
        &["foo"][..],
        &["foo", "a", "b"],
        &["foo", "a\r\nb", "\0c"],
        &["f\0oo", "", "b"],
        &[&x129, &x127, "b"],
        &["foo", &x128, "b"],
        &["foo", &x127, ""],
        &many,
        &["get"],
        &["GET", "a", "b"],
        &["config"],
        &["config", "foo"],
        &["config", "get"],
        &["client", "nope\r\n", "x"],
        &["object", "foo"],
        &["xgroup", "create", "a"],
        &["mset", "a", "b", "c"],
        &["msetnx", "a", "b", "c"],
        &["eval", "s", "5", "b"],
        &["eval", "s", "-1", "b"],
        &["eval", "s", "x", "b"],
        &["evalsha", "2067d915024a3e1657c4169c84f809f8ebe75e6b", "01", "b"],
        &["eval_ro", "s", "9", "b"],
        &["fcall", "s", "x", "b"],
        &["fcall", "s", "-1", "b"],
        &["fcall", "s", "9", "b"],
        &["zunion", "0", "a"],
        &["zunion", "x", "a"],
        &["zunion", "5", "a"],
        &["zunion", "-3", "a"],
        &["zunionstore", "d", "0", "a"],
        &["zunionstore", "d", "3", "a"],
        &["zintercard", "0", "a"],
        &["zintercard", "3", "a"],
        &["zdiff", "+1", "a"],
        &["sintercard", "0", "a"],
        &["sintercard", "x", "a"],
        &["sintercard", "4", "a"],
        &["lmpop", "0", "a", "left"],
        &["lmpop", "x", "a", "left"],
        &["lmpop", "5", "a", "left"],
        &["zmpop", "0", "a", "min"],
        &["zmpop", "7", "a", "min"],
        &["xread", "streams", "a", "b", "0"],
        &["xread", "count", "1", "streams"],
        &["xread", "count", "1", "nope"],
        &["xreadgroup", "group", "g", "c", "streams", "a", "b", ">"],
    ] {
        let theirs = client.ask(argv);
        assert!(theirs.starts_with(b"-"), "{argv:?} is no error for redis");
        assert_eq!(String::from_utf8_lossy(&ours(argv)), String::from_utf8_lossy(&theirs), "{argv:?}");
    }
}

#[test]
fn get_keys_answers_as_redis() {
    let Some(server) = server() else { return };
    let mut client = server.client();
    for words in [
        "get a",
        "get",
        "nope a",
        "ping x",
        "config get x",
        "config x",
        "mset a 1 b 2",
        "mset a 1 b",
        "del a b a",
        "eval s 2 a b c",
        "eval s 0",
        "eval s 5 a",
        "eval s x a",
        "zunion 2 a b",
        "zunion 0 a",
        "zunion 5 a",
        "zunionstore d 2 a b weights 1 2",
        "xread streams a b 0 0",
        "xread count 1 streams a 0",
        "xreadgroup group streams c streams a >",
        "sort a",
        "sort a by w_* get # store b",
        "sort a store b store c",
        "sort_ro a by x",
        "migrate h 1 k 0 10",
        "georadius a 1 2 3 m store b",
        "georadius a 1 2 3 m withdist",
        "georadiusbymember a m 3 km storedist b",
        "set a 1",
        "set a 1 get",
        "set a 1 px 5 GET",
        "bitfield a get u8 0",
        "bitfield a get u8 0 incrby u8 0 1",
        "bitfield a overflow sat",
        "pfmerge a",
        "pfmerge a b",
        "bitop and d a b",
        "object encoding a",
        "xgroup create a g $",
        "copy a b",
        "lcs a b",
        "lmpop 2 a b left",
        "lmpop 0 a left",
        "blpop a b 0",
        "memory usage a",
        "spublish c m",
        "fcall f 1 a b",
        "sintercard 2 a b limit 1",
        "subscribe a",
        "debug object a",
    ] {
        for with in ["getkeys", "getkeysandflags"] {
            let argv: Vec<&str> = ["command", with].into_iter().chain(words.split(' ')).collect();
            // Two arguments after the command word were once the least (7.0), as for "get" alone here.
            if argv.len() > 3 {
                same(&mut client, &argv);
            }
        }
    }
}

#[test]
fn info_has_the_shape_and_words_of_redis() {
    let Some(server) = server() else { return };
    let mut client = server.client();
    // Commands whose description has not changed since, and that have no "notes" in prose.
    for name in [
        "get",
        "append",
        "mget",
        "del",
        "lpush",
        "hgetall",
        "zadd",
        "zunion",
        "zunionstore",
        "bitop",
        "lmpop",
        "incr",
        "object",
        "xgroup|create",
        "xinfo|groups",
        "object|freq",
        "nope",
        "get|x",
        "config|nope",
        "dbsize",
    ] {
        same(&mut client, &["command", "info", name]);
    }
    same(&mut client, &["command", "info", "get", "nope", "incr"]);
    same(&mut client, &["command", "count", "x"]);
    same(&mut client, &["command", "nope"]);
    same(&mut client, &["command", "list", "filterby"]);
    same(&mut client, &["command", "list", "filterby", "nope", "x"]);
    same(&mut client, &["command", "list", "filterby", "module", "nope"]);
    same(&mut client, &["command", "list", "filterby", "aclcat", "nope"]);
    same(&mut client, &["command", "list", "x"]);
    same(&mut client, &["command", "docs", "nope"]);
}

#[test]
fn lists_are_parts_of_those_of_redis() {
    let Some(server) = server() else { return };
    let mut client = server.client();
    let names = |value: Value| match value {
        Value::Array(items) => items,
        other => panic!("{other:?}"),
    };
    for filter in
        [&["pattern", "Z*CARD"][..], &["pattern", "xinfo|*"], &["aclcat", "hyperloglog"], &["aclcat", "geo"]]
    {
        let argv: Vec<&str> =
            ["command", "list", "filterby"].into_iter().chain(filter.iter().copied()).collect();
        let theirs = names(parse(&client.ask(&argv)));
        let ours = names(parse(&ours(&argv)));
        assert!(!ours.is_empty(), "{argv:?}");
        let lost: Vec<_> = theirs.iter().filter(|name| !ours.contains(name)).collect();
        let unserved = |name: &&Value| matches!(name, Value::Bulk(name) if name.starts_with("pfdebug") || name.starts_with("pfselftest"));
        assert!(lost.iter().all(unserved), "{argv:?} lacks {lost:?}");
    }
    let all = names(parse(&ours(&["command", "list"])));
    assert!(all.contains(&Value::Bulk("object|freq".into())) && all.contains(&Value::Bulk("get".into())));
    assert!(!all.contains(&Value::Bulk("debug".into())) && !all.contains(&Value::Bulk("shutdown".into())));
}

#[test]
fn help_opens_and_closes_as_redis_does() {
    let Some(server) = server() else { return };
    let mut client = server.client();
    for container in ["command", "object", "xinfo", "xgroup", "client", "memory", "script", "function"] {
        let ends = |reply: &[u8]| match parse(reply) {
            Value::Array(lines) => (lines[0].clone(), lines[lines.len() - 2..].to_vec()),
            other => panic!("{other:?}"),
        };
        let argv = [container, "HELP"];
        assert_eq!(ends(&ours(&argv)), ends(&client.ask(&argv)), "{container}");
    }
}

#[test]
fn names_are_bounded() {
    let mut argv = vec!["command", "info"];
    argv.extend(std::iter::repeat_n("client", 709));
    assert_eq!(ours(&argv), b"-ERR more names than there are commands\r\n");
    argv[1] = "docs";
    assert_eq!(ours(&argv), b"-ERR more names than there are commands\r\n");
}

#[test]
fn every_form_of_command_is_one_whole_reply() {
    for argv in [
        "command",
        "command info",
        "command docs",
        "command list",
        "command count",
        "command help",
        "object help",
    ] {
        let words: Vec<&str> = argv.split(' ').collect();
        match (argv, parse(&ours(&words))) {
            ("command count", Value::Line(count)) => {
                let Value::Array(all) = parse(&ours(&["command"])) else { panic!("no array") };
                assert_eq!(count, format!(":{}", all.len()));
            }
            ("command docs", Value::Array(pairs)) => assert!(pairs.len() > 400 && pairs.len() % 2 == 0),
            (_, Value::Array(items)) => assert!(items.len() > 5, "{argv}: {items:?}"),
            (_, other) => panic!("{argv}: {other:?}"),
        }
    }
}
