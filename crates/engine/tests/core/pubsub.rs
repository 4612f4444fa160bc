//! Subscriptions.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::Closing;
use engine::error::Cause;
use engine::limits::{NAMES_BYTES, SUBSCRIPTIONS_PER_CLIENT};
use engine::topology::Standing;
use stats::PoolMetric;

/// A confirmation or a message, as RESP2.
fn array(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &match word.strip_prefix(':') {
            Some(_) => format!("{word}\r\n"),
            None => format!("${}\r\n{word}\r\n", word.len()),
        };
    }
    text
}

/// The same, as RESP3.
fn push(words: &[&str]) -> String {
    array(words).replacen('*', ">", 1)
}

fn message(channel: &str, text: &str) -> String {
    array(&["message", channel, text])
}

/// Subscribes a client to a channel of the only server, which confirms it if it is asked.
fn subscribe(rig: &mut Rig, client: usize, channel: &str) {
    rig.send(client, request(&format!("SUBSCRIBE {channel}")));
    if !rig.sent(0).is_empty() {
        rig.reply(0, array(&["subscribe", channel, ":1"]));
    }
    assert!(rig.read(client).contains("subscribe"));
}

fn resp3(rig: &mut Rig) -> usize {
    let client = rig.client();
    rig.send(client, request("HELLO 3"));
    rig.read(client);
    client
}

fn gauge(rig: &Rig) -> u64 {
    rig.registry.shards()[0].pool(0, PoolMetric::Subscriptions).get()
}

#[test]
fn clients_share_a_subscription() {
    let mut rig = redis(1);
    let (first, second, third) = (rig.client(), rig.client(), resp3(&mut rig));
    rig.send(first, request("SUBSCRIBE c"));
    rig.send(second, request("SUBSCRIBE c"));
    assert_eq!(rig.sent(0).as_bytes(), request("subscribe c"), "the server is asked once");
    assert_eq!(rig.read(first), "", "it is confirmed when the server has confirmed it");
    rig.reply(0, array(&["subscribe", "c", ":1"]));
    assert_eq!(rig.read(first), array(&["subscribe", "c", ":1"]));
    assert_eq!(rig.read(second), array(&["subscribe", "c", ":1"]));
    rig.send(third, request("SUBSCRIBE c"));
    assert_eq!(rig.read(third), push(&["subscribe", "c", ":1"]), "and at once when it has been before");
    assert_eq!((rig.sent(0), rig.open_conns(0), gauge(&rig)), (String::new(), 1, 3));
    rig.reply(0, message("c", "one") + &message("c", "two"));
    assert_eq!(rig.read(first), message("c", "one") + &message("c", "two"));
    assert_eq!(rig.read(second), message("c", "one") + &message("c", "two"));
    assert_eq!(rig.read(third), push(&["message", "c", "one"]) + &push(&["message", "c", "two"]));
    rig.send(first, request("UNSUBSCRIBE c"));
    rig.vanish(second);
    assert_eq!(rig.sent(0), "", "somebody is still subscribed");
    rig.reply(0, message("c", "three"));
    assert_eq!(rig.read(first), array(&["unsubscribe", "c", ":0"]));
    assert_eq!(rig.read(third), push(&["message", "c", "three"]));
    rig.send(third, request("RESET"));
    assert_eq!(rig.sent(0).as_bytes(), request("unsubscribe c"));
    assert_eq!(rig.read(third), "+RESET\r\n");
    rig.reply(0, array(&["unsubscribe", "c", ":0"]));
    assert_eq!(gauge(&rig), 0);
    (0..3).for_each(|_| rig.later(10_000));
    assert_eq!(rig.open_conns(0), 0, "a connection that nobody needs is closed");
}

