//! Large values: passed on as they come, over connections of their own.

use crate::rig::{Rig, pool, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::limits::{
    LANE_WAIT_US, LANES_PER_WORKER, SPARE_IDLE_US, SPARES_PER_SERVER, SPARES_PER_WORKER, TRANSFER_BYTES,
    TRANSFER_STALL_US,
};
use engine::{Closing, Output};

/// A rig whose values are large from 100 bytes on.
fn rig(protocol: Protocol, timeout_ms: Option<u64>) -> Rig {
    let mut view = pool(protocol, 1);
    view.stream_from = 100;
    view.timeout_us = timeout_ms.map(|ms| ms * 1000);
    view.retry_reads = true;
    Rig::new(view)
}

fn value(bytes: usize) -> String {
    "0123456789".chars().cycle().take(bytes).collect()
}

fn paused(rig: &mut Rig, what: fn(&Output) -> bool) -> bool {
    let said = std::mem::take(&mut rig.said);
    said.iter().any(what)
}

#[test]
fn a_large_set_goes_out_as_it_comes_and_others_go_on() {
    let mut rig = rig(Protocol::Redis, None);
    let (client, other) = (rig.client(), rig.client());
    let whole = request(&format!("SET k {}", value(1000)));
    rig.send(client, &whole[..100]);
    assert_eq!(rig.sent(0).as_bytes(), &whole[..100], "nothing is collected");
    rig.send(other, request("GET x"));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(other), "$-1\r\n", "on another connection");
    rig.sent(0);
    assert_eq!(rig.open_conns(0), 2);
    rig.send(client, &whole[100..500]);
    rig.send(client, [&whole[500..], &request("GET k")].concat());
    assert_eq!(rig.sent(0).as_bytes(), &whole[100..], "what comes behind it waits for its reply");
    rig.reply_first(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"));
    rig.reply_first(0, "$5\r\nsmall\r\n");
    assert_eq!(rig.read(client), "$5\r\nsmall\r\n");
    rig.later(SPARE_IDLE_US / 1000 + 1);
    assert_eq!(rig.open_conns(0), 1, "a spare connection is not kept for ever");
}

#[test]
fn a_lane_whose_server_says_more_than_it_was_asked_is_not_kept() {
    for (more, conns) in [("", 1), ("+more\r\n", 0)] {
        let mut rig = rig(Protocol::Redis, None);
        let client = rig.client();
        let whole = request(&format!("SET k {}", value(1000)));
        rig.send(client, &whole[..200]);
        rig.send(client, &whole[200..]);
        // As much as is looked at in one go, so that what comes behind it is looked at by itself.
        let reply = format!("+{}\r\n", value(127));
        rig.reply(0, &reply[..2]);
        rig.reply(0, format!("{}{more}", &reply[2..]));
        assert_eq!(rig.open_conns(0), conns);
        assert_eq!(rig.read(client), reply);
    }
}

#[test]
fn a_large_set_begins_when_all_before_it_is_answered() {
    let mut rig = rig(Protocol::Redis, None);
    let client = rig.client();
    let large = request(&format!("SET k {}", value(1000)));
    rig.send(client, [&request("GET k")[..], &large[..200]].concat());
    assert_eq!(rig.sent(0).as_bytes(), request("GET k"));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.sent(0).as_bytes(), &large[..200]);
}

#[test]
fn a_large_memcached_set_loses_its_noreply_and_keeps_its_place() {
    let mut rig = rig(Protocol::Memcache, None);
    let client = rig.client();
    let data = value(500);
    rig.send(client, format!("set k 1 2 500 noreply\r\n{}", &data[..50]));
    assert_eq!(rig.sent(0), format!("set k 1 2 500\r\n{}", &data[..50]));
    rig.send(client, format!("{}\r\nget k\r\n", &data[50..]));
    assert_eq!(rig.sent(0), format!("{}\r\n", &data[50..]));
    rig.reply(0, "STORED\r\n");
    assert_eq!(rig.sent(0), "get k\r\n");
    assert_eq!(rig.read(client), "");
    rig.reply(0, "END\r\n");
    assert_eq!(rig.read(client), "END\r\n");
    assert_eq!(rig.core.usage().requests, 0);
}

