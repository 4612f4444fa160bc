//! Client-side caching: what a client is told, and that it comes behind every reply with the old value.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::Closing;
use engine::error::Cause;
use engine::limits::{TRACKED_KEYS_PER_REQUEST, TRACKED_READS};
use engine::topology::Standing;
use stats::PoolMetric;

const ALL: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// "These keys have changed", as a server and the proxy say it.
fn changed(keys: &[&str]) -> String {
    let mut text = format!(">2\r\n$10\r\ninvalidate\r\n*{}\r\n", keys.len());
    keys.iter().for_each(|key| text += &format!("${}\r\n{key}\r\n", key.len()));
    text
}

/// A client that speaks RESP3 and has said this.
fn tracking(rig: &mut Rig, words: &str) -> usize {
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", words]));
    assert!(rig.read(client).ends_with("+OK\r\n"));
    client
}

/// The server answers what the proxy says first on a new connection, if that is all that it has been sent but `rest`.
fn shake_hands(rig: &mut Rig, server: usize, rest: &[u8]) {
    let first = requests(&["HELLO 3", "CLIENT TRACKING ON"]);
    let sent = rig.sent(server).into_bytes();
    assert_eq!(sent, first, "the handshake");
    rig.reply(server, "%0\r\n+OK\r\n");
    assert_eq!(rig.sent(server).as_bytes(), rest);
}

#[test]
fn clients_share_a_connection_and_each_is_told_what_it_has_read() {
    let mut rig = redis(1);
    let (one, two) = (tracking(&mut rig, "CLIENT TRACKING ON"), tracking(&mut rig, "client tracking on"));
    let plain = rig.client();
    rig.send(one, request("GET a"));
    shake_hands(&mut rig, 0, &request("GET a"));
    rig.send(two, requests(&["GET a", "GET b"]));
    rig.reply(0, "$1\r\n1\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!((rig.read(one), rig.read(two)), ("$1\r\n1\r\n".into(), "$1\r\n1\r\n$1\r\n2\r\n".into()));
    assert_eq!(rig.open_conns(0), 1, "they share it");
    rig.send(plain, request("GET a"));
    assert_eq!(rig.open_conns(0), 2, "whoever does not track has nothing to do with it");
    rig.reply(0, "$1\r\n1\r\n");
    rig.read(plain);
    rig.reply_first(0, changed(&["a"]) + &changed(&["b"]) + &changed(&["b"]));
    assert_eq!(rig.read(one), changed(&["a"]));
    assert_eq!(rig.read(two), changed(&["a"]) + &changed(&["b"]), "once, until it is read again");
    assert_eq!(rig.read(plain), "");
    assert_eq!(rig.registry.shards()[0].pool(0, PoolMetric::Invalidations).get(), 3);
    rig.send(two, requests(&["GET a", "CLIENT TRACKING OFF"]));
    rig.reply_first(0, "$1\r\n3\r\n");
    rig.reply_first(0, changed(&["a"]));
    assert_eq!(rig.read(two), "$1\r\n3\r\n+OK\r\n", "it wants no more");
}

#[test]
fn the_old_value_never_comes_last() {
    let mut rig = redis(2);
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("GET {there}"), &format!("GET {here}"), "PING"]));
    shake_hands(&mut rig, 0, &request(&format!("GET {here}")));
    shake_hands(&mut rig, 1, &request(&format!("GET {there}")));
    rig.reply(0, "$3\r\nold\r\n".to_owned() + &changed(&[&here]));
    assert_eq!(rig.read(client), "", "the reply waits for its turn, and what is behind it, too");
    rig.reply(1, "$1\r\n1\r\n");
    assert_eq!(rig.read(client), format!("$1\r\n1\r\n$3\r\nold\r\n{}+PONG\r\n", changed(&[&here])));
    // Parts of one reply.
    rig.send(client, request(&format!("MGET {here} {there}")));
    rig.reply(0, "*1\r\n$3\r\nold\r\n".to_owned() + &changed(&[&here]));
    assert_eq!(rig.read(client), "");
    rig.reply(1, "*1\r\n$1\r\n1\r\n");
    assert_eq!(rig.read(client), format!("*2\r\n$3\r\nold\r\n$1\r\n1\r\n{}", changed(&[&here])));
    // Another connection says it first.
    rig.send(client, request(&format!("GET {here}")));
    rig.reply(1, changed(&[&here]));
    assert_eq!(rig.read(client), "");
    rig.reply(0, "$3\r\nold\r\n");
    assert_eq!(rig.read(client), "$3\r\nold\r\n".to_owned() + &changed(&[&here]));
    assert_eq!(rig.closed(client), None);
}

