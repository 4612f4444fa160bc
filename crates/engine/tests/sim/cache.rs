//! Guests that keep what they read (CLIENT TRACKING), servers that say what has changed, and the law between them: once nothing
//! is under way, what a guest keeps is what the key's server has.
//!
//! A guest drops what it is told has changed, and what it has written itself (with NOLOOP nobody tells it so). Any moment at
//! which nothing is on its way is looked at; a guest with something in its cache leaves only after one.

use crate::guest::{Expect, Guest};
use crate::guest_ask::{OK, Pen};
use crate::server::Stage;
use crate::shelf::Mail;
use crate::world::World;
use engine::id::ConnId;
use std::collections::{BTreeMap, BTreeSet};
use wire::resp::{self, encode};

/// What a guest wants to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tracks {
    /// What it reads.
    Reads,
    /// What it reads right behind CLIENT CACHING YES.
    Marked,
    /// All that begins with one of these.
    Prefixes(Vec<Vec<u8>>),
}

/// What a guest keeps.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// As things will be when all is answered.
    pub(crate) will_track: Option<Tracks>,
    tracks: Option<Tracks>,
    /// CLIENT CACHING was answered last.
    marked: bool,
    /// Values by key, as they were read.
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys in the transaction that it is in the middle of.
    queued: BTreeSet<Vec<u8>>,
    /// CLIENT TRACKING was refused: it may be told of what other servers said before.
    refused: bool,
    /// It was found right since it last kept something more.
    checked: bool,
}

impl Cache {
    /// Whether it is still to be looked at.
    pub(crate) fn is_unchecked(&self) -> bool {
        !self.kept.is_empty() && !self.checked
    }

    fn clear(&mut self) {
        self.kept.clear();
    }

    /// An answer has come; `fine` where it is what was hoped for.
    pub(crate) fn answered(&mut self, expect: &Expect, reply: &[u8], (fine, resp3): (bool, bool)) {
        let marked = std::mem::take(&mut self.marked);
        match expect {
            Expect::Value(key) if fine && resp3 => {
                let told = match &self.tracks {
                    Some(Tracks::Reads) => true,
                    Some(Tracks::Marked) => marked,
                    Some(Tracks::Prefixes(all)) => all.iter().any(|prefix| key.starts_with(prefix)),
                    None => false,
                };
                if told {
                    self.checked = false;
                    self.kept.insert(key.clone(), reply.to_vec());
                } else {
                    self.kept.remove(key);
                }
            }
            Expect::Stored(key, _) => _ = self.kept.remove(key),
            Expect::Queued(keys) => self.queued.extend(keys.iter().cloned()),
            Expect::Exec(..) | Expect::Discard(_) => {
                let queued = std::mem::take(&mut self.queued);
                self.kept.retain(|key, _| !queued.contains(key));
            }
            Expect::Track(tracks) => {
                self.tracks = tracks.clone().filter(|_| fine);
                self.refused = !fine;
                self.clear();
            }
            Expect::Mark => self.marked = fine,
            Expect::Reset => {
                self.tracks = None;
                self.clear();
            }
            Expect::Hello(_) => self.clear(),
            _ => {}
        }
    }

    /// Something is said to have changed.
    pub(crate) fn told(&mut self, reply: &[u8]) -> Result<&'static str, String> {
        // Who is about to track again may be told already of what was read the last time.
        let tracks = self.tracks.is_some() || self.will_track.is_some() || self.refused;
        if !tracks || !reply.starts_with(b">") {
            return Err(format!("does not track and reads {}", reply.escape_ascii()));
        }
        let what = resp::elements(reply).and_then(|(_, mut parts)| parts.nth(1)).unwrap_or(b"");
        let Some((_, keys)) = resp::elements(what) else {
            self.clear();
            return Ok("a guest forgets all");
        };
        let mut had = false;
        for key in keys.filter_map(resp::bulk) {
            had |= self.kept.remove(key).is_some();
        }
        Ok(if had { "a guest forgets a key" } else { "a guest is told of a key" })
    }
}

