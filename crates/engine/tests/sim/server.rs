//! A server's end of one connection from the proxy: reads requests, answers in order, and misbehaves on order.

use crate::ask_redis::text;
use crate::check::wrong;
use crate::faults::{EARLY, FaultLog, Faults, Why};
use crate::ledger::Ledger;
use crate::model::{Journal, Keyspace};
use crate::rng::Rng;
use crate::setup::PASSWORD;
use crate::shapes::PUSH;
use crate::shelf::{self, Caller, Mail, Side, Topic};
use config::Protocol;
use engine::error::Cause;
use engine::id::ConnId;
use engine::topology::PoolView;
use std::collections::VecDeque;
use wire::{Args, Limits, memcache, resp};

/// So many databases has each server.
const DATABASES: u32 = 10;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ConnId,
    pub(crate) pool: usize,
    pub(crate) server: usize,
    pub(crate) stage: Stage,
    /// Bytes from the proxy that are no whole request yet, or wait to be worked on.
    pub(crate) inbox: Vec<u8>,
    /// Bytes for the proxy.
    pub(crate) outbox: Vec<u8>,
    /// Whether the proxy does not read from it.
    pub(crate) held: bool,
    /// The fault that this is to those who wait there.
    pub(crate) held_fault: Option<usize>,
    /// Whether the proxy waits until it may write.
    pub(crate) blocked: bool,
    /// Neither reads nor answers until then.
    pub(crate) stalled_until: u64,
    /// Whether the inbox holds half a request and no whole one.
    pub(crate) waits: bool,
    /// Requests answered, those of the handshake included.
    pub(crate) answered: u32,
    /// Said what is no reply, or refused the proxy: does nothing more.
    pub(crate) broken: bool,
    /// It was to be another server's.
    pub(crate) misrouted: bool,
    /// Faults that are over when the connection is.
    pub(crate) faults: Vec<usize>,
    /// It has taken HELLO 3.
    pub(crate) resp3: bool,
    /// A transaction or a wait that it is in the middle of.
    pub(crate) side: Side,
    /// Bytes for the proxy that have left, and messages by where they end.
    left: usize,
    messages: VecDeque<(usize, u32, Topic)>,
    authenticated: bool,
    db: u32,
    /// It has taken a SELECT.
    selected: bool,
    /// It has answered anything but the proxy's first words.
    served: bool,
    /// The request that is not whole yet was answered already.
    refused_early: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Decided at this time.
    Connecting(u64, Result<(), Cause>),
    Up,
    /// The proxy was told that it is gone.
    Gone,
}

/// What a connection needs of its world to do its work.
pub(crate) struct Desk<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) faults: &'a Faults,
    pub(crate) log: &'a mut FaultLog,
    pub(crate) journal: &'a mut Journal,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) keyspace: &'a mut Keyspace,
    pub(crate) view: &'a PoolView,
    pub(crate) now: u64,
    /// Keys may have moved.
    pub(crate) loose: bool,
    /// A proxy that sends every request twice, to see that it is noticed.
    pub(crate) twice: bool,
    /// Whether a lie was told that can be noticed.
    pub(crate) lied: bool,
    /// Whether news went out before a reply.
    pub(crate) pushed: bool,
    /// Whether clients of the pool select databases.
    pub(crate) selects: bool,
}

impl Desk<'_> {
    /// Whether to do again what was noted since the journal had `before` entries.
    fn repeats(&mut self, before: usize) -> bool {
        let repeats = self.twice && self.journal.len() > before;
        self.lied |= repeats;
        repeats
    }
}

impl Peer {
    pub(crate) fn new(id: ConnId, pool: usize, server: usize, stage: Stage) -> Peer {
        Peer {
            id,
            pool,
            server,
            stage,
            inbox: Vec::new(),
            outbox: Vec::new(),
            held: false,
            held_fault: None,
            blocked: false,
            stalled_until: 0,
            waits: false,
            answered: 0,
            broken: false,
            misrouted: false,
            faults: Vec::new(),
            resp3: false,
            side: Side::default(),
            left: 0,
            messages: VecDeque::new(),
            authenticated: false,
            db: 0,
            selected: false,
            served: false,
            refused_early: false,
        }
    }

