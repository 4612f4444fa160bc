//! When a client may start its next batch of requests: at once (closed loop), or as a fixed schedule says (open
//! loop). In the open loop a batch's latency counts from when it was meant to start, however late the proxy's
//! slowness lets it start: leaving that wait out is what makes a stalled proxy look quick.

use std::time::{Duration, Instant};

/// Equally spaced starts, from `start` on.
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    /// Batches started so far, and so the number of the next one.
    next: u64,
    requests_per_batch: u64,
    /// Requests per second.
    rate: u64,
}

impl Schedule {
    /// `rate` requests per second (at least 1) in batches of `requests_per_batch`.
    pub(crate) fn new(start: Instant, rate: u64, requests_per_batch: u32) -> Self {
        Self { start, next: 0, requests_per_batch: requests_per_batch.into(), rate: rate.max(1) }
    }

    /// When the next batch is meant to start.
    pub(crate) fn next_at(&self) -> Instant {
        // Counted from the start each time, so that rounding does not add up.
        let nanos = u128::from(self.next) * u128::from(self.requests_per_batch) * 1_000_000_000;
        self.start + Duration::from_nanos((nanos / u128::from(self.rate)) as u64)
    }

    /// The time between two batches.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.requests_per_batch.saturating_mul(1_000_000_000) / self.rate)
    }
}

/// How batches start, and until when.
#[derive(Debug)]
pub(crate) enum Pace {
    /// As soon as a client has all its replies.
    Closed {
        /// No batch starts from here on.
        until: Instant,
    },
    /// As scheduled; what is late starts as soon as a client is free.
    Open {
        /// The intended times.
        schedule: Schedule,
        /// No batch is meant to start from here on.
        until: Instant,
    },
}

impl Pace {
    /// The moment a batch that may start now counts from; `None` while none may.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Pace::Closed { until } => (now < *until).then_some(now),
            Pace::Open { schedule, until } => {
                let at = schedule.next_at();
                (at <= now && at < *until && now < *until + GRACE).then(|| {
                    schedule.next += 1;
                    at
                })
            }
        }
    }

    /// Whether every batch of the run has started. An overloaded open loop is given `GRACE` to catch up.
    pub(crate) fn finished(&self, now: Instant) -> bool {
        match self {
            Pace::Closed { until } => now >= *until,
            Pace::Open { schedule, until } => schedule.next_at() >= *until || now >= *until + GRACE,
        }
    }

    /// The intended times of the batches that never started because all clients were busy.
    pub(crate) fn left_over(mut self) -> Vec<Instant> {
        match &mut self {
            Pace::Closed { .. } => Vec::new(),
            Pace::Open { until, .. } => {
                let end = *until;
                std::iter::from_fn(|| self.take(end)).collect()
            }
        }
    }
}

/// How long after its end an open loop may go on sending what is overdue.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_loop_starts_now_until_the_end() {
        let start = Instant::now();
        let mut pace = Pace::Closed { until: start + Duration::from_secs(1) };
        let later = start + Duration::from_millis(999);
        assert_eq!(pace.take(later), Some(later));
        assert!(!pace.finished(later));
        assert_eq!(pace.take(start + Duration::from_secs(1)), None);
        assert!(pace.finished(start + Duration::from_secs(1)));
        assert!(pace.left_over().is_empty());
    }

    #[test]
    fn open_loop_keeps_the_intended_times() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        // 4,000 requests a second by 16: a batch every 4 ms.
        let schedule = Schedule::new(start, 4_000, 16);
        assert_eq!(schedule.interval(), Duration::from_millis(4));
        let mut pace = Pace::Open { schedule, until: ms(14) };
        assert_eq!(pace.take(start), Some(ms(0)));
        assert_eq!(pace.take(ms(3)), None);
        // Ten milliseconds late, and still counted from when it was meant.
        assert_eq!(pace.take(ms(14)), Some(ms(4)));
        assert!(!pace.finished(ms(14)));
        // A second after the end it gives up.
        assert!(pace.finished(ms(14) + GRACE));
        assert_eq!(pace.take(ms(14) + GRACE), None);
        assert_eq!(pace.left_over(), [ms(8), ms(12)]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 3, 1);
        schedule.next = 3_000_000;
        assert_eq!(schedule.next_at(), start + Duration::from_secs(1_000_000));
    }
}