impl Pen<'_> {
    /// CLIENT TRACKING, or something to keep. Whether anything was asked.
    pub(crate) fn track(&mut self) -> bool {
        let Some(tracks) = self.guest.cache.will_track.clone() else {
            if !self.rng.chance(300) {
                return false;
            }
            self.begin_tracking();
            return true;
        };
        match self.rng.below(20) {
            0 => {
                self.ask(&[b"CLIENT", b"TRACKING", b"OFF"], Expect::Track(None), Vec::new());
                self.guest.cache.will_track = None;
            }
            1..=9 => {
                if tracks == Tracks::Marked && self.rng.chance(800) {
                    self.ask(&[b"CLIENT", b"CACHING", b"YES"], Expect::Mark, Vec::new());
                }
                self.get();
            }
            10..=12 => self.set(),
            _ => return false,
        }
        true
    }

    fn begin_tracking(&mut self) {
        let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON"];
        let tracks = match self.rng.below(4) {
            0 | 1 => Tracks::Reads,
            2 => Tracks::Marked,
            _ => {
                let choices: &[&[&[u8]]] = &[&[b""], &[b"w"], &[b"w1", b"w2", b"{t"], &[b"w0"]];
                Tracks::Prefixes(self.rng.pick(choices).iter().map(|prefix| prefix.to_vec()).collect())
            }
        };
        if tracks == Tracks::Marked {
            words.push(b"OPTIN");
        }
        if let Tracks::Prefixes(prefixes) = &tracks {
            words.push(b"BCAST");
            for prefix in prefixes.iter().filter(|prefix| !prefix.is_empty()) {
                words.extend([b"PREFIX".as_slice(), prefix]);
            }
        } else if self.rng.chance(400) {
            words.push(b"NOLOOP");
        }
        let all = (0..self.view.servers.len()).collect();
        self.ask(&words, Expect::Track(Some(tracks.clone())), all);
        self.guest.cache.will_track = Some(tracks);
    }
}

impl World {
    /// Looks at what guests keep, where nothing is under way that could still change it.
    pub(crate) fn check_caches(&mut self) -> Result<(), String> {
        if !self.hall.tracks {
            return Ok(());
        }
        for index in 0..self.hall.guests.len() {
            if !self.hall.guests[index].cache.is_unchecked() || !self.is_quiet(index) {
                continue;
            }
            let guest = &self.hall.guests[index];
            let view = &self.topology.pools[guest.pool];
            for (key, kept) in &guest.cache.kept {
                let Some(server) = view.place(key, 0) else { continue };
                let mut there = Vec::new();
                self.keyspaces[guest.pool][server as usize].shelf.value(key, true, &mut there);
                if there != *kept {
                    return Err(format!(
                        "guest {:?} keeps {} of {}, and server {server} has {}",
                        guest.id,
                        kept.escape_ascii(),
                        key.escape_ascii(),
                        there.escape_ascii()
                    ));
                }
            }
            self.hall.guests[index].cache.checked = true;
            self.seen.insert("a cache is right".to_string());
        }
        Ok(())
    }

    /// Whether nothing is on its way to a guest, nor to servers of its pool.
    fn is_quiet(&self, index: usize) -> bool {
        let guest = &self.hall.guests[index];
        if !guest.is_open() || !guest.is_judged() || !guest.is_at_rest() {
            return false;
        }
        if !self.core.client_output(guest.id).is_empty() {
            return false;
        }
        let mut peers = self.peers.iter().filter(|peer| peer.pool == guest.pool);
        if !peers.all(|peer| peer.is_at_rest() && self.core.conn_output(peer.id).is_empty()) {
            return false;
        }
        let Some(Tracks::Prefixes(_)) = guest.cache.tracks else { return true };
        // What changes where nobody says so yet is known once somebody does.
        let view = &self.topology.pools[guest.pool];
        (0..if view.detour { view.servers.len() } else { view.own }).all(|server| {
            let wanted = view.servers[server].live && !view.servers[server].drained;
            let told = &self.keyspaces[guest.pool][server].shelf.told;
            let up =
                |conn: &ConnId| self.peers.iter().any(|peer| peer.id == *conn && peer.stage == Stage::Up);
            !wanted || told.prefixes.iter().any(|(conn, _)| up(conn))
        })
    }
}

