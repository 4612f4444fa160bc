//! A process's memory while something is done to it: the most it took, when it has settled, and a ceiling at which it is
//! stopped, so that no situation takes the machine's memory.

use crate::measure::{kib_field, rss_bytes};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::read_to_string;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Watches until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    end: AtomicBool,
    /// The most that was seen since it was last forgotten.
    peak: AtomicU64,
    /// The same of the servers behind it, together.
    servers_peak: AtomicU64,
    /// At what it is stopped.
    ceiling: u64,
    /// Why the process was stopped.
    breach: Mutex<Option<String>>,
}

impl Watch {
    /// Watches the process `pid`, which is a child of this one, and with it those behind it.
    ///
    /// # Errors
    /// When there is no such process.
    pub(crate) fn start(pid: u32, servers: Vec<u32>) -> Result<Self> {
        rss_bytes(pid)?;
        let shared = Arc::new(Shared { ceiling: ceiling(), ..Shared::default() });
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            while !seen.end.load(Ordering::Relaxed) && seen.look(pid, &servers) {
                std::thread::sleep(POLL);
            }
        })?;
        Ok(Self { pid, shared, thread: Some(thread) })
    }

    /// Peaks count from now on.
    pub(crate) fn forget_peak(&self) {
        self.shared.peak.store(0, Ordering::Relaxed);
        self.shared.servers_peak.store(0, Ordering::Relaxed);
        // Linux then forgets the process's high-water mark; without it only what is seen here counts.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// The most memory it had since then, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let marked = kib_field(&status, "VmHWM:").unwrap_or(0);
        self.shared.peak.load(Ordering::Relaxed).max(marked)
    }

    /// The most memory that the servers behind it had together since then, in bytes.
    pub(crate) fn servers_peak(&self) -> u64 {
        self.shared.servers_peak.load(Ordering::Relaxed)
    }

    /// Why it was stopped, if it was.
    pub(crate) fn breach(&self) -> Option<String> {
        self.shared.breach.lock().expect("no one panics with it").clone()
    }

    /// Waits until its memory has not changed for `calm`, for `SETTLE_MAX` at most: what it then has, in bytes.
    ///
    /// # Errors
    /// When it is gone, or `stop` is set.
    pub(crate) fn settle(&self, calm: Duration, stop: &AtomicBool) -> Result<u64> {
        let deadline = Instant::now() + SETTLE_MAX;
        let mut same = Same::default();
        loop {
            let now = Instant::now();
            let rss = rss_bytes(self.pid).context("it is gone")?;
            if same.look(rss, now) >= calm || now > deadline {
                return Ok(rss);
            }
            if stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            std::thread::sleep(SETTLE_POLL);
        }
    }

    /// Its open descriptors.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// One look; false when there is nothing to look at any more.
    fn look(&self, pid: u32, servers: &[u32]) -> bool {
        let Ok(rss) = rss_bytes(pid) else { return false };
        self.peak.fetch_max(rss, Ordering::Relaxed);
        let behind: u64 = servers.iter().filter_map(|server| rss_bytes(*server).ok()).sum();
        self.servers_peak.fetch_max(behind, Ordering::Relaxed);
        let servers_ceiling = self.ceiling.saturating_mul(SERVERS_CEILING);
        let (what, ceiling) = match (rss > self.ceiling, behind > servers_ceiling) {
            (true, _) => ("it took", self.ceiling),
            (_, true) => ("the servers behind it took", servers_ceiling),
            (false, false) => return true,
        };
        let text = format!("stopped: {what} more than {:.1} GiB", ceiling as f64 / (1_u64 << 30) as f64);
        *self.breach.lock().expect("no one panics with it") = Some(text);
        // It is a child that nobody has waited for yet, so the number is still its own.
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        false
    }
}

/// What a process may take before it is stopped, in bytes: less on a small machine.
fn ceiling() -> u64 {
    let memory = read_to_string("/proc/meminfo").ok().and_then(|text| kib_field(&text, "MemTotal:"));
    memory.map_or(CEILING_BYTES, |memory| CEILING_BYTES.min(memory / 4))
}

/// A figure and since when it is the same.
#[derive(Debug, Default)]
struct Same(Option<(u64, Instant)>);

impl Same {
    /// For how long it has been.
    fn look(&mut self, figure: u64, now: Instant) -> Duration {
        match self.0 {
            Some((same, since)) if figure.abs_diff(same) <= SAME_BYTES => now.duration_since(since),
            _ => {
                self.0 = Some((figure, now));
                Duration::ZERO
            }
        }
    }
}

/// More than this is taken for a proxy that has no bound.
const CEILING_BYTES: u64 = 6 << 30;
/// The servers behind it may have so many times that together.
const SERVERS_CEILING: u64 = 2;
/// Between two looks at the peak.
const POLL: Duration = Duration::from_millis(5);
/// Between two looks at whether it has settled.
const SETTLE_POLL: Duration = Duration::from_millis(50);
/// Waiting for memory to settle ends after this long in any case.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// What still counts as the same.
const SAME_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_figure_is_the_same() {
        let start = Instant::now();
        let mut same = Same::default();
        let mut check = |millis: u64, figure: u64, expected: u64| {
            let now = start + Duration::from_millis(millis);
            assert_eq!(same.look(figure, now), Duration::from_millis(expected), "{figure} at {millis}");
        };
        check(0, 1 << 30, 0);
        check(1_999, 1 << 30, 1_999);
        check(2_000, (1 << 30) + SAME_BYTES + 1, 0);
        check(3_900, 1 << 30, 0);
        check(3_999, (1 << 30) + SAME_BYTES, 99);
        check(5_900, (1 << 30) - SAME_BYTES, 2_000);
    }

    #[test]
    fn a_peak_is_seen_after_it_is_over_and_can_be_forgotten() {
        let pid = std::process::id();
        let watch = Watch::start(pid, Vec::new()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while watch.shared.peak.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(watch.shared.peak.load(Ordering::Relaxed) > 100_000);
        assert!(watch.peak() >= watch.shared.peak.load(Ordering::Relaxed));
        assert!(watch.descriptors().unwrap() >= 3);
        assert_eq!(watch.breach(), None);
        assert!(Watch::start(u32::MAX, Vec::new()).is_err());
    }
}
