//! What the stats port and `--describe-stats` write, held against twemproxy 0.5.0's text.

use serde_json::Value;
use stats::{
    Latency, Layout, PoolLayout, PoolMetric, ProcessInfo, Registry, ServerMetric, WorkerMetric, describe,
    json,
};

/// What twemproxy sends at rest (its recorded shape, with these pools' names): two servers in one pool, one in the other.
const TWEMPROXY: &str = concat!(
    r#"{"service":"nutcracker", "source":"HOSTNAME", "version":"0.5.0", "uptime":0, "timestamp":1795339424, "#,
    r#""total_connections":2, "curr_connections":2, "alpha": {"client_eof":0, "client_err":0, "#,
    r#""client_connections":0, "server_ejects":0, "forward_error":0, "fragments":0, "s1": {"server_eof":0, "#,
    r#""server_err":0, "server_timedout":0, "server_connections":0, "server_ejected_at":0, "requests":0, "#,
    r#""request_bytes":0, "responses":0, "response_bytes":0, "in_queue":0, "in_queue_bytes":0, "#,
    r#""out_queue":0, "out_queue_bytes":0},"s2": {"server_eof":0, "server_err":0, "server_timedout":0, "#,
    r#""server_connections":0, "server_ejected_at":0, "requests":0, "request_bytes":0, "responses":0, "#,
    r#""response_bytes":0, "in_queue":0, "in_queue_bytes":0, "out_queue":0, "out_queue_bytes":0}},"#,
    r#""beta": {"client_eof":0, "client_err":0, "client_connections":0, "server_ejects":0, "#,
    r#""forward_error":0, "fragments":0, "127.0.0.1:11211": {"server_eof":0, "server_err":0, "#,
    r#""server_timedout":0, "server_connections":0, "server_ejected_at":0, "requests":0, "#,
    r#""request_bytes":0, "responses":0, "response_bytes":0, "in_queue":0, "in_queue_bytes":0, "#,
    r#""out_queue":0, "out_queue_bytes":0}}}"#,
    "\n"
);

#[test]
fn without_our_fields_the_text_is_twemproxys() {
    let text = json(&two_pools().snapshot(), &at_rest());
    let ours = [
        r#", "workers":2, "max_clients":975, "ticks":0, "wakeups":0, "buffer_bytes":0, "memory_pauses":0, "events_dropped":0, "nofile":1024"#,
        concat!(
            r#", "client_refused":0, "client_requests":0, "protocol_errors":0, "client_paused":0, "#,
            r#""pinned_connections":0, "subscriptions":0, "messages":0, "invalidations":0, "learnt_commands":0, "blocked_clients":0, "#,
            r#""client_overflows":0"#
        ),
        concat!(
            r#", "handshake_errors":0, "late_replies":0, "connect_errors":0, "keys_recorded":0, "#,
            r#""standby_ttl_errors":0, "timeout_us":0"#
        ),
    ];
    let stripped = ours.iter().fold(text, |text, fields| {
        assert!(text.contains(fields), "{fields} in {text}");
        text.replace(fields, "")
    });
    assert_eq!(stripped, TWEMPROXY);
}

#[test]
fn workers_are_summed_and_the_latest_timestamp_counts() {
    let registry = two_pools();
    let [first, second] = registry.shards() else { panic!("two workers") };
    for (shard, n) in [(first, 3), (second, 4)] {
        shard.pool(0, PoolMetric::ClientRequests).add(n);
        shard.pool(1, PoolMetric::ClientConnections).add(n);
        shard.server(0, 1, ServerMetric::Requests).add(10 * n);
        shard.server(1, 0, ServerMetric::ServerEjectedAt).set(1_795_339_424_000_000 + n);
        shard.worker(WorkerMetric::Ticks).add(n);
        shard.server_shard(0, 0).latency.record(Latency::of_us(100 * n));
        shard.pool_shard(1).latency.record(Latency::of_us(7));
    }
    second.pool(1, PoolMetric::ClientConnections).sub(9);
    let read: Value = serde_json::from_str(&json(&registry.snapshot(), &at_rest())).expect("valid JSON");
    let check = |path: &str, expected: i64| assert_eq!(read.pointer(path), Some(&expected.into()), "{path}");
    check("/alpha/client_requests", 7);
    check("/beta/client_connections", -2);
    check("/alpha/s2/requests", 70);
    check("/alpha/s1/requests", 0);
    check("/beta/127.0.0.1:11211/server_ejected_at", 1_795_339_424_000_004);
    check("/ticks", 7);
    check("/alpha/s1/latency_us_p50", 303);
    check("/alpha/s1/latency_us_max", 415);
    check("/beta/latency_us_p99", 7);
    assert_eq!(read.pointer("/alpha/latency_us_p50"), None, "nothing was timed there");
}