/// Whom a server tells of what.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Connections that are told of what was read over them.
    readers: Vec<ConnId>,
    reads: BTreeMap<Vec<u8>, Vec<ConnId>>,
    prefixes: Vec<(ConnId, Vec<Vec<u8>>)>,
}

impl Told {
    /// CLIENT TRACKING.
    pub(crate) fn ask(&mut self, conn: ConnId, words: &[&[u8]], out: &mut Vec<u8>) -> Result<(), String> {
        match words {
            [b"OFF"] => self.part(conn),
            // A connection that carried something large may be used again.
            [b"ON"] if self.readers.contains(&conn) => {}
            [b"ON"] if !self.listens(conn) => self.readers.push(conn),
            [b"ON", b"BCAST", prefixes @ ..] if !self.readers.contains(&conn) => {
                if !self.listens(conn) {
                    self.prefixes.push((conn, Vec::new()));
                }
                let own = self.prefixes.iter_mut().find(|(other, _)| *other == conn);
                let own = &mut own.expect("it is there now").1;
                let new: Vec<&[u8]> = match prefixes {
                    [] => vec![b""],
                    all => all.chunks(2).map(|pair| pair[pair.len() - 1]).collect(),
                };
                for prefix in new {
                    if own.iter().any(|other| other.starts_with(prefix) || prefix.starts_with(other)) {
                        return Err(format!("the proxy asks for {}, of {own:?}", prefix.escape_ascii()));
                    }
                    own.push(prefix.to_vec());
                }
            }
            _ => return Err(format!("the proxy said CLIENT TRACKING {}", words.join(&b' ').escape_ascii())),
        }
        encode::simple(b"OK", out);
        Ok(())
    }

    pub(crate) fn part(&mut self, conn: ConnId) {
        self.readers.retain(|other| *other != conn);
        self.prefixes.retain(|(other, _)| *other != conn);
        self.reads.values_mut().for_each(|conns| conns.retain(|other| *other != conn));
    }

    /// Whether a connection is told of prefixes.
    pub(crate) fn listens(&self, conn: ConnId) -> bool {
        self.prefixes.iter().any(|(other, _)| *other == conn)
    }

    /// A key was read.
    pub(crate) fn read(&mut self, conn: ConnId, key: &[u8]) {
        if self.readers.contains(&conn) {
            let conns = self.reads.entry(key.to_vec()).or_default();
            if !conns.contains(&conn) {
                conns.push(conn);
            }
        }
    }

    /// A key has changed.
    pub(crate) fn changed(&mut self, key: &[u8], mail: &mut Vec<Mail>) {
        if self.readers.is_empty() && self.prefixes.is_empty() {
            return;
        }
        let readers = self.reads.remove(key).unwrap_or_default();
        let wants = |prefixes: &Vec<Vec<u8>>| prefixes.iter().any(|prefix| key.starts_with(prefix));
        let listeners = self.prefixes.iter().filter(|(_, prefixes)| wants(prefixes)).map(|(conn, _)| *conn);
        for to in readers.into_iter().chain(listeners) {
            mail.push(Mail { to, bytes: invalidate(Some(key)), message: None, news: true });
        }
    }

    /// All is gone.
    pub(crate) fn flushed(&mut self, mail: &mut Vec<Mail>) {
        self.reads.clear();
        for to in self.readers.iter().chain(self.prefixes.iter().map(|(conn, _)| conn)) {
            mail.push(Mail { to: *to, bytes: invalidate(None), message: None, news: true });
        }
    }
}

fn invalidate(key: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::push_header(2, true, &mut bytes);
    encode::bulk(b"invalidate", &mut bytes);
    match key {
        Some(key) => {
            encode::array_header(1, &mut bytes);
            encode::bulk(key, &mut bytes);
        }
        None => encode::null(true, &mut bytes),
    }
    bytes
}

/// The answer to CLIENT TRACKING or CACHING where all is well.
pub(crate) fn is_fine(reply: &[u8]) -> bool {
    reply == OK
}

impl Guest {
    /// Nothing that it asked is under way, and it has read all that came.
    fn is_at_rest(&self) -> bool {
        self.asks.is_empty() && self.stream.is_empty() && !self.blocked && self.is_between_replies()
    }
}
