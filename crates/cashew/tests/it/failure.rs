//! Servers that die, hang, close and come back: what clients read meanwhile, and that nothing is mixed up.

use std::time::{Duration, Instant};

use testkit::peer::reset::{self, End};
use testkit::{Cashew, Client, Gate, Nutcracker, Peer, RedisServer, Signal, Step, peer, ports, resp, wait};

use crate::farm;
use crate::parity::table::listed;
use crate::rig::{self, number, stats};

#[test]
fn a_killed_server_costs_errors_but_no_connection_and_is_used_again() {
    for settings in ["redis: true", "redis: true\nfail_fast: false"] {
        let mut server = RedisServer::start().expect("redis starts");
        let (_cashew, listen) = proxy(settings, &[server.port()]);
        let mut client = connect(listen);
        assert_eq!(client.ask(&["SET", "k", "v"]), OK);
        // The write is under way when the server dies.
        server.freeze().expect("it stops");
        client.send(&[resp(&["SET", "k", "w"]), resp(&["SET", "k", "x"])].concat());
        server.kill(Signal::KILL).expect("it runs");
        for _ in 0..2 {
            let said = text(&client.resp_reply());
            assert!(LOST.contains(&said.as_str()), "{said}");
        }
        server.wait_exit().expect("it ends");
        assert_eq!(client.ask(&["GET", "k"]), REFUSED);
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
        let _server = RedisServer::start_on(server.port(), &[]).expect("redis starts again");
        wait::until("the server to be used again", || client.ask(&["SET", "k", "y"]) == OK);
        assert_eq!(client.ask(&["GET", "k"]), b"$1\r\ny\r\n");
    }
}