#[test]
fn channels_and_publishing_go_to_one_server_and_patterns_to_all() {
    let mut rig = redis(3);
    let (client, other) = (rig.client(), rig.client());
    let channel = rig.key(1, 0);
    rig.send(client, request(&format!("SUBSCRIBE {channel}")));
    assert_eq!(rig.sent(1).as_bytes(), request(&format!("subscribe {channel}")));
    assert_eq!((rig.sent(0), rig.sent(2)), (String::new(), String::new()));
    rig.reply(1, array(&["subscribe", &channel, ":1"]));
    rig.send(other, request(&format!("PUBLISH {channel} hi")));
    assert_eq!(rig.sent(1).as_bytes(), request(&format!("PUBLISH {channel} hi")));
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.read(other), ":1\r\n");
    rig.read(client);
    rig.send(client, request("PSUBSCRIBE k*"));
    for server in 0..3 {
        assert_eq!(rig.sent(server).as_bytes(), request("psubscribe k*"));
        assert_eq!(rig.read(client), "", "all have to confirm it");
        let confirmation = array(&["psubscribe", "k*", ":1"]);
        if server == 1 { rig.reply_first(1, confirmation) } else { rig.reply(server, confirmation) }
    }
    assert_eq!(rig.read(client), array(&["psubscribe", "k*", ":2"]));
    for events in ["__keyspace@0__:k", "__keyevent@0__:set"] {
        rig.send(client, request(&format!("SUBSCRIBE {events}")));
        for server in 0..3 {
            assert_eq!(rig.sent(server).as_bytes(), request(&format!("subscribe {events}")));
            rig.reply_first(server, array(&["subscribe", events, ":1"]));
        }
        assert!(rig.read(client).contains(events));
    }
    rig.reply_first(2, array(&["pmessage", "k*", "k9", "text"]));
    assert_eq!(rig.read(client), array(&["pmessage", "k*", "k9", "text"]));
    rig.send(client, request("SSUBSCRIBE s"));
    let server = (0..3).find(|server| rig.sent(*server).as_bytes() == request("ssubscribe s")).unwrap();
    rig.reply_first(server, array(&["ssubscribe", "s", ":1"]));
    assert_eq!(rig.read(client), array(&["ssubscribe", "s", ":1"]), "they are counted apart");
    rig.reply_first(server, array(&["smessage", "s", "text"]));
    assert_eq!(rig.read(client), array(&["smessage", "s", "text"]));
}

#[test]
fn one_request_with_many_channels_is_answered_as_a_whole() {
    let mut rig = redis(2);
    let client = rig.client();
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("SUBSCRIBE {here} {there} {here}"), "SUBSCRIBE x", "PING"]));
    rig.reply(1, array(&["subscribe", &there, ":1"]));
    assert_eq!(rig.read(client), "");
    let x = usize::from(!rig.sent(0).contains("\r\nx\r\n"));
    rig.reply(x, array(&["subscribe", if x == 0 { &here } else { "x" }, ":1"]));
    rig.reply(0, array(&["subscribe", if x == 0 { "x" } else { &here }, ":1"]));
    let all = [(&here, ":1"), (&there, ":2"), (&here, ":2"), (&"x".to_owned(), ":3")];
    let all: String = all.iter().map(|(name, count)| array(&["subscribe", name, count])).collect();
    assert_eq!(rig.read(client), all + &array(&["pong", ""]));
    assert_eq!(gauge(&rig), 3);
}

#[test]
fn unsubscribing_says_what_redis_says() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE a b"]));
    let none = |word: &str| format!("*3\r\n${}\r\n{word}\r\n$-1\r\n:0\r\n", word.len());
    let both = array(&["unsubscribe", "a", ":0"]) + &array(&["unsubscribe", "b", ":0"]);
    assert_eq!(rig.read(client), none("unsubscribe") + &none("punsubscribe") + &none("sunsubscribe") + &both);
    assert_eq!(rig.open_conns(0), 0);
    subscribe(&mut rig, client, "a");
    subscribe(&mut rig, client, "b");
    rig.send(client, requests(&["PUNSUBSCRIBE", "UNSUBSCRIBE"]));
    let left = array(&["unsubscribe", "a", ":1"]) + &array(&["unsubscribe", "b", ":0"]);
    assert_eq!(rig.read(client), "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:2\r\n".to_owned() + &left);
    assert_eq!(rig.sent(0).as_bytes(), requests(&["unsubscribe a", "unsubscribe b"]));
    rig.send(client, request("GET k"));
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"), "it is a client like any other again");
}

