//! What the proxy does not take is answered with an error that says why, reaches no server, and costs the client
//! nothing more.

use engine::command::{Command, Route};
use testkit::resp;

use crate::farm::Farm;

#[test]
fn what_is_not_taken_is_refused_and_the_connection_goes_on() {
    let farm = Farm::redis(2, &[]);
    // Some servers count commands of their own at start.
    for server in &farm.servers {
        assert_eq!(server.client().ask(&["CONFIG", "RESETSTAT"]), b"+OK\r\n");
    }
    let mut client = farm.client();
    assert_eq!(client.ask(&["SET", "mark", "0"]), b"+OK\r\n");
    let mut seen = 0;
    for row in Command::table() {
        let wanted = match row.route {
            Route::NotYet(why) => format!("-ERR cashew does not support '{}' yet: {why}\r\n", row.name),
            Route::Refused(why) => format!("-ERR cashew does not pass on '{}': {why}\r\n", row.name),
            _ => continue,
        };
        let mut argv: Vec<String> = row.name.to_lowercase().split(' ').map(str::to_owned).collect();
        let is_container = !row.subcommands().is_empty();
        let least = usize::from(row.arity.unsigned_abs());
        while argv.len() < least && !is_container {
            argv.push("1".to_owned());
        }
        // In the middle of a pipeline, with requests to servers around it.
        let mut request = resp(&["INCR", "mark"]);
        request.extend(resp(&argv));
        request.extend(resp(&["GET", "mark"]));
        client.send(&request);
        seen += 1;
        client.expect(format!(":{seen}\r\n").as_bytes());
        let reply = client.resp_reply();
        if is_container {
            // A container alone asks for nothing.
            assert!(reply.starts_with(b"-ERR "), "{argv:?}: {}", reply.escape_ascii());
        } else {
            assert_eq!(String::from_utf8_lossy(&reply), wanted, "{argv:?}");
        }
        client.expect(format!("${}\r\n{seen}\r\n", seen.to_string().len()).as_bytes());
    }
    assert!(seen > 100, "only {seen} commands are refused");
    assert_eq!(client.ask(&["DBSIZE"]), b":1\r\n");
    // Nothing of it reached a server: each has seen nothing but what is served.
    for server in &farm.servers {
        let stats = server.client().ask(&["INFO", "commandstats"]);
        let stats = String::from_utf8_lossy(&stats).into_owned();
        let commands = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        for command in commands {
            let served = ["set", "incr", "get", "dbsize", "info", "config|resetstat"].contains(&command);
            assert!(served, "{command} reached a server:\n{stats}");
        }
    }
}

#[test]
fn forms_of_served_commands_that_are_not_taken() {
    let farm = Farm::redis(1, &[]);
    let mut client = farm.client();
    let rows: &[(&[&str], &str)] = &[(&["HELLO", "9"], "-NOPROTO unsupported protocol version")];
    for (argv, wanted) in rows {
        let reply = client.ask(argv);
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with(wanted), "{argv:?}: {text}");
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    }
}

#[test]
fn what_an_operator_switched_off_is_refused() {
    let farm = Farm::redis(1, &["disable: keys flushall SCAN, config|get script", "stream_from: 64kb"]);
    let mut client = farm.client();
    assert_eq!(client.ask(&["SET", "a", "1"]), b"+OK\r\n");
    for (argv, name) in [
        (&["KEYS", "*"][..], "KEYS"),
        (&["flushall"], "FLUSHALL"),
        (&["Scan", "0"], "SCAN"),
        (&["CONFIG", "GET", "save"], "CONFIG GET"),
        (&["SCRIPT", "LOAD", "return 1"], "SCRIPT LOAD"),
    ] {
        let wanted = format!("-ERR '{name}' is switched off for this pool (disable)\r\n");
        assert_eq!(String::from_utf8_lossy(&client.ask(argv)), wanted);
    }
    // In a transaction too, which fails then.
    client.send(&[resp(&["MULTI"]), resp(&["KEYS", "*"]), resp(&["EXEC"])].concat());
    client.expect(b"+OK\r\n-ERR 'KEYS' is switched off for this pool (disable)\r\n");
    client.expect(b"-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_eq!(client.ask(&["DBSIZE"]), b":1\r\n");
    // Nor does a large one pass.
    let farm = Farm::redis(1, &["disable: set", "stream_from: 64kb"]);
    let mut client = farm.client();
    let reply = client.ask(&["SET", "a", &"v".repeat(1 << 20)]);
    assert_eq!(String::from_utf8_lossy(&reply), "-ERR 'SET' is switched off for this pool (disable)\r\n");
    assert_eq!(client.ask(&["GETSET", "a", "v"]), b"$-1\r\n");
}

#[test]
fn a_protocol_error_reads_as_redis_words_it_and_ends_the_connection() {
    let farm = Farm::redis(1, &[]);
    for bad in [
        &b"*x\r\n"[..],
        b"*1\r\nGET\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-5\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$99999999999\r\n",
        b"SET \"unbalanced\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n:4\r\n",
    ] {
        // What was asked before is answered first.
        let request = [&resp(&["SET", "a", "1"])[..], &resp(&["GET", "a"]), bad].concat();
        let (mut pool, mut direct) = (farm.client(), farm.direct.client());
        direct.send(&request);
        pool.send(&request);
        let (ours, right) = (pool.to_end(), direct.to_end());
        assert_eq!(
            ours.escape_ascii().to_string(),
            right.escape_ascii().to_string(),
            "{}",
            bad.escape_ascii()
        );
    }
}
