//! redis-cli: the interactive shell and the modes that ask for more than a command.
//!
//! With `FAKETTY` set it writes as to a terminal.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use testkit::temp::TempDir;
use testkit::{RedisServer, resp};

use super::{PASSWORD, locked, said};
use crate::farm::Farm;

type Pool = Farm<RedisServer>;

#[test]
fn redis_cli_interactive() {
    let farm = pool();
    let typed = "SET {t}n 1\nGET {t}n\nMGET {t}n nosuch\nMULTI\nINCR {t}n\nGET {t}n\nEXEC\nHELLO 3\nHSET h f v\nHGETALL h\n\
                 NOSUCH\nCLIENT SETNAME me\nCLIENT GETNAME\n";
    let told = [
        "OK\n\"1\"\n1) \"1\"\n2) (nil)\nOK\nQUEUED\nQUEUED\n1) (integer) 2\n2) \"2\"\n1# \"server\" => \"redis\"",
        "3# \"proto\" => (integer) 3",
        "(integer) 1\n1# \"f\" => \"v\"\n(error) ERR unknown command 'NOSUCH'",
        "\nOK\n\"me\"\n",
    ];
    let said = answers(&farm, &[], typed.as_bytes());
    let mut rest = said.as_str();
    for part in told {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {rest}\nall: {said}"));
        rest = after;
    }
}

#[test]
fn redis_cli_listens() {
    let farm = pool();
    for (args, typed) in [
        (&["-2", "SUBSCRIBE", "news"][..], ""),
        (&["-3", "SUBSCRIBE", "news"], ""),
        (&[], "SUBSCRIBE news\n"),
    ] {
        let mut listener = Running::start(&farm, args);
        let mut stdin = listener.0.stdin.take().expect("piped");
        stdin.write_all(typed.as_bytes()).expect("it reads");
        let mut lines = listener.lines();
        let mut client = farm.client();
        assert_eq!(
            next(&mut lines, 4)[1..],
            ["1) \"subscribe\"", "2) \"news\"", "3) (integer) 1"],
            "{args:?}"
        );
        assert_eq!(client.ask(&["PUBLISH", "news", "item"]), b":1\r\n");
        assert_eq!(next(&mut lines, 3), ["1) \"message\"", "2) \"news\"", "3) \"item\""], "{args:?}");
    }
}

