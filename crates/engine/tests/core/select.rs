//! SELECT: each client in its own database, over connections of that database.

use crate::rig::{Rig, pool, pool_with, redis, request, requests};
use config::Protocol;
use engine::error::Cause;
use engine::limits::{DATABASE_IDLE_US, DATABASES};
use engine::topology::Standing;

/// A client in a database, which the server has told of.
fn client_in(rig: &mut Rig, db: u32) -> usize {
    let client = rig.client();
    rig.send(client, request(&format!("SELECT {db}")));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    rig.sent(0);
    client
}

#[test]
fn a_server_says_whether_there_is_such_a_database_and_the_connection_is_used() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["SELECT 3", "GET a"]));
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 3"), "what follows waits");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"), "over the same connection");
    assert_eq!(rig.open_conns(0), 1);
    rig.reply(0, "$1\r\n1\r\n");
    rig.send(other, request("GET a"));
    assert_eq!(
        (rig.sent(0).as_bytes(), rig.open_conns(0)),
        (&request("GET a")[..], 2),
        "who is in none, is in 0"
    );
    rig.reply(0, "$1\r\n0\r\n");
    assert_eq!((rig.read(client), rig.read(other)), ("$1\r\n1\r\n".to_owned(), "$1\r\n0\r\n".to_owned()));
    // It is known from now on.
    rig.send(other, requests(&["SELECT 3", "GET b"]));
    assert_eq!(rig.sent(0).as_bytes(), request("GET b"));
    rig.reply_first(0, "$1\r\n3\r\n");
    rig.send(other, requests(&["SELECT 0", "GET b"]));
    assert_eq!(rig.sent(0).as_bytes(), request("GET b"));
    rig.reply(0, "$1\r\n0\r\n");
    assert_eq!(rig.read(other), "+OK\r\n$1\r\n3\r\n+OK\r\n$1\r\n0\r\n");
}

#[test]
fn a_database_that_there_is_not_leaves_its_client_where_it_was() {
    let mut rig = redis(1);
    let (client, other) = (rig.client(), rig.client());
    rig.send(client, requests(&["SELECT 16", "GET a"]));
    rig.send(other, requests(&["SELECT 16", "CLIENT INFO"]));
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 16"), "it is asked once");
    rig.reply(0, "-ERR DB index is out of range\r\n");
    assert_eq!(rig.read(client), "-ERR DB index is out of range\r\n");
    assert!(rig.read(other).starts_with("-ERR DB index is out of range\r\n"));
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (&request("GET a")[..], 1));
    rig.reply(0, "$-1\r\n");
    rig.send(client, request("CLIENT INFO"));
    assert!(rig.read(client).contains(" db=0 "));
    rig.send(client, request("SELECT 16"));
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 16"), "perhaps there is one now");
}

#[test]
fn texts_are_those_of_redis() {
    let mut rig = redis(1);
    let client = rig.client();
    for (asked, expected) in [
        ("SELECT", "-ERR wrong number of arguments for 'select' command\r\n"),
        ("SELECT abc", "-ERR value is not an integer or out of range\r\n"),
        ("SELECT 01", "-ERR value is not an integer or out of range\r\n"),
        (
            "SELECT 2147483648",
            "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
        ),
        ("SELECT -1", "-ERR DB index is out of range\r\n"),
        ("SELECT 0", "+OK\r\n"),
    ] {
        rig.send(client, request(asked));
        assert_eq!(rig.read(client), expected, "{asked}");
    }
    assert_eq!(rig.open_conns(0), 0);
}

