//! Everything that runs during a proxy's turn, and one fault from its beginning until all is well again.

use crate::chaos::ask::Keys;
use crate::chaos::crowd::{Book, Crowd};
use crate::chaos::farm::{Proxy, Server, find_tags, free_ports};
use crate::chaos::fault::Fault;
use crate::chaos::ledger::Ledger;
use crate::chaos::network::{Mode, Network};
use crate::chaos::tally::Tally;
use crate::chaos::{FaultRecord, Options, POOLS, SERVERS, Seat, seats};
use crate::measure::kib_field;
use crate::process::TempDir;
use crate::proxies::Program;
use crate::scenario::Protocol;
use anyhow::{Result, bail, ensure};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A proxy with its clients and servers. Fields end in this order.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    crowd: Crowd,
    /// The proxy under test.
    pub(crate) proxy: Proxy,
    /// Between proxy and servers; number `pool * SERVERS + server`.
    pub(crate) network: Network,
    /// redis, then memcached.
    pub(crate) servers: [Vec<Server>; 2],
    /// Of configurations and logs.
    pub(crate) dir: TempDir,
    /// Set by Ctrl-C.
    pub(crate) stop: &'a AtomicBool,
    seats: Vec<Seat>,
    tags: [Vec<String>; SERVERS],
    played: usize,
    /// Servers whose keys were still elsewhere when the last fault was given up.
    away: [[bool; SERVERS]; POOLS.len()],
}

impl<'a> Stage<'a> {
    /// Starts it all; load is on when it comes back.
    ///
    /// # Errors
    /// When something does not start.
    pub(crate) fn set(program: &Program, options: &Options, stop: &'a AtomicBool) -> Result<Self> {
        let dir = TempDir::new()?;
        let ports = free_ports(2 * SERVERS + POOLS.len() * SERVERS)?;
        let (of_servers, of_forwarders) = ports.split_at(2 * SERVERS);
        let start = |protocol, ports: &[u16]| -> Result<Vec<Server>> {
            let each = ports.iter().enumerate();
            each.map(|(number, &port)| Server::start(protocol, number, port, &dir.0, stop)).collect()
        };
        let (redis, memcached) = of_servers.split_at(SERVERS);
        let servers = [start(Protocol::Redis, redis)?, start(Protocol::Memcached, memcached)?];
        let behind = POOLS.iter().flat_map(|pool| &servers[row(pool.protocol)]).map(|server| server.address);
        let behind: Vec<(SocketAddr, u16)> = behind.zip(of_forwarders.iter().copied()).collect();
        let network = Network::start(&behind, options.seed)?;
        let proxy = Proxy::start(program, &network.addresses, options.threads, &dir.0, stop)?;
        let tags = find_tags(&proxy, &servers[0])?;
        let seats = seats();
        let mut ledger = Ledger::new();
        let keys = Keys::new(0, &seats, &tags, &mut ledger);
        let now = Instant::now();
        let book = Book { ledger, keys, tallies: POOLS.iter().map(|_| Tally::new(None, now)).collect() };
        let crowd = Crowd::start(book, &seats, &proxy.pools, options.seed)?;
        let stage = Self {
            crowd,
            proxy,
            network,
            servers,
            dir,
            stop,
            seats,
            tags,
            played: 0,
            away: Default::default(),
        };
        stage.pause(WARM_UP)?;
        Ok(stage)
    }

    /// Plays a fault and waits until all is well again, or for `RETURN_MAX`.
    ///
    /// # Errors
    /// When the fault cannot be made or undone.
    pub(crate) fn play(&mut self, fault: &Fault, server: usize) -> Result<FaultRecord> {
        let faulty = fault.hits_a_server.then_some(server);
        let ejected = self.proxy.ejections().unwrap_or_default();
        let passed: Vec<u64> = (0..POOLS.len() * SERVERS).map(|it| self.network.passed(it)).collect();
        self.begin(faulty);
        self.pause(BEFORE)?;
        (fault.play)(self, server)?;
        let back = self.wait_until_well(faulty)?;
        // A proxy that is gone cannot be asked any more; nothing moved, then.
        let now_ejected = self.proxy.ejections().unwrap_or(ejected);

        let mut record =
            FaultRecord { fault: fault.name.to_owned(), server: faulty.map(|it| it + 1), pools: [].into() };
        let now = Instant::now();
        let fresh: Vec<Tally> = POOLS.iter().map(|_| Tally::new(None, now)).collect();
        let tallies = std::mem::replace(&mut self.crowd.book().tallies, fresh);
        for (number, (pool, tally)) in POOLS.iter().zip(tallies).enumerate() {
            let moved: [bool; SERVERS] = std::array::from_fn(|at| {
                let was = self.away[number][at] || now_ejected[number][at] != ejected[number][at];
                pool.ejects && (was || faulty == Some(at))
            });
            for (at, away) in self.away[number].iter_mut().enumerate() {
                let served = self.network.passed(number * SERVERS + at)
                    > passed[number * SERVERS + at] + TRAFFIC_BYTES;
                *away = pool.ejects && moved[at] && (!served || back[number].is_none());
            }
            record.pools.insert(pool.name.to_owned(), tally.end(moved, back[number], now));
        }
        Ok(record)
    }