#[test]
fn redis_cli_walks_through_all_keys() {
    let farm = pool();
    let mut client = farm.client();
    let names: BTreeSet<String> = (0..500).map(|n| format!("k:{n:03}")).collect();
    let mset: Vec<&str> =
        ["MSET"].into_iter().chain(names.iter().flat_map(|name| [name.as_str(), "v"])).collect();
    assert_eq!(client.ask(&mset), b"+OK\r\n");
    assert_eq!(client.ask(&["RPUSH", "list", "a", "b", "c"]), b":3\r\n");
    assert_eq!(client.ask(&["SET", "long", &"x".repeat(5000)]), b"+OK\r\n");
    assert_eq!(client.ask(&["HSET", "hash", "f", "v"]), b":1\r\n");
    let scanned = |flags: &[&str]| -> BTreeSet<String> {
        let text = String::from_utf8(cli(&farm, flags, b"").stdout).expect("names are text");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let set: BTreeSet<String> = lines.iter().cloned().collect();
        assert_eq!(set.len(), lines.len(), "a name came twice: {text}");
        set
    };
    let mut all = names.clone();
    all.extend(["list", "long", "hash"].map(str::to_owned));
    assert_eq!(scanned(&["--scan"]), all);
    assert_eq!(scanned(&["-3", "--scan"]), all);
    let some: BTreeSet<String> = names.into_iter().filter(|name| name.starts_with("k:4")).collect();
    assert_eq!(scanned(&["--scan", "--pattern", "k:4*"]), some);

    let told = answers(&farm, &["--bigkeys"], b"");
    for part in [
        "Sampled 503 keys",
        "\"long\"' has 5000 bytes",
        "\"list\"' has 3 items",
        "\"hash\"' has 1 fields",
        "501 strings",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let told = answers(&farm, &["--memkeys"], b"");
    for part in ["Sampled 503 keys", "Biggest string found '\"long\"'", "Biggest   list found '\"list\"'"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    // The server's own words: it does not count uses.
    let output = cli(&farm, &["--hotkeys"], b"");
    assert!(said(&output).contains("An LFU maxmemory policy is not selected"), "{}", said(&output));
}

#[test]
fn redis_cli_inserts_in_bulk() {
    let farm = pool();
    let mut bulk = Vec::new();
    for n in 0..20_000 {
        bulk.extend(resp(&["SET", &format!("k:{n}"), &n.to_string()]));
    }
    let told = answers(&farm, &["--pipe"], &bulk);
    assert!(told.contains("errors: 0, replies: 20000"), "{told}");
    let mut client = farm.client();
    assert_eq!(client.ask(&["DBSIZE"]), b":20000\r\n");
    assert_eq!(client.ask(&["GET", "k:19999"]), b"$5\r\n19999\r\n");
    // Written as people write; and errors are counted.
    let told = said(&cli(&farm, &["--pipe"], b"SET a 1\r\nNOSUCH\r\nINCR a\r\n"));
    assert!(told.contains("errors: 1, replies: 3"), "{told}");
    assert_eq!(client.ask(&["GET", "a"]), b"$1\r\n2\r\n");
}

#[test]
fn redis_cli_with_values_and_scripts() {
    let farm = pool();
    let big = vec![b'x'; 1 << 20];
    assert_eq!(answers(&farm, &["-x", "SET", "big"], &big), "OK\n");
    assert!(cli(&farm, &["--raw", "GET", "big"], b"").stdout == [big, b"\n".to_vec()].concat());
    assert_eq!(answers(&farm, &["-X", "VALUE", "SET", "a", "VALUE"], b"from outside"), "OK\n");
    assert_eq!(answers(&farm, &["GET", "a"], b""), "\"from outside\"\n");
    assert_eq!(answers(&farm, &["-r", "3", "INCR", "n"], b""), "(integer) 1\n(integer) 2\n(integer) 3\n");
    let dir = TempDir::new("cli").expect("made");
    let script = dir.path().join("s.lua");
    std::fs::write(&script, "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}").expect("written");
    let script = script.display().to_string();
    let told = answers(&farm, &["--eval", &script, "a", ",", "v"], b"");
    assert_eq!(told, "1) \"a\"\n2) \"v\"\n3) \"from outside\"\n");
    assert_eq!(answers(&farm, &["HSET", "h", "f", "1"], b""), "(integer) 1\n");
    assert_eq!(answers(&farm, &["-3", "HGETALL", "h"], b""), "1# \"f\" => \"1\"\n");
    assert_eq!(answers(&farm, &["--json", "HGETALL", "h"], b""), "{\"f\":\"1\"}\n");
    let (port, _pool) = locked();
    let address = format!("redis://default:{}@127.0.0.1:{port}", PASSWORD.replace(' ', "%20"));
    assert_eq!(answers(&farm, &["-u", &address, "--no-auth-warning", "SET", "a", "1"], b""), "OK\n");
    let port = port.to_string();
    assert_eq!(
        answers(&farm, &["-p", &port, "--pass", PASSWORD, "--no-auth-warning", "GET", "a"], b""),
        "\"1\"\n"
    );
    assert!(answers(&farm, &["-p", &port, "GET", "a"], b"").contains("NOAUTH"));
}

#[test]
fn redis_cli_shows_figures() {
    let farm = pool();
    let mut stat = Running::start(&farm, &["--stat", "-i", "0.001"]);
    let mut lines = stat.lines();
    let [_, heading, row] = &next(&mut lines, 3)[..] else { panic!("three lines") };
    assert!(heading.starts_with("keys       mem      clients blocked requests"), "{heading}");
    let figures: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(figures[2..4], ["1", "0"], "one client, which does not wait: {row}");
    assert!(!row.contains("-9"), "a figure is missing: {row}");
    // Written to a pipe, this mode ends by itself after a second.
    let told = String::from_utf8(cli(&farm, &["--latency", "--raw"], b"").stdout).expect("text");
    let figures: Vec<f64> = told.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    assert!(figures.len() == 4 && figures[3] > 1.0, "least, most, average, samples: {told}");
}

#[test]
fn redis_cli_gets_no_copy_of_a_server() {
    let farm = pool();
    let dir = TempDir::new("cli").expect("made");
    let file = dir.path().join("copy.rdb").display().to_string();
    for flags in [&["--rdb", &file][..], &["--replica"], &["--functions-rdb", &file]] {
        let output = cli(&farm, flags, b"");
        assert!(!output.status.success(), "{flags:?}");
        let why = "cashew does not pass on 'REPLCONF': it turns a connection into a copy of a whole server";
        assert!(said(&output).contains(why), "{flags:?}: {}", said(&output));
    }
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn redis_cli_monitors() {
    let farm = pool();
    let mut monitor = Running::start(&farm, &["MONITOR"]);
    let mut lines = monitor.lines();
    assert_eq!(next(&mut lines, 1), ["OK"]);
    let mut clients = [farm.client(), farm.client(), farm.client()];
    for client in &mut clients {
        assert_eq!(client.ask(&["SET", "k", "two words"]), b"+OK\r\n");
        let line = next(&mut lines, 1).remove(0);
        assert!(line.contains(" [0 127.0.0.1:") && line.ends_with("] \"SET\" \"k\" \"two words\""), "{line}");
    }
}

fn pool() -> Pool {
    Farm::redis(2, &[])
}

fn command(farm: &Pool, args: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    // Later flags win.
    command.env("FAKETTY", "1").arg("-p").arg(farm.port().to_string()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end.
#[track_caller]
fn cli(farm: &Pool, args: &[&str], input: &[u8]) -> std::process::Output {
    let mut command = command(farm, args);
    if args.contains(&"--raw") || args.contains(&"--scan") {
        command.env_remove("FAKETTY");
    }
    let mut child = command.spawn().unwrap_or_else(|e| panic!("redis-cli: {e}"));
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // Beside, as both pipes are short. What it does not read it did not want.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("it ends")
    })
}

/// What it writes when all goes well.
#[track_caller]
fn answers(farm: &Pool, args: &[&str], input: &[u8]) -> String {
    let output = cli(farm, args, input);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// One that goes on until it is dropped.
struct Running(Child);

impl Running {
    fn start(farm: &Pool, args: &[&str]) -> Running {
        Running(command(farm, args).spawn().unwrap_or_else(|e| panic!("redis-cli: {e}")))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let output: Box<dyn Read + Send> = Box::new(self.0.stdout.take().expect("piped"));
        BufReader::new(output).lines().map(|line| line.expect("text"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn next(lines: &mut impl Iterator<Item = String>, count: usize) -> Vec<String> {
    let lines: Vec<String> = lines.take(count).collect();
    assert_eq!(lines.len(), count, "it ended: {lines:?}");
    lines
}
