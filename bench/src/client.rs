//! One client connection: a batch of requests goes out, its replies are read and checked. When to start a
//! batch, and waiting for sockets, is the load generator's part.

use crate::data::{Data, Rng};
use crate::protocol::{Request, Wrong, encode, read_reply};
use crate::scenario::{Mix, Scenario};
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// What every client of a run shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'a> {
    /// What to ask for.
    pub(crate) scenario: &'a Scenario,
    /// Keys and values.
    pub(crate) data: &'a Data,
}

/// A connection and its batch; the vectors are kept from batch to batch.
#[derive(Debug)]
pub(crate) struct Client {
    /// Open while the client is connected.
    pub(crate) socket: Option<OwnedFd>,
    /// Whether the socket is also watched for room to write.
    pub(crate) watches_room: bool,
    /// When the batch counts as started.
    pub(crate) since: Instant,
    /// Bytes of the batch, of which `sent` have left.
    out: Vec<u8>,
    sent: usize,
    /// For each request of the batch whether it is a SET, and `keys_per_get` keys (a SET uses the first).
    sets: Vec<bool>,
    keys: Vec<u32>,
    answered: usize,
    /// The unfinished end of what was received.
    rest: Vec<u8>,
}

impl Client {
    /// A client that is not connected yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            socket: None,
            watches_room: false,
            since: now,
            out: Vec::new(),
            sent: 0,
            sets: Vec::new(),
            keys: Vec::new(),
            answered: 0,
            rest: Vec::new(),
        }
    }

    /// Draws a new batch; `since` is when it counts as started.
    pub(crate) fn fill(&mut self, script: Script<'_>, rng: &mut Rng, since: Instant) {
        let Script { scenario, data } = script;
        let width = scenario.keys_per_get as usize;
        self.since = since;
        (self.sent, self.answered) = (0, 0);
        self.out.clear();
        self.sets.clear();
        self.keys.clear();
        for _ in 0..scenario.depth {
            let set = match scenario.mix {
                Mix::Gets => false,
                Mix::Sets => true,
                Mix::GetsPerSet(gets) => rng.below(gets + 1) == 0,
            };
            let first = self.keys.len();
            while self.keys.len() < first + width {
                let key = data.draw(rng);
                if !self.keys[first..].contains(&key) {
                    self.keys.push(key);
                }
            }
            self.sets.push(set);
            encode(scenario.protocol, request(set, &self.keys[first..]), data, &mut self.out);
        }
    }

    /// Sends what the socket takes; true when nothing is left.
    ///
    /// # Errors
    /// When the connection failed.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        let socket = self.socket.as_ref().context("a client without a connection")?;
        while self.sent < self.out.len() {
            match rustix::net::send(socket, &self.out[self.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(true)
    }

    /// Receives once and checks the replies that are complete: how many these are, and whether they were the
    /// last of the batch. `buffer` is scratch space.
    ///
    /// # Errors
    /// When the connection failed or closed, or a reply is wrong or one too many.
    pub(crate) fn receive(&mut self, script: Script<'_>, buffer: &mut [u8]) -> Result<(u64, bool)> {
        let socket = self.socket.as_ref().context("a client without a connection")?;
        let received = match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => bail!("the connection was closed with {} replies due", self.due()),
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok((0, false)),
            Err(error) => return Err(error).context("receiving"),
        };
        let fresh = &buffer[..received];
        if self.rest.is_empty() {
            let (replies, used) = self.check(script, fresh)?;
            self.rest.extend_from_slice(&fresh[used..]);
            return Ok((replies, self.due() == 0));
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(fresh);
        let (replies, used) = self.check(script, &all)?;
        all.drain(..used);
        self.rest = all;
        Ok((replies, self.due() == 0))
    }

    fn due(&self) -> usize {
        self.sets.len() - self.answered
    }

    /// Reads the complete replies at the front of `bytes`: their number and their length.
    fn check(&mut self, script: Script<'_>, bytes: &[u8]) -> Result<(u64, usize)> {
        let Script { scenario, data } = script;
        let width = scenario.keys_per_get as usize;
        let (mut replies, mut used) = (0, 0);
        while self.due() > 0 {
            let keys = &self.keys[self.answered * width..][..width];
            let request = request(self.sets[self.answered], keys);
            match read_reply(scenario.protocol, request, data, &bytes[used..]) {
                Ok(Some(length)) => used += length,
                Ok(None) => return Ok((replies, used)),
                Err(Wrong(what)) => return Err(anyhow!("wrong reply to {request:?}: {what}")),
            }
            self.answered += 1;
            replies += 1;
        }
        if used < bytes.len() {
            let shown = String::from_utf8_lossy(&bytes[used..bytes.len().min(used + 120)]).into_owned();
            bail!("bytes that answer nothing: '{shown}'");
        }
        Ok((replies, used))
    }
}

/// A SET uses the first of its keys.
fn request(set: bool, keys: &[u32]) -> Request<'_> {
    if set { Request::Set(keys[0]) } else { Request::Get(keys) }
}

