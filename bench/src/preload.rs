//! Stores every key before a scenario, through the address that will be asked: a sharding proxy spreads the keys
//! over the servers by its own rule, haproxy and the direct connection put all of them on the first one.

use crate::data::Data;
use crate::protocol::{Request, Wrong, encode, read_reply};
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, anyhow, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Stores all keys of `data` with one blocking connection.
///
/// # Errors
/// When a write is refused or nothing comes back for five seconds.
pub(crate) fn preload(target: SocketAddr, protocol: Protocol, data: &Data) -> Result<()> {
    let keys: Vec<u32> = (1..=data.keys).collect();
    store(target, protocol, data, &keys)
}

/// Stores these keys of `data` with one blocking connection.
///
/// # Errors
/// When a write is refused or nothing comes back for five seconds.
pub(crate) fn store(target: SocketAddr, protocol: Protocol, data: &Data, keys: &[u32]) -> Result<()> {
    let mut socket = TcpStream::connect(target).context("connecting to store the keys")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    for batch in keys.chunks((BATCH_BYTES / data.value_bytes.max(1)).clamp(1, 100)) {
        let mut out = Vec::new();
        batch.iter().for_each(|&key| encode(protocol, Request::Set(key), data, &mut out));
        socket.write_all(&out)?;
        stored(&mut socket, protocol, data, batch)
            .with_context(|| format!("storing keys {} to {}", batch[0], batch[batch.len() - 1]))?;
    }
    Ok(())
}

/// Waits for the replies to a batch.
fn stored(socket: &mut TcpStream, protocol: Protocol, data: &Data, batch: &[u32]) -> Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let mut waiting = batch.iter().copied().peekable();
    while let Some(&key) = waiting.peek() {
        match read_reply(protocol, Request::Set(key), data, &received) {
            Ok(Some(length)) => {
                received.drain(..length);
                waiting.next();
            }
            Ok(None) => {
                let count = socket.read(&mut buffer)?;
                ensure!(count > 0, "the connection was closed");
                received.extend_from_slice(&buffer[..count]);
            }
            Err(Wrong(what)) => return Err(anyhow!("{what}")),
        }
    }
    Ok(())
}

/// Little enough that a write never waits for us to read.
const BATCH_BYTES: usize = 128 * 1024;