#[test]
fn data_that_is_not_as_long_as_was_said_never_ends_at_the_server() {
    let mut rig = rig(Protocol::Memcache, None);
    let client = rig.client();
    rig.send(client, format!("set k 0 0 500\r\n{}", &value(100)));
    rig.send(client, format!("{}xxversion\r\n", &value(400)));
    assert_eq!(rig.read(client), "CLIENT_ERROR bad data chunk\r\n");
    assert_eq!(rig.open_conns(0), 1, "the lane is closed, version goes over a shared connection");
    assert!(!rig.sent(0).contains("xx"));
    assert!(rig.said.is_empty(), "the server is not to blame: {:?}", rig.said);

    let mut rig = self::rig(Protocol::Redis, None);
    let client = rig.client();
    rig.send(client, format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500\r\n{}", value(100)));
    rig.send(client, format!("{}xxversion\r\n", value(400)));
    assert_eq!(rig.read(client), "-ERR Protocol error: expected CRLF after argument\r\n");
    assert_eq!(rig.closed(client), Some(Closing::Linger));
    assert_eq!((rig.open_conns(0), rig.core.usage().requests), (0, 0));
}

#[test]
fn a_server_that_refuses_a_large_value_before_its_end_is_heard_at_once() {
    let mut rig = rig(Protocol::Memcache, None);
    let client = rig.client();
    rig.send(client, format!("set k 0 0 500\r\n{}", &value(100)));
    rig.reply(0, "SERVER_ERROR object too large for cache\r\n");
    assert_eq!(rig.read(client), "SERVER_ERROR object too large for cache\r\n");
    rig.sent(0);
    rig.send(client, format!("{}\r\nget k\r\n", &value(400)));
    assert_eq!(rig.sent(0), "get k\r\n", "the rest of the value is dropped");
}

#[test]
fn a_slow_server_makes_the_client_wait_not_the_memory_grow() {
    let mut rig = rig(Protocol::Redis, None);
    let client = rig.client();
    rig.send(client, format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n{}", value(1)));
    rig.takes_at_most(0, 0);
    let piece = value(64 << 10);
    let mut sent = 0;
    while !paused(&mut rig, |said| matches!(said, Output::PauseClient(_))) {
        rig.send(client, &piece);
        sent += piece.len();
        assert!(sent <= TRANSFER_BYTES + piece.len(), "{sent} bytes wait");
    }
    rig.takes_at_most(0, usize::MAX);
    assert!(paused(&mut rig, |said| matches!(said, Output::ResumeClient(_))));
}

#[test]
fn a_broken_lane_fails_its_own_request_and_drops_the_rest_of_it() {
    let mut rig = rig(Protocol::Redis, None);
    let client = rig.client();
    let large = request(&format!("SET k {}", value(1000)));
    rig.send(client, &large[..200]);
    rig.lose(0, Cause::Reset);
    assert_eq!(rig.read(client), "-ERR Connection reset by peer\r\n");
    rig.sent(0);
    rig.send(client, [&large[200..], &request("GET x")].concat());
    assert_eq!(rig.sent(0).as_bytes(), request("GET x"));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n");
}

#[test]
fn a_client_that_leaves_in_the_middle_takes_its_lane_along() {
    for gone in [Rig::vanish, Rig::end] {
        let mut rig = rig(Protocol::Redis, None);
        let client = rig.client();
        rig.send(client, &request(&format!("SET k {}", value(1000)))[..200]);
        assert_eq!(rig.open_conns(0), 1);
        gone(&mut rig, client);
        let usage = rig.core.usage();
        assert_eq!((rig.open_conns(0), usage.requests, usage.clients), (0, 0, 0));
        assert!(!rig.said.iter().any(|said| matches!(said, Output::ServerFailed { .. })));
    }
}

#[test]
fn a_transfer_has_its_time_as_long_as_it_gets_on() {
    let mut rig = rig(Protocol::Redis, Some(100));
    let client = rig.client();
    let large = request(&format!("SET k {}", value(1000)));
    for piece in large.chunks(150) {
        rig.send(client, piece);
        rig.later(90);
    }
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.send(client, &large[..200]);
    rig.later(1000);
    assert_eq!(rig.read(client), "", "it is the client's turn, not the server's");
    rig.takes_at_most(0, 0);
    rig.send(client, &large[200..300]);
    rig.later(100);
    assert_eq!(rig.read(client), "-ERR Connection timed out\r\n", "now it is the server's");
}

#[test]
fn large_requests_wait_for_a_lane_and_those_that_stall_give_way() {
    let mut rig = rig(Protocol::Redis, None);
    let large = request(&format!("SET k {}", value(1000)));
    let clients: Vec<usize> = (0..=LANES_PER_WORKER).map(|_| rig.client()).collect();
    for client in &clients {
        rig.send(*client, &large[..200]);
    }
    assert_eq!(rig.open_conns(0), LANES_PER_WORKER);
    assert!(paused(&mut rig, |said| matches!(said, Output::PauseClient(_))));
    rig.sent(0);
    rig.later(TRANSFER_STALL_US / 1000);
    let cut = clients.iter().filter(|client| rig.read(**client).contains("not finished in time")).count();
    assert!(cut >= 1, "those that sent nothing for so long");
    rig.later(1);
    assert!(paused(&mut rig, |said| matches!(said, Output::ResumeClient(_))));
    assert_eq!(rig.sent(0).as_bytes(), &large[..200], "the one that waited");
}

#[test]
fn a_lane_that_was_long_in_use_is_not_taken_from_who_has_only_begun() {
    let mut rig = rig(Protocol::Redis, None);
    let large = request(&format!("SET k {}", value(1000)));
    let clients: Vec<usize> = (0..=LANES_PER_WORKER).map(|_| rig.client()).collect();
    let step = TRANSFER_STALL_US / 10;
    for _ in 0..9 {
        rig.send(clients[0], &large[..200]);
        rig.send(clients[0], &large[200..]);
        rig.reply_everywhere(0, "+OK\r\n");
        assert_eq!(rig.read(clients[0]), "+OK\r\n");
        rig.later(step / 1000);
    }
    clients.iter().for_each(|client| rig.send(*client, &large[..200]));
    rig.later(step / 1000);
    let cut = |rig: &mut Rig| clients.iter().filter(|client| !rig.read(**client).is_empty()).count();
    assert_eq!(cut(&mut rig), 0, "all of them began a moment ago");
    rig.later((TRANSFER_STALL_US - step) / 1000);
    assert!(cut(&mut rig) >= 1, "now they had their time");
}

#[test]
fn few_connections_are_kept_after_large_requests() {
    let mut view = pool(Protocol::Redis, 3);
    view.stream_from = 100;
    let mut rig = Rig::new(view);
    for server in 0..3 {
        let key = rig.key(server as u32, 0);
        let large = request(&format!("SET {key} {}", value(1000)));
        let clients: Vec<usize> = (0..LANES_PER_WORKER).map(|_| rig.client()).collect();
        clients.iter().for_each(|client| rig.send(*client, &large[..500]));
        assert_eq!(rig.open_conns(server), LANES_PER_WORKER);
        clients.iter().for_each(|client| rig.send(*client, &large[500..]));
        rig.reply_everywhere(server, "+OK\r\n");
        clients.iter().for_each(|client| assert_eq!(rig.read(*client), "+OK\r\n"));
    }
    let kept = [0, 1, 2].map(|server| rig.open_conns(server));
    assert_eq!(kept, [SPARES_PER_SERVER, SPARES_PER_SERVER, 0]);
    assert_eq!(kept.iter().sum::<usize>(), SPARES_PER_WORKER);
}

#[test]
fn a_large_reply_goes_to_its_client_as_it_comes_and_new_requests_elsewhere() {
    let mut rig = rig(Protocol::Redis, None);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, request("GET big"));
    rig.reply(0, format!("$1000\r\n{}", value(10)));
    assert_eq!(rig.read(client), "", "more may come to leave with it");
    rig.later(1);
    assert_eq!(rig.read(client), format!("$1000\r\n{}", value(10)));
    rig.send(other, request("GET x"));
    assert_eq!(rig.open_conns(0), 2);
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(other), "$-1\r\n");
    rig.reply_first(0, format!("{}\r\n", value(990)));
    assert_eq!(rig.read(client), format!("{}\r\n", value(990)));
    // From now on such a key is read over a connection of its own.
    rig.sent(0);
    rig.send(client, request("GET big"));
    rig.send(other, request("GET y"));
    rig.reply(0, "$1\r\ny\r\n");
    assert_eq!(rig.read(other), "$1\r\ny\r\n");
    assert_eq!(rig.open_conns(0), 2);
}