/// Begins to connect; sending shows when it is done.
///
/// # Errors
/// When no socket can be opened or the peer refuses at once.
pub(crate) fn connect(target: SocketAddr) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error).with_context(|| format!("connecting to {target}")),
    }
}

/// Connects, and waits until that is done: many clients that come at once would overflow the queue of connections to be
/// accepted, and those that did would try again only after a second.
///
/// # Errors
/// When no socket can be opened or the peer refuses.
pub(crate) fn connect_at_once(target: SocketAddr) -> Result<OwnedFd> {
    let socket = TcpStream::connect(target).with_context(|| format!("connecting to {target}"))?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::USUAL;

    /// Answers the whole of a batch as a right server would.
    fn answer(client: &Client, script: Script<'_>) -> Vec<u8> {
        let mut replies = Vec::new();
        for (at, &set) in client.sets.iter().enumerate() {
            let value = script.data.value(client.keys[at]);
            let value = [b"$", script.data.length.as_bytes(), b"\r\n", value, b"\r\n"].concat();
            replies.extend(if set { b"+OK\r\n".to_vec() } else { value });
        }
        replies
    }

    fn filled(scenario: &Scenario, data: &Data) -> Client {
        let mut client = Client::new(Instant::now());
        client.fill(Script { scenario, data }, &mut Rng::new(3), Instant::now());
        client
    }

    #[test]
    fn counts_replies_over_any_split() {
        let scenario = Scenario { depth: 5, mix: Mix::GetsPerSet(1), ..USUAL };
        let data = Data::new(50, 64);
        let script = Script { scenario: &scenario, data: &data };
        let replies = answer(&filled(&scenario, &data), script);
        for split in 0..replies.len() {
            let mut client = filled(&scenario, &data);
            let (first, used) = client.check(script, &replies[..split]).unwrap();
            let (second, _) = client.check(script, &replies[used..]).unwrap();
            assert_eq!((first + second, client.due()), (5, 0), "split at {split}");
        }
    }

    #[test]
    fn refuses_what_answers_nothing() {
        let data = Data::new(50, 64);
        let script = Script { scenario: &USUAL, data: &data };
        let mut client = filled(script.scenario, &data);
        let replies = [answer(&client, script), b"+OK\r\n".to_vec()].concat();
        assert!(client.check(script, &replies).unwrap_err().to_string().contains("answer nothing"));
    }

    #[test]
    fn keys_of_one_get_differ() {
        let scenario = Scenario { keys_per_get: 20, depth: 3, ..USUAL };
        let client = filled(&scenario, &Data::new(20, 64));
        for keys in client.keys.chunks(20) {
            let mut sorted = keys.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (1..=20).collect::<Vec<u32>>());
        }
    }
}
