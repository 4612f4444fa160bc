//! How long a server may take to answer, judged by how long it has taken (`timeout: auto`).
//!
//! ```text
//!                        look, once a second
//!   latencies so far ──────────────────────────► 4 × the larger of  99.9% over the last 10 to 20 s, at least 1000
//!   (all workers, what timed out included)                          50% since the last look, at least 20
//!                                                 within min..max; up at once, down by half a look at the most
//! ```
//! A timeout must not cut off the tail that it is measured by: a request that timed out counts as one that took as
//! long as it waited. So while more than 0.1% time out the figure is at least four times what it was, until it
//! reaches over them or is at its maximum; and where fewer do it does not depend on itself. The median is there for a
//! server that gets slower altogether: with clients that wait for their replies it is asked so little then that the
//! long look would need many seconds to notice. While a server is held for down it is not learned from: what
//! fails then tells of the outage.
//!
//! A plain state machine: counts and time come in, the timeout comes out.

use stats::Distribution;
use std::time::{Duration, Instant};

/// Between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The tail that the timeout follows, and its distance from it: room for what is slow by chance.
const TAIL: f64 = 0.999;
const FACTOR: u64 = 4;

/// As many latencies as a 99.9th percentile takes; fewer say nothing.
const ENOUGH: u64 = 1000;

/// As many latencies as a median takes.
const ENOUGH_LATELY: u64 = 20;

/// What is older than twice this is forgotten, unless it is needed to have [`ENOUGH`].
const PERIOD: Duration = Duration::from_secs(10);

/// The timeout of one server.
#[derive(Debug)]
pub(crate) struct Follower {
    min_us: u64,
    max_us: u64,
    /// What workers were told.
    told_us: u64,
    /// What had been counted when the period before the current one began.
    older: Distribution,
    /// What had been counted when the current period began, and when that was.
    newer: (Distribution, Instant),
    /// What had been counted at the last look.
    last: Distribution,
}

impl Follower {
    /// Nothing is known yet: the maximum.
    pub(crate) fn new(min: Duration, max: Duration, now: Instant) -> Follower {
        let max_us = micros(max);
        Follower {
            min_us: micros(min),
            max_us,
            told_us: max_us,
            older: Distribution::default(),
            newer: (Distribution::default(), now),
            last: Distribution::default(),
        }
    }

    /// `counted` is all that was ever recorded of the server; `down`: it was held for down ever since the last look.
    /// Answers the timeout in microseconds if workers are to be told of another.
    pub(crate) fn look(&mut self, counted: Distribution, down: bool, now: Instant) -> Option<u64> {
        let lately = counted.since(&self.last);
        self.last = counted;
        if down {
            self.older.add(&lately);
            self.newer.0.add(&lately);
            return None;
        }
        let wanted = self.wanted(&lately);
        let (begin, begun) = &self.newer;
        if now.duration_since(*begun) >= PERIOD && self.last.since(begin).count() >= ENOUGH {
            let begin = std::mem::replace(&mut self.newer, (self.last.clone(), now));
            self.older = begin.0;
        }
        let wanted = wanted?.max(self.told_us / 2).clamp(self.min_us, self.max_us);
        // Less than a tenth is not worth a message.
        if wanted.abs_diff(self.told_us) <= self.told_us / 10 {
            return None;
        }
        self.told_us = wanted;
        Some(wanted)
    }

    fn wanted(&self, lately: &Distribution) -> Option<u64> {
        let known = self.last.since(&self.older);
        if known.count() < ENOUGH {
            return None;
        }
        let tail = known.quantile_us(TAIL)?;
        let half = lately.quantile_us(0.5).filter(|_| lately.count() >= ENOUGH_LATELY).unwrap_or(0);
        Some(tail.max(half).saturating_mul(FACTOR))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