#[test]
fn reads_behind_a_large_reply_are_made_elsewhere_and_writes_wait() {
    let mut rig = rig(Protocol::Redis, Some(1000));
    let (big, reads, writes) = (rig.client(), rig.client(), rig.client());
    rig.send(big, request("GET big"));
    rig.send(reads, requests(&["GET a", "GET b"]));
    rig.send(writes, requests(&["GET c", "INCR c"]));
    rig.sent(0);
    rig.reads_at_most(big, 50);
    rig.reply(0, format!("$1000\r\n{}", value(200)));
    assert_eq!(rig.sent(0).as_bytes(), requests(&["GET a", "GET b"]));
    rig.reply(0, "$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(rig.read(reads), "$1\r\na\r\n$1\r\nb\r\n");
    rig.send(writes, request("GET c"));
    assert_eq!(rig.sent(0), "", "a client does not overtake its own write");
    rig.reply_first(0, format!("{}\r\n$-1\r\n$-1\r\n$-1\r\n:1\r\n", value(800)));
    assert_eq!(rig.read(writes), "$-1\r\n:1\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET c"));
    assert_eq!(rig.read(reads), "", "the replies of what was made elsewhere are dropped");
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_for_long() {
    let mut view = pool(Protocol::Redis, 1);
    (view.stream_from, view.client_output_limit) = (100, 200);
    view.timeout_us = Some(100_000);
    let mut rig = Rig::new(view);
    let (big, writer) = (rig.client(), rig.client());
    rig.reads_at_most(big, 0);
    rig.send(big, request("GET big"));
    rig.send(writer, request("INCR n"));
    rig.reply(0, format!("$1000\r\n{}", value(300)));
    assert!(paused(&mut rig, |said| matches!(said, Output::PauseConn(_))), "it has enough");
    rig.later(50);
    assert!(paused(&mut rig, |said| matches!(said, Output::ResumeConn(_))), "another waits behind it");
    rig.reply(0, format!("{}\r\n:1\r\n", value(700)));
    assert_eq!(rig.read(writer), ":1\r\n");
    rig.reads_at_most(big, usize::MAX);
    assert_eq!(rig.read(big).len(), 1000 + 9);
}

#[test]
fn a_torn_reply_ends_its_client_and_an_untouched_one_is_an_error() {
    let mut rig = rig(Protocol::Redis, None);
    let client = rig.client();
    rig.send(client, request("GET big"));
    rig.reply(0, format!("$1000\r\n{}", value(300)));
    rig.lose(0, Cause::Reset);
    rig.later(1);
    assert_eq!(rig.closed(client), Some(Closing::Lost));
    assert_eq!(rig.core.usage().requests, 0);

    let mut rig = two_servers();
    let client = rig.client();
    let (first, second) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("GET {first}"), &format!("INCR {second}")]));
    rig.reply(1, format!("$1000\r\n{}", value(300)));
    rig.lose(1, Cause::Reset);
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(client), "$-1\r\n-ERR Connection reset by peer\r\n");
    assert_eq!(rig.closed(client), None);
}