#[test]
fn resp2_subscribers_may_ask_little_and_resp3_ones_everything() {
    let mut rig = redis(1);
    let (client, modern) = (rig.client(), resp3(&mut rig));
    subscribe(&mut rig, client, "c");
    subscribe(&mut rig, modern, "c");
    rig.send(client, requests(&["PING", "PING hi", "GET k", "CONFIG GET k", "MULTI", "HELLO 3"]));
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context\r\n"
        )
    };
    let names = ["get", "config|get", "multi", "hello"];
    let refused: String = names.iter().map(|name| refused(name)).collect();
    assert_eq!(rig.read(client), array(&["pong", ""]) + &array(&["pong", "hi"]) + &refused);
    rig.send(modern, requests(&["PING", "MULTI", "PUBLISH c m", "SUBSCRIBE d", "DISCARD"]));
    let refused = "-ERR cashew does not run 'SUBSCRIBE' inside a transaction\r\n";
    assert_eq!(rig.read(modern), format!("+PONG\r\n+OK\r\n+QUEUED\r\n{refused}+OK\r\n"));
    rig.send(modern, request("GET k"));
    rig.reply(0, "%0\r\n");
    rig.reply_first(0, message("c", "between"));
    assert_eq!(rig.read(modern), push(&["message", "c", "between"]));
    rig.reply(0, "$1\r\nv\r\n");
    assert_eq!(rig.read(modern), "$1\r\nv\r\n");
    rig.send(client, request("QUIT"));
    assert_eq!(rig.closed(client), Some(Closing::Clean));
}

#[test]
fn a_confirmation_waits_for_what_was_asked_before() {
    let mut rig = redis(1);
    let (client, other) = (resp3(&mut rig), rig.client());
    subscribe(&mut rig, other, "c");
    rig.send(client, requests(&["GET k", "SUBSCRIBE c"]));
    rig.reply(0, "%0\r\n");
    rig.sent(0);
    rig.reply_first(0, message("c", "early"));
    assert_eq!(rig.read(client), "", "it is not subscribed yet");
    rig.reply(0, "$1\r\nv\r\n");
    assert_eq!(rig.read(client), format!("$1\r\nv\r\n{}", push(&["subscribe", "c", ":1"])));
    rig.reply_first(0, message("c", "late"));
    assert_eq!(rig.read(client), push(&["message", "c", "late"]));
}

#[test]
fn a_message_does_not_come_within_a_large_reply() {
    let mut view = pool(Protocol::Redis, 1);
    view.stream_from = 1000;
    let mut rig = Rig::new(view);
    let client = resp3(&mut rig);
    subscribe(&mut rig, client, "c");
    rig.send(client, request("GET k"));
    rig.reply(0, "%0\r\n");
    rig.reply(0, format!("$5000\r\n{}", "v".repeat(2000)));
    rig.later(10);
    assert!(rig.read(client).ends_with('v'));
    rig.reply_first(0, message("c", "one"));
    rig.reply_first(0, message("c", "two"));
    assert_eq!(rig.read(client), "");
    rig.reply(0, format!("{}\r\n", "v".repeat(3000)));
    let messages = push(&["message", "c", "one"]) + &push(&["message", "c", "two"]);
    assert_eq!(rig.read(client), format!("{}\r\n{messages}", "v".repeat(3000)));
}

#[test]
fn a_server_that_is_down_is_an_error_and_no_subscription() {
    let mut rig = redis(2);
    rig.slow_connect = true;
    let client = rig.client();
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("SUBSCRIBE {here} {there}"), "PING"]));
    rig.connects(0);
    rig.reply(0, array(&["subscribe", &here, ":1"]));
    rig.lose(1, Cause::Refused);
    assert_eq!(rig.read(client), "-ERR Connection refused\r\n+PONG\r\n");
    assert_eq!(
        rig.sent(0).as_bytes(),
        requests(&[&format!("subscribe {here}"), &format!("unsubscribe {here}")])
    );
    assert_eq!((gauge(&rig), rig.core.usage().requests), (0, 0));
    rig.later(60_000);
    assert_eq!(rig.open_conns(1), 0, "nobody wants it");
}