    /// Has answered all and is owed nothing; such a connection may be closed without any harm.
    pub(crate) fn is_idle(&self, view: &PoolView) -> bool {
        let authenticated = view.redis_auth.is_none() || self.authenticated;
        // Where clients select databases only the proxy knows whether its first words are at their end.
        let greeted = self.selected || self.served || (view.redis_db_fixed && self.db == view.redis_db);
        self.stage == Stage::Up
            && authenticated
            && greeted
            && self.answered > 0
            && self.inbox.is_empty()
            && self.outbox.is_empty()
            && self.side.waits_until.is_none()
            // The proxy reads no end of a connection that it does not read.
            && !self.held
            && !self.broken
    }

    /// Whether it can do something now, without waiting for anybody.
    pub(crate) fn is_busy(&self, now: u64) -> bool {
        match self.stage {
            Stage::Connecting(at, _) => at <= now,
            Stage::Up => self.stalled_until <= now && (self.has_work() || self.waits_until() <= now),
            Stage::Gone => false,
        }
    }

    /// When it will do something by itself.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        match self.stage {
            Stage::Connecting(at, _) => Some(at),
            Stage::Up if self.has_work() => Some(self.stalled_until),
            Stage::Up => Some(self.waits_until().max(self.stalled_until)).filter(|at| *at < u64::MAX),
            Stage::Gone => None,
        }
    }

    fn waits_until(&self) -> u64 {
        self.side.waits_until.unwrap_or(u64::MAX)
    }

    /// Takes what another connection's request has brought.
    pub(crate) fn take_mail(&mut self, mail: Mail) {
        self.outbox.extend_from_slice(&mail.bytes);
        match mail.message {
            Some((id, topic)) => self.messages.push_back((self.left + self.outbox.len(), id, topic)),
            None if mail.news => {}
            None => self.side.waits_until = None,
        }
    }

    /// So many bytes go out; answers the messages that are over with them.
    pub(crate) fn hand_out(&mut self, count: usize) -> (Vec<u8>, Vec<(u32, Topic)>) {
        let bytes = self.outbox.drain(..count).collect();
        self.left += count;
        let out = self.messages.partition_point(|(end, ..)| *end <= self.left);
        (bytes, self.messages.drain(..out).map(|(_, id, topic)| (id, topic)).collect())
    }

    /// Ends a wait whose time is over.
    pub(crate) fn end_wait(&mut self, desk: &mut Desk<'_>) -> Result<(), String> {
        if self.waits_until() <= desk.now {
            self.side.waits_until = None;
            let nil = desk.keyspace.shelf.time_out(self.id, desk.now, desk.ledger)?;
            self.outbox.extend_from_slice(&nil);
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        let waits = self.waits || self.side.waits_until.is_some();
        let works = !self.inbox.is_empty() && !waits && !self.broken;
        works || self.blocked || (!self.outbox.is_empty() && !self.held)
    }

    /// Takes bytes that the proxy wrote.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        self.waits = false;
    }

    /// A fault that lasts as long as the connection.
    fn note(&mut self, desk: &mut Desk<'_>, why: Why) {
        self.faults.push(desk.log.add(self.pool, self.server, why, (desk.now, u64::MAX)));
    }

    /// Works on the next whole request, if there is one.
    pub(crate) fn work(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        if self.broken || self.inbox.is_empty() || self.side.waits_until.is_some() {
            return Ok(false);
        }
        let inbox = std::mem::take(&mut self.inbox);
        let used = match desk.view.protocol {
            Protocol::Redis => self.redis(desk, &inbox)?,
            Protocol::Memcache => self.memcache(desk, &inbox)?,
        };
        self.inbox = inbox[used..].to_vec();
        if used > 0 {
            // What a request changes is said right behind its reply.
            let own = |mail: &mut Mail| mail.news && mail.to == self.id;
            let news: Vec<Mail> = desk.keyspace.shelf.mail.extract_if(.., own).collect();
            news.into_iter().for_each(|mail| self.take_mail(mail));
            return Ok(true);
        }
        self.waits = true;
        let selects = desk.selects && self.may_select();
        let framed = self.may_be_greeted() || self.may_be_framed() || selects || self.may_track();
        let refusable = self.is_past_handshake(desk.view) && !framed;
        if desk.rng.chance(desk.faults.early) && !self.refused_early && refusable {
            self.note(desk, Why::Early);
            self.refused_early = true;
            let code = if desk.view.protocol == Protocol::Redis { "-ERR" } else { "SERVER_ERROR" };
            self.outbox.extend_from_slice(format!("{code} {EARLY}\r\n").as_bytes());
        }
        Ok(false)
    }

    /// Whether the half of a request that is here may be a HELLO's.
    fn may_be_greeted(&self) -> bool {
        let hello: [&[u8]; 2] = [b"*2\r\n$5\r\nHELLO\r\n", b"*5\r\n$5\r\nHELLO\r\n"];
        self.answered == 0
            && hello.iter().any(|hello| hello.starts_with(&self.inbox) || self.inbox.starts_with(hello))
    }

    /// Whether the half of a request that is here may be the begin or end of a transaction: no server refuses those alone.
    fn may_be_framed(&self) -> bool {
        let words: [&[u8]; 3] =
            [b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n", b"*1\r\n$7\r\nUNWATCH\r\n"];
        words.iter().any(|word| word.starts_with(&self.inbox))
    }

    /// The same of a SELECT.
    fn may_select(&self) -> bool {
        let select = b"*2\r\n$6\r\nSELECT\r\n".as_slice();
        select.starts_with(&self.inbox) || self.inbox.starts_with(select)
    }

    /// The same of a CLIENT TRACKING.
    fn may_track(&self) -> bool {
        let mut word = b"*3\r\n$6\r\nCLIENT\r\n".to_vec();
        word[1] = self.inbox.get(1).copied().filter(u8::is_ascii_digit).unwrap_or(b'3');
        word.starts_with(&self.inbox) || self.inbox.starts_with(&word)
    }

    fn is_past_handshake(&self, view: &PoolView) -> bool {
        let there = !view.redis_db_fixed || self.db == view.redis_db;
        (view.redis_auth.is_none() || self.authenticated) && there
    }

    fn redis(&mut self, desk: &mut Desk<'_>, inbox: &[u8]) -> Result<usize, String> {
        let mut args = Args::default();
        let len = match resp::RequestScan::default().scan(inbox, &Limits::default(), &mut args) {
            resp::Scan::Complete { len, inline: false } => len,
            resp::Scan::Partial => return Ok(0),
            other => return Err(format!("the proxy sent {other:?}: {}", inbox.escape_ascii())),
        };
        let view = args.view(&inbox[..len]);
        let command = view.get(0).to_ascii_uppercase();
        if matches!(command.as_slice(), b"HELLO" | b"AUTH" | b"SELECT") {
            self.handshake(desk, &command, &view.iter().skip(1).collect::<Vec<_>>())?;
            return Ok(len);
        }
        if command == b"CLIENT" && view.get(1) == b"TRACKING" {
            self.tracking(desk, &view.iter().skip(2).collect::<Vec<_>>())?;
            return Ok(len);
        }
        let (resp3, db) = (self.resp3, self.db);
        if !self.is_past_handshake(desk.view) {
            return Err(format!("before AUTH or SELECT the proxy sent {}", inbox[..len].escape_ascii()));
        }
        if shelf::is_guests(&command, view.get(1)) || self.side.multi.is_some() {
            let early = self.refused_early;
            let mut side = std::mem::take(&mut self.side);
            let caller = Caller { conn: self.id, resp3, now: desk.now };
            let words = view.iter().map(<[u8]>::to_vec).collect();
            let server = self.server;
            let answered = self.answer(desk, |desk, key, out| {
                desk.keyspace.shelf.run((caller, server), &mut side, words, desk.ledger, key, out)
            });
            self.side = side;
            if let (true, Some(multi)) = (early, &mut self.side.multi) {
                multi.spoilt = true;
            }
            answered?;
            self.served = true;
            return Ok(len);
        }
        self.answer(desk, |desk, key, out| {
            let before = desk.journal.len();
            let own = desk.view.redis_db;
            desk.keyspace.db = (db, own);
            let mut keys = Vec::new();
            let mut key = |name: &[u8]| {
                keys.push(name.to_vec());
                key(name);
            };
            let key = &mut key;
            desk.keyspace.redis(view, resp3, desk.journal, key, out)?;
            if desk.repeats(before) {
                desk.keyspace.redis(view, resp3, desk.journal, key, &mut Vec::new())?;
            }
            keys.iter().for_each(|key| desk.journal.note_database(key, db, own));
            Ok(())
        })?;
        self.served = true;
        Ok(len)
    }

    /// The proxy wants to be told of keys.
    fn tracking(&mut self, desk: &mut Desk<'_>, words: &[&[u8]]) -> Result<(), String> {
        if !self.is_past_handshake(desk.view) || !self.resp3 {
            return Err("the proxy said CLIENT TRACKING before AUTH, HELLO or SELECT".to_string());
        }
        self.answered += 1;
        if words != [b"OFF"] && desk.rng.chance(desk.faults.handshake) {
            let (why, reply) = match words.len() {
                1 => (Why::Cause(Cause::HandshakeRefused), "-WRONGPASS go away\r\n".to_string()),
                _ => (Why::Early, format!("-ERR {EARLY}\r\n")),
            };
            self.note(desk, why);
            self.broken = true;
            self.outbox.extend_from_slice(reply.as_bytes());
            return Ok(());
        }
        desk.keyspace.shelf.told.ask(self.id, words, &mut self.outbox)
    }

    /// Nothing is on its way here or back.
    pub(crate) fn is_at_rest(&self) -> bool {
        let up = self.stage == Stage::Up && !self.held && !self.blocked && !self.broken;
        up && self.inbox.is_empty() && self.outbox.is_empty()
    }

    fn memcache(&mut self, desk: &mut Desk<'_>, inbox: &[u8]) -> Result<usize, String> {
        let mut args = Args::default();
        let request = match memcache::RequestScan::default().scan(inbox, &Limits::default(), &mut args) {
            memcache::Scan::Complete(request) => request,
            memcache::Scan::Partial => return Ok(0),
            other => return Err(format!("the proxy sent {other:?}: {}", inbox.escape_ascii())),
        };
        let view = args.view(&inbox[..request.len]);
        self.answer(desk, |desk, key, out| {
            let before = desk.journal.len();
            desk.keyspace.memcache(&request, view, desk.journal, key, out)?;
            if !desk.repeats(before) {
                return Ok(());
            }
            desk.keyspace.memcache(&request, view, desk.journal, key, &mut Vec::new())
        })?;
        Ok(request.len)
    }

    /// Has the model answer a whole request, unless a fault is due.
    fn answer(
        &mut self,
        desk: &mut Desk<'_>,
        model: impl FnOnce(&mut Desk<'_>, &mut dyn FnMut(&[u8]), &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.answered += 1;
        if std::mem::take(&mut self.refused_early) {
            return Ok(());
        }
        if desk.rng.chance(desk.faults.garbage) {
            self.note(desk, Why::Cause(Cause::InvalidReply));
            self.broken = true;
            let garbage: &[&[u8]] = match desk.view.protocol {
                Protocol::Redis => &[
                    b"$x\r\n",
                    b"*1\r\n?\r\n",
                    b"$3\r\nabcdef",
                    b"hello\r\n",
                    b"_x\r\n",
                    b"$?\r\n",
                    b"#y\r\n",
                ],
                Protocol::Memcache => {
                    &[b"\n", b"VALUE k\r\n", b"VALUE k 0 1\r\nabcd", b"VALUE k 0 1\r\na\r\nOK\r\n"]
                }
            };
            let garbage = garbage[desk.rng.below(garbage.len())];
            self.outbox.extend_from_slice(garbage);
            return Ok(());
        }
        let mut misplaced = None;
        let (view, loose, own) = (desk.view, desk.loose, self.server as u32);
        let mut named = false;
        let mut key = |key: &[u8]| {
            named = true;
            if !loose && view.placement.server(key, || 0) != Some(own) {
                misplaced = Some(key.escape_ascii().to_string());
            }
        };
        let mut reply = Vec::new();
        model(desk, &mut key, &mut reply)?;
        // Without a key it tells by its page of names who it is.
        named |= reply.ends_with(format!("@{own}\r\n").as_bytes());
        desk.lied |= self.misrouted && named;
        if let Some(key) = misplaced {
            return Err(format!("server {own} was asked for {key}, which is another's"));
        }
        if reply.is_empty() {
            // It waits.
            return Ok(());
        }
        if desk.rng.chance(desk.faults.wrong) {
            self.note(desk, Why::Wrong);
            let choices = wrong(desk.view.protocol, self.resp3);
            reply = choices[desk.rng.below(choices.len())].to_vec();
        }
        if self.resp3 && desk.rng.chance(desk.faults.push) {
            self.outbox.extend_from_slice(PUSH);
            desk.pushed = true;
        }
        self.outbox.extend_from_slice(&reply);
        Ok(())
    }

    fn handshake(&mut self, desk: &mut Desk<'_>, command: &[u8], words: &[&[u8]]) -> Result<(), String> {
        if self.answered >= 2 && !desk.selects {
            return Err("the proxy said HELLO, AUTH or SELECT behind requests".to_string());
        }
        let password = desk.view.redis_auth.is_some();
        let right = match command {
            b"HELLO" if password => words == [b"3".as_slice(), b"AUTH", b"default", PASSWORD.as_bytes()],
            b"HELLO" => words == [b"3"],
            b"AUTH" => words == [PASSWORD.as_bytes()] && password && !self.resp3,
            _ if desk.selects => self.authenticated || !password,
            _ => words == [desk.view.redis_db.to_string().as_bytes()] && (self.authenticated || !password),
        };
        let first = command == b"SELECT" || self.answered == 0;
        if !right || !first {
            let words = words.join(&b' ');
            return Err(format!("the proxy said {} {}", command.escape_ascii(), words.escape_ascii()));
        }
        self.answered += 1;
        let asked: u32 = words.first().and_then(|word| text(word).parse().ok()).unwrap_or(u32::MAX);
        let is_other = command == b"SELECT" && asked != desk.view.redis_db;
        if command == b"SELECT" && asked >= DATABASES {
            self.outbox.extend_from_slice(b"-ERR DB index is out of range\r\n");
            return Ok(());
        }
        if !is_other && desk.rng.chance(desk.faults.handshake) {
            self.note(desk, Why::Cause(Cause::HandshakeRefused));
            self.broken = true;
            // An old server does not know HELLO, or not this version.
            let refusals: &[&[u8]] = match command {
                b"HELLO" => &[b"-NOPROTO unsupported protocol version", b"-ERR unknown command 'HELLO'"],
                _ => &[b"-WRONGPASS go away"],
            };
            self.outbox.extend_from_slice(refusals[desk.rng.below(refusals.len())]);
            self.outbox.extend_from_slice(b"\r\n");
            return Ok(());
        }
        match command {
            b"HELLO" => {
                (self.resp3, self.authenticated) = (true, password);
                self.outbox.extend_from_slice(b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n");
                if desk.rng.chance(desk.faults.push) {
                    self.outbox.extend_from_slice(PUSH);
                }
                return Ok(());
            }
            b"AUTH" => self.authenticated = true,
            _ => (self.db, self.selected) = (asked, true),
        }
        self.outbox.extend_from_slice(b"+OK\r\n");
        Ok(())
    }
}
