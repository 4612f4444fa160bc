//! Where requests are cut on their way makes no difference: byte by byte, in random pieces, or all in one write.

use testkit::{Client, resp};

use crate::farm::{Farm, same};
use crate::random::Random;
use crate::{memcache, redis};

/// Workers, and connections to each server.
const SHAPES: [(usize, usize); 4] = [(1, 1), (1, 3), (2, 1), (2, 3)];

/// Every form a request may have, with requests to one server, to several, and to none.
const REDIS: &[&[u8]] = &[
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$8\r\nx\r\ny\r\n\r\n\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
    b"*0\r\n*-1\r\n\r\n",
    b"PING\r\n",
    b"set b \"quoted \\x41\\n\" \r\n",
    b"  GET   b\n",
    b"get 'b'\r\n",
    b"*5\r\n$4\r\nMSET\r\n$1\r\nc\r\n$1\r\n1\r\n$1\r\nd\r\n$0\r\n\r\n",
    b"*7\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$4\r\nnone\r\n$1\r\na\r\n",
    b"*1\r\n$4\r\nNOPE\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
    b"EXISTS a b c d none a\r\nDBSIZE\r\nINCR n\r\nGET\r\n",
    b"*4\r\n$4\r\nEVAL\r\n$18\r\nreturn {1,{2,'3'}}\r\n$1\r\n1\r\n$1\r\nk\r\n",
    b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*2\r\n$4\r\nKEYS\r\n$1\r\nn\r\n",
    b"*2\r\n$4\r\nECHO\r\n$10\r\n*1\r\n$4\r\nPI\r\nFLUSHALL\r\n",
];

/// The same for memcached.
const MEMCACHE: &[&[u8]] = &[
    b"set a 1 0 8\r\nx\r\ny\r\n\r\n\r\n",
    b"get a\r\n",
    b"set b 2 0 5 noreply\r\nEND\r\n\r\n",
    b"get a b none a\n",
    b"  get   b  \r\n",
    b"gat 0 a none b\r\n",
    b"nonsense\r\n\r\n",
    b"set n 0 0 1\r\n5\r\nincr n 7\r\ndecr n 1 noreply\r\nget n\r\n",
    b"set long 0 0 5\r\n12345678\r\n",
    b"delete a\r\ndelete a noreply\r\ntouch b 0\r\nverbosity 0\r\n",
    b"add b 0 0 1\r\nx\r\nappend b 0 0 1\r\nx\r\nget b c\r\n",
    b"flush_all noreply\r\nget b\r\nversion\r\n",
];

#[test]
fn redis_requests_byte_by_byte() {
    let bytes = [&REDIS.concat()[..], b"PING last\r\n"].concat();
    for (threads, conns) in SHAPES {
        let farm = Farm::redis(threads, &[&server_connections(conns)]);
        let wanted = until(farm.direct.client(), &bytes, Client::resp_reply, b"$4\r\nlast\r\n");
        let mut client = farm.client();
        client.send_bytewise(&bytes);
        same(&client.exactly(wanted.len()), &wanted);
    }
}

#[test]
fn memcached_requests_byte_by_byte() {
    let bytes = [&MEMCACHE.concat()[..], LAST].concat();
    let (own, own_replies) = memcache::own_rows();
    for (threads, conns) in SHAPES {
        let farm = Farm::memcached(threads, &[&server_connections(conns)]);
        let wanted = until(farm.direct.client(), &bytes, Client::memcache_reply, LAST_REPLY);
        let mut client = farm.client();
        client.send_bytewise(&bytes);
        same(&client.exactly(wanted.len()), &wanted);
        client.send_bytewise(&[&own[..], LAST].concat());
        let wanted = [&own_replies[..], b"STORED\r\n", LAST_REPLY].concat();
        same(&client.exactly(wanted.len()), &wanted);
    }
}

#[test]
fn redis_requests_in_random_pieces() {
    let steps = redis::steps();
    let bytes: Vec<u8> = steps.iter().flat_map(|step| resp(&step.argv)).collect();
    for (seed, (threads, conns)) in (1..).zip(SHAPES) {
        let farm = Farm::redis(threads, &[&server_connections(conns)]);
        let (mut client, mut direct) = (farm.client(), farm.direct.client());
        client.send_pieces(Random::new(seed).pieces(&bytes));
        direct.send(&bytes);
        for step in &steps {
            let (ours, right) = (client.resp_reply(), direct.resp_reply());
            assert!(step.same(&ours, &right), "seed {seed}, {}: {}", step.shown(), ours.escape_ascii());
        }
    }
}

#[test]
fn memcached_requests_in_random_pieces() {
    let bytes = [&memcache::repeatable_rows().concat()[..], LAST].concat();
    for (seed, (threads, conns)) in (1..).zip(SHAPES) {
        let farm = Farm::memcached(threads, &[&server_connections(conns)]);
        let wanted = until(farm.direct.client(), &bytes, Client::memcache_reply, LAST_REPLY);
        let mut client = farm.client();
        client.send_pieces(Random::new(seed).pieces(&bytes));
        same(&client.exactly(wanted.len()), &wanted);
    }
}

