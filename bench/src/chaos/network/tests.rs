//! The forwarder between a client and an echo.

use super::*;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;

/// A server that sends back what it gets, and a forwarder in front of it.
fn network() -> Network {
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = echo.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in echo.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &socket, &mut &socket));
        }
    });
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    Network::start(&[(address, port)], 1).unwrap()
}

fn client(network: &Network) -> TcpStream {
    // A door that was shut opens in a moment.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpStream::connect(network.addresses[0]) {
            Ok(socket) => {
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                return socket;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

fn echoes(socket: &mut TcpStream) -> bool {
    let sent: Vec<u8> = (0..20_000).map(|n| (n % 251) as u8).collect();
    let mut got = vec![0; sent.len()];
    socket.write_all(&sent).and_then(|()| socket.read_exact(&mut got)).is_ok() && got == sent
}

#[test]
fn modes_that_lose_nothing() {
    let network = network();
    let mut socket = client(&network);
    let wait = Duration::from_millis(3);
    for mode in [Mode::Pass, Mode::Delay(wait, wait * 2), Mode::Pieces, Mode::Pass] {
        network.set(0, mode);
        assert!(echoes(&mut socket), "{mode:?}");
    }
}

#[test]
fn what_is_held_goes_on_afterwards() {
    let network = network();
    for mode in [Mode::Hold, Mode::HoldReplies] {
        let mut socket = client(&network);
        assert!(echoes(&mut socket));
        network.set(0, mode);
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(wait_until_held(&mut socket), "{mode:?}");
        network.set(0, Mode::Pass);
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.read_exact(&mut [0]).unwrap();
    }
}

/// Sends bytes until one does not come back.
fn wait_until_held(socket: &mut TcpStream) -> bool {
    (0..1_000).any(|_| {
        socket.write_all(b"x").unwrap();
        socket.read(&mut [0]).is_err_and(|it| it.kind() == ErrorKind::WouldBlock)
    })
}

#[test]
fn cut_connections_end_within_a_few_bytes_of_replies() {
    let network = network();
    for ending in [Ending::Close, Ending::Reset, Ending::Half] {
        network.set(0, Mode::Cut(ending));
        // The order may take a moment: until then connections pass everything.
        let cut = (0..1_000).any(|_| !echoes(&mut client(&network)));
        assert!(cut, "{ending:?}");
        network.set(0, Mode::Pass);
        assert!((0..1_000).any(|_| echoes(&mut client(&network))), "{ending:?}");
    }
}

#[test]
fn turned_away() {
    let network = network();
    let mut socket = client(&network);
    assert!(echoes(&mut socket));
    network.set(0, Mode::TurnAway);
    assert_eq!(socket.read(&mut [0]).unwrap(), 0, "closed in order");
    assert!(!echoes(&mut client(&network)));
    network.set(0, Mode::Pass);
    assert!((0..1_000).any(|_| echoes(&mut client(&network))));
}

#[test]
fn refused_and_unreachable() {
    let network = network();
    let mut socket = client(&network);
    assert!(echoes(&mut socket));
    for (mode, kind) in
        [(Mode::Refuse, ErrorKind::ConnectionRefused), (Mode::Unreachable, ErrorKind::TimedOut)]
    {
        network.set(0, mode);
        let wait = Duration::from_millis(200);
        let ended = (0..1_000).find_map(|_| TcpStream::connect_timeout(&network.addresses[0], wait).err());
        assert!(ended.is_some(), "{mode:?}");
        let settled = (0..50).any(|_| {
            TcpStream::connect_timeout(&network.addresses[0], wait).is_err_and(|error| error.kind() == kind)
        });
        assert!(settled, "{mode:?}");
        assert!(!echoes(&mut socket), "reset");
        network.set(0, Mode::Pass);
        socket = client(&network);
        assert!(echoes(&mut socket), "open again after {mode:?}");
    }
}
