//! Asking an ejected server whether it is back, on a connection of its own.

use config::{Address, Pool, Protocol};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// So long a probe may take when the pool has no timeout.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// More than any answer to a probe has.
const ANSWER_BYTES: usize = 1024;

/// Whether server `server` of `pool` answers `PING` (after AUTH, where there is a password) or `version`.
pub(crate) async fn probe(pool: &Pool, server: usize) -> bool {
    let within = pool.timeout.map_or(PROBE_WITHIN, |timeout| Duration::from_millis(timeout.0).max(MIN_WITHIN));
    matches!(tokio::time::timeout(within, ask(pool, server)).await, Ok(Ok(true)))
}

/// A timeout tuned for cache hits is too short for a fresh connection.
const MIN_WITHIN: Duration = Duration::from_secs(1);

async fn ask(pool: &Pool, server: usize) -> io::Result<bool> {
    match &pool.servers[server].address {
        Address::Ip(address) => talk(TcpStream::connect(address).await?, pool).await,
        Address::Name { host, port } => talk(TcpStream::connect((host.as_str(), *port)).await?, pool).await,
        Address::Unix(path) => talk(UnixStream::connect(path).await?, pool).await,
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, pool: &Pool) -> io::Result<bool> {
    let (question, answer): (Vec<u8>, &[u8]) = match (pool.protocol, &pool.redis_auth) {
        (Protocol::Memcache, _) => (b"version\r\n".to_vec(), b"VERSION "),
        (Protocol::Redis, None) => (b"*1\r\n$4\r\nPING\r\n".to_vec(), b"+PONG\r\n"),
        (Protocol::Redis, Some(password)) => {
            let auth = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n*1\r\n$4\r\nPING\r\n", password.len());
            (auth.into_bytes(), b"+OK\r\n+PONG\r\n")
        }
    };
    stream.write_all(&question).await?;
    let mut seen = Vec::new();
    while seen.len() < answer.len() && seen.len() < ANSWER_BYTES {
        let mut chunk = [0; 256];
        match stream.read(&mut chunk).await? {
            0 => break,
            count => seen.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(seen.starts_with(answer))
}