#[test]
fn what_may_have_been_missed_is_told_behind_what_is_under_way() {
    let mut rig = redis(2);
    let (client, idle) = (tracking(&mut rig, "CLIENT TRACKING ON"), tracking(&mut rig, "CLIENT TRACKING ON"));
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, request(&format!("GET {here}")));
    shake_hands(&mut rig, 0, &request(&format!("GET {here}")));
    rig.reply(0, "$1\r\n1\r\n");
    rig.read(client);
    rig.send(client, request(&format!("GET {there}")));
    shake_hands(&mut rig, 1, &request(&format!("GET {there}")));
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), "");
    rig.reply(1, "$3\r\nold\r\n");
    assert_eq!(rig.read(client), "$3\r\nold\r\n".to_owned() + ALL);
    rig.reply(1, changed(&[&there]));
    assert_eq!(rig.read(client), "", "it has been told to forget all");
    rig.lose(1, Cause::Closed);
    assert_eq!(rig.read(client), "", "it has read nothing since");
    assert_eq!(rig.read(idle), "", "nor has this one ever");
    // Its server is emptied.
    rig.send(client, request(&format!("GET {here}")));
    shake_hands(&mut rig, 0, &request(&format!("GET {here}")));
    rig.reply(0, ALL.to_owned() + "$1\r\n1\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n".to_owned() + ALL);
    assert_eq!(rig.read(idle), ALL, "as redis tells all that track");
    // Keys move.
    rig.send(client, request(&format!("GET {here}")));
    rig.reply(0, "$1\r\n1\r\n");
    rig.read(client);
    let out = |server: usize| if server == 1 { Standing::Out } else { Standing::In };
    rig.take_up(pool_with(Protocol::Redis, 2, "", out));
    assert_eq!((rig.read(client), rig.read(idle)), (ALL.to_owned(), String::new()));
}

#[test]
fn caching_is_about_the_next_command_or_transaction() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON OPTIN");
    rig.send(client, requests(&["CLIENT CACHING YES", "CLIENT ID", "GET a", "GET b"]));
    shake_hands(&mut rig, 0, &requests(&["GET a", "GET b"]));
    rig.reply(0, "_\r\n_\r\n");
    rig.read(client);
    rig.reply(0, changed(&["a"]) + &changed(&["b"]));
    assert_eq!(rig.read(client), changed(&["a"]));
    rig.send(
        client,
        requests(&["CLIENT CACHING YES", "MULTI", "GET a", "SET c 1", "GET b", "EXEC", "GET d"]),
    );
    rig.reply(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n_\r\n+OK\r\n_\r\n_\r\n");
    rig.read(client);
    rig.reply(0, ["a", "b", "c", "d"].map(|key| changed(&[key])).concat());
    assert_eq!(rig.read(client), changed(&["a"]) + &changed(&["b"]));
    let client = tracking(&mut rig, "CLIENT TRACKING ON OPTOUT");
    rig.send(client, requests(&["CLIENT CACHING NO", "GET a", "GET b"]));
    rig.reply(0, "_\r\n_\r\n");
    rig.read(client);
    rig.reply(0, changed(&["a"]) + &changed(&["b"]));
    assert_eq!(rig.read(client), changed(&["b"]));
}

#[test]
fn what_is_read_over_a_connection_of_its_own_is_not_to_be_kept() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    rig.send(client, request("WATCH k"));
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    rig.send(client, requests(&["MULTI", "GET k", "EXEC"]));
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n_\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n_\r\n".to_owned() + &changed(&["k"]));
    rig.send(client, request("XREAD BLOCK 0 STREAMS s 0"));
    rig.reply(0, "_\r\n");
    assert_eq!(rig.read(client), "_\r\n".to_owned() + &changed(&["s"]));
}