#[test]
fn a_late_reply_is_nobodys() {
    listed("timeout-scope");
    let gate = Gate::new();
    let late = vec![
        Step::Requests(2),
        Step::Stall(gate.clone()),
        Step::send("$4\r\nlate\r\n$5\r\nyoung\r\n"),
        Step::ReadToEnd,
    ];
    let quick = vec![Step::Requests(1), Step::send("$5\r\nquick\r\n"), Step::Again];
    let server = Peer::start_each(vec![late, quick]).expect("a port can be bound");
    let settings = "redis: true\ntimeout: 1000\nfail_fast: false";
    let (cashew, listen) = proxy_with(settings, &[server.port()], &["--threads", "1"]);
    let (mut old, mut young) = (connect(listen), connect(listen));
    let start = Instant::now();
    old.send(&resp(&["GET", "a"]));
    server.wait_received(resp(&["GET", "a"]).len());
    // More than half of the first one's time: both share a connection, and only the first is due in the end.
    wait::until("600 ms to be over", || start.elapsed() > Duration::from_millis(600));
    young.send(&resp(&["GET", "b"]));
    server.wait_received(2 * resp(&["GET", "a"]).len());
    assert_eq!(old.resp_reply(), TIMED_OUT);
    let waited = start.elapsed();
    assert!(Duration::from_millis(990) < waited && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(old.ask(&["GET", "c"]), b"$5\r\nquick\r\n", "on a connection of its own");
    gate.open();
    assert_eq!(young.resp_reply(), b"$5\r\nyoung\r\n");
    assert_eq!(
        (old.ask(&["GET", "d"]), young.ask(&["GET", "e"])),
        (b"$5\r\nquick\r\n".into(), b"$5\r\nquick\r\n".into())
    );
    let now = stats(cashew.stats_port());
    assert_eq!(
        (number(&now, &["alpha", "s0", "late_replies"]), number(&now, &["alpha", "forward_error"])),
        (1, 1)
    );
}

#[test]
fn a_read_is_sent_once_more_and_a_write_is_not() {
    listed("read-retried");
    for (retry, request, reply) in [
        (true, resp(&["GET", "k"]), "$1\r\nv\r\n"),
        (false, resp(&["GET", "k"]), "-ERR Connection reset by peer\r\n"),
        (true, resp(&["SET", "k", "v"]), "-ERR Connection reset by peer\r\n"),
    ] {
        let server = reset::once(b"$1\r\nv\r\n", End::Reset).expect("a port can be bound");
        let (_cashew, listen) = proxy(&format!("redis: true\nretry_reads: {retry}"), &[server.port()]);
        let mut client = connect(listen);
        client.send(&request);
        assert_eq!(text(&client.resp_reply()), reply, "{retry} {}", request.escape_ascii());
        assert_eq!(client.ask(&["GET", "k"]), b"$1\r\nv\r\n");
    }
}

#[test]
fn a_server_known_to_be_down_is_not_asked_again_and_again() {
    listed("fail-fast");
    let port = ports::free();
    let (cashew, listen) = proxy_with("redis: true", &[port], &["--threads", "1"]);
    let mut client = connect(listen);
    for _ in 0..200 {
        assert_eq!(client.ask(&["GET", "k"]), REFUSED);
    }
    let attempts = number(&stats(cashew.stats_port()), &["alpha", "s0", "connect_errors"]);
    assert!((1..20).contains(&attempts), "{attempts} connections were tried for 200 requests");
    let _server = RedisServer::start_on(port, &[]).expect("redis starts");
    wait::until("the server to be used", || client.ask(&["GET", "k"]) == b"$-1\r\n");
}

#[test]
fn an_idle_connection_that_the_server_closes_is_no_failure() {
    listed("idle-close");
    let settings =
        "redis: true\nauto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 60000";
    let server = RedisServer::start().expect("redis starts");
    let (cashew, listen) = proxy_with(settings, &[server.port()], &["--threads", "1"]);
    let closed = |port: u16| number(&stats(port), &["alpha", "s0", "server_eof"]);
    let mut client = connect(listen);
    for round in 1..4 {
        assert_eq!(client.ask(&["SET", "k", "v"]), OK);
        assert_eq!(server.client().ask(&["CLIENT", "KILL", "TYPE", "normal"]), b":1\r\n");
        wait::until("the close to be noticed", || closed(cashew.stats_port()) == round);
    }
    assert_eq!(client.ask(&["SET", "k", "v"]), OK);
    assert_eq!(number(&stats(cashew.stats_port()), &["alpha", "server_ejects"]), 0);

    if rig::has_nutcracker() {
        let listen = ports::free();
        let config = rig::pool("alpha", listen, settings, &lines(&[server.port()]));
        let nutcracker =
            Nutcracker::start_with(&config, &["-i", "1"]).unwrap_or_else(|error| panic!("{error}"));
        let mut client = connect(listen);
        assert_eq!(client.ask(&["SET", "k", "v"]), OK);
        server.client().ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        wait::until("the close to be noticed", || closed(nutcracker.stats_port()) > 0);
        assert_eq!(client.ask(&["SET", "k", "v"]), REFUSED, "nutcracker ejects a healthy server");
    }
}

#[test]
fn an_ejected_servers_keys_move_and_come_back_after_a_probe() {
    listed("probe");
    let servers = farm::many(3, RedisServer::start);
    let ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
    let settings = "redis: true\nhash: murmur\nauto_eject_hosts: true\nserver_retry_timeout: 100\nserver_failure_limit: 2";
    let (cashew, listen) = proxy(settings, &ports);
    // Every server has the key under its own name.
    for (index, server) in servers.iter().enumerate() {
        assert_eq!(server.client().ask(&["SET", "k", &index.to_string()]), OK);
    }
    let mut client = connect(listen);
    let owner = |client: &mut Client| text(&client.ask(&["GET", "k"]));
    let first = owner(&mut client);
    let index: usize = first[4..5].parse().expect("a server's index");
    let mut servers: Vec<Option<RedisServer>> = servers.into_iter().map(Some).collect();
    drop(servers[index].take());
    let mut errors = Vec::new();
    let second = wait::for_some("the key to move", || {
        let said = owner(&mut client);
        if said.starts_with('-') {
            errors.push(said);
            return None;
        }
        (said != first).then_some(said)
    });
    let second = second.expect("it moves");
    assert!(!errors.is_empty() && errors.iter().all(|said| LOST.contains(&said.as_str())), "{errors:?}");
    let number_of = |name: &str| number(&stats(cashew.stats_port()), &["alpha", name]);
    assert_eq!(number_of("server_ejects"), 1);

    // Ten retry periods: no client is used to find out that it is still dead.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(owner(&mut client), second);
    }
    assert_eq!(number_of("server_ejects"), 1);
    let ejected_at =
        number(&stats(cashew.stats_port()), &["alpha", &format!("s{index}"), "server_ejected_at"]);
    assert!(ejected_at > 1_600_000_000_000_000, "{ejected_at}");

    let back = RedisServer::start_on(ports[index], &[]).expect("redis starts again");
    assert_eq!(back.client().ask(&["SET", "k", "back"]), OK);
    wait::until("the key to come back", || {
        let said = owner(&mut client);
        // What it holds is stale or gone, which is inherent; an error would not be.
        assert!(said.starts_with('$'), "{said}");
        said == "$4\r\nback\r\n"
    });
}

