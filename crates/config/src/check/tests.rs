//! What a file means, and what each mistake in it is told as.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use placement::{DistributionKind, HashKind, HashTag};

use super::*;
use crate::settings::{Address, ClusterEmulation, CrossServer, Listen, OnReturn, UnknownCommands};
use crate::units::{Bytes, Millis};

#[test]
fn a_full_file_means_what_it_says() {
    let settings = load(FULL, &no_names).expect("a good file");
    let [short, long] = settings.pools.as_slice() else { panic!("two pools") };
    assert_eq!(short.name, "z");
    assert_eq!(
        *long,
        Pool {
            name: "alpha".into(),
            listen: Listen::Unix { path: PathBuf::from("/run/alpha.sock"), mode: Some(0o666) },
            protocol: Protocol::Redis,
            hash: HashKind::from_name("xxh3").expect("a hash"),
            hash_tag: Some(HashTag::new(*b"{}")),
            distribution: DistributionKind::from_name("maglev").expect("a distribution"),
            timeout: Timeout::After(Millis(400)),
            backlog: 1024,
            client_connections: 10_000,
            redis_auth: Some("secret".into()),
            redis_db: 3,
            redis_db_fixed: true,
            redis_version: "8.0.2".into(),
            tcpkeepalive: true,
            reuseport: true,
            preconnect: true,
            server_connections: 2,
            server_retry_timeout: Millis(2000),
            server_failure_limit: 1,
            servers: vec![
                Server {
                    name: "b".into(),
                    weight: 1,
                    address: Address::Ip(SocketAddr::from(([10, 0, 0, 2], 6379))),
                    standby: false
                },
                Server {
                    name: "cache".into(),
                    weight: 2,
                    address: Address::Name { host: "cache".into(), port: 11211 },
                    standby: false
                },
                Server {
                    name: "/run/redis.sock:".into(),
                    weight: 3,
                    address: Address::Unix("/run/redis.sock".into()),
                    standby: false
                },
            ],
            on_failure: OnFailure::Error,
            on_return: OnReturn::Keep,
            error_text: Some("cache is away".into()),
            disable: vec!["keys".into(), "config|get".into(), "FLUSHALL".into()],
            max_ejected_percent: 50,
            fail_fast: false,
            join_gets: false,
            retry_reads: false,
            partial: Partial::Miss,
            connect_timeout: Some(Millis(250)),
            server_idle_timeout: Some(Millis(60_000)),
            client_idle_timeout: Some(Millis(600_000)),
            max_request_size: Bytes(64 << 20),
            max_reply_size: Bytes(2 << 30),
            stream_from: Bytes(1 << 20),
            client_max_pipeline: 100,
            pinned_connections: 7,
            unknown_commands: UnknownCommands::Learn,
            cluster_emulation: ClusterEmulation::At("cache.example".into(), 7000),
            cross_server: CrossServer::Gather,
            gather_limit: Bytes(2 << 20),
            client_request_limit: Bytes(8 << 20),
            client_output_limit: Bytes(256 << 10),
            client_output_hard_limit: Bytes(16 << 20),
        }
    );
    assert_eq!(
        settings.process,
        ProcessSection {
            verbose: Some(6),
            output: Some("/var/log/cashew.log".into()),
            stats_port: Some(22223),
            stats_addr: Some("127.0.0.1".into()),
            stats_interval: Some(Millis(10_000)),
            io: None,
            max_memory: Some(Bytes(4 << 30)),
            control_socket: Some("/run/cashew.sock".into()),
            pid_file: Some("/run/cashew.pid".into()),
            mbuf_size: Some(32 << 10),
            daemonize: Some(false),
            threads: Some(4),
        }
    );
}

