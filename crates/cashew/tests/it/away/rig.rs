//! A pool of redis or memcached servers behind a proxy that takes orders; either is spoken to in the same way.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use testkit::{Cashew, Client, Memcached, Process, RedisServer, ports, wait};

use crate::rig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Memcached,
}

/// A server of either kind.
pub(crate) enum Server {
    Redis(RedisServer),
    Memcached(Memcached),
}

impl Server {
    pub(crate) fn start(kind: Kind, args: &[&str]) -> io::Result<Server> {
        Ok(match kind {
            Kind::Redis => Server::Redis(RedisServer::start_with(args)?),
            Kind::Memcached => Server::Memcached(Memcached::start_with(args)?),
        })
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Server::Redis(server) => server.port(),
            Server::Memcached(server) => server.port(),
        }
    }

    pub(crate) fn process(&self) -> &Process {
        match self {
            Server::Redis(server) => server,
            Server::Memcached(server) => server,
        }
    }

    pub(crate) fn client(&self) -> Talk {
        match self {
            Server::Redis(server) => Talk { kind: Kind::Redis, client: server.client() },
            Server::Memcached(server) => Talk { kind: Kind::Memcached, client: server.client() },
        }
    }
}

/// A client in either protocol.
pub(crate) struct Talk {
    kind: Kind,
    pub(crate) client: Client,
}

impl Talk {
    /// Stores a value; an error is the reply that says why not.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let reply = match self.kind {
            Kind::Redis => self.client.ask(&["SET", key, value]),
            Kind::Memcached => {
                let request = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
                self.client.ask_memcache(request.as_bytes())
            }
        };
        let fine = reply == b"+OK\r\n" || reply == b"STORED\r\n";
        if fine { Ok(()) } else { Err(String::from_utf8_lossy(&reply).into_owned()) }
    }

    /// What is stored; an error is the reply that says why it cannot be told.
    pub(crate) fn get(&mut self, key: &str) -> Result<Option<String>, String> {
        let reply = match self.kind {
            Kind::Redis => self.client.ask(&["GET", key]),
            Kind::Memcached => self.client.ask_memcache(format!("get {key}\r\n").as_bytes()),
        };
        let text = String::from_utf8_lossy(&reply).into_owned();
        match text.as_bytes() {
            b"$-1\r\n" | b"END\r\n" => Ok(None),
            [b'$' | b'V', ..] => Ok(text.lines().nth(1).map(str::to_owned)),
            _ => Err(text),
        }
    }

    pub(crate) fn found(&mut self, key: &str) -> Option<String> {
        self.get(key).unwrap_or_else(|said| panic!("{key}: {said}"))
    }
}

/// A pool called `alpha` of servers `s0`, `s1` ..., its proxy, and servers beside it that may stand by.
pub(crate) struct Pool {
    kind: Kind,
    pub(crate) proxy: Cashew,
    listen: u16,
    pub(crate) servers: Vec<Server>,
    /// Not of the pool.
    pub(crate) spare: Server,
}

/// How servers of these tests fail and are looked at again: soon.
const SOON: &str = "timeout: 200\nserver_failure_limit: 1\nserver_retry_timeout: 100\nhash: murmur";

impl Pool {
    /// Two servers started with `args`; `{spare}` in `settings` is the port of the third.
    pub(crate) fn start(kind: Kind, settings: &str, args: &[&str], threads: usize) -> Pool {
        let start = || Server::start(kind, args).unwrap_or_else(|e| panic!("{e}"));
        let servers = vec![start(), start()];
        let spare = start();
        let listen = ports::free();
        let redis = kind == Kind::Redis;
        let given = |line: &&str| !settings.contains(line.split(':').next().unwrap_or_default());
        let soon: Vec<&str> = SOON.lines().filter(given).collect();
        let settings = format!("{}\nredis: {redis}\n{settings}", soon.join("\n"));
        let settings = settings.replace("{spare}", &spare.port().to_string());
        let lines: Vec<String> = servers
            .iter()
            .enumerate()
            .map(|(index, server)| format!("127.0.0.1:{}:1 s{index}", server.port()))
            .collect();
        let beside = rig::pool(
            "beside",
            ports::free(),
            &format!("redis: {redis}"),
            &[format!("127.0.0.1:{}:1 s0", spare.port())],
        );
        let config = format!(
            "cashew:\n  control_socket: ctl\n{}{beside}",
            rig::pool("alpha", listen, &settings, &lines)
        );
        let proxy = rig::cashew(&config, &["--threads", &threads.to_string()]);
        Pool { kind, proxy, listen, servers, spare }
    }

    pub(crate) fn client(&self) -> Talk {
        Talk { kind: self.kind, client: Client::connect_port(self.listen).expect("the proxy accepts") }
    }

    /// Gives an order; answers without the `ok: `.
    pub(crate) fn order(&self, order: &str) -> String {
        let mut stream = UnixStream::connect(self.proxy.dir().join("ctl")).expect("it takes orders");
        writeln!(stream, "{order}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.strip_prefix("ok: ").unwrap_or_else(|| panic!("{order}: {answer}")).to_owned()
    }

    /// A server's state in the proxy's word.
    pub(crate) fn state(&self, server: &str) -> String {
        let states = self.order("servers");
        let line = states.lines().find(|line| line.starts_with(&format!("alpha {server} ")));
        let word = line.and_then(|line| line.split(' ').nth(3));
        word.unwrap_or_else(|| panic!("no '{server}' in {states}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_state(&self, server: &str, word: &str) {
        wait::until(&format!("{server} to be {word}"), || self.state(server) == word);
    }

    /// The first keys that begin so and belong to server 0.
    pub(crate) fn keys(&self, start: &str, count: usize) -> Vec<String> {
        let (mut client, mut home) = (self.client(), self.servers[0].client());
        let mut keys = Vec::new();
        for n in 0..1000 {
            let key = format!("{start}{n}");
            client.set(&key, "old").unwrap_or_else(|said| panic!("{said}"));
            if home.found(&key).is_some() {
                keys.push(key);
            }
            if keys.len() == count {
                return keys;
            }
        }
        panic!("server 0 has no keys");
    }

    /// What the proxy has logged.
    pub(crate) fn log(&self) -> String {
        self.proxy.stderr()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.proxy.output());
        }
    }
}
