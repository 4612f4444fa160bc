//! System calls of a proxy per request, counted while it is under load: by `perf`, which hardly slows it, else by `strace`, which
//! does, so that more requests than usual wait for it and are bundled. Never during timed rounds.

use crate::load::Load;
use crate::process::find_program;
use crate::record::Syscalls;
use crate::turn::{Contender, Turn, WARM_UP};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Puts load on a proxy, as fast as it answers, and counts meanwhile; nothing for `direct`.
///
/// # Errors
/// When there is no tool, it may not look, or the load fails.
pub(crate) fn count(turn: &Turn<'_>, contender: &Contender, dir: &Path) -> Result<Option<Syscalls>> {
    let Some(process) = &contender.process else { return Ok(None) };
    let mut load = Load::connect(turn.script, contender.target, 1, turn.stop)?;
    load.run(WARM_UP, None).context("warming up")?;
    // Nothing is under way now, nor when the counting ends.
    let counter = Counter::attach(process.pid(), dir)?;
    let outcome = load.run(TIME, None)?;
    let tool = counter.tool.name.to_owned();
    Ok(Some(Syscalls { tool, calls: counter.finish()?, requests: outcome.requests }))
}

/// A program that counts.
struct Tool {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Whether it is at work; looks at its process id and the proxy's.
    attached: fn(u32, u32) -> bool,
    /// The number of calls in its output.
    read: fn(&str) -> Option<u64>,
}

#[rustfmt::skip] // a table: one row, one line
const TOOLS: [Tool; 2] = [
    Tool { name: "perf", arguments: &["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"], attached: perf_attached, read: read_perf },
    Tool { name: "strace", arguments: &["-c", "-f"], attached: strace_attached, read: read_strace },
];

/// A tool at work; dropping it stops it.
struct Counter {
    tool: &'static Tool,
    child: Child,
    output: PathBuf,
}

impl Counter {
    /// The first tool that is there and may look at a process.
    fn attach(pid: u32, dir: &Path) -> Result<Self> {
        let mut why = "neither perf nor strace is installed".to_owned();
        for tool in &TOOLS {
            let Some(program) = find_program(tool.name) else { continue };
            match Self::start(tool, &program, pid, dir) {
                Ok(counter) => return Ok(counter),
                Err(error) => why = format!("{}: {error:#}", tool.name),
            }
        }
        bail!(why)
    }

    fn start(tool: &'static Tool, program: &Path, pid: u32, dir: &Path) -> Result<Self> {
        let output = dir.join(format!("{}.out", tool.name));
        let mut command = Command::new(program);
        command.args(tool.arguments).arg("-p").arg(pid.to_string()).arg("-o").arg(&output);
        let null = Stdio::null;
        let child = command.stdin(null()).stdout(null()).stderr(null()).spawn().context("starting it")?;
        let mut counter = Self { tool, child, output };
        let deadline = Instant::now() + ATTACH_TIME;
        while !(tool.attached)(counter.child.id(), pid) {
            if let Some(status) = counter.child.try_wait()? {
                bail!("ended ({status}); it may not look at other processes");
            }
            if Instant::now() > deadline {
                bail!("did not begin");
            }
            std::thread::sleep(POLL);
        }
        // It may have more than one thread to attach to.
        std::thread::sleep(SETTLE);
        Ok(counter)
    }

    fn finish(mut self) -> Result<u64> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        let deadline = Instant::now() + ATTACH_TIME;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let text = std::fs::read_to_string(&self.output).context("its output")?;
        (self.tool.read)(&text).with_context(|| format!("{} did not count: {}", self.tool.name, text.trim()))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // Gone in the meantime is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// perf has opened its counters.
fn perf_attached(tool: u32, _: u32) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{tool}/fd")) else { return false };
    let mut links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.to_string_lossy().contains("perf_event"))
}

/// Every thread has a tracer.
fn strace_attached(_: u32, proxy: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{proxy}/task")) else { return false };
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}

/// `-x,`: the count is the first field of the line with the event.
fn read_perf(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

/// `-c`: a row per call, with the number of calls fourth, then their sum.
fn read_strace(text: &str) -> Option<u64> {
    let rows = text.lines().filter(|line| !line.ends_with(" total")).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.first()?.parse::<f64>().ok()?;
        fields.get(3)?.parse::<u64>().ok()
    });
    rows.reduce(|sum, calls| sum + calls)
}

/// Long enough for thousands of requests.
const TIME: Duration = Duration::from_millis(400);
const ATTACH_TIME: Duration = Duration::from_secs(3);
const SETTLE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read() {
        let perf = "# started on Sun Nov 22 17:00:00 2026\n\n81234,,raw_syscalls:sys_enter,500123,100.00,,\n";
        assert_eq!(read_perf(perf), Some(81_234));
        assert_eq!(read_perf("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        let strace = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.20    0.012345           1     10000           sendto
 48.80    0.011111           1      9500      1200 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.023456           1     19500      1200 total
";
        assert_eq!(read_strace(strace), Some(19_500));
        assert_eq!(read_strace("strace: attach: Operation not permitted\n"), None);
    }
}