#[test]
fn a_client_that_waits_is_told_at_once() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    rig.send(client, request("GET k"));
    shake_hands(&mut rig, 0, &request("GET k"));
    rig.reply(0, "_\r\n");
    rig.read(client);
    rig.send(client, request("BLPOP l 0"));
    rig.reply(0, "%0\r\n");
    rig.reply_first(0, changed(&["k"]));
    assert_eq!(rig.read(client), changed(&["k"]));
    rig.reply_first(0, ALL);
    assert_eq!(rig.read(client), ALL);
    rig.reply(0, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    assert_eq!(rig.read(client), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n".to_owned() + ALL);
}

#[test]
fn a_client_of_resp2_is_told_nothing() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["CLIENT TRACKING ON", "GET k"]));
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"), "over the connections of RESP2");
    rig.reply(0, "$-1\r\n");
    rig.send(client, requests(&["HELLO 3", "GET k"]));
    shake_hands(&mut rig, 0, &request("GET k"));
    rig.reply(0, "_\r\n");
    rig.send(client, request("HELLO 2"));
    rig.read(client);
    rig.reply(0, changed(&["k"]) + ALL);
    assert_eq!(rig.read(client), "");
}

#[test]
fn there_is_a_bound_on_what_is_noted() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    let keys =
        |count: usize, name: &str| -> String { (0..count).map(|n| format!(" {name}{n:06}")).collect() };
    let nils = |count: usize| format!("*{count}\r\n{}", "_\r\n".repeat(count));
    let many = TRACKED_KEYS_PER_REQUEST + 1;
    rig.core.divide_from(many);
    rig.send(client, request(&format!("MGET{}", keys(many, "k"))));
    rig.reply(0, "%0\r\n+OK\r\n");
    rig.reply(0, nils(many));
    assert!(rig.read(client) == nils(many) + ALL, "it is told to forget all rather than noting that many");
    let requests = TRACKED_READS / TRACKED_KEYS_PER_REQUEST;
    for batch in 0..requests {
        let name = format!("{}", char::from(b'A' + batch as u8));
        rig.send(client, request(&format!("MGET{}", keys(TRACKED_KEYS_PER_REQUEST, &name))));
        rig.reply(0, nils(TRACKED_KEYS_PER_REQUEST));
        assert!(rig.read(client) == nils(TRACKED_KEYS_PER_REQUEST));
    }
    rig.send(client, request("GET z"));
    assert_eq!(rig.read(client), changed(&["A000000"]), "one more, and it is told to forget one");
}

#[test]
fn who_does_not_read_what_it_is_told_is_closed() {
    let mut rig = Rig::new(pool_with(Protocol::Redis, 1, "client_output_hard_limit: 16kb", |_| Standing::In));
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST"]));
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    rig.reads_at_most(client, 0);
    let key = "k".repeat(1000);
    (0..20).for_each(|_| rig.reply(0, changed(&[&key])));
    rig.later(1);
    assert_eq!(rig.closed(client), Some(Closing::Lost));
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    let slow = rig.key(0, 0);
    rig.send(client, request(&format!("GET {slow}")));
    rig.reply(0, "%0\r\n+OK\r\n");
    (0..20_000).for_each(|_| rig.reply(0, changed(&[&slow])));
    rig.later(1);
    assert_eq!(rig.closed(client), None, "a key is told once");
}

/// The time to try a server again passes while nobody wants it: that must not keep the worker awake.
#[test]
fn a_server_that_is_out_is_not_due_for_ever() {
    let mut rig = redis(2);
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST"]));
    (0..2).for_each(|server| rig.reply(server, "%0\r\n"));
    (0..2).for_each(|server| rig.reply(server, "+OK\r\n"));
    assert!(rig.read(client).ends_with("+OK\r\n"));
    rig.lose(1, Cause::Reset);
    let out = |server: usize| if server == 1 { Standing::Out } else { Standing::In };
    rig.take_up(pool_with(Protocol::Redis, 2, "", out));
    rig.later(5000);
    let now = rig.now_us;
    assert!(rig.core.next_deadline().is_none_or(|at| at > now));
}

#[test]
fn a_silent_server_is_asked_whether_it_is_there() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON");
    rig.send(client, request("GET k"));
    shake_hands(&mut rig, 0, &request("GET k"));
    rig.reply(0, "_\r\n");
    rig.read(client);
    rig.later(10_000);
    assert_eq!(rig.sent(0).as_bytes(), request("PING"));
    rig.reply(0, "+PONG\r\n");
    rig.later(10_000);
    assert_eq!(rig.sent(0).as_bytes(), request("PING"));
    (0..2).for_each(|_| rig.later(10_000));
    assert_eq!(rig.read(client), ALL, "it is not");
    rig.send(client, request("CLIENT TRACKING OFF"));
    assert_eq!((rig.read(client), rig.open_conns(0)), ("+OK\r\n".to_owned(), 0));
}

