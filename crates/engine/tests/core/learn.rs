//! Commands that were learnt from servers: where they go, and what is said of those that go nowhere.

use crate::rig::{Rig, pool_with, request, requests};
use config::Protocol;
use engine::Output;
use engine::command::learn::{Learner, Listing};
use engine::topology::{PoolView, Standing};
use std::sync::Arc;

/// COMMAND's reply of redis 7 with these entries.
fn listing(entries: &[String]) -> Listing {
    let mut listing = Listing::default();
    let text = format!("*{}\r\n{}", entries.len(), entries.concat());
    assert!(listing.add(text.as_bytes()).expect("a reply"), "it is whole");
    listing
}

fn words(words: &str) -> String {
    let words: Vec<String> = words.split_whitespace().map(|word| format!("+{word}\r\n")).collect();
    format!("*{}\r\n{}", words.len(), words.concat())
}

/// A key specification: its flags, how it begins and how keys are found, each a type and fields.
fn spec(flags: &str, begin: &str, find: &str) -> String {
    let part = |name: &str, text: &str| {
        let mut all = text.split(' ');
        let kind = all.next().expect("a type");
        let fields: Vec<&str> = all.collect();
        let value = |word: &str| match word.parse::<i64>() {
            Ok(number) => format!(":{number}\r\n"),
            Err(_) => format!("${}\r\n{word}\r\n", word.len()),
        };
        let fields: Vec<String> = fields.iter().map(|word| value(word)).collect();
        let spec = format!("*{}\r\n{}", fields.len(), fields.concat());
        format!("+{name}\r\n*4\r\n+type\r\n+{kind}\r\n+spec\r\n{spec}")
    };
    let flags = words(flags);
    format!("*6\r\n+flags\r\n{flags}{}{}", part("begin_search", begin), part("find_keys", find))
}

fn entry(name: &str, arity: i16, flags: &str, specs: &[String], parts: &[String]) -> String {
    let flags = words(flags);
    let specs = format!("*{}\r\n{}", specs.len(), specs.concat());
    let parts = format!("*{}\r\n{}", parts.len(), parts.concat());
    format!(
        "*10\r\n${}\r\n{name}\r\n:{arity}\r\n{flags}:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n{specs}{parts}",
        name.len()
    )
}

const ONE: &str = "index index 1";

fn first() -> String {
    spec("RW", ONE, "range lastkey 0 keystep 1 limit 0")
}

fn commands() -> Vec<String> {
    let range =
        |last: &str, step: &str| spec("RW", ONE, &format!("range lastkey {last} keystep {step} limit 0"));
    let number = |begin: &str| spec("RW", begin, "keynum keynumidx 0 firstkey 1 keystep 1");
    vec![
        entry("get", 2, "readonly fast", &[first()], &[]),
        entry("my.get", 2, "readonly", &[first()], &[]),
        entry("my.set", 3, "write", &[first()], &[]),
        entry("my.mset", -3, "write", &[range("-1", "2")], &[]),
        entry("my.sum", -3, "readonly", &[number(ONE)], &[]),
        entry(
            "my.read",
            -2,
            "readonly movablekeys",
            &[spec("RO", "keyword keyword keys startfrom 1", "range lastkey -1 keystep 1 limit 2")],
            &[],
        ),
        entry("my.pop", 3, "write blocking", &[first()], &[]),
        entry("my.lost", -2, "write movablekeys", &[spec("RW incomplete", ONE, "unknown")], &[]),
        entry("my.time", 1, "readonly", &[], &[]),
        entry(
            "my.box",
            -2,
            "",
            &[],
            &[entry(
                "my.box|get",
                3,
                "readonly",
                &[spec("RO", "index index 2", "range lastkey 0 keystep 1 limit 0")],
                &[],
            )],
        ),
        entry(
            "object",
            -2,
            "",
            &[],
            &[entry(
                "object|weight",
                3,
                "readonly",
                &[spec("RO", "index index 2", "range lastkey 0 keystep 1 limit 0")],
                &[],
            )],
        ),
    ]
}

fn rig_with(lines: &str) -> Rig {
    Rig::new(view(lines, Standing::In))
}

