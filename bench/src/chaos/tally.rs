//! What clients of one pool saw during one fault.

use crate::chaos::SERVERS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Counts while a fault lasts and heals.
#[derive(Debug)]
pub(crate) struct Tally {
    faulty: Option<usize>,
    requests: u64,
    errors: BTreeMap<String, u64>,
    elsewhere: u64,
    closed: u64,
    hung: u64,
    wrong: Vec<String>,
    wrong_count: u64,
    suspects: Vec<(usize, String)>,
    /// Since when each server's keys are without service.
    since: [Instant; SERVERS],
    gap: [Duration; SERVERS],
    failed_at: Option<Instant>,
    /// The first answer per server since the fault was healed.
    healed: Option<Instant>,
    back: [Option<Instant>; SERVERS],
}

impl Tally {
    /// Begins to count; `faulty` is the server that is about to fail.
    pub(crate) fn new(faulty: Option<usize>, now: Instant) -> Self {
        Self {
            faulty,
            requests: 0,
            errors: BTreeMap::new(),
            elsewhere: 0,
            closed: 0,
            hung: 0,
            wrong: Vec::new(),
            wrong_count: 0,
            suspects: Vec::new(),
            since: [now; SERVERS],
            gap: [Duration::ZERO; SERVERS],
            failed_at: None,
            healed: None,
            back: [None; SERVERS],
        }
    }

    /// A request with keys of these servers was answered.
    pub(crate) fn right(&mut self, servers: [bool; SERVERS], now: Instant) {
        self.requests += 1;
        for server in (0..SERVERS).filter(|&server| servers[server]) {
            self.gap[server] = self.gap[server].max(now - self.since[server]);
            self.since[server] = now;
            if self.healed.is_some() {
                self.back[server].get_or_insert(now);
            }
        }
    }

    /// One failed, and its client was told so.
    pub(crate) fn failed(&mut self, servers: [bool; SERVERS], text: &str, now: Instant) {
        self.requests += 1;
        self.elsewhere += u64::from(!self.faulty.is_some_and(|faulty| servers[faulty]));
        self.error(text, now);
    }

    /// Something else failed.
    pub(crate) fn error(&mut self, text: &str, now: Instant) {
        let text: String = text.chars().take(ERROR_CHARS).collect();
        *self.errors.entry(text).or_default() += 1;
        self.failed_at = Some(now);
    }

    /// The proxy closed a client's connection.
    pub(crate) fn closed(&mut self, now: Instant) {
        self.closed += 1;
        self.failed_at = Some(now);
    }

    /// A client gave up waiting.
    pub(crate) fn hung(&mut self, now: Instant) {
        self.hung += 1;
        self.failed_at = Some(now);
    }

    /// A reply is wrong.
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong_count += 1;
        if self.wrong.len() < WRONG_SHOWN {
            self.wrong.push(what);
        }
    }

    /// A reply is wrong unless this server's keys were elsewhere in between.
    pub(crate) fn suspect(&mut self, server: usize, what: String) {
        self.suspects.push((server, what));
    }

    /// The fault is over.
    pub(crate) fn heal(&mut self, now: Instant) {
        self.healed = Some(now);
    }

    /// When everything was last found in service, if nothing failed in the last `quiet`.
    pub(crate) fn served_since(&self, now: Instant, quiet: Duration) -> Option<Instant> {
        let first = self.back.iter().try_fold(self.healed?, |latest, back| Some(latest.max((*back)?)))?;
        let last = self.failed_at.map_or(first, |failed| failed.max(first));
        (now - last >= quiet).then_some(last)
    }

    /// Ends the count. `moved[server]`: its keys were elsewhere in between; `back`: when all was well again.
    pub(crate) fn end(mut self, moved: [bool; SERVERS], back: Option<Instant>, now: Instant) -> Outcome {
        for (server, what) in std::mem::take(&mut self.suspects) {
            if !moved[server] {
                self.wrong(what);
            }
        }
        let gap = |server: usize| self.gap[server].max(now - self.since[server]).as_millis() as u64;
        let others = (0..SERVERS).filter(|&server| self.faulty != Some(server));
        Outcome {
            requests: self.requests,
            errors: self.errors,
            errors_elsewhere: self.elsewhere,
            closed: self.closed,
            hung: self.hung,
            wrong: self.wrong_count,
            wrong_shown: self.wrong,
            gap_ms: self.faulty.map(gap),
            gap_elsewhere_ms: others.map(gap).max().unwrap_or(0),
            back_ms: back.zip(self.healed).map(|(back, healed)| (back - healed).as_millis() as u64),
        }
    }
}

/// What one fault did to one pool's clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Replies, errors among them.
    pub(crate) requests: u64,
    /// Error replies and failed connects by their text.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Error replies to requests that had nothing to do with the faulty server.
    pub(crate) errors_elsewhere: u64,
    /// Connections of clients that the proxy closed.
    pub(crate) closed: u64,
    /// Requests without a reply for `HUNG`.
    pub(crate) hung: u64,
    /// Wrong replies.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) wrong_shown: Vec<String>,
    /// The longest time without an answer for the faulty server's keys.
    pub(crate) gap_ms: Option<u64>,
    /// The same for any other server's.
    pub(crate) gap_elsewhere_ms: u64,
    /// From the end of the fault until all was well; nothing when it did not become so.
    pub(crate) back_ms: Option<u64>,
}

impl Outcome {
    /// All errors.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Two pools together.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
        self.errors_elsewhere += other.errors_elsewhere;
        self.closed += other.closed;
        self.hung += other.hung;
        self.wrong += other.wrong;
        self.wrong_shown.extend(other.wrong_shown.iter().cloned());
        self.gap_ms = self.gap_ms.max(other.gap_ms);
        self.gap_elsewhere_ms = self.gap_elsewhere_ms.max(other.gap_elsewhere_ms);
        self.back_ms = self.back_ms.zip(other.back_ms).map(|(one, two)| one.max(two));
        self
    }
}

/// Of an error's text.
const ERROR_CHARS: usize = 100;
/// Wrong replies that are shown.
const WRONG_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_return() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut tally = Tally::new(Some(1), start);
        let all = [true; SERVERS];
        let (one, others) = ([false, true, false, false], [true, false, true, true]);
        tally.right(all, at(10));
        tally.failed(one, "-ERR x", at(20));
        tally.right(others, at(50));
        tally.heal(at(200));
        assert_eq!(tally.served_since(at(900), Duration::from_millis(100)), None);
        tally.right(all, at(300));
        tally.failed(others, "-ERR x", at(400));
        assert_eq!(tally.served_since(at(450), Duration::from_millis(100)), None, "not quiet yet");
        let back = tally.served_since(at(500), Duration::from_millis(100));
        assert_eq!(back, Some(at(400)));
        tally.suspect(2, "moved".to_owned());
        tally.suspect(3, "stale".to_owned());
        let outcome = tally.end([false, false, true, false], back, at(420));
        assert_eq!((outcome.requests, outcome.error_count(), outcome.errors_elsewhere), (5, 2, 1));
        assert_eq!((outcome.gap_ms, outcome.gap_elsewhere_ms, outcome.back_ms), (Some(290), 250, Some(200)));
        assert_eq!((outcome.wrong, outcome.wrong_shown), (1, vec!["stale".to_owned()]));
    }
}