#[test]
fn prefixes_of_all_clients_are_asked_for_once() {
    let mut rig = redis(2);
    let one = rig.client();
    rig.send(one, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:", "PING"]));
    rig.read(one);
    for server in 0..2 {
        assert_eq!(rig.sent(server).as_bytes(), request("HELLO 3"));
        assert_eq!(rig.read(one), "", "all servers have to confirm it");
        rig.reply(server, "%0\r\n");
        let asked = request("CLIENT TRACKING ON BCAST PREFIX item: PREFIX user:");
        assert_eq!(rig.sent(server).as_bytes(), asked);
        rig.reply(server, "+OK\r\n");
    }
    assert_eq!(rig.read(one), "+OK\r\n+PONG\r\n");
    let two = tracking(&mut rig, "CLIENT TRACKING ON BCAST PREFIX user:1");
    assert_eq!(rig.sent(0) + &rig.sent(1), "", "that is covered");
    let three = rig.client();
    rig.send(three, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST PREFIX x"]));
    rig.read(three);
    for server in 0..2 {
        assert_eq!(rig.sent(server).as_bytes(), request("CLIENT TRACKING ON BCAST PREFIX x"));
        rig.reply(server, "+OK\r\n");
    }
    assert_eq!(rig.read(three), "+OK\r\n");
    rig.reply(0, changed(&["item:1", "user:1", "user:2"]) + &changed(&["x"]));
    assert_eq!(rig.read(one), changed(&["item:1"]) + &changed(&["user:1", "user:2"]));
    assert_eq!((rig.read(two), rig.read(three)), (changed(&["user:1"]), changed(&["x"])));
    // All keys: what was asked for is replaced, and what may have been missed in between is told.
    let all = rig.client();
    rig.send(all, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST"]));
    rig.read(all);
    for server in 0..2 {
        assert_eq!(
            rig.sent(server).as_bytes(),
            requests(&["CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST"])
        );
        rig.reply(server, "+OK\r\n+OK\r\n");
    }
    assert_eq!(rig.read(all), "+OK\r\n");
    assert_eq!(rig.read(one), ALL.repeat(2));
    rig.vanish(two);
    rig.reply(1, changed(&["user:1"]));
    assert_eq!((rig.read(all), rig.read(three)), (changed(&["user:1"]), ALL.repeat(2)));
    for client in [one, three] {
        rig.send(client, request("CLIENT TRACKING OFF"));
        assert!(rig.read(client).ends_with("+OK\r\n"));
    }
    assert_eq!((rig.open_conns(0), rig.open_conns(1)), (1, 1));
    rig.end(all);
    assert_eq!((rig.open_conns(0), rig.open_conns(1)), (0, 0), "nobody needs them");
}

#[test]
fn a_prefix_is_told_behind_what_is_under_way_and_again_after_a_break() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST"]));
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    assert!(rig.read(client).ends_with("+OK\r\n"));
    rig.send(client, request("GET k"));
    rig.reply_first(0, changed(&["k"]));
    assert_eq!(rig.read(client), "");
    rig.reply(0, "%0\r\n");
    rig.reply(0, "$3\r\nold\r\n");
    assert_eq!(rig.read(client), "$3\r\nold\r\n".to_owned() + &changed(&["k"]));
    rig.lose(0, Cause::Reset); // over which it reads: nobody said there what changes
    assert_eq!(rig.read(client), "");
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), ALL);
    rig.later(1);
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), ALL, "something may have changed meanwhile");
    rig.reply(0, changed(&["k"]));
    assert_eq!(rig.read(client), changed(&["k"]));
}

#[test]
fn a_server_that_is_down_holds_nobody_up_and_one_that_refuses_is_quoted() {
    let mut rig = Rig::new(pool(Protocol::Redis, 2));
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", "CLIENT TRACKING ON BCAST"]));
    rig.read(client);
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    rig.lose(1, Cause::Refused);
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.send(client, request("CLIENT TRACKING OFF"));
    rig.send(client, request("CLIENT TRACKING ON BCAST"));
    rig.later(1_000);
    rig.reply(0, "%0\r\n");
    rig.reply(0, "-NOPERM this user has no permissions\r\n");
    assert!(rig.read(client).ends_with("-NOPERM this user has no permissions\r\n"));
    rig.send(client, request("CLIENT TRACKINGINFO"));
    assert!(rig.read(client).contains("off"));
}