    /// New keys and new counts.
    fn begin(&mut self, faulty: Option<usize>) {
        self.played += 1;
        let mut book = self.crowd.book();
        let book = &mut *book;
        book.keys = Keys::new(self.played, &self.seats, &self.tags, &mut book.ledger);
        let now = Instant::now();
        book.tallies.fill_with(|| Tally::new(faulty, now));
    }

    /// When each pool was in full service again.
    fn wait_until_well(&self, faulty: Option<usize>) -> Result<[Option<Instant>; POOLS.len()]> {
        let healed = Instant::now();
        let behind = |pool: usize| faulty.map(|server| self.network.passed(pool * SERVERS + server));
        let at_heal: [Option<u64>; POOLS.len()] = std::array::from_fn(behind);
        self.crowd.book().tallies.iter_mut().for_each(|tally| tally.heal(healed));
        // Taken in again: requests pass to the server that had failed.
        let mut taken_in: [Option<Instant>; POOLS.len()] = [None; POOLS.len()];
        loop {
            self.pause(LOOK_EVERY)?;
            let now = Instant::now();
            for (pool, taken_in) in taken_in.iter_mut().enumerate() {
                let passes =
                    behind(pool).zip(at_heal[pool]).is_none_or(|(now, then)| now > then + TRAFFIC_BYTES);
                if passes {
                    taken_in.get_or_insert(now);
                }
            }
            let book = self.crowd.book();
            let well: [Option<Instant>; POOLS.len()] = std::array::from_fn(|pool| {
                let served = book.tallies[pool].served_since(now, QUIET)?;
                Some(if POOLS[pool].ejects { served.max(taken_in[pool]?) } else { served })
            });
            if well.iter().all(Option::is_some) || now > healed + RETURN_MAX || !self.crowd.is_running() {
                return Ok(well);
            }
        }
    }

    /// Lets the load go on for a while.
    ///
    /// # Errors
    /// When stopped.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if self.stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
        Ok(())
    }

    /// Sets the network before a server in all pools.
    pub(crate) fn network(&self, server: usize, mode: Mode) {
        (0..POOLS.len()).for_each(|pool| self.network.set(pool * SERVERS + server, mode));
    }

    /// Resets all connections to a server.
    pub(crate) fn reset(&self, server: usize) {
        (0..POOLS.len()).for_each(|pool| self.network.reset(pool * SERVERS + server));
    }

    /// Servers of this number have lost all they had.
    pub(crate) fn forget(&self, server: usize) {
        self.crowd.book().ledger.forget(server, |_| true);
    }

    /// Whether proxy and clients are still there.
    ///
    /// # Errors
    /// When not.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.proxy.process.check_alive()?;
        ensure!(self.crowd.is_running(), "the clients stopped");
        Ok(())
    }

    /// The proxy's open descriptors and its memory in KiB; zeros when it is gone.
    pub(crate) fn proxy_use(&self) -> (u64, u64) {
        let dir = PathBuf::from(format!("/proc/{}", self.proxy.process.pid()));
        let descriptors = std::fs::read_dir(dir.join("fd")).map_or(0, |entries| entries.count() as u64);
        let status = std::fs::read_to_string(dir.join("status")).unwrap_or_default();
        (descriptors, kib_field(&status, "VmRSS:").unwrap_or(0) / 1024)
    }

    /// Where the proxy writes its log.
    pub(crate) fn proxy_log(&self) -> PathBuf {
        self.proxy.log.clone()
    }
}

/// Where a protocol's servers are.
pub(crate) fn row(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Redis => 0,
        Protocol::Memcached => 1,
    }
}

/// Load before the first fault, and before each.
const WARM_UP: Duration = Duration::from_millis(700);
const BEFORE: Duration = Duration::from_millis(300);
/// All is well when nothing failed for so long.
const QUIET: Duration = Duration::from_millis(600);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What is not well by then does not become so: more than three times the retry timeout.
const RETURN_MAX: Duration = Duration::from_secs(8);
/// More than probes and leftovers.
const TRAFFIC_BYTES: u64 = 2_000;