#[test]
fn time_runs_out() {
    let mut view = pool(Protocol::Redis, 1);
    view.timeout_us = Some(400_000);
    let mut rig = Rig::new(view);
    let (client, other) = (rig.client(), rig.client());
    subscribe(&mut rig, other, "a");
    rig.send(client, request("SUBSCRIBE b"));
    rig.later(200);
    rig.reply(0, message("a", "it is there"));
    rig.later(201);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    assert_eq!(rig.sent(0).as_bytes(), requests(&["subscribe b", "unsubscribe b"]));
    rig.read(other);
    rig.reply(
        0,
        array(&["subscribe", "b", ":2"]) + &array(&["unsubscribe", "b", ":1"]) + &message("a", "still"),
    );
    assert_eq!(rig.read(other), message("a", "still"), "others notice nothing");
    rig.send(client, request("SUBSCRIBE b"));
    rig.later(401);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n");
    rig.later(1);
    assert!(
        rig.sent(0).ends_with(std::str::from_utf8(&request("subscribe a")).unwrap()),
        "a silent server is left"
    );
    rig.later(401);
    assert_eq!(rig.closed(other), None);
}

#[test]
fn a_lost_connection_is_made_again() {
    let mut rig = redis(1);
    let client = rig.client();
    subscribe(&mut rig, client, "a");
    subscribe(&mut rig, client, "b");
    rig.lose(0, Cause::Closed);
    rig.later(0);
    assert_eq!(rig.sent(0).as_bytes(), requests(&["subscribe a", "subscribe b"]));
    rig.reply(0, array(&["subscribe", "a", ":1"]) + &array(&["subscribe", "b", ":2"]) + &message("b", "x"));
    assert_eq!(rig.read(client), message("b", "x"), "the client notices nothing");
    rig.slow_connect = true;
    for _ in 0..3 {
        rig.lose(0, Cause::Closed);
        assert_eq!(rig.open_conns(0), 0);
        rig.later(2_600);
        assert_eq!(rig.open_conns(0), 1);
    }
    rig.connects(0);
    rig.sent(0);
    rig.reply(0, array(&["subscribe", "a", ":1"]) + &array(&["subscribe", "b", ":2"]));
    rig.send(client, request("SUBSCRIBE a"));
    assert_eq!(rig.read(client), array(&["subscribe", "a", ":2"]));
}

#[test]
fn who_subscribes_when_a_server_that_owes_nothing_closes_notices_nothing() {
    let mut rig = redis(1);
    let client = rig.client();
    subscribe(&mut rig, client, "a");
    rig.takes_at_most(0, 0);
    rig.send(client, request("SUBSCRIBE b"));
    rig.lose(0, Cause::Closed);
    rig.later(0);
    assert_eq!(rig.read(client), "");
    assert_eq!(rig.sent(0).as_bytes(), requests(&["subscribe a", "subscribe b"]));
    rig.reply(0, array(&["subscribe", "a", ":1"]) + &array(&["subscribe", "b", ":2"]));
    assert_eq!(rig.read(client), array(&["subscribe", "b", ":2"]));
}

#[test]
fn a_server_that_takes_connections_and_no_subscription_is_not_pestered() {
    let mut rig = redis(1);
    let client = rig.client();
    subscribe(&mut rig, client, "a");
    let mut attempts = 0;
    for _ in 0..200 {
        if rig.open_conns(0) > 0 {
            rig.lose(0, Cause::Closed);
            attempts += 1;
        }
        rig.later(10);
    }
    assert!((4..=8).contains(&attempts), "{attempts} attempts in two seconds");
}

#[test]
fn a_silent_server_is_asked_whether_it_is_there() {
    let mut rig = redis(1);
    let client = rig.client();
    subscribe(&mut rig, client, "a");
    rig.sent(0);
    rig.later(10_000);
    assert_eq!(rig.sent(0).as_bytes(), request("PING"));
    rig.reply(0, array(&["pong", ""]));
    rig.later(10_000);
    assert_eq!(rig.sent(0).as_bytes(), request("PING"));
    rig.later(10_000);
    rig.later(0);
    assert_eq!(rig.sent(0).as_bytes(), request("subscribe a"), "it was not there: another connection");
}

