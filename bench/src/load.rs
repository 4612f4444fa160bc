//! The load generator: one thread, one epoll, all clients of a scenario. It is kept cheap (one send and one
//! receive per batch of requests) so that on a small machine the proxy gets most of the processor.

use crate::client::{Client, Script, connect, connect_at_once};
use crate::data::Rng;
use crate::pace::{Pace, Schedule};
use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What came out of one stretch of load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests answered, all of them rightly.
    pub(crate) requests: u64,
    /// From the first request to the last reply.
    pub(crate) elapsed: Duration,
    /// Nanoseconds per request; in the open loop from the intended start.
    pub(crate) latency: Histogram<u64>,
    /// Open loop only: requests that were due but never sent. They are in `latency` with the time they waited.
    pub(crate) unsent: u64,
    /// Open loop only: nanoseconds by which the generator itself was late, though a client was free. `latency` has them in it.
    pub(crate) late: Histogram<u64>,
}

/// Clients connected to one address.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    script: Script<'a>,
    target: SocketAddr,
    stop: &'a AtomicBool,
    epoll: OwnedFd,
    clients: Vec<Client>,
    /// Connected, and never used. Held for the proxy's sake.
    bystanders: Vec<OwnedFd>,
    /// Clients without a batch, the longest idle first.
    idle: VecDeque<usize>,
    rng: Rng,
    buffer: Vec<u8>,
}

impl<'a> Load<'a> {
    /// Connects all clients. The run ends early when `stop` is set; `seed` decides the keys.
    ///
    /// # Errors
    /// When a connection fails.
    pub(crate) fn connect(
        script: Script<'a>,
        target: SocketAddr,
        seed: u64,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let now = Instant::now();
        let count = script.scenario.clients;
        let mut load = Self {
            script,
            target,
            stop,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: (0..count).map(|_| Client::new(now)).collect(),
            bystanders: Vec::new(),
            idle: (0..count).collect(),
            rng: Rng::new(seed),
            buffer: vec![0; RECEIVE_BYTES],
        };
        for _ in 0..script.scenario.idle {
            load.bystanders.push(connect_at_once(target)?);
            ensure!(!stop.load(Ordering::Relaxed), "stopped");
        }
        if !script.scenario.reconnect {
            for at in 0..count {
                let socket = connect_at_once(target)?;
                load.attend(at, socket)?;
            }
        }
        Ok(load)
    }

    /// Puts load on for about `time`, then waits for the last replies; `rate` in requests per second makes it
    /// an open loop.
    ///
    /// # Errors
    /// On the first wrong reply or failed connection, when nothing is answered for `STALL`, or when stopped.
    pub(crate) fn run(&mut self, time: Duration, rate: Option<u64>) -> Result<Outcome> {
        let depth = self.script.scenario.depth;
        let start = Instant::now();
        let mut pace = match rate {
            None => Pace::Closed { until: start + time },
            Some(rate) => Pace::Open { schedule: Schedule::new(start, rate, depth), until: start + time },
        };
        // Held for the run: closing it takes it out of the epoll.
        let timer = self.tick(&pace)?;
        let mut tally = Tally { latency: new_histogram(), late: new_histogram(), requests: 0, last: start };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut now = start;
        // The last moment at which nothing was owed, or something was answered.
        let mut progress = start;
        while !self.is_idle() || !pace.finished(now) {
            while let Some(at) = self.idle.pop_front() {
                if !self.start(at, &mut pace, now)? {
                    self.idle.push_front(at);
                    break;
                }
                if timer.is_some() {
                    tally.late.saturating_record(nanos(now - self.clients[at].since));
                }
            }
            self.wait(&mut events)?;
            now = Instant::now();
            for event in events.drain(..) {
                match (event.data.u64(), &timer) {
                    // A timer that is not read does not fire again. Nobody asks how often it did.
                    (TIMER, Some(timer)) => drop(rustix::io::read(timer, &mut [0; 8])),
                    (at, _) => self.ready(at as usize, event.flags, &mut pace, &mut tally)?,
                }
            }
            progress = if self.is_idle() { now } else { progress.max(tally.last) };
            ensure!(now < progress + STALL, "no reply for {STALL:?}");
            ensure!(!self.stop.load(Ordering::Relaxed), "stopped");
        }
        // Only the open loop leaves any.
        let late = pace.left_over();
        let end = Instant::now();
        for at in &late {
            tally.latency.saturating_record_n(nanos(end - *at), depth.into());
        }
        let unsent = late.len() as u64 * u64::from(depth);
        let Tally { latency, late, requests, last } = tally;
        Ok(Outcome { requests, elapsed: last - start, latency, unsent, late })
    }

