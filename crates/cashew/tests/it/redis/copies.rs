//! WAIT against real servers with real replicas.

use std::time::{Duration, Instant};

use testkit::{RedisServer, resp, wait};

use crate::farm::Farm;

/// A replica of `server` that is in step with it.
fn replica_of(server: &RedisServer) -> RedisServer {
    let port = server.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).expect("a redis starts");
    let mut client = server.client();
    wait::until("the replica to be in step", || {
        let info = client.ask(&["INFO", "replication"]);
        String::from_utf8_lossy(&info).contains("state=online")
    });
    replica
}

/// A key that this server has.
fn key_on(farm: &Farm<RedisServer>, server: usize) -> String {
    let (mut client, mut direct) = (farm.client(), farm.servers[server].client());
    let mut keys = (0..1000).map(|number| format!("key:{number}"));
    let has = |key: &String| {
        client.ask(&["SET", key, "0"]) == b"+OK\r\n" && direct.ask(&["EXISTS", key]) == b":1\r\n"
    };
    keys.find(has).expect("some key is there")
}

#[test]
fn so_many_replicas_of_every_server() {
    let farm = Farm::redis_of(2, 1, &[]);
    for server in &farm.servers {
        // Replicas are sent what they have to copy at once.
        assert_eq!(server.client().ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]), b"+OK\r\n");
    }
    let first = replica_of(&farm.servers[0]);
    let (mut client, mut other) = (farm.client(), farm.client());
    let (here, there) = (key_on(&farm, 0), key_on(&farm, 1));
    client.send(&[resp(&["SET", &here, "1"]), resp(&["WAIT", "1", "50"])].concat());
    client.expect(b"+OK\r\n:0\r\n"); // the other server has none
    let second = replica_of(&farm.servers[1]);
    client
        .send(&[resp(&["SET", &here, "2"]), resp(&["SET", &there, "2"]), resp(&["WAIT", "1", "0"])].concat());
    client.expect(b"+OK\r\n+OK\r\n:1\r\n");
    assert_eq!(first.client().ask(&["GET", &here]), b"$1\r\n2\r\n");
    assert_eq!(second.client().ask(&["GET", &there]), b"$1\r\n2\r\n");
    // A client that wrote before its server lost the replica is not told of copies that there are none of.
    drop(second);
    let mut at_server = farm.servers[1].client();
    wait::until("the replica to be missed", || {
        let info = at_server.ask(&["INFO", "replication"]);
        String::from_utf8_lossy(&info).contains("connected_slaves:0")
    });
    assert_eq!(client.ask(&["SET", &there, "3"]), b"+OK\r\n");
    let begun = Instant::now();
    client.send(&resp(&["WAIT", "1", "300"]));
    assert_eq!(other.ask(&["SET", &there, "4"]), b"+OK\r\n", "nobody else waits");
    client.expect(b":0\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(290));
}

#[test]
fn a_mark_changes_nothing_that_anybody_watches() {
    let farm = Farm::redis_of(2, 1, &[]);
    let (mut client, mut other) = (farm.client(), farm.client());
    assert_eq!(client.ask(&["SET", "k", "v"]), b"+OK\r\n");
    assert_eq!(other.ask(&["WATCH", "k"]), b"+OK\r\n");
    assert_eq!(client.ask(&["WAIT", "1", "1"]), b":0\r\n");
    other.send(&[resp(&["MULTI"]), resp(&["GET", "k"]), resp(&["EXEC"])].concat());
    other.expect(b"+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n");
}
