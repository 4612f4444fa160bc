//! Replies to a client that waits for more are held for a tick, and so are requests while replies leave; never while the worker has
//! nothing else to do.

#[path = "shared/kinds.rs"]
mod kinds;

use config::Io;
use engine::Process;
use engine::topology::{Standing, Topology};
use kinds::kinds_of_io;
use reactor::{Events, net};
use stats::Registry;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use worker::{Gate, Handle, Listener, Message, Setup, Worker};

/// What has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many keys are asked for at once: two servers both have some of them.
const KEYS: usize = 16;

const REPLY: &[u8] = b"$1\r\nv\r\n";

/// Asks for the first key.
const ASK_FIRST: &[u8] = b"*2\r\n$3\r\nGET\r\n$2\r\n00\r\n";

#[test]
fn replies_of_two_ticks_leave_together() {
    kinds_of_io().for_each(two_ticks_leave_together);
}

fn two_ticks_leave_together(io: Io) {
    let mut scene = Scene::new(io);
    let first = scene.owner(0);
    scene.answer(first);
    scene.worker.turn(&mut scene.events).expect("the kernel waits");
    assert_eq!(scene.arrived(), 0, "the other server's replies are still to come");
    scene.answer(1 - first);
    scene.worker.turn(&mut scene.events).expect("the kernel waits");
    assert_eq!(scene.arrived(), KEYS * REPLY.len(), "all of them in one write");
}

#[test]
fn nothing_is_held_while_the_worker_waits() {
    kinds_of_io().for_each(the_worker_waits);
}

fn the_worker_waits(io: Io) {
    let mut scene = Scene::new(io);
    let first = scene.owner(0);
    let before = (0..KEYS).take_while(|key| scene.owner(*key) == first).count();
    scene.answer(first);
    let Scene { worker, mut client, handle, .. } = scene;
    let thread = std::thread::spawn(move || {
        let mut replies = vec![0; before * REPLY.len()];
        client.set_nonblocking(false).expect("a socket can");
        let outcome = client.read_exact(&mut replies);
        handle.send(Message::Stop(Duration::ZERO));
        outcome.map(|()| replies)
    });
    worker.run().expect("the kernel waits");
    let replies = thread.join().expect("it read");
    let replies = replies.expect("what is there comes, though the other server never answers");
    assert_eq!(replies, REPLY.repeat(before));
}

#[test]
fn what_is_held_leaves_before_the_end() {
    kinds_of_io().for_each(it_leaves_before_the_end);
}

fn it_leaves_before_the_end(io: Io) {
    let mut scene = Scene::new(io);
    let first = scene.owner(0);
    let before = (0..KEYS).take_while(|key| scene.owner(*key) == first).count();
    scene.answer(first);
    scene.worker.turn(&mut scene.events).expect("the kernel waits");
    assert_eq!(scene.arrived(), 0, "it is held");
    scene.handle.send(Message::Stop(Duration::ZERO));
    let Scene { worker, mut client, .. } = scene;
    worker.run().expect("the kernel waits");
    let mut replies = Vec::new();
    client.set_nonblocking(false).expect("a socket can");
    client.read_to_end(&mut replies).expect("it is ended in peace");
    assert_eq!(replies, REPLY.repeat(before));
}

#[test]
fn requests_wait_for_those_of_clients_that_are_answered() {
    with_ring(|scene, asked| {
        // The first client asks again as soon as it has its replies.
        scene.client.write_all(ASK_FIRST).expect("it fits the socket");
        scene.worker.turn(&mut scene.events).expect("the kernel waits");
        assert_eq!(scene.asked(asked), ASK_FIRST.repeat(2), "both in one write");
    });
}

#[test]
fn requests_wait_for_no_one_when_nothing_is_ready() {
    with_ring(|scene, asked| {
        scene.worker.turn(&mut scene.events).expect("the kernel is not waited for");
        assert_eq!(scene.asked(asked), ASK_FIRST, "it has left");
    });
}

/// So many clients are answered beside the first.
const CROWD: usize = 4;

/// A client asks in the tick in which others get their replies. Without a ring, its request would leave at once.
fn with_ring(then: impl Fn(&mut Scene, usize)) {
    for io in kinds_of_io().filter(|io| *io == Io::IoUring) {
        let mut scene = Scene::new(io);
        let first = scene.owner(0);
        let mut crowd = [(); CROWD + 1].map(|()| {
            let client = TcpStream::connect(scene.address).expect("the worker listens");
            scene.worker.turn(&mut scene.events).expect("the kernel waits");
            client
        });
        let (late, crowd) = crowd.split_last_mut().expect("one of them");
        crowd.iter_mut().for_each(|client| client.write_all(ASK_FIRST).expect("it fits the socket"));
        scene.worker.turn(&mut scene.events).expect("the kernel waits");
        late.write_all(ASK_FIRST).expect("it fits the socket");
        [0, 1].into_iter().for_each(|server| scene.answer(server));
        scene.asked(first);
        scene.servers[first].0.write_all(&REPLY.repeat(CROWD)).expect("it fits the socket");
        scene.worker.turn(&mut scene.events).expect("the kernel waits");
        assert_eq!(scene.arrived(), KEYS * REPLY.len(), "all that the first client waits for");
        assert_eq!(scene.asked(first), b"", "it waits");
        then(&mut scene, first);
    }
}

