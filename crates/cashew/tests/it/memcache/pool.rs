//! What only a pool has: keys on several servers, and answers put together from all of them.

use testkit::Client;

use crate::farm::Farm;
use crate::parity::table::listed;

#[test]
fn keys_are_spread_and_found_again() {
    let farm = Farm::memcached(2, &[]);
    let mut client = farm.client();
    for n in 0..200 {
        let request = format!("set key:{n} 0 0 {}\r\n{n}\r\n", n.to_string().len());
        assert_eq!(client.ask_memcache(request.as_bytes()), b"STORED\r\n");
    }
    let held: Vec<u64> = farm.servers.iter().map(|server| stat(&mut server.client(), "curr_items")).collect();
    assert!(held.iter().all(|count| *count > 0), "keys are not spread: {held:?}");
    assert_eq!(held.iter().sum::<u64>(), 200, "{held:?}");
    // Another client, the other worker.
    let mut other = farm.client();
    let keys: Vec<String> = (0..200).map(|n| format!("key:{n}")).collect();
    let values: String =
        (0..200).map(|n| format!("VALUE key:{n} 0 {}\r\n{n}\r\n", n.to_string().len())).collect();
    let reply = other.ask_memcache(format!("get {}\r\n", keys.join(" ")).as_bytes());
    assert_eq!(String::from_utf8_lossy(&reply), values + "END\r\n");
}

#[test]
fn gets_that_go_to_a_server_as_one_are_answered_to_each_client_in_its_order() {
    let farm = Farm::memcached(1, &[]);
    let mut clients: Vec<Client> = (0..20).map(|_| farm.client()).collect();
    for n in (0..300).step_by(3) {
        let request = format!("set key:{n} {n} 0 {}\r\n{}\r\n", n * 7, "v".repeat(n * 7));
        assert_eq!(clients[0].ask_memcache(request.as_bytes()), b"STORED\r\n");
    }
    let before: Vec<u64> =
        farm.servers.iter().map(|server| stat(&mut server.client(), "bytes_read")).collect();
    let mut read = 0;
    for round in 0..10 {
        let mut expected = Vec::new();
        for (index, client) in clients.iter_mut().enumerate() {
            // Hits, misses, the same key again, and of others.
            let keys: Vec<usize> = (0..50).map(|n| (index * n * (round + 1) + n / 2) % 300).collect();
            let asked: String = keys.iter().map(|n| format!("get key:{n}\r\n")).collect();
            read += asked.len() as u64;
            client.send(asked.as_bytes());
            let hit = |n: usize| format!("VALUE key:{n} {n} {}\r\n{}\r\n", n * 7, "v".repeat(n * 7));
            let reply = |n: &usize| (if n.is_multiple_of(3) { hit(*n) } else { String::new() }) + "END\r\n";
            expected.push(keys.iter().map(reply).collect::<String>());
        }
        for (client, expected) in clients.iter_mut().zip(expected) {
            let reply: Vec<u8> = (0..50).flat_map(|_| client.memcache_reply()).collect();
            assert_eq!(String::from_utf8_lossy(&reply), expected);
        }
    }
    let after = farm.servers.iter().map(|server| stat(&mut server.client(), "bytes_read"));
    let got: u64 = after.zip(before).map(|(after, before)| after - before).sum();
    assert!(got < read * 9 / 10, "servers read {got} bytes of {read}: nothing was joined");
    listed("joined-gets");
}

