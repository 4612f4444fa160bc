//! The redis crate, the client library of Rust.

use std::collections::{HashMap, HashSet};
use std::thread;

use ::redis::ProtocolVersion::{self, RESP2, RESP3};
use ::redis::{
    Client, Commands, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, PushKind,
    RedisConnectionInfo, RedisError, RedisResult, Script, ServerErrorKind, Value, cmd, pipe, transaction,
};

use super::{PASSWORD, locked};
use crate::farm::Farm;

#[test]
fn redis_crate() {
    for threads in [1, 2] {
        let farm = Farm::redis(threads, &["server_connections: 2"]);
        for protocol in [RESP2, RESP3] {
            run(&client(farm.port(), protocol, None), protocol);
        }
    }
}

#[test]
fn redis_crate_with_a_password() {
    let (port, _pool) = locked();
    for protocol in [RESP2, RESP3] {
        run(&client(port, protocol, Some(PASSWORD)), protocol);
        for wrong in [None, Some("wrong")] {
            let refused =
                client(port, protocol, wrong).get_connection().and_then(|mut c| c.get::<_, Option<u8>>("a"));
            let error = refused.expect_err("the password is wrong or missing");
            assert!(
                error.kind() == ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
                "{error:?}"
            );
        }
    }
}

fn client(port: u16, protocol: ProtocolVersion, password: Option<&str>) -> Client {
    let mut settings = RedisConnectionInfo::default().set_protocol(protocol);
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let info = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port).into_connection_info().expect("an address");
    Client::open(info.set_redis_settings(settings)).expect("settings are fine")
}

/// What does not answer fails.
fn connect(client: &Client) -> RedisResult<Connection> {
    let connection = client.get_connection()?;
    connection.set_read_timeout(Some(testkit::wait::DEADLINE))?;
    Ok(connection)
}

fn run(client: &Client, protocol: ProtocolVersion) {
    let mut r = connect(client).expect("it connects");
    let parts: &[fn(&Client, &mut Connection) -> RedisResult<()>] =
        &[values, pipelines, transactions, waiting, scans, scripts, errors, returning];
    for part in parts {
        part(client, &mut r).unwrap_or_else(|e| panic!("{e:?}"));
    }
    let listening = if protocol == RESP2 { listening_in_resp2 } else { listening_in_resp3 };
    listening(client, &mut r).unwrap_or_else(|e| panic!("{e:?}"));
}

fn values(_: &Client, r: &mut Connection) -> RedisResult<()> {
    r.flushall::<()>()?;
    r.set::<_, _, ()>("s:1", "value")?;
    assert_eq!(r.get::<_, Option<String>>("s:1")?.as_deref(), Some("value"));
    assert_eq!(r.get::<_, Option<String>>("s:none")?, None);
    assert_eq!(r.incr::<_, _, i64>("n:1", 5)?, 5);
    assert_eq!(r.hset_multiple::<_, _, _, String>("h:1", &[("a", 1), ("b", 2)])?, "OK");
    assert_eq!(
        r.hgetall::<_, HashMap<String, u8>>("h:1")?,
        HashMap::from([("a".into(), 1), ("b".into(), 2)])
    );
    assert_eq!(r.zadd::<_, _, _, u8>("z:1", "a", 1.5)?, 1);
    assert_eq!(r.zscore::<_, _, Option<f64>>("z:1", "a")?, Some(1.5));
    assert_eq!(r.sadd::<_, _, u8>("t:1", &["x", "y"])?, 2);
    assert_eq!(r.smembers::<_, HashSet<String>>("t:1")?.len(), 2);
    let pairs: Vec<(String, usize)> = (0..50).map(|n| (format!("m:{n}"), n)).collect();
    r.mset::<_, _, ()>(&pairs)?;
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).chain(["m:none"]).collect();
    let wanted: Vec<Option<usize>> = (0..50).map(Some).chain([None]).collect();
    assert_eq!(r.mget::<_, Vec<Option<usize>>>(&names)?, wanted);
    assert_eq!(r.del::<_, u8>(&names)?, 50);
    let big: Vec<u8> = [0, b'\r', b'\n', 255].repeat(1 << 18);
    r.set::<_, _, ()>("big", &big)?;
    assert!(r.get::<_, Vec<u8>>("big")? == big);
    Ok(())
}

