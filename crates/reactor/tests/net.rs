//! Socket options, addresses and errors that are the same for every backend.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;

use reactor::net::{self, Progress, SockAddr};
use rustix::net::sockopt;

#[test]
fn a_listener_has_the_address_and_options_it_was_asked_for() {
    for address in [SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))] {
        let listener = net::listen_tcp(address, u32::MAX, false).expect("listening");
        let SockAddr::Inet(bound) = net::bound_addr(&listener).expect("bound") else { panic!("not TCP") };
        assert_eq!(bound.ip(), address.ip());
        assert_ne!(bound.port(), 0);
        assert!(sockopt::socket_reuseaddr(&listener).expect("an option"));
        assert!(!sockopt::socket_reuseport(&listener).expect("an option"));
        let again = net::listen_tcp(bound, 8, false).expect_err("taken");
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        assert!(net::accept(&listener).expect("nothing wrong").is_none());
    }
}

#[test]
fn with_reuseport_a_port_has_two_listeners() {
    let first = net::listen_tcp(([127, 0, 0, 1], 0).into(), 8, true).expect("listening");
    let SockAddr::Inet(bound) = net::bound_addr(&first).expect("bound") else { panic!("not TCP") };
    net::listen_tcp(bound, 8, true).expect("listening too");
}

#[test]
fn a_unix_listener_takes_the_place_of_a_socket_and_of_nothing_else() {
    let dir = TempDir::new("unix");
    let path = dir.0.join("pool.sock");
    for mode in [0o600, 0o777] {
        let listener = net::listen_unix(&path, Some(mode), 8).expect("listening");
        assert_eq!(net::bound_addr(&listener).expect("bound"), SockAddr::Unix(path.clone()));
        let found = std::fs::metadata(&path).expect("there");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, mode);
    } // dropped, its file stays, and the next one replaces it

    let file = dir.0.join("notes.txt");
    std::fs::write(&file, "precious").expect("written");
    assert_eq!(net::listen_unix(&file, None, 8).expect_err("a file").kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
}

#[test]
fn unix_connections_that_cannot_be_made_say_why() {
    let dir = TempDir::new("connect");
    let connect = |path: PathBuf| net::connect(&SockAddr::Unix(path)).expect_err("nobody there").kind();
    assert_eq!(connect(dir.0.join("missing.sock")), ErrorKind::NotFound);
    let dead = dir.0.join("dead.sock");
    drop(net::listen_unix(&dead, None, 8).expect("listening"));
    assert_eq!(connect(dead), ErrorKind::ConnectionRefused);
    assert_eq!(connect(dir.0.join("x".repeat(200))), ErrorKind::InvalidFilename);
}

#[test]
fn options_reach_the_socket() {
    let (socket, _listener) = connected();
    assert!(!sockopt::tcp_nodelay(&socket).expect("an option"));
    net::set_nodelay(&socket).expect("set");
    assert!(sockopt::tcp_nodelay(&socket).expect("an option"));
    assert!(!sockopt::socket_keepalive(&socket).expect("an option"));
    net::set_keepalive(&socket).expect("set");
    assert!(sockopt::socket_keepalive(&socket).expect("an option"));
    assert_eq!(sockopt::socket_linger(&socket).expect("an option"), None);
    net::reset_on_close(&socket).expect("set");
    assert_eq!(sockopt::socket_linger(&socket).expect("an option"), Some(std::time::Duration::ZERO));
}

#[test]
fn more_pieces_than_one_call_takes_are_sent_in_part() {
    let (socket, _listener) = connected();
    let pieces = vec![IoSlice::new(b"ab"); 3000];
    assert_eq!(net::sendv(&socket, &pieces).expect("sent"), Some(2048));
    assert_eq!(net::sendv(&socket, &pieces[1024..1030]).expect("sent"), Some(12));
}

#[test]
fn writing_to_a_gone_peer_is_an_error_and_no_signal() {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    drop(far);
    assert_eq!(net::send(&near, b"x").expect_err("gone").kind(), ErrorKind::BrokenPipe);
    assert_eq!(net::sendv(&near, &[IoSlice::new(b"x")]).expect_err("gone").kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_socket_connected_to_itself_counts_as_refused() {
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
    let itself = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&itself, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
    connect(&itself, &getsockname(&itself).expect("bound")).expect("TCP allows it");
    let error = net::connect_error(&itself).expect_err("nobody else is there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    net::connect_error(&near).expect("two nameless ends are not the same");
}

fn connected() -> (OwnedFd, OwnedFd) {
    let listener = net::listen_tcp(([127, 0, 0, 1], 0).into(), 8, false).expect("listening");
    let (socket, progress) = net::connect(&net::bound_addr(&listener).expect("bound")).expect("begun");
    if progress == Progress::InProgress {
        let mut reactor = reactor::Reactor::new().expect("a reactor");
        reactor.add(&socket, reactor::Token(0), reactor::Interest::WRITABLE).expect("added");
        let mut events = reactor::Events::with_capacity(1);
        reactor.wait(&mut events, Some(std::time::Duration::from_secs(30))).expect("waited");
    }
    net::connect_error(&socket).expect("connected");
    (socket, listener)
}

struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("cashew-net-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("temporary directory");
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
