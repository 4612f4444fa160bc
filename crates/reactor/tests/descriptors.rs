//! Running out of descriptors. One test in a process of its own, because the limit holds for the whole process.

use std::os::fd::OwnedFd;
use std::time::Duration;

use reactor::net;
use reactor::{Events, Interest, Reactor, Token, raise_nofile, somaxconn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn without_descriptors_connections_wait_until_one_is_free() {
    let before = getrlimit(Resource::Nofile);
    let listener = net::listen_tcp(([127, 0, 0, 1], 0).into(), 8, false).expect("listening");
    let address = net::bound_addr(&listener).expect("bound");
    let mut reactor = Reactor::new().expect("a reactor");
    let mut events = Events::with_capacity(8);
    reactor.add(&listener, Token(1), Interest::READABLE).expect("added");
    let (_client, _) = net::connect(&address).expect("begun");

    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).expect("lowered");
    let mut hoard: Vec<OwnedFd> = std::iter::from_fn(|| rustix::io::dup(&listener).ok()).collect();
    assert!(net::is_exhausted(&net::connect(&address).expect_err("no descriptor")));
    assert!(net::is_exhausted(&Reactor::new().expect_err("no descriptor")));
    for _ in 0..2 {
        assert_eq!(reactor.wait(&mut events, PATIENCE).expect("waited"), 1, "the connection still waits");
        assert!(net::is_exhausted(&net::accept(&listener).expect_err("no descriptor")));
    }
    hoard.pop().expect("there were some");
    net::accept(&listener).expect("there is a descriptor").expect("and a connection");

    let (soft, hard) = raise_nofile();
    assert_eq!(soft, hard);
    assert!(hard >= before.maximum.unwrap_or(u64::MAX));
    assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), soft);
    drop(hoard);
    assert!(!net::is_exhausted(&std::io::ErrorKind::ConnectionRefused.into()));
    assert!(somaxconn().is_some_and(|longest| longest > 0));
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));