/// Two servers, of which the first is where `standing` says.
fn view(lines: &str, standing: Standing) -> PoolView {
    let lines = format!("unknown_commands: learn\n{lines}");
    let mut view =
        pool_with(Protocol::Redis, 2, &lines, |server| if server == 0 { standing } else { Standing::In });
    let learnt = Learner::default().read(&listing(&commands())).expect("a list");
    assert_eq!((learnt.len(), learnt.passed_on()), (10, 7));
    view.learnt = Some(Arc::new(learnt));
    view.retry_reads = true;
    view
}

fn rig() -> Rig {
    rig_with("")
}

#[test]
fn a_learnt_command_goes_to_the_server_of_its_keys() {
    let mut rig = rig();
    let (client, a, b, other) = (rig.client(), rig.key(1, 0), rig.key(1, 1), rig.key(0, 0));
    for words in [
        format!("my.get {a}"),
        format!("My.Set {a} v"),
        format!("MY.MSET {a} 1 {b} 2"),
        format!("my.sum 2 {a} {b} {other}"),
        format!("my.read x KEYS {a} {b} 1 2"),
        format!("my.box GET {a}"),
        format!("object weight {a}"),
    ] {
        rig.send(client, request(&words));
        assert_eq!(rig.sent(1).as_bytes(), request(&words));
        rig.reply(1, ":7\r\n");
        assert_eq!(rig.read(client), ":7\r\n", "{words}");
    }
    for words in [format!("my.mset {a} 1 {other} 2"), format!("my.sum 2 {a} {other}")] {
        rig.send(client, request(&words));
        assert!(rig.read(client).starts_with("-CROSSSLOT Keys in request don't hash to the same slot: "));
    }
    assert_eq!(rig.sent(0), "");
}

#[test]
fn what_may_not_run_on_a_shared_connection_is_refused_with_the_reason() {
    let mut rig = rig_with("disable: my.set object|weight");
    let client = rig.client();
    for (words, said) in [
        (
            "my.pop k 0",
            "-ERR cashew does not pass on 'MY.POP': it may wait, and many clients share its connection",
        ),
        ("my.lost k", "-ERR cashew does not pass on 'MY.LOST': its server does not say where its keys are"),
        (
            "my.time",
            "-ERR cashew does not pass on 'MY.TIME': it takes no key, so nothing says which server is meant",
        ),
        ("my.get", "-ERR wrong number of arguments for 'my.get' command"),
        (
            "my.sum 0 k",
            "-ERR cashew does not support 'MY.SUM' without keys yet: nothing says which server should run it",
        ),
        ("my.sum -1 k", "-ERR syntax error"),
        ("my.sum 9223372036854775807 k", "-ERR syntax error"),
        ("my.sum 3 k l", "-ERR syntax error"),
        (
            "my.read x",
            "-ERR cashew does not support 'MY.READ' without keys yet: nothing says which server should run it",
        ),
        (
            "my.read keys",
            "-ERR cashew does not support 'MY.READ' without keys yet: nothing says which server should run it",
        ),
        ("my.box nosuch k", "-ERR unknown subcommand 'nosuch'. Try MY.BOX HELP."),
        ("my.set k v", "-ERR 'MY.SET' is switched off for this pool (disable)"),
        ("object weight k", "-ERR 'OBJECT WEIGHT' is switched off for this pool (disable)"),
        ("my.nosuch k", "-ERR unknown command 'my.nosuch', with args beginning with: 'k' "),
    ] {
        rig.send(client, request(words));
        assert_eq!(rig.read(client), format!("{said}\r\n"));
    }
    assert_eq!(rig.sent(0) + &rig.sent(1), "");
}

#[test]
fn a_read_is_asked_again_and_a_write_is_not() {
    for (words, again) in [("my.get", true), ("my.set", false)] {
        let mut rig = rig();
        let (client, key) = (rig.client(), rig.key(0, 0));
        let words = if again { format!("{words} {key}") } else { format!("{words} {key} v") };
        rig.send(client, request(&format!("GET {key}")));
        rig.reply(0, "$-1\r\n");
        rig.read(client);
        rig.sent(0);
        rig.send(client, request(&words));
        assert_eq!(rig.sent(0).as_bytes(), request(&words));
        rig.lose(0, engine::error::Cause::Reset);
        if again {
            assert_eq!(rig.sent(0).as_bytes(), request(&words));
            rig.reply(0, "+v\r\n");
            assert_eq!(rig.read(client), "+v\r\n");
        } else {
            assert_eq!(rig.sent(0), "");
            assert!(rig.read(client).starts_with("-ERR "));
        }
    }
}

