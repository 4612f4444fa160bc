//! Pub/sub over real servers: no message is lost or comes twice, whoever publishes, wherever subscribers are.

use std::time::Duration;

use testkit::{Client, RedisServer, resp, wait};

use crate::farm::{self, Farm, SERVERS};
use crate::rig;

/// Clients that are spread over two workers.
const CLIENTS: usize = 8;

fn array(words: &[&str]) -> Vec<u8> {
    resp(words)
}

fn message(channel: &str, text: &str) -> Vec<u8> {
    array(&["message", channel, text])
}

#[track_caller]
fn subscribe(client: &mut Client, channels: &[&str]) {
    client.send(&resp(&[&["SUBSCRIBE"], channels].concat()));
    for channel in channels {
        let confirmed = client.resp_reply();
        let text = String::from_utf8_lossy(&confirmed).into_owned();
        assert!(text.contains("subscribe") && text.contains(channel), "{text}");
    }
}

/// How many subscribers a server says a channel has.
fn subscribers(server: &RedisServer, channel: &str) -> String {
    let reply = server.client().ask(&["PUBSUB", "NUMSUB", channel]);
    String::from_utf8_lossy(&reply).rsplit(':').next().unwrap_or_default().trim().to_owned()
}

#[test]
fn every_subscriber_reads_every_message_once_and_in_order() {
    const MESSAGES: usize = 500;
    let farm = Farm::redis(2, &["server_connections: 2"]);
    let channels: Vec<String> = (0..12).map(|n| format!("channel:{n}")).collect();
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut subscribers: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    for (index, client) in subscribers.iter_mut().enumerate() {
        if index % 2 == 1 {
            client.ask(&["HELLO", "3"]);
        }
        subscribe(client, &names);
        if index == 0 {
            client.send(&resp(&["PSUBSCRIBE", "channel:1*"]));
            assert!(client.resp_reply().ends_with(b":13\r\n"));
        }
    }
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (farm, names) = (&farm, &names);
            scope.spawn(move || {
                let mut client = farm.client();
                let all: Vec<u8> = (0..MESSAGES)
                    .flat_map(|n| resp(&["PUBLISH", names[n % names.len()], &format!("{publisher}:{n}")]))
                    .collect();
                client.send(&all);
                for _ in 0..MESSAGES {
                    let count = client.resp_reply();
                    assert!(
                        matches!(&count[..], b":1\r\n" | b":2\r\n" | b":3\r\n" | b":4\r\n"),
                        "{}",
                        count.escape_ascii()
                    );
                }
            });
        }
    });
    for (index, client) in subscribers.iter_mut().enumerate() {
        // channel:1, channel:10 and channel:11 fit the pattern.
        let fits = |n: &usize| [1, 10, 11].contains(&(n % names.len()));
        let more = if index == 0 { 2 * (0..MESSAGES).filter(fits).count() } else { 0 };
        let mut seen: Vec<Vec<String>> = vec![Vec::new(); 4 * names.len()];
        for _ in 0..2 * MESSAGES + more {
            let reply = client.resp_reply();
            assert_eq!(reply[0], if index % 2 == 1 { b'>' } else { b'*' });
            let text = String::from_utf8(reply).expect("words");
            let words: Vec<&str> = text.lines().skip(2).step_by(2).collect();
            let (pattern, channel, body) = match words[..] {
                ["message", channel, body] => (0, channel, body),
                ["pmessage", "channel:1*", channel, body] => (2, channel, body),
                _ => panic!("{text}"),
            };
            let (publisher, number) = body.split_once(':').expect("publisher and number");
            let from = pattern + publisher.parse::<usize>().expect("a number");
            let channel = names.iter().position(|name| *name == channel).expect("a channel");
            seen[from * names.len() + channel].push(number.to_owned());
        }
        for (place, numbers) in seen.iter().enumerate() {
            let wanted = (0..MESSAGES).filter(|n| n % names.len() == place % names.len());
            let wanted: Vec<String> = wanted.map(|n| n.to_string()).collect();
            let pattern = place >= 2 * names.len();
            let fits = !pattern || (index == 0 && fits(&(place % names.len())));
            assert_eq!(numbers, &if fits { wanted } else { Vec::new() }, "client {index}, {place}");
        }
    }
    let mut client = farm.client();
    let listed = client.ask(&["PUBSUB", "CHANNELS"]);
    assert!(listed.starts_with(b"*12\r\n"), "{}", listed.escape_ascii());
    assert_eq!(client.ask(&["PUBSUB", "NUMPAT"]), b":1\r\n");
}

