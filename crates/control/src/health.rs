//! What the process believes of a server: failures counted over all workers, being down, ejection, probes and
//! return.
//!
//! ```text
//!               failure                    failures reach the limit
//!   well ────────────────► suspected ─────────────────────────────────► ejected (auto_eject_hosts)
//!    ▲  ▲                   │     │ refuses or hangs                        │
//!    │  └──── any reply ────┘     ▼                                         │
//!    │                           down ─── probes, more and more seldom ─────┤
//!    └──────────────────────── a probe is answered ◄────────────────────────┘
//! ```
//! A plain state machine: time and chance come in, decisions come out. Differs from twemproxy in that clients'
//! requests never find out whether a server is back: a probe on a connection of its own does.

use engine::error::Cause;
use std::time::{Duration, Instant};

/// How a pool wants its servers judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether failing servers are taken out (`auto_eject_hosts`).
    pub(crate) ejects: bool,
    /// Failures in a row that eject (`server_failure_limit`).
    pub(crate) failure_limit: u32,
    /// How long an ejected server stays out at least (`server_retry_timeout`).
    pub(crate) retry_after: Duration,
}

/// One server's standing.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: u32,
    /// The first of the connections that broke together.
    broke_at: Option<Instant>,
    down: Option<Cause>,
    ejected: bool,
    probe: Probe,
    /// Probes since the last answer: each waits longer than the one before.
    attempts: u32,
}

#[derive(Debug, Default, PartialEq)]
enum Probe {
    #[default]
    None,
    At(Instant),
    UnderWay,
}

/// What follows from something that happened to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is now known to be down, for this reason.
    pub(crate) down: Option<Cause>,
    /// It is to be taken out.
    pub(crate) eject: bool,
    /// It answers again: up, and in.
    pub(crate) recovered: bool,
}

/// Connections that break within this time of the first broke together and are one failure.
const TOGETHER: Duration = Duration::from_millis(100);

/// The first probe of a server that is down, and the longest wait between two.
const FIRST_PROBE: Duration = Duration::from_millis(50);
const SLOWEST_PROBE: Duration = Duration::from_millis(500);

impl Health {
    /// A worker saw the server fail. `room`: whether the pool may lose one more server; `chance` is in 0..1.
    pub(crate) fn failed(
        &mut self,
        failure: Failure,
        rules: Rules,
        room: bool,
        now: Instant,
        chance: f64,
    ) -> Verdict {
        let broke = matches!(failure.cause, Cause::Closed | Cause::Reset | Cause::BrokenPipe);
        let together = broke && self.broke_at.is_some_and(|first| now.duration_since(first) < TOGETHER);
        if broke && !together {
            self.broke_at = Some(now);
        }
        let mut verdict = Verdict::default();
        if failure.down && self.down.is_none() {
            self.down = Some(failure.cause);
            verdict.down = self.down;
            if self.probe == Probe::None {
                self.attempts = 0;
                self.probe = Probe::At(now + self.wait(rules, chance));
            }
        }
        if !together {
            verdict.eject = self.count(rules, room, now, chance);
        }
        verdict
    }

    /// One failure more; answers whether it ejects.
    fn count(&mut self, rules: Rules, room: bool, now: Instant, chance: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        if !rules.ejects || self.ejected || self.failures < rules.failure_limit.max(1) || !room {
            return false;
        }
        self.ejected = true;
        self.attempts = 0;
        if self.probe != Probe::UnderWay {
            self.probe = Probe::At(now + self.wait(rules, chance));
        }
        true
    }

    /// It answered a request.
    pub(crate) fn answered(&mut self) {
        if !self.ejected {
            self.failures = 0;
        }
    }

    /// It must not serve yet although it answers: it is out, and probed again later.
    pub(crate) fn put_out(&mut self, rules: Rules, now: Instant, chance: f64) {
        self.ejected = true;
        self.attempts = 0;
        if self.probe != Probe::UnderWay {
            self.probe = Probe::At(now + self.wait(rules, chance));
        }
    }

    /// Whether a probe is due; from then on one is under way.
    pub(crate) fn probe_due(&mut self, now: Instant) -> bool {
        let due = matches!(self.probe, Probe::At(at) if at <= now);
        if due {
            self.probe = Probe::UnderWay;
        }
        due
    }

    /// A probe ended.
    pub(crate) fn probed(
        &mut self,
        answered: bool,
        rules: Rules,
        room: bool,
        now: Instant,
        chance: f64,
    ) -> Verdict {
        if answered {
            let recovered = self.ejected || self.down.is_some();
            *self = Health::default();
            return Verdict { recovered, ..Verdict::default() };
        }
        self.attempts = self.attempts.saturating_add(1);
        self.probe = Probe::None;
        let eject = self.count(rules, room, now, chance);
        if self.probe == Probe::None {
            self.probe = Probe::At(now + self.wait(rules, chance));
        }
        Verdict { eject, ..Verdict::default() }
    }

    /// A probe could not be made; another is, as if this one had never been due.
    pub(crate) fn not_probed(&mut self, rules: Rules, now: Instant, chance: f64) {
        self.probe = Probe::At(now + self.wait(rules, chance));
    }

