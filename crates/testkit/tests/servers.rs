//! The real servers and proxies: started, asked, frozen, killed. Each test says so and passes when one is not
//! installed.

use std::io;
use std::path::Path;
use std::time::Duration;

use testkit::{Cashew, Client, Memcached, Nutcracker, RedisServer, Signal, ports};

/// The server, or nothing with a note when it is not installed.
fn installed<T>(started: io::Result<T>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn redis_answers_over_tcp_and_unix_and_is_gone_after_drop() {
    let Some(server) = installed(RedisServer::start()) else { return };
    let mut tcp = server.client();
    assert_eq!(tcp.ask(&["SET", "a", "1"]), b"+OK\r\n");
    let mut unix = Client::connect_unix(&server.socket()).expect("listens there too");
    assert_eq!(unix.ask(&["GET", "a"]), b"$1\r\n1\r\n");
    let pid = server.pid();
    drop(server);
    tcp.expect_closed();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn redis_takes_arguments_and_its_port_again() {
    let Some(server) = installed(RedisServer::start_with(&["--requirepass", "x"])) else { return };
    assert!(server.client().ask(&["GET", "a"]).starts_with(b"-NOAUTH"));
    let port = server.port();
    drop(server);
    let server = RedisServer::start_on(port, &[]).expect("the port is free again");
    assert_eq!(server.client().ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn a_frozen_server_is_silent_and_then_answers() {
    let Some(server) = installed(RedisServer::start()) else { return };
    let mut client = server.client();
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    server.freeze().expect("stops");
    client.send(b"PING\r\n");
    assert!(client.silent_for(Duration::from_millis(20)));
    server.thaw().expect("goes on");
    assert_eq!(client.resp_reply(), b"+PONG\r\n");
}

#[test]
fn memcached_answers() {
    let Some(mut server) = installed(Memcached::start_with(&["-m", "16"])) else { return };
    let mut client = server.client();
    assert_eq!(client.ask_memcache(b"set a 5 0 2\r\nhi\r\n"), b"STORED\r\n");
    assert_eq!(client.ask_memcache(b"get a b\r\n"), b"VALUE a 5 2\r\nhi\r\nEND\r\n");
    client.send_bytewise(b"get b\r\n");
    assert_eq!(client.memcache_reply(), b"END\r\n");
    server.kill(Signal::TERM).expect("sent");
    server.wait_exit().expect("ends");
    client.expect_closed();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    if installed(RedisServer::start()).is_none() {
        return;
    }
    let error = RedisServer::start_with(&["--no-such-option", "1"]).expect_err("refused");
    assert!(error.to_string().contains("no-such-option"), "{error}");
    let held = std::net::TcpListener::bind(("127.0.0.1", ports::free())).expect("bound");
    let port = held.local_addr().expect("bound").port();
    let error = RedisServer::start_on(port, &[]).expect_err("the port is taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
}

#[test]
fn proxies_with_twemproxys_command_line_start() {
    let Some(redis) = installed(RedisServer::start()) else { return };
    let config = |port| {
        format!(
            "a:\n  listen: 127.0.0.1:{port}\n  redis: true\n  servers:\n   - 127.0.0.1:{}:1\n",
            redis.port()
        )
    };
    let port = ports::free();
    let Some(twemproxy) = installed(Nutcracker::start(&config(port))) else { return };
    assert_eq!(Client::connect_port(port).expect("accepts").ask(&["SET", "k", "v"]), b"+OK\r\n");
    let stats = Client::connect_port(twemproxy.stats_port()).expect("accepts").to_end();
    assert!(stats.starts_with(b"{"), "{}", stats.escape_ascii());

    // twemproxy stands in for cashew: the flags are the same.
    let port = ports::free();
    let mut cashew =
        Cashew::start(which("nutcracker"), &config(port), &["-o", "log", "-p", "pid"]).expect("starts");
    assert_eq!(Client::connect_port(port).expect("accepts").ask(&["GET", "k"]), b"$1\r\nv\r\n");
    assert!(Client::connect_port(cashew.stats_port()).expect("accepts").to_end().starts_with(b"{"));
    cashew.rewrite_config("other").expect("written");
    assert_eq!(cashew.text_of("cashew.yml"), "other");
    cashew.kill(Signal::TERM).expect("sent");
    cashew.wait_exit().expect("ends");
}

#[test]
fn a_proxy_that_refuses_its_configuration_says_so() {
    let config = format!("a:\n  listen: 127.0.0.1:{}\n  nonsense: 1\n", ports::free());
    let error = Nutcracker::start(&config).expect_err("an unknown option");
    let ended = error.to_string().contains("the proxy ended at once");
    assert!(ended || error.kind() == io::ErrorKind::NotFound, "{error}");
}

/// Where a program is, by the search path.
fn which(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|p| p.exists())
        .expect("it ran a moment ago")
}
