//! SELECT over real servers: each client in its own database, and nobody in another's.

use std::thread;

use testkit::{Client, RedisServer, ports, resp, wait};

use crate::farm::{self, Farm};

const OK: &[u8] = b"+OK\r\n";

fn db_of(client: &mut Client) -> String {
    let info = String::from_utf8_lossy(&client.ask(&["CLIENT", "INFO"])).into_owned();
    info.split(' ').find_map(|field| field.strip_prefix("db=")).expect("the field is there").to_owned()
}

#[test]
fn a_client_selects_and_others_do_not_notice() {
    let farm = Farm::redis(1, &[]);
    let (mut a, mut b) = (farm.client(), farm.client());
    assert_eq!(a.ask(&["SELECT", "3"]), OK);
    let pairs: Vec<String> = (0..50).flat_map(|n| [format!("k{n}"), format!("v{n}")]).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    assert_eq!(a.ask(&[&["MSET"], &pairs[..]].concat()), OK);
    assert_eq!((a.ask(&["DBSIZE"]), b.ask(&["DBSIZE"])), (b":50\r\n".to_vec(), b":0\r\n".to_vec()));
    assert_eq!((db_of(&mut a), db_of(&mut b)), ("3".to_owned(), "0".to_owned()));
    assert_eq!(b.ask(&["RANDOMKEY"]), b"$-1\r\n");
    // A pipeline through two databases, answered in order.
    b.send(
        &[["SET", "k0", "0"], ["SELECT", "3", ""], ["GET", "k0", ""], ["SELECT", "0", ""], ["GET", "k0", ""]]
            .iter()
            .flat_map(|words| resp(&words.iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()))
            .collect::<Vec<u8>>(),
    );
    b.expect(b"+OK\r\n+OK\r\n$2\r\nv0\r\n+OK\r\n$1\r\n0\r\n");
    // A client's database goes with it.
    drop(a);
    let mut c = farm.client();
    assert_eq!((c.ask(&["DBSIZE"]), db_of(&mut c)), (b":1\r\n".to_vec(), "0".to_owned()));
    // And by RESET.
    assert_eq!(c.ask(&["SELECT", "3"]), OK);
    assert_eq!(c.ask(&["FLUSHDB"]), OK);
    assert_eq!(c.ask(&["RESET"]), b"+RESET\r\n");
    assert_eq!(c.ask(&["DBSIZE"]), b":1\r\n");
    for server in &farm.servers {
        let mut direct = server.client();
        assert_eq!(direct.ask(&["SELECT", "3"]), OK);
        assert_eq!(direct.ask(&["DBSIZE"]), b":0\r\n");
    }
}

