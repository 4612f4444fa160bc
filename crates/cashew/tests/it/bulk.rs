//! Requests of very many keys, which are split and answered a few thousand keys at a time: the answers are those of one
//! server, and what else clients ask is answered in its turn.

use testkit::{Client, resp};

use crate::farm::{Farm, same};

const KEYS: usize = 200_000;

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("key:{n}")).collect()
}

/// A command about all of `words`.
fn about<'w>(command: &'w str, words: impl IntoIterator<Item = &'w str>) -> Vec<u8> {
    let words: Vec<&str> = std::iter::once(command).chain(words).collect();
    resp(&words)
}

#[test]
fn redis_answers_requests_of_very_many_keys() {
    let keys = keys();
    let all = || keys.iter().map(String::as_str);
    let pairs = || all().enumerate().flat_map(|(n, key)| [key, &key[n % 5..]]);
    let requests = [
        about("MSET", pairs()),
        about("MGET", all()),
        about("EXISTS", all().chain(["none"])),
        about("TOUCH", all().rev()),
        about("DEL", all().step_by(2)),
        about("MGET", all().rev()),
        about("UNLINK", all()),
        // All on one server.
        about("EXISTS", all().map(|_| "same")),
    ];
    for threads in [1, 2] {
        let farm = Farm::redis(threads, &[]);
        let (mut client, mut other, mut direct) = (farm.client(), farm.client(), farm.direct.client());
        for request in &requests {
            direct.send(request);
            let wanted = direct.resp_reply();
            // What is behind it is answered behind it.
            client.send(&[request, &resp(&["PING", "behind"])[..]].concat());
            for _ in 0..20 {
                assert_eq!(other.ask(&["PING"]), b"+PONG\r\n");
                assert_eq!(other.ask(&["GET", "none"]), b"$-1\r\n");
            }
            same(&client.exactly(wanted.len()), &wanted);
            client.expect(b"$6\r\nbehind\r\n");
        }
    }
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let keys = keys();
    let farm = Farm::redis(1, &[]);
    let mut other = farm.client();
    for cut in [1, 2, 3] {
        let mut client = farm.client();
        let request = about("MGET", keys.iter().map(String::as_str));
        client.send(&request[..request.len() / cut]);
        client.reset();
        assert_eq!(other.ask(&["GET", "none"]), b"$-1\r\n");
    }
    let mut client = farm.client();
    client.send(&about("EXISTS", keys.iter().map(String::as_str)));
    assert_eq!(client.resp_reply(), b":0\r\n");
}

#[test]
fn memcached_answers_requests_of_very_many_keys() {
    let keys = keys();
    let farm = Farm::memcached(1, &[]);
    let (mut client, mut direct) = (farm.client(), farm.direct.client());
    let set: String = keys
        .iter()
        .step_by(7)
        .map(|key| format!("set {key} 3 0 {} noreply\r\n{key}\r\n", key.len()))
        .collect();
    let get = format!("get {}\r\n", keys.join(" "));
    let fill = |client: &mut Client| {
        client.send(set.as_bytes());
        assert_eq!(client.ask_memcache(b"set last 0 0 1\r\nx\r\n"), b"STORED\r\n");
    };
    fill(&mut client);
    fill(&mut direct);
    let wanted = direct.ask_memcache(get.as_bytes());
    client.send(&[get.as_bytes(), b"get last\r\n"].concat());
    same(&client.exactly(wanted.len()), &wanted);
    client.expect(b"VALUE last 0 1\r\nx\r\nEND\r\n");
}