    /// How long until the next probe: for an ejected server its retry timeout; for one that is merely down a
    /// short time that doubles. A quarter of it is left to chance, so that proxies do not knock together.
    fn wait(&self, rules: Rules, chance: f64) -> Duration {
        let wait = if self.ejected {
            rules.retry_after
        } else {
            FIRST_PROBE.saturating_mul(1 << self.attempts.min(10)).min(SLOWEST_PROBE)
        };
        wait.mul_f64(1.0 + chance / 4.0)
    }

    /// In a word, for people.
    pub(crate) fn word(&self) -> &'static str {
        match (self.ejected, self.down) {
            (true, _) => "ejected",
            (false, Some(_)) => "down",
            (false, None) if self.failures > 0 => "failing",
            (false, None) => "up",
        }
    }

    /// Whether it is known to refuse or to hang.
    pub(crate) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Whether it takes keys.
    pub(crate) fn is_in(&self) -> bool {
        !self.ejected
    }
}

/// What a worker reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// How it failed.
    pub(crate) cause: Cause,
    /// Whether it refuses or hangs.
    pub(crate) down: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { ejects: true, failure_limit: 2, retry_after: Duration::from_secs(30) };
    const REFUSED: Failure = Failure { cause: Cause::Refused, down: true };
    const RESET: Failure = Failure { cause: Cause::Reset, down: false };

    #[test]
    fn failures_in_a_row_eject_and_a_reply_between_forgives() {
        let now = Instant::now();
        let mut health = Health::default();
        let slow = Failure { cause: Cause::TimedOut, down: false };
        assert!(!health.failed(slow, RULES, true, now, 0.0).eject);
        health.answered();
        assert!(!health.failed(slow, RULES, true, now, 0.0).eject);
        assert!(health.failed(slow, RULES, true, now, 0.0).eject);
        assert!(!health.is_in());
        assert!(!health.failed(slow, RULES, true, now, 0.0).eject, "what still fails of it is old news");
    }

    #[test]
    fn connections_that_break_together_are_one_failure() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..10 {
            assert!(!health.failed(RESET, RULES, true, now, 0.0).eject);
        }
        assert!(health.failed(RESET, RULES, true, now + TOGETHER * 2, 0.0).eject);
    }

    #[test]
    fn a_server_that_closes_every_connection_is_ejected_however_often_it_does() {
        let now = Instant::now();
        let mut health = Health::default();
        let after = |ms| now + Duration::from_millis(ms);
        let ejected = (0..200).find(|&ms| health.failed(RESET, RULES, true, after(ms), 0.0).eject);
        assert_eq!(ejected, Some(TOGETHER.as_millis() as u64));
    }

    #[test]
    fn a_server_that_is_down_is_told_once_and_probed_more_and_more_seldom() {
        let mut now = Instant::now();
        let mut health = Health::default();
        let rules = Rules { ejects: false, ..RULES };
        assert_eq!(health.failed(REFUSED, rules, true, now, 0.0).down, Some(Cause::Refused));
        assert_eq!(health.failed(REFUSED, rules, true, now, 0.0).down, None);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let begin = now;
            while !health.probe_due(now) {
                now += Duration::from_millis(10);
            }
            assert!(!health.probe_due(now), "one probe at a time");
            waits.push(now - begin);
            health.probed(false, rules, true, now, 0.0);
        }
        assert!(waits.is_sorted());
        assert_eq!(waits[0], FIRST_PROBE);
        assert!(*waits.last().unwrap() <= SLOWEST_PROBE + Duration::from_millis(10));
        now += SLOWEST_PROBE * 2;
        assert!(health.probe_due(now));
        assert!(health.probed(true, rules, true, now, 0.0).recovered);
        assert!(health.is_in());
    }

    #[test]
    fn failed_probes_count_and_an_ejected_server_waits_its_retry_timeout() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(!health.failed(REFUSED, RULES, true, now, 0.0).eject);
        assert!(health.probe_due(now + FIRST_PROBE));
        assert!(health.probed(false, RULES, true, now, 0.0).eject);
        assert!(!health.probe_due(now + RULES.retry_after - Duration::from_millis(1)));
        assert!(health.probe_due(now + RULES.retry_after));
        assert!(health.probed(true, RULES, true, now, 0.0).recovered);
    }

    #[test]
    fn chance_only_ever_adds_a_quarter() {
        let now = Instant::now();
        let mut health = Health::default();
        health.failed(REFUSED, RULES, false, now, 0.999);
        assert!(!health.probe_due(now + FIRST_PROBE));
        assert!(health.probe_due(now + FIRST_PROBE * 5 / 4));
    }

    #[test]
    fn a_pool_that_may_lose_no_more_servers_keeps_it_in() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..5 {
            assert!(!health.failed(REFUSED, RULES, false, now, 0.0).eject);
        }
        assert!(health.is_in());
    }

    #[test]
    fn a_limit_of_zero_behaves_as_one() {
        let rules = Rules { failure_limit: 0, ..RULES };
        assert!(Health::default().failed(REFUSED, rules, true, Instant::now(), 0.0).eject);
    }
}
