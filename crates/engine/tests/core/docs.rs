//! COMMAND DOCS: a server is asked once, and clients are answered out of what it said.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::limits::{DOCS_BYTES, DOCS_KEPT_US, DOCS_RETRY_US};
use engine::topology::Standing;

const SAID: &str = "*4\r\n$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nGet\r\n$5\r\ndebug\r\n*0\r\n";
const GET: &str = "*2\r\n$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nGet\r\n";

/// Whether a reply is out of the built-in table.
fn is_built_in(reply: &str) -> bool {
    reply.contains("Sent to the server of its key or keys")
}

#[test]
fn a_server_is_asked_once_however_many_want_to_know() {
    let mut rig = redis(2);
    let (one, two, gone) = (rig.client(), rig.client(), rig.client());
    rig.send(one, requests(&["COMMAND DOCS GET", "PING"]));
    rig.send(gone, request("COMMAND DOCS"));
    rig.send(two, requests(&["COMMAND DOCS get|nosuch", "COMMAND DOCS debug"]));
    assert_eq!((rig.sent(0).as_bytes(), rig.sent(1).as_str()), (request("COMMAND DOCS").as_slice(), ""));
    rig.vanish(gone);
    assert_eq!((rig.read(one), rig.read(two)), Default::default(), "what is behind it waits, too");
    rig.reply(0, &SAID[..40]);
    rig.reply(0, &SAID[40..]);
    assert_eq!(rig.read(one), format!("{GET}+PONG\r\n"));
    assert_eq!(rig.read(two), "*0\r\n*0\r\n", "nobody has them");
    rig.send(two, requests(&["COMMAND DOCS get", "COMMAND DOCS"]));
    let text = rig.read(two);
    assert!(text.starts_with(GET) && is_built_in(&text), "what it does not tell of is known");
    assert!(text[GET.len()..].contains("$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nGet\r\n"));
    assert_eq!(rig.sent(0), "");
    // Each protocol has its own.
    rig.send(two, requests(&["HELLO 3", "COMMAND DOCS GET"]));
    assert_eq!(rig.sent(0).as_bytes(), request("HELLO 3"));
    rig.reply(0, "%0\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("COMMAND DOCS"));
    rig.reply(0, "%1\r\n$3\r\nget\r\n%1\r\n$7\r\nsummary\r\n$3\r\nGet\r\n");
    assert!(rig.read(two).ends_with("%1\r\n$3\r\nget\r\n%1\r\n$7\r\nsummary\r\n$3\r\nGet\r\n"));
}

#[test]
fn other_workers_are_told() {
    let mut rig = redis(1);
    let (client, elsewhere) = (rig.client(), rig.client_elsewhere());
    rig.send(client, request("COMMAND DOCS GET"));
    rig.reply(0, SAID);
    assert_eq!(rig.read(client), GET);
    rig.send_elsewhere(elsewhere, request("COMMAND DOCS GET"));
    assert_eq!(rig.waits_elsewhere(elsewhere), GET);
}

#[test]
fn what_is_kept_is_asked_for_again_and_stays_where_nobody_says_it() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, request("COMMAND DOCS GET"));
    rig.reply(0, SAID);
    rig.later(DOCS_KEPT_US / 1000);
    rig.sent(0);
    rig.send(client, request("COMMAND DOCS GET"));
    assert_eq!(rig.sent(0).as_bytes(), request("COMMAND DOCS"));
    rig.reply(0, "-LOADING Redis is loading the dataset in memory\r\n");
    assert_eq!(rig.read(client), GET.repeat(2));
    rig.send(client, request("COMMAND DOCS GET"));
    assert_eq!((rig.read(client).as_str(), rig.sent(0).as_str()), (GET, ""));
    rig.later(DOCS_RETRY_US / 1000);
    rig.send(client, request("COMMAND DOCS GET"));
    rig.reply(0, SAID.replace("Get", "New"));
    assert_eq!(rig.read(client), GET.replace("Get", "New"));
}

#[test]
fn without_a_server_that_says_it_the_table_does() {
    type Act = fn(&mut Rig);
    let failures: [Act; 5] = [
        |rig| {
            rig.reply(
                0,
                "-ERR Unknown subcommand or wrong number of arguments for 'DOCS'. Try COMMAND HELP.\r\n",
            )
        },
        |rig| rig.reply(0, "*0\r\n"),
        |rig| rig.lose(0, Cause::Reset),
        |rig| rig.later(1000),
        |rig| {
            rig.reply(0, format!("*2\r\n$3\r\nget\r\n${DOCS_BYTES}\r\n"));
            rig.reply(0, "x".repeat(1000));
        },
    ];
    for (index, fail) in failures.into_iter().enumerate() {
        let mut view = pool(Protocol::Redis, 1);
        view.timeout_us = Some(500_000);
        let mut rig = Rig::new(view);
        let client = rig.client();
        rig.send(client, requests(&["COMMAND DOCS GET", "PING"]));
        fail(&mut rig);
        let text = rig.read(client);
        assert!(is_built_in(&text) && text.ends_with("+PONG\r\n"), "{index}: {text}");
        rig.sent(0);
        rig.send(client, request("COMMAND DOCS GET"));
        assert!(is_built_in(&rig.read(client)), "{index}");
        assert_eq!(rig.sent(0), "", "{index}");
    }
    let mut rig = Rig::new(pool_with(Protocol::Redis, 1, "", |_| Standing::Drained));
    let client = rig.client();
    rig.send(client, request("COMMAND DOCS GET"));
    assert!(is_built_in(&rig.read(client)));
}