#[test]
fn who_does_not_want_to_hear_of_its_own_changes_hears_of_others() {
    let mut rig = redis(1);
    let (own, other) =
        (tracking(&mut rig, "CLIENT TRACKING ON NOLOOP"), tracking(&mut rig, "CLIENT TRACKING ON"));
    let second = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    let all = [own, other, second];
    rig.send(own, request("GET k"));
    shake_hands(&mut rig, 0, &request("GET k"));
    rig.reply(0, "_\r\n");
    let read = |rig: &mut Rig| {
        for client in all {
            rig.send(client, request("GET k"));
        }
        rig.reply(0, "_\r\n_\r\n_\r\n");
        all.iter().for_each(|client| assert!(rig.read(*client).ends_with("_\r\n")));
    };
    read(&mut rig);
    rig.send(own, request("SET k 1"));
    rig.reply(0, "+OK\r\n".to_owned() + &changed(&["k"]));
    assert_eq!(rig.read(own), "+OK\r\n");
    assert_eq!([rig.read(other), rig.read(second)], [changed(&["k"]), changed(&["k"])]);
    // As redis does, until it is read again.
    rig.send(other, request("GET k"));
    rig.reply(0, "_\r\n".to_owned() + &changed(&["k"]));
    assert_eq!((rig.read(own), rig.read(other)), (String::new(), "_\r\n".to_owned() + &changed(&["k"])));
    read(&mut rig);
    rig.reply(0, changed(&["k"]));
    all.iter().for_each(|client| assert_eq!(rig.read(*client), changed(&["k"])));
    // In pipelines each reply has its own.
    rig.send(own, requests(&["GET a", "GET b"]));
    rig.send(second, requests(&["GET a", "GET b"]));
    rig.reply(0, "_\r\n".repeat(4));
    [own, second].iter().for_each(|client| _ = rig.read(*client));
    rig.send(own, request("SET a 1"));
    rig.send(second, requests(&["INCR b", "DEL a"]));
    rig.reply(0, format!("+OK\r\n{}:1\r\n{}:1\r\n", changed(&["a"]), changed(&["b"])));
    assert_eq!(rig.read(own), "+OK\r\n".to_owned() + &changed(&["b"]));
    let news = rig.read(second);
    assert_eq!(news, changed(&["a"]) + ":1\r\n:1\r\n");
    // Another reply in between, another key, or what comes later behind other replies is somebody else's.
    read(&mut rig);
    rig.send(own, requests(&["SET k 1", "PING", "GET x"]));
    rig.reply(0, "+OK\r\n_\r\n".to_owned() + &changed(&["k"]));
    assert!(rig.read(own).ends_with(&changed(&["k"])));
    rig.send(own, requests(&["GET y", "SET x 1"]));
    rig.reply(0, "_\r\n+OK\r\n".to_owned() + &changed(&["y"]) + &changed(&["x"]));
    assert_eq!(rig.read(own), "_\r\n+OK\r\n".to_owned() + &changed(&["y"]));
}

#[test]
fn what_is_read_behind_an_own_change_is_told_later() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    rig.send(client, requests(&["GET k", "SET k 1", "GET k"]));
    shake_hands(&mut rig, 0, &requests(&["GET k", "SET k 1", "GET k"]));
    rig.reply(0, format!("_\r\n+OK\r\n{}$1\r\n1\r\n{}", changed(&["k"]), changed(&["k"])));
    assert_eq!(rig.read(client), "_\r\n+OK\r\n$1\r\n1\r\n".to_owned() + &changed(&["k"]));
    // What comes a while after the reply: the client may have asked something in the meantime.
    rig.send(client, requests(&["GET k", "SET k 1"]));
    rig.reply(0, "_\r\n+OK\r\n");
    rig.later(1);
    rig.reply(0, changed(&["k"]));
    assert_eq!(rig.read(client), "_\r\n+OK\r\n");
    rig.send(client, request("CLIENT TRACKING ON"));
    rig.read(client);
    rig.send(client, requests(&["GET k", "SET k 1"]));
    rig.reply(0, "_\r\n+OK\r\n".to_owned() + &changed(&["k"]));
    assert_eq!(
        rig.read(client),
        "_\r\n+OK\r\n".to_owned() + &changed(&["k"]),
        "it wants to hear of them again"
    );
}

