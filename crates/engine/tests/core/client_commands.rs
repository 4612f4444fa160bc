//! What clients ask the proxy about themselves and each other.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::topology::Standing;
use engine::{Closing, Input};

/// The value of a field of a line of CLIENT LIST.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let found = line.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {line}")).trim_end()
}

/// The lines of a listing.
fn lines(reply: &str) -> Vec<&str> {
    reply.lines().filter(|line| line.starts_with("id=")).collect()
}

#[test]
fn the_list_has_the_clients_of_all_workers_in_the_order_of_their_numbers() {
    let mut rig = redis(1);
    let first = rig.client();
    rig.client_elsewhere();
    let third = rig.client();
    rig.later(3_000);
    rig.send(third, requests(&["CLIENT SETNAME me", "MULTI"]));
    rig.send(first, request("CLIENT LIST"));
    let reply = rig.read(first);
    let listed = lines(&reply);
    let of = |name| listed.iter().map(|line| field(line, name)).collect::<Vec<_>>();
    assert_eq!(of("id"), ["1", "2", "3"]);
    assert_eq!(of("name"), ["", "", "me"]);
    assert_eq!(of("flags"), ["N", "N", "x"]);
    assert_eq!(of("multi"), ["-1", "-1", "0"]);
    assert_eq!(of("cmd"), ["client|list", "NULL", "multi"]);
    assert_eq!((of("age")[0], of("idle")[0]), ("3", "0"));
    rig.send(first, request("CLIENT LIST ID 3 99 1 3"));
    let reply = rig.read(first);
    let ids: Vec<&str> = lines(&reply).iter().map(|line| field(line, "id")).collect();
    assert_eq!(ids, ["3", "1", "3"]);
}

#[test]
fn the_list_takes_types_and_refuses_what_redis_refuses() {
    let mut rig = redis(1);
    let client = rig.client();
    for (asked, wanted) in [
        ("CLIENT LIST TYPE pubsub", "$0\r\n\r\n"),
        ("CLIENT LIST TYPE REPLICA", "$0\r\n\r\n"),
        ("CLIENT LIST TYPE cat", "-ERR Unknown client type 'cat'\r\n"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID\r\n"),
        ("CLIENT LIST WHAT", "-ERR syntax error\r\n"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"),
        ("CLIENT KILL USER bob", "-ERR No such user 'bob'\r\n"),
        ("CLIENT KILL ID 1 SKIPME", "-ERR syntax error\r\n"),
        ("CLIENT KILL ID 1 SKIPME perhaps", "-ERR syntax error\r\n"),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
        ("CLIENT KILL ADDR 1.2.3.4:5 SKIPME no", ":0\r\n"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n"),
        ("CLIENT UNBLOCK 1 now", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
        ("CLIENT UNBLOCK 1", ":0\r\n"),
        ("CLIENT UNBLOCK -1", ":0\r\n"),
        ("CLIENT NO-EVICT on", "+OK\r\n"),
        ("CLIENT NO-EVICT maybe", "-ERR syntax error\r\n"),
        ("CLIENT NO-TOUCH off", "+OK\r\n"),
        ("CLIENT GETREDIR", ":-1\r\n"),
    ] {
        rig.send(client, request(asked));
        assert_eq!(rig.read(client), wanted, "{asked}");
    }
    rig.send(client, request("CLIENT LIST TYPE normal"));
    assert_eq!(lines(&rig.read(client)).len(), 1);
}

#[test]
fn a_listing_keeps_its_place_in_the_order() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["GET k", "CLIENT KILL ID 99", "PING", "GET l"]));
    assert_eq!(rig.read(client), "");
    rig.reply(0, "$1\r\nv\r\n");
    assert_eq!(rig.read(client), "$1\r\nv\r\n:0\r\n+PONG\r\n");
    rig.reply(0, "$1\r\nw\r\n");
    assert_eq!(rig.read(client), "$1\r\nw\r\n");
}

#[test]
fn a_killed_client_is_closed_and_others_go_on() {
    let mut rig = redis(1);
    let (killer, victim, other) = (rig.client(), rig.client(), rig.client());
    let elsewhere = rig.client_elsewhere();
    rig.send(victim, request("GET k"));
    rig.send(killer, request("CLIENT KILL ID 2"));
    assert_eq!((rig.read(killer).as_str(), rig.closed(victim)), (":1\r\n", Some(Closing::Lost)));
    rig.reply(0, "$1\r\nv\r\n");
    rig.send(killer, request("CLIENT KILL ID 4"));
    assert_eq!(rig.read(killer), ":1\r\n");
    let worker = rig.other.as_mut().expect("there are two");
    assert_eq!(worker.client_count(), 0);
    worker.handle(Input::ClientData(elsewhere, &request("PING"))); // comes too late, and to no harm
    rig.send(other, request("GET k"));
    rig.reply(0, "$1\r\nw\r\n");
    assert_eq!((rig.read(other).as_str(), rig.closed(other)), ("$1\r\nw\r\n", None));
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn who_kills_itself_reads_the_answer_first() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["CLIENT KILL TYPE normal SKIPME no", "PING"]));
    assert_eq!((rig.read(client).as_str(), rig.closed(client)), (":2\r\n", Some(Closing::Clean)));
    assert_eq!(rig.closed(other), Some(Closing::Lost));
    assert_eq!(rig.core.client_count(), 0);
}