fn pipelines(_: &Client, r: &mut Connection) -> RedisResult<()> {
    let mut batch = pipe();
    for n in 0..1000 {
        batch.set(format!("pipe:{n}"), n).ignore().get(format!("pipe:{n}"));
    }
    assert_eq!(batch.query::<Vec<u32>>(r)?, (0..1000).collect::<Vec<_>>());
    Ok(())
}

fn transactions(client: &Client, r: &mut Connection) -> RedisResult<()> {
    let (counted, none): (u8, Option<u8>) =
        pipe().atomic().set("{t}a", 1).ignore().incr("{t}a", 1).get("{t}b").query(r)?;
    assert_eq!((counted, none), (2, None));
    let mut other = connect(client)?;
    let mut rounds = 0;
    // The library tries again after a conflict.
    let [doubled]: [u8; 1] = transaction(r, &["{t}n"], |r, block| {
        rounds += 1;
        let now = r.get::<_, Option<u8>>("{t}n")?.unwrap_or(1);
        if rounds == 1 {
            other.set::<_, _, ()>("{t}n", 7)?;
        }
        block.set("{t}n", now * 2).ignore().get("{t}n").query(r)
    })?;
    assert_eq!((rounds, doubled), (2, 14));
    Ok(())
}

fn waiting(client: &Client, r: &mut Connection) -> RedisResult<()> {
    assert_eq!(r.blpop::<_, Option<(String, String)>>("{w}none", 0.05)?, None);
    let mut waiter = connect(client)?;
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(move || waiter.blpop::<_, (String, String)>(&["{w}none", "{w}l"], 0.0));
        r.rpush::<_, _, ()>("{w}l", "element")?;
        waiting.join().expect("waiting does not panic")
    })?;
    assert_eq!(answer, ("{w}l".to_owned(), "element".to_owned()));
    assert_eq!(r.llen::<_, u8>("{w}l")?, 0);
    Ok(())
}

fn scans(_: &Client, r: &mut Connection) -> RedisResult<()> {
    r.flushall::<()>()?;
    let mut names: Vec<String> = (0..300).map(|n| format!("k:{n:03}")).collect();
    r.mset::<_, _, ()>(&names.iter().map(|name| (name, "v")).collect::<Vec<_>>())?;
    let mut found: Vec<String> = r.scan()?.collect::<RedisResult<_>>()?;
    found.sort();
    assert_eq!(found, names);
    let mut some: Vec<String> = r.scan_match("k:2*")?.collect::<RedisResult<_>>()?;
    some.sort();
    assert_eq!(some, names.split_off(200));
    Ok(())
}

fn scripts(_: &Client, r: &mut Connection) -> RedisResult<()> {
    cmd("SCRIPT").arg("FLUSH").exec(r)?;
    // The library sends EVALSHA and, where that is unknown, SCRIPT LOAD and EVALSHA again.
    let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for n in 0..20 {
        assert_eq!(add.key(format!("script:{n}")).arg(n).invoke::<u8>(r)?, n);
    }
    let unknown = cmd("EVALSHA").arg("0".repeat(40)).arg(1).arg("k").query::<Value>(r);
    assert_eq!(unknown.map_err(|e| e.kind()), Err(ErrorKind::Server(ServerErrorKind::NoScript)));
    Ok(())
}

fn errors(_: &Client, r: &mut Connection) -> RedisResult<()> {
    r.set::<_, _, ()>("e:1", "text")?;
    let number = r.incr::<_, _, i64>("e:1", 1);
    fails(number.map(drop), ErrorKind::Server(ServerErrorKind::ResponseError), "not an integer");
    fails(r.lpush("e:1", "x"), ErrorKind::Extension, "WRONGTYPE");
    let apart: Vec<String> = (0..20).map(|n| format!("e:{n}")).collect();
    fails(r.sunion(apart), ErrorKind::Server(ServerErrorKind::CrossSlot), "hash tag");
    let unknown = ErrorKind::Server(ServerErrorKind::ResponseError);
    fails(cmd("NOSUCHCOMMAND").exec(r), unknown, "unknown command");
    fails(cmd("SHUTDOWN").exec(r), unknown, "does not pass on");
    assert_eq!(r.get::<_, String>("e:1")?, "text");
    Ok(())
}

