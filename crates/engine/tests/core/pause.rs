//! Clients that ask more, or read less, than is good.

use crate::rig::{Rig, pool, request, requests};
use config::Protocol;
use engine::Output;
use engine::topology::PoolView;

fn limited(limit: impl FnOnce(&mut PoolView)) -> Rig {
    let mut view = pool(Protocol::Redis, 1);
    limit(&mut view);
    Rig::new(view)
}

/// Whether the client was paused (true) or resumed since last asked, in order.
fn pauses(rig: &mut Rig) -> Vec<bool> {
    let said = std::mem::take(&mut rig.said);
    let pause = |output| match output {
        Output::PauseClient(_) => Some(true),
        Output::ResumeClient(_) => Some(false),
        _ => None,
    };
    said.into_iter().filter_map(pause).collect()
}

#[test]
fn too_many_open_requests() {
    let mut rig = limited(|view| view.client_max_pipeline = 2);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "GET b", "GET c"]));
    assert_eq!(pauses(&mut rig), [true]);
    assert_eq!(rig.sent(0).as_bytes(), requests(&["GET a", "GET b"]));
    rig.reply(0, "$1\r\n1\r\n");
    assert_eq!(pauses(&mut rig), [false], "half of it is gone");
    assert_eq!(rig.sent(0).as_bytes(), request("GET c"));
    rig.reply(0, "$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
}

#[test]
fn too_many_bytes_of_open_requests() {
    let mut rig = limited(|view| view.client_request_limit = 100);
    let client = rig.client();
    let large = format!("SET a {}", "x".repeat(100));
    rig.send(client, requests(&[&large, "GET b"]));
    assert_eq!(pauses(&mut rig), [true]);
    rig.reply(0, "+OK\r\n");
    assert_eq!(pauses(&mut rig), [false]);
    assert!(rig.sent(0).ends_with("GET\r\n$1\r\nb\r\n"));
}

#[test]
fn replies_that_nobody_reads() {
    let mut rig = limited(|view| view.client_output_limit = 10);
    let client = rig.client();
    rig.reads_at_most(client, 0);
    rig.send(client, requests(&["ECHO 12345678", "ECHO next"]));
    assert_eq!(pauses(&mut rig), [true]);
    rig.reads_at_most(client, 8);
    assert_eq!(pauses(&mut rig), [], "6 bytes are more than half of what is allowed");
    rig.reads_at_most(client, 100);
    assert_eq!(pauses(&mut rig), [false]);
    assert_eq!(rig.read(client), "$8\r\n12345678\r\n$4\r\nnext\r\n");
}

#[test]
fn replies_that_wait_for_an_earlier_one_count_as_unread() {
    let mut view = pool(Protocol::Redis, 2);
    view.client_output_limit = 100_000;
    let value = "v".repeat(100_000);
    let mut rig = Rig::new(view);
    let (a, b, client) = (rig.key(0, 0), rig.key(1, 0), rig.client());
    rig.send(client, requests(&[&format!("GET {a}"), &format!("GET {b}")]));
    rig.reply(1, format!("$100000\r\n{value}\r\n"));
    rig.send(client, request("PING"));
    assert_eq!(pauses(&mut rig), [true]);
    rig.reply(0, "$-1\r\n");
    assert_eq!(pauses(&mut rig), [false]);
    assert_eq!(rig.read(client), format!("$-1\r\n$100000\r\n{value}\r\n+PONG\r\n"));
}

#[test]
fn replies_to_come_count_by_the_size_of_those_that_came() {
    let mut rig = limited(|view| view.client_output_limit = 100_000);
    let client = rig.client();
    let value = format!("$10000\r\n{}\r\n", "v".repeat(10_000));
    for _ in 0..20 {
        rig.send(client, request("GET a"));
        rig.reply(0, &value);
    }
    assert_eq!(rig.read(client), value.repeat(20));
    pauses(&mut rig);
    rig.send(client, request("GET a").repeat(100));
    let asked = rig.core.usage().in_flight;
    assert!((15..=25).contains(&asked), "{asked} of 100 requests are under way");
    assert_eq!(pauses(&mut rig), [true]);
    for _ in 0..100 {
        rig.reply(0, &value);
    }
    assert_eq!(rig.read(client), value.repeat(100));
    assert_eq!(pauses(&mut rig).last(), Some(&false));
}

#[test]
fn a_paused_client_that_ended_its_side_gets_all_its_answers() {
    let mut rig = limited(|view| view.client_max_pipeline = 1);
    let client = rig.client();
    rig.send(client, requests(&["GET a", "GET b", "PING"]));
    rig.end(client);
    rig.reply(0, "$1\r\n1\r\n");
    rig.reply(0, "$1\r\n2\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n$1\r\n2\r\n+PONG\r\n");
    assert!(rig.closed(client).is_some());
}

#[test]
fn one_client_that_waits_holds_nobody_up() {
    let mut rig = limited(|view| view.client_max_pipeline = 1);
    let (slow, quick) = (rig.client(), rig.client());
    rig.send(slow, requests(&["GET a", "GET b"]));
    rig.send(quick, request("PING"));
    assert_eq!(rig.read(quick), "+PONG\r\n");
}

/// What a worker reads at once.
const READ_BYTES: usize = 64 << 10;

#[test]
fn one_client_that_asks_without_end_delays_others_by_what_it_may_have_outstanding() {
    let mut rig = limited(|view| view.client_max_pipeline = 100);
    let (hot, other) = (rig.client(), rig.client());
    let flood = request("GET hot").repeat(READ_BYTES / request("GET hot").len());
    for round in 0..50 {
        // In one tick: all that is read of the one, then the other's request.
        if !rig.said.iter().any(|output| matches!(output, Output::PauseClient(_))) {
            rig.send_and_wait(hot, &flood);
        }
        rig.send(other, request("GET other"));
        let sent = rig.sent(0);
        assert!(sent.ends_with("other\r\n"), "it leaves in the tick in which it came");
        let before = sent.matches("hot").count();
        assert!(before <= 100, "{before} requests before it in round {round}");
        rig.reply(0, "$-1\r\n".repeat(before) + "$5\r\nother\r\n");
        assert_eq!(rig.read(other), "$5\r\nother\r\n");
        rig.read(hot);
        let more = rig.sent(0).matches("hot").count();
        assert!(more <= 100, "{more} requests leave when others are answered");
        rig.reply(0, "$-1\r\n".repeat(more));
        let later = rig.sent(0).matches("hot").count();
        rig.reply(0, "$-1\r\n".repeat(later));
    }
}