#[test]
fn all_keys_of_a_write_are_remembered_while_their_server_is_away() {
    let mut rig = Rig::new(view("on_failure: eject\non_return: invalidate", Standing::Out));
    let client = rig.client();
    let [a, b, c, d] = [0, 1, 2, 3].map(|number| rig.key(0, number));
    rig.send(
        client,
        requests(&[
            &format!("my.set {a} v"),
            &format!("my.mset {b} 1 {c} 2"),
            &format!("my.sum 1 {d} x"),
            &format!("my.get {d}"),
        ]),
    );
    let keys = rig.core.collect(0, 0).keys.into_iter();
    let mut keys: Vec<String> = keys.map(|(_, key)| String::from_utf8_lossy(&key).into_owned()).collect();
    keys.sort();
    let mut wanted = vec![a, b, c];
    wanted.sort();
    assert_eq!(keys, wanted);
}

#[test]
fn transactions_take_them_and_refuse_what_they_refuse() {
    let mut rig = rig();
    let (client, a, other) = (rig.client(), rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&["MULTI", &format!("my.set {a} v"), &format!("my.get {a}"), "EXEC"]));
    let wanted = requests(&["MULTI", &format!("my.set {a} v"), &format!("my.get {a}"), "EXEC"]);
    assert_eq!(rig.sent(0).as_bytes(), wanted);
    rig.reply(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+v\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+v\r\n");
    for bad in ["my.pop k 0", "my.time", "my.sum 0 k", "my.nosuch", &format!("my.mset {a} 1 {other} 2")] {
        rig.send(client, requests(&["MULTI", bad, "EXEC"]));
        let said = rig.read(client);
        let lines: Vec<&str> = said.split_inclusive("\r\n").collect();
        assert_eq!(lines.len(), 3, "{said}");
        assert!(lines[1].starts_with('-') && lines[2].starts_with("-EXECABORT "), "{said}");
    }
    assert_eq!(rig.sent(0), "");
}

#[test]
fn an_unknown_command_is_a_sign_once_a_second_and_only_where_servers_are_asked() {
    let mut rig = rig();
    let client = rig.client();
    let signs = |rig: &mut Rig| {
        let said = std::mem::take(&mut rig.said);
        said.iter().filter(|output| matches!(output, Output::UnknownCommand { pool: 0 })).count()
    };
    rig.later(5_000);
    rig.send(client, requests(&["my.nosuch", "my.nosuch", "my.time", "my.box x", "object y k"]));
    assert_eq!(signs(&mut rig), 1);
    rig.later(1_000);
    rig.send(client, request("object y k"));
    assert_eq!(signs(&mut rig), 1);
    rig.later(1_000);
    rig.send(client, requests(&["my.time", "nosuch"]));
    assert_eq!(signs(&mut rig), 1);

    let mut rig = Rig::new(pool_with(Protocol::Redis, 2, "", |_| Standing::In));
    let client = rig.client();
    rig.later(5_000);
    rig.send(client, request("my.nosuch"));
    assert_eq!(signs(&mut rig), 0);
}

#[test]
fn what_a_server_no_longer_has_is_unknown_again() {
    let mut rig = rig();
    let (client, key) = (rig.client(), rig.key(0, 0));
    let mut view = rig.topology.pools[0].clone();
    view.learnt = Some(Arc::default());
    rig.send(client, request(&format!("my.get {key}")));
    rig.take_up(view);
    rig.send(client, requests(&[&format!("my.get {key}"), "CLIENT INFO"]));
    rig.reply(0, "+v\r\n");
    let said = rig.read(client);
    assert!(said.starts_with("+v\r\n-ERR unknown command 'my.get'"), "{said}");
}