fn two_servers() -> Rig {
    let mut view = pool(Protocol::Redis, 2);
    view.stream_from = 100;
    Rig::new(view)
}

#[test]
fn a_large_reply_waits_for_its_turn_without_being_read() {
    let mut rig = two_servers();
    let client = rig.client();
    let (first, second) = (rig.key(0, 0), rig.key(1, 0));
    rig.send(client, requests(&[&format!("GET {first}"), &format!("GET {second}")]));
    rig.reply(1, format!("$1000\r\n{}", value(300)));
    assert!(paused(&mut rig, |said| matches!(said, Output::PauseConn(_))));
    rig.reply(0, "$5\r\nfirst\r\n");
    rig.later(0);
    assert!(paused(&mut rig, |said| matches!(said, Output::ResumeConn(_))));
    rig.reply(1, format!("{}\r\n", value(700)));
    assert_eq!(rig.read(client), format!("$5\r\nfirst\r\n$1000\r\n{}{}\r\n", value(300), value(700)));
}

#[test]
fn nothing_overtakes_what_its_client_wants_no_reply_to() {
    let mut rig = rig(Protocol::Memcache, None);
    let client = rig.client();
    let large = format!("set k 0 0 500\r\n{}", value(500));
    rig.send(client, format!("set k 0 0 3 noreply\r\nold\r\n{}", &large[..200]));
    assert_eq!(rig.sent(0), "set k 0 0 3\r\nold\r\n", "the large one waits");
    rig.reply(0, "STORED\r\n");
    assert_eq!(rig.sent(0), &large[..200]);
    rig.send(client, format!("{}\r\n", &large[200..]));
    rig.reply(0, "STORED\r\n");
    assert_eq!(rig.read(client), "STORED\r\n");
    // The key is known to be large now; a read of it does not overtake either.
    rig.sent(0);
    rig.send(client, "delete k noreply\r\nget k\r\n");
    assert_eq!(rig.sent(0), "delete k\r\nget k\r\n", "on one connection");
}

