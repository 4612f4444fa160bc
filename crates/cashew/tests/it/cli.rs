//! Flags, exit statuses, what goes where, and starts that fail: nutcracker's scripts and packages must find
//! what they expect.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::temp::TempDir;
use testkit::{Client, Process, ports, wait};

use crate::parity::table::listed;
use crate::rig::{self, CASHEW, NUTCRACKER};

#[test]
fn information_goes_to_stderr_with_status_0() {
    for args in
        [&["-V"][..], &["--version"], &["-h"], &["-D"], &["-hD"], &["-Vt", "-c", "none"], &["x", "--help"]]
    {
        let output = run(CASHEW, args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()), "{args:?}");
        let said = text(&output.stderr);
        let version = format!("This is cashew-{}\nasync event backend: epoll\n\n", env!("CARGO_PKG_VERSION"));
        assert!(said.starts_with(&version), "{args:?}: {said}");
    }
    listed("version");
    let help = text(&run(CASHEW, &["-h"]).stderr);
    assert!(help.contains("Usage: cashew [-?hVdDt] [-v verbosity level] [-o output file]\n"), "{help}");
}

#[test]
fn a_link_called_nutcracker_answers_as_nutcracker() {
    let dir = TempDir::new("link").expect("a directory");
    let link = link(&dir);
    let says = |program: &Path, args: &[&str]| {
        let output = run(program, args);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let version = "This is nutcracker-0.5.0\nasync event backend: epoll\n\n";
    assert_eq!(says(&link, &["-V"]), (Some(0), String::new(), version.to_owned()));
    if !rig::has_nutcracker() {
        return;
    }
    let nutcracker = Path::new(NUTCRACKER);
    assert_eq!(says(&link, &["-V"]), says(nutcracker, &["-V"]));
    // Ours follow after a blank line.
    listed("describe-stats");
    let (ours, theirs) = (says(&link, &["-D"]).2, says(nutcracker, &["-D"]).2);
    let ours = ours.get(..theirs.len()).unwrap_or(&ours);
    assert_eq!(ours.trim_end(), theirs.trim_end());
    // The first line of a refusal; the usage behind it names our own flags.
    let first = |program: &Path, args: &[&str]| {
        let (status, stdout, stderr) = says(program, args);
        (status, stdout, stderr.lines().next().unwrap_or_default().to_owned())
    };
    for args in
        [&["-z"][..], &["-s", "0"], &["-s", "x"], &["-m", "1"], &["-v"], &["-t", "-c", "/nonexistent.yml"]]
    {
        assert_eq!(first(nutcracker, args).0, Some(1), "{args:?}");
        let ours = says(&link, args);
        let theirs = first(nutcracker, args);
        assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{args:?}");
        assert!(ours.2.lines().any(|line| line == theirs.2), "{args:?}: {} in {}", theirs.2, ours.2);
    }
}

#[test]
fn a_good_file_is_said_to_be_good() {
    let dir = TempDir::new("good").expect("a directory");
    dir.file("good.yml", GOOD).expect("written");
    let output = run_in(&dir, CASHEW, &["-t", "-c", "good.yml"]);
    let line = "cashew: configuration file 'good.yml' syntax is ok\n";
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), String::new(), line.into())
    );
}

