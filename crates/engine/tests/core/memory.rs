//! The bound on what buffers take.

use crate::rig::{Rig, pool, request, requests};
use config::Protocol;
use engine::{Closing, Output};

const LIMIT: usize = 1 << 20;

fn rig() -> Rig {
    let mut view = pool(Protocol::Redis, 1);
    view.client_output_limit = usize::MAX;
    let mut rig = Rig::new(view);
    rig.core.limit_memory(LIMIT);
    rig
}

fn said(rig: &mut Rig) -> Vec<Output> {
    std::mem::take(&mut rig.said)
}

#[test]
fn at_the_bound_those_that_hold_most_wait_and_the_others_go_on() {
    let mut rig = rig();
    let (large, small) = (rig.client(), rig.client());
    rig.takes_nothing = true;
    let piece = request(&format!("SET k {}", "v".repeat(30_000)));
    let mut sent = 0;
    while said(&mut rig).is_empty() {
        rig.send(large, &piece);
        rig.later(0);
        sent += piece.len();
        assert!(sent < 2 * LIMIT, "{sent} bytes are held");
    }
    rig.send(small, request("GET x"));
    rig.later(0);
    assert_eq!(said(&mut rig), [], "the small one is read on");
    let count = sent / piece.len();
    rig.takes_nothing = false;
    rig.takes_at_most(0, usize::MAX);
    rig.reply(0, "+OK\r\n".repeat(count) + "$-1\r\n");
    assert_eq!(rig.read(large), "+OK\r\n".repeat(count));
    assert_eq!(rig.read(small), "$-1\r\n");
    rig.later(20);
    assert!(matches!(said(&mut rig)[..], [Output::ResumeClient(_)]));
    rig.send(large, request("GET x"));
    rig.reply(0, "$-1\r\n");
    assert_eq!(rig.read(large), "$-1\r\n");
}

#[test]
fn replies_that_are_not_read_count_too() {
    let mut rig = rig();
    let client = rig.client();
    rig.reads_at_most(client, 0);
    let value = format!("$100000\r\n{}\r\n", "v".repeat(100_000));
    let mut replies = 0;
    while !said(&mut rig).iter().any(|said| matches!(said, Output::PauseClient(_))) {
        rig.send(client, request("GET x"));
        rig.reply(0, &value);
        rig.later(0);
        replies += 1;
        assert!(replies < 20, "{replies} replies are held");
    }
    rig.reads_at_most(client, usize::MAX);
    rig.later(20);
    assert!(matches!(said(&mut rig)[..], [Output::ResumeClient(_)]));
    assert_eq!(rig.read(client).len(), replies * value.len());
}

#[test]
fn half_a_request_for_which_there_is_no_memory_is_refused() {
    let mut rig = rig();
    let (large, small) = (rig.client(), rig.client());
    rig.send(large, "*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$100000000\r\n");
    for _ in 0..40 {
        rig.send(large, "v".repeat(60_000));
        rig.later(0);
    }
    let text = "-ERR the proxy has no memory left for a request of this size (max_memory)\r\n";
    assert_eq!(rig.read(large), text);
    assert_eq!(rig.closed(large), Some(Closing::Linger));
    rig.send(small, requests(&["PING"]));
    assert_eq!(rig.read(small), "+PONG\r\n");
    assert_eq!(rig.core.usage().clients, 1);
}

#[test]
fn what_is_asked_counts_before_it_comes() {
    let mut rig = rig();
    let value = format!("$10000\r\n{}\r\n", "v".repeat(10_000));
    let first = rig.client();
    for _ in 0..4 {
        rig.send(first, request("GET x"));
        rig.reply(0, &value);
    }
    assert_eq!(rig.read(first).len(), 4 * value.len());
    let mut asked = 0;
    let mut paused = 0;
    let clients: Vec<usize> = (0..30).map(|_| rig.client()).collect();
    for client in clients {
        rig.reads_at_most(client, 0);
        if paused == 0 {
            rig.send(client, request("GET x").repeat(10));
            asked += 10;
        }
        // Somebody else's traffic, as there always is.
        for _ in 0..2 {
            rig.send(first, request("GET x"));
        }
        rig.later(0);
        paused += said(&mut rig).iter().filter(|it| matches!(it, Output::PauseClient(_))).count();
    }
    assert!(paused > 0, "{asked} replies are under way");
    assert!(asked * value.len() <= LIMIT * 5 / 4, "{asked} replies were asked for before anyone had to wait");
}

/// What came of a socket after it was no longer to be read is the worker's, and counts all the same.
#[test]
fn what_the_worker_keeps_counts() {
    let mut rig = rig();
    let client = rig.client();
    rig.reads_at_most(client, 0);
    rig.send(client, request("GET x"));
    rig.reply(0, format!("$200000\r\n{}\r\n", "v".repeat(200_000)));
    rig.core.keep(LIMIT / 2);
    rig.later(0);
    assert_eq!(said(&mut rig), [], "there is room for that");
    rig.core.keep(LIMIT);
    rig.later(0);
    assert!(matches!(said(&mut rig)[..], [Output::PauseClient(_)]));
    rig.core.keep(0);
    rig.later(20);
    assert!(matches!(said(&mut rig)[..], [Output::ResumeClient(_)]));
}