#[test]
fn failures_of_all_workers_count_together() {
    listed("eject-workers");
    let dead = ports::free();
    let alive = RedisServer::start().expect("redis starts");
    let settings = "redis: true\nhash: murmur\nfail_fast: false\nauto_eject_hosts: true\nserver_failure_limit: 2\nserver_retry_timeout: 60000";
    let (cashew, listen) = proxy_with(settings, &[alive.port(), dead], &["--threads", "2"]);
    rig::settled(cashew.stats_port(), &["alpha"]);
    // Clients go to the worker with the fewest: one each.
    let mut clients = [connect(listen), connect(listen)];
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
    let key = (0..100)
        .map(|n| format!("key{n}"))
        .find(|key| clients[0].ask(&["GET", key]) == REFUSED)
        .expect("half are there");
    assert_eq!(number(&stats(cashew.stats_port()), &["alpha", "server_ejects"]), 0);
    assert_eq!(clients[1].ask(&["GET", &key]), REFUSED);
    wait::until("the ejection", || number(&stats(cashew.stats_port()), &["alpha", "server_ejects"]) == 1);
    for client in &mut clients {
        wait::until("the key to move", || client.ask(&["GET", &key]) == b"$-1\r\n");
    }
}

#[test]
fn when_all_servers_are_ejected_the_error_comes_at_once() {
    let server = peer::stall::silent().expect("a port can be bound");
    let settings = "redis: true\ntimeout: 500\nauto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 60000";
    let (cashew, listen) = proxy(settings, &[server.port()]);
    let mut client = connect(listen);
    assert_eq!(client.ask(&["GET", "k"]), TIMED_OUT);
    wait::until("the ejection", || number(&stats(cashew.stats_port()), &["alpha", "server_ejects"]) == 1);
    wait::until("all workers to know", || client.ask(&["GET", "k"]) == REFUSED);
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(client.ask(&["GET", "k"]), REFUSED);
        assert_eq!(client.ask(&["MGET", "k", "l"]), REFUSED);
    }
    assert!(start.elapsed() < Duration::from_millis(500 * 20), "it waits for nothing");
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn preconnect_connects_before_any_client_asks() {
    let server = peer::polite(OK).expect("a port can be bound");
    let (_cashew, listen) =
        proxy_with("redis: true\npreconnect: true", &[server.port()], &["--threads", "2"]);
    server.wait_connections(2);
    assert_eq!(server.received_in_all(), b"");
    assert_eq!(connect(listen).ask(&["SET", "k", "v"]), OK);
    assert_eq!(server.connections(), 2, "one per worker, and they are used");
}

#[test]
fn server_connections_are_per_worker() {
    listed("server-connections");
    let server = RedisServer::start().expect("redis starts");
    let settings = "redis: true\nserver_connections: 3";
    let (cashew, listen) = proxy_with(settings, &[server.port()], &["--threads", "2"]);
    let mut clients: Vec<Client> = (0..40).map(|_| connect(listen)).collect();
    for client in &mut clients {
        for n in 0..10 {
            client.send(&[resp(&["SET", "k", &n.to_string()]), resp(&["GET", "k"])].concat());
            client.expect(OK);
            client.resp_reply();
        }
    }
    assert_eq!(number(&stats(cashew.stats_port()), &["alpha", "s0", "server_connections"]), 2 * 3);
}

#[test]
fn a_name_that_does_not_resolve_says_so_and_others_are_served() {
    let alive = RedisServer::start().expect("redis starts");
    let listen = ports::free();
    let servers = ["no.such.host.invalid:6379:1 s0".to_owned(), format!("127.0.0.1:{}:1 s1", alive.port())];
    let _cashew = rig::cashew(&rig::pool("alpha", listen, "redis: true\nhash: murmur", &servers), &[]);
    let mut client = connect(listen);
    let mut seen: Vec<String> = (0..50).map(|n| text(&client.ask(&["GET", &format!("key{n}")]))).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["$-1\r\n", "-ERR Host is down\r\n"]);
}

/// One pool, `alpha`, over servers `s0`, `s1` ... at `ports`; and its port.
fn proxy(settings: &str, ports: &[u16]) -> (Cashew, u16) {
    proxy_with(settings, ports, &[])
}

fn proxy_with(settings: &str, ports: &[u16], flags: &[&str]) -> (Cashew, u16) {
    let listen = ports::free();
    (rig::cashew(&rig::pool("alpha", listen, settings, &lines(ports)), flags), listen)
}

fn lines(ports: &[u16]) -> Vec<String> {
    ports.iter().enumerate().map(|(index, port)| format!("127.0.0.1:{port}:1 s{index}")).collect()
}

fn connect(port: u16) -> Client {
    Client::connect_port(port).expect("the proxy accepts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const OK: &[u8] = b"+OK\r\n";
const REFUSED: &[u8] = b"-ERR Connection refused\r\n";
const TIMED_OUT: &[u8] = b"-ERR Connection timed out\r\n";

/// What a client may read of a server that was killed: how its connection ends is the kernel's choice.
const LOST: &[&str] = &[
    "-ERR Connection reset by peer\r\n",
    "-ERR Connection refused\r\n",
    "-ERR unknown\r\n",
    "-ERR Broken pipe\r\n",
];
