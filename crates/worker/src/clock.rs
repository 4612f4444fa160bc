//! The time of ticks: one look at the steady clock each, and now and then one at the wall clock.

use engine::Now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock is looked at this often; in between it goes as the steady clock does.
const WALL_LOOK_US: u64 = 1_000_000;

/// Tells each tick its time.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The origin of [`Now::mono_us`].
    epoch: Instant,
    now: Now,
    /// When to look at the wall clock next.
    look_us: u64,
}

impl Clock {
    pub(crate) fn new(epoch: Instant) -> Clock {
        Clock { epoch, now: Now::default(), look_us: 0 }
    }

    /// Begins a tick.
    #[inline]
    pub(crate) fn tick(&mut self) -> Now {
        let mono_us = micros(self.epoch.elapsed());
        if mono_us < self.look_us {
            self.now.unix_us += mono_us - self.now.mono_us;
        } else {
            self.now.unix_us = wall_us();
            self.look_us = mono_us + WALL_LOOK_US;
        }
        self.now.mono_us = mono_us;
        self.now
    }

    /// How long it is from the beginning of this tick to `at_us`.
    #[inline]
    pub(crate) fn until(&self, at_us: u64) -> Duration {
        Duration::from_micros(at_us.saturating_sub(self.now.mono_us))
    }
}

#[cold]
fn wall_us() -> u64 {
    // A clock before 1970 makes TIME wrong and nothing else.
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Of half a million years at most.
#[inline]
fn micros(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(time.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_followed_between_two_looks() {
        let mut clock = Clock::new(Instant::now());
        let first = clock.tick();
        assert!(first.unix_us.abs_diff(wall_us()) < 10_000_000);
        // As if it had been set back since: the next look is not due.
        clock.now.unix_us = 1_000;
        let (before, now) = (clock.now.mono_us, clock.tick());
        assert_eq!(now.unix_us, 1_000 + (now.mono_us - before));
        clock.look_us = 0;
        assert!(clock.tick().unix_us >= first.unix_us);
        assert_eq!(clock.until(clock.now.mono_us + 5), Duration::from_micros(5));
        assert_eq!(clock.until(0), Duration::ZERO);
    }
}
