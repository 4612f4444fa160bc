//! What processes used, from /proc: processor time and memory.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs::read_to_string;
use std::path::Path;

/// A process's counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// All of its living threads, from the scheduler.
    nanos: u64,
    /// The same split in two, in ticks of mostly 10 ms.
    user_ticks: u64,
    system_ticks: u64,
}

/// Processor time in nanoseconds; `user` and `system` divide `total` as the coarse counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cpu {
    /// Both together, exact.
    pub(crate) total_ns: u64,
    /// In the program; precise to a tick.
    pub(crate) user_ns: u64,
    /// In the kernel for the program.
    pub(crate) system_ns: u64,
}

impl Cpu {
    /// Two processes together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            total_ns: self.total_ns + other.total_ns,
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
        }
    }
}

impl Sample {
    /// Reads a process's counters.
    ///
    /// # Errors
    /// When there is no such process, or /proc looks unlike Linux.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let stat = read_to_string(dir.join("stat")).with_context(|| format!("process {pid}"))?;
        let (user_ticks, system_ticks) = parse_stat(&stat).context("/proc/PID/stat")?;
        Ok(Self { nanos: thread_nanos(&dir)?, user_ticks, system_ticks })
    }

    /// What was used between an earlier sample and this one.
    pub(crate) fn since(self, earlier: Self) -> Cpu {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks);
        let system = self.system_ticks.saturating_sub(earlier.system_ticks);
        let ticks_ns = (user + system) * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1));
        // Kernels without scheduler statistics show zeros; then ticks have to do.
        let total_ns = match self.nanos.saturating_sub(earlier.nanos) {
            0 => ticks_ns,
            nanos => nanos,
        };
        let share = user as f64 / (user + system).max(1) as f64;
        let user_ns = (total_ns as f64 * share) as u64;
        Cpu { total_ns, user_ns, system_ns: total_ns.saturating_sub(user_ns) }
    }
}

/// The scheduler's count of nanoseconds over all threads.
fn thread_nanos(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(dir.join("task"))? {
        // A thread may end while we look.
        let Ok(text) = read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// `utime` and `stime` (fields 14 and 15); the name before them may hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The memory a process has in RAM, in bytes.
///
/// # Errors
/// When there is no such process.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    kib_field(&status, "VmRSS:").context("no VmRSS in /proc/PID/status")
}

/// A field like `VmRSS:   1234 kB`, in bytes.
pub(crate) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_awkward_name() {
        let text = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 731 1462 0 0 20 0 3 0 1 2 3";
        assert_eq!(parse_stat(text), Some((731, 1_462)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn ticks_divide_the_exact_total() {
        let earlier = Sample { nanos: 1_000, user_ticks: 10, system_ticks: 20 };
        let later = Sample { nanos: 401_000, user_ticks: 20, system_ticks: 50 };
        let expected = Cpu { total_ns: 400_000, user_ns: 100_000, system_ns: 300_000 };
        assert_eq!(later.since(earlier), expected);
        assert_eq!(earlier.since(earlier), Cpu::default());
    }

    #[test]
    fn own_process_is_seen_working() {
        let pid = std::process::id();
        let before = Sample::of(pid).unwrap();
        let start = std::time::Instant::now();
        let mut used = Cpu::default();
        // Until 30 ms of work show, however busy the machine is.
        while used.total_ns < 30_000_000 && start.elapsed().as_secs() < 60 {
            used = Sample::of(pid).unwrap().since(before);
        }
        assert!(used.total_ns >= 30_000_000, "{used:?}");
        assert_eq!(used.user_ns + used.system_ns, used.total_ns);
        assert!(rss_bytes(pid).unwrap() > 100_000);
        assert!(Sample::of(u32::MAX).is_err());
    }

    #[test]
    fn memory_fields() {
        assert_eq!(kib_field("VmHWM:\t 9 kB\nVmRSS:\t    1234 kB\n", "VmRSS:"), Some(1_263_616));
        assert_eq!(kib_field("", "VmRSS:"), None);
    }
}
