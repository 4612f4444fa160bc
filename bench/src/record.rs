//! A comparison's raw results, as they are saved: every round's figures, never only averages, and what is needed
//! to judge them.

use crate::machine::Machine;
use crate::measure::Cpu;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When it began, UTC.
    pub(crate) date: String,
    /// `all`, or the words of `--only`.
    pub(crate) set: String,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What each program says of its version.
    pub(crate) versions: BTreeMap<String, String>,
    /// Rounds asked for.
    pub(crate) rounds: u32,
    /// Length of each round.
    pub(crate) seconds: f64,
    /// Load before each round that is not counted.
    pub(crate) warm_up_seconds: f64,
    /// Requests per second of an open loop, the same for all scenarios; nothing for a closed one.
    pub(crate) rate: Option<u64>,
    /// An open loop at a rate that each scenario has of its own: half of what the slowest sharding proxy carried.
    #[serde(default)]
    pub(crate) half: bool,
    /// Measured while the machine did other work, so not to be relied on.
    #[serde(default)]
    pub(crate) provisional: bool,
    /// What a reader has to know: proxies left out and why.
    pub(crate) notes: Vec<String>,
    /// The results.
    pub(crate) scenarios: Vec<ScenarioRecord>,
}

/// The results of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScenarioRecord {
    /// The scenario's name.
    pub(crate) name: String,
    /// The scenario in words.
    pub(crate) what: String,
    /// Requests per second of an open loop, as asked for or found.
    #[serde(default)]
    pub(crate) rate: Option<u64>,
    /// One per proxy.
    pub(crate) proxies: Vec<ProxyRecord>,
}

/// One proxy's results in one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProxyRecord {
    /// The proxy's name.
    pub(crate) proxy: String,
    /// Why there are fewer rounds than asked for.
    pub(crate) failure: Option<String>,
    /// What it carried before the rounds, in requests per second, where that decided the rate.
    #[serde(default)]
    pub(crate) saturation: Option<f64>,
    /// Its system calls, counted after the rounds.
    #[serde(default)]
    pub(crate) syscalls: Option<Syscalls>,
    /// What another load generator says, after the rounds.
    #[serde(default)]
    pub(crate) control: Option<Control>,
    /// Its rounds.
    pub(crate) rounds: Vec<Round>,
}

impl ProxyRecord {
    /// Nothing measured yet.
    pub(crate) fn new(proxy: &str) -> Self {
        let proxy = proxy.to_owned();
        Self { proxy, failure: None, saturation: None, syscalls: None, control: None, rounds: Vec::new() }
    }
}

/// System calls of a proxy at saturation, over a stretch of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Syscalls {
    /// What counted: `perf` or `strace`.
    pub(crate) tool: String,
    /// All that the proxy's process made.
    pub(crate) calls: u64,
    /// Requests answered in the meantime.
    pub(crate) requests: u64,
}

/// What another load generator measured through the same proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Control {
    /// The generator.
    pub(crate) tool: String,
    /// Requests it made.
    pub(crate) requests: u64,
    /// Requests per second, as it says.
    pub(crate) rate: f64,
    /// Processor time of the proxy; nothing for `direct`.
    pub(crate) cpu: Option<Cpu>,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// From 1; rounds with the same number ran one after the other.
    pub(crate) round: u32,
    /// Requests answered.
    pub(crate) requests: u64,
    /// From the first request to the last reply.
    pub(crate) seconds: f64,
    /// Open loop: requests that were due but never sent.
    pub(crate) unsent: u64,
    /// Open loop: by how much the generator itself sent late, 99 of 100 at most.
    #[serde(default)]
    pub(crate) late_p99_ns: Option<u64>,
    /// Latency as the clients saw it.
    pub(crate) latency: Latency,
    /// What the proxy used; nothing for `direct`.
    pub(crate) proxy: Option<ProxyUse>,
    /// Processor time of all servers.
    pub(crate) servers_cpu: Cpu,
    /// Processor time of the load generator.
    pub(crate) generator_cpu: Cpu,
}

/// Percentiles in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50_ns: u64,
    /// 99 of 100 were at most this.
    pub(crate) p99_ns: u64,
    /// 999 of 1,000 were at most this.
    pub(crate) p999_ns: u64,
    /// The longest.
    pub(crate) max_ns: u64,
}

/// What a proxy's process used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProxyUse {
    /// Processor time during the round.
    pub(crate) cpu: Cpu,
    /// Memory at the round's end, with the clients still connected.
    pub(crate) rss_bytes: u64,
}

impl Record {
    /// Writes `<date>-<set>.json` into `dir` and says where; an older file of that name stays.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, dir: &Path) -> Result<PathBuf> {
        save(self, dir, &self.date, &self.set)
    }

    /// Writes it to a file, in place of what was there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save_as(&self, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Whether this, which has only begun, would give what `earlier` has: the same programs, pace and time.
    pub(crate) fn continues(&self, earlier: &Self) -> bool {
        let versions = || self.versions.iter().all(|(name, it)| earlier.versions.get(name) == Some(it));
        let machine =
            (&self.machine.cpu, &self.machine.kernel) == (&earlier.machine.cpu, &earlier.machine.kernel);
        let run = |it: &Self| (it.set.clone(), it.rounds, it.seconds, it.rate, it.half, it.provisional);
        machine && run(self) == run(earlier) && versions()
    }

    /// Reads a saved comparison.
    ///
    /// # Errors
    /// When the file cannot be read or is something else.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a saved comparison", path.display()))
    }
}

/// Writes `record` as `<date>-<set>.json` into `dir` and says where; an older file of that name stays.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save(record: &impl Serialize, dir: &Path, date: &str, set: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let text = serde_json::to_string_pretty(record)? + "\n";
    let day = date.split('T').next().unwrap_or_default();
    for number in 1.. {
        let again = if number == 1 { String::new() } else { format!("-{number}") };
        let path = dir.join(format!("{day}-{set}{again}.json"));
        if !path.exists() {
            std::fs::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
            return Ok(path);
        }
    }
    unreachable!("some number is free")
}

/// Words of `--only` as a part of a file's name.
pub(crate) fn set_name(words: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '+' };
    words.chars().map(letter).collect()
}

/// This crate's directory, where results go: cargo says where when it runs the bench.
pub(crate) fn bench_dir() -> PathBuf {
    let compiled = || env!("CARGO_MANIFEST_DIR").into();
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(compiled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn saved_and_read_again_it_is_the_same() {
        let dir = std::env::temp_dir().join(format!("cashew-bench-record-{}", std::process::id()));
        let record = sample();
        let first = record.save(&dir).unwrap();
        let second = record.save(&dir).unwrap();
        assert_eq!(Record::load(&first).unwrap(), record);
        let names = [&first, &second].map(|path| path.file_name().unwrap().to_str().unwrap());
        assert_eq!(names, ["2026-01-31-all.json", "2026-01-31-all-2.json"]);
        std::fs::write(&second, "{}").unwrap();
        assert!(Record::load(&second).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn only_the_same_run_goes_on() {
        let record = sample();
        assert!(Record { scenarios: Vec::new(), ..sample() }.continues(&record));
        assert!(!Record { rounds: 9, ..sample() }.continues(&record));
        assert!(!Record { half: true, ..sample() }.continues(&record));
        assert!(
            !Record { versions: [("commit".to_owned(), "x".to_owned())].into(), ..sample() }
                .continues(&record)
        );
    }

    #[test]
    fn set_names() {
        assert_eq!(set_name("redis-get,../mc"), "redis-get++++mc");
    }
}
