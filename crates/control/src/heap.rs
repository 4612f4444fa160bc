//! After a burst, freed memory goes back to the system.
//!
//! The allocator cannot know that a burst is over, and neither can a worker: all it sees is that buffers are freed. Here
//! the process's size is looked at. Once it no longer changes, what of it is free is given back; as nothing shows whether
//! any is, it is tried again after a second, then more and more seldom until the size changes.

use std::time::{Duration, Instant};

/// How often the size is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two tries; one with nothing to give back costs next to nothing.
const SELDOM: Duration = Duration::from_secs(64);

/// A smaller process is left alone.
const LARGE_BYTES: u64 = 24 << 20;

/// A change of the size that makes the next try worth the while.
const WORTH_BYTES: u64 = 4 << 20;

/// A change between two looks that is none.
const STILL_BYTES: u64 = 1 << 20;

/// When to give back.
#[derive(Debug)]
pub(crate) struct Heap {
    looked: Instant,
    /// The size at the last look.
    size: u64,
    /// The size after the last try.
    kept: u64,
    /// When that was, and how long until the next.
    tried: Instant,
    wait: Duration,
}

impl Heap {
    pub(crate) fn new(now: Instant) -> Heap {
        Heap { looked: now, size: 0, kept: 0, tried: now, wait: LOOK_EVERY }
    }

    /// Gives back what there is, if it is time; `resident` answers the process's size.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        resident: impl Fn() -> Option<u64>,
        give_back: impl FnOnce(),
    ) {
        if now.duration_since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let Some(size) = resident() else { return };
        let changes = size.abs_diff(self.size) > STILL_BYTES;
        self.size = size;
        if changes || size < LARGE_BYTES {
            return;
        }
        if size.abs_diff(self.kept) >= WORTH_BYTES {
            self.wait = LOOK_EVERY;
        } else if now.duration_since(self.tried) < self.wait {
            return;
        }
        give_back();
        self.kept = resident().unwrap_or(size);
        self.tried = now;
        let found = size.saturating_sub(self.kept) >= STILL_BYTES;
        self.wait = if found { LOOK_EVERY } else { (self.wait * 2).min(SELDOM) };
        self.size = self.kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Sizes in MiB at one look after the other, and at which of them memory is given back, down to `used`.
    fn check(sizes: &[u64], used: u64, expected: &[usize]) {
        let start = Instant::now();
        let mut heap = Heap::new(start);
        let mut given = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let now = start + LOOK_EVERY * (at as u32 + 1);
            let size = Cell::new(*size << 20);
            heap.look(
                now,
                || Some(size.get()),
                || {
                    given.push(at);
                    size.set(size.get().min(used << 20));
                },
            );
        }
        assert_eq!(given, expected, "{sizes:?}");
    }

    #[test]
    fn once_it_does_not_change_any_more() {
        check(&[5, 5, 100, 300, 300, 20, 20], 20, &[4]);
        check(&[5, 100, 200, 300, 400, 500], 5, &[]);
        check(&[5, 23, 23, 23, 23], 5, &[]);
    }

    #[test]
    fn memory_in_use_is_tried_seldom() {
        check(&[300; 20], 300, &[1, 3, 7, 15]);
    }

    #[test]
    fn a_change_counts_from_what_was_left() {
        check(&[300, 300, 300, 200, 200, 40], 40, &[1, 4, 5]);
        check(&[300, 300, 40, 40, 300, 300], 40, &[1, 2, 5]);
    }

    #[test]
    fn not_more_often_than_every_second() {
        let start = Instant::now();
        let mut heap = Heap::new(start);
        heap.look(start + LOOK_EVERY / 2, || panic!("looked too early"), || {});
    }
}
