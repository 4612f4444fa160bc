//! One proxy's turn in one round: load it, and count what that cost, between two moments at which no request is
//! under way.

use crate::client::Script;
use crate::load::{Load, Outcome};
use crate::measure::{Cpu, Sample, rss_bytes};
use crate::process::Process;
use crate::proxies::Kind;
use crate::record::{Latency, ProxyUse, Round};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Which.
    pub(crate) kind: Kind,
    /// Where clients connect.
    pub(crate) target: SocketAddr,
    /// Nothing for `direct`.
    pub(crate) process: Option<Process>,
}

/// One proxy's turn in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    /// What to ask for.
    pub(crate) script: Script<'a>,
    /// The round, from 1.
    pub(crate) number: u32,
    /// How long.
    pub(crate) seconds: f64,
    /// Requests per second of an open loop.
    pub(crate) rate: Option<u64>,
    /// Ends it early.
    pub(crate) stop: &'a AtomicBool,
}

impl Turn<'_> {
    /// Warms up, lets all requests be answered, and measures between two moments without any under way.
    ///
    /// # Errors
    /// When the proxy ended, closed a connection, or gave a wrong reply or none.
    pub(crate) fn run(&self, contender: &mut Contender, servers: &[Process]) -> Result<Round> {
        let measured = self.measure(contender, servers);
        if let (Err(_), Some(process)) = (&measured, &mut contender.process) {
            // A proxy that died explains more than a connection that closed.
            process.check_survived()?;
        }
        let (before, outcome, after) = measured?;
        let proxy = after
            .proxy
            .zip(before.proxy)
            .map(|(after, before)| ProxyUse { cpu: after.cpu.since(before.cpu), rss_bytes: after.rss_bytes });
        let servers_cpu =
            after.servers.iter().zip(&before.servers).map(|(after, before)| after.since(*before));
        Ok(Round {
            round: self.number,
            requests: outcome.requests,
            seconds: outcome.elapsed.as_secs_f64(),
            unsent: outcome.unsent,
            late_p99_ns: (!outcome.late.is_empty()).then(|| outcome.late.value_at_quantile(0.99)),
            latency: latency(&outcome),
            proxy,
            servers_cpu: servers_cpu.fold(Cpu::default(), Cpu::plus),
            generator_cpu: after.generator.since(before.generator),
        })
    }

    fn measure(&self, contender: &Contender, servers: &[Process]) -> Result<(Samples, Outcome, Samples)> {
        // The same keys for every proxy of the round.
        let mut load = Load::connect(self.script, contender.target, self.number.into(), self.stop)?;
        load.run(WARM_UP, self.rate).context("warming up")?;
        let before = Samples::take(contender, servers)?;
        let outcome = load.run(Duration::from_secs_f64(self.seconds), self.rate)?;
        Ok((before, outcome, Samples::take(contender, servers)?))
    }
}

/// The counters of all processes at one moment.
struct Samples {
    proxy: Option<ProxySample>,
    servers: Vec<Sample>,
    generator: Sample,
}

struct ProxySample {
    cpu: Sample,
    rss_bytes: u64,
}

impl Samples {
    fn take(contender: &Contender, servers: &[Process]) -> Result<Self> {
        let proxy = contender.process.as_ref().map(|process| -> Result<ProxySample> {
            Ok(ProxySample { cpu: Sample::of(process.pid())?, rss_bytes: rss_bytes(process.pid())? })
        });
        Ok(Self {
            proxy: proxy.transpose()?,
            servers: servers.iter().map(|server| Sample::of(server.pid())).collect::<Result<_>>()?,
            generator: Sample::of(std::process::id())?,
        })
    }
}

fn latency(outcome: &Outcome) -> Latency {
    let at = |quantile| outcome.latency.value_at_quantile(quantile);
    Latency { p50_ns: at(0.5), p99_ns: at(0.99), p999_ns: at(0.999), max_ns: outcome.latency.max() }
}

/// Fills caches and lets connections be opened.
pub(crate) const WARM_UP: Duration = Duration::from_millis(150);
