//! Clients that are connected and ask nothing, or once asked one thing.

use crate::data::Data;
use crate::memory::situation::Play;
use crate::protocol::{Request, Wrong, encode, read_reply};
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Connected only.
///
/// # Errors
/// When a connection fails.
pub(crate) fn connected(play: &mut Play<'_>) -> Result<()> {
    let clients = connect(play)?;
    play.hold()?;
    drop(clients);
    Ok(())
}

/// After one request each.
///
/// # Errors
/// When a connection fails or a reply is wrong.
pub(crate) fn asked(play: &mut Play<'_>) -> Result<()> {
    let mut clients = connect(play)?;
    for (client, key) in clients.iter_mut().zip(play.keys.iter().cycle()) {
        ask(client, *key, play.values)?;
    }
    play.hold()?;
    drop(clients);
    Ok(())
}

/// Connects all clients and waits until the proxy has accepted them.
fn connect(play: &mut Play<'_>) -> Result<Vec<TcpStream>> {
    let before = play.watch.descriptors()?;
    let mut clients = Vec::with_capacity(play.clients);
    for number in 0..play.clients {
        let client =
            TcpStream::connect(play.target).with_context(|| format!("connecting client {number}"))?;
        client.set_read_timeout(Some(PATIENCE))?;
        clients.push(client);
        ensure!(!play.stop.load(Ordering::Relaxed), "stopped");
    }
    let deadline = Instant::now() + PATIENCE;
    while play.watch.descriptors()? < before + play.clients {
        if Instant::now() > deadline {
            let accepted = play.watch.descriptors()?.saturating_sub(before);
            bail!("only {accepted} of {} clients were accepted", play.clients);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(clients)
}

fn ask(client: &mut TcpStream, key: u32, data: &Data) -> Result<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    encode(Protocol::Redis, Request::Get(&[key]), data, &mut bytes);
    client.write_all(&bytes)?;
    bytes.clear();
    loop {
        match read_reply(Protocol::Redis, Request::Get(&[key]), data, &bytes) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(Wrong(what)) => return Err(anyhow!(what)),
        }
        let count = client.read(&mut buffer)?;
        ensure!(count > 0, "the connection was closed");
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// For a reply, and for all clients to be accepted.
const PATIENCE: Duration = Duration::from_secs(10);