#[test]
fn names_are_escaped() {
    let names = ["say \"hi\"", r"C:\cache", "tab\there", "käse\u{7f}", "\u{0}"];
    let servers = names.map(String::from).to_vec();
    let layout = Layout { pools: vec![PoolLayout { name: names[0].into(), servers }] };
    let process = ProcessInfo { source: names[1].into(), ..at_rest() };
    let text = json(&Registry::new(layout, 1).snapshot(), &process);
    let read: Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(read["source"], names[1]);
    for name in names {
        assert_eq!(read[names[0]][name]["requests"], 0, "{name}");
    }
}

#[test]
fn without_pools_the_object_still_ends() {
    let text = json(&Registry::new(Layout::default(), 1).snapshot(), &at_rest());
    assert!(text.ends_with("\"nofile\":1024}\n"), "{text}");
    serde_json::from_str::<Value>(&text).expect("valid JSON");
}

#[test]
fn describe_prints_twemproxys_blocks_and_then_ours() {
    let text = describe();
    let ours = text.strip_prefix(TWEMPROXY_DESCRIBE).expect("twemproxy's text first");
    let mut lines = ours.lines();
    assert_eq!((lines.next(), lines.next()), (Some(""), Some("cashew stats:")));
    for line in lines {
        let (name, help) = line.split_at_checked(22).expect("a name and its help");
        assert!(name.starts_with("  ") && name.ends_with(' '), "{line}");
        assert!(help.len() > 2 && help.starts_with('"') && help.ends_with('"'), "{line}");
    }
    for name in ["max_clients", "events_dropped", "client_refused", "late_replies", "latency_us_p99"] {
        assert!(ours.contains(&format!("\n  {name} ")), "{name}");
    }
}

fn two_pools() -> Registry {
    let pool = |name: &str, servers: &[&str]| PoolLayout {
        name: name.into(),
        servers: servers.iter().map(|&s| s.into()).collect(),
    };
    Registry::new(Layout { pools: vec![pool("alpha", &["s1", "s2"]), pool("beta", &["127.0.0.1:11211"])] }, 2)
}

fn at_rest() -> ProcessInfo {
    ProcessInfo {
        source: "HOSTNAME".into(),
        version: "0.5.0".into(),
        uptime: 0,
        timestamp: 1_795_339_424,
        total_connections: 2,
        curr_connections: 2,
        max_clients: 975,
        extra: vec![("nofile", 1024)],
    }
}

const TWEMPROXY_DESCRIBE: &str = r##"pool stats:
  client_eof          "# eof on client connections"
  client_err          "# errors on client connections"
  client_connections  "# active client connections"
  server_ejects       "# times backend server was ejected"
  forward_error       "# times we encountered a forwarding error"
  fragments           "# fragments created from a multi-vector request"

server stats:
  server_eof          "# eof on server connections"
  server_err          "# errors on server connections"
  server_timedout     "# timeouts on server connections"
  server_connections  "# active server connections"
  server_ejected_at   "timestamp when server was ejected in usec since epoch"
  requests            "# requests"
  request_bytes       "total request bytes"
  responses           "# responses"
  response_bytes      "total response bytes"
  in_queue            "# requests in incoming queue"
  in_queue_bytes      "current request bytes in incoming queue"
  out_queue           "# requests in outgoing queue"
  out_queue_bytes     "current request bytes in outgoing queue"
"##;