#[test]
fn what_a_client_asked_before_is_carried_out_before() {
    let mut rig = redis(1);
    let client = client_in(&mut rig, 3);
    rig.send(client, requests(&["SET a 1", "SELECT 0", "GET a"]));
    assert_eq!(rig.sent(0).as_bytes(), request("SET a 1"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.reply(0, "$-1\r\n");
    // The same where the database has to be asked for.
    rig.send(client, requests(&["SELECT 3", "SET a 1", "SELECT 9", "GET a"]));
    assert_eq!(rig.sent(0).as_bytes(), requests(&["SET a 1", "SELECT 9"]), "on two connections");
    rig.reply(0, "+OK\r\n");
    assert_eq!((rig.read(client), rig.sent(0)), ("$-1\r\n+OK\r\n".to_owned(), String::new()));
    rig.reply_first(0, "+OK\r\n");
    assert_eq!(
        (rig.read(client), rig.sent(0).as_bytes()),
        ("+OK\r\n+OK\r\n".to_owned(), &request("GET a")[..])
    );
}

#[test]
fn several_who_want_a_database_wait_for_one_answer() {
    let mut rig = redis(2);
    let clients: Vec<usize> = (0..5).map(|_| rig.client()).collect();
    for client in &clients {
        rig.send(*client, requests(&["PING", "SELECT 7"]));
        assert_eq!(rig.read(*client), "+PONG\r\n");
    }
    rig.vanish(clients[1]);
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(1)), (&request("SELECT 7")[..], 0));
    rig.reply(0, "+OK\r\n");
    for client in [0, 2, 3, 4] {
        assert_eq!(rig.read(clients[client]), "+OK\r\n");
    }
    let key = rig.key(1, 0);
    rig.send(clients[4], request(&format!("GET {key}")));
    assert_eq!(
        rig.sent(1).as_bytes(),
        requests(&["SELECT 7"]),
        "the other server's connection is greeted with it"
    );
    rig.reply(1, "+OK\r\n");
    assert_eq!(rig.sent(1).as_bytes(), request(&format!("GET {key}")));
    rig.reply(1, "$-1\r\n");
    assert_eq!((rig.read(clients[4]), rig.core.usage().requests), ("$-1\r\n".to_owned(), 0));
}

#[test]
fn a_server_with_fewer_databases_says_so_itself() {
    let mut rig = redis(2);
    let client = client_in(&mut rig, 7);
    let key = rig.key(1, 0);
    rig.send(client, requests(&[&format!("GET {key}"), "PING"]));
    rig.reply(1, "-ERR DB index is out of range\r\n");
    let said = "-ERR server 's1' refused the proxy's SELECT: ERR DB index is out of range\r\n+PONG\r\n";
    assert_eq!((rig.read(client), rig.open_conns(1)), (said.to_owned(), 0));
}

#[test]
fn an_answer_that_never_comes() {
    let lines = "timeout: 100\nserver_failure_limit: 1";
    for breaks in [true, false] {
        let mut rig = Rig::new(pool_with(Protocol::Redis, 1, lines, |_| Standing::In));
        let (client, other) = (rig.client(), rig.client());
        rig.send(client, requests(&["SELECT 7", "CLIENT INFO"]));
        rig.send(other, request("SELECT 7"));
        let text = match breaks {
            true => {
                rig.lose(0, Cause::Reset);
                "-ERR Connection reset by peer\r\n"
            }
            false => {
                rig.later(101);
                "-ERR Connection timed out\r\n"
            }
        };
        let said = rig.read(client);
        assert!(said.starts_with(text) && said.contains(" db=0 "), "{said}");
        assert_eq!(rig.read(other), text);
        assert_eq!((rig.open_conns(0), rig.core.usage().requests), (0, 0));
        rig.sent(0);
        rig.send(client, request("SELECT 7"));
        assert_eq!(rig.sent(0).as_bytes(), request("SELECT 7"), "it is asked anew");
        rig.reply(0, "+OK\r\n");
        assert_eq!(rig.read(client), "+OK\r\n");
    }
}

#[test]
fn a_spare_connection_that_was_closed_is_no_reason() {
    let mut rig = redis(1);
    let client = rig.client();
    // One is kept from this.
    rig.send(client, request("SELECT 99"));
    rig.reply(0, "-ERR DB index is out of range\r\n");
    assert_eq!((rig.read(client), rig.open_conns(0)), ("-ERR DB index is out of range\r\n".to_owned(), 1));
    rig.sent(0);
    rig.takes_at_most(0, 0);
    rig.send(client, requests(&["SELECT 5", "GET a"]));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 5"), "another connection, and nothing but that on it");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    assert_eq!((rig.read(client), rig.open_conns(0)), ("+OK\r\n".to_owned(), 1));
}

#[test]
fn servers_that_cannot_be_asked() {
    let mut view = pool(Protocol::Redis, 2);
    view.servers[0].drained = true;
    let mut rig = Rig::new(view.clone());
    let client = rig.client();
    rig.send(client, request("SELECT 7"));
    assert_eq!((rig.open_conns(0), rig.sent(1).as_bytes()), (0, &request("SELECT 7")[..]), "the next one is");
    view.servers[1].drained = true;
    let mut rig = Rig::new(view.clone());
    let client = rig.client();
    rig.send(client, requests(&["SELECT 7", "PING"]));
    assert_eq!(rig.read(client), "-ERR server is drained for maintenance\r\n+PONG\r\n");
    view.servers.iter_mut().for_each(|server| (server.drained, server.live) = (false, false));
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, requests(&["SELECT 7", "PING"]));
    assert_eq!(rig.read(client), "-ERR Connection refused\r\n+PONG\r\n");
}

