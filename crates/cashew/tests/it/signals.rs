//! Signals, the background, and the end: what scripts, log rotation and supervisors rely on.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, kill_process};
use testkit::temp::TempDir;
use testkit::{Client, Gate, Peer, Process, Signal, Step, peer, ports, resp, wait};

use crate::parity::table::listed;
use crate::rig::{self, CASHEW};

#[test]
fn in_the_background() {
    let dir = TempDir::new("daemon").expect("a directory");
    let [listen, stats] = [ports::free(), ports::free()];
    dir.file("conf.yml", rig::pool("alpha", listen, "redis: true", &["127.0.0.1:1:1"])).expect("written");
    let mut caller = Command::new(CASHEW)
        .args(["-d", "-c", "conf.yml", "-p", "pid", "-o", "log", "-a", "127.0.0.1", "-s", &stats.to_string()])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    let caller_pid = caller.id();
    let status = caller.wait().expect("it can be waited for");
    assert_eq!(status.code(), Some(0));
    let pid_file = dir.path().join("pid");
    let pid = wait::for_some("the pid file", || std::fs::read_to_string(&pid_file).ok()?.parse::<i32>().ok());
    let daemon = Daemon(pid.expect("the pid of the daemon"));
    wait::until("the pool to listen", || Client::connect_port(listen).is_ok());

    assert_ne!(daemon.0.unsigned_abs(), caller_pid);
    assert_eq!(daemon.link("exe"), Path::new(CASHEW).canonicalize().expect("it is there"));
    assert_eq!(
        daemon.link("cwd"),
        dir.path().canonicalize().expect("it is there"),
        "the working directory is kept"
    );
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(daemon.link(stream), Path::new("/dev/null"));
    }
    assert_eq!(daemon.stat(SESSION), daemon.0.to_string(), "a session of its own");
    assert_eq!(daemon.stat(TERMINAL), "0", "no terminal");

    daemon.signal(Signal::TERM);
    wait::until("the daemon to end", || !daemon.runs());
    assert!(!pid_file.exists(), "the pid file is removed");
    let log = std::fs::read_to_string(dir.path().join("log")).expect("a log");
    assert!(log.contains("SIGTERM received"), "{log}");
}

#[test]
fn hup_opens_the_log_again() {
    let (process, _) = start(&["-o", "log"], "");
    wait::until("the first lines", || process.text_of("log").contains("started on pid"));
    std::fs::rename(process.dir().join("log"), process.dir().join("log.1")).expect("rotation renames");
    process.kill(Signal::HUP).expect("it runs");
    wait::until("the log under its name", || process.dir().join("log").exists());
    process.kill(Signal::USR1).expect("it runs");
    wait::until("lines in the new log", || process.text_of("log").contains("SIGUSR1 received"));
    assert!(process.text_of("log.1").contains("signal 1 (SIGHUP) received, reopening log file"));
    assert!(!process.text_of("log.1").contains("SIGUSR1"));
}

#[test]
fn ttin_and_ttou_move_the_log_level() {
    let (process, _) = start(&["-v", "10"], "");
    for (signal, line) in [
        (Signal::TTIN, "signal 21 (SIGTTIN) received, up log level to 11"),
        (Signal::TTOU, "signal 22 (SIGTTOU) received, down log level to 10"),
        (Signal::TTOU, "signal 22 (SIGTTOU) received, down log level to 9"),
    ] {
        process.kill(signal).expect("it runs");
        wait::until(line, || process.stderr().contains(line));
    }
    // At the end of the scale it stays.
    (0..3).for_each(|_| {
        process.kill(Signal::TTIN).expect("it runs");
        wait::until("the signal to be taken", || process.stderr().matches("SIGTTIN").count() > 1);
    });
    wait::until("the level to be at its end", || process.stderr().contains("up log level to 11"));
    assert!(!process.stderr().contains("level to 12"));
}

#[test]
fn log_lines_carry_local_time() {
    listed("log");
    let (process, _) = start(&[], "");
    wait::until("the start line", || process.stderr().contains("started on pid"));
    let said = process.stderr();
    let line = said.lines().find(|line| line.contains("started on pid")).expect("just seen");
    let shape: String = line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert!(shape.starts_with("[9999-99-99 99:99:99.999] cashew-9.9.9 built for Linux "), "{line}");
    assert!(line.ends_with(&format!(" started on pid {}", process.pid())), "{line}");
}

