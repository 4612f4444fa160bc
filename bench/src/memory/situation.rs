//! The situations, one row each: what clients do to a proxy.

use crate::client::Script;
use crate::data::Data;
use crate::load::Load;
use crate::memory::neighbour::Neighbour;
use crate::memory::push::{Sender, exchange, push};
use crate::memory::watch::Watch;
use crate::memory::{Row, idle, large};
use crate::protocol::{Request, encode};
use crate::report::grouped;
use crate::scenario::{Mix, Protocol, Scenario, USUAL};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// One row of the table below.
#[derive(Debug)]
pub(crate) struct Situation {
    /// The name for `--only` and in results.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) what: &'static str,
    /// Connections.
    pub(crate) clients: usize,
    /// Values that the servers have beforehand.
    pub(crate) values: u32,
    /// Bytes of each.
    pub(crate) value_bytes: usize,
    /// Does it.
    pub(crate) play: fn(&mut Play<'_>) -> Result<()>,
}

/// Every situation; a new one is a new row.
#[rustfmt::skip] // a table: one row, one line
pub(crate) const SITUATIONS: &[Situation] = &[
    Situation { name: "pipelined", what: "200,000 pipelined GETs of missing keys, all sent before a reply is read", clients: 1, values: 0, value_bytes: 0, play: pipelined },
    Situation { name: "idle", what: "10,000 clients, connected only", clients: 10_000, values: 0, value_bytes: 0, play: idle::connected },
    Situation { name: "idle-asked", what: "10,000 clients after one GET of 64 bytes each", clients: 10_000, values: 100, value_bytes: 64, play: idle::asked },
    Situation { name: "unread", what: "100 clients ask for 2,000 values of 100 KB each and never read", clients: 100, values: 16, value_bytes: 100_000, play: unread },
    Situation { name: "unread-small", what: "100 clients ask for 2,000 values of 10 KB each and never read", clients: 100, values: 16, value_bytes: 10_000, play: unread },
    Situation { name: "half-large", what: "1,000 clients send half of a SET of 1 MB each and stop", clients: 1_000, values: 0, value_bytes: 0, play: |play| halves(play, 1_000_000) },
    Situation { name: "half-small", what: "1,000 clients send half of a SET of 10 KB each and stop", clients: 1_000, values: 0, value_bytes: 0, play: |play| halves(play, 10_000) },
    Situation { name: "large", what: "one client does a SET of 512 MB, then a GET of it", clients: 1, values: 0, value_bytes: 0, play: large::value },
    Situation { name: "burst", what: "1,000 clients pipeline SETs of 16 KB by 16 for 4 s, then leave", clients: 1_000, values: 0, value_bytes: 0, play: burst },
];

/// What a situation works with, and the row that comes of it.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    /// The proxy.
    pub(crate) target: SocketAddr,
    /// As many as the situation has, or as descriptors allow.
    pub(crate) clients: usize,
    /// The keys that the servers have.
    pub(crate) keys: &'a [u32],
    /// Their values.
    pub(crate) values: &'a Data,
    /// The proxy's memory.
    pub(crate) watch: &'a Watch,
    /// Set by Ctrl-C.
    pub(crate) stop: &'a AtomicBool,
    /// To be filled.
    pub(crate) row: Row,
}

impl Play<'_> {
    /// Notes what the proxy holds once that does not change any more.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn hold(&mut self) -> Result<()> {
        self.row.held_bytes = Some(self.watch.settle(CALM, self.stop)?);
        Ok(())
    }

    /// Sends for all `senders` while a neighbour is at work, and notes what the proxy then holds.
    fn push_and_hold(&mut self, senders: &mut [Sender<'_>]) -> Result<()> {
        let neighbour = Neighbour::start(self.target)?;
        let pushed = push(senders, PATIENCE, self.stop).and_then(|()| self.hold());
        self.row.neighbour = Some(neighbour.end());
        pushed?;
        let closed = senders.iter().filter(|it| it.socket.is_none()).count();
        if closed > 0 {
            self.row.remarks.push(format!("{} clients were closed", grouped(closed as u64)));
        }
        let unsent = senders.iter().filter(|it| !it.is_done()).count() - closed;
        if unsent > 0 {
            let sent: usize = senders.iter().map(|it| it.sent).sum();
            self.row.remarks.push(format!(
                "{} clients could not send all, in all {} bytes were taken",
                grouped(unsent as u64),
                grouped(sent as u64)
            ));
        }
        Ok(())
    }
}