#[test]
fn who_leaves_is_no_subscriber_any_more() {
    let farm = Farm::redis(2, &[]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    for client in &mut clients {
        subscribe(client, &["c", "d"]);
    }
    let all = |channel: &str| -> usize {
        farm.servers
            .iter()
            .map(|server| subscribers(server, channel).parse::<usize>().expect("a number"))
            .sum()
    };
    assert!((1..=2).contains(&all("c")), "one per worker");
    let mut resetting = clients.pop().expect("there are some");
    let mut quitting = clients.pop().expect("there are some");
    let mut unsubscribing = clients.pop().expect("there are some");
    assert_eq!(resetting.ask(&["RESET"]), b"+RESET\r\n");
    assert_eq!(quitting.ask(&["QUIT"]), b"+OK\r\n");
    assert!(unsubscribing.ask(&["UNSUBSCRIBE"]).ends_with(b":1\r\n"));
    clients.pop().expect("there are some").reset();
    drop(clients);
    wait::until("nobody to be subscribed", || all("c") == 0 && all("d") == 0);
}

#[test]
fn a_restarted_server_is_subscribed_again() {
    let mut farm = Farm::redis(2, &["timeout: 2000"]);
    let channels: Vec<String> = (0..16).map(|n| format!("channel:{n}")).collect();
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| farm.client()).collect();
    for client in &mut clients {
        subscribe(client, &names);
        client.send(&resp(&["PSUBSCRIBE", "*"]));
        client.resp_reply();
    }
    let here = |farm: &Farm<RedisServer>| {
        let reply = farm.servers[1].client().ask(&["PUBSUB", "CHANNELS"]);
        names
            .iter()
            .copied()
            .filter(|name| reply.windows(name.len() + 2).any(|w| w == format!("{name}\r\n").as_bytes()))
            .collect::<Vec<_>>()
    };
    let before = here(&farm);
    let workers = subscribers(&farm.servers[1], before[0]);
    let port = farm.servers[1].port();
    farm.servers.remove(1);
    let again = RedisServer::start_on(port, &[]).unwrap_or_else(|e| panic!("{e}"));
    farm.servers.insert(1, again);
    wait::until("all to be subscribed again", || {
        before.iter().all(|channel| subscribers(&farm.servers[1], channel) == workers)
            && farm.servers[1].client().ask(&["PUBSUB", "NUMPAT"]) == b":1\r\n"
    });
    assert_eq!(here(&farm), before);
    let mut publisher = farm.client();
    wait::until("the proxy to reach it", || {
        !publisher.ask(&["PUBLISH", before[0], "probe"]).starts_with(b"-")
    });
    assert!(!publisher.ask(&["PUBLISH", before[0], "last"]).starts_with(b"-"));
    for client in &mut clients {
        let last = array(&["pmessage", "*", before[0], "last"]);
        wait::until("the last message", || client.resp_reply() == last);
    }
}

