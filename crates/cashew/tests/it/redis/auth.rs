//! `redis_auth` and `redis_db`: what the proxy says on new connections to servers, and to clients without the
//! password.

use testkit::{Client, RedisServer, ports, wait};

use crate::farm;

#[test]
fn keys_land_in_the_pools_database_with_the_pools_password() {
    let (servers, port, mut proxy) = pool("redis_auth: open sesame", 3);
    let mut client = Client::connect_port(port).expect("accepts");
    let noauth = b"-NOAUTH Authentication required\r\n";
    assert_eq!(client.ask(&["GET", "a"]), noauth);
    assert_eq!(client.ask(&["PING"]), noauth);
    assert_eq!(client.ask(&["MGET", "a", "b", "c"]), noauth);
    assert_eq!(client.ask(&["AUTH", "wrong"]), b"-ERR invalid password\r\n");
    assert_eq!(client.ask(&["GET", "a"]), noauth);
    assert_eq!(client.ask(&["AUTH", "open sesame"]), b"+OK\r\n");
    assert_eq!(client.ask(&["AUTH", "default", "open sesame"]), b"+OK\r\n");
    assert_eq!(client.ask(&["SELECT", "3"]), b"+OK\r\n");
    for n in 0..50 {
        assert_eq!(client.ask(&["SET", &format!("key:{n}"), "v"]), b"+OK\r\n");
    }
    assert_eq!(client.ask(&["DBSIZE"]), b":50\r\n");
    for server in &servers {
        let mut direct = server.client();
        assert_eq!(direct.ask(&["AUTH", "open sesame"]), b"+OK\r\n");
        assert_eq!(direct.ask(&["DBSIZE"]), b":0\r\n", "nothing is in database 0");
        assert_eq!(direct.ask(&["SELECT", "3"]), b"+OK\r\n");
        assert_ne!(direct.ask(&["DBSIZE"]), b":0\r\n", "some keys are in database 3");
    }
    // Passwords are never in the log.
    proxy.kill(testkit::Signal::TERM).expect("runs");
    proxy.wait_exit().expect("ends");
    assert!(!proxy.output().contains("sesame"), "{}", proxy.output());
}

#[test]
fn the_password_may_come_with_hello_and_goes_with_reset() {
    let (_servers, port, _proxy) = pool("redis_auth: open sesame", 0);
    let mut client = Client::connect_port(port).expect("accepts");
    assert!(client.ask(&["HELLO", "2"]).starts_with(b"-NOAUTH HELLO must be called"));
    assert!(client.ask(&["HELLO", "2", "AUTH", "default", "wrong"]).starts_with(b"-WRONGPASS "));
    assert!(client.ask(&["HELLO", "2", "AUTH", "default", "open sesame"]).starts_with(b"*14\r\n"));
    assert_eq!(client.ask(&["SET", "a", "1"]), b"+OK\r\n");
    assert_eq!(client.ask(&["RESET"]), b"+RESET\r\n");
    assert!(client.ask(&["GET", "a"]).starts_with(b"-NOAUTH"));
    // A password is one client's own.
    let mut other = Client::connect_port(port).expect("accepts");
    assert!(other.ask(&["GET", "a"]).starts_with(b"-NOAUTH"));
    // A pipeline that begins with the password.
    other.send(&[testkit::resp(&["AUTH", "open sesame"]), testkit::resp(&["GET", "a"])].concat());
    other.expect(b"+OK\r\n$1\r\n1\r\n");
}

#[test]
fn a_password_the_servers_do_not_take_is_told_to_clients_and_in_the_log() {
    let (_servers, port, proxy) = pool("redis_auth: not it", 0);
    let mut client = Client::connect_port(port).expect("accepts");
    assert_eq!(client.ask(&["AUTH", "not it"]), b"+OK\r\n", "it is the pool's password");
    for _ in 0..3 {
        let reply = client.ask(&["GET", "a"]);
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with("-ERR server 'server-"), "{text}");
        assert!(text.contains("refused the proxy's AUTH: WRONGPASS"), "{text}");
    }
    let reply = client.ask(&["MGET", "a", "b", "c", "d", "e", "f"]);
    assert!(reply.starts_with(b"-ERR server "), "{}", reply.escape_ascii());
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    wait::until("the refusal in the log", || proxy.output().contains("refused AUTH: WRONGPASS"));
    assert!(!proxy.output().contains("not it"), "{}", proxy.output());
}

#[test]
fn a_missing_password_or_database_is_told_to_clients_and_in_the_log() {
    let (servers, port, proxy) = pool("timeout: 5000", 0);
    let mut client = Client::connect_port(port).expect("accepts");
    // The proxy has no password to give: the servers' own words.
    assert!(client.ask(&["GET", "a"]).starts_with(b"-NOAUTH "));
    drop(proxy);

    let (port, proxy) = proxy_for(&servers, &["redis_auth: open sesame", "redis_db: 9999"]);
    let mut client = Client::connect_port(port).expect("accepts");
    assert_eq!(client.ask(&["AUTH", "open sesame"]), b"+OK\r\n");
    let reply = client.ask(&["SET", "a", "1"]);
    let text = String::from_utf8_lossy(&reply);
    assert!(text.contains("refused the proxy's SELECT: ERR DB index is out of range"), "{text}");
    wait::until("the refusal in the log", || proxy.output().contains("refused SELECT: ERR DB index"));
}

/// A pool over two servers whose password is `open sesame`.
fn pool(option: &str, database: u32) -> (Vec<RedisServer>, u16, testkit::Cashew) {
    let servers = farm::many(2, || RedisServer::start_with(&["--requirepass", "open sesame"]));
    let (port, proxy) = proxy_for(&servers, &[option, &format!("redis_db: {database}")]);
    (servers, port, proxy)
}

fn proxy_for(servers: &[RedisServer], options: &[&str]) -> (u16, testkit::Cashew) {
    let addresses: Vec<String> = servers.iter().map(|server| server.addr().to_string()).collect();
    let port = ports::free();
    let options = [options, &["redis: true", "hash: murmur"]].concat();
    let config = farm::pool(&format!("127.0.0.1:{port}"), &addresses, &options);
    (port, farm::proxy(&config, 1))
}
