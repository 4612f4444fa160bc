//! Everything that runs during a proxy's turn, and one fault from its beginning until all is well again.

use crate::chaos::ask::Keys;
use crate::chaos::crowd::{Book, Crowd};
use crate::chaos::farm::{PerServer, Proxy, Server, find_tags, free_ports};
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
use std::collections::BTreeMap;
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
    /// When each server had last been ejected as the last fault ended.
    ejected: PerServer,
    /// Servers whose keys were elsewhere during the last fault: replies to its last requests come in the next.
    moved: [[bool; SERVERS]; POOLS.len()],
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
            ejected: Default::default(),
            moved: Default::default(),
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
        self.begin(faulty);
        self.pause(BEFORE)?;
        (fault.play)(self, server)?;
        let back = self.wait_until_well(faulty)?;

        let now = Instant::now();
        let fresh: Vec<Tally> = POOLS.iter().map(|_| Tally::new(None, now)).collect();
        let tallies = std::mem::replace(&mut self.crowd.book().tallies, fresh);
        // A proxy may add its statistics up a moment later. One that is gone cannot be asked: then nothing moved.
        self.pause(STATS_LATE)?;
        let ejected = self.proxy.standing().map_or(self.ejected, |standing| standing.ejected_at);
        let mut pools = BTreeMap::new();
        for (number, (pool, tally)) in POOLS.iter().zip(tallies).enumerate() {
            let moved: [bool; SERVERS] = std::array::from_fn(|at| {
                let now_moved = faulty == Some(at) || ejected[number][at] != self.ejected[number][at];
                pool.ejects && (now_moved || self.away[number][at])
            });
            let forgiven = std::array::from_fn(|at| moved[at] || self.moved[number][at]);
            // What did not become well stays suspect until it does.
            self.away[number] = moved.map(|moved| moved && back[number].is_none());
            self.moved[number] = moved;
            pools.insert(pool.name.to_owned(), tally.end(forgiven, back[number], now));
        }
        self.ejected = ejected;
        Ok(FaultRecord { fault: fault.name.to_owned(), server: faulty.map(|it| it + 1), pools })
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
        self.crowd.book().tallies.iter_mut().for_each(|tally| tally.heal(healed));
        let mut taken_in: [TakenIn; POOLS.len()] = std::array::from_fn(|_| TakenIn::default());
        let mut looked = healed;
        loop {
            self.pause(LOOK_EVERY)?;
            let now = Instant::now();
            // Only who is taken out of a pool has to be taken in again.
            if let (Some(server), true) = (faulty, now >= looked + STATS_EVERY)
                && let Ok(standing) = self.proxy.standing()
            {
                looked = now;
                for (pool, taken_in) in taken_in.iter_mut().enumerate() {
                    taken_in.look(standing.requests[pool][server], now);
                }
            }
            let book = self.crowd.book();
            let well: [Option<Instant>; POOLS.len()] = std::array::from_fn(|pool| {
                let served = book.tallies[pool].served_since(now, QUIET)?;
                let moves = faulty.is_some() && POOLS[pool].ejects;
                if moves { Some(served.max(taken_in[pool].since()?)) } else { Some(served) }
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

/// Since when requests go to a server that may have been ejected, without a pause.
#[derive(Debug, Default)]
struct TakenIn {
    requests: u64,
    last: Option<Instant>,
    /// When it began, and how many looks in a row found new requests since.
    since: Option<(Instant, u32)>,
}

impl TakenIn {
    fn look(&mut self, requests: u64, now: Instant) {
        let more = requests > self.requests && self.last.is_some();
        let began = self.last.unwrap_or(now);
        self.since = more.then(|| self.since.map_or((began, 1), |(since, looks)| (since, looks + 1)));
        (self.requests, self.last) = (requests, Some(now));
    }

    fn since(&self) -> Option<Instant> {
        self.since.filter(|(_, looks)| *looks >= LOOKS_IN_A_ROW).map(|(since, _)| since)
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
/// Statistics are looked at so often, and may be so late.
const STATS_EVERY: Duration = Duration::from_millis(100);
const STATS_LATE: Duration = Duration::from_millis(250);
/// More than late statistics can show of a server that is out.
const LOOKS_IN_A_ROW: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_in_once_requests_go_to_it_all_the_time() {
        let start = Instant::now();
        let at = |look: u32| start + STATS_EVERY * look;
        let mut taken_in = TakenIn::default();
        // Late figures, then out, then in.
        for (look, requests) in (0..).zip([90, 100, 110, 110, 110, 120, 130, 140]) {
            taken_in.look(requests, at(look));
            assert_eq!(taken_in.since(), None, "look {look}");
        }
        taken_in.look(150, at(8));
        assert_eq!(taken_in.since(), Some(at(4)));
        taken_in.look(150, at(9));
        assert_eq!(taken_in.since(), None);
    }
}