#[test]
fn password_protocol_and_an_own_database() {
    let mut view = pool(Protocol::Redis, 1);
    view.redis_auth = Some(b"sesame".to_vec());
    view.redis_db = 3;
    let mut rig = Rig::new(view);
    let client = rig.client();
    rig.send(client, requests(&["SELECT 5", "AUTH sesame", "SELECT 3", "SELECT 5"]));
    assert_eq!(rig.read(client), "-NOAUTH Authentication required\r\n+OK\r\n+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), requests(&["AUTH sesame", "SELECT 3"]));
    rig.reply(0, "+OK\r\n+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 5"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    // In RESP3 and in database 0: a connection of its own, which begins there.
    rig.send(client, request("SELECT 0"));
    assert_eq!(rig.sent(0).as_bytes(), requests(&["AUTH sesame", "SELECT 3"]));
    rig.reply(0, "+OK\r\n+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 0"));
    rig.reply(0, "+OK\r\n");
    rig.send(client, requests(&["HELLO 3", "GET a"]));
    assert_eq!(rig.sent(0).as_bytes(), request("HELLO 3 AUTH default sesame"));
    rig.reply(0, "%0\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.reply(0, "_\r\n");
    rig.read(client);
    rig.send(client, requests(&["RESET", "AUTH sesame", "CLIENT INFO"]));
    assert!(rig.read(client).contains(" db=3 "));
}

#[test]
fn everything_a_client_asks_goes_to_its_database() {
    let mut rig = redis(1);
    let client = client_in(&mut rig, 4);
    for (asked, reply) in [
        ("GET a", "$-1\r\n"),
        ("MGET a b", "*2\r\n$-1\r\n$-1\r\n"),
        ("DEL a b", ":0\r\n"),
        ("DBSIZE", ":0\r\n"),
        ("KEYS *", "*0\r\n"),
        ("SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("RANDOMKEY", "$-1\r\n"),
        ("FLUSHDB", "+OK\r\n"),
        ("EVAL x 0", ":1\r\n"),
        ("PUBLISH c m", ":0\r\n"),
        ("INFO server:s0 keyspace", "$0\r\n\r\n"),
        ("OBJECT ENCODING a", "$-1\r\n"),
        ("MOVE a 3", ":1\r\n"),
    ] {
        rig.send(client, request(asked));
        let sent = if asked.starts_with("INFO") { request("INFO keyspace") } else { request(asked) };
        assert_eq!(rig.sent(0).as_bytes(), sent, "{asked}");
        rig.reply(0, reply);
        assert_eq!((rig.read(client), rig.open_conns(0)), (reply.to_owned(), 1), "{asked}");
    }
    rig.send(client, requests(&["MULTI", "GET a", "EXEC"]));
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (&requests(&["MULTI", "GET a", "EXEC"])[..], 1));
}

#[test]
fn a_broken_connection_is_made_again_in_its_database() {
    let mut view = pool(Protocol::Redis, 1);
    view.retry_reads = true;
    let mut rig = Rig::new(view);
    let client = client_in(&mut rig, 4);
    rig.send(client, request("GET a"));
    rig.sent(0);
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 4"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
}

#[test]
fn a_large_read_whose_own_connection_breaks_is_made_again_in_its_database() {
    let mut view = pool(Protocol::Redis, 1);
    (view.stream_from, view.retry_reads) = (100, true);
    let mut rig = Rig::new(view);
    let client = client_in(&mut rig, 4);
    rig.send(client, request(&format!("SET a {}", "v".repeat(1000))).split_at(500).0);
    rig.send(client, &request(&format!("SET a {}", "v".repeat(1000)))[500..]);
    rig.reply(0, "+OK\r\n");
    rig.sent(0);
    rig.send(client, request("GET a"));
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
    rig.lose(0, Cause::Closed);
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 4"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("GET a"));
}

#[test]
fn large_values_go_over_connections_to_their_database() {
    let mut view = pool(Protocol::Redis, 1);
    view.stream_from = 100;
    let mut rig = Rig::new(view);
    let (client, other) = (client_in(&mut rig, 4), rig.client());
    let set = request(&format!("SET a {}", "v".repeat(1000)));
    let (begin, end) = set.split_at(500);
    rig.send(client, begin);
    assert_eq!(rig.sent(0).as_bytes(), begin, "the spare one is in it already");
    rig.send(other, begin);
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (begin, 2));
    rig.send(client, end);
    rig.reply_first(0, "+OK\r\n");
    rig.vanish(other);
    assert_eq!((rig.read(client), rig.sent(0).as_bytes()), ("+OK\r\n".to_owned(), end));
    // Known to be large: read on a connection of its own, behind whose reply others ask elsewhere.
    rig.send(client, request("GET a"));
    rig.send(client, request("GET b"));
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (&request("GET a")[..], 1));
    rig.reply(0, format!("$1000\r\n{}", "v".repeat(500)));
    rig.reply(0, format!("{}\r\n", "v".repeat(500)));
    assert_eq!(rig.sent(0).as_bytes(), request("GET b"));
    assert_eq!(rig.open_conns(0), 1, "all of it in its database");
}

