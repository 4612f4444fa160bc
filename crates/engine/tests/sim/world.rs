//! One seed's run: clients, the engine, servers and time, in ticks as the worker makes them.
//!
//! ```text
//!   clients ──ClientData──▶        ──WriteConn──▶ servers (peers)
//!           ◀─WriteClient──  Core  ◀──ConnData──
//! ```
//! In a tick every client and connection may have a turn, in any order; then outputs are dealt with until
//! there is none. When nobody can do anything the clock jumps to the next thing that will happen.

use crate::absence::Absence;
use crate::ask::Author;
use crate::client::Client;
use crate::faults::{FaultLog, Faults, Why};
use crate::guest::Guest;
use crate::hall::Hall;
use crate::model::{Journal, Keyspace};
use crate::rng::Rng;
use crate::server::Peer;
use crate::setup::{Plan, PoolPlan};
use crate::times::Times;
use engine::error::Cause;
use engine::id::ConnId;
use engine::topology::{Standing, Topology};
use engine::{Closing, Core, Input, Now};
use stats::Shard;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Faults end after so many ticks, so that every run comes to rest.
const FAULTY_TICKS: u32 = 400;

/// A run that is not over by then never will be.
const TICKS_MAX: u32 = 30_000;

/// The longest tick.
pub(crate) const TICK_US: u64 = 40;

