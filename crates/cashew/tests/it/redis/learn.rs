//! `unknown_commands: learn`: commands of a real module that cashew has never heard of.

use std::process::Command;

use testkit::temp::TempDir;
use testkit::{Cashew, Client, RedisServer, ports, resp, wait};

use crate::farm;

/// The module, made from `module.c`.
fn module() -> TempDir {
    let dir = TempDir::new("module").expect("a directory");
    dir.file("module.c", include_str!("module.c")).expect("a file is written");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "nut.so", "module.c"])
        .current_dir(dir.path())
        .output()
        .expect("a C compiler, which linking this needed, too");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    dir
}

fn path(module: &TempDir) -> String {
    module.path().join("nut.so").display().to_string()
}

/// A pool of these servers that learns.
fn proxy(ports: &[u16], options: &[&str]) -> (Cashew, u16) {
    let port = ports::free();
    let servers: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let options = [&["redis: true", "hash: murmur", "hash_tag: \"{}\"", "unknown_commands: learn"], options];
    let config = farm::pool(&format!("127.0.0.1:{port}"), &servers, &options.concat());
    (farm::proxy(&config, 2), port)
}

fn said(client: &mut Client, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    String::from_utf8_lossy(&client.ask(&words)).into_owned()
}

fn knows(client: &mut Client, command: &str) -> bool {
    said(client, &format!("COMMAND INFO {command}")) != "*1\r\n$-1\r\n"
}

fn wait_for(client: &mut Client, command: &str) {
    wait::until("the commands to be learnt", || knows(client, command));
}

