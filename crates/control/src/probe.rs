//! Asking a server that is down or ejected whether it is back, on a connection of its own.

use crate::discovery::dns;
use config::{Address, Pool, Protocol};
use reactor::net;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// So long a probe may take when the pool has no timeout.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// A timeout tuned for cache hits is too short for a fresh connection.
const MIN_WITHIN: Duration = Duration::from_secs(1);

/// More than any answer to a probe has.
const ANSWER_BYTES: usize = 4096;

/// Whether server `server` of `pool` answers `PING` (after AUTH, where there is a password) or `version`. Nothing: it
/// could not be asked, for a reason of the proxy's own. `timeout`: what a request to it may take. `urgent`: its keys go
/// elsewhere as soon as it fails, so it gets no more time than a request.
pub(crate) async fn probe(
    pool: &Pool,
    server: usize,
    timeout: Option<Duration>,
    urgent: bool,
) -> Option<bool> {
    let least = if urgent { Duration::ZERO } else { MIN_WITHIN };
    let within = timeout.map_or(PROBE_WITHIN, |timeout| timeout.max(least));
    match tokio::time::timeout(within, ask(pool, server)).await {
        Ok(Ok(answered)) => Some(answered),
        Ok(Err(error)) if net::is_exhausted(&error) => None,
        Ok(Err(_)) | Err(_) => Some(false),
    }
}

async fn ask(pool: &Pool, server: usize) -> io::Result<bool> {
    match &pool.servers[server].address {
        Address::Ip(address) => talk(TcpStream::connect(address).await?, pool).await,
        Address::Name { host, port } => {
            // The same addresses in the same order as a worker tries them.
            let addresses = dns::resolve(host, *port).await;
            talk(TcpStream::connect(addresses.as_slice()).await?, pool).await
        }
        Address::Unix(path) => talk(UnixStream::connect(path).await?, pool).await,
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, pool: &Pool) -> io::Result<bool> {
    let mut question = Vec::new();
    let mut lines = 1;
    match (pool.protocol, &pool.redis_auth) {
        (Protocol::Memcache, _) => question.extend_from_slice(b"version\r\n"),
        (Protocol::Redis, password) => {
            if let Some(password) = password {
                lines = 2;
                let auth = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
                question.extend_from_slice(auth.as_bytes());
            }
            question.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        }
    }
    stream.write_all(&question).await?;
    let mut seen = Vec::new();
    while seen.iter().filter(|byte| **byte == b'\n').count() < lines && seen.len() < ANSWER_BYTES {
        let mut chunk = [0; 256];
        match stream.read(&mut chunk).await? {
            0 => return Ok(false),
            count => seen.extend_from_slice(&chunk[..count]),
        }
    }
    let last = seen.split_inclusive(|byte| *byte == b'\n').nth(lines - 1).unwrap_or(&[]);
    Ok(serves(pool.protocol, last))
}

/// Whether the answer comes from a server that serves requests. An error may: a redis that cannot save its data
/// answers PING with -MISCONF and serves reads; one that wants another password says so to every request.
fn serves(protocol: Protocol, line: &[u8]) -> bool {
    match protocol {
        Protocol::Memcache => line.starts_with(b"VERSION "),
        Protocol::Redis => {
            let busy: [&[u8]; 4] =
                [b"-LOADING", b"-MASTERDOWN", b"-BUSY", b"-ERR max number of clients reached"];
            line.ends_with(b"\n")
                && (line.starts_with(b"+") || line.starts_with(b"-"))
                && !busy.iter().any(|code| line.starts_with(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_whether_requests_are_served() {
        let serves = |line: &[u8]| serves(Protocol::Redis, line);
        assert!(serves(b"+PONG\r\n"));
        assert!(serves(b"-MISCONF Redis is configured to save RDB snapshots\r\n"));
        assert!(serves(b"-NOPERM this user has no permissions\r\n"));
        assert!(!serves(b"-LOADING Redis is loading the dataset in memory\r\n"));
        assert!(!serves(b"-ERR max number of clients reached\r\n"));
        assert!(!serves(b"-BUSY Redis is busy running a script\r\n"));
        assert!(!serves(b"+PO"), "half an answer is none");
        assert!(!serves(b"HTTP/1.1 200 OK\r\n"));
    }
}