#[test]
fn what_a_server_refuses_is_told_in_its_words() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, request("SSUBSCRIBE s"));
    rig.reply(0, "-ERR unknown command 'ssubscribe'\r\n");
    assert_eq!(rig.read(client), "-ERR unknown command 'ssubscribe'\r\n");
    rig.send(client, request("SUBSCRIBE c"));
    rig.reply(0, array(&["subscribe", "c", ":1"]));
    rig.send(other, request("SUBSCRIBE d"));
    rig.reply(0, array(&["subscribe", "d", ":2"]));
    rig.lose(0, Cause::Closed);
    rig.later(0);
    rig.reply(0, "-NOPERM no\r\n".to_owned() + &array(&["subscribe", "d", ":1"]));
    rig.later(0);
    assert_eq!((rig.closed(client), rig.closed(other)), (Some(Closing::Lost), None), "it would hear no more");
}

#[test]
fn what_makes_no_sense_ends_the_connection() {
    for nonsense in
        ["*3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:1\r\n", "*1\r\n$1\r\nx\r\n", "+OK\r\n", "*0\r\n", "?\r\n"]
    {
        let mut rig = redis(1);
        let client = rig.client();
        subscribe(&mut rig, client, "a");
        rig.reply(0, nonsense);
        rig.later(0);
        assert_eq!(rig.sent(0).as_bytes(), request("subscribe a"), "{nonsense:?}");
        assert_eq!(rig.read(client), "");
    }
}

#[test]
fn who_does_not_read_is_closed() {
    let view =
        pool_with(Protocol::Redis, 1, "client_output_hard_limit: 100kb\nclient_output_limit: 10kb", |_| {
            Standing::In
        });
    let mut rig = Rig::new(view);
    let (slow, quick) = (rig.client(), rig.client());
    subscribe(&mut rig, slow, "c");
    subscribe(&mut rig, quick, "c");
    rig.reads_at_most(slow, 1000);
    let text = "x".repeat(10_000);
    for _ in 0..12 {
        rig.reply(0, message("c", &text));
    }
    rig.later(0);
    assert_eq!((rig.closed(slow), rig.closed(quick)), (Some(Closing::Lost), None));
    assert_eq!(rig.read(quick).len(), message("c", &text).len() * 12);
    assert_eq!(gauge(&rig), 1);
}

#[test]
fn listening_is_not_idling() {
    let view = pool_with(Protocol::Redis, 1, "client_idle_timeout: 5s", |_| Standing::In);
    let mut rig = Rig::new(view);
    let client = rig.client();
    subscribe(&mut rig, client, "c");
    (0..10).for_each(|_| rig.later(5_000));
    assert_eq!(rig.closed(client), None);
    rig.send(client, request("UNSUBSCRIBE"));
    (0..3).for_each(|_| rig.later(5_000));
    assert_eq!(rig.closed(client), Some(Closing::Clean));
}

#[test]
fn subscriptions_move_with_their_servers() {
    let mut rig = redis(2);
    let client = rig.client();
    let channel = rig.key(1, 0);
    rig.send(client, requests(&[&format!("SUBSCRIBE {channel}"), "PSUBSCRIBE p"]));
    rig.reply(1, array(&["subscribe", &channel, ":1"]) + &array(&["psubscribe", "p", ":2"]));
    rig.reply(0, array(&["psubscribe", "p", ":1"]));
    rig.read(client);
    (0..2).for_each(|server| drop(rig.sent(server)));
    let out = |server| if server == 1 { Standing::Out } else { Standing::In };
    rig.take_up(pool_with(Protocol::Redis, 2, "", out));
    rig.later(0);
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("subscribe {channel}")));
    rig.reply(0, array(&["subscribe", &channel, ":2"]) + &message(&channel, "here"));
    assert_eq!(rig.read(client), message(&channel, "here"));
    rig.lose(1, Cause::Closed);
    rig.later(60_000);
    assert_eq!(rig.open_conns(1), 0, "nothing is wanted of it");
    rig.sent(0);
    rig.take_up(pool(Protocol::Redis, 2));
    rig.later(0);
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("unsubscribe {channel}")));
    let there = rig.sent(1);
    assert!(there.contains("psubscribe") && there.contains(&channel), "{there}");
}