#[test]
fn commands_of_a_module_go_to_the_server_of_their_keys() {
    let module = module();
    let load = path(&module);
    let servers =
        [0, 1].map(|_| RedisServer::start_with(&["--loadmodule", &load]).unwrap_or_else(|e| panic!("{e}")));
    let (proxy, port) =
        proxy(&servers.each_ref().map(RedisServer::port), &["disable: nut.off keys config|get"]);
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    wait_for(&mut client, "nut.get");

    for key in 0..20 {
        assert_eq!(said(&mut client, &format!("nut.set key:{key} {key}")), "+OK\r\n");
        let value = key.to_string();
        let wanted = format!("${}\r\n{value}\r\n", value.len());
        assert_eq!(said(&mut client, &format!("GET key:{key}")), wanted);
        assert_eq!(said(&mut client, &format!("NUT.get key:{key}")), wanted);
        assert_eq!(said(&mut client, &format!("nut.box GET key:{key}")), wanted);
    }
    let sizes = servers.each_ref().map(|server| server.client().ask(&["DBSIZE"]));
    assert!(sizes.iter().all(|size| size != b":0\r\n"), "both servers have keys");
    assert_eq!(said(&mut client, "nut.mget {key:1}a {key:1}b"), "*2\r\n$-1\r\n$-1\r\n");
    let two = (1..20).map(|key| said(&mut client, &format!("nut.mget key:0 key:{key}")));
    let crossing: Vec<String> = two.filter(|reply| reply.starts_with('-')).collect();
    assert!(!crossing.is_empty() && crossing.iter().all(|reply| reply.starts_with("-CROSSSLOT ")));

    for (words, why) in [
        ("nut.keyless", "'NUT.KEYLESS': it takes no key"),
        ("nut.alone key:1", "'NUT.ALONE': scripts may not call it"),
        ("nut.admin key:1", "'NUT.ADMIN': it is for administrators"),
        ("nut.movable key:1", "'NUT.MOVABLE': its server does not say where its keys are"),
    ] {
        let wanted = format!("-ERR cashew does not pass on {why}");
        let reply = said(&mut client, words);
        assert!(reply.starts_with(&wanted), "{reply}");
    }
    let off = "-ERR 'NUT.OFF' is switched off for this pool (disable)\r\n";
    assert_eq!(said(&mut client, "nut.off key:1"), off);
    assert!(
        said(&mut client, "nut.box put a").starts_with("-ERR unknown subcommand 'put'. Try NUT.BOX HELP")
    );
    assert_eq!(said(&mut client, "nut.box"), "-ERR wrong number of arguments for 'nut.box' command\r\n");
    assert!(said(&mut client, "nut.nosuch a").starts_with("-ERR unknown command 'nut.nosuch'"));

    assert_eq!(said(&mut client, "nut.get"), "-ERR wrong number of arguments for 'nut.get' command\r\n");
    // Values that are passed on as they come.
    let large = "v".repeat(3 << 20);
    assert_eq!(client.ask(&["nut.set", "large", &large]), b"+OK\r\n");
    let wanted = [format!("${}\r\n", large.len()).as_bytes(), large.as_bytes(), b"\r\n"].concat();
    for command in ["nut.get", "GET", "nut.get"] {
        farm::same(&client.ask(&[command, "large"]), &wanted);
    }

    // What clients are told they have.
    assert_eq!(said(&mut client, "COMMAND GETKEYS nut.mget a b"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(said(&mut client, "COMMAND GETKEYS nut.box get a"), "*1\r\n$1\r\na\r\n");
    let list = said(&mut client, "COMMAND LIST");
    for (name, listed) in [
        ("nut.get", true),
        ("nut.box", true),
        ("nut.box|get", true),
        ("nut.keyless", false),
        ("nut.off", false),
        ("keys", false),
        ("config|get", false),
        ("get", true),
    ] {
        assert_eq!(list.contains(&format!("\r\n{name}\r\n")), listed, "{name}");
    }
    let mut direct = servers[0].client();
    let ask = resp(&["COMMAND", "INFO", "nut.get", "nut.mget", "nut.box"]);
    let both = [&mut client, &mut direct].map(|asked| {
        asked.send(&ask);
        String::from_utf8(asked.resp_reply()).expect("text")
    });
    assert_eq!(both[0], both[1], "as the server says it");
    let count =
        list.split("\r\n").filter(|word| !word.starts_with(['$', '*']) && !word.contains('|')).count();
    assert_eq!(said(&mut client, "COMMAND COUNT"), format!(":{}\r\n", count - 1), "less the empty last line");

    // In a transaction, in RESP3, unheard.
    client.send(
        &[resp(&["MULTI"]), resp(&["nut.set", "t", "1"]), resp(&["nut.get", "t"]), resp(&["EXEC"])].concat(),
    );
    client.expect(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n");
    client.send(&[resp(&["MULTI"]), resp(&["nut.keyless"]), resp(&["EXEC"])].concat());
    assert_eq!(client.resp_reply(), b"+OK\r\n");
    assert!(client.resp_reply().starts_with(b"-ERR cashew does not pass on 'NUT.KEYLESS'"));
    assert!(client.resp_reply().starts_with(b"-EXECABORT "));
    client.send(&[resp(&["CLIENT", "REPLY", "SKIP"]), resp(&["nut.get", "t"]), resp(&["PING"])].concat());
    client.expect(b"+PONG\r\n");
    assert_eq!(said(&mut client, "WATCH t"), "+OK\r\n");
    client.send(&[resp(&["MULTI"]), resp(&["nut.get", "t"]), resp(&["EXEC"])].concat());
    client.expect(b"+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n");
    client.ask(&["HELLO", "3"]);
    assert_eq!(said(&mut client, "nut.get nosuch"), "_\r\n");

    let log = proxy.output();
    assert!(log.contains("server 'server-0' has 9 commands that are new, 5 of them are passed on"), "{log}");
    assert!(
        log.contains("\"disable\" names 'nut.off', which is no redis command that cashew knows"),
        "{log}"
    );
    let stats = Client::connect_port(proxy.stats_port()).expect("it tells").to_end();
    assert!(String::from_utf8_lossy(&stats).contains("\"learnt_commands\":5"));
}

#[test]
fn a_server_that_is_started_anew_is_asked_again() {
    let module = module();
    let mut server = RedisServer::start().unwrap_or_else(|e| panic!("{e}"));
    let (_proxy, port) = proxy(&[server.port()], &[]);
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    assert_eq!(client.ask(&["SET", "a", "1"]), b"+OK\r\n");
    let unknown = "-ERR unknown command 'nut.get', with args beginning with: 'a' \r\n";
    assert_eq!(said(&mut client, "nut.get a"), unknown);
    server.kill(testkit::Signal::KILL).expect("it runs");
    server.wait_exit().expect("it ends");
    wait::until("the server to be missed", || client.ask(&["GET", "a"]).starts_with(b"-"));
    let load = path(&module);
    let _server =
        RedisServer::start_on(server.port(), &["--loadmodule", &load]).unwrap_or_else(|e| panic!("{e}"));
    wait_for(&mut client, "nut.get");
    assert_eq!(said(&mut client, "nut.get a"), "$-1\r\n");
}

#[test]
fn a_server_that_is_down_at_first_is_asked_when_it_comes() {
    let module = module();
    let later = ports::free();
    let (proxy, port) = proxy(&[later], &[]);
    let told = || proxy.output().matches("does not say which commands it has").count();
    wait::until("it to be told", || told() == 1);
    let load = path(&module);
    let _server = RedisServer::start_on(later, &["--loadmodule", &load]).unwrap_or_else(|e| panic!("{e}"));
    wait_for(&mut Client::connect_port(port).expect("the proxy accepts"), "nut.get");
    assert_eq!(told(), 1, "once");
}