    fn is_idle(&self) -> bool {
        self.idle.len() == self.clients.len()
    }

    /// A timer that ends waits in time for the schedule: epoll's own timeout counts in milliseconds.
    fn tick(&self, pace: &Pace) -> Result<Option<OwnedFd>> {
        let Pace::Open { schedule, .. } = pace else { return Ok(None) };
        let interval = schedule.interval().clamp(TICK_MIN, TICK_MAX);
        let interval = Timespec { tv_sec: 0, tv_nsec: interval.subsec_nanos().into() };
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let each = Itimerspec { it_interval: interval, it_value: interval };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &each)?;
        epoll::add(&self.epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Some(timer))
    }

    fn open(&mut self, at: usize) -> Result<()> {
        self.attend(at, connect(self.target)?)
    }

    fn attend(&mut self, at: usize, socket: OwnedFd) -> Result<()> {
        epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        let client = &mut self.clients[at];
        client.socket = Some(socket);
        client.watches_room = false;
        Ok(())
    }

    /// Starts a client's next batch if the pace allows one.
    fn start(&mut self, at: usize, pace: &mut Pace, now: Instant) -> Result<bool> {
        let Some(since) = pace.take(now) else { return Ok(false) };
        if self.clients[at].socket.is_none() {
            self.open(at)?;
        }
        self.clients[at].fill(self.script, &mut self.rng, since);
        self.flush(at)?;
        Ok(true)
    }

    /// Writes, and watches for room to write only while some bytes are left.
    fn flush(&mut self, at: usize) -> Result<()> {
        let client = &mut self.clients[at];
        let left = !client.flush()?;
        if left != client.watches_room {
            client.watches_room = left;
            let flags = if left { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let socket = client.socket.as_ref().context("a client without a connection")?;
            epoll::modify(&self.epoll, socket, EventData::new_u64(at as u64), flags)?;
        }
        Ok(())
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for sockets"),
        }
    }

    /// Handles a socket that can be read or written.
    fn ready(&mut self, at: usize, flags: EventFlags, pace: &mut Pace, tally: &mut Tally) -> Result<()> {
        if flags.contains(EventFlags::OUT) {
            self.flush(at)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let client = &mut self.clients[at];
        let (replies, last) = client.receive(self.script, &mut self.buffer)?;
        if replies == 0 {
            return Ok(());
        }
        let now = Instant::now();
        tally.requests += replies;
        tally.last = now;
        tally.latency.saturating_record_n(nanos(now - client.since), replies);
        if last {
            if self.script.scenario.reconnect {
                client.socket = None;
            }
            // At once, not after the other sockets: clients do not wait for each other.
            if !self.idle.is_empty() || !self.start(at, pace, now)? {
                self.idle.push_back(at);
            }
        }
        Ok(())
    }
}

/// What is counted while the load runs.
struct Tally {
    latency: Histogram<u64>,
    late: Histogram<u64>,
    requests: u64,
    /// The last reply.
    last: Instant,
}

/// From 128 ns to a minute, to three digits.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(128, 60_000_000_000, 3).expect("bounds in order")
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Lets the generator, and what it starts, open as many descriptors as the system allows without asking: how many.
///
/// # Errors
/// When the limit stays too low for `sockets`.
pub(crate) fn raise_descriptor_limit(sockets: u64) -> Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    match limit.maximum {
        Some(maximum) if maximum < sockets => {
            bail!("needs {sockets} file descriptors; the limit (ulimit -Hn) is {maximum}")
        }
        maximum => Ok(maximum.unwrap_or(u64::MAX)),
    }
}

/// Without any reply for this long a run has failed.
const STALL: Duration = Duration::from_secs(5);
/// Above what sockets usually hold of replies up to 16 KiB, so that a wake-up is nearly always one receive.
const RECEIVE_BYTES: usize = 128 * 1024;
/// Sockets handled per wait.
const EVENTS_MAX: usize = 256;
/// The event of the timer; clients are numbered from 0.
const TIMER: u64 = u64::MAX;
/// Bounds of the schedule's timer: finer costs more than it shows, coarser would be late.
const TICK_MIN: Duration = Duration::from_micros(20);
const TICK_MAX: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