#[test]
fn publishing_in_a_transaction_goes_to_its_channel_or_nowhere() {
    let mut rig = redis(2);
    let client = rig.client();
    let (key, near, far) = (rig.key(0, 0), rig.key(0, 1), rig.key(1, 0));
    rig.send(client, requests(&["MULTI", &format!("SET {key} v"), &format!("PUBLISH {near} m"), "EXEC"]));
    rig.reply(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:0\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:0\r\n");
    rig.send(client, requests(&["MULTI", &format!("SET {key} v"), &format!("PUBLISH {far} m"), "EXEC"]));
    let replies = rig.read(client);
    assert!(replies.contains("-CROSSSLOT ") && replies.contains("-EXECABORT "), "{replies}");
}

#[test]
fn what_is_subscribed_is_asked_of_all_servers() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, requests(&["PUBSUB CHANNELS", "PUBSUB NUMSUB a b", "PUBSUB NUMPAT"]));
    rig.reply(0, array(&["a", "both"]) + &array(&["a", ":2", "b", ":0"]) + ":1\r\n");
    rig.reply(1, array(&["both", "z"]) + &array(&["a", ":0", "b", ":7"]) + ":2\r\n");
    assert_eq!(rig.read(client), array(&["a", "z", "both"]) + &array(&["a", ":2", "b", ":7"]) + ":2\r\n");
}

#[test]
fn clients_that_leave_while_they_wait_leave_nothing() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, request("SUBSCRIBE c c d"));
    rig.send(other, request("SUBSCRIBE d"));
    rig.vanish(client);
    assert_eq!(rig.sent(0).as_bytes(), requests(&["subscribe c", "subscribe d", "unsubscribe c"]));
    let confirmed = array(&["subscribe", "c", ":1"]) + &array(&["subscribe", "d", ":2"]);
    rig.reply(0, confirmed + &array(&["unsubscribe", "c", ":1"]));
    assert_eq!(rig.read(other), array(&["subscribe", "d", ":1"]));
    assert_eq!((gauge(&rig), rig.core.usage().requests, rig.core.usage().in_flight), (1, 0, 0));
}

#[test]
fn subscribers_hold_half_of_the_memory_at_most() {
    let mut rig = redis(1);
    rig.core.limit_memory(1 << 20);
    let clients: Vec<usize> = (0..40).map(|_| rig.client()).collect();
    for client in &clients {
        subscribe(&mut rig, *client, "c");
        if *client != 0 {
            rig.reads_at_most(*client, 100 * *client);
        }
    }
    let text = "x".repeat(10_000);
    for _ in 0..3 {
        rig.reply(0, message("c", &text));
        rig.later(0);
    }
    let closed = clients.iter().filter(|client| rig.closed(**client).is_some()).count();
    assert!((15..30).contains(&closed), "{closed} are closed");
    assert_eq!((rig.closed(0), rig.closed(39)), (None, None), "those that hold most go first");
    assert_eq!(gauge(&rig), 40 - closed as u64);
}

#[test]
fn a_client_has_only_so_many_subscriptions() {
    let mut rig = redis(1);
    let client = rig.client();
    subscribe(&mut rig, client, "c");
    let names: String = (0..SUBSCRIPTIONS_PER_CLIENT).map(|n| format!(" {n}")).collect();
    rig.send(client, request(&format!("SUBSCRIBE{names}")));
    assert_eq!(rig.read(client), "-ERR a client may have 131072 subscriptions\r\n");
    assert_eq!((rig.sent(0), gauge(&rig)), (String::new(), 1));
    let name = "x".repeat(NAMES_BYTES);
    rig.send(client, request(&format!("SUBSCRIBE {name}")));
    assert_eq!(rig.read(client), "-ERR the proxy has no room for more subscriptions\r\n");
    rig.send(client, request("UNSUBSCRIBE c"));
    assert_eq!(rig.read(client), array(&["unsubscribe", "c", ":0"]));
}
