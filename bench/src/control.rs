//! Another load generator beside our own: `redis-benchmark`, which comes with redis. What it measures through each proxy shows
//! whether ours flatters one of them.

use crate::measure::Sample;
use crate::process::find_program;
use crate::record::Control;
use crate::scenario::{Mix, Protocol, Scenario};
use crate::turn::Contender;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Its name.
pub(crate) const TOOL: &str = "redis-benchmark";

/// Whether it can do what a scenario says.
pub(crate) fn can(scenario: &Scenario) -> bool {
    let plain = matches!(scenario.mix, Mix::Gets | Mix::Sets) && scenario.keys_per_get == 1;
    scenario.protocol == Protocol::Redis && plain && !scenario.reconnect && scenario.idle == 0
}

/// Lets it put load on a proxy for about `SECONDS` if it reaches our own generator's `rate` of requests per second.
///
/// # Errors
/// When it is not installed, fails, takes far too long, or `stop` is set.
pub(crate) fn run(
    scenario: &Scenario,
    contender: &Contender,
    rate: f64,
    stop: &AtomicBool,
) -> Result<Control> {
    let program = find_program(TOOL).with_context(|| format!("{TOOL} is not installed"))?;
    let requests = ((rate * SECONDS) as u64).clamp(1_000, 10_000_000);
    if scenario.mix == Mix::Gets {
        // Its keys have other names than ours.
        let fill = Scenario { mix: Mix::Sets, depth: FILL_DEPTH, clients: 10, ..*scenario };
        benchmark(&program, &fill, contender.target, u64::from(scenario.keys) * FILL_TIMES, stop)
            .context("storing keys")?;
    }
    let sample = || contender.process.as_ref().map(|process| Sample::of(process.pid())).transpose();
    let before = sample()?;
    let rate = benchmark(&program, scenario, contender.target, requests, stop)?;
    let cpu = sample()?.zip(before).map(|(after, before)| after.since(before));
    Ok(Control { tool: TOOL.to_owned(), requests, rate, cpu })
}

/// Runs it; the requests per second that it reports.
fn benchmark(
    program: &Path,
    scenario: &Scenario,
    target: SocketAddr,
    requests: u64,
    stop: &AtomicBool,
) -> Result<f64> {
    let mut command = Command::new(program);
    command.args(["-h", &target.ip().to_string(), "-p", &target.port().to_string(), "--csv"]);
    command.args([
        "-t",
        test_name(scenario),
        "-n",
        &requests.to_string(),
        "-c",
        &scenario.clients.to_string(),
    ]);
    command.args(["-P", &scenario.depth.to_string(), "-d", &scenario.value_bytes.to_string()]);
    command.args(["-r", &scenario.keys.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + TIME_MAX;
    while child.try_wait()?.is_none() {
        if stop.load(Ordering::Relaxed) || Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("stopped after {TIME_MAX:?}, or by a signal");
        }
        std::thread::sleep(POLL);
    }
    // Little enough to fit the pipe.
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text, test_name(scenario)).with_context(|| format!("{} said '{}'", output.status, text.trim()))
}

fn test_name(scenario: &Scenario) -> &'static str {
    if scenario.mix == Mix::Sets { "set" } else { "get" }
}

/// The line `"GET","81234.50",...`: the test and its requests per second.
fn read(text: &str, test: &str) -> Option<f64> {
    let mut lines = text.lines().map(|line| line.split(',').map(|field| field.trim_matches('"')));
    lines.find_map(|mut fields| {
        fields.next().filter(|name| name.eq_ignore_ascii_case(test))?;
        fields.next()?.parse().ok()
    })
}

/// As long as a round of ours, about.
const SECONDS: f64 = 1.0;
/// So many writes per key, to random keys, leave hardly one out.
const FILL_TIMES: u64 = 5;
const FILL_DEPTH: u32 = 16;
const TIME_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_figures_are_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"81234.50\",\"0.312\"\n";
        assert_eq!(read(text, "get"), Some(81_234.5));
        assert_eq!(read(text, "set"), None);
        assert_eq!(read("WARNING: Could not fetch server CONFIG\n", "get"), None);
    }

    #[test]
    fn what_it_can_do() {
        let can = |name: &str| super::can(&Scenario::parse(name).unwrap());
        assert!(["redis-get", "redis-set-500-pipe16-1k"].map(can) == [true; 2]);
        assert!(
            ["redis-mix", "redis-mget20", "redis-connect", "redis-get-idle5", "mc-get"].map(can)
                == [false; 5]
        );
    }
}
