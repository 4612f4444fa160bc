//! Workers, their servers and their clients in one thread: sockets are real, but nobody runs by himself, so every run
//! does the same. Unix sockets deliver within the call that sends.
//!
//! ```text
//!   round:  every client sends ──→ turn ──→ servers answer ──→ turn ──→ every client has its replies
//!                                  counted                      counted
//! ```

use crate::ask::{Ask, Asker, answer};
use config::{Io, Protocol};
use engine::Process;
use engine::topology::{Standing, Topology};
use reactor::{Events, net};
use stats::Registry;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use worker::{Gate, Handle, Listener, Notice, Setup, Worker};

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    pub(crate) protocol: Protocol,
    pub(crate) ask: Ask,
    pub(crate) workers: usize,
    pub(crate) clients_per_worker: usize,
    /// Requests that a client sends at once.
    pub(crate) depth: usize,
    pub(crate) servers: usize,
    pub(crate) value_bytes: usize,
    pub(crate) io: Io,
}

/// All of them, connected.
pub(crate) struct Stage {
    cast: Cast,
    workers: Vec<Worker>,
    events: Events,
    servers: Vec<Server>,
    clients: Vec<Client>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    folder: Folder,
}

struct Client {
    socket: UnixStream,
    worker: usize,
    asker: Asker,
    expected: Vec<u8>,
    /// So many bytes of it have come.
    got: usize,
}

struct Server {
    listener: UnixListener,
    conns: Vec<(UnixStream, Pending)>,
}

/// What a server's connection has read but not answered, and answered but not written.
#[derive(Default)]
struct Pending {
    asked: Vec<u8>,
    answers: Vec<u8>,
}

impl Stage {
    /// Fails when the kernel has not what the sockets are to be read by.
    pub(crate) fn new(cast: Cast) -> io::Result<Stage> {
        let folder = Folder::new();
        let servers: Vec<Server> = (0..cast.servers).map(|at| Server::new(&folder.server(at))).collect();
        let settings = config::load(&configuration(&cast, &folder), &|_, _| unreachable!("no names"));
        let settings = settings.expect("the text is a good one");
        let topology = Arc::new(Topology::new(&settings, |_, _| Standing::In));
        let registry = Arc::new(Registry::new(topology.layout(), cast.workers));
        let process = Arc::new(Process::new("0.0.0", 1, registry.clone(), 16));
        let gate = Arc::new(Gate::new(cast.workers, u64::MAX, [0].into_iter()));
        let handles: Vec<Handle> = (0..cast.workers).map(|_| Handle::new().expect("descriptors")).collect();
        let epoch = Instant::now();
        let worker = |index: usize| {
            let socket = net::listen_unix(&folder.worker(index), None, 64).expect("the folder is ours");
            let listener = Listener { socket: Arc::new(socket), pool: 0, keepalive: false, refusal: "" };
            Worker::new(Setup {
                index,
                topology: topology.clone(),
                shard: registry.shards()[index].clone(),
                process: process.clone(),
                listeners: vec![listener],
                gate: gate.clone(),
                workers: handles.clone(),
                notify: Arc::new(|notice| {
                    let begun = matches!(notice, Notice::Streams { .. });
                    assert!(begun, "nothing fails here: {notice:?}");
                }),
                read_bytes: READ_BYTES,
                memory: MEMORY_BYTES,
                epoch,
                seed: 1,
                io: cast.io,
            })
        };
        let mut workers: Vec<Worker> =
            (0..cast.workers).map(|index| worker(index).expect("descriptors")).collect();
        workers.iter_mut().try_for_each(Worker::begin)?;
        let mut stage = Stage {
            cast,
            workers,
            events: Events::with_capacity(1024),
            servers,
            clients: Vec::new(),
            request: Vec::new(),
            buffer: vec![0; READ_BYTES],
            folder,
        };
        (0..cast.clients_per_worker * cast.workers).for_each(|number| stage.connect(number % cast.workers));
        Ok(stage)
    }

    fn connect(&mut self, worker: usize) {
        let socket = UnixStream::connect(self.folder.worker(worker)).expect("the worker listens");
        socket.set_nonblocking(true).expect("a socket can");
        self.workers[worker].turn(&mut self.events).expect("the kernel waits");
        let asker = asker(&self.cast, self.clients.len());
        self.clients.push(Client { socket, worker, asker, got: 0, expected: Vec::new() });
    }

