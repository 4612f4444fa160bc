//! Clients are spread evenly over workers, whoever of them accepts.

use engine::Process;
use engine::topology::{Standing, Topology};
use reactor::net;
use stats::{Registry, WorkerMetric};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use worker::{Gate, Handle, Listener, Message, Setup, Worker};

const WORKERS: usize = 4;
const CLIENTS: usize = 400;
const TEXT: &str = "pool:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n  - 127.0.0.1:1:1\n";

#[test]
fn idle_clients_spread_over_all_workers() {
    let settings = config::load(TEXT, &|_, _| unreachable!("no names")).expect("a good configuration");
    let topology = Arc::new(Topology::new(&settings, |_, _| Standing::In));
    let registry = Arc::new(Registry::new(topology.layout(), WORKERS));
    let process = Arc::new(Process::new("0.0.0", 1, registry.clone(), 16));
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let socket = Arc::new(net::listen_tcp(any, 512, false).expect("a free port"));
    let address = std::net::TcpListener::from(socket.as_fd().try_clone_to_owned().expect("descriptors"))
        .local_addr()
        .expect("it is bound");
    let gate = Arc::new(Gate::new(WORKERS, u64::MAX, [0].into_iter()));
    let handles: Vec<Handle> = (0..WORKERS).map(|_| Handle::new().expect("descriptors")).collect();
    let start = |index: usize| {
        let worker = Worker::new(Setup {
            index,
            topology: topology.clone(),
            shard: registry.shards()[index].clone(),
            process: process.clone(),
            listeners: vec![Listener { socket: socket.clone(), pool: 0, keepalive: false, refusal: "" }],
            gate: gate.clone(),
            workers: handles.clone(),
            notify: Arc::new(|_| {}),
            read_bytes: 4096,
            memory: 1 << 20,
            epoch: Instant::now(),
            seed: 1,
            io: config::Io::Auto,
        });
        let worker = worker.expect("descriptors");
        std::thread::spawn(move || worker.run())
    };
    let threads: Vec<_> = (0..WORKERS).map(start).collect();
    let here = || -> Vec<u64> {
        registry.shards().iter().map(|shard| shard.worker(WorkerMetric::CurrConnections).get()).collect()
    };

    // Some one by one, the rest in a burst.
    let mut clients = Vec::new();
    while clients.len() < CLIENTS {
        clients.push(TcpStream::connect(address).expect("workers listen"));
        if clients.len() < CLIENTS / 2 {
            wait(|| here().iter().sum::<u64>() == clients.len() as u64);
        }
    }
    wait(|| here().iter().sum::<u64>() == CLIENTS as u64);
    let spread = here();
    let (least, most) = (spread.iter().min().copied(), spread.iter().max().copied());
    // Workers that accept at the same moment may choose the same one.
    let slack = WORKERS as u64;
    assert!(most.zip(least).is_some_and(|(most, least)| most - least <= slack), "{spread:?}");

    handles.iter().for_each(|handle| handle.send(Message::Stop(Duration::ZERO)));
    for thread in threads {
        thread.join().expect("no worker panics").expect("the kernel waits");
    }
}

fn wait(until: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !until() {
        assert!(Instant::now() < end, "it did not come to that");
        std::thread::yield_now();
    }
}
