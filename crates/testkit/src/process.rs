//! A child process that a test owns: its output goes to files, signals go to it alone, and it never outlives
//! its owner.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use crate::temp::TempDir;
use crate::wait;

/// A running program with a temporary directory of its own, in which it runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    dir: TempDir,
    exit: Option<ExitStatus>,
}

/// CPU time used by a process, all its threads together, in the kernel's clock ticks (usually 10 ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cpu {
    /// Spent in its own code.
    pub user: Duration,
    /// Spent in the kernel for it.
    pub system: Duration,
}

impl Process {
    /// Starts `program` in a new temporary directory, with stdin empty and stdout and stderr in files.
    ///
    /// # Errors
    /// `NotFound` with `install` in its text when there is no such program; what the system says otherwise.
    pub fn start<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
        install: &str,
    ) -> io::Result<Process> {
        let label = label(program.as_ref());
        let dir = TempDir::new(&label)?;
        Process::start_in(dir, program, args, install)
    }

    /// As [`Process::start`], in a directory that already holds what the program needs.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_in<S: AsRef<OsStr>>(
        dir: TempDir,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
        install: &str,
    ) -> io::Result<Process> {
        let name = label(program.as_ref());
        let child = Command::new(program.as_ref())
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("stdout"))?)
            .stderr(File::create(dir.path().join("stderr"))?)
            .spawn()
            .map_err(|e| missing(e, program.as_ref(), install))?;
        Ok(Process { child, name, dir, exit: None })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory, removed when this value is dropped.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.text_of("stdout")
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.text_of("stderr")
    }

    /// What a file in its directory holds; empty when there is none.
    pub fn text_of(&self, file: &str) -> String {
        std::fs::read(self.dir.path().join(file))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has been waited for already, so that its id may belong to somebody else.
    pub fn kill(&self, signal: Signal) -> io::Result<()> {
        if self.exit.is_some() {
            return Err(io::Error::other(format!("{} has ended already", self.name)));
        }
        Ok(kill_process(self.system_pid()?, signal)?)
    }

    /// Stops it from running (`SIGSTOP`), its sockets staying open, and waits until it stands still.
    ///
    /// # Errors
    /// As [`Process::kill`], or when it goes on running.
    pub fn freeze(&self) -> io::Result<()> {
        self.kill(Signal::STOP)?;
        wait::for_some(&format!("{} to stop running", self.name), || {
            (stat_field(self.pid(), STAT_STATE).as_deref() == Some("T")).then_some(())
        })
    }

    /// Lets a frozen one run again (`SIGCONT`).
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn thaw(&self) -> io::Result<()> {
        self.kill(Signal::CONT)
    }

    /// How it ended, or nothing while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten();
        }
        self.exit
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `TimedOut` when it is still running at the deadline.
    pub fn wait_exit(&mut self) -> io::Result<ExitStatus> {
        let what = format!("{} (pid {}) to end", self.name, self.pid());
        wait::for_some(&what, || self.exited())
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When it is gone or /proc is not there.
    pub fn rss_kib(&self) -> io::Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// The most resident memory it ever had, in KiB.
    ///
    /// # Errors
    /// When it is gone or /proc is not there.
    pub fn peak_rss_kib(&self) -> io::Result<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &str) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no {field} for {}", self.name)))
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// When it is gone or /proc is not there.
    pub fn cpu(&self) -> io::Result<Cpu> {
        let ticks = |field| {
            stat_field(self.pid(), field)
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| io::Error::other(format!("no cpu time for {}", self.name)))
        };
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000) / per_second);
        Ok(Cpu { user: time(ticks(STAT_UTIME)?), system: time(ticks(STAT_STIME)?) })
    }

    /// How many file descriptors it holds open.
    ///
    /// # Errors
    /// When it is gone or /proc is not there.
    pub fn open_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Everything it printed, for the text of a failure.
    pub fn output(&self) -> String {
        format!("--- {} stdout\n{}--- {} stderr\n{}", self.name, self.stdout(), self.name, self.stderr())
    }

    fn system_pid(&self) -> io::Result<Pid> {
        i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("a process id out of range"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            // KILL also ends a stopped process. Reaping it frees its id and its sockets for sure.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The last part of a program's path, for names of directories and messages.
fn label(program: &OsStr) -> String {
    PathBuf::from(program).file_name().map_or_else(|| "program".into(), |n| n.to_string_lossy().into_owned())
}

fn missing(error: io::Error, program: &OsStr, install: &str) -> io::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return error;
    }
    io::Error::new(error.kind(), format!("{} is not installed: {install}", program.to_string_lossy()))
}

/// A field of /proc/PID/stat, counted from the state, which follows the name in brackets.
fn stat_field(pid: u32, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets, so count from the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field).map(str::to_owned)
}

// Places after the name, see proc_pid_stat(5): fields 3, 14 and 15.
const STAT_STATE: usize = 0;
const STAT_UTIME: usize = 11;
const STAT_STIME: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> Process {
        Process::start("sh", ["-c", script], "every system has one").expect("sh starts")
    }

    #[test]
    fn output_is_captured_and_the_exit_status_kept() {
        let mut p = shell("echo out; echo err >&2; exit 3");
        assert_eq!(p.wait_exit().expect("ends").code(), Some(3));
        assert_eq!((p.stdout().as_str(), p.stderr().as_str()), ("out\n", "err\n"));
        assert_eq!(p.exited().and_then(|s| s.code()), Some(3));
        assert!(p.kill(Signal::TERM).is_err(), "its id may be somebody else's by now");
    }

    #[test]
    fn signals_reach_it() {
        let mut p = shell("trap 'echo hup' HUP; echo ready; while :; do sleep 0.01; done");
        wait::until("the trap to be set", || p.stdout().contains("ready"));
        p.kill(Signal::HUP).expect("sent");
        wait::until("the trap to run", || p.stdout().contains("hup"));
        p.freeze().expect("stops");
        p.thaw().expect("goes on");
        p.kill(Signal::TERM).expect("sent");
        assert_eq!(p.wait_exit().expect("ends").signal(), Some(Signal::TERM.as_raw()));
    }

    #[test]
    fn drop_ends_even_a_frozen_process() {
        let p = shell("while :; do sleep 0.01; done");
        p.freeze().expect("stops");
        let proc = format!("/proc/{}", p.pid());
        drop(p);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn measures_memory_cpu_and_files() {
        let p = shell("while :; do :; done");
        wait::until("memory in use", || p.rss_kib().is_ok_and(|kib| kib > 100));
        wait::until("some cpu time", || {
            p.cpu().is_ok_and(|c| c.user + c.system >= Duration::from_millis(20))
        });
        assert!(p.open_files().expect("runs") >= 3);
    }

    #[test]
    fn a_missing_program_is_named_with_its_cure() {
        let error = Process::start("no-such-server", [""], "apt-get install it").expect_err("none there");
        assert_eq!(error.to_string(), "no-such-server is not installed: apt-get install it");
    }
}
