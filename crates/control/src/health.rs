//! Which servers are in: failures counted over all workers, ejection, and return after a probe.
//!
//! ```text
//!   In(failures) --failure, limit reached--> Out(until) --time, probe answered--> In(0)
//!        ^--any reply: 0                        ^--time, probe failed--'
//! ```
//! A plain state machine: time comes in, decisions come out. Differs from twemproxy in that an ejected server
//! must answer a probe before clients' requests reach it again.

use std::time::{Duration, Instant};

/// When a server is judged to have failed for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Failures in a row that eject (`server_failure_limit`).
    pub(crate) failure_limit: u32,
    /// How long it stays out at least (`server_retry_timeout`).
    pub(crate) retry_after: Duration,
}

/// One server's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It takes keys; so many failures since its last reply.
    In(u32),
    /// It takes none until a probe after this time is answered.
    Out(Instant),
    /// A probe is under way.
    Probing,
}

impl Health {
    /// A server failed once; answers whether it goes out now.
    pub(crate) fn failed(&mut self, rules: Rules, now: Instant) -> bool {
        let Health::In(failures) = self else { return false };
        *failures += 1;
        if *failures < rules.failure_limit.max(1) {
            return false;
        }
        *self = Health::Out(now + rules.retry_after);
        true
    }

    /// It answered a request.
    pub(crate) fn answered(&mut self) {
        if let Health::In(failures) = self {
            *failures = 0;
        }
    }

    /// Whether a probe is due; from then on one is under way.
    pub(crate) fn probe_due(&mut self, now: Instant) -> bool {
        let due = matches!(self, Health::Out(until) if *until <= now);
        if due {
            *self = Health::Probing;
        }
        due
    }

    /// A probe ended; answers whether the server is in again.
    pub(crate) fn probed(&mut self, answered: bool, rules: Rules, now: Instant) -> bool {
        if *self != Health::Probing {
            return false;
        }
        *self = if answered { Health::In(0) } else { Health::Out(now + rules.retry_after) };
        answered
    }

    /// Whether it takes keys.
    pub(crate) fn is_in(&self) -> bool {
        matches!(self, Health::In(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { failure_limit: 2, retry_after: Duration::from_secs(30) };

    #[test]
    fn failures_in_a_row_eject_and_a_reply_between_forgives() {
        let now = Instant::now();
        let mut health = Health::In(0);
        assert!(!health.failed(RULES, now));
        health.answered();
        assert!(!health.failed(RULES, now));
        assert!(health.failed(RULES, now));
        assert!(!health.is_in());
        assert!(!health.failed(RULES, now), "what still fails of it is old news");
    }

    #[test]
    fn it_returns_by_a_probe_and_by_nothing_else() {
        let now = Instant::now();
        let later = now + RULES.retry_after;
        let mut health = Health::Out(later);
        health.answered();
        assert!(!health.is_in());
        assert!(!health.probe_due(now));
        assert!(health.probe_due(later));
        assert!(!health.probe_due(later), "one probe at a time");
        assert!(!health.probed(false, RULES, later));
        assert!(!health.probe_due(later));
        assert!(health.probe_due(later + RULES.retry_after));
        assert!(health.probed(true, RULES, later));
        assert!(health.is_in());
    }

    #[test]
    fn a_limit_of_zero_behaves_as_one() {
        let rules = Rules { failure_limit: 0, ..RULES };
        assert!(Health::In(0).failed(rules, Instant::now()));
    }
}