#[test]
fn clients_that_do_not_read_large_replies_keep_nobody_from_writing_large_values() {
    let mut view = pool(Protocol::Redis, 1);
    (view.stream_from, view.client_output_limit) = (100, 200);
    let mut rig = Rig::new(view);
    let first = rig.client();
    rig.send(first, request("GET big"));
    rig.reply(0, format!("$1000\r\n{}\r\n", value(1000)));
    for _ in 0..2 * LANES_PER_WORKER {
        let reader = rig.client();
        rig.reads_at_most(reader, 0);
        rig.send(reader, request("GET big"));
        rig.reply(0, format!("$1000\r\n{}", value(300)));
    }
    rig.sent(0);
    let writer = rig.client();
    let large = request(&format!("SET k {}", value(1000)));
    rig.send(writer, &large);
    assert_eq!(rig.sent(0).as_bytes(), large);
}

#[test]
fn reads_of_large_keys_wait_for_a_lane_rather_than_hold_up_others() {
    for protocol in [Protocol::Redis, Protocol::Memcache] {
        let mut rig = rig(protocol, None);
        let (get, large, small) = match protocol {
            Protocol::Redis => {
                (request("GET big"), format!("$1000\r\n{}\r\n", value(1000)), "$1\r\n1\r\n".to_string())
            }
            Protocol::Memcache => (
                b"get big\r\n".to_vec(),
                format!("VALUE big 0 1000\r\n{}\r\nEND\r\n", value(1000)),
                "VALUE big 0 1\r\n1\r\nEND\r\n".to_string(),
            ),
        };
        let first = rig.client();
        rig.send(first, &get);
        rig.reply(0, &large[..500]);
        rig.reply(0, &large[500..]);
        assert_eq!(rig.read(first), large);
        rig.later(1);
        rig.sent(0);
        let clients: Vec<usize> = (0..=LANES_PER_WORKER).map(|_| rig.client()).collect();
        clients.iter().for_each(|client| rig.send(*client, &get));
        assert_eq!(rig.sent(0).len(), LANES_PER_WORKER * get.len());
        assert!(paused(&mut rig, |said| matches!(said, Output::PauseClient(_))));
        rig.reply(0, &small);
        rig.later(1);
        assert_eq!(rig.sent(0).as_bytes(), get, "the one that waited");
        assert!(paused(&mut rig, |said| matches!(said, Output::ResumeClient(_))));
    }
}