#[track_caller]
fn fails(result: RedisResult<()>, kind: ErrorKind, text: &str) {
    let error: RedisError = result.expect_err(text);
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

fn returning(client: &Client, r: &mut Connection) -> RedisResult<()> {
    let mut other = connect(client)?;
    other.client_setname::<_, ()>("other")?;
    assert_eq!(other.client_getname::<String>()?, "other");
    let id: u64 = other.client_id()?;
    assert_eq!(cmd("CLIENT").arg("KILL").arg("ID").arg(id).query::<u8>(r)?, 1);
    let lost = other.get::<_, Option<u8>>("a").expect_err("it was closed");
    assert!(lost.is_connection_dropped(), "{lost:?}");
    let mut again = connect(client)?;
    assert_ne!(again.client_id::<u64>()?, id);
    Ok(())
}

fn listening_in_resp2(client: &Client, r: &mut Connection) -> RedisResult<()> {
    let mut connection = connect(client)?;
    let mut listener = connection.as_pubsub();
    let channels: Vec<String> = (0..10).map(|n| format!("news:{n}")).collect();
    // One by one: of a reply with many confirmations the library awaits the first.
    for channel in &channels {
        listener.subscribe(channel)?;
    }
    listener.psubscribe("alerts:*")?;
    publish(r, &channels)?;
    let mut seen = HashSet::new();
    for _ in 0..11 {
        let message = listener.get_message()?;
        seen.insert(format!("{} {}", message.get_channel_name(), message.get_payload::<String>()?));
    }
    assert_eq!(seen, wanted(&channels));
    // With this the library unsubscribes.
    drop(listener);
    connection.set::<_, _, ()>("s:1", "after")?;
    nobody_is_left(r)?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the library takes only a sender of this kind")]
fn listening_in_resp3(client: &Client, r: &mut Connection) -> RedisResult<()> {
    let mut listener = connect(client)?;
    let (sender, pushes) = std::sync::mpsc::channel();
    listener.set_push_sender(sender);
    let channels: Vec<String> = (0..10).map(|n| format!("news:{n}")).collect();
    listener.subscribe_resp3(&channels)?;
    listener.psubscribe_resp3("alerts:*")?;
    // Other requests go on; what was pushed meanwhile is read with their replies.
    let mut confirmed = 0;
    while confirmed < 11 {
        listener.set::<_, _, ()>("s:1", "meanwhile")?;
        let kinds = pushes.try_iter().map(|push| push.kind);
        confirmed += kinds.filter(|kind| matches!(kind, PushKind::Subscribe | PushKind::PSubscribe)).count();
    }
    publish(r, &channels)?;
    let mut seen = HashSet::new();
    while seen.len() < 11 {
        listener.set::<_, _, ()>("s:1", "meanwhile")?;
        for push in pushes.try_iter() {
            if matches!(push.kind, PushKind::Message | PushKind::PMessage) {
                let message = ::redis::Msg::from_push_info(push).expect("a message");
                let told = format!("{} {}", message.get_channel_name(), message.get_payload::<String>()?);
                assert!(seen.insert(told.clone()), "twice: {told}");
            }
        }
    }
    assert_eq!(seen, wanted(&channels));
    listener.unsubscribe_resp3(&channels)?;
    listener.punsubscribe_resp3("alerts:*")?;
    listener.set::<_, _, ()>("s:1", "after")?;
    nobody_is_left(r)?;
    Ok(())
}

/// The proxy tells the server of an end a moment later, and then nobody is counted.
fn nobody_is_left(r: &mut Connection) -> RedisResult<()> {
    while r.publish::<_, _, u8>("news:1", "late")? != 0 {}
    Ok(())
}

fn publish(r: &mut Connection, channels: &[String]) -> RedisResult<()> {
    assert_eq!(r.publish::<_, _, u8>("alerts:1", "item")?, 1);
    for channel in channels {
        assert_eq!(r.publish::<_, _, u8>(channel, "item")?, 1);
    }
    Ok(())
}

fn wanted(channels: &[String]) -> HashSet<String> {
    let all = channels.iter().map(String::as_str).chain(["alerts:1"]);
    all.map(|channel| format!("{channel} item")).collect()
}