#[test]
fn a_client_that_waits_can_be_woken() {
    for (reason, resp3, wanted) in [
        ("", false, "*-1\r\n"),
        (" TIMEOUT", true, "_\r\n"),
        (" ERROR", false, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
    ] {
        let mut rig = redis(1);
        let (waker, waiter) = (rig.client(), rig.client());
        if resp3 {
            rig.send(waiter, request("HELLO 3"));
            rig.read(waiter);
        }
        rig.send(waiter, requests(&["BLPOP l 0", "PING"]));
        if resp3 {
            rig.reply(0, "%0\r\n");
        }
        rig.send(waker, request(&format!("CLIENT UNBLOCK 2{reason}")));
        assert_eq!(rig.read(waker), ":1\r\n");
        assert_eq!(rig.read(waiter), format!("{wanted}+PONG\r\n"));
        assert_eq!((rig.open_conns(0), rig.aborted), (0, 1), "its connection is closed");
        rig.send(waker, request("CLIENT UNBLOCK 2"));
        assert_eq!(rig.read(waker), ":0\r\n");
    }
}

#[test]
fn what_has_arrived_is_not_taken_back() {
    let mut rig = redis(1);
    let (waker, waiter) = (rig.client(), rig.client());
    rig.send(waiter, request("BLPOP l 0"));
    rig.reply(0, "*2\r\n$1\r\nl\r\n$1\r\n");
    rig.send(waker, request("CLIENT UNBLOCK 2"));
    assert_eq!(rig.read(waker), ":0\r\n");
    rig.reply(0, "1\r\n");
    assert_eq!(rig.read(waiter), "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
}

#[test]
fn a_listing_for_a_client_that_left_is_dropped() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send_and_wait(client, request("CLIENT LIST"));
    rig.vanish(client);
    assert_eq!(rig.core.usage().requests, 0);
    rig.send(other, request("PING"));
    assert_eq!(rig.read(other), "+PONG\r\n");
}

#[test]
fn what_clusters_say_comes_by_option_only() {
    let mut rig = redis(1);
    let client = rig.client();
    for asked in ["CLUSTER SLOTS", "CLUSTER INFO", "CLUSTER KEYSLOT k", "READONLY", "ASKING"] {
        rig.send(client, request(asked));
        assert_eq!(rig.read(client), "-ERR This instance has cluster support disabled\r\n", "{asked}");
    }
    let lines = "cluster_emulation: cache.example:7000";
    let mut rig = Rig::new(pool_with(Protocol::Redis, 1, lines, |_| Standing::In));
    let client = rig.client();
    rig.send(client, request("CLUSTER SLOTS"));
    let slots = rig.read(client);
    assert!(
        slots.starts_with("*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$13\r\ncache.example\r\n:7000\r\n$40\r\n"),
        "{slots}"
    );
    rig.send(client, requests(&["CLUSTER KEYSLOT foo", "READONLY", "CLUSTER COUNTKEYSINSLOT 1"]));
    let reply = rig.read(client);
    assert!(reply.starts_with(":12182\r\n+OK\r\n-ERR cashew does not know the keys"), "{reply}");
    rig.send(client, request("INFO cluster"));
    assert!(rig.read(client).contains("cluster_enabled:1\r\n"));
}

#[test]
fn what_is_not_recorded_is_empty() {
    let mut rig = Rig::new(pool(Protocol::Redis, 2));
    let client = rig.client();
    for (asked, wanted) in [
        ("ACL WHOAMI", "$7\r\ndefault\r\n"),
        ("ACL CAT nonsense", "-ERR Unknown category 'nonsense'\r\n"),
        ("SLOWLOG GET", "*0\r\n"),
        ("SLOWLOG GET 10", "*0\r\n"),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1\r\n"),
        ("SLOWLOG LEN", ":0\r\n"),
        ("SLOWLOG RESET", "+OK\r\n"),
        ("LATENCY LATEST", "*0\r\n"),
        ("LATENCY RESET", ":0\r\n"),
        ("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("MODULE LIST", "*0\r\n"),
    ] {
        rig.send(client, request(asked));
        assert_eq!(rig.read(client), wanted, "{asked}");
    }
    rig.send(client, request("ACL CAT connection"));
    assert!(rig.read(client).contains("\r\nclient|setname\r\n"));
}

#[test]
fn channels_and_patterns_are_counted_apart() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["SUBSCRIBE a b", "PSUBSCRIBE x*", "SSUBSCRIBE s"]));
    rig.reply(0, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    rig.reply(0, "*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:3\r\n");
    rig.reply(0, "*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    rig.send(other, request("CLIENT LIST"));
    let list = rig.read(other);
    assert!(list.contains(" sub=2 psub=1 ssub=1 "), "{list}");
}

#[test]
fn whose_data_was_saved_last_and_what_is_running() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, request("LASTSAVE"));
    rig.reply(0, ":20\r\n");
    rig.reply(1, ":10\r\n");
    assert_eq!(rig.read(client), ":10\r\n");
    let idle = "*4\r\n$14\r\nrunning_script\r\n$-1\r\n$7\r\nengines\r\n*0\r\n";
    let busy = "*4\r\n$14\r\nrunning_script\r\n*2\r\n$4\r\nname\r\n$1\r\nf\r\n$7\r\nengines\r\n*0\r\n";
    for second in [busy, "-ERR no\r\n"] {
        rig.send(client, request("FUNCTION STATS"));
        rig.reply(0, idle);
        rig.reply(1, second);
        assert_eq!(rig.read(client), if second == busy { busy } else { idle });
    }
    rig.send(client, request("SWAPDB 0 1"));
    rig.reply_first(0, "+OK\r\n");
    rig.reply_first(1, "-ERR no\r\n");
    assert_eq!(rig.read(client), "-ERR no (1 of 2 servers failed)\r\n");
}

#[test]
fn the_one_user_there_is() {
    let mut rig =
        Rig::new(pool_with(Protocol::Redis, 1, "redis_auth: secret\ndisable: KEYS", |_| Standing::In));
    let client = rig.client();
    rig.send(client, requests(&["AUTH secret", "ACL LIST", "ACL GETUSER default"]));
    let text = rig.read(client);
    assert!(
        text.starts_with(
            "+OK\r\n*1\r\n$27\r\nuser default on ~* &* +@all\r\n*12\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n"
        ),
        "{text}"
    );
    for (command, reply) in [
        ("KEYS *", "$55\r\nThis user has no permissions to run the 'keys' command\r\n"),
        ("SHUTDOWN", "$59\r\nThis user has no permissions to run the 'shutdown' command\r\n"),
        ("config get x", "+OK\r\n"),
        ("config what", "-ERR Command 'config' not found\r\n"),
    ] {
        rig.send(client, request(&format!("ACL DRYRUN default {command}")));
        let text = rig.read(client);
        assert_eq!(
            text.split_once("\r\n").map(|(_, rest)| rest),
            reply.split_once("\r\n").map(|(_, rest)| rest)
        );
        assert_eq!(text.chars().next(), reply.chars().next());
    }
}