#[test]
fn connections_of_a_clients_own_are_in_its_database() {
    let mut rig = redis(1);
    let client = client_in(&mut rig, 4);
    let other = rig.client();
    rig.send(client, request("BLPOP q 0"));
    assert_eq!(rig.sent(0).as_bytes(), request("BLPOP q 0"), "the spare one is in it already");
    rig.send(other, request("BLPOP q 0"));
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (&request("BLPOP q 0")[..], 2));
    rig.reply_first(0, "*2\r\n$1\r\nq\r\n$1\r\n4\r\n");
    assert_eq!(rig.read(client), "*2\r\n$1\r\nq\r\n$1\r\n4\r\n");
    rig.send(client, requests(&["GET a"]));
    rig.reply_first(0, "$1\r\n4\r\n");
    assert_eq!(rig.read(client), "$1\r\n4\r\n");
    rig.sent(0);
    rig.send(client, request("WATCH a"));
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 4"), "a new one has to go there");
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("WATCH a"));
    rig.reply(0, "+OK\r\n");
    rig.send(client, requests(&["SELECT 4", "SELECT 0", "MULTI", "SELECT 0", "EXEC", "UNWATCH", "SELECT 0"]));
    let said = rig.read(client);
    assert!(
        said.starts_with("+OK\r\n+OK\r\n-ERR cashew does not SELECT another database while keys are watched")
    );
    assert!(
        said.contains("+OK\r\n-ERR cashew does not run 'SELECT' inside a transaction\r\n-EXECABORT"),
        "{said}"
    );
    assert!(said.ends_with("\r\n+OK\r\n+OK\r\n"), "{said}");
}

#[test]
fn a_database_that_may_not_be_left() {
    for (lines, text) in [
        (
            "redis_db_fixed: true",
            "ERR clients of this pool cannot SELECT another database than 0 (redis_db_fixed)",
        ),
        ("cluster_emulation: true", "ERR SELECT is not allowed in cluster mode"),
    ] {
        let mut rig = Rig::new(pool_with(Protocol::Redis, 1, lines, |_| Standing::In));
        let client = rig.client();
        rig.send(client, requests(&["SELECT 0", "SELECT 3", "SELECT x"]));
        let said = format!("+OK\r\n-{text}\r\n-ERR value is not an integer or out of range\r\n");
        assert_eq!(rig.read(client), said);
        for asked in ["MOVE a 3", "COPY a b DB 3", "COPY a b replace db 3"] {
            rig.send(client, request(asked));
            assert!(rig.read(client).contains("to another database"), "{asked}");
        }
        rig.send(client, requests(&["MULTI", "MOVE a 3", "EXEC"]));
        assert!(
            rig.read(client).ends_with("-EXECABORT Transaction discarded because of previous errors.\r\n")
        );
        assert_eq!(rig.open_conns(0), 0);
        rig.send(client, request("COPY a b REPLACE"));
        assert_eq!(rig.sent(0).as_bytes(), request("COPY a b REPLACE"));
    }
}

