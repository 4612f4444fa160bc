//! System calls of the whole proxy, as it is started by people: one client over TCP, seen by strace.
//!
//! A client that waits for each reply leaves no choice of when things happen, so the figures are exact. The first and the
//! last request of a load are marked, and only what the worker's thread did between them counts.

use super::record::Row;
use super::run::{Folder, build};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Name, and requests that the client sends at once.
const LOADS: [(&str, usize); 2] = [("tcp-get", 1), ("tcp-get-pipe16", 16)];

/// How often between the marks.
const TIMES: usize = 200;

/// Counts every load.
pub(super) fn count() -> anyhow::Result<Vec<Row>> {
    // Which calls it makes does not depend on the compiler's efforts, and this one the tests have built.
    let program = build(&["build", "--package", "cashew"])?;
    let folder = Folder::new()?;
    LOADS.iter().map(|(name, depth)| load(name, *depth, &program, &folder.0)).collect()
}

fn load(name: &str, depth: usize, program: &Path, folder: &Path) -> anyhow::Result<Row> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let at = server.local_addr()?.port();
    std::thread::spawn(move || serve(&server));
    let (port, stats) = (free_port()?, free_port()?);
    let (config, trace) = (folder.join("cashew.yml"), folder.join("trace"));
    let text = format!(
        "pool:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  \
         timeout: 30000\n  servers:\n  - 127.0.0.1:{at}:1\n"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "64", "-o"]).arg(&trace).arg(program).arg("-c").arg(&config);
    command.args(["-a", "127.0.0.1", "-s", &stats.to_string(), "--threads", "1"]);
    // With io_uring the calls say little: what they do is in memory.
    command.env("CASHEW_IO", "epoll");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut traced = Traced(command.spawn().context("strace cannot be run")?);
    let mut client = traced.connect(port)?;
    // Before the marks there is one for which the proxy connects to its server.
    let keys = ["plain", FIRST].into_iter().chain(std::iter::repeat_n("plain", TIMES - 1)).chain([LAST]);
    for key in keys {
        client.write_all(
            &format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).repeat(depth).into_bytes(),
        )?;
        let mut replies = vec![0; REPLY.len() * depth];
        client.read_exact(&mut replies).context("the proxy did not answer")?;
        ensure!(replies == REPLY.as_bytes().repeat(depth), "{}", String::from_utf8_lossy(&replies));
    }
    traced.stop()?;
    let calls =
        parse(&std::fs::read_to_string(&trace)?).with_context(|| format!("{name}: no trace of it"))?;
    let per_request = |calls: usize| calls as f64 / (TIMES * depth) as f64;
    let total = per_request(calls.values().sum());
    let mut parts: Vec<(String, f64)> = calls.into_iter().map(|(name, n)| (name, per_request(n))).collect();
    parts.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    Ok(Row { name: name.to_owned(), figures: vec![total], parts })
}

/// The calls of the thread that read the marked requests, from the first to before the last. Lines are
/// `THREAD name(arguments) = result`; a call that another thread interrupts is told in two lines, the second of which
/// begins with `<...`.
fn parse(trace: &str) -> Option<BTreeMap<String, usize>> {
    let split =
        |line| -> Option<(&str, &str)> { str::split_once(line, ' ').map(|(t, call)| (t, call.trim_start())) };
    let mut lines = trace.lines().filter_map(split);
    let is = |call: &str, mark: &str| call.starts_with("recvfrom(") && call.contains(mark);
    let (worker, first) = lines.find(|(_, call)| is(call, FIRST))?;
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for (_, call) in [(worker, first)].into_iter().chain(lines.filter(|(thread, _)| *thread == worker)) {
        if is(call, LAST) {
            return Some(calls);
        }
        if let Some((name, _)) = call.split_once('(')
            && !name.starts_with('<')
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    None
}

/// Answers all requests that come in one piece in one piece.
fn serve(server: &TcpListener) {
    let mut buffer = vec![0; 64 << 10];
    // Whatever fails here, the client misses its reply and says so.
    while let Ok((mut socket, _)) = server.accept() {
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            let requests = buffer[..count].iter().filter(|byte| **byte == b'*').count();
            if socket.write_all(&REPLY.as_bytes().repeat(requests)).is_err() {
                break;
            }
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// strace and the proxy below it; dropping it ends both.
struct Traced(Child);

impl Traced {
    /// Connects as soon as the proxy listens.
    fn connect(&mut self, port: u16) -> anyhow::Result<TcpStream> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(client) = TcpStream::connect(("127.0.0.1", port)) {
                client.set_nodelay(true)?;
                client.set_read_timeout(Some(PATIENCE))?;
                return Ok(client);
            }
            if self.0.try_wait()?.is_some() || Instant::now() > deadline {
                self.stop()?;
                let mut said = String::new();
                self.0.stderr.take().map(|mut errors| errors.read_to_string(&mut said)).transpose()?;
                bail!("the proxy did not start below strace: {}", said.trim());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let strace = self.0.id();
        // strace outlives what it traces by a moment, so the proxy is told first.
        let children = std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                // It may have ended by itself.
                _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            // There is nobody left to tell.
            _ = self.stop();
        }
    }
}

const REPLY: &str = "$2\r\nok\r\n";

// As long as the keys between them.
const FIRST: &str = "first";
const LAST: &str = "final";

/// For the proxy to listen and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_between_the_marks_are_counted() {
        let trace = "\
10 openat(AT_FDCWD, \"a\") = 3
12 recvfrom(14, \"*2\\r\\n$5\\r\\nother\\r\\n\", 65536, 0, NULL, NULL) = 24
12 recvfrom(14, \"*2\\r\\n$5\\r\\nfirst\\r\\n\", 65536, 0, NULL, NULL) = 24
11 futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 1
12 sendto(15, \"first\", 5, MSG_NOSIGNAL, NULL, 0) = 24
12 epoll_pwait(12,  <unfinished ...>
11 futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 1
12 <... epoll_pwait resumed>[{events=EPOLLIN}], 1024, 4999, NULL, 0) = 1
12 recvfrom(14, \"final\", 65536, 0, NULL, NULL) = 24
12 close(14) = 0
";
        let expected = [("epoll_pwait", 1), ("recvfrom", 1), ("sendto", 1)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count)).into_iter().collect();
        assert_eq!(parse(trace), Some(expected));
        assert_eq!(parse(&trace.replace("final", "other")), None, "without an end there is no count");
        assert_eq!(parse(""), None);
    }
}
