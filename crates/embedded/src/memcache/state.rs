//! What all clients of a memcached server share: items within a bound, and counters.

use std::time::Instant;

use crate::keyspace::{Keyspace, Stored};
use crate::options::Options;

/// One value with what memcached keeps beside it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) flags: u64,
    pub(crate) cas: u64,
    pub(crate) data: Vec<u8>,
}

impl Stored for Item {
    fn bytes(&self) -> usize {
        self.data.len()
    }
}

/// The store of one server. Call [`State::tick`] before looking at it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) items: Keyspace<Item>,
    pub(crate) options: Options,
    pub(crate) started: Instant,
    pub(crate) clients: usize,
    pub(crate) counters: Counters,
    now: u64,
    cas_last: u64,
    /// When everything goes, in milliseconds since 1970.
    flush_at: Option<u64>,
}

/// What `stats` shows beside sizes.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) gets: u64,
    pub(crate) hits: u64,
    pub(crate) sets: u64,
    pub(crate) touches: u64,
    pub(crate) flushes: u64,
    pub(crate) items: u64,
    pub(crate) evictions: u64,
}

impl State {
    pub(crate) fn new(options: Options) -> State {
        State {
            items: Keyspace::new(),
            options,
            started: Instant::now(),
            clients: 0,
            counters: Counters::default(),
            now: 0,
            cas_last: 0,
            flush_at: None,
        }
    }

    /// Lets time pass: whatever is due by now is gone after.
    pub(crate) fn tick(&mut self, now: u64) {
        self.now = now;
        if self.flush_at.is_some_and(|at| at <= now) {
            self.items.clear();
            self.flush_at = None;
        }
        self.items.expire(now);
    }

    /// Forgets everything after so many seconds, also what is set until then; at once for 0 and below.
    pub(crate) fn flush_in(&mut self, seconds: i64) {
        self.counters.flushes += 1;
        self.flush_at = Some(self.after(seconds));
        self.tick(self.now);
    }

    /// When an item with this expiry time goes: never for 0, at once below, a number of seconds up to 30
    /// days, and seconds since 1970 above that.
    pub(crate) fn expiry(&self, exptime: i64) -> Option<u64> {
        match exptime {
            0 => None,
            1..=MONTH_SECONDS => Some(self.after(exptime)),
            _ => Some(u64::try_from(exptime).unwrap_or(0).saturating_mul(1000)),
        }
    }

    /// Stores an item as the newest one, makes room for it, and gives it a new cas number.
    pub(crate) fn store(&mut self, key: &[u8], flags: u64, data: Vec<u8>, expires: Option<u64>) {
        // Taken out first: an item that is set anew is a new one.
        self.items.take(key);
        while self.items.bytes() > self.options.bytes_max && self.items.evict() {
            self.counters.evictions += 1;
        }
        let cas = self.next_cas();
        self.counters.items += 1;
        self.items.insert(key, Item { flags, cas, data }, expires);
        // It may be due already.
        self.items.expire(self.now);
    }

    /// A cas number that was never given before.
    pub(crate) fn next_cas(&mut self) -> u64 {
        self.cas_last += 1;
        self.cas_last
    }

    fn after(&self, seconds: i64) -> u64 {
        self.now.saturating_add(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }
}

/// The longest time that counts from now, as in memcached: 30 days.
const MONTH_SECONDS: i64 = 60 * 60 * 24 * 30;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn state() -> State {
        let mut state = State::new(Options { bytes_max: 1000, ..Options::default() });
        state.tick(NOW);
        state
    }

    #[test]
    fn expiry_times() {
        let state = state();
        assert_eq!(state.expiry(0), None);
        assert_eq!(state.expiry(5), Some(NOW + 5000));
        assert_eq!(state.expiry(MONTH_SECONDS), Some(NOW + 2_592_000_000));
        assert_eq!(state.expiry(MONTH_SECONDS + 1), Some(2_592_001_000));
        assert_eq!(state.expiry(-1), Some(0));
        assert_eq!(state.expiry(i64::MAX), Some(u64::MAX));
    }

    #[test]
    fn items_go_when_due_or_flushed() {
        let mut state = state();
        state.store(b"gone", 0, b"".to_vec(), Some(0));
        state.store(b"soon", 0, b"".to_vec(), Some(NOW + 1));
        state.store(b"stays", 0, b"".to_vec(), None);
        assert_eq!(state.items.len(), 2);
        state.tick(NOW + 1);
        assert_eq!(state.items.len(), 1);
        state.flush_in(1);
        state.store(b"between", 0, b"".to_vec(), None);
        state.tick(NOW + 1000);
        assert_eq!(state.items.len(), 2);
        state.tick(NOW + 1001);
        assert_eq!(state.items.len(), 0);
    }

    #[test]
    fn the_bound_is_kept_and_the_new_item_stays() {
        let mut state = state();
        for n in 0..50u8 {
            state.store(&[b'k', n], 0, vec![0; 100], None);
            assert!(state.items.contains(&[b'k', n]));
        }
        assert!(state.items.bytes() < 1000 + 300 && state.counters.evictions > 40);
    }
}
