//! Every way to listen and to reach servers: unix sockets, IPv6, and names.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use testkit::temp::TempDir;
use testkit::{Client, Process, RedisServer, ports, wait};

use crate::farm;

/// What any pool must be able to do.
#[track_caller]
fn works(client: &mut Client) {
    let keys: Vec<String> = (0..20).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        assert_eq!(client.ask(&["SET", key, "v"]), b"+OK\r\n");
    }
    let mget: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(client.ask(&mget), [b"*20\r\n".to_vec(), b"$1\r\nv\r\n".repeat(20)].concat());
    assert_eq!(client.ask(&["DBSIZE"]), b":20\r\n");
    assert_eq!(client.ask(&["FLUSHALL"]), b"+OK\r\n");
}

#[test]
fn servers_and_clients_on_unix_sockets() {
    let servers = farm::many(2, RedisServer::start);
    let paths: Vec<String> = servers.iter().map(|server| server.socket().display().to_string()).collect();
    let dir = TempDir::new("listen").expect("made");
    let socket = dir.path().join("pool.sock");
    let config = farm::pool(&format!("{} 0620", socket.display()), &paths, &["redis: true"]);
    let mut proxy = farm::proxy(&config, 2);
    let mode = std::fs::metadata(&socket).expect("it listens there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o620, "{mode:o}");
    let mut client = Client::connect_unix(&socket).expect("accepts");
    works(&mut client);
    proxy.kill(testkit::Signal::TERM).expect("runs");
    assert!(proxy.wait_exit().expect("ends").success());
    // What a crash leaves behind is no hindrance.
    let mut proxy = farm::proxy(&config, 1);
    works(&mut Client::connect_unix(&socket).expect("accepts"));
    proxy.kill(testkit::Signal::KILL).expect("runs");
    proxy.wait_exit().expect("ends");
    assert!(socket.exists(), "nobody was there to remove it");
    let _proxy = farm::proxy(&config, 1);
    works(&mut Client::connect_unix(&socket).expect("accepts"));
}

#[test]
fn clients_over_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let servers = farm::many(2, RedisServer::start);
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    for host in ["[::1]", "::1"] {
        let port = ports::free();
        let config = farm::pool(&format!("{host}:{port}"), &addresses, &["redis: true"]);
        let dir = TempDir::new("ipv6").expect("made");
        dir.file("cashew.yml", &config).expect("written");
        let stats = ports::free().to_string();
        let args = ["-c", "cashew.yml", "-a", "::1", "-s", &stats, "--threads", "1"];
        let proxy = Process::start_in(dir, env!("CARGO_BIN_EXE_cashew"), args, "cargo build -p cashew");
        let _proxy = proxy.unwrap_or_else(|e| panic!("{e}"));
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        wait::until("the proxy to accept over IPv6", || Client::connect(address).is_ok());
        works(&mut Client::connect(address).expect("accepts"));
        let stats = SocketAddr::from((Ipv6Addr::LOCALHOST, stats.parse().expect("a port")));
        assert!(Client::connect(stats).expect("accepts").to_end().starts_with(b"{"));
    }
}

#[test]
fn servers_and_listeners_by_name() {
    let servers = farm::many(2, RedisServer::start);
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("localhost:{}", server.port())).collect();
    let port = ports::free();
    let config = farm::pool(&format!("localhost:{port}"), &addresses, &["redis: true", "preconnect: true"]);
    let _proxy = farm::proxy(&config, 2);
    works(&mut Client::connect_port(port).expect("accepts"));
}

#[test]
fn a_name_that_nobody_knows_is_an_error_reply() {
    let server = RedisServer::start().unwrap_or_else(|e| panic!("{e}"));
    // Too long for a name: the resolver knows without asking anybody.
    let addresses = [server.addr().to_string(), format!("{}.invalid:6379", "x".repeat(70))];
    let port = ports::free();
    let config = farm::pool(&format!("127.0.0.1:{port}"), &addresses, &["redis: true", "hash: murmur"]);
    let proxy = farm::proxy(&config, 1);
    let mut client = Client::connect_port(port).expect("accepts");
    let replies: Vec<Vec<u8>> = (0..20).map(|n| client.ask(&["SET", &format!("key:{n}"), "v"])).collect();
    let failed: Vec<&Vec<u8>> = replies.iter().filter(|reply| reply.as_slice() != b"+OK\r\n").collect();
    assert!(!failed.is_empty() && failed.len() < 20, "both servers own some keys");
    for reply in failed {
        assert!(reply.starts_with(b"-ERR "), "{}", reply.escape_ascii());
    }
    wait::until("the failure in the log", || proxy.output().contains("cannot connect"));
}