#[test]
fn stopping_answers_what_was_asked_and_leaves_nothing_behind() {
    for id in ["sigterm", "pid-file", "unix-sockets", "exit-status"] {
        listed(id);
    }
    for signal in [Signal::TERM, Signal::INT] {
        let gate = Gate::new();
        let late = Step::send("$4\r\nlate\r\n".repeat(2));
        let steps = vec![Step::Requests(2), Step::Stall(gate.clone()), late, Step::ReadToEnd];
        let server = Peer::start(steps).expect("a port can be bound");
        let dir = TempDir::new("stop").expect("a directory");
        let [stats, socket] =
            ["stats.sock", "pool.sock"].map(|name| dir.path().join(name).display().to_string());
        let listen = ports::free();
        let config = rig::pool("alpha", listen, "redis: true", &[format!("127.0.0.1:{}:1", server.port())])
            + &rig::pool("bravo", 0, "redis: true", &["127.0.0.1:1:1"]).replace("127.0.0.1:0", &socket);
        dir.file("conf.yml", config).expect("written");
        let flags = ["-c", "conf.yml", "-p", "pid", "-a", &stats, "--threads", "2"];
        let mut process = Process::start_in(dir, CASHEW, flags, "").expect("it starts");
        wait::until("both pools", || {
            Client::connect_port(listen).is_ok() && process.dir().join("pool.sock").exists()
        });
        assert!(process.dir().join("stats.sock").metadata().expect("it is there").file_type().is_socket());

        let mut client = Client::connect_port(listen).expect("it accepts");
        let mut idle = Client::connect_port(listen).expect("it accepts");
        client.send(&[resp(&["GET", "a"]), resp(&["GET", "b"])].concat());
        server.wait_received(2 * resp(&["GET", "a"]).len());
        process.kill(signal).expect("it runs");
        wait::until("nobody listens any more", || Client::connect_port(listen).is_err());
        assert!(process.exited().is_none(), "two requests are still in flight");
        gate.open();
        assert_eq!(client.resp_reply(), b"$4\r\nlate\r\n");
        assert_eq!(client.resp_reply(), b"$4\r\nlate\r\n");
        client.expect_closed();
        idle.expect_closed();
        let status = process.wait_exit().expect("it ends");
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", process.output());
        for file in ["pid", "pool.sock", "stats.sock"] {
            assert!(!process.dir().join(file).exists(), "{file} is left behind");
        }
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = peer::stall::silent().expect("a port can be bound");
    let (mut process, listen) = start(&[], &format!("127.0.0.1:{}:1", server.port()));
    let mut client = Client::connect_port(listen).expect("it accepts");
    client.send(&resp(&["GET", "a"]));
    server.wait_received(1);
    process.kill(Signal::TERM).expect("it runs");
    wait::until("the first to be taken", || process.stderr().contains("SIGTERM received"));
    process.kill(Signal::TERM).expect("it runs");
    let ended = wait::within(std::time::Duration::from_secs(3), || process.exited().is_some());
    assert!(ended, "it would have waited 5 s for a server that never answers");
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let dir = TempDir::new("stale").expect("a directory");
    let path = dir.path().join("pool.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that nobody serves any more"));
    let config = rig::pool("alpha", 0, "redis: true", &["127.0.0.1:1:1"])
        .replace("127.0.0.1:0", &format!("{} 0600", path.display()));
    let _process = rig::cashew(&config, &[]);
    let mut client = Client::connect_unix(&path).expect("it accepts");
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// One redis pool over `server`, running; and its port.
fn start(flags: &[&str], server: &str) -> (testkit::Cashew, u16) {
    let listen = ports::free();
    let server = if server.is_empty() { "127.0.0.1:1:1" } else { server };
    (rig::cashew(&rig::pool("alpha", listen, "redis: true", &[server]), flags), listen)
}

/// A process that is nobody's child any more. Killed on drop.
struct Daemon(i32);

impl Daemon {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.0) {
            let _ = kill_process(pid, signal);
        }
    }

    fn link(&self, name: &str) -> std::path::PathBuf {
        std::fs::read_link(format!("/proc/{}/{name}", self.0)).expect("it runs")
    }

    /// A field of /proc/PID/stat behind the name, which ends with the last parenthesis.
    fn stat(&self, field: usize) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
        fields.split_whitespace().nth(field).unwrap_or_default().to_owned()
    }

    /// Nobody may reap it where the tests run; a zombie does not run.
    fn runs(&self) -> bool {
        !matches!(self.stat(0).as_str(), "" | "Z" | "X")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::KILL);
        }
    }
}

const SESSION: usize = 3;
const TERMINAL: usize = 4;