#[test]
fn connections_to_a_database_that_nobody_has_selected_are_closed() {
    let mut rig = redis(1);
    let client = client_in(&mut rig, 4);
    rig.send(client, request("GET a"));
    rig.reply(0, "$-1\r\n");
    let idle_ms = DATABASE_IDLE_US / 1000;
    rig.later(3 * idle_ms);
    assert_eq!(rig.open_conns(0), 1, "its client is still there");
    rig.vanish(client);
    rig.later(1);
    rig.later(idle_ms);
    assert_eq!((rig.open_conns(0), rig.core.usage().conns), (0, 0));
    // It stays known.
    let client = rig.client();
    rig.sent(0);
    rig.send(client, requests(&["SELECT 4", "GET a"]));
    assert_eq!((rig.read(client), rig.sent(0).as_bytes()), ("+OK\r\n".to_owned(), &request("SELECT 4")[..]));
}

#[test]
fn only_so_many_databases_are_in_use_at_a_time() {
    let mut rig = redis(1);
    let clients: Vec<usize> = (1..DATABASES as u32).map(|db| client_in(&mut rig, db)).collect();
    let more = rig.client();
    let db = DATABASES as u32 + 5;
    rig.send(more, requests(&[&format!("SELECT {db}"), "SELECT 1", "SELECT 0"]));
    let said = rig.read(more);
    assert!(said.starts_with("-ERR clients of this pool use 64 databases already"), "{said}");
    assert!(said.ends_with("+OK\r\n+OK\r\n"), "{said}");
    // The place of one that nobody uses is another's, and its connections are not taken for that one's.
    rig.send(clients[6], request("GET a"));
    rig.reply_everywhere(0, "");
    rig.vanish(clients[7]);
    rig.send(more, request(&format!("SELECT {db}")));
    assert!(rig.sent(0).ends_with(&String::from_utf8(request(&format!("SELECT {db}"))).unwrap()));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(more), "+OK\r\n");
    let open = rig.open_conns(0);
    rig.send(more, request("GET a"));
    assert_eq!((rig.sent(0).as_bytes(), rig.open_conns(0)), (&request("GET a")[..], open));
}

#[test]
fn what_is_written_while_a_server_is_away_is_known_by_its_database() {
    let lines = "on_failure: eject\non_return: invalidate";
    let view = |standing| {
        pool_with(Protocol::Redis, 2, lines, move |s| if s == 0 { standing } else { Standing::In })
    };
    let mut rig = Rig::new(view(Standing::In));
    let key = rig.key(0, 0);
    let (client, other) = (client_in(&mut rig, 4), rig.client());
    rig.take_up(view(Standing::Out));
    rig.send(client, request(&format!("SET {key} 1")));
    rig.send(other, request(&format!("SET {key} 1")));
    rig.send(client, requests(&[&format!("MOVE {key} 0"), "FLUSHDB"]));
    let record = rig.core.collect(0, 0);
    assert_eq!(record.keys, [(0, key.as_bytes().into())]);
    assert_eq!((record.emptied, record.used, record.overflowed), (vec![4], vec![4], false));
    rig.take_up(view(Standing::Returning));
    rig.sent(0);
    rig.send(client, request(&format!("SET {key} 2")));
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 4"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request(&format!("UNLINK {key}")), "it is deleted in its database");
    rig.reply(0, ":1\r\n");
    assert_eq!(rig.core.collect(0, 0).keys, [(4, key.as_bytes().into())]);
}

#[test]
fn a_client_that_tracks_what_it_reads_does_so_in_every_database() {
    let mut rig = redis(1);
    let client = rig.client();
    rig.send(client, requests(&["HELLO 3", "CLIENT TRACKING ON"]));
    rig.read(client);
    rig.send(client, requests(&["SELECT 3", "GET a"]));
    assert_eq!(rig.sent(0).as_bytes(), request("HELLO 3"), "the first to ask for it goes alone");
    rig.reply(0, "%0\r\n");
    assert_eq!(rig.sent(0).as_bytes(), request("SELECT 3"));
    rig.reply(0, "+OK\r\n");
    assert_eq!(rig.read(client), "+OK\r\n");
    assert_eq!(rig.sent(0).as_bytes(), requests(&["CLIENT TRACKING ON", "GET a"]), "over the same");
    rig.reply(0, "+OK\r\n$1\r\n1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
    assert_eq!(rig.read(client), "$1\r\n1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
    rig.send(client, requests(&["CLIENT TRACKING OFF", "GET a"]));
    assert_eq!(rig.read(client), "+OK\r\n");
    assert_eq!(
        rig.sent(0).as_bytes(),
        requests(&["HELLO 3", "SELECT 3"]),
        "over one on which nothing is told"
    );
    assert_eq!(rig.open_conns(0), 2);
}