#[test]
fn keys_tell_what_happens_to_them_wherever_they_are() {
    let servers = farm::many(SERVERS, || RedisServer::start_with(&["--notify-keyspace-events", "KEA"]));
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    let port = testkit::ports::free();
    let options = ["redis: true", "hash_tag: \"{}\"", "hash: murmur"];
    let _proxy = farm::proxy(&farm::pool(&format!("127.0.0.1:{port}"), &addresses, &options), 2);
    let client = || Client::connect_port(port).expect("the proxy accepts");
    let (mut events, mut patterns, mut one, mut writer) = (client(), client(), client(), client());
    subscribe(&mut events, &["__keyevent@0__:set"]);
    patterns.send(&resp(&["PSUBSCRIBE", "__keyspace@0__:k*"]));
    patterns.resp_reply();
    subscribe(&mut one, &["__keyspace@0__:k17"]);
    for n in 0..40 {
        assert_eq!(writer.ask(&["SET", &format!("k{n}"), "v"]), b"+OK\r\n");
    }
    let (mut seen, mut wanted) = (Vec::new(), Vec::new());
    for n in 0..40 {
        seen.push(events.resp_reply());
        wanted.push(message("__keyevent@0__:set", &format!("k{n}")));
    }
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
    let mut seen: Vec<Vec<u8>> = (0..40).map(|_| patterns.resp_reply()).collect();
    let pattern = "__keyspace@0__:k*";
    let event = |n: usize| array(&["pmessage", pattern, &format!("__keyspace@0__:k{n}"), "set"]);
    let mut wanted: Vec<Vec<u8>> = (0..40).map(event).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
    assert_eq!(one.resp_reply(), message("__keyspace@0__:k17", "set"));
    for client in [&mut events, &mut patterns, &mut one] {
        assert!(client.silent_for(Duration::from_millis(50)), "nothing comes twice");
    }
}

#[test]
fn thousands_of_subscribers_share_a_few_connections() {
    const MANY: usize = 2_500;
    let farm = Farm::redis(2, &[]);
    let before = farm.rss_kib();
    let mut clients: Vec<Client> = (0..MANY).map(|_| farm.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&resp(&["SUBSCRIBE", "news"])));
    clients.iter_mut().for_each(|client| client.expect(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"));
    let total: usize = farm
        .servers
        .iter()
        .map(|server| subscribers(server, "news").parse::<usize>().expect("a number"))
        .sum();
    assert_eq!(total, 2, "one connection per worker");
    let each = (farm.rss_kib() - before) * 1024 / MANY as u64;
    println!("{each} bytes a subscriber");
    assert!(each < 8192, "{each} bytes a subscriber");
    let mut publisher = farm.client();
    for n in 0..20 {
        assert_eq!(publisher.ask(&["PUBLISH", "news", &format!("item {n}")]), b":2\r\n");
    }
    let all: Vec<u8> = (0..20).flat_map(|n| message("news", &format!("item {n}"))).collect();
    clients.iter_mut().for_each(|client| client.expect(&all));
    let stats = rig::stats(farm.stats_port());
    assert_eq!(rig::number(&stats, &["farm", "subscriptions"]), MANY as i64);
    assert_eq!(rig::number(&stats, &["farm", "messages"]), 20 * MANY as i64);
    drop(clients);
    wait::until("nobody to be subscribed", || {
        rig::number(&rig::stats(farm.stats_port()), &["farm", "subscriptions"]) == 0
    });
}

#[test]
fn servers_with_a_password_and_servers_that_are_down() {
    let servers = farm::many(2, || RedisServer::start_with(&["--requirepass", "open sesame"]));
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    let port = testkit::ports::free();
    let options = ["redis: true", "redis_auth: open sesame", "hash: murmur", "timeout: 1000"];
    let _proxy = farm::proxy(&farm::pool(&format!("127.0.0.1:{port}"), &addresses, &options), 1);
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    assert!(client.ask(&["SUBSCRIBE", "c"]).starts_with(b"-NOAUTH "));
    assert_eq!(client.ask(&["AUTH", "open sesame"]), b"+OK\r\n");
    client.send(&resp(&["PSUBSCRIBE", "c*"]));
    client.expect(b"*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:1\r\n");
    drop(servers);
    let reply = client.ask(&["PSUBSCRIBE", "d*"]);
    assert!(reply.starts_with(b"-ERR "), "{}", reply.escape_ascii());
    assert_eq!(client.ask(&["PING"]), array(&["pong", ""]), "the client itself is well");
}