#[test]
fn every_mistake_of_a_bad_file_is_told_with_its_line() {
    let dir = TempDir::new("bad").expect("a directory");
    let file = "a:\n  listen: 127.0.0.1:1\n  timeout: 4x\n  auto_eject_host: true\n  hash: md6\n  servers:\n   - h:1\n\
                b:\n  redis: yes\n  servers:\n   - h:1:1\n";
    dir.file("bad.yml", file).expect("written");
    for args in [&["-t", "-c", "bad.yml"][..], &["-c", "bad.yml"]] {
        let output = run_in(&dir, CASHEW, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for start in [
            "bad.yml:3: pool 'a': \"timeout\" ",
            "bad.yml:4: pool 'a': \"auto_eject_host\" is unknown; did you mean \"auto_eject_hosts\"?",
            "bad.yml:5: pool 'a': \"hash\" ",
            "bad.yml:7: pool 'a': ",
            "bad.yml:9: pool 'b': \"redis\" ",
        ] {
            assert!(said.lines().any(|line| line.starts_with(start)), "no line {start} in\n{said}");
        }
        let verdict = "cashew: configuration file 'bad.yml' syntax is invalid";
        assert_eq!(said.lines().filter(|line| *line == verdict).count(), 1, "{said}");
    }
    listed("config-mistakes");
}

#[test]
fn commands_that_are_switched_off_must_be_commands() {
    let dir = TempDir::new("cli").expect("a directory for files");
    let conf = |names: &str| {
        format!(
            "alpha:\n  listen: 127.0.0.1:1\n  redis: true\n  disable: {names}\n  servers:\n  - 127.0.0.1:2:1\n"
        )
    };
    std::fs::write(dir.path().join("conf.yml"), conf("keys, config|get flushal")).expect("a file is written");
    let output = run_in(&dir, CASHEW, &["-t", "-c", "conf.yml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("conf.yml: pool 'alpha': \"disable\" names 'flushal', which is no redis command\n"),
        "{said}"
    );
    // One that servers may have is a note where it may be learnt.
    let learns = conf("keys, my.command\n  unknown_commands: learn");
    std::fs::write(dir.path().join("conf.yml"), learns).expect("a file is written");
    let output = run_in(&dir, CASHEW, &["-t", "-c", "conf.yml"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.contains("names 'my.command', which is no redis command that cashew knows"), "{said}");
    std::fs::write(dir.path().join("conf.yml"), conf("keys, config|get flushall"))
        .expect("a file is written");
    assert_eq!(run_in(&dir, CASHEW, &["-t", "-c", "conf.yml"]).status.code(), Some(0));
}

#[test]
fn a_bad_file_is_told_before_going_into_the_background() {
    listed("daemon-config");
    let dir = TempDir::new("bad-daemon").expect("a directory");
    dir.file("bad.yml", "a:\n  listen: 127.0.0.1:1\n").expect("written");
    let output = run_in(&dir, CASHEW, &["-d", "-c", "bad.yml", "-p", "pid"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("bad.yml:1: "), "{}", text(&output.stderr));
    assert!(!dir.path().join("pid").exists());
}

#[test]
fn files_of_which_only_one_of_the_two_thinks_well() {
    let mut checked = vec![];
    for (id, setting, ours) in [
        ("config-new", "max_request_size: 64mb", true),
        ("config-new", "hash: xxh3", true),
        ("config-new", "distribution: maglev", true),
        ("config-numbers", "timeout: 4294967297", false),
        ("config-tabs", "timeout: 1\n\t\n  backlog: 5", true),
        ("config-comment", "hash_tag: '{}'# comment", false),
    ] {
        listed(id);
        let dir = TempDir::new("differ").expect("a directory");
        let file = GOOD.replace("  servers", &format!("  {setting}\n  servers"));
        dir.file("conf.yml", file).expect("written");
        let accepts = |program| run_in(&dir, program, &["-t", "-c", "conf.yml"]).status.code() == Some(0);
        checked.push((setting, accepts(CASHEW) == ours));
        if Path::new(NUTCRACKER).exists() {
            checked.push((setting, accepts(NUTCRACKER) != ours));
        }
    }
    assert!(checked.iter().all(|(_, right)| *right), "{checked:?}");
}

#[test]
fn the_section_cashew_sets_what_flags_do_not() {
    let dir = TempDir::new("section").expect("a directory");
    let [listen, from_file, from_flag] = [ports::free(), ports::free(), ports::free()];
    let mut config = rig::pool("alpha", listen, "redis: true", &["127.0.0.1:1:1"]);
    config += &format!(
        "cashew:\n  threads: 2\n  stats_port: {from_file}\n  stats_addr: 127.0.0.1\n  pid_file: the.pid\n  output: the.log\n  verbose: 6\n"
    );
    dir.file("conf.yml", config).expect("written");
    let flags = ["-c", "conf.yml", "-s", &from_flag.to_string()];
    let process = Process::start_in(dir, CASHEW, flags, "").expect("it starts");
    wait::until("the pool to listen", || Client::connect_port(listen).is_ok());
    assert_eq!(rig::number(&rig::stats(from_flag), &["workers"]), 2, "from the file");
    assert!(Client::connect_port(from_file).is_err(), "the flag wins");
    assert_eq!(process.text_of("the.pid"), process.pid().to_string());
    wait::until("the log to be in its file", || process.text_of("the.log").contains("started on pid"));
    assert_eq!(process.stderr(), "");
    for id in ["threads", "flag-i", "flag-m"] {
        listed(id);
    }
}

#[test]
fn stats_interval_and_mbuf_size_are_taken_and_change_nothing_that_shows() {
    let redis = testkit::RedisServer::start().expect("redis starts");
    let listen = ports::free();
    let config = rig::pool("alpha", listen, "redis: true", &[format!("127.0.0.1:{}:1 one", redis.port())]);
    let cashew = rig::cashew(&config, &["-i", "0", "-m", "512", "--threads", "1"]);
    let mut client = Client::connect_port(listen).expect("it accepts");
    // Far more than nutcracker would take with so small a buffer.
    let key = "k".repeat(2000);
    assert_eq!(client.ask(&["SET", &key, "v"]), b"+OK\r\n");
    assert_eq!(client.ask(&["GET", &key]), b"$1\r\nv\r\n");
    assert_eq!(rig::number(&rig::stats(cashew.stats_port()), &["alpha", "one", "requests"]), 2);
}

#[test]
fn without_a_configuration_it_runs_on_embedded_servers() {
    listed("no-conf");
    let taken = [22121, 22122].iter().any(|port| TcpListener::bind(("127.0.0.1", *port)).is_err());
    if taken {
        eprintln!("skipped: port 22121 or 22122 is taken");
        return;
    }
    let stats = ports::free().to_string();
    let mut process = Process::start(CASHEW, ["-s", &stats, "-a", "127.0.0.1"], "").expect("it starts");
    wait::until("both pools to listen", || {
        assert!(process.exited().is_none(), "{}", process.output());
        Client::connect_port(22121).is_ok() && Client::connect_port(22122).is_ok()
    });
    let mut redis = Client::connect_port(22121).expect("it accepts");
    assert_eq!(redis.ask(&["MSET", "apple", "1", "banana", "2", "cherry", "3"]), b"+OK\r\n");
    assert_eq!(redis.ask(&["MGET", "cherry", "banana", "apple"]), b"*3\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n");
    let mut memcached = Client::connect_port(22122).expect("it accepts");
    assert_eq!(memcached.ask_memcache(b"set k 0 0 5\r\nhello\r\n"), b"STORED\r\n");
    assert_eq!(memcached.ask_memcache(b"get k\r\n"), b"VALUE k 0 5\r\nhello\r\nEND\r\n");
    assert!(process.stdout().contains("redis-cli -p 22121"), "{}", process.stdout());
}

#[test]
fn a_missing_file_is_an_error_even_though_none_at_all_is_not() {
    let output = run(CASHEW, &["-c", "/nonexistent.yml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("'/nonexistent.yml'"), "{}", text(&output.stderr));
}

#[test]
fn a_port_that_is_taken_is_named_and_ends_the_start() {
    listed("listen-taken");
    let dir = TempDir::new("taken").expect("a directory");
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("a port can be bound");
    let port = holder.local_addr().expect("it is bound").port();
    dir.file("conf.yml", rig::pool("alpha", port, "", &["127.0.0.1:1:1"])).expect("written");
    let stats = ports::free().to_string();
    let args = ["-c", "conf.yml", "-s", &stats, "-a", "127.0.0.1", "-p", "pid"];
    let output = run_in(&dir, CASHEW, &args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.starts_with("cashew: ")).unwrap_or_default();
    assert!(line.contains("'alpha'") && line.contains(&format!("127.0.0.1:{port}")), "{said}");
    assert!(!dir.path().join("pid").exists(), "the pid file goes at every orderly end");
}

fn link(dir: &TempDir) -> PathBuf {
    let link = dir.path().join("nutcracker");
    std::os::unix::fs::symlink(CASHEW, &link).expect("a link");
    link
}

fn run(program: impl AsRef<Path>, args: &[&str]) -> Output {
    run_in(&TempDir::new("cli").expect("a directory"), program, args)
}

fn run_in(dir: &TempDir, program: impl AsRef<Path>, args: &[&str]) -> Output {
    let mut command = Command::new(program.as_ref());
    command.args(args).current_dir(dir.path()).stdin(Stdio::null()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const GOOD: &str = "alpha:\n  listen: 127.0.0.1:22121\n  servers:\n  - 127.0.0.1:6379:1\n";

#[test]
fn the_log_says_by_what_sockets_are_read() {
    let start = |io: &str, wish: &str| {
        let dir = TempDir::new("io").expect("a directory");
        let (listen, stats) = (ports::free(), ports::free());
        let pool = rig::pool("p", listen, "redis: true", &["127.0.0.1:1:1"]);
        std::fs::write(dir.path().join("c.yml"), format!("cashew:\n  io: {io}\n{pool}")).expect("written");
        let set =
            if wish.is_empty() { "unset CASHEW_IO".to_owned() } else { format!("export CASHEW_IO={wish}") };
        let command = format!("{set}; exec {CASHEW} -c c.yml -a 127.0.0.1 -s {stats} --threads 2");
        Process::start_in(dir, "sh", ["-c", &command], "").expect("a shell")
    };
    let says = |process: &Process, text: &str| wait::until(text, || process.stderr().contains(text));
    let lines = |process: &Process| process.stderr().matches("workers read and write by").count();
    let plain = start("epoll", "");
    says(&plain, "workers read and write by epoll\n");
    let any = start("auto", "auto");
    says(&any, "workers read and write by ");
    assert_eq!((lines(&plain), lines(&any)), (1, 1), "once for all workers");
    // The environment wins.
    says(&start("io_uring", "epoll"), "workers read and write by epoll\n");
    says(&start("auto", "kqueue"), "cashew: CASHEW_IO must be auto or epoll or io_uring");
    says(&start("kqueue", "auto"), "kqueue");
}