/// A harness that lies, to see that the checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tamper {
    /// Two replies change places.
    Swap,
    /// A reply is not delivered.
    Drop,
    /// A reply comes twice.
    Duplicate,
    /// A byte of a reply changes.
    Corrupt,
    /// An error takes a reply's place though nothing went wrong.
    Excuse,
    /// Every request is worked on twice.
    Twice,
    /// A write to a server is not made.
    LoseWrite,
    /// A connection goes to another server than asked for.
    Misroute,
    /// Clients stay paused.
    StayPaused,
    /// The engine is not told that a client is gone.
    KeepClient,
    /// The engine is told of fewer bytes written than were.
    Recount,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) core: Core,
    pub(crate) shard: Arc<Shard>,
    pub(crate) topology: Arc<Topology>,
    pub(crate) clients: Vec<Client>,
    pub(crate) hall: Hall,
    pub(crate) peers: Vec<Peer>,
    pub(crate) keyspaces: Vec<Vec<Keyspace>>,
    pub(crate) journal: Journal,
    pub(crate) log: FaultLog,
    /// Which servers were said to have failed and not yet to have answered.
    pub(crate) failing: Vec<Vec<bool>>,
    /// The faults of servers that are out, by pool and server.
    pub(crate) outs: Vec<Vec<Option<usize>>>,
    /// Where servers are that leave and return in an orderly way.
    pub(crate) absences: Vec<Vec<Absence>>,
    /// Whether one of them went out again as soon as it was in.
    pub(crate) relapsed: bool,
    pub(crate) times: Times,
    /// Servers that the engine holds for down: pool, server, until when, and the fault.
    downs: Vec<(usize, usize, u64, usize)>,
    pub(crate) tamper: Option<Tamper>,
    /// Whether it has lied.
    pub(crate) tampered: bool,
    trace: bool,
    /// Replies that clients have read.
    pub(crate) replies: u64,
    /// Reasons that clients have read for errors, and what was counted.
    pub(crate) seen: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(seed: u64, tamper: Option<Tamper>, trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let mut plan = Plan::draw(&mut rng, tamper.is_some());
        if tamper == Some(Tamper::LoseWrite) {
            // A connection that breaks in time would make it good.
            plan.faults.idle_close = 0;
        }
        let (hall, guests) = Hall::draw(seed, &mut plan);
        let topology = Arc::new(plan.topology(|_, _| Standing::In));
        let (core, shard) = plan.core(seed, topology.clone());
        let keyspace =
            |pool: &PoolPlan, server| Keyspace::new(server, pool.absence.1 == "invalidate", pool.backwards);
        let keyspaces = plan
            .pools
            .iter()
            .map(|pool| (0..pool.servers).map(|server| keyspace(pool, server)).collect())
            .collect();
        let absences = plan.pools.iter().map(|pool| vec![Absence::default(); pool.own]).collect();
        let (failing, outs) =
            plan.pools.iter().map(|pool| (vec![false; pool.servers], vec![None; pool.servers])).unzip();
        let mut world = World {
            times: Times::new(seed, &plan.pools),
            plan,
            rng,
            now: 1_000_000,
            core,
            shard,
            topology,
            clients: Vec::new(),
            hall,
            peers: Vec::new(),
            keyspaces,
            journal: Journal::default(),
            log: FaultLog::default(),
            failing,
            outs,
            absences,
            relapsed: false,
            downs: Vec::new(),
            tamper,
            tampered: false,
            trace,
            replies: 0,
            seen: BTreeSet::new(),
        };
        world.trace(|| format!("{:?}", world.plan));
        world.core.tick(Now { mono_us: world.now, unix_us: world.now });
        if world.plan.preconnect {
            world.core.handle(Input::Preconnect);
        }
        for number in 0..world.plan.clients {
            world.open_client(number);
        }
        for pool in guests.into_iter().filter(|_| tamper.is_none()) {
            world.open_guest(pool);
        }
        world
    }

    fn open_client(&mut self, number: usize) {
        let pool = self.rng.below(self.plan.pools.len());
        let most = match self.plan.faults.leave {
            0 if self.rng.chance(200) => 200,
            0 => 40,
            _ => 120,
        };
        let count = self.rng.below(most);
        let (ends, half_closes, vanishes) = match self.rng.below(10) {
            0 | 1 => (Some(Closing::Clean), false, false),
            2 => (Some(Closing::Linger), false, false),
            3..=5 => (None, true, false),
            _ => (None, false, self.rng.chance(self.plan.faults.vanish)),
        };
        let author = Author {
            loose: self.is_loose(pool),
            of_values: self.plan.faults.leave > 0,
            rng: &mut self.rng,
            pool: &self.plan.pools[pool],
            view: &self.topology.pools[pool],
            client: number,
            seq: 0,
            values: Default::default(),
            counters: Default::default(),
            db: self.plan.pools[pool].db,
            resp3: false,
            name: Vec::new(),
            asks: Vec::new(),
        };
        let asks = author.write(count, ends);
        let id = self.core.open_client(pool as u32, None);
        let mut client = Client::new(id, pool, self.plan.pools[pool].protocol, asks);
        client.half_closes = half_closes;
        client.streams_from = self.plan.pools[pool].stream_from;
        client.ponders = self.rng.chance(200);
        client.heard_at = self.now;
        client.thinks_until = self.now + if self.rng.chance(500) { 0 } else { self.rng.range(1, 400) };
        client.vanishes_at = vanishes.then(|| self.rng.below(client.stream.len() + 1));
        for ask in &client.asks {
            self.trace(|| format!("client {id:?} will ask {}", crate::check::shown(&ask.bytes)));
        }
        self.clients.push(client);
    }

    /// Whether a key's server may change or is drawn.
    pub(crate) fn is_loose(&self, pool: usize) -> bool {
        self.plan.faults.flip > 0 || self.plan.faults.leave > 0 || self.topology.pools[pool].random
    }

    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            // Not by a macro: the test harness would keep it to itself.
            _ = writeln!(std::io::stderr(), "{:>9} {}", self.now, text());
        }
    }

    /// A time for a lie of this kind.
    pub(crate) fn lies(&mut self, tamper: Tamper) -> bool {
        let now = self.tamper == Some(tamper) && !self.tampered && self.rng.chance(400);
        self.tampered |= now;
        now
    }

    /// Runs to the end. An error says what is wrong.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut closing = false;
        for tick in 0..TICKS_MAX {
            if tick == FAULTY_TICKS {
                let Faults { flip, leave, .. } = self.plan.faults;
                self.plan.faults = Faults { flip: flip.min(1), leave: leave.min(1), ..Faults::default() };
            }
            self.tick(tick < FAULTY_TICKS)?;
            let now = self.now;
            if self.core.next_deadline().is_some_and(|at| at <= now) {
                continue;
            }
            if self.clients.iter().any(|c| c.is_busy(now)) || self.peers.iter().any(|p| p.is_busy(now)) {
                continue;
            }
            if self.hall.guests.iter().any(|guest| guest.is_busy(now)) {
                continue;
            }
            self.check_caches()?;
            let wakes = self.clients.iter().filter_map(Client::wakes_at);
            let wakes = wakes.chain(self.hall.guests.iter().filter_map(Guest::wakes_at));
            let wakes =
                wakes.chain(self.peers.iter().filter_map(Peer::wakes_at)).chain(self.core.next_deadline());
            let wakes = wakes.chain(self.downs.iter().map(|(_, _, until, _)| *until));
            match wakes.filter(|at| *at > now).min() {
                Some(at) => {
                    self.trace(|| format!("nothing to do until {at}"));
                    self.now = at;
                }
                None if closing => {
                    self.check_guests()?;
                    self.check_empty_hall()?;
                    return self.check_end();
                }
                None => {
                    self.check_answers()?;
                    self.check_guests()?;
                    self.close_clients();
                    self.close_guests();
                    closing = true;
                }
            }
        }
        let busy = self.hall.guests.iter().find(|guest| guest.is_busy(self.now)).map(|guest| guest.id);
        let peer = self.peers.iter().find(|peer| peer.is_busy(self.now)).map(|peer| peer.id);
        let unchecked =
            self.hall.guests.iter().find(|guest| guest.cache.is_unchecked()).map(|guest| guest.id);
        Err(format!("the run does not come to rest: {busy:?} or {peer:?} is busy, {unchecked:?} unchecked"))
    }

    /// Those that are still there at the end go.
    fn close_clients(&mut self) {
        self.core.tick(Now { mono_us: self.now, unix_us: self.now });
        for index in 0..self.clients.len() {
            if !self.clients[index].is_open() || self.lies(Tamper::KeepClient) {
                continue;
            }
            let id = self.clients[index].id;
            if self.rng.chance(500) {
                self.clients[index].ended = true;
                self.core.handle(Input::ClientEnd(id));
            } else {
                self.clients[index].lost = true;
                self.core.handle(Input::ClientLost(id));
            }
        }
    }

    fn tick(&mut self, faulty: bool) -> Result<(), String> {
        self.now += self.rng.range(1, TICK_US);
        self.core.tick(Now { mono_us: self.now, unix_us: self.now });
        let mut turns: Vec<Turn> = (0..self.clients.len()).map(Turn::Client).collect();
        turns.extend(self.peers.iter().map(|peer| Turn::Peer(peer.id)));
        turns.extend((0..self.hall.guests.len()).map(Turn::Guest));
        self.rng.shuffle(&mut turns);
        for turn in turns {
            if !self.rng.chance(700) {
                continue;
            }
            match turn {
                Turn::Client(index) => self.client_turn(index)?,
                Turn::Peer(id) => self.peer_turn(id)?,
                Turn::Guest(index) => self.guest_turn(index)?,
            }
        }
        if faulty && self.rng.chance(self.plan.faults.flip) {
            self.flip();
        }
        if self.plan.faults.leave > 0 {
            self.leave(faulty);
        }
        if faulty {
            self.retime();
        }
        self.put_up();
        self.core.expire();
        while let Some(output) = self.core.next_output() {
            self.trace(|| format!("  {output:?}"));
            self.act(output)?;
        }
        self.check_hall()?;
        self.check_tick()
    }

    /// Takes servers out or puts them back.
    fn flip(&mut self) {
        let rng = &mut self.rng;
        let mut draw = |_| {
            *rng.pick(&[
                Standing::In,
                Standing::In,
                Standing::In,
                Standing::Out,
                Standing::Returning,
                Standing::Drained,
            ])
        };
        // A standby is never ejected.
        let mut stand = |pool: &PoolPlan| {
            let mut standings: Vec<_> = (0..pool.own).map(&mut draw).collect();
            standings.resize(pool.servers, Standing::In);
            standings
        };
        let standings: Vec<Vec<Standing>> = self.plan.pools.iter().map(&mut stand).collect();
        for (pool, servers) in standings.iter().enumerate() {
            for (server, standing) in servers.iter().enumerate() {
                if let Some(fault) = self.outs[pool][server].take() {
                    self.log.end(fault, self.now);
                }
                let cause = match standing {
                    Standing::In => continue,
                    Standing::Out | Standing::Returning => Cause::Refused,
                    Standing::Drained => Cause::Drained,
                };
                let fault = self.log.add(pool, server, Why::Cause(cause), (self.now, u64::MAX));
                self.outs[pool][server] = Some(fault);
                if *standing == Standing::Returning {
                    self.note_parting(pool, server);
                }
            }
        }
        self.trace(|| format!("servers: {standings:?}"));
        self.topology = Arc::new(self.plan.topology(|pool, server| standings[pool][server]));
        self.core.handle(Input::Topology(self.topology.clone()));
    }

    /// Gives a server's requests another time, sometimes.
    fn retime(&mut self) {
        let Some(change) = self.times.change(self.now) else { return };
        self.trace(|| format!("{change:?}"));
        self.seen.insert("another timeout".to_string());
        let (pool, server) = (change.pool as u32, change.server as u32);
        self.core.handle(Input::Timeout { pool, server, micros: change.micros });
    }

    /// The engine found a server down; a probe finds it up again later.
    pub(crate) fn mark_down(&mut self, pool: usize, server: usize, cause: Cause) {
        let until = self.now + self.rng.range(1, 100_000);
        let fault = self.log.add(pool, server, Why::Cause(cause), (self.now, u64::MAX));
        self.downs.push((pool, server, until, fault));
    }

    /// Probes find servers up again; and other workers find servers down, sometimes.
    fn put_up(&mut self) {
        let now = self.now;
        while let Some((pool, server, ..)) = self.downs.iter().find(|down| down.2 <= now).copied() {
            self.trace(|| format!("server {server} is up"));
            self.core.handle(Input::Server { pool: pool as u32, server: server as u32, down: None });
            let over = self.downs.extract_if(.., |down| (down.0, down.1) == (pool, server));
            over.for_each(|(.., fault)| self.log.end(fault, now));
        }
        if self.rng.chance(self.plan.faults.told_down) {
            let pool = self.rng.below(self.plan.pools.len());
            let server = self.rng.below(self.plan.pools[pool].servers);
            let cause = *self.rng.pick(&[Cause::Refused, Cause::TimedOut]);
            self.trace(|| format!("server {server} is said to be down: {cause:?}"));
            self.mark_down(pool, server, cause);
            self.core.handle(Input::Server { pool: pool as u32, server: server as u32, down: Some(cause) });
        }
    }
}

enum Turn {
    Client(usize),
    Peer(ConnId),
    Guest(usize),
}