#[test]
fn ten_thousand_redis_requests_in_one_write() {
    let (mut request, mut wanted) = (Vec::new(), Vec::new());
    for n in 0..2000 {
        let (key, value) = (format!("key:{}", n % 97), format!("value {n}"));
        let bulk = format!("${}\r\n{value}\r\n", value.len());
        request.extend(resp(&["SET", &key, &value]));
        request.extend(resp(&["GET", &key]));
        request.extend(resp(&["MGET", &key, "none:1", &key, "none:2"]));
        request.extend(resp(&["EXISTS", &key, "none:1", "none:2", "none:3"]));
        request.extend(resp(&["ECHO", &value]));
        wanted.extend(format!("+OK\r\n{bulk}*4\r\n{bulk}$-1\r\n{bulk}$-1\r\n:1\r\n{bulk}").bytes());
    }
    for (threads, conns) in SHAPES {
        let farm = Farm::redis(threads, &[&server_connections(conns)]);
        let mut client = farm.client();
        client.send(&request);
        same(&client.exactly(wanted.len()), &wanted);
    }
}

#[test]
fn ten_thousand_memcached_requests_in_one_write() {
    let (mut request, mut wanted) = (Vec::new(), Vec::new());
    for n in 0..2000 {
        let (key, value) = (format!("key:{}", n % 97), format!("value {n}"));
        let bytes = value.len();
        request.extend(format!("set {key} {n} 0 {bytes}\r\n{value}\r\nget {key}\r\n").bytes());
        request.extend(format!("get none:1 {key} none:2 {key} none:3\r\n").bytes());
        request.extend(format!("append {key} 0 0 1 noreply\r\n!\r\nincr none:1 1\r\nget {key}\r\n").bytes());
        let block = format!("VALUE {key} {n} {bytes}\r\n{value}\r\n");
        let longer = format!("VALUE {key} {n} {}\r\n{value}!\r\n", bytes + 1);
        wanted.extend(format!("STORED\r\n{block}END\r\n{block}{block}END\r\n").bytes());
        wanted.extend(format!("NOT_FOUND\r\n{longer}END\r\n").bytes());
    }
    for (threads, conns) in SHAPES {
        let farm = Farm::memcached(threads, &[&server_connections(conns)]);
        let mut client = farm.client();
        client.send(&request);
        same(&client.exactly(wanted.len()), &wanted);
    }
}

#[test]
fn more_replies_than_the_proxy_holds_for_a_client() {
    // Twenty times client_output_limit: the proxy stops reading this client, and others are served meanwhile.
    let value = "0123456789abcdef".repeat(640);
    let farm = Farm::redis(1, &[]);
    let (mut slow, mut other) = (farm.client(), farm.client());
    assert_eq!(slow.ask(&["SET", "big", &value]), b"+OK\r\n");
    slow.send(&resp(&["GET", "big"]).repeat(2000));
    for n in 0..100 {
        let name = format!("other:{n}");
        assert_eq!(other.ask(&["SET", &name, "v"]), b"+OK\r\n");
        assert_eq!(other.ask(&["MGET", &name, "none:1", "none:2"]), b"*3\r\n$1\r\nv\r\n$-1\r\n$-1\r\n");
    }
    let wanted = format!("${}\r\n{value}\r\n", value.len()).into_bytes();
    for _ in 0..2000 {
        same(&slow.exactly(wanted.len()), &wanted);
    }
    assert_eq!(slow.ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn values_larger_than_any_buffer_pass_whole() {
    let farm = Farm::redis(2, &[]);
    let mut client = farm.client();
    // Bytes that look like protocol wherever they are cut.
    let large: Vec<u8> = b"$3\r\nfoo\r\n*1\r\n-ERR \0\xff".iter().copied().cycle().take(20 << 20).collect();
    let bulk = [format!("${}\r\n", large.len()).as_bytes(), &large, b"\r\n"].concat();
    client.send(&[resp(&[&b"SET"[..], b"large", &large]), resp(&["GET", "large"]), resp(&["PING"])].concat());
    client.expect(b"+OK\r\n");
    same(&client.exactly(bulk.len()), &bulk);
    client.expect(b"+PONG\r\n");
    // Split by server and put together again, beside small ones.
    let words: [&[u8]; 9] = [b"MSET", b"a", b"1", b"large", &large, b"b", b"2", b"c", b"3"];
    client.send(&[resp(&words), resp(&["MGET", "a", "large", "none", "b", "large", "c"])].concat());
    client.expect(b"+OK\r\n*6\r\n$1\r\n1\r\n");
    same(&client.exactly(bulk.len()), &bulk);
    client.expect(b"$-1\r\n$1\r\n2\r\n");
    same(&client.exactly(bulk.len()), &bulk);
    client.expect(b"$1\r\n3\r\n");
    assert_eq!(client.ask(&["STRLEN", "large"]), format!(":{}\r\n", large.len()).into_bytes());
}

/// Comes last in a script for memcached.
const LAST: &[u8] = b"set last 0 0 3\r\nend\r\nget last last\r\n";
const LAST_REPLY: &[u8] = b"VALUE last 0 3\r\nend\r\nVALUE last 0 3\r\nend\r\nEND\r\n";

fn server_connections(count: usize) -> String {
    format!("server_connections: {count}")
}

/// Sends a script in one write and collects replies up to the last one.
fn until(mut client: Client, script: &[u8], reply: fn(&mut Client) -> Vec<u8>, last: &[u8]) -> Vec<u8> {
    client.send(script);
    let mut all = Vec::new();
    loop {
        let next = reply(&mut client);
        all.extend_from_slice(&next);
        if next == last {
            return all;
        }
    }
}