#[test]
fn what_is_not_said_takes_its_default() {
    let settings =
        load("a:\n  listen: 127.0.0.1:1\n  servers:\n  - h:6379:1\n", &no_names).expect("a good file");
    let pool = &settings.pools[0];
    assert_eq!((pool.protocol, pool.timeout, pool.backlog), (Protocol::Memcache, Timeout::Never, 512));
    assert_eq!((pool.hash.name(), pool.distribution.name(), pool.hash_tag), ("fnv1a_64", "ketama", None));
    assert_eq!((pool.server_connections, pool.server_failure_limit), (1, 2));
    assert_eq!((pool.server_retry_timeout, pool.client_connections), (Millis(30_000), 0));
    assert_eq!((pool.max_request_size, pool.max_reply_size), (Bytes(512 << 20), Bytes(512 << 20)));
    assert_eq!((pool.pinned_connections, &pool.cluster_emulation), (1024, &ClusterEmulation::Off));
    assert_eq!(pool.unknown_commands, UnknownCommands::Refuse);
    assert_eq!((pool.cross_server, pool.gather_limit), (CrossServer::Refuse, Bytes(1 << 20)));
    assert_eq!((pool.client_max_pipeline, pool.client_output_limit), (4096, Bytes(1 << 20)));
    assert_eq!(settings.process, ProcessSection::default());
    let defaults = process_defaults();
    assert_eq!((defaults.verbose, defaults.stats_port, defaults.threads), (Some(5), Some(22222), Some(0)));
}

#[test]
fn timeout_zero_is_none_and_failure_limit_zero_is_one() {
    let text = pool_with("timeout: 0\n  server_failure_limit: 0");
    let settings = load(&text, &no_names).expect("a good file");
    assert_eq!((settings.pools[0].timeout, settings.pools[0].server_failure_limit), (Timeout::Never, 1));
}

#[test]
fn an_automatic_timeout_has_bounds() {
    for (setting, min, max) in [
        ("timeout: auto", 100, 2000),
        ("timeout: auto\n  timeout_auto_min: 20\n  timeout_auto_max: 5s", 20, 5000),
        ("timeout: 'auto'\n  timeout_auto_max: 100", 100, 100),
    ] {
        let settings = load(&pool_with(setting), &no_names).expect("a good file");
        let timeout = settings.pools[0].timeout;
        assert_eq!(timeout, Timeout::Auto { min: Millis(min), max: Millis(max) }, "{setting}");
        assert_eq!(timeout.longest(), Some(Millis(max)));
    }
    let settings = load(&pool_with("timeout: 30\n  timeout_auto_min: 50"), &no_names).expect("a good file");
    assert_eq!(settings.pools[0].timeout, Timeout::After(Millis(30)), "bounds are for auto alone");
}

#[test]
fn a_pool_may_be_called_like_the_process_section() {
    let pool = pool_with("timeout: 1").replace("alpha", "cashew");
    let settings = load(&format!("{pool}\ncashew:\n  threads: 2\n"), &no_names).expect("a good file");
    assert_eq!((settings.pools[0].name.as_str(), settings.process.threads), ("cashew", Some(2)));
}