/// One worker with two servers and one client, which has asked for all keys in one write.
struct Scene {
    worker: Worker,
    events: Events,
    handle: Handle,
    /// Where the worker listens.
    address: SocketAddr,
    client: TcpStream,
    /// A server's connection, and what was asked over it.
    servers: Vec<(TcpStream, Vec<u8>)>,
}

impl Scene {
    /// As far as the servers have got all requests.
    fn new(io: Io) -> Scene {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [a, b] = [0, 1].map(|index: usize| listeners[index].local_addr().expect("it is bound"));
        let text = format!(
            "pool:\n  listen: 127.0.0.1:1\n  redis: true\n  hash: md5\n  servers:\n  - {a}:1\n  - {b}:1\n"
        );
        let settings = config::load(&text, &|_, _| unreachable!("no names")).expect("a good configuration");
        let topology = Arc::new(Topology::new(&settings, |_, _| Standing::In));
        let registry = Arc::new(Registry::new(topology.layout(), 1));
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let socket = Arc::new(net::listen_tcp(any, 16, false).expect("a free port"));
        let listener = TcpListener::from(socket.as_fd().try_clone_to_owned().expect("descriptors"));
        let address = listener.local_addr().expect("it is bound");
        let handle = Handle::new().expect("descriptors");
        let worker = Worker::new(Setup {
            index: 0,
            topology,
            shard: registry.shards()[0].clone(),
            process: Arc::new(Process::new("0.0.0", 1, registry, 16)),
            listeners: vec![Listener { socket, pool: 0, keepalive: false, refusal: "" }],
            gate: Arc::new(Gate::new(1, u64::MAX, [0].into_iter())),
            workers: vec![handle.clone()],
            notify: Arc::new(|_| {}),
            read_bytes: 4096,
            memory: 1 << 20,
            epoch: Instant::now(),
            seed: 1,
            io,
        });
        let mut worker = worker.expect("descriptors");
        worker.begin().expect("the kernel has what is asked for");
        let mut client = TcpStream::connect(address).expect("the worker listens");
        let requests: String =
            (0..KEYS).map(|key| format!("*2\r\n$3\r\nGET\r\n$2\r\n{key:02}\r\n")).collect();
        client.write_all(requests.as_bytes()).expect("it fits the socket");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket can");
        client.set_nonblocking(true).expect("a socket can");
        let mut scene =
            Scene { worker, events: Events::with_capacity(16), handle, address, client, servers: Vec::new() };
        scene.ask(&listeners, requests.len());
        scene
    }

    /// Turns the worker until the servers have so many bytes of requests.
    fn ask(&mut self, listeners: &[TcpListener], bytes: usize) {
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).expect("a socket can"));
        let end = Instant::now() + PATIENCE;
        while self.servers.iter().map(|(_, asked)| asked.len()).sum::<usize>() < bytes {
            assert!(Instant::now() < end, "not all is asked");
            // It is never without anything to do, so that it does not wait for ever.
            self.handle.send(Message::Preconnect);
            self.worker.turn(&mut self.events).expect("the kernel waits");
            for (socket, _) in listeners.iter().filter_map(|listener| listener.accept().ok()) {
                socket.set_nonblocking(true).expect("a socket can");
                self.servers.push((socket, Vec::new()));
            }
            self.servers.iter_mut().for_each(|(socket, asked)| drain(socket, asked));
        }
    }

    /// Which server is asked for a key.
    fn owner(&self, key: usize) -> usize {
        self.keys().iter().position(|keys| keys.contains(&key)).expect("one of them")
    }

    fn keys(&self) -> Vec<BTreeSet<usize>> {
        let of = |asked: &[u8]| {
            String::from_utf8_lossy(asked).lines().filter_map(|line| line.parse().ok()).collect()
        };
        self.servers.iter().map(|(_, asked)| of(asked)).collect()
    }

    /// Lets a server answer all that it was asked.
    fn answer(&mut self, server: usize) {
        let count = self.keys()[server].len();
        self.servers[server].0.write_all(&REPLY.repeat(count)).expect("it fits the socket");
    }

    /// What a server has been asked since.
    fn asked(&mut self, server: usize) -> Vec<u8> {
        let (socket, asked) = &mut self.servers[server];
        drain(socket, asked);
        std::mem::take(asked)
    }

    /// So many bytes have come to the client.
    fn arrived(&mut self) -> usize {
        let mut replies = Vec::new();
        drain(&mut self.client, &mut replies);
        replies.len()
    }
}

/// Reads all that is there.
fn drain(socket: &mut TcpStream, into: &mut Vec<u8>) {
    match socket.read_to_end(into) {
        Ok(_) => panic!("nobody closes"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
    }
}
