//! Child processes on loopback ports: started, waited for, and always stopped again, by process id.

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A running child; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts what `command` makes for two free ports, and waits until the first accepts connections. The second
    /// is for programs that want one more. Another program may take a port in between, so it is tried again.
    ///
    /// # Errors
    /// When it ends or does not listen within `START_TIME`, with the end of its log; or when `stop` is set.
    pub(crate) fn start(
        name: &str,
        dir: &Path,
        stop: &AtomicBool,
        command: impl Fn(u16, u16) -> Result<Command>,
    ) -> Result<Self> {
        let attempt = || {
            let [port, second] = free_ports()?;
            Self::start_on(name, dir, stop, port, command(port, second)?)
        };
        attempt().or_else(|_| attempt())
    }

    /// Starts `command`, which listens on `port`, and waits until it accepts connections.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub(crate) fn start_on(
        name: &str,
        dir: &Path,
        stop: &AtomicBool,
        port: u16,
        mut command: Command,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut process = Self { name: name.to_owned(), child, log, address };
        process.wait_ready(stop)?;
        Ok(process)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let sent = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal);
        sent.with_context(|| format!("{signal:?} to {}", self.name))
    }

    /// Kills it without a chance to say goodbye, and waits until it is gone.
    ///
    /// # Errors
    /// When it was gone already.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it ended, with the end of its log.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}){}", self.name, self.log_end()),
        }
    }

    /// The same where something failed already: a process that is dying closes its sockets first.
    ///
    /// # Errors
    /// When it ends within a moment.
    pub(crate) fn check_survived(&mut self) -> Result<()> {
        let deadline = Instant::now() + DEATH_TIME;
        while Instant::now() < deadline {
            self.check_alive()?;
            std::thread::sleep(POLL);
        }
        self.check_alive()
    }

    fn wait_ready(&mut self, stop: &AtomicBool) -> Result<()> {
        let deadline = Instant::now() + START_TIME;
        loop {
            self.check_alive()?;
            if TcpStream::connect(self.address).is_ok() {
                return self.check_alive();
            }
            if stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {}{}", self.name, self.address, self.log_end());
            }
            std::thread::sleep(POLL);
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let end = lines[lines.len().saturating_sub(3)..].join(" / ");
        if end.is_empty() { String::new() } else { format!(": {end}") }
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIME;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        self.kill()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("bench: stopping {} (pid {}): {error:#}", self.name, self.pid());
        }
    }
}

/// A directory for configurations and logs; dropping it removes it.
#[derive(Debug)]
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    /// A directory of this process.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("cashew-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Leftovers in the temporary directory do no harm, and there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ports that were free a moment ago, all different.
pub(crate) fn free_ports() -> Result<[u16; 2]> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

/// Where a program is: a path as it stands, else looked up in PATH and the directories of daemons.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The first line that a program prints about its version, on either stream.
pub(crate) fn version_of(program: &Path, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).stdin(Stdio::null()).output() else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
}

const START_TIME: Duration = Duration::from_secs(5);
const STOP_TIME: Duration = Duration::from_secs(2);
const DEATH_TIME: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn dropping_stops_the_process_also_one_that_ignores_term() {
        for script in ["echo up; exec tail -f /dev/null", "trap '' TERM; echo up; exec tail -f /dev/null"] {
            let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            // Held open: tail ends when nobody reads it.
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "up\n");
            let pid = child.id();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let process = Process { name: "sh".to_owned(), child, log: PathBuf::new(), address };
            assert!(alive(pid));
            drop(process);
            assert!(!alive(pid), "{script}");
        }
    }

    #[test]
    fn a_program_that_ends_is_reported_with_its_log() {
        let dir = std::env::temp_dir().join(format!("cashew-bench-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let error = Process::start("sh", &dir, &AtomicBool::new(false), |_, _| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo no such option >&2; exit 3"]);
            Ok(command)
        })
        .unwrap_err()
        .to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("exit status: 3") && error.contains("no such option"), "{error}");
    }

    #[test]
    fn programs_are_found() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program").is_none());
        assert!(!version_of(Path::new("/no/such/program"), "-V").is_empty());
    }
}