#[test]
fn a_write_that_changed_nothing_hides_nobodys_change() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    rig.send(client, request("GET first"));
    shake_hands(&mut rig, 0, &request("GET first"));
    rig.reply(0, "_\r\n");
    rig.read(client);
    for (write, reply, told) in [
        ("SETNX k 1", ":1\r\n", false),
        ("SETNX k 1", ":0\r\n", true),
        ("SET k 1 NX", "_\r\n", true),
        ("SET k 1", "-OOM no\r\n", true),
        ("SET k 1 GET", "_\r\n", false),
        ("DEL k", ":0\r\n", true),
        ("DEL k l", ":1\r\n", true),
        ("DEL k l", ":2\r\n", false),
        ("LTRIM k 0 1", "+OK\r\n", true),
        ("EVAL x 1 k", "+OK\r\n", true),
        ("RENAME k l", "+OK\r\n", true),
    ] {
        rig.send(client, requests(&["GET k", write]));
        rig.reply(0, format!("_\r\n{reply}{}", changed(&["k"])));
        let news = if told { changed(&["k"]) } else { String::new() };
        assert_eq!(rig.read(client), format!("_\r\n{reply}{news}"), "{write}");
    }
}

#[test]
fn a_transaction_has_changed_what_it_has_not_read_since() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    rig.send(client, request("MGET a b c d"));
    shake_hands(&mut rig, 0, &request("MGET a b c d"));
    let nils = "*4\r\n_\r\n_\r\n_\r\n_\r\n";
    rig.reply(0, nils);
    rig.read(client);
    let block = ["MULTI", "GET a", "SET a 1", "SET b 1", "GET b", "SETNX c 1", "INCR d", "EXEC"];
    rig.send(client, requests(&block));
    let queued = "+OK\r\n".to_owned() + &"+QUEUED\r\n".repeat(6);
    let done = "*6\r\n_\r\n+OK\r\n+OK\r\n$1\r\n1\r\n:0\r\n:1\r\n";
    let news = ["a", "b", "c", "d"].map(|key| changed(&[key])).concat();
    rig.reply(0, format!("{queued}{done}{news}"));
    assert_eq!(rig.read(client), format!("{queued}{done}{}{}", changed(&["b"]), changed(&["c"])));
    rig.send(client, requests(&["GET a", "MULTI", "SET a 1", "EXEC"]));
    let refused = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    rig.reply(0, format!("_\r\n+OK\r\n-OOM no\r\n{refused}{}", changed(&["a"])));
    assert!(rig.read(client).ends_with(&changed(&["a"])));
}

#[test]
fn parts_prove_what_they_have_changed() {
    let mut rig = redis(2);
    let client = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    let (here, there) = (rig.key(0, 0), rig.key(1, 0));
    let read = format!("MGET {here} {there}");
    rig.send(client, request(&read));
    shake_hands(&mut rig, 0, &request(&format!("MGET {here}")));
    shake_hands(&mut rig, 1, &request(&format!("MGET {there}")));
    (0..2).for_each(|server| rig.reply(server, "*1\r\n_\r\n"));
    assert_eq!(rig.read(client), "*2\r\n_\r\n_\r\n");
    rig.send(client, request(&format!("MSET {here} 1 {there} 2")));
    rig.reply(0, "+OK\r\n".to_owned() + &changed(&[&here]));
    rig.reply(1, "+OK\r\n".to_owned() + &changed(&[&there]));
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.send(client, request(&read));
    (0..2).for_each(|server| rig.reply(server, "*1\r\n_\r\n"));
    rig.read(client);
    rig.send(client, request(&format!("DEL {here} {there}")));
    rig.reply(0, ":1\r\n".to_owned() + &changed(&[&here]));
    rig.reply(1, ":0\r\n".to_owned() + &changed(&[&there]));
    let told = rig.read(client);
    assert_eq!(told.replace(":1\r\n", ""), changed(&[&there]), "{told}");
}

#[test]
fn a_change_over_another_connection_is_told() {
    let mut rig = redis(1);
    let client = tracking(&mut rig, "CLIENT TRACKING ON NOLOOP");
    rig.send(client, request("GET k"));
    shake_hands(&mut rig, 0, &request("GET k"));
    rig.reply(0, "_\r\n");
    rig.read(client);
    rig.send(client, request("WATCH k"));
    rig.reply(0, "%0\r\n");
    rig.reply(0, "+OK\r\n");
    rig.send(client, requests(&["MULTI", "SET k 1", "EXEC"]));
    let sent = rig.sent(0);
    assert!(sent.ends_with(&String::from_utf8_lossy(&request("EXEC")).into_owned()), "{sent}");
    rig.read(client);
    rig.reply_first(0, changed(&["k"]));
    assert_eq!(rig.read(client), changed(&["k"]));
    rig.reply(0, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert!(rig.read(client).ends_with("*1\r\n+OK\r\n"));
}