#[test]
fn statistics_of_all_servers_are_added_up() {
    let farm = Farm::memcached(1, &[]);
    let mut client = farm.client();
    for n in 0..50 {
        client.ask_memcache(format!("set key:{n} 0 0 1\r\nx\r\n").as_bytes());
        client.ask_memcache(format!("get key:{n}\r\n").as_bytes());
    }
    assert_eq!(stat(&mut client, "curr_items"), 50);
    assert_eq!(stat(&mut client, "cmd_set"), 50);
    assert_eq!(stat(&mut client, "get_hits"), 50);
    assert_eq!(stat(&mut client, "limit_maxbytes"), 4 * (64 << 20));
    // The same names in the same order as of one server.
    let names = |reply: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(reply).into_owned();
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let (ours, one) = (client.ask_memcache(b"stats\r\n"), farm.direct.client().ask_memcache(b"stats\r\n"));
    assert_eq!(names(&ours), names(&one));

    // Statistics that cannot be added up come with the server's name.
    let reply = client.ask_memcache(b"stats settings\r\n");
    let text = String::from_utf8_lossy(&reply);
    for index in 0..4 {
        assert!(text.contains(&format!("STAT server-{index}:maxconns 1024\r\n")), "{text}");
    }
    assert!(text.ends_with("END\r\n"));
    assert_eq!(client.ask_memcache(b"stats reset\r\n"), b"RESET\r\n");
    assert_eq!(stat(&mut client, "get_hits"), 0);
}

#[test]
fn flush_all_empties_every_server() {
    for request in
        [&b"flush_all\r\nversion\r\n"[..], b"flush_all noreply\r\nversion\r\n", b"flush_all 0\r\nversion\r\n"]
    {
        let farm = Farm::memcached(1, &[]);
        let mut client = farm.client();
        for n in 0..50 {
            client.ask_memcache(format!("set key:{n} 0 0 1\r\nx\r\n").as_bytes());
        }
        client.send(request);
        if !request.starts_with(b"flush_all noreply") {
            client.expect(b"OK\r\n");
        }
        assert!(client.memcache_reply().starts_with(b"VERSION "));
        for n in 0..50 {
            assert_eq!(client.ask_memcache(format!("get key:{n}\r\n").as_bytes()), b"END\r\n");
        }
    }
}

#[test]
fn a_hash_tag_keeps_keys_together() {
    let farm = Farm::memcached(1, &["hash_tag: \"{}\""]);
    let mut client = farm.client();
    for n in 0..50 {
        client.ask_memcache(format!("set user:{{7}}:{n} 0 0 1\r\nx\r\n").as_bytes());
    }
    let held: Vec<u64> = farm.servers.iter().map(|server| stat(&mut server.client(), "curr_items")).collect();
    assert_eq!(held.iter().filter(|count| **count > 0).count(), 1, "{held:?}");
}

#[test]
fn keys_of_a_lost_server_are_errors_and_misses_among_others() {
    for (option, misses) in [("timeout: 5000", true), ("partial: miss", true), ("partial: error", false)] {
        let mut farm = Farm::memcached(1, &[option]);
        let mut client = farm.client();
        for n in 0..40 {
            client.ask_memcache(format!("set key:{n} 0 0 1\r\nx\r\n").as_bytes());
        }
        let lost = stat(&mut farm.servers[0].client(), "curr_items");
        drop(farm.servers.remove(0));
        let mut errors = 0;
        for n in 0..40 {
            let reply = client.ask_memcache(format!("get key:{n}\r\n").as_bytes());
            errors += u64::from(reply.starts_with(b"SERVER_ERROR "));
        }
        assert_eq!(errors, lost);
        let keys: Vec<String> = (0..40).map(|n| format!("key:{n}")).collect();
        let reply = client.ask_memcache(format!("get {}\r\n", keys.join(" ")).as_bytes());
        let text = String::from_utf8_lossy(&reply);
        if misses {
            assert_eq!(text.matches("VALUE ").count() as u64, 40 - lost, "{text}");
            assert!(text.ends_with("END\r\n"), "{text}");
        } else {
            assert!(text.starts_with("SERVER_ERROR "), "{text}");
        }
        // Whole answers need all servers.
        assert!(client.ask_memcache(b"stats\r\n").starts_with(b"SERVER_ERROR "));
        assert!(client.ask_memcache(b"flush_all\r\n").starts_with(b"SERVER_ERROR "));
    }
}

/// A number of `stats`.
fn stat(client: &mut Client, name: &str) -> u64 {
    let reply = client.ask_memcache(b"stats\r\n");
    let text = String::from_utf8_lossy(&reply);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}