/// One client asks very often for what is not there, and reads later.
fn pipelined(play: &mut Play<'_>) -> Result<()> {
    let mut requests = Vec::new();
    for number in 0..PIPELINED {
        requests.extend_from_slice(format!("*2\r\n$3\r\nGET\r\n$12\r\nmissing{number:05x}\r\n").as_bytes());
    }
    let all = requests.len();
    let mut sender = [Sender::connect(play.target, requests, &[])?];
    push(&mut sender, PATIENCE, play.stop)?;
    let [mut sender] = sender;
    if !sender.is_done() {
        let taken = sender.sent * PIPELINED / all;
        let text = format!("it took {} requests before replies had to be read", grouped(taken as u64));
        play.row.remarks.push(text);
    }
    play.hold()?;
    exchange(&mut sender, PIPELINED * MISSING.len(), REPLY_PATIENCE, play.stop, |at, bytes| {
        let wrong =
            bytes.iter().enumerate().find(|(place, byte)| **byte != MISSING[(at + place) % MISSING.len()]);
        ensure!(wrong.is_none(), "wrong reply in bytes {at} to {} of the replies", at + bytes.len());
        Ok(())
    })
}

/// Clients that ask for much and read nothing.
fn unread(play: &mut Play<'_>) -> Result<()> {
    let mut senders = Vec::new();
    for client in 0..play.clients {
        let mut requests = Vec::new();
        for number in 0..UNREAD {
            let key = play.keys[(client + number) % play.keys.len()];
            encode(Protocol::Redis, Request::Get(&[key]), play.values, &mut requests);
        }
        senders.push(Sender::connect(play.target, requests, &[])?);
    }
    play.push_and_hold(&mut senders)
}

/// Clients that send half of a SET.
fn halves(play: &mut Play<'_>, value_bytes: usize) -> Result<()> {
    let half = vec![b'h'; value_bytes / 2];
    let mut senders = Vec::new();
    for client in 0..play.clients {
        let beginning = format!("*3\r\n$3\r\nSET\r\n$9\r\n{client:04}:half\r\n${value_bytes}\r\n");
        senders.push(Sender::connect(play.target, beginning.into_bytes(), &half)?);
    }
    play.push_and_hold(&mut senders)
}

/// Many clients with much to store, then none.
fn burst(play: &mut Play<'_>) -> Result<()> {
    let scenario = Scenario {
        mix: Mix::Sets,
        clients: play.clients,
        depth: 16,
        value_bytes: 16 << 10,
        keys: 1_000,
        ..USUAL
    };
    let data = Data::new(scenario.keys, scenario.value_bytes);
    let mut load = Load::connect(Script { scenario: &scenario, data: &data }, play.target, 1, play.stop)?;
    let outcome = load.run(BURST, None)?;
    let rate = outcome.requests as f64 / outcome.elapsed.as_secs_f64();
    play.row.remarks.push(format!("{} SETs a second", grouped(rate as u64)));
    Ok(())
}

/// Requests of the one client.
const PIPELINED: usize = 200_000;
/// The reply to a GET of what is not there.
const MISSING: &[u8] = b"$-1\r\n";
/// Requests of each client that never reads.
const UNREAD: usize = 2_000;
/// A proxy that takes no bytes for so long waits for its clients to read.
const PATIENCE: Duration = Duration::from_secs(2);
/// For a reply that must come.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);
/// What has not changed for so long grows no more.
const CALM: Duration = Duration::from_secs(2);
/// How long the burst lasts.
const BURST: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_every_row_has_clients() {
        for (at, row) in SITUATIONS.iter().enumerate() {
            assert!(SITUATIONS[..at].iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert!(row.clients > 0, "{}", row.name);
        }
        const { assert!(PIPELINED <= 0xfffff, "keys are numbered with five hexadecimal digits") };
    }
}