#[test]
fn each_mistake_is_told() {
    for (setting, expected) in [
        ("timeout: 4x", r#"x.yml:3: pool 'alpha': "timeout" must be a number of milliseconds, found "4x""#),
        ("timeout: Auto", r#""timeout" must be a number of milliseconds, found "Auto""#),
        (
            "timeout: auto\n  timeout_auto_max: 50",
            r#"x.yml:4: pool 'alpha': "timeout_auto_min" must not be above "timeout_auto_max": it is 100ms, the other 50ms"#,
        ),
        (
            "timeout_auto_min: 3s",
            r#""timeout_auto_min" must not be above "timeout_auto_max": it is 3000ms, the other 2000ms"#,
        ),
        ("timeout_auto_min: 0", r#""timeout_auto_min" must be at least 1, found 0"#),
        ("backlog: auto", r#""backlog" must be a number of connections, found "auto""#),
        ("backlog: -1", r#"x.yml:3: pool 'alpha': "backlog" must be a number of connections, found "-1""#),
        (
            "redis_version: 7.4",
            r#"x.yml:3: pool 'alpha': "redis_version" must be a version of three numbers, such as 7.4.0, found "7.4""#,
        ),
        ("redis_db: one", r#"x.yml:3: pool 'alpha': "redis_db" must be a number, found "one""#),
        (
            "timeout: 4294967297",
            r#"x.yml:3: pool 'alpha': "timeout" must be at most 2147483647, found 4294967297"#,
        ),
        (
            "server_connections: 0",
            r#"x.yml:3: pool 'alpha': "server_connections" must be at least 1, found 0"#,
        ),
        ("max_reply_size: 1", r#"x.yml:3: pool 'alpha': "max_reply_size" must be at least 1kb, found 1"#),
        (
            "max_reply_size: 1tb",
            r#""max_reply_size" must be a number of bytes, or one like 64mb, found "1tb""#,
        ),
        ("redis: yes", r#"x.yml:3: pool 'alpha': "redis" must be true or false, found "yes""#),
        ("hash: murmr", r#", found "murmr"; did you mean "murmur"?"#),
        ("hash: nothing", r#"pool 'alpha': "hash" must be one of one_at_a_time, "#),
        ("distribution: Ketama", r#", found "Ketama"; did you mean "ketama"?"#),
        ("hash_tag: '{'", r#""hash_tag" must be two characters such as "{}", found "{""#),
        (
            "hash_tag: {}",
            r#""hash_tag" starts with "{", which is not allowed; a text with braces needs quotes"#,
        ),
        ("timout: 1", r#"x.yml:3: pool 'alpha': "timout" is unknown; did you mean "timeout"?"#),
        ("password: 1", r#"x.yml:3: pool 'alpha': "password" is unknown"#),
        ("threads: 1", r#""threads" is unknown here; it is a setting of the process, under "cashew:""#),
        ("timeout: 1\n  timeout: 1", r#"x.yml:4: pool 'alpha': "timeout" is given twice, first on line 3"#),
        ("timeout:", r#"x.yml:3: pool 'alpha': "timeout" has no value"#),
        ("timeout: ''", r#"x.yml:3: pool 'alpha': "timeout" has no value"#),
        ("timeout:\n  - 1", r#"x.yml:3: pool 'alpha': "timeout" must be a single value, found a list"#),
        ("timeout:\n    a: 1", r#""timeout" has keys of its own below it; a pool's settings have one level"#),
        ("timeout: &a 1", r#""timeout" holds an anchor ("&name") or a tag ("!name"), which is not allowed"#),
        (
            "unknown_commands: learn",
            r#""unknown_commands" is for redis pools only; this one lacks "redis: true""#,
        ),
        ("disable: keys", r#""disable" is for redis pools only; this one lacks "redis: true""#),
        ("redis_auth: x", r#""redis_auth" is for redis pools only; this one lacks "redis: true""#),
        ("listen: 127.0.0.1:2", r#"x.yml:3: pool 'alpha': "listen" is given twice, first on line 2"#),
        ("servers:\n  - i:1:1", r#"x.yml:5: pool 'alpha': "servers" is given twice, first on line 4"#),
    ] {
        expect_mistakes(&pool_with(setting), &[expected]);
    }
}

#[test]
fn mistakes_of_a_whole_file_are_told() {
    let good = pool_with("timeout: 1");
    for (text, expected) in [
        (String::new(), "x.yml:1: the file has no pools"),
        ("# nothing\n".into(), "x.yml:1: the file has no pools"),
        ("cashew:\n  threads: 1\n".into(), "x.yml:1: the file has no pools"),
        ("alpha\n".into(), r#"x.yml:1: must start with a pool's name and a colon, found "alpha""#),
        ("- alpha\n".into(), "x.yml:1: must start with a pool's name and a colon, found a list"),
        ("alpha:\n".into(), "x.yml:1: pool 'alpha': has no settings below it; are they indented?"),
        ("alpha:\n- h:1:1\n".into(), "pool 'alpha': must have settings below it, found a list"),
        ("alpha: 1\n".into(), r#"x.yml:1: pool 'alpha': must have settings below it, found "1""#),
        (format!("---\n{good}"), r#"x.yml:1: "---" is not allowed: the file is one plain document"#),
        (format!("{good}...\n"), r#"x.yml:6: "..." is not allowed: the file is one plain document"#),
        (
            format!("{good}\talpha: 1\n"),
            "x.yml:5: not valid YAML: while scanning a plain scalar, found a tab",
        ),
        (
            format!("{good}{}", good.replace(":1\n", ":2\n")),
            "pool 'alpha': is defined twice, first on line 1",
        ),
        (good.replace("  listen: 127.0.0.1:1\n", ""), r#"x.yml:1: pool 'alpha': "listen" is missing"#),
        (good.replace("  servers:\n  - h:6379:1\n", ""), r#"x.yml:1: pool 'alpha': "servers" is missing"#),
        (
            good.replace("\n  - h", " h"),
            r#""servers" must be a list, one line per server, each starting with "- ""#,
        ),
        (good.replace("6379:1", "6379: 1"), r#""servers" must be a list of single lines; is there a space"#),
        (
            good.replace("\n  - h:6379:1", " [h:6379:1]"),
            r#"x.yml:4: pool 'alpha': "servers" is written with "[ ]""#,
        ),
        (good.replace("h:6379:1", "*h"), r#"x.yml:5: not valid YAML: "#),
        (good.replace("h:6379:1", "&h h:6379:1"), r#"x.yml:5: pool 'alpha': "servers" holds an anchor"#),
        (
            good.replace("- h", "- \th"),
            r#"x.yml:5: pool 'alpha': "servers" is indented with a tab; YAML wants spaces"#,
        ),
        (good.replace("h:6379:1", ""), r#"x.yml:5: pool 'alpha': "servers" has no value"#),
        (
            good.replace("127.0.0.1:1", "nowhere:1"),
            r#""listen" has a host that does not resolve, "nowhere": no"#,
        ),
        (
            format!("{good}{}", good.replace("alpha", "beta")),
            "x.yml:7: pool 'beta': \"listen\" is the same as that of pool 'alpha' on line 2",
        ),
        (format!("{good}  - h:6379:2\n"), "\"servers\" has two servers named 'h:6379', the other on line 5"),
        (
            format!("{good}  - i:1:1 h:6379\n"),
            "\"servers\" has two servers named 'h:6379', the other on line 5",
        ),
        (
            format!("{good}cashew:\n  thread: 1\n"),
            r#"x.yml:7: "cashew.thread" is unknown; did you mean "threads"?"#,
        ),
        (
            format!("{good}cashew:\n  timeout: 1\n"),
            r#""cashew.timeout" is unknown here; it is a setting of a pool"#,
        ),
        (
            format!("{good}cashew:\n  verbose: 12\n"),
            r#"x.yml:7: "cashew.verbose" must be at most 11, found 12"#,
        ),
        (
            format!("{good}cashew:\n  mbuf_size: 511\n"),
            r#""cashew.mbuf_size" must be at least 512, found 511"#,
        ),
        (
            format!("{good}cashew:\n  threads: 1\ncashew:\n  verbose: 1\n"),
            r#"x.yml:8: "cashew:" is given twice"#,
        ),
    ] {
        expect_mistakes(&text, &[expected]);
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_lines() {
    let text =
        "alpha:\n  listen: nowhere:1\n  timeout: x\n  servers:\n  - h:1\n  - h:1:0\nbeta:\n  redis: 1\n";
    expect_mistakes(
        text,
        &[
            "x.yml:2: pool 'alpha': \"listen\" has a host",
            "x.yml:3: pool 'alpha': \"timeout\" must be",
            "x.yml:5: pool 'alpha': \"servers\" must hold",
            "x.yml:6: pool 'alpha': \"servers\" must have a weight",
            "x.yml:7: pool 'beta': \"listen\" is missing",
            "x.yml:7: pool 'beta': \"servers\" is missing",
            "x.yml:8: pool 'beta': \"redis\" must be",
        ],
    );
    let broken = "alpha:\n  listen: nowhere:1\n  servers:\n  - h:1:1\nbeta:\n  timeout: x\n a: b\n";
    expect_mistakes(broken, &["x.yml:2: pool 'alpha': \"listen\" has", "x.yml:7: not valid YAML"]);
}

#[test]
fn columns_count_characters_from_one() {
    let mistakes = load("é:\n  listen: 127.0.0.1:1\n  timeout: é\n  servers:\n  -   h:1\n", &no_names);
    let places: Vec<_> = mistakes.expect_err("two mistakes").iter().map(|m| (m.line, m.column)).collect();
    assert_eq!(places, [(3, 12), (5, 7)]);
}

/// Each mistake of `text`, printed, contains the expected part; there are no others.
fn expect_mistakes(text: &str, expected: &[&str]) {
    let mistakes = load(text, &no_names).expect_err(text);
    let printed: Vec<String> = mistakes.iter().map(|m| m.in_file(Path::new("x.yml")).to_string()).collect();
    assert_eq!(printed.len(), expected.len(), "{text}\n{printed:#?}");
    for (printed, expected) in printed.iter().zip(expected) {
        assert!(printed.contains(expected), "{text}\n{printed}\ndoes not contain\n{expected}");
    }
}

fn pool_with(setting: &str) -> String {
    format!("alpha:\n  listen: 127.0.0.1:1\n  {setting}\n  servers:\n  - h:6379:1\n")
}

fn no_names(_: &str, _: u16) -> io::Result<SocketAddr> {
    Err(io::Error::other("no such name"))
}

const FULL: &str = r#"
# Comments, quotes and the order of keys do not matter.
alpha:
  servers:
  - /run/redis.sock:3
  - cache:11211:2
  - 10.0.0.2:6379:1 b
  listen: /run/alpha.sock 0666
  redis: 'true'
  hash: xxh3
  hash_tag: "{}"
  distribution: maglev
  timeout: 400
  backlog: 1024
  client_connections: 10000
  redis_auth: secret
  redis_db: 3
  redis_db_fixed: true
  redis_version: 8.0.2
  tcpkeepalive: true
  reuseport: true
  preconnect: true
  auto_eject_hosts: true
  server_connections: 2
  server_retry_timeout: 2000
  server_failure_limit: 1
  max_request_size: 64mb
  max_reply_size: 2gb
  stream_from: 1mb
  client_max_pipeline: 100
  pinned_connections: 7
  cluster_emulation: cache.example:7000
  on_failure: error
  error_text: cache is away
  disable: keys config|get, FLUSHALL
  unknown_commands: learn
  max_ejected_percent: 50
  fail_fast: false
  join_gets: false
  retry_reads: false
  partial: miss
  connect_timeout: 250
  server_idle_timeout: 60s
  client_idle_timeout: 10m
  cross_server: gather
  gather_limit: 2mb
  client_request_limit: 8mb
  client_output_limit: 256kb
  client_output_hard_limit: 16mb

cashew:
  verbose: 6
  output: /var/log/cashew.log
  stats_port: 22223
  stats_addr: 127.0.0.1
  stats_interval: 10s
  max_memory: 4gb
  control_socket: /run/cashew.sock
  pid_file: /run/cashew.pid
  mbuf_size: 32kb
  daemonize: false
  threads: 4

z:
  listen: 127.0.0.1:22122
  servers:
    - 127.0.0.1:11211:1
"#;