#[test]
fn many_clients_in_several_databases_at_once() {
    let farm = Farm::redis(2, &["server_connections: 2", "stream_from: 64kb"]);
    let large = "x".repeat(100 << 10);
    thread::scope(|scope| {
        for number in 0..12usize {
            let (farm, large) = (&farm, &large);
            scope.spawn(move || {
                let mut client = farm.client();
                if number % 3 == 0 {
                    assert!(client.ask(&["HELLO", "3"]).starts_with(b"%"));
                }
                for round in 0..60usize {
                    let db = (number * 7 + round * 3) % 10;
                    let key = format!("{{t{}}}key:{number}", round % 4);
                    // Of several databases only one has the value of this round.
                    let value = match round % 20 {
                        7 => format!("{db}/{number}/{round}/{large}"),
                        _ => format!("{db}/{number}/{round}"),
                    };
                    let mut bytes = resp(&["SELECT", &db.to_string()]);
                    bytes.extend(resp(&["SET", &key, &value]));
                    bytes.extend(resp(&["SELECT", &((db + 1) % 10).to_string()]));
                    bytes.extend(resp(&["SET", &key, "another"]));
                    bytes.extend(resp(&["SELECT", &db.to_string()]));
                    bytes.extend(resp(&["GET", &key]));
                    bytes.extend(resp(&["GETDEL", &key]));
                    client.send(&bytes);
                    client.expect(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
                    let bulk = format!("${}\r\n{value}\r\n", value.len());
                    client.expect(bulk.as_bytes());
                    client.expect(bulk.as_bytes());
                }
            });
        }
    });
}

#[test]
fn password_own_database_and_resp3() {
    let servers = farm::many(2, || RedisServer::start_with(&["--requirepass", "open sesame"]));
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    let port = ports::free();
    let options = ["redis: true", "hash: murmur", "redis_auth: open sesame", "redis_db: 2"];
    let _proxy = farm::proxy(&farm::pool(&format!("127.0.0.1:{port}"), &addresses, &options), 1);
    let client = || Client::connect_port(port).expect("accepts");
    let mut old = client();
    assert!(old.ask(&["SELECT", "4"]).starts_with(b"-NOAUTH"));
    assert_eq!(old.ask(&["AUTH", "open sesame"]), OK);
    let mut new = client();
    assert!(new.ask(&["HELLO", "3", "AUTH", "default", "open sesame"]).starts_with(b"%"));
    for (db, one) in [("0", &mut old), ("4", &mut new)] {
        assert_eq!(one.ask(&["SELECT", db]), OK);
        for n in 0..20 {
            assert_eq!(one.ask(&["SET", &format!("k{n}"), db]), OK);
        }
        assert_eq!(one.ask(&["SELECT", "2"]), OK);
        assert_eq!(one.ask(&["DBSIZE"]), b":0\r\n");
        assert_eq!(one.ask(&["SELECT", "16"]), b"-ERR DB index is out of range\r\n");
        assert_eq!(db_of(one), "2");
    }
    let held = |db: &str| -> usize {
        let sizes = servers.iter().map(|server| {
            let mut direct = server.client();
            assert_eq!(direct.ask(&["AUTH", "open sesame"]), OK);
            assert_eq!(direct.ask(&["SELECT", db]), OK);
            String::from_utf8_lossy(&direct.ask(&["DBSIZE"])[1..])
                .trim_end()
                .parse::<usize>()
                .expect("a number")
        });
        sizes.sum()
    };
    assert_eq!(["0", "2", "4"].map(held), [20, 0, 20]);
}

#[test]
fn a_pool_whose_database_is_fixed() {
    let farm = Farm::redis(1, &["redis_db: 1", "redis_db_fixed: true"]);
    let mut client = farm.client();
    assert_eq!(client.ask(&["SELECT", "1"]), OK);
    let said = client.ask(&["SELECT", "0"]);
    assert_eq!(
        String::from_utf8_lossy(&said),
        "-ERR clients of this pool cannot SELECT another database than 1 (redis_db_fixed)\r\n"
    );
    assert_eq!(client.ask(&["SET", "k", "v"]), OK);
    let said = client.ask(&["MOVE", "k", "0"]);
    assert_eq!(
        String::from_utf8_lossy(&said),
        "-ERR keys of this pool cannot go to another database (redis_db_fixed)\r\n"
    );
    assert_eq!(client.ask(&["GET", "k"]), b"$1\r\nv\r\n");
}

#[test]
fn what_was_subscribed_and_waited_for_is_of_one_database() {
    let farm = Farm::redis(1, &[]);
    let (mut three, mut four, mut zero) = (farm.client(), farm.client(), farm.client());
    assert_eq!((three.ask(&["SELECT", "3"]), four.ask(&["SELECT", "4"])), (OK.to_vec(), OK.to_vec()));
    three.send(&resp(&["BLPOP", "q", "0"]));
    // Once it waits, elements elsewhere are none of its.
    wait::until("it to wait", || {
        String::from_utf8_lossy(&zero.ask(&["CLIENT", "LIST"])).contains("flags=b db=3")
    });
    assert_eq!(four.ask(&["LPUSH", "q", "four"]), b":1\r\n");
    assert_eq!(zero.ask(&["LPUSH", "q", "zero"]), b":1\r\n");
    let mut other = farm.client();
    assert_eq!(other.ask(&["SELECT", "3"]), OK);
    assert_eq!(other.ask(&["LPUSH", "q", "three"]), b":1\r\n");
    three.expect(b"*2\r\n$1\r\nq\r\n$5\r\nthree\r\n");
    // A key that another writes in another database is not watched.
    assert_eq!(three.ask(&["WATCH", "w"]), OK);
    assert_eq!(four.ask(&["SET", "w", "4"]), OK);
    three.send(&[resp(&["MULTI"]), resp(&["SET", "w", "3"]), resp(&["EXEC"])].concat());
    three.expect(b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(three.ask(&["WATCH", "w"]), OK);
    assert_eq!(other.ask(&["SET", "w", "5"]), OK);
    three.send(&[resp(&["MULTI"]), resp(&["SET", "w", "3"]), resp(&["EXEC"])].concat());
    three.expect(b"+OK\r\n+QUEUED\r\n*-1\r\n");
    // Channels are of all databases.
    assert!(zero.ask(&["SUBSCRIBE", "c"]).starts_with(b"*3\r\n$9\r\nsubscribe"));
    assert_eq!(four.ask(&["PUBLISH", "c", "m"]), b":1\r\n");
    zero.expect(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
}

#[test]
fn broken_connections_are_made_again_in_the_right_database() {
    let farm = Farm::redis(1, &["timeout: 2000"]);
    let mut client = farm.client();
    assert_eq!(client.ask(&["SELECT", "6"]), OK);
    for n in 0..40 {
        assert_eq!(client.ask(&["SET", &format!("k{n}"), "6"]), OK);
    }
    for server in &farm.servers {
        server.client().ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    for n in 0..40 {
        assert_eq!(client.ask(&["GET", &format!("k{n}")]), b"$1\r\n6\r\n");
    }
    assert_eq!(client.ask(&["DBSIZE"]), b":40\r\n");
}