    /// How many requests a round is.
    pub(crate) fn requests_per_round(&self) -> usize {
        self.clients.len() * self.cast.depth
    }

    /// The next rounds are those from the beginning again.
    pub(crate) fn rewind(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.asker = asker(&self.cast, number);
        }
    }

    /// Every client asks, and has all its replies. What the workers do goes through `count`.
    ///
    /// # Panics
    /// When a reply is not the right one.
    pub(crate) fn round(&mut self, count: &mut impl FnMut(&mut dyn FnMut())) {
        for client in &mut self.clients {
            self.request.clear();
            (0..self.cast.depth).for_each(|_| client.asker.next(&mut self.request));
            client.expected.clear();
            client.got = 0;
            answer(self.cast.protocol, &self.request, self.cast.value_bytes, &mut client.expected);
            client.socket.write_all(&self.request).expect("a round fits the socket");
        }
        // Who has no reply yet still has bytes on the way, so that no turn waits for ever.
        while let Some(worker) = self.clients.iter().find(|client| !client.is_done()).map(|c| c.worker) {
            let (worker, events) = (&mut self.workers[worker], &mut self.events);
            count(&mut || worker.turn(events).expect("the kernel waits"));
            for server in &mut self.servers {
                server.serve(&self.cast, &mut self.buffer);
            }
            self.clients.iter_mut().for_each(|client| client.read(&mut self.buffer));
        }
    }
}

impl Client {
    fn is_done(&self) -> bool {
        self.got == self.expected.len()
    }

    fn read(&mut self, buffer: &mut [u8]) {
        if self.is_done() {
            return;
        }
        while let Some(bytes) = read(&mut self.socket, buffer) {
            assert!(self.expected[self.got..].starts_with(bytes), "a wrong reply");
            self.got += bytes.len();
        }
    }
}

impl Server {
    fn new(path: &Path) -> Server {
        let listener = UnixListener::bind(path).expect("the folder is ours");
        listener.set_nonblocking(true).expect("a socket can");
        Server { listener, conns: Vec::new() }
    }

    /// Answers all that has come in, as far as there is room.
    fn serve(&mut self, cast: &Cast, buffer: &mut [u8]) {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true).expect("a socket can");
            self.conns.push((socket, Pending::default()));
        }
        for (socket, pending) in &mut self.conns {
            while let Some(bytes) = read(socket, buffer) {
                pending.asked.extend_from_slice(bytes);
            }
            let used = answer(cast.protocol, &pending.asked, cast.value_bytes, &mut pending.answers);
            pending.asked.drain(..used);
            while !pending.answers.is_empty() {
                match socket.write(&pending.answers) {
                    Ok(count) => drop(pending.answers.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("a worker closed a connection to a server: {error}"),
                }
            }
        }
    }
}

fn asker(cast: &Cast, number: usize) -> Asker {
    Asker::new(cast.protocol, cast.ask, cast.value_bytes, number)
}

/// What there is to read; nothing: nothing now.
fn read<'b>(socket: &mut UnixStream, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    match socket.read(buffer) {
        Ok(0) => panic!("a worker closed a connection"),
        Ok(count) => Some(&buffer[..count]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("a connection to a worker failed: {error}"),
    }
}

/// As in a file that an operator would write; only that no timeout comes while it runs.
fn configuration(cast: &Cast, folder: &Folder) -> String {
    let redis = cast.protocol == Protocol::Redis;
    let mut text = format!(
        "pool:\n  listen: 127.0.0.1:1\n  hash: fnv1a_64\n  distribution: ketama\n  redis: {redis}\n  timeout: 3600000\n  servers:\n"
    );
    for server in 0..cast.servers {
        text += &format!("  - {}:1 server{server}\n", folder.server(server).display());
    }
    text
}

/// Where the sockets are; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cashew-count-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder for temporary files can be written to");
        Folder(path)
    }

    fn server(&self, number: usize) -> PathBuf {
        self.0.join(format!("s{number}"))
    }

    fn worker(&self, number: usize) -> PathBuf {
        self.0.join(format!("w{number}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it does no harm.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a worker reads at once with the default `mbuf_size`.
const READ_BYTES: usize = 64 << 10;

/// More than is ever needed here.
const MEMORY_BYTES: usize = 1 << 30;
