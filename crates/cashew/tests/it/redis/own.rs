//! Connections that clients have to themselves, for WATCH and for commands that wait: nobody else notices, and nothing is
//! left behind.

use testkit::{Client, RedisServer, resp, wait};

use crate::farm::Farm;

/// How many clients a server has, the asker not counted.
fn clients_of(server: &mut Client) -> usize {
    let list = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    String::from_utf8_lossy(&list).lines().filter(|line| line.contains(" addr=")).count() - 1
}

fn blocked(servers: &[RedisServer]) -> usize {
    let blocked = |server: &RedisServer| {
        let info = server.client().ask(&["INFO", "clients"]);
        let info = String::from_utf8_lossy(&info).into_owned();
        let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:").map(str::to_owned));
        line.and_then(|count| count.trim().parse::<usize>().ok()).expect("redis tells")
    };
    servers.iter().map(blocked).sum()
}

#[test]
fn a_hundred_clients_wait_and_one_more_is_served_meanwhile() {
    let farm = Farm::redis(2, &["timeout: 400"]);
    let mut waiting: Vec<Client> = (0..100).map(|_| farm.client()).collect();
    for (index, client) in waiting.iter_mut().enumerate() {
        client.send(&resp(&["BLPOP", &format!("list:{index}"), "0"]));
    }
    wait::until("all to wait", || blocked(&farm.servers) == 100);
    let mut client = farm.client();
    for index in 0..100 {
        assert_eq!(client.ask(&["SET", &format!("key:{index}"), "v"]), b"+OK\r\n");
    }
    for index in 0..100 {
        assert_eq!(client.ask(&["RPUSH", &format!("list:{index}"), "element"]), b":1\r\n");
    }
    for (index, client) in waiting.iter_mut().enumerate() {
        let list = format!("list:{index}");
        let wanted = format!("*2\r\n${}\r\n{list}\r\n$7\r\nelement\r\n", list.len());
        client.expect(wanted.as_bytes());
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
    assert_eq!(blocked(&farm.servers), 0);
}

#[test]
fn no_element_is_lost_when_a_client_goes_away() {
    let farm = Farm::redis(1, &[]);
    let mut producer = farm.client();
    for round in 0..40 {
        let mut waiting = farm.client();
        waiting.send(&resp(&["BLPOP", "l", "0"]));
        if round % 2 == 0 {
            // Something behind it does not hide that the client leaves.
            waiting.send(&resp(&["GET", "k"]));
        }
        wait::until("it to wait", || blocked(&farm.servers) == 1);
        match round % 3 {
            0 => waiting.reset(),
            1 => drop(waiting),
            _ => {
                waiting.finish_sending();
                waiting.expect_closed();
            }
        }
        wait::until("nobody to wait", || blocked(&farm.servers) == 0);
        let element = round.to_string();
        assert_eq!(producer.ask(&["RPUSH", "l", &element]), b":1\r\n");
        let wanted = format!("${}\r\n{element}\r\n", element.len());
        assert_eq!(producer.ask(&["LPOP", "l"]), wanted.as_bytes(), "round {round}");
    }
}

#[test]
fn a_watched_key_that_another_client_changes_stops_the_transaction() {
    let farm = Farm::redis(1, &[]);
    let (mut client, mut other) = (farm.client(), farm.client());
    assert_eq!(client.ask(&["WATCH", "k"]), b"+OK\r\n");
    assert_eq!(other.ask(&["SET", "k", "theirs"]), b"+OK\r\n");
    client.send(&[resp(&["MULTI"]), resp(&["SET", "k", "ours"]), resp(&["EXEC"])].concat());
    client.expect(b"+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(other.ask(&["GET", "k"]), b"$6\r\ntheirs\r\n");
    // What one client watches is nothing to another on the same worker.
    assert_eq!(client.ask(&["WATCH", "k"]), b"+OK\r\n");
    other.send(&[resp(&["MULTI"]), resp(&["SET", "k", "again"]), resp(&["EXEC"])].concat());
    other.expect(b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(client.ask(&["GET", "k"]), b"$5\r\nagain\r\n");
    assert_eq!(client.ask(&["UNWATCH"]), b"+OK\r\n");
}

#[test]
fn counters_in_transactions_of_many_clients_add_up() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 50;
    let farm = Farm::redis(2, &[]);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = farm.client();
                let mut done = 0;
                while done < ROUNDS {
                    assert_eq!(client.ask(&["WATCH", "{n}count"]), b"+OK\r\n");
                    let now = client.ask(&["GET", "{n}count"]);
                    let now = String::from_utf8_lossy(&now)
                        .lines()
                        .nth(1)
                        .map_or(0, |n| n.parse().expect("a number"));
                    let next = (now + 1_i64).to_string();
                    client.send(
                        &[
                            resp(&["MULTI"]),
                            resp(&["SET", "{n}count", &next]),
                            resp(&["INCR", "{n}sure"]),
                            resp(&["EXEC"]),
                        ]
                        .concat(),
                    );
                    client.expect(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n");
                    done += usize::from(client.resp_reply() != b"*-1\r\n");
                }
            });
        }
    });
    let total = CLIENTS * ROUNDS;
    let wanted = format!("${}\r\n{total}\r\n", total.to_string().len());
    let mut client = farm.client();
    assert_eq!(client.ask(&["GET", "{n}count"]), wanted.as_bytes());
    assert_eq!(client.ask(&["GET", "{n}sure"]), wanted.as_bytes());
}

#[test]
fn connections_are_given_back_and_those_of_clients_that_left_are_closed() {
    let farm = Farm::redis(1, &[]);
    let mut servers: Vec<Client> = farm.servers.iter().map(RedisServer::client).collect();
    let mut total = || servers.iter_mut().map(clients_of).sum::<usize>();
    let mut one = farm.client();
    for index in 0..50 {
        // Touches every server.
        one.ask(&["SET", &format!("k{index}"), "v"]);
    }
    let before = total();
    for index in 0..20 {
        let mut client = farm.client();
        assert_eq!(client.ask(&["WATCH", &format!("k{index}")]), b"+OK\r\n");
        drop(client);
    }
    wait::until("the connections of those who left to be closed", || total() == before);
    for index in 0..20 {
        let key = format!("k{index}");
        assert_eq!(one.ask(&["WATCH", &key]), b"+OK\r\n");
        assert_eq!(one.ask(&["UNWATCH"]), b"+OK\r\n");
        assert_eq!(one.ask(&["BLPOP", &format!("none{index}"), "0.01"]), b"*-1\r\n");
    }
    assert!(total() <= before + 8, "{} connections, {before} before", total());
}
