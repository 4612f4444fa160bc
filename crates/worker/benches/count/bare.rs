//! An engine alone, with more servers, pools and clients than there could be sockets; one request at a time, so that
//! nothing is shared out over a tick and whatever grows with their number shows.

use crate::ask::{Ask, Asker, answer};
use config::Protocol;
use engine::id::{ClientId, ConnId};
use engine::topology::{Standing, Topology};
use engine::{Core, Input, Now, Output, Process};
use stats::Registry;
use std::sync::Arc;

/// How large the proxy is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) servers: usize,
    pub(crate) pools: usize,
    pub(crate) clients: usize,
    /// Clients that ask nothing, beside them.
    pub(crate) idle: usize,
}

/// An engine, and what it is to be asked.
pub(crate) struct Bare {
    settings: config::Settings,
    /// What the control plane holds until all workers have let go of it.
    views: [Arc<Topology>; 2],
    core: Core,
    now_us: u64,
    clients: Vec<ClientId>,
    asker: Asker,
    request: Vec<u8>,
    expected: Vec<u8>,
    reply: Vec<u8>,
    /// By index.
    conns: Vec<Option<Conn>>,
    /// Those that were asked and have not answered.
    asked: Vec<usize>,
}

/// A connection to a server.
struct Conn {
    id: ConnId,
    asked: Vec<u8>,
    answers: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(size: Size, ask: Ask) -> Bare {
        let settings = config::load(&configuration(size), &|_, _| unreachable!("no names"));
        let settings = settings.expect("the text is a good one");
        let topology = Arc::new(Topology::new(&settings, |_, _| Standing::In));
        let registry = Arc::new(Registry::new(topology.layout(), 1));
        let process = Process::new("0.0.0", 1, registry.clone(), 16);
        let mut asker = Asker::new(Protocol::Redis, ask, VALUE_BYTES, 0);
        if let Ask::Spread(_) = ask {
            asker.learn(size.servers, |key| topology.pools[0].place(key, 0).expect("all servers are in"));
        }
        let views = [topology.clone(), topology.clone()];
        let mut core = Core::new(Arc::new(process), topology, registry.shards()[0].clone(), 1);
        let mut open = |number: usize| core.open_client((number % size.pools) as u32, None);
        let clients = (0..size.clients).map(&mut open).collect();
        (0..size.idle).for_each(|number| _ = open(number));
        Bare {
            settings,
            views,
            core,
            now_us: 1_000_000,
            clients,
            asker,
            request: Vec::new(),
            expected: Vec::new(),
            reply: Vec::new(),
            conns: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// One client asks, and has its reply. What the engine does goes through `count`.
    ///
    /// # Panics
    /// When the reply is not the right one.
    pub(crate) fn ask(&mut self, client: usize, count: &mut impl FnMut(&mut dyn FnMut())) {
        self.request.clear();
        self.expected.clear();
        self.reply.clear();
        self.asker.next(&mut self.request);
        answer(Protocol::Redis, &self.request, VALUE_BYTES, &mut self.expected);
        let id = self.clients[client % self.clients.len()];
        self.tick(count);
        count(&mut || self.core.handle(Input::ClientData(id, &self.request)));
        self.act(count);
        self.tick(count);
        while let Some(index) = self.asked.pop() {
            let conn = self.conns[index].as_mut().expect("it was asked");
            answer(Protocol::Redis, &conn.asked, VALUE_BYTES, &mut conn.answers);
            count(&mut || self.core.handle(Input::ConnData(conn.id, &conn.answers)));
            conn.asked.clear();
            conn.answers.clear();
        }
        self.act(count);
        assert!(self.reply == self.expected, "a wrong reply");
    }

    /// There is a new view, in which the second server of the first pool stands as said.
    pub(crate) fn renew(&mut self, away: bool, count: &mut impl FnMut(&mut dyn FnMut())) {
        let standing = if away { Standing::Out } else { Standing::In };
        let view = self.views[1].renewed(&self.settings, |pool, server| match (pool, server) {
            (0, 1) => standing,
            _ => Standing::In,
        });
        self.views = [self.views[1].clone(), Arc::new(view)];
        let mut view = Some(self.views[1].clone());
        count(&mut || view.take().into_iter().for_each(|view| self.core.handle(Input::Topology(view))));
        self.act(count);
    }

    fn tick(&mut self, count: &mut impl FnMut(&mut dyn FnMut())) {
        self.now_us += TICK_US;
        let now = Now { mono_us: self.now_us, unix_us: self.now_us };
        count(&mut || self.core.tick(now));
    }

    /// The end of a tick.
    fn act(&mut self, count: &mut impl FnMut(&mut dyn FnMut())) {
        count(&mut || self.core.expire());
        let mut output = None;
        loop {
            count(&mut || output = self.core.next_output());
            match output {
                None => return,
                Some(Output::Connect { conn: id, .. }) => {
                    let conn = Conn { id, asked: Vec::new(), answers: Vec::new() };
                    self.conns.resize_with(self.conns.len().max(id.index() + 1), || None);
                    self.conns[id.index()] = Some(conn);
                    self.core.handle(Input::ConnUp(id));
                }
                Some(Output::WriteConn(id)) => {
                    let bytes = self.core.conn_output(id);
                    let conn = self.conns[id.index()].as_mut().expect("it was connected");
                    conn.asked.extend_from_slice(bytes);
                    self.asked.push(id.index());
                    let length = bytes.len();
                    count(&mut || self.core.handle(Input::ConnWritten(id, length)));
                }
                Some(Output::WriteClient(id)) => {
                    let bytes = self.core.client_output(id);
                    self.reply.extend_from_slice(bytes);
                    let length = bytes.len();
                    count(&mut || self.core.handle(Input::ClientWritten(id, length)));
                }
                Some(other) => panic!("nothing fails here: {other:?}"),
            }
        }
    }
}

fn configuration(size: Size) -> String {
    let mut text = String::new();
    for pool in 0..size.pools {
        text += &format!(
            "pool{pool}:\n  listen: 127.0.0.1:{}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  timeout: 3600000\n  servers:\n",
            1 + pool
        );
        for server in 0..size.servers {
            text += &format!("  - 127.0.0.1:{}:1 server{server}\n", 2_000 + server);
        }
    }
    text
}

const VALUE_BYTES: usize = 64;

/// From one tick to the next.
const TICK_US: u64 = 20;