#[test]
fn who_waits_too_long_for_a_lane_is_told() {
    let mut rig = rig(Protocol::Redis, None);
    let large = request(&format!("SET k {}", value(1_000_000)));
    let busy: Vec<usize> = (0..LANES_PER_WORKER).map(|_| rig.client()).collect();
    for client in &busy {
        rig.send(*client, &large[..200]);
    }
    let client = rig.client();
    rig.send(client, &large[..200]);
    let step = TRANSFER_STALL_US / 2;
    for round in 0..LANE_WAIT_US / step {
        let from = 200 + round as usize * 100_000;
        busy.iter().for_each(|client| rig.send(*client, &large[from..from + 100_000]));
        assert_eq!(rig.read(client), "", "round {round}");
        rig.later(step / 1000);
    }
    assert_eq!(rig.read(client), "-ERR too much waits for the server already\r\n");
    rig.send(client, [&large[200..], &request("PING")].concat());
    assert_eq!(rig.read(client), "+PONG\r\n", "the rest of it is dropped");
}

#[test]
fn a_lane_whose_server_refused_a_line_is_not_used_again() {
    let mut rig = rig(Protocol::Memcache, None);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, format!("set k 4294967296 0 500\r\n{}", value(100)));
    rig.send(client, format!("{}\r\n", value(400)));
    rig.reply(0, "CLIENT_ERROR bad command line format\r\n");
    assert_eq!(rig.read(client), "CLIENT_ERROR bad command line format\r\n");
    assert_eq!(rig.open_conns(0), 0, "it may take the data for commands");
    assert!(rig.said.is_empty(), "the server is not to blame: {:?}", rig.said);
    rig.send(other, "get x\r\n");
    rig.reply(0, "END\r\n");
    assert_eq!(rig.read(other), "END\r\n");
}

#[test]
fn what_its_replies_were_like_does_not_keep_a_large_request_from_its_end() {
    let mut view = pool(Protocol::Redis, 1);
    (view.stream_from, view.client_output_limit) = (4 * TRANSFER_BYTES, TRANSFER_BYTES);
    let mut rig = Rig::new(view);
    let client = rig.client();
    for _ in 0..20 {
        rig.send(client, request("MGET a b c"));
        rig.reply(
            0,
            format!("*3\r\n{}", format!("${0}\r\n{1}\r\n", TRANSFER_BYTES, value(TRANSFER_BYTES)).repeat(3)),
        );
        rig.read(client);
    }
    rig.sent(0);
    let whole = request(&format!("SET k {}", value(5 * TRANSFER_BYTES)));
    rig.send(client, &whole[..1000]);
    rig.takes_at_most(0, 0);
    rig.send(client, &whole[1000..2 * TRANSFER_BYTES]);
    assert!(paused(&mut rig, |said| matches!(said, Output::PauseClient(_))));
    rig.takes_at_most(0, usize::MAX);
    assert!(paused(&mut rig, |said| matches!(said, Output::ResumeClient(_))), "the server takes it");
    rig.send(client, &whole[2 * TRANSFER_BYTES..]);
    assert!(rig.sent(0).as_bytes() == whole);
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
}
