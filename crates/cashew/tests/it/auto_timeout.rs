//! `timeout: auto`: each server's timeout follows what the server takes, can be seen, and holds.

use std::process::Command;
use std::time::{Duration, Instant};

use engine::topology::{Standing, Topology};
use testkit::peer::{self, slow};
use testkit::{Cashew, Client, RedisServer, ports, resp, wait};

use crate::rig::{self, number, stats};

#[test]
fn it_falls_to_what_the_server_takes_and_a_hung_one_is_given_up_by_it() {
    let server = RedisServer::start().expect("redis starts");
    let (cashew, listen) =
        proxy("timeout: auto\ntimeout_auto_min: 250ms\ntimeout_auto_max: 8s", &[server.port()]);
    assert_eq!((shown(&cashew, "s0"), in_ctl(&cashew, "alpha s0")), (8_000_000, "8000ms".to_owned()));
    // Two of them, so that both workers count.
    let mut clients = [connect(listen), connect(listen)];
    let pipeline = resp(&["SET", "k", "v"]).repeat(50);
    wait::until("the timeout to fall below a second", || {
        for client in &mut clients {
            client.send(&pipeline);
            (0..50).for_each(|_| client.expect(b"+OK\r\n"));
        }
        shown(&cashew, "s0") < 1_000_000
    });
    wait::until("both to show the same", || {
        let micros = shown(&cashew, "s0");
        assert!(micros >= 250_000, "{micros}");
        in_ctl(&cashew, "alpha s0") == format!("{}ms", micros / 1000)
    });
    server.freeze().expect("it stops");
    for client in &mut clients {
        let start = Instant::now();
        assert_eq!(client.ask(&["GET", "k"]), TIMED_OUT);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    server.thaw().expect("it goes on");
    wait::until("the server to be used again", || clients[0].ask(&["GET", "k"]) == b"$1\r\nv\r\n");
}

#[test]
fn it_stays_well_above_what_a_slow_server_takes() {
    const TAKES_US: i64 = 15_000;
    let pause = Duration::from_micros(TAKES_US as u64);
    let server = slow::reply(b"+OK\r\n", 5, pause).expect("a port can be bound");
    let settings = "timeout: auto\ntimeout_auto_min: 1\nserver_connections: 20";
    let (cashew, listen) = proxy(settings, &[server.port()]);
    let mut clients: Vec<Client> = (0..40).map(|_| connect(listen)).collect();
    let mut round = || {
        clients.iter_mut().for_each(|client| client.send(&resp(&["SET", "k", "v"])));
        clients.iter_mut().for_each(|client| client.expect(b"+OK\r\n"));
    };
    let mut lowest = i64::MAX;
    wait::until("the timeout to follow the server", || {
        round();
        lowest = lowest.min(shown(&cashew, "s0"));
        lowest < 500_000
    });
    for _ in 0..100 {
        round();
        lowest = lowest.min(shown(&cashew, "s0"));
    }
    assert!(lowest >= 4 * TAKES_US, "{lowest}");
    assert_eq!(number(&stats(cashew.stats_port()), &["alpha", "forward_error"]), 0);
}

#[test]
fn waiting_for_one_server_delays_nobody_who_asks_another() {
    let (silent, quick) = (peer::stall::silent(), peer::polite(b"$1\r\nv\r\n"));
    let (silent, quick) = (silent.expect("a port can be bound"), quick.expect("a port can be bound"));
    let settings = "timeout: auto\ntimeout_auto_max: 60s";
    let (cashew, listen) = proxy_with(settings, &[silent.port(), quick.port()], &["--threads", "1"]);
    let [here, there] =
        keys(&rig::pool("alpha", listen, "redis: true", &lines(&[silent.port(), quick.port()])));
    let (mut waits, mut other) = (connect(listen), connect(listen));
    waits.send(&resp(&["GET", &here]));
    silent.wait_received(1);
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(other.ask(&["GET", &there]), b"$1\r\nv\r\n");
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(waits.silent_for(Duration::from_millis(5)), "its minute is not over");
    assert_eq!(shown(&cashew, "s0"), 60_000_000);
}

#[test]
fn every_servers_timeout_is_shown() {
    let listens = ports::free_many(3);
    let servers = ["127.0.0.1:1:1 s0", "127.0.0.1:2:1 s1"];
    let config = rig::pool("fixed", listens[0], "timeout: 400", &servers)
        + &rig::pool("none", listens[1], "", &servers)
        + &rig::pool("auto", listens[2], "timeout: auto", &servers)
        + CONTROL;
    let cashew = rig::cashew(&config, &[]);
    for (pool, micros, text) in [("fixed", 400_000, "400ms"), ("none", 0, "-"), ("auto", 2_000_000, "2000ms")]
    {
        for server in ["s0", "s1"] {
            assert_eq!(number(&stats(cashew.stats_port()), &[pool, server, "timeout_us"]), micros, "{pool}");
            assert_eq!(in_ctl(&cashew, &format!("{pool} {server}")), text);
        }
    }
    assert_eq!(in_ctl(&cashew, "pool server"), "timeout", "the heading");
}

/// What the stats port says of a server's timeout, in microseconds.
fn shown(cashew: &Cashew, server: &str) -> i64 {
    number(&stats(cashew.stats_port()), &["alpha", server, "timeout_us"])
}

/// The last word of the line of `cashew ctl servers` that begins so.
fn in_ctl(cashew: &Cashew, begin: &str) -> String {
    let socket = cashew.dir().join("control.sock");
    let mut command = Command::new(rig::CASHEW);
    let output = command.arg("ctl").arg("-S").arg(socket).arg("servers").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("plain text");
    let line = text.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no '{begin}' in {text}"));
    line.rsplit(' ').next().expect("a word").to_owned()
}

/// A key of each of the two servers of a configuration's pool.
fn keys(config: &str) -> [String; 2] {
    let settings = config::load(config, &config::system_resolver).expect("a good file");
    let topology = Topology::new(&settings, |_, _| Standing::In);
    let of = |server| {
        let mut keys = (0..).map(|n| format!("key{n}"));
        let own = |key: &String| topology.pools[0].placement.server(key.as_bytes(), || 0) == Some(server);
        keys.find(own).expect("every server has keys")
    };
    [of(0), of(1)]
}

/// One redis pool, `alpha`, over servers `s0`, `s1` ... at `ports`, on two workers; and its port.
fn proxy(settings: &str, ports: &[u16]) -> (Cashew, u16) {
    proxy_with(settings, ports, &["--threads", "2"])
}

fn proxy_with(settings: &str, ports: &[u16], flags: &[&str]) -> (Cashew, u16) {
    let listen = ports::free();
    let settings = format!("redis: true\n{settings}");
    let config = rig::pool("alpha", listen, &settings, &lines(ports)) + CONTROL;
    (rig::cashew(&config, flags), listen)
}

fn lines(ports: &[u16]) -> Vec<String> {
    ports.iter().enumerate().map(|(index, port)| format!("127.0.0.1:{port}:1 s{index}")).collect()
}

fn connect(port: u16) -> Client {
    Client::connect_port(port).expect("the proxy accepts")
}

/// Beside the configuration: the proxy works in a directory of its own.
const CONTROL: &str = "cashew:\n  control_socket: control.sock\n";

const TIMED_OUT: &[u8] = b"-ERR Connection timed out\r\n";
